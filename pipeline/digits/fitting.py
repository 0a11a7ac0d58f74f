"""Training a model on images in memory, the same way on every run."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from digits.devices import Devices, OneDevice
from digits.moving import square_symmetries
from equibasis.errors import ModelError


def as_images(pixels: np.ndarray) -> Tensor:
    """Grey values 0 to 255 -> float32 in [0, 1]."""
    return torch.from_numpy(pixels).to(torch.float32) / 255


def as_labels(labels: np.ndarray) -> Tensor:
    """Labels as torch counts classes, int64."""
    return torch.from_numpy(labels).to(torch.int64)


def compute_reproducibly() -> None:
    """Make torch give the same bits on one core or many: one thread, deterministic algorithms.

    Layers of a few hundred features gain next to nothing from more threads, and lose much where
    other work holds the cores.
    """
    torch.set_num_threads(1)
    # Matrix products on CUDA are deterministic only with this, read when CUDA starts.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # Sets what use_deterministic_algorithms sets, and spares the second that importing it takes.
    torch.set_deterministic_debug_mode("error")
    # Nothing reads memory that was not written; to fill it takes a seventh of a step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


class Training:
    """Adam on the error of a model, one epoch at a time.

    Of an autoencoder that is the mean squared error per pixel; of a classifier, the cross entropy.
    It can be set down after any epoch and taken up by another process, to the last bit.

    Parameters
    ----------
    model
        (batch, pixels) -> (batch, pixels), or (batch, classes) where there are labels; moved to the
        device of the images, trained in place.
    images
        float32 of shape (count, pixels), shuffled anew each epoch.
    labels
        int64 (count,): what each image shows. ``None``: the model is to give the image itself.
    lr, batch_size, seed
        The usual; ``seed`` draws the order of the images and their rotations, the same on every
        device.
    augment
        Turn each image by a random multiple of 90° each time it is used.
    decay_over
        So many epochs take the learning rate to zero along a cosine. ``None``: it stays.
    devices
        Of `digits.devices.launch`; ``None``: the device of the images, alone. Each process has all
        images and draws the same order, takes its share of each batch, and makes the step that the
        whole batch makes.
    """

    def __init__(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor | None = None,
        *,
        lr: float,
        batch_size: int,
        seed: int,
        augment: bool = False,
        decay_over: int | None = None,
        devices: Devices | None = None,
    ) -> None:
        self._devices = devices or OneDevice(images.device)
        self._model = model.to(images.device)
        self._images = images
        self._targets = images if labels is None else labels
        self._loss = functional.mse_loss if labels is None else functional.cross_entropy
        self._terms = images.shape[1] if labels is None else 1  # of the loss, of each image
        self._batch_size = batch_size
        # None is PyTorch's own choice; not every version has the fused step on MPS.
        fused = True if images.device.type in ("cpu", "cuda") else None
        adam = torch.optim.Adam(model.parameters(), lr=lr, fused=fused)
        self._forward, self._optimizer = self._devices.setup(model, adam)
        self._steps = 0
        self._lr = lr
        self._last_step = decay_over and decay_over * math.ceil(len(images) / batch_size)
        self._generator = torch.Generator().manual_seed(seed)
        self._rotations: Tensor | None = None
        if augment:
            side = round(images.shape[1] ** 0.5)
            self._rotations = torch.from_numpy(square_symmetries(side)[:4]).to(images.device)

    def epoch(self) -> float:
        """Use each image once; returns the mean training error.

        Raises
        ------
        ModelError
            If the error is no longer a finite number.
        """
        self._model.train()
        losses, counts = [], []
        for images, targets, count in self._batches():
            # Of the mean over the whole batch, as much as this process has images of it.
            error = self._loss(self._forward(images), targets, reduction="sum")
            loss = error / (count * self._terms)
            self._optimizer.zero_grad()
            self._devices.backward(loss * self._devices.world_size)  # whose mean is the step's
            self._step()
            losses.append(loss.detach())
            counts.append(count)
        self._model.eval()
        errors: Any = self._devices.all_reduce(torch.stack(losses), reduce_op="sum")
        mean = float(np.average(errors.tolist(), weights=counts))
        if not math.isfinite(mean):
            section = "train" if self._targets is self._images else "classify"
            raise ModelError(f"training diverged (error {mean}): lower {section}.lr")
        return mean

    def _batches(self) -> Iterator[tuple[Tensor, Tensor, int]]:
        """Of each batch the share of this process, its targets, and how many images all have.

        The images are in a new order, turned if they are to be: gathered once for all batches.
        """
        count, device = len(self._images), self._images.device
        order = torch.randperm(count, generator=self._generator)
        processes, rank = self._devices.world_size, self._devices.global_rank
        batches = torch.arange(count).split(self._batch_size)
        shares = [batch.tensor_split(processes)[rank] for batch in batches]
        mine = torch.cat(shares)
        order = order[mine].to(device)
        images = self._images[order]
        if self._rotations is not None:
            turns = torch.randint(4, (count,), generator=self._generator)[mine]
            images = images.gather(1, self._rotations[turns.to(device)])
        targets = images if self._targets is self._images else self._targets[order]
        sizes = [len(share) for share in shares]
        return zip(images.split(sizes), targets.split(sizes), map(len, batches), strict=True)

    def _step(self) -> None:
        if self._last_step is not None:
            share = self._steps / self._last_step
            self._optimizer.param_groups[0]["lr"] = self._lr * (1 + math.cos(math.pi * share)) / 2
        self._optimizer.step()
        self._steps += 1

    def check_agreement(self) -> None:
        """Raise `ModelError` unless all processes have the same weights, to the last bit."""
        digest = hashlib.sha256()
        for name, weight in self._model.state_dict().items():
            if isinstance(weight, Tensor):
                digest.update(name.encode() + weight.cpu().numpy().tobytes())
        mine = int.from_bytes(digest.digest()[:4], "big")
        total: Any = self._devices.all_reduce(torch.tensor(mine), reduce_op="sum")
        if int(total) != self._devices.world_size * mine:
            raise ModelError("the processes have come to different weights: train on one device")

    def state(self) -> dict[str, Any]:
        """All that the next epoch depends on: weights, Adam's moments, the generator's state.

        Tensors among it are those in use, which the next epoch changes.
        """
        return {
            "model": self._model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "generator": self._generator.get_state(),
            "steps": self._steps,
        }

    def resume(self, state: Mapping[str, Any]) -> None:
        """Go on from the `state` of a training of the same model."""
        self._model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._generator.set_state(state["generator"])
        self._steps = state["steps"]


@torch.inference_mode()
def reconstruction_error(model: nn.Module, images: Tensor, batch_size: int = 2048) -> float:
    """Return the mean squared error per pixel, summed over the images in float64."""
    total = 0.0
    for batch in images.split(batch_size):
        errors = (model(batch) - batch).square().mean(dim=1)
        total += float(errors.cpu().double().sum())  # MPS has no float64
    return total / len(images)


@torch.inference_mode()
def classification_error(
    model: nn.Module, images: Tensor, labels: Tensor, batch_size: int = 512
) -> float:
    """Return the share of images that are taken for something else than their labels say."""
    answers = [model(batch).argmax(dim=1) for batch in images.split(batch_size)]
    return float((torch.cat(answers) != labels).double().mean().cpu())
