"""The bias of an equivariant layer: an invariant vector of its output."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from equibasis.errors import ModelError
from equibasis.nn.expansion import BasisExpansion
from equibasis.nn.identity import IdentifiedWeights
from equibasis.nn.interface import FeatureSpace, shown
from equibasis.solvers.basis import Basis
from equibasis.symmetry.constructions import same_representation

Bias: TypeAlias = Basis | Literal["scalar"] | None


class InvariantBias(IdentifiedWeights):
    """b of shape (k,) in the invariants of Y, or one scalar, or ``None``.

    Parameters
    ----------
    basis
        Of the layer, X -> Y, or of the invariants of Y.
    bias
        The invariant basis of Y, ``"scalar"``, or ``None``.

    Raises
    ------
    ModelError
        If the bases do not fit each other, or the scalar bias would not be invariant.
    """

    expansion: BasisExpansion | None
    coefficients: nn.Parameter | None

    def __init__(self, basis: Basis, bias: Bias) -> None:
        super().__init__()
        self.size = basis.space.k
        self.codomain = FeatureSpace.output_of(basis.space)
        self.register_module("expansion", None)
        self.register_parameter("coefficients", None)
        if bias is None:
            return
        if isinstance(bias, Basis):
            check_invariants(basis, bias)
            self.expansion = BasisExpansion(bias)
            self.coefficients = nn.Parameter(torch.empty(bias.rank))
        elif isinstance(bias, str) and bias == "scalar":
            if not self.codomain.permutes:
                raise ModelError(
                    f"a scalar bias is invariant only under permutations, and {basis!r} has "
                    "others in its output: give an invariant basis, or None"
                )
            self.coefficients = nn.Parameter(torch.empty(1))
        else:
            raise ModelError(f"bias {shown(bias)}: give an invariant basis, 'scalar' or None")

    def reset_parameters(self) -> None:
        """Set b to zero."""
        if self.coefficients is not None:
            nn.init.zeros_(self.coefficients)

    def extra_repr(self) -> str:
        """Return the space, for ``repr``."""
        return str(self.codomain)

    def weights_of(self) -> tuple[str, tuple[FeatureSpace, ...], str]:
        """Return the invariants of Y; the keys and sizes of a state tell how b is made of them."""
        return "InvariantBias", (self.codomain,), "invariants"

    def forward(self) -> Tensor | None:
        """b, (k,), or ``None``."""
        coefficients = coefficients_of(self)
        if coefficients is None:
            return None
        expansion = self._modules["expansion"]
        if expansion is None:
            return coefficients.expand(self.size)
        vector: Tensor = expansion.forward(coefficients)
        return vector


def coefficients_of(module: Any) -> Tensor | None:
    """``module.coefficients``, sooner where it is a plain parameter, not a parametrized one."""
    parameters: dict[str, Any] = module._parameters
    if "coefficients" in parameters:
        found: Tensor | None = parameters["coefficients"]
        return found
    other: Tensor | None = module.coefficients
    return other


def check_invariants(basis: Basis, invariants: Basis) -> None:
    """Refuse what are no invariants of the basis' output: same shape, same group, same ρ₂."""
    fits = (
        isinstance(invariants, Basis)
        and invariants.kind == "invariant"
        and invariants.output_shape == basis.output_shape
        and invariants.space.elements == basis.space.elements
        and same_representation(invariants.space.output, basis.space.output)
    )
    if not fits:
        raise ModelError(
            f"{shown(invariants)} is not the invariant basis of the output of {basis!r}"
        )
