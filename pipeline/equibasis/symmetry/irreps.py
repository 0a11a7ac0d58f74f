"""Irreducible representations: how small representations fall apart, in matching bases.

An irreducible real representation V is q copies of R, C or H: its own maps are D = R, C or H, of
dimension δ, and V = R^q ⊗ D with D acting on the second factor alone. By Schur's lemma a map that
commutes with G sends copies of an irrep to copies of the same irrep, by a matrix over D.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from scipy import sparse

from equibasis.errors import EquibasisError
from equibasis.linalg.kernel import commutator, projected
from equibasis.symmetry.constructions import at_elements
from equibasis.symmetry.hom_space import HomSpace
from equibasis.symmetry.lie import lie_algebra
from equibasis.symmetry.pair_orbits import pair_orbits
from equibasis.symmetry.representations import (
    MatrixRepresentation,
    PermutationRepresentation,
    Representation,
)

# What counts as zero, or as equal eigenvalues. A map drawn at random that is smaller than this by
# accident is found by the check, and another is drawn.
_ZERO = 1e-8

# Maps are drawn at random by fours, until bases are found.
_SEEDS = range(12)


@dataclass(frozen=True, eq=False)
class Irrep:
    """An irreducible representation V, with one copy of it to which all others are matched.

    Attributes
    ----------
    degree
        q, with dim V = q δ.
    commutant
        D as matrices, a basis with 1 first, orthogonal and of square norm δ: float64 (δ, δ, δ).
    holder
        Which representation holds the copy.
    copy
        Its orthonormal basis, columns (i, j) with i < q and j < δ: float64 (t, qδ).
    """

    degree: int
    commutant: np.ndarray
    holder: int
    copy: np.ndarray

    @property
    def dimension(self) -> int:
        """δ, the dimension of D: 1, 2 or 4 for the real, complex and quaternionic type."""
        return len(self.commutant)


@dataclass(frozen=True, eq=False)
class Decomposition:
    """Symmetry-adapted bases of several representations ρ: one list of irreps for all.

    Attributes
    ----------
    irreps
        All that occur, by type and dimension.
    multiplicities
        How often each occurs in each, int64 (representations, irreps).
    forward, backward
        For each ρ, float64 (t, t): x -> its coordinates, in the order (irrep, j < δ, i < q, copy),
        and back. In these, every map that commutes with G is I_q ⊗ (copies × copies over D) for
        each irrep, and zero between irreps. Transposes of each other where ρ is orthogonal.
    """

    irreps: tuple[Irrep, ...]
    multiplicities: np.ndarray
    forward: tuple[np.ndarray, ...]
    backward: tuple[np.ndarray, ...]

    def rows(self, representation: int, irrep: int) -> np.ndarray:
        """Where the coordinates of an irrep are in a representation: int64 (δ, q, copies)."""
        counts = self.multiplicities[representation]
        sizes = [v.degree * v.dimension * n for v, n in zip(self.irreps, counts, strict=True)]
        v, n = self.irreps[irrep], int(counts[irrep])
        first = int(sum(sizes[:irrep]))
        return first + np.arange(sizes[irrep]).reshape(v.dimension, v.degree, n)


def decompose(representations: Sequence[Representation], continuous: int = 0) -> Decomposition:
    """Bases in which representations fall apart into irreps, copies of one irrep alike in all.

    Eigenspaces of a symmetric map that commutes with ρ, drawn at random, are irreducible; a map
    between two of them, drawn at random, is zero or a multiple of an isometry (Schur), which
    matches their bases.
    Source: Serre, *Linear Representations of Finite Groups*, §2.2 and §13.2; Maehara and Murota
    (2010), *A numerical algorithm for block-diagonal decomposition of matrix *-algebras*.

    Parameters
    ----------
    representations
        Of one group, all (signed) permutations of the same generators, or all matrices of all
        elements in the same order; of a continuous group, all orthogonal.
    continuous
        How many of the last elements listed are of the Lie algebra.

    Raises
    ------
    EquibasisError
        If no bases are found within rounding, or a continuous group is not orthogonal.
    """
    unitary = [_orthogonal(rho) for rho in representations]
    acting: list[Sequence[sparse.csr_array]] = []
    if continuous:
        discrete = range(representations[0].order - continuous)
        acting += lie_algebra(representations, continuous).basis
        acting += [[rho.matrix(h) for rho in representations] for h in discrete]

    def draw(source: int, target: int, seed: int) -> np.ndarray:
        pairs = [(each[source], each[target]) for each in acting]
        return _random_map(unitary[source][0], unitary[target][0], seed, pairs)

    for seeds in zip(*[iter(_SEEDS)] * 4, strict=True):
        if (found := _decompose(unitary, seeds, draw)) is not None:
            return found
    raise EquibasisError("the representations do not fall apart within rounding")


# A representation in coordinates in which it is orthogonal, the change to these, and back.
_Orthogonal: TypeAlias = tuple[Representation, np.ndarray | None, np.ndarray | None]


def _orthogonal(rho: Representation) -> _Orthogonal:
    if rho.is_orthogonal:
        return rho, None, None
    if rho.algebra:
        raise EquibasisError("irreps of a continuous group are found where it is orthogonal")
    matrices = rho.matrices
    values, vectors = np.linalg.eigh(np.einsum("gji,gjk->ik", matrices, matrices) / rho.order)
    root = (vectors * np.sqrt(values)) @ vectors.T
    inverse = (vectors / np.sqrt(values)) @ vectors.T
    return MatrixRepresentation(root @ matrices @ inverse), root, inverse


def _scattered(count: int, seed: int) -> np.ndarray:
    """Random numbers from -1 to 1; NumPy promises this generator's stream never to change."""
    return np.random.RandomState(seed).uniform(-1, 1, count)


def _random_map(
    source: Representation,
    target: Representation,
    seed: int,
    pairs: Sequence[tuple[sparse.csr_array, sparse.csr_array]],
) -> np.ndarray:
    """Return some map that commutes with the group, (t_target, t_source).

    ``pairs`` are the matrices of a continuous group that it has to commute with.
    """
    shape = target.dimension, source.dimension
    if pairs:
        start = _scattered(math.prod(shape), seed)
        demanded = sparse.csr_array(sparse.vstack([commutator(*pair) for pair in pairs]))
        operator = sparse.csr_array(demanded.T @ demanded)
        return projected(operator, start[:, None]).reshape(shape)
    if isinstance(source, PermutationRepresentation) and isinstance(
        target, PermutationRepresentation
    ):
        labels, signs = pair_orbits(source, target)
        values = np.append(_scattered(labels.max() + 1, seed), 0.0)[labels]
        return (values * signs).reshape(shape)
    start = _scattered(math.prod(shape), seed).reshape(shape)
    terms = target.matrices @ start @ source.matrices.transpose(0, 2, 1)
    return terms.mean(axis=0)


def _decompose(
    representations: Sequence[_Orthogonal],
    seeds: tuple[int, ...],
    draw: Callable[[int, int, int], np.ndarray],
) -> Decomposition | None:
    irreps: list[Irrep] = []
    members: dict[tuple[int, int], list[np.ndarray]] = {}  # by kind and irrep: bases of the copies
    for kind in range(len(representations)):
        commuting = [draw(kind, kind, seed) for seed in seeds]
        holders = {irrep.holder for irrep in irreps}
        to_known = {known: draw(known, kind, seeds[0]) for known in holders}
        to_known[kind] = commuting[0]
        for space in _eigenspaces(commuting[-1]):
            for number, irrep in enumerate(irreps):
                matched = _matched(space, to_known[irrep.holder], irrep)
                if matched is not None:
                    members.setdefault((kind, number), []).append(matched)
                    break
            else:
                new = _new_irrep(kind, space, commuting)
                if new is None:
                    return None
                members[kind, len(irreps)] = [new.copy]
                irreps.append(new)
    return _assembled(representations, irreps, members)


def _eigenspaces(commuting: np.ndarray) -> list[np.ndarray]:
    values, vectors = np.linalg.eigh((commuting + commuting.T) / 2)
    cuts = np.flatnonzero(np.diff(values) > _ZERO * np.abs(values).max(initial=1e-300)) + 1
    return np.split(vectors, cuts, axis=1)


def _matched(space: np.ndarray, to_space: np.ndarray, irrep: Irrep) -> np.ndarray | None:
    """Return a basis of a subspace where the group acts as in the irrep's copy, if any."""
    if space.shape[1] != irrep.copy.shape[1]:
        return None
    between = space.T @ to_space @ irrep.copy
    size = math.sqrt(float(np.square(between).sum()) / len(between))
    if size <= _ZERO:  # maps are drawn of size one
        return None
    return space @ between / size


def _new_irrep(kind: int, space: np.ndarray, commuting: Sequence[np.ndarray]) -> Irrep | None:
    """Return an irrep from a first copy of it: its division algebra, and a basis that shows it."""
    dimension = space.shape[1]
    units = [np.eye(dimension)]
    for whole in commuting:
        rest = space.T @ whole @ space
        for unit in units:
            rest = rest - unit * (float((unit * rest).sum()) / dimension)
        size = math.sqrt(float(np.square(rest).sum()) / dimension)
        if size > _ZERO:
            units.append(rest / size)
    division = len(units)
    if division not in (1, 2, 4) or dimension % division:
        return None
    basis = np.zeros((dimension, 0))
    while basis.shape[1] < dimension:
        left = np.eye(dimension) - basis @ basis.T
        first = left[:, int(np.argmax(np.round(np.diag(left), 9)))]
        first = first / np.linalg.norm(first)
        basis = np.concatenate([basis, *(unit @ first[:, None] for unit in units)], axis=1)
    acting = [(basis.T @ unit @ basis)[:division, :division] for unit in units]
    return Irrep(dimension // division, np.stack(acting), kind, space @ basis)


def _assembled(
    representations: Sequence[_Orthogonal],
    irreps: Sequence[Irrep],
    members: Mapping[tuple[int, int], Sequence[np.ndarray]],
) -> Decomposition | None:
    # Irreps of one size follow on one another, so that they can be multiplied at once.
    order = sorted(range(len(irreps)), key=lambda n: (irreps[n].dimension, irreps[n].degree))
    irreps = [irreps[number] for number in order]
    multiplicities = np.zeros((len(representations), len(irreps)), dtype=np.int64)
    forward, backward = [], []
    for kind, (rho, change, back) in enumerate(representations):
        rows, n = [], rho.dimension
        for number, before in enumerate(order):
            if found := members.get((kind, before)):
                multiplicities[kind, number] = len(found)
                shape = n, irreps[number].degree, irreps[number].dimension
                stacked = np.stack(found).reshape(len(found), *shape)
                rows.append(stacked.transpose(3, 2, 0, 1).reshape(-1, n))
        analysis = np.concatenate(rows)
        error = np.abs(analysis @ analysis.T - np.eye(len(analysis))).max()
        if analysis.shape != (n, n) or not error <= 1e-10:
            return None
        forward.append(analysis if change is None else analysis @ change)
        backward.append(analysis.T.copy() if back is None else back @ analysis.T)
    return Decomposition(tuple(irreps), multiplicities, tuple(forward), tuple(backward))


# --- symmetry-adapted coordinates of orbit types --------------------------------------------------


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
    """Return the small representations as `decompose` takes them.

    All permutations, of generators alone; or all matrices, of all elements; or as they are, where
    the group is continuous.
    """
    small = space.types.representations
    if space.continuous:
        return list(small)
    if all(isinstance(rho, PermutationRepresentation) for rho in small):
        return [at_elements(rho, space.generating or (-1,)) for rho in small]
    return [MatrixRepresentation(rho.matrices) for rho in space.enumerated.types.representations]


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
    """Return the torus, where X and Y are copies of one orbit type and the group is its shifts."""
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
        while (image := move[layers[-1]])[0] not in points:  # cosets are equal or disjoint
            layers.append(image)
        if not np.array_equal(image, points):
            return None  # the generators are not independent
        if len(layers) > 1:
            cycles.append(len(layers))
            points = np.stack(layers, axis=1).ravel()
    return Torus(tuple(cycles), points) if len(points) == rho.dimension else None
