"""Subspaces that rational numbers span, exactly: bases of whole numbers, and the canonical basis.

Of null spaces of small whole numbers the reduced echelon basis N (1 in each pivot row, the first
independent ones, and 0 there in the other columns) is nearly always of small whole numbers too. It
is read off a basis of floats, and C N = 0 in integers proves it. From N alone, and from the
pivots of the canonical basis, that basis follows to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from scipy import sparse

from equibasis.linalg.double_double import DoubleDouble, inverse_factor

# Rows no farther than this from the span of those before them depend on these.
_DEPENDENT = 1e-8

# How far from a whole number or a fraction an entry may be found.
_WHOLE = 1e-9

# How far from a whole number a multiple may be, and how large it and its factor may be.
_ROUNDING = 1e-6
_LARGEST = 2**20
_MOST_DENOMINATOR = 10_000

# Rows that are searched for pivots at once.
_AT_ONCE = 256

# Bits of each slice of a number, and slices: products with whole numbers of N are summed exactly.
_BITS, _SLICES = 24, 4


def integral_basis(basis: np.ndarray) -> np.ndarray | None:
    """Return the reduced echelon basis of the columns' span, each column made whole: int64 (n, r).

    Each pivot row, of the first independent ones, has one entry, positive; that of a column is the
    least that makes it whole. ``None`` where this is not of small whole numbers.

    Parameters
    ----------
    basis
        Columns, float64 (n, r), far from dependent.
    """
    pivots = _first_independent(basis)
    if len(pivots) < basis.shape[1]:
        return None
    entries = basis @ np.linalg.inv(basis[pivots])
    factors = np.lcm.reduce(_denominators(entries), axis=0)
    multiples = entries * factors
    nearest = np.rint(multiples)
    if (factors > _LARGEST).any() or np.abs(nearest).max() > _LARGEST:
        return None
    if np.abs(multiples - nearest).max() > _ROUNDING:
        return None
    return nearest.astype(np.int64)


def _denominators(numbers: np.ndarray) -> np.ndarray:
    """Return the least whole numbers that make them whole, int64; beyond `_MOST_DENOMINATOR` 1."""
    found = np.ones(numbers.shape, dtype=np.int64)
    broken = np.abs(numbers - np.rint(numbers)) > _WHOLE
    distinct, which = np.unique(np.round(numbers[broken], 10), return_inverse=True)
    fractions = (Fraction(each).limit_denominator(_MOST_DENOMINATOR) for each in distinct.tolist())
    denominators = np.array([each.denominator for each in fractions], dtype=np.int64)
    off = np.abs(distinct * denominators - np.rint(distinct * denominators))
    found[broken] = np.where(off <= _WHOLE * denominators, denominators, 1)[which]
    return found


def _first_independent(basis: np.ndarray) -> np.ndarray:
    """Find the first rows independent of those before them, as many as there are columns."""
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


def canonical_columns(
    basis: np.ndarray, squares: np.ndarray, pivots: np.ndarray
) -> np.ndarray | None:
    """Orthonormal B of the span of √τ N, B[pivots] lower triangular with a positive diagonal.

    Each entry is the exact one, rounded once. With G = Nᵀ τ N and P = √τ N[pivots], L is the
    Cholesky factor of P G⁻¹ Pᵀ, and B = √τ N G⁻¹ Pᵀ L⁻ᵀ.

    Parameters
    ----------
    basis
        N, of small whole numbers, int64 (n, r), columns independent.
    squares
        τ, positive whole numbers, int64 (n,).
    pivots
        Rows of it, (r,), in the order in which the canonical basis takes them.

    Returns
    -------
    numpy.ndarray
        float64 (n, r); ``None`` where numbers are too large to be multiplied exactly.
    """
    rows = sparse.csr_array(basis)
    terms, largest = int(np.diff(rows.indptr).max(initial=1)), int(np.abs(basis).max(initial=1))
    if terms * largest >= 2 ** (52 - _BITS):
        return None
    if len(basis) * largest**2 * int(squares.max(initial=1)) >= 2**52:
        return None
    products = (
        rows.T @ sparse.csr_array(sparse.diags_array(squares, dtype=np.int64) @ rows)
    ).toarray()
    roots = DoubleDouble.of(squares).sqrt()
    inverse = inverse_factor(DoubleDouble.of(products))
    at_pivots = roots[pivots, None] * DoubleDouble.of(basis[pivots])
    solved = inverse.transposed @ (inverse @ at_pivots.transposed)
    change = solved @ inverse_factor(at_pivots @ solved).transposed
    exact = rows.astype(np.float64)
    first, second, *others = (exact @ part for part in _sliced(change))
    total = DoubleDouble.of(first) + DoubleDouble(second, sum(others))
    return (total if (squares == 1).all() else roots[:, None] * total).rounded()


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
