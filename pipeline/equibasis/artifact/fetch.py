"""`load_basis`: a basis file from here, or from any project's repository through DVC."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from equibasis.artifact import store
from equibasis.errors import (
    BasisFileError,
    EquibasisError,
    MissingExtraError,
    cause,
    file_name,
    naming_extras,
    printable,
    shown,
)
from equibasis.solvers.basis import Basis


def load_basis(
    path: str | os.PathLike[str],
    repo: str | os.PathLike[str] | None = None,
    rev: str | None = None,
) -> Basis:
    """Read a basis file, checking structure, sizes and content hash before believing it.

    Parameters
    ----------
    path
        The file; with ``repo`` or ``rev``, its path from the root of that repository, where DVC or
        Git tracks it.
    repo
        URL or folder of a Git repository. Without it, and with ``rev``, the one around here.
    rev
        A commit, branch or tag. Without it, what is newest: the default branch of a URL, the
        files as they are now of a folder.

    Raises
    ------
    BasisFileError
        If the file is missing, damaged, or not a basis file, saying which part is wrong; if the
        repository, revision, path or its data cannot be had.
    MissingExtraError
        If another repository is to be read, and DVC, or what DVC needs for its remote, is not
        installed.
    """
    if repo is None and rev is None:
        return store.load_basis(path)
    name = Path(file_name(path, BasisFileError)).as_posix()
    repo = None if repo is None else file_name(repo, BasisFileError)
    if rev is not None and not (isinstance(rev, str) and rev.strip()):
        raise BasisFileError(f"rev is a commit, branch or tag as text, such as 'v1', not {rev!r}")
    place = name if repo is None else f"{name} in {repo}"
    place = printable(place + (f" at {rev}" if rev else ""))
    if ".." in Path(name).parts:
        raise _no_file(place)
    try:
        with tempfile.TemporaryDirectory(prefix="equibasis-") as folder:
            local = Path(folder) / "basis.h5"
            _download(name, repo, rev, place, local)
            return store.load_basis(local, place)
    except OSError as error:
        raise BasisFileError(f"{place}: no temporary folder: {cause(error)}") from error


def _download(name: str, repo: str | None, rev: str | None, place: str, local: Path) -> None:
    with naming_extras(place):
        from dvc.api import DVCFileSystem
        from dvc_data.index import DataIndexDirError
    known = False
    try:
        files = DVCFileSystem(repo, rev=rev)
        known = files.info(name)["type"] == "file"  # isfile would hide what is wrong
        if known:
            files.get_file(name, str(local))
    except Exception as error:  # whatever Git, DVC, the network and the library of a remote raise
        on_record = known or isinstance(error, (DataIndexDirError, ImportError))
        if on_record or not _is_about(error, name):
            raise _refusal(place, error, on_record) from shown(error)
    if not known:
        raise _no_file(place)


def _no_file(place: str) -> BasisFileError:
    return BasisFileError(
        f"{place}: there is no such file: name it by its path from the root of the repository"
    )


def _is_about(error: BaseException, name: str) -> bool:
    """Whether it is the file that does not exist, and not a folder that DVC works in."""
    path = str(getattr(error, "filename", ""))
    return isinstance(error, FileNotFoundError) and Path(path).name == Path(name).name


def _refusal(place: str, error: BaseException, on_record: bool) -> EquibasisError:
    """Why there is no such repository, or no data of a file that it has on record."""
    causes = [error]
    while causes[-1].__cause__ is not None:
        causes.append(causes[-1].__cause__)
    first = causes[-1]
    if on_record and isinstance(first, ModuleNotFoundError):
        package = str(first.name).replace("_", "-")
        return MissingExtraError(
            f"{place}: its DVC remote needs {package}, which is not installed: "
            f"pip install {package}"
        )
    line = f"{place}: its data cannot be had" if on_record else place
    if on_record and any(isinstance(each, FileNotFoundError) for each in causes):
        remedy = (
            ": that project needs a DVC remote that you may read ('dvc remote add -d'), and "
            "'dvc push' run where the file was made"
        )
    elif isinstance(first, OSError) and first.errno:  # a folder, the disk or the network
        remedy = ""
        line += f": {first.filename}" if first.filename else ""
    elif on_record:
        remedy = ": that project's DVC remote has to be up, and yours to read"
    else:
        remedy = (
            ": name the URL or folder of a Git repository that you may read, and a commit, branch "
            "or tag of it"
        )
    return BasisFileError(f"{line}: {cause(first)}{remedy}")
