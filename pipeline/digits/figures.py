"""Pictures of the experiment's results; arrays in, figures out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from equibasis.show.figures import COLOURS, plain_style


@plain_style
def comparison_figure(
    inputs: Sequence[np.ndarray],
    reconstructions: Mapping[str, Sequence[np.ndarray]],
    row_names: Sequence[str],
) -> Figure:
    """Draw a row for each input: the image, and its reconstruction by each model, with errors."""
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
    """Draw a column for each digit: input, reconstruction, attention weights over the group."""
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
def curves_figure(curves: Mapping[str, Sequence[float]], error: str) -> Figure:
    """Training error against epoch, logarithmic, a line for each model; which error, in words."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    for (model, errors), colour in zip(curves.items(), COLOURS, strict=False):
        axes.plot(range(1, len(errors) + 1), errors, label=model, color=colour)
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter("{x:.2g}")
    low, high = axes.get_ylim()
    crowded = high > 30 * low  # numbers between powers of ten would stand on each other
    axes.yaxis.set_minor_formatter(NullFormatter() if crowded else "{x:.2g}")
    axes.set(xlabel="epoch", ylabel=f"training error ({error})")
    axes.grid(which="both", color="0.9")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure


@plain_style
def rotations_figure(errors: Mapping[str, Mapping[str, float]]) -> Figure:
    """Test error against the rotation of the test digits, a bar for each model."""
    figure = _bars(errors, "error (mean squared, per pixel)")
    figure.axes[0].set_xlabel("rotation of the test digits")
    return figure


@plain_style
def symmetries_figure(errors: Mapping[str, Mapping[str, float]]) -> Figure:
    """Share of wrong answers, in percent, against how digits are moved, a bar for each model."""
    percents = {
        model: {move: 100 * share for move, share in of_model.items()}
        for model, of_model in errors.items()
    }
    figure = _bars(percents, "digits taken for others (%)")
    figure.set_size_inches(11, 4.6)
    (axes,) = figure.axes
    axes.set_xlabel("how the test digits are turned, or mirrored and turned")
    _, *others = (tick.get_text() for tick in axes.get_xticklabels())
    axes.set_xticklabels(["upright", *others])
    for bars in axes.containers:
        assert isinstance(bars, BarContainer)
        axes.bar_label(bars, fmt="%.3g", rotation=90, padding=2, fontsize=6)
    return figure


@plain_style
def confusion_figure(confusions: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """Draw, for each model and test set, how often each digit is taken for which.

    Parameters
    ----------
    confusions
        By model and test set, counts (digits, answers).
    """
    sets = list(next(iter(confusions.values())))
    shape = 2.1 * len(confusions) + 0.6, 2.3 * len(sets) + 0.4
    figure = Figure(figsize=shape, layout="constrained")
    panels = figure.subplots(len(sets), len(confusions), squeeze=False)
    for column, (model, by_set) in enumerate(confusions.items()):
        for panel, name in zip(panels[:, column], sets, strict=True):
            counts = by_set[name]
            shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
            drawn = panel.imshow(shares, cmap="magma_r", norm=PowerNorm(0.5, 0, 1))
            panel.set_xticks(range(len(counts)))
            panel.set_yticks(range(len(counts)))
            panel.tick_params(labelsize=7, length=0)
            panel.spines[:].set_visible(False)
            right = np.trace(counts) / max(1, counts.sum())
            panel.set_title(f"{right:.1%} right", fontsize=8)
            if name == sets[0]:
                panel.set_title(f"{model}\n{right:.1%} right", fontsize=8)
            if name == sets[-1]:
                panel.set_xlabel("taken for", fontsize=8)
            if column == 0:
                panel.set_ylabel(f"{name}: the digit", fontsize=8)
    bar = figure.colorbar(drawn, ax=panels, shrink=0.6, ticks=[0, 0.01, 0.1, 0.5, 1])
    bar.ax.tick_params(labelsize=8)
    bar.set_label("share of each digit", fontsize=8)
    return figure


@plain_style
def kernels_figure(
    kernels: Mapping[str, np.ndarray], elements: Mapping[str, Sequence[str]]
) -> Figure:
    """Kernels (fields, group, height, width) of models side by side.

    A row for each field, and in it one kernel moved by each element of the group.
    """
    rows = max(len(of_model) for of_model in kernels.values())
    orders = [of_model.shape[1] for of_model in kernels.values()]
    figure = Figure(figsize=(0.6 * sum(orders) + 0.8, 0.6 * rows + 1.2))
    figure.suptitle(
        "Kernels of the first layer: blue negative, red positive, each row by its own largest",
        fontsize=10,
    )
    grid = figure.add_gridspec(
        1,
        len(kernels),
        width_ratios=orders,
        left=0.02,
        right=0.98,
        top=0.8,
        bottom=0.02,
        wspace=0.1,
    )
    for number, (model, of_model) in enumerate(kernels.items()):
        part = grid[0, number]
        panels = part.subgridspec(rows, of_model.shape[1], wspace=0.1, hspace=0.1).subplots(
            squeeze=False
        )
        for panel in panels.flat:
            panel.set_axis_off()
        for row, field in zip(panels, of_model, strict=False):
            limit = float(np.abs(field).max()) or 1.0
            for panel, kernel in zip(row, field, strict=True):
                panel.imshow(kernel, cmap="RdBu_r", vmin=-limit, vmax=limit)
        for panel, element in zip(panels[0], elements[model], strict=True):
            panel.set_title(element.replace(" ", "\n"), fontsize=6)
        here = part.get_position(figure)
        figure.text((here.x0 + here.x1) / 2, 0.89, model, ha="center", fontsize=10)
    return figure


def _bars(values: Mapping[str, Mapping[str, float]], what: str) -> Figure:
    """Draw a group of bars for each rotation or mirror, a bar in it for each model."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / max(1, len(values))
    for position, (model, by_move) in enumerate(values.items()):
        places = np.arange(len(by_move)) + (position - (len(values) - 1) / 2) * width
        axes.bar(places, list(by_move.values()), 0.9 * width, label=model, color=COLOURS[position])
    moves = list(next(iter(values.values())))
    axes.set_xticks(range(len(moves)), [f"{move}°" for move in moves])
    axes.set_ylabel(what)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, ncols=len(values), loc="outside upper center", fontsize=9)
    return figure


def _draw_digit(panel: Axes, image: np.ndarray) -> None:
    panel.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    panel.tick_params(left=False, bottom=False, labelleft=False, labelbottom=False)
    panel.spines[:].set_visible(False)
