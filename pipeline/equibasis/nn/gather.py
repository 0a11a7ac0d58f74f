"""Coordinates of vectors taken by orbit type, and put back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from equibasis.nn.buffers import ExactBuffers
from equibasis.nn.tracing import is_plain
from equibasis.symmetry.summands import Summand


class Orbits(ExactBuffers):
    """x (batch, n) <-> its coordinates by orbit type, (t, c, batch) each.

    With the batch innermost, coordinates move as whole rows.

    Parameters
    ----------
    summands
        The types of the space.
    """

    order: Tensor
    place: Tensor
    signs: Tensor | None

    def __init__(self, summands: Sequence[Summand]) -> None:
        super().__init__()
        order = np.concatenate([each.index.ravel() for each in summands])
        self.shapes = [each.index.shape for each in summands]
        self.sizes = [t * c for t, c in self.shapes]
        self.register_exact("order", order)
        self.register_exact("place", np.argsort(order))
        signs = [np.ones(e.index.shape) if e.signs is None else e.signs for e in summands]
        flat = np.concatenate([each.ravel() for each in signs]).astype(np.float64)
        self.register_exact("signs", None if (flat > 0).all() else flat[:, None])

    def gather(self, x: Tensor) -> list[Tensor]:
        """(batch, n) -> (t, c · batch) for each type."""
        rows = permuted(x.t().contiguous(), self.order, self.place)
        if self.signs is not None:
            rows = rows * self.cast("signs", x)
        parts = [rows] if len(self.sizes) == 1 else rows.split(self.sizes)
        batch = x.shape[0]
        return [part.view(t, c * batch) for part, (t, c) in zip(parts, self.shapes, strict=True)]

    def scatter(self, parts: Sequence[Tensor], batch: int) -> Tensor:
        """(t, c · batch) for each type -> (batch, n)."""
        every = [part.reshape(n, batch) for part, n in zip(parts, self.sizes, strict=True)]
        rows = every[0] if len(every) == 1 else torch.cat(every)
        if self.signs is not None:
            rows = rows * self.cast("signs", rows)
        return permuted(rows, self.place, self.order).t().contiguous()


class _Permute(torch.autograd.Function):
    """x[order], whose adjoint is x[place]: torch's own would add up what it need not."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, order: Tensor, place: Tensor) -> Tensor:
        """(n, batch) -> (n, batch)."""
        return x.index_select(0, order)

    @staticmethod
    def setup_context(ctx: object, inputs: tuple[Tensor, Tensor, Tensor], _: Tensor) -> None:
        """Remember the permutation."""
        ctx.permutation = inputs[1:]  # type: ignore[attr-defined]

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> tuple[Tensor, None, None]:
        """The inverse permutation."""
        order, place = ctx.permutation  # type: ignore[attr-defined]
        found: Tensor = _Permute.apply(gradient, place, order)
        return found, None, None

    @staticmethod
    def jvp(ctx: object, tangent: Tensor, *_: None) -> Tensor:
        """The permutation, as it is linear."""
        order, place = ctx.permutation  # type: ignore[attr-defined]
        moved: Tensor = _Permute.apply(tangent, order, place)
        return moved


def permuted(x: Tensor, order: Tensor, place: Tensor) -> Tensor:
    """x[order], for a permutation and its inverse ``place``."""
    if is_plain(x):
        y: Tensor = _Permute.apply(x, order, place)
        return y
    return x.index_select(0, order)
