"""Stage `report_classifiers`: pictures of kernels and answers, and the table of accuracies."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.table import Table

from digits.data import CLASSES
from digits.figures import confusion_figure, curves_figure, kernels_figure, symmetries_figure
from digits.parameters import Parameters
from digits.paths import (
    BASES,
    CLASSIFICATION,
    CLASSIFIER_CURVES,
    CLASSIFIER_FIGURES,
    CLASSIFIERS,
    PREDICTIONS,
)
from digits.results import angle, label, metrics_of, seconds_per_epoch, training_curve
from digits.weights import load_classifier
from equibasis.errors import ModelError, cannot_read
from equibasis.files import read_text
from equibasis.show.figures import save_figure
from equibasis.show.tables import print_table

# Test sets that confusions are drawn of.
_DRAWN = ("upright", "turned")

_COMMAND = "python pipeline score"

_CAPTION = "share of test digits taken for what they are; largest relative change of an answer"


def run(parameters: Parameters) -> None:
    """Draw every figure and print the table of results."""
    names = parameters.classify.run
    metrics = metrics_of(names, CLASSIFICATION, _COMMAND)
    CLASSIFIER_FIGURES.mkdir(parents=True, exist_ok=True)
    if not names:
        print("classify.run names no classifier: nothing to draw")
        return
    _draw_kernels(names)
    confusions = {label(name): _confusions(name) for name in names}
    save_figure(confusion_figure(confusions), CLASSIFIER_FIGURES / "confusion.png")
    curves = {label(name): training_curve(CLASSIFIER_CURVES, name, "train_loss") for name in names}
    save_figure(curves_figure(curves, "cross entropy"), CLASSIFIER_FIGURES / "curves.png")
    errors = {
        label(name): {move: 1 - accuracy for move, accuracy in metrics[name]["symmetries"].items()}
        for name in names
    }
    save_figure(symmetries_figure(errors), CLASSIFIER_FIGURES / "symmetries.png")
    print_table(accuracy_table(metrics, seconds_per_epoch()))


def accuracy_table(metrics: dict[str, Any], seconds: dict[str, str]) -> Table:
    """Tabulate the results, a row for each model; times are left out where none were taken."""
    table = Table(caption=_CAPTION)
    table.add_column("model")
    for column in (
        "channels", "parameters", "upright", "turned", "mirrored", "error, turns", "error, mirrors",
        "s / epoch",
    ):  # fmt: skip
        table.add_column(column, justify="right")
    for name, row in metrics.items():
        table.add_row(
            label(name),
            ", ".join(map(str, row["channels"])),
            f"{row['parameters']:,}",
            *(f"{row[of]['accuracy']:.4f}" for of in ("upright", "turned", "mirrored")),
            *(f"{row['invariance_error'][of]:.1e}" for of in ("turns", "mirrors")),
            seconds.get(name, "-"),
        )
    return table


def _draw_kernels(names: Sequence[str]) -> None:
    """Of the first convolution of each model whose group has more than one element."""
    kernels, elements = {}, {}
    for name in names:
        model, _ = load_classifier(CLASSIFIERS / f"{name}.safetensors", BASES)
        group = model.fields[0].elements
        if len(group) > 1:
            kernels[label(name)] = model.first_kernels().unflatten(0, (-1, len(group))).numpy()
            elements[label(name)] = [angle(element) for element in group]
    if kernels:
        save_figure(kernels_figure(kernels, elements), CLASSIFIER_FIGURES / "kernels.png")


def _confusions(name: str) -> dict[str, np.ndarray]:
    """How many digits of each kind are taken for which, (digits, answers), by test set."""
    path = PREDICTIONS / f"{name}.csv"
    confusions = {of: np.zeros((CLASSES, CLASSES), dtype=np.int64) for of in _DRAWN}
    try:
        for row in csv.DictReader(read_text(path).splitlines()):
            for of, counts in confusions.items():
                counts[int(row["digit"]), int(row[of])] += 1
    except (OSError, LookupError, ValueError, TypeError) as error:
        raise ModelError(cannot_read(path, error, f"make it with '{_COMMAND}'")) from error
    return confusions
