"""Permutation groups from YAML or JSON files of generators, each key and number read one way."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from equibasis.errors import GroupError, cause, naming_extras
from equibasis.files import read_text
from equibasis.linalg.numbers import whole_numbers
from equibasis.symmetry.families import named
from equibasis.symmetry.families.permutations import permutation_group
from equibasis.symmetry.group import Group

FILE_ENDINGS = (".yaml", ".yml", ".json")

_KEYS = ("degree", "generators")


def read_permutation_group(path: str | Path, name: str) -> Group:
    """A permutation group, called ``name``, from a file with ``degree`` and ``generators``.

    ``generators`` is a list of lists of 0-based images, or a mapping from names to such lists.

    Raises
    ------
    GroupError
        If the file cannot be read, or does not hold permutations of that degree.
    """
    where = f"group {path}"
    content = _content(Path(path))
    if not isinstance(content, dict) or not set(_KEYS) <= set(content):
        raise GroupError(f"{where}: the file needs the keys 'degree' and 'generators'")
    if unknown := [key for key in content if key not in _KEYS]:
        raise GroupError(
            f"{where}: the key {unknown[0]!r} means nothing here: a file has 'degree' and "
            "'generators' alone"
        )
    degree, generators = content["degree"], content["generators"]
    if type(degree) is not int or degree < 1 or not isinstance(generators, (list, dict)):
        raise GroupError(
            f"{where}: 'degree' is a number of points and 'generators' a list of lists"
        )
    if isinstance(generators, dict):
        generators = _by_text(where, generators)
    for generator, images in named(str(path), generators).items():
        count = len(whole_numbers(images, f"{where}: {generator}", GroupError))
        if count != degree:
            raise GroupError(f"{where}: {generator} has {count} images, but the degree is {degree}")
    return permutation_group(name, generators)


def _content(path: Path) -> Any:
    try:
        text = read_text(path)
        if path.suffix == ".json":
            return json.loads(text, object_pairs_hook=lambda pairs: dict(_one_each(pairs)))
        with naming_extras(f"group {path}: YAML"):
            return _yaml(text)
    except OSError as error:
        raise GroupError(f"cannot read the group {path}: {cause(error)}") from error
    except (ValueError, RecursionError) as error:
        raise GroupError(f"cannot read the group {path}: {error}") from error


def _yaml(text: str) -> Any:
    """YAML without what has a second reading: keys twice, and numbers such as 010, which is 8."""
    import yaml

    class Loader(yaml.SafeLoader):
        """One of our own, so that the constructors below are nobody else's."""

    def mapping(loader: Loader, node: yaml.MappingNode) -> dict[Any, Any]:
        return dict(_one_each(loader.construct_pairs(node, deep=True)))

    def number(loader: Loader, node: yaml.ScalarNode) -> int:
        if not re.fullmatch(r"[-+]?(0|[1-9][0-9]*)", node.value):
            read = loader.construct_yaml_int(node)
            raise ValueError(f"{node.value} is {read} in YAML: write it as {read}")
        return int(node.value)

    Loader.add_constructor("tag:yaml.org,2002:map", mapping)
    Loader.add_constructor("tag:yaml.org,2002:int", number)
    try:
        return yaml.load(text, Loader)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _one_each(pairs: Iterable[tuple[Any, Any]]) -> Iterable[tuple[Any, Any]]:
    seen = []
    for key, value in pairs:
        if key in seen:
            raise ValueError(f"the key {key!r} is there twice")
        seen.append(key)
        yield key, value


def _by_text(where: str, generators: dict[Any, Any]) -> dict[str, Any]:
    """Generators by name, where YAML may have read a name as a number, a date or yes and no."""
    for key in generators:
        if isinstance(key, bool) or not isinstance(key, (str, int)):
            raise GroupError(f"{where}: a generator's name is text, not {key!r}: put it in quotes")
    by_text = {str(key): images for key, images in generators.items()}
    if len(by_text) < len(generators):
        twice = next(key for key in generators if str(key) != key and str(key) in generators)
        raise GroupError(f"{where}: two generators have the name {twice}")
    return by_text
