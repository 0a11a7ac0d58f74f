"""Symmetry-adapted coordinates of a space of maps, in which every one of them is block diagonal.

By Schur's lemma a map that commutes with G sends copies of an irrep to copies of the same irrep,
by a matrix over its division algebra. So x is split into its orbits, each is passed through a small
transform, each irrep's block is multiplied on its own, and the way back is the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True, eq=False)
class Orbits:
    """All orbits of one kind in an input or output space, and the transform of one.

    Attributes
    ----------
    places
        int64 (t, c): point a of orbit b is coordinate ``places[a, b]`` of the space.
    signs
        ±1, int8 (t, c), what that coordinate is multiplied by; ``None`` where all are +1.
    repeats
        How often each coordinate of an orbit is listed in its column, int64 (c,): short orbits
        may be lifted to longer ones, where each coordinate of x is then divided by repeats, and
        each of y is there as often.
    copies
        How often each irrep occurs in one orbit, int64 (irreps,).
    transform
        float64 (t, t): from x of one orbit to its coordinates, ordered (irrep, i, copy, j), for
        orbits of X; the way back for orbits of Y. Empty for Fourier transforms.
    """

    places: np.ndarray
    signs: np.ndarray | None
    repeats: np.ndarray
    copies: np.ndarray
    transform: np.ndarray

    @property
    def factors(self) -> np.ndarray:
        """What x is multiplied by on the way to its lifted orbits, float64 (t, c)."""
        return _signs(self) / self.repeats

    @cached_property
    def dimension(self) -> int:
        """How many coordinates of the space these orbits are."""
        return int((self.places.shape[0] // self.repeats).sum())


@dataclass(frozen=True, eq=False)
class Block:
    """How a map between two kinds of orbits is read off some of its entries.

    Attributes
    ----------
    samples
        int64 (r, 2): points (output, input) whose entries of W determine the rest.
    transform
        float64 (e, r): those entries -> the entries of the blocks, for each irrep the
        (copies δ) × (copies δ) matrix, row-major; empty for Fourier transforms.
    """

    samples: np.ndarray
    transform: np.ndarray


@dataclass(frozen=True, eq=False)
class Coordinates:
    """Coordinates of X and Y in which every map of Hom_G(X, Y) is block diagonal.

    Attributes
    ----------
    irreps
        q and δ of each, int64 (irreps, 2): dim V = q δ, and a map is I_q ⊗ (matrix over D).
    input, output
        The orbits of X and of Y, by kind.
    blocks
        ``blocks[b][a]`` for output kind b and input kind a.
    cycles
        Where the group is a product of cyclic shifts of Y and X alike, their orders: points of an
        orbit are then numbered as an array of that shape, and the transform is Fourier's.
    """

    irreps: np.ndarray
    input: tuple[Orbits, ...]
    output: tuple[Orbits, ...]
    blocks: tuple[tuple[Block, ...], ...]
    cycles: tuple[int, ...] = ()

    @cached_property
    def multiplications(self) -> float:
        """Multiplications to map one x, where a dense W takes k m."""
        if self.cycles:
            (source,), (target,) = self.input, self.output
            t, orbits = source.places.shape[0], source.places.shape[1] + target.places.shape[1]
            pairs = source.places.shape[1] * target.places.shape[1]
            return 2.0 * t * pairs + 2.5 * orbits * t * math.log2(t)
        transforms = sum(part.transform.size * part.places.shape[1] for part in self._sides)
        inputs, outputs = (
            sum(part.copies * part.places.shape[1] for part in side)
            for side in (self.input, self.output)
        )
        q, division = self.irreps.T
        return float(transforms + (q * division**2 * inputs * outputs).sum())

    @property
    def _sides(self) -> tuple[Orbits, ...]:
        return self.input + self.output

    def sample_shapes(self) -> list[tuple[int, int, int]]:
        """For each block, in order: orbits of output, r, orbits of input."""
        return [
            (target.places.shape[1], len(block.samples), source.places.shape[1])
            for of_output, target in zip(self.blocks, self.output, strict=True)
            for block, source in zip(of_output, self.input, strict=True)
        ]

    def sampled_rows(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Which entries of vec(W) the blocks are made of, and what they are multiplied by.

        For each block, in order, (orbits of output, r, orbits of input), row-major. Factors are
        float64, ``None`` where all are 1.
        """
        m = sum(part.dimension for part in self.input)
        rows, factors = [], []
        for of_output, target in zip(self.blocks, self.output, strict=True):
            for block, source in zip(of_output, self.input, strict=True):
                o, i = block.samples.T
                there, here = target.places[o].T[:, :, None] * m, source.places[i]
                rows.append((there + here).ravel())
                signs = _signs(target)[o].T[:, :, None] * _signs(source)[i]
                factors.append(signs.ravel().astype(np.float64))
        row, factor = np.concatenate(rows), np.concatenate(factors)
        return row, (None if (factor == 1).all() else factor)

    def apply(self, entries: np.ndarray, x: np.ndarray) -> np.ndarray:
        """W x from the sampled entries of W, for x of shape (m, ...): the blocks, one by one.

        What the layers do in torch, in NumPy, to check it and to read files without torch.
        """
        columns = x.reshape(len(x), -1)
        y = np.zeros((sum(part.dimension for part in self.output), columns.shape[1]))
        start = 0
        parts = [_gathered(part, columns) for part in self.input]
        for of_output, target in zip(self.blocks, self.output, strict=True):
            t, count = target.places.shape
            sum_ = np.zeros((t, count, columns.shape[1]))
            for block, source, part in zip(of_output, self.input, parts, strict=True):
                shape = count, len(block.samples), source.places.shape[1]
                values = entries[start : start + math.prod(shape)].reshape(shape)
                start += math.prod(shape)
                if self.cycles:
                    sum_ += self._convolved(values, part)
                elif block.transform.size:
                    sum_ += self._multiplied(block, source, target, values, part)
            lifted = sum_ if self.cycles else np.tensordot(target.transform, sum_, axes=1)
            y[target.places] = lifted * _signs(target)[:, :, None]  # alike wherever repeated
        return y.reshape(len(y), *x.shape[1:])

    def _convolved(self, values: np.ndarray, part: np.ndarray) -> np.ndarray:
        axes = tuple(range(len(self.cycles)))
        by_points = values.transpose(1, 0, 2)
        kernel = np.fft.fftn(by_points.reshape(*self.cycles, *by_points.shape[1:]), axes=axes)
        spectrum = np.fft.fftn(part.reshape(*self.cycles, *part.shape[1:]), axes=axes)
        result = np.fft.ifftn(np.einsum("...oi,...ib->...ob", kernel, spectrum), axes=axes)
        return np.ascontiguousarray(result.real).reshape(-1, *result.shape[-2:])

    def _multiplied(
        self, block: Block, source: Orbits, target: Orbits, values: np.ndarray, part: np.ndarray
    ) -> np.ndarray:
        adapted = np.tensordot(source.transform, part, axes=1)
        result = np.zeros((len(target.transform), len(values), part.shape[2]))
        all_blocks = np.tensordot(block.transform, values, axes=(1, 1))
        into = out_of = read = 0
        for number, (q, division) in enumerate(self.irreps.tolist()):
            rows, width = (int(side.copies[number]) * division for side in (target, source))
            shape = rows, width, len(values), values.shape[2]
            matrix = all_blocks[read : read + rows * width].reshape(shape)
            read += rows * width
            for _ in range(q):
                result[into : into + rows] = np.einsum(
                    "rwoi,wib->rob", matrix, adapted[out_of : out_of + width]
                )
                into, out_of = into + rows, out_of + width
        return result


def _signs(part: Orbits) -> np.ndarray:
    return np.ones(part.places.shape, dtype=np.int8) if part.signs is None else part.signs


def _gathered(part: Orbits, x: np.ndarray) -> np.ndarray:
    """x of one kind of orbits, (t, c, batch)."""
    return x[part.places] * part.factors[:, :, None]
