"""Pictures of the experiment's results; arrays in, figures out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from equibasis.show.figures import COLOURS, plain_style


@plain_style
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


@plain_style
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


@plain_style
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


@plain_style
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
