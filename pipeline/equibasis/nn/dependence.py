"""What of a network depends on its input, found by running it on numbers with random weights.

Each layer alone may have maps while their product is 0: what comes from numbers reaches the trivial
part of V*V alone, which no map takes to V. So numbers are sent through, layer by layer, and
gradients back; what is the same for all numbers, or has no gradient, is so for all weights.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from equibasis.nn.activations import Pointwise
from equibasis.nn.buffers import ExactBuffers
from equibasis.nn.convolution import Convolution
from equibasis.nn.fields import (
    FieldAvgPool,
    FieldDropout,
    FieldMaxPool,
    FieldsToVectors,
    FieldUpsample,
    GlobalAvgPool,
    OrbitMaxPool,
)
from equibasis.nn.init import whiten_
from equibasis.nn.interface import EquivariantMap
from equibasis.nn.layers import EquivariantLinear
from equibasis.nn.normalization import EquivariantBatchNorm, EquivariantLayerNorm
from equibasis.nn.pooling import OrbitMeanPool
from equibasis.nn.reach import WAY_OUT, Reach, name_of
from equibasis.nn.restriction import Restriction
from equibasis.nn.tracing import without_autocast

# Between permutations they may be positive, with no row or column of zeros, or are monotone.
_POSITIVE = (
    EquivariantLinear
    | Convolution
    | Pointwise
    | EquivariantBatchNorm
    | FieldAvgPool
    | FieldDropout
    | FieldMaxPool
    | FieldsToVectors
    | FieldUpsample
    | GlobalAvgPool
    | OrbitMaxPool
    | Restriction
)

# Vectors that are sent through: enough that a ReLU does not stop all of them.
_SAMPLES = 16

# What is smaller by so much than what it is made of is 0: rounding, and matrices of 9 digits. Of
# modules of others, whose outputs need not be alike in size, rounding alone.
_NEGLIGIBLE = 1e-7
_ROUNDING = 1e-12

# Vectors given to a layer norm are so long that its ε, if less than about 1, is nothing to them.
_LONG = 1e4


class _Draw(NamedTuple):
    """The size of what activations are given, and the sign of their parameters (0: both).

    Modules of others are tried as activations are, or keep their own weights. The vectors that are
    sent in are of about one length, or spread over six orders.
    """

    size: float = 1.0
    sign: int = 0
    own: bool = False
    spread: bool = False


# Tried until all is reached: an ELU may see positive numbers alone, where it is linear, and make
# nothing of them that it makes of others; a gate may open for large numbers alone; and of narrow,
# deep networks of ReLU most are dead, unless all weights are positive.
_DRAWS = (
    _Draw(own=True),
    _Draw(1e4, 1),
    _Draw(1e4, -1),
    _Draw(30.0),
    _Draw(),
    _Draw(1.0, 1),
    _Draw(1e3),
    _Draw(spread=True),
)

_Run: TypeAlias = Callable[[Tensor], Tensor | None]


def network_reach(layers: Sequence[nn.Module], most: Reach | None = None) -> tuple[Reach, str, str]:
    """Which outputs depend on the input, and which inputs count; where none does, why; a way out.

    A layer that is not of equibasis, does not run here, or is of fields, is taken to join every
    input with every output: of convolutions only each alone says what it does not reach.

    Parameters
    ----------
    layers
        The network's.
    most
        What is reached at most, as the layers at both ends have it; by default everything.
    """
    steps = list(_flattened(layers))
    outputs = np.zeros(steps[-1].codomain.dimension, dtype=bool)
    inputs = np.zeros(steps[0].domain.dimension, dtype=bool)
    most = most or Reach(~outputs, ~inputs)
    if all(map(_mixes_all, steps)):
        return Reach(~outputs, ~inputs), "", ""
    generator = torch.Generator().manual_seed(0)
    last = steps[0]
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.random.fork_rng(devices=[]),
        without_autocast("cpu"),
    ):
        for draw in _DRAWS:
            varying, read, last = _drawn(steps, draw, generator)
            outputs, inputs = outputs | varying, inputs | read
            if (outputs >= most.outputs).all() and (inputs >= most.inputs).all():
                break
    name = name_of(type(last).__name__, last.domain, last.codomain)
    linear = isinstance(last, EquivariantLinear | OrbitMeanPool)
    way_out = WAY_OUT if linear else "it makes a constant of what comes before it, so leave it out"
    return Reach(outputs, inputs), f"nothing of the input gets past {name}", way_out


def _drawn(
    steps: Sequence[Any], draw: _Draw, generator: torch.Generator
) -> tuple[np.ndarray, np.ndarray, Any]:
    """Outputs that vary, inputs with gradients, and the last layer reached, of one draw."""
    x, passed = _normal(generator, _SAMPLES, steps[0].domain.dimension), []
    if draw.spread:
        x = x * torch.logspace(-3, 3, _SAMPLES, dtype=x.dtype, device="cpu")[:, None]
    for step in steps:
        x = _fed(step, x, draw).detach().requires_grad_()
        run = _runner(step, draw, generator)
        y = run(x)
        passed.append((step, run, x, y))
        x = _joined(x, step, generator) if y is None else _cleaned(step, x, y)
        if not _varies(x).any():
            nothing = (
                np.zeros(end.dimension, bool) for end in (steps[-1].codomain, steps[0].domain)
            )
            return *nothing, step
    outputs = _varies(x)
    gradient = _normal(generator, *x.shape) * outputs
    for step, run, x, y in reversed(passed):
        gradient = _pulled_back(step, run, x, y, gradient, generator)
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
    """Whether what comes in comes out, at once: maps of permutations may be positive."""
    if isinstance(step, _POSITIVE) or not _is_ours(step):
        return all(end.permutes for end in (step.domain, step.codomain))
    return False


# --- one layer -----------------------------------------------------------------------------------


def _fed(step: Any, x: Tensor, draw: _Draw) -> Tensor:
    """What a layer is given: of the size drawn, unless it is linear.

    A layer norm gets vectors that are alike long, and none that is all mean, as of that it makes
    0 / √ε.
    """
    if isinstance(step, EquivariantLinear):
        return x
    if not isinstance(step, EquivariantLayerNorm):
        return x if draw.spread else _even(x) * draw.size
    u, form = torch.from_numpy(step.exact("axis"))
    centred = (x - (x @ form)[:, None] * u).abs().amax(dim=1, keepdim=True)
    (kept,) = torch.nonzero(centred[:, 0] > _NEGLIGIBLE * x.abs().max(), as_tuple=True)
    if not len(kept):
        return torch.zeros_like(x)
    return (x * (_LONG / centred))[kept[torch.arange(len(x)) % len(kept)]]


def _runner(step: Any, draw: _Draw, generator: torch.Generator) -> _Run:
    """A layer with parameters drawn, on float64; modules of others in it as in evaluation.

    It makes ``None`` where that is unknown: the layer, or a function in it, is not ours and does
    not take such numbers.
    """
    if not _is_ours(step) or step.domain.axes or step.codomain.axes:
        return lambda x: None
    if isinstance(step, FieldDropout):
        return lambda x: x
    try:
        if _has_others(step):
            step = copy.deepcopy(step)
            for module in step.modules():
                module.train(module.training and _is_ours(module))
        state = _state(step, draw, generator)
    except Exception:  # of others: no copies, no numbers on the meta device, no sizes yet
        return lambda x: None

    def run(x: Tensor) -> Tensor | None:
        for dtype in (torch.float64, torch.float32):
            given = {
                name: tensor.to(dtype) if tensor.is_floating_point() else tensor
                for name, tensor in state.items()
            }
            try:
                y = torch.func.functional_call(step, given, (x.to(dtype, copy=True),))
            except Exception:  # of others
                continue
            if isinstance(y, Tensor) and y.shape == (len(x), step.codomain.dimension):
                return y.to(torch.float64)
        return None

    return run


def _state(step: Any, draw: _Draw, generator: torch.Generator) -> dict[str, Tensor]:
    """The buffers of a layer, and its parameters, drawn."""
    state: dict[str, Tensor] = {}
    seen: set[Tensor] = set()
    for prefix, module in step.named_modules():
        dot, ours = "." if prefix else "", _is_ours(module)
        for name, buffer in module.named_buffers(recurse=False):
            if buffer.is_meta and ours:
                buffer = torch.zeros(buffer.shape, dtype=buffer.dtype, device="cpu")
            state[f"{prefix}{dot}{name}"] = buffer.detach().to("cpu", copy=True)
        if isinstance(module, ExactBuffers):
            state |= {f"{prefix}{dot}{name}": exact for name, exact in module.exact_tensors()}
        for name, parameter in module.named_parameters(recurse=False):
            if parameter in seen:  # under another name
                continue
            seen.add(parameter)
            value = _normal(generator, *parameter.shape)
            if isinstance(module, EquivariantLinear):
                whiten_(module.basis, value)
            elif draw.sign:
                value = draw.sign * (value.abs() + 0.5)
            if not ours and value.ndim > 1:
                value = value / value.shape[1:].numel() ** 0.5
            own = draw.own and not parameter.is_meta
            if not ours and (own or not parameter.is_floating_point()):
                value = parameter.detach().to("cpu", copy=True)
            state[f"{prefix}{dot}{name}"] = value
    return state


def _is_ours(module: object) -> bool:
    return type(module).__module__.startswith("equibasis.")


def _has_others(step: nn.Module) -> bool:
    return not all(map(_is_ours, step.modules()))


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
    if isinstance(step, EquivariantLinear):
        rest = rest * (rest.abs().amax(dim=0) > _NEGLIGIBLE * largest)
        mean = mean * (mean.abs() > _NEGLIGIBLE * float(x.abs().max()))
        return _even(mean) + _even(rest)
    if _has_others(step):
        floor = _ROUNDING * y.abs().amax(dim=0).clamp(min=largest)
    else:
        size = max(largest, largest**2)  # of products
        floor = _NEGLIGIBLE * y.abs().max().clamp(min=1e-6 * size)
    return mean + rest * (rest.abs().amax(dim=0) > floor)


def _pulled_back(
    step: Any, run: _Run, x: Tensor, y: Tensor | None, gradient: Tensor, generator: torch.Generator
) -> Tensor:
    """The gradient of x from that of y, what is rounding exactly 0, and of even size.

    Where there is none, but other numbers make another y, it is any: steps have no slope.
    """
    if y is None:
        return _normal(generator, *x.shape) * (gradient != 0).any()
    if isinstance(step, EquivariantLayerNorm):  # what is long has no slope but noise, of 2 numbers
        x = (x / _LONG).detach().requires_grad_()
        y = run(x)
        assert y is not None  # of the same layer as before
    slope = torch.autograd.grad(y, x, gradient, allow_unused=True)[0] if y.requires_grad else None
    found = torch.zeros_like(x) if slope is None else slope
    floor = _ROUNDING if _has_others(step) else _NEGLIGIBLE
    found = found * (found.abs().amax(dim=0) > floor * float(found.abs().max()))
    (flat,) = torch.nonzero((found == 0).all(dim=0), as_tuple=True)
    if len(flat) and not isinstance(step, EquivariantLinear):
        read = _read(run, x.detach(), y.detach(), gradient != 0, flat, floor)
        found[:, read] = _normal(generator, len(x), len(read))
    return _even(found)


def _read(
    run: _Run, x: Tensor, y: Tensor, counting: Tensor, columns: Tensor, floor: float
) -> Tensor:
    """Those of some inputs that change an output that counts, found by halves."""
    moved = x.clone()
    moved[:, columns] = x[:, columns].roll(1, 0)
    other = run(moved)
    assert other is not None  # of the same layer as y
    change = ((other - y).abs() * counting).amax(dim=0)
    if (change <= floor * y.abs().amax(dim=0)).all():
        return columns[:0]
    if len(columns) == 1:
        return columns
    halves = columns.tensor_split(2)
    return torch.cat([_read(run, x, y, counting, half, floor) for half in halves])


def _even(x: Tensor) -> Tensor:
    """Of mean square 1, unless it is 0."""
    return x / x.square().mean().sqrt() if x.any() else x


def _varies(x: Tensor) -> Tensor:
    return (x != x[0]).any(dim=0)


def _normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator, dtype=torch.float64, device="cpu")
