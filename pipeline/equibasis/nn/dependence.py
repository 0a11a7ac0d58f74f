"""What of a network depends on its input: numbers sent through it, and gradients back.

Each layer alone may have maps while their product is 0: what comes from numbers reaches the trivial
part of V*V alone, which no map takes to V. So a network is run once, with random weights; what is
the same for all numbers, or has no gradient, is so for all weights. That nothing fades or saturates
on the way, what a layer makes is scaled to size 1, and elementwise functions are others of the same
symmetry.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from equibasis.nn.activations import GatedActivation, NormActivation, Pointwise
from equibasis.nn.bias import InvariantBias
from equibasis.nn.commuting import Elementwise, keeps_signs_and_scale
from equibasis.nn.convolution import Convolution
from equibasis.nn.fields import FieldAvgPool, FieldMaxPool, FieldsToVectors, FieldUpsample
from equibasis.nn.init import LinearLayer, whiten_
from equibasis.nn.layers import EquivariantLinear
from equibasis.nn.normalization import EquivariantLayerNorm
from equibasis.nn.pooling import OnInvariants, OrbitMeanPool
from equibasis.nn.reach import WAY_OUT, Reach, check_reach, name_of
from equibasis.nn.tracing import without_autocast

# Vectors that are sent through.
_SAMPLES = 16

# What varies by less, of numbers about 1, is rounding; some matrices are given to 9 digits.
_NEGLIGIBLE = 1e-7

# Vectors given to a layer norm are so long that its ε, if less than about 1, is nothing to them.
_LONG = 1e4

_Run: TypeAlias = Callable[[Tensor], Tensor]


def check_network(network: Any, layers: Sequence[Any]) -> Reach:
    """`check_reach` of layers one after the other, which are a network."""
    reach, last = network_reach(layers)
    linear = isinstance(last, EquivariantLinear | Convolution | OrbitMeanPool)
    way_out = WAY_OUT if linear else "it makes a constant of what comes before it, so leave it out"
    why = f"nothing of the input gets past {name_of(last)}"
    said = Reach(_said(layers[::-1], "outputs"), _said(layers, "inputs"))
    return check_reach(network, reach, said, why, way_out)


def _said(layers: Sequence[Any], side: str) -> Any:
    """Return the first layer's reach, activations left out, as it was when it was built."""
    for layer in layers:
        if hasattr(layer, "reach"):
            return getattr(layer.reach, side)
        if layer.domain.dimension != layer.codomain.dimension:
            break
    return True


def network_reach(layers: Sequence[Any]) -> tuple[Reach, Any]:
    """Which outputs depend on the input, and which inputs count; and the last layer reached.

    A layer that is not of equibasis is taken to join every input with every output.
    """
    n, k = layers[0].domain.dimension, layers[-1].codomain.dimension
    ends = [end for layer in layers for end in (layer.domain, layer.codomain)]
    centred = any(isinstance(layer, EquivariantLayerNorm) for layer in layers)
    if all(end.permutes for end in ends) and not centred:
        # Maps of permutations may have positive weights alone.
        return Reach(np.ones(k, bool), np.ones(n, bool)), layers[-1]
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.random.fork_rng(devices=[]),
        torch.device("cpu"),
        without_autocast("cpu"),
    ):
        torch.manual_seed(0)
        x = _normal(_SAMPLES, n).requires_grad_()
        y: Tensor = x
        for layer in layers:
            y = _scaled(_generic(layer)(y))
            outputs = (y != y[0]).any(dim=0)
            if not outputs.any():
                return Reach(np.zeros(k, bool), np.zeros(n, bool)), layer
        (gradient,) = torch.autograd.grad(y, x, _normal(*y.shape) * outputs)
        sizes = gradient.abs().amax(dim=0)
        return Reach(outputs.numpy(), (sizes > _NEGLIGIBLE * sizes.max()).numpy()), layers[-1]


def _generic(layer: Any) -> _Run:
    """Return a layer on vectors (samples, n), of fields at one point, as it is for most weights."""
    if not type(layer).__module__.startswith("equibasis.") or isinstance(layer, OnInvariants):
        weights = _normal(layer.codomain.dimension, layer.domain.dimension)
        return lambda x: x @ weights.T
    if isinstance(layer, FieldAvgPool | FieldMaxPool | FieldUpsample):
        return lambda x: x
    generic = _with_random_weights(layer)
    if isinstance(layer, Convolution):
        joined = (generic.weight().flatten(2).abs().amax(dim=2) > _NEGLIGIBLE).double()
        joined = torch.block_diag(*joined.chunk(layer.groups))
        joined = joined if layer.transposed else joined.T
        return lambda x: x @ (joined * _normal(*joined.shape))
    grid = layer.size if isinstance(layer, FieldsToVectors) else (1,) * layer.domain.axes

    def run(x: Tensor) -> Tensor:
        fields = x[(..., *(None,) * len(grid))].expand(*x.shape, *grid)
        made: Tensor = generic(fields).flatten(1)
        return made

    def normalized(x: Tensor) -> Tensor:  # long, where its gradient is but rounding
        like = run(x) + x
        return like + (run(_LONG * x) - like).detach()

    return normalized if isinstance(layer, EquivariantLayerNorm) else run


def _with_random_weights(layer: nn.Module) -> Any:
    """Return a copy of a layer in evaluation, whose coefficients are random, and none about 0."""
    generic = copy.deepcopy(layer)
    for module in list(generic.modules()):
        if isinstance(module, Pointwise):
            module.function = _stand_in(module.function)
        if isinstance(module, NormActivation | GatedActivation):
            module.gate = nn.Sigmoid()
    generic = generic.to_empty(device="cpu").double().eval()
    with torch.no_grad():
        for module in generic.modules():
            if callable(reset := getattr(module, "reset_parameters", None)):
                reset()
        for module in generic.modules():
            if isinstance(module, LinearLayer | InvariantBias) and module.coefficients is not None:
                c = _normal(*module.coefficients.shape)
                module.coefficients.copy_(c.sign() * (0.5 + c.abs()))
            if isinstance(module, LinearLayer):
                whiten_(module)
    return generic


def _stand_in(function: Elementwise) -> nn.Module:
    """Return a function as odd, and as homogeneous, as another, but nowhere flat."""
    odd, homogeneous = keeps_signs_and_scale(function)
    if not odd:
        return nn.LeakyReLU(0.5)
    return nn.Identity() if homogeneous else nn.Tanhshrink()


def _scaled(y: Tensor) -> Tensor:
    """Make what is constant but for rounding exactly so, and of mean square 1."""
    mean = y.mean(dim=0).detach()
    constant = (y - mean).abs().amax(dim=0) <= _NEGLIGIBLE
    y = torch.where(constant, mean, y)
    size = y.detach().square().mean().sqrt()
    return y / size if size > 0 else y


def _normal(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)
