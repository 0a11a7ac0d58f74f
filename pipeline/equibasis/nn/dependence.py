"""What of a network depends on its input, found by running it on numbers with random weights.

Each layer alone may have maps while their product is 0: what comes from numbers reaches the trivial
part of V*V alone, which no map takes to V. So numbers are sent through, layer by layer, and
gradients back; what is the same for all numbers, or has no gradient, is so for all weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from equibasis.nn.activations import Pointwise
from equibasis.nn.buffers import ExactBuffers
from equibasis.nn.interface import EquivariantMap
from equibasis.nn.layers import EquivariantLinear
from equibasis.nn.on_invariants import OnInvariants
from equibasis.nn.reach import Reach, name_of
from equibasis.nn.tracing import without_autocast
from equibasis.symmetry.representations import PermutationRepresentation, Representation

# Vectors that are sent through: enough that a ReLU does not stop all of them.
_SAMPLES = 16

# Weights that are tried, until all is reached: an ELU may see positive numbers alone, where it is
# linear, and make nothing of them that it makes of others.
_DRAWS = 8

# What is smaller by so much than what it is made of is 0: rounding, and matrices of 9 digits.
_NEGLIGIBLE = 1e-7


def network_reach(layers: Sequence[nn.Module], most: Reach) -> tuple[Reach, str]:
    """Which outputs depend on the input, and which inputs count; and why, where none does.

    Modules that are not of equibasis are taken to join every input with every output.

    Parameters
    ----------
    layers
        The network's.
    most
        What is reached at most, as the layers at both ends have it.
    """
    steps = list(_flattened(layers))
    outputs = np.zeros(steps[-1].codomain.dimension, dtype=bool)
    inputs = np.zeros(steps[0].domain.dimension, dtype=bool)
    if all(map(_mixes_all, steps)):
        return Reach(~outputs, ~inputs), ""
    generator = torch.Generator().manual_seed(0)
    last = steps[0]
    with torch.inference_mode(False), torch.enable_grad(), without_autocast("cpu"):
        for _ in range(_DRAWS):
            varying, read, last = _drawn(steps, generator)
            outputs, inputs = outputs | varying, inputs | read
            if (outputs >= most.outputs).all() and (inputs >= most.inputs).all():
                break
    name = name_of(type(last).__name__, last.domain, last.codomain)
    return Reach(outputs, inputs), f"nothing of the input gets past {name}"


def _drawn(steps: Sequence[Any], generator: torch.Generator) -> tuple[np.ndarray, np.ndarray, Any]:
    """Outputs that vary, inputs with gradients, and the last layer reached, of one draw."""
    x, passed = _normal(generator, _SAMPLES, steps[0].domain.dimension), []
    for step in steps:
        x = x.detach().requires_grad_()
        y = _run(step, x, generator)
        passed.append((x, y))
        x = _joined(x, step, generator) if y is None else _cleaned(step, x, y)
        if not _varies(x).any():
            nothing = (
                np.zeros(end.dimension, bool) for end in (steps[-1].codomain, steps[0].domain)
            )
            return *nothing, step
    outputs = _varies(x)
    gradient = _normal(generator, *x.shape) * outputs
    for x, y in reversed(passed):
        gradient = _pulled_back(x, y, gradient, generator)
    return outputs.numpy(), (gradient != 0).any(dim=0).numpy(), steps[-1]


def _flattened(layers: Sequence[nn.Module]) -> Iterator[Any]:
    """The layers, and those inside of networks of layers."""
    for layer in layers:
        inner = getattr(layer, "layers", None)
        if _is_ours(layer) and isinstance(inner, nn.Sequential):
            yield from _flattened(list(inner))
        else:
            yield layer


def _mixes_all(step: EquivariantMap) -> bool:
    """Whether every output depends on all inputs, at once: maps of permutations have no zeros."""
    if isinstance(step, EquivariantLinear | Pointwise) or not _is_run(step):
        return all(_permutes(end.representation) for end in (step.domain, step.codomain))
    return False


def _permutes(rho: Representation) -> bool:
    return isinstance(rho, PermutationRepresentation) and rho.signs is None


def _run(step: Any, x: Tensor, generator: torch.Generator) -> Tensor | None:
    """What a layer makes of numbers with random parameters, in float64.

    ``None`` where that is unknown: it is not ours, or a function in it does not take such numbers.
    """
    if not _is_run(step):
        return None
    state: dict[str, Tensor] = {}
    for name, buffer in step.named_buffers():
        dtype = torch.float64 if buffer.is_floating_point() else buffer.dtype
        state[name] = (
            torch.zeros(buffer.shape, dtype=dtype, device="cpu")
            if buffer.is_meta
            else buffer.detach().to("cpu", dtype, copy=True)
        )
    for prefix, module in step.named_modules():
        if isinstance(module, ExactBuffers):
            dot = "." if prefix else ""
            state |= {f"{prefix}{dot}{name}": exact for name, exact in module.exact_tensors()}
    for name, parameter in step.named_parameters():
        state[name] = _normal(generator, *parameter.shape)
    try:
        y: Tensor = torch.func.functional_call(step, state, (x,))
    except (RuntimeError, TypeError, ValueError):  # of a function bound to another device or dtype
        return None
    return y


def _is_run(step: Any) -> bool:
    """Whether it is a layer of ours with nothing of others in it but elementwise functions."""
    return _is_ours(step) and not isinstance(step, OnInvariants)


def _is_ours(module: nn.Module) -> bool:
    return type(module).__module__.startswith("equibasis.")


def _joined(x: Tensor, step: Any, generator: torch.Generator) -> Tensor:
    """Any numbers, all of them different where something of the input comes in."""
    return _normal(generator, _SAMPLES, step.codomain.dimension) * _varies(x).any()


def _cleaned(step: Any, x: Tensor, y: Tensor) -> Tensor:
    """The same with what is constant but for rounding exactly so, and of even size.

    Weights of a linear layer are such that constants and the rest are both about 1, which they
    may be: so nothing fades on its way through a deep network.
    """
    x, y = x.detach(), y.detach()
    mean = y.mean(dim=0)
    rest = y - mean
    largest = float((x - x.mean(dim=0)).abs().max()) * x.shape[1] ** 0.5
    floor = _NEGLIGIBLE * max(float(y.abs().max()), 1e-6 * largest)
    if isinstance(step, EquivariantLinear):
        floor = _NEGLIGIBLE * largest
    rest = rest * (rest.abs().amax(dim=0) > floor)
    if isinstance(step, EquivariantLinear):
        mean = mean * (mean.abs() > _NEGLIGIBLE * float(x.abs().max()))
        mean, rest = _even(mean), _even(rest)
    return mean + rest


def _even(x: Tensor) -> Tensor:
    """Of mean square 1, unless it is 0."""
    return x / x.square().mean().sqrt() if x.any() else x


def _varies(x: Tensor) -> Tensor:
    return (x != x[0]).any(dim=0)


def _pulled_back(
    x: Tensor, y: Tensor | None, gradient: Tensor, generator: torch.Generator
) -> Tensor:
    """The gradient of x from that of y, what is rounding exactly 0, and of even size."""
    if y is None:
        return _normal(generator, *x.shape) * (gradient != 0).any()
    (found,) = torch.autograd.grad(y, x, gradient, allow_unused=True)
    if found is None or not found.any():  # steps have no slope
        return _normal(generator, *x.shape)
    kept = found.abs().amax(dim=0) > _NEGLIGIBLE * float(found.abs().max())
    return _even(found * kept)


def _normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator, dtype=torch.float64, device="cpu")
