"""What users hand to layers, checked: vectors of the right length and dtype, and numbers."""

from __future__ import annotations

import math
import numbers
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from equibasis.errors import ModelError
from equibasis.nn.tracing import autocasts

# Axes of grids, by how many there are.
_GRIDS = {1: "length", 2: "height, width", 3: "depth, height, width"}

_SHORT = (torch.float16, torch.bfloat16, torch.float32)


def check_vectors(
    module: nn.Module,
    x: Any,
    width: int,
    dtype: torch.dtype | None = None,
    space: object = None,
    batches: int | None = None,
) -> None:
    """Raise `ModelError` unless x is a tensor (..., width) of real floating-point numbers.

    Or of fields (..., width, *grid), if the module's domain is of fields.

    Parameters
    ----------
    module
        What takes it.
    x, width
        The vectors and their length.
    dtype
        That of the parameters which x meets; autocast may have made x shorter.
    space
        What they are vectors of; by default the module's domain.
    batches
        The most axes before that of the channels; any number by default.
    """
    if isinstance(x, Tensor):
        if torch.jit.is_tracing():
            return
        axis = -1 - _axes(module)
        most = x.ndim if batches is None else batches - axis
        fits = -axis <= x.ndim <= most and x.shape[axis] == width
        if fits and (x.dtype == dtype or _suits(x, dtype)):
            return
    elif isinstance(x, fx.Proxy):
        return
    raise ModelError(_refusal(module, x, width, dtype, space, batches))


def as_vectors(x: Any, shape: tuple[int, ...]) -> Any:
    """Arrays (..., *shape), such as images, as vectors (..., n); all else as it is."""
    if len(shape) < 2 or not isinstance(x, Tensor) or torch.jit.is_tracing():
        return x
    if x.shape[-1:] == (math.prod(shape),) or x.shape[-len(shape) :] != shape:
        return x  # the last axis is asked first: others may be of any size in a program
    return x.flatten(-len(shape))


def why_refused(module: nn.Module, x: Any, width: int, dtype: torch.dtype | None) -> str | None:
    """What is wrong with x, after an error; ``None`` if that was something else."""
    try:
        check_vectors(module, x, width, dtype)
    except ModelError as error:
        return str(error)
    return None


def _suits(x: Tensor, dtype: torch.dtype | None) -> bool:
    if dtype is None:
        return x.is_floating_point()
    return autocasts(x.device.type) and x.dtype in _SHORT and dtype in _SHORT


def _refusal(
    module: nn.Module,
    x: Any,
    width: int,
    dtype: torch.dtype | None,
    space: object,
    batches: int | None,
) -> str:
    takes = "real floating-point" if dtype is None else _short(dtype)
    if not isinstance(x, Tensor):
        found = f"{type(x).__module__}.{type(x).__name__}".removeprefix("builtins.")
        how = ": make it a tensor with torch.as_tensor"
    else:
        found, how = f"{_short(x.dtype)} {tuple(x.shape)}", ""
        if x.dtype != dtype and not (dtype is None and x.is_floating_point()):
            how = f": convert it with x.to(torch.{_short(dtype or torch.get_default_dtype())})"
    domain, codomain = (getattr(module, end, None) for end in ("domain", "codomain"))
    space = domain if space is None and codomain is not None else space
    of = "" if space is None else f" of {space}"
    axes = _axes(module)
    rest = "..." if batches is None else "batch"
    shape = f"fields ({rest}, {width}, {_GRIDS[axes]})" if axes else f"vectors (..., {width})"
    array: tuple[int, ...] = getattr(module, "array_shape", ())
    if len(array) > 1:
        shape += f" or arrays (..., {', '.join(map(str, array))})"
    return f"{type(module).__name__} takes {takes} {shape}{of}, not {found}{how}"


def _axes(module: nn.Module) -> int:
    return getattr(getattr(module, "domain", None), "axes", 0)


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


# --- numbers -------------------------------------------------------------------------------------


def number_of(given: object, what: str, *, least: float = 0.0, most: float = math.inf) -> float:
    """A finite real number in a range; raises `ModelError` for others, truth values too."""
    if (
        isinstance(given, bool | np.bool_)
        or not isinstance(given, numbers.Real)
        or not math.isfinite(given)
        or not least <= float(given) <= most
    ):
        upper = "" if math.isinf(most) else f" to {most:g}"
        raise ModelError(f"{what} {given!r}: give a number from {least:g}{upper or ' on'}")
    return float(given)
