"""What every solver is: a name, when it applies, what it costs, and how it finds a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

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
    """One way to compute the canonical basis of Hom_G(V, W) for a pair of orbit types.

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
        The basis as a `Table`: orthonormal, canonical as in `equibasis.linalg.canonical`. Every
        solver returns the same table for the same space.
    whole
        Whether it treats X and Y as they are, and returns the tables of all pairs of types (W, V).
    """

    name: str
    summary: str
    obstacle: Callable[[HomSpace], str | None]
    cost: Callable[[HomSpace], Cost]
    solve: Callable[[HomSpace], Any]
    whole: bool = False


def no_obstacle(space: HomSpace) -> None:
    """For solvers that apply to every space."""


def lists_elements(space: HomSpace) -> str | None:
    """Return the obstacle of solvers that average over the group."""
    if space.continuous:
        return f"{space.group} is continuous, so its elements cannot be listed"
    return None
