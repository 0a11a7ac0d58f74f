"""Families of groups: one file each, whose functions say by `family` what they are called."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from equibasis.errors import GroupError
from equibasis.symmetry.group import Group

# A family lists its elements up to this many, and generators beyond.
FEW = 1024

# Kinds of groups, in the order in which an unknown name is told of them.
ARRAYS, MATRICES, CRYSTALS, CONTINUOUS = (
    "acting on arrays",
    "finite, of matrices",
    "crystal classes",
    "continuous",
)


@dataclass(frozen=True)
class Family:
    """A group with a name of its own, or one for each number in its name.

    Attributes
    ----------
    name
        ``q8``; with numbers to be filled in, ``so{p},{q}``.
    kind
        One of the kinds above.
    make
        Numbers -> the group.
    """

    name: str
    kind: str
    make: Callable[..., Group]

    @functools.cached_property
    def pattern(self) -> re.Pattern[str]:
        """What names of its groups look like; each has one way of writing it."""
        fixed = re.split(r"\{[^}]*\}", self.name)
        return re.compile("([1-9][0-9]{0,5})".join(map(re.escape, fixed)))


# The groups that act on small arrays, listed; and families, by name.
GROUPS: dict[str, Group] = {}
FAMILIES: dict[str, Family] = {}

Maker = TypeVar("Maker", bound=Callable[..., Group])


def family(name: str, kind: str) -> Callable[[Maker], Maker]:
    """Register a function of the numbers in a name, such as ``z{n}``, as a family."""

    def register(make: Maker) -> Maker:
        FAMILIES[name] = Family(name, kind, make)
        return make

    return register


def numbers_in(name: str) -> tuple[Family, tuple[int, ...]] | None:
    """Return the family that a name is of, and the numbers in it; ``None`` where there is none."""
    for each in FAMILIES.values():
        if match := each.pattern.fullmatch(name):
            return each, tuple(map(int, match.groups()))
    return None


@functools.lru_cache(64)
def built_in(name: str) -> Group | None:
    """Return the group that a name means everywhere; ``None`` where there is none."""
    if name in GROUPS:
        return GROUPS[name]
    found = numbers_in(name)
    return None if found is None else found[0].make(*found[1])


def named(name: str, generators: Any, letter: str = "g") -> dict[str, Any]:
    """Name the generators of a group: as they were given, or ``g0``, ``g1``, … for a list.

    Raises
    ------
    GroupError
        If there are none, or they are not a mapping from names nor a list.
    """
    if isinstance(generators, Mapping):
        found = dict(generators)
    elif isinstance(generators, (Sequence, np.ndarray)) and not isinstance(
        generators, (str, bytes)
    ):
        found = {f"{letter}{number}": generator for number, generator in enumerate(generators)}
    else:
        raise GroupError(f"group {name!r}: generators are a list or a dictionary by name")
    if not found:
        raise GroupError(f"group {name!r} has no generators: list at least the identity")
    for generator in found:
        if not isinstance(generator, str):
            raise GroupError(f"group {name!r}: a generator's name is text, not {generator!r}")
    return found
