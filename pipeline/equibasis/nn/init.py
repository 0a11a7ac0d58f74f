"""How coefficients start: a variance-preserving draw computed from the representations."""

from __future__ import annotations

import math
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from equibasis.errors import ModelError
from equibasis.linalg.components import Blocks, assemble, diagonal_blocks
from equibasis.linalg.numbers import whole_number
from equibasis.nn.border import number_of
from equibasis.nn.interface import FeatureSpace, shown
from equibasis.symmetry.representations import invariant_coordinates

# Numbers that an activation is tried on to find its gain: their scatter is below a percent.
_SAMPLES = 2**17

# Eigenvalues below this share of the largest are rounding.
_NEGLIGIBLE = 1e-10


@runtime_checkable
class LinearLayer(Protocol):
    """What is started here: an `EquivariantLinear`."""

    coefficients: nn.Parameter
    domain: FeatureSpace
    codomain: FeatureSpace
    in_features: int
    out_features: int

    def weight(self) -> Tensor:
        """W, (k, m), differentiable in the coefficients."""


def variance_preserving_(layer: LinearLayer, gain: float = 1.0) -> None:
    """Draw the coefficients so that white noise stays white: E WWᵀ = gain² on each irrep reached.

    For coefficients drawn alike, E WWᵀ is M = 1/|G| Σ χ₁(g) ρ₂(g), χ₁ being the character of X:
    on each irrep of Y, how often it occurs in X over its dimension. Where the group moves every
    point of X that is the same for all irreps; elsewhere some would grow from layer to layer.
    So W = gain · M^(-1/2) W₀, which is Kaiming's start for each irrep, and for the trivial
    group. An invariant block of Y that X reaches in part only is scaled to E|y_b|² = gain² n_b.

    Of a group known by generators, or of matrices that are not orthogonal, each invariant block
    is scaled so as a whole. The bias is left as it is.

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
    coefficients = layer.coefficients
    if coefficients.is_meta or not coefficients.numel():
        return
    scale2 = layer.in_features * layer.out_features / coefficients.numel()
    with torch.no_grad():
        coefficients.uniform_(-math.sqrt(3.0 / scale2), math.sqrt(3.0 / scale2))
    with torch.enable_grad():
        weight = layer.weight()
        drawn = weight.detach().cpu().double().numpy()
        even = gain * (_whitener(layer.domain, layer.codomain, drawn) @ drawn)
        target = torch.from_numpy(even).to(weight)
        (projected,) = torch.autograd.grad(weight, coefficients, target)
    with torch.no_grad():
        coefficients.copy_(projected / scale2)


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


def _whitener(domain: FeatureSpace, codomain: FeatureSpace, drawn: np.ndarray) -> sparse.csr_array:
    """S of shape (k, k), of invariant blocks, for W = S W₀ where W₀ was drawn alike."""
    input_, output = domain.representation, codomain.representation
    parts = invariant_coordinates(output)
    sizes = np.array([len(part) for part in parts])
    block = np.empty(output.dimension, dtype=np.int64)
    for number, part in enumerate(parts):
        block[part] = number
    if not (domain.complete and input_.is_orthogonal and output.is_orthogonal):
        squares = np.bincount(block, (drawn**2).sum(axis=1))
        return sparse.diags_array(_root_of_ratio(sizes, squares)[block]).tocsr()
    root, reached = _inverse_root(_mean_square(domain, codomain))
    dimensions = np.bincount(block, reached)
    return (sparse.diags_array(_root_of_ratio(sizes, dimensions)[block]) @ root).tocsr()


def _mean_square(domain: FeatureSpace, codomain: FeatureSpace) -> sparse.csr_array:
    """M = 1/|G| Σ χ₁(g) ρ₂(g), symmetric."""
    characters = domain.representation.characters()
    k = codomain.dimension
    total = sparse.csr_array((k, k))
    for g in np.flatnonzero(np.abs(characters) > _NEGLIGIBLE):
        total = total + characters[g] * codomain.representation.matrix(int(g))
    return (total + total.T) / (2 * len(characters))


def _inverse_root(matrix: sparse.csr_array) -> tuple[sparse.csr_array, np.ndarray]:
    """M^(-1/2) on the range of M, and the diagonal of the projector on that range."""
    k = matrix.shape[0]
    largest = np.abs(matrix.data).max(initial=0.0)
    reached = np.zeros(k)
    roots = []
    for blocks in diagonal_blocks(matrix / max(largest, 1e-300)):
        values, vectors = np.linalg.eigh(blocks.values)
        kept = values > _NEGLIGIBLE * values.max()
        inverse = np.where(kept, 1.0 / np.sqrt(np.where(kept, values, 1.0) * largest), 0.0)
        roots.append(
            Blocks(blocks.indices, (vectors * inverse[:, None]) @ vectors.transpose(0, 2, 1))
        )
        reached[blocks.indices] = (vectors**2 * kept[:, None]).sum(axis=2)
    return assemble(roots, k), reached


def _root_of_ratio(sizes: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """√(size / square) of each block, 0 where there is nothing to scale."""
    nothing = squares < _NEGLIGIBLE * sizes
    return np.where(nothing, 0.0, np.sqrt(sizes / np.where(nothing, 1.0, squares)))
