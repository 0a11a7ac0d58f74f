"""Finite groups of matrices by name: turns of the plane, point groups, signed permutations."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
from scipy import linalg

from equibasis.symmetry.families import CRYSTALS, FEW, GROUPS, MATRICES, family
from equibasis.symmetry.group import Group
from equibasis.symmetry.listing import list_elements
from equibasis.symmetry.representations import (
    MatrixRepresentation,
    PermutationRepresentation,
    simplest,
)
from equibasis.symmetry.spaces import Shape

# --- turns and mirrors of the plane ---------------------------------------------------------------


_MIRROR = np.diag([1.0, -1.0])

# 2π in fixed point.
_BITS = 120
_CIRCLE = Fraction("6.28318530717958647692528676655900576839433879875") * 2**_BITS


def turn(part: Fraction) -> np.ndarray:
    """Return the matrix of a turn by a part of the circle, float64 (2, 2).

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
    """Sum the cosine, from 1 and power 0, or the sine, from angle and power 1, in fixed point."""
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
    angle = f"{360 // n}°" if 360 % n == 0 else f"360°/{n}"
    return (
        f"a turn by {angle} takes no square grid of points to itself; c2, c4, d1, d2 and d4 act on "
        "images"
    )


# --- point groups of space ------------------------------------------------------------------------


# What the entries of all these matrices are, up to sign: each is rounded once.
_GOLDEN = (1 + math.sqrt(5)) / 2
_ENTRIES = np.array([0.0, 0.5, 1.0, math.sqrt(0.75), _GOLDEN / 2, (_GOLDEN - 1) / 2])


def _about_z(n: int) -> np.ndarray:
    return linalg.block_diag(turn(Fraction(1, n)), 1.0)


_I = -np.eye(3)
_Z2, _Z3, _Z4, _Z6 = map(_about_z, (2, 3, 4, 6))
_X2, _MX, _MZ = np.diag([1.0, -1, -1]), np.diag([-1.0, 1, 1]), np.diag([1.0, 1, -1])
_DIAGONAL = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])  # by 120° about (1, 1, 1)

# The principal axis is z; the axis of the second place in the international symbol is x: a turn
# about it, or else a mirror perpendicular to it.
_CLASSES: dict[str, tuple[np.ndarray, ...]] = {
    "C1": (),
    "Ci": (_I,),
    "C2": (_Z2,),
    "Cs": (_MZ,),
    "C2h": (_Z2, _I),
    "D2": (_Z2, _X2),
    "C2v": (_Z2, _MX),
    "D2h": (_Z2, _X2, _I),
    "C4": (_Z4,),
    "S4": (-_Z4,),
    "C4h": (_Z4, _I),
    "D4": (_Z4, _X2),
    "C4v": (_Z4, _MX),
    "D2d": (-_Z4, _X2),
    "D4h": (_Z4, _X2, _I),
    "C3": (_Z3,),
    "S6": (_Z3, _I),
    "D3": (_Z3, _X2),
    "C3v": (_Z3, _MX),
    "D3d": (_Z3, _X2, _I),
    "C6": (_Z6,),
    "C3h": (_Z3, _MZ),
    "C6h": (_Z6, _I),
    "D6": (_Z6, _X2),
    "C6v": (_Z6, _MX),
    "D3h": (_Z3, _MZ, _MX),
    "D6h": (_Z6, _X2, _I),
    "T": (_Z2, _DIAGONAL),
    "Th": (_Z2, _DIAGONAL, _I),
    "O": (_Z4, _DIAGONAL),
    "Td": (-_Z4, _DIAGONAL),
    "Oh": (_Z4, _DIAGONAL, _I),
}

# Axes in which the matrices of trigonal and hexagonal classes are whole: a, b at 120°, and c.
_HEXAGONAL = np.array([[1.0, -0.5, 0.0], [0.0, math.sqrt(0.75), 0.0], [0.0, 0.0, 1.0]])


def crystal_class(name: str) -> Group:
    """One of the 32, by its Schoenflies symbol, with all elements as matrices on V = R³.

    They are called as in the International Tables, by what becomes of coordinates: ``-y x z``; in
    trigonal and hexagonal classes of those along a, b and c, ``-y x-y z``.
    """
    generators = _CLASSES[name] or (np.eye(3),)
    whole = all(np.isin(each, (-1.0, 0.0, 1.0)).all() for each in generators)
    return _listed(
        name, dict(zip("abc", generators, strict=False)), np.eye(3) if whole else _HEXAGONAL
    )


for _symbol in _CLASSES:
    family(_symbol, CRYSTALS)(partial(crystal_class, _symbol))


@family("i", MATRICES)
def icosahedral_group() -> Group:
    """``i``: the 60 rotations of an icosahedron with twofold axes x, y and z."""
    return _listed("i", {"C2": _Z2, "C5": _fivefold()})


@family("ih", MATRICES)
def full_icosahedral_group() -> Group:
    """``ih``: the same, with the inversion; 120 elements."""
    return _listed("ih", {"C2": _Z2, "C5": _fivefold(), "-1": _I})


def _fivefold() -> np.ndarray:
    """By 72° about the vertex (0, 1, φ)."""
    half, small, large = _ENTRIES[[1, 5, 4]]
    return np.array([[small, -large, half], [large, half, small], [-half, small, large]])


def _listed(
    name: str, generators: Mapping[str, np.ndarray], axes: np.ndarray | None = None
) -> Group:
    """All products, breadth first from the identity; called by generators, or along some axes."""
    given = MatrixRepresentation(np.stack([*generators.values()]))
    names, (every,) = list_elements(name, "V", [*generators], given)
    matrices = _rounded(every.matrices)
    if axes is not None:
        names = tuple(_coordinates(axes, matrix) for matrix in matrices)
    refuses, vectors = partial(_other, name.lower()), simplest(matrices)
    return Group(name, names, None, refuses=refuses, representations={"V": vectors})


def _other(name: str, shape: Shape) -> str | None:
    """``d4`` for ``D4``."""
    return f"{name} is the group of that name that does" if name in GROUPS else None


def _rounded(matrices: np.ndarray) -> np.ndarray:
    """Each entry as the nearest of those that there are; no negative zeros."""
    nearest = np.abs(np.abs(matrices)[..., None] - _ENTRIES).argmin(axis=-1)
    return np.copysign(_ENTRIES[nearest], matrices) + 0.0


def _coordinates(axes: np.ndarray, matrix: np.ndarray) -> str:
    rows = np.rint(np.linalg.solve(axes, matrix @ axes)).astype(int)
    return " ".join("".join(map(_term, row, "xyz")).removeprefix("+") for row in rows)


def _term(coefficient: int, letter: str) -> str:
    return {0: "", 1: f"+{letter}", -1: f"-{letter}"}[int(coefficient)]


# --- signed permutations --------------------------------------------------------------------------


@family("b{n}", MATRICES)
def hyperoctahedral_group(degree: int) -> Group:
    """``b{n}``: all signed permutations of the coordinates of V = R^n, the symmetries of a cube.

    Listed by what becomes of the coordinates, ``-2 1`` for (-x₂, x₁), or generated by ``swap``,
    ``cycle`` and ``negate``.
    """
    points = list(range(degree))
    one = [1] * degree
    of_name = {
        "swap": ([*points[:2][::-1], *points[2:]], one),
        "cycle": ([*points[1:], 0], one),
        "negate": (points, [-1, *one[1:]]),
    }
    if degree > FEW or _order(degree) > FEW:
        return _signed(f"b{degree}", of_name, complete=False, count=partial(_order, degree))
    listed = {
        " ".join(str(sign * (image + 1)) for image, sign in zip(index, signs, strict=True)): (
            index,
            signs,
        )
        for index in itertools.permutations(points)
        for signs in itertools.product((1, -1), repeat=degree)
    }
    return _signed(f"b{degree}", listed)


def _order(degree: int) -> int:
    return 2**degree * math.factorial(degree)


def _signed(
    name: str, elements: Mapping[str, tuple[Sequence[int], Sequence[int]]], **more: Any
) -> Group:
    """(ρ(g) x)[i] = signs[i] x[index[i]]."""
    index, signs = (np.array(each) for each in zip(*elements.values(), strict=True))
    vectors = PermutationRepresentation(index, signs.astype(np.int8))
    return Group(name, tuple(elements), None, representations={"V": vectors}, **more)


@family("q8", MATRICES)
def quaternion_group() -> Group:
    """``q8``: ±1, ±i, ±j, ±k, multiplying the quaternions V = R⁴ (coordinates 1, i, j, k)."""
    units = {
        "1": ((0, 1, 2, 3), (1, 1, 1, 1)),
        "i": ((1, 0, 3, 2), (-1, 1, -1, 1)),
        "j": ((2, 3, 0, 1), (-1, 1, 1, -1)),
        "k": ((3, 2, 1, 0), (-1, -1, 1, 1)),
    }
    minus = {
        f"-{unit}": (index, tuple(-s for s in signs)) for unit, (index, signs) in units.items()
    }
    return _signed("q8", {**units, **minus})
