"""Families of groups: one file each, whose functions say by `family` what they are called."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

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
