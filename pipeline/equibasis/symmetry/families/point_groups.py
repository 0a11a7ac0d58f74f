"""Point groups of space as matrices: the 32 crystal classes, and those of the icosahedron."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from functools import partial

import numpy as np
from scipy import linalg

from equibasis.symmetry.families import CRYSTALS, GROUPS, MATRICES, family
from equibasis.symmetry.families.plane import turn
from equibasis.symmetry.group import Group
from equibasis.symmetry.listing import list_elements
from equibasis.symmetry.representations import MatrixRepresentation, simplest
from equibasis.symmetry.spaces import Shape

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


for _name in _CLASSES:
    family(_name, CRYSTALS)(partial(crystal_class, _name))


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
    matrices = _rounded(every.dense())
    if axes is not None:
        names = tuple(_coordinates(axes, matrix) for matrix in matrices)
    return Group(
        name,
        names,
        None,
        refuses=partial(_other, name.lower()),
        representations={"V": simplest(matrices)},
    )


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
