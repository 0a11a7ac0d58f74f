"""`svd`: any representation; an SVD of each connected block of the sparse Reynolds operator."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import sparse

from equibasis.blocks import Blocks, assemble, block_sizes, diagonal_blocks
from equibasis.canonical import canonical_basis, projector_of
from equibasis.representations import HomSpace
from equibasis.reynolds import reynolds_operator
from equibasis.solvers.interface import Solver, no_obstacle, refuse_beyond_memory

# Block, factors of its SVD with workspace, projector, and the factor of that.
_COPIES = 8


def solve(space: HomSpace) -> sparse.csc_array:
    """Left singular vectors of each block of the Reynolds operator, made canonical."""
    operator_bytes = 24.0 * space.output.order * space.m * space.k
    refuse_beyond_memory("svd", space, operator_bytes, "use --solver orbits if it applies")
    operator = reynolds_operator(space)
    block_bytes = 8.0 * _COPIES * float(np.square(block_sizes(operator), dtype=np.float64).sum())
    refuse_beyond_memory("svd", space, block_bytes, "its operator hardly falls apart")
    return canonical_basis(assemble(_projectors(operator), operator.shape[0]))


def _projectors(operator: sparse.csr_array) -> Iterator[Blocks]:
    for blocks in diagonal_blocks(operator):
        vectors, singular_values, _ = np.linalg.svd(blocks.values)
        # A projector, orthogonal or not, has no singular value between 0 and 1.
        ranks = (singular_values > 0.5).sum(axis=1)
        for rank in np.unique(ranks[ranks > 0]):
            of_rank = ranks == rank
            selected = Blocks(blocks.indices[of_rank], blocks.values[of_rank])
            yield projector_of(selected, rank, vectors[of_rank])


SOLVER = Solver(
    "svd", "an SVD of each connected block of the Reynolds operator", no_obstacle, solve
)
