"""Symmetries of grids: axes exchanged, mirrored and shifted in a circle."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from equibasis.symmetry.families import ARRAYS, FEW, GROUPS, family
from equibasis.symmetry.group import Group
from equibasis.symmetry.representations import PermutationRepresentation
from equibasis.symmetry.spaces import Shape


@dataclass(frozen=True)
class Move:
    """A symmetry of a grid: axes exchanged, then mirrored, then shifted in a circle.

    Attributes
    ----------
    name
        What it is called.
    axes
        The new axis d runs along the old axis ``axes[d]``.
    mirrored
        Which of the new axes then run backwards.
    shift
        By how many points each axis is rolled then.
    """

    name: str
    axes: tuple[int, ...]
    mirrored: tuple[bool, ...]
    shift: tuple[int, ...]

    def __str__(self) -> str:
        return self.name


def _move(array: np.ndarray, move: Move) -> np.ndarray:
    if not move.axes:
        return array
    array = array.transpose(move.axes)
    array = np.flip(array, tuple(axis for axis, flip in enumerate(move.mirrored) if flip))
    return np.roll(array, move.shift, range(array.ndim)) if any(move.shift) else array


def _move_matrix(move: Move, axes: int) -> np.ndarray:
    """How vectors turn: the signed permutation matrix of the axes, (axes, axes)."""
    signs = np.where(move.mirrored or [False] * axes, -1.0, 1.0)
    return signs[:, None] * np.eye(axes)[list(move.axes or range(axes))] + 0.0


def _quarter(name: str, turns: int, mirror: bool = False) -> Move:
    """Mirror left-right if asked, then turn counter-clockwise, as `numpy.rot90` does."""
    # Two-axis moves as (axes, mirrored): r90 exchanges the axes and mirrors the first.
    axes = ((0, 1), (1, 0), (0, 1), (1, 0))[turns]
    flips = ((False, False), (True, False), (True, True), (False, True))[turns]
    if mirror:  # flips the old second axis, wherever that lies now
        place = axes.index(1)
        flips = tuple(flip ^ (axis == place) for axis, flip in enumerate(flips))  # type: ignore
    return Move(name, axes, flips, (0, 0))


_ROTATIONS = tuple(_quarter(f"r{90 * turns}", turns) for turns in range(4))
_REFLECTIONS = tuple(_quarter(f"f{90 * turns}", turns, mirror=True) for turns in range(4))
_SHIFTS = (
    Move("s0", (0, 1), (False, False), (1, 0)),
    Move("s1", (0, 1), (False, False), (0, 1)),
)


def _cube_moves(reflections: bool) -> tuple[Move, ...]:
    """List a cube's 24 rotations, or 48 symmetries, named by what becomes of the axes."""
    moves = []
    for axes in itertools.permutations(range(3)):
        for mirrored in itertools.product((False, True), repeat=3):
            signs = zip(axes, mirrored, strict=True)
            name = "".join("+-"[flip] + "xyz"[axis] for axis, flip in signs)
            moves.append(Move(name, axes, mirrored, (0, 0, 0)))
    return tuple(m for m in moves if reflections or np.linalg.det(_move_matrix(m, 3)) > 0)


def _grid_group(name: str, moves: Iterable[Move], axes: int | None, **more: Any) -> Group:
    return Group(name, tuple(moves), _move, axes, linear=_move_matrix, rearranges=True, **more)


def _point_group(name: str, moves: Iterable[Move], axes: int) -> Group:
    """Return a group of moves without shifts, whose V are the vectors of its grids."""
    moves = tuple(moves)
    index = np.array([move.axes for move in moves])
    signs = np.where([move.mirrored for move in moves], -1, 1).astype(np.int8)
    vectors = PermutationRepresentation(index, signs)
    return _grid_group(name, moves, axes, representations={"V": vectors})


GROUPS.update(
    (group.name, group)
    for group in (
        _grid_group("trivial", (Move("r0", (), (), ()),), None),
        _point_group(
            "reversal", (Move("+x", (0,), (False,), (0,)), Move("-x", (0,), (True,), (0,))), 1
        ),
        _point_group("c2", _ROTATIONS[::2], 2),
        _point_group("c4", _ROTATIONS, 2),
        _point_group("d1", (_ROTATIONS[0], _REFLECTIONS[0]), 2),
        _point_group("d2", _ROTATIONS[::2] + _REFLECTIONS[::2], 2),
        _point_group("d4", _ROTATIONS + _REFLECTIONS, 2),
        _grid_group("p4", (_ROTATIONS[1], *_SHIFTS), 2, complete=False),
        _grid_group("p4m", (_ROTATIONS[1], _REFLECTIONS[0], *_SHIFTS), 2, complete=False),
        _point_group("o", _cube_moves(reflections=False), 3),
        _point_group("oh", _cube_moves(reflections=True), 3),
    )
)


@family("z{n}", ARRAYS)
def cyclic_group(order: int) -> Group:
    """``z{n}``: the shifts of a sequence in a circle; its length divides n. V is one of n."""
    listed = np.arange(order) if order <= FEW else np.ones(1, dtype=np.int64)
    moves = [Move(f"s{step}", (0,), (False,), (step,)) for step in listed.tolist()]
    shifted = PermutationRepresentation((np.arange(order) - listed[:, None]) % order)
    return _grid_group(
        f"z{order}",
        moves,
        1,
        complete=order <= FEW,
        refuses=partial(_refuses_shifts, order),
        count=partial(int, order),
        representations={"V": shifted},
    )


def _refuses_shifts(order: int, shape: Shape) -> str | None:
    if order % shape[0]:
        return f"{order} shifts by one do not bring a sequence of {shape[0]} back to its start"
    return None
