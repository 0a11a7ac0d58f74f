"""Orbits of points, and of index pairs: where (signed) permutations let maps have entries."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from equibasis.linalg.columns import OrbitColumns
from equibasis.linalg.components import leaders
from equibasis.symmetry.representations import PermutationRepresentation, signs_of


def pair_orbits(
    input_: PermutationRepresentation, output: PermutationRepresentation
) -> OrbitColumns:
    """Hom_G(X, Y) as orbits of pairs (o, i), row-major, under the generators alone.

    A pair in one orbit with its own negative gives nothing.
    """
    n = output.dimension * input_.dimension
    moves = [pair_images(input_, output, g) for g in range(output.order)]
    if input_.signs is None and output.signs is None:
        first, signs = orbit_leaders([images for images, _ in moves]), None
    else:
        first, signs = on_points(orbit_leaders([double_cover(*each) for each in moves]), n)
    labels = numbered(first)
    return OrbitColumns(labels, np.bincount(labels[labels >= 0]), signs)


def orbit_leaders(permutations: Sequence[np.ndarray]) -> np.ndarray:
    """The smallest point in the orbit of each of n points under some permutations of them."""
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


def double_cover(images: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """A signed permutation of n points as one of 2n: point p, and its negative p + n."""
    n = len(images)
    up = np.where(signs > 0, images, images + n)
    return np.concatenate([up, (up + n) % (2 * n)])


def on_points(leader: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The lowest point of the orbit of each of n points, from those of a double cover.

    Returns
    -------
    first, signs
        Lowest points, -1 where a point is in one orbit with its negative; and the signs relative
        to them, int8, each (n,).
    """
    positive, negative = leader[:n], leader[n:]
    first = np.where(positive == negative, -1, np.minimum(positive, negative))
    return first, np.where(positive <= negative, 1, -1).astype(np.int8)
