"""Products of features: what is bilinear in two vectors, and a layer of degree two in one."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from equibasis.errors import ModelError
from equibasis.nn.bias import Bias, InvariantBias
from equibasis.nn.border import check_vectors
from equibasis.nn.buffers import ExactBuffers
from equibasis.nn.dependence import check_network
from equibasis.nn.expansion import BasisExpansion
from equibasis.nn.identity import IdentifiedWeights
from equibasis.nn.init import variance_preserving_
from equibasis.nn.interface import FeatureSpace, basis_of, features_of
from equibasis.nn.layers import EquivariantLinear
from equibasis.nn.reach import Reach, UnreachedWarning, check_reach
from equibasis.solvers import solve_space
from equibasis.solvers.basis import Basis
from equibasis.symmetry.constructions import invariant_coordinates

# What products are multiplied by where a linear part reaches the same block (as in EMLP).
_BESIDE = 0.1


class EquivariantBilinear(IdentifiedWeights):
    """z = B(x, y) with B = Σ cⱼ Bⱼ in Hom_G(X ⊗ Y, Z): ρ(g) z = B(ρ(g) x, ρ(g) y).

    Takes (..., m) and (..., m') to (..., k), or fields, point by point. So a scalar comes of two
    vectors, and a matrix, and of three dimensions the cross product, none of which is linear in
    one. It is the linear layer X ⊗ Y -> Z of x ⊗ y, with a weight (k, m m').

    Parameters
    ----------
    first, second
        X and Y: spaces, or bases whose output they are.
    output
        Z, likewise. A basis of the maps X ⊗ Y -> Z is taken as it is; else it is solved here.

    Attributes
    ----------
    basis
        Of Hom_G(X ⊗ Y, Z).
    coefficients
        c, of shape (r,), in the order of the basis' columns, scaled as in `EquivariantLinear`.
        They start as `variance_preserving_` draws them.
    first, second
        X and Y.
    domain, codomain
        X ⊕ Y, of both vectors together, and Z.
    reach
        Which outputs depend on the inputs, and which inputs count.

    Raises
    ------
    ModelError
        If the spaces are of different groups, or the only such map is 0.

    Warns
    -----
    UnreachedWarning
        If some outputs cannot depend on the inputs, or some inputs do not count.
    """

    def __init__(
        self,
        first: FeatureSpace | Basis,
        second: FeatureSpace | Basis,
        output: FeatureSpace | Basis,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        self.first, self.second = features_of(first, name), features_of(second, name)
        product = self.first * self.second
        self.codomain = features_of(output, name)
        if isinstance(output, Basis):  # which says nothing of a grid
            self.codomain = self.codomain.on_grid(product.axes, product.turns)
        if self.codomain.axes != product.axes:
            raise ModelError(f"{name} of {product} makes no {self.codomain}: not on the same grid")
        if isinstance(output, Basis) and FeatureSpace.input_of(output.space).same_as(
            product.at_a_point
        ):
            self.basis = output
        else:
            self.basis = solve_space(product.maps_to(self.codomain))
        self.rank = self.basis.rank
        self.domain = self.first + self.second
        self.reach = check_reach(self, self._reach())
        self.expansion = BasisExpansion(self.basis)
        self.coefficients = nn.Parameter(torch.empty(self.rank))
        self.reset_parameters()

    def _reach(self) -> Reach:
        of_basis = Reach.of_basis(self.basis)
        pairs = of_basis.inputs.reshape(self.first.dimension, self.second.dimension)
        return Reach(of_basis.outputs, np.concatenate([pairs.any(axis=1), pairs.any(axis=0)]))

    def reset_parameters(self) -> None:
        """Draw the coefficients anew: of white noise they make white noise."""
        variance_preserving_(self)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """(..., m), (..., m') -> (..., k)."""
        check_vectors(self, x, self.coefficients.dtype, self.first)
        check_vectors(self, y, self.coefficients.dtype, self.second)
        x, y = self.domain.channels_last(x), self.domain.channels_last(y)
        _check_batches(x, y)
        products = (x.unsqueeze(-1) * y.unsqueeze(-2)).flatten(-2)
        k, pairs = self.codomain.dimension, self.first.dimension * self.second.dimension
        weight = self.expansion(self.coefficients).view(k, pairs)
        return self.domain.channels_first(functional.linear(products, weight))

    def weights_of(self) -> tuple[str, tuple[FeatureSpace, ...], str]:
        """Return the maps X ⊗ Y -> Z."""
        spaces = self.first, self.second, self.codomain
        return "EquivariantBilinear", spaces, f"rank {self.rank}"


def _check_batches(x: Any, y: Any) -> None:
    """Raise `ModelError` unless the axes before the last are equal, or broadcast."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or isinstance(x, fx.Proxy):
        return
    try:
        torch.broadcast_shapes(x.shape[:-1], y.shape[:-1])
    except RuntimeError as error:
        raise ModelError(
            f"EquivariantBilinear takes two batches of one shape, not {tuple(x.shape)} and "
            f"{tuple(y.shape)}"
        ) from error


class EquivariantQuadratic(ExactBuffers):
    """y = W x + b + λ B(P x, Q x) with P, Q: X -> S and B: S ⊗ S -> Y. (..., m) to (..., k).

    A linear layer with products added, taken of few features S of each kind, so that vectors
    reach scalars: what is linear in them does not. λ is 1/10 on invariant blocks that W reaches,
    as in EMLP, and 1 on others. It is the layer of `EquivariantMLP` where the group mixes
    coordinates.

    Source: Finzi, Welling, Wilson, *A practical method for constructing equivariant multilayer
    perceptrons for arbitrary matrix groups*, 2021, section 6.

    Parameters
    ----------
    basis
        An equivariant basis X -> Y, which may be empty.
    factors
        An equivariant basis X -> S.
    products
        An equivariant basis S ⊗ S -> Y.
    bias
        As in `EquivariantLinear`.

    Attributes
    ----------
    linear
        W, or ``None`` where that is 0.
    first, second, bilinear
        P, Q and B.
    domain, codomain
        X and Y with their representations.
    reach
        Which outputs depend on the input, and which inputs count.

    Raises
    ------
    ModelError
        If the bases do not fit each other, or the output could not depend on the input.

    Warns
    -----
    UnreachedWarning
        If some outputs cannot depend on the input, or some inputs do not count.
    """

    def __init__(self, basis: Basis, factors: Basis, products: Basis, bias: Bias = None) -> None:
        super().__init__()
        name = type(self).__name__
        for given in (basis, factors, products):
            basis_of(given, "equivariant", name)
        self.domain, self.codomain = FeatureSpace.ends_of(basis.space)
        whole, small = FeatureSpace.ends_of(factors.space)
        pairs, made = FeatureSpace.ends_of(products.space)
        whole.check_same(self.domain, f"{name}: its factors are of", "it is of")
        pairs.check_same(small * small, f"{name}: its products are of", "there are")
        made.check_same(self.codomain, f"{name}: its products make", "it makes")
        with warnings.catch_warnings():  # what one part does not reach another may
            warnings.simplefilter("ignore", UnreachedWarning)
            self.linear = EquivariantLinear(basis, start="variance") if basis.rank else None
            self.first = EquivariantLinear(factors, start="variance")
            self.second = EquivariantLinear(factors, start="variance")
            self.bilinear = EquivariantBilinear(small, small, products)
        self.bias = InvariantBias(basis, bias)
        self.register_exact("scales", self._scales())
        self.reset_parameters()
        self.reach = check_network(self, [self])

    def _scales(self) -> np.ndarray:
        """λ at each coordinate, the same within an invariant block."""
        scales = np.ones(self.codomain.dimension)
        if self.linear is not None:
            for block in invariant_coordinates(self.codomain.representation):
                if self.linear.reach.outputs[block].any():
                    scales[block] = _BESIDE
        return scales

    def reset_parameters(self, gain: float = 1.0) -> None:
        """Draw the coefficients anew, as `variance_preserving_`; the bias starts at zero."""
        for layer in (self.linear, self.first, self.second):
            if layer is not None:
                variance_preserving_(layer, gain)
        variance_preserving_(self.bilinear)
        self.bias.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        """(..., m) -> (..., k)."""
        check_vectors(self, x, self.bilinear.coefficients.dtype)
        y = self.bilinear(self.first(x), self.second(x))
        y = y * self.scales
        if self.linear is not None:
            y = y + self.linear(x)
        bias = self.bias()
        return y if bias is None else y + bias
