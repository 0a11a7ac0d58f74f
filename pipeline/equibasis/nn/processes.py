"""Processes that train one model together: how many there are, and sums over all of them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed


def process_count() -> int:
    """How many processes the default group of `torch.distributed` has; 1 where there is no group.

    >>> process_count()
    1
    """
    there = distributed.is_available() and distributed.is_initialized()
    return distributed.get_world_size() if there else 1


def sum_over_processes(x: Tensor) -> Tensor:
    """Σ_p x_p over the x of each process p, all of one shape; every process has to ask for it.

    The gradient is that of the sum of what all processes derive from it.
    """
    total: Tensor = _Sum.apply(x)
    return total


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.detach().clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return sum_over_processes(gradient)  # the sum is its own adjoint
