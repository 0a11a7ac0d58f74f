"""The run: a pipeline from its start, past stages that fail, with nothing left running after."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from tqdm import tqdm

from equibasis.audit.clone import program
from equibasis.errors import AuditError

# What DVC prints where a stage begins, where it is done, and which failed in the end.
_BEGINS = re.compile(r"Running stage '(.+)':")
_DONE = re.compile(r"(Updating lock file |WARNING: Stages? .* will be skipped )")
_FAILED = re.compile(r"ERROR: failed to reproduce ")
_EXITED = re.compile(r"WARNING: failed to run: .*, exited with (-?\d+)$")
# Where the last words of a program begin: ours, or the last line of a traceback.
_LAST_WORDS = re.compile(r"equibasis: |[A-Za-z_][\w.]*(Error|Exception|Interrupt|Exit)\b")


@dataclass(frozen=True)
class Log:
    """What DVC and the stages printed: lines by stage, those between stages under ``""``."""

    lines: dict[str, list[str]]

    def why(self, stage: str) -> str:
        """Why a stage was not made."""
        if stage in self.lines:
            return complaint(self.lines[stage])
        between = self.lines[""]
        if any(_FAILED.match(line) and f"'{stage}'" in line for line in between):
            return complaint(between)  # it failed before it began
        return "a stage that it needs failed"


def reproduce(
    clone: Path, environment: Mapping[str, str], targets: Sequence[str], count: int
) -> Log:
    """Run the pipeline, past stages that fail; returns what was printed.

    Raises
    ------
    AuditError
        If DVC runs no stage at all.
    """
    log: dict[str, list[str]] = {"": []}
    stage = ""
    # Not python -m dvc, which would import modules of the project in place of Python's own.
    command = [program("dvc", environment), "repro", "--force", "--keep-going", *targets]
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
    return Log(log)


@contextlib.contextmanager
def _running(
    command: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> Iterator[Iterator[str]]:
    """The lines that a command prints; afterwards neither it nor what it started runs."""
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


def complaint(lines: Sequence[str]) -> str:
    """The line that says what went wrong: of DVC, unless a stage ended by itself; then its own."""
    told = [line for line in lines if line and not _DONE.match(line) and not _FAILED.match(line)]
    failures = [n for n, line in enumerate(told) if line.startswith(("ERROR:", "WARNING:"))]
    if not failures:
        return told[-1] if told else "it printed nothing"
    exited = _EXITED.match(told[failures[-1]])
    if exited is None:
        return told[failures[-1]].partition(": ")[2]
    own = [
        line
        for line in told[: failures[-1]]
        if not _BEGINS.match(line) and not line.startswith("> ")
    ]
    if killed := _killed(int(exited[1]), own):
        return killed
    spoken = [line for line in own if _LAST_WORDS.match(line)] or own
    return spoken[-1] if spoken else f"it exited with {exited[1]} and printed nothing"


def _killed(status: int, printed: Sequence[str]) -> str | None:
    """The signal that ended a stage, if one did, whatever shell ran the stage.

    A shell that was replaced by its command ends with minus the signal's number; one that waited
    for it with 128 more than the number, after a line that says so. A program may end with such a
    status by itself; then the last line is its own.
    """
    number = -status if status < 0 else status - 128
    if number not in set(signal.Signals):
        return None
    name = signal.Signals(number).name
    words = (name.lower(), (signal.strsignal(number) or name).lower())
    told = not printed or any(word in printed[-1].lower() for word in words)
    if status > 0 and not told and number != signal.SIGINT:  # of that one shells say nothing
        return None
    return f"it was killed by signal {number} ({name})"
