"""Is it a group? Whether the elements listed are closed, and what their products are."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from equibasis.errors import GroupError
from equibasis.linalg.nearest import nearest_among
from equibasis.symmetry.pair_orbits import orbit_leaders
from equibasis.symmetry.representations import TOLERANCE, Representation

# Two elements of a finite group are never so near; powers of an inexact turn are.
TOO_NEAR = 1e-7


class Signatures:
    """Matrices told apart by what they do to a few random vectors, drawn with a fixed seed.

    Two different matrices agree on those with probability zero. Several representations are taken
    jointly, as one block diagonal matrix.
    """

    def __init__(self, representations: Sequence[Representation]) -> None:
        generator = np.random.default_rng(0)
        self.representations = representations
        self.probes = [generator.standard_normal((rho.dimension, 2)) for rho in representations]
        length = sum(probe.size for probe in self.probes)
        # Few coordinates to search among, then all of them to compare.
        self.shadow = generator.standard_normal((length, 6)) / math.sqrt(length)

    def apply(self, g: int, vectors: list[np.ndarray]) -> list[np.ndarray]:
        """ρ(g) on one vector of each representation."""
        return [rho.apply(g, v) for rho, v in zip(self.representations, vectors, strict=True)]

    @staticmethod
    def flat(vectors: list[np.ndarray]) -> np.ndarray:
        """One array for all."""
        return np.concatenate([vector.ravel() for vector in vectors])


def check_group(
    name: str, elements: Sequence[str], *representations: Representation
) -> tuple[int, ...]:
    """Check that the ρ(g) are a group of matrices, jointly for several representations.

    Identity first, products closed, every inverse present. It is enough to multiply by elements
    that generate the rest: those that the ones before have not reached.

    Returns
    -------
    tuple
        The positions of those elements.

    Raises
    ------
    GroupError
        Naming the elements for which it does not hold, and by how much.
    """
    signatures = Signatures(representations)
    order = len(elements)
    sent = [signatures.apply(g, signatures.probes) for g in range(order)]
    flat = np.stack([signatures.flat(vectors) for vectors in sent])
    scale = np.abs(flat).max()
    error = float(np.abs(flat[0] - signatures.flat(signatures.probes)).max() / scale)
    if error > TOLERANCE:
        raise GroupError(
            f"group {name!r}: the first element, {elements[0]}, is not the identity "
            f"(off by {error:.2g}): list the identity first"
        )
    # Elements that act alike are one; each is known by the first that acts so.
    points = flat @ signatures.shadow
    first = _first_alike(points, TOLERANCE * scale)
    distinct = np.unique(first)
    nearest_of = nearest_among(points[distinct])
    counts = np.bincount(first, minlength=order)
    if (uneven := np.flatnonzero((counts > 0) & (counts != counts[0]))).size:
        most = int(counts.argmax())
        alike = [elements[int(g)] for g in np.flatnonzero(first == most)[:2]]
        raise GroupError(
            f"group {name!r}: {' and '.join(alike)} act alike {counts[most]} times over, but "
            f"{elements[int(uneven[0])]} does not: list each element once"
        )
    reached = np.arange(order) == 0
    moves: list[np.ndarray] = []
    generating: list[int] = []
    for g in range(order):
        if reached[first[g]]:
            continue
        products = np.stack([signatures.flat(signatures.apply(g, sent[h])) for h in range(order)])
        nearest = distinct[nearest_of(products @ signatures.shadow)]
        errors = np.abs(products - flat[nearest]).max(axis=1) / scale
        if errors.max() > TOLERANCE:
            h = int(errors.argmax())
            raise GroupError(
                f"group {name!r} is not closed: {elements[g]} after {elements[h]} is none of its "
                f"elements; the nearest, {elements[int(nearest[h])]}, is off by {errors[h]:.2g} "
                "(interpolated rotations do not compose; a missing element shows here too)"
            )
        if 0 not in first[nearest]:
            raise GroupError(f"group {name!r} is no group: {elements[g]} has no inverse in it")
        generating.append(g)
        moves.append(first[nearest])
        reached = orbit_leaders(moves) == 0
    return tuple(generating)


def _first_alike(points: np.ndarray, tolerance: float) -> np.ndarray:
    """For each point, the first one that is the same within a tolerance in every coordinate."""
    kind = np.zeros(len(points), dtype=np.int64)
    for coordinate in points.T:
        order = np.lexsort((coordinate, kind))
        steps = (np.diff(kind[order]) != 0) | (np.diff(coordinate[order]) > tolerance)
        kind[order] = np.concatenate([[0], np.cumsum(steps)])
    _, first, kind = np.unique(kind, return_index=True, return_inverse=True)
    return first[kind]


def products(rho: Representation, listed: Representation) -> np.ndarray:
    """The position of g h among the elements listed, for each g of ρ and each h listed.

    Returns
    -------
    numpy.ndarray
        int64 (elements of ρ, elements listed). Elements that act alike have one position.

    Raises
    ------
    GroupError
        If a product is none of those listed.
    """
    signatures = Signatures([rho])
    sent = [listed.apply(h, signatures.probes[0]) for h in range(listed.order)]
    points = np.stack([each.ravel() for each in sent])
    nearest_of = nearest_among(points @ signatures.shadow)
    images = np.empty((rho.order, listed.order), dtype=np.int64)
    for g in range(rho.order):
        moved = np.stack([rho.apply(g, each).ravel() for each in sent])
        images[g] = nearest_of(moved @ signatures.shadow)
        if np.abs(moved - points[images[g]]).max() > TOO_NEAR * np.abs(moved).max():
            raise GroupError("the elements listed are not a group: a product is none of them")
    return images
