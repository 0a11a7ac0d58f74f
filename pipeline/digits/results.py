"""What earlier stages found, for the reports: metrics, curves and times; and names for people."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from digits.paths import TIMINGS
from equibasis.errors import ModelError, cannot_read
from equibasis.files import read_text


def metrics_of(models: Sequence[str], path: Path, command: str) -> dict[str, Any]:
    """Read the metrics of models from a file.

    Raises
    ------
    ModelError
        If the file cannot be read or lacks a model, naming the command that makes it.
    """
    metrics = _read_json(path, command)
    if missing := [name for name in models if name not in metrics]:
        raise ModelError(f"{path} has nothing of {missing[0]}: make it with '{command}'")
    return metrics


def training_curve(folder: Path, model: str, metric: str) -> list[float]:
    """Read a metric of each epoch; raises `ModelError` if there is no such curve."""
    path = folder / model / "plots" / "metrics" / f"{metric}.tsv"
    try:
        rows = csv.DictReader(read_text(path).splitlines(), delimiter="\t")
        return [float(row[metric]) for row in rows]
    except (OSError, KeyError, ValueError) as error:
        remedy = f"make it with 'python pipeline train {model}'"
        raise ModelError(cannot_read(path, error, remedy)) from error


def seconds_per_epoch() -> dict[str, str]:
    """Read how long an epoch of each model took, of those that were timed."""
    timings = _read_json(TIMINGS, "python pipeline train MODEL") if TIMINGS.exists() else {}
    return {model: f"{each['seconds_per_epoch']:.3f}" for model, each in timings.items()}


def label(name: str) -> str:
    """``standard_augmented`` -> ``standard, augmented``."""
    return name.replace("_", ", ")


def angle(element: str) -> str:
    """``r90`` -> ``90°``; ``f90`` -> ``mirror 90°``; other names as they are."""
    kind, degrees = element[:1], element[1:]
    if kind in "rf" and degrees.isdigit():
        return f"{degrees}°" if kind == "r" else f"mirror {degrees}°"
    return element


def _read_json(path: Path, command: str) -> dict[str, Any]:
    try:
        return dict(json.loads(read_text(path)))
    except (OSError, ValueError) as error:
        raise ModelError(cannot_read(path, error, f"make it with '{command}'")) from error
