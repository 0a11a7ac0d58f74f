"""Groups by name: the families, products of them, files of generators, the user's own."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from equibasis.errors import GroupError
from equibasis.linalg.numbers import shortened
from equibasis.symmetry.families import (  # noqa: F401
    ARRAYS,
    CONTINUOUS,
    CRYSTALS,
    FAMILIES,
    GROUPS,
    MATRICES,
    built_in,
    continuous,
    grids,
    numbers_in,
    permutations,
    plane,
    point_groups,
    signed,
)
from equibasis.symmetry.families.generator_files import FILE_ENDINGS, read_group
from equibasis.symmetry.families.products import product_group
from equibasis.symmetry.families.wreath import wreath_group
from equibasis.symmetry.group import Group
from equibasis.symmetry.user_module import import_module


def direct_product(*factors: str | Group) -> Group:
    """G₁ × G₂ × …, each factor acting on the axes that follow those of the one before.

    ``z14*z14`` shifts a torus of 14x14 points; ``c4*z3`` turns images and cycles their channels,
    ``14x14x3``; ``s5*s7`` permutes rows and columns of ``5x7`` on their own. Groups of matrices
    take no axes: ``so3*s5`` acts on ``(5)*V``, five points of space.

    Representations have the names that they have in the factors. Where several have one of a
    name, it is that of the only group of matrices among them, and the others are ``V1``, ``V2``,
    by the number of the factor.

    Parameters
    ----------
    factors
        Groups, or what `find_group` knows them by.

    Raises
    ------
    GroupError
        If a factor is not known.
    """
    return product_group(*map(find_group, factors))


def wreath_product(inner: str | Group, outer: str | Group) -> Group:
    """The wreath product of two groups of permutations, acting on arrays (m, n).

    ``inner`` permutes the n points of each of m blocks, independently of the other blocks, and
    ``outer`` the blocks. As text, ``wreath(s4, s3)``: it acts on ``3x4``.

    Raises
    ------
    GroupError
        If one is not known, or is no group of permutations.

    Examples
    --------
    >>> import equibasis as eb
    >>> eb.solve(wreath_product("s4", "s3"), input="3x4", output="3x4").rank
    3
    """
    return wreath_group(find_group(inner), find_group(outer))


def find_group(spec: str | Group) -> Group:
    """The group that ``spec`` names.

    A built-in one, such as ``c4``, ``s5``, ``so3`` or ``D4h``; a product, ``z14*z14`` or
    ``wreath(s4, s3)``; a YAML or JSON file of generators; ``module:object``; or a `Group` itself.
    The object of a module is a `Group`, or anything with a ``transform`` and a list of
    ``elements``.

    Raises
    ------
    GroupError
        If there is no such group, module, object or file, or it is no group.
    """
    if isinstance(spec, Group):
        return spec
    if not isinstance(spec, str):
        raise GroupError(f"a group is a name, 'module:object' or a Group, not {spec!r}")
    if (found := built_in(spec)) is not None:
        return found
    operation, parts = _parts(spec)
    if operation == "*":
        return product_group(*map(find_group, parts))
    if operation == "wreath":
        return wreath_group(*map(find_group, parts))
    if spec.endswith(FILE_ENDINGS):
        return _read_group(spec)
    module_name, colon, object_name = spec.partition(":")
    if colon and module_name and object_name:
        return _import_group(spec, module_name, object_name)
    raise GroupError(_unknown(spec))


def group_name(spec: str) -> str:
    """What the group that ``spec`` names is called: a file of generators, without its ending."""
    operation, parts = _parts(spec)
    if operation == "*":
        return "*".join(map(group_name, parts))
    if operation == "wreath":
        return f"wreath({', '.join(map(group_name, parts))})"
    return Path(spec).stem if spec.endswith(FILE_ENDINGS) else spec


def is_built_in(spec: str) -> bool:
    """Whether a name means a built-in group, or a product of such, the same everywhere."""
    operation, parts = _parts(spec)
    if operation:
        return all(map(is_built_in, parts))
    return spec in GROUPS or numbers_in(spec) is not None


def _parts(spec: str) -> tuple[str, list[str]]:
    """``"*"`` and the factors, ``"wreath"`` and both groups, or ``""`` and none."""
    factors = list(_split(spec, "*"))
    if len(factors) > 1 and all(factors):
        return "*", factors
    match = re.fullmatch(r"\s*wreath\((.*)\)\s*", spec)
    if match:
        *inner, outer = _split(match[1], ",")  # a comma may be in a name, as in so1,3
        if inner and all(inner) and outer:
            return "wreath", [",".join(inner), outer]
    return "", []


def _split(text: str, mark: str) -> Iterator[str]:
    """What stands between marks that are in no brackets, without blanks around."""
    depth, start = 0, 0
    for position, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if character == mark and depth == 0:
            yield text[start:position].strip()
            start = position + 1
    yield text[start:].strip()


def _unknown(spec: str) -> str:
    """What there is, where a name is not known."""
    by_kind = {
        ARRAYS: [*GROUPS, *_names_of(ARRAYS)],
        MATRICES: _names_of(MATRICES),
        CRYSTALS: ["C1 to Oh"],
        CONTINUOUS: _names_of(CONTINUOUS),
    }
    near = difflib.get_close_matches(_plain(spec), list(_candidates(spec)), 3, 0.7)
    meant = f" (near it: {', '.join(near)})" if near else ""
    known = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in by_kind.items())
    return (
        f"unknown group {shortened(spec[:60])}{meant}: choose one {known}; a product such as "
        "z14*z14 or wreath(s4, s3); a YAML or JSON file of generators; or your own as module:object"
    )


def _names_of(kind: str) -> list[str]:
    return [each.name for each in FAMILIES.values() if each.kind == kind]


def _candidates(spec: str) -> Iterator[str]:
    """Names that there are, with the numbers of ``spec`` in their places."""
    yield from GROUPS
    numbers = re.findall("[1-9][0-9]{0,5}", spec)
    for each in FAMILIES:
        given = iter(numbers)
        yield re.sub(r"\{[^}]*\}", lambda _, given=given: next(given, "n"), each)  # type: ignore


def _plain(spec: str) -> str:
    """A name as it may have been meant: SO(3), Z_4."""
    return re.sub(r"[\s()_]", "", spec).lower()


def _read_group(path: str) -> Group:
    """A file of generators, unless the name of its group is another's."""
    name = group_name(path)
    if is_built_in(name):
        raise GroupError(
            f"group {path}: {name} can be this file or the built-in group: call the file otherwise"
        )
    return read_group(path, name)


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
