"""Symmetry-adapted coordinates of orbit types, in which equivariant maps are block diagonal.

By Schur's lemma a map that commutes with G sends copies of an irrep to copies of the same irrep,
by a matrix over its commutant: the reals, the complex numbers or the quaternions.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from equibasis.errors import EquibasisError
from equibasis.symmetry.constructions import at_elements
from equibasis.symmetry.hom_space import HomSpace
from equibasis.symmetry.irreps import Decomposition, decompose
from equibasis.symmetry.representations import (
    MatrixRepresentation,
    PermutationRepresentation,
    Representation,
)

# The longest orbit that is decomposed, by dense matrices of its size.
LONGEST_ORBIT = 128

# More types than this are not compared with one another.
MOST_TYPES = 64

# From this length on, a Fourier transform is faster than a matrix.
_SHORTEST_FOURIER = 32


def isotypic(space: HomSpace) -> Decomposition | None:
    """Bases of the small representations of X and Y in which they fall apart into irreps.

    ``None`` where an orbit is longer than `LONGEST_ORBIT`, where there are many types, or where
    rounding hides how a representation falls apart.
    """
    small = space.types.representations
    if len(small) > MOST_TYPES or max(rho.dimension for rho in small) > LONGEST_ORBIT:
        return None
    try:
        return decompose(of_one_kind(space), space.continuous)
    except (EquibasisError, np.linalg.LinAlgError):
        return None


def of_one_kind(space: HomSpace) -> list[Representation]:
    """The small representations as `decompose` takes them.

    All permutations, of generators alone; or all matrices, of all elements; or as they are, where
    the group is continuous.
    """
    small = space.types.representations
    if space.continuous:
        return list(small)
    if all(isinstance(rho, PermutationRepresentation) for rho in small):
        return [at_elements(rho, space.generating or (-1,)) for rho in small]
    return [MatrixRepresentation(rho.dense()) for rho in space.enumerated.types.representations]


@dataclass(frozen=True, eq=False)
class Torus:
    """An orbit that is a torus of shifts.

    Attributes
    ----------
    cycles
        The orders of the shifts.
    points
        The points of the orbit, row-major in the exponents of the shifts, from point 0: int64 (t,).
    """

    cycles: tuple[int, ...]
    points: np.ndarray


def torus(space: HomSpace) -> Torus | None:
    """The torus, where X and Y are copies of one orbit type and the group is its shifts."""
    (rho, *others) = space.types.representations
    if others or not isinstance(rho, PermutationRepresentation) or rho.signs is not None:
        return None
    if rho.dimension < _SHORTEST_FOURIER:
        return None
    moves = rho.index[list(space.generating)]
    if any(not np.array_equal(a[b], b[a]) for a, b in itertools.combinations(moves, 2)):
        return None
    cycles: list[int] = []
    points = np.zeros(1, dtype=np.int64)
    for move in moves:
        layers = [points]
        inside = set(points.tolist())
        while not set((image := move[layers[-1]]).tolist()) & inside:
            layers.append(image)
        if not np.array_equal(image, points):
            return None  # the generators are not independent
        if len(layers) > 1:
            cycles.append(len(layers))
            points = np.stack(layers, axis=1).ravel()
    return Torus(tuple(cycles), points) if len(points) == rho.dimension else None
