"""Nothing that can be read in two ways is taken without a word: fields, equal grids, names."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest

import by_hand
import equibasis as eb
from digits.bases import basis_file, load_stage_basis
from equibasis.symmetry.building import representation
from equibasis.symmetry.catalog import find_group, group_name
from equibasis.symmetry.spaces import FIELDS
from equibasis.symmetry.workers import Workers


def rho(group: str | eb.Group, space: str) -> np.ndarray:
    return by_hand.matrices(representation(find_group(group), eb.as_space(space), Workers(1)))


# --- vectors and pseudovectors ------------------------------------------------------------------

# The elements of d4 as matrices R of the plane, rows first: r90 sends row i, column j to row
# n-1-j, column i, so the first component becomes minus the second.
QUARTER = np.array([[0.0, -1.0], [1.0, 0.0]])
LEFT_RIGHT = np.diag([1.0, -1.0])
D4 = {
    **{f"r{90 * k}": np.linalg.matrix_power(QUARTER, k) for k in range(4)},
    **{f"f{90 * k}": np.linalg.matrix_power(QUARTER, k) @ LEFT_RIGHT for k in range(4)},
}
BY_HAND = {
    "scalar": lambda R: np.eye(1),
    "pseudoscalar": lambda R: np.linalg.det(R) * np.eye(1),
    "vector": lambda R: R,
    "pseudovector": lambda R: np.linalg.det(R) * R,
}


@pytest.mark.parametrize("field", BY_HAND)
def test_fields_in_the_plane_turn_by_the_matrices_written_by_hand(field):
    at_a_point = rho("d4", f"1:{field}" if field != "scalar" else "1")
    on_a_grid, points = rho("d4", f"3x3:{field}"), rho("d4", "3x3")
    for number, name in enumerate(find_group("d4").element_names):
        expected = BY_HAND[field](D4[name])
        np.testing.assert_allclose(at_a_point[number], expected, atol=1e-12)
        np.testing.assert_allclose(on_a_grid[number], np.kron(expected, points[number]), atol=1e-12)


def mirror(axis: int) -> np.ndarray:
    return np.diag([-1.0 if each == axis else 1.0 for each in range(3)])


@pytest.mark.parametrize("axis", range(3))
def test_a_mirror_of_space_keeps_of_an_angular_velocity_what_it_takes_of_a_velocity(axis):
    """v -> M v, and ω -> det M · M ω = -M ω."""
    group = eb.Group(
        "mirror",
        ("e", "m"),
        lambda x, g: x if g == "e" else np.flip(x, axis),
        axes=3,
        rearranges=True,
        linear=lambda g, axes: np.eye(3) if g == "e" else mirror(axis),
    )
    np.testing.assert_array_equal(rho(group, "1:vector")[1], mirror(axis))
    np.testing.assert_array_equal(rho(group, "1:pseudovector")[1], -mirror(axis))
    np.testing.assert_array_equal(rho(group, "1:pseudoscalar")[1], [[-1.0]])


def test_the_cross_product_is_the_one_bilinear_map_from_two_vectors_to_a_pseudovector():
    """Of all 48 symmetries of a cube; to a vector there is none."""
    basis = eb.solve("oh", input="1:vector*(1:vector)", output="1:pseudovector")
    assert basis.rank == 1
    W = basis.matrix.toarray().reshape(3, 3, 3)
    a, b = np.random.default_rng(0).standard_normal((2, 3))
    found = np.einsum("kij,i,j->k", W, a, b)
    np.testing.assert_allclose(abs(found), abs(np.cross(a, b)) / np.sqrt(6), atol=1e-12)
    assert eb.solve("oh", input="1:vector*(1:vector)", output="1:vector").rank == 0
    assert eb.solve("oh", input="1:vector", output="1:pseudovector").rank == 0


@pytest.mark.parametrize(
    ("group", "grid"), [("c4", "3x3"), ("o", "2x2x2"), ("z4", "4"), ("c2", "1"), ("p4", "2x2")]
)
def test_under_rotations_vectors_and_pseudovectors_are_alike(group, grid):
    np.testing.assert_array_equal(rho(group, f"{grid}:vector"), rho(group, f"{grid}:pseudovector"))


@pytest.mark.parametrize(("group", "grid"), [("d4", "3x3"), ("oh", "2x2x2"), ("d1", "2x3")])
def test_under_reflections_they_differ_by_the_sign(group, grid):
    vectors, others = rho(group, f"{grid}:vector"), rho(group, f"{grid}:pseudovector")
    signs = rho(group, "1:pseudoscalar")
    assert set(signs.ravel()) == {1.0, -1.0}
    np.testing.assert_array_equal(others, signs * vectors)


@pytest.mark.parametrize("field", FIELDS[1:])
@pytest.mark.parametrize(
    ("group", "grid"),
    [("d4", "1x1"), ("oh", "1x1x1"), ("p4", "1x1"), ("z3", "3"), ("c4*z3", "1x1x3")],
)
def test_a_field_on_a_grid_is_that_at_a_point_times_the_grid(group, grid, field):
    at_a_point, points = rho(group, f"1:{field}"), rho(group, grid)
    for number, values in enumerate(rho(group, f"{grid}:{field}")):
        np.testing.assert_array_equal(values, np.kron(at_a_point[number], points[number]))


def test_a_group_of_matrices_has_fields_at_a_point():
    M = np.diag([-1.0, 1.0, 1.0])
    group = eb.matrix_group("m", [M])
    np.testing.assert_array_equal(rho(group, "1:vector"), rho(group, "V"))
    np.testing.assert_array_equal(rho(group, "1:pseudovector")[0], -M)
    np.testing.assert_array_equal(rho(group, "1:pseudoscalar")[0], [[-1.0]])
    assert rho(group, "1:regular").shape == (1, 2, 2)


@pytest.mark.parametrize("field", FIELDS[1:])
@pytest.mark.parametrize("group", ["trivial", eb.Group("own", ("e",), lambda x, g: x)])
def test_a_group_without_axes_nor_v_has_no_fields_at_a_point(group, field):
    with pytest.raises(eb.SpaceError, match=r"1x1:|does not say how vectors turn"):
        eb.solve(group, output=f"1:{field}")


def test_a_group_of_matrices_without_v_is_told_what_to_call_it():
    group = eb.matrix_group("gripper", representations={"palm": {"flip": np.diag([-1.0, 1.0])}})
    with pytest.raises(eb.SpaceError, match="call the representation that vectors are of 'V'"):
        eb.solve(group, output="pseudoscalar")


def test_the_pseudoscalar_of_permutations_is_their_sign():
    """det of a permutation matrix: a swap is odd, a cycle of five even."""
    np.testing.assert_array_equal(rho("s5", "1:pseudoscalar").ravel(), [-1, 1])
    assert eb.solve("s5", output="1:pseudoscalar").rank == 0
    assert eb.solve("a5", output="1:pseudoscalar").rank == 1


@pytest.mark.parametrize("space", ["1:vector", "1:pseudoscalar", "4x4:pseudovector", "2*1:vector"])
def test_fields_are_saved_and_read(tmp_path, space):
    basis = eb.solve("d4", input="4x4", output=space)
    eb.save_basis(basis, tmp_path / "basis.h5")
    read = eb.load_basis(tmp_path / "basis.h5")
    assert read.space.output_space == eb.as_space(space)
    assert eb.content_sha256(read) == eb.content_sha256(basis)
    eb.verify_basis(read)


# --- equal grids --------------------------------------------------------------------------------


def by_shape(x, g):
    """A robot's mirror: 12 joints exchanged, a vector of 3 mirrored, a quaternion turned."""
    if g == "e":
        return x
    if x.shape == (12,):
        return np.roll(x, 6)
    return x * np.array({3: [1, -1, 1], 4: [1, -1, 1, -1]}[len(x)])


ROBOT = eb.Group("robot", ("e", "mirror"), by_shape)


@pytest.mark.parametrize(
    "space",
    [
        "12 + 3 + 3 + 4",
        "3 + 12 + 3",
        "2*3 + 3",
        "2*(3 + 3)",
        "dual(3 + 4 + 3)",
        "(3 + 3)*(4)",
        eb.Grid((3,)) + eb.Grid((12,)) + eb.Grid((3,)),
    ],
    ids=str,
)
def test_grids_that_are_written_twice_are_warned_of_in_one_line(space):
    with pytest.warns(UserWarning, match="acted on alike") as caught:
        eb.solve(ROBOT, output=space)
    said = str(caught[0].message)
    assert "\n" not in said
    assert "*3 if that is meant" in said
    assert "1:vector + 1:pseudovector" in said


def test_the_warning_is_of_the_line_that_names_the_space():
    """However deep in the package it is found."""
    for make in (
        lambda: eb.solve(ROBOT, output="3 + 3"),
        lambda: eb.solve(ROBOT, input="2*(3 + 3)", output="dual(3 + 3)*(4)"),
    ):
        with pytest.warns(UserWarning, match="acted on alike") as caught:
            make()
        assert {each.filename for each in caught} == {__file__}


@pytest.mark.parametrize("space", ["5 + 5", "3 + 5 + 5", "2*(5 + 5)", "12 + 12 + 5"])
def test_no_warning_comes_before_the_reason_why_the_group_does_not_act(space):
    """There is no choice to make between two readings of which neither holds."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(eb.GroupError, match="transform failed"):
            eb.solve(ROBOT, output=space)


@pytest.mark.parametrize("space", ["12 + 2*3 + 4", "3*3", "12 + 3 + 4", "1 + 3 + 1"])
def test_copies_and_different_grids_are_not(space):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        eb.solve(ROBOT, output=space)


@pytest.mark.parametrize(
    ("group", "space"),
    [
        ("c4", "3x3 + 2x2 + 3x3"),
        ("s3", "3 + 3x3 + 3"),
        ("d4", "1:vector + 1:pseudovector + 1:vector"),
        (eb.Group("moves", ("e",), lambda x, g: x, rearranges=True), "3 + 2 + 3"),
        (eb.matrix_group("m", [np.eye(2)]), "V + 1 + V"),
    ],
)
def test_nor_are_those_of_a_group_whose_action_does_not_depend_on_what_is_meant(group, space):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        eb.solve(group, output=space)


def test_both_ways_of_writing_are_one_space():
    assert eb.as_space("3 + 3") == eb.as_space("2*3")
    assert hash(eb.as_space("3 + 3")) == hash(eb.as_space("2*3"))
    assert str(eb.as_space("12 + 3 + 3 + 4")) == "12 + 2*3 + 4"


def test_a_velocity_and_an_angular_velocity_can_be_said():
    mirror = np.diag([1.0, -1.0, 1.0])
    robot = replace(ROBOT, axes=3, linear=lambda g, axes: np.eye(3) if g == "e" else mirror)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert eb.solve(robot, output="1:vector + 1:pseudovector").rank == 2 + 1


def test_a_command_warns_in_one_line(tmp_path, python):
    (tmp_path / "mine.py").write_text(
        "import equibasis as eb\n"
        "robot = eb.Group('robot', (1, -1), lambda x, g: x if g == 1 else x[::-1])\n"
    )
    outcome = python(
        "-m", "equibasis", "solve", "out.h5", "--group", "mine:robot", "--output", "3 + 3"
    )
    assert outcome.status == 0
    assert outcome.err.startswith("equibasis: warning: ")
    assert len(outcome.err.splitlines()) == 1


# --- names of groups ----------------------------------------------------------------------------

GENERATORS = '{"degree": 4, "generators": [[1, 2, 3, 0]]}'


@pytest.mark.parametrize("name", ["c4", "trivial", "z4", "s4", "p4m", "z123456"])
def test_a_file_called_like_a_built_in_group_is_refused_with_both_readings(tmp_path, name):
    path = tmp_path / f"{name}.json"
    path.write_text(GENERATORS)
    with pytest.raises(eb.GroupError, match=f"{name} can be this file or the built-in group"):
        find_group(str(path))


@pytest.mark.parametrize("name", ["turn", "z04", "c4_mine", "Z4", "z1234567", "q9"])
def test_any_other_name_of_a_file_is_taken(tmp_path, name):
    path = tmp_path / f"{name}.json"
    path.write_text(GENERATORS)
    assert find_group(str(path)).name == name == group_name(str(path))


@pytest.mark.parametrize(
    "spec",
    [*["z４", "z1٤", "Z4", "SO3", "z4x", "z+4", "z4.0", "z04"], "c4 ", " c4", "c 4", "c4\u00a0"],
)
def test_names_in_other_letters_and_digits_are_unknown(spec):
    with pytest.raises(eb.GroupError, match="unknown group"):
        find_group(spec)


@pytest.mark.parametrize("spec", ["z2*z3", "z2 * z3", " z2* z3 "])
def test_a_product_has_one_name_however_it_is_written(tmp_path, spec):
    assert find_group(spec).name == group_name(spec) == "z2*z3"
    path = basis_file(tmp_path, "z2*z3", (None, "2x3"))
    path.parent.mkdir()
    eb.save_basis(eb.solve(spec, output="2x3"), path)
    assert load_stage_basis(tmp_path, spec, (None, "2x3")).group == "z2*z3"


def test_a_product_with_a_file_or_an_object_of_a_module(tmp_path, monkeypatch, write_module):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "turn.json").write_text(GENERATORS)
    write_module(
        "mine",
        "import equibasis as eb\nsign = eb.Group('sign', (1, -1), lambda x, g: x * g, axes=1)\n",
    )
    for spec, name, shape in (
        ("z2*turn.json", "z2*turn", "2x4"),
        ("turn.json*z2", "turn*z2", "4x2"),
        ("mine:sign*z2", "mine:sign*z2", "3x2"),
        ("z2*mine:sign", "z2*mine:sign", "2x3"),
    ):
        assert find_group(spec).name == group_name(spec) == name
        assert eb.solve(spec, input=shape, output=shape).group == name


def test_no_output_is_not_the_scalars():
    with pytest.raises(eb.SpaceError, match="output is missing"):
        eb.solve("c4", input="3x3", output=None)
