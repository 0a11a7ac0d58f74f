"""Stage `evaluate`: every trained autoencoder on upright and on rotated test digits."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from digits.bases import load_stage_basis
from digits.config import MODELS as MODEL_NAMES
from digits.config import grids_along
from digits.data import load_digits
from digits.fitting import as_images, compute_reproducibly, reconstruction_error
from digits.measures import largest_ratio, rounded
from digits.moving import moved, random_turns
from digits.parameters import Parameters
from digits.paths import BASES, DIGITS, METRICS, MODELS
from digits.weights import load_autoencoder
from equibasis.files import write_text
from equibasis.symmetry.representations import Representation


def run(parameters: Parameters) -> None:
    """Write reports/metrics.json."""
    compute_reproducibly()
    size = parameters.image_size
    images = as_images(load_digits(DIGITS, size).test)
    action = image_representation(parameters)
    metrics = {
        name: measure(
            load_autoencoder(MODELS / f"{name}.safetensors", BASES)[0],
            images,
            action,
            parameters.evaluate.seed,
        )
        for name in MODEL_NAMES
    }
    write_text(METRICS, json.dumps(metrics, indent=2, allow_nan=False) + "\n")
    print(f"{METRICS}: {len(metrics)} models on {len(images):,} test images")


def image_representation(parameters: Parameters) -> Representation:
    """Return the group's action on images, as the first basis of the network records it."""
    grids = grids_along(parameters.image_size, parameters.hidden_sizes)
    return load_stage_basis(BASES, parameters.group, (grids[0], grids[1])).space.input


def measure(model: nn.Module, images: Tensor, action: Representation, seed: int) -> dict[str, Any]:
    """Errors of a model: mean squared per pixel, and its largest breach of the symmetry.

    Parameters
    ----------
    model
        (count, pixels) -> (count, pixels).
    images
        float32 (count, pixels), square images, upright.
    action
        The representation of the group on images, for the equivariance error.
    seed
        Draws the rotation of each image in the rotated set.
    """
    turned = moved(images, random_turns(len(images), seed))
    by_rotation = {
        str(90 * turns): reconstruction_error(model, moved(images, turns)) for turns in range(4)
    }
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "in_distribution": {"mse": rounded(by_rotation["0"])},
        "rotated": {"mse": rounded(reconstruction_error(model, turned))},
        "rotations": {degrees: rounded(error) for degrees, error in by_rotation.items()},
        "equivariance_error": rounded(equivariance_error(model, images, action)),
    }


@torch.inference_mode()
def equivariance_error(model: nn.Module, images: Tensor, action: Representation) -> float:
    """max over g and images x of ‖f(ρ(g) x) - ρ(g) f(x)‖ / ‖f(x)‖."""
    plain = model(images)

    def act(g: int, x: Tensor) -> Tensor:
        moved = np.ascontiguousarray(action.apply(g, x.numpy().T).T)
        return torch.from_numpy(moved.astype(np.float32))

    worst = torch.zeros(())
    for g in range(action.order):
        difference = model(act(g, images)) - act(g, plain)
        worst = torch.maximum(worst, largest_ratio(difference, plain))
    return float(worst)
