"""Direct products, each factor acting on axes of its own."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

from equibasis.errors import GroupError
from equibasis.symmetry.families import FEW
from equibasis.symmetry.families.grids import Move, grid_group, still
from equibasis.symmetry.group import Group
from equibasis.symmetry.spaces import Shape


def direct_product(*factors: Group) -> Group:
    """G₁ × G₂ × …, each factor acting on the axes that follow those of the one before.

    ``z14*z14`` shifts a torus of 14x14 points; ``c4*z3`` turns images and cycles their channels,
    ``14x14x3``.

    Raises
    ------
    GroupError
        If a factor does not say on how many axes it acts.
    """
    name = "*".join(group.name for group in factors)
    for group in factors:
        if group.axes is None or group.transform is None or not group.rearranges:
            raise GroupError(
                f"group {name!r}: {group.name} does not say on which axes it acts, so it makes no "
                "direct product"
            )
    # Where each factor's axes start; the last entry is their number.
    starts = [0, *itertools.accumulate(group.axes or 0 for group in factors)]
    order = math.prod(len(group.elements) for group in factors)
    complete = all(group.complete for group in factors) and order <= FEW
    idle: list[Any] = [still("e", group.axes or 0) for group in factors]
    if complete:
        pairs = list(itertools.product(*(group.elements for group in factors)))
    else:
        pairs = [
            (*idle[:place], element, *idle[place + 1 :])
            for place, group in enumerate(factors)
            for element in _generators(group)
        ]
    moves = [_joined(pair, starts) for pair in pairs]

    def refuses(shape: Shape) -> str | None:
        for group, start, end in zip(factors, starts, starts[1:], strict=False):
            reason = group.refuses and group.refuses(shape[start:end])
            if reason:
                return reason
        return None

    return grid_group(name, moves, starts[-1], complete=complete, refuses=refuses)


def _generators(group: Group) -> tuple[Any, ...]:
    if group.generators is not None:
        return group.generators
    return group.elements[1:] if group.complete else group.elements


def _joined(moves: Sequence[Move], starts: Sequence[int]) -> Move:
    return Move(
        ",".join(move.name for move in moves),
        tuple(
            axis + start for move, start in zip(moves, starts, strict=False) for axis in move.axes
        ),
        tuple(itertools.chain.from_iterable(move.mirrored for move in moves)),
        tuple(itertools.chain.from_iterable(move.shift for move in moves)),
    )
