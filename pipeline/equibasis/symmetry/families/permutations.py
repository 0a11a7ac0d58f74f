"""Permutations of the points of every axis: from generators, and all of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from equibasis.errors import GroupError
from equibasis.linalg.numbers import shortened, whole_numbers
from equibasis.symmetry.families import ARRAYS, family, named
from equibasis.symmetry.group import Group
from equibasis.symmetry.representations import PermutationRepresentation
from equibasis.symmetry.spaces import Shape


def permutation_group(
    name: str, generators: Mapping[str, Sequence[int]] | Sequence[Sequence[int]]
) -> Group:
    """Make the group that permutations of 0 to n-1 generate, on each axis of length n.

    Its representation ``V`` is R^n, as ``(n)`` is.

    Parameters
    ----------
    name
        What files and messages call the group.
    generators
        Images, in a list or by name: the permutation sends i to ``images[i]``.

    Raises
    ------
    GroupError
        If one is not a permutation, or they are not all of one length.
    """
    inverses: dict[str, np.ndarray] = {}
    degree = 0
    for generator, given in named(name, generators).items():
        images = whole_numbers(given, f"group {name!r}: {generator}", GroupError)
        degree = degree or len(images)
        if fault := _fault(generator, images, degree):
            raise GroupError(f"group {name!r}: {fault}")
        inverses[generator] = np.argsort(images)
    return Group(
        name,
        tuple(inverses),
        partial(_permuted, inverses),
        complete=False,
        rearranges=True,
        refuses=partial(_refuses_other_lengths, degree),
        representations={"V": PermutationRepresentation(np.stack([*inverses.values()]))},
    )


def _permuted(inverses: Mapping[str, np.ndarray], array: np.ndarray, generator: str) -> np.ndarray:
    for axis in range(array.ndim):
        array = array.take(inverses[generator], axis)
    return array


def _refuses_other_lengths(degree: int, shape: Shape) -> str | None:
    wrong = [size for size in shape if size != degree]
    return f"its axes must have length {degree}, not {wrong[0]}" if wrong else None


def _fault(generator: str, images: Sequence[int], degree: int) -> str:
    """Why images are no permutation of so many points; empty where they are one."""
    if not images:
        return f"{generator} moves no points: list their images"
    if len(images) != degree:
        lengths = f"{generator} moves {len(images)} points, the first moves {degree}"
        return f"generators of unequal length: {lengths}"
    seen: set[int] = set()
    for image in images:
        if image in seen or not 0 <= image < degree:
            why = f"{image} comes twice" if image in seen else f"{shortened(image)} is out of range"
            return f"{generator} is not a permutation of 0 to {degree - 1}: {why}"
        seen.add(image)
    return ""


@family("s{n}", ARRAYS)
def symmetric_group(degree: int) -> Group:
    """``s{n}``: all permutations of n points, from one exchange and one cycle."""
    points = list(range(degree))
    made = permutation_group(
        f"s{degree}",
        {
            "swap": [*points[:2][::-1], *points[2:]],
            "cycle": [*points[1:], 0],
        },
    )
    return replace(made, count=partial(math.factorial, degree))


@family("a{n}", ARRAYS)
def alternating_group(degree: int) -> Group:
    """Make ``a{n}``: the even permutations of n points, from a cycle of three and a longest one."""
    points = list(range(degree))
    if degree < 3:
        return permutation_group(f"a{degree}", {"e": points})
    still = 1 - degree % 2  # a cycle is even where its length is odd
    made = permutation_group(
        f"a{degree}",
        {
            "cycle3": [1, 2, 0, *points[3:]],
            "cycle": [*points[:still], *points[still + 1 :], still],
        },
    )
    return replace(made, count=partial(_half_factorial, degree))


def _half_factorial(degree: int) -> int:
    return math.factorial(degree) // 2
