"""Coefficients -> weights: a basis as a differentiable map from R^r to R^n."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from equibasis.errors import ModelError
from equibasis.linalg.columns import OrbitColumns
from equibasis.linalg.memory import refuse_beyond_memory
from equibasis.nn.buffers import ExactBuffers
from equibasis.nn.tracing import with_adjoint
from equibasis.solvers.basis import Basis
from equibasis.solvers.tables import matrix_of

# From this many entries on, gradients are collected by a gather, which is then the faster way.
_FEWEST_GATHERED = 2**15

# Where orbits differ in size, their members are padded to the longest, up to this many times n.
_MOST_PADDING = 2


class BasisExpansion(ExactBuffers):
    """v = Σ cⱼ sⱼ Bⱼ, the columns of B scaled so that their non-zero entries have mean square 1.

    So a coefficient is the weight that it is shared as: for orbits, v is c repeated over each
    orbit, signs apart. A step of an optimizer then moves a weight as far as it would in a plain
    layer.

    Orbits are expanded by one gather, and gradients collected by another; others block by block,
    by a product with the table of each pair of types. The r basis matrices are never stacked.

    Parameters
    ----------
    basis
        Of rank r, of vectors or maps of n entries.
    """

    columns: Tensor
    members: Tensor | None
    factors: Tensor | None

    def __init__(self, basis: Basis) -> None:
        super().__init__()
        self.dimension, self.rank = basis.space.dimension, basis.rank
        factors = members = None
        self.tables: list[tuple[int, int, int, int]] = []  # start, length and shape of coefficients
        if basis.of_orbits:
            columns = basis.columns
            assert isinstance(columns, OrbitColumns)
            column, factors = _labels_and_factors(columns)
            if self.dimension >= _FEWEST_GATHERED:
                members = _members(columns.labels, self.rank)
        else:
            column, factors = self._by_tables(basis)
        self.padded = members is not None and bool((members == self.dimension).any())
        self.register_exact("columns", _index(column))
        self.register_exact("members", None if members is None else _index(members))
        self.register_exact("factors", factors)
        # Most bases are just that; torch is slow to say that a buffer is None.
        self.just_gathers = not self.tables and factors is None and members is None

    def _by_tables(self, basis: Basis) -> tuple[np.ndarray, np.ndarray | None]:
        """Keep the tables; where each entry is among their products, and its sign."""
        k, m = basis.space.k, basis.space.m
        refuse_beyond_memory(16.0 * k * m, f"the weight of {basis!r}", ModelError)
        place, sign = np.empty((k, m), dtype=np.int64), np.ones((k, m))
        start = 0
        for number, block in enumerate(basis.blocks):
            table = matrix_of(block.table, block.space).toarray() * np.sqrt(block.table.sizes)
            self.register_exact(f"table{number}", table.T)
            copies = block.output.multiplicity * block.input.multiplicity
            self.tables.append((block.start, block.rank, copies, block.table.rank))
            output, input_ = block.output, block.input
            shape = output.multiplicity, input_.multiplicity, output.dimension, input_.dimension
            numbers = start + np.arange(math.prod(shape)).reshape(shape).transpose(2, 0, 3, 1)
            where = output.index[:, :, None, None], input_.index
            place[where] = numbers
            for summand, signs in ((output, np.s_[:, :, None, None]), (input_, np.s_[:])):
                if summand.signs is not None:
                    sign[where] *= summand.signs[signs]
            start += math.prod(shape)
        return place.ravel(), None if (sign > 0).all() else sign.ravel()

    def forward(self, coefficients: Tensor) -> Tensor:
        """(r,) coefficients -> (n,) vectors."""
        if self.just_gathers:
            buffers: dict[str, Any] = self._buffers
            return coefficients.index_select(0, buffers["columns"])
        if self.members is not None:
            vector = with_adjoint(coefficients, self._spread, self._collect)
        elif self.tables:
            products = [
                coefficients.narrow(0, start, length).view(copies, rank)
                @ self.cast(f"table{number}", coefficients)
                for number, (start, length, copies, rank) in enumerate(self.tables)
            ]
            vector = self._spread(torch.cat([each.flatten() for each in products]))
        else:
            vector = self._spread(coefficients)
        return vector if self.factors is None else vector * self.cast("factors", vector)

    def _spread(self, numbers: Tensor) -> Tensor:
        """Each entry from where it is."""
        if self.rank == 0:
            return numbers.sum(0).expand(len(self.columns))
        return numbers.index_select(0, self.columns)

    def _collect(self, vector: Tensor) -> Tensor:
        """The adjoint of `_spread`: the sum over the members of each column."""
        assert self.members is not None
        size, rank = self.members.shape
        if self.padded:
            vector = torch.cat([vector, vector.new_zeros(1)])
        gathered = vector.index_select(0, self.members.view(-1))
        return gathered if size == 1 else gathered.view(size, rank).sum(0)

    def extra_repr(self) -> str:
        """Sizes, for ``repr``."""
        return f"{self.rank} -> {self.dimension}"


def _labels_and_factors(columns: OrbitColumns) -> tuple[np.ndarray, np.ndarray | None]:
    """The column of each row, and ±1 or 0 where there is none; ``None`` where all are 1."""
    kept = columns.labels >= 0
    if kept.all() and columns.signs is None:
        return columns.labels, None
    factors = kept.astype(np.float64)
    if columns.signs is not None:
        factors *= columns.signs
    return np.where(kept, columns.labels, 0), factors


def _members(labels: np.ndarray, rank: int) -> np.ndarray | None:
    """The rows of each column, (largest size, r), padded with n; ``None`` where too long."""
    n, rows = len(labels), np.flatnonzero(labels >= 0)
    sizes = np.bincount(labels[rows], minlength=rank)
    longest = int(sizes.max(initial=0))
    if rank == 0 or longest * rank > _MOST_PADDING * n:
        return None
    order = rows[np.argsort(labels[rows], kind="stable")]
    if (sizes == longest).all():
        return order.reshape(rank, longest).T
    starts = np.cumsum(sizes) - sizes
    members = np.full((longest, rank), n)
    members[np.arange(len(rows)) - np.repeat(starts, sizes), labels[order]] = order
    return members


def _index(array: np.ndarray) -> np.ndarray:
    """Indices as torch takes them fastest: short where they are many."""
    return array.astype(np.int64 if array.size < _FEWEST_GATHERED else np.int32)
