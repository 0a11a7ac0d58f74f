"""Equivariant layers: plain torch modules whose weights live in the span of a stored basis."""

from __future__ import annotations

import math
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from equibasis.errors import ModelError
from equibasis.linalg.numbers import whole_number
from equibasis.nn.bias import Bias, InvariantBias, check_invariants, coefficients_of
from equibasis.nn.block import BlockMap
from equibasis.nn.border import check_vectors, why_refused
from equibasis.nn.buffers import ExactBuffers
from equibasis.nn.costs import faster_mode, keeps_whole_weight
from equibasis.nn.expansion import BasisExpansion
from equibasis.nn.identity import IdentifiedWeights
from equibasis.nn.init import variance_preserving_
from equibasis.nn.interface import FeatureSpace, basis_of, features_of
from equibasis.nn.reach import Reach, check_reach
from equibasis.nn.reuse import Kept, WeightCache
from equibasis.solvers.basis import Basis, with_scalars
from equibasis.symmetry.representations import PermutationRepresentation, Representation

Start: TypeAlias = Literal["reference", "variance"]
Mode: TypeAlias = Literal["auto", "expand", "block"]


class EquivariantLinear(IdentifiedWeights):
    """y = W x + b with W = √(km/r) Σ cⱼ Wⱼ in Hom_G(X, Y), so that ρ₂(g) y(x) = y(ρ₁(g) x).

    Takes (..., m) to (..., k). The Wⱼ are the basis; the factor is that of `BasisExpansion`. In
    evaluation without gradients, what is made of the coefficients is made once, and again when they
    have changed; a change through ``coefficients.data``, which torch does not see, needs
    ``forget()``.

    Parameters
    ----------
    basis
        An equivariant basis X -> Y.
    bias
        An invariant basis of Y: b in its span. ``"scalar"``: one number for all outputs, which
        only permutations keep. ``None``: no bias.
    start
        Distribution of √(km/r) c at the start: ``"reference"``, uniform in ±1/√k;
        ``"variance"``, that of `equibasis.nn.init.variance_preserving_`.
    mode
        ``"expand"``: W is made, then one plain product. ``"block"``: W stays block diagonal, in
        symmetry-adapted coordinates. Both give the same y; ``"auto"`` takes the faster for the
        sizes at hand, in evaluation without gradients too.

    Attributes
    ----------
    domain, codomain
        X and Y with their representations.
    mode
        ``"expand"`` or ``"block"``.
    reach
        Which outputs depend on the input, and which inputs count.

    Raises
    ------
    ModelError
        If the bases do not fit each other, naming both; if the basis is empty, so that the output
        could not depend on the input; or if ``"block"`` is asked for and there are no such
        coordinates.

    Warns
    -----
    UnreachedWarning
        If some outputs cannot depend on the input, or some inputs do not count: no irrep of theirs
        is at the other end.
    """

    def __init__(
        self, basis: Basis, bias: Bias = None, start: Start = "reference", mode: Mode = "auto"
    ) -> None:
        super().__init__()
        basis_of(basis, "equivariant", "a linear layer")
        self.in_features, self.out_features = basis.space.m, basis.space.k
        self.rank = basis.rank
        self.domain = FeatureSpace.input_of(basis.space)
        self.codomain = FeatureSpace.output_of(basis.space)
        self.reach = Reach.of_basis(basis)
        check_reach(type(self).__name__, self.domain, self.codomain, self.reach)
        self.map, self.mode = _map(basis, mode)
        blocks = self.map.blocks if isinstance(self.map, BlockMap) else None
        self.bias = InvariantBias(basis, bias, blocks)
        self.keeps_whole_weight = self.mode == "expand" or (
            mode == "auto" and keeps_whole_weight(basis)
        )
        self.coefficients = nn.Parameter(torch.empty(basis.rank))
        if start not in get_args(Start):
            raise ModelError(f"start {start!r}: choose {' or '.join(map(repr, get_args(Start)))}")
        self.start = start
        self._cache = WeightCache()
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the coefficients anew; the bias starts at zero."""
        if self.start == "variance":
            variance_preserving_(self)
        else:
            scale = math.sqrt(self.in_features * self.out_features / max(1, len(self.coefficients)))
            bound = 1.0 / (math.sqrt(self.out_features) * scale)
            nn.init.uniform_(self.coefficients, -bound, bound)
        self.bias.reset_parameters()

    def weight(self) -> Tensor:
        """W, of shape (k, m), differentiable."""
        return self.map.weight(self.coefficients)

    def forward(self, x: Tensor) -> Tensor:
        """(..., m) -> (..., k)."""
        if self.mode == "block":  # whose products would cast weights to the dtype of x
            check_vectors(self, x, self.in_features, self.coefficients.dtype)
        try:
            kept = None if self.training or torch.is_grad_enabled() else self._kept()
            if kept is not None and self.keeps_whole_weight:
                return functional.linear(x, kept[0][0], kept[1])
            modules: dict[str, Any] = self._modules
            if kept is not None:
                return modules["map"].apply_weights(x, *kept)
            return modules["map"].apply_coefficients(x, coefficients_of(self), modules["bias"])
        except (RuntimeError, TypeError) as error:
            reason = why_refused(self, x, self.in_features, self.coefficients.dtype)
            if reason is None:
                raise
            raise ModelError(reason) from error

    # Small layers take microseconds, so what is torch's is looked up where it lies.

    def _weights_and_bias(self) -> Kept:
        modules: dict[str, Any] = self._modules
        return modules["map"].weights(self.coefficients), modules["bias"].forward()

    def _kept(self) -> Kept | None:
        coefficients, of_bias = coefficients_of(self), coefficients_of(self._modules["bias"])
        assert coefficients is not None
        kept = self._cache.current(coefficients, of_bias)
        if kept is None:
            make = (
                self._whole_weight_and_bias if self.keeps_whole_weight else self._weights_and_bias
            )
            kept = self._cache.keep(make, coefficients, of_bias)
        return kept

    def _whole_weight_and_bias(self) -> Kept:
        return (self.weight().contiguous(),), self.bias()

    def forget(self) -> None:
        """Make weights anew at the next use, whatever happened to the coefficients."""
        self._cache.clear()

    def _replicate_for_data_parallel(self) -> Any:
        replica = super()._replicate_for_data_parallel()
        replica._cache = WeightCache()  # of parameters and a device of its own
        return replica

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        self.forget()
        return super()._apply(fn, recurse)

    def train(self, mode: bool = True) -> EquivariantLinear:
        """As `torch.nn.Module.train`; weights kept for evaluation are dropped."""
        self.forget()
        return super().train(mode)

    def to_linear(self) -> nn.Linear:
        """The plain `torch.nn.Linear` of equal weight and bias, for deployment."""
        bias = self.bias()
        linear = nn.Linear(self.in_features, self.out_features, bias=bias is not None)
        linear = linear.to(self.coefficients)
        with torch.no_grad():
            linear.weight.copy_(self.weight())
            if bias is not None:
                linear.bias.copy_(bias)
        return linear.train(self.training)

    def extra_repr(self) -> str:
        """Sizes and spaces, for ``repr``."""
        return f"{self.in_features} -> {self.out_features}, {self.mode}"

    def weights_of(self) -> tuple[str, tuple[FeatureSpace, ...], str]:
        """The maps X -> Y; the keys and sizes of a state tell of its bias."""
        return "EquivariantLinear", (self.domain, self.codomain), f"rank {self.rank}"


class InvariantAttentionPool(IdentifiedWeights):
    """Attention over the orbit of h: invariant, since moving h only permutes the orbit.

    g = Σ αᵢ ρ(gᵢ) h with α = softmax(s) over the group and sᵢ = qᵀ ρ(gᵢ) h; q is learned,
    drawn from a normal distribution of standard deviation 0.01. Takes (..., n) to (..., n).

    Parameters
    ----------
    features
        The space of h, or a basis whose output space that is.

    Raises
    ------
    ModelError
        If only generators of the group are listed, so that there is no orbit to attend to.
    """

    def __init__(self, features: FeatureSpace | Basis) -> None:
        super().__init__()
        space = features_of(features, "InvariantAttentionPool")
        if not space.complete:
            what = repr(features) if isinstance(features, Basis) else str(space)
            raise ModelError(
                f"attention needs all elements of the group, and {what} lists generators only"
            )
        self.domain, self.codomain = space, space.scalars(space.dimension)
        self.orbit = _GroupOrbit(space.representation)
        self.query = nn.Parameter(torch.empty(space.dimension))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the query anew."""
        nn.init.normal_(self.query, std=0.01)

    def attention(self, h: Tensor) -> Tensor:
        """α, of shape (..., |G|), for h of shape (..., n)."""
        check_vectors(self, h, self.query.shape[0], self.query.dtype)
        return self._attend(self.orbit(h))

    def forward(self, h: Tensor) -> Tensor:
        """(..., n) -> (..., n)."""
        check_vectors(self, h, self.query.shape[0], self.query.dtype)
        orbit = self.orbit(h)
        return (self._attend(orbit).unsqueeze(-2) @ orbit).squeeze(-2)

    def weights_of(self) -> tuple[str, tuple[FeatureSpace, ...], str]:
        """The query, a vector of the space."""
        return "InvariantAttentionPool", (self.domain,), f"{len(self.query)} features"

    def _attend(self, orbit: Tensor) -> Tensor:
        return torch.softmax(orbit @ self.query, dim=-1)


class EquivariantCombine(nn.Module):
    """y = W_h h + W_g g + b from an equivariant h and an invariant g, equivariant together.

    The `EquivariantLinear` from X ⊕ R^f to Y, where f numbers stay as they are: W_h is in
    Hom_G(X, Y), the columns of W_g are invariant vectors of Y. Takes (..., m) and (..., f).

    Parameters
    ----------
    basis
        An equivariant basis X -> Y for h.
    invariants
        The invariant basis of Y.
    features
        f, the length of g; by default that of h.
    bias
        As in `EquivariantLinear`, with ``"invariant"`` to use ``invariants``.
    start, mode
        As in `EquivariantLinear`.

    Attributes
    ----------
    domain, codomain
        X ⊕ R^f, of h and g together, and Y.

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
        mode: Mode = "auto",
    ) -> None:
        super().__init__()
        basis_of(basis, "equivariant", "EquivariantCombine")
        check_invariants(basis, invariants)
        self.features = basis.space.m
        if features is not None:
            self.features = whole_number(features, "features", least=0, error=ModelError)
        self.linear = EquivariantLinear(
            with_scalars(basis, invariants, self.features),
            invariants if bias == "invariant" else bias,
            start,
            mode,
        )
        self.domain, self.codomain = self.linear.domain, self.linear.codomain

    def reset_parameters(self) -> None:
        """Draw the coefficients anew; the bias starts at zero."""
        self.linear.reset_parameters()

    def forward(self, h: Tensor, g: Tensor) -> Tensor:
        """(..., m), (..., f) -> (..., k)."""
        linear, f = self.linear, self.features
        # Each on its own, as two wrong lengths may add up to the right one.
        check_vectors(self, h, linear.in_features - f)
        check_vectors(self, g, f)
        return linear(torch.cat([h, g], dim=-1))


class ExpandMap(BasisExpansion):
    """x -> W x with W made whole: one plain product."""

    def __init__(self, basis: Basis) -> None:
        super().__init__(basis)
        self.shape = basis.space.k, basis.space.m

    def weights(self, coefficients: Tensor) -> tuple[Tensor, ...]:
        """W alone, (k, m)."""
        return (self.forward(coefficients).view(self.shape),)

    def weight(self, coefficients: Tensor) -> Tensor:
        """W, (k, m)."""
        return self.weights(coefficients)[0]

    def apply_coefficients(self, x: Tensor, coefficients: Tensor, bias: InvariantBias) -> Tensor:
        """(..., m) -> (..., k)."""
        return functional.linear(x, self.forward(coefficients).view(self.shape), bias.forward())

    def apply_weights(self, x: Tensor, weights: tuple[Tensor, ...], bias: Tensor | None) -> Tensor:
        """(..., m) -> (..., k)."""
        return functional.linear(x, weights[0], bias)


def _map(basis: Basis, mode: Mode) -> tuple[ExpandMap | BlockMap, Literal["expand", "block"]]:
    if mode not in get_args(Mode):
        raise ModelError(f"mode {mode!r}: choose {', '.join(get_args(Mode))}")
    chosen = faster_mode(basis) if mode == "auto" else mode
    if chosen == "expand":
        return ExpandMap(basis), "expand"
    return BlockMap(basis), "block"


class _GroupOrbit(ExactBuffers):
    """h (..., n) -> all ρ(g) h, (..., |G|, n)."""

    index: Tensor | None
    factors: Tensor | None

    def __init__(self, rho: Representation) -> None:
        super().__init__()
        index = factors = None
        if isinstance(rho, PermutationRepresentation):
            index = rho.index.astype(np.int64)
            factors = None if rho.signs is None else rho.signs.astype(np.float64)
        else:
            factors = rho.matrices
        self.register_exact("index", index)
        self.register_exact("factors", factors)

    def forward(self, h: Tensor) -> Tensor:
        if self.index is None:
            return torch.einsum("gij,...j->...gi", self.factors, h)
        orbit = h[..., self.index]
        return orbit if self.factors is None else orbit * self.factors
