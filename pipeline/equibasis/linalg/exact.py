"""Subspaces that rational numbers span, exactly: bases of whole numbers, and the canonical basis.

Of null spaces of small whole numbers the reduced echelon basis N (1 in each pivot row, the first
independent ones, and 0 there in the other columns) is nearly always of small whole numbers too. It
is read off a basis of floats, and C N = 0 in integers proves it. From N alone, and from the
pivots of the canonical basis, that basis follows to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from equibasis.linalg.double_double import (
    DoubleDouble,
    cholesky,
    gram,
    solve_lower,
    solve_transposed,
)

# Rows no farther than this from the span of those before them depend on these.
_DEPENDENT = 1e-8

# How far from a whole number an entry may be found, and how large one may be.
_ROUNDING = 1e-6
_LARGEST = 2**20

# Rows that are searched for pivots at once.
_AT_ONCE = 256

# Bits of each slice of a number, and slices: products with whole numbers of N are summed exactly.
_BITS, _SLICES = 24, 4


def echelon_basis(basis: np.ndarray) -> np.ndarray | None:
    """The reduced echelon basis of the columns' span: int64 (n, r).

    ``None`` where it is not of small whole numbers.

    Parameters
    ----------
    basis
        Orthonormal columns, float64 (n, r).
    """
    pivots = _first_independent(basis)
    if len(pivots) < basis.shape[1]:
        return None
    entries = basis @ np.linalg.inv(basis[pivots])
    nearest = np.rint(entries)
    if not (np.abs(nearest) <= _LARGEST).all() or np.abs(entries - nearest).max() > _ROUNDING:
        return None
    return nearest.astype(np.int64)


def _first_independent(basis: np.ndarray) -> np.ndarray:
    """The first rows that are independent of those before them, as many as there are columns."""
    count = basis.shape[1]
    span = np.zeros((count, 0))
    pivots: list[int] = []
    for start in range(0, len(basis), _AT_ONCE):
        rows = basis[start : start + _AT_ONCE].copy()
        for _ in range(2):
            rows -= (rows @ span) @ span.T
        first = 0
        while len(pivots) < count:
            (left,) = np.nonzero(np.square(rows[first:]).sum(axis=1) > _DEPENDENT**2)
            if not len(left):
                break
            first += int(left[0])
            unit = rows[first] / np.linalg.norm(rows[first])
            unit -= span @ (span.T @ unit)
            unit /= np.linalg.norm(unit)
            span = np.hstack([span, unit[:, None]])
            rows -= np.outer(rows @ unit, unit)
            pivots.append(start + first)
            first += 1
    return np.array(pivots, dtype=np.int64)


def annihilates(constraints: Sequence[sparse.csc_array], basis: np.ndarray) -> bool:
    """Whether C N = 0 for each C, all of whole numbers, int64; also not where it may overflow."""
    columns = sparse.csr_array(basis)
    largest = int(np.abs(basis).max(initial=0))
    for constraint in constraints:
        rows = sparse.csr_array(constraint)
        terms = int(np.diff(rows.indptr).max(initial=0))
        if terms * largest * int(np.abs(rows.data).max(initial=0)) >= 2**62:
            return False
        if (rows @ columns).data.any():
            return False
    return True


def canonical_columns(basis: np.ndarray, pivots: np.ndarray) -> np.ndarray | None:
    """Orthonormal B of the span of N, B[pivots] lower triangular with a positive diagonal.

    Each entry is the exact one, rounded once. With G = NᵀN = R Rᵀ and P = N[pivots], L is the
    Cholesky factor of P G⁻¹ Pᵀ = YᵀY, Y = R⁻¹Pᵀ, and B = N R⁻ᵀ Y L⁻ᵀ.

    Parameters
    ----------
    basis
        N, of small whole numbers, int64 (n, r), columns independent.
    pivots
        Rows of it, (r,), in the order in which the canonical basis takes them.

    Returns
    -------
    numpy.ndarray
        float64 (n, r); ``None`` where numbers are too large to be multiplied exactly.
    """
    rows = sparse.csr_array(basis)
    terms = int(np.diff(rows.indptr).max(initial=1))
    if terms * int(np.abs(basis).max(initial=1)) >= 2 ** (52 - _BITS):
        return None
    products = (rows.T @ rows).toarray()
    if np.abs(products).max(initial=0) >= 2**52:
        return None
    root = cholesky(DoubleDouble.of(products))
    moved = solve_lower(root, DoubleDouble.of(basis[pivots].T))
    factor = cholesky(gram(moved))
    change = solve_transposed(root, solve_lower(factor, moved.transposed).transposed)
    total = DoubleDouble.of(np.zeros(basis.shape))
    exact = rows.astype(np.float64)
    for part in _sliced(change):
        total = total + DoubleDouble.of(exact @ part)
    return total.rounded()


def _sliced(matrix: DoubleDouble) -> list[np.ndarray]:
    """Arrays that sum to it, each 24 bits of every number, counted from the largest of a column.

    Sums of products of them with whole numbers are exact, in whatever order.
    """
    high, low = matrix.high, matrix.low
    top = np.ceil(np.log2(np.maximum(np.abs(high).max(axis=0), 1e-300)))
    found = []
    for number in range(1, _SLICES + 1):
        unit = 2.0 ** (top - _BITS * number)
        part = np.rint(high / unit) * unit
        found.append(part)
        left = DoubleDouble(high, low) - DoubleDouble.of(part)
        high, low = left.high, left.low
    return found
