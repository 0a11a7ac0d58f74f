"""Representations: built one-hot column by column, and refused when they are none."""

from __future__ import annotations

import itertools
import os
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from scipy import ndimage

import by_hand
import equibasis as eb
from equibasis.symmetry.building import representation
from equibasis.symmetry.catalog import find_group
from equibasis.symmetry.closure import check_group
from equibasis.symmetry.constructions import trivial_representation
from equibasis.symmetry.families import GROUPS
from equibasis.symmetry.hom_space import hom_space
from equibasis.symmetry.representations import MatrixRepresentation, PermutationRepresentation
from equibasis.symmetry.workers import Workers

ONE = Workers(1)


def space(group: str | eb.Group, input_shape: tuple, output_shape: tuple, workers: int = 1):
    found = find_group(group) if isinstance(group, str) else group
    with Workers(workers) as pool:
        return hom_space(
            found,
            input=eb.as_space(input_shape),
            output=eb.as_space(output_shape),
            workers=pool,
        )


def refusal(error: type, *arguments, **options) -> str:
    with pytest.raises(error) as refused:
        space(*arguments, **options)
    return str(refused.value)


# --- shapes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_", "shape"),
    [("14x14", (14, 14)), ("7", (7,)), ("2x3x4", (2, 3, 4)), ((6, 6), (6, 6)), (None, ())],
)
def test_a_shape_is_sizes_joined_by_x(given_, shape):
    assert eb.as_space(given_) == eb.Grid(shape)


@pytest.mark.parametrize("shape", [(14, 14), (7,), (2, 3, 4)])
def test_a_shape_survives_being_written_and_read(shape):
    assert eb.as_space(str(eb.Grid(shape))) == eb.Grid(shape)


@pytest.mark.parametrize(
    "wrong",
    ["", "14x", "x14", "14X14", "1.5x2", "-3x3", "0x3", "3x0", (0, 3), (3, -1)],
)
def test_a_shape_of_anything_but_positive_sizes_is_refused(wrong):
    with pytest.raises(eb.SpaceError, match=r"space|shape"):
        eb.as_space(wrong)


@pytest.mark.parametrize("wrong", [(2.5, 2), ("a", 2)])
def test_a_shape_of_anything_but_whole_numbers_is_refused(wrong):
    with pytest.raises(eb.SpaceError, match=r"space|shape"):
        eb.as_space(wrong)


# --- transforms become matrices -----------------------------------------------------------------


@pytest.mark.parametrize("side", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("group", by_hand.ELEMENTS)
def test_the_built_in_groups_permute_pixels(group, side):
    rho = space(group, (side, side), (side, side)).output
    np.testing.assert_array_equal(rho.index, by_hand.grid_permutations(group, side))


@pytest.mark.parametrize("g", range(8))
def test_every_form_of_a_permutation_is_the_transform(g):
    rho = space("d4", (4, 4), (3, 3)).input
    x = np.random.default_rng(g).standard_normal((4, 4))
    moved = GROUPS["d4"].transform(x, GROUPS["d4"].elements[g]).ravel()
    np.testing.assert_array_equal(x.ravel()[rho.index[g]], moved)
    np.testing.assert_array_equal(rho.apply(g, x.ravel()), moved)
    np.testing.assert_array_equal(rho.matrix(g) @ x.ravel(), moved)
    np.testing.assert_array_equal(rho.inverse.apply(g, moved), x.ravel())


@given(by_hand.permutation_spaces)
def test_the_character_of_a_permutation_counts_its_fixed_points(random):
    traces = np.trace(by_hand.matrices(random.input), axis1=1, axis2=2)
    np.testing.assert_array_equal(random.input.characters(), traces)


@given(by_hand.spaces)
def test_the_inverse_representation_inverts_every_element(random):
    products = by_hand.matrices(random.output) @ by_hand.matrices(random.output.inverse)
    identity = np.eye(random.k)
    np.testing.assert_allclose(products, np.broadcast_to(identity, products.shape), atol=1e-12)


@given(by_hand.spaces)
def test_applying_is_multiplying_by_the_matrix(random):
    x = np.random.default_rng(0).standard_normal((random.k, 2))
    for g, matrix in enumerate(by_hand.matrices(random.output)):
        np.testing.assert_allclose(random.output.apply(g, x), matrix @ x, atol=1e-13)
        np.testing.assert_allclose(random.output.matrix(g).toarray(), matrix, atol=0)


def test_a_space_and_itself_share_one_representation():
    endomorphisms = space("c4", (3, 3), (3, 3))
    assert endomorphisms.input is endomorphisms.output


def test_without_an_input_the_space_is_that_of_the_invariants():
    invariants = space("c4", (), (3, 3))
    assert (invariants.kind, invariants.m, invariants.k) == ("invariant", 1, 9)
    np.testing.assert_array_equal(by_hand.matrices(invariants.input), np.ones((4, 1, 1)))


def test_a_space_says_what_it_is_a_space_of():
    assert str(space("c4", (6, 6), (3, 3))) == "c4: 6x6 -> 3x3"
    assert str(space("c4", (), (3, 3))) == "c4: invariants of 3x3"


# --- the user's groups --------------------------------------------------------------------------


def shift(array, steps):
    return np.roll(array, steps)


def turn(vector, sixths):
    angle = sixths * np.pi / 3
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ vector


def negate(array, sign):
    return sign * array


SKEW = by_hand.random_well_conditioned(5, seed=1)


def skewed_shift(vector, steps):
    return SKEW @ np.roll(np.linalg.solve(SKEW, vector), steps)


CYCLIC = eb.Group("cyclic", tuple(range(5)), shift)
HEXAGON = eb.Group("hexagon", tuple(range(6)), turn)
SIGN = eb.Group("sign", (1, -1), negate)
SKEWED = eb.Group("skewed", tuple(range(5)), skewed_shift)


def test_cyclic_shifts_of_a_sequence_are_permutations():
    rho = space(CYCLIC, (5,), (5,)).output
    np.testing.assert_array_equal(rho.index, [[(i - g) % 5 for i in range(5)] for g in range(5)])


def test_equivariant_maps_of_cyclic_shifts_are_the_circulant_matrices():
    basis = eb.solve(CYCLIC, input="5", output="5")
    circulants = [np.roll(np.eye(5), g, axis=0) / np.sqrt(5) for g in range(5)]
    np.testing.assert_array_equal(
        by_hand.dense(basis).T.reshape(5, 5, 5), sorted(circulants, key=lambda c: c[0].argmax())
    )


def test_rotations_by_60_degrees_are_matrices():
    rho = space(HEXAGON, (2,), (2,)).output
    one_hot = np.stack([turn(np.eye(2), g) for g in range(6)])
    np.testing.assert_allclose(rho.matrices, one_hot, atol=1e-15)


def test_maps_that_commute_with_plane_rotations_are_the_complex_numbers():
    basis = eb.solve(HEXAGON, input="2", output="2")
    one, i = np.eye(2), np.array([[0, -1], [1, 0]])
    span = np.stack([one.ravel(), i.ravel()]).T / np.sqrt(2)
    np.testing.assert_allclose(np.abs(span.T @ by_hand.dense(basis)), np.eye(2), atol=1e-15)


def test_no_vector_of_the_plane_is_invariant_under_its_rotations():
    assert eb.solve(HEXAGON, output="2").rank == 0


def test_a_representation_that_is_not_orthogonal_is_taken_as_it_is():
    rho = space(SKEWED, (5,), (5,)).output
    shifts = by_hand.permutation_matrices(space(CYCLIC, (5,), (5,)).output.index)
    np.testing.assert_allclose(rho.matrices, by_hand.conjugated(shifts, SKEW), atol=1e-12)


@pytest.mark.parametrize(
    ("group", "shape", "rank"), [(HEXAGON, (2,), 2), (SKEWED, (5,), 5), (SIGN, (3,), 9)]
)
def test_every_basis_vector_of_a_group_of_the_user_intertwines(group, shape, rank):
    basis = eb.solve(group, input=shape, output=shape)
    assert basis.rank == rank
    assert by_hand.invariance_error(basis.space, basis) < 1e-12


def in_place(array, steps):
    array[:] = np.roll(array, steps)
    return array


def as_nested_lists(array, steps):
    return np.roll(array, steps).tolist()


@pytest.mark.parametrize("transform", [in_place, as_nested_lists])
def test_a_transform_may_work_in_place_or_return_lists(transform):
    found = space(eb.Group("loose", tuple(range(5)), transform), (5,), (5,)).output
    np.testing.assert_array_equal(found.index, space(CYCLIC, (5,), (5,)).output.index)


# --- what is no representation is refused -------------------------------------------------------


def rotate_by_interpolation(array, degrees):
    return ndimage.rotate(array, degrees, reshape=False, order=1)


def test_interpolated_rotations_by_45_degrees_are_not_closed():
    eighths = eb.Group("eighths", tuple(range(0, 360, 45)), rotate_by_interpolation)
    said = refusal(eb.GroupError, eighths, (), (5, 5))
    assert "is not closed: 45 after 45 is none of its elements" in said
    assert len(said.splitlines()) == 1


def test_a_group_that_lacks_an_element_is_not_closed():
    lacking = eb.Group("lacking", (0, 1, 2, 4), shift)
    said = refusal(eb.GroupError, lacking, (), (5,))
    assert "is not closed: 1 after 2 is none of its elements" in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("order", [o for o in itertools.permutations(range(3)) if o[0] != 0])
def test_the_identity_comes_first(order):
    said = refusal(eb.GroupError, eb.Group("late", order, shift), (), (3,))
    assert f"the first element, {order[0]}, is not the identity" in said
    assert len(said.splitlines()) == 1


def project(array, element):
    return array if element == "one" else array.mean() * np.ones_like(array)


def test_a_monoid_is_no_group():
    said = refusal(eb.GroupError, eb.Group("monoid", ("one", "mean"), project), (), (3,))
    assert "mean has no inverse" in said
    assert len(said.splitlines()) == 1


def test_an_element_listed_under_two_names_is_refused():
    with pytest.raises(eb.GroupError, match="'twice'"):
        eb.solve(eb.Group("twice", (*range(5), 5), shift), input="5", output="5")


def absolute(array, element):
    return array if element == "one" else np.abs(array[::-1])


def shifted_by_one(array, element):
    return array if element == "one" else array[::-1] + 1.0


def squared(array, element):
    return array if element == "one" else array[::-1] ** 2


@pytest.mark.parametrize("transform", [absolute, shifted_by_one, squared])
def test_a_transform_that_is_not_linear_is_refused(transform):
    said = refusal(eb.GroupError, eb.Group("bent", ("one", "flip"), transform), (), (4,))
    assert "element flip is not linear on 4" in said
    assert len(said.splitlines()) == 1


def transpose(array, element):
    return array if element == "one" else array.T


def doubled(array, element):
    return array if element == "one" else np.tile(array, 2)


@pytest.mark.parametrize(
    ("transform", "shape", "said"),
    [
        (transpose, (2, 3), "does not act on 2x3: two turns it into 3x2"),
        (doubled, (3,), "does not act on 3: two turns it into 6"),
    ],
)
def test_a_transform_that_changes_the_shape_is_refused(transform, shape, said):
    group = eb.Group("changing", ("one", "two"), transform)
    assert said in refusal(eb.SpaceError, group, (), shape)


@pytest.mark.parametrize(
    ("shape", "said"), [((3, 4), "3x4: r90 turns it into 4x3"), ((9,), "2 axes"), ((3, 3, 3), "2")]
)
def test_the_built_in_groups_act_on_square_grids_alone(shape, said):
    assert said in refusal(eb.SpaceError, "c4", (), shape)


def column_7_is_nan(array, element):
    image = np.array(array)
    image[7] *= np.nan if array.flat[7] == 1.0 and element == 1 else 1.0
    return image


def always_complex(array, element):
    return array * 1j


@pytest.mark.parametrize(
    ("transform", "said"),
    [
        (column_7_is_nan, "element 1, column 7 of 9, holds NaN or infinity"),
        (always_complex, "holds complex numbers, and a basis is real"),
    ],
)
def test_values_that_are_not_finite_and_real_are_refused(transform, said):
    message = refusal(eb.GroupError, eb.Group("odd", (0, 1), transform), (), (9,))
    assert said in message
    assert len(message.splitlines()) == 1


def fails_at_column_7(array, element):
    if array.flat[7] == 1.0 and element == "b":
        raise ValueError(f"cannot turn this (process {os.getpid()})")
    return array


@pytest.mark.parametrize("workers", [1, 2])
def test_a_transform_that_raises_is_named_with_element_and_column(workers):
    failing = eb.Group("failing", ("a", "b"), fails_at_column_7)
    said = refusal(eb.GroupError, failing, (), (3, 3), workers=workers)
    assert "'failing': the transform failed at element b, column 7 of 3x3" in said
    assert "ValueError: cannot turn this" in said
    assert (f"(process {os.getpid()})" in said) == (workers == 1)


def fails_in_two_lines(array, element):
    raise ValueError("one line\nand another")


def test_what_a_transform_raises_is_told_in_one_line():
    said = refusal(eb.GroupError, eb.Group("wordy", ("a",), fails_in_two_lines), (), (3,))
    assert said.splitlines() == [said]


# --- check_group for matrices at hand -----------------------------------------------------------


@given(by_hand.spaces)
def test_a_group_of_matrices_is_one_in_whatever_basis(random):
    check_group(random.group, random.elements, random.input, random.output)


def test_two_groups_that_do_not_go_together_are_refused_jointly():
    rotations = PermutationRepresentation(by_hand.grid_permutations("c4", 2))
    swapped = PermutationRepresentation(rotations.index[[0, 2, 1, 3]])
    check_group("c4", "abcd", rotations)
    check_group("c4", "abcd", swapped)
    with pytest.raises(eb.GroupError, match="is not closed"):
        check_group("c4", "abcd", rotations, swapped)


def test_matrices_that_almost_form_a_group_are_refused():
    almost = MatrixRepresentation(np.stack([np.eye(2), -np.eye(2) + 1e-6]))
    with pytest.raises(eb.GroupError, match="is not closed"):
        check_group("almost", "ab", almost)


def test_the_trivial_representation_fixes_the_scalars():
    scalars = trivial_representation(3)
    assert (scalars.order, scalars.dimension) == (3, 1)
    assert scalars.characters().tolist() == [1.0, 1.0, 1.0]


def test_a_representation_of_many_columns_is_put_together_in_order():
    by_one_hots = replace(GROUPS["c4"], rearranges=False)
    rho = representation(by_one_hots, eb.Grid((20, 20)), ONE)  # 400 columns, two tasks each
    np.testing.assert_array_equal(rho.index, by_hand.grid_permutations("c4", 20))


def test_dimensions_multiply_shapes():
    tensor = space("trivial", (2, 3), (4,))
    assert (tensor.m, tensor.k) == (6, 4)
