"""Invariant features, the same wherever the group moves a vector, and what may follow them."""

from __future__ import annotations

import copy

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from equibasis.errors import ModelError
from equibasis.linalg.canonical import canonical_basis
from equibasis.linalg.memory import refuse_beyond_memory
from equibasis.nn.border import check_vectors
from equibasis.nn.identity import IdentifiedWeights
from equibasis.nn.interface import FeatureSpace, features_of, shown, with_invariants
from equibasis.nn.metric import InvariantMetric
from equibasis.nn.reach import Reach, check_reach
from equibasis.solvers import solve_space
from equibasis.solvers.basis import Basis
from equibasis.symmetry.representations import PermutationRepresentation

# Entries of a form below this are rounding.
_NEGLIGIBLE = 1e-9


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

    def weights_of(self) -> tuple[str, tuple[FeatureSpace, ...], str]:
        """Return the lengths in their order, which the weights after it take."""
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

    def weights_of(self) -> tuple[str, tuple[FeatureSpace, ...], str]:
        """Return the invariants in their order, which the weights after it take."""
        return "OrbitMeanPool", (self.domain,), f"rank {self.codomain.dimension}"


class InvariantForms(IdentifiedWeights):
    """x -> the numbers in it that the group leaves alone, then xᵀ Mⱼ x. (..., n) to (..., r).

    The Mⱼ are a basis of the symmetric matrices with ρ(g)ᵀ M ρ(g) = M, but for products of those
    numbers: of c four-vectors a, b, … of the Lorentz group the c (c + 1)/2 products aᵀηb. They may
    be negative, and no root is taken, so the group need not be compact. Each is scaled so that its
    coefficients, of x_p x_q with p ≤ q, have mean square 1.

    Any network may follow, and is invariant: see `OnInvariants`.

    Parameters
    ----------
    features
        The space of x.

    Raises
    ------
    ModelError
        If there is no such form.

    Warns
    -----
    UnreachedWarning
        If some of x is in none.
    """

    still: Tensor
    first: Tensor
    second: Tensor
    forms: Tensor

    def __init__(self, features: FeatureSpace | Basis) -> None:
        super().__init__()
        self.domain = space = features_of(features, "InvariantForms")
        still, monomials, forms = _invariants(space)
        if not len(forms):
            raise ModelError(
                f"no quadratic form is invariant on {space}: use GatedActivation and "
                "EquivariantBilinear"
            )
        self.codomain = space.scalars(len(still) + len(forms))
        inputs = np.zeros(space.dimension, dtype=bool)
        inputs[still] = inputs[monomials] = True
        self.reach = check_reach(self, Reach(np.ones(self.codomain.dimension, dtype=bool), inputs))
        self.register_exact("still", still)
        self.register_exact("first", monomials[0])
        self.register_exact("second", monomials[1])
        self.register_exact("forms", forms)

    def forward(self, x: Tensor) -> Tensor:
        """(..., n) -> (..., r)."""
        check_vectors(self, x, self.forms.dtype)
        x = self.domain.channels_last(x)
        products = x.index_select(-1, self.first) * x.index_select(-1, self.second)
        forms = nn.functional.linear(products, self.forms)
        y = torch.cat([x.index_select(-1, self.still).to(forms.dtype), forms], dim=-1)
        return self.domain.channels_first(y)

    def weights_of(self) -> tuple[str, tuple[FeatureSpace, ...], str]:
        """Return the forms in their order, which the weights after it take."""
        return "InvariantForms", (self.domain,), f"{self.codomain.dimension} invariants"


def _invariants(space: FeatureSpace) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coordinates that stay as they are; pairs p ≤ q (2, N); coefficients of x_p x_q, (r, N).

    The invariant matrices, Hom_G(X, X*), are closed under transposition, so that the projector
    onto them is one on the symmetric matrices too.
    """
    basis = solve_space(space.maps_to(space.dual))
    types, n = basis.space.types, space.dimension
    alone = [each for each in types.input if _is_trivial(types.representations[each.type])]
    still = np.sort(np.concatenate([np.zeros(0, np.int64), *(each.index[0] for each in alone)]))
    p, q = np.triu_indices(n)
    matrix = basis.matrix.tocsr()
    upper, lower = matrix[p * n + q], matrix[q * n + p]
    diagonal = sparse.diags_array(np.where(p == q, 0.5, 0.5**0.5))  # orthonormal coordinates
    symmetric = diagonal @ (upper + lower)
    forms = sparse.csr_array(canonical_basis(sparse.csr_array(symmetric @ symmetric.T)))
    forms.data[np.abs(forms.data) < _NEGLIGIBLE] = 0.0
    forms.eliminate_zeros()
    pairs = np.stack([p, q])
    used = (np.diff(forms.indptr) > 0) & ~np.isin(pairs, still).all(axis=0)
    refuse_beyond_memory(8.0 * used.sum() * forms.shape[1], f"the forms of {space}", ModelError)
    found = forms[used].toarray().T * np.where(p == q, 1.0, 2**0.5)[used]
    found = found[found.any(axis=1)]
    scales = np.sqrt(np.square(found).sum(axis=1) / np.count_nonzero(found, axis=1))
    return still, pairs[:, used], found / scales[:, None]


def _is_trivial(rho: object) -> bool:
    return isinstance(rho, PermutationRepresentation) and rho.dimension == 1 and rho.signs is None


class OnInvariants(nn.Module):
    """Any module, after invariant features: whatever it makes of them is invariant too.

    Parameters
    ----------
    module
        Takes (batch, n) to (batch, n').
    features
        The space of the invariant features, on which every ρ(g) = 1.

    Raises
    ------
    ModelError
        If the group moves the features, or the module does not take them.
    """

    def __init__(self, module: nn.Module, features: FeatureSpace | Basis) -> None:
        super().__init__()
        if not isinstance(module, nn.Module):
            raise ModelError(f"OnInvariants needs a torch module, not {shown(module)}")
        space = features_of(features, "OnInvariants")
        if not space.is_trivial:
            raise ModelError(
                f"{type(module).__name__} may act on invariant features, and not on {space}"
            )
        self.module = module
        self.domain, self.codomain = space, space.scalars(_outputs(module, space))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, n) -> (batch, n')."""
        check_vectors(self, x)
        y: Tensor = self.module(x)
        return y


def _outputs(module: nn.Module, features: FeatureSpace) -> int:
    """Return the length of what a module makes of (batch, n)."""
    parameter = next(module.parameters(), torch.empty(0))
    probe = torch.zeros(2, features.dimension).to(parameter)
    trial = copy.deepcopy(module).eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            made = trial(probe)
    except Exception as error:  # whatever the module raises
        raise ModelError(
            f"{type(module).__name__} does not take {features}, of {features.dimension} "
            f"features: {' '.join(str(error).split())}"
        ) from error
    shape = tuple(made.shape) if isinstance(made, Tensor) else (type(made).__name__,)
    if len(shape) != 2 or shape[0] != 2 or shape[1] == 0:
        raise ModelError(
            f"{type(module).__name__} makes {shape} of (2, {features.dimension}), and not (2, n) "
            "with n from 1 on"
        )
    return shape[1]
