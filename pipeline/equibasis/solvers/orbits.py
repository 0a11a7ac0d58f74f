"""`orbits`: (signed) permutations; the orbits of G on index pairs, with nothing to decompose.

W is equivariant exactly where W[g (p, q)] = ± W[p, q] for every g. A basis vector is an orbit of
index pairs, its signs followed around; an orbit that some element maps to minus itself gives none.
G moves p = 0 to every other p of a type, so these are the orbits of points q under the stabilizer
of p = 0.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from equibasis.solvers.interface import Cost, Solver
from equibasis.solvers.tables import OrbitTable, numbered_by_row, schreier_tree
from equibasis.symmetry.hom_space import HomSpace
from equibasis.symmetry.representations import PermutationRepresentation, signs_of

# Entries that are treated at once.
_AT_ONCE = 2**20


def obstacle(space: HomSpace) -> str | None:
    """Orbits need both representations to be permutations, signed or not."""
    for side, rho in (("input", space.input), ("output", space.output)):
        if not isinstance(rho, PermutationRepresentation):
            return f"the {side} representation of {space} is not made of (signed) permutations"
    return None


def cost(space: HomSpace) -> Cost:
    """The stabilizer's rows; from generators, a row for each point of the output."""
    if space.complete:
        numbers = float(space.input.order) * space.m
        return Cost(26.0 * numbers, 1e-4 + 1e-8 * numbers)
    numbers = float(space.k) * space.m
    width = 2.0 if _points(space) < 2**16 else 4.0
    return Cost(width * numbers, 1e-4 + 1e-8 * space.input.order * numbers)


def solve(space: HomSpace) -> OrbitTable:
    """The orbits of the pairs (0, q), for two orbit types."""
    input_, output = space.input, space.output
    assert isinstance(input_, PermutationRepresentation)
    assert isinstance(output, PermutationRepresentation)
    if space.complete:
        return _by_stabilizer(input_, output)
    return _by_generators(input_, output)


def _by_stabilizer(
    input_: PermutationRepresentation, output: PermutationRepresentation
) -> OrbitTable:
    """From the elements that fix p = 0."""
    inside = np.flatnonzero(output.index[:, 0] == 0)
    index = input_.index[inside]
    first = index.min(axis=0)
    if input_.signs is None and output.signs is None:
        return numbered_by_row(first, None, output.dimension)
    signs = signs_of(input_)[inside] * signs_of(output)[inside, :1]
    negated = ((index == np.arange(input_.dimension)) & (signs < 0)).any(axis=0)
    to_first = np.take_along_axis(signs, index.argmin(axis=0)[None], axis=0)[0]
    return numbered_by_row(np.where(negated, -1, first), to_first, output.dimension)


def _by_generators(
    input_: PermutationRepresentation, output: PermutationRepresentation
) -> OrbitTable:
    """From the stabilizer's generators: along any edge of the orbit of p, and back along a tree.

    ``home[p, q]`` is the point of row 0 that (p, q) is carried to along the tree. Where signs
    occur, each q is two points, itself and its negative q + t.
    Source: Schreier's lemma, e.g. Seress, *Permutation Group Algorithms*, §4.2.
    """
    t, rows = input_.dimension, output.dimension
    signed = input_.signs is not None or output.signs is not None
    points = 2 * t if signed else t
    generators = range(input_.order)
    inverse = np.argsort(input_.index, axis=1)
    home = np.empty((rows, t), dtype=np.uint16 if points < 2**16 else np.int32)
    home[0] = np.arange(t)

    def carried(g: int, parents: np.ndarray) -> np.ndarray:
        """Rows of ``home`` for the images of some points, along generator g."""
        there = home[parents]
        if signed:
            turned = signs_of(input_)[g] * signs_of(output)[g, parents, None] < 0
            negative = np.where(there < t, there + t, there - t)  # within the short integers
            there = np.where(turned, negative, there).astype(home.dtype)
        return there.take(inverse[g], axis=1)

    step = max(1, _AT_ONCE // t)
    for g, parents, children in schreier_tree(output, generators):
        for start in range(0, len(parents), step):
            home[children[start : start + step]] = carried(g, parents[start : start + step])
    label = np.arange(points)
    for start in range(0, rows, step):
        parents = np.arange(start, min(start + step, rows))
        for g in generators:
            one, other = home[output.index[g, parents]], carried(g, parents)
            differ = label[one] != label[other]
            if differ.any():
                label = _joined(label, one[differ].astype(int), other[differ].astype(int), t)
    if not signed:
        return numbered_by_row(label, None, rows)
    positive, negative = label[:t], label[t:]
    first = np.where(positive == negative, -1, np.minimum(positive, negative))
    return numbered_by_row(first, np.where(positive < negative, 1, -1), rows)


def _joined(label: np.ndarray, one: np.ndarray, other: np.ndarray, t: int) -> np.ndarray:
    """The lowest point of the orbit of each point after some pairs of points are joined."""
    n = len(label)
    if n > t:  # and so are their negatives
        one, other = np.concatenate([one, (one + t) % n]), np.concatenate([other, (other + t) % n])
    rows, columns = np.concatenate([np.arange(n), one]), np.concatenate([label, other])
    graph = sparse.csr_array((np.ones(len(rows), np.int8), (rows, columns)), shape=(n, n))
    joined: np.ndarray = csgraph.connected_components(graph, directed=False)[1]
    first = np.full(n, n)
    np.minimum.at(first, joined, np.arange(n))
    return first[joined]


def _points(space: HomSpace) -> int:
    return 2 * space.m


SOLVER = Solver("orbits", "the orbits of index pairs; (signed) permutations", obstacle, cost, solve)
