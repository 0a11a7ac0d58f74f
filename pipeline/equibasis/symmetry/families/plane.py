"""Turns and mirrors of the plane, of any order."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import partial

import numpy as np

from equibasis.symmetry.families import FEW, MATRICES, family
from equibasis.symmetry.group import Group
from equibasis.symmetry.representations import simplest
from equibasis.symmetry.spaces import Shape

_MIRROR = np.diag([1.0, -1.0])

# 2π in fixed point.
_BITS = 120
_CIRCLE = Fraction("6.28318530717958647692528676655900576839433879875") * 2**_BITS


def turn(part: Fraction) -> np.ndarray:
    """The matrix of a turn by a part of the circle, float64 (2, 2).

    Angles that symmetries of the square make alike have the same bits, up to signs.
    """
    c, s = _cosine(part), _cosine(part - Fraction(1, 4))
    return np.array([[c, -s], [s, c]])


def _cosine(part: Fraction) -> float:
    """cos(2π part), correctly rounded, so the same on every machine."""
    part = min(part % 1, -part % 1)
    if part > Fraction(1, 4):
        return -_cosine(Fraction(1, 2) - part)
    if part <= Fraction(1, 8):
        return _series(int(part * _CIRCLE), 1 << _BITS, 0)
    angle = int((Fraction(1, 4) - part) * _CIRCLE)
    return _series(angle, angle, 1)


def _series(angle: int, term: int, power: int) -> float:
    """The cosine, from 1 and power 0, or the sine, from the angle and power 1, in fixed point."""
    total, sign = 0, 1
    while term:
        total += sign * term
        power += 2
        term = (term * angle * angle >> 2 * _BITS) // (power * (power - 1))
        sign = -sign
    return total / (1 << _BITS)


@family("c{n}", MATRICES)
def rotations(order: int) -> Group:
    """``c{n}``: turns of the plane V by multiples of 360°/n."""
    return _of_plane("c", order, mirrors=(False,))


@family("d{n}", MATRICES)
def rotations_and_reflections(order: int) -> Group:
    """``d{n}``: the same, with the mirrors; 2n elements."""
    return _of_plane("d", order, mirrors=(False, True))


def _of_plane(letter: str, n: int, mirrors: Sequence[bool]) -> Group:
    complete = n * len(mirrors) <= FEW
    if complete:
        listed = [(step, mirror) for mirror in mirrors for step in range(n)]
    else:
        listed = [(1, False), *[(0, True)] * (len(mirrors) - 1)]
    matrices = [turn(Fraction(k, n)) @ (_MIRROR if m else np.eye(2)) for k, m in listed]
    return Group(
        f"{letter}{n}",
        tuple(_name(n, *each) for each in listed),
        None,
        complete=complete,
        refuses=partial(_refuses_arrays, n),
        count=partial(int, n * len(mirrors)),
        representations={"V": simplest(np.stack(matrices) + 0.0)},
    )


def _name(n: int, step: int, mirror: bool) -> str:
    """``r120``, or ``r1/7`` of the circle; ``f120`` mirrors before it turns."""
    part = f"{360 * step // n}" if 360 % n == 0 else f"{step}/{n}" if step else "0"
    return f"{'f' if mirror else 'r'}{part}"


def _refuses_arrays(n: int, shape: Shape) -> str:
    if n == 1:
        return "use trivial"
    if len(shape) == 1:
        return f"a sequence does not turn; z{n} shifts it in a circle"
    return (
        f"a turn by {_degrees(n)} takes no square grid of points to itself; c2, c4, d1, d2 and d4 "
        "act on images"
    )


def _degrees(n: int) -> str:
    return f"{360 // n}°" if 360 % n == 0 else f"360°/{n}"
