"""Stage `evaluate_classifiers`: every classifier on upright, turned and mirrored test digits."""

from __future__ import annotations

import json
from typing import Any

import torch
from torch import Tensor, nn

from digits.data import load_digits
from digits.fitting import as_images, as_labels, compute_reproducibly
from digits.measures import largest_ratio, rounded
from digits.moving import moved, random_mirrors, random_turns
from digits.parameters import Parameters
from digits.paths import BASES, CLASSIFICATION, CLASSIFIERS, DIGITS, PREDICTIONS
from digits.weights import load_classifier
from equibasis.files import write_text

# Rows of `square_symmetries`, in words.
SYMMETRIES = ("0", "90", "180", "270", "mirror 0", "mirror 90", "mirror 180", "mirror 270")

_TURNS = 4
_BATCH = 500


def run(parameters: Parameters) -> None:
    """Write reports/classification.json, and what each model takes each digit for."""
    compute_reproducibly()
    digits = load_digits(DIGITS, parameters.image_size)
    images, labels = as_images(digits.test), as_labels(digits.test_labels)
    PREDICTIONS.mkdir(parents=True, exist_ok=True)
    metrics = {}
    for name in parameters.classify.run:
        model, config = load_classifier(CLASSIFIERS / f"{name}.safetensors", BASES)
        answers = answers_to_all(model, images)
        found = predictions(answers, parameters.evaluate.seed)
        _write_predictions(name, labels, found)
        metrics[name] = {
            "group": config.group,
            "channels": [fields.dimension for fields in model.fields],
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            **measure(answers, found, labels),
        }
    write_text(CLASSIFICATION, json.dumps(metrics, indent=2, allow_nan=False) + "\n")
    print(f"{CLASSIFICATION}: {len(metrics)} models on {len(images):,} test images")


@torch.inference_mode()
def answers_to_all(model: nn.Module, images: Tensor) -> Tensor:
    """Return a classifier's answers to images moved in all ways: (8, count, classes).

    In the order of `square_symmetries`.
    """
    return torch.stack(
        [
            torch.cat([model(batch) for batch in moved(images, element).split(_BATCH)])
            for element in range(len(SYMMETRIES))
        ]
    )


def predictions(answers: Tensor, seed: int) -> dict[str, Tensor]:
    """Return the class given to digits upright, turned and mirrored at random: (count,).

    From the answers of `answers_to_all`; the seed draws how each is turned, and mirrored.
    """
    taken_for = answers.argmax(dim=2)
    every = torch.arange(taken_for.shape[1])
    return {
        "upright": taken_for[0],
        "turned": taken_for[random_turns(len(every), seed), every],
        "mirrored": taken_for[random_mirrors(len(every), seed), every],
    }


def measure(answers: Tensor, predictions: dict[str, Tensor], labels: Tensor) -> dict[str, Any]:
    """Return the share of digits taken for what they are, and the largest breaches of invariance.

    A breach is max over images x, and turns or mirrors g, of ‖f(g x) - f(x)‖ / ‖f(x)‖.
    """
    upright = answers[0]
    breaches = [largest_ratio(of_moved - upright, upright) for of_moved in answers]
    return {
        **{name: {"accuracy": _share(found == labels)} for name, found in predictions.items()},
        "symmetries": {
            name: _share(of_moved.argmax(dim=1) == labels)
            for name, of_moved in zip(SYMMETRIES, answers, strict=True)
        },
        "invariance_error": {
            "turns": rounded(float(torch.stack(breaches[:_TURNS]).max())),
            "mirrors": rounded(float(torch.stack(breaches[_TURNS:]).max())),
        },
    }


def _share(of: Tensor) -> float:
    return rounded(float(of.double().mean()))


def _write_predictions(name: str, labels: Tensor, found: dict[str, Tensor]) -> None:
    """Write a line for each test digit: what it is, and what it is taken for."""
    rows = [["digit", *found], *torch.stack([labels, *found.values()], dim=1).tolist()]
    text = "".join(",".join(map(str, row)) + "\n" for row in rows)
    write_text(PREDICTIONS / f"{name}.csv", text)
