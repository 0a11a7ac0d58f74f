"""The index of a sweep: a row for each job, in their order, as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

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
    "seconds",
    "peak_memory",
    "content_sha256",
    "status",
    "reason",
)


@dataclass(frozen=True)
class Result:
    """What came of a job: a basis, or a status and the reason for it.

    ``status`` is ``solved``, ``failed``, ``skipped`` or ``not begun``.
    """

    status: str
    solved: Solved | None = None
    reason: str = ""


def write_index(folder: Path, jobs: Mapping[str, Job], results: Mapping[str, Result]) -> None:
    """Write the index, whole or not at all; all but the times follows from jobs and results."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for file, job in jobs.items():
        result = results.get(file, Result("not begun"))
        writer.writerow([file, job.group, job.input, job.output, *_cells(job, result)])
    write_text(folder / NAME, text.getvalue())


def _cells(job: Job, result: Result) -> list[object]:
    found = result.solved
    if found is None:
        return [job.solver, "", "", "", "", result.status, result.reason]
    seconds = "" if found.seconds is None else f"{found.seconds:.3f}"
    memory = "" if found.peak_memory is None else found.peak_memory
    return [found.solver, found.rank, seconds, memory, found.content, result.status, ""]


def with_times(folder: Path, kept: Mapping[str, Solved]) -> dict[str, Solved]:
    """What is kept of a former run, with the times that its index has for the same content."""
    try:
        rows = list(csv.DictReader(io.StringIO(read_text(folder / NAME))))
        known = {(row["file"], row["content_sha256"]): row for row in rows}
        return {
            file: _timed(found, known.get((file, found.content))) for file, found in kept.items()
        }
    except (OSError, ValueError, KeyError, csv.Error):  # there is none, or it is no index
        return dict(kept)


def _timed(found: Solved, row: dict[str, str] | None) -> Solved:
    if row is None:
        return found
    try:
        return replace(found, seconds=float(row["seconds"]), peak_memory=int(row["peak_memory"]))
    except (ValueError, TypeError, KeyError):  # as somebody has edited it
        return found
