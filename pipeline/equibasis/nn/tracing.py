"""What torch is doing with a tensor: computing, recording, or transforming a function."""

from __future__ import annotations

import contextlib

import torch
from torch import Tensor


def is_plain(*tensors: Tensor) -> bool:
    """Whether tensors are numbers in memory, not part of a trace or of `torch.func`."""
    functorch = torch._C._functorch
    return not (
        torch.compiler.is_compiling()
        or torch.jit.is_tracing()
        or functorch.peek_interpreter_stack() is not None
        or any(map(functorch.is_functorch_wrapped_tensor, tensors))
    )


def autocasts(device: str) -> bool:
    """Whether products on a kind of device are computed in a shorter dtype now."""
    return torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)


def without_autocast(device: str) -> contextlib.AbstractContextManager[None]:
    """A context in which they are not."""
    if autocasts(device):
        return torch.autocast(device, enabled=False)
    return contextlib.nullcontext()
