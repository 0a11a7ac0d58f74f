"""The comparison: in what two records of a pipeline differ, and which differences are too large."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from equibasis.audit.git import git_bytes
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
_NO_STAGE = "it has no such stage: run 'dvc repro' and commit it"

_MOST_NAMED = 4

# Path of a folder, its hashes before and after -> what is known of the files that differ.
Inside = Callable[[str, str, str], str]


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
    """A finding of something that only one of the two records has."""
    return Finding(stage, artifact, verdict, "", "", False, reason)


def compared(
    committed: Mapping[str, Any],
    made: Mapping[str, Any],
    stages: Mapping[str, Stage],
    clone: Path,
    inside: Inside,
    strict: bool,
) -> Iterator[Finding]:
    """The findings of a run: what became of each output of each stage, and changed inputs.

    A dependency that is an output of another stage has to be recorded the same for both; how it
    comes out now is told of the output. A folder that outputs of others lie in has to be as
    recorded where all of them are.
    """
    outputs, now_outputs = (_outputs(record, stages) for record in (committed, made))
    otherwise = [place for place, out in now_outputs.items() if out != outputs.get(place)]
    holders = {str(parent) for place in otherwise for parent in PurePosixPath(place).parents}
    for name, now in made.items():
        if name not in committed:
            yield failure(name, LOCK, _NO_STAGE)
            continue
        stage, then = stages[name], committed[name]
        folders = {stage.place(path): dep for path, dep in by_path(then, "deps").items()}
        known = {place: dep for place, dep in folders.items() if place in holders} | outputs
        deps = [
            {**dep, **known.get(stage.place(dep["path"]), {}), "path": dep["path"]}
            for dep in now.get("deps", [])
        ]
        yield from changed_inputs(name, stage, then, {**now, "deps": deps}, inside)
        before, after = by_path(then, "outs"), by_path(now, "outs")
        for path in {**before, **after}:
            one, other = before.get(path), after.get(path)
            verdict, passed, reason = _judged(stage, path, one, other, clone, inside, strict)
            yield Finding(name, path, verdict, _shown(one), _shown(other), passed, reason)


def _outputs(
    record: Mapping[str, Any], stages: Mapping[str, Stage]
) -> dict[str, Mapping[str, Any]]:
    """What a record says of each output, by its path relative to the project."""
    return {
        stages[name].place(path): out
        for name in record.keys() & stages.keys()
        for path, out in by_path(record[name], "outs").items()
    }


def stale(
    recorded: Mapping[str, Any],
    current: Mapping[str, Any],
    stages: Mapping[str, Stage],
    inside: Inside,
) -> Iterator[Finding]:
    """What dvc.lock records otherwise than it is now; of outputs, those that Git tracks."""
    for name, now in current.items():
        if name not in recorded:
            yield failure(name, LOCK, _NO_STAGE)
            continue
        then = recorded[name]
        yield from changed_inputs(name, stages[name], then, now, inside)
        before, after = by_path(then, "outs"), by_path(now, "outs")
        for path in {**before, **after}:
            one, other = before.get(path), after.get(path)
            if one is None or other is None or not digest(one):
                yield failure(name, path, _CHANGED)
            elif one != other:
                reason = "the file that Git tracks is not the one that dvc.lock records"
                yield Finding(name, path, "different", _shown(one), _shown(other), False, reason)


def not_in_git(untracked: Iterable[tuple[str, str, list[str]]]) -> Iterator[Finding]:
    """Dependencies with files that Git does not track, so that dvc.lock is that of no clone."""
    for name, path, files in untracked:
        named = ", ".join(files[:_MOST_NAMED]) + (", …" if len(files) > _MOST_NAMED else "")
        reason = f"Git does not track {named}, so no clone has it: 'git add' or remove it"
        yield failure(name, f"dependency {path}", reason)


def left_over(committed: Mapping[str, Any], stages: Mapping[str, Stage]) -> Iterator[Finding]:
    """Stages that only dvc.lock has."""
    for name in committed:
        if name not in stages:
            yield failure(name, LOCK, "dvc.yaml has no such stage: take it out of dvc.lock")


def changed_inputs(
    name: str, stage: Stage, then: Mapping[str, Any], now: Mapping[str, Any], inside: Inside
) -> Iterator[Finding]:
    """All but outputs in which two records of a stage differ."""
    before, after = by_path(then, "deps"), by_path(now, "deps")
    for path in {**before, **after}:
        one, other = before.get(path), after.get(path)
        if one != other:
            if one is None:
                reason = "dvc.lock does not record it"
            elif other is None:
                reason = "dvc.lock records it, and dvc.yaml does not name it"
            elif not digest(other):
                reason = "it is not there"
            else:
                reason = _CHANGED + _inside(stage.place(path), one, other, inside)
            yield _difference(name, f"dependency {path}", one, other, reason)
    old, new = parameters(then), parameters(now)
    for parameter in {**old, **new}:
        one, other = old.get(parameter), new.get(parameter)
        if one != other:
            yield _difference(name, f"parameter {parameter}", one, other, _CHANGED)
    for what in sorted({*then, *now} - {"deps", "params", "outs"}):
        if then.get(what) != now.get(what):
            yield _difference(name, what, then.get(what), now.get(what), _CHANGED)


def _difference(stage: str, artifact: str, one: Any, other: Any, reason: str) -> Finding:
    return Finding(stage, artifact, "different", _shown(one), _shown(other), False, reason)


def _judged(
    stage: Stage,
    path: str,
    committed: Mapping[str, Any] | None,
    made: Mapping[str, Any] | None,
    clone: Path,
    inside: Inside,
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
    files = _inside(place, committed, made, inside)
    if strict or PurePosixPath(place).parts[0] in EXACT:
        return "different", False, f"not what HEAD makes{files}"
    if text is not None:
        reason, close = compare_metrics(text, (clone / place).read_bytes(), stage.tolerance)
        return ("within tolerance" if close else "different"), close, reason
    return "different", True, f"may differ from machine to machine{files}"


def _inside(
    place: str, committed: Mapping[str, Any], made: Mapping[str, Any], inside: Inside
) -> str:
    """What is known of the files that differ, if it is a folder."""
    before, after = digest(committed), digest(made)
    return inside(place, before, after) if before.endswith(".dir") else ""


def _at_head(clone: Path, path: str) -> bytes | None:
    """A file as Git has it at HEAD; None if DVC alone keeps it."""
    try:
        return git_bytes(clone, "cat-file", "blob", f"HEAD:./{path}")
    except AuditError:
        return None


def compare_metrics(
    committed: bytes, made: bytes, tolerance: Mapping[str, Mapping[str, float]] | None = None
) -> tuple[str, bool]:
    """The largest difference between two JSON files, and whether it is within the tolerance.

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
    """What the tolerance says of ``cnn.upright.accuracy``: by its last part that it names."""
    named = [tolerance[part] for part in name.split(".") if part in tolerance]
    return named[-1] if named else {}


def _excess(one: Any, other: Any, bounds: Mapping[str, float]) -> float:
    """The difference of two values, in units of the tolerance."""
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
    """A hash, shortened, or a value."""
    if isinstance(value, Mapping):
        return digest(value)[:8]
    return "" if value is None else str(value)
