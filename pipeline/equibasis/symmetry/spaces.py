"""Spaces that groups act on: grids of values, and sums, products and duals of them.

As text, for the command line and params.yaml: ``14x14``, ``3*14x14``, ``14x14:vector + 6x6 + 1``,
``(5x5)**2``, ``dual(V)``; docs/spaces.md is the whole grammar. In Python the operators ``+``,
``*``, ``**`` and ``.dual`` mean direct sum, tensor product, tensor power and dual. Equality,
hashing and printing are by value.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from equibasis.errors import SpaceError
from equibasis.linalg.numbers import as_index, shortened, whole_numbers

Shape: TypeAlias = tuple[int, ...]

# What a field on a grid may be beside the representations that a group has by name, and words of
# the grammar.
FIELDS = ("scalar", "pseudoscalar", "vector", "pseudovector", "regular")
RESERVED = ("dual", "sym", "alt", "trivial", "scalar", "pseudoscalar", "vector", "pseudovector")

# Summands of a sum, and factors of a product.
_MOST_SUMMANDS = 10_000
_MOST_FACTORS = 64

# The highest symmetric or alternating power.
_MOST_EXPONENT = 12

# More than any machine could treat; keeps a slip of the keyboard from asking for all memory.
_MOST_POINTS = 2**31


class Space:
    """A real vector space with a linear action of any group that fits it."""

    __array_ufunc__ = None  # so that NumPy's numbers leave 2 * space to us
    apart = False

    def __add__(self, other: Space) -> Space:
        if not isinstance(other, Space):
            return NotImplemented
        mine, others = _summands(self), _summands(other)
        apart = self.apart or other.apart or any(map(_is_plain, {*mine} & {*others}))
        return Sum(mine + others, apart)

    def __mul__(self, other: Space) -> Space:
        if not isinstance(other, Space):
            return NotImplemented
        return _product(_factors(self) + _factors(other))

    def __rmul__(self, count: int) -> Space:
        number = as_index(count)
        return NotImplemented if number is None else copies(number, self)

    def __pow__(self, exponent: int) -> Space:
        power = as_index(exponent)
        if power is None:
            return NotImplemented
        most = _MOST_FACTORS // len(_factors(self))
        if not 0 <= power <= most:
            raise SpaceError(f"{self}**{shortened(power)}: a tensor power is 0 to {most} here")
        return _product(_factors(self) * power)

    def __repr__(self) -> str:
        return f"as_space({str(self)!r})"

    @property
    def dual(self) -> Space:
        """The dual representation, g -> ρ(g⁻¹)ᵀ."""
        return self if self == SCALAR else Dual(self)

    def sym(self, exponent: int) -> Space:
        """Return the symmetric tensors of this space, ``sym(S, k)``."""
        return self if as_index(exponent) == 1 else Power(self, exponent, symmetric=True)

    def alt(self, exponent: int) -> Space:
        """Return the alternating tensors of this space, ``alt(S, k)``."""
        return self if as_index(exponent) == 1 else Power(self, exponent, symmetric=False)


@dataclass(frozen=True, repr=False)
class Grid(Space):
    """Values on a grid: a sequence ``(n,)``, an image, voxels; ``()`` is the trivial scalar, ``1``.

    Attributes
    ----------
    shape
        Points along each axis.
    field
        How a value changes when its point moves by g, whose matrix is R: ``"scalar"``, not at all;
        ``"pseudoscalar"``, times det R; ``"vector"``, turned by R (one component an axis, first
        component along the first axis), as a velocity; ``"pseudovector"``, by det R · R, as an
        angular velocity; ``"regular"``, one component an element of the point group, permuted.
        Components come before the grid's axes in the flattened order. A single point has fields
        too: ``1:vector`` has as many components as the group has axes.
    """

    shape: Shape
    field: str = "scalar"

    def __post_init__(self) -> None:
        what = f"shape {shortened(self.shape)}"
        object.__setattr__(self, "shape", whole_numbers(self.shape, what, SpaceError))
        if any(size < 1 for size in self.shape):
            text = "x".join(map(shortened, self.shape))
            raise SpaceError(f"shape {text} has an empty axis: every size is at least 1")
        if self.shape == (1,):  # one point, one number: the scalar
            object.__setattr__(self, "shape", ())
        if self.points > _MOST_POINTS:
            raise SpaceError(f"{what} has more than {_MOST_POINTS:,} points: choose a smaller")
        if self.field not in FIELDS:
            try:
                Named(self.field)
            except SpaceError as error:
                raise SpaceError(
                    f"field {shortened(self.field)}: choose {', '.join(FIELDS)}, or a "
                    "representation that the group has by name"
                ) from error

    @property
    def points(self) -> int:
        """The number of grid points."""
        return math.prod(self.shape)

    def __str__(self) -> str:
        text = "x".join(map(str, self.shape)) or "1"
        return text if self.field == "scalar" else f"{text}:{self.field}"


SCALAR = Grid(())


@dataclass(frozen=True, repr=False)
class Named(Space):
    """A representation that the group has by this name: ``V``, ``base``, ``joints``.

    Every finite group has ``regular``: its elements, permuted by multiplication from the left.
    """

    name: str

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", self.name):
            raise SpaceError(f"{shortened(self.name)} is no name of a representation: use a word")
        if self.name in RESERVED or re.fullmatch("x[0-9x]*", self.name):
            raise SpaceError(f"{self.name!r} has a meaning of its own: choose another name")

    def __str__(self) -> str:
        return self.name


V = Named("V")


@dataclass(frozen=True, repr=False)
class Power(Space):
    """The symmetric or alternating tensors of a space, in orthonormal coordinates.

    Attributes
    ----------
    space
        S.
    exponent
        k: coordinates are i₁ ≤ … ≤ i_k, or i₁ < … < i_k, in lexicographic order.
    symmetric
        Whether they are the symmetric ones, ``sym(S, k)``, or the alternating, ``alt(S, k)``.
    """

    space: Space
    exponent: int
    symmetric: bool

    def __post_init__(self) -> None:
        exponent = as_index(self.exponent)
        if exponent is None or not 1 <= exponent <= _MOST_EXPONENT:
            raise SpaceError(
                f"a symmetric or alternating power is 1 to {_MOST_EXPONENT}, not "
                f"{shortened(self.exponent)}"
            )

    def __str__(self) -> str:
        return f"{'sym' if self.symmetric else 'alt'}({self.space}, {self.exponent})"


@dataclass(frozen=True, repr=False)
class Sum(Space):
    """A direct sum: vectors one after the other.

    Attributes
    ----------
    summands
        At least two.
    apart
        Whether equal grids were written as two summands, ``3 + 3``, and not as ``2*3``: they are
        one space, but whoever wrote the first may have meant two things by it.
    """

    summands: tuple[Space, ...]
    apart: bool = field(default=False, compare=False)

    def __str__(self) -> str:
        return " + ".join(
            f"{count}*{_bracketed(space)}" if count > 1 else str(space)
            for count, space in _runs(self.summands)
        )


@dataclass(frozen=True, repr=False)
class Product(Space):
    """A tensor product, flattened with the last factor fastest."""

    factors: tuple[Space, ...]

    def __str__(self) -> str:
        return "*".join(
            f"{_as_factor(space)}**{power}" if power > 1 else _as_factor(space)
            for power, space in _runs(self.factors)
        )


@dataclass(frozen=True, repr=False)
class Dual(Space):
    """The dual of a space: ρ(g⁻¹)ᵀ; the same as the space where ρ is orthogonal."""

    space: Space

    @property
    def dual(self) -> Space:
        """The space itself."""
        return self.space

    def __str__(self) -> str:
        return f"dual({self.space})"


def copies(count: int, space: Space) -> Space:
    """Return the direct sum of ``count`` copies of a space: its channels."""
    most = _MOST_SUMMANDS // len(_summands(space))
    if not 1 <= count <= most:
        raise SpaceError(
            f"{shortened(count)}*{_bracketed(space)}: a number of copies is 1 to {most:,} here"
        )
    return space if count == 1 else Sum(_summands(space) * count, space.apart)


def array_shape(space: Space, dimension: int | None = None) -> Shape | None:
    """Return the shape of the arrays that make up a space, or ``None`` where that is not known.

    Equal summands make a first axis, as channels do; other sums are flat. Factors of a tensor
    product have their axes one after the other. Where one representation is called by name, the
    ``dimension`` of the space tells how large that is.
    """
    names = _names(space)
    if not names:
        return shape_where(space, {}) or (() if space == SCALAR else None)
    if dimension is None or len(names) > 1:
        return None
    for size in range(1, dimension + 1):
        shape = shape_where(space, dict.fromkeys(names, size))
        if shape is None or math.prod(shape) >= dimension:
            return shape if shape is not None and math.prod(shape) == dimension else None
    return None


def _names(space: Space) -> set[str]:
    """Return the representations whose size only the group knows, by name."""
    if isinstance(space, Grid):
        return set() if _components(space) is not None else {_value(space)}
    if isinstance(space, Named):
        return {space.name}
    if isinstance(space, (Dual, Power)):
        return _names(space.space)
    parts = space.summands if isinstance(space, Sum) else _factors(space)
    return set().union(*map(_names, dict.fromkeys(parts)))


def _components(grid: Grid) -> Shape | None:
    """Return the axes of a field's values; ``None`` where the group alone knows how many."""
    if grid.field in ("scalar", "pseudoscalar"):
        return ()
    known = grid.shape and grid.field in ("vector", "pseudovector")
    return (len(grid.shape),) if known else None


def _value(grid: Grid) -> str:
    """Name what the group knows of a field."""
    return f"{grid.field} at a point"


def shape_where(space: Space, sizes: Mapping[str, int]) -> Shape | None:
    """Return the shape of arrays, where representations by name have these sizes.

    ``None`` for a sum of several spaces, or where a size is missing.

    >>> shape_where(Grid((2, 2)) * Named("V"), {"V": 3})
    (2, 2, 3)
    """
    if isinstance(space, Grid):
        components = _components(space)
        if components is None and _value(space) in sizes:
            components = (sizes[_value(space)],)
        return None if components is None else components + space.shape
    if isinstance(space, Named):
        return (sizes[space.name],) if space.name in sizes else None
    if isinstance(space, Dual):
        return shape_where(space.space, sizes)
    if isinstance(space, Power):
        inner = shape_where(space.space, sizes)
        if inner is None:
            return None
        n, k = math.prod(inner), space.exponent
        return (math.comb(n + k - 1 if space.symmetric else n, k),)
    if isinstance(space, Product):
        parts = [shape_where(factor, sizes) for factor in space.factors]
        return None if None in parts else tuple(itertools.chain(*(part or () for part in parts)))
    runs = _runs(_summands(space))
    of_one = shape_where(runs[0][1], sizes) if len(runs) == 1 else None
    return None if of_one is None else (runs[0][0], *of_one)


def _product(factors: tuple[Space, ...]) -> Space:
    """Return a tensor product without its trivial factors."""
    rest = tuple(factor for factor in factors if factor != SCALAR)
    if len(rest) > _MOST_FACTORS:
        raise SpaceError(f"a tensor product has at most {_MOST_FACTORS} factors, not {len(rest)}")
    return SCALAR if not rest else rest[0] if len(rest) == 1 else Product(rest)


def _summands(space: Space) -> tuple[Space, ...]:
    return space.summands if isinstance(space, Sum) else (space,)


def _factors(space: Space) -> tuple[Space, ...]:
    return space.factors if isinstance(space, Product) else (space,)


def _is_plain(space: Space) -> bool:
    """Whether it is a grid of scalars: its text says no more than its shape."""
    return isinstance(space, Grid) and space.field == "scalar" and space != SCALAR


def _runs(spaces: tuple[Space, ...]) -> list[tuple[int, Space]]:
    """Neighbours that are equal, counted."""
    return [(len(list(equal)), space) for space, equal in itertools.groupby(spaces)]


def _bracketed(space: Space) -> str:
    return f"({space})" if isinstance(space, (Sum, Product)) else str(space)


def _as_factor(space: Space) -> str:
    """Text of a factor: a number beside * would be a count, so a sequence there has brackets."""
    return f"({space})" if str(space).isdecimal() else _bracketed(space)
