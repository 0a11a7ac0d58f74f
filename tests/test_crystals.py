"""Independent constants of materials in the 32 crystal classes: the numbers of the textbooks."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest

import by_hand
import equibasis as eb
from equibasis.symmetry.building import representation
from equibasis.symmetry.catalog import find_group
from equibasis.symmetry.workers import Workers

# A property is a map from one space to another: its constants are the rank.
PROPERTIES = {
    "pyroelectric": ("1", "V"),
    "thermal expansion": ("1", "sym(V, 2)"),
    "piezoelectric": ("sym(V, 2)", "V"),
    "photoelastic": ("sym(V, 2)", "sym(V, 2)"),
    "elastic": ("1", "sym(sym(V, 2), 2)"),
}

# J. F. Nye, Physical Properties of Crystals; in the order of the properties.
TEXTBOOK = {
    "C1": ("1", 3, 6, 18, 36, 21),
    "Ci": ("-1", 0, 6, 0, 36, 21),
    "C2": ("2", 1, 4, 8, 20, 13),
    "Cs": ("m", 2, 4, 10, 20, 13),
    "C2h": ("2/m", 0, 4, 0, 20, 13),
    "D2": ("222", 0, 3, 3, 12, 9),
    "C2v": ("mm2", 1, 3, 5, 12, 9),
    "D2h": ("mmm", 0, 3, 0, 12, 9),
    "C4": ("4", 1, 2, 4, 10, 7),
    "S4": ("-4", 0, 2, 4, 10, 7),
    "C4h": ("4/m", 0, 2, 0, 10, 7),
    "D4": ("422", 0, 2, 1, 7, 6),
    "C4v": ("4mm", 1, 2, 3, 7, 6),
    "D2d": ("-42m", 0, 2, 2, 7, 6),
    "D4h": ("4/mmm", 0, 2, 0, 7, 6),
    "C3": ("3", 1, 2, 6, 12, 7),
    "S6": ("-3", 0, 2, 0, 12, 7),
    "D3": ("32", 0, 2, 2, 8, 6),
    "C3v": ("3m", 1, 2, 4, 8, 6),
    "D3d": ("-3m", 0, 2, 0, 8, 6),
    "C6": ("6", 1, 2, 4, 8, 5),
    "C3h": ("-6", 0, 2, 2, 8, 5),
    "C6h": ("6/m", 0, 2, 0, 8, 5),
    "D6": ("622", 0, 2, 1, 6, 5),
    "C6v": ("6mm", 1, 2, 3, 6, 5),
    "D3h": ("-6m2", 0, 2, 1, 6, 5),
    "D6h": ("6/mmm", 0, 2, 0, 6, 5),
    "T": ("23", 0, 1, 1, 4, 3),
    "Th": ("m-3", 0, 1, 0, 4, 3),
    "O": ("432", 0, 1, 0, 3, 3),
    "Td": ("-43m", 0, 1, 1, 3, 3),
    "Oh": ("m-3m", 0, 1, 0, 3, 3),
    "so3": ("∞∞", 0, 1, 0, 2, 2),
    "o3": ("∞∞m", 0, 1, 0, 2, 2),
}
PAGE = Path(__file__).parents[1] / "docs" / "crystals.md"


@functools.cache
def constants(group: str) -> list[int]:
    return [eb.solve(group, input=X, output=Y).rank for X, Y in PROPERTIES.values()]


@pytest.mark.parametrize("group", TEXTBOOK)
@pytest.mark.slow
def test_a_class_has_as_many_independent_constants_as_the_textbook_says(group):
    assert constants(group) == [*TEXTBOOK[group][1:]]


@pytest.mark.parametrize("group", [group for group in TEXTBOOK if group not in ("so3", "o3")])
def test_they_are_means_of_characters(group):
    """χ of sym(S, 2) is (χ(g)² + χ(g²)) / 2."""
    rho = by_hand.matrices(representation(find_group(group), eb.V, Workers(1)))
    vectors, squared, fourth = (
        np.trace(np.linalg.matrix_power(rho, k), axis1=1, axis2=2) for k in (1, 2, 4)
    )
    symmetric, of_squares = (vectors**2 + squared) / 2, (squared**2 + fourth) / 2
    characters = (
        vectors,
        symmetric,
        symmetric * vectors,
        symmetric**2,
        (symmetric**2 + of_squares) / 2,
    )
    assert [round(each.mean()) for each in characters] == [*TEXTBOOK[group][1:]]


@pytest.mark.parametrize("group", ["D3", "C3v", "T", "C6h"])
def test_the_constants_do_not_depend_on_how_the_axes_lie(group):
    turn = by_hand.random_orthogonal(3, seed=1)
    rho = by_hand.matrices(representation(find_group(group), eb.V, Workers(1)))
    turned = eb.matrix_group("turned", list(turn @ rho @ turn.T))
    for number, (X, Y) in enumerate(PROPERTIES.values(), start=1):
        assert eb.solve(turned, input=X, output=Y).rank == TEXTBOOK[group][number]


def test_the_elastic_constants_of_a_cube_are_c11_c12_and_c44():
    """As a 6×6 matrix on xx, xy, xz, yy, yz, zz: three values, and nothing else."""
    basis = eb.solve("Oh", input="sym(V, 2)", output="sym(V, 2)")
    c = np.tensordot([3.0, 5.0, 7.0], by_hand.dense(basis).T.reshape(3, 6, 6), axes=1)
    diagonal, shears = [0, 3, 5], [1, 2, 4]
    assert len({*np.round(c[diagonal, diagonal], 12)}) == 1
    assert len({*np.round(c[shears, shears], 12)}) == 1
    assert len({*np.round(c[np.ix_(diagonal, diagonal)][~np.eye(3, dtype=bool)], 12)}) == 1
    np.testing.assert_allclose(c[np.ix_(diagonal, shears)], 0, atol=1e-15)


def table() -> str:
    """The table of docs/crystals.md."""
    rows = [
        ["class", "symbol", *PROPERTIES],
        ["---", "---", *["---:"] * len(PROPERTIES)],
        *([f"`{group}`", TEXTBOOK[group][0], *map(str, constants(group))] for group in TEXTBOOK),
    ]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def test_the_page_shows_what_comes_out():
    assert table() in PAGE.read_text(encoding="utf-8")


def test_the_code_of_the_page_runs_and_says_what_comes_out():
    scope: dict = {}
    for code in PAGE.read_text(encoding="utf-8").split("```python\n")[1:]:
        lines = code.split("```")[0]
        exec(lines, scope)  # our own page
        for line in lines.splitlines():
            expression, comment, said = line.partition("  # ")
            assert not comment or str(eval(expression, scope)) == said
    c = scope["c"]
    assert c.shape == (6, 6, 21)
    np.testing.assert_array_equal(c, c.transpose(1, 0, 2))
    np.testing.assert_allclose(np.einsum("ijk,ijl", c, c), np.eye(21), atol=1e-15)


def test_the_elastic_tensors_as_6x6_matrices_are_kept_by_the_class():
    basis = eb.solve("C3v", output="sym(sym(V, 2), 2)")
    i, j = np.triu_indices(6)
    c = np.zeros((6, 6, basis.rank))
    c[i, j] = c[j, i] = basis.matrix.toarray() / np.where(i == j, 1, np.sqrt(2))[:, None]
    for d in by_hand.matrices(representation(find_group("C3v"), eb.V.sym(2), Workers(1))):
        np.testing.assert_allclose(np.einsum("ab,bck,dc->adk", d, c, d), c, atol=1e-14)
