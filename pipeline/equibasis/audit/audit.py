"""The audit: whether a clean clone of HEAD makes what its dvc.lock records, byte for byte."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import math
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import psutil
from rich.table import Table
from rich.text import Text
from tqdm import tqdm

from equibasis.errors import AuditError

# Outputs in these folders have to come out byte-identical, on every machine.
EXACT = ("data", "bases")

# Numbers in metrics files may differ by this much, as other processors round differently: held to
# SSE4.2 in place of AVX-512, errors changed by two millionths; with another seed, by a hundredth.
# Breaches of a symmetry that are rounding alone, about 1e-6, stay below the absolute one.
RELATIVE_TOLERANCE = 1e-3
ABSOLUTE_TOLERANCE = 1e-5

_LOCK = "dvc.lock"
_CHANGED = "changed after dvc.lock was made, or dvc.lock was edited"


@dataclass(frozen=True)
class Finding:
    """What became of one output of a stage, or in what its inputs are not those of dvc.lock.

    Attributes
    ----------
    stage, artifact
        Names.
    verdict
        ``identical``, ``within tolerance``, ``different`` or ``not made``.
    committed, made
        Hash or value in dvc.lock at HEAD, and after the run.
    passed
        Whether this is as it has to be.
    reason
        What differs.
    """

    stage: str
    artifact: str
    verdict: str
    committed: str
    made: str
    passed: bool
    reason: str


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


@dataclass(frozen=True)
class _Stage:
    """A stage as dvc.yaml defines it: paths of its outputs, and those that are metrics."""

    outputs: list[str]
    metrics: list[str]


def audit(
    repository: str | os.PathLike[str] = ".", only: Sequence[str] = (), strict: bool = False
) -> Audit:
    """Clone HEAD, run its pipeline there without any cache, and compare the two dvc.lock files.

    Commands, parameters and sources have to be those that the committed dvc.lock records. Outputs
    in the folders `EXACT` have to be identical, numbers in metrics equal to `RELATIVE_TOLERANCE`
    or `ABSOLUTE_TOLERANCE`. Other outputs (models, curves, figures) may differ, unless ``strict``.

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
    project = Path(repository).resolve()
    commit, committed = _committed_lock(project)
    uncommitted = len(_git(project, "status", "--porcelain", "--", ".").splitlines())
    with _interruptible(), tempfile.TemporaryDirectory(prefix="equibasis-audit-") as folder:
        temporary = Path(folder).resolve()
        clone = _clone(project, commit, temporary)
        environment = _environment(clone, temporary)
        _check_package(clone, environment)
        stages = _stages(clone)
        chosen = _chosen(stages, only)
        (clone / _LOCK).unlink()
        log = _reproduce(clone, environment, chosen if only else (), len(chosen))
        made = _stages_of((clone / _LOCK).read_text("utf-8")) if (clone / _LOCK).exists() else {}
        findings = [
            *_compared(committed, made, stages, clone, strict),
            *_not_made(chosen, made, log),
            *(_left_over(committed, stages) if not only else ()),
        ]
    return Audit(commit, uncommitted, findings)


# --- the commit ----------------------------------------------------------------------------------


def _committed_lock(project: Path) -> tuple[str, dict[str, Any]]:
    """The commit that HEAD is, and the stages in its dvc.lock."""
    if importlib.util.find_spec("dvc") is None:
        raise AuditError("an audit needs DVC: install it with pip install 'equibasis[pipeline]'")
    if not project.is_dir():
        raise AuditError(f"{project} is not a folder: name the project's folder by --repo")
    _git(project, "rev-parse", "--show-toplevel")
    try:
        commit = _git(project, "rev-parse", "--verify", "HEAD^{commit}").strip()
    except AuditError as error:
        raise AuditError(f"cannot audit {project}: it has no commit yet") from error
    try:
        return commit, _stages_of(_git(project, "show", f"{commit}:./{_LOCK}"))
    except ValueError as error:
        raise AuditError(
            f"{_LOCK} of commit {commit[:7]} cannot be read ({error}): run "
            "'dvc repro' and commit it"
        ) from error


def _stages_of(lock: str) -> dict[str, Any]:
    """The stages in the text of a dvc.lock; raises `ValueError`."""
    import yaml

    try:
        stages = yaml.safe_load(lock)["stages"]
        for stage in stages.values():
            for kind in ("deps", "outs"):
                _by_path(stage, kind)
            _parameters(stage)
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{type(error).__name__}: {' '.join(str(error).split())}") from error
    return stages


def _git_bytes(folder: Path, *arguments: str) -> bytes:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], env=_untied(), capture_output=True, check=False
        )
    except FileNotFoundError as error:
        raise AuditError("an audit needs Git: install it") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        reason = next((line for line in said if line.startswith(("fatal:", "error:"))), "")
        raise AuditError(
            f"cannot audit {folder}: git {arguments[0]}: {reason.partition(': ')[2]}; it has to be "
            f"a project's folder in a Git repository, with {_LOCK} committed"
        )
    return done.stdout


def _git(folder: Path, *arguments: str) -> str:
    return os.fsdecode(_git_bytes(folder, *arguments))


def _untied() -> dict[str, str]:
    """The environment without what ties it to a repository, as in a Git hook or a DVC stage."""
    ties = re.compile(
        r"GIT_(DIR|WORK_TREE|INDEX_FILE|PREFIX|COMMON_DIR|OBJECT_DIRECTORY|NAMESPACE"
        r"|ALTERNATE_OBJECT_DIRECTORIES)|DVC_(ROOT|STAGE|EXP_\w+)|DVCLIVE_\w+"
    )
    environment = {name: text for name, text in os.environ.items() if not ties.fullmatch(name)}
    return environment | {"LC_ALL": "C.UTF-8"}  # messages that can be read by programs


# --- the clone -----------------------------------------------------------------------------------


def _clone(project: Path, commit: str, temporary: Path) -> Path:
    """A clone of the commit, with a cache of its own; returns the project's folder in it."""
    top = Path(_git(project, "rev-parse", "--show-toplevel").rstrip("\n")).resolve()
    copy = temporary / "clone"
    _git(top, "clone", "--quiet", "--no-checkout", str(top), str(copy))
    _git(copy, "checkout", "--quiet", "--detach", commit)
    if (copy / ".gitmodules").exists():
        _git(copy, "submodule", "update", "--quiet", "--init", "--recursive")
    clone = copy / project.relative_to(top)
    for needed in (".dvc", "dvc.yaml"):
        if not (clone / needed).exists():
            raise AuditError(f"cannot audit {project}: commit {commit[:7]} has no {needed} there")
    # Of all of DVC's configurations, this one counts most.
    (clone / ".dvc" / "config.local").write_text(
        f'[core]\n    analytics = false\n    site_cache_dir = "{temporary / "site"}"\n'
        f'[cache]\n    dir = "{temporary / "cache"}"\n',
        encoding="utf-8",
    )
    _lend_downloads(project, clone, temporary)
    return clone


def _lend_downloads(project: Path, clone: Path, temporary: Path) -> None:
    """Let the clone find what the project has in a relative data.root, not download it again."""
    import yaml

    try:
        content = yaml.safe_load((clone / "params.yaml").read_text(encoding="utf-8"))
        root = Path(content["data"]["root"])
    except (OSError, ValueError, LookupError, TypeError, yaml.YAMLError):  # it has none
        return
    place = Path(os.path.normpath(clone / root))
    if (project / root).is_dir() and place.is_relative_to(temporary) and not place.exists():
        with contextlib.suppress(OSError):  # Windows wants a privilege for links
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to((project / root).resolve(), target_is_directory=True)


def _environment(clone: Path, temporary: Path) -> dict[str, str]:
    """Where to run the stages: with this Python's programs, and the clone's package."""
    environment = _untied()
    programs = [str(Path(sys.executable).parent), sysconfig.get_path("scripts")]
    environment["PATH"] = os.pathsep.join([*programs, environment.get("PATH", os.defpath)])
    environment["DVC_NO_ANALYTICS"] = "1"
    environment["DVC_SITE_CACHE_DIR"] = str(temporary / "site")
    package = _package(clone)
    if package is not None:
        paths = [str(package.parent), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    return environment


def _package(clone: Path) -> Path | None:
    """The source of this package in the clone; None in a project that only uses it."""
    listed = _git(clone, "ls-files", "-z", "--", ":(glob)**/equibasis/__init__.py").split("\0")
    found = sorted(filter(None, listed), key=len)
    return (clone / found[0]).parent if found else None


def _check_package(clone: Path, environment: Mapping[str, str]) -> None:
    """See to it that the stages run the clone's code, not that of an installation."""
    package = _package(clone)
    if package is None:
        return
    _program("equibasis", environment)
    done = subprocess.run(
        [sys.executable, "-c", "import equibasis; print(equibasis.__file__)"],
        cwd=clone.parent,
        env=environment,
        capture_output=True,
        check=False,
    )
    said = os.fsdecode(done.stdout or done.stderr).strip()
    if Path(said) != package / "__init__.py":
        raise AuditError(
            f"the stages would not run the clone's code but {said or 'nothing'}: install the "
            "package in a new environment, and run the audit from there"
        )


def _program(name: str, environment: Mapping[str, str]) -> str:
    found = shutil.which(name, path=environment["PATH"])
    if found is None:
        raise AuditError(f"no {name} command beside {sys.executable}: install it there")
    return found


def _stages(clone: Path) -> dict[str, _Stage]:
    """The stages of dvc.yaml in the clone."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(clone)) as repo:
            return {
                stage.name: _Stage(
                    [out.def_path for out in stage.outs],
                    [out.def_path for out in stage.outs if out.is_metric],
                )
                for stage in repo.index.stages
                if stage.path_in_repo == "dvc.yaml"
            }
    except DvcException as error:
        reason = str(error).replace(f"{clone}{os.sep}", "")
        raise AuditError(f"DVC cannot read the pipeline of HEAD: {reason}") from error


def _chosen(stages: dict[str, _Stage], only: Sequence[str]) -> dict[str, _Stage]:
    """The stages with an output in one of the folders; all of them if no folder is named."""
    folders = {
        path: PurePosixPath(path).parts[0] for each in stages.values() for path in each.outputs
    }
    for folder in only:
        if folder not in folders.values():
            choices = ", ".join(sorted(set(folders.values())))
            raise AuditError(f"no stage has outputs in {folder!r}: --only takes {choices}")
    return {
        name: stage
        for name, stage in stages.items()
        if not only or any(folders[path] in only for path in stage.outputs)
    }


# --- the run -------------------------------------------------------------------------------------


def _reproduce(
    clone: Path, environment: Mapping[str, str], targets: Sequence[str] | dict[str, Any], count: int
) -> dict[str, list[str]]:
    """Run the pipeline, past stages that fail; returns the lines that each stage printed.

    Raises
    ------
    AuditError
        If DVC runs no stage at all.
    """
    log: dict[str, list[str]] = {"": []}
    stage = ""
    # Not python -m dvc, which would import modules of the project in place of Python's own.
    command = [_program("dvc", environment), "repro", "--force", "--keep-going", *targets]
    with (
        _running(command, clone, environment) as lines,
        tqdm(total=count, desc="audit", disable=None, leave=False) as bar,
    ):
        for line in lines:
            if started := re.match(r"Running stage '(.+)':", line):
                bar.update(stage != "")
                stage = started[1]
                bar.set_description(stage)
            log.setdefault(stage, []).append(line.strip())
    if not stage:
        raise AuditError(f"DVC runs no stage of HEAD: {_complaint(log[''])}")
    return log


@contextlib.contextmanager
def _running(
    command: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> Iterator[Iterator[str]]:
    """The lines that a command prints; afterwards neither it nor what it started runs."""
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    ) as process:
        assert process.stdout is not None
        try:
            yield iter(process.stdout)
            process.wait()
        finally:
            with contextlib.suppress(psutil.NoSuchProcess):
                parent = psutil.Process(process.pid)
                parent.suspend()  # so that it starts nothing more
                for each in [*parent.children(recursive=True), parent]:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        each.kill()


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Take a request to end for Ctrl-C, so that nothing is left behind."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {}
    with contextlib.suppress(ValueError):  # not in the main thread, which signals go to
        for name in ("SIGTERM", "SIGHUP"):
            if hasattr(signal, name):
                number = getattr(signal, name)
                before[number] = signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _complaint(lines: Sequence[str]) -> str:
    """The line that says what went wrong."""
    wrong = [line for line in lines if re.match(r"(equibasis|ERROR|WARNING):", line)]
    return next(iter([*wrong, *reversed(lines)]), "it printed nothing")


# --- the comparison ------------------------------------------------------------------------------


def _compared(
    committed: Mapping[str, Any],
    made: Mapping[str, Any],
    stages: Mapping[str, _Stage],
    clone: Path,
    strict: bool,
) -> Iterator[Finding]:
    """What came of each stage that ran."""
    outputs = {
        path: out for stage in committed.values() for path, out in _by_path(stage, "outs").items()
    }
    for name, now in made.items():
        if name not in committed:
            yield _failure(name, _LOCK, "it has no such stage: run 'dvc repro' and commit it")
            continue
        then = committed[name]
        yield from _changed_inputs(name, then, now, outputs)
        before, after = _by_path(then, "outs"), _by_path(now, "outs")
        for path in {**before, **after}:
            text = _at_head(clone, path) if path in stages[name].metrics else None
            exact = strict or PurePosixPath(path).parts[0] in EXACT
            verdict, passed, reason = _judged(
                before.get(path), after.get(path), text, clone / path, exact
            )
            yield Finding(
                name,
                path,
                verdict,
                _shown(before.get(path)),
                _shown(after.get(path)),
                passed,
                reason,
            )


def _changed_inputs(
    stage: str,
    then: Mapping[str, Any],
    now: Mapping[str, Any],
    outputs: Mapping[str, dict[str, Any]],
) -> Iterator[Finding]:
    """All but outputs in which two records of a stage differ.

    A dependency that is an output of another stage has to be recorded alike for both; how it
    comes out now is told of the output.
    """
    before, after = _by_path(then, "deps"), _by_path(now, "deps")
    after |= {path: outputs[path] for path in after if path in outputs}
    old, new = (_parameters(each) for each in (then, now))
    rest = {*then, *now} - {"deps", "params", "outs"}
    compared = [
        *(
            (f"dependency {path}", before.get(path), after.get(path))
            for path in {**before, **after}
        ),
        *((f"parameter {name}", old.get(name), new.get(name)) for name in {**old, **new}),
        *((name, then.get(name), now.get(name)) for name in sorted(rest)),
    ]
    for what, one, other in compared:
        if one != other:
            yield Finding(stage, what, "different", _shown(one), _shown(other), False, _CHANGED)


def _judged(
    committed: Mapping[str, Any] | None,
    made: Mapping[str, Any] | None,
    text: bytes | None,
    path: Path,
    exact: bool,
) -> tuple[str, bool, str]:
    """Verdict, whether it passes, and reason; ``text`` is a metrics file as Git has it."""
    if committed is None or made is None:
        return "different", False, _CHANGED
    if text is not None and committed.get("hash") == "md5" and committed.get("md5") != _md5(text):
        return "different", False, "the file at HEAD is not the one that dvc.lock records"
    if committed == made:
        return "identical", True, ""
    if _hash(committed) == _hash(made):
        return "different", False, "of the same hash, but not of the same size: dvc.lock was edited"
    if exact:
        return "different", False, "not what HEAD makes"
    if text is not None:
        reason, close = compare_metrics(text, path.read_bytes())
        return ("within tolerance" if close else "different"), close, reason
    return "different", True, "may differ from machine to machine"


def compare_metrics(committed: bytes, made: bytes) -> tuple[str, bool]:
    """The largest difference between two JSON files, and whether it is within the tolerance."""
    try:
        before, after = (_flat(json.loads(text)) for text in (committed, made))
    except (ValueError, AttributeError):
        return "not an object in JSON, so that it would have to be identical", False
    if before.keys() != after.keys():
        return "not the same names", False
    excess = {name: _excess(value, after[name]) for name, value in before.items()}
    worst = max(excess, key=lambda name: excess[name], default="")
    if not excess.get(worst):
        return "the same numbers", True
    return f"{worst} is {after[worst]}, was {before[worst]}", excess[worst] <= 1


def _excess(one: Any, other: Any) -> float:
    """The difference of two values, in units of the tolerance."""
    if one == other:
        return 0.0
    if not all(isinstance(each, float) and math.isfinite(each) for each in (one, other)):
        return math.inf
    return abs(one - other) / max(RELATIVE_TOLERANCE * abs(one), ABSOLUTE_TOLERANCE)


def _not_made(
    chosen: Mapping[str, _Stage], made: Mapping[str, Any], log: Mapping[str, list[str]]
) -> Iterator[Finding]:
    """Stages that failed, or that wait for one that failed."""
    for name, stage in chosen.items():
        if name not in made:
            reason = _complaint(log[name]) if name in log else "a stage that it needs failed"
            for path in stage.outputs or ["the stage"]:
                yield _failure(name, path, reason, "not made")


def _left_over(committed: Mapping[str, Any], stages: Mapping[str, _Stage]) -> Iterator[Finding]:
    for name in committed:
        if name not in stages:
            yield _failure(name, _LOCK, "dvc.yaml has no such stage: take it out of dvc.lock")


def _failure(stage: str, artifact: str, reason: str, verdict: str = "different") -> Finding:
    return Finding(stage, artifact, verdict, "", "", False, reason)


def _at_head(clone: Path, path: str) -> bytes | None:
    """A file as Git has it at HEAD; None if DVC alone keeps it."""
    try:
        return _git_bytes(clone, "show", f"HEAD:./{path}")
    except AuditError:
        return None


def _by_path(stage: Mapping[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """The dependencies or outputs of a stage in dvc.lock."""
    return {each["path"]: dict(each) for each in stage.get(kind, [])}


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """``{"a": {"b": 1}}`` -> ``{"a.b": 1}``."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        flat |= _flat(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return flat


def _parameters(stage: Mapping[str, Any]) -> dict[str, Any]:
    """As one names them to DVC: ``train.lr``, or ``other.yaml:size`` in another file."""
    return {
        name if file == "params.yaml" else f"{file}:{name}": value
        for file, content in stage.get("params", {}).items()
        for name, value in _flat(content).items()
    }


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _hash(entry: Mapping[str, Any]) -> str:
    return str(entry.get(entry.get("hash", "md5"), ""))


def _shown(value: Any) -> str:
    """A hash, shortened, or a value."""
    if isinstance(value, Mapping):
        return _hash(value)[:8]
    return "" if value is None else str(value)


# --- what is said about it -----------------------------------------------------------------------

_STYLES = {"identical": "green", "within tolerance": "yellow"}


def verdict_line(found: Audit) -> str:
    """One line: how many artifacts came out how, and the first thing that is wrong."""
    counts = dict.fromkeys(("identical", "within tolerance", "different", "not made"), 0)
    for finding in found.findings:
        counts[finding.verdict] += 1
    said = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    wrong = [finding for finding in found.findings if not finding.passed]
    if not wrong:
        return f"commit {found.commit[:7]} passes: {said}"
    stages = ", ".join(dict.fromkeys(finding.stage for finding in wrong))
    first = wrong[0]
    return (
        f"commit {found.commit[:7]} fails in {stages}: {said}; first {first.artifact}: "
        f"{first.reason}"
    )


def findings_table(found: Audit) -> Table:
    """A row for each finding."""
    table = Table()
    for column in ("stage", "artifact", "verdict", "committed", "made", "reason"):
        table.add_column(column, overflow="fold")
    for each in found.findings:
        style = _STYLES.get(each.verdict, "yellow" if each.passed else "red")
        table.add_row(
            Text(each.stage),
            Text(each.artifact),
            Text(each.verdict, style),
            Text(each.committed),
            Text(each.made),
            Text(each.reason),
        )
    return table


def summary(found: Audit) -> str:
    """The same in Markdown: what differs first, then everything."""
    differing = [each for each in found.findings if each.verdict != "identical"]
    return (
        f"### Audit on Python {platform.python_version()}, {platform.system()} "
        f"{platform.machine()}\n\n{verdict_line(found)}\n\n"
        + (_markdown(differing) if differing else "Everything is identical.\n")
        + f"\n<details><summary>All of it</summary>\n\n{_markdown(found.findings)}\n</details>\n"
    )


def _markdown(findings: Sequence[Finding]) -> str:
    rows = [("stage", "artifact", "verdict", "committed", "made", "reason"), ("---",) * 6]
    rows += [
        (each.stage, each.artifact, each.verdict, each.committed, each.made, each.reason)
        for each in findings
    ]
    return "".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |\n" for row in rows
    )
