"""Invariant quadratic forms: features that the group leaves alone, even where it has no lengths."""

from __future__ import annotations

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from equibasis.errors import ModelError
from equibasis.linalg.canonical import canonical_basis
from equibasis.linalg.memory import refuse_beyond_memory
from equibasis.nn.border import check_vectors
from equibasis.nn.identity import IdentifiedWeights
from equibasis.nn.interface import FeatureSpace, features_of
from equibasis.nn.reach import Reach, check_reach
from equibasis.solvers import solve_space
from equibasis.solvers.basis import Basis
from equibasis.symmetry.representations import PermutationRepresentation

# Entries of a form below this are rounding.
_NEGLIGIBLE = 1e-9


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

    def extra_repr(self) -> str:
        """Group and spaces, for ``repr``."""
        return self.domain.to(self.codomain)

    def weights_of(self) -> tuple[str, tuple[FeatureSpace, ...], str]:
        """The forms in their order, which the weights after it take."""
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
