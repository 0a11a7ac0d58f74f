"""What is shown on: a terminal, or whatever takes its place."""

from __future__ import annotations

from rich.console import Console

# No terminal is narrower; one that says so, as under COLUMNS=1, does not know its width.
_NARROWEST = 20
_USUAL = 80


def screen() -> Console:
    """Return standard output, as rich finds it, of a width that something can be shown in."""
    console = Console()
    if console.width < _NARROWEST:
        console.width = _USUAL
    return console


def is_coloured(console: Console) -> bool:
    """Whether pictures can be drawn in colour: half blocks, hundreds of colours, none forbidden."""
    enough = console.color_system in ("256", "truecolor") and not console.no_color
    return console.is_terminal and enough and not console.options.ascii_only
