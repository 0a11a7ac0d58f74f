"""Pooling: invariant features of an equivariant vector, the same wherever the group moves it."""

from __future__ import annotations

import numpy as np
from torch import Tensor, nn

from equibasis.errors import ModelError
from equibasis.nn.border import check_vectors
from equibasis.nn.identity import IdentifiedWeights
from equibasis.nn.interface import FeatureSpace, features_of, with_invariants
from equibasis.nn.metric import InvariantMetric
from equibasis.nn.reach import Reach, check_reach
from equibasis.solvers import solve_space
from equibasis.solvers.basis import Basis


class NormPool(IdentifiedWeights):
    """x -> the lengths ‖x_b‖ of its invariant blocks of coordinates. (..., n) to (..., blocks).

    For any representation; lengths and blocks are those of `InvariantMetric`. Gradients at x = 0
    are 0.

    Parameters
    ----------
    features
        The space of x.

    Raises
    ------
    ModelError
        If the group keeps no length.
    """

    def __init__(self, features: FeatureSpace | Basis) -> None:
        super().__init__()
        space = features_of(features, "NormPool")
        self.metric = InvariantMetric(space)
        self.domain, self.codomain = space, space.scalars(self.metric.blocks)

    def forward(self, x: Tensor) -> Tensor:
        """(..., n) -> (..., blocks)."""
        factor = self.metric.factor
        check_vectors(self, x, None if factor is None else factor.dtype)
        return self.metric.norms(x)

    def extra_repr(self) -> str:
        """Group and spaces, for ``repr``."""
        return self.domain.to(self.codomain)

    def weights_of(self) -> tuple[str, tuple[FeatureSpace, ...], str]:
        """The lengths in their order, which the weights after it take."""
        return "NormPool", (self.domain,), f"{self.metric.blocks} blocks"


class OrbitMeanPool(IdentifiedWeights):
    """x -> all that is linear in x and invariant: the mean over its orbit. (..., n) to (..., r).

    y = Bᵀ x with B the orthonormal basis of the invariants; the mean of all ρ(g) x is B y. For
    permutations, y_j is √s times the mean of x over orbit j, of s coordinates, so white noise
    keeps its variance. Generators are as good as all elements.

    Parameters
    ----------
    invariants
        The space, or its invariant basis.

    Raises
    ------
    ModelError
        If it is neither, or only 0 is linear and invariant.

    Warns
    -----
    UnreachedWarning
        If some of x is in no linear invariant, as vectors are not.
    """

    functionals: Tensor

    def __init__(self, invariants: FeatureSpace | Basis) -> None:
        super().__init__()
        space, _ = with_invariants(invariants, "OrbitMeanPool")
        basis = solve_space(space.maps_to(space.scalars(1)))
        if basis.rank == 0:
            raise ModelError(f"{basis!r} is empty: nothing linear is invariant; take NormPool")
        self.domain, self.codomain = space, space.scalars(basis.rank)
        functionals = basis.matrix.T.toarray()
        inputs = (np.abs(functionals) > 1e-9).any(axis=0)
        self.reach = check_reach(self, Reach(np.ones(basis.rank, bool), inputs))
        self.register_exact("functionals", functionals)

    def forward(self, x: Tensor) -> Tensor:
        """(..., n) -> (..., r)."""
        check_vectors(self, x, self.functionals.dtype)
        y = nn.functional.linear(self.domain.channels_last(x), self.functionals)
        return self.domain.channels_first(y)

    def extra_repr(self) -> str:
        """Group and spaces, for ``repr``."""
        return self.domain.to(self.codomain)

    def weights_of(self) -> tuple[str, tuple[FeatureSpace, ...], str]:
        """The invariants in their order, which the weights after it take."""
        return "OrbitMeanPool", (self.domain,), f"rank {self.codomain.dimension}"
