"""Training a model on images in memory, the same way on every run."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from digits.moving import square_symmetries
from equibasis.errors import ModelError, ParametersError


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


def choose_device(name: str) -> torch.device:
    """``cpu``, ``cuda`` or ``mps``; ``auto`` is an accelerator if there is one, else the CPU.

    Raises
    ------
    ParametersError
        If the device is not there.
    """
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        name = next(device for device, found in there.items() if found)
    if not there[name]:
        raise ParametersError(
            f"train.device is {name}, and PyTorch finds none here: set it to auto or cpu"
        )
    return torch.device(name)


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
    ) -> None:
        self._model = model.to(images.device)
        self._images = images
        self._targets = images if labels is None else labels
        self._loss = functional.mse_loss if labels is None else functional.cross_entropy
        self._batch_size = batch_size
        # None is PyTorch's own choice; not every version has the fused step on MPS.
        fused = True if images.device.type in ("cpu", "cuda") else None
        self._optimizer = torch.optim.Adam(model.parameters(), lr=lr, fused=fused)
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
        for batch, target in self._batches():
            loss = self._loss(self._model(batch), target)
            self._optimizer.zero_grad()
            loss.backward()
            self._step()
            losses.append(loss.detach())
            counts.append(len(batch))
        self._model.eval()
        error = float(np.average(torch.stack(losses).tolist(), weights=counts))
        if not math.isfinite(error):
            section = "train" if self._targets is self._images else "classify"
            raise ModelError(f"training diverged (error {error}): lower {section}.lr")
        return error

    def _batches(self) -> Iterable[tuple[Tensor, Tensor]]:
        """The images in a new order, turned if they are to be: gathered once for all batches."""
        count, device = len(self._images), self._images.device
        order = torch.randperm(count, generator=self._generator).to(device)
        images = self._images[order]
        if self._rotations is not None:
            turns = torch.randint(4, (count,), generator=self._generator)
            images = images.gather(1, self._rotations[turns.to(device)])
        targets = images if self._targets is self._images else self._targets[order]
        return zip(images.split(self._batch_size), targets.split(self._batch_size), strict=True)

    def _step(self) -> None:
        if self._last_step is not None:
            share = self._steps / self._last_step
            self._optimizer.param_groups[0]["lr"] = self._lr * (1 + math.cos(math.pi * share)) / 2
        self._optimizer.step()
        self._steps += 1

    def state(self) -> dict[str, Tensor]:
        """All that the next epoch depends on, on the CPU: weights, Adam's moments, the generator.

        There is such a state after the first epoch.
        """
        tensors = {"generator": self._generator.get_state()}
        for name, weight in self._model.state_dict().items():
            tensors[f"model.{name}"] = weight
        for index, moments in self._optimizer.state_dict()["state"].items():
            for name, moment in moments.items():
                tensors[f"adam.{index}.{name}"] = moment
        return {
            name: tensor.detach().to("cpu", copy=True).contiguous()
            for name, tensor in tensors.items()
        }

    def resume(self, state: Mapping[str, Tensor]) -> None:
        """Go on from the `state` of a training of the same model.

        Raises
        ------
        ModelError
            If it is no such state; nothing is changed then.
        """
        weights = self._model.state_dict()
        expected = {"generator": self._generator.get_state()}
        expected |= {f"model.{name}": weight for name, weight in weights.items()}
        for position, weight in enumerate(self._model.parameters()):
            parts = {"step": torch.zeros(()), "exp_avg": weight, "exp_avg_sq": weight}
            expected |= {f"adam.{position}.{name}": part for name, part in parts.items()}
        if _kinds(state) != _kinds(expected):
            raise ModelError("the state of another training: start this one anew")
        try:
            self._generator.set_state(state["generator"])
        except RuntimeError as error:
            raise ModelError(f"a damaged state ({error}): start the training anew") from error
        self._model.load_state_dict({name: state[f"model.{name}"] for name in weights})
        moments: dict[int, dict[str, Tensor]] = {}
        for key, tensor in state.items():
            if key.startswith("adam."):
                _, index, name = key.split(".")
                moments.setdefault(int(index), {})[name] = tensor.clone()
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": moments, "param_groups": groups})
        self._steps = int(state["adam.0.step"])


def _kinds(tensors: Mapping[str, Tensor]) -> dict[str, tuple[torch.Size, torch.dtype]]:
    return {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}


@torch.inference_mode()
def reconstruction_error(model: nn.Module, images: Tensor, batch_size: int = 2048) -> float:
    """The mean squared error per pixel, summed over the images in float64."""
    total = 0.0
    for batch in images.split(batch_size):
        errors = (model(batch) - batch).square().mean(dim=1)
        total += float(errors.cpu().double().sum())  # MPS has no float64
    return total / len(images)


@torch.inference_mode()
def classification_error(
    model: nn.Module, images: Tensor, labels: Tensor, batch_size: int = 512
) -> float:
    """The share of images that are taken for something else than their labels say."""
    answers = [model(batch).argmax(dim=1) for batch in images.split(batch_size)]
    return float((torch.cat(answers) != labels).double().mean().cpu())
