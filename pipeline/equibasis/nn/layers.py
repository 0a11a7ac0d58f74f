"""Equivariant layers: plain torch modules whose weights live in the span of a stored basis."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from equibasis.errors import GroupError, ModelError
from equibasis.linalg.numbers import whole_number
from equibasis.nn.bias import Bias, InvariantBias, check_invariants, coefficients_of
from equibasis.nn.border import as_vectors, check_vectors, why_refused
from equibasis.nn.buffers import ExactBuffers
from equibasis.nn.expansion import BasisExpansion
from equibasis.nn.fourier import TorusMap
from equibasis.nn.identity import IdentifiedWeights
from equibasis.nn.init import reference_, variance_preserving_
from equibasis.nn.interface import FeatureSpace, basis_of, features_of
from equibasis.nn.reach import Reach, check_reach
from equibasis.nn.schur import SchurMap
from equibasis.nn.tracing import without_autocast
from equibasis.solvers import solve_space
from equibasis.solvers.basis import Basis
from equibasis.symmetry.irreps import LONGEST_ORBIT, MOST_TYPES, isotypic, torus
from equibasis.symmetry.representations import PermutationRepresentation, Representation

Start: TypeAlias = Literal["reference", "variance"]
Mode: TypeAlias = Literal["auto", "expand", "irreps"]


class EquivariantLinear(IdentifiedWeights):
    """y = W x + b with W = Σ cⱼ Wⱼ in Hom_G(X, Y), so that ρ₂(g) y(x) = y(ρ₁(g) x).

    Takes (..., m) to (..., k); images and other arrays ``(..., *array_shape)`` too, flattened. The
    Wⱼ are the basis, scaled so that their non-zero entries have mean square 1: a coefficient is the
    weight that it is shared as. Weights are made of the coefficients at every call; for inference
    take `to_linear`, or `equibasis.nn.export`, which take vectors alone.

    Parameters
    ----------
    basis
        An equivariant basis X -> Y.
    bias
        An invariant basis of Y: b in its span. ``"scalar"``: one number for all outputs, which
        only permutations keep. ``None``: no bias.
    start
        How coefficients are drawn: ``"reference"``, by `equibasis.nn.init.reference_`;
        ``"variance"``, by `equibasis.nn.variance_preserving_`.
    mode
        ``"expand"``: W is made, then one plain product. ``"irreps"``: one product an irrep, W is
        never made. Both give the same y; ``"auto"`` takes the faster for the sizes at hand.

    Attributes
    ----------
    basis
        The basis.
    coefficients
        c, of shape (r,), in the order of the basis' columns.
    domain, codomain
        X and Y with their representations.
    array_shape
        Axes of the arrays that X is of, such as (3, 14, 14); (m,) where none are known.
    mode
        ``"expand"`` or ``"irreps"``.
    reach
        Which outputs depend on the input, and which inputs count.

    Raises
    ------
    ModelError
        If the bases do not fit each other, naming both; if the basis is empty, so that the output
        could not depend on the input; or if ``"irreps"`` is asked for and orbits are too long.

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
        self.basis = basis_of(basis, "equivariant", "a linear layer")
        self.in_features, self.out_features = basis.space.m, basis.space.k
        self.rank = basis.rank
        self.domain, self.codomain = FeatureSpace.ends_of(basis.space)
        self.array_shape = self.domain.array_shape
        self.reach = check_reach(self, Reach.of_basis(basis))
        if mode not in get_args(Mode):
            raise ModelError(f"mode {mode!r}: choose {', '.join(get_args(Mode))}")
        self.map = _map(basis, mode)
        self.mode = "expand" if isinstance(self.map, BasisExpansion) else "irreps"
        self.bias = InvariantBias(basis, bias)
        self.coefficients = nn.Parameter(torch.empty(basis.rank))
        if start not in get_args(Start):
            raise ModelError(f"start {start!r}: choose {' or '.join(map(repr, get_args(Start)))}")
        self.start = start
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the coefficients anew; the bias starts at zero."""
        (variance_preserving_ if self.start == "variance" else reference_)(self)
        self.bias.reset_parameters()

    def weight(self) -> Tensor:
        """W, of shape (k, m), differentiable."""
        with without_autocast(self.coefficients.device.type):
            if isinstance(self.map, BasisExpansion):
                return self.map(self.coefficients).view(self.out_features, self.in_features)
            every = torch.eye(self.in_features).to(self.coefficients)
            return self.map(every, self.coefficients).t()

    def forward(self, x: Tensor) -> Tensor:
        """(..., m) -> (..., k)."""
        x = as_vectors(x, self.array_shape)
        # Small layers take microseconds, so what is torch's is looked up where it lies.
        modules: dict[str, Any] = self._modules
        map_, coefficients = modules["map"], coefficients_of(self)
        bias = modules["bias"].forward()
        if self.mode == "irreps":  # whose products would cast weights to the dtype of x
            check_vectors(self, x, self.coefficients.dtype)
            y = map_.forward(x if x.ndim == 2 else x.reshape(-1, x.shape[-1]), coefficients)
            y = y if bias is None else y + bias.to(y.dtype)
            return y if x.ndim == 2 else y.view(*x.shape[:-1], self.out_features)
        try:
            weight = map_.forward(coefficients).view(self.out_features, self.in_features)
            return functional.linear(x, weight, bias)
        except (RuntimeError, TypeError) as error:
            reason = why_refused(self, x, self.coefficients.dtype)
            if reason is None:
                raise
            raise ModelError(reason) from error

    def to_linear(self) -> nn.Linear:
        """Return the plain `torch.nn.Linear` of equal weight and bias, for deployment."""
        bias = self.bias()
        linear = nn.Linear(self.in_features, self.out_features, bias=bias is not None)
        linear = linear.to(self.coefficients)
        with torch.no_grad():
            linear.weight.copy_(self.weight())
            if bias is not None:
                linear.bias.copy_(bias)
        return linear.train(self.training)

    def extra_repr(self) -> str:
        """Group, spaces and mode, for ``repr``."""
        return f"{self.domain.to(self.codomain)}, {self.mode}"

    def weights_of(self) -> tuple[str, tuple[FeatureSpace, ...], str]:
        """Return the maps X -> Y; the keys and sizes of a state tell of its bias."""
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
        If the group has too many elements to list them all.
    """

    def __init__(self, features: FeatureSpace | Basis) -> None:
        super().__init__()
        space = features_of(features, "InvariantAttentionPool")
        try:
            orbit = space.scalars(1).maps_to(space).enumerated.output
        except GroupError as error:
            what = repr(features) if isinstance(features, Basis) else str(space)
            raise ModelError(
                f"attention is over all elements of the group, and those that the generators of "
                f"{what} make are too many to list: take NormPool or InvariantForms"
            ) from error
        self.domain, self.codomain = space, space.scalars(space.dimension)
        self.orbit = _GroupOrbit(orbit)
        self.query = nn.Parameter(torch.empty(space.dimension))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the query anew."""
        nn.init.normal_(self.query, std=0.01)

    def attention(self, h: Tensor) -> Tensor:
        """α, of shape ``(..., |G|)``, for h of shape (..., n), the channels last of fields too."""
        check_vectors(self, h, self.query.dtype)
        return self._attend(self.orbit(self.domain.channels_last(h)))

    def forward(self, h: Tensor) -> Tensor:
        """(..., n) -> (..., n)."""
        check_vectors(self, h, self.query.dtype)
        orbit = self.orbit(self.domain.channels_last(h))
        return self.domain.channels_first((self._attend(orbit).unsqueeze(-2) @ orbit).squeeze(-2))

    def weights_of(self) -> tuple[str, tuple[FeatureSpace, ...], str]:
        """Return the query, a vector of the space."""
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
        self.first, output = FeatureSpace.ends_of(basis.space)
        self.features = self.first.dimension
        if features is not None:
            self.features = whole_number(features, "features", least=0, error=ModelError)
        self.second = self.first.scalars(self.features) if self.features else None
        both = self.first if self.second is None else self.first + self.second
        self.linear = EquivariantLinear(
            solve_space(both.maps_to(output)),
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
        # Each on its own, as two wrong lengths may add up to the right one.
        check_vectors(self, h, space=self.first)
        if self.second is not None:
            check_vectors(self, g, space=self.second)
        return self.linear(torch.cat([h, g], dim=-1))


# Nanoseconds, forward and backward, on an Intel Xeon (docs/benchmarks.md), of batches of 128: for
# a multiplication in a matrix product; for an entry of W, or a coefficient; and of a layer by
# irreps, for a coordinate of x or y, and for its many calls.
_MULTIPLICATION, _ENTRY, _COORDINATE, _CALLS = 4.0, 4.0, 750.0, 800_000.0


def _map(basis: Basis, mode: Mode) -> BasisExpansion | SchurMap | TorusMap:
    """Return the way to apply W, the faster one by estimate; the same on every machine."""
    expand = (_MULTIPLICATION + _ENTRY) * basis.space.dimension
    if mode == "expand" or (mode == "auto" and expand <= _CALLS):
        return BasisExpansion(basis)
    found = by_irreps(basis)
    if mode == "irreps":
        if found is None:
            raise ModelError(
                f"{basis!r} has no mode 'irreps' (it is for up to {MOST_TYPES} orbit types of up "
                f"to {LONGEST_ORBIT} coordinates, and for tori of shifts): use mode='expand'"
            )
        return found
    if found is None:
        return BasisExpansion(basis)
    irreps = (
        _CALLS
        + _COORDINATE * (basis.space.m + basis.space.k)
        + _MULTIPLICATION * found.multiplications
        + _ENTRY * basis.rank
    )
    return found if irreps < expand else BasisExpansion(basis)


def by_irreps(basis: Basis) -> SchurMap | TorusMap | None:
    """x -> W x by irreps; ``None`` where the orbits of X or Y are too long, or too many types."""
    shifts = torus(basis.space)
    if shifts is not None:
        return TorusMap(basis, shifts)
    found = isotypic(basis.space)
    return None if found is None else SchurMap(basis, found)


class _GroupOrbit(ExactBuffers):
    """h (..., n) -> all ρ(g) h, ``(..., |G|, n)``."""

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
