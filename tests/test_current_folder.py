"""No command runs what lies in the current folder, unless a group of the user's own is there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import equibasis as eb
from conftest import Outcome

PIPELINE = Path(eb.__file__).parents[1]
SCRIPT = Path(sys.executable).parent / "equibasis"

OWN = """
import equibasis

def shift(array, steps):
    import helping
    return helping.roll(array, steps)

def late(array, steps):
    import time
    time.sleep(0.3)
    return shift(array, steps)

z3 = equibasis.Group("z3", (0, 1, 2), shift)
slow = equibasis.Group("slow", (0, 1, 2), late)
"""

SMALL = ["--input", "3", "--output", "3"]
COMMANDS = {
    "solve": ["solve", "made.h5", "--group", "c4", "--output", "3x3", "--explain"],
    "solve for a file": ["solve", "made.h5", "--group", "mirror.yaml", "--output", "2"],
    "solve for a group of one's own": ["solve", "made.h5", "--group", "own:z3", *SMALL],
    "solve in workers": ["solve", "made.h5", "--group", "own:slow", *SMALL, "--workers", "2"],
    "inspect": ["inspect", "a.h5"],
    "verify": ["verify", "a.h5"],
    "show": ["show", "a.h5"],
    "show to a picture": ["show", "a.h5", "--out", "made.svg"],
    "diff": ["diff", "a.h5", "a.h5"],
    "export to NumPy": ["export", "a.h5", "made.npz"],
    "export to Matrix Market": ["export", "a.h5", "made.mtx"],
    "export to safetensors": ["export", "a.h5", "made.safetensors"],
    "import": ["import", "a.h5", "made.h5"],
    "cache ls": ["cache", "ls"],
    "cache prune": ["cache", "prune"],
    "audit": ["audit"],
    "mend": ["mend"],
    "help": ["-h"],
}
STATUS = {"audit": 2, "mend": 2}  # in a folder that is no project

# Runs all commands in one process, and prints which modules they look for, found or not.
LOOKING_FOR = """
import contextlib, io, json, sys
names = set()
sys.addaudithook(lambda event, args: event == "import" and names.add(args[0].partition(".")[0]))
from equibasis import cli
for sys.argv[1:] in json.loads(sys.argv[1]):
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
        cli.main()
print(*names | {name.partition(".")[0] for name in sys.modules})
"""


def run(folder: Path, *command: object) -> Outcome:
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONSAFEPATH"}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=environment | {"PYTHONPATH": str(PIPELINE), "EQUIBASIS_CACHE": str(folder / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def looked_for(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The top-level modules that any command looks for: built-in, installed, and missing ones."""
    import json

    folder = prepared(tmp_path_factory.mktemp("plain"))
    found = run(folder, sys.executable, "-c", LOOKING_FOR, json.dumps(list(COMMANDS.values())))
    assert found.status == 0, found.err
    names = set(found.out.split()) - {"own", "helping", "__main__", "__mp_main__"}
    assert {"json", "rich", "numpy", "h5py", "matplotlib", "yaml", "multiprocessing"} <= names
    return names


def prepared(folder: Path) -> Path:
    eb.save_basis(eb.solve(group="c4", input="6x6", output="3x3"), folder / "a.h5")
    (folder / "mirror.yaml").write_text("degree: 2\ngenerators: [[1, 0]]")
    (folder / "own.py").write_text(OWN)
    (folder / "helping.py").write_text("from numpy import roll\n")
    return folder


@pytest.fixture
def trapped(tmp_path: Path, looked_for: set[str]) -> Path:
    """A folder with a trap under every name that a command looks for."""
    folder = prepared(tmp_path)
    for name in looked_for | {"sitecustomize", "usercustomize", "digits", "equibasis"}:
        (folder / f"{name}.py").write_text(f"open({str(folder / 'sprung.')!r} + {name!r}, 'w')\n")
    return folder


@pytest.fixture(scope="module")
def of_python(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """What Python's own -m imports before it runs anything of ours: no command can help that."""
    code = "import sys; before = set(sys.modules); import runpy; print(*set(sys.modules) - before)"
    found = run(tmp_path_factory.mktemp("python"), sys.executable, "-c", code).out.split()
    assert len(found) < 20
    return {name.partition(".")[0] for name in found}


def sprung(folder: Path) -> list[str]:
    return sorted(path.suffix[1:] for path in folder.glob("sprung.*"))


def check(folder: Path, name: str, *start: object) -> None:
    outcome = run(folder, *start, *COMMANDS[name])
    assert sprung(folder) == []
    assert outcome.status == STATUS.get(name, 0), outcome.err
    assert len(outcome.err.splitlines()) == (name in STATUS)


# Runs ``python -m equibasis`` for each line, in one process, and says after each its status.
ONE_BY_ONE = """
import runpy, sys
sys.path[0] = sys.argv.pop(1)
for line in sys.argv[1:]:
    sys.argv[1:] = line.split()
    try:
        runpy.run_module("equibasis", run_name="__main__")
    except SystemExit as exit_:
        print("status", exit_.code or 0, file=sys.stderr)
"""
# What changes the path or starts other processes needs a process of its own.
ALONE = ["solve for a group of one's own", "solve in workers"]


@pytest.fixture
def trapped_but_for_python(trapped: Path, of_python: set[str]) -> Path:
    for each in of_python | {"equibasis"}:
        (trapped / f"{each}.py").unlink(missing_ok=True)
    return trapped


@pytest.mark.slow
def test_no_command_imports_anything_from_the_current_folder(trapped_but_for_python):
    folder, names = trapped_but_for_python, [name for name in COMMANDS if name not in ALONE]
    lines = [" ".join(COMMANDS[name]) for name in names]
    outcome = run(folder, sys.executable, "-c", ONE_BY_ONE, folder, *lines)
    assert sprung(folder) == []
    assert outcome.status == 0, outcome.err
    said = [line for line in outcome.err.splitlines() if not line.startswith("equibasis: ")]
    assert said == [f"status {STATUS.get(name, 0)}" for name in names]
    assert outcome.err.count("equibasis: ") == len(STATUS)


@pytest.mark.parametrize("name", ["solve", *ALONE])
@pytest.mark.slow
def test_nor_does_one_in_a_process_of_its_own(trapped_but_for_python, name):
    if name == "solve in workers" and sys.version_info < (3, 11):
        pytest.skip("Python 3.10 starts its workers with the current folder on their path")
    check(trapped_but_for_python, name, sys.executable, "-m", "equibasis")


def test_nor_does_the_pipeline_s_own_command(trapped):
    check(trapped, "solve for a group of one's own", sys.executable, PIPELINE)


@pytest.mark.skipif(not SCRIPT.exists(), reason="the package is not installed")
def test_nor_does_the_installed_command(trapped):
    check(trapped, "solve", SCRIPT)


def test_a_stage_does_not_either(trapped):
    outcome = run(trapped, sys.executable, PIPELINE, "prepare")
    assert sprung(trapped) == []
    assert outcome.err.startswith("equibasis: params.yaml does not exist: run from the project's")


def test_the_library_leaves_the_path_of_its_user_alone(tmp_path):
    looking = "import sys; before = list(sys.path); import equibasis.cli; print(sys.path == before)"
    assert run(tmp_path, sys.executable, "-c", looking).out == "True\n"
    (tmp_path / "used.py").write_text("import equibasis; equibasis.solve; import json; print(json)")
    (tmp_path / "json.py").write_text("")
    assert "json.py" in run(tmp_path, sys.executable, "-m", "used").out


STYLE = """
figure.facecolor: red
text.usetex: True
font.size: 20
savefig.transparent: True
savefig.bbox: tight
path.sketch: 1, 100, 2
nonsense of nobody
"""


def test_a_style_in_the_current_folder_changes_no_picture_and_runs_no_tex(tmp_path):
    prepared(tmp_path)

    def draw(name: str) -> list[bytes]:
        pictures = [f"{name}.{ending}" for ending in ("png", "svg")]
        lines = [f"show a.h5 --view vectors --count 2 --out {picture}" for picture in pictures]
        outcome = run(tmp_path, sys.executable, "-c", ONE_BY_ONE, tmp_path, *lines)
        assert (outcome.status, outcome.err) == (0, "status 0\n" * 2)
        return [(tmp_path / picture).read_bytes() for picture in pictures]

    plain = draw("plain")
    (tmp_path / "matplotlibrc").write_text(STYLE)
    assert draw("styled") == plain


# --- groups of the user's own ---------------------------------------------------------------------


def solved(folder: Path, group: str, *start: object) -> Outcome:
    command = start or (sys.executable, "-m", "equibasis")
    return run(folder, *command, "solve", "made.h5", "--group", group, "--output", "3")


@pytest.mark.parametrize(
    ("name", "where"),
    [("rich", "rich/__init__.py"), ("random", "random.py"), ("time", "in Python itself")],
)
def test_a_module_with_the_name_of_an_installed_one_is_refused_saying_which_was_found(
    tmp_path, name, where
):
    (tmp_path / f"{name}.py").write_text("z3 = None; open('sprung.' + __name__, 'w')")
    outcome = solved(tmp_path, f"{name}:z3")
    assert (outcome.status, outcome.out) == (2, "")
    assert sprung(tmp_path) == []
    assert len(outcome.err.splitlines()) == 1
    assert f"module {name!r} was found " in outcome.err
    assert where in outcome.err
    assert f"before yours at {tmp_path / name}.py: give yours a name of its own" in outcome.err


def test_an_installed_module_is_used_where_there_is_no_other_of_its_name(tmp_path):
    elsewhere = tmp_path / "installed"
    here = tmp_path / "here"
    for folder in (elsewhere, here):
        folder.mkdir()
    prepared(elsewhere)
    code = "import sys; sys.path.append(sys.argv.pop(1)); from equibasis.cli import main; main()"
    assert solved(here, "own:z3", sys.executable, "-c", code, elsewhere).status == 0


def test_a_module_that_is_missing_and_one_that_misses_something_are_told_apart(tmp_path):
    missing = solved(tmp_path, "nowhere:z3")
    assert "module 'nowhere' does not import: it is neither on Python's path nor in" in missing.err
    (tmp_path / "lacking.py").write_text("import nonsense_of_nobody")
    lacking = solved(tmp_path, "lacking:z3")
    assert "No module named 'nonsense_of_nobody'" in lacking.err
    assert "install what it needs" in lacking.err
    for outcome in (missing, lacking):
        assert (outcome.status, outcome.out, len(outcome.err.splitlines())) == (2, "", 1)


def test_an_object_that_is_missing_is_told_with_the_file_it_is_missing_from(tmp_path):
    prepared(tmp_path)
    outcome = solved(tmp_path, "own:nothing")
    assert f"module 'own' has no 'nothing'; define it there ({tmp_path / 'own.py'})" in outcome.err
