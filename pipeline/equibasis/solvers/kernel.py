"""`kernel`: any representation; the null space of what the generators demand of W.

W is equivariant where each C vec(W) = 0: C = dρ₂(A) ⊗ 1 - 1 ⊗ dρ₁(A)ᵀ for an orthonormal basis of
the Lie algebra, and C = ρ₂(h) ⊗ ρ₁(h⁻¹)ᵀ - 1 for the discrete elements. The null space of
Ω = Σ CᵀC is found block by block; the elements are never listed.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import sparse

from equibasis.linalg.canonical import pivoted_cholesky
from equibasis.linalg.kernel import null_spaces
from equibasis.solvers.interface import Cost, Solver, no_obstacle
from equibasis.solvers.tables import Table, table_of
from equibasis.symmetry.hom_space import HomSpace

# Seed of the random vectors of a second computation.
_OTHER_SEED = 2**20

# Entries of a constraint that are no more than this are rounding.
_ROUNDING = 1e-13


def cost(space: HomSpace) -> Cost:
    """The constraints, and the null space with what conjugate gradients keep beside it."""
    n = float(space.dimension)
    entries = n * space.output.order * (space.input.row_entries + space.output.row_entries)
    return Cost(60 * entries, 1e-2 + 1e-6 * entries)


def solve(space: HomSpace) -> Table:
    """The canonical basis, from orthonormal bases of the blocks of the null space."""
    n = space.dimension
    alive, operator = _operator(space)
    columns: list[tuple[int, np.ndarray, np.ndarray]] = []
    for rows, basis in null_spaces(operator, space.rank_by_weights):
        factor, pivots = pivoted_cholesky(
            np.square(basis).sum(axis=1)[None],
            lambda pivot, basis=basis: (basis @ basis[pivot[0]])[None],  # type: ignore[misc]
            basis.shape[1],
        )
        places = alive[rows]
        columns += [
            (int(places[pivot]), places, column)
            for pivot, column in zip(pivots[0], factor[0].T, strict=True)
        ]
    columns.sort(key=lambda each: each[0])
    matrix = sparse.csc_array((n, 0))
    if columns:
        entries = np.concatenate([places for _, places, _ in columns])
        number = np.repeat(np.arange(len(columns)), [len(places) for _, places, _ in columns])
        values = np.concatenate([column for *_, column in columns])
        matrix = sparse.csc_array((values, (entries, number)), shape=(n, len(columns)))
        matrix.eliminate_zeros()
    return table_of(space, matrix)


def nullity(space: HomSpace) -> int:
    """How many independent maps there are, from other random vectors than `solve` takes."""
    _, operator = _operator(space)
    return sum(basis.shape[1] for _, basis in null_spaces(operator, seed=_OTHER_SEED))


def _operator(space: HomSpace) -> tuple[np.ndarray, sparse.csr_array]:
    """Coordinates of vec(W) that no diagonal constraint makes zero, and Ω on them."""
    alive = np.ones(space.dimension, dtype=bool)
    rest = []
    for constraint in constraints(space):
        diagonal = constraint.diagonal()
        if np.count_nonzero(diagonal) == constraint.nnz:
            alive &= diagonal == 0
        else:
            rest.append(constraint)
    (kept,) = np.nonzero(alive)
    operator = sparse.csr_array((len(kept),) * 2)
    for constraint in rest:
        of_kept = sparse.csr_array(sparse.csc_array(constraint)[:, kept])
        operator = operator + of_kept.T @ of_kept
    return kept, _without_rounding(sparse.csr_array(operator))


def constraints(space: HomSpace) -> Iterator[sparse.csr_array]:
    """Each C with C vec(W) = 0, sparse (km, km), row-major."""
    input_, output = space.input, space.output
    one, other = sparse.eye_array(space.m), sparse.eye_array(space.k)
    for on_input, on_output in space.algebra_basis:
        yield _without_rounding(
            sparse.csr_array(
                sparse.kron(on_output, one, format="csr")
                - sparse.kron(other, on_input.T, format="csr")
            )
        )
    dual, identity = input_.dual, sparse.eye_array(space.dimension)
    for h in range(input_.order - space.continuous):
        moved = sparse.kron(output.matrix(h), dual.matrix(h), format="csr")
        yield _without_rounding(sparse.csr_array(moved - identity))


def _without_rounding(matrix: sparse.csr_array) -> sparse.csr_array:
    matrix.data[np.abs(matrix.data) <= _ROUNDING] = 0.0
    matrix.eliminate_zeros()
    return matrix


SOLVER = Solver(
    "kernel",
    "the null space of what generators demand, without listing elements",
    no_obstacle,
    cost,
    solve,
)
