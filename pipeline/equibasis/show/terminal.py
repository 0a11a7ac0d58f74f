"""Pictures of bases in the terminal: half blocks in colour, or characters where it has none."""

from __future__ import annotations

import numpy as np
from rich.color import Color
from rich.console import Console
from rich.style import Style
from rich.text import Text

from equibasis.show.images import (
    Layout,
    layout_of,
    leading_images,
    orbit_image,
    value_colours,
)
from equibasis.show.screen import is_coloured, screen
from equibasis.solvers.basis import Basis

# Characters for entries from the largest negative to the largest positive.
_PLAIN = "=-.+#"

# A panel is at least so many columns wide, if the terminal is, and its pixels at most so large.
_PANEL = 24
_LARGEST_PIXEL = 4
_GAP = 2

_MOST_PANELS = 16
_MOST_LINES = 2**10

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def print_basis(basis: Basis, count: int | None = None, console: Console | None = None) -> None:
    """Show the first basis vectors: ``count``, or as many as the terminal has room for."""
    console = console or screen()
    wanted = min(basis.rank, count or _MOST_PANELS)
    across = _panels_across(console, layout_of(basis.space), wanted)
    panels = _panels(console, basis, wanted, (console.width + _GAP) // across - _GAP)
    if count is None and panels and console.is_terminal:
        panels = panels[: across * max(1, (console.height - 5) // (len(panels[0]) + 2))]
    shown = len(panels)
    what = f"basis vectors 1 to {shown}" if shown > 1 else "basis vector 1" if shown else ""
    _title(console, basis, what)
    for start in range(0, shown, across):
        _print_row(console, panels[start : start + across], start)
    if shown:
        console.print(_legend(console), soft_wrap=True)
    if shown < basis.rank:
        more = f"{shown} of {basis.rank:,} vectors: --count N shows more, --out FILE.png draws them"
        console.print(more, soft_wrap=True)


def _legend(console: Console) -> str:
    if is_coloured(console):
        return "red: positive entries; blue: negative ones; grey: zero"
    return "#  +  .  -  =   large, small, zero, small and negative, large and negative"


def _panels_across(console: Console, layout: Layout, wanted: int) -> int:
    needed = layout.height * layout.width if layout.is_line else layout.width
    needed *= 1 if is_coloured(console) else 2
    room = min(max(needed, _PANEL), console.width) + _GAP
    return max(1, min(wanted, (console.width + _GAP) // room))


def _panels(console: Console, basis: Basis, wanted: int, width: int) -> list[list[Text]]:
    if not wanted:
        return []
    layout, coloured = layout_of(basis.space), is_coloured(console)
    across = width if coloured else (width + 1) // 2
    high = across if layout.is_line else max(8, 2 * console.height)
    images, _ = leading_images(basis, wanted, high, across)
    if not coloured:
        return [_characters(image) for image in images]
    return [_half_blocks(_enlarged(value_colours(image, layout), width)) for image in images]


def print_orbits(basis: Basis, console: Console | None = None) -> None:
    """Show all orbits of a (signed) permutation basis at once, a colour or a letter each.

    Raises
    ------
    SpaceError
        If the basis is not made of orbits.
    """
    console = console or screen()
    orbits = orbit_image(basis, _MOST_LINES, console.width)
    signed, zeros = bool((orbits.signs < 0).any()), bool((orbits.labels < 0).any())
    if is_coloured(console):
        _title(console, basis, "a colour for each orbit")
        panel = _half_blocks(_enlarged(orbits.colours, console.width))
        legend = (
            f"one colour: one weight{'; darker: its negative' * signed}{'; white: zero' * zeros}"
        )
    else:
        _title(console, basis, "a letter for each orbit")
        panel = [
            Text("".join(_LETTERS[n % len(_LETTERS)] if n >= 0 else "." for n in row))
            for row in orbits.labels.tolist()
        ]
        legend = f"one letter: one weight{', or its negative' * signed}{'; a dot: zero' * zeros}"
        legend += f"; after {_LETTERS[-1]} comes {_LETTERS[0]} again" * (basis.rank > len(_LETTERS))
    console.print(*panel, legend, sep="\n", soft_wrap=True)
    if orbits.labels.size < basis.space.dimension:
        console.print("not every entry is shown: --out FILE.png draws more", soft_wrap=True)


def _title(console: Console, basis: Basis, what: str) -> None:
    title = f"{basis.space}, rank {basis.rank:,}"
    console.print(Text(f"{title}: {what}" if what else title, style="bold"))


def _print_row(console: Console, panels: list[list[Text]], start: int) -> None:
    wide = max(line.cell_len for panel in panels for line in panel)
    labels = (Text(f"{start + n + 1}") for n in range(len(panels)))
    rows = [list(labels), *zip(*panels, strict=True)]
    for row in rows:
        joined = Text()
        for cell in row:
            joined.append_text(cell)
            joined.append(" " * (wide - cell.cell_len + _GAP))
        joined.rstrip()
        console.print(joined, soft_wrap=True)
    console.print()


# --- images -------------------------------------------------------------------------------------


def _enlarged(image: np.ndarray, width: int) -> np.ndarray:
    """Each pixel as a square of several, as far as a width has room for."""
    scale = max(1, min(_LARGEST_PIXEL, width // image.shape[1]))
    return image.repeat(scale, axis=0).repeat(scale, axis=1)


def _half_blocks(image: np.ndarray) -> list[Text]:
    """Two pixels a character: the upper one as its colour, the lower one as its background."""
    lines = []
    for row in range(0, len(image), 2):
        line = Text()
        lower = image[row + 1] if row + 1 < len(image) else None
        for place, pixel in enumerate(image[row]):
            below = None if lower is None else Color.from_rgb(*lower[place].tolist())
            line.append("▀", Style(color=Color.from_rgb(*pixel.tolist()), bgcolor=below))
        lines.append(line)
    return lines


def _characters(image: np.ndarray) -> list[Text]:
    """Draw each pixel as a character, with a space between, so that pixels are square."""
    share = image / max(float(np.abs(image).max(initial=0.0)), 1e-300)
    level = np.sign(share) * (1 + (np.abs(share) > 0.5)) * (np.abs(share) > 1e-12)
    return [Text(" ".join(_PLAIN[int(value) + 2] for value in row)) for row in level]
