"""Spaces as text: the grammar of docs/spaces.md."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar

from equibasis.errors import SpaceError
from equibasis.linalg.numbers import shortened, whole_numbers
from equibasis.symmetry.spaces import FIELDS, SCALAR, Grid, Named, Space, copies

Made = TypeVar("Made")

# Brackets in brackets, and digits of a number, in the text of a space.
_MOST_NESTED = 50
_MOST_DIGITS = 9


# Words that are spaces by themselves.
_WORDS = {"trivial": SCALAR, "scalar": SCALAR} | {
    field: Grid((), field) for field in ("pseudoscalar", "vector", "pseudovector")
}

# A number is no shape and has no field: beside * it is a count, and alone a sequence.
_TOKEN = re.compile(
    r"\s*(?:(?P<number>[0-9]+(?![0-9x]|\s*:))|(?P<grid>[0-9]+(?:x[0-9]+)*)"
    r"|(?P<word>[A-Za-z_][A-Za-z0-9_]*)|(?P<mark>\*\*|[*+():,]))"
)


def as_space(
    space: Space | str | Sequence[int] | None, names: Sequence[str] | None = None
) -> Space:
    """Read a space as users write it: text, a shape, ``None`` for the scalar, or a space.

    With ``names``, of the representations that a group has, text may name no other.

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
        return _Reader(space, names).whole()
    return Grid(whole_numbers(space, f"shape {shortened(space)}", SpaceError))


class _Reader:
    """Recursive descent: sum of terms, term of powers, power of an atom; see docs/spaces.md."""

    def __init__(self, text: str, names: Sequence[str] | None) -> None:
        self.text = text
        self.names = names
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
        number, kind = self.peek()
        if kind == "number":
            self.advance()
            if self.take("*"):
                return self.at(start, copies, self.number(start, number), self.term())
            if self.peek()[0] == "**":
                why = f"{number}** can be a number or a tensor power: write ({number})** for that"
                self.fail(why, start)
            self.position = start
        space = self.power()
        while self.take("*"):
            space = space * self.factor()
        return space

    def factor(self) -> Space:
        number, kind = self.peek()
        if kind == "number":
            self.fail(
                f"*{number} can be copies or a tensor product with a sequence: write the count "
                f"first, {number}*, or *({number})"
            )
        return self.power()

    def power(self) -> Space:
        space = self.atom()
        if not self.take("**"):
            return space
        start = self.position
        exponent = self.whole_number("expected a whole number as power")
        if self.peek()[0] == "**":
            self.fail("a power of a power can be read in two ways: use brackets")
        return self.at(start, operator.pow, space, exponent)

    def atom(self) -> Space:
        start = self.position
        token, kind = self.peek()
        if kind in ("number", "grid"):
            self.advance()
            shape = tuple(self.number(start, size) for size in token.split("x"))
            field = self.field() if self.take(":") else "scalar"
            return self.at(start, Grid, shape, field)
        if token == "(":
            self.advance()
            return self.bracket(start)
        if kind != "word":
            self.fail("expected a shape such as 14x14, a number, V, dual(...) or a bracket")
        self.advance()
        if token in ("dual", "sym", "alt"):
            self.expect("(")
            return self.bracket(start, token)
        if token in _WORDS:
            return _WORDS[token]
        named = self.at(start, Named, token)
        self.check_known(start, token)
        return named

    def bracket(self, start: int, word: str = "") -> Space:
        """Read on after the bracket of ``(S)``, ``dual(S)``, ``sym(S, k)`` or ``alt(S, k)``."""
        self.nested += 1
        if self.nested > _MOST_NESTED:
            self.fail(f"more than {_MOST_NESTED} brackets in brackets")
        space, exponent = self.sum(), 0
        self.nested -= 1
        if word in ("sym", "alt"):
            self.expect(",")
            exponent = self.whole_number(f"expected a whole number, as in {word}(V, 2)")
        self.expect(")")
        if word in ("sym", "alt"):
            return self.at(start, getattr(space, word), exponent)
        return space.dual if word else space

    def whole_number(self, otherwise: str) -> int:
        start = self.position
        token, kind = self.peek()
        if kind != "number":
            self.fail(otherwise)
        self.advance()
        return self.number(start, token)

    def number(self, start: int, digits: str) -> int:
        if len(digits) > _MOST_DIGITS:
            self.fail(f"a number of more than {_MOST_DIGITS} digits", start)
        if digits.startswith("0") and digits != "0":
            self.fail("a number does not start with 0", start)
        return int(digits)

    def field(self) -> str:
        token, kind = self.peek()
        if kind != "word":
            self.fail(f"expected one of {', '.join(FIELDS)}, or a name that the group has")
        start = self.position
        self.advance()
        if token not in FIELDS:
            self.check_known(start, token, also=FIELDS)
        return token

    def check_known(self, start: int, name: str, also: Sequence[str] = ()) -> None:
        if self.names is not None and name not in self.names:
            known = ", ".join(dict.fromkeys([*also, *self.names])) or "no representation by name"
            arrays = "" if also else "; arrays are written as in 14x14"
            self.fail(f"this group has {known}{arrays}", start)

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
            self.fail(str(error), start)

    def fail(self, why: str, start: int | None = None) -> NoReturn:
        position = self.position if start is None else start
        rest = self.text[position:]
        place = position + len(rest) - len(rest.lstrip())
        raise SpaceError(
            f"space {self.text!r}: {why}, at character {place + 1}: "
            f"{self.text[:place]}»{self.text[place:]}"
        )
