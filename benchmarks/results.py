"""What the experiment on digits has come to; writes README.md and docs/digits.md.

Tables of the metrics files that the pipeline has written, and its pictures, where they are here: a
second, after every `make repro` that changes them. With ``--mnist FOLDER``, where MNIST lies in
torchvision's layout, the autoencoders on all of it, by the pipeline in a clone: some minutes.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from page import DOCS, table, write_section

ROOT = DOCS.parent
README = ROOT / "README.md"
PAGE = DOCS / "digits.md"

AUTOENCODERS = {
    "standard": "standard",
    "standard_augmented": "standard, trained on rotated digits",
    "equivariant": "equivariant (C4)",
    "equivariant_attention": "equivariant, with invariant attention",
}
CLASSIFIERS = {
    "cnn": "plain",
    "cnn_augmented": "plain, trained on rotated digits",
    "cnn_c4": "C4, as many parameters",
    "cnn_c4_narrow": "C4, as many channels",
    "cnn_d4": "D4, as many parameters",
    "cnn_d4_narrow": "D4, about as many channels",
}
FIGURES = (
    *("attention.png", "basis.png", "comparison.png", "curves.png", "rotations.png"),
    *("classifiers/kernels.png", "classifiers/symmetries.png"),
)
MNIST_EPOCHS = 19

Metrics = Mapping[str, Mapping[str, Any]]


def read(file: Path) -> Metrics:
    found: Metrics = json.loads(file.read_text(encoding="utf-8"))
    return found


def autoencoders(metrics: Metrics) -> str:
    """Return a row for each autoencoder."""
    titles = ["model", "parameters", "upright", "rotated", "equivariance error"]
    rows = [
        [
            name,
            f"{metrics[key]['parameters']:,}",
            f"{metrics[key]['in_distribution']['mse']:.5f}",
            f"{metrics[key]['rotated']['mse']:.5f}",
            error(metrics[key]["equivariance_error"]),
        ]
        for key, name in AUTOENCODERS.items()
    ]
    return table(titles, rows, 1)


def classifiers(metrics: Metrics) -> str:
    """Return a row for each classifier."""
    titles = ["model", "channels", "parameters", "upright", "turned", "mirrored"]
    titles += ["change by turns", "by mirrors"]
    rows = [
        [
            name,
            ", ".join(map(str, metrics[key]["channels"])),
            f"{metrics[key]['parameters']:,}",
            *(f"{metrics[key][of]['accuracy']:.3f}" for of in ("upright", "turned", "mirrored")),
            *(error(metrics[key]["invariance_error"][of]) for of in ("turns", "mirrors")),
        ]
        for key, name in CLASSIFIERS.items()
    ]
    return table(titles, rows, 2)


def error(value: float) -> str:
    """Two digits of what is learned, one of what is rounding."""
    return f"{value:.2g}" if value > 1e-3 else f"{value:.0e}"


def on_mnist(data: Path) -> str:
    """Return the autoencoders on all of MNIST, by the pipeline of the last commit in a clone."""
    settings = {"data.source": "mnist", "data.root": data, "train.epochs": MNIST_EPOCHS}
    settings |= {"train.device": "cpu"}
    chosen = [part for name, value in settings.items() for part in ("-S", f"{name}={value}")]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "true"}
    environment.pop("PYTHONPATH", None)
    with tempfile.TemporaryDirectory() as name:
        clone = Path(name) / "clone"
        subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", ROOT, clone], check=True)
        command = ["dvc", "exp", "run", "--quiet", *chosen, "report"]
        subprocess.run(command, cwd=clone, env=environment, check=True)
        metrics = read(clone / "reports" / "metrics.json")
    said = (
        f"{MNIST_EPOCHS} epochs on the 60,000 training digits, errors on the 10,000 test digits, "
        "on a CPU:"
    )
    return f"{textwrap.fill(said, 100)}\n\n{autoencoders(metrics)}"


@click.command()
@click.option("--mnist", type=click.Path(exists=True, path_type=Path), help="Where MNIST lies.")
def main(mnist: Path | None) -> None:
    """Write the sections."""
    reports = ROOT / "reports"
    metrics = read(reports / "metrics.json")
    write_section("autoencoders", autoencoders(metrics), README)
    write_section("autoencoders", autoencoders(metrics), PAGE)
    write_section("classifiers", classifiers(read(reports / "classification.json")), PAGE)
    for figure in map((reports / "figures").joinpath, FIGURES):
        if figure.exists():
            shutil.copyfile(figure, DOCS / "images" / figure.name)
    if mnist is not None:
        write_section("MNIST", on_mnist(mnist.resolve()), PAGE)


if __name__ == "__main__":
    main()
