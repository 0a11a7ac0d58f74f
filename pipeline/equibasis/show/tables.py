"""Tables for the terminal."""

from __future__ import annotations

import math
import sys
from typing import Any

from rich import box
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from equibasis.errors import printable
from equibasis.linalg.numbers import counted
from equibasis.show.screen import screen


def print_table(table: Table) -> None:
    """Print a table as wide as it needs to be where the output is not a terminal."""
    console = screen()
    if not sys.stdout.isatty():  # nor if FORCE_COLOR asks for a terminal's colours
        unbounded = console.options.update(width=10_000)
        console.width = max(80, console.measure(table, options=unbounded).maximum)
    console.print(table)


def description_table(descriptions: list[dict[str, Any]]) -> Table:
    """Tabulate basis files, a column each, by their properties, a row each."""
    table = Table(box=box.SIMPLE_HEAD, show_header=True, header_style="bold")
    table.add_column("file", style="bold")
    for each in descriptions:
        table.add_column(Text(printable(each["file"])), overflow="fold")
    columns = [_properties(each) for each in descriptions]
    for name in columns[0]:
        cells = [each[name] for each in columns]
        if any(cells):
            table.add_row(name, *map(Text, cells))
    return table


def _properties(told: dict[str, Any]) -> dict[str, str]:
    """Describe a file, each property as text; empty where there is nothing to tell."""
    numbers = {side: math.prod(told[f"{side}_shape"]) for side in ("input", "output")}
    sides = {s: f"{told[f'{s}_space']}, {counted(n, 'number')}" for s, n in numbers.items()}
    types = {s: ", ".join(f"{c:,} of {t:,}" for t, c in told["types"][s]) for s in numbers}
    if invariant := told["kind"] == "invariant":
        sides["input"] = types["input"] = ""
    elements, rank, dense = told.get("elements"), told["rank"], told["dense_parameters"]
    return {
        "holds": "invariant vectors" if invariant else "equivariant maps",
        "group": f"{told['group']}, by {counted(len(told['generators']), 'generator')}"
        if elements is None
        else f"{told['group']}, {counted(len(elements), 'element')}",
        **sides,
        **{f"types of {side}": text for side, text in types.items()},
        "rank": f"{rank:,} of {dense:,} dense parameters"
        + (f", {dense / rank:,.4g} times fewer" if 0 < rank < dense else ""),
        "rank known by": told["checks"]["rank_by"],
        "solver": told["solver"],
        "matrix": f"{told['nonzeros']:,} non-zeros" + ", in the file too" * told["matrix"],
        "orthonormal to": f"{told['checks']['orthonormality_error']:.1g}",
        "equivariant to": f"{told['checks']['equivariance_error']:.1g}",
        "size": decimal(told["bytes"]),
        "content": told["content_sha256"][:16],
        "besides": ", ".join(told["besides"]),
    }
