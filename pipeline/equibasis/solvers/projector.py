"""`projector`: any orthogonal representation; the Reynolds operator applied, never formed.

For orthogonal ρ the Reynolds operator is the orthogonal projector Q itself, and the canonical
basis needs of it the diagonal and r columns, each a sum over G of outer products. Where both
spaces are sums, Hom(⊕A, ⊕B) = ⊕ Hom(A, B), and equal blocks are solved once.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import sparse

from equibasis.errors import GroupError
from equibasis.linalg.canonical import canonical_columns, ordered_by_pivot, pivoted_cholesky
from equibasis.solvers.interface import Cost, Solver
from equibasis.solvers.reynolds import hom_dimension, reynolds_operator
from equibasis.symmetry.hom_space import HomSpace, with_all_elements
from equibasis.symmetry.representations import (
    PermutationRepresentation,
    Representation,
    invariant_coordinates,
    restriction,
)
from equibasis.symmetry.spaces import V

# With fewer entries a row than this share of its length, the sparse operator costs less.
_SPARSE = 0.25


def obstacle(space: HomSpace) -> str | None:
    """The projector needs both representations to be orthogonal."""
    for side, rho in (("input", space.input), ("output", space.output)):
        if not rho.is_orthogonal:
            return f"the {side} representation of {space} is not orthogonal"
    return None


def cost(space: HomSpace) -> Cost:
    """The elements, and the basis at its widest: rank columns, dense in each block."""
    order, n = space.output.order, float(space.dimension)
    elements = 8.0 * order * (space.m**2 + space.k**2)
    reach = min(n, order * space.input.row_entries * space.output.row_entries)
    return Cost(elements + 48 * n * reach, 1e-2 + 3e-9 * n * reach * (order + reach))


def solve(space: HomSpace) -> sparse.csc_array:
    """The canonical basis, block by block."""
    space = with_all_elements(space)
    inputs, outputs = invariant_coordinates(space.input), invariant_coordinates(space.output)
    input_blocks = [restriction(space.input, part) for part in inputs]
    output_blocks = [restriction(space.output, part) for part in outputs]
    input_keys, output_keys = (
        [_key(block) for block in blocks] for blocks in (input_blocks, output_blocks)
    )
    solved: dict[tuple[bytes, bytes], tuple[sparse.coo_array, np.ndarray]] = {}
    rows, pivots, values = [], [], []
    for a, in_block, in_key in zip(inputs, input_blocks, input_keys, strict=True):
        for b, out_block, out_key in zip(outputs, output_blocks, output_keys, strict=True):
            if (in_key, out_key) not in solved:
                solved[in_key, out_key] = _solve_block(space, in_block, out_block)
            basis, pivot = solved[in_key, out_key]
            # Index pairs of the block -> index pairs of the whole.
            whole = (b[:, None] * space.m + a).ravel()
            rows.append(whole[basis.row])
            pivots.append(whole[pivot[basis.col]])
            values.append(basis.data)
    return ordered_by_pivot(rows, pivots, values, space.dimension)[0]


def _solve_block(
    space: HomSpace, input_: Representation, output: Representation
) -> tuple[sparse.coo_array, np.ndarray]:
    """The canonical basis of Hom between two blocks, and its pivots."""
    block = replace(space, input_space=V, output_space=V, input=input_, output=output)
    reach = block.output.order * input_.row_entries * output.row_entries
    if reach <= _SPARSE * block.dimension:
        columns, pivots = canonical_columns(reynolds_operator(block))
        return columns.tocoo(), pivots
    factor, pivots = _matrix_free(block)
    return sparse.coo_array(factor), pivots


def _matrix_free(block: HomSpace) -> tuple[np.ndarray, np.ndarray]:
    """Pivoted Cholesky of Q = 1/|G| Σ ρ₂(g) ⊗ ρ₁(g), from its diagonal and single columns."""
    rank = hom_dimension(block)
    k, m = block.k, block.m
    of_output = np.ascontiguousarray(block.output.dense().transpose(2, 1, 0)) / block.output.order
    of_input = np.ascontiguousarray(block.input.dense().transpose(2, 0, 1))
    diagonal = np.einsum("oog,igi->oi", of_output, of_input)

    def columns(pivot: np.ndarray) -> np.ndarray:
        o, i = divmod(int(pivot[0]), m)
        return (of_output[o] @ of_input[i]).reshape(1, k * m)

    factor, pivots = pivoted_cholesky(diagonal.reshape(1, k * m), columns, rank)
    left = float((diagonal.ravel() - np.square(factor[0]).sum(axis=1)).max(initial=0.0))
    if left > 1e-6:
        raise GroupError(f"the elements of {block.group!r} do not average to a projector")
    # Columns come in the order in which they were found; those of the result ascend by pivot.
    order = np.argsort(pivots[0])
    return factor[0][:, order], pivots[0][order]


def _key(rho: Representation) -> bytes:
    """Equal for equal representations."""
    if isinstance(rho, PermutationRepresentation):
        return rho.index.tobytes() + (b"" if rho.signs is None else rho.signs.tobytes())
    return rho.matrices.tobytes()


SOLVER = Solver(
    "projector",
    "the Reynolds operator applied, never formed; orthogonal only",
    obstacle,
    cost,
    solve,
)
