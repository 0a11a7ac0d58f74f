"""`orbits`: (signed) permutations; the orbits of G on index pairs, with nothing to decompose.

W is equivariant exactly where W[g (o, i)] = ± W[o, i] for every g. A basis vector is an orbit of
index pairs, its signs followed around; an orbit that some element maps to minus itself gives none.
"""

from __future__ import annotations

import numpy as np

from equibasis.linalg.columns import OrbitColumns, label_type, row_blocks
from equibasis.solvers.interface import Cost, Solver
from equibasis.symmetry.hom_space import HomSpace
from equibasis.symmetry.pair_orbits import orbit_columns, pair_orbits
from equibasis.symmetry.representations import PermutationRepresentation


def obstacle(space: HomSpace) -> str | None:
    """Orbits need both representations to be permutations, signed or not."""
    for side, rho in (("input", space.input), ("output", space.output)):
        if not isinstance(rho, PermutationRepresentation):
            return f"the {side} representation of {space} is not made of (signed) permutations"
    return None


def cost(space: HomSpace) -> Cost:
    """Labels and little else; from generators, a graph with an edge a generator and sign."""
    if space.complete:
        return Cost(14.0 * space.dimension, 1e-2 + 1e-8 * space.dimension)
    nodes = space.dimension * (2 if _signed(space) else 1)
    return Cost((24.0 + 12.0 * space.input.order) * nodes, 1e-2 + 3e-7 * nodes)


def solve(space: HomSpace) -> OrbitColumns:
    """One normalized, signed indicator vector an orbit, ordered by the orbit's first index."""
    input_, output = space.input, space.output
    assert isinstance(input_, PermutationRepresentation)
    assert isinstance(output, PermutationRepresentation)
    return (_from_elements if space.complete else pair_orbits)(input_, output)


def _signed(space: HomSpace) -> bool:
    return any(getattr(rho, "signs", None) is not None for rho in (space.input, space.output))


def _from_elements(
    input_: PermutationRepresentation, output: PermutationRepresentation
) -> OrbitColumns:
    """Orbits of pairs from orbits of outputs, and of inputs under the stabilizers of those.

    Each orbit of pairs has a first one, (o, i), with o first in its orbit and i first in its orbit
    under the stabilizer of o; so the rows of labels are those of the first outputs, permuted. No
    label is computed twice, and every one is written once.
    """
    order, k, m = output.order, output.dimension, input_.dimension
    # W[o, i] = ± W[first[o], i moved by the same element], so rows follow from those of firsts.
    first, mover = output.index.min(axis=0), output.index.argmin(axis=0)
    (firsts,) = np.nonzero(first == np.arange(k))
    place = np.cumsum(first == np.arange(k)) - 1
    stabilizers = (output.index[:, firsts] == firsts).T.astype(np.int8)
    if output.signs is not None:
        stabilizers *= output.signs[:, firsts].T
    distinct, which = np.unique(stabilizers, axis=0, return_inverse=True)
    which = which.reshape(-1)
    local = [_under_stabilizer(input_, stabilizer) for stabilizer in distinct]

    counts = np.array([len(orbits.sizes) for orbits in local])[which]
    ends = np.cumsum(counts)
    rank = int(ends[-1])
    number = label_type(rank)
    starts = (ends - counts).astype(number)
    labels = np.empty((k, m), dtype=number)
    signed = input_.signs is not None or output.signs is not None
    signs = np.empty((k, m), dtype=np.int8) if signed else None
    of_first = place[first]
    for g in np.unique(mover):
        for kind in range(len(distinct)):
            (rows,) = np.nonzero((mover == g) & (which[of_first] == kind))
            row_labels = local[kind].labels[input_.index[g]].astype(number)
            dropped = row_labels < 0
            for block in row_blocks(len(rows), m):
                here = rows[block]
                labels[here] = starts[of_first[here], None] + row_labels
                if dropped.any():
                    labels[np.ix_(here, dropped)] = -1
            if signs is not None:
                row_signs = _signs_of(local[kind])[input_.index[g]]
                if input_.signs is not None:
                    row_signs = row_signs * input_.signs[g]
                of_rows = 1 if output.signs is None else output.signs[g, rows, None]
                signs[rows] = of_rows * row_signs

    # The orbit of (o, i) is as long as that of o times that of i under the stabilizer of o.
    lengths = order // np.count_nonzero(distinct, axis=1)
    all_sizes = np.concatenate([orbits.sizes * n for orbits, n in zip(local, lengths, strict=True)])
    begin = np.cumsum([0, *(len(orbits.sizes) for orbits in local[:-1])])
    column = np.arange(rank) + np.repeat(begin[which] - (ends - counts), counts)
    return orbit_columns(labels, all_sizes[column], signs)


def _under_stabilizer(input_: PermutationRepresentation, stabilizer: np.ndarray) -> OrbitColumns:
    """Orbits of inputs i under i -> g i with sign stabilizer[g] (0: not in it) times that of g."""
    (inside,) = np.nonzero(stabilizer)
    index = input_.index[inside]
    m = index.shape[1]
    first = index.min(axis=0)
    is_first = first == np.arange(m)
    if input_.signs is None and (stabilizer[inside] > 0).all():
        number = np.cumsum(is_first) - 1
        return OrbitColumns(number[first], np.bincount(first, minlength=m)[is_first])
    signs = stabilizer[inside, None]
    signs = signs * (1 if input_.signs is None else input_.signs[inside])
    signs = np.broadcast_to(signs, index.shape)
    to_minus_itself = ((index == np.arange(m)) & (signs < 0)).any(axis=0)
    is_first &= ~to_minus_itself
    number = np.where(is_first, np.cumsum(is_first) - 1, -1)
    sizes = np.bincount(first, minlength=m)[is_first]
    sign = np.take_along_axis(signs, index.argmin(axis=0)[None], axis=0)[0]
    return OrbitColumns(number[first], sizes, sign)


def _signs_of(columns: OrbitColumns) -> np.ndarray:
    return np.ones(len(columns.labels), np.int8) if columns.signs is None else columns.signs


SOLVER = Solver("orbits", "the orbits of index pairs; (signed) permutations", obstacle, cost, solve)
