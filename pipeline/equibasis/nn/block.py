"""Maps in symmetry-adapted coordinates, where they are block diagonal and cost a fraction."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from equibasis.errors import ModelError
from equibasis.linalg.columns import OrbitColumns
from equibasis.nn.bias import InvariantBias
from equibasis.nn.expansion import BasisExpansion, row_factors, snapped
from equibasis.nn.fourier import FourierProducts
from equibasis.nn.irreps import IrrepProducts
from equibasis.nn.orbit_blocks import OrbitBlocks
from equibasis.nn.reuse import autocasts, is_plain, without_autocast
from equibasis.solvers.basis import Basis
from equibasis.symmetry.coordinates import Coordinates
from equibasis.symmetry.coordinates.finding import LONGEST_ORBIT, symmetry_coordinates

# From this many sampled entries on, the blocks are made by `OrbitBlocks`.
FEWEST_SAMPLES = 2**15


class BlockMap(nn.Module):
    """x -> W x for W = √(km/r) Σ cⱼ Wⱼ, by products of the blocks of W alone.

    x is gathered by orbits and passed through their transforms; each irrep V of dimension q δ has
    one block, copies of V in Y by copies of V in X over R, C or H, that q vectors are multiplied
    by; the way back is the same. Where the group is a torus of shifts, the transforms are
    Fourier's.
    Source: Schur's lemma; Bökman et al. (2025), *Flopping for FLOPs*, for image networks.

    Parameters
    ----------
    basis
        Of the maps, Hom_G(X, Y); the coordinates are those of its file, or else found now.

    Raises
    ------
    ModelError
        If there are none, since an orbit is too long, or there are too many kinds of them.
    """

    def __init__(self, basis: Basis) -> None:
        super().__init__()
        coordinates = basis.coordinates or symmetry_coordinates(basis.space)
        if coordinates is None:
            raise ModelError(
                f"{basis!r} has no coordinates for mode 'block' (they are for orbits of up to "
                f"{LONGEST_ORBIT} coordinates, and for tori of shifts): use mode='expand'"
            )
        self.in_features = basis.space.m
        rows, factors = coordinates.sampled_rows()
        common: list[np.ndarray] = []
        if isinstance(basis.columns, OrbitColumns) and not coordinates.cycles:
            every = row_factors(basis.columns, rows, factors)
            common = _common_factors(coordinates, every)
            factors = (1.0 if factors is None else factors) / _repeated(common, coordinates)
        self.samples = BasisExpansion(basis, rows, factors)
        self.blocks: FourierProducts | IrrepProducts
        self.orbits: OrbitBlocks | None = None
        if coordinates.cycles:
            self.blocks = FourierProducts(coordinates)
        else:
            self.blocks = IrrepProducts(coordinates, common)
            self.orbits = _orbit_blocks(basis, self.blocks, rows, factors)

    def weights(self, coefficients: Tensor) -> tuple[Tensor, ...]:
        """The blocks, from r coefficients, differentiable."""
        return self.blocks.weights(self.samples.forward(coefficients))

    def weight(self, coefficients: Tensor) -> Tensor:
        """W, (k, m)."""
        every = torch.eye(self.in_features, dtype=coefficients.dtype, device=coefficients.device)
        with without_autocast(coefficients.device.type):
            return self.blocks.by_blocks(every, self.weights(coefficients)).t()

    def apply_coefficients(self, x: Tensor, coefficients: Tensor, bias: InvariantBias) -> Tensor:
        """(..., m) -> (..., k)."""
        flat = _flat(x)
        tensors = flat, coefficients, bias.coefficients
        if isinstance(self.blocks, IrrepProducts) and _is_direct(*tensors):
            y: Tensor = _Multiply.apply(self, bias, *tensors)
        else:
            y = self.traced(bias, *tensors)
        return _like(y, x)

    def apply_weights(self, x: Tensor, weights: Sequence[Tensor], bias: Tensor | None) -> Tensor:
        """(..., m) -> (..., k), from blocks that are kept: without gradients of theirs."""
        flat = _flat(x)
        direct = not torch.is_grad_enabled() and _is_direct(flat, *weights)
        if isinstance(self.blocks, IrrepProducts) and direct:
            y, _ = self.blocks.multiply(flat, weights)
        else:
            y = self.blocks.by_blocks(flat, tuple(weights))
        return _like(y if bias is None else y + bias.to(y.dtype), x)

    def direct_weights(self, coefficients: Tensor) -> Sequence[Tensor]:
        """`weights` where there are no gradients to be had: it writes to what it makes.

        For each pair of kinds of orbits (matrices, orbits of Y, orbits of X).
        """
        if self.orbits is not None:
            return [self.orbits.weights(coefficients)]
        return self.blocks.weights(self.samples.forward(coefficients))

    def direct_gradient(self, weights: list[Tensor]) -> Tensor:
        """The gradient of the coefficients, (r,), from those of `weights`, which it may let go."""
        if self.orbits is not None:
            return self.orbits.gradient(weights.pop())
        assert isinstance(self.blocks, IrrepProducts)
        return self.samples.adjoint(self.blocks.entries(weights))

    def traced(
        self, bias: InvariantBias, x: Tensor, coefficients: Tensor, of_bias: Tensor | None
    ) -> Tensor:
        """(batch, m) -> (batch, k) by plain operations, of which torch has all derivatives."""
        y = self.blocks.by_blocks(x, self.weights(coefficients))
        return y if of_bias is None else y + bias.vector(of_bias).to(y.dtype)


class _Multiply(torch.autograd.Function):
    """`BlockMap.apply_coefficients` as one step, every product written to its place."""

    @staticmethod
    def forward(
        ctx: Any,
        map_: BlockMap,
        bias: InvariantBias,
        x: Tensor,
        coefficients: Tensor,
        of_bias: Tensor | None,
    ) -> Tensor:
        blocks = map_.blocks
        assert isinstance(blocks, IrrepProducts)
        weights = map_.direct_weights(coefficients)
        add = None
        if of_bias is not None and bias.by_orbits is not None:
            add = functools.partial(bias.by_orbits.add, coefficients=of_bias)
        y, adapted = blocks.multiply(x, weights, add)
        ctx.map, ctx.bias, ctx.count = map_, bias, len(weights)
        ctx.save_for_backward(x, coefficients, of_bias, *weights, *adapted)
        return y if of_bias is None or add is not None else y.add_(bias.vector(of_bias))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, coefficients, of_bias, *rest = ctx.saved_tensors
        _, _, needs_x, needs_coefficients, needs_bias = ctx.needs_input_grad
        with without_autocast(x.device.type):
            if not _is_direct(gradient) or torch.is_grad_enabled() or not _has_memory(gradient):
                tensors = x, coefficients, of_bias
                return None, None, *_traced_gradients(ctx.map, ctx.bias, gradient, tensors)
            blocks: IrrepProducts = ctx.map.blocks
            adapted = blocks.adapted_gradient(gradient)
            of_x, weights = blocks.gradients(
                adapted,
                rest[ctx.count :],
                rest[: ctx.count],
                of_x=needs_x,
                of_weights=needs_coefficients,
            )
            return (
                None,
                None,
                of_x,
                ctx.map.direct_gradient(weights) if needs_coefficients else None,
                _bias_gradient(ctx.bias, gradient, adapted) if needs_bias else None,
            )


def _bias_gradient(bias: InvariantBias, gradient: Tensor, adapted: Sequence[Tensor]) -> Tensor:
    """That of the coefficients of the bias, from that of y, or of its adapted coordinates."""
    if bias.by_orbits is not None:
        return bias.by_orbits.adjoint(adapted[0])
    return bias.adjoint(gradient.sum(0))


def _is_direct(x: Tensor, *others: Tensor | None) -> bool:
    """Whether numbers are at hand, of one dtype: nothing is traced, batched or cast."""
    tensors = [tensor for tensor in others if tensor is not None]
    return (
        is_plain(x, *tensors)
        and all(tensor.dtype == x.dtype for tensor in tensors)
        and not autocasts(x.device.type)
        and int(forward_ad._current_level) < 0
    )


def _has_memory(tensor: Tensor) -> bool:
    """Whether a tensor is one of its own, not a batch of them as `is_grads_batched` makes it."""
    try:
        tensor.data_ptr()
    except RuntimeError:
        return False
    return True


def _traced_gradients(
    map_: BlockMap,
    bias: InvariantBias,
    gradient: Tensor,
    tensors: tuple[Tensor, Tensor, Tensor | None],
) -> list[Tensor | None]:
    """The gradients by torch's own rules, which can be differentiated, or batched, themselves."""
    again = torch.is_grad_enabled()
    with torch.enable_grad():
        # Aliases, so that no gradient goes on to what x is made of, or is given to hooks.
        x, coefficients, of_bias = (None if t is None else t.view_as(t) for t in tensors)
        assert x is not None
        assert coefficients is not None
        y = map_.traced(bias, x, coefficients, of_bias)
    aliases = x, coefficients, of_bias
    needed = [t for t in aliases if t is not None and t.requires_grad]
    found = iter(torch.autograd.grad(y, needed, gradient, create_graph=again, allow_unused=True))
    gradients: list[Tensor | None] = []
    for tensor in aliases:
        gradients.append(None)
        if tensor is not None and tensor.requires_grad:
            of_tensor = next(found)  # None where y does not depend on it
            gradients[-1] = torch.zeros_like(tensor) if of_tensor is None else of_tensor
    return gradients


def _flat(x: Tensor) -> Tensor:
    """x (..., m) as (batch, m)."""
    return x if x.ndim == 2 else x.reshape(-1, x.shape[-1])


def _like(y: Tensor, x: Tensor) -> Tensor:
    """y (..., k) with the batch of x."""
    return y if x.ndim == 2 else y.view(*x.shape[:-1], y.shape[-1])


# --- samples ------------------------------------------------------------------------------------


def _orbit_blocks(
    basis: Basis, blocks: IrrepProducts, rows: np.ndarray, factors: np.ndarray | None
) -> OrbitBlocks | None:
    """How the blocks are made where samples are many; ``None`` where there is no better way."""
    columns = basis.columns
    if not isinstance(columns, OrbitColumns) or len(blocks.samples) > 1:
        return None
    (shape,) = blocks.samples
    labels = columns.labels[rows]
    if len(rows) < FEWEST_SAMPLES or (labels < 0).any() or not blocks.copies_alike:
        return None
    found = snapped(row_factors(columns, rows, factors))
    matrix = blocks.exact("pair0")
    return OrbitBlocks(labels.reshape(shape), found.reshape(shape), columns.shape[1], matrix)


def _common_factors(coordinates: Coordinates, every: np.ndarray) -> list[np.ndarray]:
    """What coefficients of orbits are multiplied by, for each sample of each block, (r,).

    It is the same for all orbits of a kind but for signs and lifted ones, so that the transforms
    can take it over.
    """
    shapes = coordinates.sample_shapes()
    starts = itertools.accumulate((math.prod(shape) for shape in shapes), initial=0)
    found = []
    for start, (_, r, orbits) in zip(starts, shapes, strict=False):
        first = every[start : start + r * orbits : max(1, orbits)]
        found.append(np.where(first == 0, 1.0, first))
    return found


def _repeated(factors: list[np.ndarray], coordinates: Coordinates) -> np.ndarray:
    """A factor a sample -> one for each entry that is sampled."""
    return np.concatenate(
        [
            np.broadcast_to(factor[:, None], shape).ravel()
            for factor, shape in zip(factors, coordinates.sample_shapes(), strict=True)
        ]
    )
