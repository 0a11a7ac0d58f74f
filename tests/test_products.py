"""Direct products: G₁ × G₂ acts on X₁ ⊗ X₂ by ρ₁(g₁) ⊗ ρ₂(g₂), whatever the two groups are."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

import by_hand
import equibasis as eb
from equibasis.symmetry.building import representation
from equibasis.symmetry.catalog import find_group, read_group
from equibasis.symmetry.spaces import Grid
from equibasis.symmetry.workers import Workers

TURN = np.array([[-0.5, -(0.75**0.5)], [0.75**0.5, -0.5]])  # by 120 degrees


def negated(x, g):
    return x if g == "keep" else -x


def mirrored(x, g):
    return x if g == 1 else x[::-1]


def turned(x, g):
    return np.linalg.matrix_power(TURN, g) @ x


def skewed(x, g):
    return x if g == "e" else np.array([[1.0, 1.0], [0.0, -1.0]]) @ x


def listed_by_file(tmp: Path) -> eb.Group:
    path = tmp / "klein.json"
    path.write_text('{"degree": 4, "generators": {"a": [1, 0, 3, 2], "b": [2, 3, 0, 1]}}')
    return read_group(path, "klein")


# A small shape on which each acts.
SHAPES = {
    "trivial": (2,),
    "c4": (2, 2),
    "d1": (1, 2),
    "z4": (2,),
    "z3": (3,),
    "p4": (2, 2),
    "s3": (3,),
    "z2*z2": (2, 2),
    "file": (4,),
    "negated": (2,),
    "mirrored": (3,),
    "turned": (2,),
    "skewed": (2,),
    "mirrored, any axes": (3,),
}
OWN = {
    "negated": eb.Group("negated", ("keep", "negate"), negated, axes=1),
    "mirrored": eb.Group("mirrored", (1, -1), mirrored, axes=1, rearranges=True),
    "turned": eb.Group("turned", (0, 1, 2), turned, axes=1),
    "skewed": eb.Group("skewed", ("e", "k"), skewed, axes=1),
    "mirrored, any axes": eb.Group("anywhere", (1, -1), mirrored),
}
PAIRS = list(itertools.combinations_with_replacement(SHAPES, 2))


@pytest.fixture(scope="module")
def groups(tmp_path_factory) -> dict[str, eb.Group]:
    own = {**OWN, "file": listed_by_file(tmp_path_factory.mktemp("groups"))}
    return {name: own.get(name) or find_group(name) for name in SHAPES}


def rho(group: eb.Group, shape: tuple[int, ...]) -> np.ndarray:
    return by_hand.matrices(representation(group, Grid(shape), Workers(1)))


def by_one_hots(group: eb.Group, shape: tuple[int, ...]) -> np.ndarray:
    """What the group's own transform does, column by column."""
    n = int(np.prod(shape))
    one_hots = [each.reshape(shape) for each in np.eye(n)]
    return np.array(
        [
            np.stack([np.ravel(group.transform(x.copy(), g)) for x in one_hots], axis=1)
            for g in group.elements
        ]
    )


def all_elements(group: eb.Group, shape: tuple[int, ...]) -> np.ndarray:
    space = eb.HomSpace(
        group=group.name,
        elements=group.element_names,
        input_space=eb.V,
        output_space=eb.V,
        input=(found := representation(group, Grid(shape), Workers(1))),
        output=found,
        complete=group.complete,
    )
    return by_hand.matrices(space.enumerated.output)


def distinct(matrices: Iterable[np.ndarray]) -> set[bytes]:
    """Matrices told apart by their entries, to eight digits."""
    return {(np.round(each, 8) + 0.0).tobytes() for each in matrices}


@pytest.mark.parametrize(("first", "second"), PAIRS[::2])
def test_the_action_of_a_product_is_the_product_of_the_actions(groups, first, second):
    product = eb.direct_product(groups[first], groups[second])
    shape = SHAPES[first] + SHAPES[second]
    found = rho(product, shape)
    np.testing.assert_allclose(found, by_one_hots(product, shape), atol=1e-12)
    one, other = (all_elements(groups[name], SHAPES[name]) for name in (first, second))
    expected = [np.kron(a, b) for a in one for b in other]
    assert distinct(all_elements(product, shape)) == distinct(expected)
    if product.complete:
        in_order = [
            np.kron(a, b)
            for a in rho(groups[first], SHAPES[first])
            for b in rho(groups[second], SHAPES[second])
        ]
        np.testing.assert_allclose(found, in_order, atol=1e-12)


@pytest.mark.parametrize(("second", "first"), PAIRS[1::2])
def test_the_rank_of_a_product_is_the_product_of_the_ranks(groups, first, second):
    """χ(g₁, g₂) = χ₁(g₁) χ₂(g₂), so the mean of χ² is the product of both means."""
    product = eb.direct_product(groups[first], groups[second])
    shape = SHAPES[first] + SHAPES[second]
    basis = eb.solve(product, input=shape, output=shape)
    one, other = (all_elements(groups[name], SHAPES[name]) for name in (first, second))
    assert basis.rank == round(
        by_hand.trace_formula(one, one) * by_hand.trace_formula(other, other)
    )
    assert eb.verify_basis(basis).rank_expected == basis.rank
    assert basis.group == f"{groups[first].name}*{groups[second].name}"


def test_rows_and_columns_of_a_matrix_are_permuted_on_their_own():
    """Four kinds of weights: the entry, its row, its column, and all (Hartford et al. 2018)."""
    assert eb.solve("s5*s7", input="5x7", output="5x7").rank == 4
    assert eb.solve("s5*s7*s2", input="5x7x2", output="5x7x2").rank == 8


def test_a_product_of_two_own_groups_of_strings_and_numbers():
    product = eb.direct_product(OWN["negated"], OWN["mirrored"])
    assert product.element_names == ("keep,1", "keep,-1", "negate,1", "negate,-1")
    moved = product.transform(np.array([[1.0, 2.0, 3.0]]), product.elements[3])
    np.testing.assert_array_equal(moved, [[-3.0, -2.0, -1.0]])


@pytest.mark.parametrize("shape", [(), (2,), (2, 2, 3), (3, 3)])
def test_the_transform_of_a_product_refuses_what_does_not_fit(shape):
    product = find_group("s2*z4")
    with pytest.raises(eb.SpaceError, match="does not act on"):
        product.transform(np.zeros(shape), product.elements[0])


def test_names_stand_for_groups_in_a_product():
    one = eb.direct_product("c4", OWN["mirrored"], "z2")
    assert one.name == "c4*mirrored*z2"
    assert eb.solve(one, output="2x2x3x2").rank == 2


def test_products_are_associative():
    flat, left, right = (
        find_group("c4*z3*z2"),
        eb.direct_product(find_group("c4*z3"), "z2"),
        eb.direct_product("c4", find_group("z3*z2")),
    )
    for nested in (left, right):
        np.testing.assert_array_equal(rho(nested, (2, 2, 3, 2)), rho(flat, (2, 2, 3, 2)))
        assert nested.element_names == flat.element_names


def test_vectors_of_a_product_turn_block_by_block():
    turns = representation(find_group("c4*z3"), eb.as_space("2x2x3:vector"), Workers(1))
    points = rho(find_group("c4*z3"), (2, 2, 3))
    c4 = [np.linalg.matrix_power(np.array([[0.0, -1.0], [1.0, 0.0]]), k) for k in range(4)]
    for number, (turn, _) in enumerate(itertools.product(c4, range(3))):
        block = np.eye(3)
        block[:2, :2] = turn
        np.testing.assert_allclose(
            by_hand.matrices(turns)[number], np.kron(block, points[number]), atol=1e-12
        )


def test_a_product_with_one_that_does_not_say_how_vectors_turn_has_scalars_alone():
    with pytest.raises(eb.SpaceError, match="does not say how vectors turn"):
        eb.solve(eb.direct_product("c4", OWN["mirrored"]), output="2x2x3:vector")


@pytest.mark.parametrize("spec", ["s3*s3", "s3*trivial", "trivial*trivial"])
def test_axes_that_can_be_shared_out_in_two_ways_are_refused(spec):
    shape = "3x3x3"
    with pytest.raises(eb.SpaceError, match=r"can be shared out in two ways, .* or .*"):
        eb.solve(spec, output=shape)


@pytest.mark.parametrize(
    ("spec", "shape", "rank"),
    [
        ("s3*s4", "3x3x4", 2),  # only one way fits the lengths
        ("s3*s4", "3x4x4", 2),
        ("trivial*c4", "5x2x2", 5),
        ("c4*trivial", "2x2x5", 5),
        ("trivial*c4", "2x3x2x2", 6),
    ],
)
def test_a_factor_for_any_axes_takes_those_that_are_left(spec, shape, rank):
    assert eb.solve(spec, output=shape).rank == rank


@pytest.mark.parametrize(
    ("spec", "shape", "said"),
    [
        ("s3*z4", "4x4", "its axes must have length 3, not 4"),
        ("s3*z4", "3x3", "4 shifts by one do not bring a sequence of 3 back"),
        ("s3*z4", "4", "1 axes for 2 factors"),
        ("c4*z3", "2x2", "acts on arrays of 3 axes, not on 2x2"),
        ("c4*z3", "2x3x3", "'c4' does not act on 2x3"),
    ],
)
def test_a_shape_that_does_not_fit_is_refused_with_the_reason(spec, shape, said):
    with pytest.raises(eb.SpaceError) as refusal:
        eb.solve(spec, output=shape)
    assert said in str(refusal.value)


@pytest.mark.parametrize("wrong", [(), (None,), (4, "c4"), (["c4", "z3"],), ("c4", "qq")])
def test_what_is_no_group_makes_no_product(wrong):
    with pytest.raises(eb.GroupError):
        eb.direct_product(*wrong)


def test_elements_whose_joint_names_are_equal_are_refused():
    one = eb.Group("one", ("a", "a,b"), mirrored, axes=1)
    two = eb.Group("two", ("b,c", "c"), mirrored, axes=1)
    with pytest.raises(eb.GroupError, match="a,b,c twice"):
        eb.direct_product(one, two)


def test_a_factor_that_is_no_group_is_named():
    wrong = eb.Group("wrong", ("e", "f"), lambda x, g: x if g == "e" else 2 * x, axes=1)
    with pytest.raises(eb.GroupError, match="not closed"):
        eb.solve(eb.direct_product(wrong, "z3"), output="2x3")
    lying = eb.Group("lying", ("e", "f"), negated, axes=1, rearranges=True)
    with pytest.raises(eb.GroupError, match=r"'lying'.*does not only move entries"):
        eb.solve(eb.direct_product("z3", lying), output="3x2")


def test_products_of_own_groups_are_built_in_worker_processes_too(write_module):
    write_module("own", "def negated(x, g):\n    return x if g == 'keep' else -x\n")
    from own import negated as sent  # type: ignore[import-not-found]

    group = eb.direct_product(eb.Group("own", ("keep", "negate"), sent, axes=1), "s3", "z4")
    assert pickle.loads(pickle.dumps(group)).name == "own*s3*z4"
    one = eb.solve(group, input="2x3x4", output="2x3x4", workers=2)
    assert eb.content_sha256(one) == eb.content_sha256(
        eb.solve(group, input="2x3x4", output="2x3x4", workers=1)
    )


# --- large products, which list generators alone ------------------------------------------------


def shifted(array, steps):
    return np.roll(array, steps, 0)


WRONG_FACTORS = {
    "the identity last": (eb.Group("own", (1, 0), shifted, axes=1), "2", "is not the identity"),
    "not closed": (eb.Group("own", (0, 1), shifted, axes=1), "4", "is not closed"),
}


@pytest.mark.parametrize(("own", "side", "said"), WRONG_FACTORS.values(), ids=WRONG_FACTORS)
def test_a_factor_that_is_not_what_it_says_is_refused_in_large_products_too(own, side, said):
    def solve():
        product = eb.direct_product(own, "z600")
        return eb.solve(group=product, input=f"{side}x4", output=f"{side}x4")

    with pytest.raises(eb.GroupError, match=said):
        solve()


def test_a_large_product_of_an_own_group_has_the_rank_of_its_orbits():
    own = eb.Group("own", tuple(range(64)), shifted, axes=1)
    product = eb.direct_product(own, "z32")
    assert eb.solve(group=product, input="8x8", output="8x8").rank == 64
