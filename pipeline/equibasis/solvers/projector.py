"""`projector`: any orthogonal representation; the Reynolds operator applied, never formed.

For orthogonal ρ the Reynolds operator is the orthogonal projector Q itself, and the canonical
basis needs of it the diagonal and r columns, each a sum over G of outer products.
"""

from __future__ import annotations

import numpy as np

from equibasis.errors import GroupError
from equibasis.linalg.canonical import canonical_basis, pivoted_cholesky
from equibasis.solvers.interface import Cost, Solver, lists_elements
from equibasis.solvers.reynolds import hom_dimension, reynolds_operator
from equibasis.solvers.tables import Table, table_of
from equibasis.symmetry.hom_space import HomSpace

# With fewer entries a row than this share of its length, the sparse operator costs less.
_SPARSE = 0.25


def obstacle(space: HomSpace) -> str | None:
    """Require that both representations are orthogonal, as the projector does."""
    if space.continuous:
        return lists_elements(space)
    for side, rho in (("input", space.input), ("output", space.output)):
        if not rho.is_orthogonal:
            return f"the {side} representation is not orthogonal"
    return None


def cost(space: HomSpace) -> Cost:
    """Count the elements, and the operator where it is sparse, else the basis: rank columns."""
    order, n = space.output.order, float(space.dimension)
    elements = 8.0 * order * (space.m**2 + space.k**2)
    width = min(n, _reach(space))
    if not _is_sparse(space) and space.complete:
        width = float(hom_dimension(space))
    return Cost(elements + 48 * n * width, 1e-3 + 3e-9 * n * width * (order + width))


def solve(space: HomSpace) -> Table:
    """Return the canonical basis, from the sparse operator where that is smaller."""
    if _is_sparse(space):
        return table_of(space, canonical_basis(reynolds_operator(space)))
    return table_of(space, np.ascontiguousarray(_matrix_free(space)))


def _reach(space: HomSpace) -> float:
    """How many entries a row of the operator has, at most."""
    return space.output.order * space.input.row_entries * space.output.row_entries


def _is_sparse(space: HomSpace) -> bool:
    return _reach(space) <= _SPARSE * space.dimension


def _matrix_free(space: HomSpace) -> np.ndarray:
    """Pivoted Cholesky of Q = 1/|G| Σ ρ₂(g) ⊗ ρ₁(g), from its diagonal and single columns."""
    rank = hom_dimension(space)
    k, m = space.k, space.m
    of_output = np.ascontiguousarray(space.output.matrices.transpose(2, 1, 0)) / space.output.order
    of_input = np.ascontiguousarray(space.input.matrices.transpose(2, 0, 1))
    diagonal = np.einsum("oog,igi->oi", of_output, of_input)

    def columns(pivot: np.ndarray) -> np.ndarray:
        o, i = divmod(int(pivot[0]), m)
        return (of_output[o] @ of_input[i]).reshape(1, k * m)

    factor, pivots = pivoted_cholesky(diagonal.reshape(1, k * m), columns, rank)
    left = float((diagonal.ravel() - np.square(factor[0]).sum(axis=1)).max(initial=0.0))
    if left > 1e-6:
        raise GroupError(f"the elements of {space.group!r} do not average to a projector")
    # Columns come in the order in which they were found; those of the result ascend by pivot.
    return factor[0][:, np.argsort(pivots[0])]


SOLVER = Solver(
    "projector",
    "the Reynolds operator applied, never formed; orthogonal only",
    obstacle,
    cost,
    solve,
)
