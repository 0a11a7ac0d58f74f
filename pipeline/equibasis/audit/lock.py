"""dvc.lock: the stages it records, and those it would record of the files there are now."""

from __future__ import annotations

import contextlib
import math
import os
import posixpath
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from equibasis.audit.git import git
from equibasis.errors import AuditError

LOCK = "dvc.lock"


@dataclass(frozen=True)
class Stage:
    """A stage as dvc.yaml defines it.

    Attributes
    ----------
    folder
        Where its command runs, which its paths are relative to; itself relative to the project.
    outputs, metrics
        Paths of all outputs, and of those that are metrics.
    tolerance
        What its ``meta`` says of that: by part of a number's name, ``absolute`` and ``relative``.
    """

    folder: str = "."
    outputs: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    tolerance: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def place(self, path: str) -> str:
        """Return a path of this stage, relative to the project."""
        return posixpath.normpath(posixpath.join(self.folder, path))


def recorded_stages(lock: str) -> dict[str, Any]:
    """Read the stages in the text of a dvc.lock; raises `ValueError`."""
    from dvc.utils.serialize import ParseError, parse_yaml

    try:
        stages = parse_yaml(lock, LOCK)["stages"]  # as DVC reads numbers, not as PyYAML does
        for stage in stages.values():
            for kind in ("deps", "outs"):
                by_path(stage, kind)
            parameters(stage)
    except (ParseError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{type(error).__name__}: {' '.join(str(error).split())}") from error
    return dict(stages)


def by_path(stage: Mapping[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """Return the dependencies (``deps``) or outputs (``outs``) of a stage in dvc.lock.

    Without the executable bit, which DVC records but does not compare.
    """
    return {
        each["path"]: {key: value for key, value in each.items() if key != "isexec"}
        for each in stage.get(kind, [])
    }


def parameters(stage: Mapping[str, Any]) -> dict[str, Any]:
    """As one names them to DVC: ``train.lr``, or ``other.yaml:size`` in another file."""
    return {
        name if file == "params.yaml" else f"{file}:{name}": value
        for file, content in stage.get("params", {}).items()
        for name, value in flat(content).items()
    }


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten a mapping: ``{"a": {"b": 1}}`` -> ``{"a.b": 1}``."""
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        leaves |= flat(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return leaves


def digest(entry: Mapping[str, Any]) -> str:
    """Return the hash of a dependency or output in dvc.lock."""
    return str(entry.get(entry.get("hash", "md5"), ""))


# --- DVC -----------------------------------------------------------------------------------------


@contextlib.contextmanager
def opened(project: Path) -> Iterator[Any]:
    """Open a project, a `dvc.repo.Repo`; what DVC complains of is an `AuditError`."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from scmrepo.exceptions import SCMError

    # DVC's database of hashes starts empty, so that each is of a file as it is now.
    with tempfile.TemporaryDirectory(prefix="equibasis-audit-", ignore_cleanup_errors=True) as site:
        try:
            with Repo(str(project), config={"core": {"site_cache_dir": site}}) as repo:
                yield repo
        except (DvcException, SCMError) as error:
            reason, cause = str(error), str(error.__cause__ or "")
            reason += f": {cause}" if cause not in reason else ""
            for folder in (str(project), os.path.relpath(project)):
                reason = reason.replace(f"{folder}{os.sep}", "")
            raise AuditError(f"DVC cannot read the pipeline: {reason}") from error


def defined_stages(repo: Any) -> dict[str, Stage]:
    """Return the stages that dvc.yaml defines; raises `AuditError`."""
    return {
        stage.name: Stage(
            Path(os.path.relpath(stage.wdir, repo.root_dir)).as_posix(),
            tuple(out.def_path for out in stage.outs),
            tuple(out.def_path for out in stage.outs if out.is_metric),
            _tolerance(stage),
        )
        for stage in _pipeline(repo)
    }


def _tolerance(stage: Any) -> dict[str, dict[str, float]]:
    """Read a stage's ``meta: {tolerance: {accuracy: {absolute: 0.03}}}`` in dvc.yaml."""
    tolerance = stage.meta.get("tolerance", {}) if isinstance(stage.meta, dict) else {}
    bounds = tolerance.values() if isinstance(tolerance, dict) else [tolerance]
    for each in bounds:
        numbers = each.values() if isinstance(each, dict) else [each]
        if (
            not isinstance(each, dict)
            or not each.keys() <= {"absolute", "relative"}
            or not all(
                type(number) in (int, float) and 0 <= number < math.inf for number in numbers
            )
        ):
            raise AuditError(
                f"meta.tolerance of the stage {stage.name} in dvc.yaml is {tolerance!r}, not of "
                "the form {accuracy: {absolute: 0.03, relative: 0}}"
            )
    return {str(name): dict(each) for name, each in tolerance.items()}


def _pipeline(repo: Any) -> list[Any]:
    return [stage for stage in repo.index.stages if stage.path_in_repo == "dvc.yaml"]


def current_stages(repo: Any) -> dict[str, Any]:
    """Return the stages as dvc.lock would record them if all outputs were made of what is now.

    Commands, parameters and files are those of the working tree. What only a run can tell is
    taken from dvc.lock: outputs that DVC keeps, and dependencies on them from the stage that made
    them. (A dependency on one file of a folder that is an output is as its own stage recorded it.)
    """
    from dvc.stage.serialize import to_single_stage_lockfile

    project = Path(repo.root_dir)
    in_git = _with_parents(
        project / name for name in git(project, "ls-files", "-z").split("\0") if name
    )
    kept = {Path(out.fs_path): out for out in repo.index.outs if out.use_cache}
    around = _with_parents(kept)
    stages = {}
    for stage in _pipeline(repo):
        for item in [*stage.deps, *stage.outs]:
            path = Path(item.fs_path)
            if path in kept:
                item.meta, item.hash_info = kept[path].meta, kept[path].hash_info
            elif _is_made_or_elsewhere(item, kept, around):
                pass
            elif item.IS_DEPENDENCY or path in in_git:
                _look_again(item)
        stages[stage.name] = dict(to_single_stage_lockfile(stage))
    return stages


def _with_parents(paths: Iterable[Path]) -> set[Path]:
    return {each for path in paths for each in (path, *path.parents)}


def _is_made_or_elsewhere(item: Any, outputs: Collection[Path], around: Set[Path]) -> bool:
    """Whether a dependency or output is in what a stage or DVC keeps, or around it; or no file."""
    path = Path(item.fs_path)
    return not item.is_in_repo or path in around or any(each in outputs for each in path.parents)


def _look_again(item: Any) -> None:
    """Set what dvc.lock records of a dependency or output to what is there now."""
    from dvc.dependency import DatasetDependency, ParamsDependency
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.meta import Meta

    if isinstance(item, ParamsDependency):
        item.hash_info = HashInfo(item.PARAM_PARAMS, item.read_params())
    elif isinstance(item, DatasetDependency):
        pass
    elif item.exists:
        item.save()
    else:
        item.meta, item.hash_info = Meta(), HashInfo()
