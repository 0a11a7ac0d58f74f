"""Spaces: an algebra with a text form, equal by value, and the representations they stand for."""

from __future__ import annotations

import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

import by_hand
import equibasis as eb
from conftest import run_python
from equibasis.symmetry.building import representation
from equibasis.symmetry.catalog import find_group
from equibasis.symmetry.constructions import same_representation
from equibasis.symmetry.representations import MatrixRepresentation
from equibasis.symmetry.space_text import as_space
from equibasis.symmetry.spaces import (
    FIELDS,
    SCALAR,
    Dual,
    Grid,
    Product,
    Space,
    Sum,
    V,
    array_shape,
    copies,
)
from equibasis.symmetry.workers import Workers

A, B = Grid((2, 2)), Grid((3,))
C4 = find_group("c4")
ONE = Workers(1)


def rho(space: Space, group: eb.Group = C4) -> np.ndarray:
    """All matrices ρ(g), (|G|, n, n)."""
    return by_hand.matrices(representation(group, space, ONE))


def dimension(space: Space) -> int:
    return representation(C4, space, ONE).dimension


# --- random spaces ------------------------------------------------------------------------------

shapes = st.lists(st.integers(1, 12), min_size=1, max_size=3).map(tuple).filter(lambda s: s != (1,))
grids = st.builds(Grid, shapes, st.sampled_from(FIELDS))


def combined(inner: st.SearchStrategy[Space]) -> st.SearchStrategy[Space]:
    return st.one_of(
        st.builds(lambda a, b: a + b, inner, inner),
        st.builds(lambda a, b: a * b, inner, inner),
        st.builds(lambda a, n: a**n, inner, st.integers(0, 3)),
        st.builds(lambda n, a: n * a, st.integers(1, 4), inner),
        st.builds(lambda a: a.dual, inner),
    )


spaces = st.recursive(st.one_of(grids, st.just(SCALAR), st.just(V)), combined, max_leaves=6)

# Spaces on which C4 acts, of dimension small enough to write their matrices down.
small = st.sampled_from(
    [A, SCALAR, Grid((2, 2), "vector"), Grid((1, 1), "pseudoscalar"), Grid((1, 1))]
)


# --- text ---------------------------------------------------------------------------------------


@given(spaces)
def test_a_space_survives_being_written_and_read(space):
    assert as_space(str(space)) == space
    assert str(as_space(str(space))) == str(space)


@given(spaces)
def test_blanks_mean_nothing(space):
    spread = "".join(f" {mark} " if mark in "+()" else mark for mark in str(space))
    assert as_space(f"  {spread} ") == space


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("shape", [(1, 1), (5,)])
def test_a_grid_of_one_point_survives_too(shape, field):
    grid = Grid(shape, field)
    assert as_space(str(grid)) == grid


def test_a_sequence_of_one_point_is_the_scalar():
    assert Grid((1,)) == SCALAR


@pytest.mark.parametrize("field", FIELDS)
def test_a_single_point_has_fields_too(field):
    point = Grid((), field)
    assert point == Grid((1,), field)
    assert as_space(str(point)) == point
    assert (point == SCALAR) == (field == "scalar")


@pytest.mark.parametrize(
    ("text", "space"),
    [
        ("1", SCALAR),
        ("(1)", SCALAR),
        ("5", Grid((5,))),
        ("2x2", A),
        ("2x2:vector", Grid((2, 2), "vector")),
        ("3:pseudoscalar", Grid((3,), "pseudoscalar")),
        ("V", V),
        ("2*3", Sum((B, B))),
        ("2*3*2x2", Sum((A,) * 6)),
        ("3*1", Sum((SCALAR,) * 3)),
        ("(2)*(3)", Product((Grid((2,)), B))),
        ("(2)**3", Product((Grid((2,)),) * 3)),
        ("2x2*(3)", Product((A, B))),
        ("2x2**2*(3)", Product((A, A, B))),
        ("3:vector*V", Product((Grid((3,), "vector"), V))),
        ("V*3:vector", Product((V, Grid((3,), "vector")))),
        ("2x2 + 3*V", Sum((A, V, V, V))),
        ("2*2x2*(3) + 1", Sum((Product((A, B)), Product((A, B)), SCALAR))),
        ("(2x2 + 3)*V", Product((Sum((A, B)), V))),
        ("(V*V)*V", Product((V, V, V))),
        ("(2x2 + 3) + 1", Sum((A, B, SCALAR))),
        ("(V**2)**2", Product((V,) * 4)),
        ("V**0", SCALAR),
        ("V**1", V),
        ("dual(V)", Dual(V)),
        ("dual(dual(V))", V),
        ("dual(V + 2x2)*V", Product((Dual(Sum((V, A))), V))),
    ],
)
def test_the_text_means(text, space):
    assert as_space(text) == space


@pytest.mark.parametrize(
    ("space", "text"),
    [
        (A + A + B, "2*2x2 + 3"),
        (2 * (A + B), "2x2 + 3 + 2x2 + 3"),
        (2 * (A * B), "2*(2x2*(3))"),
        (B * A, "(3)*2x2"),
        (B * B * A, "(3)**2*2x2"),
        ((A + B) ** 2, "(2x2 + 3)**2"),
        ((A + B) * B * (A + B), "(2x2 + 3)*(3)*(2x2 + 3)"),
        (SCALAR * A, "2x2"),
        ((A + B).dual, "dual(2x2 + 3)"),
        (SCALAR, "1"),
    ],
)
def test_a_space_is_written_as(space, text):
    assert str(space) == text


@pytest.mark.parametrize(
    ("text", "character"),
    [
        ("", 1),
        ("   ", 4),
        ("x14", 1),
        ("14x", 3),
        ("14X14", 3),
        ("14x14x", 6),
        ("3x3x 3", 4),
        ("1.5x2", 2),
        ("-3x3", 1),
        ("3x-3", 2),
        ("0x3", 1),
        ("3 + 0x3", 5),
        ("3 + 3x0", 5),
        ("0*3", 1),
        ("3 + 0*2x2", 5),
        ("2*0*3", 3),
        ("3 +", 4),
        ("3 + ", 5),
        ("+ 3", 1),
        ("3 ++ 3", 4),
        ("3*", 3),
        ("*3", 1),
        ("(3)**", 6),
        ("(3)**2x2", 6),
        ("(3)**-1", 6),
        ("(3)**V", 6),
        ("(3)***2", 6),
        ("3 3", 3),
        ("3x3 V", 5),
        ("VV", 1),
        ("W", 1),
        ("v", 1),
        ("dual", 5),
        ("dual V", 6),
        ("dual(V", 7),
        ("dual()", 6),
        ("(3", 3),
        ("3)", 2),
        ("()", 2),
        ("((3)", 5),
        ("3:", 3),
        ("3:spin", 3),
        ("3:vector:pseudoscalar", 9),
        ("3: vectors", 4),
        ("V:vector", 2),
        ("(3):vector", 4),
        ("3x3 + 14x14:vectr", 13),
        ("3, 3", 2),
        ("3/3", 2),
        ("3 - 3", 3),
        ("3 + é", 5),
        ("[3]", 1),
    ],
)
def test_a_slip_is_pointed_at(text, character):
    with pytest.raises(eb.SpaceError) as refusal:
        as_space(text, ["V"])
    said = str(refusal.value)
    # Messages are one line, in which blanks run together.
    shown = " ".join(f"{text[: character - 1]}»{text[character - 1 :]}".split())
    assert f", at character {character}: " in said
    assert said.endswith(shown)
    assert repr(text) in said or repr(" ".join(text.split())) in said or not text.strip()


TWO_READINGS = {
    "3x3*2": ["*2", "2*", "*(2)"],  # channels, or times a sequence
    "V*3": ["*3", "3*", "*(3)"],
    "(2)*3": ["*3"],
    "2*V*3": ["*3"],
    "V*3**2": ["*3"],
    "V*1": ["*1"],
    "2**3": ["2**", "(2)**"],  # 8, or the tensors of three indices
    "3*2**3": ["2**", "(2)**"],
    "V**2**3": ["brackets"],  # V**6, or V**8 as in Python
    "06x06": ["start with 0"],
    "010": ["start with 0"],
    "02*V": ["start with 0"],
    "V**02": ["start with 0"],
}


@pytest.mark.parametrize(("text", "said"), TWO_READINGS.items(), ids=TWO_READINGS)
def test_what_can_be_read_in_two_ways_is_refused_with_both(text, said):
    with pytest.raises(eb.SpaceError) as refusal:
        as_space(text)
    assert all(part in str(refusal.value) for part in said)


@pytest.mark.parametrize(
    "text",
    [
        *("3X3", "3×3", "３x3", "2٣", "3x3：vector", "3x3:Vector", "3x3:sign", "v", "DUAL(V)"),
        *("0x10", "1_0", "1e1", "+3", "3x", "x3", "3 x 3", "2·3", "3∗V"),
    ],
)
def test_letters_digits_and_marks_of_other_kinds_are_no_spaces(text):
    with pytest.raises(eb.SpaceError):
        as_space(text, ["V"])


@pytest.mark.parametrize("text", ["65536x65536", "3 + 99999x99999x99999"])
def test_more_points_than_any_machine_could_treat_are_refused(text):
    with pytest.raises(eb.SpaceError, match=r"more than 2,147,483,648 points.*at character"):
        as_space(text)


HUGE = [
    "2000000000*3x3",
    "V**2000000000",
    f"V**{10**20}",
    f"{10**20}*V",
    "9" * 5000,
    f"V**{'9' * 5000}",
    "(" * 5000 + "3" + ")" * 5000,
]


def test_what_is_far_too_much_is_refused_and_not_begun(tmp_path):
    program = (
        "import resource, sys, equibasis\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2**32, 2**32))\n"
        "for text in sys.argv[1:]:\n"
        "    try: print('taken', equibasis.as_space(text))\n"
        "    except equibasis.SpaceError: print('refused')\n"
    )
    done = run_python("-c", program, *HUGE, folder=tmp_path)
    assert (done.out, done.status) == ("refused\n" * len(HUGE), 0), done.err[-300:]


@pytest.mark.parametrize("wrong", [14, 2.5, (2.5, 2), ("a", 2), (0, 3), (3, -1), [[3, 3]]])
def test_a_shape_of_anything_but_positive_whole_numbers_is_refused(wrong):
    with pytest.raises(eb.SpaceError, match="shape"):
        as_space(wrong)


@pytest.mark.parametrize("field", ["", "2d", "spin-2", "dual", "é", 3])
def test_a_field_that_is_no_name_is_refused(field):
    with pytest.raises(eb.SpaceError, match="choose scalar, pseudoscalar, vector, pseudovector"):
        Grid((3, 3), field)


# --- the algebra --------------------------------------------------------------------------------


@given(spaces, spaces, spaces)
def test_sums_and_products_are_associative(a, b, c):
    assert (a + b) + c == a + (b + c)
    assert (a * b) * c == a * (b * c)


@given(spaces, st.integers(1, 4), st.integers(1, 4))
def test_powers_and_copies_add_up(a, m, n):
    assert a**m * a**n == a ** (m + n)
    assert m * a + n * a == (m + n) * a
    assert m * (n * a) == (m * n) * a
    assert (a**1, a**0, 1 * a) == (a, SCALAR, a)
    assert n * a == copies(n, a)


@given(spaces)
def test_the_dual_of_the_dual_is_the_space(a):
    assert a.dual.dual == a
    assert (a.dual == a) == (a == SCALAR)


@given(spaces)
def test_equality_hashing_and_printing_are_by_value(a):
    twin = eval(repr(a), {"as_space": as_space})
    assert twin == a
    assert hash(twin) == hash(a)
    assert str(twin) == str(a)
    assert len({a, twin, as_space(str(a))}) == 1


@given(spaces, spaces)
def test_different_spaces_are_written_differently(a, b):
    assert (a == b) == (str(a) == str(b))


@pytest.mark.parametrize("wrong", [lambda: V**-1, lambda: 0 * V, lambda: -1 * V])
def test_there_is_no_power_below_0_and_no_copies_below_1(wrong):
    with pytest.raises(eb.SpaceError, match=r"is 0 to 64|is 1 to 10,000"):
        wrong()


NO_SPACES = {
    "V + 3": lambda: V + 3,
    "V * 2": lambda: V * 2,  # in text this is refused as well
    "V * 2.5": lambda: V * 2.5,
    "2.5 * V": lambda: 2.5 * V,
    "V * '3x3'": lambda: V * "3x3",
    "V + '1'": lambda: V + "1",
}


@pytest.mark.parametrize("wrong", NO_SPACES.values(), ids=NO_SPACES)
def test_operators_take_spaces_and_whole_numbers_alone(wrong):
    with pytest.raises((TypeError, eb.SpaceError)):
        wrong()


def test_a_number_of_copies_may_come_from_numpy():
    assert np.int64(2) * V == 2 * V


# --- 1 is the scalar ----------------------------------------------------------------------------


@pytest.mark.parametrize("one", ["1", (1,), [1], None, (), Grid(())])
def test_1_is_the_trivial_scalar(one):
    assert as_space(one) == SCALAR
    np.testing.assert_array_equal(rho(as_space(one)), np.ones((4, 1, 1)))


def test_a_shape_and_its_text_are_one_space():
    assert as_space((6, 6)) == as_space([6, 6]) == as_space(np.array([6, 6])) == as_space("6x6")


# --- representations ----------------------------------------------------------------------------


def block_diagonal(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.block([[a, np.zeros((len(a), len(b)))], [np.zeros((len(b), len(a))), b]])


@given(small, small)
def test_a_sum_acts_block_by_block_and_dimensions_add(a, b):
    blocks = [block_diagonal(x, y) for x, y in zip(rho(a), rho(b), strict=True)]
    np.testing.assert_array_equal(rho(a + b), blocks)
    assert dimension(a + b) == dimension(a) + dimension(b)


@given(small, small)
def test_a_product_acts_by_kronecker_products_and_dimensions_multiply(a, b):
    products = [np.kron(x, y) for x, y in zip(rho(a), rho(b), strict=True)]
    np.testing.assert_array_equal(rho(a * b), products)
    assert dimension(a * b) == dimension(a) * dimension(b)


@given(small, st.integers(0, 2), st.integers(1, 3))
def test_a_power_raises_the_dimension_and_copies_multiply_it(a, power, count):
    assert dimension(a**power) == dimension(a) ** power
    assert dimension(count * a) == count * dimension(a)


@given(small, small)
def test_the_dual_of_an_orthogonal_action_is_itself(a, b):
    np.testing.assert_array_equal(rho((a + a * b).dual), rho(a + a * b))


@pytest.mark.parametrize(
    ("field", "components"),
    [
        ("scalar", 1),
        ("pseudoscalar", 1),
        ("vector", 2),
        ("pseudovector", 2),
        ("regular", 4),
    ],
)
def test_a_field_has_its_components_at_each_point(field, components):
    assert dimension(Grid((3, 3), field)) == 9 * components


def test_channels_are_copies_moved_together():
    turned = C4.elements[1]
    image = np.random.default_rng(0).standard_normal((3, 4, 4))
    moved = representation(C4, as_space("3*4x4"), ONE).apply(1, image.ravel())
    by_channel = [C4.transform(channel, turned) for channel in image]
    np.testing.assert_array_equal(moved.reshape(3, 4, 4), by_channel)


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("14x14", (14, 14)),
        ("3*14x14", (3, 14, 14)),
        ("1", ()),
        ("3*1", (3,)),
        ("5x5:vector", (2, 5, 5)),
        ("5x5:pseudoscalar", (5, 5)),
        ("3*4x4x4:vector", (3, 3, 4, 4, 4)),
        ("5x5:regular", None),
        ("5x5 + 1", None),
        ("5x5*(3)", (5, 5, 3)),
        ("V", None),
        ("V*base", None),
        ("dual(5x5)", (5, 5)),
    ],
)
def test_arrays_of_a_space_have_the_shape(text, shape):
    assert array_shape(as_space(text)) == shape


@pytest.mark.parametrize(
    ("text", "dimension", "shape"),
    [
        ("V**4", 81, (3, 3, 3, 3)),
        ("3*V*V", 27, (3, 3, 3)),
        ("sym(V, 2)*V", 18, (6, 3)),
        ("alt(V, 2)**2", 36, (6, 6)),
        ("dual(V)*V", 16, (4, 4)),
        ("2*5x5:regular", 200, (2, 4, 5, 5)),
        ("2x2*base", 12, (2, 2, 3)),
        ("1:vector", 3, (3,)),
        ("V + 1", 4, None),
        ("V*base", 6, None),
        ("V*V", 8, None),
    ],
)
def test_arrays_of_representations_by_name_have_the_shape(text, dimension, shape):
    assert array_shape(as_space(text), dimension) == shape


@given(st.sampled_from(["2x2", "3*2x2", "2x2:vector", "2*2x2:vector", "3*1", "2x2:pseudoscalar"]))
def test_the_shape_holds_as_many_numbers_as_the_space_has_dimensions(text):
    assert math.prod(array_shape(as_space(text)) or ()) == dimension(as_space(text))


# --- duals of what is not orthogonal ------------------------------------------------------------

SKEW = by_hand.random_well_conditioned(3, seed=5)
CYCLE = by_hand.permutation_matrices(np.array([[2, 0, 1]]))[0]
SKEWED = eb.matrix_group("skewed", {"a": SKEW @ CYCLE @ np.linalg.inv(SKEW)})


def test_the_dual_is_the_inverse_transposed():
    (a,) = rho(V, SKEWED)
    assert np.abs(a @ a.T - np.eye(3)).max() > 0.1
    np.testing.assert_allclose(rho(V.dual, SKEWED)[0], np.linalg.inv(a).T, atol=1e-12)
    np.testing.assert_allclose(rho(V.dual.dual, SKEWED)[0], a, atol=0)


def test_the_dual_of_a_product_is_the_product_of_duals():
    one, other = (representation(SKEWED, space, ONE) for space in ((V * V).dual, V.dual * V.dual))
    assert isinstance(one, MatrixRepresentation)
    assert same_representation(one, other)


def test_a_vector_and_its_dual_pair_to_a_scalar():
    """v ⊗ λ -> λ(v) is equivariant V*dual(V) -> 1, and its transpose, the identity, invariant."""
    identity = np.eye(3).ravel()
    (pair,) = rho(V * V.dual, SKEWED)
    np.testing.assert_allclose(pair @ identity, identity, atol=1e-12)
    np.testing.assert_allclose(identity @ pair, identity, atol=1e-12)


def test_maps_are_the_invariants_of_output_times_dual_of_input():
    maps = by_hand.dense(eb.solve(SKEWED, input=V, output=V * V))
    invariants = by_hand.dense(eb.solve(SKEWED, output=V * V * V.dual))
    np.testing.assert_allclose(maps, invariants, atol=1e-10)


@pytest.mark.parametrize(
    ("group", "n"), [("z5", 5), ("s3", 3), ("a4", 4), ("c4", 2), ("d1", 2), ("d4", 2), ("oh", 3)]
)
def test_v_is_r_n_permuted_or_the_vectors_of_grids(group, n):
    found = find_group(group)
    same = eb.Grid((n,)) if group[0] in "zsa" else eb.Grid((), "vector")
    np.testing.assert_array_equal(rho(V, found), rho(same, found))
    assert rho(V, found).shape[1] == n


def test_the_regular_representation_of_one_element_is_the_scalar():
    np.testing.assert_array_equal(rho(as_space("regular"), find_group("trivial")), [[[1.0]]])
    assert eb.solve("trivial", input="2*regular", output="3").rank == 6


@pytest.mark.parametrize("group", ["trivial", "p4"])
def test_a_group_that_has_no_v_says_so(group):
    with pytest.raises(eb.SpaceError, match=f"group '{group}' has none by name"):
        rho(V, find_group(group))
