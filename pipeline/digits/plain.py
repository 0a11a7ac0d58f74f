"""Autoencoders of plain layers."""

from __future__ import annotations

import itertools

from torch import Tensor, nn

from digits.config import AutoencoderConfig


class Autoencoder(nn.Module):
    """image -> encoder -> latent -> decoder -> image, on flattened images (batch, pixels)."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def forward(self, images: Tensor) -> Tensor:
        """(batch, pixels) -> (batch, pixels)."""
        reconstruction: Tensor = self.decoder(self.encoder(images))
        return reconstruction


def plain_autoencoder(config: AutoencoderConfig) -> Autoencoder:
    """Return an autoencoder of `torch.nn.Linear` layers at its random start."""
    sizes = [int(grid.partition("x")[0]) ** 2 for grid in config.grids]
    layers: list[nn.Module] = [nn.Linear(a, b) for a, b in itertools.pairwise(sizes)]
    return Autoencoder(
        nn.Sequential(layers[0], nn.ELU(), layers[1], nn.ELU()),
        nn.Sequential(layers[2], nn.ELU(), layers[3]),
    )
