"""Parts of R^n: the smallest sets of coordinates that ρ keeps, sorted by how it acts on them.

A basis of one part of each kind is a basis of all, so what is costly is done once a kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from equibasis.symmetry.pair_orbits import orbit_leaders
from equibasis.symmetry.representations import (
    TOLERANCE,
    MatrixRepresentation,
    PermutationRepresentation,
    Representation,
    invariant_coordinates,
    restriction,
)

# Short orbits are lifted while that makes the coordinates of a kind no more than so many times
# as many.
_MOST_LIFTED = 1.3

# Longer orbits are not numbered from every root to find those that are alike.
_LONGEST_COMPARED = 256


@dataclass(frozen=True, eq=False)
class Part:
    """All sets of t coordinates on which ρ acts alike, c of them.

    Attributes
    ----------
    places
        int64 (t, c): coordinate a of set b is coordinate ``places[a, b]`` of R^n.
    signs
        ±1, int8 (t, c): what that coordinate is multiplied by; ``None`` where all are +1.
    representation
        ρ on one set, then: for permutations, of ``generators`` alone; else of all elements.
    repeats
        How often each coordinate of a set occurs in its column, int64 (c,); 1 for sets of t.
    """

    places: np.ndarray
    signs: np.ndarray | None
    representation: Representation
    repeats: np.ndarray


def permutation_parts(rho: PermutationRepresentation, generators: Sequence[int]) -> list[Part]:
    """The orbits of coordinates, numbered alike wherever the generators act alike.

    An orbit is numbered breadth first from a root: the images of its first point under each
    generator, the images of these, and so on, each with the sign that it is reached with. Orbits
    are of one kind where some choice of roots makes the numbered generators equal. A few shorter
    orbits beside many longer ones, whose images they are, are lifted: each point is listed once
    for every point that is mapped to it.
    """
    index = rho.index[list(generators)] if generators else np.arange(rho.dimension)[None]
    signs = np.ones(index.shape, dtype=np.int8)
    if rho.signs is not None and generators:
        signs = rho.signs[list(generators)]
    leaders = orbit_leaders(list(index))
    order = np.argsort(leaders, kind="stable")
    lengths = np.bincount(leaders)
    ends = np.cumsum(lengths[lengths > 0])
    starts = ends - lengths[lengths > 0]
    local = np.empty(rho.dimension, dtype=np.int64)
    local[order] = np.arange(rho.dimension) - np.repeat(starts, ends - starts)

    kinds: dict[bytes, list[tuple[np.ndarray, np.ndarray]]] = {}
    tables: dict[bytes, tuple[np.ndarray, np.ndarray]] = {}
    for length in np.unique(ends - starts):
        members = order[starts[ends - starts == length, None] + np.arange(length)]
        # Generators on each orbit, (orbits, generators, length), in the orbit's own numbers.
        moves = local[index[:, members]].transpose(1, 0, 2)
        flips = signs[:, members].transpose(1, 0, 2)
        number, sign = _breadth_first(moves, flips, np.zeros(len(members), dtype=np.int64))
        places = np.take_along_axis(members, number, axis=1)
        moves, flips = _renumbered(moves, flips, number, sign)
        alike = np.concatenate(
            [moves.reshape(len(members), -1), flips.reshape(len(members), -1)], 1
        )
        distinct, first, which = np.unique(alike, axis=0, return_index=True, return_inverse=True)
        for kind in range(len(distinct)):
            rows = which.reshape(-1) == kind
            these, those = moves[first[kind]], flips[first[kind]]
            of_places, of_signs = places[rows], sign[rows]
            if 1 < len(distinct) and length <= _LONGEST_COMPARED:  # else nothing to be alike with
                renumber, resign = _canonical(these, those)
                these, those = (
                    table[0]
                    for table in _renumbered(these[None], those[None], renumber[None], resign[None])
                )
                of_places, of_signs = of_places[:, renumber], of_signs[:, renumber] * resign
            key = these.tobytes() + those.tobytes()
            tables[key] = these, those
            kinds.setdefault(key, []).append((of_places, of_signs))
    parts = _lifted([_part(*tables[key], sets) for key, sets in kinds.items()])
    return sorted(parts, key=lambda part: int(part.places[0, 0]))


def _lifted(parts: list[Part]) -> list[Part]:
    """The same with small kinds made part of larger ones, where that adds few coordinates."""
    kept: list[Part] = []
    for part in sorted(parts, key=lambda part: -part.places.size):
        for number, larger in enumerate(kept):
            t, count = len(larger.places), part.places.shape[1]
            before = larger.places.size + part.places.size
            if t * (larger.places.shape[1] + count) > _MOST_LIFTED * before:
                continue
            if t * len(part.places) > _LONGEST_COMPARED**2:
                continue
            onto = _onto(larger.representation, part.representation)
            if onto is not None:
                kept[number] = _with_lifted(larger, part, *onto)
                break
        else:
            kept.append(part)
    return kept


def _onto(larger: Representation, smaller: Representation) -> tuple[np.ndarray, np.ndarray] | None:
    """A map of orbits that commutes with the generators: images and signs (t,), if there is one."""
    assert isinstance(larger, PermutationRepresentation)
    assert isinstance(smaller, PermutationRepresentation)
    t = larger.dimension
    signs = [
        np.ones(rho.index.shape, dtype=np.int8) if rho.signs is None else rho.signs
        for rho in (larger, smaller)
    ]
    for root in range(smaller.dimension):
        image = np.full(t, -1)
        sign = np.ones(t, dtype=np.int8)
        image[0] = root
        reached = [0]
        for point in reached:  # grows while it is walked
            for g in range(larger.order):
                there = larger.index[g, point]
                if image[there] < 0:
                    image[there] = smaller.index[g, image[point]]
                    sign[there] = sign[point] * signs[0][g, point] * signs[1][g, image[point]]
                    reached.append(int(there))
        alike = (image[larger.index] == smaller.index[:, image]).all() and (
            sign * signs[1][:, image] == signs[0] * sign[larger.index]
        ).all()
        if alike:
            return image, sign
    return None


def _with_lifted(larger: Part, part: Part, image: np.ndarray, sign: np.ndarray) -> Part:
    signs = [
        np.ones(each.places.shape, dtype=np.int8) if each.signs is None else each.signs
        for each in (larger, part)
    ]
    joined = np.concatenate([signs[0], signs[1][image] * sign[:, None]], axis=1)
    repeats = len(larger.places) // len(part.places)
    return Part(
        np.concatenate([larger.places, part.places[image]], axis=1),
        None if (joined > 0).all() else joined,
        larger.representation,
        np.concatenate([larger.repeats, np.full(part.places.shape[1], repeats)]),
    )


def _part(moves: np.ndarray, flips: np.ndarray, sets: list[tuple[np.ndarray, np.ndarray]]) -> Part:
    places = np.concatenate([places for places, _ in sets])
    signs = np.concatenate([signs for _, signs in sets])
    order = np.argsort(places[:, 0], kind="stable")
    rho = PermutationRepresentation(moves, None if (flips > 0).all() else flips)
    return Part(
        np.ascontiguousarray(places[order].T),
        None if (signs > 0).all() else np.ascontiguousarray(signs[order].T),
        rho,
        np.ones(len(places), dtype=np.int64),
    )


def _breadth_first(
    moves: np.ndarray, flips: np.ndarray, roots: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Points of c orbits in the order in which a search from a root reaches them, with signs.

    Parameters
    ----------
    moves, flips
        Images and signs, (c, generators, t).
    roots
        The first point of each, (c,).

    Returns
    -------
    number, sign
        Both (c, t): the point that is k-th, and the sign it is reached with.
    """
    count, generators, length = moves.shape
    every = np.arange(count)
    number = np.zeros((count, length), dtype=np.int64)
    sign = np.ones((count, length), dtype=np.int8)
    number[:, 0] = roots
    reached = np.zeros((count, length), dtype=bool)
    reached[every, roots] = True
    found = np.ones(count, dtype=np.int64)
    for place in range(length):
        here = number[:, place]
        for g in range(generators):
            image = moves[every, g, here]
            new = ~reached[every, image]
            if not new.any():
                continue
            who, where = every[new], found[new]
            number[who, where] = image[new]
            sign[who, where] = (sign[every, place] * flips[every, g, here])[new]
            reached[who, image[new]] = True
            found[new] += 1
    return number, sign


def _renumbered(
    moves: np.ndarray, flips: np.ndarray, number: np.ndarray, sign: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The generators in new numbers and signs: x'_k = sign_k x_{number k}."""
    places = np.argsort(number, axis=1)
    moved = np.take_along_axis(moves, number[:, None], axis=2)
    new = np.take_along_axis(np.broadcast_to(places[:, None], moves.shape), moved, axis=2)
    there = np.take_along_axis(np.broadcast_to(sign[:, None], moves.shape), new, axis=2)
    turned = np.take_along_axis(flips, number[:, None], axis=2) * sign[:, None] * there
    return new, turned.astype(np.int8)


def _canonical(moves: np.ndarray, flips: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The numbering from the root that makes the numbered generators smallest, (t,) and signs."""
    length = moves.shape[1]
    shape = (length, *moves.shape)
    every = np.broadcast_to(moves, shape), np.broadcast_to(flips, shape)
    number, sign = _breadth_first(*every, np.arange(length))
    new, turned = _renumbered(*every, number, sign)
    keys = np.concatenate([new.reshape(length, -1), turned.reshape(length, -1)], axis=1)
    best = int(np.lexsort(keys.T[::-1])[0])
    return number[best], sign[best]


def matrix_parts(rho: Representation) -> list[Part]:
    """Parts of a representation that lists all elements; alike where the matrices are equal."""
    found: list[tuple[np.ndarray, list[np.ndarray]]] = []
    for coordinates in invariant_coordinates(rho):
        matrices = restriction(rho, coordinates).dense()
        for known, sets in found:
            if known.shape == matrices.shape and np.abs(known - matrices).max() < TOLERANCE:
                sets.append(coordinates)
                break
        else:
            found.append((matrices, [coordinates]))
    return [
        Part(
            np.stack(sets, axis=1).astype(np.int64),
            None,
            MatrixRepresentation(matrices),
            np.ones(len(sets), dtype=np.int64),
        )
        for matrices, sets in found
    ]
