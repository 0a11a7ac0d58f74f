"""Activations that commute with a group, and the refusal of those that would not."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from equibasis.errors import ModelError
from equibasis.nn.buffers import ExactBuffers
from equibasis.nn.interface import EquivariantMap, FeatureSpace
from equibasis.nn.metric import InvariantMetric
from equibasis.symmetry.representations import (
    TOLERANCE,
    PermutationRepresentation,
    Representation,
    invariant_coordinates,
    restriction,
)

Elementwise: TypeAlias = Callable[[Tensor], Tensor]

# How many times the parameters of an activation are drawn anew when it is tried out.
_DRAWS = 3


class Pointwise(nn.Module):
    """f applied to each coordinate, where that commutes with the group. (..., n) to (..., n).

    With every ρ(g) a permutation any f does; where ρ(g) multiplies the coordinates that it moves
    by factors c, such as the signs of a vector field, f(c x) = c f(x) is needed: odd functions
    for -1, ReLU and its like for positive factors. Matrices that mix coordinates allow none but
    multiples of x: take `NormActivation` or `GatedActivation` for them.

    Parameters
    ----------
    function
        A torch module or any function of tensors. It is tried on numbers, with its parameters
        drawn anew: it has to act on each entry alone, on each in the same way.
    features
        The space that it acts on.

    Raises
    ------
    ModelError
        If it would break equivariance, naming function and space.
    """

    def __init__(self, function: Elementwise, features: FeatureSpace) -> None:
        super().__init__()
        _check_commutes(function, features)
        self.function = function
        self.domain = self.codomain = features

    def forward(self, x: Tensor) -> Tensor:
        """(..., n) -> (..., n)."""
        return self.function(x)

    def extra_repr(self) -> str:
        """The function, where it is not a module that shows itself, for ``repr``."""
        return "" if isinstance(self.function, nn.Module) else _name(self.function)


class NormActivation(nn.Module):
    """y_b = x_b · gate(a_b |x_b|/√n_b + c_b) for each invariant block b, of n_b coordinates.

    For any representation, since the gate is invariant and multiplies a whole block: lengths are
    those of `InvariantMetric`. a and c are learned, and start at 1 and 0. Smooth enough at x = 0:
    nothing is divided by a length. (..., n) to (..., n).

    Parameters
    ----------
    features
        The space that it acts on.
    gate
        A function of numbers; by default the logistic sigmoid, which makes this SiLU of lengths.

    Raises
    ------
    GroupError
        As `InvariantMetric`.
    """

    def __init__(self, features: FeatureSpace, gate: Elementwise | None = None) -> None:
        super().__init__()
        self.domain = self.codomain = features
        self.metric = InvariantMetric(features)
        self.gate = gate or nn.Sigmoid()
        self.scale = nn.Parameter(torch.empty(self.metric.blocks))
        self.shift = nn.Parameter(torch.empty(self.metric.blocks))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Scales 1 and shifts 0."""
        nn.init.ones_(self.scale)
        nn.init.zeros_(self.shift)

    def forward(self, x: Tensor) -> Tensor:
        """(..., n) -> (..., n)."""
        lengths = self.metric.norms(x) / self.metric.sizes.to(x).sqrt()
        return x * self.metric.spread(self.gate(self.scale * lengths + self.shift))

    def extra_repr(self) -> str:
        """Sizes, for ``repr``."""
        return f"{self.domain.dimension} in {self.metric.blocks} blocks"


class GatedActivation(ExactBuffers):
    """y_b = x_b · gate(t_b) for each invariant block b, with invariant numbers t from before.

    For any representation: an invariant number multiplies a whole block. The layer before makes
    the numbers as well as x, so the domain is X ⊕ R^blocks, written ``X + blocks*1``:
    (..., n + blocks) to (..., n).

    Parameters
    ----------
    features
        X, what is gated.
    gate
        A function of numbers; by default the logistic sigmoid.
    """

    block: Tensor

    def __init__(self, features: FeatureSpace, gate: Elementwise | None = None) -> None:
        super().__init__()
        parts = invariant_coordinates(features.representation)
        self.blocks = len(parts)
        self.domain, self.codomain = features + features.scalars(self.blocks), features
        self.gate = gate or nn.Sigmoid()
        block = np.empty(features.dimension, dtype=np.int64)
        for number, part in enumerate(parts):
            block[part] = features.dimension + number
        self.register_exact("block", block)

    def forward(self, x: Tensor) -> Tensor:
        """(..., n + blocks) -> (..., n)."""
        gates = self.gate(x.index_select(-1, self.block))
        return x[..., : self.codomain.dimension] * gates

    def extra_repr(self) -> str:
        """Sizes, for ``repr``."""
        return f"{self.codomain.dimension} in {self.blocks} blocks"


class DirectSumActivation(ExactBuffers):
    """An activation for each of several sets of coordinates that the group keeps apart.

    Parameters
    ----------
    features
        The space that it acts on.
    parts
        Coordinates, ascending, and the activation for them: together, each coordinate once.

    Raises
    ------
    ModelError
        If the coordinates are not a partition, or an activation is not one of their space.
    """

    places: Tensor

    def __init__(
        self, features: FeatureSpace, parts: Sequence[tuple[np.ndarray, nn.Module]]
    ) -> None:
        super().__init__()
        order = np.concatenate([coordinates for coordinates, _ in parts])
        if not np.array_equal(np.sort(order), np.arange(features.dimension)):
            raise ModelError(f"the parts do not make up {features}: give each coordinate once")
        for coordinates, activation in parts:
            _check_part(features, coordinates, activation)
        self.domain = self.codomain = features
        self.activations = nn.ModuleList(activation for _, activation in parts)
        for number, (coordinates, _) in enumerate(parts):
            self.register_exact(f"coordinates{number}", coordinates.astype(np.int64))
        self.register_exact("places", np.argsort(order))

    def forward(self, x: Tensor) -> Tensor:
        """(..., n) -> (..., n)."""
        parts = [
            activation(x.index_select(-1, self.get_buffer(f"coordinates{number}")))
            for number, activation in enumerate(self.activations)
        ]
        return torch.cat(parts, dim=-1).index_select(-1, self.places)


AnyActivation: TypeAlias = Pointwise | NormActivation | GatedActivation | DirectSumActivation


def activation_for(features: FeatureSpace) -> AnyActivation:
    """An activation that suits a space: ELU, tanh or a `NormActivation`, block by block.

    ELU where the group permutes the coordinates of an invariant block, tanh where it changes
    signs as well, lengths where it does anything else.
    """
    kinds: dict[str, list[np.ndarray]] = {}
    for coordinates, entries in _entries_by_block(features.representation):
        if entries is None or not np.isin(entries, (-1.0, 1.0)).all():
            kind = "norm"
        else:
            kind = "signed" if (entries < 0).any() else "permuted"
        kinds.setdefault(kind, []).append(coordinates)
    if len(kinds) == 1:
        return _activation_of(next(iter(kinds)), features)
    parts = {kind: np.sort(np.concatenate(blocks)) for kind, blocks in kinds.items()}
    return DirectSumActivation(
        features,
        [
            (coordinates, _activation_of(kind, features.part(coordinates)))
            for kind, coordinates in parts.items()
        ],
    )


def _activation_of(kind: str, features: FeatureSpace) -> Pointwise | NormActivation:
    if kind == "norm":
        return NormActivation(features)
    return Pointwise(nn.ELU() if kind == "permuted" else nn.Tanh(), features)


def _check_part(features: FeatureSpace, coordinates: np.ndarray, activation: nn.Module) -> None:
    if not isinstance(activation, EquivariantMap):
        raise ModelError(f"{_name(activation)} does not say which space it acts on")
    part = features.part(coordinates)
    for end in (activation.domain, activation.codomain):
        end.check_same(part, f"{_name(activation)} acts on", f"this part of {features} is")


# --- what commutes with what ---------------------------------------------------------------------


def _entries_by_block(rho: Representation) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """Each finest invariant set of coordinates with the `_monomial_entries` of ρ on it."""
    return [
        (coordinates, _monomial_entries(restriction(rho, coordinates)))
        for coordinates in invariant_coordinates(rho)
    ]


def _monomial_entries(rho: Representation) -> np.ndarray | None:
    """The distinct non-zero entries of all ρ(g), or ``None`` if a row of one has two."""
    if isinstance(rho, PermutationRepresentation):
        return np.unique(rho.signs).astype(np.float64) if rho.signs is not None else np.ones(1)
    filled = np.abs(rho.matrices) > TOLERANCE
    if (filled.sum(axis=2) != 1).any():
        return None
    entries = rho.matrices[filled]
    near_one = np.abs(np.abs(entries) - 1.0) < TOLERANCE
    return np.unique(np.where(near_one, np.sign(entries), entries.round(9)))


def _check_commutes(function: Elementwise, features: FeatureSpace) -> None:
    entries = _monomial_entries(features.representation)
    for trial in _trials(function):
        _check_elementwise(trial, function, features)
        x = _numbers()
        y = trial(x.clone())
        if entries is None:
            if not _close(y, x * trial(torch.ones_like(x))):
                raise ModelError(
                    f"{_name(function)} does not commute with {features}: the group mixes "
                    "coordinates there, as rotations of vectors do; use NormActivation or "
                    "GatedActivation, or activation_for"
                )
            continue
        for entry in entries[entries != 1.0]:
            if not _close(trial(entry * x), entry * y):
                raise ModelError(
                    f"{_name(function)} does not commute with {features}: the group multiplies "
                    f"coordinates by {entry:.3g} there, and f({entry:.3g} x) is not "
                    f"{entry:.3g} f(x); use "
                    + ("an odd function such as Tanh, " if entry == -1.0 else "NormActivation, ")
                    + "or activation_for"
                )


def _check_elementwise(trial: Elementwise, function: Elementwise, features: FeatureSpace) -> None:
    """One function of one number, on whatever place of the tensor it stands."""
    generator = torch.Generator().manual_seed(0)
    x = 3 * torch.randn(8, features.dimension, generator=generator, dtype=torch.float64)
    try:
        y = trial(x.clone())
        others = [
            trial(x.clone()),
            trial(x.flip(0, 1)).flip(0, 1),
            trial(x.reshape(-1, 1)).reshape(x.shape),
        ]
        same = y.shape == x.shape and all(_close(y, other) for other in others)
        same = same and _close(trial(x[:3, :1].clone()), y[:3, :1])
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise ModelError(
            f"{_name(function)} cannot act on each coordinate of {features}: {error}"
        ) from error
    if not same:
        raise ModelError(
            f"{_name(function)} does not commute with {features}: it is not one function of each "
            "coordinate alone (it mixes them, treats them differently, or is random)"
        )


def _trials(function: Elementwise) -> list[Elementwise]:
    """The function, and where it has parameters, the same with others: training changes them."""
    if not isinstance(function, nn.Module):
        return [function]
    trials = [copy.deepcopy(function).cpu().double() for _ in range(_DRAWS)]
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for trial in trials[1:]:
            for parameter in trial.parameters():
                parameter.uniform_(-2, 2, generator=generator)
    return [_without_gradients(trial) for trial in trials]


def _without_gradients(module: nn.Module) -> Elementwise:
    def apply(x: Tensor) -> Tensor:
        with torch.no_grad():
            result: Tensor = module(x)
        return result

    return apply


def _numbers() -> Tensor:
    """(many, 1): a fine grid about zero, and large and small numbers of both signs."""
    fine = torch.linspace(-30.0, 30.0, 4001, dtype=torch.float64)
    sizes = torch.logspace(-6, 6, 49, dtype=torch.float64)
    return torch.cat([fine, sizes, -sizes, torch.zeros(1, dtype=torch.float64)])[:, None]


def _close(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=1e-7, atol=1e-9, equal_nan=True)


def _name(function: Elementwise) -> str:
    if isinstance(function, nn.Module):
        return type(function).__name__
    return getattr(function, "__name__", repr(function))
