"""Permutations of the points of every axis: from generators, from a file, and all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from equibasis.errors import GroupError
from equibasis.symmetry.families import family
from equibasis.symmetry.group import Group
from equibasis.symmetry.spaces import Shape

FILE_ENDINGS = (".yaml", ".yml", ".json")


def permutation_group(name: str, generators: Mapping[str, Sequence[int]]) -> Group:
    """The group that some permutations of 0 to n-1 generate, acting on each axis of length n.

    Parameters
    ----------
    name
        What files and messages call the group.
    generators
        Images by name: the permutation sends i to ``images[i]``.

    Raises
    ------
    GroupError
        If one is not a permutation, or they are not all of one length.
    """
    if not generators:
        raise GroupError(f"group {name!r} has no generators: list at least the identity")
    degree = len(next(iter(generators.values())))
    inverses = {}
    for generator, images in generators.items():
        if degree < 1 or not all(
            isinstance(image, (int, np.integer)) and type(image) is not bool for image in images
        ):
            raise GroupError(f"group {name!r}: {generator} is not a list of whole numbers")
        if len(images) != degree:
            raise GroupError(
                f"group {name!r}: generators of unequal length: {generator} moves "
                f"{len(images)} points, the first moves {degree}"
            )
        if sorted(images) != list(range(degree)):
            raise GroupError(
                f"group {name!r}: {generator} is not a permutation of 0 to {degree - 1}: "
                f"{_first_fault(images, degree)}"
            )
        inverses[generator] = np.argsort(images)

    def transform(array: np.ndarray, generator: str) -> np.ndarray:
        for axis in range(array.ndim):
            array = array.take(inverses[generator], axis)
        return array

    def refuses(shape: Shape) -> str | None:
        wrong = [size for size in shape if size != degree]
        return f"its axes must have length {degree}, not {wrong[0]}" if wrong else None

    return Group(
        name,
        tuple(generators),
        transform,
        complete=False,
        rearranges=True,
        refuses=refuses,
    )


def _first_fault(images: Sequence[int], degree: int) -> str:
    seen: set[int] = set()
    for image in images:
        if not 0 <= image < degree:
            return f"{image} is out of range"
        if image in seen:
            return f"{image} comes twice"
        seen.add(image)
    return "it is no list of whole numbers"


@family("s")
def symmetric_group(degree: int) -> Group:
    """``s{n}``: all permutations of n points, from one exchange and one cycle."""
    points = list(range(degree))
    return permutation_group(
        f"s{degree}",
        {
            "swap": [*points[:2][::-1], *points[2:]],
            "cycle": [*points[1:], 0],
        },
    )


def read_permutation_group(path: str | Path) -> Group:
    """A permutation group from a YAML or JSON file with ``degree`` and ``generators``.

    ``generators`` is a list of lists of 0-based images, or a mapping from names to such lists.

    Raises
    ------
    GroupError
        If the file cannot be read, or does not hold permutations of that degree.
    """
    import yaml

    name = str(path)
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise GroupError(f"cannot read the group {name}: {error}") from error
    if not isinstance(content, dict) or not {"degree", "generators"} <= set(content):
        raise GroupError(f"group {name}: the file needs the keys 'degree' and 'generators'")
    degree, generators = content["degree"], content["generators"]
    if isinstance(generators, list):
        generators = {f"g{number}": images for number, images in enumerate(generators)}
    if type(degree) is not int or degree < 1 or not isinstance(generators, dict):
        raise GroupError(
            f"group {name}: 'degree' is a number of points and 'generators' a list of lists"
        )
    for generator, images in generators.items():
        if not isinstance(images, list) or not all(type(image) is int for image in images):
            raise GroupError(f"group {name}: {generator} is not a list of whole numbers")
        if len(images) != degree:
            raise GroupError(
                f"group {name}: {generator} has {len(images)} images, but the degree is {degree}"
            )
    named = {str(generator): images for generator, images in generators.items()}
    if len(named) < len(generators):
        raise GroupError(f"group {name}: two generators have one name")
    return permutation_group(group_name(name), named)


def group_name(spec: str) -> str:
    """What a group found by ``spec`` is called: a file of generators by its name without ending."""
    return Path(spec).stem if spec.endswith(FILE_ENDINGS) else spec
