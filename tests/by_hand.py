"""Mathematics by hand: explicit matrices and flood fills, nothing that is under test."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import hypothesis.strategies as st
import numpy as np

import equibasis as eb
from equibasis.solvers.tables import MatrixTable, Table
from equibasis.symmetry.assembled import assembled
from equibasis.symmetry.representations import (
    MatrixRepresentation,
    PermutationRepresentation,
    Representation,
)

ELEMENTS = {
    "trivial": ("r0",),
    "c2": ("r0", "r180"),
    "c4": ("r0", "r90", "r180", "r270"),
    "d4": ("r0", "r90", "r180", "r270", "f0", "f90", "f180", "f270"),
}

# The same basis is looked at from many sides; it is solved once.
solved = functools.cache(eb.solve)


def rotations(n: int) -> dict[str, np.ndarray]:
    """The Lie algebra of the rotations of R^n: L_ij turns axis i into axis j."""
    algebra = {}
    for j in range(n):
        for i in range(j):
            algebra[f"L{i}{j}"] = matrix = np.zeros((n, n))
            matrix[j, i], matrix[i, j] = 1, -1
    return algebra


SO3 = eb.matrix_group("rotations", algebra=rotations(3))
O3 = eb.matrix_group("rotations and reflections", [-np.eye(3)], algebra=rotations(3))


def lorentz() -> dict[str, np.ndarray]:
    """The Lie algebra of the maps of R^4 that keep η = diag(1, -1, -1, -1)."""
    metric = np.diag([1.0, -1, -1, -1])
    return {name: each @ metric for name, each in rotations(4).items()}


REFLECTIONS = {"T": np.diag([-1.0, 1, 1, 1]), "P": np.diag([1.0, -1, -1, -1])}
LORENTZ = eb.matrix_group("lorentz", REFLECTIONS, algebra=lorentz())


# --- actions on a square grid -------------------------------------------------------------------


def grid_permutation(element: str, side: int) -> np.ndarray:
    """index with (ρ(g) x)[i] = x[index[i]], pixel by pixel."""
    index = np.empty((side, side), dtype=int)
    for i in range(side):
        for j in range(side):
            row, column = i, j
            for _ in range(int(element[1:]) // 90):  # counter-clockwise: what was right is on top
                row, column = column, side - 1 - row
            if element.startswith("f"):
                column = side - 1 - column
            index[i, j] = row * side + column
    return index.ravel()


def grid_permutations(group: str, side: int) -> np.ndarray:
    return np.stack([grid_permutation(element, side) for element in ELEMENTS[group]])


# --- representations and the spaces of their maps -----------------------------------------------


def permutation_matrices(index: np.ndarray) -> np.ndarray:
    return np.eye(index.shape[1])[index]


def matrices(rho: Representation) -> np.ndarray:
    if isinstance(rho, PermutationRepresentation):
        signs = np.ones(rho.index.shape) if rho.signs is None else rho.signs
        return permutation_matrices(rho.index) * signs[:, :, None]
    return rho.matrices


def reynolds(rho1: np.ndarray, rho2: np.ndarray) -> np.ndarray:
    """1/|G| Σ ρ₂(g) ⊗ ρ₁(g)⁻ᵀ, term by term."""
    terms = [np.kron(b, np.linalg.inv(a).T) for a, b in zip(rho1, rho2, strict=True)]
    return sum(terms) / len(terms)


def trace_formula(rho1: np.ndarray, rho2: np.ndarray) -> float:
    """1/|G| Σ tr ρ₂(g) tr ρ₁(g)⁻¹."""
    pairs = zip(rho1, rho2, strict=True)
    return sum(np.trace(b) * np.trace(np.linalg.inv(a)) for a, b in pairs) / len(rho1)


def burnside(index1: np.ndarray, index2: np.ndarray) -> float:
    """The mean number of fixed pairs: Burnside's lemma."""
    fixed = [
        sum(int(p == q) for q, p in enumerate(row1)) * sum(int(p == q) for q, p in enumerate(row2))
        for row1, row2 in zip(index1, index2, strict=True)
    ]
    return sum(fixed) / len(fixed)


def orbits(index1: np.ndarray, index2: np.ndarray) -> list[list[int]]:
    """The orbits of G on pairs (o, i), each sorted, as positions o·m + i: flood fill."""
    m = index1.shape[1]
    unseen, found = set(range(index2.shape[1] * m)), []
    while unseen:
        start = min(unseen)
        orbit = {
            int(b[start // m]) * m + int(a[start % m]) for a, b in zip(index1, index2, strict=True)
        }
        unseen -= orbit
        found.append(sorted(orbit))
    return found


def invariance_error(space: eb.HomSpace, basis: eb.Basis) -> float:
    """max |ρ₂(g) W - W ρ₁(g)| over all g and all basis vectors W."""
    stack = dense(basis).T.reshape(-1, space.k, space.m)
    pairs = zip(matrices(space.input), matrices(space.output), strict=True)
    return max((abs(b @ stack - stack @ a).max(initial=0.0) for a, b in pairs), default=0.0)


def dense(basis: eb.Basis) -> np.ndarray:
    return basis.matrix.toarray()


def ordered(matrix: np.ndarray) -> np.ndarray:
    """Columns made positive at their first rows, and ordered by these."""
    first = (matrix != 0).argmax(axis=0)
    positive = matrix * np.where(matrix[first, range(matrix.shape[1])] < 0, -1.0, 1.0)
    return positive[:, np.argsort(first, kind="stable")] + 0.0


def projector(space: eb.HomSpace) -> np.ndarray:
    """The orthogonal projector on the equivariant maps: on the image of the Reynolds operator."""
    U, s, _ = np.linalg.svd(reynolds(matrices(space.input), matrices(space.output)))
    return U[:, s > 0.5] @ U[:, s > 0.5].T


def with_tables(basis: eb.Basis, change: Callable[[Table], Table]) -> eb.Basis:
    """The same basis with each of its tables changed."""
    tables = tuple(tuple(change(table) for table in row) for row in basis.tables)
    return replace(basis, tables=tables)


def with_types(
    basis: eb.Basis, representations: Sequence[Representation], **changes: object
) -> eb.Basis:
    """The same basis with other representations of its types, as a file might say."""
    types = replace(basis.space.types, representations=tuple(representations))
    space = replace(
        basis.space,
        input=assembled(types.input, types.representations),
        output=assembled(types.output, types.representations),
        **changes,
    )
    vars(space)["types"] = types
    return replace(basis, space=space)


def values(basis: eb.Basis) -> np.ndarray:
    """The basis of a single pair of types of matrices."""
    ((table,),) = basis.tables
    return table.values


def with_values(basis: eb.Basis, changed: np.ndarray) -> eb.Basis:
    """The same basis of a single pair of types with other values."""
    ((_,),) = basis.tables
    return replace(basis, tables=((MatrixTable(np.asarray(changed)),),))


# --- random groups ------------------------------------------------------------------------------


def generated_group(generators: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """All products of some permutations, the identity first."""
    identity = tuple(range(len(generators[0])))
    group, fresh = {identity}, {identity}
    while fresh:
        fresh = {tuple(g[i] for i in h) for g in generators for h in fresh} - group
        group |= fresh
    return [identity, *sorted(group - {identity})]


def natural_action(group: list[tuple[int, ...]]) -> np.ndarray:
    return np.array(group)


def fixed_point_added(group: list[tuple[int, ...]]) -> np.ndarray:
    return np.pad(group, ((0, 0), (0, 1)), constant_values=len(group[0]))


def regular_action(group: list[tuple[int, ...]]) -> np.ndarray:
    """g · h = g∘h on the group itself."""
    place = {element: number for number, element in enumerate(group)}
    return np.array([[place[tuple(g[i] for i in h)] for h in group] for g in group])


def trivial_action(group: list[tuple[int, ...]]) -> np.ndarray:
    return np.zeros((len(group), 1), dtype=int)


def hom_space(
    rho1: Representation, rho2: Representation, name: str = "random", complete: bool = True
) -> eb.HomSpace:
    elements = tuple(f"g{number}" for number in range(rho1.order))
    # One dimension need not be the scalars, on which a group acts trivially.
    sides = [eb.Grid((rho.dimension,)) if rho.dimension > 1 else eb.V for rho in (rho1, rho2)]
    return eb.HomSpace(
        group=name,
        elements=elements,
        input_space=sides[0],
        output_space=sides[1],
        input=rho1,
        output=rho2,
        complete=complete,
    )


def conjugated(rho: np.ndarray, by: np.ndarray) -> np.ndarray:
    return by @ rho @ np.linalg.inv(by)


def random_orthogonal(n: int, seed: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((n, n)))[0]


def random_well_conditioned(n: int, seed: int) -> np.ndarray:
    """Singular values between 1/2 and 2."""
    stretch = np.random.default_rng(seed).uniform(0.5, 2.0, n)
    return random_orthogonal(n, seed) * stretch @ random_orthogonal(n, seed + 1)


QUATERNIONS = [(1, 2, 3, 0, 5, 6, 7, 4), (4, 7, 6, 5, 2, 1, 0, 3)]  # i and j
PENTAGON = [(1, 2, 3, 4, 0), (0, 4, 3, 2, 1)]  # a turn and a mirror
TETRAHEDRON = [(1, 2, 0, 3), (1, 0, 3, 2)]


def random_permutations(points: int, count: int, seed: int) -> list[tuple[int, ...]]:
    generator = np.random.default_rng(seed)
    return [tuple(generator.permutation(points).tolist()) for _ in range(count)]


seeds = st.integers(0, 2**32 - 2)

permutation_groups = st.one_of(
    st.builds(random_permutations, st.integers(1, 4), st.just(2), seeds),  # at most 4! elements
    st.builds(random_permutations, st.integers(5, 7), st.just(1), seeds),  # cyclic
    st.sampled_from([QUATERNIONS, PENTAGON, TETRAHEDRON]),
).map(generated_group)


@st.composite
def permutation_actions(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Two actions of one random group of at most 24 elements, on at most 8 points each."""
    group = draw(permutation_groups)
    small = [regular_action] if len(group) <= 8 else []
    actions = st.sampled_from([natural_action, fixed_point_added, trivial_action, *small])
    return draw(actions)(group), draw(actions)(group)


permutation_spaces = permutation_actions().map(
    lambda actions: hom_space(*map(PermutationRepresentation, actions))
)


def _matrix_spaces(draw: st.DrawFn, change_of_basis) -> eb.HomSpace:
    """Permutation representations, maybe times the sign, each seen in another basis."""
    pair = []
    for action in draw(permutation_actions()):
        rho = permutation_matrices(action)
        if draw(st.booleans()):
            rho = rho * np.round(np.linalg.det(rho))[:, None, None]
        rho = conjugated(rho, change_of_basis(action.shape[1], draw(seeds)))
        pair.append(MatrixRepresentation(rho))
    return hom_space(*pair)


@st.composite
def orthogonal_spaces(draw: st.DrawFn) -> eb.HomSpace:
    return _matrix_spaces(draw, random_orthogonal)


@st.composite
def non_orthogonal_spaces(draw: st.DrawFn) -> eb.HomSpace:
    return _matrix_spaces(draw, random_well_conditioned)


spaces = st.one_of(permutation_spaces, orthogonal_spaces(), non_orthogonal_spaces())


# --- random groups by generators, signed ones and orthogonal ones ------------------------------


@dataclass(frozen=True)
class Problem:
    """Two representations of one group: of some generators, and of all its elements."""

    generators: tuple[np.ndarray, np.ndarray]
    elements: tuple[np.ndarray, np.ndarray]

    @property
    def generated(self) -> eb.HomSpace:
        return hom_space(*map(structured, self.generators), complete=False)

    @property
    def listed(self) -> eb.HomSpace:
        return hom_space(*map(structured, self.elements))

    @property
    def rank(self) -> int:
        mean = trace_formula(*self.elements)
        assert abs(mean - round(mean)) < 1e-9
        return round(mean)


def structured(rho: np.ndarray) -> Representation:
    """(Signed) permutation matrices as index arrays, others as they are."""
    if not np.isin(rho, (-1, 0, 1)).all():
        return MatrixRepresentation(rho)
    signs = rho.sum(axis=2).astype(np.int8)
    return PermutationRepresentation(
        np.abs(rho).argmax(axis=2), None if (signs > 0).all() else signs
    )


def closure(generators: list[np.ndarray]) -> list[np.ndarray]:
    """All products of some matrices, the identity first."""
    found = [np.eye(len(generators[0]))]
    known = {(np.round(found[0], 6) + 0.0).tobytes()}
    for one in found:  # grows while it is walked
        for g in generators:
            key = (np.round(g @ one, 6) + 0.0).tobytes()
            if key not in known:
                known.add(key)
                found.append(g @ one)
    return found


def direct_sum(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.block([[a, np.zeros((len(a), len(b)))], [np.zeros((len(b), len(a))), b]])


# Homomorphisms from signed permutation matrices to signed permutation matrices.
PERMUTING = {
    "absolute": np.abs,
    "absolute and fixed": lambda g: direct_sum(np.eye(1), np.abs(g)),
    "trivial": lambda g: np.eye(1),
    "pairs": lambda g: np.kron(np.abs(g), np.abs(g)) if len(g) <= 3 else np.abs(g),
}
SIGNED = {
    "natural": lambda g: g,
    "determinant": lambda g: np.round(np.linalg.det(g)).reshape(1, 1) + 0.0,
    "times determinant": lambda g: g * np.round(np.linalg.det(g)) + 0.0,
    "sum": lambda g: direct_sum(g, np.abs(g)),
    "twice": lambda g: direct_sum(g, g),
    "square": lambda g: np.kron(g, g) if len(g) <= 3 else g,
}


def signed_permutation_matrix(images: tuple[int, ...], negated: int) -> np.ndarray:
    signs = [-1.0 if negated >> i & 1 else 1.0 for i in range(len(images))]
    return permutation_matrices(np.array([images]))[0] * np.array(signs)[:, None]


@st.composite
def problems(draw: st.DrawFn, actions: dict) -> Problem:
    """Two actions of a group that random signed permutations generate: at most 48 elements."""
    n = draw(st.integers(1, 5))
    count = draw(st.integers(1, 3)) if n <= 3 else 1
    generators = [
        signed_permutation_matrix(
            tuple(draw(st.permutations(range(n)))), draw(st.integers(0, 2**n - 1))
        )
        for _ in range(count)
    ]
    names = st.sampled_from(sorted(actions))
    pair = [actions[draw(names)], actions[draw(names)]]
    elements = closure(generators)
    return Problem(
        tuple(np.stack([action(g) for g in generators]) for action in pair),
        tuple(np.stack([action(g) for g in elements]) for action in pair),
    )


@st.composite
def orthogonal_problems(draw: st.DrawFn) -> Problem:
    """The same, each side seen in another orthonormal basis."""
    problem = draw(problems(SIGNED | PERMUTING))
    turns = [random_orthogonal(rho.shape[1], draw(seeds)) for rho in problem.elements]

    def turned(pair: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, ...]:
        return tuple(by @ rho @ by.T for rho, by in zip(pair, turns, strict=True))

    return Problem(turned(problem.generators), turned(problem.elements))
