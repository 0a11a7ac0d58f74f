"""What torch is doing with a tensor: computing, recording, or transforming a function."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor

# A linear function of one tensor.
Linear: TypeAlias = Callable[[Tensor], Tensor]


def with_adjoint(x: Tensor, function: Linear, adjoint: Linear) -> Tensor:
    """f(x) for a linear f whose adjoint is at hand, which then takes the gradient.

    Torch's own adjoint of a permutation, for one, adds up what it need not.
    """
    if not torch.is_grad_enabled() or not is_plain(x):
        return function(x)
    y: Tensor = _Adjoint.apply(x, function, adjoint)
    return y


class _Adjoint(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, function: Linear, adjoint: Linear) -> Tensor:
        ctx.function, ctx.adjoint = function, adjoint
        return function(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return with_adjoint(gradient, ctx.adjoint, ctx.function), None, None


def is_plain(*tensors: Tensor) -> bool:
    """Whether tensors are numbers in memory: no trace, nothing of `torch.func`, no tangents."""
    functorch = torch._C._functorch
    return not (
        torch.compiler.is_compiling()
        or torch.jit.is_tracing()
        or torch.autograd.forward_ad._current_level >= 0
        or functorch.peek_interpreter_stack() is not None
        or any(map(functorch.is_functorch_wrapped_tensor, tensors))
        or any(map(functorch.is_legacy_batchedtensor, tensors))  # of ``is_grads_batched``
    )


def autocasts(device: str) -> bool:
    """Whether products on a kind of device are computed in a shorter dtype now."""
    return device != "meta" and torch.is_autocast_enabled(device)  # which knows no meta tensors


def without_autocast(device: str) -> contextlib.AbstractContextManager[None]:
    """Return a context in which they are not."""
    if autocasts(device):
        return torch.autocast(device, enabled=False)
    return contextlib.nullcontext()
