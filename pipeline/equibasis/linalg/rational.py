"""Matrices of fractions, and of square roots of fractions, as matrices of whole numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

# The largest denominator of an entry, and how far rounding may move an entry from its fraction.
_MOST_DENOMINATOR = 1000
_ROUNDING = 1e-12

# The largest whole number that comes of it.
_LARGEST = 2**31

# The largest number under a square root.
_LARGEST_SQUARE = 10_000


def whole_multiples(matrices: Sequence[sparse.csr_array]) -> list[sparse.csr_array] | None:
    """All of them times the least whole number that makes every entry whole, as int64.

    ``None`` where some entries are no fractions with denominators up to 1,000, within rounding.
    """
    entries = np.unique(np.concatenate([matrix.data for matrix in matrices]))
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
    found = []
    for matrix in matrices:
        whole = np.rint(factor * matrix.data).astype(np.int64)
        found.append(sparse.csr_array((whole, matrix.indices, matrix.indptr), shape=matrix.shape))
    return found


def _fraction(entry: float) -> Fraction | None:
    found = Fraction(entry).limit_denominator(_MOST_DENOMINATOR)
    return found if abs(float(found) - entry) <= _ROUNDING * max(1.0, abs(entry)) else None


def squares_of_scales(matrices: Sequence[sparse.csr_array]) -> np.ndarray | None:
    """Whole σ, int64 (n,), such that entries √(σ_i / σ_j) A_ij may be fractions for each A (n, n).

    Such are symmetric powers (σ from factorials) and real spin matrices in orthonormal
    coordinates. Found by walking along entries that are not zero; all 1 where these are fractions.
    ``None`` where squares of entries are no fractions.
    """
    n = matrices[0].shape[0]
    rows, columns, values = (
        np.concatenate([getattr(each.tocoo(), part) for each in matrices])
        for part in ("row", "col", "data")
    )
    classes = np.empty(len(values), dtype=np.int64)
    distinct, which = np.unique(np.abs(values), return_inverse=True)
    for number, value in enumerate(distinct.tolist()):
        square = _fraction(value * value)
        if square is None or max(square.numerator, square.denominator) > _LARGEST_SQUARE:
            return None
        product = square.numerator * square.denominator
        classes[which == number] = _squarefree(product) if product else 1
    squares = np.ones(n, dtype=np.int64)
    if (classes == 1).all():
        return squares
    kept = np.unique(rows.astype(np.int64) * n + columns, return_index=True)[1]
    graph = sparse.csr_array((classes[kept], (rows[kept], columns[kept])), shape=(n, n))
    graph = sparse.csr_array(graph.maximum(graph.T))
    _, component = csgraph.connected_components(graph, directed=False)
    for start in np.unique(component, return_index=True)[1]:
        order, before = csgraph.breadth_first_order(graph, start, directed=False)
        for place in order[1:].tolist():
            one, other = int(squares[before[place]]), int(graph[before[place], place])
            squares[place] = one * other // math.gcd(one, other) ** 2
            if squares[place] > _LARGEST_SQUARE:
                return None
    return squares


def _squarefree(number: int) -> int:
    """What is left of a whole number without its square factors."""
    factor = 2
    while factor * factor <= number:
        while number % (factor * factor) == 0:
            number //= factor * factor
        factor += 1
    return number


def scaled(matrix: sparse.csr_array, squares: np.ndarray) -> sparse.csr_array:
    """√(σ_i / σ_j) A_ij."""
    if (squares == 1).all():
        return matrix
    roots = np.sqrt(squares)
    return sparse.csr_array(sparse.diags_array(roots) @ matrix @ sparse.diags_array(1.0 / roots))
