"""Weights kept while the coefficients that they are made of stay as they are."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_post_hook

Weights = tuple[Tensor, ...]
Kept = tuple[Weights, Tensor | None]


def is_plain(*tensors: Tensor) -> bool:
    """Whether tensors are numbers in memory, not part of a trace or of `torch.func`."""
    functorch = torch._C._functorch
    return not (
        is_traced()
        or functorch.peek_interpreter_stack() is not None
        or any(map(functorch.is_functorch_wrapped_tensor, tensors))
    )


def is_traced() -> bool:
    """Whether operations are being recorded: by `torch.compile`, ``export`` or ``jit.trace``."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


def autocasts(device: str) -> bool:
    """Whether products on a kind of device are computed in a shorter dtype now."""
    return torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)


def without_autocast(device: str) -> contextlib.AbstractContextManager[None]:
    """A context in which they are not."""
    if autocasts(device):
        return torch.autocast(device, enabled=False)
    return contextlib.nullcontext()


class WeightCache:
    """What a layer made of its coefficients, and those of its bias, until these change.

    Torch counts the changes of a tensor, so ``load_state_dict`` and the like are seen; fused
    optimizers escape that count, so their steps are counted here. Copies and pickles of a layer
    start with nothing kept.
    """

    __slots__ = ("_record",)

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Keep nothing."""
        self._record: _Record | None = None

    def __reduce__(self) -> tuple[type[WeightCache], tuple[()]]:
        return WeightCache, ()

    def current(self, coefficients: Tensor, of_bias: Tensor | None) -> Kept | None:
        """What is kept of these very parameters as they are, if anything is."""
        record = self._record  # read once: other threads may write it
        if record is None or record.coefficients is not coefficients:
            return None
        if record.of_bias is not of_bias or is_traced():
            return None
        return record.kept if record.state == _state(coefficients, of_bias) else None

    def keep(
        self, make: Callable[[], Kept], coefficients: Tensor, of_bias: Tensor | None
    ) -> Kept | None:
        """Keep ``make()``, unless parameters are traced, results themselves, or for inference."""
        for tensor in (coefficients, of_bias):
            if tensor is None:
                continue
            if not is_plain(tensor) or tensor.is_inference() or tensor.grad_fn is not None:
                return None
        state = _state(coefficients, of_bias)
        # Outside autocast and inference mode, so that what is kept serves outside them too.
        with (
            torch.inference_mode(False),
            torch.no_grad(),
            without_autocast(coefficients.device.type),
        ):
            weights, bias = make()
            kept = weights, None if bias is None else bias.contiguous()
            memory = coefficients.detach(), None if of_bias is None else of_bias.detach()
        self._record = _Record(coefficients, of_bias, memory, state, kept)
        return kept


@dataclass(frozen=True, eq=False)
class _Record:
    """What is kept of which parameters; aliases hold on to their memory, so that none gets it."""

    coefficients: Tensor
    of_bias: Tensor | None
    memory: tuple[Tensor, Tensor | None]
    state: tuple[int, ...]
    kept: Kept


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
