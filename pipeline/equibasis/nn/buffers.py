"""Buffers that come from a basis: never trained or saved, and exact wherever a module is moved."""

from __future__ import annotations

from collections.abc import Callable, ItemsView
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor, nn

from equibasis.errors import ModelError


class ExactBuffers(nn.Module):
    """A module with constants: buffers outside ``state_dict``, taken anew after every move.

    So no digit is lost by going to a shorter dtype and back, and a module that was built on the
    meta device has its constants once it is given memory.
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

    def ordered(self, name: str, x: Tensor) -> Tensor:
        """x[order]."""
        order = self._buffers[name]
        return x if order is None else x.index_select(0, order)

    def restored(self, name: str, x: Tensor) -> Tensor:
        """y with y[order] = x."""
        return self.ordered(f"{name}_inverse", x)

    def cast(self, name: str, like: Tensor) -> Tensor:
        """A buffer that is there, in the dtype of another tensor."""
        buffer = self._buffers[name]
        assert buffer is not None
        return buffer if buffer.dtype == like.dtype else buffer.to(like.dtype)

    def exact(self, name: str) -> np.ndarray:
        """The array that was registered."""
        array: np.ndarray = self._exact[name].numpy()
        return array

    def exact_tensors(self) -> ItemsView[str, Tensor]:
        """Names of buffers, and what was registered under them, on the CPU."""
        return self._exact.items()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        before = {name: getattr(self, name).dtype for name in self._exact}
        moved = super()._apply(fn, recurse)
        refused = None
        for name, exact in self._exact.items():
            buffer = getattr(self, name)
            dtype = buffer.dtype if exact.is_floating_point() else exact.dtype
            if exact.is_floating_point() and not dtype.is_floating_point:
                refused, dtype = dtype, before[name]
            setattr(self, name, exact.to(buffer.device, dtype))
        if refused is not None:
            refuse_cast(self, refused)
        return moved


def refuse_cast(module: nn.Module, dtype: torch.dtype) -> NoReturn:
    """Raise `ModelError`: in integers or complex numbers, a module would compute something else."""
    raise ModelError(
        f"{type(module).__name__} holds real floating-point numbers, and cannot be cast to "
        f"{str(dtype).removeprefix('torch.')}"
    )
