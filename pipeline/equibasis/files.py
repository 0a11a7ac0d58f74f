"""Writing files whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import secrets
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py

from equibasis.errors import WriteError, cannot_write

if sys.platform != "win32":
    import fcntl

# More than any of our objects has; beyond its own number, 8, HDF5 moves them to a heap.
_MOST_ATTRIBUTES = 64

# Names of temporary files; Git and DVC ignore *.tmp.
_PREFIX, _SUFFIX = ".equibasis-", ".tmp"


@contextlib.contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A new empty file beside ``path`` to write to: renamed to ``path`` at the end, or removed.

    Whatever happens in between, ``path`` holds what it held before or the whole new content. A
    process that is killed leaves its temporary file behind; the next to write to that folder
    removes it.

    Raises
    ------
    WriteError
        If the folder is missing or cannot be written, or the disk is full.
    """
    target = Path(path)
    try:
        if target.is_dir() or not target.name:
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        if target.exists() and not target.is_file():
            raise FileExistsError(errno.EEXIST, "it is a device or a pipe")
        remove_abandoned(target.parent)
        with _temporary_file(target.parent) as temporary:
            yield temporary
            _flush_to_disk(temporary)
            temporary.replace(target)
    except OSError as error:
        raise WriteError(cannot_write(target, error)) from error


@contextlib.contextmanager
def _temporary_file(folder: Path) -> Iterator[Path]:
    """A new empty file, locked as long as its writer lives; removed at the end if still there."""
    temporary, descriptor = _locked_file(folder)
    try:
        yield temporary
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if descriptor is not None:
            os.close(descriptor)


def _locked_file(folder: Path) -> tuple[Path, int | None]:
    while True:
        path = folder / f"{_PREFIX}{secrets.token_hex(4)}{_SUFFIX}"
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
        if sys.platform == "win32":  # where a file that is open cannot be renamed
            os.close(descriptor)
            return path, None
        try:
            # Shared: HDF5 readers lock too, and may open the file as soon as it has its name.
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:  # another process has just found it, not locked yet
            os.close(descriptor)
            continue
        except OSError:  # a file system without locks, where nothing is ever taken for abandoned
            return path, descriptor
        if os.fstat(descriptor).st_nlink:
            return path, descriptor
        os.close(descriptor)  # another process has just removed it


def remove_abandoned(folder: Path) -> None:
    """Remove temporary files whose writers are dead: those that nobody holds locked.

    Not on Windows, where they stay.
    """
    if sys.platform != "win32":
        for path in folder.glob(f"{_PREFIX}*{_SUFFIX}"):
            with contextlib.suppress(OSError):
                descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()
                finally:
                    os.close(descriptor)


def is_missing(path: str | os.PathLike[str]) -> bool:
    """Whether there is nothing of that name; what may not be looked at is no proof of it."""
    try:
        os.stat(path)  # noqa: PTH116 - whatever a path may be
    except FileNotFoundError:
        return True
    except (OSError, ValueError):
        return False
    return False


def open_regular(path: str | os.PathLike[str]) -> io.BufferedReader:
    """A regular file, opened to read; never waits, as opening a pipe would.

    Raises
    ------
    OSError, ValueError
        If there is none of that name, it is something else, or it may not be read.
    """
    # Where a pipe or device cannot be opened without waiting, it is not opened.
    if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 - whatever a path may be
        raise OSError(errno.EINVAL, "it is not a regular file")
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a regular file")
    return os.fdopen(descriptor, "rb")


def read_text(path: str | os.PathLike[str]) -> str:
    """The text of a regular file in UTF-8; raises as `open_regular`."""
    with open_regular(path) as file:
        return file.read().decode("utf-8-sig")  # some editors mark it


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a UTF-8 text file, whole or not at all; raises `WriteError`."""
    with writing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_hdf5(path: str | os.PathLike[str], fill: Callable[[h5py.File], None]) -> None:
    """Write what ``fill`` puts into an HDF5 file, whole or not at all; raises `WriteError`.

    Readable by every HDF5 since 1.8 (2008), and the same bytes whatever library wrote them. The
    file is made in memory: where a disk is full, HDF5 itself would end the process.
    """
    with _file_in_memory() as file:
        fill(file)
        file.flush()
        image = file.id.get_file_image()
    with writing(path) as temporary:
        temporary.write_bytes(image)


def _file_in_memory() -> h5py.File:
    """An HDF5 file whose root keeps its attributes in its header, where readers need no heap."""
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_fapl_core(backing_store=False)
    access.set_libver_bounds(h5py.h5f.LIBVER_V18, h5py.h5f.LIBVER_V18)
    creation = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    creation.set_obj_track_times(False)
    creation.set_attr_phase_change(_MOST_ATTRIBUTES, 0)
    name = secrets.token_hex(8).encode()  # two of one name cannot be open in a process
    return h5py.File(h5py.h5f.create(name, h5py.h5f.ACC_TRUNC, creation, access))


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
