"""What every solver is: a name, when it applies, and a function from a space to its basis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import psutil
from scipy import sparse

from equibasis.errors import SolverError
from equibasis.representations import HomSpace


@dataclass(frozen=True)
class Solver:
    """One way to compute the canonical basis of Hom_G(X, Y).

    Attributes
    ----------
    name
        What ``--solver`` calls it.
    summary
        Its idea in a line.
    obstacle
        Why the solver cannot treat a space, in words that end a sentence; ``None`` if it can.
    solve
        The basis B, sparse (km, r) float64: orthonormal columns, canonical as in
        `equibasis.canonical`. Every solver returns the same B for the same space.
    """

    name: str
    summary: str
    obstacle: Callable[[HomSpace], str | None]
    solve: Callable[[HomSpace], sparse.csc_array]


def no_obstacle(space: HomSpace) -> None:
    """For solvers that apply to every space."""


def refuse_beyond_memory(solver: str, space: HomSpace, needed: float, instead: str) -> None:
    """Raise `SolverError` if ``needed`` bytes are more than the memory that is free."""
    free = psutil.virtual_memory().available
    if needed > free:
        raise SolverError(
            f"solver {solver!r} would take about {needed / 2**30:,.1f} GiB for {space} "
            f"({free / 2**30:,.1f} GiB are free): {instead}"
        )
