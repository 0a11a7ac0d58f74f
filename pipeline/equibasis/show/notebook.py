"""What notebooks show of bases and groups: a small table, and a picture where that is cheap."""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Mapping

import matplotlib.image
import numpy as np

from equibasis.errors import EquibasisError
from equibasis.linalg.numbers import counted
from equibasis.show.images import layout_of, leading_images, orbit_image, value_colours
from equibasis.solvers.basis import Basis
from equibasis.symmetry.group import Group

# Pixels of a picture, and its width and height on the page.
_LARGEST = 2**7
_WIDEST = 320

# Basis vectors that are drawn, their width and height at most, and the line between them.
_PANELS = 6
_PANEL = 48
_GAP, _GREY = 1, 160

# Larger maps are not drawn: a pixel would stand for too many entries to tell anything.
_MOST_ENTRIES = 2**20

_MOST_NAMES = 12


def basis_html(basis: Basis) -> str:
    """HTML of a basis: its space, its rank, and its orbits in colour or its first vectors."""
    dimension = basis.space.dimension
    rows = {
        "space": str(basis.space),
        "rank": f"{basis.rank:,} of {counted(dimension, 'dimension')}",
        "solver": basis.solver,
        "errors": f"orthonormal to {basis.checks.orthonormality_error:.1g}, equivariant to "
        f"{basis.checks.equivariance_error:.1g}",
    }
    return _page("Basis", rows, _picture(basis))


def group_html(group: Group) -> str:
    """HTML of a group: its elements or generators, and its representations with dimensions."""
    order = f"{group.order:,}" if group.complete else "∞" if group.algebra else ""
    names = ", ".join(group.element_names[:_MOST_NAMES])
    more = "" if len(group.element_names) <= _MOST_NAMES else ", …"
    representations = ", ".join(
        f"{name} ({rho.dimension})" for name, rho in group.representations.items()
    )
    rows = {
        "name": group.name,
        "order": order,
        group.listed: names + more,
        "axes of arrays": "" if group.transform is None else str(group.axes or "any number"),
        "representations (dimension)": representations,
    }
    return _page("Group", rows)


def _page(title: str, rows: Mapping[str, str], picture: str = "") -> str:
    cells = "".join(
        f"<tr><th style='text-align: left'>{html.escape(name)}</th>"
        f"<td style='text-align: left'>{html.escape(text)}</td></tr>"
        for name, text in rows.items()
        if text
    )
    return f"<div><strong>{title}</strong><table>{cells}</table>{picture}</div>"


def _picture(basis: Basis) -> str:
    """HTML of a picture; empty where there is nothing to see, or it would take long."""
    if not basis.rank or basis.space.dimension > _MOST_ENTRIES:
        return ""
    try:
        if basis.of_orbits and basis.kind == "equivariant":
            said = "a colour for each orbit"
            colours = orbit_image(basis, _LARGEST, _LARGEST).colours
        else:
            said, colours = _first_vectors(basis)
    except EquibasisError:  # it does not fit in memory
        return ""
    height, width = colours.shape[:2]
    scale = _WIDEST / max(height, width)
    scale = math.floor(scale) if scale > 1 else scale
    content = io.BytesIO()
    matplotlib.image.imsave(content, colours, format="png")
    data = base64.b64encode(content.getvalue()).decode("ascii")
    size = f"width: {math.ceil(scale * width)}px; height: {math.ceil(scale * height)}px"
    return (
        f"<figure style='margin: 0'><img alt='{html.escape(said)}' "
        f"style='image-rendering: pixelated; {size}' src='data:image/png;base64,{data}'>"
        f"<figcaption>{html.escape(said)}</figcaption></figure>"
    )


def _first_vectors(basis: Basis) -> tuple[str, np.ndarray]:
    """Draw the first basis vectors beside each other, or, as lines, below each other."""
    layout, count = layout_of(basis.space), min(basis.rank, _PANELS)
    most = _WIDEST if layout.is_line else _PANEL
    images, _ = leading_images(basis, count, most, most)
    pad = ((0, _GAP), (0, 0), (0, 0)) if layout.is_line else ((0, 0), (0, _GAP), (0, 0))
    panels = [np.pad(value_colours(each, layout), pad, constant_values=_GREY) for each in images]
    joined = np.concatenate(panels, axis=0 if layout.is_line else 1)
    said = "basis vector 1" if count == 1 else f"basis vectors 1 to {count}"
    return f"{said}: red positive, blue negative", joined
