"""Matrices of fractions, and of square roots of fractions, as matrices of whole numbers."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from scipy import sparse

# The largest denominator of an entry, and how far rounding may move an entry from its fraction.
_MOST_DENOMINATOR = 1000
_ROUNDING = 1e-12

# The largest whole number that comes of it.
_LARGEST = 2**31

# The largest number under a square root.
_LARGEST_SQUARE = 10_000


def whole_in_units(
    matrices: Sequence[sparse.csr_array],
) -> tuple[list[sparse.csr_array], np.ndarray] | None:
    """Matrices in other units of the coordinates, each times a number, of whole numbers.

    A_ij becomes c √(σ_i / σ_j) A_ij, c the square root of a fraction, one for each matrix. ``None``
    where there are no such units, or numbers would be too large.

    Parameters
    ----------
    matrices
        Sparse (n, n), float64.

    Returns
    -------
    tuple
        The matrices, int64, and σ, square-free, int64 (n,).
    """
    found = _units(matrices)
    if found is None:
        return None
    squares, factors = found
    whole = []
    for matrix, factor in zip(matrices, factors, strict=True):
        if factor > 1 or (squares > 1).any():
            left, right = np.sqrt(factor * squares), 1.0 / np.sqrt(squares)
            matrix = sparse.csr_array(sparse.diags_array(left) @ matrix @ sparse.diags_array(right))
        whole.append(whole_multiple(matrix))
    return None if any(each is None for each in whole) else (whole, squares)


def whole_multiple(matrix: sparse.csr_array) -> sparse.csr_array | None:
    """Return a matrix times the least whole number that makes every entry whole, as int64.

    ``None`` where some entries are no fractions with denominators up to 1,000, within rounding.
    """
    entries = np.unique(matrix.data)
    factor = 1
    for entry in entries[entries != np.rint(entries)].tolist():
        fraction = _fraction(entry)
        if fraction is None:
            return None
        factor = math.lcm(factor, fraction.denominator)
        if factor > _LARGEST:
            return None
    if factor * np.abs(entries).max(initial=0.0) > _LARGEST:
        return None
    whole = np.rint(factor * matrix.data).astype(np.int64)
    return sparse.csr_array((whole, matrix.indices, matrix.indptr), shape=matrix.shape)


def _fraction(entry: float) -> Fraction | None:
    found = Fraction(entry).limit_denominator(_MOST_DENOMINATOR)
    return found if abs(float(found) - entry) <= _ROUNDING * max(1.0, abs(entry)) else None


def _units(matrices: Sequence[sparse.csr_array]) -> tuple[np.ndarray, list[int]] | None:
    """σ and f, square-free, for which √f_a √(σ_i / σ_j) A_ij is a fraction for each matrix a.

    There are such for symmetric powers, where σ comes of factorials, and for real spin matrices in
    orthonormal coordinates. All are 1 where entries are fractions as they are.

    Modulo squares σ_i σ_j f_a is known wherever A_ij is not zero: equations among the σ and f.
    """
    n, count = matrices[0].shape[0], len(matrices)
    parts = [matrix.tocoo() for matrix in matrices]
    number = np.repeat(np.arange(count), [part.nnz for part in parts])
    rows, columns, values = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("row", "col", "data")
    )
    kept = np.abs(values) > _ROUNDING * np.abs(values).max(initial=0.0)
    number, rows, columns, values = number[kept], rows[kept], columns[kept], values[kept]
    classes = _classes(values)
    if classes is None:
        return None
    if (classes == 1).all():
        return np.ones(n, dtype=np.int64), [1] * count
    unknowns = zip(
        number.tolist(), (count + rows).tolist(), (count + columns).tolist(), strict=True
    )
    equations = {
        (frozenset({a}) ^ {i} ^ {j}, known)
        for (a, i, j), known in zip(unknowns, classes.tolist(), strict=True)
    }
    found = _solved(equations, count + n)
    if found is None or max(found) > _LARGEST_SQUARE:
        return None
    return np.array(found[count:], dtype=np.int64), found[:count]


def _solved(equations: set[tuple[frozenset[int], int]], count: int) -> list[int] | None:
    """Numbers whose products, over sets of them, are given modulo squares; 1 where free."""
    by_highest: dict[int, tuple[frozenset[int], int]] = {}
    for unknowns, square in sorted(equations, key=lambda each: max(each[0])):
        while unknowns and (highest := max(unknowns)) in by_highest:
            others, known = by_highest[highest]
            unknowns, square = unknowns ^ others, _product(square, known)
        if unknowns:
            by_highest[max(unknowns)] = unknowns, square
        elif square != 1:
            return None
    found = [1] * count
    for highest in sorted(by_highest):
        unknowns, square = by_highest[highest]
        found[highest] = functools.reduce(_product, (found[each] for each in unknowns), square)
    return found


def _product(one: int, other: int) -> int:
    """Return the product of square-free numbers without its square factor."""
    return one * other // math.gcd(one, other) ** 2


def _classes(values: np.ndarray) -> np.ndarray | None:
    """Find the square-free f for which √f times each is a fraction; ``None`` if one has none."""
    distinct, which = np.unique(np.abs(values), return_inverse=True)
    found = np.ones(len(distinct), dtype=np.int64)
    for number, value in enumerate(distinct.tolist()):
        if value == round(value) or _fraction(value) is not None:
            continue
        square = _fraction(value * value)
        if square is None or max(square.numerator, square.denominator) > _LARGEST_SQUARE:
            return None
        found[number] = _squarefree(square.numerator * square.denominator)
    classes: np.ndarray = found[which]
    return classes


def _squarefree(number: int) -> int:
    """Divide a whole number by its square factors."""
    factor = 2
    while factor * factor <= number:
        while number % (factor * factor) == 0:
            number //= factor * factor
        factor += 1
    return number
