"""Weights kept while the coefficients that they are made of stay as they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Weights = tuple[Tensor, ...]
Kept = tuple[Weights, Tensor | None]


def is_plain(tensor: Tensor) -> bool:
    """Whether a tensor is numbers in memory, not part of a trace or of `torch.func`."""
    return not (is_traced() or torch._C._functorch.is_functorch_wrapped_tensor(tensor))


def is_traced() -> bool:
    """Whether operations are being recorded: by `torch.compile`, ``export`` or ``jit.trace``."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


class WeightCache:
    """What a layer made of its coefficients, and those of its bias, until these change.

    Torch counts the changes of a tensor, so optimizer steps, ``load_state_dict`` and the like are
    seen. Copies and pickles of a layer start with nothing kept.
    """

    __slots__ = ("_kept", "_memory", "_parameters", "_state")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Keep nothing."""
        self._parameters: tuple[Tensor | None, ...] = ()
        # Aliases hold on to the memory, so that no other tensor is taken for these.
        self._memory: tuple[Tensor | None, ...] = ()
        self._state: tuple[int, ...] = ()
        self._kept: Kept = ((), None)

    def __reduce__(self) -> tuple[type[WeightCache], tuple[()]]:
        return WeightCache, ()

    def current(self, coefficients: Tensor, of_bias: Tensor | None) -> Kept | None:
        """What is kept of these very parameters as they are, if anything is."""
        known = self._parameters
        if not known or known[0] is not coefficients or known[1] is not of_bias or is_traced():
            return None
        return self._kept if self._state == _state(coefficients, of_bias) else None

    def keep(
        self, make: Callable[[], Kept], coefficients: Tensor, of_bias: Tensor | None
    ) -> Kept | None:
        """Keep ``make()``, unless parameters are traced, results themselves, or for inference."""
        parameters = coefficients, of_bias
        for tensor in parameters:
            if tensor is None:
                continue
            if not is_plain(tensor) or tensor.is_inference() or tensor.grad_fn is not None:
                return None
        # Outside autocast and inference mode, so that what is kept serves outside them too.
        with (
            torch.inference_mode(False),
            torch.no_grad(),
            torch.autocast(coefficients.device.type, enabled=False),
        ):
            weights, bias = make()
            self._kept = weights, None if bias is None else bias.contiguous()
        self._parameters = parameters
        self._memory = coefficients.detach(), None if of_bias is None else of_bias.detach()
        self._state = _state(coefficients, of_bias)
        return self._kept


def _state(coefficients: Tensor, of_bias: Tensor | None) -> tuple[int, ...]:
    if of_bias is None:
        return coefficients._version, coefficients.data_ptr()
    return (
        coefficients._version,
        coefficients.data_ptr(),
        of_bias._version,
        of_bias.data_ptr(),
    )


def with_gradient(
    weights: Weights, make: Callable[[Tensor], Weights], coefficients: Tensor
) -> Weights:
    """Weights that are at hand already, differentiable as if ``make`` had just made them.

    ``make`` is linear.
    """
    kept: Weights = _Kept.apply(make, coefficients, *weights)
    return kept


class _Kept(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, make: Callable[[Tensor], Weights], coefficients: Tensor, *weights: Tensor
    ) -> Weights:
        ctx.make = make
        ctx.save_for_backward(coefficients)
        return tuple(weight.view_as(weight) for weight in weights)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (coefficients,) = ctx.saved_tensors
        again = torch.is_grad_enabled()  # whether this gradient is to be differentiated itself
        with torch.enable_grad():
            start = coefficients.detach().requires_grad_()
            (found,) = torch.autograd.grad(ctx.make(start), start, gradients, create_graph=again)
        return None, found, *[None] * len(gradients)
