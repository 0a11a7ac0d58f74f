"""A space as orbit types with multiplicities: X = ⊕ R^c ⊗ V, with few and small V.

R^n falls into orbits of coordinates (for matrices: into invariant summands), and many of them are
of one type: with some numbering of its points, every element permutes each of them in the same
way. The 196 pixels of a 14×14 image under C4 are 49 orbits of one type, 4 points each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from equibasis.errors import GroupError
from equibasis.symmetry.assembled import SumOfMatrices, are_same, direct_sum
from equibasis.symmetry.constructions import invariant_coordinates, restriction, simplified
from equibasis.symmetry.pair_orbits import orbit_leaders
from equibasis.symmetry.representations import (
    MatrixRepresentation,
    PermutationRepresentation,
    Representation,
    signs_of,
)
from equibasis.symmetry.summands import Summand

# Matrices of two summands that differ by no more are equal: rounding of their making.
_EQUAL = 1e-12

# Orbits of generators that are no longer are numbered from every point, to find those that are
# isomorphic though their lowest points do not correspond.
_LONGEST_COMPARED = 256


@dataclass(frozen=True, eq=False)
class OrbitTypes:
    """X and Y as sums of copies of small representations, which they share.

    Attributes
    ----------
    representations
        The small representations V, pairwise unequal, for the elements that ρ₁ and ρ₂ list.
    input, output
        X and Y; the types of each ascend by the lowest coordinate.
    """

    representations: tuple[Representation, ...]
    input: tuple[Summand, ...]
    output: tuple[Summand, ...]


def orbit_types(input_: Representation, output: Representation, *, enumerated: bool) -> OrbitTypes:
    """Return the orbit types of X and Y.

    The points of a type are numbered as the coordinates of its first copy ascend, in X if it
    occurs there. Isomorphic orbits are of one type wherever all elements are enumerated, where
    there is a point of each with one stabilizer; of generators alone, where they are short or
    their lowest points correspond.

    Raises
    ------
    GroupError
        If elements that are said to be all of a group do not permute coordinates as a group does.
    """
    both = input_ if input_ is output else direct_sum([input_, output])
    found, m = _summands(both, enumerated=enumerated), input_.dimension
    of_input = _of_side(found, 0, m)
    of_output = of_input if input_ is output else _of_side(found, m, m + output.dimension)
    return OrbitTypes(tuple(each.representation for each in found), of_input, of_output)


@dataclass(frozen=True, eq=False)
class _Found:
    """A type with all its copies in X ⊕ Y."""

    representation: Representation
    index: np.ndarray
    signs: np.ndarray | None


def _of_side(found: Sequence[_Found], start: int, stop: int) -> tuple[Summand, ...]:
    summands = []
    for number, each in enumerate(found):
        copies = (each.index[0] >= start) & (each.index[0] < stop)
        if copies.any():
            index = np.ascontiguousarray(each.index[:, copies]) - start
            signs = None if each.signs is None else np.ascontiguousarray(each.signs[:, copies])
            summands.append(Summand(number, index, signs))
    return tuple(sorted(summands, key=lambda summand: int(summand.index.min())))


def _summands(rho: Representation, *, enumerated: bool) -> list[_Found]:
    """Return the types of a representation."""
    permuted: list[tuple[np.ndarray, PermutationRepresentation]] = []
    found: list[tuple[MatrixRepresentation, list[np.ndarray]]] = []
    for coordinates, part in sorted(invariant_parts(rho), key=lambda each: int(each[0].min())):
        if isinstance(part, PermutationRepresentation):
            permuted.append((coordinates, part))
            continue
        for known, copies in found:
            if known.dimension == part.dimension and _equal(known, part):
                copies.append(coordinates)
                break
        else:
            found.append((part, [coordinates]))
    types = [
        _Found(part, np.stack(sorted(copies, key=np.min), axis=1), None) for part, copies in found
    ]
    if permuted:
        coordinates = np.concatenate([each for each, _ in permuted])
        whole = direct_sum([part for _, part in permuted])
        assert isinstance(whole, PermutationRepresentation)
        of_orbits = (_by_stabilizer if enumerated else _by_generators)(whole)
        types += [
            _Found(each.representation, coordinates[each.index], each.signs) for each in of_orbits
        ]
    return sorted(types, key=lambda each: int(each.index[:, 0].min()))


def invariant_parts(rho: Representation) -> list[tuple[np.ndarray, Representation]]:
    """Invariant coordinates with ρ on them; those that are permuted may be several orbits."""
    if isinstance(rho, PermutationRepresentation):
        return [(np.arange(rho.dimension), rho)]
    if isinstance(rho, SumOfMatrices):
        return [
            (copy[coordinates], _with_signs(part, signs[coordinates]))
            for summand, small in rho.parts
            for coordinates, part in invariant_parts(small)
            for copy, signs in zip(summand.index.T, signs_of(summand).T, strict=True)
        ]
    return [
        (coordinates, simplified(restriction(rho, coordinates)))
        for coordinates in invariant_coordinates(rho)
    ]


def _with_signs(rho: Representation, signs: np.ndarray) -> Representation:
    """D ρ(g) D for a diagonal matrix D of signs; ρ itself for D = 1."""
    if (signs > 0).all():
        return rho
    if isinstance(rho, PermutationRepresentation):
        return PermutationRepresentation(rho.index, signs_of(rho) * signs * signs[rho.index])
    diagonal = sparse.diags_array(signs.astype(np.float64))
    algebra = [sparse.csr_array(diagonal @ each @ diagonal) for each in rho.algebra]
    return MatrixRepresentation(rho.discrete * np.outer(signs, signs), algebra)


def _equal(a: MatrixRepresentation, b: MatrixRepresentation) -> bool:
    if are_same(a, b):
        return True
    largest = max(abs(each).max() for each in a.moves())
    return all(
        abs(one - other).max() <= _EQUAL * largest
        for one, other in zip(a.moves(), b.moves(), strict=True)
    )


def _numbered(rho: PermutationRepresentation, index: np.ndarray, signs: np.ndarray) -> _Found:
    """Return a type whose points are numbered as the coordinates of its first copy ascend.

    Parameters
    ----------
    rho
        On the whole space.
    index, signs
        (t, c), corresponding points of all copies in rows.

    Raises
    ------
    GroupError
        If ρ does not act on all copies as on the first.
    """
    copies = np.argsort(index.min(axis=0), kind="stable")
    index, signs = index[:, copies], signs[:, copies]
    order = np.argsort(index[:, 0])
    index, signs = index[order], signs[order] * signs[order, :1]
    first = index[:, 0]
    images = rho.index[:, first]
    moves = np.searchsorted(first, images).clip(max=len(first) - 1)
    flips = signs_of(rho)[:, first]
    alike = np.array_equal(rho.index[:, index], index[moves]) and (
        rho.signs is None
        or np.array_equal(rho.signs[:, index] * signs, flips[:, :, None] * signs[moves])
    )
    if not alike:
        raise GroupError("the elements listed do not permute coordinates as a group does")
    return _Found(PermutationRepresentation(moves, flips), index, signs)


# --- all elements -------------------------------------------------------------------------------


def _by_stabilizer(rho: PermutationRepresentation) -> list[_Found]:
    """Types of orbits where all elements are enumerated.

    Orbits are isomorphic exactly where a point of each has the same stabilizer, with the same
    signs on it. The first orbit of a type is numbered from its lowest point, each other one from
    its lowest point of the same stabilizer; their other points are images of these under the same
    elements. So it does not matter in which order elements are listed.
    """
    index, points = rho.index, np.arange(rho.dimension)
    signs = signs_of(rho)
    stabilizer = _class_numbers(np.where(index == points, signs, 0))
    of_images = stabilizer[index]
    # Orbits are of one type where the smallest numbers of stabilizers in them are equal.
    _, lowest, type_ = np.unique(of_images.min(axis=0), return_index=True, return_inverse=True)
    wanted = stabilizer[lowest][type_]
    root = np.where(of_images == wanted, index, rho.dimension).min(axis=0)
    (roots,) = np.nonzero(root == points)
    found = []
    for number in range(len(lowest)):
        mine = roots[type_[roots] == number]
        if not len(mine):
            raise GroupError("the elements listed do not permute coordinates as a group does")
        cosets = np.sort(np.unique(index[:, mine[0]], return_index=True)[1])
        copies = np.ix_(cosets, mine)
        found.append(_numbered(rho, index[copies], signs[copies]))
    if sum(each.index.size for each in found) != rho.dimension:
        raise GroupError("the elements listed do not permute coordinates as a group does")
    return found


def _class_numbers(columns: np.ndarray) -> np.ndarray:
    """Equal numbers for equal columns of 0, 1 and -1: int64 (n,)."""
    packed = np.packbits(columns > 0, axis=0)
    if (columns < 0).any():
        packed = np.concatenate([packed, np.packbits(columns < 0, axis=0)])
    rows = np.ascontiguousarray(packed.T)
    keys = rows[:, 0] if rows.shape[1] == 1 else rows.view(f"S{rows.shape[1]}")[:, 0]
    numbers: np.ndarray = np.unique(keys, return_inverse=True)[1]
    return numbers


# --- generators ---------------------------------------------------------------------------------


def _by_generators(rho: PermutationRepresentation) -> list[_Found]:
    """Types of orbits where only generators are listed: numbered breadth first, then compared.

    The first orbit of a type is numbered from its lowest point, each other one from the lowest of
    its points from which the generators move the numbered points in the same way.
    """
    index, signs = rho.index, signs_of(rho)
    leader = orbit_leaders(list(index))
    roots = np.unique(leader)
    order, sign = _breadth_first(index, signs, roots)
    order = order[np.argsort(leader[order], kind="stable")]
    lengths = np.bincount(leader)[roots]
    starts = np.cumsum(lengths) - lengths
    place = np.empty(rho.dimension, dtype=np.int64)
    place[order] = np.arange(rho.dimension) - np.repeat(starts, lengths)
    types: list[list[np.ndarray]] = []
    for length in np.unique(lengths):
        orbits = order[starts[lengths == length, None] + np.arange(length)]
        tables = _tables(index, signs, place, sign, orbits)
        distinct, first, which = np.unique(tables, axis=0, return_index=True, return_inverse=True)
        known: list[tuple[np.ndarray, list[np.ndarray]]] = []
        for number in np.argsort(first):
            alike = orbits[which.reshape(-1) == number]
            points = alike[0]
            every = distinct[:0]
            if known and length <= _LONGEST_COMPARED:
                every = _tables_from_every_root(place[index[:, points]], signs[:, points])
            for wanted, found in known:
                (numbers,) = np.nonzero((every == wanted).all(axis=1))
                if len(numbers):
                    again, turned = _breadth_first(index, signs, alike[:, numbers].min(axis=1))
                    again = again[np.argsort(leader[again], kind="stable")]
                    sign[again] = turned[again]
                    found.append(again.reshape(alike.shape))
                    break
            else:
                known.append((distinct[number], [alike]))
        types += [found for _, found in known]
    return [
        _numbered(rho, np.concatenate(orbits).T, sign[np.concatenate(orbits).T]) for orbits in types
    ]


def _tables(
    index: np.ndarray, signs: np.ndarray, place: np.ndarray, sign: np.ndarray, orbits: np.ndarray
) -> np.ndarray:
    """How generators act on orbits (c, t) in their own numbers and signs, a row for each orbit."""
    images = index[:, orbits]
    turned = signs[:, orbits] * sign[orbits] * sign[images]
    both = np.stack([place[images], turned])
    return np.ascontiguousarray(both.transpose(2, 0, 1, 3)).reshape(len(orbits), -1)


def _breadth_first(
    index: np.ndarray, signs: np.ndarray, roots: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """All points that generators reach from some roots, level by level.

    Returns
    -------
    order, sign
        Points in the order in which they are reached, those of each level by the root that they
        come from; and for every point of the space the sign that it is reached with, int8.
    """
    reached = np.zeros(index.shape[1], dtype=bool)
    reached[roots] = True
    sign = np.ones(index.shape[1], dtype=np.int8)
    levels = [roots]
    while len(levels[-1]):
        here = levels[-1]
        images = index[:, here].T.ravel()
        turned = (signs[:, here] * sign[here]).T.ravel()
        new = np.flatnonzero(~reached[images])
        first = new[np.sort(np.unique(images[new], return_index=True)[1])]
        sign[images[first]] = turned[first]
        reached[images[first]] = True
        levels.append(images[first])
    return np.concatenate(levels), sign


def _tables_from_every_root(moves: np.ndarray, flips: np.ndarray) -> np.ndarray:
    """How generators (L, t) act on an orbit numbered from each of its points: a row for each."""
    generators, length = moves.shape
    starts = np.arange(length) * length
    index = (moves[:, None] + starts[:, None]).reshape(generators, -1)
    signs = np.broadcast_to(flips[:, None], (generators, length, length)).reshape(generators, -1)
    order, sign = _breadth_first(index, signs, starts + np.arange(length))
    orbits = order[np.argsort(order // length, kind="stable")].reshape(length, length)
    place = np.empty(length * length, dtype=np.int64)
    place[orbits] = np.arange(length)
    return _tables(index, signs, place, sign, orbits)
