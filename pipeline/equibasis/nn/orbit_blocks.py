"""Coefficients -> the matrices of one pair of kinds of orbits, at large sizes.

There each coefficient comes once, or in lifted regular orbits a few times over with equal
gradients, so that both directions are gathers. The coefficients of an orbit of Y, one for each
orbit of pairs that it is in, are a stretch of all. Orbits of equal stabilizers have stretches
alike, so that one short index tells for all of them where their numbers go.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from equibasis.nn.buffers import ExactBuffers
from equibasis.nn.gather import TOGETHER, Gather

# Stretches that are not in order are moved in blocks of at least so many coefficients, and where
# they have at least so many entries: else it is as fast to gather each coefficient on its own.
_SHORTEST_BLOCK, _FEWEST_MOVED = 8, 2**18

# Rows that an index of single coefficients is cut into: a gather is shared out among cores by rows.
_ROWS = 16


class OrbitBlocks(ExactBuffers):
    """U[s, b, a] = Σ M[s, l] e[b, l, a] for the entries e = factors · c[labels] of W.

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

    def __init__(
        self, labels: np.ndarray, factors: np.ndarray, rank: int, matrix: np.ndarray
    ) -> None:
        super().__init__()
        self.shape, self.rank = labels.shape, rank
        self.register_exact("matrix", matrix)
        stretches = _stretches(labels.reshape(len(labels), -1), rank)
        self.count = 0 if stretches is None else len(stretches.starts)
        made = None if stretches is None else _Alike(stretches, factors[: self.count], rank)
        self.register_module("alike", made)
        some = self.count < len(labels)
        others = _Others(labels[self.count :], factors[self.count :]) if some else None
        self.register_module("others", others)

    def weights(self, coefficients: Tensor) -> Tensor:
        """(rank,) coefficients -> U (matrices, orbits of Y, orbits of X), orbits of Y outermost."""
        matrix = self.cast("matrix", coefficients)
        alike, others = self._runs()
        if alike is None or others is None:
            entries = (alike or others).entries(coefficients)
            return _transformed(matrix, entries).transpose(0, 1)
        u = coefficients.new_empty(self.shape[0], matrix.shape[0], self.shape[2])
        _transformed(matrix, alike.entries(coefficients), out=u[: self.count])
        _transformed(matrix, others.entries(coefficients), out=u[self.count :])
        return u.transpose(0, 1)

    def gradient(self, u: Tensor) -> Tensor:
        """The adjoint, U -> (rank,), if gradients are alike wherever a coefficient is repeated."""
        matrix, by_orbits = self.cast("matrix", u).t(), u.transpose(0, 1)
        alike, others = self._runs()
        if alike is None:
            found: Tensor = others.coefficients(_transformed(matrix, by_orbits))
            return found[: self.rank]
        room = u.new_empty(alike.rows, *self.shape[1:])
        _transformed(matrix, by_orbits[: self.count], out=room[: self.count])
        rest = None
        if others is not None:
            rest = others.coefficients(_transformed(matrix, by_orbits[self.count :]))
        del u, by_orbits  # their memory serves for what is made next
        every: Tensor = alike.coefficients(room, rest)
        return every

    def _runs(self) -> tuple[Any, Any]:
        return self._modules["alike"], self._modules["others"]


def _transformed(matrix: Tensor, x: Tensor, out: Tensor | None = None) -> Tensor:
    """A matrix (p, q) times each of x (n, q, c)."""
    return torch.bmm(matrix.expand(x.shape[0], -1, -1), x, out=out)


class _Alike(ExactBuffers):
    """Coefficients <-> entries of the orbits of Y whose stretches are alike.

    Stretches are made the rows of a matrix, whose columns then go to their places.
    """

    blocks: Tensor
    home: Tensor

    def __init__(self, stretches: _Stretches, factors: np.ndarray, rank: int) -> None:
        super().__init__()
        pattern = stretches.pattern
        first, copies = _first_copies(pattern)
        self.count, self.rank, self.length = len(factors), rank, len(first)
        self.shape = factors.shape[1:]
        self.there = Gather((1, self.length), pattern)
        self.back = Gather((1, len(pattern)), first)
        self.factors = _Factors(factors)
        self.counted = _Factors(factors * copies.reshape(self.shape))
        self.moves = not stretches.in_order(rank)
        self.rows = self.count
        if not self.moves:
            return
        size = self.block = stretches.block
        blocks = stretches.starts[:, None] // size + np.arange(self.length // size)
        others = rank - blocks.size * size
        self.rows = _rounded(self.count + -(-(others + _ROWS) // self.length))
        padding = (_rounded(self.count) - self.count) * self.length // size
        home = np.full(-(-rank // size), -1)
        home[blocks.ravel()] = np.arange(blocks.size)
        home[home < 0] = blocks.size + np.arange((home < 0).sum())
        self.register_exact("blocks", np.append(blocks, np.zeros(padding, blocks.dtype)))
        self.register_exact("home", home)

    def entries(self, coefficients: Tensor) -> Tensor:
        """Factors · c[labels], (orbits of Y, r, orbits of X)."""
        rows = coefficients
        if self.moves:
            whole = coefficients[: self.rank - self.rank % self.block]
            rows = whole.view(-1, self.block).index_select(0, self.blocks)
        entries = self.there.forward(rows.view(-1, 1, self.length)).view(-1, *self.shape)
        return self.factors.times(entries[: self.count])

    def coefficients(self, room: Tensor, others: Tensor | None = None) -> Tensor:
        """The adjoint, (rank,), of entries in some more rows, with those of the other orbits.

        The entries are multiplied in place.
        """
        self.counted.times(room[: self.count])
        rows = self.back.forward(room.flatten(1).unsqueeze(1)).view(-1)
        if not self.moves:
            return rows
        if others is not None:
            rows.narrow(0, self.count * self.length, len(others)).copy_(others)
        return rows.view(-1, self.block).index_select(0, self.home).view(-1)[: self.rank]


class _Others(ExactBuffers):
    """Coefficients <-> entries of any orbits of Y, each by its own index."""

    index: Tensor
    places: Tensor

    def __init__(self, labels: np.ndarray, factors: np.ndarray) -> None:
        super().__init__()
        self.shape = labels.shape
        first, copies = _first_copies(labels)
        self.register_exact("index", labels.reshape(len(labels), -1).astype(np.int64))
        padded = np.append(first, np.zeros(-len(first) % _ROWS, first.dtype))
        self.register_exact("places", padded.reshape(_ROWS, -1))
        self.factors = _Factors(factors)
        self.counted = _Factors(factors * copies.reshape(labels.shape))

    def entries(self, coefficients: Tensor) -> Tensor:
        """Factors · c[labels], (orbits of Y, r, orbits of X)."""
        index = self.index
        entries = coefficients.expand(index.shape[0], -1).gather(1, index)
        return self.factors.times(entries.view(self.shape))

    def coefficients(self, entries: Tensor) -> Tensor:
        """The adjoint, for their own coefficients in order, and a few numbers more.

        The entries are multiplied in place.
        """
        flat = self.counted.times(entries).view(-1)
        return flat.expand(_ROWS, -1).gather(1, self.places).view(-1)


class _Factors(ExactBuffers):
    """Factors of entries (orbits of Y, r, orbits of X)."""

    def __init__(self, factors: np.ndarray) -> None:
        super().__init__()
        # Lifted orbits come last, and mostly theirs alone are other than 1: little is multiplied.
        plain = factors == 1
        self.column = _leading(plain[0].all(axis=0))
        self.row = _leading(plain[:, :, : self.column].all(axis=(1, 2)))
        self.register_exact("columns", _kept(factors[: self.row, :, self.column :]))
        self.register_exact("rows", _kept(factors[self.row :]))

    def times(self, entries: Tensor) -> Tensor:
        """Entries times the factors, in place."""
        columns, rows = self._buffers["columns"], self._buffers["rows"]
        if columns is not None:
            entries[: self.row, :, self.column :].mul_(columns)
        if rows is not None:
            entries[self.row :].mul_(rows)
        return entries


def _kept(factors: np.ndarray) -> np.ndarray | None:
    """Factors, once where they are alike for all orbits of Y; ``None`` where all are 1."""
    if (factors == 1).all():
        return None
    return factors[:1] if (factors == factors[:1]).all() else factors


# --- stretches ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Stretches:
    """Those of the first orbits of Y, which are alike.

    Attributes
    ----------
    starts
        The first coefficient of each.
    pattern
        What is added to it, flat: (r · orbits of X,).
    block
        A number of coefficients that divides all starts, and their length.
    """

    starts: np.ndarray
    pattern: np.ndarray
    block: int

    def in_order(self, rank: int) -> bool:
        """Whether they are all coefficients, one after the other."""
        return np.array_equal(self.starts, np.arange(0, rank, int(self.pattern.max()) + 1))


def _stretches(labels: np.ndarray, rank: int) -> _Stretches | None:
    """What labels (orbits of Y, ...) are alike; ``None`` where that is of no use."""
    starts = labels.min(axis=1)
    patterns = labels - starts[:, None]
    alike = _leading((patterns == patterns[0]).all(axis=1))
    starts, pattern = starts[:alike], patterns[0]
    length = int(pattern.max()) + 1
    every = np.append(starts[:, None] + np.arange(length), np.unique(labels[alike:]))
    if len(np.unique(pattern)) < length or not np.array_equal(np.sort(every), np.arange(rank)):
        return None  # orbits of Y share coefficients
    found = _Stretches(starts, pattern, math.gcd(length, *starts.tolist()))
    few = found.block < _SHORTEST_BLOCK or alike * len(pattern) < _FEWEST_MOVED
    return None if few and not found.in_order(rank) else found


def _first_copies(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each label is first, and for each entry how often its label occurs: both flat."""
    _, first, numbers, copies = np.unique(
        labels, return_index=True, return_inverse=True, return_counts=True
    )
    return first, copies[numbers].ravel()


def _leading(whole: np.ndarray) -> int:
    """How many are true before the first that is not."""
    return len(whole) if whole.all() else int(np.argmin(whole))


def _rounded(rows: int) -> int:
    """Rows that are gathered from at the least cost."""
    return rows + -rows % TOGETHER
