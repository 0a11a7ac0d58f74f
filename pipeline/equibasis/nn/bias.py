"""The bias of an equivariant layer: an invariant vector of its output."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from equibasis.errors import ModelError
from equibasis.linalg.columns import OrbitColumns
from equibasis.nn.buffers import ExactBuffers
from equibasis.nn.expansion import BasisExpansion, row_factors
from equibasis.nn.fourier import FourierProducts
from equibasis.nn.identity import IdentifiedWeights
from equibasis.nn.interface import FeatureSpace, shown
from equibasis.nn.irreps import IrrepProducts
from equibasis.solvers.basis import Basis
from equibasis.symmetry.representations import PermutationRepresentation, same_representation

Bias: TypeAlias = Basis | Literal["scalar"] | None


class InvariantBias(IdentifiedWeights):
    """b of shape (k,) in the invariants of Y, or one scalar, or ``None``.

    Parameters
    ----------
    basis
        Of the layer, X -> Y, or of the invariants of Y.
    bias
        The invariant basis of Y, ``"scalar"``, or ``None``.
    blocks
        The products of the layer, where it works in symmetry-adapted coordinates: ``by_orbits`` is
        b in these, if it has that form.

    Raises
    ------
    ModelError
        If the bases do not fit each other, or the scalar bias would not be invariant.
    """

    expansion: BasisExpansion | None
    coefficients: nn.Parameter | None
    by_orbits: OrbitBias | None

    def __init__(
        self, basis: Basis, bias: Bias, blocks: IrrepProducts | FourierProducts | None = None
    ) -> None:
        super().__init__()
        self.size = basis.space.k
        self.codomain = FeatureSpace.output_of(basis.space)
        self.register_module("expansion", None)
        self.register_module("by_orbits", None)
        self.register_parameter("coefficients", None)
        if bias is None:
            return
        if isinstance(bias, Basis):
            check_invariants(basis, bias)
            self.expansion = BasisExpansion(bias)
            self.coefficients = nn.Parameter(torch.empty(bias.rank))
        elif isinstance(bias, str) and bias == "scalar":
            rho = basis.space.output
            if not isinstance(rho, PermutationRepresentation) or rho.signs is not None:
                raise ModelError(
                    f"a scalar bias is invariant only under permutations, and {basis!r} has "
                    "others in its output: give an invariant basis, or None"
                )
            self.coefficients = nn.Parameter(torch.empty(1))
        else:
            raise ModelError(f"bias {shown(bias)}: give an invariant basis, 'scalar' or None")
        if isinstance(blocks, IrrepProducts):
            self.by_orbits = OrbitBias.of(bias, blocks)

    def reset_parameters(self) -> None:
        """Set b to zero."""
        if self.coefficients is not None:
            nn.init.zeros_(self.coefficients)

    def weights_of(self) -> tuple[str, tuple[FeatureSpace, ...], str]:
        """The invariants of Y; the keys and sizes of a state tell how b is made of them."""
        return "InvariantBias", (self.codomain,), "invariants"

    def forward(self) -> Tensor | None:
        """b, (k,), or ``None``."""
        coefficients = coefficients_of(self)
        return None if coefficients is None else self.vector(coefficients)

    def vector(self, coefficients: Tensor) -> Tensor:
        """(r,) coefficients -> b, (k,)."""
        expansion = self._modules["expansion"]
        if expansion is None:
            return coefficients.expand(self.size)
        vector: Tensor = expansion.forward(coefficients)
        return vector

    def adjoint(self, gradient: Tensor) -> Tensor:
        """The transpose of `vector`: (k,) -> (r,)."""
        if self.expansion is None:
            return gradient.sum(0, keepdim=True)
        return self.expansion.adjoint(gradient)


class OrbitBias(ExactBuffers):
    """b in symmetry-adapted coordinates: one number an orbit of Y, that of the trivial irrep.

    So it is added, and its gradient summed, at one coordinate of each orbit instead of at all.

    Parameters
    ----------
    coordinate
        Which of the t coordinates of an orbit it is.
    columns
        Which coefficient each orbit has, integers (c,).
    factors
        What that is multiplied by, (c,).
    rank
        How many coefficients there are.
    """

    columns: Tensor

    def __init__(
        self, coordinate: int, columns: np.ndarray, factors: np.ndarray, rank: int
    ) -> None:
        super().__init__()
        self.coordinate, self.rank = coordinate, rank
        self.register_exact("columns", columns)
        self.register_exact("factors", factors)

    @classmethod
    def of(cls, bias: Basis | Literal["scalar"], blocks: IrrepProducts) -> OrbitBias | None:
        """That of a bias; ``None`` where orbits are of several kinds, or differ in where it is."""
        if len(blocks.target.shapes) > 1:
            return None
        places = blocks.target.places(0)
        labels, factors, rank = np.zeros(places.size, np.int64), np.ones(places.size), 1
        if bias != "scalar":
            if not isinstance(bias.columns, OrbitColumns):
                return None
            labels, rank = np.maximum(bias.columns.labels, 0), bias.rank
            factors = row_factors(bias.columns, slice(None), None)
        found = blocks.adapted_vector(factors)
        (coordinates,) = np.nonzero((abs(found) > 1e-12).any(axis=1))
        columns = labels[places]
        if len(coordinates) != 1 or (columns != columns[0]).any():
            return None
        (coordinate,) = coordinates.tolist()
        return cls(coordinate, columns[0], found[coordinate], rank)

    def add(self, y: Tensor, coefficients: Tensor) -> None:
        """Add b to y (t, batch, c)."""
        factors = self.cast("factors", coefficients)
        y[self.coordinate].add_(coefficients.index_select(0, self.columns).mul_(factors))

    def adjoint(self, y: Tensor) -> Tensor:
        """The gradient of the coefficients, (r,), from that of y (t, batch, c)."""
        sums = y[self.coordinate].sum(0).mul_(self.cast("factors", y))
        return y.new_zeros(self.rank).index_add_(0, self.columns, sums)


def coefficients_of(module: Any) -> Tensor | None:
    """``module.coefficients``, sooner where it is a plain parameter, not a parametrized one."""
    parameters: dict[str, Any] = module._parameters
    if "coefficients" in parameters:
        found: Tensor | None = parameters["coefficients"]
        return found
    other: Tensor | None = module.coefficients
    return other


def check_invariants(basis: Basis, invariants: Basis) -> None:
    """The invariants must be those of the basis' output: same shape, same group, same ρ₂."""
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
