"""Writing files whole or not at all, and reading back what was written."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import secrets
import stat
import sys
from collections.abc import Callable, Hashable, Iterable, Iterator
from pathlib import Path
from typing import Any

from equibasis.errors import (
    EquibasisError,
    ParametersError,
    WriteError,
    cannot_read,
    cannot_write,
    file_name,
)

if sys.platform != "win32":
    import fcntl

# Names of temporary files; Git and DVC ignore *.tmp.
_PREFIX, _SUFFIX = ".equibasis-", ".tmp"

# What is read back at once.
_BYTES_AT_ONCE = 2**20


@contextlib.contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a new file beside ``path`` to write to: renamed to ``path`` at the end, or removed.

    Whatever happens in between, ``path`` holds what it held before or the whole new content. A
    process that is killed leaves its temporary file behind; the next to write to that folder
    removes it.

    A file that is replaced hands on its mode and its group; a new one has what the umask says. A
    symbolic link stays, and the file that it leads to is replaced; only where that file is
    write-protected, as DVC protects its cache, the new file replaces the link itself.

    Raises
    ------
    WriteError
        If the folder is missing or cannot be written, or the disk is full.
    """
    path = Path(file_name(path, WriteError))
    try:
        target = _destination(path)
        remove_abandoned(target.parent)
        with _temporary_file(target.parent) as temporary:
            yield temporary
            _hand_on_mode(target, temporary)
            temporary.replace(target)
    except OSError as error:
        raise WriteError(cannot_write(path, error)) from error


def _destination(path: Path) -> Path:
    """Return the file to replace: behind a link the one it leads to, unless write-protected."""
    if path.is_symlink():
        real = Path(os.path.realpath(path))
        if real.is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        protected = real.is_file() and not real.stat().st_mode & 0o222
        path = path if protected else real
    if path.is_dir() or not path.name:
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    if path.exists() and not path.is_file():
        raise FileExistsError(errno.EEXIST, "it is a device or a pipe")
    return path


def _hand_on_mode(target: Path, temporary: Path) -> None:
    """Give a new file mode and group of the one that it replaces; file systems may have neither."""
    with contextlib.suppress(OSError):
        old, new = target.lstat(), temporary.stat()
        if stat.S_ISREG(old.st_mode):
            if sys.platform != "win32" and old.st_gid != new.st_gid:
                with contextlib.suppress(OSError):  # of a group that we are not in
                    os.chown(temporary, -1, old.st_gid)
            temporary.chmod(old.st_mode & 0o777)


@contextlib.contextmanager
def _temporary_file(folder: Path) -> Iterator[Path]:
    """Yield a new file, locked as long as its writer lives; removed at the end if still there."""
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


@contextlib.contextmanager
def locked(path: str | os.PathLike[str], blocking: bool = True) -> Iterator[None]:
    """Hold ``path``.lock, which the system releases if its holder dies.

    Raises
    ------
    TimeoutError
        If it is not ``blocking``, and another process holds it.
    OSError
        Where the file system has no such locks: one whose mere existence locks would outlive its
        holder.
    """
    import filelock

    timeout = -1 if blocking else 0
    with filelock.FileLock(f"{os.fspath(path)}.lock", timeout=timeout, fallback_to_soft=False):
        yield


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
    """Open a regular file to read; never waits, as opening a pipe would.

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


# --- whole files ----------------------------------------------------------------------------------


def write_bytes(
    path: str | os.PathLike[str],
    content: bytes,
    check: Callable[[Path], object] | None = None,
) -> None:
    """Write a file, whole or not at all, as `writing` does, and read it back before it is renamed.

    Parameters
    ----------
    path
        The file to make or replace.
    content
        All of it.
    check
        Reads all of the temporary file, as the readers of the new one will; whatever it raises
        means that the file is not what it was meant to be. Without it, the bytes are compared.

    Raises
    ------
    WriteError
        If the file cannot be written, or what was written is not what is read back; what was
        there before is still there.
    """
    with writing(path) as temporary:
        temporary.write_bytes(content)
        _flush_to_disk(temporary)
        try:
            if check is None:
                _check_same(temporary, content)
            else:
                del content  # which may be as large as what the check reads
                check(temporary)
        except (EquibasisError, OSError, LookupError, ValueError, TypeError) as error:
            reason = str(error).partition("\n")[0]
            raise WriteError(
                f"cannot write {os.fsdecode(path)}: what was written does not read back: {reason}"
            ) from error


def _check_same(path: Path, content: bytes) -> None:
    with path.open("rb") as file:
        for start in range(0, len(content) + 1, _BYTES_AT_ONCE):
            if file.read(_BYTES_AT_ONCE) != content[start : start + _BYTES_AT_ONCE]:
                raise OSError(errno.EIO, "other bytes came back: the disk may be failing")


def read_text(path: str | os.PathLike[str]) -> str:
    """Read the text of a regular file in UTF-8; raises as `open_regular`."""
    with open_regular(path) as file:
        return file.read().decode("utf-8-sig")  # some editors mark it


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a UTF-8 text file, whole or not at all; raises `WriteError`."""
    write_bytes(path, text.encode())


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise `WriteError` now, before any work, if ``path`` could not be written later."""
    with contextlib.suppress(_TriedError), writing(path):
        raise _TriedError


class _TriedError(Exception):
    """Leaves `writing` before the rename."""


def _flush_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# --- YAML -----------------------------------------------------------------------------------------


def read_yaml(path: str | os.PathLike[str], remedy: str) -> Any:
    """Read a YAML file; raises `ParametersError`, where it is missing with a remedy."""
    try:
        return parse_yaml(read_text(path))
    except OSError as error:
        raise ParametersError(cannot_read(os.fspath(path), error, remedy)) from error
    except UnicodeDecodeError as error:
        raise ParametersError(f"{path} is not text in UTF-8: {error}") from error
    except ValueError as error:
        raise ParametersError(f"{path} is not valid YAML: {error}") from error


def checked(path: str | os.PathLike[str], content: Any, kind: Any, skipped: int = 0) -> Any:
    """Read a file, as pydantic reads it as of a ``kind``; raises `ParametersError`.

    It names what is wrong by its place in the content, without ``skipped`` first parts of that.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(kind).validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"][skipped:])) or "the whole file"
        got = "" if first["type"] == "missing" else f", not {first['input']!r:.200}"
        raise ParametersError(f"{path}: {name}: {first['msg']}{got}") from error


def parse_yaml(text: str) -> Any:
    """YAML without what has a second reading: keys twice, and numbers such as 010, which is 8.

    Raises
    ------
    ValueError
        If it is no YAML, has such a reading, or is nested too deeply.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        """One of our own, so that the constructors below are nobody else's."""

    def mapping(loader: Loader, node: yaml.MappingNode) -> dict[Any, Any]:
        return each_once(loader.construct_pairs(node, deep=True))

    def as_written(construct: Callable[..., Any], plain: str) -> Callable[..., Any]:
        def number(loader: Loader, node: yaml.ScalarNode) -> Any:
            read = construct(loader, node)
            if not re.fullmatch(plain, node.value.lower()):
                raise ValueError(f"{node.value} is {read} in YAML: write it as {read}")
            return read

        return number

    integer, real = r"[-+]?(0|[1-9][0-9]*)", r"[-+]?[0-9]*\.[0-9]*(e[-+][0-9]+)?|[-+]?\.(inf|nan)"
    Loader.add_constructor("tag:yaml.org,2002:map", mapping)
    Loader.add_constructor("tag:yaml.org,2002:int", as_written(Loader.construct_yaml_int, integer))
    Loader.add_constructor("tag:yaml.org,2002:float", as_written(Loader.construct_yaml_float, real))
    try:
        return Loader(text).get_single_data()
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(str(error)) from error


def each_once(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    """Return a mapping of pairs; raises `ValueError` where a key is there twice."""
    seen: dict[Any, Any] = {}
    for key, value in pairs:
        if not isinstance(key, Hashable):
            raise ValueError(f"{key!r} is no key")
        if key in seen:
            raise ValueError(f"the key {key!r} is there twice")
        seen[key] = value
    return seen
