"""The audit: whether a clean clone of HEAD makes what its dvc.lock records, byte for byte."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from equibasis.audit.clone import clean_clone, stage_environment
from equibasis.audit.compare import (
    ABSOLUTE_TOLERANCE,
    RELATIVE_TOLERANCE,
    Finding,
    compared,
    failure,
    left_over,
    not_in_git,
    stale,
)
from equibasis.audit.folders import differing_files
from equibasis.audit.git import git, nobodys
from equibasis.audit.lock import (
    LOCK,
    Stage,
    current_stages,
    defined_stages,
    opened,
    recorded_stages,
    untracked_files,
)
from equibasis.audit.run import Log, reproduce
from equibasis.errors import AuditError


@dataclass(frozen=True)
class Audit:
    """The findings about one commit; ``uncommitted`` counts changes that were left out."""

    commit: str
    uncommitted: int
    findings: list[Finding]

    @property
    def passed(self) -> bool:
        """Whether everything is as it has to be."""
        return all(finding.passed for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        tolerance = {"relative": RELATIVE_TOLERANCE, "absolute": ABSOLUTE_TOLERANCE}
        return asdict(self) | {"passed": self.passed, "tolerance": tolerance}


def audit(
    repository: str | os.PathLike[str] = ".", only: Sequence[str] = (), strict: bool = False
) -> Audit:
    """Clone HEAD, run its pipeline there without any cache, and compare the two dvc.lock files.

    Commands, parameters and sources have to be those that the committed dvc.lock records. Outputs
    in the folders `compare.EXACT` have to be identical, numbers in metrics equal to
    `RELATIVE_TOLERANCE` or `ABSOLUTE_TOLERANCE`. Other outputs (models, curves, figures) may
    differ, unless ``strict``.

    The clone obeys no hook, filter, template or line ending of the user's settings of Git; files
    that only a filter can make, as Git LFS does, are the pointers that Git has.

    Parameters
    ----------
    repository
        The project's folder, which holds dvc.yaml.
    only
        Folders of outputs, such as ``bases``: run no more stages than these need.
    strict
        Ask for identical outputs everywhere.

    Raises
    ------
    AuditError
        If there is nothing to audit: no commit, no dvc.lock, no DVC, no stage that runs.
    """
    project = _project(repository)
    commit, committed = _committed_lock(project)
    with _true_reasons(project), _temporary_folder() as temporary:
        nobody = nobodys(project, temporary)
        status = git(project, "status", "--porcelain", "--", ".", environment=nobody)
        clone = clean_clone(project, commit, temporary, nobody)
        environment = stage_environment(project, clone, temporary)
        with opened(clone) as repo:
            stages = defined_stages(repo)
        chosen = _chosen(stages, only)
        (clone / LOCK).unlink()
        log = reproduce(clone, environment, list(chosen) if only else [], len(chosen))
        lock = clone / LOCK
        made = recorded_stages(lock.read_text("utf-8")) if lock.exists() else {}
        inside = partial(differing_files, project, clone)
        findings = [
            *compared(committed, made, stages, clone, inside, strict),
            *_not_made(chosen, made, log),
            *(left_over(committed, stages) if not only else ()),
        ]
    return Audit(commit, len(status.splitlines()), findings)


def stale_findings(repository: str | os.PathLike[str] = ".") -> list[Finding]:
    """In what dvc.lock is not that of the working tree, found without a run.

    Compared are the stages, their commands, parameters and dependencies, and outputs that Git
    tracks, such as metrics. What DVC alone keeps is not looked at; two stages have to record it
    the same. A file of a dependency that Git does not track is missing in every clone.

    Raises
    ------
    AuditError
        If there is no pipeline, no dvc.lock, or no DVC.
    """
    project = _project(repository)
    for needed in (".dvc", "dvc.yaml", LOCK):
        if not (project / needed).exists():
            raise AuditError(f"cannot audit {project}: there is no {needed}")
    with _true_reasons(project):
        recorded = _readable(f"{project / LOCK}", (project / LOCK).read_text(encoding="utf-8"))
        inside = partial(differing_files, project, project)
        with opened(project) as repo:
            stages = defined_stages(repo)
            return [
                *stale(recorded, current_stages(repo), stages, inside),
                *left_over(recorded, stages),
                *not_in_git(untracked_files(repo)),
            ]


def _project(repository: str | os.PathLike[str]) -> Path:
    if importlib.util.find_spec("dvc") is None:
        raise AuditError("an audit needs DVC: install it with pip install 'equibasis[pipeline]'")
    project = Path(repository).resolve()
    if not project.is_dir():
        raise AuditError(f"{project} is not a folder: name the project's folder by --repo")
    return project


def _committed_lock(project: Path) -> tuple[str, dict[str, Any]]:
    """The commit that HEAD is, and the stages in its dvc.lock."""
    commit = git(project, "log", "-1", "--format=%H", "--no-show-signature").strip()
    text = git(project, "cat-file", "blob", f"{commit}:./{LOCK}")
    return commit, _readable(f"{LOCK} of commit {commit[:7]}", text)


def _readable(name: str, lock: str) -> dict[str, Any]:
    try:
        return recorded_stages(lock)
    except ValueError as error:
        raise AuditError(
            f"{name} cannot be read ({error}): run 'dvc repro' and commit it"
        ) from error


@contextlib.contextmanager
def _temporary_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="equibasis-audit-") as folder:
        yield Path(folder).resolve()


@contextlib.contextmanager
def _true_reasons(project: Path) -> Iterator[None]:
    """What the system refuses, such as space on a full disk, is an `AuditError` that says so."""
    try:
        yield
    except OSError as error:
        place = f": {error.filename}" if error.filename else ""
        raise AuditError(f"cannot audit {project}: {error.strerror or error}{place}") from error


def _chosen(stages: Mapping[str, Stage], only: Sequence[str]) -> dict[str, Stage]:
    """The stages with an output in one of the folders; all of them if no folder is named."""
    folders = {
        name: {each.place(path).partition("/")[0] for path in each.outputs}
        for name, each in stages.items()
    }
    for folder in only:
        if not any(folder in each for each in folders.values()):
            choices = ", ".join(sorted(set().union(*folders.values())))
            raise AuditError(f"no stage has outputs in {folder!r}: --only takes {choices}")
    return {name: stage for name, stage in stages.items() if not only or folders[name] & set(only)}


def _not_made(chosen: Mapping[str, Stage], made: Mapping[str, Any], log: Log) -> Iterator[Finding]:
    """Stages that failed, or that wait for one that failed."""
    for name, stage in chosen.items():
        if name not in made:
            for path in stage.outputs or ["the stage"]:
                yield failure(name, path, log.why(name), "not made")
