"""How coefficients start: a variance-preserving draw computed from the representations."""

from __future__ import annotations

import math
from typing import Protocol, runtime_checkable
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from equibasis.errors import ModelError
from equibasis.linalg.numbers import whole_number
from equibasis.nn.border import number_of
from equibasis.nn.interface import shown
from equibasis.nn.schur import block_transforms
from equibasis.solvers.basis import Basis
from equibasis.solvers.blocks import Block
from equibasis.symmetry.irreps import Decomposition, isotypic

# Numbers that an activation is tried on to find its gain: their scatter is below a percent.
_SAMPLES = 2**17

# Kept as long as the basis that they are of, which they do not refer to.
_MIXINGS: WeakKeyDictionary[Basis, list[np.ndarray]] = WeakKeyDictionary()


@runtime_checkable
class LinearLayer(Protocol):
    """What is started here: an `EquivariantLinear` and its like, or a convolution in groups."""

    coefficients: nn.Parameter
    basis: Basis


def reference_(layer: LinearLayer) -> None:
    """Draw the coefficients so that those of the orthonormal basis are uniform in ±1/√k."""
    basis = layer.basis
    bound = 1.0 / math.sqrt(basis.space.k)
    with torch.no_grad():
        layer.coefficients.uniform_(-bound, bound)
        for block, part in _parts(basis, layer.coefficients):
            part.div_(torch.from_numpy(np.sqrt(block.table.sizes)).to(part))


def variance_preserving_(layer: LinearLayer, gain: float = 1.0) -> None:
    """Draw the coefficients so that white noise stays white: E WWᵀ = gain² on each irrep reached.

    On an irrep that occurs N times in X, W is a matrix over a commutant of dimension δ, whose
    entries are drawn with variance gain² / (N δ): Kaiming's start for each irrep, and for the
    trivial group. Drawn alike, coefficients would make some irreps grow from layer to layer where
    the group fixes points of X. An orbit type of Y that X reaches in part only is scaled to
    E|y_b|² = gain² dim.

    Where a type is too long to be decomposed, or its matrices are not orthogonal, each type of Y is
    scaled so as a whole. The bias is left as it is.

    Parameters
    ----------
    layer
        What to start; its coefficients are changed in place.
    gain
        As in `torch.nn.init.calculate_gain`; `activation_gain` finds one for any activation.
    """
    if not isinstance(layer, LinearLayer):
        raise ModelError(f"there is a start for an EquivariantLinear, not for {shown(layer)}")
    gain = number_of(gain, "gain")
    if layer.coefficients.is_meta or not layer.coefficients.numel():
        return
    with torch.no_grad():
        layer.coefficients.uniform_(-math.sqrt(3.0), math.sqrt(3.0))
        whiten_(layer)
        layer.coefficients.mul_(gain)


def whiten_(layer: LinearLayer) -> None:
    """Make of coefficients that are white noise ones that keep white noise white, in place."""
    for of_group in layer.coefficients.view(getattr(layer, "groups", 1), -1):
        for (_, part), mixed in zip(
            _parts(layer.basis, of_group), _mixings(layer.basis), strict=True
        ):
            part.copy_(part @ torch.from_numpy(mixed).to(part))


def _mixings(basis: Basis) -> list[np.ndarray]:
    """For each block the matrix (r, r) that whitens its coefficients; made once for each basis."""
    if basis not in _MIXINGS:
        orthogonal = all(rho.is_orthogonal for rho in basis.space.types.representations)
        found = isotypic(basis.space) if orthogonal else None
        _MIXINGS[basis] = [
            _as_whole(basis, block) if found is None else _by_irreps(basis, block, found)
            for block in basis.blocks
            if block.rank
        ]
    return _MIXINGS[basis]


def _parts(basis: Basis, coefficients: Tensor) -> list[tuple[Block, Tensor]]:
    """Return the coefficients of each block, (d c, r)."""
    return [
        (block, coefficients[block.start : block.start + block.rank].view(-1, block.table.rank))
        for block in basis.blocks
        if block.rank
    ]


def _by_irreps(basis: Basis, block: Block, found: Decomposition) -> np.ndarray:
    """White noise (r,) -> coefficients (r,), by the entries of each irrep."""
    inputs = basis.space.types.input
    times = sum(each.multiplicity * found.multiplicities[each.type] for each in inputs)
    transforms = block_transforms(block, found)
    rows = [terms.reshape(-1, block.table.rank) for terms in transforms.values()]
    scales = [
        np.full(len(entries), 1 / math.sqrt(times[number] * found.irreps[number].dimension))
        for number, entries in zip(transforms, rows, strict=True)
    ]
    reached = sum(
        irrep.degree * irrep.dimension * found.multiplicities[block.output.type, number]
        for number, irrep in enumerate(found.irreps)
        if times[number]
    )
    scale = math.sqrt(block.output.dimension / reached) * np.concatenate(scales)
    # As many entries as coefficients, by Schur's lemma.
    return np.linalg.solve(np.concatenate(rows), np.diag(scale)).T


def _as_whole(basis: Basis, block: Block) -> np.ndarray:
    """Scale each type of Y as a whole."""
    squares = sum(
        other.input.multiplicity * float(other.table.rank)
        for other in basis.blocks
        if other.output is block.output
    )
    scale = math.sqrt(block.output.dimension / squares)
    return np.diag(scale / np.sqrt(block.table.sizes))


def activation_gain(activation: nn.Module, features: int = 1) -> float:
    """1 / √E f(z)² for white noise z of unit variance: what the next layer makes up for.

    For ReLU that is √2, as in `torch.nn.init.calculate_gain`. ``features`` is the length of the
    vectors that the activation takes. Raises `ModelError` if the output is zero or not finite.
    """
    if not isinstance(activation, nn.Module):
        raise ModelError(f"a gain is that of a torch module, not of {shown(activation)}")
    features = whole_number(features, "features", least=1, error=ModelError)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(max(1, _SAMPLES // features), features, generator=generator)
    tensor = next(activation.parameters(), noise)
    with torch.no_grad():
        square = float(activation(noise.to(tensor)).square().mean())
    if not (math.isfinite(square) and square > 0.0):
        raise ModelError(f"{activation} has no gain: the mean square of its output is {square}")
    return 1.0 / math.sqrt(square)
