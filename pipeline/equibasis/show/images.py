"""Basis vectors as images: which pixel each entry is, and a colour for each orbit."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from equibasis.errors import SpaceError
from equibasis.solvers.basis import Basis
from equibasis.symmetry.hom_space import HomSpace
from equibasis.symmetry.spaces import Shape

# Colours of the largest negative entry and the largest positive one, and greys of zero.
NEGATIVE, POSITIVE = (33, 102, 172), (178, 24, 43)
_ZEROS = (247, 228)

# Pixels that the narrow side of a picture keeps, where it has them.
_FEWEST = 16

# So many colours can be told apart.
_FEW_ORBITS = 24


@dataclass(frozen=True)
class Layout:
    """How the entries of vec(W) are arranged as a picture.

    A map between grids is a grid of grids: tile o holds the weights of output pixel o. Leading
    axes (channels, components, planes of voxels) stand side by side. Spaces that are no grids are
    flat: outputs downwards, inputs to the right.

    Attributes
    ----------
    output, input
        Channels, height and width of each side, whose axes vec(W) has one after the other.
    tile
        Height and width of what a line is drawn around: a tile of a map, or of invariants one of
        the grids that stand side by side; ``None`` where there is none.
    """

    output: tuple[int, int, int]
    input: tuple[int, int, int]
    tile: tuple[int, int] | None = None

    @property
    def height(self) -> int:
        """Of the whole picture."""
        return self.output[1] * self.input[1]

    @property
    def width(self) -> int:
        """Of the whole picture."""
        return math.prod(self._across)

    @property
    def is_line(self) -> bool:
        """Whether the picture is a single row or column of numbers."""
        return min(self.height, self.width) == 1

    @property
    def _across(self) -> tuple[int, int, int, int]:
        return self.output[0], self.output[2], self.input[0], self.input[2]

    def pixels(self, entries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns in the picture of some entries of vec(W), int64 (n,)."""
        co, ho, wo, ci, hi, wi = np.unravel_index(entries, (*self.output, *self.input))
        return ho * self.input[1] + hi, np.ravel_multi_index((co, wo, ci, wi), self._across)

    def entries(self, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Which entries of vec(W) stand in some rows and columns: `pixels` the other way."""
        ho, hi = np.divmod(y, self.input[1])
        co, wo, ci, wi = np.unravel_index(x, self._across)
        return np.ravel_multi_index((co, ho, wo, ci, hi, wi), (*self.output, *self.input))


def layout_of(space: HomSpace) -> Layout:
    """Lay out the entries of the maps (or invariant vectors) of a space as a picture."""
    output, input_ = space.output_shape, space.input_shape
    if 1 in (len(output), len(input_)):
        return Layout((1, space.k, 1), (1, 1, space.m))
    sides = _grid(output), _grid(input_)
    if input_:
        channels, height, width = sides[1]
        return Layout(*sides, (height, channels * width))
    return Layout(*sides, (output[-2], output[-1]) if len(output) > 2 else None)


def _grid(shape: Shape) -> tuple[int, int, int]:
    return (math.prod(shape[:-2]), shape[-2], shape[-1]) if shape else (1, 1, 1)


def leading_images(
    basis: Basis, count: int, height: int, width: int
) -> tuple[np.ndarray, tuple[int, int]]:
    """Draw the first basis vectors, each made smaller where it would be higher or wider.

    Returns
    -------
    tuple
        float64 (vectors, rows, columns), lines as rows; and how many rows and columns of the whole
        picture each pixel stands for. It holds the entry of the largest magnitude, so that none of
        a sparse vector is lost.
    """
    layout, count = layout_of(basis.space), min(count, basis.rank)
    down, right = steps = _steps(layout, height, width)
    rows, columns = -(-layout.height // down), -(-layout.width // right)
    parts = [
        basis.entries(block, count - block.start) for block in basis.blocks if block.start < count
    ]
    row, column, value = (np.concatenate(each) for each in zip(*parts, strict=True))
    y, x = layout.pixels(row)
    place = (column * rows + y // down) * columns + x // right
    if down * right > 1:
        order = np.lexsort((row, -np.abs(value), place))
        _, first = np.unique(place[order], return_index=True)
        place, value = place[order][first], value[order][first]
    images = np.zeros((count, rows, columns))
    images.ravel()[place] = value
    return images.reshape(count, 1, -1) if layout.is_line else images, steps


def _steps(layout: Layout, height: int, width: int) -> tuple[int, int]:
    """Rows and columns to a pixel: as many of both, unless a narrow side would be lost."""
    step = max(1, -(-layout.height // height), -(-layout.width // width))
    down = min(step, -(-layout.height // min(_FEWEST, height)))
    return down, min(step, -(-layout.width // min(_FEWEST, width)))


def value_colours(image: np.ndarray, layout: Layout) -> np.ndarray:
    """Colour values, uint8 (h, w, 3), tiles told apart by shades of zero."""
    share = image / max(float(np.abs(image).max(initial=0.0)), 1e-300)
    end = np.where(share[..., None] < 0, np.array(NEGATIVE), np.array(POSITIVE))
    strength = np.abs(share)[..., None]
    zero = np.array(_ZEROS)[_tiles(image.shape, layout) % 2][..., None]
    return np.rint((1 - strength) * zero + strength * end).astype(np.uint8)


def _tiles(shape: tuple[int, ...], layout: Layout) -> np.ndarray:
    """How many tiles are above and left of each pixel of a picture that may have been shrunk."""
    if layout.tile is None:
        return np.zeros(shape, dtype=int)
    row = (np.arange(shape[0]) + 0.5) * layout.height / shape[0] // layout.tile[0]
    column = (np.arange(shape[1]) + 0.5) * layout.width / shape[1] // layout.tile[1]
    return (row[:, None] + column).astype(int)


@dataclass(frozen=True, eq=False)
class OrbitImage:
    """All orbits at once.

    Attributes
    ----------
    labels
        The orbit of each pixel, -1 where there is none: integers (height, width).
    signs
        ±1 of each pixel: int8 (height, width).
    colours
        A colour for each orbit, darker where its sign is -1, white where there is none: uint8
        (height, width, 3).
    """

    labels: np.ndarray
    signs: np.ndarray
    colours: np.ndarray


def orbit_image(basis: Basis, height: int, width: int) -> OrbitImage:
    """Draw the orbits of a (signed) permutation basis in at most this height and width.

    Where there are more entries, each pixel shows the first of those that it stands for.

    Raises
    ------
    SpaceError
        If the basis is not made of orbits.
    """
    if not basis.of_orbits:
        raise SpaceError(
            f"{basis.space} is not a space of (signed) permutations, so it has no orbits to show"
        )
    layout = layout_of(basis.space)
    down, right = _steps(layout, height, width)
    rows, columns = np.arange(0, layout.height, down), np.arange(0, layout.width, right)
    shown = layout.entries(rows[:, None], columns)
    labels, signs = basis.labels(*np.divmod(shown, basis.space.m))
    colours = _orbit_colours(np.maximum(labels, 0), basis.rank)
    colours = np.where(signs[..., None] < 0, 0.5 * colours, colours)
    colours = np.where(labels[..., None] < 0, 1.0, colours)
    return OrbitImage(labels, signs, np.rint(255 * colours).astype(np.uint8))


def _orbit_colours(labels: np.ndarray, rank: int) -> np.ndarray:
    """Give each label a colour: far apart where there are few, else from first to last."""
    if rank <= _FEW_ORBITS:
        hue = labels * ((math.sqrt(5) - 1) / 2) % 1.0  # the golden ratio never comes near itself
        bright = np.array([0.95, 0.75, 0.85])[labels % 3]
        pale = np.array([0.35, 0.2, 0.55])[labels % 3]
    else:
        hue = 0.85 * labels / rank
        bright = 0.75 + 0.2 * np.cos(labels / rank * 12 * math.pi)
        pale = np.full(labels.shape, 0.3)
    # From hue and brightness to red, green and blue.
    ramp = np.clip(np.abs((hue[..., None] * 6 + np.array([0.0, 4.0, 2.0])) % 6 - 3) - 1, 0, 1)
    colours: np.ndarray = bright[..., None] * (pale[..., None] + (1 - pale[..., None]) * ramp)
    return colours
