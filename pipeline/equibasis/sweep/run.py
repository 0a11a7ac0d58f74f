"""A sweep from its file to its folder: foretold, refused or begun, continued, and told of."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.filesize import decimal
from tqdm import tqdm

from equibasis.errors import (
    EquibasisError,
    ParametersError,
    WorkerDiedError,
    WriteError,
    cannot_write,
)
from equibasis.files import check_writable, is_missing, locked
from equibasis.sweep.engines import Engine
from equibasis.sweep.index import NAME, Result, times_path, with_times, write_index
from equibasis.sweep.jobs import Job
from equibasis.sweep.solving import Forecast, Solved, Task, foretell, solve_task
from equibasis.symmetry.catalog import find_group, is_built_in
from equibasis.symmetry.group import Group

# Seconds between writings of the index, so that times are not lost with the process; and how often
# as long as the last one took.
_SAVED, _SHARE = 10.0, 20.0

# Bytes of what was built beforehand that are kept for all jobs together.
_MOST_KEPT = 2**28

# Bytes that a process has before it solves anything.
_PROCESS = 100e6

# Reasons why jobs are refused that are told, and jobs that are named of each.
_MOST_TOLD = 5


@dataclass(frozen=True)
class Plan:
    """A sweep of which nothing was solved yet.

    Attributes
    ----------
    folder
        Where its files are, or will be.
    jobs
        By file, in their order.
    tasks
        The jobs as workers are given them; those whose group is there.
    forecasts
        Of each job.
    """

    folder: Path
    jobs: Mapping[str, Job]
    tasks: Mapping[str, Task]
    forecasts: Mapping[str, Forecast]

    @property
    def refused(self) -> dict[str, str]:
        """The jobs that cannot be solved, and why."""
        return {name: each.refusal for name, each in self.forecasts.items() if each.refusal}

    @property
    def refusals(self) -> dict[str, list[str]]:
        """The reasons why, each with its jobs."""
        found: dict[str, list[str]] = {}
        for name, reason in self.refused.items():
            found.setdefault(reason, []).append(name)
        return found

    @property
    def kept(self) -> dict[str, Solved]:
        """The jobs whose files are there."""
        return {name: each.kept for name, each in self.forecasts.items() if each.kept}

    @property
    def to_solve(self) -> list[str]:
        """The others, the longest first; before them those of which nothing is known."""
        left = [n for n, each in self.forecasts.items() if not each.refusal and not each.kept]
        return sorted(left, key=lambda name: -_seconds(self.forecasts[name]))


def _seconds(forecast: Forecast) -> float:
    known = forecast.prediction
    return math.inf if known is None or known.cost is None else known.cost.seconds


def plan(
    jobs: Mapping[str, Job], folder: Path, engine: Engine, memory_limit: float | None = None
) -> Plan:
    """Foretell all jobs, and refuse those that would take more memory than a worker has.

    Raises
    ------
    EquibasisError
        If the engine fails.
    """
    groups = {name: _group(name) for name in {job.group: None for job in jobs.values()}}
    tasks: dict[str, Task] = {}
    forecasts: dict[str, Forecast] = {}
    for name, job in jobs.items():
        group = groups[job.group]
        if isinstance(group, EquibasisError):
            forecasts[name] = Forecast(refusal=str(group))
        else:
            path = (folder / name).absolute()
            tasks[name] = Task(group, job.input, job.output, job.solver, path)
    limit = engine.memory if memory_limit is None else memory_limit
    room = _MOST_KEPT
    for name, found in _shown("predict", engine, foretell, tasks):
        if isinstance(found, Exception):
            found = Forecast(refusal=_reason(found))
        if found.built and len(found.built) <= room:
            room -= len(found.built)
            tasks[name] = replace(tasks[name], group=jobs[name].group, built=found.built)
        forecasts[name] = _bounded(replace(found, built=b""), limit)
    return Plan(folder, jobs, tasks, {name: forecasts[name] for name in jobs})


def _group(name: str) -> str | Group | EquibasisError:
    """Return a group as workers are given it, or why there is none."""
    try:
        return name if is_built_in(name) else find_group(name)
    except EquibasisError as error:
        return error


def _bounded(forecast: Forecast, limit: float | None) -> Forecast:
    known = forecast.prediction
    if limit is None or forecast.kept or known is None or known.cost is None:
        return forecast
    memory = known.cost.memory + _PROCESS
    if memory <= limit:
        return forecast
    return Forecast(
        known,
        refusal=f"it would take about {decimal(round(memory))}, and a worker may take "
        f"{decimal(round(limit))}: start fewer workers, raise --memory-limit, or choose a smaller "
        "space or another solver",
    )


def check_fits(plan: Plan) -> None:
    """Raise `ParametersError` naming the jobs that cannot be solved, if there are any."""
    if refusals := plan.refusals:
        told = [
            f"{_first([str(plan.jobs[name]) for name in names], ', ')}: {reason}"
            for reason, names in refusals.items()
        ]
        raise ParametersError(
            f"{len(plan.refused)} of {len(plan.jobs)} problems cannot be solved, so none was begun "
            f"(--skip leaves them out, --dry-run lists them): {_first(told, '; ')}"
        )


def _first(texts: Sequence[str], between: str) -> str:
    more = len(texts) - _MOST_TOLD
    return between.join([*texts[:_MOST_TOLD], *([f"and {more} more"] if more > 0 else [])])


@contextlib.contextmanager
def only_sweep(folder: Path) -> Iterator[None]:
    """Hold the folder of a sweep, by a file beside it, against others that would solve the same.

    Where there are no such locks, others may: files are written whole or not at all.

    Raises
    ------
    ParametersError
        If another sweep holds it.
    """
    folder = folder.absolute()
    with contextlib.ExitStack() as held:
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(locked(folder, blocking=False))
        except TimeoutError as error:
            raise ParametersError(
                f"another sweep writes to {folder}: wait for its end, or give another --out"
            ) from error
        except OSError:  # whether the folder can be written is seen later
            pass
        else:
            held.callback(_remove, Path(f"{folder}.lock"))
        yield


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def run(plan: Plan, engine: Engine) -> dict[str, Result]:
    """Solve what is not there yet and write the index; what came of each job, by file.

    Interrupted, it leaves the index of what was done.

    Raises
    ------
    WriteError
        If the folder cannot be written.
    EquibasisError
        If the engine fails.
    """
    try:
        plan.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(cannot_write(plan.folder, error)) from error
    for path in (plan.folder / NAME, times_path(plan.folder)):
        check_writable(path)
    results = {name: Result("skipped", reason=why) for name, why in plan.refused.items()}
    for name, found in with_times(plan.folder, plan.kept).items():
        results[name] = Result("solved", found)
    due = time.monotonic() + _SAVED
    try:
        tasks = {name: plan.tasks[name] for name in plan.to_solve}
        for name, found in _shown("solve", engine, solve_task, tasks):
            results[name] = _result(plan.folder / name, found)
            if (start := time.monotonic()) > due:
                with contextlib.suppress(WriteError):  # the last time will tell
                    write_index(plan.folder, plan.jobs, results)
                took = time.monotonic() - start
                due = start + max(_SAVED, _SHARE * took)
    finally:
        write_index(plan.folder, plan.jobs, results)
    return {name: results[name] for name in plan.jobs}


def _shown(
    what: str, engine: Engine, function: Callable[[Task], Any], tasks: Mapping[str, Task]
) -> Iterator[tuple[str, Any]]:
    """Yield what an engine makes of tasks, by name as they come; a progress bar after 2 s."""
    names = list(tasks)
    with tqdm(total=len(tasks), desc=what, delay=2, disable=None, leave=False) as bar:
        for number, found in engine.run(function, list(tasks.values())):
            bar.update()
            yield names[number], found


def _result(path: Path, found: Solved | Exception) -> Result:
    if isinstance(found, Exception):
        return Result("failed", reason=_reason(found))
    if is_missing(path):
        return Result("failed", reason=f"its worker has written a {path} that is not there here")
    return Result("solved", found)


def _reason(error: Exception) -> str:
    if isinstance(error, WorkerDiedError):
        return "its worker died, and so did the next: they were killed, or out of memory"
    if isinstance(error, MemoryError):
        return "out of memory"
    return str(error) if isinstance(error, EquibasisError) else f"{type(error).__name__}: {error}"
