"""Orbits of points, and of index pairs: where (signed) permutations let maps have entries."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from equibasis.linalg.components import leaders
from equibasis.symmetry.representations import PermutationRepresentation, signs_of


def pair_orbits(
    input_: PermutationRepresentation, output: PermutationRepresentation
) -> tuple[np.ndarray, np.ndarray]:
    """Hom_G(X, Y) as orbits of pairs (o, i), row-major, under the generators alone.

    Every pair is two points, itself, p, and its negative, p + n; a pair in one orbit with its own
    negative gives nothing.

    Returns
    -------
    labels, signs
        The orbit of each pair, -1 for none, and its sign in it, ±1: int64 (n,) and int8 (n,).
    """
    n = output.dimension * input_.dimension
    moves = []
    for g in range(output.order):
        images, signs = pair_images(input_, output, g)
        up = np.where(signs > 0, images, images + n)
        moves.append(np.concatenate([up, (up + n) % (2 * n)]))
    positive, negative = orbit_leaders(moves).reshape(2, n)
    labels = numbered(np.where(positive == negative, -1, np.minimum(positive, negative)))
    signs = np.where(positive <= negative, 1, -1).astype(np.int8)
    return labels, signs


def orbit_leaders(permutations: Sequence[np.ndarray]) -> np.ndarray:
    """Find the smallest point in the orbit of each of n points under permutations of them."""
    n = len(permutations[0])
    return leaders(n, np.tile(np.arange(n), len(permutations)), np.concatenate(permutations))


def numbered(first: np.ndarray) -> np.ndarray:
    """Orbits numbered as they first occur, from the lowest point of each, -1 for none."""
    number = np.cumsum(first == np.arange(len(first))) - 1
    return np.where(first < 0, -1, number[first])


def pair_images(
    input_: PermutationRepresentation, output: PermutationRepresentation, g: int
) -> tuple[np.ndarray, np.ndarray]:
    """Where element g sends index pairs: vec(ρ₂(g) W ρ₁(g⁻¹)) = signs · vec(W)[images]."""
    images = output.index[g][:, None] * input_.dimension + input_.index[g]
    signs = signs_of(output)[g][:, None] * signs_of(input_)[g]
    return images.ravel(), signs.ravel()
