"""Weights kept while the coefficients that they are made of stay as they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_post_hook

Weights = tuple[Tensor, ...]
Kept = tuple[Weights, Tensor | None]


def is_plain(tensor: Tensor) -> bool:
    """Whether a tensor is numbers in memory, not part of a trace or of `torch.func`."""
    functorch = torch._C._functorch
    return not (
        is_traced()
        or functorch.peek_interpreter_stack() is not None
        or functorch.is_functorch_wrapped_tensor(tensor)
    )


def is_traced() -> bool:
    """Whether operations are being recorded: by `torch.compile`, ``export`` or ``jit.trace``."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


class WeightCache:
    """What a layer made of its coefficients, and those of its bias, until these change.

    Torch counts the changes of a tensor, so ``load_state_dict`` and the like are seen; fused
    optimizers escape that count, so their steps are counted here. Copies and pickles of a layer
    start with nothing kept.
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


_steps = 0


def _count_step(*_: Any) -> None:
    global _steps
    _steps += 1


register_optimizer_step_post_hook(_count_step)


def _state(coefficients: Tensor, of_bias: Tensor | None) -> tuple[int, ...]:
    if of_bias is None:
        return _steps, coefficients._version, coefficients.data_ptr()
    return (
        _steps,
        coefficients._version,
        coefficients.data_ptr(),
        of_bias._version,
        of_bias.data_ptr(),
    )
