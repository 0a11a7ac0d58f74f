"""Groups by name: the families, products of them, files of generators, the user's own."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from equibasis.errors import GroupError, cause, naming_extras
from equibasis.files import each_once, parse_yaml, read_text
from equibasis.linalg.numbers import whole_numbers
from equibasis.symmetry.families import (  # noqa: F401
    ARRAYS,
    CONTINUOUS,
    FAMILIES,
    GROUPS,
    MATRICES,
    built_in,
    continuous,
    finite,
    grids,
    named,
    numbers_in,
    permutations,
)
from equibasis.symmetry.families.matrices import matrix_group, permutation_matrix
from equibasis.symmetry.families.permutations import permutation_group
from equibasis.symmetry.families.products import product_group, wreath_group
from equibasis.symmetry.group import Group
from equibasis.symmetry.user_module import import_module

_OPERATIONS: dict[str, Callable[..., Group]] = {"*": product_group, "wreath": wreath_group}


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
    """Return the wreath product of two groups of permutations, acting on arrays (m, n).

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
    """Return the group that ``spec`` names.

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
    if operation:
        return _OPERATIONS[operation](*map(find_group, parts))
    if spec.endswith(FILE_ENDINGS):
        return _read_group(spec)
    module_name, colon, object_name = spec.partition(":")
    if colon and module_name and object_name:
        return _import_group(spec, module_name, object_name)
    raise GroupError(_unknown(spec))


def parts_of(spec: str) -> list[str]:
    """Return the names of groups that a product is made of, or its own."""
    operation, parts = _parts(spec)
    return [each for part in parts for each in parts_of(part)] if operation else [spec]


def group_name(spec: str) -> str:
    """Name the group that ``spec`` means: of a file of generators, without its ending."""
    operation, parts = _parts(spec)
    if operation == "*":
        return "*".join(map(group_name, parts))
    if operation == "wreath":
        return f"wreath({', '.join(map(group_name, parts))})"
    return Path(spec).stem if spec.endswith(FILE_ENDINGS) else spec


def is_built_in(spec: str) -> bool:
    """Whether a name means a built-in group, or a product of such, the same everywhere."""
    return all(each in GROUPS or numbers_in(each) is not None for each in parts_of(spec))


def _parts(spec: str) -> tuple[str, list[str]]:
    """``"*"`` and the factors, ``"wreath"`` and both groups, or ``""`` and none."""
    factors = list(_split(spec, "*"))
    if len(factors) > 1 and all(factors):
        return "*", factors
    match = re.fullmatch(r"\s*wreath\((.*)\)\s*", spec)
    if match:
        both = list(_split(match[1], ","))
        if len(both) == 2 and all(both):
            return "wreath", both
    return "", []


def _split(text: str, mark: str) -> Iterator[str]:
    """Yield the text between marks that are in no brackets, without blanks around."""
    depth, start = 0, 0
    for position, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if character == mark and depth == 0:
            yield text[start:position].strip()
            start = position + 1
    yield text[start:].strip()


def _unknown(spec: str) -> str:
    """List the names that there are, where one is not known."""
    near = _near(spec)
    meant = f" (is it {' or '.join(near)}?)" if near else ""
    arrays = ", ".join([*GROUPS, *_names_of(ARRAYS)])
    matrices, curves = (", ".join(_names_of(kind)) for kind in (MATRICES, CONTINUOUS))
    return (
        f"unknown group {spec[:60]!r}{meant}: choose, acting on arrays, {arrays}; of matrices, "
        f"{matrices}, the crystal classes C1 to Oh, and continuous {curves}; a product such as "
        "z14*z14 or wreath(s4, s3); a YAML or JSON file of generators; or your own as module:object"
    )


def _names_of(kind: str) -> list[str]:
    return [each.name for each in FAMILIES.values() if each.kind == kind]


def _near(spec: str) -> list[str]:
    """Names that may have been meant: so3 for SO(3), z4 for Z_4."""
    numbers = re.findall("[1-9][0-9]{0,5}", spec)
    names = {name: name for name in GROUPS}
    for each in FAMILIES:
        places = each.count("{")
        if places <= len(numbers):
            given = iter(numbers)
            name = re.sub(r"\{[^}]*\}", lambda _, given=given: next(given), each)  # type: ignore
            names.setdefault(name.lower(), name)
    plain = re.sub(r"[\s()_]", "", spec).lower()
    return [names[each] for each in difflib.get_close_matches(plain, names, 2, 0.75)]


def _read_group(path: str) -> Group:
    """Return a file of generators, unless the name of its group is another's."""
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


# --- files of generators --------------------------------------------------------------------------


FILE_ENDINGS = (".yaml", ".yml", ".json")

_KEYS = ("degree", "generators", "representations", "algebra")


def read_group(path: str | Path, name: str) -> Group:
    """Return a group, called ``name``, from a file of generators.

    With ``degree`` and ``generators``, a list of lists of 0-based images, or a mapping from names
    to such lists, it is one of permutations, and acts on arrays. ``representations`` is a mapping
    from names to mappings from generators to their matrices: a list of rows, a list of images, or
    ``{images: [...], signs: [...]}``; ``algebra`` lists those generators that are Lie algebra
    elements.

    Raises
    ------
    GroupError
        If the file cannot be read, or does not hold a group.
    """
    where = f"group {path}"
    content = _content(Path(path))
    if not isinstance(content, dict) or not (
        {"degree", "generators"} <= set(content) or "representations" in content
    ):
        raise GroupError(
            f"{where}: the file needs the keys 'degree' and 'generators', or 'representations'"
        )
    if unknown := [key for key in content if key not in _KEYS]:
        raise GroupError(
            f"{where}: the key {unknown[0]!r} means nothing here: a file has 'degree' and "
            "'generators', 'representations' and 'algebra' alone"
        )
    given = _representations(where, content.get("representations", {}))
    if not {"degree", "generators"} & set(content):
        return matrix_group(name, representations=given, algebra=_algebra(where, content))
    if "algebra" in content:
        raise GroupError(f"{where}: 'algebra' is of matrices: leave out 'degree' and 'generators'")
    generators = _permutations(where, content)
    if "V" in given:
        raise GroupError(
            f"{where}: V is how 'generators' permute: call 'representations' otherwise"
        )
    group = permutation_group(name, generators)
    if not given:
        return group
    checked = matrix_group(name, representations={"V": generators, **given})
    return replace(group, representations=checked.representations)


def _permutations(where: str, content: dict[Any, Any]) -> dict[str, list[int]]:
    """Return the images of each generator, by name."""
    if not {"degree", "generators"} <= set(content):
        raise GroupError(f"{where}: the file needs the keys 'degree' and 'generators' together")
    degree, generators = content["degree"], content["generators"]
    if type(degree) is not int or degree < 1 or not isinstance(generators, (list, dict)):
        raise GroupError(
            f"{where}: 'degree' is a number of points and 'generators' a list of lists"
        )
    by_name = named(where, _by_text(f"{where}: a generator", generators))
    for generator, images in by_name.items():
        count = len(whole_numbers(images, f"{where}: {generator}", GroupError))
        if count != degree:
            raise GroupError(f"{where}: {generator} has {count} images, but the degree is {degree}")
    return by_name


def _representations(where: str, given: Any) -> dict[str, dict[str, Any]]:
    """Matrices by generator, of each representation by name."""
    if not isinstance(given, dict) or not all(isinstance(e, (dict, list)) for e in given.values()):
        raise GroupError(
            f"{where}: 'representations' gives, by name, the matrix of each generator by name"
        )
    found = {}
    for name, of_name in _by_text(f"{where}: a representation", given).items():
        matrices = named(f"{where}: {name}", _by_text(f"{where}: a generator", of_name))
        found[name] = {
            generator: _signed(f"{where}: {generator} in {name!r}", matrix)
            for generator, matrix in matrices.items()
        }
    return found


def _signed(what: str, given: Any) -> Any:
    """Return a matrix or images as they are; the matrix of ``{images: [...], signs: [...]}``."""
    if not isinstance(given, dict):
        return given
    if set(given) != {"images", "signs"}:
        raise GroupError(f"{what} is a list of rows, a list of images, or has 'images' and 'signs'")
    return permutation_matrix(what, given["images"], given["signs"])


def _algebra(where: str, content: dict[Any, Any]) -> list[str] | None:
    """Return the names of the generators that are Lie algebra elements."""
    if "algebra" not in content:
        return None
    given = content["algebra"]
    named_so = isinstance(given, list) and all(type(each) in (str, int) for each in given)
    if not named_so or len({*map(str, given)}) < len(given):
        raise GroupError(f"{where}: 'algebra' is a list of names of generators, each once")
    return [str(each) for each in given]


def _content(path: Path) -> Any:
    try:
        text = read_text(path)
        if path.suffix == ".json":
            return json.loads(text, object_pairs_hook=each_once)
        with naming_extras(f"group {path}: YAML, unlike JSON,"):
            return parse_yaml(text)
    except OSError as error:
        raise GroupError(f"cannot read the group {path}: {cause(error)}") from error
    except (ValueError, RecursionError) as error:
        raise GroupError(f"cannot read the group {path}: {error}") from error


def _by_text(what: str, given: Any) -> Any:
    """Key a mapping by text, where YAML may have read a name as a number, a date, yes or no."""
    if not isinstance(given, dict):
        return given
    for key in given:
        if isinstance(key, bool) or not isinstance(key, (str, int)):
            raise GroupError(f"{what}'s name is text, not {key!r}: put it in quotes")
    by_text = {str(key): value for key, value in given.items()}
    if len(by_text) < len(given):
        twice = next(key for key in given if str(key) != key and str(key) in given)
        raise GroupError(f"{what} has the name {twice} of another")
    return by_text
