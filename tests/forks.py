"""Commands as forks of a server that has imported what takes long: see fork_server.py."""

from __future__ import annotations

import functools
import os
import select
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from filelock import FileLock

import fork_server

# Processes of pytest-xdist share a server.
_XDIST = os.environ.get("PYTEST_XDIST_TESTRUNUID")
_SERVER = Path(tempfile.gettempdir(), f"equibasis-{(_XDIST or uuid.uuid4().hex)[:12]}")


@functools.cache
def served() -> Path:
    """The folder of the server, with a script for each program that it serves."""
    _SERVER.mkdir(mode=0o700, exist_ok=True)
    with FileLock(_SERVER / "lock"):
        if not (_SERVER / "plain").exists():
            master = os.getppid() if _XDIST else os.getpid()
            command = [sys.executable, fork_server.__file__, "--serve", _SERVER, str(master)]
            others = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
            others["TMPDIR"] = str(_SERVER.parent)  # a test may have one of its own
            streams = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
            subprocess.run(command, cwd=_SERVER, env=others, check=True, **streams)
    return _SERVER


class Running:
    """A command that is served, under way; to end with it, leave its context."""

    def __init__(
        self, command: Sequence[str], folder: Path, environment: Mapping[str, str], stdout: IO[str]
    ) -> None:
        path = os.pathsep.join([str(served()), environment["PATH"]])
        self.returncode: int | None = None
        with Path(os.devnull).open(encoding="utf-8") as nothing:
            self.pid, self._connection = fork_server.begin(
                str(served()), command, str(folder), {**environment, "PATH": path},
                [nothing.fileno(), stdout.fileno(), 2],
            )  # fmt: skip

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        if self.poll() is None:
            self.send_signal(signal.SIGKILL)
            self.wait()
        self._connection.close()

    def poll(self) -> int | None:
        """Its status, if it has ended; below 0 where a signal ended it."""
        if self.returncode is None and select.select([self._connection], (), (), 0)[0]:
            self.wait()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its status, once it has ended."""
        if self.returncode is None:
            self._connection.settimeout(timeout)
            self.returncode = fork_server.status(self._connection)
        return self.returncode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)


def run(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """As `subprocess.run`, output captured: a fork if it is served, and so is what it starts."""
    path = os.pathsep.join([str(served()), environment["PATH"]])
    environment = {**environment, "PATH": path}
    if command[0] not in fork_server.SERVED:
        return subprocess.run(
            command, cwd=folder, env=environment,
            capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip
    with (
        Path(os.devnull).open(encoding="utf-8") as nothing,
        tempfile.TemporaryFile("w+", encoding="utf-8") as out,
        tempfile.TemporaryFile("w+", encoding="utf-8") as err,
    ):
        streams = [each.fileno() for each in (nothing, out, err)]
        process, connection = fork_server.begin(
            str(served()), command, str(folder), environment, streams
        )
        with connection:
            connection.settimeout(timeout)
            try:
                status = fork_server.status(connection)
            except TimeoutError:
                os.kill(process, signal.SIGKILL)
                raise subprocess.TimeoutExpired(list(command), timeout) from None
        said = [os.pread(each.fileno(), 2**30, 0).decode() for each in (out, err)]
    return subprocess.CompletedProcess(list(command), status, *said)
