"""Direct products, each factor acting on axes of its own."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from scipy import linalg

from equibasis.errors import GroupError, SpaceError
from equibasis.symmetry.families import FEW
from equibasis.symmetry.group import Group, shape_text
from equibasis.symmetry.spaces import Shape

Factors: TypeAlias = tuple[Group, ...]


@dataclass(frozen=True)
class Together:
    """An element of a product.

    Attributes
    ----------
    name
        Those of the elements of its factors, ``e`` where a factor moves nothing.
    moves
        (factor, position of the element in the factor's list) for each factor that moves something.
    """

    name: str
    moves: tuple[tuple[int, int], ...]

    def __str__(self) -> str:
        return self.name


def product_group(*factors: Group) -> Group:
    """G₁ × G₂ × …, each factor acting on the axes that follow those of the one before.

    A factor that acts on any number of axes, such as s5, takes those that are left for it; arrays
    that can be shared out in two ways are refused.

    Raises
    ------
    GroupError
        If there are no factors, or one is a group of matrices, which acts on no axes.
    """
    if not factors:
        raise GroupError("a direct product has a factor at least")
    name = "*".join(group.name for group in factors)
    for group in factors:
        if group.transform is None:
            raise GroupError(
                f"group {name!r}: {group.name} is a group of matrices and has no axes; make a "
                "matrix_group of scipy.linalg.block_diag for the sum, or numpy.kron for the "
                "product of both spaces"
            )
    order = math.prod(len(group.elements) for group in factors)
    complete = all(group.complete for group in factors) and order <= FEW
    if complete:
        positions = itertools.product(*(range(len(group.elements)) for group in factors))
        elements = [_together(factors, tuple(enumerate(each))) for each in positions]
    else:
        elements = [
            _together(factors, ((number, position),))
            for number, group in enumerate(factors)
            for position in generating_positions(group)
        ]
    axes = [group.axes for group in factors if group.axes is not None]
    all_axes = sum(axes) if len(axes) == len(factors) else None
    turns = all_axes is not None and all(group.linear is not None for group in factors)
    return Group(
        name,
        tuple(elements),
        partial(_transformed, factors),
        all_axes,
        complete=complete,
        linear=partial(_turned, factors) if turns else None,
        rearranges=all(group.rearranges for group in factors),
        refuses=partial(_refuses, factors),
        factors=factors,
    )


def generating_positions(group: Group) -> tuple[int, ...]:
    """Where in the list of a group's elements those stand that generate it, as it says.

    Raises
    ------
    GroupError
        If its generators are not among its elements.
    """
    if not group.complete or len(group.elements) == 1:
        return tuple(range(len(group.elements)))
    if group.generators is None:
        return tuple(range(1, len(group.elements)))
    for generator in group.generators:
        if generator not in group.elements:
            raise GroupError(
                f"group {group.name!r}: the generator {generator} is none of its elements"
            )
    return tuple(map(group.elements.index, group.generators)) or (0,)


def _together(factors: Factors, moves: tuple[tuple[int, int], ...]) -> Together:
    names = ["e"] * len(factors)
    for number, position in moves:
        names[number] = factors[number].element_names[position]
    return Together(",".join(names), moves)


# --- which axes are whose -----------------------------------------------------------------------


def _shares(factors: Factors, axes: int) -> Iterator[tuple[int, ...]]:
    """Where the axes of each factor start, and their number, for each way to share them out."""
    free = axes - sum(1 if group.axes is None else group.axes for group in factors)
    several = sum(group.axes is None for group in factors)
    if free < 0 or (several == 0 and free):
        return
    for more in itertools.product(range(free + 1), repeat=several):
        if sum(more) == free:
            left = iter(more)
            counts = [1 + next(left) if g.axes is None else g.axes for g in factors]
            yield (0, *itertools.accumulate(counts))


def _refusal(factors: Factors, shape: Shape, starts: tuple[int, ...]) -> str | None:
    """Why a factor does not act on its share of the axes."""
    for group, start, end in zip(factors, starts, starts[1:], strict=False):
        reason = group.refuses and group.refuses(shape[start:end])
        if reason:
            return reason
    return None


def _refuses(factors: Factors, shape: Shape) -> str | None:
    shares = list(_shares(factors, len(shape)))
    reasons = [_refusal(factors, shape, starts) for starts in shares]
    fitting = [starts for starts, reason in zip(shares, reasons, strict=True) if reason is None]
    if len(fitting) == 1:
        return None
    if not shares:
        return f"it has {len(shape)} axes for {len(factors)} factors"
    if not fitting:
        return reasons[0]
    one, other = (_shared_text(factors, shape, starts) for starts in fitting[:2])
    return (
        f"its axes can be shared out in two ways, {one} or {other}: say how many a group takes by "
        "dataclasses.replace(group, axes=1)"
    )


def share(factors: Factors, shape: Shape) -> tuple[int, ...]:
    """Where the axes of each factor start, and their number.

    Raises
    ------
    SpaceError
        If the axes cannot be shared out, or in two ways.
    """
    if reason := _refuses(factors, shape):
        raise SpaceError(f"a product of groups does not act on {shape_text(shape)}: {reason}")
    return next(
        starts for starts in _shares(factors, len(shape)) if not _refusal(factors, shape, starts)
    )


def _shared_text(factors: Factors, shape: Shape, starts: tuple[int, ...]) -> str:
    return " and ".join(
        f"{group.name} on {shape_text(shape[start:end])}"
        for group, start, end in zip(factors, starts, starts[1:], strict=False)
    )


# --- how it acts --------------------------------------------------------------------------------


def _transformed(factors: Factors, array: np.ndarray, element: Together) -> np.ndarray:
    starts = share(factors, array.shape)
    for number, position in element.moves:
        own = factors[number].elements[position]
        array = _along(factors[number], own, array, starts[number], starts[number + 1])
    return array


def _along(factor: Group, element: Any, array: np.ndarray, start: int, end: int) -> np.ndarray:
    """The transform of some neighbouring axes, at every point of the others."""
    assert factor.transform is not None
    last = range(array.ndim - (end - start), array.ndim)
    moved = np.moveaxis(array, range(start, end), last)
    parts = moved.reshape(-1, *array.shape[start:end])
    images = np.stack([factor.transform(part.copy(), element) for part in parts])
    image = images.reshape(*moved.shape[: last.start], *images.shape[1:])
    return np.moveaxis(image, last, range(start, end))


def _turned(factors: Factors, element: Together, axes: int) -> np.ndarray:
    """How vectors turn: block diagonal, each factor's components along its own axes."""
    blocks = [np.eye(group.axes or 0) for group in factors]
    for number, position in element.moves:
        group = factors[number]
        assert group.linear is not None
        blocks[number] = group.linear(group.elements[position], group.axes or 0)
    return linalg.block_diag(*blocks)
