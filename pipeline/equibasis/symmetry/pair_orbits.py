"""Orbits of index pairs under generators: where (signed) permutations let maps have entries."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from equibasis.linalg.columns import OrbitColumns, label_type
from equibasis.symmetry.representations import PermutationRepresentation, signs_of


def pair_orbits(
    input_: PermutationRepresentation, output: PermutationRepresentation
) -> OrbitColumns:
    """Hom_G(X, Y) as orbits of pairs (o, i), row-major, under the generators alone.

    With signs, every pair is two points, itself and its negative; a pair in one orbit with its
    own negative gives nothing.
    """
    n = output.dimension * input_.dimension
    signed = input_.signs is not None or output.signs is not None
    permutations = [pair_images(input_, output, g) for g in range(output.order)]
    if not signed:
        leader = orbit_leaders([images for images, _ in permutations])
        dropped, signs = np.zeros(n, dtype=bool), None
    else:
        both = orbit_leaders([double_cover(images, signs) for images, signs in permutations])
        leader, negative = both[:n], both[n:]
        dropped = leader == negative
        signs = np.where(leader < negative, 1, -1).astype(np.int8)
        leader = np.minimum(leader, negative)
    is_first = (leader == np.arange(n)) & ~dropped
    rank = int(is_first.sum())
    number = (np.cumsum(is_first) - 1).astype(label_type(rank))
    labels = np.where(dropped, -1, number[leader]).astype(number.dtype)
    return orbit_columns(labels, np.bincount(labels[~dropped], minlength=rank), signs)


def orbit_leaders(permutations: Sequence[np.ndarray]) -> np.ndarray:
    """The smallest point in the orbit of each of n points under some permutations of them.

    Every point names a smaller one of its orbit, at last the smallest: where the names of a point
    and its image differ, the larger name is made to point at the smaller, then all names are
    followed to their end. Rounds grow with the logarithm of n.
    Source: Shiloach and Vishkin (1982), *An O(log n) parallel connectivity algorithm*.
    """
    n = len(permutations[0])
    names = np.arange(n, dtype=np.int32 if n < 2**31 else np.int64)
    changed = True
    while changed:
        changed = False
        for images in permutations:
            there = names[images]
            differ = np.flatnonzero(names != there)
            if len(differ) == 0:
                continue
            changed = True
            here, there = names[differ], there[differ]
            names[np.maximum(here, there)] = np.minimum(here, there)
            while not np.array_equal(names, followed := names[names]):
                names = followed
    return names


def orbit_columns(labels: np.ndarray, sizes: np.ndarray, signs: np.ndarray | None) -> OrbitColumns:
    """Orbits from labels of any shape, with signs only where some are -1."""
    labels = labels.ravel()
    if signs is None:
        return OrbitColumns(labels, sizes)
    signs = np.where(labels < 0, 1, signs.ravel()).astype(np.int8)
    return OrbitColumns(labels, sizes, None if (signs > 0).all() else signs)


def pair_images(
    input_: PermutationRepresentation, output: PermutationRepresentation, g: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Where element g sends index pairs: vec(ρ₂(g) W ρ₁(g⁻¹)) = signs · vec(W)[images].

    Both of shape (km,); signs are ``None`` where all are +1.
    """
    number = np.int32 if output.dimension * input_.dimension < 2**31 else np.int64
    rows = (output.index[g] * input_.dimension).astype(number)
    images = rows[:, None] + input_.index[g].astype(number)
    if input_.signs is None and output.signs is None:
        return images.ravel(), None
    signs = signs_of(output)[g][:, None] * signs_of(input_)[g]
    return images.ravel(), signs.ravel()


def double_cover(images: np.ndarray, signs: np.ndarray | None) -> np.ndarray:
    """A signed permutation of n points as one of 2n: point p, and its negative p + n."""
    n = len(images)
    up = images if signs is None else np.where(signs > 0, images, images + n)
    return np.concatenate([up, (up + n) % (2 * n)])
