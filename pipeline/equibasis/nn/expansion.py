"""Coefficients -> weights: a basis as a differentiable map from R^r to R^n."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from equibasis.basis import Basis
from equibasis.columns import OrbitColumns, as_csc
from equibasis.nn.buffers import ExactBuffers
from equibasis.nn.reuse import is_plain

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
    divisors
        What each of them is divided by then; for orbits alone.
    alike
        That whatever a coefficient is repeated as will have equal gradients, so that one of them
        tells of all.
    """

    rows: Tensor | None
    columns: Tensor | None
    members: Tensor | None
    collecting: Tensor | None
    factors: Tensor | None
    values: Tensor | None

    def __init__(
        self,
        basis: Basis,
        rows: np.ndarray | None = None,
        factors: np.ndarray | None = None,
        divisors: np.ndarray | None = None,
        alike: bool = False,
    ) -> None:
        super().__init__()
        n, self.rank = basis.columns.shape
        self.dimension = n if rows is None else len(rows)
        self.scale = math.sqrt(n / max(1, self.rank))
        every = slice(None) if rows is None else rows
        place = column = members = values = collecting = None
        if isinstance(basis.columns, OrbitColumns):
            column = basis.columns.labels[every]
            factors = row_factors(basis.columns, every, factors)
            if divisors is not None:
                factors = factors / divisors
            kept = column >= 0
            values = np.ones(self.rank)
            values[column[kept]] = factors[kept]
            column = np.where(kept, column, 0)  # rows that no orbit owns have the factor 0
            if self.rank and np.array_equal(factors, values[column]):  # one factor a coefficient
                factors = None
            else:
                values = np.ones(self.rank)
            if self.dimension >= _FEWEST_GATHERED:
                members, counts = _members(column, kept, self.rank, alike=alike)
                collecting = None if members is None else values * counts
            values = None if (values == 1).all() else values
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
        self.register_exact(
            "collecting", None if collecting is None or (collecting == 1).all() else collecting
        )
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
        tail = (1,) * (coefficients.ndim - 1)
        if self.kind == "sparse":
            assert self.rows is not None
            assert self.values is not None
            terms = coefficients.index_select(0, self.columns) * self.values.view(-1, *tail)
            zero = terms.new_zeros((self.dimension, *terms.shape[1:]))
            return zero.index_add(0, self.rows, terms)
        if self.rank == 0:
            return coefficients.sum(0).expand(self.dimension, *coefficients.shape[1:])
        if self.members is None or not is_plain(coefficients):
            vector = _scaled(coefficients, self.values).index_select(0, self.columns)
        else:
            vector = _Spread.apply(
                coefficients,
                self.columns,
                self.values,
                self.members,
                self.collecting,
                self.padded,
            )
        return _scaled(vector, self.factors)

    def extra_repr(self) -> str:
        """Sizes, for ``repr``."""
        return f"{self.rank} -> {self.dimension}"


def _column_factors(columns: OrbitColumns) -> np.ndarray:
    """√(n/r) / √size, which is exactly 1 where all orbits have one size."""
    n, rank = columns.shape
    return np.sqrt(n / (max(1, rank) * columns.sizes))


def row_factors(
    columns: OrbitColumns, rows: np.ndarray | slice, factors: np.ndarray | None
) -> np.ndarray:
    """√(n/r) times the entry of each of some rows of B, and times factors: float64."""
    scaled = np.append(_column_factors(columns), 0.0)
    found: np.ndarray = scaled[columns.labels[rows]]
    for factor in (factors, None if columns.signs is None else columns.signs[rows]):
        if factor is not None:
            found = found * factor
    return found


def _scaled(x: Tensor, factors: Tensor | None) -> Tensor:
    """Each row of x times its factor."""
    return x if factors is None else x * factors.view(-1, *[1] * (x.ndim - 1)).to(x.dtype)


class _Spread(torch.autograd.Function):
    """v = (values · c)[columns], whose gradient is one gather too, not one scatter."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        coefficients: Tensor,
        columns: Tensor,
        values: Tensor | None,
        members: Tensor,
        collecting: Tensor | None,
        padded: bool,
    ) -> Tensor:
        return _scaled(coefficients, values).index_select(0, columns)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        *tensors, ctx.padded = inputs[1:]
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        collected = _Collect.apply(gradient, *ctx.saved_tensors, ctx.padded)
        return collected, None, None, None, None, None


class _Collect(torch.autograd.Function):
    """c_j = collecting_j · Σ v over the members of column j, (size, r); adjoint to `_Spread`."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        vector: Tensor,
        columns: Tensor,
        values: Tensor | None,
        members: Tensor,
        collecting: Tensor | None,
        padded: bool,
    ) -> Tensor:
        size, rank = members.shape
        if padded:
            vector = torch.cat([vector, vector.new_zeros(1, *vector.shape[1:])])
        gathered = vector.index_select(0, members.view(-1))
        sums = gathered if size == 1 else gathered.view(size, rank, *vector.shape[1:]).sum(0)
        return _scaled(sums, collecting)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        *tensors, ctx.padded = inputs[1:]
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        spread = _Spread.apply(gradient, *ctx.saved_tensors, ctx.padded)
        return spread, None, None, None, None, None


def _members(
    columns: np.ndarray, kept: np.ndarray, rank: int, *, alike: bool
) -> tuple[np.ndarray | None, np.ndarray]:
    """The rows of each column, (largest size, r), padded with n; and how many each stands for.

    ``None`` where that is too long. Rows that are not kept are left out.
    """
    n = len(columns)
    rows = np.flatnonzero(kept)
    sizes = np.bincount(columns[rows], minlength=rank)
    longest = int(sizes.max(initial=0))
    order = rows[np.argsort(columns[rows], kind="stable")]
    starts = np.cumsum(sizes) - sizes
    if alike and (sizes > 0).all():
        return order[starts][None], sizes
    ones = np.ones(rank)
    if rank == 0 or longest * rank > _MOST_PADDING * n:
        return None, ones
    if (sizes == longest).all():
        return order.reshape(rank, longest).T, ones
    members = np.full((longest, rank), n)
    members[np.arange(len(rows)) - np.repeat(starts, sizes), columns[order]] = order
    return members, ones


def _index(array: np.ndarray | None) -> np.ndarray | None:
    """Indices as torch takes them fastest: int32."""
    return None if array is None else array.astype(np.int32)
