"""`dense`: the textbook route, the whole operator as one dense matrix and one SVD of it."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from equibasis.linalg.canonical import canonical_basis
from equibasis.solvers.interface import Cost, Solver, no_obstacle
from equibasis.solvers.reynolds import dense_reynolds_operator
from equibasis.solvers.tables import Table, table_of
from equibasis.symmetry.hom_space import HomSpace

# Operator, one Kronecker product, both factors of the SVD with its workspace, and the projector.
_COPIES = 8


def cost(space: HomSpace) -> Cost:
    """Some dense copies of the operator, and the cube of its size."""
    n = float(space.dimension)
    return Cost(8 * _COPIES * n**2, 1e-3 + 5e-10 * n**3 + 1e-8 * space.output.order * n**2)


def solve(space: HomSpace) -> Table:
    """Left singular vectors of the dense Reynolds operator, made canonical."""
    return table_of(space, whole(space))


def whole(space: HomSpace) -> sparse.csc_array:
    """The canonical basis of any space of maps, no orbit types made use of: (km, r)."""
    operator = dense_reynolds_operator(space)
    vectors, singular_values, _ = np.linalg.svd(operator)
    # A projector, orthogonal or not, has no singular value between 0 and 1.
    vectors = vectors[:, singular_values > 0.5]
    return canonical_basis(sparse.csr_array(vectors @ vectors.T))


SOLVER = Solver("dense", "the whole operator dense, one SVD; a yardstick", no_obstacle, cost, solve)
