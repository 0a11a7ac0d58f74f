"""Grids under strides: which sizes a group keeps the points of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from equibasis.errors import ModelError
from equibasis.linalg.numbers import as_index, whole_number, whole_numbers
from equibasis.nn.interface import FeatureSpace


def sizes_of(given: Any, axes: int, what: str, *, least: int) -> tuple[int, ...]:
    """Return a size for each axis, from one number or one for each; raises `ModelError`."""
    number = as_index(given)
    if number is None and not isinstance(given, Sequence | np.ndarray):
        raise ModelError(f"{what} {given!r}: give a whole number, or one for each of {axes} axes")
    found = (number,) * axes if number is not None else whole_numbers(given, what, ModelError)
    if len(found) != axes:
        raise ModelError(f"{what} {given!r}: give one number, or one for each of {axes} axes")
    for size in found:
        whole_number(size, what, least=least, error=ModelError)
    return found


def check_axes_alike(
    features: FeatureSpace,
    name: str,
    *sizes: tuple[int, ...],
    window: tuple[int, ...] | None = None,
) -> None:
    """Raise `ModelError` where sizes differ on axes that the group exchanges.

    Where it is not known which those are, all that a ``window`` kept by the group is alike on.
    """
    turns = features.turns
    exchanged = np.ones((features.axes,) * 2) if turns is None else np.abs(turns).max(axis=0)
    if window is not None:
        exchanged *= np.equal.outer(window, window)
    for each in sizes:
        for a, b in np.argwhere(exchanged):
            if each[a] != each[b]:
                raise ModelError(
                    f"{name}: {each} differs on axes that {features.group} exchanges: give one "
                    "number for both"
                )


def turned_axes(features: FeatureSpace) -> tuple[bool, ...]:
    """Whether each axis is reversed or exchanged with another; all where that is not known."""
    if features.turns is None:
        return (True,) * features.axes
    return tuple((features.turns != np.eye(features.axes)).any(axis=(0, 1)).tolist())


def check_centred(
    module: nn.Module,
    x: Any,
    turned: Sequence[bool],
    extents: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
) -> None:
    """Raise `ModelError` where windows do not lie alike from both ends of an axis that is turned.

    A window of e points moves by s over L + 2p: the last points are left out, on one side alone,
    unless s divides L + 2p - e. A group that turns the axis takes what is seen to what is not.
    ``turned`` are its `turned_axes`.
    """
    if isinstance(x, fx.Proxy) or all(s == 1 for s in stride) or torch.jit.is_tracing():
        return
    features: FeatureSpace = module.domain  # type: ignore[assignment]
    grid = x.shape[x.ndim - features.axes :]
    for length, turns, e, s, p in zip(grid, turned, extents, stride, padding, strict=True):
        left = (length + 2 * p - e) % s
        if left and turns:
            raise ModelError(
                f"{type(module).__name__}: a window of {e} with stride {s} and padding {p} leaves "
                f"out {left} of {length} points at one end only, and {features.group} turns that "
                f"to the other: choose a size, window or padding so that {s} divides "
                "size + 2 padding - window, or a pooling that does"
            )
