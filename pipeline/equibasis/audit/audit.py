"""The audit: whether a clean clone of HEAD makes what its dvc.lock records, byte for byte."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from equibasis.audit.clone import clean_clone, stage_environment
from equibasis.audit.compare import (
    ABSOLUTE_TOLERANCE,
    RELATIVE_TOLERANCE,
    Finding,
    differences,
    failure,
    judged_outputs,
    with_outputs_as_committed,
)
from equibasis.audit.git import git, nobodys
from equibasis.audit.lock import (
    LOCK,
    Stage,
    current_stages,
    defined_stages,
    opened,
    recorded_stages,
)
from equibasis.audit.run import reproduce, why
from equibasis.errors import AuditError


@dataclass(frozen=True)
class Audit:
    """The findings about one commit; ``uncommitted`` counts changes that were left out.

    ``commit`` is ``None`` where nothing was run, and the working tree was looked at.
    """

    commit: str | None
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
    commit = git(project, "log", "-1", "--format=%H", "--no-show-signature").strip()
    text = git(project, "cat-file", "blob", f"{commit}:./{LOCK}")
    committed = _readable(f"{LOCK} of commit {commit[:7]}", text)
    with tempfile.TemporaryDirectory(prefix="equibasis-audit-") as folder:
        temporary = Path(folder).resolve()
        nobody = nobodys(temporary)
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
        now = with_outputs_as_committed(made, committed, stages)
        findings = [
            *differences(committed, now, stages, clone, outputs=False),
            *judged_outputs(committed, made, stages, clone, strict),
            *(
                failure(name, path, why(log, name), "not made")
                for name, stage in chosen.items()
                if name not in made
                for path in stage.outputs or ["the stage"]
            ),
        ]
    return Audit(commit, len(status.splitlines()), findings)


def audit_lock(repository: str | os.PathLike[str] = ".") -> Audit:
    """In what dvc.lock is not that of the working tree, found without a run.

    Compared are the stages, their commands, parameters and dependencies, and outputs that Git
    tracks, such as metrics. What DVC alone keeps is not looked at; two stages have to record it
    the same.

    Raises
    ------
    AuditError
        If there is no pipeline, no dvc.lock, or no DVC.
    """
    project = _project(repository)
    for needed in (".dvc", "dvc.yaml", LOCK):
        if not (project / needed).exists():
            raise AuditError(f"cannot audit {project}: there is no {needed}")
    recorded = _readable(f"{project / LOCK}", (project / LOCK).read_text(encoding="utf-8"))
    with opened(project) as repo:
        stages, current = defined_stages(repo), current_stages(repo)
    return Audit(None, 0, [*differences(recorded, current, stages, project)])


def _project(repository: str | os.PathLike[str]) -> Path:
    if importlib.util.find_spec("dvc") is None:
        raise AuditError("an audit needs DVC: install it with pip install 'equibasis[pipeline]'")
    project = Path(repository).resolve()
    if not project.is_dir():
        raise AuditError(f"{project} is not a folder: name the project's folder by --repo")
    return project


def _readable(name: str, lock: str) -> dict[str, Any]:
    try:
        return recorded_stages(lock)
    except ValueError as error:
        raise AuditError(
            f"{name} cannot be read ({error}): run 'dvc repro' and commit it"
        ) from error


def _chosen(stages: Mapping[str, Stage], only: Sequence[str]) -> dict[str, Stage]:
    """Return the stages with an output in one of the folders; all of them if no folder is named."""
    folders = {
        name: {each.place(path).partition("/")[0] for path in each.outputs}
        for name, each in stages.items()
    }
    for folder in only:
        if not any(folder in each for each in folders.values()):
            choices = ", ".join(sorted(set().union(*folders.values())))
            raise AuditError(f"no stage has outputs in {folder!r}: --only takes {choices}")
    return {name: stage for name, stage in stages.items() if not only or folders[name] & set(only)}
