"""Families of groups: one file each, whose functions say by `family` what they are called."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from equibasis.errors import GroupError
from equibasis.symmetry.group import Group

# A family lists its elements up to this many, and generators beyond.
FEW = 1024

# The groups with a name of their own, and those with a letter and a number: ``z`` of ``z{n}``.
GROUPS: dict[str, Group] = {}
FAMILIES: dict[str, Callable[[int], Group]] = {}

Maker = TypeVar("Maker", bound=Callable[[int], Group])


def family(letter: str) -> Callable[[Maker], Maker]:
    """Register a function n -> group as the family that `find_group` knows by a letter."""

    def register(make: Maker) -> Maker:
        FAMILIES[letter] = make
        return make

    return register


def named(name: str, generators: Any, letter: str = "g") -> dict[str, Any]:
    """The generators of a group by name: as they were given, or ``g0``, ``g1``, … for a list.

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
