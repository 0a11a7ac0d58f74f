"""`orbits`: (signed) permutations; the orbits of G on index pairs, with nothing to decompose.

W is equivariant exactly where W[g (p, q)] = ± W[p, q] for every g. A basis vector is an orbit of
index pairs, its signs followed around; an orbit that some element maps to minus itself gives none.
G moves p = 0 to every other p of a type, so these are the orbits of points q under the stabilizer
of p = 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from equibasis.linalg.components import leaders
from equibasis.solvers.interface import Cost, Solver
from equibasis.solvers.tables import OrbitTable, WrongMove, numbered_by_row, wrong_moves
from equibasis.symmetry.hom_space import HomSpace
from equibasis.symmetry.representations import PermutationRepresentation, signs_of

# Rows that are followed for each generator before orbits are joined.
_ROWS = 4


def obstacle(space: HomSpace) -> str | None:
    """Orbits need both representations to be permutations, signed or not."""
    for side, rho in (("input", space.input), ("output", space.output)):
        if not isinstance(rho, PermutationRepresentation):
            return f"the {side} representation is not made of (signed) permutations"
    return None


def cost(space: HomSpace) -> Cost:
    """Count the stabilizer's rows; from generators, a row for each point of the output."""
    if space.complete:
        numbers = float(space.input.order) * space.m
        return Cost(26.0 * numbers, 1e-4 + 1e-8 * numbers)
    numbers = float(space.k) * space.m
    return Cost(4.0 * numbers, 1e-2 + 1e-8 * space.input.order * numbers)


def solve(space: HomSpace) -> OrbitTable:
    """Return the orbits of the pairs (0, q), for two orbit types."""
    return _by_stabilizer(*space.permutations) if space.complete else _by_generators(space)


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


def _by_generators(space: HomSpace) -> OrbitTable:
    """From every point q in an orbit of its own, joined wherever a generator leads to another.

    An element moves the pairs of a row p to those of another, both reached from row 0 along a tree:
    so it joins points of row 0, which some element of the stabilizer does. A few rows nearly always
    give all of its orbits; where they do not, others are found wrong then.
    Source: Schreier's lemma, e.g. Seress, *Permutation Group Algorithms*, §4.2.
    """
    table = OrbitTable(space.k, np.arange(space.m, dtype=np.int32))
    while moves := list(wrong_moves(table, space, _ROWS)):
        table = _joined(table, moves)
    return table


def _joined(table: OrbitTable, moves: Sequence[WrongMove]) -> OrbitTable:
    """Join some orbits in the table, each of which is two, itself and its negative."""
    rank = table.rank

    def number(labels: np.ndarray, signs: np.ndarray) -> np.ndarray:
        return np.where(labels < 0, 2 * rank, labels + rank * (signs < 0))

    signs = np.ones(len(table.labels), np.int8) if table.signs is None else table.signs
    pairs = [
        (number(move.here, sign), number(move.there, sign * move.turned))
        for move in moves
        for sign in (np.ones(1), -np.ones(1))
    ]
    lowest = leaders(2 * rank + 1, *(np.concatenate(each) for each in zip(*pairs, strict=True)))
    positive, negative = (lowest[number(table.labels, s)] for s in (signs, -signs))
    none = positive == negative
    _, index, which = np.unique(
        np.minimum(positive, negative), return_index=True, return_inverse=True
    )
    first = np.where(none, -1, index[which])
    return numbered_by_row(first, np.where(positive < negative, 1, -1), table.rows)


SOLVER = Solver("orbits", "the orbits of index pairs; (signed) permutations", obstacle, cost, solve)
