"""Coefficients -> weights: a basis as a differentiable map from R^r to R^n."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from equibasis.basis import Basis


class BasisExpansion(nn.Module):
    """v = √(n/r) B c for an orthonormal basis B of shape (n, r).

    The factor makes an entry of v as large as a coefficient, so that a step of an optimizer moves
    a weight as far as it would in a plain layer: without it, sharing a weight among n/r places
    slows Adam by √(n/r). For orbits of one size, v is just c repeated over each orbit.

    Where each row of B holds at most one entry, as for orbits, this is one gather; else one
    sparse or dense matrix-vector product. The r basis matrices are never stacked.

    The buffers come from the basis, so they are not part of ``state_dict``.

    Parameters
    ----------
    basis
        Whose matrix is B.
    """

    def __init__(self, basis: Basis) -> None:
        super().__init__()
        self.rank = basis.rank
        self.dimension = int(basis.matrix.shape[0])
        self.scale = math.sqrt(self.dimension / max(1, self.rank))
        self.rows: Tensor | None
        self.columns: Tensor | None
        self.values: Tensor
        if isinstance(basis.matrix, np.ndarray):
            rows = columns = None
            values = basis.matrix
        else:
            entries = basis.matrix.tocsr().tocoo()
            rows, columns, values = entries.row, entries.col, entries.data
            if np.array_equal(rows, np.arange(self.dimension)):
                rows = None
        for name, array in (("rows", rows), ("columns", columns)):
            index = None if array is None else torch.from_numpy(array.astype(np.int64))
            self.register_buffer(name, index, persistent=False)
        self.register_buffer(
            "values",
            torch.from_numpy(self.scale * values).to(torch.get_default_dtype()),
            persistent=False,
        )

    def forward(self, coefficients: Tensor) -> Tensor:
        """(r,) or (r, c) coefficients -> (n,) or (n, c) vectors."""
        if self.columns is None:
            return self.values @ coefficients
        values = self.values if coefficients.ndim == 1 else self.values[:, None]
        terms = coefficients.index_select(0, self.columns) * values
        if self.rows is None:
            return terms
        zero = terms.new_zeros((self.dimension, *terms.shape[1:]))
        return zero.index_add(0, self.rows, terms)

    def extra_repr(self) -> str:
        """Sizes, for ``repr``."""
        return f"{self.rank} -> {self.dimension}"
