"""Coefficients -> the entries of W that its blocks are made of, at large sizes.

There each coefficient comes once, or in lifted regular orbits a few times over with equal
gradients, so that both directions are gathers; and they are bound by memory, so that all cores
take part and nothing is read that could be known.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from equibasis.nn.buffers import ExactBuffers

# Rows that single gathers are cut into, for as many cores.
_ROWS = 16


class OrbitSamples(ExactBuffers):
    """e[b, l, a] = factors[b, l, a] · c[labels[b, l, a]].

    Parameters
    ----------
    labels
        (orbits of Y, r, orbits of X), each coefficient at least once.
    factors
        Of the same shape.
    rank
        How many coefficients there are.
    """

    index: Tensor
    places: Tensor

    def __init__(self, labels: np.ndarray, factors: np.ndarray, rank: int) -> None:
        super().__init__()
        self.shape = torch.Size(labels.shape)
        self.rank = rank
        _, first, numbers, counts = np.unique(
            labels, return_index=True, return_inverse=True, return_counts=True
        )
        count, _, width = labels.shape
        row, sample, column = np.unravel_index(first, labels.shape)
        offsets = _offsets(labels, rank)
        if offsets is None:
            self.register_exact("index", _in_rows(labels.ravel()))
            self.register_exact("places", _in_rows((sample * count + row) * width + column))
        else:  # places are then those of the first row
            own = np.argsort(offsets)
            self.register_exact("index", offsets)
            self.register_exact("places", own // width * count * width + own % width)
        copies = counts[numbers].reshape(labels.shape)
        # Lifted orbits come last; theirs alone are the factors and the copies.
        plain = (factors == 1) & (copies == 1)
        self.column = _run(plain[0].all(axis=0))
        self.row = _run(plain[:, :, : self.column].all(axis=(1, 2)))
        for name, array in (("factors", factors), ("weights", factors * copies)):
            columns, rows = array[: self.row, :, self.column :], array[self.row :]
            if columns.size and (columns == columns[:1]).all():
                columns = columns[:1]
            self.register_exact(f"{name}_of_columns", None if (columns == 1).all() else columns)
            self.register_exact(f"{name}_of_rows", None if (rows == 1).all() else rows)

    def spread(self, coefficients: Tensor) -> Tensor:
        """(r,) coefficients -> the entries of W."""
        entries = _taken(coefficients, self.index, self.shape[0], self.shape.numel())
        return self._scaled(entries.view(self.shape), "factors")

    def collect(self, gradient: Tensor) -> Tensor:
        """The adjoint, from (r, orbits of Y, orbits of X), which it changes.

        Gradients are to be alike wherever a coefficient is repeated.
        """
        count, r, width = self.shape
        self._scaled(gradient.transpose(0, 1), "weights")
        rows = gradient.as_strided((count, (r - 1) * count * width + width), (width, 1))
        if self.places.ndim == 1:
            return rows.gather(1, self.places.expand(count, -1)).view(-1)
        return _taken(gradient.view(-1), self.places, count, self.rank)

    def _scaled(self, entries: Tensor, name: str) -> Tensor:
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


def _run(whole: np.ndarray) -> int:
    """How many are true before the first that is not."""
    return len(whole) if whole.all() else int(np.argmin(whole))


def _taken(x: Tensor, index: Tensor, rows: int, count: int) -> Tensor:
    """The first ``count`` of x[index], for an index in rows, or one for each row of x.

    A gather on all cores, which other ways to take entries are not.
    """
    if index.ndim == 1:
        return x.view(rows, -1).gather(1, index.expand(rows, -1)).view(-1)
    return x.expand(len(index), -1).gather(1, index).view(-1)[:count]


def _in_rows(flat: np.ndarray) -> np.ndarray:
    """Indices in rows of one length, the last one padded with zeros: int64."""
    padded = np.append(flat, np.zeros(-len(flat) % _ROWS, np.int64))
    return padded.astype(np.int64).reshape(_ROWS, -1)
