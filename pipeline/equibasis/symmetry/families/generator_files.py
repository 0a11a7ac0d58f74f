"""Groups from YAML or JSON files of generators, each key and number read one way."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from equibasis.errors import GroupError, cause, naming_extras
from equibasis.files import each_once, parse_yaml, read_text
from equibasis.linalg.numbers import whole_numbers
from equibasis.symmetry.families import named
from equibasis.symmetry.families.matrices import matrix_group, permutation_matrix
from equibasis.symmetry.families.permutations import permutation_group
from equibasis.symmetry.group import Group

FILE_ENDINGS = (".yaml", ".yml", ".json")

_KEYS = ("degree", "generators", "representations", "algebra")


def read_group(path: str | Path, name: str) -> Group:
    """A group, called ``name``, from a file of generators.

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
    """The images of each generator, by name."""
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
    """A matrix or images as they are; the matrix of ``{images: [...], signs: [...]}``."""
    if not isinstance(given, dict):
        return given
    if set(given) != {"images", "signs"}:
        raise GroupError(f"{what} is a list of rows, a list of images, or has 'images' and 'signs'")
    return permutation_matrix(what, given["images"], given["signs"])


def _algebra(where: str, content: dict[Any, Any]) -> list[str] | None:
    """The names of the generators that are Lie algebra elements."""
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
    """A mapping by name, where YAML may have read a name as a number, a date or yes and no."""
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
