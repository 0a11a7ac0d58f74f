"""Groups: the built-in ones are groups, and the user's own are found or refused with a reason."""

from __future__ import annotations

import numpy as np
import pytest

import by_hand
import equibasis as eb
from equibasis.groups import BUILT_IN, find_group

SQUARE = np.arange(9).reshape(3, 3)


def transformed(group: eb.Group, array: np.ndarray) -> dict[str, np.ndarray]:
    return {str(g): group.transform(array, g) for g in group.elements}


def names_of_products(group: eb.Group) -> dict[tuple[str, str], str | None]:
    """(g, h) -> the element that acts as g after h does."""
    images = {str(image.tolist()): name for name, image in transformed(group, SQUARE).items()}
    return {
        (g, h): images.get(str(group.transform(group.transform(SQUARE, h), g).tolist()))
        for g in group.elements
        for h in group.elements
    }


@pytest.mark.parametrize(("name", "order"), [("trivial", 1), ("c2", 2), ("c4", 4), ("d4", 8)])
def test_a_built_in_group_has_its_order(name, order):
    assert len({image.tobytes() for image in transformed(BUILT_IN[name], SQUARE).values()}) == order


@pytest.mark.parametrize("group", BUILT_IN.values(), ids=BUILT_IN)
def test_the_first_element_is_the_identity(group):
    np.testing.assert_array_equal(group.transform(SQUARE, group.elements[0]), SQUARE)


@pytest.mark.parametrize("group", BUILT_IN.values(), ids=BUILT_IN)
def test_products_of_elements_are_elements(group):
    assert None not in names_of_products(group).values()


@pytest.mark.parametrize("group", BUILT_IN.values(), ids=BUILT_IN)
def test_every_element_has_an_inverse(group):
    to_identity = {g for (g, _), gh in names_of_products(group).items() if gh == group.elements[0]}
    assert to_identity == set(group.elements)


@pytest.mark.parametrize(("name", "abelian"), [("c2", True), ("c4", True), ("d4", False)])
def test_rotations_commute_and_reflections_do_not(name, abelian):
    products = names_of_products(BUILT_IN[name])
    assert all(products[g, h] == products[h, g] for g, h in products) == abelian


def test_r90_turns_counter_clockwise_as_rot90_does():
    turned = BUILT_IN["c4"].transform(np.array([[1, 2], [3, 4]]), "r90")
    np.testing.assert_array_equal(turned, [[2, 4], [1, 3]])
    np.testing.assert_array_equal(turned, np.rot90([[1, 2], [3, 4]]))


def test_f0_mirrors_left_and_right():
    mirrored = BUILT_IN["d4"].transform(np.array([[1, 2], [3, 4]]), "f0")
    np.testing.assert_array_equal(mirrored, [[2, 1], [4, 3]])


def test_f90_mirrors_before_it_turns():
    np.testing.assert_array_equal(BUILT_IN["d4"].transform(SQUARE, "f90"), SQUARE.T)


@pytest.mark.parametrize("element", by_hand.ELEMENTS["d4"])
def test_the_action_is_the_one_computed_pixel_by_pixel(element):
    by_pixels = SQUARE.ravel()[by_hand.grid_permutation(element, 3)]
    np.testing.assert_array_equal(BUILT_IN["d4"].transform(SQUARE, element).ravel(), by_pixels)


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_groups_are_found_by_name(name):
    assert find_group(name).elements == by_hand.ELEMENTS[name]


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
        ("c5", "unknown group 'c5': choose trivial, c2, c4, d4"),
        ("", "unknown group ''"),
        (":cyclic", "unknown group ':cyclic'"),
        ("shifts:", "unknown group 'shifts:'"),
        (7, "not 7"),
        ("no_such_module_anywhere:cyclic", "does not import (ModuleNotFoundError"),
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
