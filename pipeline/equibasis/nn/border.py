"""What users hand to layers, checked: vectors of the right length and dtype, and numbers."""

from __future__ import annotations

import math
import numbers
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from equibasis.errors import ModelError
from equibasis.nn.interface import FeatureSpace
from equibasis.nn.tracing import autocasts

# Axes of grids, by how many there are.
_GRIDS = {1: "length", 2: "height, width", 3: "depth, height, width"}

_SHORT = (torch.float16, torch.bfloat16, torch.float32)


def check_vectors(
    module: Any,
    x: Any,
    dtype: torch.dtype | None = None,
    space: FeatureSpace | None = None,
    batches: int | None = None,
) -> None:
    """Raise `ModelError` unless x is a tensor (..., n) of real floating-point numbers.

    Or of fields (..., n, *grid), if its space is of fields.

    Parameters
    ----------
    module
        What takes it.
    x
        The vectors.
    dtype
        That of the parameters which x meets; autocast may have made x shorter.
    space
        What they are vectors of; by default the module's domain.
    batches
        The most axes before that of the channels; any number by default.
    """
    space = space or module.domain
    if isinstance(x, Tensor):
        if torch.jit.is_tracing():
            return
        axis = space.channels
        most = x.ndim if batches is None else batches - axis
        fits = -axis <= x.ndim <= most and x.shape[axis] == space.dimension
        if fits and (x.dtype == dtype or _suits(x, dtype)):
            return
    elif isinstance(x, fx.Proxy):
        return
    raise ModelError(_refusal(module, x, dtype, space, batches))


def as_vectors(x: Any, shape: tuple[int, ...]) -> Any:
    """Arrays (..., *shape), such as images, as vectors (..., n); all else as it is."""
    if len(shape) < 2 or not isinstance(x, Tensor) or torch.jit.is_tracing():
        return x
    if x.shape[-1:] == (math.prod(shape),) or x.shape[-len(shape) :] != shape:
        return x  # the last axis is asked first: others may be of any size in a program
    return x.flatten(-len(shape))


def why_refused(module: nn.Module, x: Any, dtype: torch.dtype | None) -> str | None:
    """Find what was wrong with x, after an error; ``None`` if it was something else."""
    try:
        check_vectors(module, x, dtype)
    except ModelError as error:
        return str(error)
    return None


def _suits(x: Tensor, dtype: torch.dtype | None) -> bool:
    if dtype is None:
        return x.is_floating_point()
    return autocasts(x.device.type) and x.dtype in _SHORT and dtype in _SHORT


def _refusal(
    module: nn.Module, x: Any, dtype: torch.dtype | None, space: FeatureSpace, batches: int | None
) -> str:
    takes = "real floating-point" if dtype is None else _short(dtype)
    if not isinstance(x, Tensor):
        found = f"{type(x).__module__}.{type(x).__name__}".removeprefix("builtins.")
        how = ": make it a tensor with torch.as_tensor"
    else:
        found, how = f"{_short(x.dtype)} {tuple(x.shape)}", ""
        if x.dtype != dtype and not (dtype is None and x.is_floating_point()):
            how = f": convert it with x.to(torch.{_short(dtype or torch.get_default_dtype())})"
    rest, n = "..." if batches is None else "batch", space.dimension
    shape = f"fields ({rest}, {n}, {_GRIDS[space.axes]})" if space.axes else f"vectors (..., {n})"
    array: tuple[int, ...] = getattr(module, "array_shape", ())
    if len(array) > 1:
        shape += f" or arrays (..., {', '.join(map(str, array))})"
    return f"{type(module).__name__} takes {takes} {shape} of {space}, not {found}{how}"


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


# --- numbers -------------------------------------------------------------------------------------


def number_of(given: object, what: str, *, least: float = 0.0, most: float = math.inf) -> float:
    """Return a finite real number in a range; raises `ModelError` for others, truth values too."""
    if (
        isinstance(given, bool | np.bool_)
        or not isinstance(given, numbers.Real)
        or not math.isfinite(given)
        or not least <= float(given) <= most
    ):
        upper = "" if math.isinf(most) else f" to {most:g}"
        raise ModelError(f"{what} {given!r}: give a number from {least:g}{upper or ' on'}")
    return float(given)
