"""Coordinates of vectors taken by orbit type, and put back."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor
from torch.nn import functional

from equibasis.nn.buffers import ExactBuffers
from equibasis.nn.tracing import autocasts, is_plain
from equibasis.symmetry.summands import Summand

# Sums of up to so many rows are taken at once; a product of matrices is faster for longer ones.
_LONGEST_SUM = 12


class Orbits(ExactBuffers):
    """x (batch, n) <-> its coordinates by orbit type, (t, c, batch) each.

    With the batch innermost, coordinates move as whole rows. `gather` and `scatter` are adjoint to
    each other, and inverse.

    Parameters
    ----------
    summands
        The types of the space.
    """

    signs: Tensor | None

    def __init__(self, summands: Sequence[Summand]) -> None:
        super().__init__()
        self.shapes = [each.index.shape for each in summands]
        self.register_order("orbits", np.concatenate([each.index.ravel() for each in summands]))
        signs = [np.ones(e.index.shape) if e.signs is None else e.signs for e in summands]
        flat = np.concatenate([each.ravel() for each in signs]).astype(np.float64)
        self.register_exact("signs", None if (flat > 0).all() else flat[:, None])

    def gather(self, x: Tensor) -> Tensor:
        """(batch, n) -> (n, batch), type by type."""
        rows = self.ordered("orbits", transposed(x))
        return rows if self.signs is None else rows * self.cast("signs", x)

    def scatter(self, rows: Tensor) -> Tensor:
        """(n, batch), type by type -> (batch, n)."""
        rows = rows if self.signs is None else rows * self.cast("signs", rows)
        return back(self.restored("orbits", rows))


class IsotypicRows(Orbits):
    """x (batch, n) <-> the rows that products by irreps take, (rows, batch).

    `forward` and `adjoint` are adjoint to each other. On the CPU, for short orbits, either is one
    call: sums of a few rows each, which takes fewer ways through memory.

    Parameters
    ----------
    summands
        The types of the space.
    matrices
        For each type, (rows, t).
    order
        Where each row is among the rows of all types.
    """

    def __init__(
        self, summands: Sequence[Summand], matrices: Sequence[np.ndarray], order: np.ndarray
    ) -> None:
        super().__init__(summands)
        self.heights = [len(matrix) for matrix in matrices]
        for number, matrix in enumerate(matrices):
            self.register_exact(f"matrix{number}", matrix)
        self.register_order("rows", order)
        self.size, self.height = sum(t * c for t, c in self.shapes), len(order)
        self.sums = max(max(each.shape) for each in matrices) <= _LONGEST_SUM
        if self.sums:
            whole = _whole(summands, matrices)[order]
            for name, each in (("forward", whole), ("adjoint", whole.T.tocsr())):
                self.register_exact(f"{name}_columns", each.indices.astype(np.int32))
                self.register_exact(f"{name}_starts", each.indptr[:-1].astype(np.int32))
                self.register_exact(f"{name}_factors", each.data)

    @property
    def multiplications(self) -> int:
        """How many `forward` takes for a vector."""
        return sum(h * t * c for h, (t, c) in zip(self.heights, self.shapes, strict=True))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, n) -> (rows, batch)."""
        if self._sums_suit(x):
            return self._summed("forward", transposed(x))
        batch, rows = x.shape[0], self.gather(x)
        parts = rows.split([t * c for t, c in self.shapes])
        found = flat_products(
            (self.cast(f"matrix{number}", x), part.view(t, c * batch))
            for number, (part, (t, c)) in enumerate(zip(parts, self.shapes, strict=True))
        )
        return self.ordered("rows", found.view(self.height, batch))

    def adjoint(self, rows: Tensor) -> Tensor:
        """(rows, batch) -> (batch, n)."""
        if self._sums_suit(rows):
            return back(self._summed("adjoint", rows.contiguous()))
        batch, rows = rows.shape[1], self.restored("rows", rows)
        parts = rows.split([h * c for h, (_, c) in zip(self.heights, self.shapes, strict=True)])
        found = flat_products(
            (self.cast(f"matrix{n}", rows).t(), part.view(h, c * batch))
            for n, (part, h, (_, c)) in enumerate(
                zip(parts, self.heights, self.shapes, strict=True)
            )
        )
        return self.scatter(found.view(self.size, batch))

    def _sums_suit(self, x: Tensor) -> bool:
        return self.sums and x.device.type == "cpu" and x.numel() > 0 and is_plain(x)

    def _summed(self, name: str, rows: Tensor) -> Tensor:
        buffers: dict[str, Any] = self._buffers
        y: Tensor = functional.embedding_bag(
            buffers[f"{name}_columns"],
            rows.detach(),  # or it would prepare for gradients
            buffers[f"{name}_starts"],
            mode="sum",
            per_sample_weights=self.cast(f"{name}_factors", rows),
        )
        return y


def _whole(summands: Sequence[Summand], matrices: Sequence[np.ndarray]) -> sp.csr_array:
    """x -> its rows, type by type: (rows, n)."""
    blocks, n = [], sum(each.index.size for each in summands)
    for each, matrix in zip(summands, matrices, strict=True):
        signs = np.ones(each.index.size) if each.signs is None else each.signs.ravel()
        taken = sp.csr_array(
            (signs, each.index.ravel(), np.arange(len(signs) + 1)), shape=(len(signs), n)
        )
        blocks.append(sp.kron(matrix, sp.eye_array(each.multiplicity), format="csr") @ taken)
    return sp.vstack(blocks, format="csr")


def transposed(x: Tensor) -> Tensor:
    """x.t(), contiguous: by cat, which uses all threads where contiguous does not."""
    return torch.cat([x.t()])


def back(rows: Tensor) -> Tensor:
    """rows.t() as a tensor of its own, which may be changed in place also where it is one row."""
    return rows.t().clone(memory_format=torch.contiguous_format)


def flat_products(pairs: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """Return the products A B, flat, one after the other: in place where nothing records them."""
    factors = list(pairs)
    every = list(itertools.chain.from_iterable(factors))
    if torch.is_grad_enabled() or autocasts(every[0].device.type) or not is_plain(*every):
        found = [(a @ b).view(-1) for a, b in factors]
        return found[0] if len(found) == 1 else torch.cat(found)
    shapes = [(*a.shape[:-1], b.shape[-1]) for a, b in factors]
    sizes = list(map(math.prod, shapes))
    flat = every[0].new_empty(sum(sizes))
    for (a, b), shape, part in zip(factors, shapes, flat.split(sizes), strict=True):
        (torch.bmm if a.ndim == 3 else torch.mm)(a, b, out=part.view(shape))
    return flat
