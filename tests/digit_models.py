"""Autoencoders of the experiment from bases in memory, where tests need no files."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

import equibasis as eb
from digits.config import AutoencoderConfig, BasisKey
from digits.data import Digits
from digits.equivariant import equivariant_autoencoder
from digits.plain import Autoencoder, plain_autoencoder


def from_bases(config: AutoencoderConfig, bases: Mapping[BasisKey, eb.Basis]) -> Autoencoder:
    """The model at its random start, equivariant or plain."""
    if config.is_equivariant:
        return equivariant_autoencoder(config, bases)
    return plain_autoencoder(config)


def meaningless_digits(train: int, test: int, size: int) -> Digits:
    """So many images of noise, with labels of no meaning."""
    random = np.random.default_rng(0)
    grey = random.integers(256, size=(train + test, size * size), dtype=np.uint8)
    labels = random.integers(10, size=train + test, dtype=np.uint8)
    return Digits(grey[:train], grey[train:], size, labels[:train], labels[train:])
