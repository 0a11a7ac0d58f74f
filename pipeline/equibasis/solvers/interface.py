"""What every solver is: a name, when it applies, what it costs, and how it finds the basis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import psutil

from equibasis.errors import SolverError
from equibasis.linalg.columns import Columns
from equibasis.symmetry.hom_space import HomSpace


@dataclass(frozen=True)
class Cost:
    """What solving takes, estimated beforehand.

    Attributes
    ----------
    memory
        Bytes at the peak, above what the process has.
    seconds
        On one core of a machine of 2023 or so; within a factor of a few.
    """

    memory: float
    seconds: float


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
    cost
        What it would take.
    solve
        The basis B (km, r) float64: orthonormal, canonical as in `equibasis.linalg.canonical`.
        Every solver returns the same B for the same space.
    """

    name: str
    summary: str
    obstacle: Callable[[HomSpace], str | None]
    cost: Callable[[HomSpace], Cost]
    solve: Callable[[HomSpace], Columns]


def no_obstacle(space: HomSpace) -> None:
    """For solvers that apply to every space."""


def refuse_beyond_memory(solver: Solver, space: HomSpace) -> None:
    """Raise `SolverError` if a solver would take more memory than is free."""
    free = psutil.virtual_memory().available
    needed = solver.cost(space).memory
    if needed > free:
        raise SolverError(
            f"solver {solver.name!r} would take about {needed / 2**30:,.1f} GiB for {space} "
            f"({free / 2**30:,.1f} GiB are free): choose a smaller space, or another --solver"
        )
