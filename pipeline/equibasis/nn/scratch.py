"""Memory for results that are gone before the next step, kept between steps."""

from __future__ import annotations

import math
import threading

import torch
from torch import Tensor

# Smaller ones are had as fast from torch.
_FEWEST = 2**18

_kept = threading.local()


def scratch(slot: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Uninitialized memory of a shape, for the dtype and device of a tensor.

    It is the same for all calls with one slot in one thread, so a result in it lasts until the
    next. Large arrays that are allocated anew at each step are paged in anew by the system, which
    costs as much as computing them.
    """
    size = math.prod(shape)
    if size < _FEWEST or like.device.type != "cpu":
        return like.new_empty(shape)
    memory: Tensor | None = getattr(_kept, slot, None)
    if memory is None or len(memory) < size * like.element_size():
        memory = torch.empty(size * like.element_size(), dtype=torch.uint8)
        setattr(_kept, slot, memory)
    return memory[: size * like.element_size()].view(like.dtype).view(shape)
