"""The run: a pipeline from its start, past stages that fail, with nothing left running after."""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psutil
from tqdm import tqdm

from equibasis.errors import AuditError

# What DVC prints where a stage begins, where it is done, and which failed in the end.
_BEGINS = re.compile(r"Running stage '(.+)':")
_DONE = re.compile(r"(Updating lock file |WARNING: Stages? .* will be skipped )")
_FAILED = re.compile(r"ERROR: failed to reproduce ")
_EXITED = re.compile(r"exited with (-?\d+)$")


def reproduce(
    clone: Path, environment: Mapping[str, str], targets: Sequence[str], count: int
) -> dict[str, list[str]]:
    """Run the pipeline, past stages that fail; returns what was printed.

    Lines by stage, those between stages under ``""``.

    Raises
    ------
    AuditError
        If DVC runs no stage at all.
    """
    log: dict[str, list[str]] = {"": []}
    stage = ""
    # Not python -m dvc, which would import modules of the project in place of Python's own.
    program = shutil.which("dvc", path=environment["PATH"])
    if program is None:
        raise AuditError(f"no dvc command beside {sys.executable}: install it there")
    command = [program, "repro", "--force", "--keep-going", *targets]
    with (
        _running(command, clone, environment) as lines,
        tqdm(total=count, desc="audit", disable=None, leave=False) as bar,
    ):
        for line in map(str.strip, lines):
            if begins := _BEGINS.match(line):
                bar.update(stage != "")
                stage = begins[1]
                bar.set_description(stage)
            elif _FAILED.match(line):
                stage = ""
            log.setdefault(stage, []).append(line)
            if _DONE.match(line):
                stage = ""
    if len(log) == 1:
        raise AuditError(f"DVC runs no stage of HEAD: {complaint(log[''])}")
    return log


@contextlib.contextmanager
def _running(
    command: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> Iterator[Iterator[str]]:
    """Yield the lines that a command prints; afterwards neither it nor what it started runs."""
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    ) as process:
        assert process.stdout is not None
        try:
            yield iter(process.stdout)
            process.wait()
        finally:
            with contextlib.suppress(psutil.NoSuchProcess):
                parent = psutil.Process(process.pid)
                parent.suspend()  # so that it starts nothing more
                for each in [*parent.children(recursive=True), parent]:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        each.kill()


def why(log: Mapping[str, Sequence[str]], stage: str) -> str:
    """Why a stage was not made."""
    if stage in log:
        return complaint(log[stage])
    if any(_FAILED.match(line) and f"'{stage}'" in line for line in log[""]):
        return complaint(log[""])  # it failed before it began
    return "a stage that it needs failed"


def complaint(lines: Sequence[str]) -> str:
    """Tell what went wrong in DVC's words; of a stage that ended by itself, in its own last."""
    told = [line for line in lines if line and not _DONE.match(line) and not _FAILED.match(line)]
    failures = [n for n, line in enumerate(told) if line.startswith(("ERROR:", "WARNING:"))]
    if not failures:
        return told[-1] if told else "it printed nothing"
    said = told[failures[-1]].partition(": ")[2]
    exited = _EXITED.search(said)
    if exited is None:
        return said
    own = [
        line
        for line in told[: failures[-1]]
        if not _BEGINS.match(line) and not line.startswith("> ")
    ]
    how, own = _ended(int(exited[1]), own)
    return f"it {how}: {own[-1] if own else 'it printed nothing'}"


def _ended(status: int, own: list[str]) -> tuple[str, list[str]]:
    """How a stage ended, and its own lines: of a signal, without what a shell says of it.

    A signal is told as −n, where the shell became the command, and as 128 + n, where it waited.
    """
    try:
        number = signal.Signals(-status if status < 0 else status - 128)
    except ValueError:
        return f"exited with {status}", own
    said = signal.strsignal(number)
    if said and own and re.search(rf"^(.*\s)?{re.escape(said)}\b", own[-1]):
        own = own[:-1]
    return f"was ended by {number.name}", own
