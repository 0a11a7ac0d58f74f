"""Groups by name: the families, products of them, files of generators, the user's own."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from equibasis.errors import GroupError
from equibasis.symmetry.families import FAMILIES, GROUPS, grids, permutations  # noqa: F401
from equibasis.symmetry.families.generator_files import FILE_ENDINGS, read_permutation_group
from equibasis.symmetry.families.products import product_group
from equibasis.symmetry.group import Group
from equibasis.symmetry.user_module import import_module

KNOWN = ", ".join([*GROUPS, *(f"{letter}{{n}}" for letter in FAMILIES)])


# ``z14``: the letter of a family and a number, in one way of writing it.
_FAMILY_NAME = re.compile(rf"([{''.join(FAMILIES)}])([1-9][0-9]{{0,5}})")


def direct_product(*factors: str | Group) -> Group:
    """G₁ × G₂ × …, each factor acting on the axes that follow those of the one before.

    ``z14*z14`` shifts a torus of 14x14 points; ``c4*z3`` turns images and cycles their channels,
    ``14x14x3``; ``s5*s7`` permutes rows and columns of ``5x7`` on their own.

    Parameters
    ----------
    factors
        Groups, or what `find_group` knows them by.

    Raises
    ------
    GroupError
        If a factor is not known, or is a group of matrices, which acts on no axes.
    """
    return product_group(*map(find_group, factors))


def find_group(spec: str | Group) -> Group:
    """The group that ``spec`` names.

    A built-in one; ``z{n}`` or ``s{n}``; a direct product such as ``z14*z14``; a YAML or JSON
    file of generators; ``module:object``; or a `Group` itself. The object of a module is a
    `Group`, or anything with a ``transform`` and a list of ``elements``.

    Raises
    ------
    GroupError
        If there is no such group, module, object or file, or it is no group.
    """
    if isinstance(spec, Group):
        return spec
    if not isinstance(spec, str):
        raise GroupError(f"a group is a name, 'module:object' or a Group, not {spec!r}")
    if spec in GROUPS:
        return GROUPS[spec]
    if "*" in spec and all(spec.split("*")):
        return product_group(*(find_group(name.strip()) for name in spec.split("*")))
    if spec.endswith(FILE_ENDINGS):
        return _read_group(spec)
    module_name, colon, object_name = spec.partition(":")
    if colon and module_name and object_name:
        return _import_group(spec, module_name, object_name)
    if match := _FAMILY_NAME.fullmatch(spec):
        return FAMILIES[match[1]](int(match[2]))
    raise GroupError(
        f"unknown group {spec[:60]!r}: choose {KNOWN}, a product such as z14*z14, a YAML or JSON "
        "file of generators, or your own as module:object"
    )


def group_name(spec: str) -> str:
    """What the group that ``spec`` names is called: a file of generators, without its ending."""
    names = [name.strip() for name in spec.split("*")]
    return "*".join(Path(name).stem if name.endswith(FILE_ENDINGS) else name for name in names)


def is_built_in(spec: str) -> bool:
    """Whether a name means a built-in group, or a product of such, the same everywhere."""
    names = [name.strip() for name in spec.split("*")]
    return all(name in GROUPS or _FAMILY_NAME.fullmatch(name) for name in names)


def _read_group(path: str) -> Group:
    """A file of generators, unless the name of its group is another's."""
    name = group_name(path)
    if is_built_in(name):
        raise GroupError(
            f"group {path}: {name} can be this file or the built-in group: call the file otherwise"
        )
    return read_permutation_group(path, name)


def _import_group(spec: str, module_name: str, object_name: str) -> Group:
    try:
        module = import_module(module_name)
    except GroupError as error:
        raise GroupError(f"group {spec!r}: {error}") from error
    found = getattr(module, object_name, None)
    if found is None:
        raise GroupError(
            f"group {spec!r}: module {module_name!r} has no {object_name!r}; define it there "
            f"({getattr(module, '__file__', None) or 'in Python itself'}) as "
            "equibasis.Group(name, elements, transform)"
        )
    if isinstance(found, Group):
        return replace(found, name=spec)
    transform, elements = getattr(found, "transform", None), getattr(found, "elements", None)
    if not callable(transform) or not isinstance(elements, (tuple, list)):
        raise GroupError(
            f"group {spec!r}: the object needs a transform(array, element) and a list of "
            "elements, the identity first"
        )
    return Group(spec, tuple(elements), transform, getattr(found, "axes", None))
