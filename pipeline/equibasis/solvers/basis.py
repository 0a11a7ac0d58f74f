"""The Basis: what a solver returns and a file holds, and the checks that hold it to account."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import sparse

from equibasis.errors import EquibasisError
from equibasis.linalg.canonical import canonical_basis
from equibasis.linalg.columns import (
    Columns,
    OrbitColumns,
    as_csc,
    count_labels,
    in_order,
    row_blocks,
    structured,
)
from equibasis.linalg.components import diagonal_blocks
from equibasis.solvers.reynolds import hom_dimension
from equibasis.symmetry.coordinates import Coordinates
from equibasis.symmetry.hom_space import HomSpace
from equibasis.symmetry.pair_orbits import pair_images
from equibasis.symmetry.representations import PermutationRepresentation, direct_sum
from equibasis.symmetry.spaces import SCALAR, Shape, Sum

# The largest error that a basis may have: rounding leaves about 1e-15, a wrong basis about 1.
TOLERANCE = 1e-10


@dataclass(frozen=True)
class Checks:
    """How well a basis satisfies its definition.

    Attributes
    ----------
    orthonormality_error
        max |BᵀB - I|.
    equivariance_error
        max |ρ₂(g) W ρ₁(g⁻¹) - W| over columns W and elements g that generate the group.
    rank_expected
        dim Hom_G(X, Y) from characters.
    """

    orthonormality_error: float
    equivariance_error: float
    rank_expected: int


@dataclass(frozen=True, eq=False)
class Basis:
    """An orthonormal, canonical basis of Hom_G(X, Y), or of the invariants of Y.

    Attributes
    ----------
    space
        Group, spaces and representations.
    columns
        The basis as it is kept: orbits, sparse or dense. ``matrix`` is the same as a matrix.
    solver
        Name of the solver that found it; not part of what the basis is.
    checks
        Its errors, measured when it was solved.
    coordinates
        Symmetry-adapted coordinates of the space, where they were read from a file.
    """

    space: HomSpace
    columns: Columns
    solver: str
    checks: Checks
    coordinates: Coordinates | None = None

    def __post_init__(self) -> None:
        columns, rows = self.columns, self.space.dimension
        if columns.shape[0] != rows or len(columns.shape) != 2:
            raise EquibasisError(
                f"a basis of {self.space} is a matrix of {rows:,} rows, not of shape "
                f"{columns.shape}"
            )
        if not isinstance(columns, OrbitColumns) and columns.dtype != np.float64:
            raise EquibasisError(f"a basis is a matrix of float64, not of {columns.dtype}")

    @cached_property
    def matrix(self) -> sparse.csc_array | np.ndarray:
        """B of shape (k*m, r), float64: `scipy.sparse.csc_array`, or `numpy.ndarray` if dense.

        Column j is vec(W_j), row-major: W_j[o, i] = B[o * m + i, j].
        """
        return self.columns.tocsc() if isinstance(self.columns, OrbitColumns) else self.columns

    @property
    def rank(self) -> int:
        """r, the dimension of the subspace."""
        return int(self.columns.shape[1])

    @property
    def kind(self) -> str:
        """``"equivariant"`` or ``"invariant"``."""
        return self.space.kind

    @property
    def group(self) -> str:
        """Name of the group."""
        return self.space.group

    @property
    def input_shape(self) -> Shape:
        """Shape of the arrays in X; ``()`` for invariant vectors."""
        return self.space.input_shape

    @property
    def output_shape(self) -> Shape:
        """Shape of the arrays in Y."""
        return self.space.output_shape

    def __repr__(self) -> str:
        return f"Basis({self.space}, rank {self.rank}, by {self.solver})"


def make_basis(space: HomSpace, columns: Columns, solver: str) -> Basis:
    """A `Basis` with its errors measured and its columns in the form that suits them.

    Raises
    ------
    EquibasisError
        If the rank is not the one that the group gives, or an error exceeds `TOLERANCE`.
    """
    kept = structured(columns)
    checks = measure(space, kept)
    check_errors(kept.shape[1], checks)
    if isinstance(kept, OrbitColumns) and not in_order(kept):
        raise EquibasisError("the orbits are not numbered in their order")
    return Basis(space, kept, solver, checks)


def with_scalars(basis: Basis, invariants: Basis, count: int) -> Basis:
    """The basis of Hom_G(X ⊕ R^count, Y), where ``count`` numbers after X stay as they are.

    A map from there is one of ``basis`` beside ``count`` invariant vectors of Y, as columns.

    Parameters
    ----------
    basis, invariants
        Of Hom_G(X, Y), and of the invariants of Y.
    count
        How many numbers; with 0, ``basis`` itself.
    """
    if count == 0:
        return basis
    space = basis.space
    trivial = PermutationRepresentation(
        np.broadcast_to(np.arange(count), (len(space.elements), count))
    )
    joined = replace(
        space,
        input_space=space.input_space + (SCALAR if count == 1 else Sum((SCALAR,) * count)),
        input=direct_sum([space.input, trivial]),
    )
    # Row o m + i of the one, and row o of the other for number j, among k (m + count) rows.
    width = space.m + count
    of_basis = (np.arange(space.k)[:, None] * width + np.arange(space.m)).ravel()
    of_invariants = np.arange(space.k) * width + space.m
    columns = [_placed(as_csc(basis.columns), of_basis, joined.dimension)] + [
        _placed(as_csc(invariants.columns), of_invariants + number, joined.dimension)
        for number in range(count)
    ]
    matrix = sparse.hstack(columns, format="csc")
    if isinstance(basis.columns, OrbitColumns) and isinstance(invariants.columns, OrbitColumns):
        first = matrix.indices[matrix.indptr[:-1]]  # rows ascend within each column
        matrix = matrix[:, np.argsort(first, kind="stable")]
    else:
        matrix = canonical_basis((matrix @ matrix.T).tocsr())
    return make_basis(joined, matrix, basis.solver)


def _placed(matrix: sparse.csc_array, rows: np.ndarray, count: int) -> sparse.csc_array:
    """The same columns with row i where ``rows[i]`` is, among ``count``."""
    shape = count, matrix.shape[1]
    return sparse.csc_array((matrix.data, rows[matrix.indices], matrix.indptr), shape=shape)


def measure(space: HomSpace, columns: Columns) -> Checks:
    """The errors of a basis, each from its definition."""
    if isinstance(columns, OrbitColumns):
        norms = count_labels(columns.labels, columns.shape[1]) * (1 / np.sqrt(columns.sizes)) ** 2
        orthonormality = float(np.abs(norms - 1.0).max(initial=0.0))
    else:
        matrix = sparse.csc_array(columns)
        orthonormality = _largest(matrix.T @ matrix - sparse.eye_array(matrix.shape[1]))
    equivariance = max((_moved_by(space, g, columns) for g in space.generating), default=0.0)
    return Checks(orthonormality, equivariance, hom_dimension(space))


def check_rank(rank: int, expected: int) -> None:
    """Raise `EquibasisError` unless the rank is the one that the group gives."""
    if rank != expected:
        raise EquibasisError(f"the rank is {rank}, but the characters give {expected}")


def check_errors(rank: int, checks: Checks) -> None:
    """Raise `EquibasisError` unless the rank is the expected one and the errors are rounding."""
    check_rank(rank, checks.rank_expected)
    for what, error in (
        ("the columns are not orthonormal", checks.orthonormality_error),
        ("the columns are not equivariant", checks.equivariance_error),
    ):
        if not error <= TOLERANCE:
            raise EquibasisError(f"{what}: off by {error:.3g}, allowed {TOLERANCE:.0e}")


def check_is_basis(value: object) -> None:
    """Raise `EquibasisError` unless a user's value is a `Basis`."""
    if not isinstance(value, Basis):
        raise EquibasisError(
            f"a Basis is needed, such as solve or load_basis give, not {type(value).__name__}"
        )


def subspace_angle(a: Basis, b: Basis) -> float:
    """The largest principal angle between the spans of two bases of one rank, in radians.

    sin θ = ‖A - B BᵀA‖₂, which unlike the cosine keeps its digits near zero.
    Source: Björck and Golub (1973), *Numerical methods for computing angles between subspaces*.

    Raises
    ------
    EquibasisError
        If they are of different ranks, or of maps between different numbers of coordinates.
    """
    for each in (a, b):
        check_is_basis(each)
    if (a.space.m, a.space.k) != (b.space.m, b.space.k):
        raise EquibasisError(
            f"maps {a.space} and {b.space} lie in no one space: they have no angle"
        )
    if a.columns.shape != b.columns.shape:
        raise EquibasisError(
            f"subspaces of {a.columns.shape[1]} dimensions in {a.columns.shape[0]} and of "
            f"{b.columns.shape[1]} in {b.columns.shape[0]} have no angle: compare bases of one rank"
        )
    if _same_orbits(a.columns, b.columns):
        return 0.0
    first, second = as_csc(a.columns), as_csc(b.columns)
    rest = first - second @ (second.T @ first)
    frobenius = float(np.linalg.norm(rest.data))
    if frobenius < TOLERANCE:
        return frobenius  # an upper bound; what is left is rounding
    gram = (rest.T @ rest / frobenius**2).tocsr()
    largest = max(
        np.linalg.eigvalsh(blocks.values).max(initial=0.0) for blocks in diagonal_blocks(gram)
    )
    return float(np.arcsin(min(1.0, frobenius * np.sqrt(largest))))


def _same_orbits(a: Columns, b: Columns) -> bool:
    if not (isinstance(a, OrbitColumns) and isinstance(b, OrbitColumns)):
        return False
    if not np.array_equal(a.labels, b.labels) or (a.signs is None) != (b.signs is None):
        return False
    return a.signs is None or b.signs is None or np.array_equal(a.signs, b.signs)


def _moved_by(space: HomSpace, g: int, columns: Columns) -> float:
    """max |vec(ρ₂(g) W ρ₁(g⁻¹)) - vec(W)| over all columns vec(W)."""
    rho_in, rho_out = space.input, space.output
    if isinstance(rho_in, PermutationRepresentation) and isinstance(
        rho_out, PermutationRepresentation
    ):
        if isinstance(columns, OrbitColumns):
            return _orbits_moved_by(rho_in, rho_out, g, columns)
        images, signs = pair_images(rho_in, rho_out, g)
        moved = sparse.csr_array(columns)[images]
        if signs is not None:
            moved = sparse.diags_array(signs.astype(np.float64)) @ moved
    else:
        matrix = as_csc(columns)
        operator = sparse.kron(rho_out.matrix(g), rho_in.inverse.matrix(g).T, format="csr")
        return _largest(operator @ matrix - matrix)
    return _largest(moved - sparse.csr_array(columns))


def _orbits_moved_by(
    rho_in: PermutationRepresentation,
    rho_out: PermutationRepresentation,
    g: int,
    columns: OrbitColumns,
) -> float:
    """The same for orbits, a block of rows at a time, comparing labels and signs."""
    k, m = rho_out.dimension, rho_in.dimension
    labels = columns.labels.reshape(k, m)
    signs = None if columns.signs is None else columns.signs.reshape(k, m)
    worst = 0.0
    for block in row_blocks(k, m):
        here, there = labels[block], labels[rho_out.index[g, block]].take(rho_in.index[g], axis=1)
        wrong = here != there
        flips = np.ones((1, 1), dtype=np.int8)
        if rho_out.signs is not None:
            flips = flips * rho_out.signs[g, block, None]
        if rho_in.signs is not None:
            flips = flips * rho_in.signs[g]
        if signs is not None:
            flips = flips * signs[block] * signs[rho_out.index[g, block]][:, rho_in.index[g]]
        wrong |= (flips < 0) & (here >= 0)
        if wrong.any():
            one, other = (_magnitudes(columns, part[wrong]) for part in (here, there))
            same_column = here[wrong] == there[wrong]
            off = np.where(same_column, one + other, np.maximum(one, other))
            worst = max(worst, float(off.max()))
    return worst


def _magnitudes(columns: OrbitColumns, labels: np.ndarray) -> np.ndarray:
    return np.where(labels < 0, 0.0, 1.0 / np.sqrt(columns.sizes[labels]))


def _largest(matrix: sparse.csc_array) -> float:
    return float(np.abs(matrix.data).max(initial=0.0))
