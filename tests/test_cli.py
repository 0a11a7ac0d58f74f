"""The command: what it prints, its exit status, and one line for each thing that can go wrong."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import h5py
import numpy as np
import pytest
import yaml

import by_hand
import equibasis as eb
from basis_files import BASES, edit, rehash
from equibasis import console, solvers
from equibasis.cli import bases, commands
from equibasis.solvers.tables import MatrixTable, OrbitTable, Table

PIPELINE = Path(eb.__file__).parents[1]

GROUPS = """
import numpy
import equibasis

def shift(array, steps):
    return numpy.roll(array, steps)

def turn(vector, sixths):
    angle = sixths * numpy.pi / 3
    cos, sin = numpy.cos(angle), numpy.sin(angle)
    return numpy.array([[cos, -sin], [sin, cos]]) @ vector

def reverse_late(array, element):
    if element == "flip" and array.flat[2] == 1.0:
        raise ValueError("cannot flip\\nthis one")
    return array

cyclic = equibasis.Group("cyclic", tuple(range(5)), shift)
lacking = equibasis.Group("lacking", (0, 1, 3), shift)
hexagon = equibasis.Group("hexagon", tuple(range(6)), turn)
failing = equibasis.Group("failing", ("one", "flip"), reverse_late)
number = 7
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch, write_module) -> Path:
    """The folder that commands are run in, with a module of groups in it."""
    write_module("mine", GROUPS)
    write_module("broken", "1 / 0\n")
    write_module("leaving", "import sys\nsys.exit(0)\n")
    write_module("interrupted", "raise KeyboardInterrupt\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files_of_results(folder: Path) -> set[str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.name for path in files if path.suffix not in (".py", ".pyc")}


def with_tables(basis: eb.Basis, change: Callable[[Table], Table]) -> eb.Basis:
    """Something that can be saved, its hash and all, but is wrong."""
    tables = tuple(tuple(map(change, row)) for row in basis.tables)
    return dataclasses.replace(basis, tables=tables)


@pytest.fixture
def right_file() -> str:
    eb.save_basis(by_hand.solved("d4", input="3x3", output="3x3"), "right.h5")
    return "right.h5"


@pytest.fixture
def wrong_file() -> str:
    """A file that is whole, but pairs of points are in one another's orbits."""

    def exchanged(table: Table) -> Table:
        assert isinstance(table, OrbitTable)
        return dataclasses.replace(table, labels=table.labels[[0, 1, 3, 2][: len(table.labels)]])

    basis = by_hand.solved("d4", input="3x3", output="3x3")
    eb.save_basis(with_tables(basis, exchanged), "wrong.h5")
    return "wrong.h5"


# --- solve --------------------------------------------------------------------------------------


def test_solve_writes_equivariant_maps(command):
    solved = command("solve", "out.h5", "--group", "c4", "--input", "6x6", "--output", "3x3")
    assert (solved.status, solved.err) == (0, "")
    assert solved.out.startswith("out.h5: c4: 6x6 -> 3x3, rank 81 (solver orbits")
    assert eb.load_basis("out.h5").rank == 81


def test_solve_writes_invariant_vectors(command):
    solved = command("solve", "out.h5", "--group", "d4", "--output", "6x6")
    assert (solved.status, solved.err) == (0, "")
    assert "d4: invariants of 6x6, rank 6" in solved.out
    assert eb.load_basis("out.h5").kind == "invariant"


@pytest.mark.parametrize("solver", ["auto", "svd", "dense", "orbits", "projector"])
def test_solve_asks_the_solver_it_is_told(command, solver):
    command("solve", "out.h5", "--group", "c4", "--output", "3x3", "--solver", solver)
    assert eb.load_basis("out.h5").solver == ("orbits" if solver == "auto" else solver)


@pytest.mark.parametrize(("group", "size", "rank"), [("cyclic", 5, 5), ("hexagon", 2, 2)])
@pytest.mark.parametrize("workers", [1, 2])
def test_solve_takes_the_user_s_own_group(command, group, size, rank, workers):
    shapes = ["--input", size, "--output", size]
    solved = command("solve", "out.h5", "--group", f"mine:{group}", *shapes, "--workers", workers)
    assert (solved.status, solved.err) == (0, "")
    assert eb.load_basis("out.h5").rank == rank


def test_solve_may_find_that_there_is_nothing(command):
    solved = command("solve", "out.h5", "--group", "mine:hexagon", "--output", "2")
    assert solved.status == 0
    assert "rank 0" in solved.out
    assert command("verify", "out.h5").status == 0
    assert command("inspect", "out.h5").status == 0


def test_solve_replaces_a_file(command, c4_file):
    assert command("solve", c4_file, "--group", "c2", "--output", "3x3").status == 0
    assert eb.load_basis(c4_file).group == "c2"


# --- wrong usage: one line, status 2, nothing left behind ---------------------------------------

SOLVE = ["solve", "out.h5"]
C4 = ["--group", "c4"]
SMALL = ["--output", "3x3"]

WRONG = {
    "no square": ([*SOLVE, *C4, "--output", "3x4"], "r90 turns it into 4x3"),
    "input no square": ([*SOLVE, *C4, *SMALL, "--input", "3x4"], "r90 turns it into 4x3"),
    "not two axes": ([*SOLVE, *C4, "--output", "9"], "acts on arrays of 2 axes"),
    "unknown group": ([*SOLVE, "--group", "so", *SMALL], "unknown group 'so'"),
    "empty axis": ([*SOLVE, *C4, "--output", "0x3"], "0x3 has an empty axis"),
    "no shape": ([*SOLVE, *C4, "--output", "abc"], "arrays are written as in 14x14"),
    "empty shape": ([*SOLVE, *C4, "--output", ""], "'': expected a shape such as 14x14"),
    "negative shape": ([*SOLVE, *C4, "--output=-3x3"], "at character 1: »-3x3"),
    "too large": ([*SOLVE, *C4, "--output", "99999999x99999999"], "2,147,483,648 points"),
    "too many copies": (
        [*SOLVE, *C4, "--output", f"{10**8}*3x3"],
        "copies is 1 to 10,000 here, at character 1",
    ),
    "too large a power": ([*SOLVE, *C4, "--output", f"3x3**{10**8}"], "power is 0 to 64 here"),
    "too many digits": ([*SOLVE, *C4, "--output", "9" * 5000], "more than 9 digits"),
    "too many brackets": ([*SOLVE, *C4, "--output", "(" * 5000], "bracket"),
    "no field": (
        [*SOLVE, *C4, "--output", "3x3:spin"],
        "this group has scalar, pseudoscalar, vector, pseudovector, regular, V, at character 5",
    ),
    "field of one point": (
        [*SOLVE, "--group", "trivial", "--output", "1:vector"],
        "give the point its axes, as in 1x1:vector",
    ),
    "bracket not closed": ([*SOLVE, *C4, "--output", "2*(3x3 + 1"], "expected ), at character 11"),
    "input with a slip": ([*SOLVE, *C4, *SMALL, "--input", "3x3 + 3y3"], "3x3 + 3»y3"),
    "no matrices": ([*SOLVE, "--group", "p4", "--output", "V"], "this group has regular"),
    "no matrices for the input": (
        [*SOLVE, "--group", "p4", "--output", "3x3", "--input", "V"],
        "this group has regular",
    ),
    "not so long": ([*SOLVE, "--group", "z6", "--output", "4"], "6 shifts by one do not bring"),
    "not the degree": ([*SOLVE, "--group", "s5", "--output", "4"], "must have length 5, not 4"),
    "product of too few axes": (
        [*SOLVE, "--group", "z3*z3", "--output", "3"],
        "group 'z3*z3' acts on arrays of 2 axes, not on 3",
    ),
    "product with a stranger": ([*SOLVE, "--group", "z3*qq", "--output", "3x3"], "group 'qq'"),
    "product read in two ways": (
        [*SOLVE, "--group", "s3*s3", "--output", "3x3x3"],
        "can be shared out in two ways, s3 on 3 and s3 on 3x3 or s3 on 3x3 and s3 on 3",
    ),
    "group file missing": ([*SOLVE, "--group", "none.yaml", *SMALL], "No such file"),
    "group file in a folder's place": ([*SOLVE, "--group", ".yaml", *SMALL], ".yaml"),
    "fields of one's own group": (
        [*SOLVE, "--group", "mine:cyclic", "--output", "5:vector"],
        "does not say how vectors turn",
    ),
    "beyond addresses": (
        [*SOLVE, "--group", "mine:cyclic", "--output", "x".join(["999999999"] * 3)],
        "999999999x999999999x999999999",
    ),
    "no folder": (["solve", "none/out.h5", *C4, *SMALL], "cannot write none/out.h5: No such file"),
    "no folder, before any work": (
        ["solve", "none/out.h5", "--group", "broken:g", *SMALL],
        "cannot write none/out.h5",
    ),
    "file for a folder": (["solve", "mine.py/out.h5", *C4, *SMALL], "cannot write mine.py/out.h5"),
    "folder for a file": (["solve", ".", *C4, *SMALL], "cannot write ."),
    "module missing": ([*SOLVE, "--group", "none:g", *SMALL], "module 'none' does not import"),
    "module broken": ([*SOLVE, "--group", "broken:g", *SMALL], "ZeroDivisionError"),
    "module that leaves": ([*SOLVE, "--group", "leaving:g", *SMALL], "'leaving' does not import"),
    "object missing": ([*SOLVE, "--group", "mine:none", *SMALL], "module 'mine' has no 'none'"),
    "object no group": ([*SOLVE, "--group", "mine:number", *SMALL], "needs a transform"),
    "group not closed": ([*SOLVE, "--group", "mine:lacking", "--output", "5"], "is not closed"),
    "transform fails": (
        [*SOLVE, "--group", "mine:failing", "--output", "4"],
        "failed at element flip, column 2 of 4: ValueError: cannot flip this one",
    ),
    "transform fails in a worker": (
        [*SOLVE, "--group", "mine:failing", "--output", "4", "--workers", "2"],
        "failed at element flip, column 2 of 4: ValueError: cannot flip this one",
    ),
    "unknown solver": ([*SOLVE, *C4, *SMALL, "--solver", "qr"], "unknown solver 'qr'"),
    "orbits of matrices": (
        [*SOLVE, "--group", "mine:hexagon", "--output", "2", "--solver", "orbits"],
        "'orbits' does not apply: the output representation",
    ),
    "no workers": ([*SOLVE, *C4, *SMALL, "--workers", "0"], "--workers"),
    "workers no number": ([*SOLVE, *C4, *SMALL, "--workers", "two"], "--workers"),
    "no output": ([*SOLVE, *C4], "Missing option '--output'"),
    "no group": ([*SOLVE, *SMALL], "Missing option '--group'"),
    "no file": (["solve", *C4, *SMALL], "Missing argument 'OUT'"),
    "unknown option": ([*SOLVE, *C4, *SMALL, "--fast"], "--fast"),
    "unknown command": (["slove"], "slove"),
    "inspect nothing": (["inspect"], "Missing argument"),
    "inspect a missing file": (["inspect", "none.h5"], "none.h5: it does not exist"),
    "inspect no HDF5": (["inspect", "mine.py"], "mine.py: not an HDF5 file"),
    "inspect a folder": (["inspect", "."], "is not a regular file"),
    "verify a missing file": (["verify", "none.h5"], "'none.h5' does not exist"),
    "diff a missing file": (["diff", "none.h5", "none.h5"], "none.h5: it does not exist"),
    "diff one file": (["diff", "mine.py"], "Missing argument 'B'"),
}


@pytest.mark.parametrize(("arguments", "said"), WRONG.values(), ids=WRONG)
def test_wrong_usage_is_told_in_one_line_and_leaves_nothing_behind(
    command, folder, arguments, said
):
    outcome = command(*arguments)
    assert said in outcome.err
    assert outcome.err.startswith("equibasis: ")
    assert len(outcome.err.splitlines()) == 1
    assert (outcome.status, outcome.out) == (2, "")
    assert files_of_results(folder) == set()


GROUP_FILES = {
    "not YAML": ("degree: [", "cannot read the group"),
    "tabs": ("degree:\t4\n\tgenerators: 3", "cannot read the group"),
    "not text": (b"\xff\xfe\x00degree", "cannot read the group"),
    "a NUL": (b"degree: 4\0", "cannot read the group"),
    "a date cut short": ("degree: 2020-13-45\ngenerators: []", ""),
    "empty": ("", "needs the keys 'degree' and 'generators'"),
    "a list": ("[1, 2]", "needs the keys 'degree' and 'generators'"),
    "no degree": ("generators: [[1, 0]]", "needs the keys 'degree' and 'generators'"),
    "no generators": ("degree: 2", "needs the keys 'degree' and 'generators'"),
    "generators none": ("degree: 2\ngenerators: []", "has no generators"),
    "generators null": ("degree: 2\ngenerators: null", "'generators' a list of lists"),
    "generators text": ("degree: 2\ngenerators: swap", "'generators' a list of lists"),
    "degree text": ("degree: two\ngenerators: [[1, 0]]", "'degree' is a number of points"),
    "degree a half": ("degree: 2.5\ngenerators: [[1, 0]]", "'degree' is a number of points"),
    "degree zero": ("degree: 0\ngenerators: [[]]", "'degree' is a number of points"),
    "degree negative": ("degree: -2\ngenerators: [[1, 0]]", "'degree' is a number of points"),
    "a generator that is none": ("degree: 2\ngenerators: [3]", "g0 is not a list of whole"),
    "a generator of words": ("degree: 2\ngenerators: [[a, b]]", "g0 is not a list of whole"),
    "a generator of halves": ("degree: 2\ngenerators: [[1.0, 0]]", "g0 is not a list of whole"),
    "a generator of truths": ("degree: 2\ngenerators: [[true, 0]]", "g0 is not a list of whole"),
    "another degree": (
        "degree: 4\ngenerators: [[1, 0, 2]]",
        "g0 has 3 images, but the degree is 4",
    ),
    "unequal lengths": (
        "degree: 3\ngenerators: {turn: [1, 2, 0], swap: [1, 0]}",
        "swap has 2 images, but the degree is 3",
    ),
    "twice": ("degree: 3\ngenerators: [[1, 2, 0], [0, 0, 1]]", "g1 is not a permutation of 0 to 2"),
    "counted from one": ("degree: 3\ngenerators: [[2, 3, 1]]", "3 is out of range"),
    "negative": ("degree: 3\ngenerators: [[0, -1, 1]]", "-1 is out of range"),
    "huge": (f"degree: 2\ngenerators: [[0, {10**30}]]", "is out of range"),
    "an empty name": ("degree: 2\ngenerators: {'': [1, 0]}", "name is empty"),
    "does not fit": ("degree: 4\ngenerators: [[1, 2, 3, 0]]", "must have length 4, not 3"),
}


def in_json(content: str | bytes) -> str | bytes:
    """The same in JSON; what is not even YAML stays what it is."""
    try:
        return json.dumps(yaml.safe_load(content))
    except (yaml.YAMLError, ValueError):
        return content


@pytest.mark.parametrize(("content", "said"), GROUP_FILES.values(), ids=GROUP_FILES)
@pytest.mark.parametrize("ending", ["yaml", "json"])
def test_a_wrong_group_file_is_told_in_one_line(command, folder, content, said, ending):
    file = folder / f"mine.{ending}"
    if ending == "json":
        content = in_json(content)
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    outcome = command("solve", "out.h5", "--group", file.name, "--output", "3")
    assert said in outcome.err
    assert "mine" in outcome.err
    assert outcome.err.startswith("equibasis: ")
    assert len(outcome.err.splitlines()) == 1
    assert (outcome.status, outcome.out) == (2, "")
    assert files_of_results(folder) == {file.name}


SQUARE = "degree: 4\ngenerators: {turn: [1, 2, 3, 0], flip: [0, 3, 2, 1]}"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("square.yaml", SQUARE),
        ("square.yml", SQUARE),
        ("square.json", '{"degree": 4, "generators": [[1, 2, 3, 0], [0, 3, 2, 1]]}'),
    ],
)
def test_solve_reads_a_group_file(command, folder, name, content):
    (folder / name).write_text(content)
    solved = command("solve", "out.h5", "--group", name, "--input", "4", "--output", "4")
    assert (solved.status, solved.err) == (0, "")
    assert "square: 4 -> 4, rank 3" in solved.out  # as is, next, opposite
    assert command("verify", "out.h5").status == 0
    told = command("inspect", "out.h5").out
    assert "2 generators" in told


def test_where_a_space_has_a_slip_is_pointed_at(command):
    outcome = command("solve", "out.h5", *C4, *SMALL, "--input", "2*(3x3 + 1) @ 4")
    assert outcome.err == (
        "equibasis: space '2*(3x3 + 1) @ 4': this character has no meaning here, "
        "at character 13: 2*(3x3 + 1) »@ 4\n"
    )


@pytest.mark.parametrize(
    ("problem", "rank"),
    [
        (["--group", "c4", "--input", "2*6x6 + 1", "--output", "3x3"], 165),
        (["--group", "d4", "--input", "5x5:pseudoscalar", "--output", "5x5"], 66),
        (["--group", "s5", "--input", "5x5", "--output", "5x5"], 15),
        (["--group", "z14*z14", "--input", "14x14", "--output", "14x14"], 196),
        (["--group", "p4", "--output", "4x4:regular"], 1),
        (["--group", "oh", "--input", "3x3x3", "--output", "3x3x3:vector"], None),
    ],
)
def test_solve_knows_sums_fields_products_and_generators(command, problem, rank):
    solved = command("solve", "out.h5", *problem)
    assert (solved.status, solved.err) == (0, "")
    assert rank is None or f"rank {rank} " in solved.out
    assert command("verify", "out.h5").status == 0
    assert command("inspect", "out.h5").status == 0
    assert command("diff", "out.h5", "out.h5").status == 0
    assert eb.load_basis("out.h5").rank == rank or rank is None


# --- explain ------------------------------------------------------------------------------------


def test_explain_says_what_is_known_and_why_this_solver(command):
    outcome = command("solve", "out.h5", *C4, "--input", "6x6", "--output", "3x3", "--explain")
    assert (outcome.status, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert lines[0] == "c4: 6x6 -> 3x3"
    assert "4 elements, all listed" in outcome.out
    assert "dimension 36, permutations" in outcome.out
    assert "dimension 9, permutations" in outcome.out
    assert "dimension 324" in outcome.out
    assert "81, from characters" in outcome.out
    (chosen,) = [line for line in lines if line.startswith("->")]
    assert chosen.split()[1] == "orbits"
    assert {line.split()[0] for line in lines[7:-1]} == {"projector", "svd", "kernel", "dense"}
    assert lines[-1].startswith("out.h5: c4: 6x6 -> 3x3, rank 81 (solver orbits")


@pytest.mark.parametrize("solver", ["projector", "svd", "dense"])
def test_explain_points_at_the_solver_that_was_asked_for(command, solver):
    outcome = command("solve", "out.h5", *C4, *SMALL, "--solver", solver, "--explain")
    assert [line.split()[1] for line in outcome.out.splitlines() if line.startswith("->")] == [
        solver
    ]


def test_explain_says_what_stands_in_a_solver_s_way(command):
    outcome = command("solve", "out.h5", "--group", "mine:hexagon", "--output", "2", "--explain")
    (orbits,) = [line for line in outcome.out.splitlines() if line.split()[0] == "orbits"]
    assert "is not made of (signed) permutations" in orbits
    assert "orthogonal matrices" in outcome.out
    assert "rank       0, from characters" in outcome.out


def test_explain_says_that_generators_are_listed(command):
    outcome = command("solve", "out.h5", "--group", "s5", "--output", "5x5", "--explain")
    assert "2 generators" in outcome.out
    assert "only generators are listed" in outcome.out


def test_explain_comes_before_a_refusal(command, folder):
    asked = ["--input", "600", "--output", "600", "--solver", "dense"]
    outcome = command("solve", "out.h5", "--group", "z600", *asked, "--explain")
    assert outcome.status == 2
    assert "GiB" in outcome.err
    assert len(outcome.err.splitlines()) == 1
    assert "dimension 360,000" in outcome.out
    assert files_of_results(folder) == set()


def test_wrong_usage_keeps_the_old_file(command, c4_file):
    before = c4_file.read_bytes()
    assert command("solve", c4_file, "--group", "mine:lacking", "--output", "5").status == 2
    assert c4_file.read_bytes() == before


def test_no_command_is_answered_with_the_help(command):
    outcome = command()
    assert (outcome.status, outcome.out) == (2, "")
    assert all(each in outcome.err for each in ("solve", "inspect", "verify", "diff"))


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["solve", "--help"], ["--version"]])
def test_help_is_no_error(command, arguments):
    outcome = command(*arguments)
    assert (outcome.status, outcome.err) == (0, "")
    assert "equibasis" in outcome.out


@pytest.mark.parametrize("start", [["-m", "equibasis"], [PIPELINE]], ids=["equibasis", "pipeline"])
@pytest.mark.parametrize("group", [[], ["cache"]], ids=["", "cache"])
def test_no_line_of_help_on_a_command_is_cut_short(python, start, group):
    shown = python(*start, *group, "-h").out
    listed = re.split(r"^(?:Bases|Commands|Stages):\n", shown, maxsplit=1, flags=re.M)[
        1
    ].splitlines()
    assert len(listed) >= 2
    assert not [line for line in listed if line.endswith("...")]


def test_commands_are_listed_by_what_they_are_for(command):
    shown = command("-h").out
    titles = re.findall(r"^(\w+):$", shown, re.M)
    assert titles == ["Options", *commands.sections] == ["Options", "Bases", "Cache", "Pipelines"]
    named = [name for names in commands.sections.values() for name in names]
    assert named == [*commands.commands]
    for name in named:
        assert re.search(rf"^  {name} +\S", shown, re.M), name


def test_the_examples_in_the_help_of_commands_on_bases_run(command):
    command("solve", "other.h5", "--group", "d4", "--input", "14x14", "--output", "6x6")
    Path("crystals.yaml").write_text("{groups: [Td, Oh], problems: [V*V -> V]}")
    for name, each in commands.commands.items():
        examples = (each.epilog or "").splitlines()[2:]
        on_bases = name in commands.sections["Bases"]
        assert bool(examples) == (name != "cache"), name
        for program, *arguments in map(shlex.split, examples):
            if on_bases and name != "import":  # which needs a file of others
                outcome = command(*arguments)
                assert program == "equibasis"
                assert (outcome.status, outcome.err) == (int(name == "diff"), ""), arguments


def test_the_help_of_solve_names_the_solvers_and_the_page_on_spaces(command):
    assert ("auto", *solvers.SOLVERS) == bases.SOLVERS
    shown = " ".join(command("solve", "-h").out.split())
    assert "auto, orbits, projector, svd, kernel or dense" in shown
    assert "docs/spaces.md" in shown


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("equibasis ver", "plain,verify"),
        ("equibasis solve --solver k", "plain,kernel"),
        ("equibasis verify c4", "file,c4"),
    ],
)
def test_the_shell_completes_commands_solvers_and_files_without_numpy(
    python, monkeypatch, typed, offered
):
    monkeypatch.setenv("_EQUIBASIS_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(typed.count(" ")))
    outcome = python("-X", "importtime", "-m", "equibasis")
    assert outcome.out.splitlines() == [offered]
    assert not re.search(r"\| +(numpy|rich|equibasis\.solvers)", outcome.err)


def test_an_interruption_has_the_status_of_one(command, folder):
    outcome = command("solve", "out.h5", "--group", "interrupted:g", "--output", "3x3")
    assert (outcome.status, outcome.err.strip()) == (130, "equibasis: interrupted")
    assert files_of_results(folder) == set()


# --- inspect ------------------------------------------------------------------------------------


def test_inspect_tells_what_is_in_a_file(command, c4_file):
    table = command("inspect", c4_file).out
    for told in (
        "equivariant maps",
        "81 of 324 dense parameters, 4 times fewer",
        "c4, 4 elements",
        "6x6, 36 numbers",
        "3x3, 9 numbers",
        "orbits",
        "9 of 4",
        "1 of 1",
        "324 non-zeros, in the file too",
        "kB",
    ):
        assert told in table
    assert "besides" not in table
    assert eb.content_sha256(eb.load_basis(c4_file))[:16] in table


def test_inspect_tells_of_several_files_side_by_side(command, c4_file):
    command("solve", "other.h5", "--group", "d4", "--output", "5x5")
    ranks = next(
        line
        for line in command("inspect", c4_file.name, "other.h5").out.splitlines()
        if "rank" in line
    )
    assert "81 of 324" in ranks
    assert "6 of 25" in ranks


def test_inspect_as_json_is_an_object_or_a_list_of_them(command, c4_file):
    one = json.loads(command("inspect", c4_file, "--json").out)
    assert (one["rank"], one["input_shape"], one["matrix"]) == (81, [6, 6], True)
    assert one["types"] == {"input": [[4, 9]], "output": [[4, 2], [1, 1]]}
    assert (one["input_space"], one["output_space"], one["group_order"]) == ("6x6", "3x3", 4)
    assert json.loads(command("inspect", c4_file, c4_file, "--json").out) == [one, one]


# --- verify -------------------------------------------------------------------------------------


def test_verify_passes_what_solve_wrote(command, c4_file):
    verified = command("verify", c4_file)
    assert (verified.status, verified.err) == (0, "")
    assert f"{c4_file}: ok: c4: 6x6 -> 3x3, rank 81" in verified.out


def test_verify_says_what_is_proved_in_whole_numbers(command):
    command("solve", "so3.h5", "--group", "so3", "--input", "V", "--output", "V")
    assert command("verify", "so3.h5").out.endswith(", proved in whole numbers\n")


def test_verify_fails_a_basis_that_is_not_equivariant_however_well_hashed(command, wrong_file):
    assert command("inspect", wrong_file).status == 0
    verified = command("verify", wrong_file)
    assert (verified.status, verified.out) == (1, "")
    assert verified.err.startswith("wrong.h5: FAILED: the columns are not equivariant: off by ")
    assert len(verified.err.splitlines()) == 1


def test_verify_fails_a_basis_that_is_not_canonical(command):
    turned = by_hand.random_orthogonal(3, 0)
    mixed = with_tables(BASES["slanted"](), lambda table: MatrixTable(table.values @ turned))
    eb.save_basis(mixed, "mixed.h5")
    verified = command("verify", "mixed.h5")
    assert verified.status == 1
    assert "not the canonical one" in verified.err


def test_verify_fails_a_file_that_was_damaged(command, c4_file):
    with h5py.File(c4_file, "r+") as opened:
        opened["tables/labels"][3] = 2
    verified = command("verify", c4_file)
    assert verified.status == 1
    assert f"{c4_file}: FAILED: content_sha256 does not match" in verified.err


def test_verify_fails_a_matrix_that_is_not_that_of_the_tables(command, c4_file):
    with h5py.File(c4_file, "r+") as opened:
        opened["basis/data"][7] = 0.25
    verified = command("verify", c4_file)
    assert (verified.status, verified.out) == (1, "")
    assert verified.err == f"{c4_file}: FAILED: /basis/data is not that of the tables\n"


def test_verify_fails_generators_that_are_not_those_of_the_basis(command):
    eb.save_basis(eb.solve("s5", input="5", output="5"), "subgroup.h5")

    def without_the_swap(opened: h5py.File) -> None:
        opened["types/index"][0] = np.arange(5)

    edit(edit(Path("subgroup.h5"), without_the_swap), rehash)
    verified = command("verify", "subgroup.h5")
    assert verified.status == 1
    assert "FAILED: the basis is not the canonical one: its columns are not orbits" in verified.err


def test_verify_tells_of_every_file(command, c4_file, wrong_file):
    verified = command("verify", wrong_file, c4_file)
    assert verified.status == 1
    assert "wrong.h5: FAILED" in verified.err
    assert f"{c4_file}: ok" in verified.out


def test_inspect_names_what_decides_nothing_and_verify_holds(command, c4_file):
    with h5py.File(c4_file, "r+") as opened:
        opened["group"].attrs["solver"] = "by hand"
        opened["checks"].attrs["solver"] = 7
    told = json.loads(command("inspect", c4_file, "--json").out)
    assert told["solver"] == "unknown"
    assert told["besides"] == [
        "/group@solver",
        "/checks@solver (left out: attribute 'solver' of /checks has type <i8, expected utf-8)",
    ]
    assert "/group@solver, /checks@solver (left out" in command("inspect", c4_file).out
    assert command("verify", c4_file).status == 0


def test_verify_asks_for_all_files_before_it_verifies_any(command, c4_file):
    verified = command("verify", c4_file, "none.h5")
    assert (verified.status, verified.out) == (2, "")
    assert (
        verified.err == "equibasis: Invalid value for 'FILES...': Path 'none.h5' does not exist.\n"
    )


def test_verify_fails_what_is_no_file(command, folder, c4_file):
    verified = command("verify", folder, c4_file)
    assert verified.status == 1
    assert verified.err == f"{folder}: FAILED: it cannot be read: it is not a regular file\n"
    assert f"{c4_file}: ok" in verified.out


def in_a_terminal(*arguments: object) -> tuple[int, str]:
    """A command's status and what it shows, in a terminal of 100 columns and 40 lines."""
    import fcntl
    import pty
    import struct
    import termios

    terminal, its_end = pty.openpty()
    fcntl.ioctl(its_end, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    colourful = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    child = subprocess.Popen(
        [sys.executable, "-m", "equibasis", *map(str, arguments)],
        stdin=its_end,
        stdout=its_end,
        stderr=its_end,
        env=colourful | {"TERM": "xterm-256color", "COLORTERM": "truecolor"},
    )
    os.close(its_end)
    shown = b""
    with contextlib.suppress(OSError):  # the end of a terminal is an error
        while part := os.read(terminal, 65536):
            shown += part
    os.close(terminal)
    return child.wait(), re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode())


has_terminals = pytest.mark.skipif(os.name != "posix", reason="opens a terminal as POSIX does")


# --- show ---------------------------------------------------------------------------------------


def test_show_shows_the_orbits_of_maps_and_writes_nothing(command, folder, c4_file):
    shown = command("show", c4_file)
    assert (shown.status, shown.err) == (0, "")
    first, *rows, legend = shown.out.splitlines()
    assert first == "c4: 6x6 -> 3x3, rank 81: a letter for each orbit"
    assert legend == "one letter: one weight; after Z comes a again"
    assert [len(row) for row in rows] == [18] * 18
    assert files_of_results(folder) == {c4_file.name}


def test_show_shows_the_vectors_of_invariants(command):
    command("solve", "d4.h5", "--group", "d4", "--output", "3x3")
    shown = command("show", "d4.h5").out.splitlines()
    assert shown[0] == "d4: invariants of 3x3, rank 3: basis vectors 1 to 3"
    assert shown[2] == "# . #  . # .  . . ."


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--view", "vectors"], "basis vectors 1 to 16"),
        (["--count", "3"], "basis vectors 1 to 3"),
        (["--count", "1"], "basis vector 1"),
        (["--view", "orbits"], "a letter for each orbit"),
    ],
)
def test_show_shows_what_is_asked_for(command, c4_file, arguments, said):
    assert said in command("show", c4_file, *arguments).out


@pytest.mark.parametrize("name", ["picture.png", "picture.svg", "PICTURE.PNG"])
@pytest.mark.parametrize("view", [[], ["--view", "orbits"], ["--count", "2"]])
def test_show_writes_a_picture_where_one_is_asked_for(command, folder, c4_file, name, view):
    shown = command("show", c4_file, "--out", name, *view)
    assert (shown.status, shown.out) == (0, f"{name}\n")
    start = b"<?xml" if name.endswith("svg") else b"\x89PNG"
    assert (folder / name).read_bytes().startswith(start)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--out", "picture.jpg"], "ends in .png or .svg"),
        (["--out", "none/picture.png"], "cannot write none/picture.png"),
        (["--view", "spectrum"], "'spectrum' is not one of 'orbits', 'vectors'"),
        (["--view", "orbits", "--count", "3"], "--count is for --view vectors"),
        (["--count", "0"], "--count"),
    ],
)
def test_show_refuses_what_it_cannot_draw(command, folder, c4_file, arguments, said):
    shown = command("show", c4_file, *arguments)
    assert (shown.status, shown.out) == (2, "")
    assert said in shown.err
    assert len(shown.err.splitlines()) == 1
    assert files_of_results(folder) == {c4_file.name}


def test_show_says_where_there_are_no_orbits(command):
    command("solve", "out.h5", "--group", "mine:hexagon", "--input", "2", "--output", "2")
    eb.save_basis(BASES["slanted"](), "dense.h5")
    shown = command("show", "dense.h5", "--view", "orbits")
    assert shown.status == 2
    assert "no orbits to show" in shown.err
    assert "basis vectors 1 to 3" in command("show", "dense.h5").out


@has_terminals
def test_show_draws_in_a_terminal(c4_file):
    status, shown = in_a_terminal("show", c4_file.name)
    assert status == 0
    assert shown.splitlines()[0] == "c4: 6x6 -> 3x3, rank 81: a colour for each orbit"
    assert shown.count("▀") == 72 * 36


# --- diff ---------------------------------------------------------------------------------------


def test_two_solvers_span_the_same_subspace(command, c4_file):
    command("solve", "b.h5", *C4, "--input", "6x6", "--output", "3x3", "--solver", "svd")
    compared = command("diff", c4_file, "b.h5")
    assert compared.status == 0
    assert compared.out == "same subspace: largest principal angle 0 rad; identical content\n"


def test_two_bases_of_one_subspace_differ_in_content_alone(command):
    basis = BASES["slanted"]()
    eb.save_basis(basis, "one.h5")
    eb.save_basis(with_tables(basis, lambda table: MatrixTable(-table.values)), "negated.h5")
    compared = command("diff", "one.h5", "negated.h5")
    assert compared.status == 0
    assert compared.out.startswith("same subspace")
    assert compared.out.endswith("different content\n")


def test_different_subspaces_are_told_with_their_angle(command, right_file, wrong_file):
    compared = command("diff", right_file, wrong_file)
    assert compared.status == 1
    angle = eb.subspace_angle(eb.load_basis(right_file), eb.load_basis(wrong_file))
    assert compared.out.startswith(
        f"different subspaces: largest principal angle {angle:.3g} rad; different content"
    )


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (["--group", "c4", "--output", "3x3"], "different spaces"),
        (["--group", "c4", "--input", "3x3", "--output", "3x3"], "different spaces"),
        (["--group", "d4", "--input", "6x6", "--output", "3x3"], "different ranks"),
    ],
)
def test_what_cannot_be_compared_is_different(command, c4_file, other, said):
    command("solve", "other.h5", *other)
    compared = command("diff", c4_file, "other.h5")
    assert compared.status == 1
    assert compared.out.startswith(f"{said}: c4: 6x6 -> 3x3, rank 81; ")


# --- as a process of its own --------------------------------------------------------------------


def test_from_solving_to_comparing_in_real_processes(python):
    solving = ["--group", "mine:cyclic", "--input", "5", "--output", "5", "--workers", "2"]
    for out, solver in (("a.h5", "orbits"), ("b.h5", "svd")):
        solved = python("-m", "equibasis", "solve", out, *solving, "--solver", solver)
        assert (solved.status, solved.err) == (0, "")
    assert "ok" in python("-m", "equibasis", "verify", "a.h5").out
    assert python("-m", "equibasis", "diff", "a.h5", "b.h5").out.startswith("same subspace")


def test_a_real_process_fails_without_a_traceback(python):
    outcome = python("-m", "equibasis", "solve", "out.h5", "--group", "c4", "--output", "3x4")
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.startswith("equibasis: group 'c4' does not act on 3x4")
    assert len(outcome.err.splitlines()) == 1


def test_importing_the_command_is_not_running_it(python):
    assert python("-c", "import equibasis.cli, equibasis.__main__").out == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ("solve", "-", "--group", "c4", "--output", "3x3"),
        ("import", "{file}", "-"),
        ("export", "{file}", "-"),
        ("show", "{file}", "--out", "-"),
        ("import", "-", "out.h5"),
        ("inspect", "-"),
        ("verify", "-"),
        ("diff", "{file}", "-"),
        ("show", "-"),
        ("audit", "--summary", "-"),
    ],
    ids=" ".join,
)
def test_a_dash_names_no_file(command, c4_file, tmp_path, monkeypatch, arguments):
    """Neither one of that name nor a stream."""
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    done = command(*(each.format(file=c4_file) for each in arguments))
    assert (done.status, done.out) == (2, "")
    assert done.err.count("\n") == 1
    assert "'-' is no file" in done.err
    assert sorted(tmp_path.iterdir()) == before


def test_a_file_that_is_called_dash_is_named_with_its_folder(
    command, c4_file, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert command("import", c4_file, "./-").status == 0
    assert command("verify", "./-").status == 0


def test_what_ends_too_early_is_no_interruption(monkeypatch, capsys):
    """As Python says it of bytecode that lost its end; click takes it for Ctrl-D."""

    @click.group(cls=console.Group)
    def group() -> None:
        """Commands."""

    @group.command()
    def read() -> None:
        """Fail."""
        raise EOFError("marshal data too short")

    monkeypatch.setattr(sys, "argv", ["equibasis", "read"])
    with pytest.raises(SystemExit) as exit_:
        console.run(group, "equibasis")
    assert exit_.value.code == 2
    assert "too early: marshal data too short" in capsys.readouterr().err
