"""Autoencoders of the experiment from bases in memory, where tests need no files."""

from __future__ import annotations

from collections.abc import Mapping

import equibasis as eb
from digits.config import AutoencoderConfig, BasisKey
from digits.equivariant import equivariant_autoencoder
from digits.plain import Autoencoder, plain_autoencoder


def from_bases(config: AutoencoderConfig, bases: Mapping[BasisKey, eb.Basis]) -> Autoencoder:
    """The model at its random start, equivariant or plain."""
    if config.is_equivariant:
        return equivariant_autoencoder(config, bases)
    return plain_autoencoder(config)
