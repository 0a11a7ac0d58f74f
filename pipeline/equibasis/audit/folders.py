"""Which files of a folder differ, where dvc.lock records no more of it than a hash."""

from __future__ import annotations

from pathlib import Path

from equibasis.audit.git import git
from equibasis.audit.lock import LOCK, folder_files

_MOST_NAMED = 4
_WORDS = {"A": "is new", "D": "is gone"}


def differing_files(project: Path, clone: Path, path: str, before: str, after: str) -> str:
    """A clause that names the files, as far as DVC's caches or Git's history tell.

    Parameters
    ----------
    project, clone
        Where DVC's cache may list the folder as dvc.lock records it, and as it is now.
    path
        Of the folder, relative to the project.
    before, after
        Its hashes, as in dvc.lock.
    """
    one, other = folder_files(project, before), folder_files(clone, after)
    if one is None or other is None:
        changes = _changes_in_git(clone, path, before)
    else:
        names = sorted(name for name in {**one, **other} if one.get(name) != other.get(name))
        changes = [
            (name, "A" if name not in one else "D" if name not in other else "M") for name in names
        ]
    if not changes:
        return " (only the folder's hash is known here, not which of its files)"
    named = [f"{name} {_WORDS.get(kind, 'differs')}" for name, kind in changes[:_MOST_NAMED]]
    more = [f"{len(changes) - _MOST_NAMED} more"] if len(changes) > _MOST_NAMED else []
    return f": {', '.join([*named, *more])}"


def _changes_in_git(clone: Path, path: str, before: str) -> list[tuple[str, str]]:
    """Names and kinds of changes below a folder since the commit that brought its hash."""
    plain = ("--no-show-signature", "--no-textconv")
    recorded = git(clone, "log", "-1", "--format=%H", *plain, f"-S{before}", "--", LOCK).strip()
    if not recorded:
        return []
    compared = ("diff", "--name-status", "--no-renames", "--relative", "-z", recorded)
    said = git(clone, *compared, "--", path).split("\0")
    return [
        (name.removeprefix(f"{path}/"), kind)
        for kind, name in zip(said[::2], said[1::2], strict=False)
    ]
