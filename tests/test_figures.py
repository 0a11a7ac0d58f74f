"""Figures: every one a picture that shows something, the same bytes each time."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from rich.console import Console

import equibasis as eb
from basis_files import BASES
from digits.figures import (
    attention_figure,
    comparison_figure,
    confusion_figure,
    curves_figure,
    kernels_figure,
    rotations_figure,
    symmetries_figure,
)
from digits.results import label
from digits.stages.report import results_table
from equibasis.show.figures import COLOURS, basis_figure, orbits_figure, save_figure
from equibasis.show.images import layout_of, leading_images, orbit_image

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


def turn_plane(vectors: np.ndarray, sixth: int) -> np.ndarray:
    c, s = math.cos(sixth * math.pi / 3), math.sin(sixth * math.pi / 3)
    return vectors @ np.array([[c, -s], [s, c]]).T


def flip_sign(vector: np.ndarray, sign: int) -> np.ndarray:
    return sign * vector


PLANE = eb.Group("plane", tuple(range(6)), turn_plane)
SIGN = eb.Group("sign", (1, -1), flip_sign)


def some_images(count: int, size: int = 14) -> np.ndarray:
    return np.random.default_rng(0).random((count, size, size))


def comparison() -> Figure:
    inputs = some_images(2)
    reconstructions = {name: list(inputs * share) for name, share in (("a", 0.5), ("b", 1.0))}
    return comparison_figure(list(inputs), reconstructions, ("upright", "turned by 90°"))


def attention(order: int = 4, digits: int = 3) -> Figure:
    weights = np.random.default_rng(1).dirichlet(np.ones(order), digits)
    return attention_figure(
        some_images(digits), some_images(digits), weights, [f"{90 * g}°" for g in range(order)]
    )


def rotations() -> Figure:
    by_rotation = {"0": 0.010, "90": 0.026, "180": 0.020, "270": 0.026}
    return rotations_figure({"plain": by_rotation, "equivariant": dict.fromkeys(by_rotation, 0.02)})


FIGURES: dict[str, Callable[[], Figure]] = {
    "maps between grids": lambda: basis_figure(eb.solve("c4", input="14x14", output="6x6"), 4),
    "invariants of a grid": lambda: basis_figure(eb.solve("c4", output="6x6")),
    "dense": lambda: basis_figure(eb.solve("trivial", input="1x1", output="1x1")),
    "maps that are no grids": lambda: basis_figure(eb.solve(PLANE, input=(3, 2), output=(2,))),
    "invariants that are no grid": lambda: basis_figure(
        eb.solve(SIGN, input=(3,), output=(3,)), count=2
    ),
    "one vector": lambda: basis_figure(eb.solve("d4", input="14x14", output="6x6"), count=1),
    "lines": lambda: basis_figure(eb.solve("z12", output="12")),
    "long lines": lambda: basis_figure(eb.solve("z200", output="200")),
    "voxels": lambda: basis_figure(eb.solve("oh", output="3x3x3")),
    "large": lambda: basis_figure(eb.solve("d4", input="40x40", output="40x40"), 2),
    "orbits of maps": lambda: orbits_figure(eb.solve("c4", input="14x14", output="6x6")),
    "orbits with signs": lambda: orbits_figure(eb.solve("d4", input="5x5:vector", output="5x5")),
    "few orbits": lambda: orbits_figure(eb.solve("oh", output="3x3x3")),
    "comparison": comparison,
    "attention": attention,
    "attention, one digit": lambda: attention(order=8, digits=1),
    "curves": lambda: curves_figure(
        {"a": [0.1, 0.05, 0.02], "b": [0.2, 0.1, 0.05]}, "mean squared"
    ),
    "curves over powers of ten": lambda: curves_figure({"a": [2, 0.1, 0.01]}, "cross entropy"),
    "curves of one epoch": lambda: curves_figure({"a": [0.1]}, "mean squared"),
    "rotations": rotations,
    "symmetries": lambda: symmetries_figure({"a": {"0": 0.1, "mirror 0": 0.2}}),
    "confusion": lambda: confusion_figure({"a": {"upright": np.eye(10), "turned": np.eye(10)}}),
    "kernels": lambda: kernels_figure(
        {"a": some_images(4, 5).reshape(2, 2, 5, 5), "b": some_images(4, 5).reshape(1, 4, 5, 5)},
        {"a": "ab", "b": "abcd"},
    ),
}


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        picture.load()
        return np.asarray(picture.convert("RGB"))


def saved(name: str, path: Path) -> Figure:
    figure = FIGURES[name]()
    save_figure(figure, path)
    return figure


def test_a_png_is_the_same_each_time(tmp_path: Path) -> None:
    first, again = tmp_path / "figure.png", tmp_path / "again.png"
    for path in (first, again):
        saved("one vector", path)
    assert first.read_bytes() == again.read_bytes()


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.slow
def test_every_figure_is_an_svg_that_is_the_same_each_time_and_a_png_that_shows_something(
    name: str, tmp_path: Path
) -> None:
    svg, again, png = (tmp_path / name for name in ("figure.SVG", "again.svg", "figure.png"))
    saved(name, again)
    figure = saved(name, svg)
    assert svg.read_bytes() == again.read_bytes()
    assert ElementTree.parse(svg).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    text = svg.read_text(encoding="utf-8")
    assert "<dc:date>" not in text
    assert matplotlib.__version__ not in text

    save_figure(figure, png)
    assert png.read_bytes().startswith(PNG_MAGIC)
    picture = pixels(png)
    assert picture.shape[0] > 100
    assert picture.shape[1] > 100
    # More than a blank page with a line of text: at least a percent of it is no background.
    background = picture[0, 0]
    assert (picture != background).any(axis=2).mean() > 0.01
    assert {path.name for path in tmp_path.iterdir()} == {svg.name, again.name, png.name}


@pytest.mark.parametrize("name", ["figure", "figure.jpg", "figure.pdf", "figure.png.txt", ".png"])
def test_a_picture_of_another_ending_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(eb.WriteError, match=r"ends in \.png or \.svg"):
        save_figure(rotations(), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_figure_without_basis_vectors_is_a_figure_still(tmp_path: Path) -> None:
    empty = eb.solve(SIGN, output=(3,))
    assert empty.rank == 0
    save_figure(basis_figure(empty), tmp_path / "empty.png")
    assert pixels(tmp_path / "empty.png").std() > 0


def test_two_bases_have_two_pictures(tmp_path: Path) -> None:
    for group in ("c4", "d4"):
        save_figure(
            basis_figure(eb.solve(group, input="4x4", output="4x4"), 4), tmp_path / f"{group}.png"
        )
    assert (tmp_path / "c4.png").read_bytes() != (tmp_path / "d4.png").read_bytes()


def test_a_figure_is_not_saved_to_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(eb.WriteError, match="nowhere"):
        save_figure(rotations(), tmp_path / "nowhere" / "figure.png")


# --- basis vectors as images ---------------------------------------------------------------------


def vector_image(vector: np.ndarray, basis: eb.Basis) -> np.ndarray:
    layout = layout_of(basis.space)
    image = np.empty((layout.height, layout.width))
    image[layout.pixels(np.arange(len(vector)))] = vector
    return image


def test_a_map_of_14x14_to_6x6_is_a_picture_of_84x84_with_a_tile_for_each_output() -> None:
    basis = eb.solve("c4", input="14x14", output="6x6")
    vector = np.arange(7056.0)  # every entry its own number: W[o, i] = 196 o + i
    image = vector_image(vector, basis)
    assert image.shape == (84, 84)
    weights = vector.reshape(36, 196)
    for row in range(6):
        for column in range(6):
            tile = image[14 * row : 14 * (row + 1), 14 * column : 14 * (column + 1)]
            assert np.array_equal(tile, weights[6 * row + column].reshape(14, 14))


def test_an_oblong_map_is_a_picture_of_oblong_tiles() -> None:
    basis = eb.solve("c2", input="3x4", output="2x5")
    vector = np.arange(120.0)
    image = vector_image(vector, basis)
    assert image.shape == (2 * 3, 5 * 4)
    assert np.array_equal(image[3:6, 16:20], vector.reshape(2, 5, 3, 4)[1, 4])


def test_an_invariant_vector_of_a_grid_is_a_picture_of_the_grid_and_symmetric() -> None:
    basis = eb.solve("c4", output="6x6")
    for vector in basis.matrix.toarray().T:
        image = vector_image(vector, basis)
        assert image.shape == (6, 6)
        assert np.array_equal(image.ravel(), vector)
        assert np.array_equal(image, np.rot90(image))


def test_a_map_of_other_arrays_is_drawn_flat_outputs_downwards() -> None:
    basis = eb.solve(PLANE, input=(3, 2), output=(2,))
    vector = np.arange(12.0)
    assert np.array_equal(vector_image(vector, basis), vector.reshape(2, 6))


@pytest.mark.parametrize(("count", "panels"), [(1, 1), (4, 4), (16, 16), (100, 21)])
def test_as_many_vectors_are_drawn_as_asked_for_and_there_are(count: int, panels: int) -> None:
    figure = basis_figure(eb.solve("c4", input="3x3", output="3x3"), count)
    drawn = [axes for axes in figure.axes if axes.get_images()]
    assert len(drawn) == panels
    titles = [str(n) for n in range(1, panels + 1)] if panels > 1 else [""]
    assert [axes.get_title() for axes in drawn] == titles


def test_colours_are_symmetric_about_zero() -> None:
    figure = basis_figure(eb.solve("c4", input="3x3", output="3x3"), 4)
    for axes in figure.axes:
        low, high = axes.get_images()[0].get_clim()
        assert low == -high < 0


@pytest.mark.parametrize(
    "problem",
    [
        {"group": "c4", "input": "4x4", "output": "4x4"},
        {"group": "d4", "output": "3x3:vector"},
        {"group": "oh", "output": "3x3x3"},
        {"group": "z6", "input": "6", "output": "6"},
    ],
)
def test_an_entry_s_place_in_the_picture_and_back(problem: tuple[str, ...]) -> None:
    space = eb.solve(**problem).space
    layout = layout_of(space)
    rows, columns = layout.pixels(np.arange(space.dimension))
    assert (rows.max() + 1, columns.max() + 1) == (layout.height, layout.width)
    np.testing.assert_array_equal(layout.entries(rows, columns), np.arange(space.dimension))


def test_turning_the_picture_of_all_orbits_leaves_it_as_it_is() -> None:
    image = orbit_image(eb.solve("c4", input="14x14", output="6x6"), 100, 100)
    assert image.colours.shape == (84, 84, 3)
    np.testing.assert_array_equal(np.rot90(image.colours), image.colours)
    np.testing.assert_array_equal(np.rot90(image.labels), image.labels)


@pytest.mark.parametrize(
    "problem",
    [
        {"group": "d4", "output": "6x6"},
        {"group": "s5", "input": "5x5", "output": "5x5"},
        {"group": "c4", "input": "4x4", "output": "4x4"},
    ],
)
def test_every_orbit_has_a_colour_of_its_own(problem: tuple[str, ...]) -> None:
    basis = eb.solve(**problem)
    image = orbit_image(basis, 100, 100)
    colours = {tuple(colour) for colour in image.colours.reshape(-1, 3).tolist()}
    assert len(colours) == basis.rank


def test_where_no_orbit_is_the_picture_is_white_and_negative_signs_are_darker() -> None:
    basis = eb.solve("d4", input="5x5:pseudoscalar", output="5x5")
    image = orbit_image(basis, 100, 100)
    assert (image.colours[image.labels < 0] == 255).all()
    places = layout_of(basis.space).entries(*np.indices(image.labels.shape))
    for orbit in range(basis.rank):
        signs = basis.columns[1][places][image.labels == orbit]
        light = image.colours[image.labels == orbit].sum(axis=1)
        if (signs < 0).any():
            assert light[signs < 0].max() < light[signs > 0].min()


def test_what_has_no_orbits_is_told_so() -> None:
    with pytest.raises(eb.SpaceError, match="no orbits to show"):
        orbits_figure(BASES["copies of matrices"]())


def test_a_picture_made_smaller_keeps_the_largest_entry_of_each_square() -> None:
    basis = eb.solve(PLANE, input=(3, 2), output=(2,))  # drawn flat, 2x6
    whole, steps = leading_images(basis, basis.rank, 2, 6)
    assert (whole.shape, steps) == ((basis.rank, 2, 6), (1, 1))
    for bounds, expected in (((2, 3), (1, 2)), ((1, 100), (2, 1)), ((1, 2), (2, 3))):
        small, (down, right) = leading_images(basis, basis.rank, *bounds)
        assert (down, right) == expected
        assert small.shape == (basis.rank, 2 // down, 6 // right)
        for number, row, column in np.ndindex(small.shape):
            rows, columns = (
                slice(down * row, down * (row + 1)),
                slice(right * column, right * (column + 1)),
            )
            square = whole[number, rows, columns]
            assert small[number, row, column] == square.flat[np.abs(square).argmax()]


# --- what the figures say ------------------------------------------------------------------------


def test_the_comparison_gives_the_mean_squared_error_of_each_reconstruction() -> None:
    inputs = [np.zeros((2, 2)), np.ones((2, 2))]
    outputs = {"a": [np.full((2, 2), 0.5), np.full((2, 2), 0.9)]}
    figure = comparison_figure(inputs, outputs, ("first", "second"))
    texts = [axes.get_xlabel() for axes in figure.axes]
    assert texts == ["", "error 0.2500", "", "error 0.0100"]
    assert [axes.get_ylabel() for axes in figure.axes] == ["first", "", "second", ""]
    assert [axes.get_title() for axes in figure.axes[:2]] == ["input", "a"]


def test_the_attention_figure_has_a_bar_for_each_element_as_high_as_its_weight() -> None:
    weights = np.array([[0.1, 0.2, 0.3, 0.4], [0.7, 0.1, 0.1, 0.1]])
    figure = attention_figure(some_images(2), some_images(2), weights, ["e", "r", "s", "t"])
    bars = [axes for axes in figure.axes if axes.patches]
    for axes, expected in zip(bars, weights, strict=True):
        assert [bar.get_height() for bar in axes.patches] == pytest.approx(expected.tolist())
        assert [text.get_text() for text in axes.get_xticklabels()] == ["e", "r", "s", "t"]


def test_every_curve_is_drawn_against_the_epoch() -> None:
    curves = {"first": [0.3, 0.2, 0.1], "second": [0.4, 0.3, 0.2]}
    (axes,) = curves_figure(curves, "mean squared").axes
    lines = axes.get_lines()
    assert [line.get_label() for line in lines] == ["first", "second"]
    for line, errors in zip(lines, curves.values(), strict=True):
        assert list(line.get_xdata()) == [1, 2, 3]
        assert list(line.get_ydata()) == errors
    assert axes.get_yscale() == "log"


def test_every_model_has_a_bar_of_its_own_for_each_rotation() -> None:
    errors = {
        "first": {"0": 0.1, "90": 0.2, "180": 0.3, "270": 0.4},
        "second": {"0": 0.4, "90": 0.3, "180": 0.2, "270": 0.1},
    }
    (axes,) = rotations_figure(errors).axes
    heights = [[bar.get_height() for bar in bars] for bars in axes.containers]
    assert heights == [list(by_rotation.values()) for by_rotation in errors.values()]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0°", "90°", "180°", "270°"]
    spans = sorted((b.get_x(), b.get_x() + b.get_width()) for b in axes.patches)
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))


def test_there_are_at_least_as_many_colours_as_models() -> None:
    assert len(set(COLOURS)) == len(COLOURS) >= 4


# --- the table of results ------------------------------------------------------------------------


def row(mse: float) -> dict[str, object]:
    return {
        "parameters": 15037,
        "in_distribution": {"mse": mse},
        "rotated": {"mse": 2 * mse},
        "equivariance_error": 0.85,
    }


def test_the_table_has_a_row_for_each_model_and_a_dash_for_a_time_not_taken() -> None:
    table = results_table(
        {"standard_augmented": row(0.01), "equivariant": row(0.0131)},
        {"equivariant": "0.250"},
    )
    console = Console(width=120)
    with console.capture() as capture:
        console.print(table)
    lines = [line.replace("│", " ").split() for line in capture.get().splitlines()]
    assert ["standard,", "augmented", "15,037", "0.01000", "0.02000", "8.5e-01", "-"] in lines
    assert ["equivariant", "15,037", "0.01310", "0.02620", "8.5e-01", "0.250"] in lines


def test_names_of_models_are_shown_in_words() -> None:
    assert label("standard") == "standard"
    assert label("equivariant_attention") == "equivariant, attention"
