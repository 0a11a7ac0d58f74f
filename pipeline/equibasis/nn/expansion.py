"""Coefficients -> weights: a basis as a differentiable map from R^r to R^n."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from equibasis.basis import Basis
from equibasis.columns import OrbitColumns, as_csc


class BasisExpansion(nn.Module):
    """v = √(n/r) B c for an orthonormal basis B of shape (n, r).

    The factor makes an entry of v as large as a coefficient, so that a step of an optimizer moves
    a weight as far as it would in a plain layer: without it, sharing a weight among n/r places
    slows Adam by √(n/r). For orbits of one size, v is just c repeated over each orbit.

    Orbits are expanded by one gather, other bases by one sparse or dense matrix-vector product.
    The r basis matrices are never stacked. The buffers come from the basis, so they are not part
    of ``state_dict``; they are exact in whatever dtype the module is moved to.

    Parameters
    ----------
    basis
        Whose matrix is B.
    """

    rows: Tensor | None
    columns: Tensor | None
    signs: Tensor | None
    values: Tensor

    def __init__(self, basis: Basis) -> None:
        super().__init__()
        self.dimension, self.rank = basis.columns.shape
        self.scale = math.sqrt(self.dimension / max(1, self.rank))
        rows = columns = signs = None
        if isinstance(basis.columns, OrbitColumns):
            # One value a column, and a last one, zero, for the rows that no orbit owns.
            values = np.append(1.0 / np.sqrt(basis.columns.sizes), 0.0)
            columns, signs = basis.columns.labels, basis.columns.signs
            if (columns < 0).any():
                columns = np.where(columns < 0, self.rank, columns)
        elif isinstance(basis.columns, np.ndarray):
            values = basis.columns
        else:
            entries = as_csc(basis.columns).tocsr().tocoo()
            rows, columns, values = entries.row, entries.col, entries.data
        self._exact = torch.from_numpy(self.scale * values)
        self.register_buffer("rows", _index(rows), persistent=False)
        self.register_buffer("columns", _index(columns), persistent=False)
        for name, array in (("signs", signs), ("values", self._exact.numpy())):
            number = None if array is None else torch.from_numpy(array)
            self.register_buffer(
                name,
                None if number is None else number.to(torch.get_default_dtype()),
                persistent=False,
            )

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        """Move the module, then take the values anew, so that no digit is lost on the way."""
        moved = super()._apply(fn, recurse)
        self.values = self._exact.to(self.values)
        return moved

    def forward(self, coefficients: Tensor) -> Tensor:
        """(r,) or (r, c) coefficients -> (n,) or (n, c) vectors."""
        tail = (1,) * (coefficients.ndim - 1)
        if self.columns is None:
            return self.values @ coefficients
        values = self.values.view(-1, *tail)
        if self.rows is None:
            padded = torch.cat([coefficients, coefficients.new_zeros(1, *coefficients.shape[1:])])
            vector = (padded * values).index_select(0, self.columns)
            return vector if self.signs is None else vector * self.signs.view(-1, *tail)
        terms = coefficients.index_select(0, self.columns) * values
        zero = terms.new_zeros((self.dimension, *terms.shape[1:]))
        return zero.index_add(0, self.rows, terms)

    def extra_repr(self) -> str:
        """Sizes, for ``repr``."""
        return f"{self.rank} -> {self.dimension}"


def _index(array: np.ndarray | None) -> Tensor | None:
    if array is None:
        return None
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.int32))
