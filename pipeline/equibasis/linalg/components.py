"""Diagonal blocks of a sparse matrix: its connected components, gathered by size.

A thousand small decompositions become one batched call; nothing outside the blocks is formed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

# Entries this small are rounding, not structure: projectors have entries up to 1.
NEGLIGIBLE = 1e-12


@dataclass(frozen=True, eq=False)
class Blocks:
    """All diagonal blocks of one size.

    Attributes
    ----------
    indices
        Rows of the whole matrix that each block occupies, ascending: int64 (b, s).
    values
        The blocks, dense: float64 (b, s, s).
    """

    indices: np.ndarray
    values: np.ndarray


def diagonal_blocks(matrix: sparse.csr_array) -> Iterator[Blocks]:
    """Yield the diagonal blocks of a square matrix, those of one size together, ascending in size.

    Rows and columns that no entry above `NEGLIGIBLE` touches belong to no block.
    """
    entries = matrix.tocoo()
    kept = np.abs(entries.data) > NEGLIGIBLE
    at = entries.row[kept], entries.col[kept]
    pattern = sparse.csr_array((entries.data[kept], at), shape=matrix.shape)
    component = csgraph.connected_components(pattern, directed=False)[1]
    order, sizes = np.argsort(component, kind="stable"), np.bincount(component)
    starts = np.cumsum(sizes) - sizes
    occupied = np.bincount(component[at[0]], minlength=len(sizes)) > 0
    for size in np.unique(sizes[occupied]):
        indices = order[starts[occupied & (sizes == size), None] + np.arange(size)]
        rows = np.repeat(indices.reshape(-1, 1), size, axis=1)
        blocks = pattern[rows, np.repeat(indices, size, axis=0)]
        yield Blocks(indices, blocks.toarray().reshape(-1, size, size))


def parts(component: np.ndarray) -> list[np.ndarray]:
    """List the points of each component, ascending, from the number of that of each point."""
    order = np.argsort(component, kind="stable")
    return np.split(order, np.cumsum(np.bincount(component))[:-1]) if len(order) else []


def touching(matrix: sparse.csr_array) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows and columns that the entries of a matrix join, ascending, wherever there are columns."""
    count = matrix.shape[0]
    pattern = sparse.csr_array((np.ones(matrix.nnz), matrix.indices, matrix.indptr), matrix.shape)
    graph = sparse.block_array([[None, pattern], [pattern.T, None]], format="csr")
    for part in parts(csgraph.connected_components(graph, directed=False)[1]):
        rows, columns = np.split(part, [np.searchsorted(part, count)])
        if len(columns):
            yield rows, columns - count


def leaders(n: int, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Find the lowest of the points 0 to n - 1 that pairs (one[j], other[j]) join to each."""
    graph = sparse.csr_array((np.ones(len(one), np.int8), (one, other)), shape=(n, n))
    component = csgraph.connected_components(graph, directed=False)[1]
    lowest: np.ndarray = np.unique(component, return_index=True)[1]
    return lowest[component]
