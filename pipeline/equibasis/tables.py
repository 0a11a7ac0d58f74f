"""Tables for the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table


def print_table(table: Table) -> None:
    """Print a table as wide as it needs to be where the output is not a terminal."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=max(80, Console(width=10_000).measure(table).maximum))
    console.print(table)


def description_table(descriptions: list[dict[str, Any]]) -> Table:
    """A column for each basis file, a row for each property."""
    table = Table()
    table.add_column("file")
    for each in descriptions:
        table.add_column(each["file"], overflow="fold")
    rows = {
        "kind": lambda d: d["kind"],
        "group": lambda d: (
            f"{d['group']}, {d['group_order']} elements"
            if "elements" in d
            else f"{d['group']}, by {len(d['generators'])} generators"
        ),
        "input": lambda d: "-" if d["kind"] == "invariant" else d["input_space"],
        "output": lambda d: d["output_space"],
        "rank": lambda d: f"{d['rank']:,} of {d['dense_parameters']:,} dense parameters",
        "fewer parameters": lambda d: f"{d['dense_parameters'] / max(d['rank'], 1):.2f} times",
        "solver": lambda d: d["solver"],
        "stored as": lambda d: f"{d['encoding']}, {d['nonzeros']:,} non-zeros",
        "orthonormal to": lambda d: f"{d['checks']['orthonormality_error']:.1e}",
        "equivariant to": lambda d: f"{d['checks']['equivariance_error']:.1e}",
        "size": lambda d: f"{d['bytes']:,} bytes",
        "content sha256": lambda d: d["content_sha256"][:16],
    }
    for name, value in rows.items():
        table.add_row(name, *(value(each) for each in descriptions))
    return table
