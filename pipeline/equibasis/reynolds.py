"""The Reynolds operator, Kronecker products averaged over the group, and its rank."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from equibasis.errors import GroupError
from equibasis.representations import (
    HomSpace,
    PermutationRepresentation,
    double_cover,
    pair_images,
    with_all_elements,
)


def hom_dimension(space: HomSpace) -> int:
    r"""dim Hom_G(X, Y), without solving for it.

    From characters, 1/|G| Σ tr ρ₂(g) tr ρ₁(g⁻¹), the trace of the Reynolds operator; for real
    matrices of a finite group, tr ρ₁(g⁻¹) = tr ρ₁(g). For
    permutations of which only generators are listed, the number of orbits of index pairs, less
    those that some element maps to minus themselves, counted as connected components.
    Source: Schur orthogonality, e.g. Serre, *Linear Representations of Finite Groups*, §2.3.

    Raises
    ------
    GroupError
        If the sum is no whole number, so that the matrices cannot be a group.
    """
    if (
        not space.complete
        and isinstance(space.input, PermutationRepresentation)
        and isinstance(space.output, PermutationRepresentation)
    ):
        return _count_orbits(space.input, space.output)
    space = with_all_elements(space)
    characters = space.output.characters() * space.input.characters()
    mean = float(characters.mean())
    if abs(mean - round(mean)) > 1e-6:
        raise GroupError(
            f"group {space.group!r}: the mean of its characters, {mean:.6g}, is no whole number, "
            "so its matrices do not form a group"
        )
    return round(mean)


def _count_orbits(input_: PermutationRepresentation, output: PermutationRepresentation) -> int:
    pairs = [pair_images(input_, output, g) for g in range(output.order)]
    unsigned = _components([images for images, _ in pairs])
    if all(signs is None for _, signs in pairs):
        return unsigned
    # An orbit has two lifts if its signs agree, and one if some element negates it.
    return _components([double_cover(images, signs) for images, signs in pairs]) - unsigned


def _components(permutations: list[np.ndarray]) -> int:
    """Connected components of the graph with an edge from each point to each of its images."""
    n, degree = len(permutations[0]), len(permutations)
    edges = np.stack(permutations, axis=1).ravel()
    starts = np.arange(0, n * degree + 1, degree)
    graph = sparse.csr_array((np.ones(n * degree), edges, starts), shape=(n, n))
    return int(csgraph.connected_components(graph, directed=False)[0])


def reynolds_operator(space: HomSpace) -> sparse.csr_array:
    r"""P = 1/|G| Σ ρ₂(g) ⊗ ρ₁(g⁻¹)ᵀ, sparse of shape (km, km), float64.

    P² = P, and P vec(W) = vec(W), row-major, exactly where ρ₂(g) W = W ρ₁(g) for every g.
    Source: Reynolds operator, finite-group averaging.
    """
    space = with_all_elements(space)
    dual = space.input.dual
    terms = (
        sparse.kron(space.output.matrix(g), dual.matrix(g), format="csr")
        for g in range(space.output.order)
    )
    operator = next(terms)
    for term in terms:
        operator = operator + term
    return operator / space.output.order


def dense_reynolds_operator(space: HomSpace) -> np.ndarray:
    r"""`reynolds_operator` the textbook way, a dense array of shape (km, km), float64."""
    space = with_all_elements(space)
    dual = space.input.dual
    operator = np.zeros((space.dimension,) * 2)
    for g in range(space.output.order):
        operator += np.kron(space.output.matrix(g).toarray(), dual.matrix(g).toarray())
    return operator / space.output.order
