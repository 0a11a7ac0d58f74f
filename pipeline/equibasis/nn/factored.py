"""Maps that are applied by factors, such as weights and vectors in bases by irreps."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from equibasis.nn.buffers import ExactBuffers
from equibasis.nn.tracing import autocasts, is_plain, without_autocast


class FactoredMap(ExactBuffers):
    """(x, c) -> W(c) x, linear in either: one operation, with a gradient of its own.

    Torch's records of the many small operations that it is made of take long beside them. All of
    these can be recorded too, and are where functions are traced or transformed.
    """

    def forward(self, x: Tensor, coefficients: Tensor) -> Tensor:
        """(batch, m), (rank,) -> (batch, k)."""
        if is_plain(x, coefficients) and not autocasts(x.device.type):
            y: Tensor = _ByFactors.apply(x, coefficients, self)
            return y
        return self.applied(*self.factors(x, coefficients))

    @abstractmethod
    def factors(self, x: Tensor, coefficients: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, m), (rank,) -> weights and vectors as they are multiplied."""

    @abstractmethod
    def applied(self, weights: Tensor, vectors: Tensor) -> Tensor:
        """Multiply them, and go back: (batch, k)."""

    @abstractmethod
    def gradients(
        self, weights: Tensor, vectors: Tensor, gradient: Tensor, needed: Sequence[bool]
    ) -> tuple[Tensor | None, Tensor | None]:
        """Of x, (batch, m), and of the coefficients, (rank,), where needed; from (batch, k) of y.

        ``weights`` and ``vectors`` are what `factors` gave.
        """


class _ByFactors(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, coefficients: Tensor, map_: FactoredMap) -> Tensor:
        factors = map_.factors(x, coefficients)
        ctx.map = map_
        ctx.save_for_backward(x, coefficients, *factors)
        return map_.applied(*factors)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, coefficients, *factors = ctx.saved_tensors
        if torch.is_grad_enabled():  # to be differentiated once more, as functions of these
            factors = ctx.map.factors(x, coefficients)
        with without_autocast(x.device.type):
            return *ctx.map.gradients(*factors, gradient, ctx.needs_input_grad), None
