"""The errors of equibasis: a small tree under one root, each message one line.

It says what was wrong, and the remedy where there is one: a file that is locked, or that may not
be read, is not mended by making it anew.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import FrameType


class EquibasisError(Exception):
    """Root of every error raised on purpose by equibasis; its message is one printable line."""

    def __str__(self) -> str:
        return printable(" ".join(super().__str__().split()))


class GroupError(EquibasisError):
    """A group that is not known, cannot be imported, or is not a group."""


class TooManyElementsError(GroupError):
    """Generators make more elements than can be listed, perhaps infinitely many."""


class SpaceError(EquibasisError):
    """A space that is malformed, or on which the group does not act."""


class SolverError(EquibasisError):
    """A solver that is not known, does not apply, or whose result failed its check."""


class BasisFileError(EquibasisError):
    """A basis file that is missing, damaged, or does not hold what it claims."""


class WriteError(EquibasisError):
    """A file that cannot be written."""


class ModelError(EquibasisError):
    """Layers or weights that do not fit the bases they are built on."""


class ParametersError(EquibasisError):
    """A parameter file that is missing, malformed, or holds an impossible value."""


class DataError(EquibasisError):
    """A data source that is not known or cannot be had."""


class AuditError(EquibasisError):
    """A project that cannot be audited."""


class WorkerDiedError(EquibasisError):
    """A process that worked for this one has ended before it was done."""


class MissingExtraError(EquibasisError, ModuleNotFoundError):
    """A module that is not installed, of an optional part of equibasis."""


# What each extra of the package installs, by the names that are imported.
_EXTRAS = {
    "nn": ("safetensors", "torch"),
    "pipeline": ("dvc", "dvclive", "mlxtend", "PIL", "pydantic", "sklearn", "torchvision", "yaml"),
    "cluster": ("cloudpickle", "distributed", "lightning_fabric", "pydantic", "yaml"),
}


@contextlib.contextmanager
def naming_extras(what: str, extra: str | None = None) -> Iterator[None]:
    """Inside it, a module that ``what`` needs and that is not installed is a `MissingExtraError`.

    It names ``extra``, or the smallest extra that has the module.
    """
    try:
        yield
    except MissingExtraError:
        raise
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        extras = [name for name, modules in _EXTRAS.items() if module in modules]
        if not extras:
            raise
        raise MissingExtraError(
            f"{what} needs {module}, which is not installed: "
            f"pip install 'equibasis[{extra or extras[0]}]'"
        ) from error


# What an address says of its user, a password too: scheme://user:password@host, as a path as well.
_USER = re.compile(r"([A-Za-z][\w+.-]+:/{1,2})[^\s/]*@")


def printable(name: object) -> str:
    r"""Return a name or text with what does not print spelled out, as ``\x1b`` or ``\udcff``.

    So a file name that is not UTF-8 can be told, and none can play with a terminal. Of addresses it
    is not told who the user is, nor by which password or token.
    """
    text = _USER.sub(r"\1***@", str(name))
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def cause(error: BaseException) -> str:
    """Tell what went wrong, on one line; of a system error the system's own words alone."""
    if isinstance(error, BlockingIOError):
        return "another process has locked it"
    text = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
    wrapped_by_hdf5 = re.search(r"error message = '([^']*)'", text)
    return wrapped_by_hdf5[1] if wrapped_by_hdf5 else " ".join(text.split())


def shown(error: BaseException) -> BaseException | None:
    """Return an error to raise another one from; ``None`` where a traceback told a password.

    >>> shown(OSError("https://me:secret@host/x"))
    """
    each: BaseException | None = error
    while each is not None:
        if _USER.search(str(each)):
            return None
        each = each.__cause__ or each.__context__
    return error


def file_name(path: object, error: type[EquibasisError]) -> str:
    """Return the name of a file that a user gave, text, bytes or a path; raises ``error``."""
    try:
        name = os.fsdecode(path)  # type: ignore[arg-type]
    except TypeError as reason:
        raise error(f"a file is named by text or a path, not {path!r}") from reason
    if "\0" in name:
        raise error(f"{name}: the name of a file has no NUL in it: choose another")
    return name


def warn(message: str) -> None:
    """Warn of the line that called this package, however deep in it the reason was found."""
    here, level = str(Path(__file__).parent), 1
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code.co_filename.startswith(here):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, stacklevel=level)


def cannot_read(path: str | Path, error: BaseException, remedy: str) -> str:
    """Return the line for a file that cannot be read; ``remedy`` where it is missing or damaged."""
    if isinstance(error, FileNotFoundError):
        return f"{printable(path)} does not exist: {remedy}"
    if isinstance(error, OSError) and error.errno:  # HDF5's complaints of content have no number
        return f"cannot read {printable(path)}: {cause(error)}"
    if isinstance(error, MemoryError):
        return f"cannot read {printable(path)}: out of memory"
    return f"cannot read {printable(path)} ({type(error).__name__}: {cause(error)[:200]}): {remedy}"


def cannot_write(path: str | Path, error: OSError) -> str:
    """Return the line for a file that cannot be written, and the remedy, if there is one."""
    remedy = _REMEDIES.get(error.errno or 0)
    return f"cannot write {printable(path)}: {cause(error)}" + (f"; {remedy}" if remedy else "")


_REMEDIES = {
    errno.ENOENT: "name a file in a folder that exists",
    errno.ENOTDIR: "name a file in a folder that exists",
    errno.EISDIR: "name a file, not a folder",
    errno.EACCES: "name a file in a folder that you may write to",
    errno.EPERM: "name a file in a folder that you may write to",
    errno.EROFS: "name a file in a folder that you may write to",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOSPC: "make room there",
    errno.EFBIG: "make room there, or raise the limit on the size of files (ulimit -f)",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
}
if hasattr(errno, "EDQUOT"):  # not on Windows
    _REMEDIES[errno.EDQUOT] = "make room there"
