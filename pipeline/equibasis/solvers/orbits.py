"""`orbits`: (signed) permutations; the orbits of G on index pairs, with nothing to decompose.

W is equivariant exactly where W[g (p, q)] = ± W[p, q] for every g. A basis vector is an orbit of
index pairs, its signs followed around; an orbit that some element maps to minus itself gives none.
G moves p = 0 to every other p of a type, so these are the orbits of points q under the stabilizer
of p = 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from equibasis.linalg.components import leaders
from equibasis.solvers.interface import Cost, Solver
from equibasis.solvers.tables import OrbitTable, numbered_by_row, schreier_tree, wrong_moves
from equibasis.symmetry.hom_space import HomSpace
from equibasis.symmetry.pair_orbits import double_cover, on_points
from equibasis.symmetry.representations import PermutationRepresentation, signs_of

# Edges that are drawn for each generator, and edges that are added at once where these are too few.
_DRAWN, _ADDED = 8, 16


def obstacle(space: HomSpace) -> str | None:
    """Orbits need both representations to be permutations, signed or not."""
    for side, rho in (("input", space.input), ("output", space.output)):
        if not isinstance(rho, PermutationRepresentation):
            return f"the {side} representation is not made of (signed) permutations"
    return None


def cost(space: HomSpace) -> Cost:
    """The stabilizer's rows; from generators, a row for each point of the output."""
    if space.complete:
        numbers = float(space.input.order) * space.m
        return Cost(26.0 * numbers, 1e-4 + 1e-8 * numbers)
    numbers = float(space.k) * space.m
    return Cost(4.0 * numbers, 1e-2 + 1e-8 * space.input.order * numbers)


def solve(space: HomSpace) -> OrbitTable:
    """The orbits of the pairs (0, q), for two orbit types."""
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
    """From elements of the stabilizer: along any edge of the orbit of p, and back along a tree.

    Some edges, drawn with a fixed seed, nearly always give all of the stabilizer's orbits. Whether
    they do is seen where an edge takes a pair into another orbit: then that edge is added.
    Source: Schreier's lemma, e.g. Seress, *Permutation Group Algorithms*, §4.2.
    """
    tree = _Tree.of(space)
    label = points = np.arange(tree.points)
    draws = np.random.RandomState(0).randint(space.k, size=(_DRAWN, len(tree.generators)))
    edges = [(0, g) for g in tree.generators]
    edges += [(int(p), g) for row in draws for p, g in zip(row, tree.generators, strict=True)]
    while edges:
        for p, g in edges:
            one, other = tree.around(p, g)
            label = leaders(len(label), np.append(points, one), np.append(label, other))
        first, signs = (label, None) if len(label) == space.m else on_points(label, space.m)
        table = numbered_by_row(first, signs, space.k)
        edges = [(p, g) for g, p, _ in wrong_moves(table, space)][:_ADDED]
    return table


@dataclass(frozen=True, eq=False)
class _Tree:
    """Paths from every p of an orbit to p = 0, and what moving along them does to q.

    Where signs occur, each q is two points, itself and its negative q + t.

    Attributes
    ----------
    points
        t, or 2 t with signs.
    generators
        Their positions.
    along, back
        Where g takes the points q, and the other way: integers (points,) each.
    """

    output: PermutationRepresentation
    points: int
    generators: tuple[int, ...]
    along: dict[int, np.ndarray]
    back: dict[int, np.ndarray]
    parent: np.ndarray
    element: np.ndarray

    @staticmethod
    def of(space: HomSpace) -> _Tree:
        input_, output = space.permutations
        signed = input_.signs is not None or output.signs is not None
        along = {
            g: double_cover(input_.index[g], signs_of(input_)[g]) if signed else input_.index[g]
            for g in space.generating
        }
        parent, element = np.zeros((2, space.k), dtype=np.int64)
        for g, parents, children in schreier_tree(output, space.generating):
            parent[children], element[children] = parents, g
        back = {g: np.argsort(images) for g, images in along.items()}
        points = 2 * space.m if signed else space.m
        return _Tree(output, points, space.generating, along, back, parent, element)

    def around(self, p: int, g: int) -> tuple[np.ndarray, np.ndarray]:
        """Pairs of points q of row 0 that are in one orbit, as (p, q) moves along g."""
        there = self._turned(self.along[g], g, p)
        return self._home(p, np.arange(self.points)), self._home(self.output.index[g, p], there)

    def _home(self, p: int, q: np.ndarray) -> np.ndarray:
        """The points of row 0 that (p, q) are moved to along the tree."""
        while p:
            g, above = int(self.element[p]), int(self.parent[p])
            q = self._turned(self.back[g][q], g, above)
            p = above
        return q

    def _turned(self, q: np.ndarray, g: int, p: int) -> np.ndarray:
        if signs_of(self.output)[g, p] > 0:
            return q
        return (q + self.points // 2) % self.points


SOLVER = Solver("orbits", "the orbits of index pairs; (signed) permutations", obstacle, cost, solve)
