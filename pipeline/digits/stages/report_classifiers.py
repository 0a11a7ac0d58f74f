"""Stage `report_classifiers`: pictures of kernels and answers, and the table of accuracies."""

from __future__ import annotations

import csv
from typing import Any

import numpy as np
from rich.table import Table

from digits.config import CLASSIFIERS
from digits.data import CLASSES
from digits.figures import confusion_figure, curves_figure, kernels_figure, symmetries_figure
from digits.parameters import Parameters
from digits.paths import BASES, CLASSIFICATION, FIGURES, MODELS, PREDICTIONS
from digits.results import angle, label, metrics_of, seconds_per_epoch, training_curve
from digits.weights import load_classifier
from equibasis.errors import ModelError, cannot_read
from equibasis.files import read_text
from equibasis.show.figures import save_figure
from equibasis.show.tables import print_table

# Test sets that confusions are drawn of.
_DRAWN = ("upright", "turned")

_COMMAND = "python pipeline evaluate-classifiers"


def run(parameters: Parameters) -> None:
    """Draw every figure and print the table of results."""
    metrics = metrics_of(CLASSIFIERS, CLASSIFICATION, _COMMAND)
    FIGURES.mkdir(parents=True, exist_ok=True)
    _draw_kernels(parameters)
    confusions = {label(name): _confusions(name) for name in CLASSIFIERS}
    save_figure(confusion_figure(confusions), FIGURES / "confusion.png")
    curves = {label(name): training_curve(name, "train_loss") for name in CLASSIFIERS}
    save_figure(curves_figure(curves, "cross entropy"), FIGURES / "classifier_curves.png")
    errors = {
        label(name): {move: 1 - accuracy for move, accuracy in metrics[name]["symmetries"].items()}
        for name in CLASSIFIERS
    }
    save_figure(symmetries_figure(errors), FIGURES / "symmetries.png")
    print_table(accuracy_table(metrics, seconds_per_epoch()))


def accuracy_table(metrics: dict[str, Any], seconds: dict[str, str]) -> Table:
    """A row for each model; times are left out where they were not taken."""
    table = Table(caption="share of test digits that are taken for what they are")
    table.add_column("model")
    for column in (
        "channels", "parameters", "upright", "turned", "mirrored", "invariance error", "s / epoch",
    ):  # fmt: skip
        table.add_column(column, justify="right")
    for name, row in metrics.items():
        table.add_row(
            label(name),
            ", ".join(map(str, row["channels"])),
            f"{row['parameters']:,}",
            *(f"{row[of]['accuracy']:.4f}" for of in ("upright", "turned", "mirrored")),
            f"{row['invariance_error']:.1e}",
            seconds.get(name, "-"),
        )
    return table


def _draw_kernels(parameters: Parameters) -> None:
    """Of the first convolution of each model that has a group to speak of, and is not narrow."""
    kernels, elements = {}, {}
    for name in ("cnn_c4", "cnn_d4"):
        model, _ = load_classifier(MODELS / f"{name}.safetensors", BASES)
        names = model.fields[0].elements
        found = model.first_kernels()
        kernels[label(name)] = found.unflatten(0, (-1, len(names))).numpy()
        elements[label(name)] = [angle(element) for element in names]
    save_figure(kernels_figure(kernels, elements), FIGURES / "kernels.png")


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
