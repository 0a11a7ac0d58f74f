"""Coefficients -> weights: a basis as a differentiable map from R^r to R^n."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from equibasis.errors import ModelError
from equibasis.linalg.memory import refuse_beyond_memory
from equibasis.nn.buffers import ExactBuffers
from equibasis.solvers.basis import Basis
from equibasis.solvers.tables import matrix_of

# From this many entries on, indices are short integers: torch takes others sooner.
_FEWEST_SHORT = 2**15

# A sum of so many terms as an orbit has members would stand still in these.
_SHORT = (torch.float16, torch.bfloat16)


class BasisExpansion(ExactBuffers):
    """v = Σ cⱼ sⱼ Bⱼ, the columns of B scaled so that their non-zero entries have mean square 1.

    So a coefficient is the weight that it is shared as: for orbits, v is c repeated over each
    orbit, signs apart. A step of an optimizer then moves a weight as far as it would in a plain
    layer.

    Orbits are expanded by one gather, whose gradient adds up over each orbit; others block by
    block, by a product with the table of each pair of types. The r basis matrices are never
    stacked.

    Parameters
    ----------
    basis
        Of rank r, of vectors or maps of n entries.
    """

    columns: Tensor
    factors: Tensor | None

    def __init__(self, basis: Basis) -> None:
        super().__init__()
        self.dimension, self.rank = basis.space.dimension, basis.rank
        self.tables: list[tuple[int, int, int, int]] = []  # start, length and shape of coefficients
        if basis.of_orbits:
            column, factors = _labels_and_factors(*basis.columns)
        else:
            column, factors = self._by_tables(basis)
        self.register_exact("columns", _index(column))
        self.register_exact("factors", factors)
        # Most bases are just that; torch is slow to say that a buffer is None.
        self.just_gathers = not self.tables and factors is None

    def _by_tables(self, basis: Basis) -> tuple[np.ndarray, np.ndarray | None]:
        """Keep the tables; where each entry is among their products, and its sign."""
        k, m = basis.space.k, basis.space.m
        refuse_beyond_memory(16.0 * k * m, f"the weight of {basis!r}", ModelError)
        place, sign = np.empty((k, m), dtype=np.int64), np.ones((k, m))
        start = 0
        for number, block in enumerate(basis.blocks):
            table = matrix_of(block.table, block.space).toarray() * np.sqrt(block.table.sizes)
            self.register_exact(f"table{number}", table.T)
            self.tables.append((block.start, block.rank, block.copies, block.table.rank))
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
        if self.just_gathers and coefficients.dtype not in _SHORT:
            buffers: dict[str, Any] = self._buffers
            return coefficients.index_select(0, buffers["columns"])
        if self.tables:
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
        """Each entry from where it is; gradients add up in single precision at least."""
        if self.rank == 0:
            return numbers.sum(0).expand(len(self.columns))
        if numbers.dtype in _SHORT:
            return numbers.float().index_select(0, self.columns).to(numbers.dtype)
        return numbers.index_select(0, self.columns)

    def extra_repr(self) -> str:
        """Sizes, for ``repr``."""
        return f"{self.rank} -> {self.dimension}"


def _labels_and_factors(
    labels: np.ndarray, signs: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the column of each row, and ±1 or 0 where there is none; ``None`` where all are 1."""
    if labels.min() >= 0 and signs.min() > 0:
        return labels, None
    return np.maximum(labels, 0), np.where(labels < 0, 0, signs).astype(np.float64)


def _index(array: np.ndarray) -> np.ndarray:
    """Store indices as torch takes them fastest: short where they are many."""
    return array.astype(np.int64 if array.size < _FEWEST_SHORT else np.int32)
