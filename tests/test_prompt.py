"""What is seen at a prompt and in a notebook, and a basis as the sequence of its vectors."""

from __future__ import annotations

import base64
import io
import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import matplotlib.image
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import by_hand
import equibasis as eb
from equibasis.nn import EquivariantConv2d, EquivariantLinear, FeatureSpace, NormPool
from equibasis.solvers import solve_space

problems = st.one_of(
    by_hand.spaces, by_hand.problems(by_hand.SIGNED | by_hand.PERMUTING).map(lambda p: p.listed)
)


@pytest.fixture(scope="module")
def basis() -> eb.Basis:
    """C4 on 3x3, rank 21."""
    return eb.solve("c4", input="3x3", output="3x3")


# --- a sequence of vectors ----------------------------------------------------------------------


@given(problems)
def test_a_basis_is_the_sequence_of_the_columns_of_its_matrix(space):
    basis = solve_space(space)
    columns = by_hand.dense(basis).T.reshape(-1, space.k, space.m)
    assert len(basis) == len(columns) == basis.rank
    np.testing.assert_array_equal(np.reshape([*basis], columns.shape), columns)
    for j in range(-len(basis), len(basis)):
        np.testing.assert_array_equal(basis[j], columns[j])


@given(st.slices(21))
def test_a_slice_is_of_the_vectors_that_it_names(basis, part):
    expected = by_hand.dense(basis).T.reshape(21, 9, 9)[part]
    np.testing.assert_array_equal(basis[part], expected)


def test_vectors_are_numbered_by_any_integer_and_end(basis):
    np.testing.assert_array_equal(basis[np.int64(2)], basis[2])
    np.testing.assert_array_equal(np.stack([*reversed(basis)]), basis[::-1])
    for beyond in (21, -22):
        with pytest.raises(IndexError, match=f"rank 21, by orbits\\) has no vector {beyond}"):
            basis[beyond]
    with pytest.raises(TypeError):
        basis[1.0]


def test_no_vector_is_made_that_does_not_fit():
    large = eb.solve("c4", input="512x512", output="512x512")
    assert len(large) == 512**4 // 4
    for asked in (lambda: large[0], lambda: large[:2], lambda: next(iter(large))):
        with pytest.raises(eb.EquibasisError, match="GiB are free"):
            asked()


# --- the nearest equivariant map ----------------------------------------------------------------


@given(problems, by_hand.seeds)
def test_the_projection_is_the_mean_over_the_group_of_what_it_moves(space, seed):
    """1/|G| Σ ρ₂(g) W ρ₁(g)⁻¹, where the group acts by orthogonal matrices."""
    if not (space.input.is_orthogonal and space.output.is_orthogonal and space.complete):
        return
    W = np.random.default_rng(seed).standard_normal((space.k, space.m))
    rho1, rho2 = by_hand.matrices(space.input), by_hand.matrices(space.output)
    mean = np.mean([b @ W @ a.T for a, b in zip(rho1, rho2, strict=True)], axis=0)
    np.testing.assert_allclose(solve_space(space).project(W), mean, atol=1e-12)


@given(problems, by_hand.seeds)
def test_the_projection_is_orthogonal_and_leaves_equivariant_maps_alone(space, seed):
    basis, generator = solve_space(space), np.random.default_rng(seed)
    W, V = generator.standard_normal((2, space.k, space.m))
    B = by_hand.dense(basis)
    near = basis.project(W)
    np.testing.assert_allclose(near.ravel(), B @ (B.T @ W.ravel()), atol=1e-12)
    np.testing.assert_allclose(basis.project(near), near, atol=1e-12)
    assert np.vdot(W - near, basis.project(V)) == pytest.approx(0, abs=1e-10)


def test_a_projection_has_the_shape_of_what_was_projected(basis):
    W = np.arange(81).reshape(9, 9)
    assert basis.project(W).shape == (9, 9)
    as_arrays = basis.project(W.reshape(3, 3, 3, 3))
    np.testing.assert_array_equal(as_arrays.reshape(9, 9), basis.project(W.tolist()))
    invariants = eb.solve("c4", output="3x3")
    for shape in ((9,), (9, 1), (3, 3)):
        found = invariants.project(np.arange(9.0).reshape(shape))
        np.testing.assert_array_equal(found.ravel(), [4, 4, 4, 4, 4, 4, 4, 4, 4])
        assert found.shape == shape


@pytest.mark.parametrize(
    ("W", "error", "said"),
    [
        (np.zeros((3, 3)), eb.SpaceError, r"\(9, 9\) or \(3, 3, 3, 3\), not \(3, 3\)"),
        (np.zeros(81), eb.SpaceError, r"not \(81,\)"),
        (1j * np.zeros((9, 9)), eb.EquibasisError, "real numbers, not complex128"),
        (np.full((9, 9), "a"), eb.EquibasisError, "real numbers, not <U1"),
    ],
)
def test_what_cannot_be_projected_is_told(basis, W, error, said):
    with pytest.raises(error, match=said):
        basis.project(W)


# --- groups -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "order"),
    [
        ("trivial", 1),
        ("d4", 8),
        ("s6", math.factorial(6)),
        ("a5", 60),
        ("z30*s5", 30 * 120),
        ("wreath(s3, s2)", 6**2 * 2),
        ("D4h", 16),
        ("so3", math.inf),
        ("so3*c4", math.inf),
    ],
)
def test_the_order_of_a_group(name, order):
    assert eb.find_group(name).order == order


@pytest.mark.parametrize(
    "name",
    [
        *(f"{letter}{n}" for letter in "sa" for n in range(1, 8)),
        *("wreath(s3, s2)", "wreath(z3, s3)", "wreath(wreath(s2, s2), z2)", "wreath(a4, z2)*z2"),
        *("z14*s5", "b5", "c2000", "d1000", "z2000"),
    ],
)
def test_formulas_count_what_generators_make(name):
    group = eb.find_group(name)
    assert group.order == replace(group, count=None).order


def test_orders_beyond_counting_are_those_of_the_books():
    assert eb.find_group("s50").order == math.factorial(50)
    assert eb.find_group("wreath(s8, a6)*b9").order == (
        math.factorial(8) ** 6 * 360 * 2**9 * math.factorial(9)
    )


def test_a_formula_is_of_the_whole_group_alone():
    assert eb.subgroup("s8", "cyclic", ["cycle"]).order == 8
    assert eb.subgroup("s8*s5", "one factor", ["e,cycle"]).order == 5


def test_of_blocks_permutations_are_counted_that_move_points():
    signs = {"V": {"swap": [1, 0], "still": [0, 1]}, "U": {"swap": [[1]], "still": [[-1]]}}
    both = eb.matrix_group("both", representations=signs, faithful=None)
    assert both.order == 4
    assert eb.wreath_product(both, "s2").order == 8


def test_an_order_that_cannot_be_counted_is_told():
    points = list(range(50))
    own = eb.permutation_group("own", [[*points[1:], 0], [1, 0, *points[2:]]])
    with pytest.raises(eb.GroupError, match="too many elements to count"):
        _ = own.order
    own = eb.Group("own", ("turn",), lambda x, g: x[::-1], complete=False)
    with pytest.raises(eb.GroupError, match="no representation to count"):
        _ = own.order


# --- at the prompt ------------------------------------------------------------------------------


def test_whatever_is_shown_at_a_prompt_says_group_and_spaces_in_one_line(basis):
    bias = eb.solve("c4", output="3x3")
    kernels = eb.kernel_basis("c4", "scalar", "regular", 3)
    features = FeatureSpace.output_of(basis.space)
    shown = {
        "Basis(c4: 3x3 -> 3x3, rank 21, by orbits)": basis,
        "Basis(c4: invariants of 3x3, rank 3, by orbits)": bias,
        "HomSpace(c4: 3x3 -> 3x3)": basis.space,
        "Group(c4, 4 elements)": eb.find_group("c4"),
        "Group(s5, 2 generators)": eb.find_group("s5"),
        "Group(so3, 2 Lie algebra elements)": eb.find_group("so3"),
        "as_space('3*14x14 + 1')": eb.as_space("3*14x14 + 1"),
        "FeatureSpace(3x3 of c4)": features,
    }
    assert {text: repr(each) for text, each in shown.items()} == {text: text for text in shown}
    layers = {
        "EquivariantLinear(c4: 3x3 -> 3x3, expand": EquivariantLinear(basis, bias),
        "EquivariantConv2d(c4: 1 -> regular, kernel_size=(3, 3)": EquivariantConv2d(kernels),
        "NormPool(c4: 3x3 -> 3*1": NormPool(features),
    }
    starts = {text: repr(layer).replace("\n  ", "")[: len(text)] for text, layer in layers.items()}
    assert starts == {text: text for text in layers}


# --- in a notebook ------------------------------------------------------------------------------


class _Tags(HTMLParser):
    """The tags of a page, in their order, all closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def picture(page: str) -> np.ndarray | None:
    """The image in a page, uint8 (h, w, 4)."""
    found = re.search(r"data:image/png;base64,([^']*)'", page)
    if found is None:
        return None
    pixels = matplotlib.image.imread(io.BytesIO(base64.b64decode(found[1])))
    return np.rint(255 * pixels).astype(np.uint8)


@pytest.mark.parametrize(
    ("problem", "rank"),
    [
        ({"group": "c4", "input": "3x3", "output": "3x3"}, "21 of 81 dimensions"),
        ({"group": "c4", "output": "3x3"}, "3 of 9 dimensions"),
        ({"group": "so3", "input": "V*V", "output": "V"}, "1 of 27 dimensions"),
        ({"group": "so3", "input": "2*V", "output": "V"}, "2 of 18 dimensions"),
    ],
    ids=["orbits", "invariants", "images", "flat"],
)
def test_a_basis_is_shown_with_its_rank_and_a_picture(problem, rank):
    basis = eb.solve(**problem)
    page = basis._repr_html_()
    assert "img" in _Tags(page).tags
    assert rank in page
    assert page.replace("&gt;", ">").count(str(basis.space)) == 1
    assert len(page) < 20_000


def test_orbits_have_a_colour_each(basis):
    pixels = picture(basis._repr_html_())
    assert pixels.shape[:2] == (9, 9)
    assert len(np.unique(pixels.reshape(81, -1), axis=0)) == 21
    np.testing.assert_array_equal(np.rot90(pixels), pixels)


@pytest.mark.parametrize(
    "problem",
    [
        {"group": "so3", "output": "V"},
        {"group": "d4", "input": "64x64", "output": "64x64"},
        {"group": "z64*z64", "input": "64x64", "output": "64x64"},
    ],
    ids=["nothing", "large", "large types"],
)
def test_there_is_no_picture_of_nothing_nor_of_what_is_large(problem):
    assert "img" not in _Tags(eb.solve(**problem)._repr_html_()).tags


def test_a_group_is_shown_with_its_order_elements_and_representations():
    said = eb.find_group("so3")._repr_html_()
    assert all(each in said for each in ("∞", "L12, L23", "V (3), l2 (5)"))
    said = eb.find_group("c4")._repr_html_()
    assert all(each in said for each in ("r0, r90, r180, r270", "axes of arrays", "V (2)"))


def test_names_are_text_and_no_markup():
    evil = "<script>alert('&')</script>"
    group = eb.Group(evil, ("e", "<b>x"), lambda x, g: x if g == "e" else x[::-1], axes=1)
    for shown in (group, eb.solve(group, input="3", output="3")):
        page = shown._repr_html_()
        assert not {"script", "b"} & {*_Tags(page).tags}
        assert "&lt;script&gt;" in page


def test_tables_do_not_import_what_draws_until_they_are_asked_for(python):
    code = (
        "import sys, equibasis as eb\n"
        "basis = eb.solve('c4', output='3x3'); repr(basis); len(basis); basis[0]\n"
        "before = 'matplotlib' in sys.modules\n"
        "print(before, len(basis._repr_html_()) > 100)\n"
    )
    assert python("-c", code).out.split() == ["False", "True"]
