"""Networks in one line: layers checked to fit each other, and whole multilayer perceptrons."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from torch import Tensor, nn

from equibasis.artifact.cache import get_basis
from equibasis.errors import ModelError
from equibasis.nn.activations import (
    AnyActivation,
    GatedActivation,
    NormActivation,
    Pointwise,
    activation_for,
)
from equibasis.nn.commuting import Elementwise
from equibasis.nn.dependence import network_reach
from equibasis.nn.identity import check_all_weights
from equibasis.nn.init import activation_gain, variance_preserving_
from equibasis.nn.interface import EquivariantMap, FeatureSpace, shown
from equibasis.nn.layers import EquivariantCombine, EquivariantLinear
from equibasis.nn.normalization import EquivariantBatchNorm, EquivariantLayerNorm
from equibasis.nn.on_invariants import OnInvariants
from equibasis.nn.reach import Reach, check_reach
from equibasis.solvers.basis import Basis
from equibasis.symmetry.group import Group
from equibasis.symmetry.space_text import as_space
from equibasis.symmetry.spaces import Space

Activation: TypeAlias = Literal["auto", "norm", "gated"] | Elementwise | type[nn.Module]
Normalization: TypeAlias = Literal["layer", "batch"] | None

_ACTIVATIONS = {"auto": activation_for, "norm": NormActivation, "gated": GatedActivation}
_NORMALIZATIONS = {"layer": EquivariantLayerNorm, "batch": EquivariantBatchNorm}


class EquivariantSequential(nn.Module):
    """Layers one after the other, each checked to take what the one before it gives.

    Parameters
    ----------
    layers
        Modules with ``domain`` and ``codomain``, as all of equibasis have, the first among them.
        Others after that are taken as activations and wrapped in `Pointwise`; after invariant
        features, where nothing can break, any module goes, such as `torch.nn.Linear`.

    Raises
    ------
    ModelError
        If spaces, groups or representations do not match, or an activation would break
        equivariance, naming both sides; or if the output cannot depend on the input.

    Warns
    -----
    UnreachedWarning
        If some of the output cannot depend on the input, or some of the input does not count,
        though each layer alone has maps there.
    """

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        if not layers or not isinstance(layers[0], EquivariantMap):
            what = shown(layers[0]) if layers else "nothing"
            raise ModelError(
                f"an equivariant network starts with an equivariant layer, not {what}: only that "
                "says which space and group there is"
            )
        self.domain = here = layers[0].domain
        self.layers: nn.Sequential = nn.Sequential()
        for number, layer in enumerate(layers):
            if isinstance(layer, EquivariantCombine):
                raise ModelError(
                    "EquivariantCombine takes two vectors, h and g: call it in a module of your "
                    "own, or take its linear layer for h and g joined"
                )
            if not isinstance(layer, EquivariantMap):
                free = here.is_trivial and isinstance(layer, nn.Module)
                layer = OnInvariants(layer, here) if free else Pointwise(layer, here)
            elif number:
                before = f"layer {number - 1}, {type(self.layers[-1]).__name__}, gives"
                takes = f"layer {number}, {type(layer).__name__}, takes"
                layer.domain.check_same(here, takes, before)
            self.layers.append(layer)
            here = layer.codomain
        self.codomain = here
        said = _said(list(self.layers))
        self.reach, *reason = network_reach(list(self.layers), said)
        check_reach(type(self).__name__, self.domain, here, self.reach, said, *reason)

    def forward(self, x: Tensor) -> Tensor:
        """(..., n) of the first layer's domain to (..., n') of the last one's codomain."""
        y: Tensor = self.layers(x)
        return y

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        check_all_weights(self, state_dict, prefix)  # before any of them is loaded
        super()._load_from_state_dict(state_dict, prefix, *rest)


def _said(layers: Sequence[Any]) -> Reach:
    """What the layers at both ends, beyond activations, said of themselves when they were built."""

    def of_end(layers: Sequence[Any], features: FeatureSpace, side: str) -> np.ndarray:
        for layer in layers:
            if hasattr(layer, "reach"):
                return getattr(layer.reach, side)
            if layer.domain.dimension != layer.codomain.dimension:
                break
        return np.ones(features.dimension, dtype=bool)

    return Reach(
        of_end(list(reversed(layers)), layers[-1].codomain, "outputs"),
        of_end(layers, layers[0].domain, "inputs"),
    )


class EquivariantMLP(EquivariantSequential):
    """Linear layers with invariant biases between spaces of one group, activations in between.

    >>> import equibasis.nn
    >>> equibasis.nn.EquivariantMLP(["14x14", "6x6", "3x3"], "c4")  # doctest: +SKIP

    Coefficients start as `variance_preserving_` draws them, with the gain of the activation before.

    Parameters
    ----------
    spaces
        Two spaces or more, input first: text such as ``"8*14x14"``, shapes, or spaces.
    group
        Name of a built-in group, ``module:object``, or a `Group`.
    activation
        After every layer but the last. ``"auto"``: `activation_for` the space; ``"norm"``:
        `NormActivation`; ``"gated"``: `GatedActivation`, whose gates the layer makes too; or an
        elementwise module, class of modules or function, taken for every space (`Pointwise`).
    bias
        Whether layers have a bias, in the invariants of their output.
    normalization
        Before every activation: ``"layer"``, ``"batch"`` or none.
    solver
        Who solves a basis that is not in the user's cache folder yet (`equibasis.artifact.cache`).

    Raises
    ------
    ModelError
        If there are fewer than two spaces, an option is none of these, or an activation would
        break equivariance, naming it and the space.
    GroupError, SpaceError, SolverError
        As `equibasis.solve`.
    """

    def __init__(
        self,
        spaces: Sequence[Space | str | Sequence[int]],
        group: Group | str,
        activation: Activation = "auto",
        bias: bool = True,
        normalization: Normalization = None,
        solver: str = "auto",
    ) -> None:
        if not isinstance(spaces, list | tuple) or len(spaces) < 2 or None in spaces:
            raise ModelError(f"a network needs two spaces or more, as a list, not {shown(spaces)}")
        if normalization is not None and str(normalization) not in _NORMALIZATIONS:
            raise ModelError(f"normalization {normalization!r}: choose 'layer', 'batch' or None")
        if not isinstance(bias, bool):
            raise ModelError(f"bias {shown(bias)}: choose True or False, invariant it always is")
        layers: list[nn.Module] = []
        gain = 1.0
        for position, (here, space) in enumerate(itertools.pairwise(map(as_space, spaces))):
            invariants = get_basis(group, output=space, solver=solver)
            if position == len(spaces) - 2:
                layers.append(_linear(group, here, invariants, bias, gain, solver))
                break
            step = _activation(activation, FeatureSpace.output_of(invariants.space))
            if step.domain.space != space:  # gates besides
                invariants = get_basis(group, output=step.domain.space, solver=solver)
            layers.append(_linear(group, here, invariants, bias, gain, solver))
            if normalization is not None:
                layers.append(_NORMALIZATIONS[normalization](invariants))
            layers.append(step)
            gain = activation_gain(step, step.domain.dimension)
        super().__init__(*layers)


def _linear(
    group: Group | str, input_: Space, invariants: Basis, bias: bool, gain: float, solver: str
) -> EquivariantLinear:
    basis = get_basis(group, input=input_, output=invariants.space.output_space, solver=solver)
    if basis.kind == "invariant":
        raise ModelError(
            f"a layer from the space {input_}, one number, is not built: write 2*1, or more numbers"
        )
    layer = EquivariantLinear(basis, invariants if bias else None)
    variance_preserving_(layer, gain)
    return layer


def _activation(activation: Activation, features: FeatureSpace) -> AnyActivation:
    if isinstance(activation, str) and activation in _ACTIVATIONS:
        return _ACTIVATIONS[activation](features)
    if isinstance(activation, nn.Module):
        return Pointwise(copy.deepcopy(activation), features)
    if callable(activation):
        made = activation() if isinstance(activation, type) else activation
        return Pointwise(made, features)
    raise ModelError(
        f"activation {shown(activation)}: choose 'auto', 'norm', 'gated', or give an elementwise "
        "module or function, such as torch.nn.Tanh"
    )
