"""Pictures of bases and results; arrays in, figures out."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from equibasis.basis import Basis
from equibasis.columns import Columns, OrbitColumns
from equibasis.files import writing

# Okabe and Ito (2008): told apart by readers of every kind of colour vision.
COLOURS = ("#000000", "#E69F00", "#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
_DPI = 120

# A vector with so few entries in a large image is drawn with a dot on each, or none would be seen.
_FEW = 64


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure as PNG, the same bytes for the same figure; raises `WriteError`."""
    with writing(path) as temporary, temporary.open("wb") as file:
        figure.savefig(file, format="png", dpi=_DPI, metadata={"Software": None})


def basis_figure(basis: Basis, count: int = 16) -> Figure:
    """The first basis vectors, one panel each, on a scale that is symmetric about zero.

    A map between grids is drawn as a grid of grids: tile o holds the weights of output pixel o.
    """
    shown = min(count, basis.rank)
    columns = max(1, min(4, math.ceil(math.sqrt(shown))))
    rows = max(1, math.ceil(shown / columns))
    figure = Figure(figsize=(2.1 * columns, 2.3 * rows + 0.5), layout="constrained")
    figure.suptitle(f"{basis.space}, rank {basis.rank}: basis vectors 1 to {shown}", fontsize=11)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel in panels:
        panel.set_axis_off()
    columns_shown = _leading(basis.columns, shown)
    for number, (panel, vector) in enumerate(zip(panels, columns_shown.T, strict=False), start=1):
        _draw_vector(panel, vector, basis)
        panel.set_title(str(number), fontsize=8)
    return figure


def _leading(columns: Columns, count: int) -> np.ndarray:
    if isinstance(columns, OrbitColumns):
        return columns.leading(count)
    return columns[:, :count] if isinstance(columns, np.ndarray) else columns[:, :count].toarray()


def vector_image(vector: np.ndarray, basis: Basis) -> np.ndarray:
    """A basis vector as a picture: 14x14 -> 6x6 gives 84 × 84, invariants of 6x6 give 6 × 6.

    Shapes that are no grids are drawn flat, outputs downwards and inputs to the right.
    """
    output, input_ = basis.output_shape, basis.input_shape
    if len(output) == 2 and len(input_) == 2:
        weights = vector.reshape(*output, *input_)
        return weights.transpose(0, 2, 1, 3).reshape(output[0] * input_[0], -1)
    if len(output) == 2 and not input_:
        return vector.reshape(output)
    return vector.reshape(-1, basis.space.m)


def _draw_vector(panel: Axes, vector: np.ndarray, basis: Basis) -> None:
    image = vector_image(vector, basis)
    limit = max(float(np.abs(vector).max(initial=0.0)), 1e-12)
    panel.imshow(image, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
    panel.set_axis_on()
    panel.tick_params(left=False, bottom=False, labelleft=False, labelbottom=False)
    panel.spines[:].set_color("0.6")
    rows, columns = np.nonzero(image)
    if len(rows) <= _FEW and image.size > 50 * len(rows):
        panel.scatter(
            columns, rows, s=16, c=image[rows, columns], cmap="RdBu_r", vmin=-limit, vmax=limit,
            clip_on=False, zorder=3,
        )  # fmt: skip
    if len(basis.output_shape) == len(basis.input_shape) == 2:
        for tile in range(1, basis.output_shape[0]):
            panel.axhline(tile * basis.input_shape[0] - 0.5, color="0.75", linewidth=0.6)
        for tile in range(1, basis.output_shape[1]):
            panel.axvline(tile * basis.input_shape[1] - 0.5, color="0.75", linewidth=0.6)


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
