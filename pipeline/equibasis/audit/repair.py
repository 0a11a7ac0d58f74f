"""What a killed `dvc repro` can leave that would stop the next one, put right."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from equibasis.errors import EquibasisError


def mend(project: Path) -> list[str]:
    """Put right what DVC does not write whole; returns what was done, a line each.

    DVC writes dvc.lock and .dvc/tmp/rwlock in place: a process killed at that moment leaves them
    cut short. While another DVC process is at work, nothing is touched.

    Raises
    ------
    EquibasisError
        If the folder is in no DVC project.
    """
    from dvc.exceptions import NotDvcRepoError
    from dvc.lock import LockError
    from dvc.repo import Repo

    try:
        with Repo(str(project)) as repo, repo.lock:
            return [*_mend_record(repo), *_mend_locks(Path(repo.tmp_dir) / "rwlock")]
    except NotDvcRepoError as error:
        raise EquibasisError(f"{error}: run in a project's folder") from error
    except LockError:
        return []


def _mend_record(repo: Any) -> Iterator[str]:
    """Set a dvc.lock aside that DVC cannot read: it makes a new one, from its cache of runs."""
    from dvc.dvcfile import Lockfile
    from dvc.exceptions import DvcException

    path = Path(repo.root_dir) / "dvc.lock"
    try:
        Lockfile(repo, str(path)).load()
    except DvcException:
        # A merge's conflicts are somebody's to resolve; DVC will say so.
        if b"\n<<<<<<< " not in b"\n" + path.read_bytes():
            path.replace(path.with_name("dvc.lock.tmp"))
            yield "dvc.lock was cut short: it is now dvc.lock.tmp, and DVC makes it anew"


def _mend_locks(path: Path) -> Iterator[str]:
    """Remove DVC's list of locks on files if it is cut short, or its holders are long dead."""
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        written = path.stat().st_mtime
        holders = [*held.get("write", {}).values()]
        holders += [each for readers in held.get("read", {}).values() for each in readers]
        dead = bool(holders) and not any(_holds(each["pid"], written) for each in holders)
    except FileNotFoundError:
        return
    except (ValueError, TypeError, KeyError, AttributeError):
        dead = True
    if dead:
        path.unlink()
        yield f"{path.name} in .dvc/tmp was of processes that are dead: removed"


def _holds(pid: int, written: float) -> bool:
    """Whether a process lives that may have written a file then; a number is used again."""
    try:
        return bool(psutil.Process(pid).create_time() <= written)
    except psutil.Error:
        return False
