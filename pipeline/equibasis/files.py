"""Writing files whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py

from equibasis.errors import WriteError

# Readable by every HDF5 since 1.8 (2008), and the same bytes whatever library wrote them.
_LIBRARY_BOUNDS = ("v108", "v108")


@contextlib.contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A new empty file beside ``path`` to write to: renamed to ``path`` at the end, or removed.

    Whatever happens in between, ``path`` holds what it held before or the whole new content.

    Raises
    ------
    WriteError
        If the folder is missing or cannot be written, or the disk is full.
    """
    target = Path(path)
    temporary = target.parent / f".equibasis-{secrets.token_hex(4)}.tmp"
    try:
        if target.is_dir() or not target.name:
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        yield temporary
        _flush_to_disk(temporary)
        temporary.replace(target)
    except OSError as error:
        reason = error.strerror or str(error).partition("\n")[0]
        raise WriteError(
            f"cannot write {target}: {reason}; name a file in an existing folder that you may "
            "write to"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a UTF-8 text file, whole or not at all; raises `WriteError`."""
    with writing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_hdf5(path: str | os.PathLike[str], fill: Callable[[h5py.File], None]) -> None:
    """Write what ``fill`` puts into an HDF5 file, whole or not at all; raises `WriteError`.

    The file is made in memory: where a disk is full, HDF5 itself would end the process.
    """
    with h5py.File(
        "image", "w", driver="core", backing_store=False, libver=_LIBRARY_BOUNDS
    ) as file:
        fill(file)
        file.flush()
        image = file.id.get_file_image()
    with writing(path) as temporary:
        temporary.write_bytes(image)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise `WriteError` now, before any work, if ``path`` could not be written later."""
    target = Path(path)
    with contextlib.suppress(_TriedError), writing(target):
        raise _TriedError


class _TriedError(Exception):
    """Leaves `writing` before the rename."""


def _flush_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
