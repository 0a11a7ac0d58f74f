"""Copies of a small representation in a space: which coordinate is which point of which copy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Summand:
    """All copies of one type in a space, R^c ⊗ V.

    Attributes
    ----------
    type
        Which of `OrbitTypes.representations` V is.
    index
        int64 (t, c): coordinate j of copy a is coordinate ``index[j, a]`` of the space. Copies
        ascend by their lowest coordinate.
    signs
        ±1, int8 (t, c), what that coordinate is multiplied by; ``None`` where all are +1.
    """

    type: int
    index: np.ndarray
    signs: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.signs is not None and (self.signs == 1).all():
            object.__setattr__(self, "signs", None)

    @property
    def dimension(self) -> int:
        """t, the dimension of V."""
        return int(self.index.shape[0])

    @property
    def multiplicity(self) -> int:
        """c, how many copies of V there are."""
        return int(self.index.shape[1])


@dataclass(frozen=True, eq=False)
class Whereabouts:
    """Of each coordinate of a space: its summand, point, copy and sign, each (n,)."""

    summand: np.ndarray
    point: np.ndarray
    copy: np.ndarray
    sign: np.ndarray


def whereabouts(summands: Sequence[Summand]) -> Whereabouts:
    """Where each coordinate of a space is among its types."""
    n = sum(each.index.size for each in summands)
    summand, point, copy = np.empty((3, n), dtype=np.int64)
    found = Whereabouts(summand, point, copy, np.ones(n, dtype=np.int8))
    for number, each in enumerate(summands):
        found.summand[each.index] = number
        found.point[each.index] = np.arange(each.dimension)[:, None]
        found.copy[each.index] = np.arange(each.multiplicity)
        if each.signs is not None:
            found.sign[each.index] = each.signs
    return found
