"""How a space of maps falls into blocks: its orbits by kind, their irreps, the transforms."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Sequence

import numpy as np
from scipy import linalg

from equibasis.errors import EquibasisError
from equibasis.symmetry.coordinates import Block, Coordinates, Orbits
from equibasis.symmetry.coordinates.irreps import Decomposition, decompose
from equibasis.symmetry.coordinates.parts import Part, matrix_parts, permutation_parts
from equibasis.symmetry.hom_space import HomSpace, with_all_elements
from equibasis.symmetry.pair_orbits import orbit_leaders, pair_orbits
from equibasis.symmetry.representations import (
    PermutationRepresentation,
    Representation,
    invariant_coordinates,
)

# The longest orbit that gets a transform of its own, a dense matrix; longer ones need a Fourier
# transform.
LONGEST_ORBIT = 128

# From this length on, a Fourier transform is faster than a matrix.
_SHORTEST_FOURIER = 32

# More kinds of orbits than this are not looked at pair by pair, nor blocks of more numbers.
_MOST_KINDS, _MOST_ENTRIES = 16, 2**24


def symmetry_coordinates(space: HomSpace) -> Coordinates | None:
    """Coordinates in which all of Hom_G(X, Y) is block diagonal; ``None`` where there are none.

    So it is where an orbit is too long, where there are very many kinds of orbits, or where
    rounding hides how a representation falls apart. For (signed) permutations the same bits on
    every machine.
    """
    if space not in _FOUND:
        try:
            _FOUND[space] = _symmetry_coordinates(space)
        except (EquibasisError, np.linalg.LinAlgError):
            _FOUND[space] = None
    return _FOUND[space]


# Spaces are looked at more than once: by the estimate of costs, by layers, by files.
_FOUND: weakref.WeakKeyDictionary[HomSpace, Coordinates | None] = weakref.WeakKeyDictionary()


def _symmetry_coordinates(space: HomSpace) -> Coordinates | None:
    permuted = isinstance(space.input, PermutationRepresentation) and isinstance(
        space.output, PermutationRepresentation
    )
    if not permuted:
        space = with_all_elements(space)
    same = space.input is space.output
    if _too_long(space, permuted=permuted):
        return None
    inputs = _parts(space, input_=True, permuted=permuted)
    outputs = inputs if same else _parts(space, input_=False, permuted=permuted)
    fourier = _fourier(inputs, outputs)
    if fourier is not None:
        return fourier
    if max(len(part.places) for part in inputs + outputs) > LONGEST_ORBIT:
        return None
    kinds, numbers = _distinct([part.representation for part in inputs + outputs])
    if len(kinds) > _MOST_KINDS:
        return None
    found = decompose(kinds)
    if not permuted and _largest_block(found, kinds) > _MOST_ENTRIES:
        return None
    of_inputs, of_outputs = numbers[: len(inputs)], numbers[len(inputs) :]
    memo: dict[tuple[int, int], Block] = {}
    blocks = []
    for target in of_outputs:
        row = []
        for source in of_inputs:
            if (target, source) not in memo:
                memo[target, source] = _block(kinds, found, source, target)
            row.append(memo[target, source])
        blocks.append(tuple(row))
    irreps = [(irrep.multiplicity, irrep.division) for irrep in found.irreps]
    return Coordinates(
        np.array(irreps, dtype=np.int64).reshape(-1, 2),
        _orbits(inputs, of_inputs, found.copies, found.forward),
        _orbits(outputs, of_outputs, found.copies, found.backward),
        tuple(blocks),
    )


def _too_long(space: HomSpace, *, permuted: bool) -> bool:
    """Whether an orbit is too long for a matrix, and the group no torus of shifts, at a glance."""
    if not permuted:
        return any(
            len(coordinates) > LONGEST_ORBIT
            for rho in (space.input, space.output)
            for coordinates in invariant_coordinates(rho)
        )
    for rho in (space.input, space.output):
        assert isinstance(rho, PermutationRepresentation)
        moves = rho.index[list(space.generating)]
        if not len(moves):
            continue
        longest = int(np.bincount(orbit_leaders(list(moves))).max())
        if longest > LONGEST_ORBIT and any(
            not np.array_equal(one[other], other[one])
            for one, other in itertools.combinations(moves, 2)
        ):
            return True
    return False


def _largest_block(found: Decomposition, kinds: Sequence[Representation]) -> int:
    """Numbers that the largest block is found with."""
    division = np.array([irrep.division for irrep in found.irreps])
    ranks = (found.copies * division) @ found.copies.T
    sizes = np.array([kind.dimension for kind in kinds])
    return int((ranks * np.outer(sizes, sizes)).max(initial=0))


def _parts(space: HomSpace, *, input_: bool, permuted: bool) -> list[Part]:
    rho = space.input if input_ else space.output
    if permuted:
        assert isinstance(rho, PermutationRepresentation)
        return permutation_parts(rho, space.generating)
    return matrix_parts(rho)


def _distinct(
    representations: Sequence[Representation],
) -> tuple[list[Representation], list[int]]:
    """The representations that differ, and which of them each is."""
    kinds: list[Representation] = []
    keys: dict[bytes, int] = {}
    numbers = []
    for rho in representations:
        if isinstance(rho, PermutationRepresentation):
            signs = b"" if rho.signs is None else rho.signs.tobytes()
            key = repr(rho.index.shape).encode() + rho.index.tobytes() + signs
        else:
            key = repr(rho.matrices.shape).encode() + rho.matrices.tobytes()
        if key not in keys:
            keys[key] = len(kinds)
            kinds.append(rho)
        numbers.append(keys[key])
    return kinds, numbers


def _orbits(
    parts: Sequence[Part],
    kinds: Sequence[int],
    copies: np.ndarray,
    transforms: Sequence[np.ndarray],
) -> tuple[Orbits, ...]:
    return tuple(
        Orbits(part.places, part.signs, part.repeats, copies[kind], transforms[kind])
        for part, kind in zip(parts, kinds, strict=True)
    )


def _block(
    kinds: Sequence[Representation], found: Decomposition, source: int, target: int
) -> Block:
    here, there = kinds[source], kinds[target]
    if isinstance(here, PermutationRepresentation) and isinstance(there, PermutationRepresentation):
        return _block_of_orbits(here, there, found, source, target)
    shared = [
        (number, irrep)
        for number, irrep in enumerate(found.irreps)
        if found.copies[source, number] and found.copies[target, number]
    ]
    entries = sum(
        len(irrep.units) ** 2 * int(found.copies[source, n] * found.copies[target, n])
        for n, irrep in shared
    )
    columns, realized = [], []
    read = 0
    for number, irrep in shared:
        division = irrep.division
        rows, width = (int(found.copies[kind, number]) * division for kind in (target, source))
        copies = itertools.product(range(0, rows, division), range(0, width, division))
        for (row, column), unit in itertools.product(copies, irrep.units):
            small = np.zeros((rows, width))
            small[row : row + division, column : column + division] = unit
            whole = sum(
                found.backward[target][:, found.rows(target, number, i)]
                @ small
                @ found.forward[source][found.rows(source, number, i)]
                for i in range(irrep.multiplicity)
            )
            columns.append(np.ravel(whole))
            realized.append(np.zeros(entries))
            realized[-1][read : read + rows * width] = small.ravel()
        read += rows * width
    if not columns:
        return Block(np.zeros((0, 2), dtype=np.int64), np.zeros((0, 0)))
    maps = np.stack(columns, axis=1)
    samples = np.sort(linalg.qr(maps.T, mode="r", pivoting=True)[1][: maps.shape[1]])
    transform = np.linalg.solve(maps[samples].T, np.stack(realized)).T
    return Block(np.stack(np.divmod(samples, here.dimension), axis=1), transform)


def _block_of_orbits(
    here: PermutationRepresentation,
    there: PermutationRepresentation,
    found: Decomposition,
    source: int,
    target: int,
) -> Block:
    """The first entry of each orbit of pairs determines the others."""
    orbits = pair_orbits(here, there)
    labels = orbits.labels.reshape(there.dimension, here.dimension)
    signs = np.ones(labels.shape) if orbits.signs is None else orbits.signs.reshape(labels.shape)
    count = len(orbits.sizes)
    flat = orbits.labels[orbits.labels >= 0]
    samples = np.flatnonzero(orbits.labels >= 0)[np.unique(flat, return_index=True)[1]]
    entries = []
    for number in range(len(found.irreps)):
        out = found.forward[target][found.rows(target, number)]
        into = found.backward[source][:, found.rows(source, number)]
        if not (len(out) and into.shape[1]):
            continue
        matrix = np.zeros((count + 1, len(out), into.shape[1]))
        for point, (row, sign) in enumerate(zip(labels, signs, strict=True)):
            terms = out[None, :, point, None] * (sign[:, None] * into)[:, None, :]
            np.add.at(matrix, row, terms)  # -1, for pairs without an entry, is the last
        entries.append(matrix[:count].reshape(count, -1).T)
    transform = np.concatenate(entries) if entries else np.zeros((0, count))
    return Block(
        np.stack(np.divmod(samples, here.dimension), axis=1).astype(np.int64),
        np.ascontiguousarray(transform),
    )


# --- shifts -------------------------------------------------------------------------------------


def _fourier(inputs: list[Part], outputs: list[Part]) -> Coordinates | None:
    """Coordinates by Fourier transforms, where every orbit of X and of Y is one torus of shifts."""
    if len(inputs) != 1 or len(outputs) != 1:
        return None
    (source,), (target,) = inputs, outputs
    rho, other = source.representation, target.representation
    if not isinstance(rho, PermutationRepresentation) or rho.signs is not None:
        return None
    if not isinstance(other, PermutationRepresentation) or other.signs is not None:
        return None
    if rho.dimension < _SHORTEST_FOURIER or not np.array_equal(rho.index, other.index):
        return None
    torus = _torus(rho.index)
    if torus is None:
        return None
    cycles, points = torus
    empty, none = np.zeros((0, 0)), np.zeros(0, dtype=np.int64)
    sides = [
        Orbits(
            np.ascontiguousarray(part.places[points]),
            None if part.signs is None else np.ascontiguousarray(part.signs[points]),
            part.repeats,
            none,
            empty,
        )
        for part in (source, target)
    ]
    samples = np.stack([np.arange(len(points)), np.zeros(len(points), dtype=np.int64)], axis=1)
    return Coordinates(
        np.zeros((0, 2), dtype=np.int64),
        (sides[0],),
        (sides[1],),
        ((Block(samples, empty),),),
        cycles,
    )


def _torus(index: np.ndarray) -> tuple[tuple[int, ...], np.ndarray] | None:
    """Orders of commuting generators that together reach each of t points in just one way.

    Returns
    -------
    cycles, points
        The orders, and the points (t,), row-major in the exponents of the generators.
    """
    for one, other in itertools.combinations(index, 2):
        if not np.array_equal(one[other], other[one]):
            return None
    cycles: list[int] = []
    points = np.zeros(1, dtype=np.int64)
    for move in index:
        # W[p, q] depends on p - q: index sends a point to where its value comes from.
        layers = [points]
        inside = set(points.tolist())
        while not set((image := move[layers[-1]]).tolist()) & inside:
            layers.append(image)
        if not np.array_equal(image, points):
            return None  # the generators are not independent
        if len(layers) > 1:
            cycles.append(len(layers))
            points = np.stack(layers, axis=1).ravel()
    return (tuple(cycles), points) if len(points) == index.shape[1] else None
