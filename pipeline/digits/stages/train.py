"""Stage `train`: one model, from prepared digits and basis files to weights and a curve."""

from __future__ import annotations

import contextlib
import hashlib
import json
import platform
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from dvclive import Live
from tqdm import tqdm

from digits import checkpoints
from digits.build import build_model
from digits.checkpoints import Checkpoint
from digits.config import ClassifierConfig, ModelConfig, model_config
from digits.data import Digits, load_digits
from digits.devices import Devices, launch
from digits.fitting import (
    Training,
    as_images,
    as_labels,
    classification_error,
    compute_reproducibly,
    reconstruction_error,
)
from digits.parameters import Classify, Parameters, Train
from digits.paths import (
    BASES,
    CHECKPOINTS,
    CLASSIFIER_CURVES,
    CLASSIFIERS,
    CURVES,
    DIGITS,
    MODELS,
    TIMINGS,
)
from digits.weights import save_model
from equibasis.errors import WriteError, cannot_write
from equibasis.files import read_text, write_text

# Of the section train: what tells where its epochs run.
_DEVICES = ("device", "devices", "strategy", "precision")


def run(parameters: Parameters, name: str) -> None:
    """Train a model; write its weights, its config and its training curve.

    A run that was interrupted is taken up where its last checkpoint is, to the same bits as if
    nothing had happened; on more than two devices, or on another number, within rounding.
    """
    model_config(parameters, name)  # before anything waits or starts
    with checkpoints.alone(CHECKPOINTS / name, f"training {name}"):
        curve, seconds = launch(parameters.train, _train, parameters, name)
    _record_time(name, seconds, len(curve))
    print(f"{name}: test error {curve[-1][1]:.5f} after {len(curve)} epochs, {seconds:.1f} s")


def _train(
    devices: Devices, parameters: Parameters, name: str
) -> tuple[list[tuple[float, float]], float]:
    """Train in one of the processes, of which the first writes; returns the curve and seconds."""
    config = model_config(parameters, name)
    classifies = isinstance(config, ClassifierConfig)
    if classifies:
        rotate = parameters.classify.models[name].rotate
        folder, curves = CLASSIFIERS, CLASSIFIER_CURVES
    else:
        rotate = name == "standard_augmented"
        folder, curves = MODELS, CURVES
    settings = parameters.classify if classifies else parameters.train
    digits = load_digits(DIGITS, parameters.image_size)
    compute_reproducibly()
    device = devices.device
    train, test = (as_images(part).to(device) for part in (digits.train, digits.test))
    labels, test_labels = (
        as_labels(part).to(device) for part in (digits.train_labels, digits.test_labels)
    )
    torch.manual_seed(settings.seed)
    model, hashes = build_model(config, BASES)
    training = Training(
        model,
        train,
        labels if classifies else None,
        lr=settings.lr,
        batch_size=settings.batch_size,
        seed=settings.seed,
        augment=rotate,
        decay_over=settings.epochs if classifies else None,
        devices=devices,
    )

    def test_error() -> float:
        if classifies:
            return classification_error(model, test, test_labels)
        return reconstruction_error(model, test)

    saved = CHECKPOINTS / f"{name}.pt"
    precision = parameters.train.precision
    this_run = _fingerprint(config, rotate, settings, digits, hashes, device, precision)
    curve, seconds = _taken_up(training, saved, this_run)
    first = devices.is_global_zero
    if curve and first:
        print(f"going on after epoch {len(curve)}, from {saved}", flush=True)
    start = time.perf_counter() - seconds
    metrics = ("train_loss", "test_error") if classifies else ("train_mse", "test_mse")
    shown = _curve(curves / name, metrics, curve, settings.epochs)
    with shown if first else contextlib.nullcontext(_log_nothing) as log:
        while len(curve) < settings.epochs:
            curve.append((training.epoch(), test_error()))
            log(curve[-1])
            if first and len(curve) % checkpoints.EVERY == 0:
                seconds = time.perf_counter() - start
                checkpoints.save(saved, Checkpoint(training.state(), curve, seconds), this_run)
    training.check_agreement()
    seconds = time.perf_counter() - start
    if first:
        save_model(model.cpu(), config, hashes, folder / f"{name}.safetensors")
        saved.unlink(missing_ok=True)
    return curve, seconds


def _taken_up(
    training: Training, saved: Path, this_run: str
) -> tuple[list[tuple[float, float]], float]:
    """Return the curve so far and the seconds it took, the training being where they end."""
    checkpoint = checkpoints.load(saved, this_run)
    if checkpoint is None:
        return [], 0.0
    training.resume(checkpoint.state)
    return checkpoint.curve, checkpoint.seconds


def _fingerprint(
    config: ModelConfig,
    rotate: bool,
    settings: Train | Classify,
    digits: Digits,
    hashes: Mapping[str, str],
    device: torch.device,
    precision: str,
) -> str:
    """Of all that the weights depend on to the last bit, but for the number of devices."""
    return checkpoints.fingerprint(
        model=asdict(config),
        rotate=rotate,
        # Bias and start, or the networks, are the config's, where they matter.
        settings=settings.model_dump(exclude={"bias", "start", "run", "models", *_DEVICES}),
        digits=[
            hashlib.sha256(part.tobytes()).hexdigest()
            for part in (digits.train, digits.test, digits.train_labels, digits.test_labels)
        ],
        bases=sorted(hashes.values()),
        device=device.type,
        precision=precision,
        machine=[platform.machine(), torch.backends.cpu.get_cpu_capability()],
    )


def _log_nothing(errors: tuple[float, float]) -> None:
    """Log nothing, as processes other than the first do."""


@contextlib.contextmanager
def _curve(
    folder: Path, metrics: tuple[str, str], done: list[tuple[float, float]], epochs: int
) -> Iterator[Callable[[tuple[float, float]], None]]:
    """Yield what logs the training and the test error of an epoch; anew, from those done.

    Raises `WriteError` if it cannot be written.
    """
    shutil.rmtree(folder, ignore_errors=True)
    try:
        with (
            Live(str(folder), save_dvc_exp=False, dvcyaml=None, report=None) as live,
            tqdm(total=epochs, desc=folder.name, delay=2, disable=None, leave=False) as bar,
        ):

            def log(errors: tuple[float, float]) -> None:
                for metric, error in zip(metrics, errors, strict=True):
                    live.log_metric(metric, error, timestamp=False)
                live.next_step()
                bar.update()

            for errors in done:
                log(errors)
            yield log
    except OSError as error:
        raise WriteError(cannot_write(folder, error)) from error


def _record_time(name: str, seconds: float, epochs: int) -> None:
    """Note the time in a file that nothing compares, as it differs from run to run."""
    try:
        timings = json.loads(read_text(TIMINGS))
    except (OSError, ValueError):
        timings = {}
    timings[name] = {"seconds": round(seconds, 2), "seconds_per_epoch": round(seconds / epochs, 4)}
    write_text(TIMINGS, json.dumps(timings, indent=2, sort_keys=True) + "\n")
