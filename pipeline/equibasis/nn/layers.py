"""Equivariant layers: plain torch modules whose weights live in the span of a stored basis."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from equibasis.basis import Basis
from equibasis.errors import ModelError
from equibasis.nn.expansion import BasisExpansion
from equibasis.representations import (
    PermutationRepresentation,
    Representation,
    same_representation,
)

Bias: TypeAlias = Basis | Literal["scalar"] | None
Start: TypeAlias = Literal["reference", "variance"]


class EquivariantLinear(nn.Module):
    """y = W x + b with W = √(km/r) Σ cⱼ Wⱼ in Hom_G(X, Y), so that ρ₂(g) y(x) = y(ρ₁(g) x).

    Takes (..., m) to (..., k). The Wⱼ are the basis; the factor is that of `BasisExpansion`.

    Parameters
    ----------
    basis
        An equivariant basis X -> Y.
    bias
        An invariant basis of Y: b in its span. ``"scalar"``: one number for all outputs, which
        only permutations keep. ``None``: no bias.
    start
        Distribution of √(km/r) c at the start: ``"reference"``, uniform in ±1/√k;
        ``"variance"``, uniform with variance k/r, so that white noise keeps its variance.

    Raises
    ------
    ModelError
        If the bases do not fit each other, naming both.
    """

    def __init__(self, basis: Basis, bias: Bias = None, start: Start = "reference") -> None:
        super().__init__()
        if basis.kind != "equivariant":
            raise ModelError(f"a linear layer needs an equivariant basis, not {basis!r}")
        self.in_features, self.out_features = basis.space.m, basis.space.k
        self.start = start
        self.expansion = BasisExpansion(basis)
        self.coefficients = nn.Parameter(torch.empty(basis.rank))
        self.bias = _InvariantBias(basis, bias)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the coefficients anew; the bias starts at zero."""
        _draw(self.coefficients, self.expansion.scale, self.out_features, self.start)
        self.bias.reset_parameters()

    def weight(self) -> Tensor:
        """W, of shape (k, m)."""
        return self.expansion(self.coefficients).view(self.out_features, self.in_features)

    def forward(self, x: Tensor) -> Tensor:
        """(..., m) -> (..., k)."""
        return functional.linear(x, self.weight(), self.bias())

    def to_linear(self) -> nn.Linear:
        """The plain `torch.nn.Linear` of equal weight and bias, for deployment."""
        bias = self.bias()
        linear = nn.Linear(self.in_features, self.out_features, bias=bias is not None)
        linear = linear.to(self.coefficients)
        with torch.no_grad():
            linear.weight.copy_(self.weight())
            if bias is not None:
                linear.bias.copy_(bias)
        return linear

    def extra_repr(self) -> str:
        """Sizes, for ``repr``."""
        return f"{self.in_features} -> {self.out_features}"


class InvariantAttentionPool(nn.Module):
    """Attention over the orbit of h: invariant, since moving h only permutes the orbit.

    g = Σ αᵢ ρ(gᵢ) h with α = softmax(s) over the group and sᵢ = qᵀ ρ(gᵢ) h; q is learned,
    drawn from a normal distribution of standard deviation 0.01. Takes (batch, n) to (batch, n).

    Parameters
    ----------
    basis
        Any basis whose output space is the space of h: its ρ₂ is the ρ used here.

    Raises
    ------
    ModelError
        If the basis lists only generators of its group, so that there is no orbit to attend to.
    """

    def __init__(self, basis: Basis) -> None:
        super().__init__()
        if not basis.space.complete:
            raise ModelError(
                f"attention needs all elements of the group, and {basis!r} lists generators only"
            )
        self.orbit = _GroupOrbit(basis.space.output)
        self.query = nn.Parameter(torch.empty(basis.space.k))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the query anew."""
        nn.init.normal_(self.query, std=0.01)

    def attention(self, h: Tensor) -> Tensor:
        """α, of shape (batch, |G|), for h of shape (batch, n)."""
        return self._attend(self.orbit(h))

    def forward(self, h: Tensor) -> Tensor:
        """(batch, n) -> (batch, n)."""
        orbit = self.orbit(h)
        return (self._attend(orbit)[:, None, :] @ orbit)[:, 0]

    def _attend(self, orbit: Tensor) -> Tensor:
        return torch.softmax(orbit @ self.query, dim=-1)


class EquivariantCombine(nn.Module):
    """y = W_h h + W_g g + b from an equivariant h and an invariant g, equivariant together.

    W_h is in Hom_G(X, Y); the columns of W_g, and b, are invariant vectors of Y.

    Parameters
    ----------
    basis
        An equivariant basis X -> Y for h.
    invariants
        The invariant basis of Y.
    features
        The length of g; by default that of h.
    bias
        As in `EquivariantLinear`, with ``"invariant"`` to use ``invariants``.
    start
        As in `EquivariantLinear`.

    Raises
    ------
    ModelError
        If the bases do not fit each other, naming both.
    """

    def __init__(
        self,
        basis: Basis,
        invariants: Basis,
        features: int | None = None,
        bias: Literal["invariant", "scalar"] | None = "invariant",
        start: Start = "reference",
    ) -> None:
        super().__init__()
        _check_invariants(basis, invariants)
        self.start = start
        self.linear = EquivariantLinear(
            basis, invariants if bias == "invariant" else bias, start=start
        )
        self.expansion = BasisExpansion(invariants)
        self.coefficients = nn.Parameter(torch.empty(invariants.rank, features or basis.space.m))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the coefficients anew; the bias starts at zero."""
        self.linear.reset_parameters()
        _draw(self.coefficients, self.expansion.scale, self.linear.out_features, self.start)

    def forward(self, h: Tensor, g: Tensor) -> Tensor:
        """(batch, m), (batch, features) -> (batch, k)."""
        return self.linear(h) + functional.linear(g, self.expansion(self.coefficients))


class _InvariantBias(nn.Module):
    """b of shape (k,) in the invariants of Y, or one scalar, or ``None``."""

    def __init__(self, basis: Basis, bias: Bias) -> None:
        super().__init__()
        self.size = basis.space.k
        self.expansion: BasisExpansion | None = None
        self.coefficients: nn.Parameter | None = None
        if bias is None:
            return
        if isinstance(bias, Basis):
            _check_invariants(basis, bias)
            self.expansion = BasisExpansion(bias)
            self.coefficients = nn.Parameter(torch.empty(bias.rank))
        elif bias == "scalar":
            rho = basis.space.output
            if not isinstance(rho, PermutationRepresentation) or rho.signs is not None:
                raise ModelError(
                    f"a scalar bias is invariant only under permutations, and {basis!r} has "
                    "others in its output: give an invariant basis, or None"
                )
            self.coefficients = nn.Parameter(torch.empty(1))
        else:
            raise ModelError(f"bias {bias!r}: give an invariant basis, 'scalar' or None")

    def reset_parameters(self) -> None:
        if self.coefficients is not None:
            nn.init.zeros_(self.coefficients)

    def forward(self) -> Tensor | None:
        if self.coefficients is None:
            return None
        if self.expansion is None:
            return self.coefficients.expand(self.size)
        return self.expansion(self.coefficients)


class _GroupOrbit(nn.Module):
    """h (batch, n) -> all ρ(g) h, (batch, |G|, n)."""

    index: Tensor | None
    factors: Tensor

    def __init__(self, rho: Representation) -> None:
        super().__init__()
        index = None
        if isinstance(rho, PermutationRepresentation):
            index = torch.from_numpy(rho.index.astype(np.int64))
            factors = np.ones((1, 1)) if rho.signs is None else rho.signs.astype(np.float64)
        else:
            factors = rho.matrices
        self._exact = torch.from_numpy(np.ascontiguousarray(factors))
        self.register_buffer("index", index, persistent=False)
        factors_now = self._exact.to(torch.get_default_dtype())
        self.register_buffer("factors", factors_now, persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        """As in `BasisExpansion`."""
        moved = super()._apply(fn, recurse)
        self.factors = self._exact.to(self.factors)
        return moved

    def forward(self, h: Tensor) -> Tensor:
        if self.index is not None:
            return h[:, self.index] * self.factors
        return torch.einsum("gij,bj->bgi", self.factors, h)


def _check_invariants(basis: Basis, invariants: Basis) -> None:
    """The invariants must be those of the basis' output: same shape, same group, same ρ₂."""
    fits = (
        invariants.kind == "invariant"
        and invariants.output_shape == basis.output_shape
        and invariants.space.elements == basis.space.elements
        and same_representation(invariants.space.output, basis.space.output)
    )
    if not fits:
        raise ModelError(f"{invariants!r} is not the invariant basis of the output of {basis!r}")


def _draw(coefficients: Tensor, scale: float, outputs: int, start: Start) -> None:
    if start == "reference":
        bound = 1.0 / math.sqrt(outputs)
    elif start == "variance":
        bound = math.sqrt(3.0 * outputs / max(1, coefficients.numel()))
    else:
        raise ModelError(f"start {start!r}: choose 'reference' or 'variance'")
    nn.init.uniform_(coefficients, -bound / scale, bound / scale)
