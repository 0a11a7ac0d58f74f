"""Activations that commute with a group, and the refusal of those that would not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from equibasis.errors import ModelError
from equibasis.nn.border import check_vectors
from equibasis.nn.commuting import (
    Elementwise,
    check_commutes,
    entries_by_block,
    title,
)
from equibasis.nn.identity import IdentifiedWeights
from equibasis.nn.interface import EquivariantMap, FeatureSpace, features_of, shown
from equibasis.nn.metric import InvariantBlocks, InvariantMetric, NoLengthError
from equibasis.solvers.basis import Basis


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

    def __init__(self, function: Elementwise, features: FeatureSpace | Basis) -> None:
        super().__init__()
        if not callable(function) or isinstance(function, type):
            raise ModelError(f"Pointwise needs a function or a module, not {shown(function)}")
        space = features_of(features, "Pointwise")
        check_commutes(function, space)
        self.function = function
        self.domain = self.codomain = space

    def forward(self, x: Tensor) -> Tensor:
        """(..., n) -> (..., n)."""
        check_vectors(self, x)
        return self.function(x)

    def extra_repr(self) -> str:
        """Return the function, where it is not a module that shows itself, for ``repr``."""
        return "" if isinstance(self.function, nn.Module) else title(self.function)


class NormActivation(IdentifiedWeights):
    """y_b = x_b · gate(a_b ‖x_b‖/√n_b + c_b) for each invariant block b, of n_b coordinates.

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
    ModelError
        If the gate is not one function of each number alone, or constant; or the group keeps no
        length.
    """

    def __init__(self, features: FeatureSpace | Basis, gate: Elementwise | None = None) -> None:
        super().__init__()
        space = features_of(features, "NormActivation")
        self.domain = self.codomain = space
        self.metric = InvariantMetric(space)
        self.gate = _gate(gate, space.scalars(self.metric.blocks))
        self.scale = nn.Parameter(torch.empty(self.metric.blocks))
        self.shift = nn.Parameter(torch.empty(self.metric.blocks))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Scales 1 and shifts 0."""
        nn.init.ones_(self.scale)
        nn.init.zeros_(self.shift)

    def forward(self, x: Tensor) -> Tensor:
        """(..., n) -> (..., n)."""
        check_vectors(self, x, self.scale.dtype)
        along = self.domain.along_channels
        lengths = self.metric.norms(x) / along(self.metric.sizes.to(x).sqrt())
        gates = self.gate(along(self.scale) * lengths + along(self.shift))
        return x * self.metric.spread(gates)

    def weights_of(self) -> tuple[str, tuple[FeatureSpace, ...], str]:
        """Return a scale and a shift for each block."""
        return "NormActivation", (self.domain,), f"{self.metric.blocks} blocks"


class GatedActivation(IdentifiedWeights):
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

    Raises
    ------
    ModelError
        If the gate is not one function of each number alone, or constant.
    """

    def __init__(self, features: FeatureSpace | Basis, gate: Elementwise | None = None) -> None:
        super().__init__()
        space = features_of(features, "GatedActivation")
        self.parts = InvariantBlocks(space)
        self.blocks = self.parts.blocks
        gates = space.scalars(self.blocks)
        self.domain, self.codomain = space + gates, space
        self.gate = _gate(gate, gates)

    def forward(self, x: Tensor) -> Tensor:
        """(..., n + blocks) -> (..., n)."""
        check_vectors(self, x)
        n, axis = self.codomain.dimension, self.domain.channels
        gates = self.gate(x.narrow(axis, n, self.blocks))
        return x.narrow(axis, 0, n) * self.parts.spread(gates)

    def weights_of(self) -> tuple[str, tuple[FeatureSpace, ...], str]:
        """Return a gate for each block, made by the weights before it."""
        return "GatedActivation", (self.codomain,), f"{self.blocks} blocks"


class DirectSumActivation(IdentifiedWeights):
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
        self, features: FeatureSpace | Basis, parts: Sequence[tuple[np.ndarray, nn.Module]]
    ) -> None:
        super().__init__()
        space = features_of(features, "DirectSumActivation")
        for coordinates, activation in parts:
            part = space.part(coordinates)
            if not isinstance(activation, EquivariantMap):
                raise ModelError(f"{title(activation)} does not say which space it acts on")
            for end in (activation.domain, activation.codomain):
                end.check_same(part, f"{title(activation)} acts on", f"this part of {space} is")
        order = np.concatenate([np.zeros(0, np.int64), *(coordinates for coordinates, _ in parts)])
        if not np.array_equal(np.sort(order), np.arange(space.dimension)):
            raise ModelError(f"the parts do not make up {space}: give each coordinate once")
        self.domain = self.codomain = space
        self.activations = nn.ModuleList(activation for _, activation in parts)
        for number, (coordinates, _) in enumerate(parts):
            self.register_exact(f"coordinates{number}", coordinates)
        self.register_exact("places", np.argsort(order))

    def forward(self, x: Tensor) -> Tensor:
        """(..., n) -> (..., n)."""
        check_vectors(self, x)
        channels = self.domain.channels
        parts = [
            activation(x.index_select(channels, self.get_buffer(f"coordinates{number}")))
            for number, activation in enumerate(self.activations)
        ]
        return torch.cat(parts, dim=channels).index_select(channels, self.places)

    def weights_of(self) -> tuple[str, tuple[FeatureSpace, ...], str]:
        """Those of the parts, by their coordinates."""
        parts = [
            ",".join(map(str, self.exact(f"coordinates{number}").tolist()))
            for number in range(len(self.activations))
        ]
        return "DirectSumActivation", (self.domain,), f"parts {' | '.join(parts)}"


AnyActivation: TypeAlias = Pointwise | NormActivation | GatedActivation | DirectSumActivation


def activation_for(features: FeatureSpace | Basis) -> AnyActivation:
    """Choose an activation that suits a space: ELU, tanh or a `NormActivation`; or gates.

    ELU where the group permutes the coordinates of an invariant block, tanh where it changes
    signs as well, lengths where it does anything else. Where a block has no lengths, since the
    group is not compact there, a `GatedActivation` of the whole space.
    """
    space = features_of(features, "activation_for")
    kinds = _suitable(space)
    try:
        if len(kinds) == 1:
            return _made(next(iter(kinds)), space)
        parts = [(each, _made(kind, space.part(each))) for kind, each in kinds.items()]
        return DirectSumActivation(space, parts)
    except NoLengthError:
        return GatedActivation(space)


def is_mixed(features: FeatureSpace) -> bool:
    """Whether the group does more than permute coordinates, signs apart."""
    return NormActivation in _suitable(features)


def _suitable(features: FeatureSpace) -> dict[type[nn.Module], np.ndarray]:
    """Which activation suits which coordinates, ascending, of whole invariant blocks."""
    kinds: dict[type[nn.Module], list[np.ndarray]] = {}
    for coordinates, entries in entries_by_block(features.representation):
        if entries is None or (np.abs(entries) != 1.0).any():
            kind: type[nn.Module] = NormActivation
        else:
            kind = nn.Tanh if (entries < 0).any() else nn.ELU
        kinds.setdefault(kind, []).append(coordinates)
    return {kind: np.sort(np.concatenate(blocks)) for kind, blocks in kinds.items()}


def _made(kind: type[nn.Module], features: FeatureSpace) -> Pointwise | NormActivation:
    return NormActivation(features) if kind is NormActivation else Pointwise(kind(), features)


def _gate(gate: Elementwise | None, gates: FeatureSpace) -> Elementwise:
    """Return a function of each gate alone; raises `ModelError` for others."""
    if gate is None:
        return nn.Sigmoid()
    if not callable(gate) or isinstance(gate, type):
        raise ModelError(f"gate {shown(gate)}: give a function of numbers, such as torch.tanh")
    check_commutes(gate, gates)
    return gate
