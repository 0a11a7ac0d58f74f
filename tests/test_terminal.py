"""Pictures in the terminal: they fit, show every entry, and are plain where there is no colour."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from rich.console import Console

import by_hand
import equibasis as eb
from basis_files import BASES
from equibasis.show.terminal import print_basis, print_orbits


def console(width: int = 80, height: int = 24, colour: bool = False) -> Console:
    return Console(
        file=io.StringIO(),
        width=width,
        height=height,
        force_terminal=colour,
        color_system="truecolor" if colour else None,
        legacy_windows=False,
        _environ={},
    )


def said(terminal: Console) -> list[str]:
    return terminal.file.getvalue().splitlines()


def without_colours(line: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", line)


@pytest.mark.parametrize("name", BASES)
@pytest.mark.parametrize(("width", "colour"), [(20, True), (80, False), (200, True)])
def test_every_basis_can_be_shown_in_any_terminal(name, colour, width):
    basis = BASES[name]()
    terminal = console(width, colour=colour)
    print_basis(basis, console=terminal)
    lines = said(terminal)
    pictures = [line for line in lines if set(without_colours(line)) <= set("#+.-= ▀")]
    assert f"rank {basis.rank}" in without_colours(" ".join(lines))
    assert all(len(without_colours(line)) <= width for line in pictures)
    assert len(pictures) > (0 if basis.rank else -1)
    assert any("\x1b[" in line for line in lines) == colour


def test_invariants_are_shown_pixel_by_pixel():
    terminal = console()
    print_basis(eb.solve("c4", output="3x3"), console=terminal)
    assert said(terminal) == [
        "c4: invariants of 3x3, rank 3: basis vectors 1 to 3",
        "1      2      3",
        "# . #  . # .  . . .",
        ". . .  # . #  . # .",
        "# . #  . # .  . . .",
        "",
        "#  +  .  -  =   large, small, zero, small and negative, large and negative",
    ]


def test_signs_are_shown():
    terminal = console()
    print_basis(eb.solve("d1", output="2x2:pseudoscalar"), console=terminal)
    assert {"#", "="} <= set("".join(said(terminal)[1:-1]))


def test_orbits_are_shown_as_letters():
    terminal = console()
    print_orbits(eb.solve("c4", output="4x4"), console=terminal)
    assert said(terminal)[1:] == ["abca", "cddb", "bddc", "acba", "one letter: one weight"]


def test_where_there_is_no_orbit_there_is_a_dot():
    terminal = console()
    print_orbits(eb.solve("d4", input="3x3:pseudoscalar", output="3x3"), console=terminal)
    labels, _ = eb.solve("d4", input="3x3:pseudoscalar", output="3x3").columns
    *letters, legend = said(terminal)[1:]
    assert "".join(letters).count(".") == np.count_nonzero(labels < 0)
    assert legend == "one letter: one weight, or its negative; a dot: zero"


def colours(line: str) -> list[tuple[str, str]]:
    """Of each half block, what its upper and its lower half are coloured."""
    found = []
    pattern = r"\x1b\[38;2;([0-9;]+?)(?:;48;2;([0-9;]+))?m(▀+)\x1b\[0m"
    for upper, lower, blocks in re.findall(pattern, line):
        found += [(upper, lower)] * len(blocks)
    return found


def test_a_half_block_is_two_pixels():
    terminal = console(colour=True)
    print_orbits(eb.solve("c4", output="4x4"), console=terminal)
    rows = [colours(line) for line in said(terminal)[1:-1]]
    pixels = np.array([list(side) for row in rows for side in zip(*row, strict=True)])
    scale = len(pixels) // 4
    pixels = pixels[::scale, ::scale]
    letters = np.array([list(line) for line in ("abca", "cddb", "bddc", "acba")])
    assert pixels.shape == (4, 4)
    for letter in "abcd":
        assert len(set(pixels[letters == letter])) == 1
    assert len(set(pixels.ravel())) == 4


def test_as_many_vectors_are_shown_as_there_is_room_for_or_as_are_asked_for():
    basis = by_hand.solved("c4", input="6x6", output="6x6")
    small, large = console(100, 24, colour=True), console(100, 100, colour=True)
    print_basis(basis, console=small)
    print_basis(basis, console=large)
    assert len(said(small)) <= 24 < len(said(large)) <= 100
    asked = console(100, 24, colour=True)
    print_basis(basis, 7, console=asked)
    assert "basis vectors 1 to 7" in without_colours(said(asked)[0])
    *_, legend, rest = map(without_colours, said(asked))
    assert legend == "red: positive entries; blue: negative ones; grey: zero"
    assert rest == "7 of 324 vectors: --count N shows more, --out FILE.png draws them"


def test_a_picture_that_leaves_entries_out_says_so():
    terminal = console(20)
    print_orbits(by_hand.solved("c4", input="6x6", output="6x6"), console=terminal)
    *_, legend, rest = said(terminal)
    assert legend == "one letter: one weight; after Z comes a again"
    assert rest == "not every entry is shown: --out FILE.png draws more"


def test_a_line_of_numbers_is_drawn_as_one():
    mirror = np.array([[0.0, -1.0], [-1.0, 0.0]])  # it keeps (1, -1)
    basis = eb.solve(eb.matrix_group("mirror", [mirror]), output="V")
    terminal = console()
    print_basis(basis, console=terminal)
    assert said(terminal)[2] == "# ="


def test_a_name_that_looks_like_markup_is_shown_as_it_is():
    basis = eb.solve(eb.Group("[red]x[/]", ("one",), lambda x, g: x), output="2x2")
    terminal = console()
    print_basis(basis, console=terminal)
    print_orbits(basis, console=terminal)
    assert said(terminal)[0].startswith("[red]x[/]: invariants of 2x2")
