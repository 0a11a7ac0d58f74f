"""What a worker does for one job: foretell it, solve it, and say what that took."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from equibasis.artifact.cache import basis_of_problem, problem_sha256
from equibasis.artifact.store import content_sha256, save_basis
from equibasis.errors import WriteError
from equibasis.files import is_missing
from equibasis.solvers import Prediction, find_solver, prediction, problem, solve_space
from equibasis.symmetry.calls import packed, unpacked
from equibasis.symmetry.group import Group
from equibasis.symmetry.hom_space import HomSpace

# Bytes of a space, and of what is known of it, that are kept from its forecast to its solving.
_MOST_KEPT = 2**18


@dataclass(frozen=True)
class Task:
    """A job as a worker is given it.

    Attributes
    ----------
    group
        A built-in one by name; else the group itself, whose file or module is here.
    input, output, solver
        As of the job.
    path
        The file to write, which workers and this process see under one name.
    built
        The space, pickled, where that is short: what was built to foretell it is not built again.
    """

    group: str | Group
    input: str
    output: str
    solver: str
    path: Path
    built: bytes = b""

    def problem(self) -> HomSpace:
        """Return the space of maps, built and checked."""
        if self.built:
            space: HomSpace = unpacked(self.built)
            return space
        return problem(self.group, input=self.input, output=self.output, workers=1)


@dataclass(frozen=True)
class Solved:
    """What came of a job.

    Attributes
    ----------
    rank, solver
        Of the basis.
    content
        Its hash.
    seconds
        To a basis, from the space or, where none was kept, from names; ``None`` where it was solved
        before. Writing it is not counted.
    peak_memory
        The most bytes that the process had meanwhile, or as long as it lives where the system does
        not tell.
    """

    rank: int
    solver: str
    content: str
    seconds: float | None = None
    peak_memory: int | None = None


@dataclass(frozen=True)
class Forecast:
    """What is known of a job beforehand: a prediction and what is there, or why it cannot be.

    And what was ``built`` to know it, as in a `Task`.
    """

    prediction: Prediction | None = None
    kept: Solved | None = None
    refusal: str = ""
    built: bytes = b""


def foretell(task: Task) -> Forecast:
    """Predict a job, and look whether its file is there; raises as `solve_task`."""
    if not is_missing(task.path) and not task.path.is_file():
        raise WriteError(f"{task.path} is no file: move it away, or give --out another folder")
    space = task.problem()
    known = prediction(space, find_solver(task.solver))
    kept = _kept(task.path, space)
    return Forecast(known, kept, built=b"" if kept else packed(space, _MOST_KEPT))


def _kept(path: Path, space: HomSpace) -> Solved | None:
    """Read a file, if it is whole and of this very problem."""
    basis = None if is_missing(path) else basis_of_problem(path, problem_sha256(space))
    return None if basis is None else Solved(basis.rank, basis.solver, content_sha256(basis))


def solve_task(task: Task) -> Solved:
    """Solve a job and write its file; raises as `equibasis.solve` and `equibasis.save_basis`.

    Where the file is there after all, as after a worker that died when it had written it, it is
    kept.
    """
    _forget_peak()
    start = time.perf_counter()
    space = task.problem()
    if (kept := _kept(task.path, space)) is not None:
        return kept
    basis = solve_space(space, find_solver(task.solver))
    seconds = time.perf_counter() - start
    content = save_basis(basis, task.path)
    return Solved(basis.rank, basis.solver, content, seconds, _peak())


def _forget_peak() -> None:
    """Let Linux count the peak of this process anew."""
    with contextlib.suppress(OSError):
        switch = os.open("/proc/self/clear_refs", os.O_WRONLY)
        try:
            os.write(switch, b"5")
        finally:
            os.close(switch)


def _peak() -> int:
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    told = psutil.Process().memory_info()
    return int(getattr(told, "peak_wset", told.rss))
