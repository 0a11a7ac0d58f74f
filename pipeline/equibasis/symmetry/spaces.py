"""Spaces that groups act on: grids of values, and sums, products and duals of them.

As text, for the command line and params.yaml: ``14x14``, ``3*14x14``, ``14x14:vector + 6x6 + 1``,
``(5x5)**2``, ``dual(V)``; docs/spaces.md is the whole grammar. In Python the operators ``+``,
``*``, ``**`` and ``.dual`` mean direct sum, tensor product, tensor power and dual. Equality,
hashing and printing are by value.
"""

from __future__ import annotations

import itertools
import math
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias, TypeVar

from equibasis.errors import SpaceError

Shape: TypeAlias = tuple[int, ...]
Made = TypeVar("Made")

FIELDS = ("scalar", "sign", "vector", "regular")

# Brackets in brackets, and digits of a number, in the text of a space.
_MOST_NESTED = 50
_MOST_DIGITS = 9

# Summands of a sum, and factors of a product.
_MOST_SUMMANDS = 10_000
_MOST_FACTORS = 64

# More than any machine could treat; keeps a slip of the keyboard from asking for all memory.
_MOST_POINTS = 2**31


class Space:
    """A real vector space with a linear action of any group that fits it."""

    __array_ufunc__ = None  # so that NumPy's numbers leave 2 * space to us

    def __add__(self, other: Space) -> Space:
        if not isinstance(other, Space):
            return NotImplemented
        return Sum(_summands(self) + _summands(other))

    def __mul__(self, other: Space) -> Space:
        if not isinstance(other, Space):
            return NotImplemented
        return _product(_factors(self) + _factors(other))

    def __rmul__(self, count: int) -> Space:
        try:
            return copies(operator.index(count), self)
        except TypeError:
            return NotImplemented

    def __pow__(self, exponent: int) -> Space:
        try:
            exponent = operator.index(exponent)
        except TypeError:
            return NotImplemented
        most = _MOST_FACTORS // len(_factors(self))
        if not 0 <= exponent <= most:
            raise SpaceError(f"{self}**{exponent}: a tensor power is 0 to {most} here")
        return _product(_factors(self) * exponent)

    @property
    def dual(self) -> Space:
        """The dual representation, g -> ρ(g⁻¹)ᵀ."""
        return self if self == SCALAR else Dual(self)


@dataclass(frozen=True)
class Grid(Space):
    """Values on a grid: a sequence ``(n,)``, an image, voxels; ``()`` is the trivial scalar, ``1``.

    Attributes
    ----------
    shape
        Points along each axis.
    field
        How a value changes when its point moves: ``"scalar"``, not at all; ``"sign"``, times the
        determinant of the move; ``"vector"``, turned with it (one component an axis, first
        component along the first axis); ``"regular"``, one component an element of the point
        group, permuted. Components come before the grid's axes in the flattened order.
    """

    shape: Shape
    field: str = "scalar"

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "shape", tuple(operator.index(n) for n in self.shape))
        except TypeError as error:
            raise SpaceError(f"shape {self.shape!r} is not made of whole numbers") from error
        if any(size < 1 for size in self.shape):
            raise SpaceError(f"shape {self} has an empty axis: every size is at least 1")
        if self.shape == (1,):  # one point, one number: the scalar
            object.__setattr__(self, "shape", ())
        if not self.shape and self.field != "scalar":
            raise SpaceError(f"a single point has no field, so 1:{self.field} is no space")
        if self.points > _MOST_POINTS:
            raise SpaceError(f"grid {self} has more than {_MOST_POINTS:,} points: choose a smaller")
        if self.field not in FIELDS:
            raise SpaceError(f"field {self.field!r}: choose {', '.join(FIELDS)}")

    @property
    def points(self) -> int:
        """The number of grid points."""
        return math.prod(self.shape)

    def __str__(self) -> str:
        text = "x".join(map(str, self.shape)) or "1"
        return text if self.field == "scalar" else f"{text}:{self.field}"


SCALAR = Grid(())


@dataclass(frozen=True)
class Natural(Space):
    """``V``: the vectors on which a group of matrices is given."""

    def __str__(self) -> str:
        return "V"


V = Natural()


@dataclass(frozen=True)
class Sum(Space):
    """A direct sum: vectors one after the other."""

    summands: tuple[Space, ...]

    def __str__(self) -> str:
        return " + ".join(
            f"{count}*{_bracketed(space)}" if count > 1 else str(space)
            for count, space in _runs(self.summands)
        )


@dataclass(frozen=True)
class Product(Space):
    """A tensor product, flattened with the last factor fastest."""

    factors: tuple[Space, ...]

    def __str__(self) -> str:
        text = "*".join(
            f"{_bracketed(space)}**{power}" if power > 1 else _bracketed(space)
            for power, space in _runs(self.factors)
        )
        # A number before * is a count; a sequence there is told apart by brackets.
        return re.sub(r"^(\d+)\*(?!\*)", r"(\1)*", text)


@dataclass(frozen=True)
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
    """The direct sum of ``count`` copies of a space: its channels."""
    most = _MOST_SUMMANDS // len(_summands(space))
    if not 1 <= count <= most:
        raise SpaceError(f"{count}*{_bracketed(space)}: a number of copies is 1 to {most:,} here")
    return space if count == 1 else Sum(_summands(space) * count)


def array_shape(space: Space) -> Shape | None:
    """The shape of the arrays that make up a space, or ``None`` where that is not known.

    Equal summands make a first axis, as channels do; other sums are flat.
    """
    if isinstance(space, Grid):
        if space.field == "vector":
            return (len(space.shape), *space.shape)
        return None if space.field == "regular" else space.shape
    if isinstance(space, Sum) and len(_runs(space.summands)) == 1:
        inner = array_shape(space.summands[0])
        return None if inner is None else (len(space.summands), *inner)
    return None


def _product(factors: tuple[Space, ...]) -> Space:
    """A tensor product without its trivial factors."""
    rest = tuple(factor for factor in factors if factor != SCALAR)
    if len(rest) > _MOST_FACTORS:
        raise SpaceError(f"a tensor product has at most {_MOST_FACTORS} factors, not {len(rest)}")
    return SCALAR if not rest else rest[0] if len(rest) == 1 else Product(rest)


def _summands(space: Space) -> tuple[Space, ...]:
    return space.summands if isinstance(space, Sum) else (space,)


def _factors(space: Space) -> tuple[Space, ...]:
    return space.factors if isinstance(space, Product) else (space,)


def _runs(spaces: tuple[Space, ...]) -> list[tuple[int, Space]]:
    """Neighbours that are equal, counted."""
    return [(len(list(equal)), space) for space, equal in itertools.groupby(spaces)]


def _bracketed(space: Space) -> str:
    return f"({space})" if isinstance(space, (Sum, Product)) else str(space)


# --- text ---------------------------------------------------------------------------------------

_TOKEN = re.compile(
    r"\s*(?:(?P<grid>[0-9]+(?:x[0-9]+)*)|(?P<word>[A-Za-z]+)|(?P<mark>\*\*|[*+():]))"
)


def as_space(space: Space | str | Sequence[int] | None) -> Space:
    """A space from what users write: text, a shape, ``None`` for the scalar, or a space itself.

    >>> print(as_space("3*14x14 + 1"))
    3*14x14 + 1
    >>> as_space((6, 6)) == as_space("6x6")
    True

    Raises
    ------
    SpaceError
        If the text is no space, pointing at the character, or a size is not 1 or more.
    """
    if space is None:
        return SCALAR
    if isinstance(space, Space):
        return space
    if isinstance(space, str):
        return _Reader(space).whole()
    try:
        return Grid(tuple(space))
    except TypeError as error:
        raise SpaceError(f"{space!r} is no space: write 14x14, or give a shape") from error


class _Reader:
    """Recursive descent: sum of terms, term of powers, power of an atom; see docs/spaces.md."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.nested = 0

    def whole(self) -> Space:
        space = self.sum()
        if self.peek()[0]:
            self.fail("expected + or * or the end")
        return space

    def sum(self) -> Space:
        space = self.term()
        while self.take("+"):
            space = space + self.term()
        return space

    def term(self) -> Space:
        start = self.position
        token, kind = self.peek()
        if kind == "grid" and "x" not in token:
            self.advance()
            if self.take("*"):
                return self.at(start, copies, self.number(start, token), self.term())
            self.position = start
        space = self.power()
        while self.take("*"):
            space = space * self.power()
        return space

    def power(self) -> Space:
        space = self.atom()
        while self.take("**"):
            start = self.position
            token, kind = self.peek()
            if kind != "grid" or "x" in token:
                self.fail("expected a whole number as power")
            self.advance()
            space = self.at(start, operator.pow, space, self.number(start, token))
        return space

    def atom(self) -> Space:
        start = self.position
        token, kind = self.peek()
        if kind == "grid":
            self.advance()
            shape = tuple(self.number(start, size) for size in token.split("x"))
            field = self.field() if self.take(":") else "scalar"
            return self.at(start, Grid, shape, field)
        if token == "(":
            self.advance()
            return self.rest_of_bracket()
        if token == "V":
            self.advance()
            return V
        if token == "dual":
            self.advance()
            self.expect("(")
            return self.rest_of_bracket().dual
        return self.fail("expected a shape such as 14x14, a number, V, dual(...) or a bracket")

    def rest_of_bracket(self) -> Space:
        self.nested += 1
        if self.nested > _MOST_NESTED:
            self.fail(f"more than {_MOST_NESTED} brackets in brackets")
        space = self.sum()
        self.expect(")")
        self.nested -= 1
        return space

    def number(self, start: int, digits: str) -> int:
        if len(digits) > _MOST_DIGITS:
            self.position = start
            self.fail(f"a number of more than {_MOST_DIGITS} digits")
        return int(digits)

    def field(self) -> str:
        token, _ = self.peek()
        if token not in FIELDS:
            self.fail(f"expected one of {', '.join(FIELDS)}")
        self.advance()
        return token

    def peek(self) -> tuple[str, str]:
        match = _TOKEN.match(self.text, self.position)
        if match is None:
            if self.text[self.position :].strip():
                self.fail("this character has no meaning here")
            return "", "end"
        return match.group(match.lastgroup or 0), match.lastgroup or "end"

    def advance(self) -> None:
        match = _TOKEN.match(self.text, self.position)
        self.position = match.end() if match else len(self.text)

    def take(self, mark: str) -> bool:
        if self.peek()[0] != mark:
            return False
        self.advance()
        return True

    def expect(self, mark: str) -> None:
        if not self.take(mark):
            self.fail(f"expected {mark}")

    def at(self, start: int, make: Callable[..., Made], *arguments: Any) -> Made:
        """``make(*arguments)``, whose complaint is about the text at ``start``."""
        try:
            return make(*arguments)
        except SpaceError as error:
            self.position = start
            self.fail(str(error))

    def fail(self, why: str) -> NoReturn:
        rest = self.text[self.position :]
        place = self.position + len(rest) - len(rest.lstrip())
        raise SpaceError(
            f"space {self.text!r}: {why}, at character {place + 1}: "
            f"{self.text[:place]}»{self.text[place:]}"
        )
