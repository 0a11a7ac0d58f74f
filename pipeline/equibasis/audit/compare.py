"""The comparison: in what two records of a pipeline differ, and which differences are too large."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from equibasis.audit.git import changed_files, git_bytes
from equibasis.audit.lock import LOCK, Stage, by_path, digest, flat, parameters
from equibasis.errors import AuditError

# Outputs in these folders have to come out byte-identical, on every machine.
EXACT = ("data", "bases")

# Numbers in metrics files may differ by the larger of these, as other processors round differently:
# held to SSE4.2 in place of AVX-512, errors changed by two millionths; with another seed, by a
# hundredth. Breaches of a symmetry that are rounding alone, about 1e-6, stay below the absolute
# one. A stage says otherwise of its own numbers in dvc.yaml, by `meta: {tolerance: ...}`.
RELATIVE_TOLERANCE = 1e-3
ABSOLUTE_TOLERANCE = 1e-5

_CHANGED = "changed after dvc.lock was made, or dvc.lock was edited"
_NO_STAGE = "dvc.lock has no such stage: run 'dvc repro' and commit it"
_LEFT_OVER = "dvc.yaml has no such stage: take it out of dvc.lock"

_MOST_NAMED = 4


@dataclass(frozen=True)
class Finding:
    """One agreement or difference between dvc.lock at HEAD and after the run.

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


def failure(stage: str, artifact: str, reason: str, verdict: str = "different") -> Finding:
    """Return a finding of something that only one of the two records has."""
    return Finding(stage, artifact, verdict, "", "", False, reason)


# --- records ------------------------------------------------------------------------------------


def differences(
    committed: Mapping[str, Any],
    now: Mapping[str, Any],
    stages: Mapping[str, Stage],
    project: Path,
    outputs: bool = True,
) -> Iterator[Finding]:
    """In what the stages of one record are not those of another, and not those of dvc.yaml."""
    for name, record in now.items():
        if name not in committed:
            yield failure(name, LOCK, _NO_STAGE)
            continue
        for artifact, one, other in _both(
            *(_said(each, outputs) for each in (committed[name], record))
        ):
            if one != other:
                files = _differing_files(project, stages[name], artifact, one)
                shown = _shown(one), _shown(other)
                yield Finding(name, artifact, "different", *shown, False, f"{_CHANGED}{files}")
    for name in committed:
        if name not in stages:
            yield failure(name, LOCK, _LEFT_OVER)


def _said(record: Mapping[str, Any], outputs: bool) -> dict[str, Any]:
    """Read a stage's record, by the names that findings have."""
    return {
        **{f"dependency {path}": each for path, each in by_path(record, "deps").items()},
        **{f"parameter {name}": value for name, value in parameters(record).items()},
        **{what: record[what] for what in record.keys() - {"deps", "params", "outs"}},
        **(by_path(record, "outs") if outputs else {}),
    }


def _both(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    return [(name, then.get(name), now.get(name)) for name in {**then, **now}]


def _differing_files(project: Path, stage: Stage, artifact: str, committed: Any) -> str:
    """Name the files of a folder that differ, as far as Git's history tells."""
    hashed = digest(committed) if isinstance(committed, Mapping) else ""
    if not hashed.endswith(".dir"):
        return ""
    files = changed_files(project, LOCK, hashed, stage.place(artifact.removeprefix("dependency ")))
    more = [f"{len(files) - _MOST_NAMED} more"] if len(files) > _MOST_NAMED else []
    return ": " + ", ".join([*files[:_MOST_NAMED], *more]) if files else ""


def with_outputs_as_committed(
    made: Mapping[str, Any], committed: Mapping[str, Any], stages: Mapping[str, Stage]
) -> dict[str, Any]:
    """Replace each dependency of a run that is an output by that output as it is committed.

    So it has to be recorded the same for both stages; how it comes out now is told of the output. A
    folder that outputs of others lie in has to be as recorded where all of them are.
    """
    outputs, now = _outputs(committed, stages), _outputs(made, stages)
    otherwise = [place for place, out in now.items() if out != outputs.get(place)]
    holders = {str(parent) for place in otherwise for parent in PurePosixPath(place).parents}
    corrected = {}
    for name, record in made.items():
        then = by_path(committed.get(name, {}), "deps")
        deps = []
        for dep in record.get("deps", []):
            place = stages[name].place(dep["path"])
            known = then.get(dep["path"], {}) if place in holders else outputs.get(place, {})
            deps.append({**dep, **known, "path": dep["path"]})
        corrected[name] = {**record, "deps": deps}
    return corrected


def _outputs(
    record: Mapping[str, Any], stages: Mapping[str, Stage]
) -> dict[str, Mapping[str, Any]]:
    """Read the record of each output, by its path relative to the project."""
    return {
        stages[name].place(path): out
        for name in record.keys() & stages.keys()
        for path, out in by_path(record[name], "outs").items()
    }


# --- outputs of a run ---------------------------------------------------------------------------


def judged_outputs(
    committed: Mapping[str, Any],
    made: Mapping[str, Any],
    stages: Mapping[str, Stage],
    clone: Path,
    strict: bool,
) -> Iterator[Finding]:
    """Judge each output of each stage that ran."""
    for name in [name for name in made if name in committed]:
        outputs = (by_path(record[name], "outs") for record in (committed, made))
        for path, one, other in _both(*outputs):
            verdict, passed, reason = _judged(stages[name], path, one, other, clone, strict)
            yield Finding(name, path, verdict, _shown(one), _shown(other), passed, reason)


def _judged(
    stage: Stage,
    path: str,
    committed: Mapping[str, Any] | None,
    made: Mapping[str, Any] | None,
    clone: Path,
    strict: bool,
) -> tuple[str, bool, str]:
    """Verdict, whether it passes, and reason."""
    if committed is None or made is None:
        return "different", False, _CHANGED
    place = stage.place(path)
    text = _at_head(clone, place) if path in stage.metrics else None
    if text is not None and committed.get("hash") == "md5" and committed.get("md5") != _md5(text):
        return "different", False, "the file at HEAD is not the one that dvc.lock records"
    if committed == made:
        return "identical", True, ""
    if digest(committed) == digest(made):
        return "different", False, "of the same hash, but not of the same size: dvc.lock was edited"
    if strict or PurePosixPath(place).parts[0] in EXACT:
        return "different", False, "not what HEAD makes"
    if text is not None:
        reason, close = compare_metrics(text, (clone / place).read_bytes(), stage.tolerance)
        return ("within tolerance" if close else "different"), close, reason
    return "different", True, "may differ from machine to machine"


def _at_head(clone: Path, path: str) -> bytes | None:
    """Return a file as Git has it at HEAD; None if DVC alone keeps it."""
    try:
        return git_bytes(clone, "cat-file", "blob", f"HEAD:./{path}")
    except AuditError:
        return None


def compare_metrics(
    committed: bytes, made: bytes, tolerance: Mapping[str, Mapping[str, float]] | None = None
) -> tuple[str, bool]:
    """Return the largest difference between two JSON files, and whether it is within the tolerance.

    ``tolerance`` is that of a `Stage`.
    """
    try:
        before, after = (flat(json.loads(text)) for text in (committed, made))
    except (ValueError, AttributeError):
        return "not an object in JSON, so that it would have to be identical", False
    if before.keys() != after.keys():
        return "not the same names", False
    excess = {
        name: _excess(value, after[name], _bounds(name, tolerance or {}))
        for name, value in before.items()
    }
    worst = max(excess, key=lambda name: excess[name], default="")
    if not excess.get(worst):
        return "the same numbers", True
    return f"{worst} is {after[worst]}, was {before[worst]}", excess[worst] <= 1


def _bounds(name: str, tolerance: Mapping[str, Mapping[str, float]]) -> Mapping[str, float]:
    """Return the tolerance of ``cnn.upright.accuracy``: by its last part that is named."""
    named = [tolerance[part] for part in name.split(".") if part in tolerance]
    return named[-1] if named else {}


def _excess(one: Any, other: Any, bounds: Mapping[str, float]) -> float:
    """Return the difference of two values, in units of the tolerance."""
    if one == other:
        return 0.0
    if not all(isinstance(each, float) and math.isfinite(each) for each in (one, other)):
        return math.inf
    relative = bounds.get("relative", RELATIVE_TOLERANCE)
    allowed = max(relative * abs(one), bounds.get("absolute", ABSOLUTE_TOLERANCE))
    return abs(one - other) / allowed if allowed else math.inf


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _shown(value: Any) -> str:
    """Tell a record by its hash, shortened, and a value as it is."""
    if isinstance(value, Mapping):
        return digest(value)[:8]
    return "" if value is None else str(value)
