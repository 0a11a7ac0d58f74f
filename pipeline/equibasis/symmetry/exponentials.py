"""Formal exponentials Σ c eˣ, as characters of tori are, with x told apart within rounding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from equibasis.errors import GroupError

# Numbers of size one that differ by no more are equal; by more, but by less than the second,
# nobody can tell.
_SAME = 1e-10
_APART = 1e-8

# Coefficients this small are rounding.
_NONE = 1e-9

# Terms that a product may have.
_MOST_TERMS = 1_000_000


class IndistinctError(GroupError):
    """Exponents that are neither equal nor clearly apart."""


def distinct(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which real numbers are equal: the distinct ones, ascending, and the place of each in them.

    Raises
    ------
    IndistinctError
        If some are neither equal nor clearly apart.
    """
    order = np.argsort(values, kind="stable")
    steps = np.diff(values[order])
    _check_distinct(steps)
    place = np.empty(len(values), dtype=np.int64)
    place[order] = np.concatenate([[0], np.cumsum(steps > _SAME)])[: len(values)]
    found = np.bincount(place, weights=values) / np.bincount(place)
    return found, place


def _check_distinct(differences: np.ndarray) -> None:
    if ((differences > _SAME) & (differences < _APART)).any():
        raise IndistinctError("its weights are too close to each other to be told apart")


def is_positive(values: np.ndarray) -> np.ndarray:
    """Which numbers are above zero.

    Raises
    ------
    IndistinctError
        If one is neither zero nor clearly apart from it.
    """
    _check_distinct(np.abs(values))
    return values > _SAME


@dataclass(frozen=True, eq=False)
class Exponentials:
    """Σ c eˣ.

    Attributes
    ----------
    exponents
        x, ascending and distinct: float64 (n,).
    coefficients
        c, complex128 (n,).
    """

    exponents: np.ndarray
    coefficients: np.ndarray

    def less_shifted(self, factor: complex, shift: float, most: float) -> Exponentials:
        """(1 - factor e^shift) times it, without the terms whose exponents exceed ``most``."""
        exponents, place = distinct(np.concatenate([self.exponents, self.exponents + shift]))
        coefficients = np.zeros(len(exponents), dtype=np.complex128)
        np.add.at(
            coefficients, place, np.concatenate([self.coefficients, -factor * self.coefficients])
        )
        kept = (exponents <= most) & (np.abs(coefficients) > _NONE)
        if kept.sum() > _MOST_TERMS:
            raise GroupError("its Weyl group is too large")
        return Exponentials(exponents[kept], coefficients[kept])

    def at(self, exponents: np.ndarray) -> np.ndarray:
        """Return the coefficients of some exponents, zero where there is none; of their shape."""
        right = np.searchsorted(self.exponents, exponents).clip(max=len(self.exponents) - 1)
        left = (right - 1).clip(min=0)
        to_right = np.abs(self.exponents[right] - exponents)
        to_left = np.abs(self.exponents[left] - exponents)
        nearest = np.where(to_left < to_right, left, right)
        off = np.minimum(to_left, to_right)
        _check_distinct(off)
        return np.where(off <= _SAME, self.coefficients[nearest], 0.0)
