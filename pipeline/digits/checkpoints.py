"""Training set down on disk every few epochs, for the next run to go on from."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from equibasis.errors import WriteError, cannot_write
from equibasis.files import locked, write_bytes

# Epochs from one checkpoint to the next.
EVERY = 5


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A training after some of its epochs.

    Attributes
    ----------
    state
        What `fitting.Training.resume` goes on from.
    curve
        The training and the test error of each epoch done.
    seconds
        The time they took.
    """

    state: dict[str, Any]
    curve: list[tuple[float, float]]
    seconds: float


def fingerprint(**parts: Any) -> str:
    """SHA-256 of what a result depends on: the parts (JSON), and all code beside this module."""
    pipeline = Path(__file__).parents[1]
    code = {
        path.relative_to(pipeline).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in pipeline.rglob("*.py")
    }
    text = json.dumps({"code": code, "torch": torch.__version__} | parts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def save(path: Path, checkpoint: Checkpoint, run: str) -> None:
    """Write a checkpoint of the run of that `fingerprint`; raises `WriteError`."""
    content = io.BytesIO()
    torch.save(vars(checkpoint), content)
    write_bytes(path, _seal(content.getvalue(), run) + content.getvalue())


def load(path: Path, run: str) -> Checkpoint | None:
    """Read the checkpoint of the run of that `fingerprint`; None if none can be used."""
    try:
        kept = path.read_bytes()
    except OSError:
        return None
    content = kept[_SEAL_BYTES:]
    if kept[:_SEAL_BYTES] != _seal(content, run):  # damaged, or of another run
        return None
    return Checkpoint(**torch.load(io.BytesIO(content), "cpu", weights_only=True))


def _seal(content: bytes, run: str) -> bytes:
    return hashlib.sha256(run.encode() + content).digest()


_SEAL_BYTES = 32


@contextlib.contextmanager
def alone(path: Path, doing: str) -> Iterator[None]:
    """Wait until no other process of this project is ``doing`` the same, and keep others out.

    A killed process holds nothing, so on a file system that knows no such locks none is held: the
    files that it guards are written whole all the same. Raises `WriteError` if the lock cannot be
    made.
    """
    with contextlib.ExitStack() as held:
        try:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except FileExistsError as error:
                raise NotADirectoryError(errno.ENOTDIR, "Not a directory") from error
            try:
                held.enter_context(locked(path, blocking=False))
            except TimeoutError:
                print(f"waiting for another process that is {doing}", flush=True)
                held.enter_context(locked(path))
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP):
                raise WriteError(cannot_write(f"{path}.lock", error)) from error
        yield
