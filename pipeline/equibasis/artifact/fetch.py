"""`load_basis`: a basis file from here, or from any project's repository through DVC."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from equibasis.artifact import store
from equibasis.errors import BasisFileError
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
        If the file is missing, damaged, or not a basis file, saying which part is wrong; if DVC is
        not installed, or the repository, revision, path or its data cannot be had.
    """
    if repo is None and rev is None:
        return store.load_basis(path)
    name = Path(path).as_posix()
    place = name if repo is None else f"{name} in {os.fspath(repo)}"
    place += f" at {rev}" if rev else ""
    with tempfile.TemporaryDirectory(prefix="equibasis-") as folder:
        local = Path(folder) / "basis.h5"
        _download(name, None if repo is None else os.fspath(repo), rev, place, local)
        try:
            return store.load_basis(local)
        except BasisFileError as error:
            reason = str(error).removeprefix(f"{local}: ")
            raise BasisFileError(f"{place}: {reason}") from error


def _download(name: str, repo: str | None, rev: str | None, place: str, local: Path) -> None:
    try:
        from dvc.api import DVCFileSystem
    except ImportError as error:
        raise BasisFileError(
            f"{place}: DVC is needed to read other repositories: pip install dvc"
        ) from error
    try:
        files = DVCFileSystem(repo, rev=rev)
        known = files.info(name)["type"] == "file"  # isfile would hide what is wrong
    except FileNotFoundError:
        known = False
    except Exception as error:  # whatever Git, DVC and the network may raise
        raise BasisFileError(
            f"{place}: {_reason(error)}: name the URL or folder of a Git repository that you may "
            "read, and a commit, branch or tag of it"
        ) from error
    if not known:
        raise BasisFileError(
            f"{place}: there is no such file: name it by its path from the root of the repository"
        )
    try:
        files.get_file(name, str(local))
    except Exception as error:  # whatever the library of a remote raises
        raise BasisFileError(
            f"{place}: its data cannot be had ({_reason(error)}): run 'dvc push' where it was "
            "made, or ask for access to that project's remote"
        ) from error


def _reason(error: BaseException) -> str:
    """What the innermost cause says."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error) or type(error).__name__
