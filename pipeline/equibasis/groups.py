"""Finite groups and how they act on arrays."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from equibasis.errors import GroupError

Transform = Callable[[np.ndarray, Any], Any]


@dataclass(frozen=True)
class Group:
    """A finite group G, given by its linear action on arrays.

    Parameters
    ----------
    name
        What files and messages call the group.
    elements
        All elements of G, the identity first. Any hashable values; their ``str`` is their name.
    transform
        ``(array, element) -> array``: g · x, linear in x and keeping its shape. A function at
        the top level of a module can be sent to worker processes.
    axes
        How many axes an array must have for the action to make sense; ``None`` for any number.
    """

    name: str
    elements: tuple[Any, ...]
    transform: Transform
    axes: int | None = None

    def __post_init__(self) -> None:
        if not self.elements:
            raise GroupError(f"group {self.name!r} has no elements: list at least the identity")
        names = self.element_names
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise GroupError(
                f"group {self.name!r} lists the element {twice} twice: give each its own name"
            )

    @property
    def element_names(self) -> tuple[str, ...]:
        """The names of the elements, in their order."""
        return tuple(str(element) for element in self.elements)


def _dihedral_transform(array: np.ndarray, element: str) -> np.ndarray:
    """``r90`` turns by 90° counter-clockwise (`numpy.rot90`); ``f90`` mirrors left-right first."""
    mirrored = np.fliplr(array) if element.startswith("f") else array
    return np.rot90(mirrored, int(element[1:]) // 90)


_ROTATIONS = ("r0", "r90", "r180", "r270")
_REFLECTIONS = ("f0", "f90", "f180", "f270")

BUILT_IN = {
    group.name: group
    for group in (
        Group("trivial", ("r0",), _dihedral_transform, axes=2),
        Group("c2", ("r0", "r180"), _dihedral_transform, axes=2),
        Group("c4", _ROTATIONS, _dihedral_transform, axes=2),
        Group("d4", _ROTATIONS + _REFLECTIONS, _dihedral_transform, axes=2),
    )
}


def find_group(spec: str | Group) -> Group:
    """The group that ``spec`` names: a built-in one, ``module:object``, or a `Group` itself.

    The object is a `Group`, or anything with a ``transform`` and a list of ``elements``.

    Raises
    ------
    GroupError
        If there is no such group, module or object, or the object is no group.
    """
    if isinstance(spec, Group):
        return spec
    if not isinstance(spec, str):
        raise GroupError(f"a group is a name, 'module:object' or a Group, not {spec!r}")
    if spec in BUILT_IN:
        return BUILT_IN[spec]
    module_name, colon, object_name = spec.partition(":")
    if not (colon and module_name and object_name):
        raise GroupError(
            f"unknown group {spec!r}: choose {', '.join(BUILT_IN)}, or give your own as "
            "module:object"
        )
    return _import_group(spec, module_name, object_name)


def _import_group(spec: str, module_name: str, object_name: str) -> Group:
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # whatever the user's module raises is the user's to see
        raise GroupError(
            f"group {spec!r}: module {module_name!r} does not import "
            f"({type(error).__name__}: {error}); mend it, or run from the folder that holds it"
        ) from error
    found = getattr(module, object_name, None)
    if found is None:
        raise GroupError(
            f"group {spec!r}: module {module_name!r} has no {object_name!r}; "
            "define it there as equibasis.Group(name, elements, transform)"
        )
    transform, elements = getattr(found, "transform", None), getattr(found, "elements", None)
    if not callable(transform) or not isinstance(elements, (tuple, list)):
        raise GroupError(
            f"group {spec!r}: the object needs a transform(array, element) and a list of "
            "elements, the identity first"
        )
    return Group(spec, tuple(elements), transform, getattr(found, "axes", None))
