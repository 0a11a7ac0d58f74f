"""Networks in one line: layers checked to fit each other, and whole multilayer perceptrons."""

from __future__ import annotations

import copy
import functools
import itertools
import operator
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

from torch import Tensor, nn

from equibasis.artifact.cache import get_basis
from equibasis.errors import ModelError
from equibasis.nn.activations import (
    AnyActivation,
    GatedActivation,
    NormActivation,
    Pointwise,
    activation_for,
    is_mixed,
)
from equibasis.nn.bilinear import EquivariantBilinear, EquivariantQuadratic
from equibasis.nn.border import as_vectors
from equibasis.nn.commuting import Elementwise
from equibasis.nn.dependence import check_network
from equibasis.nn.identity import check_all_weights
from equibasis.nn.init import activation_gain, variance_preserving_
from equibasis.nn.interface import EquivariantMap, FeatureSpace, shown
from equibasis.nn.layers import EquivariantCombine, EquivariantLinear
from equibasis.nn.normalization import EquivariantBatchNorm, EquivariantLayerNorm
from equibasis.nn.pooling import OnInvariants
from equibasis.solvers import problem
from equibasis.solvers.basis import Basis
from equibasis.symmetry.group import Group
from equibasis.symmetry.space_text import as_space
from equibasis.symmetry.spaces import Space, Sum, copies

Activation: TypeAlias = Literal["auto", "norm", "gated"] | Elementwise | type[nn.Module]
Normalization: TypeAlias = Literal["layer", "batch"] | None

_ACTIVATIONS = {"auto": activation_for, "norm": NormActivation, "gated": GatedActivation}
# Products are taken of so many copies of each summand, of at most so many dimensions.
_MOST_COPIES, _LARGEST_FACTOR = 4, 16

NORMALIZATIONS = {"layer": EquivariantLayerNorm, "batch": EquivariantBatchNorm}


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
        self.array_shape = here.array_shape
        self.layers: nn.Sequential = nn.Sequential()
        for number, layer in enumerate(layers):
            if isinstance(layer, EquivariantCombine | EquivariantBilinear):
                raise ModelError(
                    f"{type(layer).__name__} takes two vectors: call it in a module of your own, "
                    "or take its linear layer, or EquivariantQuadratic, for the two in one"
                )
            if not isinstance(layer, EquivariantMap):
                free = here.is_trivial and isinstance(layer, nn.Module)
                layer = OnInvariants(layer, here) if free else Pointwise(layer, here)
            elif number:
                before = f"layer {number - 1}, {type(self.layers[-1]).__name__}, gives"
                takes = f"layer {number}, {type(layer).__name__}, takes"
                layer.domain.check_same(here, takes, before)
            self.layers.append(layer)
            known, here = here.turns, layer.codomain
            if here.axes and here.turns is None:  # of kernels of one point
                here = here.on_grid(here.axes, known)
        self.codomain = here
        self.reach = check_network(self, self.steps)

    @property
    def steps(self) -> list[Any]:
        """The layers, and in place of networks of layers theirs."""
        return [
            step
            for layer in self.layers
            for step in (layer.steps if isinstance(layer, EquivariantSequential) else [layer])
        ]

    def forward(self, x: Tensor) -> Tensor:
        """(..., n) of the first layer's domain to (..., n') of the last one's codomain.

        Where the domain is of arrays, such as images, these are flattened.
        """
        if not self.domain.axes:
            x = as_vectors(x, self.array_shape)
        y: Tensor = self.layers(x)
        return y

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        check_all_weights(self, state_dict, prefix)  # before any of them is loaded
        super()._load_from_state_dict(state_dict, prefix, *rest)


class EquivariantMLP(EquivariantSequential):
    """Linear layers with invariant biases between spaces of one group, activations in between.

    >>> import equibasis.nn
    >>> equibasis.nn.EquivariantMLP(["14x14", "6x6", "3x3"], "c4")  # doctest: +SKIP

    Where the group mixes coordinates of a space, as rotations do those of vectors, the layer from
    there has products too (`EquivariantQuadratic`): nothing linear in vectors is a scalar.
    Coefficients start as `variance_preserving_` draws them, with the gain of the activation before.

    Parameters
    ----------
    spaces
        Two spaces or more, input first: text such as ``"8*14x14"``, shapes, or spaces.
    group
        Name of a built-in group, ``module:object``, or a `Group`.
    activation
        After every layer but the last. ``"auto"``: `activation_for` the space, which is gates
        where the group is not compact; ``"norm"``:
        `NormActivation`; ``"gated"``: `GatedActivation`, whose gates the layer makes too; or an
        elementwise module, class of modules or function, taken for every space (`Pointwise`).
    bias
        Whether layers have a bias, in the invariants of their output.
    normalization
        Before every activation: ``"layer"``, ``"batch"`` or none.
    solver
        Who solves a basis that is not in the user's cache folder yet (`equibasis.artifact.cache`).
    bilinear
        Whether layers have products: ``"auto"``, where the group mixes coordinates of their
        input; ``True``, everywhere; ``False``, nowhere. They are of up to 4 copies of each
        different summand of the input, of at most 16 dimensions.

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
        bilinear: bool | Literal["auto"] = "auto",
    ) -> None:
        if not isinstance(spaces, list | tuple) or len(spaces) < 2 or None in spaces:
            raise ModelError(f"a network needs two spaces or more, as a list, not {shown(spaces)}")
        check_normalization(normalization)
        if not isinstance(bias, bool):
            raise ModelError(f"bias {shown(bias)}: choose True or False, invariant it always is")
        if bilinear not in (True, False, "auto"):
            raise ModelError(f"bilinear {shown(bilinear)}: choose True, False or 'auto'")
        layers: list[nn.Module] = []
        make = _Maker(group, bias, solver, bilinear)
        gain = 1.0
        for position, (here, space) in enumerate(itertools.pairwise(map(as_space, spaces))):
            invariants = get_basis(group, output=space, solver=solver)
            if position == len(spaces) - 2:
                layers.append(make.layer(here, invariants, gain))
                break
            step = activation_of(activation, FeatureSpace.output_of(invariants.space))
            if step.domain.space != space:  # gates besides
                invariants = get_basis(group, output=step.domain.space, solver=solver)
            layers.append(make.layer(here, invariants, gain))
            if normalization is not None:
                layers.append(NORMALIZATIONS[normalization](invariants))
            layers.append(step)
            gain = activation_gain(step, step.domain.dimension)
        super().__init__(*layers)


class _Maker(NamedTuple):
    """How the layers of a network are made."""

    group: Group | str
    bias: bool
    solver: str
    bilinear: bool | Literal["auto"]

    def layer(
        self, here: Space, invariants: Basis, gain: float
    ) -> EquivariantLinear | EquivariantQuadratic:
        """From a space to that of some invariants."""
        space, bias = invariants.space.output_space, invariants if self.bias else None
        basis = self._maps(here, space)
        if basis.kind == "invariant":
            raise ModelError(
                f"a layer from the space {here}, one number, is not built: write 2*1, or more "
                "numbers"
            )
        wanted = self.bilinear
        if wanted == "auto":
            wanted = is_mixed(FeatureSpace.input_of(basis.space))
        small = self._few(here) if wanted else None
        products = None if small is None else self._maps(small * small, space)
        if small is None or products is None or not products.rank:
            layer = EquivariantLinear(basis, bias)
            variance_preserving_(layer, gain)
            return layer
        quadratic = EquivariantQuadratic(basis, self._maps(here, small), products, bias)
        quadratic.reset_parameters(gain)
        return quadratic

    def _maps(self, here: Space, space: Space) -> Basis:
        return get_basis(self.group, input=here, output=space, solver=self.solver)

    def _few(self, space: Space) -> Space | None:
        """Return a few copies of each different small summand of a space."""
        counts = Counter(space.summands if isinstance(space, Sum) else (space,))
        few = [
            copies(min(count, _MOST_COPIES), summand)
            for summand, count in counts.items()
            if problem(self.group, output=summand).k <= _LARGEST_FACTOR
        ]
        return functools.reduce(operator.add, few) if few else None


def check_normalization(normalization: Normalization) -> None:
    """Raise `ModelError` for what is none of them."""
    if normalization is not None and str(normalization) not in NORMALIZATIONS:
        raise ModelError(f"normalization {normalization!r}: choose 'layer', 'batch' or None")


def activation_of(activation: Activation, features: FeatureSpace) -> AnyActivation:
    """Return the layer that users mean by the name, module or function of an activation."""
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
