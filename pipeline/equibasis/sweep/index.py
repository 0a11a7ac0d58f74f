"""The index of a sweep, a row for each job in their order, and beside the folder its times."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from equibasis.files import read_text, write_text
from equibasis.sweep.jobs import Job
from equibasis.sweep.solving import Solved

NAME = "index.csv"

COLUMNS = (
    "file",
    "group",
    "input",
    "output",
    "solver",
    "rank",
    "content_sha256",
    "status",
    "reason",
)

TIMES = ("file", "content_sha256", "seconds", "peak_memory")


@dataclass(frozen=True)
class Result:
    """What came of a job: a basis, or a status and the reason for it.

    ``status`` is ``solved``, ``failed``, ``skipped`` or ``not begun``.
    """

    status: str
    solved: Solved | None = None
    reason: str = ""


def times_path(folder: Path) -> Path:
    """Where the times of a sweep are: beside its folder, in which nothing is of the day."""
    folder = folder.absolute()
    return folder.with_name(f"{folder.name}-times.csv")


def write_index(folder: Path, jobs: Mapping[str, Job], results: Mapping[str, Result]) -> None:
    """Write the index, and the times beside the folder, each whole or not at all."""
    found = {file: results.get(file, Result("not begun")) for file in jobs}
    rows = ([file, *_cells(jobs[file], result)] for file, result in found.items())
    write_text(folder / NAME, _csv(COLUMNS, rows))
    solved = {file: result.solved for file, result in found.items() if result.solved}
    timed = (
        [file, each.content, f"{each.seconds:.3f}", each.peak_memory]
        for file, each in solved.items()
        if each.seconds is not None
    )
    write_text(times_path(folder), _csv(TIMES, timed))


def _cells(job: Job, result: Result) -> list[object]:
    named = [job.group, job.input, job.output]
    found = result.solved
    if found is None:
        return [*named, job.solver, "", "", result.status, result.reason]
    return [*named, found.solver, found.rank, found.content, result.status, ""]


def _csv(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


def with_times(folder: Path, kept: Mapping[str, Solved]) -> dict[str, Solved]:
    """Keep a former run, with the times it noted for the same content."""
    known: dict[tuple[str, str], dict[str, Any]] = {}
    with contextlib.suppress(OSError, ValueError, csv.Error):  # there are none, or are no table
        for row in csv.DictReader(io.StringIO(read_text(times_path(folder)))):
            with contextlib.suppress(ValueError, TypeError, KeyError):  # as somebody has edited it
                took = {"seconds": float(row["seconds"]), "peak_memory": int(row["peak_memory"])}
                known[row["file"], row["content_sha256"]] = took
    return {
        file: replace(found, **known.get((file, found.content), {})) for file, found in kept.items()
    }
