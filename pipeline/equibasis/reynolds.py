"""The Reynolds operator: Kronecker products averaged over the group, and its rank."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from equibasis.errors import GroupError
from equibasis.representations import HomSpace


def hom_dimension(space: HomSpace) -> int:
    r"""dim Hom_G(X, Y) from characters alone: 1/|G| Σ tr ρ₂(g) tr ρ₁(g⁻¹).

    This is the trace of the Reynolds operator, known before anything is solved.
    Source: Schur orthogonality, e.g. Serre, *Linear Representations of Finite Groups*, §2.3.

    Raises
    ------
    GroupError
        If the sum is no whole number, so that the matrices cannot be a group.
    """
    characters = space.output.characters() * space.input.inverse.characters()
    mean = float(characters.mean())
    if abs(mean - round(mean)) > 1e-6:
        raise GroupError(
            f"group {space.group!r}: the mean of its characters, {mean:.6g}, is no whole number, "
            "so its matrices do not form a group"
        )
    return round(mean)


def reynolds_operator(space: HomSpace) -> sparse.csr_array:
    r"""P = 1/|G| Σ ρ₂(g) ⊗ ρ₁(g⁻¹)ᵀ, sparse of shape (km, km), float64.

    P² = P, and P vec(W) = vec(W), row-major, exactly where ρ₂(g) W = W ρ₁(g) for every g.
    Source: Reynolds operator, finite-group averaging.
    """
    inverse = space.input.inverse
    terms = (
        sparse.kron(space.output.matrix(g), inverse.matrix(g).T, format="csr")
        for g in range(space.output.order)
    )
    operator = next(terms)
    for term in terms:
        operator = operator + term
    return operator / space.output.order


def dense_reynolds_operator(space: HomSpace) -> np.ndarray:
    r"""`reynolds_operator` the textbook way, a dense array of shape (km, km), float64."""
    inverse = space.input.inverse
    operator = np.zeros((space.k * space.m,) * 2)
    for g in range(space.output.order):
        operator += np.kron(space.output.matrix(g).toarray(), inverse.matrix(g).toarray().T)
    return operator / space.output.order
