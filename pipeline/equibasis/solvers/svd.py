"""`svd`: any representation; an SVD of each connected block of the sparse Reynolds operator."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import sparse

from equibasis.linalg.canonical import canonical_of_blocks
from equibasis.linalg.components import Blocks, diagonal_blocks
from equibasis.solvers.interface import Cost, Solver, lists_elements
from equibasis.solvers.reynolds import reynolds_operator
from equibasis.solvers.tables import Table, table_of
from equibasis.symmetry.hom_space import HomSpace


def cost(space: HomSpace) -> Cost:
    """Count the entries of the operator, and its blocks as far as they are known beforehand.

    A row of the operator reaches at most as many others as its terms have entries in it; blocks
    are taken to be that large, and no larger.
    """
    n = float(space.dimension)
    reach = min(n, space.output.order * space.input.row_entries * space.output.row_entries)
    return Cost(200 * n * reach, 1e-3 + 1e-7 * n * reach + 5e-10 * n * reach**2)


def solve(space: HomSpace) -> Table:
    """Left singular vectors of each block of the Reynolds operator, made canonical."""
    operator = reynolds_operator(space)
    return table_of(space, canonical_of_blocks(_projectors(operator), operator.shape[0]))


def _projectors(operator: sparse.csr_array) -> Iterator[Blocks]:
    for blocks in diagonal_blocks(operator):
        vectors, singular_values, _ = np.linalg.svd(blocks.values)
        # A projector, orthogonal or not, has no singular value between 0 and 1.
        kept = vectors * (singular_values > 0.5)[:, None]
        yield Blocks(blocks.indices, kept @ kept.transpose(0, 2, 1))


SOLVER = Solver(
    "svd", "an SVD of each connected block of the Reynolds operator", lists_elements, cost, solve
)
