"""Is it a group? The elements that generators make, and whether those listed are closed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from equibasis.errors import GroupError, TooManyElementsError
from equibasis.symmetry.representations import (
    TOLERANCE,
    MatrixRepresentation,
    PermutationRepresentation,
    Representation,
    signs_of,
)

# Generators that make more elements than this are not listed: the group is too large, or infinite.
MOST_ELEMENTS = 20_000
_MOST_BYTES = 2**30

# Two elements of a finite group are never so near; powers of an inexact turn are.
_TOO_NEAR = 1e-7

# Width of the buckets that signatures are sorted into: far above rounding.
_BUCKET = 1e-6


class _Signatures:
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


class _Lookup:
    """Which elements have been met, by their signatures, rounding allowed for."""

    def __init__(self) -> None:
        self.buckets: dict[int, list[np.ndarray]] = {}

    def add_if_new(self, signatures: _Signatures, element: Sequence[Representation]) -> bool:
        """Whether this element was not known before; it is now."""
        sent = [rho.apply(0, v) for rho, v in zip(element, signatures.probes, strict=True)]
        flat = signatures.flat(sent)
        place = float(flat @ signatures.shadow[:, 0]) / _BUCKET
        if not math.isfinite(place):
            raise GroupError("the generators make ever larger matrices: the group is not finite")
        bucket = math.floor(place)
        near = [other for step in (-1, 0, 1) for other in self.buckets.get(bucket + step, ())]
        if near:
            distance = np.abs(flat - np.stack(near)).max(axis=1).min() / max(1.0, abs(flat).max())
            if distance < TOLERANCE:
                return False
            if distance < _TOO_NEAR:
                raise GroupError(
                    f"the generators make elements that differ by only {distance:.1g}: the group "
                    "is not finite, or its matrices are not exact enough"
                )
        self.buckets.setdefault(bucket, []).append(flat)
        return True


def _identity(rho: Representation) -> Representation:
    """The identity, as a representation that lists one element."""
    if isinstance(rho, PermutationRepresentation):
        return PermutationRepresentation(np.arange(rho.dimension)[None])
    return MatrixRepresentation(np.eye(rho.dimension)[None])


def _times(rho: Representation, g: int, element: Representation) -> Representation:
    """ρ(g) times the one element of another, likewise."""
    if isinstance(rho, PermutationRepresentation) and isinstance(
        element, PermutationRepresentation
    ):
        index = element.index[:, rho.index[g]]
        if rho.signs is None and element.signs is None:
            return PermutationRepresentation(index)
        signs = signs_of(rho)[g] * signs_of(element)[:, rho.index[g]]
        return PermutationRepresentation(index, signs)
    return MatrixRepresentation(rho.apply(g, element.dense()[0])[None])


def _stacked(elements: Sequence[Representation]) -> Representation:
    """One representation that lists what several list."""
    if all(isinstance(rho, PermutationRepresentation) for rho in elements):
        permutations = [rho for rho in elements if isinstance(rho, PermutationRepresentation)]
        index = np.concatenate([rho.index for rho in permutations])
        if all(rho.signs is None for rho in permutations):
            return PermutationRepresentation(index)
        return PermutationRepresentation(index, np.concatenate([*map(signs_of, permutations)]))
    return MatrixRepresentation(np.concatenate([rho.dense() for rho in elements]))


def _bytes_an_element(rho: Representation) -> int:
    n = rho.dimension
    return 17 * n if isinstance(rho, PermutationRepresentation) else 8 * n**2


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
    from scipy.spatial import cKDTree  # which takes long to import

    signatures = _Signatures(representations)
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
    tree = cKDTree(points[distinct])
    counts = np.bincount(first, minlength=order)
    if (uneven := np.flatnonzero((counts > 0) & (counts != counts[0]))).size:
        most = int(counts.argmax())
        alike = [elements[int(g)] for g in np.flatnonzero(first == most)[:2]]
        raise GroupError(
            f"group {name!r}: {' and '.join(alike)} act alike {counts[most]} times over, but "
            f"{elements[int(uneven[0])]} does not: list each element once"
        )
    reached = np.zeros(order, dtype=bool)
    reached[0] = True
    moves: list[np.ndarray] = []
    generating: list[int] = []
    for g in range(order):
        if reached[first[g]]:
            continue
        products = np.stack([signatures.flat(signatures.apply(g, sent[h])) for h in range(order)])
        nearest = distinct[tree.query(products @ signatures.shadow)[1]]
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
        reached = _closure(reached, moves)
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


def _closure(reached: np.ndarray, moves: list[np.ndarray]) -> np.ndarray:
    reached = reached.copy()
    count = 0
    while count < reached.sum():
        count = reached.sum()
        for move in moves:
            reached[move[reached]] = True
    return reached


def list_elements(
    name: str, where: str, generators: Sequence[str], *representations: Representation
) -> tuple[tuple[str, ...], tuple[Representation, ...]]:
    """Every element that generators make, by multiplying: their words, the identity ``e`` first.

    Returns
    -------
    tuple
        Names of the elements, as products of names of generators, and each representation with
        all of them listed.

    Raises
    ------
    GroupError
        If they generate more than `MOST_ELEMENTS`, or no finite group.
    """
    signatures = _Signatures(representations)
    bytes_each = sum(_bytes_an_element(rho) for rho in representations)
    most = min(MOST_ELEMENTS, int(_MOST_BYTES / bytes_each) + 1)
    found = [tuple(_identity(rho) for rho in representations)]
    words = ["e"]
    known = _Lookup()
    known.add_if_new(signatures, found[0])
    for position, element in enumerate(found):  # grows while it is walked: breadth first
        for g, generator in enumerate(generators):
            product = tuple(
                _times(rho, g, part) for rho, part in zip(representations, element, strict=True)
            )
            if not known.add_if_new(signatures, product):
                continue
            if len(found) >= most:
                raise TooManyElementsError(
                    f"the generators of {name!r} make more than {most:,} elements on {where}, or "
                    "infinitely many: for permutations, use --solver orbits; of matrices, check "
                    "the angles"
                )
            found.append(product)
            words.append(generator if position == 0 else f"{generator} {words[position]}")
    return tuple(words), tuple(map(_stacked, zip(*found, strict=True)))


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
    from scipy.spatial import cKDTree  # which takes long to import

    signatures = _Signatures([rho])
    sent = [listed.apply(h, signatures.probes[0]) for h in range(listed.order)]
    points = np.stack([each.ravel() for each in sent])
    tree = cKDTree(points @ signatures.shadow)
    images = np.empty((rho.order, listed.order), dtype=np.int64)
    for g in range(rho.order):
        moved = np.stack([rho.apply(g, each).ravel() for each in sent])
        images[g] = tree.query(moved @ signatures.shadow)[1]
        if np.abs(moved - points[images[g]]).max() > _TOO_NEAR * np.abs(moved).max():
            raise GroupError("the elements listed are not a group: a product is none of them")
    return images


def has_finite_order(matrices: Sequence[sparse.csr_array]) -> bool:
    """Whether one of the first `MOST_ELEMENTS` powers of some matrices, jointly, is the identity.

    All eigenvalues of that power are 1, and it is diagonalizable.
    """
    dense = [matrix.toarray() for matrix in matrices]
    values = np.concatenate([np.linalg.eigvals(matrix) for matrix in dense])
    if np.abs(np.abs(values) - 1).max() > _TOO_NEAR:
        return False
    exponents = np.arange(1, MOST_ELEMENTS + 1)
    turns = np.angle(np.unique(np.round(values, 9)))[:, None] * exponents / (2 * np.pi)
    (found,) = np.nonzero((np.abs(turns - np.rint(turns)) < TOLERANCE * exponents).all(axis=0))
    if not len(found):
        return False
    powers = [np.linalg.matrix_power(matrix, int(exponents[found[0]])) for matrix in dense]
    return all(np.abs(power - np.eye(len(power))).max() < _TOO_NEAR for power in powers)


def conjugacy_classes(
    generators: Sequence[Representation], listed: Sequence[Representation]
) -> np.ndarray:
    """The class of each element of a finite group, int64 (|G|,), classes as they first occur.

    Parameters
    ----------
    generators
        Elements that generate the group, in some representations.
    listed
        All elements, in the same representations.
    """
    from scipy.spatial import cKDTree  # which takes long to import

    signatures = _Signatures(listed)
    order, probes = listed[0].order, signatures.probes
    points = np.stack([signatures.flat(signatures.apply(f, probes)) for f in range(order)])
    tree = cKDTree(points @ signatures.shadow)
    label = np.arange(order)
    edges = [(label, label)]
    for g in range(generators[0].order):
        back = [rho.inverse.apply(g, v) for rho, v in zip(generators, probes, strict=True)]
        conjugates = np.stack(
            [
                signatures.flat(
                    [
                        rho.apply(g, v)
                        for rho, v in zip(generators, signatures.apply(f, back), strict=True)
                    ]
                )
                for f in range(order)
            ]
        )
        edges.append((label, tree.query(conjugates @ signatures.shadow)[1]))
    rows, columns = (np.concatenate(each) for each in zip(*edges, strict=True))
    graph = sparse.csr_array((np.ones(len(rows), np.int8), (rows, columns)), shape=(order, order))
    classes: np.ndarray = csgraph.connected_components(graph, directed=False)[1]
    return classes
