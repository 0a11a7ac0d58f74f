"""What comes from users is taken as it was meant, or refused in one line: no cast without a word.

Each entry of the core is tried with each bad value of its kind: an `EquibasisError` and no warning.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse

import by_hand
import equibasis as eb
from equibasis.linalg.numbers import real_array, whole_number, whole_numbers
from equibasis.solvers import SOLVERS, find_solver, solve_space
from equibasis.solvers.tables import MatrixTable, OrbitTable
from equibasis.symmetry.catalog import find_group
from equibasis.symmetry.representations import MatrixRepresentation, PermutationRepresentation
from equibasis.symmetry.workers import Workers

FLIP = np.array([[0.0, 1.0], [1.0, 0.0]])
LONG = np.longdouble


def doing_nothing(x, g):
    return x


def refusal(call: Callable[[], Any]) -> str:
    """The one line with which a call is refused, with no warning and no other error before."""
    with pytest.raises(eb.EquibasisError) as caught:  # and a warning is an error in these tests
        call()
    line = str(caught.value)
    assert line
    assert len(line) < 400
    assert "\n" not in line
    return line


def masked(values: Any) -> np.ma.MaskedArray:
    array = np.ma.array(values)
    array[0, 1] = np.ma.masked
    return array


# --- matrices -----------------------------------------------------------------------------------

# Two by two, and not the real matrices that somebody meant.
NO_REAL_MATRICES: dict[str, Any] = {
    "complex": np.array([[1, 1j], [0, -1]]),
    "complex in lists": [[1, 1j], [0, -1]],
    "complex without imaginary parts": FLIP.astype(complex),
    "a complex tensor": torch.eye(2, dtype=torch.complex64),
    "objects": np.array([[0, 1], [1, 0]], dtype=object),
    "fractions": [[Fraction(1), Fraction(0)], [Fraction(0), Fraction(1)]],
    "None": [[1, None], [0, 1]],
    "text": [["0", "1"], ["1", "0"]],
    "text among numbers": [[0, "1.0"], [1, 0]],
    "bytes": [[b"0", b"1"], [b"1", b"0"]],
    "booleans": np.array([[False, True], [True, False]]),
    "ints that float64 rounds": [[1, 2**53 + 1], [0, 1]],
    "negative ones": [[1, -(2**63)], [0, 1]],
    "unsigned ones": np.array([[1, 2**64 - 1], [0, 1]], dtype=np.uint64),
    "ints beyond int64": [[1, 2**70], [0, 1]],
    "NaN": [[1, np.nan], [0, 1]],
    "infinity": [[1, np.inf], [0, 1]],
    "float64's infinity": [[1, 1e400], [0, 1]],
    "a long double beyond float64": np.array([[LONG("1e4000"), 0], [0, 1]], dtype=LONG)
    if np.finfo(LONG).max > np.finfo(float).max
    else [[np.inf, 0], [0, 1]],
    "masked": masked(FLIP),
    "masked rows": list(masked(FLIP)),
    "masked entries": [[0.0, np.ma.masked], [1.0, 0.0]],
    "sparse": sparse.csr_array(FLIP),
    "a tensor with gradients": torch.eye(2, requires_grad=True),
    "bfloat16": torch.eye(2, dtype=torch.bfloat16),
    "dates": np.array([["2020", "2021"], ["2021", "2020"]], dtype="M8[Y]"),
    "durations": np.array([[0, 1], [1, 0]], dtype="m8[s]"),
    "records": np.zeros((2, 2), dtype=[("a", float)]),
    "ragged": [[0.0, 1.0], [1.0]],
    "a dictionary": {0: [0, 1], 1: [1, 0]},
    "a set": {0, 1},
    "a string": "0 1; 1 0",
    "a function": np.eye,
}
no_real_matrix = pytest.mark.parametrize(
    "wrong", NO_REAL_MATRICES.values(), ids=NO_REAL_MATRICES.keys()
)

# Each is `FLIP`.
REAL_MATRICES: dict[str, Any] = {
    "ints": [[0, 1], [1, 0]],
    "tuples": ((0, 1), (1.0, 0)),
    "unsigned bytes": FLIP.astype(np.uint8),
    "half precision": FLIP.astype(np.float16),
    "long doubles": FLIP.astype(LONG),
    "another byte order": FLIP.astype(">f8"),
    "Fortran order": np.asfortranarray(FLIP),
    "read-only": np.broadcast_to(FLIP, (2, 2)),
    "a tensor": torch.tensor(FLIP),
    "a tensor of ints": torch.tensor([[0, 1], [1, 0]]),
}
real_matrix = pytest.mark.parametrize("right", REAL_MATRICES.values(), ids=REAL_MATRICES.keys())


def acting(matrix: Any) -> eb.Group:
    """A group of one's own whose transform gives ``matrix``, whatever the array."""
    return eb.Group("own", ("e", "a"), lambda x, g: x if g == "e" else matrix)


def turning(matrix: Any) -> eb.Group:
    """One whose vectors turn by ``matrix``."""
    return eb.Group(
        "own",
        ("e", "a"),
        doing_nothing,
        axes=2,
        linear=lambda g, axes: np.eye(2) if g == "e" else matrix,
    )


def maps(rho: Any) -> eb.HomSpace:
    return eb.HomSpace(
        group="own",
        elements=("e", "a"),
        input_space=eb.V,
        output_space=eb.V,
        input=rho,
        output=rho,
    )


TAKING_MATRICES: dict[str, Callable[[Any], Any]] = {
    "matrix_group, a list": lambda matrix: eb.matrix_group("m", [matrix]),
    "matrix_group, by name": lambda matrix: eb.matrix_group("m", {"a": matrix}),
    "what a transform returns": lambda matrix: eb.solve(acting(matrix), output="2x2"),
    "the matrices of linear": lambda matrix: eb.solve(turning(matrix), output="2x2:vector"),
    "MatrixRepresentation": lambda matrix: MatrixRepresentation([np.eye(2), matrix]),
    "real_array": lambda matrix: real_array(matrix, "it"),
}
taking_matrices = pytest.mark.parametrize(
    "take", TAKING_MATRICES.values(), ids=TAKING_MATRICES.keys()
)


@taking_matrices
def test_what_is_no_real_matrix_is_refused_at_every_entry(take):
    for wrong in NO_REAL_MATRICES.values():
        refusal(functools.partial(take, wrong))


@pytest.mark.parametrize(
    "wrong",
    [
        NO_REAL_MATRICES["a tensor with gradients"],
        NO_REAL_MATRICES["bfloat16"],
        list(torch.eye(2, requires_grad=True)),
        [[torch.tensor(0.0, requires_grad=True), 1.0], [1.0, 0.0]],
    ],
    ids=["with gradients", "bfloat16", "rows", "entries"],
)
@taking_matrices
def test_of_a_tensor_that_numpy_does_not_take_it_says_how_to_give_its_numbers(take, wrong):
    assert ".detach().cpu().double().numpy()" in refusal(lambda: take(wrong))


@pytest.mark.parametrize("kind", ["complex", "complex in lists", "a complex tensor"])
@taking_matrices
def test_of_complex_matrices_the_real_form_is_shown(take, kind):
    assert "numpy.block([[M.real, -M.imag], [M.imag, M.real]])" in refusal(
        lambda: take(NO_REAL_MATRICES[kind])
    )


def test_the_real_form_that_is_shown_commutes_with_what_the_complex_matrix_commutes_with():
    M = np.exp(2j * np.pi / 3) * np.eye(1)
    real_form = np.block([[M.real, -M.imag], [M.imag, M.real]])
    assert eb.solve(eb.matrix_group("c3", [real_form]), input="V", output="V").rank == 2


@real_matrix
def test_what_is_a_real_matrix_is_taken_at_every_entry(right):
    assert real_array(right, "it").tolist() == FLIP.tolist()
    assert MatrixRepresentation([np.eye(2).tolist(), real_array(right, "it")]).dimension == 2
    assert eb.solve(eb.matrix_group("c2", [right]), input="V", output="V").rank == 2


def test_a_group_does_not_change_with_the_array_that_it_was_made_of():
    mine = FLIP.copy()
    group = eb.matrix_group("c2", [mine])
    mine[:] = 0
    assert eb.solve(group, input="V", output="V").rank == 2


# --- transforms ---------------------------------------------------------------------------------


def in_place(x, g):
    if g == "a":
        x[:] = x[::-1].copy()
    return x


SCRATCH = np.zeros(4)


def into_one_buffer(x, g):
    SCRATCH[:] = x[::-1] if g == "a" else x
    return SCRATCH


RIGHT_TRANSFORMS: dict[str, Callable[[Any, Any], Any]] = {
    "in place": in_place,
    "into one buffer": into_one_buffer,
    "lists": lambda x, g: list(x[::-1] if g == "a" else x),
    "tensors": lambda x, g: torch.tensor(x[::-1].copy() if g == "a" else x),
    "long doubles": lambda x, g: (x[::-1] if g == "a" else x).astype(LONG),
    "read-only": lambda x, g: np.broadcast_to(x[::-1] if g == "a" else x, x.shape),
}


@pytest.mark.parametrize("rearranges", [False, True])
@pytest.mark.parametrize("transform", RIGHT_TRANSFORMS.values(), ids=RIGHT_TRANSFORMS.keys())
def test_a_transform_may_work_as_it_likes(transform, rearranges):
    group = eb.Group("own", ("e", "a"), transform, rearranges=rearranges)
    one, other = eb.solve(group, input="4", output="4"), np.eye(4)[::-1]
    assert one.rank == 8
    np.testing.assert_array_equal(one.space.output.matrix(1).toarray(), other)


WRONG_TRANSFORMS: dict[str, Callable[[Any, Any], Any]] = {
    "nothing": lambda x, g: None,
    "of unsigned bytes": lambda x, g: x[::-1].astype(np.uint8) if g == "a" else x,
    "wrapping around": lambda x, g: (x[::-1] * 200).astype(np.int8) if g == "a" else x,
    "rounded": lambda x, g: np.rint(x[::-1]) if g == "a" else x,
    "in half precision": lambda x, g: x[::-1].astype(np.float16) if g == "a" else x,
    "in single precision": lambda x, g: x[::-1].astype(np.float32) if g == "a" else x,
    "of booleans": lambda x, g: x[::-1] > 0 if g == "a" else x,
    "of magnitudes": lambda x, g: abs(x[::-1]) if g == "a" else x,
    "flat": lambda x, g: x.ravel()[:, None],
    "shorter": lambda x, g: x[:-1],
    "of another shape where it is not 0": lambda x, g: x[np.flatnonzero(x)] if x.any() else x,
    "another for ints": lambda x, g: x[::-1] if g == "a" and x.dtype.kind == "f" else x,
    "in place, and nothing": lambda x, g: x.sort(),
    "a shift of values": lambda x, g: x + 1,
    "text": lambda x, g: np.array([str(value) for value in x]),
    "complex": lambda x, g: x[::-1] * 1j,
}


@pytest.mark.parametrize("rearranges", [False, True])
@pytest.mark.parametrize("transform", WRONG_TRANSFORMS.values(), ids=WRONG_TRANSFORMS.keys())
def test_a_transform_that_is_no_linear_action_is_refused(transform, rearranges):
    group = eb.Group("own", ("e", "a"), transform, rearranges=rearranges)
    if transform is WRONG_TRANSFORMS["another for ints"] and not rearranges:
        assert eb.solve(group, output="4").rank == 2  # one-hot arrays are floats, all of them
    else:
        assert "own" in refusal(lambda: eb.solve(group, output="4"))


# --- whole numbers ------------------------------------------------------------------------------

NO_WHOLE_NUMBERS: dict[str, Any] = {
    "a float": 2.0,
    "a float of NumPy": np.float64(2),
    "a boolean": True,
    "a boolean of NumPy": np.True_,
    "a boolean tensor": torch.tensor(True),
    "a tensor of floats": torch.tensor(2.0),
    "text": "2",
    "bytes": b"2",
    "complex": 2 + 0j,
    "a fraction": Fraction(2),
    "a list": [2],
    "an array": np.array([2]),
    "not a number": float("nan"),
    "infinity": float("inf"),
}
no_whole_number = pytest.mark.parametrize(
    "wrong", NO_WHOLE_NUMBERS.values(), ids=NO_WHOLE_NUMBERS.keys()
)

TAKING_A_NUMBER: dict[str, Callable[[Any], Any]] = {
    "whole_number": lambda number: whole_number(number, "it"),
    "whole_numbers": lambda number: whole_numbers([1, number], "it"),
    "workers": lambda number: Workers(number),
    "workers of solve": lambda number: eb.solve("c4", output="2x2", workers=number),
    "workers of get_basis": lambda number: eb.get_basis("c4", output="2x2", workers=number),
    "a size of a Grid": lambda number: eb.Grid((3, number)),
    "a size of a shape": lambda number: eb.solve("trivial", output=(3, number)),
    "axes of a group": lambda number: eb.Group("own", ("e",), lambda x, g: x, axes=number),
    "an image": lambda number: eb.permutation_group("p", [[0, number, 1]]),
}
taking_a_number = pytest.mark.parametrize(
    "take", TAKING_A_NUMBER.values(), ids=TAKING_A_NUMBER.keys()
)


@taking_a_number
def test_what_is_no_whole_number_is_refused_at_every_entry(take):
    for wrong in NO_WHOLE_NUMBERS.values():
        refusal(functools.partial(take, wrong))


@no_whole_number
def test_spaces_are_multiplied_by_whole_numbers_alone(wrong):
    with pytest.raises(TypeError):
        wrong * eb.Grid((3,))
    if not isinstance(wrong, Fraction):  # which asks for the power of its own numerator
        with pytest.raises(TypeError):
            eb.Grid((3,)) ** wrong


@pytest.mark.parametrize("right", [2, np.int8(2), np.uint64(2), torch.tensor(2), np.array(2)])
@taking_a_number
def test_what_is_a_whole_number_is_taken_at_every_entry(take, right, tmp_path, monkeypatch):
    monkeypatch.setenv("EQUIBASIS_CACHE", str(tmp_path))
    take(right)
    assert right * eb.Grid((3,)) == eb.as_space("2*3")
    assert eb.Grid((3,)) ** right == eb.as_space("(3)**2")


@pytest.mark.parametrize("huge", [2**31 + 1, 2**63, 10**5000, -(10**5000)], ids=range(4))
@pytest.mark.parametrize(
    "take",
    [
        Workers,
        lambda number: eb.Grid((number,)),
        lambda number: eb.permutation_group("p", [[0, number]]),
        lambda number: number * eb.Grid((3,)),
        lambda number: eb.Grid((3,)) ** number,
    ],
)
def test_a_number_far_too_large_is_refused(take, huge):
    refusal(lambda: take(huge))


NO_LISTS: dict[str, Any] = {
    "a set": {0, 1},
    "a dictionary": {1: 0, 0: 1},
    "text": "10",
    "bytes": b"\x01\x00",
    "a bytearray": bytearray(b"\x01\x00"),
    "an iterator": iter([1, 0]),
    "a number": 2,
    "None": None,
    "an array of floats": np.array([1.0, 0.0]),
    "an array of booleans": np.array([True, False]),
    "a list of booleans": [True, False],
    "an array of text": np.array(["1", "0"]),
    "an array of two axes": np.array([[1, 0]]),
    "an array of no axes": np.array(1),
    "masked": np.ma.array([1, 0], mask=[False, True]),
    "a tensor of floats": torch.tensor([1.0, 0.0]),
    "a tensor of booleans": torch.tensor([True, False]),
    "lists": [[1], [0]],
}


@pytest.mark.parametrize(
    "take",
    [
        lambda images: whole_numbers(images, "it"),
        lambda images: eb.permutation_group("p", [images]),
        lambda images: eb.permutation_group("p", {"a": images}),
        lambda images: eb.Grid(images),
        lambda images: PermutationRepresentation([images]),
    ],
    ids=["whole_numbers", "permutations", "permutations by name", "shapes", "an index"],
)
def test_what_is_no_list_of_whole_numbers_is_refused_at_every_entry(take):
    for wrong in NO_LISTS.values():
        refusal(functools.partial(take, wrong))


@pytest.mark.parametrize("wrong", [{3, 4}, {3: 4}, b"33", bytearray(b"33"), iter((3, 4)), 3, True])
def test_what_is_neither_text_nor_a_shape_is_no_space(wrong):
    refusal(lambda: eb.as_space(wrong))


@pytest.mark.parametrize(
    "right",
    [
        [1, 2, 0],
        (1, 2, 0),
        np.array([1, 2, 0]),
        np.array([1, 2, 0], np.uint8),
        np.array([1, 2, 0], object),
        torch.tensor([1, 2, 0]),
        [np.int64(1), 2, np.uint8(0)],
    ],
)
def test_images_may_be_whole_numbers_of_any_library(right):
    group = eb.permutation_group("c3", [right])
    assert eb.solve(group, input="3", output="3").rank == 3
    assert eb.solve(eb.permutation_group("c3", {"a": right}), input="3", output="3").rank == 3


def test_images_of_bytes_do_not_wrap_around():
    degree = 200
    turned = np.roll(np.arange(degree), 1).astype(np.uint8)
    one = eb.solve(eb.permutation_group("p", [turned]), input=(degree,), output=(degree,))
    assert one.rank == degree


# --- groups -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": 4},
        {"name": None},
        {"elements": "ea"},
        {"elements": b"ea"},
        {"elements": {"e", "a"}},
        {"elements": {"e": 0, "a": 1}},
        {"elements": iter(("e", "a"))},
        {"elements": None},
        {"elements": ()},
        {"elements": []},
        {"elements": np.array("e")},
        {"elements": (1, 1.0)},
        {"elements": (0, 1, True)},
        {"elements": (0, False)},
        {"elements": (2, np.float64(2.0), 3)},
        {"elements": ("1", 1)},
        {"elements": ("e", "e")},
        {"axes": 0},
        {"axes": -1},
        {"axes": True},
        {"axes": 2.0},
        {"axes": "2"},
        {"complete": 0},
        {"complete": "no"},
        {"complete": None},
        {"rearranges": 1},
        {"rearranges": "yes"},
        {"transform": "reverse"},
        {"transform": None},
        {"linear": np.eye(2)},
        {"refuses": "3x3"},
    ],
    ids=lambda wrong: " ".join(f"{key} {type(value).__name__}" for key, value in wrong.items()),
)
def test_a_group_of_the_wrong_kinds_is_refused_when_it_is_made(wrong):
    right = {"name": "own", "elements": ("e", "a"), "transform": doing_nothing}
    refusal(lambda: eb.Group(**(right | wrong)))


def test_elements_may_be_listed_in_any_ordered_way():
    for elements in (["e", "a"], ("e", "a"), range(2), np.arange(2), [[0], [1]]):
        group = eb.Group("own", elements, doing_nothing)
        assert (type(group.elements), len(group.elements)) == (tuple, 2)
        assert eb.solve(group, output="3").rank == 3


@pytest.mark.parametrize("wrong", [None, 4, b"c4", ["c4"], ("c4",), np.array("c4"), object()])
def test_a_group_that_is_neither_a_name_nor_a_group_is_refused(wrong):
    refusal(lambda: find_group(wrong))


@pytest.mark.parametrize("wrong", [None, 4, b"auto", ["auto"], SOLVERS["svd"], {}])
def test_a_solver_that_is_no_name_is_refused(wrong):
    refusal(lambda: find_solver(wrong))
    refusal(lambda: eb.solve("c4", output="2x2", solver=wrong))


@pytest.mark.parametrize("wrong", [None, 4, "ab", [], {}, "", [None], {0: [1, 0]}, {True: [1, 0]}])
@pytest.mark.parametrize("make", [eb.permutation_group, eb.matrix_group])
def test_generators_that_are_no_list_and_not_by_name_are_refused(make, wrong):
    refusal(lambda: make("own", wrong))


# --- representations and spaces of maps ---------------------------------------------------------

SWAP = PermutationRepresentation(np.array([[0, 1], [1, 0]]))


@pytest.mark.parametrize(
    ("index", "signs"),
    [
        (np.array([0, 1]), None),
        (np.zeros((2, 0), int), None),
        (np.zeros((0, 2), int), None),
        (np.array([[0.0, 1.0]]), None),
        (np.array([[True, False]]), None),
        (np.array([["0", "1"]]), None),
        (np.ma.array([[0, 1]], mask=[[0, 1]]), None),
        ([[0, 1], [0]], None),
        ([[0, 1]], [[1, 0.5]]),
        ([[0, 1]], [[1, 1j]]),
        ([[0, 1]], [[True, True]]),
        ([[0, 1]], [[1, np.nan]]),
        ([[0, 1]], [[1]]),
        ([[0, 1]], [1, 1]),
        ([[0, 1]], np.ma.array([[1, 1]], mask=[[0, 1]], dtype=np.int8)),
    ],
)
def test_an_index_or_signs_of_the_wrong_kind_are_refused(index, signs):
    refusal(lambda: PermutationRepresentation(index, signs))


@pytest.mark.parametrize(
    ("index", "signs"),
    [
        ([[0, 1], [0, 0]], None),
        ([[0, 1], [1, 2]], None),
        ([[0, 1], [-1, 0]], None),
        (np.array([[0, 1], [1, 2**64 - 1]], dtype=np.uint64), None),
        ([[0, 1], [1, 0]], [[1, 1], [1, 0]]),
        ([[0, 1], [1, 0]], [[1, 1], [2, 1]]),
        ([[0, 1], [1, 0]], [[1, 1], [257, 1]]),
    ],
)
@pytest.mark.parametrize("complete", [True, False])
def test_maps_between_what_is_no_signed_permutation_are_refused(index, signs, complete):
    def make() -> eb.HomSpace:
        rho = PermutationRepresentation(index, signs)
        return by_hand.hom_space(rho, rho, complete=complete)

    refusal(make)


@pytest.mark.parametrize(
    "matrices",
    [
        np.eye(2),
        np.zeros((2, 2, 3)),
        np.zeros((0, 2, 2)),
        np.zeros((2, 0, 0)),
        [np.eye(2), np.eye(3)],
    ],
)
def test_matrices_of_the_wrong_shape_are_no_representation(matrices):
    refusal(lambda: MatrixRepresentation(matrices))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_maps_between_matrices_with_no_number_in_them_are_refused(value):
    rho = MatrixRepresentation(np.array([np.eye(2), [[1.0, value], [0.0, 1.0]]]))
    refusal(lambda: maps(rho))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint32, np.uint64])
def test_an_index_of_any_integers_gives_the_same_basis(dtype):
    index = np.array([np.arange(200), np.roll(np.arange(200), 100)])
    one, other = (
        solve_space(by_hand.hom_space(rho, rho))
        for rho in (
            PermutationRepresentation(index),
            PermutationRepresentation(index.astype(dtype)),
        )
    )
    assert eb.content_sha256(one) == eb.content_sha256(other)


@pytest.mark.parametrize(
    "wrong",
    [
        {"group": 4},
        {"group": None},
        {"elements": ["e", "a"]},
        {"elements": "ea"},
        {"elements": ("e",)},
        {"elements": ("e", "a", "b")},
        {"elements": ("e", 1)},
        {"input_space": "2"},
        {"input_space": (2,)},
        {"output_space": None},
        {"output_space": eb.Grid((3,))},
        {"input_space": eb.Grid((2, 2))},
        {"input_space": eb.SCALAR},
        {"input": SWAP.index},
        {"input": None},
        {"output": PermutationRepresentation([[0, 1]])},
        {"complete": 1},
        {"complete": None},
    ],
    ids=str,
)
def test_a_space_of_maps_of_parts_that_do_not_fit_is_refused(wrong):
    right: dict[str, Any] = {
        "group": "c2",
        "elements": ("e", "a"),
        "input_space": eb.Grid((2,)),
        "output_space": eb.V,
        "input": SWAP,
        "output": SWAP,
    }
    assert solve_space(eb.HomSpace(**right)).rank == 2
    refusal(lambda: eb.HomSpace(**(right | wrong)))


def test_the_scalars_of_a_space_of_maps_are_acted_on_trivially():
    sign = MatrixRepresentation(np.array([[[1.0]], [[-1.0]]]))
    refusal(
        lambda: eb.HomSpace(
            group="c2",
            elements=("e", "a"),
            input_space=eb.SCALAR,
            output_space=eb.V,
            input=sign,
            output=sign,
        )
    )


@pytest.mark.parametrize(
    "values",
    [
        np.eye(4).astype(complex),
        np.eye(4, dtype=int),
        np.eye(4, dtype=np.float32),
        np.eye(4, dtype=object),
        np.ones(4),
        np.eye(4).tolist(),
        masked(np.eye(4)),
        sparse.csc_array(np.eye(4, dtype=np.complex64)),
    ],
    ids=lambda each: f"{type(each).__name__} {getattr(each, 'dtype', '')}",
)
def test_a_table_of_anything_but_float64_is_refused(values):
    refusal(lambda: MatrixTable(values))


@pytest.mark.parametrize(
    "labels",
    [
        np.array([0, 1]),  # int64
        np.array([0, 1], dtype=np.uint8),
        np.array([0.0, 1.0]),
        np.array([[0, 1]], dtype=np.int32),
        [0, 1],
    ],
    ids=lambda each: f"{type(each).__name__} {getattr(each, 'dtype', '')}",
)
def test_labels_of_anything_but_int32_are_refused(labels):
    refusal(lambda: OrbitTable(2, labels))
    refusal(lambda: OrbitTable(2, np.array([0, 1], dtype=np.int32), labels))


@pytest.mark.parametrize(
    "tables",
    [
        None,
        (),
        np.eye(4),
        [[OrbitTable(2, np.array([0, 1], dtype=np.int32))]],
        ((np.eye(4),),),
        ((OrbitTable(2, np.array([0, 1], dtype=np.int32)),) * 2,),
        ((OrbitTable(3, np.array([0, 1], dtype=np.int32)),),),
        ((OrbitTable(2, np.array([0, 1, 2], dtype=np.int32)),),),
        ((OrbitTable(2, np.array([0, 1], dtype=np.int32), np.ones(3, dtype=np.int8)),),),
        ((MatrixTable(np.eye(3)),),),
    ],
)
def test_a_basis_of_other_tables_than_its_space_has_is_refused(tables):
    basis = eb.solve("z2", input="2", output="2")
    refusal(lambda: eb.verify_basis(eb.Basis(basis.space, tables, "by hand", basis.checks)))


def test_subspaces_of_different_dimensions_have_no_angle():
    one, other = eb.solve("c4", output="2x2"), eb.solve("trivial", output="2x2")
    refusal(lambda: eb.subspace_angle(one, other))
    refusal(lambda: eb.subspace_angle(other, one))
    refusal(lambda: eb.subspace_angle(one, eb.solve("c4", output="1x1")))


# --- files of generators ------------------------------------------------------------------------

NO_FILES = {
    "float images": "degree: 2\ngenerators: [[1.0, 0.0]]",
    "boolean images": "degree: 2\ngenerators: [[true, false]]",
    "images of words": "degree: 2\ngenerators: [[yes, no]]",
    "text images": 'degree: 2\ngenerators: [["1", "0"]]',
    "images with exponents": "degree: 2\ngenerators: [[1e0, 0]]",
    "a float degree": "degree: 2.0\ngenerators: [[1, 0]]",
    "a boolean degree": "degree: true\ngenerators: [[0]]",
    "a text degree": 'degree: "2"\ngenerators: [[1, 0]]',
    "a degree with an exponent": "degree: 1e3\ngenerators: [[1, 0]]",
    "no degree": "degree:\ngenerators: [[1, 0]]",
    "a degree twice": "degree: 3\ndegree: 2\ngenerators: [[1, 0]]",
    "generators twice": "degree: 2\ngenerators: [[0, 1]]\ngenerators: [[1, 0]]",
    "a name twice": "degree: 2\ngenerators: {a: [0, 1], a: [1, 0]}",
    "a name twice, as a number": "degree: 2\ngenerators: {1: [0, 1], '1': [1, 0]}",
    "an unknown key": "degree: 2\ngenerators: [[1, 0]]\nsigns: [[1, -1]]",
    "a name that YAML reads as True": "degree: 2\ngenerators: {on: [1, 0]}",
    "a name that YAML reads as None": "degree: 2\ngenerators: {null: [1, 0]}",
    "a name that YAML reads as a float": "degree: 2\ngenerators: {1.0: [1, 0]}",
    "a name that YAML reads as a date": "degree: 2\ngenerators: {2020-01-01: [1, 0]}",
    "an octal number": "degree: 010\ngenerators: [[1, 0, 2, 3, 4, 5, 6, 7]]",
    "an octal image": "degree: 9\ngenerators: [[1, 0, 2, 3, 4, 5, 6, 7, 010]]",
    "a hexadecimal image": "degree: 2\ngenerators: [[0x1, 0]]",
    "a binary image": "degree: 2\ngenerators: [[0b1, 0]]",
    "an image with an underscore": "degree: 2\ngenerators: [[1_0, 0]]",
    "an image in base sixty": "degree: 2\ngenerators: [[0:1, 0]]",
    "a mapping of images": "degree: 2\ngenerators: [{1: 0, 0: 1}]",
    "a set of images": "degree: 2\ngenerators: [!!set {1, 0}]",
    "an image of an image": "degree: 2\ngenerators: [[[1], [0]]]",
    "no number": "degree: 2\ngenerators: [[.nan, 0]]",
    "infinity": "degree: .inf\ngenerators: [[1, 0]]",
    "code": "degree: 2\ngenerators: !!python/object/apply:os.getcwd []",
    "a list of documents": "degree: 2\ngenerators: [[1, 0]]\n---\ndegree: 2",
    "a recursive list": "degree: 2\ngenerators: &a [*a]",
}


@pytest.mark.parametrize("text", NO_FILES.values(), ids=NO_FILES.keys())
def test_a_file_of_generators_that_can_be_read_two_ways_is_refused(tmp_path, text):
    path = tmp_path / "own.yaml"
    path.write_text(text, encoding="utf-8")
    assert "own" in refusal(lambda: find_group(str(path)))


@pytest.mark.parametrize(
    "text",
    [
        '{"degree": 2.0, "generators": [[1, 0]]}',
        '{"degree": 2, "generators": [[1.0, 0]]}',
        '{"degree": 2, "generators": [[1e0, 0]]}',
        '{"degree": true, "generators": [[0]]}',
        '{"degree": 2, "generators": [["1", "0"]]}',
        '{"degree": 2, "generators": [[true, false]]}',
        '{"degree": 3, "degree": 2, "generators": [[1, 0]]}',
        '{"degree": 2, "generators": {"a": [0, 1], "a": [1, 0]}}',
        '{"degree": 2, "generators": [[NaN, 0]]}',
        '{"degree": Infinity, "generators": [[1, 0]]}',
        '{"degree": 2, "generators": [[1, 0]], "signs": [[1, -1]]}',
        '{"degree": ' + "9" * 5000 + ', "generators": [[1, 0]]}',
        "degree: 2\ngenerators: [[1, 0]]",
        "[" * 100_000,
        "",
        "null",
    ],
    ids=lambda text: text[:40],
)
def test_so_is_one_in_json(tmp_path, text):
    path = tmp_path / "own.json"
    path.write_text(text, encoding="utf-8")
    assert "own" in refusal(lambda: find_group(str(path)))


def test_json_needs_no_yaml(tmp_path, python):
    content = {"degree": 3, "generators": [[1, 2, 0]]}
    (tmp_path / "own.json").write_text(json.dumps(content), encoding="utf-8")
    (tmp_path / "own.yaml").write_text(json.dumps(content), encoding="utf-8")
    program = (
        "import sys; sys.modules['yaml'] = None\n"
        "import equibasis as eb\n"
        "print(eb.solve('own.json', input='3', output='3').rank)\n"
        "try: eb.solve('own.yaml', output='3')\n"
        "except eb.EquibasisError as error: print(error)\n"
    )
    outcome = python("-c", program)
    assert outcome.status == 0, outcome.err
    assert outcome.out.splitlines()[0] == "3"
    assert "YAML, unlike JSON, needs yaml, which is not installed: pip install" in outcome.out


# --- names of files -----------------------------------------------------------------------------


def _named(name: object) -> dict[str, Callable[[], object]]:
    from equibasis.artifact.export import export_basis
    from equibasis.artifact.normalise import import_basis
    from equibasis.artifact.store import describe, verify_file
    from equibasis.show.figures import basis_figure, save_figure

    basis = eb.solve("c4", output="3x3")
    return {
        "save_basis": lambda: eb.save_basis(basis, name),
        "load_basis": lambda: eb.load_basis(name),
        "load_basis of a revision": lambda: eb.load_basis(name, rev="v1"),
        "load_basis of a repository": lambda: eb.load_basis("basis.h5", repo=name),
        "import_basis": lambda: import_basis(name, "out.h5"),
        "import_basis to": lambda: import_basis("basis.h5", name),
        "export_basis": lambda: export_basis(basis, name),
        "verify_file": lambda: verify_file(name),
        "describe": lambda: describe(name),
        "save_figure": lambda: save_figure(basis_figure(basis), name),
    }


@pytest.mark.parametrize("name", ["a\0b.npz", b"a\0b.npz", 3, 2.5, [], {}], ids=str)
@pytest.mark.parametrize("entry", _named("a"))
def test_what_names_no_file_is_refused_in_one_line(tmp_path, monkeypatch, entry, name):
    monkeypatch.chdir(tmp_path)
    eb.save_basis(eb.solve("c4", output="3x3"), "basis.h5")
    with pytest.raises(eb.EquibasisError, match=r"named by text or a path|no NUL in it") as refused:
        _named(name)[entry]()
    assert "\n" not in str(refused.value)
    assert [each.name for each in tmp_path.iterdir()] == ["basis.h5"]


def test_a_file_may_be_named_in_bytes(tmp_path):
    name = os.fsencode(tmp_path / "basis.h5")
    basis = eb.solve("c4", output="3x3")
    eb.save_basis(basis, name)
    assert eb.content_sha256(eb.load_basis(name)) == eb.content_sha256(basis)


@pytest.mark.parametrize(
    "factors", [("x",), "x", [], 3, eb.Group("b", ("e",), lambda x, g: x)], ids=lambda f: str(f)[:9]
)
def test_what_is_no_factor_of_a_product_is_refused(factors):
    with pytest.raises(eb.GroupError, match="factors are what direct_product gives"):
        eb.Group("mine", ("e",), lambda x, g: x, factors=factors)


def test_factors_without_elements_that_say_what_each_moves_are_refused():
    product = eb.direct_product("z2", "z3")
    with pytest.raises(eb.GroupError, match="factors are what direct_product gives"):
        eb.Group("mine", ("e",), lambda x, g: x, factors=product.factors)
    assert replace(product, name="mine").factors == product.factors
