"""Groups: the built-in ones are groups, and the user's own are found or refused with a reason."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import by_hand
import equibasis as eb
from equibasis.symmetry.building import representation
from equibasis.symmetry.catalog import find_group
from equibasis.symmetry.closure import check_group
from equibasis.symmetry.families import GROUPS
from equibasis.symmetry.families.products import generating_positions
from equibasis.symmetry.hom_space import hom_space
from equibasis.symmetry.workers import Workers

SQUARE = np.arange(9).reshape(3, 3)
CUBE = np.arange(27).reshape(3, 3, 3)
LISTED = {name: group for name, group in GROUPS.items() if group.complete}
ORDERS = [
    ("trivial", 1),
    ("reversal", 2),
    ("c2", 2),
    ("c4", 4),
    ("d1", 2),
    ("d2", 4),
    ("d4", 8),
    ("o", 24),
    ("oh", 48),
]
listed_groups = pytest.mark.parametrize("group", LISTED.values(), ids=LISTED)


def told_apart_on(group: eb.Group) -> np.ndarray:
    """An array that no two elements of a built-in group move alike."""
    return {1: SQUARE[0], 3: CUBE}.get(group.axes, SQUARE)


def transformed(group: eb.Group, array: np.ndarray) -> dict[str, np.ndarray]:
    return {str(g): group.transform(array, g) for g in group.elements}


def element(group: str, name: str) -> object:
    return next(g for g in GROUPS[group].elements if str(g) == name)


def names_of_products(group: eb.Group) -> dict[tuple[str, str], str | None]:
    """(g, h) -> the element that acts as g after h does."""
    array = told_apart_on(group)
    images = {str(image.tolist()): name for name, image in transformed(group, array).items()}
    return {
        (str(g), str(h)): images.get(str(group.transform(group.transform(array, h), g).tolist()))
        for g in group.elements
        for h in group.elements
    }


@pytest.mark.parametrize(("name", "order"), ORDERS)
def test_a_built_in_group_has_its_order(name, order):
    images = transformed(GROUPS[name], told_apart_on(GROUPS[name])).values()
    assert len(images) == len({image.tobytes() for image in images}) == order


@listed_groups
def test_the_first_element_is_the_identity(group):
    array = told_apart_on(group)
    np.testing.assert_array_equal(group.transform(array, group.elements[0]), array)


@listed_groups
def test_products_of_elements_are_elements(group):
    assert None not in names_of_products(group).values()


@listed_groups
def test_every_element_has_an_inverse(group):
    identity = str(group.elements[0])
    to_identity = {g for (g, _), gh in names_of_products(group).items() if gh == identity}
    assert to_identity == set(group.element_names)


@pytest.mark.parametrize(
    ("name", "abelian"),
    [("c2", True), ("c4", True), ("d1", True), ("d2", True), ("d4", False), ("o", False)],
)
def test_rotations_commute_and_reflections_do_not(name, abelian):
    products = names_of_products(GROUPS[name])
    assert all(products[g, h] == products[h, g] for g, h in products) == abelian


def test_r90_turns_counter_clockwise_as_rot90_does():
    turned = GROUPS["c4"].transform(np.array([[1, 2], [3, 4]]), element("c4", "r90"))
    np.testing.assert_array_equal(turned, [[2, 4], [1, 3]])
    np.testing.assert_array_equal(turned, np.rot90([[1, 2], [3, 4]]))


def test_f0_mirrors_left_and_right():
    mirrored = GROUPS["d4"].transform(np.array([[1, 2], [3, 4]]), element("d4", "f0"))
    np.testing.assert_array_equal(mirrored, [[2, 1], [4, 3]])


def test_f90_mirrors_before_it_turns():
    np.testing.assert_array_equal(GROUPS["d4"].transform(SQUARE, element("d4", "f90")), SQUARE.T)


@pytest.mark.parametrize("name", by_hand.ELEMENTS["d4"])
def test_the_action_is_the_one_computed_pixel_by_pixel(name):
    by_pixels = SQUARE.ravel()[by_hand.grid_permutation(name, 3)]
    moved = GROUPS["d4"].transform(SQUARE, element("d4", name))
    np.testing.assert_array_equal(moved.ravel(), by_pixels)


@pytest.mark.parametrize("name", by_hand.ELEMENTS)
def test_built_in_groups_are_found_by_name(name):
    assert find_group(name).element_names == by_hand.ELEMENTS[name]


def test_a_group_finds_itself():
    mine = eb.Group("mine", (0,), lambda array, g: array)
    assert find_group(mine) is mine


SHIFTS = """
import numpy
import equibasis

def shift(array, steps):
    return numpy.roll(array, steps)

cyclic = equibasis.Group("cyclic", tuple(range(5)), shift)

class Plain:
    elements = [0, 1, 2, 3, 4]
    transform = staticmethod(shift)
"""


@pytest.mark.parametrize("named", ["cyclic", "Plain"])
def test_a_group_of_the_user_is_found_as_module_and_object(write_module, named):
    write_module("shifts", SHIFTS)
    group = find_group(f"shifts:{named}")
    assert group.name == f"shifts:{named}"
    assert group.elements == (0, 1, 2, 3, 4)
    np.testing.assert_array_equal(group.transform(np.arange(5), 1), [4, 0, 1, 2, 3])


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (
            "c0",
            "unknown group 'c0': choose, acting on arrays, trivial, reversal, c2, c4, d1, d2, d4",
        ),
        ("", "unknown group ''"),
        (":cyclic", "unknown group ':cyclic'"),
        ("shifts:", "unknown group 'shifts:'"),
        (7, "not 7"),
        (
            "no_such_module_anywhere:cyclic",
            "does not import: it is neither on Python's path nor in",
        ),
        ("broken:cyclic", "does not import (ZeroDivisionError: division by zero)"),
        ("shifts:missing", "module 'shifts' has no 'missing'"),
        ("shifts:shift", "needs a transform"),
        ("shifts:numpy", "needs a transform"),
    ],
)
def test_what_is_no_group_is_refused_in_one_line(write_module, spec, said):
    write_module("shifts", SHIFTS)
    write_module("broken", "1 / 0\n")
    with pytest.raises(eb.GroupError) as refusal:
        find_group(spec)
    assert said in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1


def test_a_group_has_at_least_the_identity():
    with pytest.raises(eb.GroupError, match="no elements"):
        eb.Group("empty", (), lambda array, g: array)


def test_elements_have_names_of_their_own():
    with pytest.raises(eb.GroupError, match="lists the element 1 twice"):
        eb.Group("twice", (0, 1, "1"), lambda array, g: array)


# --- each family is what its name says ----------------------------------------------------------


def index_of(group: str | eb.Group, space: str) -> np.ndarray:
    """ρ of the elements listed, as (elements, n) index arrays."""
    rho = representation(find_group(group), eb.as_space(space), Workers(1))
    return rho.index


def rho(group: str | eb.Group, space: str) -> np.ndarray:
    """ρ of the elements listed, as matrices."""
    return by_hand.matrices(representation(find_group(group), eb.as_space(space), Workers(1)))


@pytest.mark.parametrize(
    ("group", "space", "order"),
    [
        ("trivial", "3x3", 1),
        ("c2", "3x3", 2),
        ("c4", "3x3", 4),
        ("d1", "3x3", 2),
        ("d2", "3x3", 4),
        ("d4", "3x3", 8),
        ("o", "3x3x3", 24),
        ("oh", "3x3x3", 48),
        ("z1", "1", 1),
        ("z7", "7", 7),
        ("z12", "12", 12),
        ("z1025", "41", 41),
        ("s1", "1", 1),
        ("s2", "2", 2),
        ("s3", "3", 6),
        ("s4", "4", 24),
        ("s5", "5", 120),
        ("p4", "3x3", 36),
        ("p4", "4x4", 64),
        ("p4", "5x5", 100),
        ("p4m", "3x3", 72),
        ("p4m", "4x4", 128),
        ("p4m", "5x5", 200),
        ("z3*z4", "3x4", 12),
        ("c4*z3", "3x3x3", 12),
        ("d2*d4", "2x3x3x3", 32),
        ("z2*z3*z5", "2x3x5", 30),
        ("p4*z3", "3x3x3", 108),
        ("z3*p4m", "3x3x3", 216),
    ],
)
def test_a_group_has_its_order(group, space, order):
    found = hom_space(
        find_group(group), input=eb.SCALAR, output=eb.as_space(space), workers=Workers(1)
    )
    elements = found.enumerated
    assert len(set(elements.elements)) == len(elements.elements) == elements.output.order
    distinct = {index.tobytes() for index in elements.output.index}
    assert len(distinct) == elements.output.order == order
    if order <= 256:
        generated = by_hand.generated_group([tuple(row) for row in found.output.index.tolist()])
        assert {tuple(row) for row in elements.output.index.tolist()} == set(generated)


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("group", ["c4", "d4"])
def test_rotations_are_those_of_numpy(group, turns):
    image = np.random.default_rng(0).standard_normal((5, 5))
    turned = GROUPS[group].transform(image, element(group, f"r{90 * turns}"))
    np.testing.assert_array_equal(turned, np.rot90(image, turns))
    if group == "d4":
        mirrored = GROUPS[group].transform(image, element(group, f"f{90 * turns}"))
        np.testing.assert_array_equal(mirrored, np.rot90(np.fliplr(image), turns))


@pytest.mark.parametrize("group", ["c2", "d1", "d2"])
def test_half_turns_and_mirrors_act_on_rectangles(group):
    moved = transformed(GROUPS[group], np.arange(15).reshape(3, 5))
    known = {
        "r0": np.arange(15).reshape(3, 5),
        "r180": np.arange(15)[::-1].reshape(3, 5),
        "f0": np.fliplr(np.arange(15).reshape(3, 5)),
        "f180": np.flipud(np.arange(15).reshape(3, 5)),
    }
    for name, image in moved.items():
        np.testing.assert_array_equal(image, known[name])
    explicit = np.stack([image.ravel() for image in moved.values()])
    assert eb.solve(group, input="3x5", output="3x5").rank == by_hand.burnside(explicit, explicit)


@pytest.mark.parametrize("group", ["c4", "d4", "p4", "p4m"])
def test_quarter_turns_do_not_act_on_rectangles(group):
    with pytest.raises(
        eb.SpaceError, match=f"'{group}' does not act on 3x5: r90 turns it into 5x3"
    ):
        eb.solve(group, output="3x5")


@pytest.mark.parametrize(("group", "space"), [("o", "3x3x4"), ("oh", "3x4x3")])
def test_the_cube_group_needs_a_cube(group, space):
    with pytest.raises(eb.SpaceError, match=f"'{group}' does not act on {space}: .* turns it into"):
        eb.solve(group, output=space)


def test_rotations_of_the_cube_have_determinant_1():
    determinants = np.linalg.det([GROUPS["o"].linear(g, 3) for g in GROUPS["o"].elements])
    np.testing.assert_allclose(determinants, 1)
    assert set(GROUPS["o"].element_names) < set(GROUPS["oh"].element_names)


@pytest.mark.parametrize("length", [1, 2, 3, 6])
def test_shifts_act_on_sequences_whose_length_divides_their_number(length):
    grid = eb.Grid((length,))
    np.testing.assert_array_equal(
        index_of("z6", grid), [np.roll(np.arange(length), step) for step in range(6)]
    )
    assert eb.solve("z6", input=grid, output=grid).rank == length


@pytest.mark.parametrize("length", [4, 5, 7, 12])
def test_shifts_do_not_act_on_other_sequences(length):
    with pytest.raises(eb.SpaceError, match=f"6 shifts by one do not bring a sequence of {length}"):
        eb.solve("z6", output=str(length))


def test_symmetric_groups_permute_every_axis_alike():
    swap, cycle = index_of("s3", "3x3").reshape(2, 3, 3)
    np.testing.assert_array_equal(swap, SQUARE[[1, 0, 2]][:, [1, 0, 2]])
    np.testing.assert_array_equal(cycle, SQUARE[[2, 0, 1]][:, [2, 0, 1]])


def test_a_direct_product_moves_the_axes_of_each_factor():
    group, array = find_group("c4*z3"), np.random.default_rng(0).standard_normal((4, 4, 3))
    moved = transformed(group, array)
    assert len(moved) == 12
    for turns in range(4):
        for steps in range(3):
            by_axes = np.roll(np.rot90(array, turns, (0, 1)), steps, axis=2)
            np.testing.assert_array_equal(moved[f"r{90 * turns},s{steps}"], by_axes)


@pytest.mark.parametrize("spec", ["z0", "z03", "s0", "q9", "z3*", "*z3", "z3**2", "z1234567", "Z3"])
def test_slips_in_the_name_of_a_family_are_refused(spec):
    with pytest.raises(eb.GroupError, match="unknown group"):
        find_group(spec)


# --- permutation groups -------------------------------------------------------------------------


def test_a_generator_sends_i_to_its_image():
    group = eb.permutation_group("mine", {"a": [1, 2, 0], "b": (1, 0, 2)})
    assert (group.element_names, group.complete) == (("a", "b"), False)
    np.testing.assert_array_equal(group.transform(np.array([10, 20, 30]), "a"), [30, 10, 20])
    for i, image in enumerate([1, 2, 0]):
        np.testing.assert_array_equal(group.transform(np.eye(3)[i], "a"), np.eye(3)[image])


def test_generators_may_be_arrays():
    group = eb.permutation_group("mine", {"a": np.array([1, 0])})
    assert eb.solve(group, input="2", output="2").rank == 2


@pytest.mark.parametrize(
    ("generators", "said"),
    [
        ({}, "no generators"),
        ({"a": [1, 0], "b": [0, 1, 2]}, "unequal length: b moves 3 points, the first moves 2"),
        ({"a": [1, 2]}, "a is not a permutation of 0 to 1: 2 is out of range"),
        ({"a": [-1, 0]}, "a is not a permutation of 0 to 1: -1 is out of range"),
        ({"a": [1, 1, 0]}, "a is not a permutation of 0 to 2: 1 comes twice"),
        ({"a": [0.5, 1]}, "a is not a list of whole numbers"),
        ({"a": "ab"}, "a"),
        ({"a": []}, "a"),
        ({"": [0, 1]}, "name is empty"),
    ],
)
def test_what_is_no_permutation_is_refused(generators, said):
    with pytest.raises(eb.GroupError) as refusal:
        eb.permutation_group("mine", generators)
    assert said in str(refusal.value)
    assert "'mine'" in str(refusal.value)


def test_a_permutation_group_acts_on_axes_of_its_degree_alone():
    with pytest.raises(eb.SpaceError, match="its axes must have length 3, not 4"):
        eb.solve("s3", output="3x4")


THREE = "degree: 3\ngenerators: [[1, 2, 0], [1, 0, 2]]\n"
THREE_BY_NAME = "degree: 3\ngenerators: {turn: [1, 2, 0], swap: [1, 0, 2]}\n"
THREE_AS_JSON = '{"degree": 3, "generators": [[1, 2, 0], [1, 0, 2]]}'


@pytest.mark.parametrize(
    ("text", "suffix"),
    [
        *itertools.product([THREE, THREE_BY_NAME, THREE_AS_JSON], ["yaml", "yml"]),
        (THREE_AS_JSON, "json"),
        ("\ufeff" + THREE_AS_JSON, "json"),
    ],
)
def test_a_file_holds_a_permutation_group(tmp_path, text, suffix):
    path = tmp_path / f"three.{suffix}"
    path.write_text(text, encoding="utf-8")
    group = find_group(str(path))
    assert (group.name, len(group.elements)) == ("three", 2)
    one, other = eb.solve(group, input="3", output="3x3"), eb.solve("s3", input="3", output="3x3")
    np.testing.assert_array_equal(by_hand.dense(one), by_hand.dense(other))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "needs the keys 'degree' and 'generators'"),
        (b"3", "needs the keys"),
        (b"[degree, generators]", "needs the keys"),
        (b"degree: 3", "needs the keys"),
        (b"generators: [[0]]", "needs the keys"),
        (b"degree: [", "cannot read the group"),
        (b"\xff\xfe\xff", "cannot read the group"),
        (b"degree: 0\ngenerators: [[]]", "'degree' is a number of points"),
        (b"degree: three\ngenerators: [[0]]", "'degree' is a number of points"),
        (b"degree: 3\ngenerators: 3", "'generators' a list of lists"),
        (b"degree: 3\ngenerators: []", "no generators"),
        (b"degree: 3\ngenerators: {}", "no generators"),
        (b"degree: 3\ngenerators: [0, 1, 2]", "g0 is not a list of whole numbers"),
        (b"degree: 2\ngenerators: [[0, 1], [0, x]]", "g1 is not a list of whole numbers"),
        (b"degree: 2\ngenerators: [[0, 1.0]]", "g0 is not a list of whole numbers"),
        (b"degree: 2\ngenerators: [[false, true]]", "g0 is not a list of whole numbers"),
        (b"degree: 3\ngenerators: [[1, 0]]", "g0 has 2 images, but the degree is 3"),
        (b"degree: 2\ngenerators: {t: [1, 1]}", "t is not a permutation of 0 to 1: 1 comes twice"),
        (b"degree: 2\ngenerators: [[1, 2]]", "g0 is not a permutation of 0 to 1: 2 is out of"),
        (b"degree: 2\ngenerators: {1: [1, 0], '1': [0, 1]}", "1"),
    ],
)
def test_a_file_that_holds_none_is_refused_in_one_line(tmp_path, content, said):
    path = tmp_path / "wrong.yaml"
    path.write_bytes(content)
    with pytest.raises(eb.GroupError) as refusal:
        find_group(str(path))
    assert said in str(refusal.value)
    assert "wrong" in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(eb.GroupError, match="cannot read the group"):
        find_group(str(tmp_path / "none.yaml"))
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(eb.GroupError, match="cannot read the group"):
        find_group(str(tmp_path / "folder.yaml"))


# --- groups of matrices -------------------------------------------------------------------------

TURN_60 = [[0.5, -(0.75**0.5)], [0.75**0.5, 0.5]]
MIRROR = [[1.0, 0.0], [0.0, -1.0]]


@pytest.mark.parametrize(
    ("generators", "order"), [([TURN_60], 6), ([TURN_60, MIRROR], 12), ({"m": MIRROR}, 2)]
)
def test_matrices_generate_their_group(generators, order):
    space = hom_space(
        eb.matrix_group("m", generators), input=eb.SCALAR, output=eb.V, workers=Workers(1)
    )
    assert space.enumerated.output.order == order


def test_matrices_act_on_v_alone():
    with pytest.raises(eb.SpaceError, match="acts on V, not on arrays"):
        eb.solve(eb.matrix_group("m", [MIRROR]), output="2")


@pytest.mark.parametrize(
    ("generators", "said"),
    [
        ([], "no generators"),
        ({}, "no generators"),
        ([[[1.0, 0.0]]], "g0 has shape (1, 2)"),
        ([np.eye(2), np.eye(3)], "g1 has shape (3, 3)"),
        ([[[1.0, 1.0], [1.0, 1.0]]], "g0 is not an invertible matrix"),
        ([np.zeros((2, 2))], "g0 is not an invertible matrix"),
        ([[[np.nan]]], "g0 holds NaN or infinity"),
        ({"a": [[np.inf]]}, "a holds NaN or infinity"),
        ([1.0], "g0"),
        ([[[1.0, 2.0], [3.0]]], "g0"),
        ([[["x"]]], "g0"),
        ([[[1j]]], "g0"),
    ],
)
def test_what_is_no_invertible_matrix_is_refused(generators, said):
    with pytest.raises(eb.GroupError) as refusal:
        eb.matrix_group("mine", generators)
    assert said in str(refusal.value)
    assert "'mine'" in str(refusal.value)


@pytest.mark.parametrize(
    "generator",
    [
        [[np.cos(1), -np.sin(1)], [np.sin(1), np.cos(1)]],
        [[np.cos(np.pi / 3 + 1e-8), -np.sin(np.pi / 3)], [np.sin(np.pi / 3), 0.5]],
    ],
    ids=["a turn by 1", "a turn that is not exact"],
)
def test_matrices_of_no_group_that_can_be_told_are_refused(generator):
    with pytest.raises(eb.EquibasisError, match=r"more than|not finite|not form a group"):
        eb.solve(eb.matrix_group("endless", [generator]), input=eb.V, output=eb.V)


@pytest.mark.parametrize(
    ("generator", "rank"),
    [([[1.0, 1.0], [0.0, 1.0]], 2), ([[2.0]], 1), ([[0.5]], 1)],
    ids=["a shear", "2", "1/2"],
)
def test_fractions_that_generate_no_finite_group_are_solved_without_listing(generator, rank):
    group = eb.matrix_group("endless", [generator])
    basis = eb.solve(group, input=eb.V, output=eb.V)
    known = basis.rank, basis.solver, basis.checks.rank_by
    assert known == (rank, "kernel", "rank modulo p")
    with pytest.raises(eb.GroupError, match=r"more than|not finite"):
        eb.solve(group, input=eb.V, output=eb.V, solver="svd")


def mean_of_all(array, element):
    return array.mean() * np.ones_like(array)


def first_everywhere(array, element):
    return np.full_like(array, array.flat[0])


@pytest.mark.parametrize(
    "monoid",
    [
        eb.Group("monoid", ("p",), mean_of_all, complete=False),
        eb.Group("monoid", ("p",), first_everywhere, complete=False, rearranges=True),
        eb.Group("monoid", ("p",), lambda array, g: array + 1, complete=False, rearranges=True),
    ],
    ids=["mean", "copies of the first", "no rearrangement"],
)
def test_generators_that_have_no_inverse_are_refused(monoid):
    with pytest.raises(eb.GroupError, match="'monoid'"):
        eb.solve(monoid, input="3", output="3")


# --- fields: the value turns when its point moves -----------------------------------------------


def centred_positions(side: int, axes: int) -> np.ndarray:
    """v(p) = p - centre, components first."""
    line = np.arange(side) - (side - 1) / 2
    return np.stack(np.meshgrid(*[line] * axes, indexing="ij"))


@pytest.mark.parametrize(("group", "axes"), [("c4", 2), ("d4", 2), ("d1", 2), ("o", 3), ("oh", 3)])
@pytest.mark.parametrize("side", [2, 3, 4])
def test_the_field_of_positions_is_invariant(group, axes, side):
    v = centred_positions(side, axes).ravel()
    grid = "x".join([str(side)] * axes)
    for matrix in rho(group, f"{grid}:vector"):
        np.testing.assert_allclose(matrix @ v, v, atol=0)
    B = by_hand.dense(eb.solve(group, output=f"{grid}:vector"))
    np.testing.assert_allclose(B @ (B.T @ v), v, atol=1e-12)


@pytest.mark.parametrize("name", by_hand.ELEMENTS["d4"])
def test_a_vector_is_carried_to_where_its_point_goes_and_turned(name):
    """A move of the grid is p -> R p + t, found from where three points go; vectors turn by R."""
    side, d4 = 4, GROUPS["d4"]
    g = list(by_hand.ELEMENTS["d4"]).index(name)
    numbered = by_hand.grid_permutation(name, side)
    goes_to = {int(old): divmod(new, side) for new, old in enumerate(numbered)}
    origin = np.array(goes_to[0])
    R = np.stack([np.array(goes_to[side]) - origin, np.array(goes_to[1]) - origin], axis=1)
    v = np.random.default_rng(0).standard_normal((2, side, side))
    turned = np.empty_like(v)
    for old, (row, column) in goes_to.items():
        turned[:, row, column] = R @ v[:, old // side, old % side]
    np.testing.assert_allclose(rho("d4", "4x4:vector")[g] @ v.ravel(), turned.ravel(), atol=1e-15)
    np.testing.assert_array_equal(d4.linear(d4.elements[g], 2), R)


def test_a_pseudoscalar_field_changes_sign_under_reflections_alone():
    scalar, sign = rho("d4", "3x3"), rho("d4", "3x3:pseudoscalar")
    np.testing.assert_array_equal(sign[:4], scalar[:4])
    np.testing.assert_array_equal(sign[4:], -scalar[4:])


def test_the_whirl_around_the_centre_is_turned_into_itself_and_mirrored_into_its_negative():
    x, y = centred_positions(3, 2)
    whirl = np.stack([-y, x]).ravel()
    for matrix, determinant in zip(rho("d4", "3x3:vector"), [1] * 4 + [-1] * 4, strict=True):
        np.testing.assert_array_equal(matrix @ whirl, determinant * whirl)


def gradient(shape: tuple[int, ...]) -> np.ndarray:
    """Central differences on a torus, scalars -> vectors, as a matrix."""
    n = int(np.prod(shape))
    one_hots = np.eye(n).reshape(n, *shape)
    steps = [
        np.roll(one_hots, -1, axis + 1) - np.roll(one_hots, 1, axis + 1)
        for axis in range(len(shape))
    ]
    return np.stack(steps, axis=1).reshape(n, -1).T


@pytest.mark.parametrize(
    ("group", "shape"), [("p4m", (4, 4)), ("d4", (3, 3)), ("oh", (3, 3, 3)), ("z3*z4", (3, 4))]
)
def test_the_gradient_is_equivariant(group, shape):
    grid, D = "x".join(map(str, shape)), gradient(shape)
    for scalars, vectors in zip(rho(group, grid), rho(group, f"{grid}:vector"), strict=True):
        np.testing.assert_array_equal(vectors @ D, D @ scalars)
    if len(shape) == 2:
        B = by_hand.dense(eb.solve(group, input=grid, output=f"{grid}:vector"))
        np.testing.assert_allclose(B @ (B.T @ D.ravel()), D.ravel(), atol=1e-12)


def test_the_curl_of_a_plane_field_is_a_pseudoscalar_field():
    n, D = 16, gradient((4, 4))
    along_0, along_1 = D[:n], D[n:]
    curl = np.hstack([-along_1, along_0])
    for vectors, signs in zip(
        rho("p4m", "4x4:vector"), rho("p4m", "4x4:pseudoscalar"), strict=True
    ):
        np.testing.assert_array_equal(signs @ curl, curl @ vectors)


@pytest.mark.parametrize("field", ["scalar", "pseudoscalar", "vector", "pseudovector", "regular"])
@pytest.mark.parametrize(
    ("group", "grid"),
    [("d4", "3x3"), ("c4", "2x2"), ("d2", "2x3"), ("o", "2x2x2"), ("oh", "2x2x2"), ("z4", "4")],
)
def test_fields_are_homomorphisms_in_step_with_the_grid(group, grid, field):
    found = find_group(group)
    points, values = (
        representation(found, eb.as_space(text), Workers(1)) for text in (grid, f"{grid}:{field}")
    )
    check_group(group, found.element_names, points, values)


@pytest.mark.parametrize(
    ("group", "grid", "order"),
    [("c4", "3x3", 4), ("d4", "3x3", 8), ("o", "2x2x2", 24), ("p4", "3x3", 4), ("p4m", "3x3", 8)],
)
def test_a_regular_field_has_a_component_for_each_element_of_the_point_group(group, grid, order):
    points = np.prod([int(size) for size in grid.split("x")])
    assert rho(group, f"{grid}:regular").shape[1] == order * points


@pytest.mark.parametrize(("group", "grid"), [("c4", "3x3"), ("d4", "3x3"), ("d2", "2x3")])
def test_maps_to_a_regular_field_are_free(group, grid):
    """R[G] ⊗ Y ≅ R[G] ^ dim Y, and Hom(X, R[G]) ≅ X: the rank is dim X dim Y."""
    points = int(np.prod([int(size) for size in grid.split("x")]))
    assert eb.solve(group, input=grid, output=f"{grid}:regular").rank == points**2
    assert eb.solve(group, input=f"{grid}:regular", output=grid).rank == points**2


@pytest.mark.parametrize("field", ["vector", "pseudovector", "pseudoscalar", "regular"])
def test_a_group_that_does_not_say_how_vectors_turn_has_scalars_alone(field):
    with pytest.raises(eb.SpaceError, match="'s3' does not say how vectors turn"):
        eb.solve("s3", output=f"3:{field}")


def test_each_element_turns_vectors_by_a_matrix_of_as_many_axes_as_the_grid_has():
    turns = {"e": np.eye(2), "half": np.eye(3)}
    group = eb.Group("own", ("e", "half"), lambda x, g: x, linear=lambda g, axes: turns[g])
    with pytest.raises(
        eb.SpaceError, match=r"on a grid of 2 axes is not given by matrices \(2, 2\)"
    ):
        eb.solve(group, output="2x2:vector")


# --- generators ---------------------------------------------------------------------------------

KNOWN_GENERATORS = [
    *((name, "x".join("3" * (group.axes or 2))) for name, group in LISTED.items()),
    ("z7", "7"),
    ("z12", "12"),
    ("z3*z4", "3x4"),
    ("d4*z2", "3x3x2"),
]


@pytest.mark.parametrize(("name", "grid"), KNOWN_GENERATORS)
def test_the_generators_of_a_listed_group_generate_all_its_elements(name, grid):
    group = find_group(name)
    listed = {tuple(row) for row in index_of(group, grid).tolist()}
    space = hom_space(group, input=eb.SCALAR, output=eb.as_space(grid), workers=Workers(1))
    chosen = [tuple(space.output.index[g].tolist()) for g in space.generating]
    identity = tuple(space.output.index[0].tolist())
    assert set(by_hand.generated_group([identity, *chosen])) == listed
    few = index_of(group, grid)[list(generating_positions(group))]
    assert set(by_hand.generated_group([identity, *map(tuple, few.tolist())])) == listed


def test_a_product_too_large_to_list_has_the_generators_of_its_factors():
    group = find_group("z40*d4*z30")
    assert not group.complete
    assert len(group.elements) == 4
    space = hom_space(group, input=eb.SCALAR, output=eb.as_space("4x3x3x3"), workers=Workers(1))
    assert space.enumerated.output.order == 4 * 8 * 3
