"""The explorer's data: of small problems, which weights of W are one weight.

A Sphinx extension: the directive ``explorer`` puts the orbits of all problems into its page as
JSON, so that the page asks no server for anything. explorer.js does the rest.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import equibasis as eb

# Of each group what it does, and the spaces to choose from: the first two are shown first.
GROUPS = {
    "c4": ("turns by 90°", ["4x4", "3x3", "2x2", "6x6", "1"]),
    "d4": ("turns by 90° and mirrors", ["4x4", "3x3", "2x2", "6x6", "3x3:pseudoscalar", "1"]),
    "c2": ("turns by 180°", ["3x5", "3x3", "4x4", "2x2", "1"]),
    "d1": ("the mirror from left to right", ["3x5", "3x3", "4x4", "2x2", "1"]),
    "d2": ("both mirrors", ["3x5", "3x3", "4x4", "3x5:pseudoscalar", "1"]),
    "z4*z4": ("shifts of a torus, as in a convolution", ["4x4", "4x4", "2x2", "1"]),
    "p4m": ("shifts, turns and mirrors of a torus", ["4x4", "4x4", "2x2", "1"]),
    "s5": ("all permutations of 5 points, as of a graph", ["5x5", "5x5", "5", "1"]),
    "reversal": ("reading backwards", ["6", "4", "3", "1"]),
    "z6": ("shifts in a circle", ["6", "6", "3", "2", "1"]),
    "trivial": ("nothing: each weight is free", ["3x3", "2x2", "1"]),
}


def orbits(basis: eb.Basis) -> list[int]:
    """Of each entry of vec(W): ±j where it is weight j, counted from 1, with this sign; else 0."""
    entries = basis.matrix.tocoo()
    labels = np.zeros(entries.shape[0], dtype=int)
    labels[entries.row] = np.sign(entries.data).astype(int) * (entries.col + 1)
    return labels.tolist()


def problem(group: str, x: str, y: str) -> dict[str, Any]:
    """Return the maps x → y of a group: both shapes, and the orbits of the weights."""
    basis = eb.solve(group, input=x, output=y)
    return {"input": basis.input_shape, "output": basis.output_shape, "orbits": orbits(basis)}


def problems() -> list[dict[str, Any]]:
    """Of each group its name, what it does, its spaces, and the problem of each pair of them."""
    return [
        {
            "group": group,
            "does": does,
            "first": spaces[:2],
            "spaces": list(dict.fromkeys(spaces)),
            "problems": {f"{x} → {y}": problem(group, x, y) for x in spaces for y in spaces},
        }
        for group, (does, spaces) in GROUPS.items()
    ]


class Explorer(SphinxDirective):
    """The explorer, where it is written."""

    def run(self) -> list[nodes.Node]:
        """Return the place that the script fills, and the data."""
        data = json.dumps(problems(), separators=(",", ":"))
        html = (
            '<div id="explorer-place"><noscript>The explorer needs JavaScript.</noscript></div>\n'
            f'<script type="application/json" id="explorer-data">{data}</script>\n'
        )
        return [nodes.raw("", html, format="html")]


def add_script(app: Sphinx, page: str, template: str, context: Any, tree: Any) -> None:
    """Add the script, to this page alone."""
    if page == "explorer":
        app.add_js_file("explorer.js", loading_method="defer")


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect what Sphinx calls."""
    app.add_directive("explorer", Explorer)
    app.connect("html-page-context", add_script)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
