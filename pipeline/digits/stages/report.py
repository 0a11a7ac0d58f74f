"""Stage `report`: pictures of the bases and the results, and the table that sums them up."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import torch
from rich.table import Table

from digits.bases import load_stage_basis
from digits.config import MODELS as MODEL_NAMES
from digits.config import grids_along
from digits.data import load_digits
from digits.equivariant import AttentionEncoder
from digits.figures import attention_figure, comparison_figure, curves_figure, rotations_figure
from digits.fitting import as_images
from digits.parameters import Parameters
from digits.paths import BASES, CURVES, DIGITS, FIGURES, METRICS, MODELS, TIMINGS
from digits.plain import Autoencoder
from digits.stages.evaluate import random_nonzero_turns, rotate
from digits.weights import load_autoencoder
from equibasis.errors import ModelError, cannot_read
from equibasis.files import read_text
from equibasis.show.figures import basis_figure, save_figure
from equibasis.show.tables import print_table

_ATTENTION_DIGITS = 8


def run(parameters: Parameters) -> None:
    """Draw every figure and print the table of results."""
    metrics = _read_json(METRICS, "python pipeline evaluate")
    if missing := [name for name in MODEL_NAMES if name not in metrics]:
        raise ModelError(
            f"{METRICS} has nothing of {missing[0]}: make it with 'python pipeline evaluate'"
        )
    models = {
        name: load_autoencoder(MODELS / f"{name}.safetensors", BASES)[0] for name in MODEL_NAMES
    }
    images = as_images(load_digits(DIGITS, parameters.image_size).test)
    FIGURES.mkdir(parents=True, exist_ok=True)
    _draw_basis(parameters)
    _draw_comparison(models, images, parameters)
    _draw_attention(models["equivariant_attention"], images, parameters)
    curves = {label(name): _training_curve(name) for name in MODEL_NAMES}
    save_figure(curves_figure(curves), FIGURES / "curves.png")
    errors = {label(name): metrics[name]["rotations"] for name in MODEL_NAMES}
    save_figure(rotations_figure(errors), FIGURES / "rotations.png")
    timings = _read_json(TIMINGS, "python pipeline train MODEL") if TIMINGS.exists() else {}
    print_table(results_table(metrics, timings))


def results_table(metrics: dict[str, Any], timings: dict[str, Any]) -> Table:
    """A row for each model; times are left out where they were not taken."""
    table = Table(caption="mean squared error per pixel on test digits")
    table.add_column("model")
    for column in ("parameters", "upright", "rotated", "equivariance error", "s / epoch"):
        table.add_column(column, justify="right")
    for name, row in metrics.items():
        seconds = timings.get(name, {}).get("seconds_per_epoch")
        table.add_row(
            label(name),
            f"{row['parameters']:,}",
            f"{row['in_distribution']['mse']:.5f}",
            f"{row['rotated']['mse']:.5f}",
            f"{row['equivariance_error']:.1e}",
            "-" if seconds is None else f"{seconds:.3f}",
        )
    return table


def label(name: str) -> str:
    """``standard_augmented`` -> ``standard, augmented``."""
    return name.replace("_", ", ")


def _draw_basis(parameters: Parameters) -> None:
    image, hidden = grids_along(parameters.image_size, parameters.hidden_sizes)[:2]
    basis = load_stage_basis(BASES, parameters.group, (image, hidden))
    save_figure(basis_figure(basis), FIGURES / "basis.png")


def _draw_comparison(
    models: dict[str, Autoencoder], images: torch.Tensor, parameters: Parameters
) -> None:
    digit = images[:1]
    turns = random_nonzero_turns(len(images), parameters.evaluate.seed)[:1]
    both = torch.cat([digit, rotate(digit, turns)])
    size = parameters.image_size
    with torch.inference_mode():
        reconstructions = {
            label(name): list(model(both).numpy().reshape(-1, size, size))
            for name, model in models.items()
        }
    inputs = list(both.numpy().reshape(-1, size, size))
    names = ("upright", f"turned by {90 * int(turns)}°")
    save_figure(comparison_figure(inputs, reconstructions, names), FIGURES / "comparison.png")


def _draw_attention(model: Autoencoder, images: torch.Tensor, parameters: Parameters) -> None:
    encoder = model.encoder
    if not isinstance(encoder, AttentionEncoder):
        raise ModelError("models/equivariant_attention.safetensors is not an attention model")
    latent = grids_along(parameters.image_size, parameters.hidden_sizes)[2]
    elements = load_stage_basis(BASES, parameters.group, (None, latent)).space.elements
    chosen = images[:_ATTENTION_DIGITS]
    shape = (-1, parameters.image_size, parameters.image_size)
    with torch.inference_mode():
        figure = attention_figure(
            chosen.numpy().reshape(shape),
            model(chosen).numpy().reshape(shape),
            encoder.attention(chosen).numpy(),
            [_angle(element) for element in elements],
        )
    save_figure(figure, FIGURES / "attention.png")


def _angle(element: str) -> str:
    """``r90`` -> ``90°``; ``f90`` -> ``mirror 90°``; other names as they are."""
    kind, degrees = element[:1], element[1:]
    if kind in "rf" and degrees.isdigit():
        return f"{degrees}°" if kind == "r" else f"mirror {degrees}°"
    return element


def _training_curve(name: str) -> list[float]:
    path = CURVES / name / "plots" / "metrics" / "train_mse.tsv"
    try:
        rows = csv.DictReader(read_text(path).splitlines(), delimiter="\t")
        return [float(row["train_mse"]) for row in rows]
    except (OSError, KeyError, ValueError) as error:
        remedy = f"make it with 'python pipeline train {name}'"
        raise ModelError(cannot_read(path, error, remedy)) from error


def _read_json(path: Path, command: str) -> dict[str, Any]:
    try:
        return dict(json.loads(read_text(path)))
    except (OSError, ValueError) as error:
        raise ModelError(cannot_read(path, error, f"make it with '{command}'")) from error
