"""Tables for the terminal."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
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
    """A column for each basis file, a row for each property."""
    table = Table(box=box.SIMPLE_HEAD, show_header=True, header_style="bold")
    table.add_column("file", style="bold")
    for each in descriptions:
        table.add_column(Text(printable(each["file"])), overflow="fold")
    for name, value in _PROPERTIES.items():
        cells = [value(each) for each in descriptions]
        if any(cells):
            table.add_row(name, *map(Text, cells))
    return table


def _holds(told: dict[str, Any]) -> str:
    return "invariant vectors" if told["kind"] == "invariant" else "equivariant maps"


def _group(told: dict[str, Any]) -> str:
    if "elements" not in told:
        return f"{told['group']}, by {counted(len(told['generators']), 'generator')}"
    return f"{told['group']}, {counted(len(told['elements']), 'element')}"


def _side(told: dict[str, Any], side: str) -> str:
    if side == "input" and told["kind"] == "invariant":
        return ""
    count = math.prod(told[f"{side}_shape"])
    return f"{told[f'{side}_space']}, {counted(count, 'number')}"


def _saved(told: dict[str, Any]) -> str:
    rank, dense = told["rank"], told["dense_parameters"]
    fewer = f", {dense / rank:,.4g} times fewer" if 0 < rank < dense else ""
    return f"{rank:,} of {dense:,} dense parameters{fewer}"


def _types(told: dict[str, Any], side: str) -> str:
    if side == "input" and told["kind"] == "invariant":
        return ""
    return ", ".join(f"{c:,} of {t:,}" for t, c in told["types"][side])


_PROPERTIES: dict[str, Callable[[dict[str, Any]], str]] = {
    "holds": _holds,
    "group": _group,
    "input": lambda told: _side(told, "input"),
    "output": lambda told: _side(told, "output"),
    "types of input": lambda told: _types(told, "input"),
    "types of output": lambda told: _types(told, "output"),
    "rank": _saved,
    "rank known by": lambda told: told["checks"]["rank_by"],
    "solver": lambda told: told["solver"],
    "matrix": lambda told: (
        f"{told['nonzeros']:,} non-zeros" + (", in the file too" if told["matrix"] else "")
    ),
    "orthonormal to": lambda told: f"{told['checks']['orthonormality_error']:.1g}",
    "equivariant to": lambda told: f"{told['checks']['equivariance_error']:.1g}",
    "size": lambda told: decimal(told["bytes"]),
    "content": lambda told: told["content_sha256"][:16],
    "besides": lambda told: ", ".join(told["besides"]),
}
