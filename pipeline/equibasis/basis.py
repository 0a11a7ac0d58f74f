"""The Basis: what a solver returns and a file holds, and the checks that hold it to account."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from equibasis.blocks import diagonal_blocks
from equibasis.canonical import canonical_basis
from equibasis.errors import EquibasisError
from equibasis.representations import (
    HomSpace,
    PermutationRepresentation,
    Shape,
    check_group,
)
from equibasis.reynolds import hom_dimension

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
        max over g and columns W of max |ρ₂(g) W ρ₁(g⁻¹) - W|.
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
        Group, shapes and representations.
    matrix
        B of shape (k*m, r), float64: `scipy.sparse.csc_array`, or `numpy.ndarray` where that is
        smaller. Column j is vec(W_j), row-major: W_j[o, i] = B[o * m + i, j].
    solver
        Name of the solver that found it; not part of what the basis is.
    checks
        Its errors, measured when it was solved.
    """

    space: HomSpace
    matrix: sparse.csc_array | np.ndarray
    solver: str
    checks: Checks

    @property
    def rank(self) -> int:
        """r, the dimension of the subspace."""
        return int(self.matrix.shape[1])

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


def make_basis(space: HomSpace, matrix: sparse.csc_array, solver: str) -> Basis:
    """A `Basis` with its errors measured and its matrix in the form that takes fewer bytes.

    Raises
    ------
    EquibasisError
        If the rank is not the one that the characters give, or an error exceeds `TOLERANCE`.
    """
    checks = measure(space, matrix)
    check_errors(matrix.shape[1], checks)
    sparse_bytes = (8 + matrix.indices.itemsize) * matrix.nnz
    dense_bytes = 8 * matrix.shape[0] * matrix.shape[1]
    smaller = matrix if sparse_bytes <= dense_bytes else matrix.toarray()
    return Basis(space, smaller, solver, checks)


def measure(space: HomSpace, matrix: sparse.csc_array | np.ndarray) -> Checks:
    """The errors of a basis matrix, each from its definition."""
    columns = sparse.csc_array(matrix)
    gram = columns.T @ columns - sparse.eye_array(columns.shape[1])
    moved = max(_largest(_act(space, g, columns) - columns) for g in range(space.output.order))
    return Checks(_largest(gram), moved, hom_dimension(space))


def check_errors(rank: int, checks: Checks) -> None:
    """Raise `EquibasisError` unless the rank is the expected one and the errors are rounding."""
    if rank != checks.rank_expected:
        raise EquibasisError(f"the rank is {rank}, but the characters give {checks.rank_expected}")
    for what, error in (
        ("the columns are not orthonormal", checks.orthonormality_error),
        ("the columns are not equivariant", checks.equivariance_error),
    ):
        if not error <= TOLERANCE:
            raise EquibasisError(f"{what}: off by {error:.3g}, allowed {TOLERANCE:.0e}")


def verify_basis(basis: Basis) -> Checks:
    """Recheck a basis from scratch, trusting nothing but its numbers.

    The matrices form a group; rank, orthonormality, equivariance; the basis is canonical.

    Returns
    -------
    Checks
        The errors as they are now.

    Raises
    ------
    EquibasisError
        With the first reason why the basis does not hold.
    """
    space = basis.space
    check_group(space.group, space.elements, space.input, space.output)
    checks = measure(space, basis.matrix)
    check_errors(basis.rank, checks)
    columns = sparse.csc_array(basis.matrix)
    difference = _largest(canonical_basis((columns @ columns.T).tocsr()) - columns)
    if not difference <= TOLERANCE:
        raise EquibasisError(f"the basis is not the canonical one: off by {difference:.3g}")
    return checks


def subspace_angle(a: Basis, b: Basis) -> float:
    """The largest principal angle between the spans of two bases of one rank, in radians.

    sin θ = ‖A - B BᵀA‖₂, which unlike the cosine keeps its digits near zero.
    Source: Björck and Golub (1973), *Numerical methods for computing angles between subspaces*.
    """
    first, second = sparse.csc_array(a.matrix), sparse.csc_array(b.matrix)
    rest = first - second @ (second.T @ first)
    frobenius = float(np.linalg.norm(rest.data))
    if frobenius < TOLERANCE:
        return frobenius  # an upper bound; what is left is rounding
    gram = (rest.T @ rest / frobenius**2).tocsr()
    largest = max(
        np.linalg.eigvalsh(blocks.values).max(initial=0.0) for blocks in diagonal_blocks(gram)
    )
    return float(np.arcsin(min(1.0, frobenius * np.sqrt(largest))))


def _act(space: HomSpace, g: int, columns: sparse.csc_array) -> sparse.csc_array:
    """vec(ρ₂(g) W ρ₁(g⁻¹)) for every column vec(W)."""
    rho_in, rho_out = space.input, space.output
    if isinstance(rho_in, PermutationRepresentation) and isinstance(
        rho_out, PermutationRepresentation
    ):
        pairs = rho_out.index[g][:, None] * space.m + rho_in.index[g]
        return columns.tocsr()[pairs.ravel()].tocsc()
    operator = sparse.kron(rho_out.matrix(g), rho_in.inverse.matrix(g).T, format="csr")
    return operator @ columns


def _largest(matrix: sparse.csc_array) -> float:
    return float(np.abs(matrix.data).max(initial=0.0)) if matrix.nnz else 0.0
