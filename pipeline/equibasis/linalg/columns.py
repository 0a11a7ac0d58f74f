"""Orbit columns: a basis whose every row has one entry at most, kept as one label a row.

This is the structure of every basis for (signed) permutations: 4 bytes a row where a sparse
matrix takes 12, and nothing to multiply.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from scipy import sparse

# Rows that are treated at once: enough to outweigh a loop in Python, few enough for the cache.
_ROWS_AT_ONCE = 2**20


@dataclass(frozen=True, eq=False)
class OrbitColumns:
    """The matrix with entry signs[i] / √sizes[j] in row i and column j = labels[i].

    Attributes
    ----------
    labels
        int32 (n,), or int64 where there are too many; -1 for a row of zeros.
    sizes
        Entries in each column: int64 (r,).
    signs
        ±1, int8 (n,), or ``None`` where all are +1.
    """

    labels: np.ndarray
    sizes: np.ndarray
    signs: np.ndarray | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(n, r)."""
        return len(self.labels), len(self.sizes)

    @property
    def nnz(self) -> int:
        """How many entries are not zero."""
        return int(self.sizes.sum())

    def values(self, rows: slice) -> np.ndarray:
        """The entry of each of some rows, 0 where there is none: float64."""
        labels = self.labels[rows]
        scale = np.append(1.0 / np.sqrt(self.sizes), 0.0)
        values: np.ndarray = scale[labels]  # -1 takes the last, zero
        return values if self.signs is None else values * self.signs[rows]

    def tocsc(self) -> sparse.csc_array:
        """The same as a sparse matrix."""
        n = len(self.labels)
        (kept,) = np.nonzero(self.labels >= 0)
        values = self.values(slice(None))
        if len(kept) < n:
            starts = np.concatenate([[0], np.cumsum(self.labels >= 0)])
            labels, values = self.labels[kept], values[kept]
        else:
            starts, labels = np.arange(n + 1), self.labels
        return sparse.csr_array((values, labels, starts), shape=self.shape).tocsc()

    def leading(self, count: int) -> np.ndarray:
        """The first ``count`` columns, dense (n, count)."""
        columns = np.zeros((len(self.labels), count))
        (rows,) = np.nonzero((self.labels >= 0) & (self.labels < count))
        signs = 1 if self.signs is None else self.signs[rows]
        columns[rows, self.labels[rows]] = signs / np.sqrt(self.sizes[self.labels[rows]])
        return columns


Columns: TypeAlias = sparse.csc_array | np.ndarray | OrbitColumns


def structured(matrix: Columns) -> Columns:
    """The same matrix as `OrbitColumns` where it is one, else in the form that takes fewer bytes.

    Where it is not, `scipy.sparse.csc_array` or `numpy.ndarray`.
    """
    if isinstance(matrix, OrbitColumns):
        return matrix
    if isinstance(matrix, np.ndarray):
        if np.count_nonzero(matrix) > matrix.shape[0]:
            return matrix
        matrix = sparse.csc_array(matrix)
    orbits = _as_orbits(matrix)
    if orbits is not None:
        return orbits
    sparse_bytes = (8 + matrix.indices.itemsize) * matrix.nnz
    dense_bytes = 8 * matrix.shape[0] * matrix.shape[1]
    return matrix if sparse_bytes <= dense_bytes else matrix.toarray()


def _as_orbits(matrix: sparse.csc_array) -> OrbitColumns | None:
    n, rank = matrix.shape
    if matrix.nnz > n or np.bincount(matrix.indices, minlength=n).max(initial=0) > 1:
        return None
    sizes = np.diff(matrix.indptr).astype(np.int64)
    if (sizes == 0).any():
        return None
    column = np.repeat(np.arange(rank), sizes)
    if not np.array_equal(np.abs(matrix.data), (1.0 / np.sqrt(sizes))[column]):
        return None
    labels = np.full(n, -1, dtype=label_type(rank))
    labels[matrix.indices] = column
    if (matrix.data > 0).all():
        return OrbitColumns(labels, sizes)
    signs = np.ones(n, dtype=np.int8)
    signs[matrix.indices] = np.sign(matrix.data)
    return OrbitColumns(labels, sizes, signs)


def in_order(columns: OrbitColumns) -> bool:
    """Whether columns are numbered by their first rows, none is empty, each positive there."""
    if (columns.sizes < 1).any():
        return False
    last = -1
    for rows in row_blocks(len(columns.labels), 1):
        reached = np.maximum(np.maximum.accumulate(columns.labels[rows]), last)
        steps = np.diff(reached, prepend=last)
        if ((steps != 0) & (steps != 1)).any():
            return False
        if columns.signs is not None and (columns.signs[rows][steps == 1] < 0).any():
            return False
        last = int(reached[-1])
    return last == len(columns.sizes) - 1


def count_labels(labels: np.ndarray, rank: int) -> np.ndarray:
    """How often each label from 0 to ``rank`` - 1 occurs, int64 (rank,); no other is counted."""
    counts = np.zeros(rank, dtype=np.int64)
    step = max(2**22, rank)  # rows at a time, as `numpy.bincount` copies them
    for start in range(0, len(labels), step):
        part = labels[start : start + step]
        if part.min() < 0 or part.max() >= rank:
            part = part[(part >= 0) & (part < rank)]
        counts += np.bincount(part, minlength=rank)
    return counts


def label_type(rank: int) -> type[np.signedinteger]:
    """The integers that hold ``rank`` labels and -1."""
    return np.int32 if rank < 2**31 else np.int64


def as_csc(matrix: Columns) -> sparse.csc_array:
    """The same matrix, sparse."""
    return matrix.tocsc() if isinstance(matrix, OrbitColumns) else sparse.csc_array(matrix)


def row_blocks(rows: int, width: int) -> Iterator[slice]:
    """Slices of ``rows`` rows of ``width`` entries each, of about a million entries."""
    step = max(1, math.ceil(_ROWS_AT_ONCE / max(1, width)))
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))
