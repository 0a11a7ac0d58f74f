"""Is it a group? Whether the elements listed are closed, and what their products are."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from equibasis.errors import GroupError, TooManyElementsError
from equibasis.symmetry.assembled import factors_of
from equibasis.symmetry.constructions import discrete_part
from equibasis.symmetry.pair_orbits import orbit_leaders
from equibasis.symmetry.representations import TOLERANCE, Representation

# Width of the buckets that signatures are sorted into: far above rounding.
_BUCKET = 1e-6

# The largest norm of a matrix: rounding is multiplied by its square.
_MOST_NORM = 300.0

# Two elements of a finite group are never so near; powers of an inexact turn are.
TOO_NEAR = 1e-7


class Elements:
    """Elements by number, told apart by what they do to a few random vectors, the identity first.

    Two different matrices agree on those, drawn with a fixed seed, with probability zero; rounding
    is allowed for. Several representations are taken jointly, as one block diagonal matrix.
    """

    def __init__(self, representations: Sequence[Representation]) -> None:
        generator = np.random.default_rng(0)
        self.representations = representations
        self.probes = [generator.standard_normal((rho.dimension, 2)) for rho in representations]
        length = sum(probe.size for probe in self.probes)
        # One coordinate to search by, then all of them to compare.
        self.shadow = generator.standard_normal(length) / math.sqrt(length)
        self.flats: list[np.ndarray] = []
        self.buckets: dict[int, list[int]] = {}
        self.number(self.probes)

    def apply(self, g: int, vectors: list[np.ndarray]) -> list[np.ndarray]:
        """ρ(g) on one vector of each representation."""
        return [rho.apply(g, v) for rho, v in zip(self.representations, vectors, strict=True)]

    def number(self, vectors: list[np.ndarray]) -> tuple[int, bool]:
        """Return the number of an element, and whether it was not known before; it is now."""
        flat = np.concatenate([vector.ravel() for vector in vectors])
        place = float(flat @ self.shadow) / _BUCKET
        if not math.isfinite(place):
            raise TooManyElementsError(
                "the generators make ever larger matrices: the group is not finite"
            )
        bucket = math.floor(place)
        near = [other for step in (-1, 0, 1) for other in self.buckets.get(bucket + step, ())]
        for other in near:
            distance = np.abs(flat - self.flats[other]).max() / max(1.0, np.abs(flat).max())
            if distance < TOLERANCE:
                return other, False
            if distance < TOO_NEAR:
                raise GroupError(
                    f"the generators make elements that differ by only {distance:.1g}: the group "
                    "is not finite, or its matrices are not exact enough"
                )
        self.buckets.setdefault(bucket, []).append(len(self.flats))
        self.flats.append(flat)
        return len(self.flats) - 1, True

    def nearest(self, number: int) -> tuple[int, float]:
        """Which of the elements before it one is nearest to, and how far off, relatively."""
        off = np.abs(np.stack(self.flats[:number]) - self.flats[number]).max(axis=1)
        return int(off.argmin()), float(off.min() / np.abs(self.flats[0]).max())


def check_group(
    name: str, elements: Sequence[str], *representations: Representation
) -> dict[int, np.ndarray]:
    """Check that the ρ(g) are a group of matrices, jointly for several representations.

    Identity first, products closed, every inverse present. It is enough to multiply by elements
    that generate the rest: those that the ones before have not reached.

    Returns
    -------
    dict
        By the position of each of those elements g the positions of g h for all h, int64 (|G|,), of
        elements that act alike the first.

    Raises
    ------
    GroupError
        Naming the elements for which it does not hold, and by how much.
    """
    known = Elements(representations)
    sent = [known.apply(g, known.probes) for g in range(len(elements))]
    numbers = np.array([known.number(each)[0] for each in sent])
    if numbers[0] != 0:
        raise GroupError(
            f"group {name!r}: the first element, {elements[0]}, is not the identity "
            f"(off by {known.nearest(1)[1]:.2g}): list the identity first"
        )
    # Elements that act alike are one; each is known by the first that acts so.
    first, counts = np.unique(numbers, return_index=True, return_counts=True)[1:]
    if (uneven := np.flatnonzero(counts != counts[0])).size:
        alike = [elements[int(g)] for g in np.flatnonzero(numbers == counts.argmax())[:2]]
        raise GroupError(
            f"group {name!r}: {' and '.join(alike)} act alike {counts.max()} times over, but "
            f"{elements[int(first[uneven[0]])]} does not: list each element once"
        )
    together = [np.stack(each, axis=1) for each in zip(*sent, strict=True)]
    reached = numbers == 0
    moves: dict[int, np.ndarray] = {}
    for g in range(len(elements)):
        if reached[g]:
            continue
        moved = known.apply(g, together)
        images = [known.number([each[:, h] for each in moved]) for h in range(len(elements))]
        if (h := next((h for h, (_, new) in enumerate(images) if new), None)) is not None:
            nearest, off = known.nearest(images[h][0])
            raise GroupError(
                f"group {name!r} is not closed: {elements[g]} after {elements[h]} is none of its "
                f"elements; the nearest, {elements[int(first[nearest])]}, is off by {off:.2g} "
                "(interpolated rotations do not compose; a missing element shows here too)"
            )
        if all(number for number, _ in images):
            raise GroupError(f"group {name!r} is no group: {elements[g]} has no inverse in it")
        moves[g] = first[[number for number, _ in images]]
        reached = (orbit_leaders([*moves.values()]) == 0)[first[numbers]]
    return moves


def check_conditioned(name: str, elements: Sequence[str], rho: Representation) -> None:
    """Raise `GroupError` where a matrix is not invertible, or far from orthogonal."""
    if rho.order == len(rho.algebra) or rho.is_orthogonal:
        return
    # Singular values of a Kronecker product are products of those of its factors.
    largest, least = np.ones((2, rho.order - len(rho.algebra)))
    for factor in factors_of(rho):
        scales = np.linalg.svd(discrete_part(factor, len(rho.algebra)), compute_uv=False)
        largest, least = largest * scales.max(axis=1), least * scales.min(axis=1)
    worst = np.maximum(largest, 1.0 / np.maximum(least, 1e-300))
    if worst.max() > _MOST_NORM:
        raise GroupError(
            f"group {name!r}: the matrix of {elements[int(worst.argmax())]} is not invertible, or "
            "so far from orthogonal that rounding would spoil the result: change coordinates"
        )
