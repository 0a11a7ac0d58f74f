"""Autoencoders of equivariant layers, built from basis files and never solving anything."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from digits.config import AutoencoderConfig, BasisKey
from digits.plain import Autoencoder
from equibasis.nn.layers import (
    Bias,
    EquivariantCombine,
    EquivariantLinear,
    InvariantAttentionPool,
)
from equibasis.solvers.basis import Basis


class AttentionEncoder(nn.Module):
    """h from the inner encoder, joined by its own attention-pooled orbit, then ELU."""

    def __init__(
        self, inner: nn.Module, pool: InvariantAttentionPool, combine: EquivariantCombine
    ) -> None:
        super().__init__()
        self.inner = inner
        self.pool = pool
        self.combine = combine
        self.activation = nn.ELU()

    def forward(self, images: Tensor) -> Tensor:
        """(batch, pixels) -> (batch, latent)."""
        h = self.inner(images)
        latent: Tensor = self.activation(self.combine(h, self.pool(h)))
        return latent

    def attention(self, images: Tensor) -> Tensor:
        """Return the attention weights over the group, (batch, |G|)."""
        return self.pool.attention(self.inner(images))


def equivariant_autoencoder(
    config: AutoencoderConfig, bases: Mapping[BasisKey, Basis]
) -> Autoencoder:
    """Return an autoencoder at its random start, from the bases of `digits.bases.load_bases`."""
    grids = config.grids

    def linear(position: int) -> EquivariantLinear:
        input_, output = grids[position], grids[position + 1]
        bias: Bias = (
            bases[None, output]
            if config.bias == "invariant"
            else ("scalar" if config.bias == "scalar" else None)
        )
        return EquivariantLinear(bases[input_, output], bias, config.start)

    first = nn.Sequential(linear(0), nn.ELU(), linear(1))
    encoder: nn.Module
    latent = grids[2]
    if config.model == "equivariant_attention":
        invariants = bases[None, latent]
        encoder = AttentionEncoder(
            first,
            InvariantAttentionPool(invariants),
            EquivariantCombine(
                bases[latent, latent],
                invariants,
                bias=None if config.bias == "none" else config.bias,
                start=config.start,
            ),
        )
    else:
        encoder = first.append(nn.ELU())
    return Autoencoder(encoder, nn.Sequential(linear(2), nn.ELU(), linear(3)))
