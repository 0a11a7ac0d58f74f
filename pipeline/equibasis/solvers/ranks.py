"""dim Hom_G(X, Y), found otherwise than by the solver whose result is held to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from equibasis.errors import GroupError
from equibasis.linalg import modular
from equibasis.solvers.constraints import constraints, whole_constraints
from equibasis.solvers.kernel import nullity
from equibasis.solvers.orbits import solve as solve_orbits
from equibasis.solvers.reynolds import hom_dimension
from equibasis.solvers.tables import Table
from equibasis.symmetry.hom_space import HomSpace
from equibasis.symmetry.listing import ClassCharacters, has_finite_order

# By what a rank may be known, the strongest first.
MEANS = ("characters", "orbits", "weights", "rank modulo p", "null spaces")

# Spaces of maps of no larger dimension are decomposed whole to count their null vectors.
_DENSE = 1300

# Singular values below this share of the largest are zero.
_ZERO = 1e-10


@dataclass(frozen=True)
class ExpectedRank:
    """A rank, and by which of `MEANS` it is known.

    The first four are theorems: of characters of a finite group, orbits counted, weights of a
    reductive Lie algebra, and constraints with rational entries, which have no more solutions over
    the rational numbers than modulo a prime. The last is that two computations agree.
    """

    rank: int
    by: str


def expected_rank(
    space: HomSpace, tables: tuple[tuple[Table, ...], ...] | None = None
) -> ExpectedRank:
    """dim Hom_G(X, Y) = Σ d c dim Hom_G(V, W).

    Where only generators of permutations are listed, orbits are counted from the other side,
    Hom_G(W, V). Where that is among the tables, it is not counted again, so that for V = W this
    says nothing: `verify_basis` finds the orbits anew.
    """
    types = space.types
    known = {
        (output.type, input_.type): table.rank
        for output, row in zip(types.output, tables or (), strict=tables is not None)
        for input_, table in zip(types.input, row, strict=True)
    }
    listed = None
    if not (space.complete or space.continuous or space.is_permuted):
        listed = space.class_characters  # or why not: then each pair on its own

    def of_pair(input_: int, output: int) -> ExpectedRank:
        pair = space.between(input_, output).balanced
        if space.complete:
            return ExpectedRank(hom_dimension(pair), "characters")
        if isinstance(listed, ClassCharacters):
            return ExpectedRank(listed.product(input_, output), "characters")
        if space.continuous and (rank := pair.rank_by_weights) is not None:
            return ExpectedRank(rank, "weights")
        if not pair.is_permuted:
            return _of_constraints(pair, listed)
        if (input_, output) in known:
            return ExpectedRank(known[input_, output], "orbits")
        return ExpectedRank(solve_orbits(space.between(output, input_)).rank, "orbits")

    rank, by = 0, 0
    for output in types.output:
        for input_ in types.input:
            found = of_pair(input_.type, output.type)
            rank += output.multiplicity * input_.multiplicity * found.rank
            by = max(by, MEANS.index(found.by))
    return ExpectedRank(rank, MEANS[by])


def _of_constraints(space: HomSpace, unlisted: GroupError | None) -> ExpectedRank:
    """From what the generators demand of W alone.

    Raises
    ------
    GroupError
        If discrete elements, whose entries are no fractions, generate no finite group: what is
        meant may well be one.
    """
    nothing = sparse.csr_array((0, space.dimension))
    whole = whole_constraints(space)
    if whole is not None:
        stacked = sparse.vstack([nothing.astype(np.int64), *whole.constraints], format="csr")
        found = modular.nullity(stacked)
        if found is not None:
            return ExpectedRank(found, "rank modulo p")
    elif unlisted is not None:
        raise unlisted
    else:
        _check_finite_orders(space)
    if space.dimension > _DENSE:
        return ExpectedRank(nullity(space), "null spaces")
    stacked = sparse.vstack([nothing, *constraints(space)]).toarray()
    scales = np.linalg.svd(stacked, compute_uv=False)
    rank = int((scales > _ZERO * scales.max(initial=0.0)).sum())
    return ExpectedRank(space.dimension - rank, "null spaces")


def _check_finite_orders(space: HomSpace) -> None:
    for g, name in enumerate(space.elements[: len(space.elements) - space.continuous]):
        if not has_finite_order([space.input.matrix(g), space.output.matrix(g)]):
            raise GroupError(
                f"group {space.group!r}: {name} has no finite order: the rank is not known "
                "beforehand; give it as an algebra element instead"
            )
