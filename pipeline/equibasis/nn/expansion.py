"""Coefficients -> weights: a basis as a differentiable map from R^r to R^n."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from equibasis.linalg.columns import OrbitColumns, as_csc
from equibasis.nn.buffers import ExactBuffers
from equibasis.nn.reuse import is_plain
from equibasis.solvers.basis import Basis

# From this many entries on, gradients are collected by a gather, which is then the faster way.
_FEWEST_GATHERED = 2**15

# Where orbits differ in size, their members are padded to the longest, up to this many times n.
_MOST_PADDING = 2


class BasisExpansion(ExactBuffers):
    """v = √(n/r) B c for an orthonormal basis B of shape (n, r).

    The factor makes an entry of v as large as a coefficient, so that a step of an optimizer moves
    a weight as far as it would in a plain layer: without it, sharing a weight among n/r places
    slows Adam by √(n/r). For orbits of one size, v is just c repeated over each orbit.

    Orbits are expanded by one gather, and gradients collected by another; other bases by one
    sparse or dense matrix-vector product. The r basis matrices are never stacked.

    Parameters
    ----------
    basis
        Whose matrix is B.
    rows
        Which rows of B to expand, integers; all by default.
    factors
        What each of them is multiplied by.
    """

    rows: Tensor | None
    columns: Tensor | None
    members: Tensor | None
    factors: Tensor | None
    values: Tensor | None

    def __init__(
        self, basis: Basis, rows: np.ndarray | None = None, factors: np.ndarray | None = None
    ) -> None:
        super().__init__()
        n, self.rank = basis.columns.shape
        self.dimension = n if rows is None else len(rows)
        self.scale = math.sqrt(n / max(1, self.rank))
        every = slice(None) if rows is None else rows
        place = column = members = values = None
        if isinstance(basis.columns, OrbitColumns):
            column = basis.columns.labels[every]
            column, factors, values = _one_factor_a_column(
                column, row_factors(basis.columns, every, factors), self.rank
            )
            if self.dimension >= _FEWEST_GATHERED:
                kept = None if factors is None else factors != 0
                members = _members(column, kept, self.rank)
        elif isinstance(basis.columns, np.ndarray):
            values = self.scale * basis.columns[every]
            values, factors = (values if factors is None else values * factors[:, None]), None
        else:
            entries = as_csc(basis.columns).tocsr()[every].tocoo()
            place, column, values = entries.row, entries.col, self.scale * entries.data
            values, factors = (values if factors is None else values * factors[place]), None
        self.kind = "dense" if column is None else "orbits" if place is None else "sparse"
        self.padded = members is not None and bool((members == self.dimension).any())
        # Most bases are just that; torch is slow to say that a buffer is None.
        self.just_gathers = self.kind == "orbits" and self.rank > 0 and factors is None
        self.just_gathers = self.just_gathers and values is None and members is None
        self.register_exact("rows", _index(place))
        self.register_exact("columns", _index(column))
        self.register_exact("members", _index(members))
        self.register_exact("factors", factors)
        self.register_exact("values", values)

    def forward(self, coefficients: Tensor) -> Tensor:
        """(r,) or (r, c) coefficients -> (n,) or (n, c) vectors."""
        if self.just_gathers:
            buffers: dict[str, Any] = self._buffers
            return coefficients.index_select(0, buffers["columns"])
        if self.kind == "dense":
            assert self.values is not None
            return self.values @ coefficients
        assert self.columns is not None
        if self.kind == "sparse":
            assert self.rows is not None
            terms = _scaled(coefficients.index_select(0, self.columns), self.values)
            zero = terms.new_zeros((self.dimension, *terms.shape[1:]))
            return zero.index_add(0, self.rows, terms)
        if self.rank == 0:
            return coefficients.sum(0).expand(self.dimension, *coefficients.shape[1:])
        of_columns = _scaled(coefficients, self.values)
        if self.members is None or not is_plain(coefficients):
            vector = of_columns.index_select(0, self.columns)
        else:
            vector = _Adjoint.apply(of_columns, self.spread, self.collect)
        return _scaled(vector, self.factors)

    def spread(self, coefficients: Tensor) -> Tensor:
        """c[columns]."""
        assert self.columns is not None
        return coefficients.index_select(0, self.columns)

    def collect(self, vector: Tensor) -> Tensor:
        """The adjoint of `spread`: the sum over the members of each column."""
        assert self.members is not None
        size, rank = self.members.shape
        tail = vector.shape[1:]
        if self.padded:
            vector = torch.cat([vector, vector.new_zeros(1, *tail)])
        gathered = vector.index_select(0, self.members.view(-1))
        return gathered if size == 1 else gathered.view(size, rank, *tail).sum(0)

    def adjoint(self, vector: Tensor) -> Tensor:
        """The transpose of `forward`: (n,) or (n, c) vectors -> (r,) or (r, c) coefficients."""
        if self.kind == "dense":
            assert self.values is not None
            return self.values.t() @ vector
        assert self.columns is not None
        zero = vector.new_zeros((self.rank, *vector.shape[1:]))
        if self.rank == 0:
            return zero
        if self.kind == "sparse":
            assert self.rows is not None
            terms = _scaled(vector.index_select(0, self.rows), self.values)
            return zero.index_add(0, self.columns, terms)
        vector = _scaled(vector, self.factors)
        sums = (
            zero.index_add(0, self.columns, vector)
            if self.members is None
            else self.collect(vector)
        )
        return _scaled(sums, self.values)

    def extra_repr(self) -> str:
        """Sizes, for ``repr``."""
        return f"{self.rank} -> {self.dimension}"


class _Adjoint(torch.autograd.Function):
    """y = f(x) for a linear f whose adjoint is at hand, each a function of plain tensors."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, function: Any, adjoint: Any) -> Tensor:
        """``function(x)``."""
        ctx.function, ctx.adjoint = function, adjoint
        y: Tensor = function(x)
        return y

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


def row_factors(
    columns: OrbitColumns, rows: np.ndarray | slice, factors: np.ndarray | None
) -> np.ndarray:
    """√(n/r) times the entry of each of some rows of B, and times factors: float64."""
    n, rank = columns.shape
    # √(n/r) / √size, which is exactly 1 where all orbits have one size.
    of_columns = np.append(np.sqrt(n / (max(1, rank) * columns.sizes)), 0.0)
    found: np.ndarray = of_columns[columns.labels[rows]]
    for factor in (factors, None if columns.signs is None else columns.signs[rows]):
        if factor is not None:
            found = found * factor
    return found


def _one_factor_a_column(
    columns: np.ndarray, factors: np.ndarray, rank: int
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Columns and factors of rows, and factors of columns instead where those tell all.

    Rows of no column, -1, take column 0 with the factor 0; factors that are all 1 are ``None``.
    """
    kept = columns >= 0
    columns = np.where(kept, columns, 0)
    factors = snapped(factors)
    if (factors == 1).all():
        return columns, None, None
    values = np.ones(rank)
    values[columns[kept]] = factors[kept]
    if kept.all() and np.allclose(factors, values[columns], rtol=1e-13, atol=0):
        return columns, None, values
    return columns, factors, None


def snapped(factors: np.ndarray) -> np.ndarray:
    """The same with what rounding has moved from 1 exactly 1, so that it costs nothing."""
    return np.where(np.abs(factors - 1) < 1e-12, 1.0, factors)


def _scaled(x: Tensor, factors: Tensor | None) -> Tensor:
    """Each row of x times its factor."""
    return x if factors is None else x * factors.view(-1, *[1] * (x.ndim - 1)).to(x.dtype)


def _members(columns: np.ndarray, kept: np.ndarray | None, rank: int) -> np.ndarray | None:
    """The rows of each column, (largest size, r), padded with n; ``None`` where that is too long.

    Rows that are not kept are left out.
    """
    n = len(columns)
    rows = np.arange(n) if kept is None else np.flatnonzero(kept)
    sizes = np.bincount(columns[rows], minlength=rank)
    longest = int(sizes.max(initial=0))
    if rank == 0 or longest * rank > _MOST_PADDING * n:
        return None
    order = rows[np.argsort(columns[rows], kind="stable")]
    if (sizes == longest).all():
        return order.reshape(rank, longest).T
    starts = np.cumsum(sizes) - sizes
    members = np.full((longest, rank), n)
    members[np.arange(len(rows)) - np.repeat(starts, sizes), columns[order]] = order
    return members


def _index(array: np.ndarray | None) -> np.ndarray | None:
    """Indices as torch takes them fastest: short where they are many."""
    if array is None:
        return None
    return array.astype(np.int64 if array.size < _FEWEST_GATHERED else np.int32)
