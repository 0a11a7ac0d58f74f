"""The run: a pipeline from its start, past stages that fail, with nothing left running after."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psutil
from tqdm import tqdm

from equibasis.audit.clone import program
from equibasis.errors import AuditError

_FAILED = re.compile(r"ERROR: failed to reproduce '.*?': ")
_EXITED = re.compile(r"failed to run: .*, exited with (-?\d+)$")


def reproduce(
    clone: Path, environment: Mapping[str, str], targets: Sequence[str], count: int
) -> dict[str, list[str]]:
    """Run the pipeline, past stages that fail; returns the lines that each stage printed.

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
        for line in lines:
            if started := re.match(r"Running stage '(.+)':", line):
                bar.update(stage != "")
                stage = started[1]
                bar.set_description(stage)
            log.setdefault(stage, []).append(line.strip())
    if not stage:
        raise AuditError(f"DVC runs no stage of HEAD: {complaint(log[''])}")
    return log


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


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Take a request to end for Ctrl-C, so that nothing is left behind."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {}
    with contextlib.suppress(ValueError):  # not in the main thread, which signals go to
        for name in ("SIGTERM", "SIGHUP"):
            if hasattr(signal, name):
                number = getattr(signal, name)
                before[number] = signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def complaint(lines: Sequence[str]) -> str:
    """Of what DVC or a stage printed, the line that says what went wrong.

    DVC's own, unless it says no more than that the stage ended with some status: then the last
    line of the stage's.
    """
    said = [line for line in lines if line and not line.startswith(("WARNING:", "> "))]
    for number, line in reversed(list(enumerate(said))):
        if line.startswith("ERROR: "):
            reason = _FAILED.sub("", line).removeprefix("ERROR: ")
            exited = _EXITED.match(reason)
            printed = [each for each in said[:number] if not each.startswith("Running stage '")]
            if exited is None:
                return reason
            return printed[-1] if printed else f"exited with {exited[1]}, and printed nothing"
    return said[-1] if said else "it printed nothing"
