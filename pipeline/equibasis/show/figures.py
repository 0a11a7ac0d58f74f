"""Pictures of bases and results; arrays in, figures out."""

from __future__ import annotations

import io
import math
import os
import textwrap
from pathlib import Path

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from equibasis.errors import WriteError, file_name
from equibasis.files import write_bytes
from equibasis.show.images import (
    Layout,
    layout_of,
    leading_images,
    orbit_image,
)
from equibasis.solvers.basis import Basis

# Nobody's own style, not even one that lies in the current folder: the same bytes everywhere.
plain_style = matplotlib.style.context("default")

# Okabe and Ito (2008): told apart by readers of every kind of colour vision.
COLOURS = ("#000000", "#E69F00", "#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
_DPI = 120

_PANELS = 16

# A vector with so few entries in a large image is drawn with a dot on each, or none would be seen.
_FEW = 64

# Higher or wider pictures are drawn smaller: no page shows more.
_LARGEST = 2**10


@plain_style
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
    picture = io.BytesIO()
    with fixed:
        figure.savefig(picture, format=kind, dpi=_DPI, metadata=metadata)
    write_bytes(path, picture.getvalue())


def check_ending(path: str | os.PathLike[str]) -> str:
    """``"png"`` or ``"svg"``, the ending of a picture's name; raises `WriteError` for others."""
    ending = Path(file_name(path, WriteError)).suffix.lower()
    if ending not in (".png", ".svg"):
        raise WriteError(f"cannot write {path}: name a picture that ends in .png or .svg")
    return ending[1:]


@plain_style
def basis_figure(basis: Basis, count: int | None = None) -> Figure:
    """Draw the first basis vectors, 16 unless told, a panel each, on scales symmetric about zero.

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
    images, steps = leading_images(basis, shown, _LARGEST, _LARGEST)
    for number, (panel, image) in enumerate(zip(panels, images, strict=False), start=1):
        if layout.is_line:
            _draw_line(panel, image.ravel())
        else:
            _draw_image(panel, image, layout, steps)
        if shown > 1:
            panel.set_title(str(number), fontsize=8)
    return figure


@plain_style
def orbits_figure(basis: Basis) -> Figure:
    """All orbits of a (signed) permutation basis at once, a colour each; negative signs darker.

    Raises
    ------
    SpaceError
        If the basis is not made of orbits.
    """
    image, layout = orbit_image(basis, _LARGEST, _LARGEST).colours, layout_of(basis.space)
    stretch = min(max(layout.height / layout.width, 0.25), 3.0)
    figure = Figure(figsize=(6, 6 * stretch + 0.6), layout="constrained", facecolor="white")
    title = f"{basis.space}: {basis.rank:,} orbits, one colour each"
    figure.suptitle(_wrapped(title, figure), fontsize=11)
    panel = figure.subplots()
    panel.imshow(image, interpolation="nearest", extent=_extent(layout))
    _frame(panel, layout, "0.1", 1.0)
    return figure


def _panel_sizes(layout: Layout, columns: int, rows: int) -> tuple[float, float]:
    """Size a figure in inches, its panels shaped like their pictures, within bounds."""
    if layout.is_line:
        return max(4.0, 2.6 * columns), 1.7 * rows + 0.6
    stretch = min(max(layout.height / layout.width, 0.3), 2.5)
    return max(3.4, 2.1 * columns), 2.1 * stretch * rows + 0.2 * rows + 0.5


def _wrapped(title: str, figure: Figure) -> str:
    return textwrap.fill(title[:300], max(24, int(12.5 * figure.get_figwidth())))


def _draw_image(panel: Axes, image: np.ndarray, layout: Layout, steps: tuple[int, int]) -> None:
    limit = max(float(np.abs(image).max(initial=0.0)), 1e-12)
    scale = Normalize(-limit, limit)
    panel.imshow(image, "RdBu_r", scale, interpolation="nearest", extent=_extent(layout))
    _frame(panel, layout, "0.75", 0.6)
    row, column = np.nonzero(image)
    if len(row) <= _FEW and image.size > 50 * len(row):
        x, y, colours = steps[1] * column, steps[0] * row, image[row, column]
        panel.scatter(x, y, s=16, c=colours, cmap="RdBu_r", norm=scale, clip_on=False, zorder=3)


def _extent(layout: Layout) -> tuple[float, float, float, float]:
    return -0.5, layout.width - 0.5, layout.height - 0.5, -0.5


def _frame(panel: Axes, layout: Layout, colour: str, line: float) -> None:
    """Draw a frame around a picture, and lines between its tiles."""
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
