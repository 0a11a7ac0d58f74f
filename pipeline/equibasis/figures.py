"""Pictures of bases and results; arrays in, figures out."""

from __future__ import annotations

import math
import os
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from equibasis.basis import Basis
from equibasis.errors import WriteError
from equibasis.files import writing
from equibasis.pictures import (
    Images,
    Layout,
    layout_of,
    leading_images,
    orbit_image,
    pixels,
)

# Okabe and Ito (2008): told apart by readers of every kind of colour vision.
COLOURS = ("#000000", "#E69F00", "#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
_DPI = 120

_PANELS = 16

# A vector with so few entries in a large image is drawn with a dot on each, or none would be seen.
_FEW = 64

# Pictures of more pixels are drawn smaller: no page shows more.
_MOST_PIXELS = 2**20


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure as PNG or SVG, by the name's ending: the same bytes for the same figure.

    Raises
    ------
    WriteError
        If the ending is another, or the file cannot be written.
    """
    kind = check_ending(path)
    metadata = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}[kind]
    # SVG names its parts by a hash with this salt, else with a random one.
    fixed = matplotlib.rc_context({"svg.hashsalt": "equibasis", "svg.fonttype": "none"})
    with writing(path) as temporary, temporary.open("wb") as file, fixed:
        figure.savefig(file, format=kind, dpi=_DPI, metadata=metadata)


def check_ending(path: str | os.PathLike[str]) -> str:
    """``"png"`` or ``"svg"``, the ending of a picture's name; raises `WriteError` for others."""
    ending = Path(path).suffix.lower()
    if ending not in (".png", ".svg"):
        raise WriteError(f"cannot write {path}: name a picture that ends in .png or .svg")
    return ending[1:]


def basis_figure(basis: Basis, count: int | None = None) -> Figure:
    """The first basis vectors, 16 unless told, a panel each, on scales symmetric about zero.

    A map between grids is drawn as a grid of grids: tile o holds the weights of output pixel o.
    Vectors that are no pictures are drawn as lines of numbers.
    """
    layout, shown = layout_of(basis.space), min(count or _PANELS, basis.rank)
    columns = max(1, min(4, math.ceil(math.sqrt(shown))))
    rows = max(1, math.ceil(shown / columns))
    figure = Figure(
        figsize=_panel_sizes(layout, columns, rows), layout="constrained", facecolor="white"
    )
    title = f"{basis.space}, rank {basis.rank:,}"
    if shown:
        title += ": basis vector 1" if shown == 1 else f": basis vectors 1 to {shown}"
    figure.suptitle(_wrapped(title, figure), fontsize=11)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel in panels:
        panel.set_axis_off()
    if shown == 0:
        return figure
    images = leading_images(basis, shown, _MOST_PIXELS)
    for number, (panel, image) in enumerate(zip(panels, images.values, strict=False), start=1):
        if layout.is_line:
            _draw_line(panel, image.ravel())
        else:
            _draw_image(panel, image, layout, images)
        if shown > 1:
            panel.set_title(str(number), fontsize=8)
    return figure


def orbits_figure(basis: Basis) -> Figure:
    """All orbits of a (signed) permutation basis at once, a colour each; negative signs darker.

    Raises
    ------
    SpaceError
        If the basis is not made of orbits.
    """
    image, layout = orbit_image(basis, _MOST_PIXELS).colours, layout_of(basis.space)
    stretch = min(max(layout.height / layout.width, 0.25), 3.0)
    figure = Figure(figsize=(6, 6 * stretch + 0.6), layout="constrained", facecolor="white")
    title = f"{basis.space}: {basis.rank:,} orbits, one colour each"
    figure.suptitle(_wrapped(title, figure), fontsize=11)
    panel = figure.subplots()
    panel.imshow(image, interpolation="nearest", extent=_extent(layout))
    _frame(panel, layout, "0.1", 1.0)
    return figure


def _panel_sizes(layout: Layout, columns: int, rows: int) -> tuple[float, float]:
    """The size of a figure in inches, its panels shaped like their pictures, within bounds."""
    if layout.is_line:
        return max(4.0, 2.6 * columns), 1.7 * rows + 0.6
    stretch = min(max(layout.height / layout.width, 0.3), 2.5)
    return max(3.4, 2.1 * columns), 2.1 * stretch * rows + 0.2 * rows + 0.5


def _wrapped(title: str, figure: Figure) -> str:
    return textwrap.fill(title[:300], max(24, int(12.5 * figure.get_figwidth())))


def vector_image(vector: np.ndarray, basis: Basis) -> np.ndarray:
    """A basis vector as a picture: 14x14 -> 6x6 gives 84 × 84, invariants of 6x6 give 6 × 6.

    Shapes that are no grids are drawn flat, outputs downwards and inputs to the right.
    """
    layout = layout_of(basis.space)
    image = np.empty((layout.height, layout.width))
    image[pixels(basis.space, np.arange(len(vector)))] = vector
    return image


def _draw_image(panel: Axes, image: np.ndarray, layout: Layout, images: Images) -> None:
    limit = max(float(np.abs(image).max(initial=0.0)), 1e-12)
    scale = Normalize(-limit, limit)
    panel.imshow(image, "RdBu_r", scale, interpolation="nearest", extent=_extent(layout))
    _frame(panel, layout, "0.75", 0.6)
    row, column = np.nonzero(image)
    if len(row) <= _FEW and image.size > 50 * len(row):
        x, y, colours = images.columns[column], images.rows[row], image[row, column]
        panel.scatter(x, y, s=16, c=colours, cmap="RdBu_r", norm=scale, clip_on=False, zorder=3)


def _extent(layout: Layout) -> tuple[float, float, float, float]:
    return -0.5, layout.width - 0.5, layout.height - 0.5, -0.5


def _frame(panel: Axes, layout: Layout, colour: str, line: float) -> None:
    """A frame around a picture, and lines between its tiles."""
    panel.set_axis_on()
    panel.tick_params(left=False, bottom=False, labelleft=False, labelbottom=False)
    panel.spines[:].set_color("0.6")
    if layout.tile is not None:
        for line_at in range(layout.tile[0], layout.height, layout.tile[0]):
            panel.axhline(line_at - 0.5, color=colour, linewidth=line)
        for line_at in range(layout.tile[1], layout.width, layout.tile[1]):
            panel.axvline(line_at - 0.5, color=colour, linewidth=line)


def _draw_line(panel: Axes, values: np.ndarray) -> None:
    panel.set_axis_on()
    panel.axhline(0, color="0.6", linewidth=0.8)
    places = np.arange(len(values))
    if len(values) <= _FEW:
        colours = [COLOURS[6] if value > 0 else COLOURS[2] for value in values]
        panel.vlines(places, 0, values, color=colours, linewidth=1.5)
        panel.scatter(places, values, s=14, c=colours, zorder=3)
    else:
        panel.plot(places, values, color=COLOURS[2], linewidth=0.8)
    limit = 1.15 * max(float(np.abs(values).max(initial=0.0)), 1e-12)
    panel.set(xlim=(-0.7, len(values) - 0.3), ylim=(-limit, limit))
    panel.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
    panel.tick_params(labelsize=7)
    panel.spines[["top", "right"]].set_visible(False)


def comparison_figure(
    inputs: Sequence[np.ndarray],
    reconstructions: Mapping[str, Sequence[np.ndarray]],
    row_names: Sequence[str],
) -> Figure:
    """A row for each input: the image, then what each model makes of it, with its error."""
    figure = Figure(figsize=(10, 2.25 * len(inputs)), layout="constrained")
    panels = figure.subplots(len(inputs), 1 + len(reconstructions), squeeze=False)
    for row, image in enumerate(inputs):
        _draw_digit(panels[row, 0], image)
        panels[row, 0].set_ylabel(row_names[row])
        for column, (model, images) in enumerate(reconstructions.items(), start=1):
            _draw_digit(panels[row, column], images[row])
            error = float(np.square(images[row] - image).mean())
            panels[row, column].set_xlabel(f"error {error:.4f}")
            if row == 0:
                panels[row, column].set_title(model)
    panels[0, 0].set_title("input")
    return figure


def attention_figure(
    inputs: np.ndarray,
    reconstructions: np.ndarray,
    attention: np.ndarray,
    elements: Sequence[str],
) -> Figure:
    """A column for each digit: input, reconstruction, attention weights over the group."""
    figure = Figure(figsize=(1.55 * len(inputs), 5), layout="constrained")
    panels = figure.subplots(3, len(inputs), squeeze=False, height_ratios=(1, 1, 1.1))
    top = 1.1 * float(attention.max())
    for column, (image, reconstruction, weights) in enumerate(
        zip(inputs, reconstructions, attention, strict=True)
    ):
        _draw_digit(panels[0, column], image)
        _draw_digit(panels[1, column], reconstruction)
        bars = panels[2, column]
        bars.bar(range(len(elements)), weights, color=COLOURS[2])
        bars.set_xticks(range(len(elements)), elements, rotation=90, fontsize=8)
        bars.set_ylim(0, top)
        bars.axhline(1 / len(elements), color="0.5", linewidth=0.8, linestyle=":")
        bars.spines[["top", "right"]].set_visible(False)
        if column:
            bars.tick_params(labelleft=False)
    for row, name in enumerate(("input", "reconstruction", "attention")):
        panels[row, 0].set_ylabel(name)
    return figure


def curves_figure(curves: Mapping[str, Sequence[float]]) -> Figure:
    """Training error against epoch, logarithmic, a line for each model."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    for (model, errors), colour in zip(curves.items(), COLOURS, strict=False):
        axes.plot(range(1, len(errors) + 1), errors, label=model, color=colour)
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter("{x:.2g}")
    axes.yaxis.set_minor_formatter("{x:.2g}")
    axes.set(xlabel="epoch", ylabel="training error (mean squared, per pixel)")
    axes.grid(which="both", color="0.9")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure


def rotations_figure(errors: Mapping[str, Mapping[str, float]]) -> Figure:
    """Test error against the rotation of the test digits, a bar for each model."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / max(1, len(errors))
    for position, (model, by_rotation) in enumerate(errors.items()):
        places = np.arange(len(by_rotation)) + (position - (len(errors) - 1) / 2) * width
        axes.bar(
            places, list(by_rotation.values()), 0.9 * width, label=model, color=COLOURS[position]
        )
    rotations = list(next(iter(errors.values())))
    axes.set_xticks(range(len(rotations)), [f"{degrees}°" for degrees in rotations])
    axes.set(xlabel="rotation of the test digits", ylabel="error (mean squared, per pixel)")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, ncols=len(errors), loc="outside upper center", fontsize=9)
    return figure


def _draw_digit(panel: Axes, image: np.ndarray) -> None:
    panel.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    panel.tick_params(left=False, bottom=False, labelleft=False, labelbottom=False)
    panel.spines[:].set_visible(False)
