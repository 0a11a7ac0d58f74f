"""Coordinates <-> plain arrays by name, as a file holds them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import numpy as np

from equibasis.errors import EquibasisError
from equibasis.symmetry.coordinates import Block, Coordinates, Orbits


def as_arrays(coordinates: Coordinates) -> dict[str, np.ndarray]:
    """The arrays of docs/file-format.md: int32, int8 and float64, kinds one after the other."""
    arrays = {"irreps": coordinates.irreps.astype(np.int32)}
    if coordinates.cycles:
        arrays = {"cycles": np.array(coordinates.cycles, dtype=np.int32)}
    for side, orbits in (("input", coordinates.input), ("output", coordinates.output)):
        shapes = [part.places.shape for part in orbits]
        arrays[f"{side}/kinds"] = np.array(shapes, dtype=np.int32)
        arrays[f"{side}/places"] = _joined([part.places for part in orbits], np.int32)
        if any(part.signs is not None for part in orbits):
            arrays[f"{side}/signs"] = _joined([_signs(part) for part in orbits], np.int8)
        arrays[f"{side}/repeats"] = _joined([part.repeats for part in orbits], np.int32)
        if not coordinates.cycles:
            arrays[f"{side}/copies"] = np.stack([part.copies for part in orbits]).astype(np.int32)
            arrays[f"{side}/transforms"] = _joined([p.transform for p in orbits], np.float64)
    if not coordinates.cycles:
        blocks = [block for row in coordinates.blocks for block in row]
        arrays["blocks/ranks"] = np.array([len(b.samples) for b in blocks], dtype=np.int32)
        arrays["blocks/samples"] = np.concatenate([b.samples for b in blocks]).astype(np.int32)
        arrays["blocks/transforms"] = _joined([b.transform for b in blocks], np.float64)
    return arrays


def _joined(parts: list[np.ndarray], dtype: type) -> np.ndarray:
    return np.concatenate([part.ravel() for part in parts]).astype(dtype)


def _signs(orbits: Orbits) -> np.ndarray:
    return np.ones(orbits.places.shape) if orbits.signs is None else orbits.signs


def from_arrays(arrays: Mapping[str, np.ndarray], m: int, k: int) -> Coordinates:
    """The coordinates of X = R^m and Y = R^k that arrays hold, their sizes and indices checked.

    Raises
    ------
    EquibasisError
        Naming the array that does not fit the others.
    """
    if "cycles" in arrays:
        return _fourier(arrays, m, k)
    irreps = _get(arrays, "irreps", 2).astype(np.int64)
    if (
        irreps.shape[1] != 2
        or not len(irreps)
        or (irreps < 1).any()
        or not np.isin(irreps[:, 1], (1, 2, 4)).all()
    ):
        raise EquibasisError("irreps: no list of multiplicities and types 1, 2 or 4")
    input_ = _side(arrays, "input", m, irreps)
    output = _side(arrays, "output", k, irreps)
    pairs = list(itertools.product(output, input_))
    ranks = _get(arrays, "blocks/ranks", 1).tolist()
    samples, transforms = _get(arrays, "blocks/samples", 2), _get(arrays, "blocks/transforms", 1)
    if len(ranks) != len(pairs) or min(ranks) < 0 or samples.shape != (sum(ranks), 2):
        raise EquibasisError("blocks/ranks: not a number of samples for each block")
    heights = [int((b.copies * a.copies * irreps[:, 1] ** 2).sum()) for b, a in pairs]
    if len(transforms) != sum(h * r for h, r in zip(heights, ranks, strict=True)):
        raise EquibasisError("blocks/transforms: not as long as the blocks take")
    blocks = []
    sample = entry = 0
    for (target, source), rank, height in zip(pairs, ranks, heights, strict=True):
        of_block = samples[sample : sample + rank].astype(np.int64)
        if (of_block < 0).any() or (of_block >= (len(target.places), len(source.places))).any():
            raise EquibasisError("blocks/samples: points outside the orbits")
        transform = transforms[entry : entry + height * rank].reshape(height, rank)
        blocks.append(Block(of_block, transform))
        sample, entry = sample + rank, entry + height * rank
    rows = [tuple(blocks[i : i + len(input_)]) for i in range(0, len(blocks), len(input_))]
    return Coordinates(irreps, input_, output, tuple(rows))


def _fourier(arrays: Mapping[str, np.ndarray], m: int, k: int) -> Coordinates:
    cycles = tuple(_get(arrays, "cycles", 1).tolist())
    none = np.zeros((0, 2), dtype=np.int64)
    input_, output = _side(arrays, "input", m, none), _side(arrays, "output", k, none)
    if len(input_) != 1 or len(output) != 1 or min(cycles, default=0) < 1:
        raise EquibasisError("cycles: not the orders of shifts of one kind of orbits")
    t = math.prod(cycles)
    if (len(input_[0].places), len(output[0].places)) != (t, t):
        raise EquibasisError("cycles: their product is not the length of the orbits")
    samples = np.stack([np.arange(t), np.zeros(t, dtype=np.int64)], axis=1)
    return Coordinates(none, input_, output, ((Block(samples, np.zeros((0, 0))),),), cycles)


def _side(
    arrays: Mapping[str, np.ndarray], side: str, dimension: int, irreps: np.ndarray
) -> tuple[Orbits, ...]:
    shapes = _get(arrays, f"{side}/kinds", 2).tolist()
    if not shapes or any(len(shape) != 2 or min(shape) < 1 for shape in shapes):
        raise EquibasisError(f"{side}/kinds: no list of lengths and numbers of orbits")
    sizes = [t * c for t, c in shapes]
    places = _get(arrays, f"{side}/places", 1).astype(np.int64)
    signs = arrays.get(f"{side}/signs")
    repeats = _get(arrays, f"{side}/repeats", 1).astype(np.int64)
    if len(places) != sum(sizes) or (signs is not None and signs.shape != places.shape):
        raise EquibasisError(f"{side}/places: not as many as the orbits have")
    if (places < 0).any() or (places >= dimension).any():
        raise EquibasisError(f"{side}/places: outside the space")
    if (np.bincount(places, minlength=dimension) < 1).any():
        raise EquibasisError(f"{side}/places: some coordinate is in no orbit")
    if signs is not None and (np.abs(signs) != 1).any():
        raise EquibasisError(f"{side}/signs: not all ±1")
    if len(repeats) != sum(c for _, c in shapes) or (repeats < 1).any():
        raise EquibasisError(f"{side}/repeats: not a number for each orbit")
    copies = np.zeros((len(shapes), 0), dtype=np.int64)
    transforms = np.zeros(0)
    squares = [0] * len(shapes)
    if len(irreps):
        copies = _get(arrays, f"{side}/copies", 2).astype(np.int64)
        transforms = _get(arrays, f"{side}/transforms", 1)
        squares = [t * t for t, _ in shapes]
        lengths = [t for t, _ in shapes]
        if copies.shape != (len(shapes), len(irreps)) or (copies < 0).any():
            raise EquibasisError(f"{side}/copies: not a number for each kind and irrep")
        if (copies @ irreps.prod(axis=1)).tolist() != lengths:
            raise EquibasisError(f"{side}/copies: the irreps do not fill the orbits")
        if len(transforms) != sum(squares):
            raise EquibasisError(f"{side}/transforms: not as long as the orbits take")
    found = []
    counts = [c for _, c in shapes]
    for number, (shape, at, orbit, square) in enumerate(
        zip(shapes, _starts(sizes), _starts(counts), _starts(squares), strict=True)
    ):
        here = slice(at, at + sizes[number])
        matrix = transforms[square : square + squares[number]]
        of_kind = repeats[orbit : orbit + counts[number]]
        if (shape[0] % of_kind).any():
            raise EquibasisError(f"{side}/repeats: no divisor of the length of the orbits")
        found.append(
            Orbits(
                places[here].reshape(shape),
                None if signs is None else signs[here].reshape(shape),
                of_kind,
                copies[number],
                matrix.reshape((shape[0],) * 2 if squares[number] else (0, 0)),
            )
        )
    if sum(orbits.dimension for orbits in found) != dimension:
        raise EquibasisError(f"{side}/repeats: the orbits do not fill the space")
    return tuple(found)


def _starts(sizes: list[int]) -> list[int]:
    return [0, *itertools.accumulate(sizes[:-1])]


def _get(arrays: Mapping[str, np.ndarray], name: str, axes: int) -> np.ndarray:
    if name not in arrays:
        raise EquibasisError(f"{name} is missing")
    if arrays[name].ndim != axes:
        raise EquibasisError(f"{name}: {arrays[name].ndim} axes, expected {axes}")
    return arrays[name]
