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
from equibasis.nn.expansion import Adjoint

# Rows that single gathers are cut into, for as many cores.
_ROWS = 16


# Fewer entries than this are gathered as fast by `BasisExpansion`.
FEWEST_SAMPLES = 2**15


class OrbitSamples(ExactBuffers):
    """e[l, b, a] = factors[l, b, a] · c[labels[l, b, a]].

    Parameters
    ----------
    labels
        (r, orbits of Y, orbits of X), each coefficient at least once.
    factors
        Of the same shape; all but those of the last orbits are 1.
    rank
        How many coefficients there are.
    """

    labels: Tensor
    places: Tensor
    of_rows: Tensor | None
    of_columns: Tensor | None
    collecting: Tensor | None

    def __init__(self, labels: np.ndarray, factors: np.ndarray, rank: int) -> None:
        super().__init__()
        self.shape = torch.Size(labels.shape)
        self.rank = rank
        offsets = _offsets(labels, rank)
        self.width = rank // labels.shape[1]
        flat = labels.ravel()
        _, first, counts = np.unique(flat, return_index=True, return_counts=True)
        if offsets is None:
            self.register_exact("labels", _in_rows(flat))
            self.register_exact("places", _in_rows(first))
        else:
            self.register_exact("labels", offsets)
            self.register_exact("places", np.argsort(offsets.ravel())[None])
        self.regular = offsets is not None
        whole = (factors == 1).all(axis=0)
        self.last_column = _run(whole[0])
        self.last_row = _run(whole[:, : self.last_column].all(axis=1))
        rows, columns = factors[:, self.last_row :], factors[:, : self.last_row, self.last_column :]
        self.register_exact("of_rows", rows if rows.size else None)
        self.register_exact("of_columns", columns if columns.size else None)
        weights = counts * factors.ravel()[first]
        self.register_exact("collecting", None if (weights == 1).all() else weights)

    def forward(self, coefficients: Tensor) -> Tensor:
        """(r,) coefficients -> the entries, flat."""
        entries: Tensor = Adjoint.apply(coefficients, self.spread, self.collect)
        return entries

    def spread(self, coefficients: Tensor) -> Tensor:
        """The entries of W."""
        if self.regular:  # entry (l, b, a) is number offsets[l, a] of row b
            rows = coefficients.reshape(-1, self.width)
            entries = coefficients.new_empty(self.shape)
            for into, offsets in zip(entries, self.labels, strict=True):
                torch.gather(rows, 1, offsets.expand(len(rows), -1), out=into)
        else:
            entries = _taken(coefficients, self.labels, self.shape.numel()).view(self.shape)
        if self.of_columns is not None:
            part = entries[:, : self.last_row, self.last_column :]
            part *= self.of_columns.to(part.dtype)
        if self.of_rows is not None:
            part = entries[:, self.last_row :]
            part *= self.of_rows.to(part.dtype)
        return entries.view(-1)

    def collect(self, gradient: Tensor) -> Tensor:
        """The adjoint on gradients that are alike wherever a coefficient is repeated."""
        if self.regular:
            by_row = gradient.view(self.shape).transpose(0, 1).reshape(self.shape[1], -1)
            collected = by_row.gather(1, self.places.expand(len(by_row), -1)).view(-1)
        else:
            collected = _taken(gradient, self.places, self.rank)
        if self.collecting is not None:
            collected *= self.collecting.to(collected.dtype)
        return collected


def _offsets(labels: np.ndarray, rank: int) -> np.ndarray | None:
    """What is to be added to b · (r / orbits of Y), where that gives every label: (r, orbits of X).

    So it is where every orbit of Y is regular: its coefficients are a row of W.
    """
    outputs = labels.shape[1]
    if rank != labels.size or rank % outputs:
        return None
    rows = np.arange(outputs)[:, None] * (rank // outputs)
    offsets = labels[:, 0] - rows[0]
    if (labels != offsets[:, None] + rows).any():
        return None
    return offsets.astype(np.int64)


def _run(whole: np.ndarray) -> int:
    """How many are true before the first that is not."""
    return len(whole) if whole.all() else int(np.argmin(whole))


def _taken(x: Tensor, index: Tensor, count: int) -> Tensor:
    """The first ``count`` of x[index], for an index in rows: a gather on all cores."""
    return x.expand(len(index), -1).gather(1, index).view(-1)[:count]


def _in_rows(flat: np.ndarray) -> np.ndarray:
    """Indices in rows of one length, the last one padded with zeros: int64."""
    padded = np.append(flat, np.zeros(-len(flat) % _ROWS, np.int64))
    return padded.astype(np.int64).reshape(_ROWS, -1)
