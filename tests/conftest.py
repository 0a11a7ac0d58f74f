"""Fixtures that every test module may use; nothing here or in the tests needs a network."""

# ruff: noqa: E402

from __future__ import annotations

import os

# Tests run side by side, a process per core: threads of their own would wait for each other. Read
# by libraries as they are loaded, here and in the processes that tests start.
for library in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

import contextlib
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

# Hundreds of processes import the package, and pytest rewrites the assertions of each module: the
# first compiles for all.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

import hypothesis
import numpy as np
import pytest

import equibasis as eb
from equibasis import cli
from equibasis.symmetry import user_module
from equibasis.symmetry.representations import MatrixRepresentation

# What is started in the background ignores these, and so does all that it starts: tests send them.
for ignored, usual in (("SIGINT", signal.default_int_handler), ("SIGHUP", signal.SIG_DFL)):
    number = getattr(signal, ignored, None)
    if number is not None and signal.getsignal(number) is signal.SIG_IGN:
        with contextlib.suppress(ValueError):  # not in the main thread
            signal.signal(number, usual)

# The same examples on every machine and day: what passes here passes in CI. More, and others each
# time: `python -m pytest --hypothesis-profile thorough`.
hypothesis.settings.register_profile(
    "reproducible", deadline=None, derandomize=True, database=None, max_examples=10
)
hypothesis.settings.register_profile("thorough", deadline=None, database=None, max_examples=500)
hypothesis.settings.load_profile("reproducible")


@pytest.fixture(autouse=True)
def modules_from_the_current_folder(monkeypatch) -> None:
    """Each test looks for modules of the user's in its own folder, wherever the last one did."""
    monkeypatch.setattr(user_module, "_chosen", None)


@dataclass(frozen=True)
class Outcome:
    """What a command came to."""

    status: int
    out: str
    err: str


@pytest.fixture
def command(monkeypatch, capsys) -> Callable[..., Outcome]:
    """``command("inspect", file)``: the `equibasis` command in this process."""

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["equibasis", *map(str, arguments)])
        monkeypatch.setattr(sys, "path", list(sys.path))
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        out, err = capsys.readouterr()
        return Outcome(exit_.value.code or 0, out, err)

    return run


def run_python(*arguments: object, folder: Path) -> Outcome:
    """A fresh interpreter, run in a folder, its modules importable."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=folder, capture_output=True, text=True
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def python(tmp_path) -> Callable[..., Outcome]:
    """``python("-m", "equibasis", ...)``: a real process, in ``tmp_path``."""
    return lambda *arguments: run_python(*arguments, folder=tmp_path)


@pytest.fixture
def write_module(tmp_path, monkeypatch) -> Callable[[str, str], None]:
    """``write_module("mine", source)``: a user's own module, importable until the test ends."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(name: str, source: str) -> None:
        monkeypatch.delitem(sys.modules, name, raising=False)
        (tmp_path / f"{name}.py").write_text(source, encoding="utf-8")

    yield write
    for path in tmp_path.glob("*.py"):
        sys.modules.pop(path.stem, None)


@pytest.fixture(scope="session")
def c4_basis() -> eb.Basis:
    return eb.solve(group="c4", input="6x6", output="3x3")


@pytest.fixture(scope="session")
def c4_content(c4_basis, tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("c4") / "c4_6x6_to_3x3.h5"
    eb.save_basis(c4_basis, path)
    return path.read_bytes()


@pytest.fixture
def c4_file(c4_content, tmp_path) -> Path:
    """A basis file as `solve` writes it: sparse, C4, 6x6 -> 3x3, rank 81."""
    path = tmp_path / "c4_6x6_to_3x3.h5"
    path.write_bytes(c4_content)
    return path


@pytest.fixture
def sign_to_trivial() -> eb.HomSpace:
    """Maps from the sign of C2 to the trivial representation: there is none but 0."""
    sign = MatrixRepresentation(np.array([[[1.0]], [[-1.0]]]))
    trivial = MatrixRepresentation(np.ones((2, 1, 1)))
    return eb.HomSpace(
        group="c2",
        elements=("one", "flip"),
        input_space=eb.V,
        output_space=eb.SCALAR,
        input=sign,
        output=trivial,
    )


# Files that take long, the longest first: they begin in this order, so that no process is left with
# one of them when the others are done. The first makes what the third waits for.
LONG = [
    "dependencies",
    "deploy",
    "pipeline",
    "streams",
    "crash",
    "bilinear",
    "audit",
    "fabric",
    "fields",
    "current_folder",
    "fuzz",
    "cache",
    "sweep",
    "lock",
    "reuse",
    "sharing",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {f"test_{name}": number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))


def pytest_terminal_summary(terminalreporter) -> None:
    """Say at the end what tests have counted: `record_property("summary", text)`."""
    for report in terminalreporter.stats.get("passed", []):
        for name, text in report.user_properties:
            if name == "summary":
                terminalreporter.write_line(f"{report.nodeid.partition('::')[0]}: {text}")
