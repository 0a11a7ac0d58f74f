"""Stage `train`: one model, from prepared digits and basis files to weights and a curve."""

from __future__ import annotations

import json
import shutil
import time

import torch
from dvclive import Live
from tqdm import tqdm

from equibasis.files import write_text
from equibasis.nn.autoencoders import (
    AutoencoderConfig,
    build_autoencoder,
    load_bases,
    save_autoencoder,
)
from equibasis.stages.digits import load_digits
from equibasis.stages.fitting import as_images, compute_reproducibly, fit, reconstruction_error
from equibasis.stages.parameters import Parameters
from equibasis.stages.paths import BASES, CURVES, DIGITS, MODELS, TIMINGS


def autoencoder_config(parameters: Parameters, model: str) -> AutoencoderConfig:
    """The model that the parameters describe; raises `ModelError` if there is no such model."""
    hidden, latent = parameters.hidden_sizes
    return AutoencoderConfig(
        model,
        parameters.image_size,
        (hidden, latent),
        parameters.group,
        parameters.train.bias,
        parameters.train.start,
    )


def run(parameters: Parameters, name: str) -> None:
    """Train a model; write its weights, its config and its training curve."""
    settings = parameters.train
    config = autoencoder_config(parameters, name)
    digits = load_digits(DIGITS, parameters.image_size)
    bases = load_bases(config, BASES)
    train, test = as_images(digits.train), as_images(digits.test)

    compute_reproducibly()
    torch.manual_seed(settings.seed)
    model = build_autoencoder(config, bases)
    curve = CURVES / name
    shutil.rmtree(curve, ignore_errors=True)
    with (
        Live(str(curve), save_dvc_exp=False, dvcyaml=None, report=None) as live,
        tqdm(total=settings.epochs, desc=name, delay=2, disable=None, leave=False) as bar,
    ):

        def log(error: float) -> None:
            live.log_metric("train_mse", error, timestamp=False)
            live.log_metric("test_mse", reconstruction_error(model, test), timestamp=False)
            live.next_step()
            bar.update()

        start = time.perf_counter()
        fit(
            model,
            train,
            epochs=settings.epochs,
            lr=settings.lr,
            batch_size=settings.batch_size,
            seed=settings.seed,
            augment=name == "standard_augmented",
            after_epoch=log,
        )
        seconds = time.perf_counter() - start
    save_autoencoder(model, config, bases, MODELS / f"{name}.safetensors")
    _record_time(name, seconds, settings.epochs)
    error = reconstruction_error(model, test)
    print(f"{name}: test error {error:.5f} after {settings.epochs} epochs, {seconds:.1f} s")


def _record_time(name: str, seconds: float, epochs: int) -> None:
    """Note the time in a file that nothing compares, as it differs from run to run."""
    try:
        timings = json.loads(TIMINGS.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        timings = {}
    timings[name] = {"seconds": round(seconds, 2), "seconds_per_epoch": round(seconds / epochs, 4)}
    write_text(TIMINGS, json.dumps(timings, indent=2, sort_keys=True) + "\n")
