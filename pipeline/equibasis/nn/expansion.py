"""Coefficients -> weights: a basis as a differentiable map from R^r to R^n."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from equibasis.linalg.columns import OrbitColumns
from equibasis.nn.buffers import ExactBuffers
from equibasis.nn.tracing import is_plain
from equibasis.solvers.basis import Basis

# From this many entries on, gradients are collected by a gather, which is then the faster way.
_FEWEST_GATHERED = 2**15

# Where orbits differ in size, their members are padded to the longest, up to this many times n.
_MOST_PADDING = 2


class BasisExpansion(ExactBuffers):
    """v = Σ cⱼ sⱼ Bⱼ, the columns of B scaled so that their non-zero entries have mean square 1.

    So a coefficient is the weight that it is shared as: for orbits, v is c repeated over each
    orbit, signs apart. A step of an optimizer then moves a weight as far as it would in a plain
    layer.

    Orbits are expanded by one gather, and gradients collected by another; other bases by one
    sparse matrix-vector product. The r basis matrices are never stacked.

    Parameters
    ----------
    basis
        Of rank r, of vectors or maps of n entries.
    """

    columns: Tensor
    rows: Tensor | None
    members: Tensor | None
    factors: Tensor | None

    def __init__(self, basis: Basis) -> None:
        super().__init__()
        self.dimension, self.rank = basis.space.dimension, basis.rank
        columns, rows, members = basis.columns, None, None
        if isinstance(columns, OrbitColumns):
            column, factors = _labels_and_factors(columns)
            if self.dimension >= _FEWEST_GATHERED:
                members = _members(columns.labels, self.rank)
        else:
            entries = columns.tocsr().tocoo()
            rows, column = entries.row, entries.col
            factors = entries.data * np.sqrt(np.diff(columns.indptr))[column]
        self.padded = members is not None and bool((members == self.dimension).any())
        self.register_exact("columns", _index(column))
        self.register_exact("rows", None if rows is None else _index(rows))
        self.register_exact("members", None if members is None else _index(members))
        self.register_exact("factors", factors)
        # Most bases are just that; torch is slow to say that a buffer is None.
        self.just_gathers = rows is None and factors is None and members is None

    def forward(self, coefficients: Tensor) -> Tensor:
        """(r,) coefficients -> (n,) vectors."""
        if self.just_gathers:
            buffers: dict[str, Any] = self._buffers
            return coefficients.index_select(0, buffers["columns"])
        if self.members is not None and is_plain(coefficients):
            vector: Tensor = _Adjoint.apply(coefficients, self._spread, self._collect)
        else:
            vector = self._spread(coefficients)
        if self.factors is not None:
            vector = vector * self.cast("factors", vector)
        if self.rows is None:
            return vector
        return vector.new_zeros(self.dimension).index_add(0, self.rows, vector)

    def _spread(self, coefficients: Tensor) -> Tensor:
        """c[columns]."""
        if self.rank == 0:
            return coefficients.sum(0).expand(len(self.columns))
        return coefficients.index_select(0, self.columns)

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


class _Adjoint(torch.autograd.Function):
    """y = f(x) for a linear f whose adjoint is at hand, each a function of plain tensors."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, function: Callable[..., Tensor], adjoint: Any) -> Tensor:
        """``function(x)``."""
        ctx.function, ctx.adjoint = function, adjoint
        return function(x)

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: None) -> Tensor:
        """``function(tangent)``, as it is linear."""
        moved: Tensor = ctx.function(tangent)
        return moved

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        """``adjoint(gradient)``."""
        found: Tensor = _Adjoint.apply(gradient, ctx.adjoint, ctx.function)
        return found, None, None


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
