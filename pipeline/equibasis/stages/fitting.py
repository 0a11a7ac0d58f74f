"""Training an autoencoder on images in memory, the same way on every run."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from equibasis.errors import ModelError
from equibasis.stages.digits import rotation_indices


def as_images(pixels: np.ndarray) -> Tensor:
    """Grey values 0 to 255 -> float32 in [0, 1]."""
    return torch.from_numpy(pixels).to(torch.float32) / 255


def compute_reproducibly() -> None:
    """Make torch give the same bits on one core or many: one thread, deterministic algorithms.

    Layers of a few hundred features gain next to nothing from more threads, and lose much where
    other work holds the cores.
    """
    torch.set_num_threads(1)
    # Sets what use_deterministic_algorithms sets, and spares the second that importing it takes.
    torch.set_deterministic_debug_mode("error")


def fit(
    model: nn.Module,
    images: Tensor,
    *,
    epochs: int,
    lr: float,
    batch_size: int,
    seed: int,
    augment: bool = False,
    after_epoch: Callable[[float], None] | None = None,
) -> None:
    """Train a model to reconstruct images by Adam on the mean squared error per pixel.

    Parameters
    ----------
    model
        (batch, pixels) -> (batch, pixels); trained in place.
    images
        float32 of shape (count, pixels), shuffled anew each epoch.
    epochs, lr, batch_size, seed
        The usual; ``seed`` draws the order of the images and their rotations.
    augment
        Turn each image by a random multiple of 90° each time it is used.
    after_epoch
        Called with the mean training error of each epoch.

    Raises
    ------
    ModelError
        If the error is no longer a finite number.
    """
    generator = torch.Generator().manual_seed(seed)
    side = round(images.shape[1] ** 0.5)
    rotations = torch.from_numpy(rotation_indices(side)) if augment else None
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, fused=True)
    model.train()
    for _ in range(epochs):
        total = torch.zeros(())
        for batch in torch.randperm(len(images), generator=generator).split(batch_size):
            target = images[batch]
            if rotations is not None:
                turns = torch.randint(4, (len(batch),), generator=generator)
                target = target.gather(1, rotations[turns])
            loss = functional.mse_loss(model(target), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(batch)
        error = float(total) / len(images)
        if not math.isfinite(error):
            raise ModelError(f"training diverged (error {error}): lower train.lr")
        if after_epoch is not None:
            after_epoch(error)
    model.eval()


@torch.inference_mode()
def reconstruction_error(model: nn.Module, images: Tensor, batch_size: int = 2048) -> float:
    """The mean squared error per pixel, summed in float64."""
    total = 0.0
    for batch in images.split(batch_size):
        total += float((model(batch) - batch).double().square().sum())
    return total / images.numel()
