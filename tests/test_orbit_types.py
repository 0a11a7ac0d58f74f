"""Orbit types: a space is few small representations with multiplicities, and no more is lost."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from scipy import linalg

import by_hand
import equibasis as eb
from equibasis.nn import FeatureSpace
from equibasis.solvers import problem, solve_space
from equibasis.symmetry.assembled import assembled, direct_sum
from equibasis.symmetry.hom_space import HomSpace
from equibasis.symmetry.orbit_types import OrbitTypes, orbit_types
from equibasis.symmetry.representations import (
    MatrixRepresentation,
    PermutationRepresentation,
    Representation,
)
from equibasis.symmetry.summands import Summand

signed = by_hand.problems(by_hand.SIGNED | by_hand.PERMUTING)
any_problem = st.one_of(signed, by_hand.orthogonal_problems())


@st.composite
def sums(draw: st.DrawFn) -> HomSpace:
    """Sums of matrices and (signed) permutations under one group, listed or by generators."""
    one = draw(signed)
    pairs = one.elements if (complete := draw(st.booleans())) else one.generators
    parts: list[Representation] = []
    for rho in pairs:
        turn = by_hand.random_orthogonal(rho.shape[1], draw(by_hand.seeds))
        as_matrices = MatrixRepresentation(turn @ rho @ turn.T)
        parts += [by_hand.structured(rho), as_matrices]
    chosen = st.lists(st.sampled_from(parts), min_size=1, max_size=4)
    return by_hand.hom_space(direct_sum(draw(chosen)), direct_sum(draw(chosen)), complete=complete)


any_space = st.one_of(
    by_hand.spaces,
    sums(),
    any_problem.map(lambda problem: problem.generated),
    any_problem.map(lambda problem: problem.listed),
)


def both_sides(space: HomSpace) -> list[tuple[Representation, tuple[Summand, ...]]]:
    return [(space.input, space.types.input), (space.output, space.types.output)]


# --- the whole again ----------------------------------------------------------------------------


@given(any_space)
def test_the_types_assembled_are_the_representation_again_for_every_element(space):
    for rho, summands in both_sides(space):
        again = assembled(summands, space.types.representations)
        assert (again.order, again.dimension) == (rho.order, rho.dimension)
        assert again.is_orthogonal == rho.is_orthogonal
        assert again.fault is None
        np.testing.assert_allclose(again.matrices, rho.matrices, rtol=0, atol=1e-12)
        np.testing.assert_allclose(again.characters(), rho.characters(), rtol=0, atol=1e-10)


def test_so_are_the_types_of_what_was_assembled_of_types_with_signs():
    """As bases are read: a swap, the same with both signs changed, and a mirror in the plane."""
    swap = np.array([[0, 1], [1, 0]])
    permuted = [
        PermutationRepresentation(swap, np.array([[1, 1], [sign, sign]])) for sign in (1, -1)
    ]
    mirror = np.array([[0.5, 0.75**0.5], [0.75**0.5, -0.5]])
    rho = direct_sum([*permuted, MatrixRepresentation(np.stack([np.eye(2), mirror]))])
    for _ in range(3):
        types = orbit_types(rho, rho, enumerated=True)
        assert any(each.signs is not None for each in types.output)
        again = assembled(types.output, types.representations)
        np.testing.assert_allclose(again.matrices, rho.matrices, rtol=0, atol=1e-12)
        rho = again


@given(any_space)
def test_each_copy_moves_as_its_type_does(space):
    """ρ(g) on copy a is S V(g) S, with the signs S of its coordinates."""
    for rho, summands in both_sides(space):
        for each in summands:
            V = by_hand.matrices(space.types.representations[each.type])
            signs = np.ones(each.index.shape) if each.signs is None else each.signs
            for copy, sign in zip(each.index.T, signs.T, strict=True):
                block = by_hand.matrices(rho)[:, copy[:, None], copy]
                np.testing.assert_allclose(block, sign[:, None] * V * sign, rtol=0, atol=1e-12)


@given(any_space)
def test_each_coordinate_is_in_one_copy(space):
    for rho, summands in both_sides(space):
        coordinates = np.concatenate([each.index.ravel() for each in summands])
        assert sorted(coordinates.tolist()) == list(range(rho.dimension))
        assert sum(each.dimension * each.multiplicity for each in summands) == rho.dimension


@given(any_space)
def test_types_and_copies_ascend_by_their_lowest_coordinates(space):
    used = set()
    for _, summands in both_sides(space):
        lowest = [each.index.min(axis=0).tolist() for each in summands]
        assert all(copies == sorted(copies) for copies in lowest)
        assert [copies[0] for copies in lowest] == sorted(copies[0] for copies in lowest)
        assert len({each.type for each in summands}) == len(summands)
        used |= {each.type for each in summands}
    assert used == set(range(len(space.types.representations)))


@given(any_space)
def test_points_are_numbered_as_the_coordinates_of_the_first_copy_ascend(space):
    types = space.types
    of_input = {each.type: each for each in types.input}
    of_output = {each.type: each for each in types.output}
    for number in range(len(types.representations)):
        first = (of_input.get(number) or of_output[number]).index[:, 0]
        assert first.tolist() == sorted(first.tolist())


@given(signed)
def test_permuted_types_are_single_orbits_with_no_sign_where_none_is_needed(problem):
    for space in (problem.generated, problem.listed):
        for rho in space.types.representations:
            assert isinstance(rho, PermutationRepresentation)
            reached = by_hand.closure(list(abs(by_hand.matrices(rho))))
            assert all(any(g[p, 0] for g in reached) for p in range(rho.dimension))
            assert rho.signs is None or (rho.signs < 0).any()


@given(st.one_of(sums(), by_hand.orthogonal_spaces()))
def test_types_of_matrices_fall_into_no_finer_blocks(space):
    for rho in space.types.representations:
        if isinstance(rho, MatrixRepresentation):
            pattern = (abs(rho.matrices) > 0).any(axis=0)
            reached = np.linalg.matrix_power(
                pattern | pattern.T | np.eye(len(pattern), dtype=bool), len(pattern)
            )
            assert reached.all()


# --- what is one type ---------------------------------------------------------------------------


def are_isomorphic(a: PermutationRepresentation, b: PermutationRepresentation) -> bool:
    """Whether some bijection of points with signs carries one orbit to the other, by trying.

    It is known by the image of point 0 and its sign.
    """
    if a.dimension != b.dimension:
        return False
    one, other = by_hand.matrices(a), by_hand.matrices(b)
    for image in range(b.dimension):
        M = np.zeros((b.dimension, a.dimension))
        for g in range(a.order):
            column = np.zeros(b.dimension)
            column[image] = 1.0
            to = int(abs(one[g][:, 0]).argmax())
            moved = (other[g] @ column) * one[g][to, 0]
            if M[:, to].any() and not np.array_equal(M[:, to], moved):
                break
            M[:, to] = moved
        else:
            if np.array_equal(M @ one, other @ M):
                return True
    return False


@given(signed)
def test_where_all_elements_are_listed_no_two_types_are_isomorphic(problem):
    small = problem.listed.types.representations
    for number, rho in enumerate(small):
        assert not any(are_isomorphic(rho, other) for other in small[:number])
        assert are_isomorphic(rho, rho)


@given(signed)
def test_from_generators_short_orbits_that_are_isomorphic_are_one_type(problem):
    """The same number of types, with the same dimensions and multiplicities, as from elements."""
    listed, generated = problem.listed.types, problem.generated.types
    for side in ("input", "output"):
        one, other = (
            sorted((each.dimension, each.multiplicity) for each in getattr(types, side))
            for types in (listed, generated)
        )
        assert one == other
    assert len(listed.representations) == len(generated.representations)


@given(signed, by_hand.seeds)
def test_orbits_that_are_numbered_in_another_way_are_one_type(problem, seed):
    """X and X with its coordinates shuffled and some negated have the same types."""
    rho = problem.elements[0]
    generator = np.random.default_rng(seed)
    shuffle = np.eye(rho.shape[1])[generator.permutation(rho.shape[1])]
    shuffle *= generator.choice([-1.0, 1.0], rho.shape[1])
    for listed, complete in ((rho, True), (problem.generators[0], False)):
        other = by_hand.structured(shuffle @ listed @ shuffle.T)
        space = by_hand.hom_space(by_hand.structured(listed), other, complete=complete)
        types = space.types
        assert sizes(types.input) == sizes(types.output)
        assert {each.type for each in types.input} == {each.type for each in types.output}


def sizes(summands: tuple[Summand, ...]) -> list[tuple[int, int]]:
    return sorted((each.dimension, each.multiplicity) for each in summands)


@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize(("rows", "columns"), [(3, 4), (2, 2), (1, 5), (16, 16), (20, 13)])
def test_a_grid_row_by_row_and_column_by_column_is_one_type(rows, columns, complete):
    """The group numbers the points of the two in another way: they differ by a transposition."""
    grid = np.arange(rows * columns).reshape(rows, columns)
    shifts = [np.roll(grid, shift, axis) for axis in (0, 1) for shift in (1,)]
    if complete:
        shifts = [
            np.roll(grid, (down, right), (0, 1)) for down in range(rows) for right in range(columns)
        ]
    by_rows = np.stack([shift.ravel() for shift in shifts])
    place = np.empty(rows * columns, dtype=int)
    place[grid.T.ravel()] = np.arange(rows * columns)
    by_columns = np.stack([place[shift.T.ravel()] for shift in shifts])
    space = by_hand.hom_space(
        PermutationRepresentation(by_rows), PermutationRepresentation(by_columns), complete=complete
    )
    assert len(space.types.representations) == 1
    assert solve_space(space).rank == rows * columns


@pytest.mark.parametrize(
    ("group", "shape", "expected"),
    [
        ("c4", "14x14", [(4, 49)]),
        ("c4", "5x5", [(1, 1), (4, 6)]),
        ("d4", "4x4", [(4, 2), (8, 1)]),
        ("d4", "5x5", [(1, 1), (4, 2), (4, 2), (8, 1)]),  # the centre, diagonals, axes, others
        ("trivial", "3x3", [(1, 9)]),
        ("z4*z4", "4x4", [(16, 1)]),
        ("s5", "5x5", [(5, 1), (20, 1)]),
        ("s50", "50x50", [(50, 1), (2450, 1)]),
        ("oh", "3x3x3", [(1, 1), (6, 1), (8, 1), (12, 1)]),  # centre, faces, corners, edges
        ("c4", "64*14x14 + 1 + 1 + 1", [(1, 3), (4, 64 * 49)]),
    ],
)
def test_types_of_known_spaces(group, shape, expected):
    types = problem(group, input=shape, output="1" if "+" in shape else shape).types
    assert sizes(types.input) == expected


# --- multiplicities -----------------------------------------------------------------------------


@given(any_space, st.integers(2, 4))
def test_multiplicities_scale_with_channels(space, channels):
    many = by_hand.hom_space(
        direct_sum([space.input] * channels), space.output, complete=space.complete
    )
    one, types = space.types, many.types
    assert len(types.representations) == len(one.representations)
    assert [each.type for each in types.input] == [each.type for each in one.input]
    for each, single in zip(types.input, one.input, strict=True):
        assert each.multiplicity == channels * single.multiplicity
        shifts = space.m * np.arange(channels)
        copies = (single.index[:, None, :] + shifts[:, None]).reshape(each.dimension, -1)
        assert sorted(each.index.T.tolist()) == sorted(copies.T.tolist())
    assert solve_space(many).rank == channels * solve_space(space).rank


@pytest.mark.parametrize("group", ["c4", "d4"])
def test_channels_multiply_and_nothing_else(group):
    one = problem(group, input="14x14", output="6x6").types
    many = problem(group, input="64*14x14", output="128*6x6").types
    assert len(many.representations) == len(one.representations)
    for side, channels in (("input", 64), ("output", 128)):
        for each, single in zip(getattr(many, side), getattr(one, side), strict=True):
            assert (each.type, each.multiplicity) == (single.type, channels * single.multiplicity)


TURN = np.array([[-0.5, -(0.75**0.5)], [0.75**0.5, -0.5]])  # by 120 degrees
MIRROR = np.diag([1.0, -1.0])
TRIANGLE = eb.matrix_group("triangle", {"turn": TURN, "mirror": MIRROR})


def test_equal_summands_of_matrices_are_one_type():
    types = problem(TRIANGLE, input="3*V + 1 + 1 + V", output="5*V + V").types
    assert sizes(types.input) == [(1, 2), (2, 4)]
    assert sizes(types.output) == [(2, 6)]
    (output,) = types.output
    assert output.type in {each.type for each in types.input}
    assert len(types.representations) == 2


def test_vectors_and_their_products_are_types_of_their_own():
    types = problem(TRIANGLE, input="V*V", output="V").types
    assert sizes(types.input) == [(4, 1)]
    assert solve_space(problem(TRIANGLE, input="V*V", output="V")).rank == 1


def test_equal_summands_in_other_coordinates_are_two_types_and_no_less_right():
    turned = by_hand.random_orthogonal(2, 0)
    group = by_hand.closure([TURN, MIRROR])
    one = MatrixRepresentation(np.stack(group))
    other = MatrixRepresentation(np.stack([turned @ g @ turned.T for g in group]))
    space = by_hand.hom_space(direct_sum([one, other, one]), one)
    assert sizes(space.types.input) == [(2, 1), (2, 2)]
    assert solve_space(space).rank == 3


@given(signed)
def test_one_representation_for_both_sides_is_split_once(problem):
    rho = by_hand.structured(problem.elements[0])
    types = by_hand.hom_space(rho, rho).types
    assert types.input is types.output


# --- spaces of pairs of types -------------------------------------------------------------------


@given(any_space)
def test_ranks_of_pairs_add_up_with_their_multiplicities(space):
    types = space.types
    total = sum(
        output.multiplicity
        * input_.multiplicity
        * solve_space(space.between(input_.type, output.type)).rank
        for output in types.output
        for input_ in types.input
    )
    assert total == solve_space(space).rank


@given(any_problem)
def test_enumerated_generators_keep_the_copies_and_list_every_element(problem):
    space = problem.generated
    whole = space.enumerated
    assert whole.enumerated is whole
    for side in ("input", "output"):
        for one, other in zip(getattr(space.types, side), getattr(whole.types, side), strict=True):
            assert one is other
    joint = [by_hand.direct_sum(a, b) for a, b in zip(*problem.generators, strict=True)]
    assert len(whole.elements) == len(by_hand.closure(joint))
    for rho, summands in both_sides(whole):
        again = assembled(summands, whole.types.representations)
        np.testing.assert_allclose(again.matrices, rho.matrices, atol=1e-12)


@given(any_space, st.integers(1, 3))
def test_scalars_beside_x_stay_as_they_are(space, count):
    x, y = FeatureSpace.ends_of(space)
    wider = (x + x.scalars(count)).maps_to(y)
    assert wider.m == space.m + count
    for g in range(space.input.order):
        expected = linalg.block_diag(by_hand.matrices(space.input)[g], np.eye(count))
        np.testing.assert_allclose(wider.input.matrices[g], expected, atol=1e-12)
    invariants = solve_space(x.scalars(1).maps_to(y))
    assert solve_space(wider).rank == solve_space(space).rank + count * invariants.rank


# --- what is no group ---------------------------------------------------------------------------


@given(by_hand.permutation_spaces, st.data())
def test_what_does_not_permute_as_a_group_does_has_no_types_or_is_found_out(space, data):
    """One element exchanged for any permutation: a `GroupError`, unless it is a group again."""
    index = space.input.index.copy()
    if len(index) < 2:
        return
    g = data.draw(st.integers(0, len(index) - 1))
    index[g] = data.draw(st.permutations(range(space.m)))
    wrong = by_hand.hom_space(PermutationRepresentation(index), space.output)
    if same_products(space, wrong):
        assert isinstance(wrong.types, OrbitTypes)
    else:
        with pytest.raises(eb.GroupError):
            _ = wrong.generating


def same_products(space: HomSpace, other: HomSpace) -> bool:
    """Whether the matrices listed, as they are, are closed under products, identity first."""
    pairs = [
        (a.tobytes(), b.tobytes())
        for a, b in zip(other.input.index, other.output.index, strict=True)
    ]
    identity = other.input.index[0].tolist() == list(range(other.m))
    identity &= other.output.index[0].tolist() == list(range(other.k))
    closed = all(
        (one[a].tobytes(), two[b].tobytes()) in pairs
        for a, b in zip(other.input.index, other.output.index, strict=True)
        for one, two in zip(other.input.index, other.output.index, strict=True)
    )
    return identity and closed


@given(st.permutations(range(1, 8)), st.permutations(range(4)))
def test_the_order_in_which_elements_are_listed_changes_nothing(others, renumbered):
    """D4 on 2x2 beside the same renumbered: the points of a copy may correspond in several ways."""
    rho = eb.solve("d4", input="2x2", output="2x2").space.input
    p = np.array(renumbered)
    index = np.concatenate([rho.index, 4 + np.argsort(p)[rho.index[:, p]]], axis=1)
    both = PermutationRepresentation(index)
    expected = orbit_types(both, both, enumerated=True)
    listed = PermutationRepresentation(index[[0, *others]])
    found = orbit_types(listed, listed, enumerated=True)
    generators = [1, 4] if others[0] % 2 else [4, 1]
    few = PermutationRepresentation(index[generators])
    for one in (found, orbit_types(few, few, enumerated=False)):
        assert len(one.input) == len(expected.input)
        for mine, other in zip(one.input, expected.input, strict=True):
            np.testing.assert_array_equal(mine.index, other.index)
