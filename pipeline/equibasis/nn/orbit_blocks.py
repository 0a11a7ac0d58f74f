"""Coefficients -> the matrices of one pair of kinds of orbits, at large sizes.

There each coefficient comes once, or in lifted regular orbits a few times over with equal
gradients, so that both directions are gathers; and they are bound by memory, so that all cores
take part and nothing is read that could be known.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from equibasis.nn.buffers import ExactBuffers

# Rows that a flat index is cut into: a gather is shared out among cores by rows.
_ROWS = 16


class OrbitBlocks(ExactBuffers):
    """U[s, b, a] = Σ M[s, l] e[b, l, a] for the entries e = factors · c[labels] of W.

    Where every orbit of Y is regular, its coefficients are one row of c, and all rows go to their
    places alike.

    Parameters
    ----------
    labels
        (orbits of Y, r, orbits of X), each coefficient at least once.
    factors
        Of the same shape.
    rank
        How many coefficients there are.
    matrix
        M, (matrices, r).
    """

    index: Tensor
    places: Tensor

    def __init__(
        self, labels: np.ndarray, factors: np.ndarray, rank: int, matrix: np.ndarray
    ) -> None:
        super().__init__()
        self.shape = labels.shape
        self.rank = rank
        offsets = _offsets(labels, rank)
        self.regular = offsets is not None
        _, first, numbers, counts = np.unique(
            labels, return_index=True, return_inverse=True, return_counts=True
        )
        if offsets is None:
            self.register_exact("index", labels.reshape(len(labels), -1).astype(np.int64))
            self.register_exact("places", _in_rows(first))
        else:
            self.register_exact("index", offsets[None])
            self.register_exact("places", np.argsort(offsets)[None])
        self.register_exact("matrix", matrix)
        # Lifted orbits come last; theirs alone are the factors other than 1, and the copies.
        copies = counts[numbers].reshape(labels.shape)
        plain = (factors == 1) & (copies == 1)
        self.column = _leading(plain[0].all(axis=0))
        self.row = _leading(plain[:, :, : self.column].all(axis=(1, 2)))
        for name, array in (("factors", factors), ("weights", factors * copies)):
            columns, rows = array[: self.row, :, self.column :], array[self.row :]
            if columns.size and (columns == columns[:1]).all():
                columns = columns[:1]
            self.register_exact(f"{name}_of_columns", None if (columns == 1).all() else columns)
            self.register_exact(f"{name}_of_rows", None if (rows == 1).all() else rows)

    def weights(self, coefficients: Tensor) -> Tensor:
        """(rank,) coefficients -> U (matrices, orbits of Y, orbits of X), orbits of Y outermost."""
        index, matrix = self.index, self.cast("matrix", coefficients)
        if self.regular:
            rows = coefficients.view(self.shape[0], -1)
            entries = rows.gather(1, index.expand(len(rows), -1))
        else:
            entries = coefficients.expand(len(index), -1).gather(1, index)
        by_samples = self._scaled(entries.view(self.shape), "factors")
        return torch.bmm(matrix.expand(len(entries), -1, -1), by_samples).transpose(0, 1)

    def gradient(self, u: Tensor) -> Tensor:
        """The adjoint, U -> (rank,), if gradients are alike wherever a coefficient is repeated."""
        places, matrix, count = self.places, self.cast("matrix", u).t(), self.shape[0]
        entries = torch.bmm(matrix.expand(count, -1, -1), u.transpose(0, 1))
        rows = self._scaled(entries, "weights").view(count, -1)
        if self.regular:
            return rows.gather(1, places.expand(count, -1)).view(-1)
        found = rows.view(-1).expand(len(places), -1).gather(1, places)
        return found.view(-1)[: self.rank]

    def _scaled(self, entries: Tensor, name: str) -> Tensor:
        """Entries times their factors, in place."""
        columns, rows = self._buffers[f"{name}_of_columns"], self._buffers[f"{name}_of_rows"]
        if columns is not None:
            entries[: self.row, :, self.column :].mul_(columns)
        if rows is not None:
            entries[self.row :].mul_(rows)
        return entries


def _offsets(labels: np.ndarray, rank: int) -> np.ndarray | None:
    """What is to be added to b · (r / orbits of Y), where that gives every label: flat.

    So it is where every orbit of Y is regular: its coefficients are a row of W.
    """
    count = len(labels)
    if rank != labels.size or rank % count:
        return None
    rows = np.arange(count)[:, None] * (rank // count)
    offsets = labels.reshape(count, -1) - rows
    return offsets[0].astype(np.int64) if (offsets == offsets[0]).all() else None


def _leading(whole: np.ndarray) -> int:
    """How many are true before the first that is not."""
    return len(whole) if whole.all() else int(np.argmin(whole))


def _in_rows(flat: np.ndarray) -> np.ndarray:
    """Indices in rows of one length, the last one padded with zeros: int64."""
    padded = np.append(flat, np.zeros(-len(flat) % _ROWS, np.int64))
    return padded.astype(np.int64).reshape(_ROWS, -1)
