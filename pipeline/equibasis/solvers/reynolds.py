"""The Reynolds operator, Kronecker products averaged over the group, and its rank."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from equibasis.errors import GroupError
from equibasis.symmetry.hom_space import HomSpace


def hom_dimension(space: HomSpace) -> int:
    r"""dim Hom_G(X, Y) from characters, without solving for it.

    1/|G| Σ tr ρ₂(g) tr ρ₁(g⁻¹), the trace of the Reynolds operator; for real matrices of a finite
    group, tr ρ₁(g⁻¹) = tr ρ₁(g).
    Source: Schur orthogonality, e.g. Serre, *Linear Representations of Finite Groups*, §2.3.

    Raises
    ------
    GroupError
        If the sum is no whole number, so that the matrices cannot be a group; or if the elements
        are not listed, and there are too many to list.
    """
    space = space.enumerated
    characters = space.output.characters() * space.input.characters()
    mean = float(characters.mean())
    if abs(mean - round(mean)) > 1e-6:
        raise GroupError(
            f"group {space.group!r}: the mean of its characters, {mean:.6g}, is no whole number, "
            "so its matrices do not form a group"
        )
    return round(mean)


def known_rank(space: HomSpace) -> int | None:
    """dim Hom_G(X, Y) from characters or weights, where it takes no solving and no listing."""
    if space.complete:
        return hom_dimension(space)
    return space.rank_by_weights if space.continuous else None


def reynolds_operator(space: HomSpace) -> sparse.csr_array:
    r"""P = 1/|G| Σ ρ₂(g) ⊗ ρ₁(g⁻¹)ᵀ, sparse of shape (km, km), float64.

    P² = P, and P vec(W) = vec(W), row-major, exactly where ρ₂(g) W = W ρ₁(g) for every g.
    Source: Reynolds operator, finite-group averaging.
    """
    space = space.enumerated
    dual = space.input.dual
    order = space.output.order
    terms = [
        sparse.kron(space.output.matrix(g), dual.matrix(g), format="coo") for g in range(order)
    ]
    rows, columns = (np.concatenate([term.coords[axis] for term in terms]) for axis in (0, 1))
    values = np.concatenate([term.data for term in terms]) / order
    return sparse.csr_array((values, (rows, columns)), shape=(space.dimension,) * 2)
