"""Stage `report`: pictures of the bases and the results, and the table that sums them up."""

from __future__ import annotations

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
from digits.moving import moved, random_turns
from digits.parameters import Parameters
from digits.paths import BASES, CURVES, DIGITS, FIGURES, METRICS, MODELS
from digits.plain import Autoencoder
from digits.results import angle, label, metrics_of, seconds_per_epoch, training_curve
from digits.weights import load_autoencoder
from equibasis.errors import ModelError
from equibasis.show.figures import basis_figure, save_figure
from equibasis.show.tables import print_table

_ATTENTION_DIGITS = 8


def run(parameters: Parameters) -> None:
    """Draw every figure and print the table of results."""
    metrics = metrics_of(MODEL_NAMES, METRICS, "python pipeline evaluate")
    models: dict[str, Autoencoder] = {
        name: load_autoencoder(MODELS / f"{name}.safetensors", BASES)[0] for name in MODEL_NAMES
    }
    images = as_images(load_digits(DIGITS, parameters.image_size).test)
    FIGURES.mkdir(parents=True, exist_ok=True)
    _draw_basis(parameters)
    _draw_comparison(models, images, parameters)
    _draw_attention(models["equivariant_attention"], images, parameters)
    curves = {label(name): training_curve(CURVES, name, "train_mse") for name in MODEL_NAMES}
    save_figure(curves_figure(curves, "mean squared, per pixel"), FIGURES / "curves.png")
    errors = {label(name): metrics[name]["rotations"] for name in MODEL_NAMES}
    save_figure(rotations_figure(errors), FIGURES / "rotations.png")
    print_table(results_table(metrics, seconds_per_epoch()))


def results_table(metrics: dict[str, Any], seconds: dict[str, str]) -> Table:
    """Tabulate the results, a row for each model; times are left out where none were taken."""
    table = Table(caption="mean squared error per pixel on test digits")
    table.add_column("model")
    for column in ("parameters", "upright", "rotated", "equivariance error", "s / epoch"):
        table.add_column(column, justify="right")
    for name, row in metrics.items():
        table.add_row(
            label(name),
            f"{row['parameters']:,}",
            f"{row['in_distribution']['mse']:.5f}",
            f"{row['rotated']['mse']:.5f}",
            f"{row['equivariance_error']:.1e}",
            seconds.get(name, "-"),
        )
    return table


def _draw_basis(parameters: Parameters) -> None:
    image, hidden = grids_along(parameters.image_size, parameters.hidden_sizes)[:2]
    basis = load_stage_basis(BASES, parameters.group, (image, hidden))
    save_figure(basis_figure(basis), FIGURES / "basis.png")


def _draw_comparison(
    models: dict[str, Autoencoder], images: torch.Tensor, parameters: Parameters
) -> None:
    digit = images[:1]
    turns = random_turns(len(images), parameters.evaluate.seed)[:1]
    both = torch.cat([digit, moved(digit, turns)])
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
    chosen = images[:_ATTENTION_DIGITS]
    shape = (-1, parameters.image_size, parameters.image_size)
    with torch.inference_mode():
        figure = attention_figure(
            chosen.numpy().reshape(shape),
            model(chosen).numpy().reshape(shape),
            encoder.attention(chosen).numpy(),
            [angle(element) for element in encoder.pool.domain.elements],
        )
    save_figure(figure, FIGURES / "attention.png")
