"""Buffers that come from a basis: never trained or saved, and exact wherever a module is moved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from equibasis.errors import ModelError


class ExactBuffers(nn.Module):
    """A module with constants: buffers outside ``state_dict``, taken anew after every move.

    So no digit is lost by going to a shorter dtype and back, and a module that was built on the
    meta device has its constants once it is given memory. Casts to integers or complex numbers are
    refused: a module would compute something else.
    """

    def __init__(self) -> None:
        super().__init__()
        self._exact: dict[str, Tensor] = {}

    def register_exact(self, name: str, array: np.ndarray | None) -> None:
        """Keep an array as the buffer ``name``: integers as they are, others in the dtype of torch.

        ``None`` is kept as ``None``.
        """
        if array is None:
            self.register_buffer(name, None, persistent=False)
            return
        exact = torch.from_numpy(np.ascontiguousarray(array))
        self._exact[name] = exact
        here = torch.empty(0).device  # what `torch.device` as a context has set
        dtype = torch.get_default_dtype() if exact.is_floating_point() else exact.dtype
        self.register_buffer(name, exact.to(here, dtype), persistent=False)

    def register_order(self, name: str, order: np.ndarray) -> None:
        """Keep a permutation, of rows or of numbers."""
        index = inverse = None
        if not np.array_equal(order, np.arange(len(order))):
            index, inverse = np.empty((2, len(order)), dtype=np.int32)
            index[:], inverse[order] = order, np.arange(len(order))
        self.register_exact(name, index)
        self.register_exact(f"{name}_inverse", inverse)

    def ordered(self, name: str, x: Tensor, axis: int = 0) -> Tensor:
        """x[order], along an axis."""
        order = self._buffers[name]
        return x if order is None else x.index_select(axis, order)

    def restored(self, name: str, x: Tensor, axis: int = 0) -> Tensor:
        """y with y[order] = x, along an axis."""
        return self.ordered(f"{name}_inverse", x, axis)

    def cast(self, name: str, like: Tensor) -> Tensor:
        """Return a buffer that is there, in the dtype of another tensor."""
        buffer = self._buffers[name]
        assert buffer is not None
        return buffer if buffer.dtype == like.dtype else buffer.to(like.dtype)

    def exact(self, name: str) -> np.ndarray:
        """Return the array that was registered."""
        array: np.ndarray = self._exact[name].numpy()
        return array

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        for tensor in (*self._parameters.values(), *map(self._buffers.get, self._exact)):
            if tensor is not None and tensor.is_floating_point():
                tried = fn(tensor.new_empty(0))  # so that what is refused is not done
                if not tried.is_floating_point():
                    raise ModelError(
                        f"{type(self).__name__} holds real floating-point numbers, and cannot be "
                        f"cast to {str(tried.dtype).removeprefix('torch.')}"
                    )
        moved = super()._apply(fn, recurse)
        for name, exact in self._exact.items():
            buffer = getattr(self, name)
            dtype = buffer.dtype if exact.is_floating_point() else exact.dtype
            setattr(self, name, exact.to(buffer.device, dtype))
        return moved
