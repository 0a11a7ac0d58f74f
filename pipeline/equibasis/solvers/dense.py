"""`dense`: the textbook route, the whole operator as one dense matrix and one SVD of it."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from equibasis.errors import EquibasisError
from equibasis.linalg.canonical import canonical_basis
from equibasis.solvers.interface import Cost, Solver, lists_elements
from equibasis.solvers.reynolds import reynolds_operator
from equibasis.solvers.tables import Table, table_of
from equibasis.symmetry.hom_space import HomSpace
from equibasis.symmetry.representations import signs_of

# Operator, one Kronecker product, both factors of the SVD with its workspace, and the projector.
_COPIES = 8


def cost(space: HomSpace) -> Cost:
    """Count some dense copies of the operator, and the cube of its size."""
    n = float(space.dimension)
    return Cost(8 * _COPIES * n**2, 1e-3 + 5e-10 * n**3 + 1e-8 * space.output.order * n**2)


def solve(space: HomSpace) -> dict[tuple[int, int], Table]:
    """Return the table of each pair of types (W, V), read off the basis of all maps X -> Y.

    Nothing is known of orbit types before; the first copy of each holds its table.

    Raises
    ------
    EquibasisError
        If the copies of a type do not have as many columns as the first.
    """
    space = space.enumerated
    matrix = _canonical(space).tocsr()
    tables: dict[tuple[int, int], Table] = {}
    rank = 0
    for output in space.types.output:
        for input_ in space.types.input:
            rows = output.index[:, :1] * space.m + input_.index[:, 0]
            part = matrix[rows.ravel()].tocsc()
            kept = part[:, np.diff(part.indptr) > 0]
            signs = np.outer(signs_of(output)[:, 0], signs_of(input_)[:, 0]).ravel().astype(float)
            part = sparse.diags_array(signs) @ kept  # of the points in the order of the type
            table = table_of(
                space.between(input_.type, output.type),
                canonical_basis(sparse.csr_array(part @ part.T)),
            )
            tables[output.type, input_.type] = table
            rank += output.multiplicity * input_.multiplicity * table.rank
    if rank != matrix.shape[1]:
        raise EquibasisError(f"orbit types give {rank} columns of {matrix.shape[1]}")
    return tables


def _canonical(space: HomSpace) -> sparse.csc_array:
    """Left singular vectors of the dense Reynolds operator, made canonical."""
    vectors, singular_values, _ = np.linalg.svd(reynolds_operator(space).toarray())
    # A projector, orthogonal or not, has no singular value between 0 and 1.
    vectors = vectors[:, singular_values > 0.5]
    return canonical_basis(sparse.csr_array(vectors @ vectors.T))


SOLVER = Solver(
    "dense",
    "the whole operator dense, one SVD; a yardstick",
    lists_elements,
    cost,
    solve,
    whole=True,
)
