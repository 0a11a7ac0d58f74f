"""The lower bounds in setup.cfg are those that tests run with, and nobody's guess."""

from __future__ import annotations

import configparser
import re

import pytest

from projects import REPOSITORY


def direct() -> dict[str, str]:
    """Direct dependencies by name, those of all extras too, with their lower bounds."""
    setup = configparser.ConfigParser()
    setup.read(REPOSITORY / "setup.cfg", encoding="utf-8")
    lines = setup["options"]["install_requires"].splitlines()
    lines += [each for extra in setup["options.extras_require"].values() for each in extra.split()]
    bounds = {}
    for line in filter(None, lines):
        if not line.startswith("equibasis["):
            name, bound = re.fullmatch(r"([\w-]+)>=([\d.]+)", line).groups()
            bounds[canonical(name)] = bound
    return bounds


def pinned(constraints: str) -> dict[str, set[str]]:
    """Versions by name; a name may have one for each Python."""
    versions: dict[str, set[str]] = {}
    for line in (REPOSITORY / constraints).read_text(encoding="utf-8").splitlines():
        if found := re.match(r"([\w.-]+)==([^\s;]+)", line):
            versions.setdefault(canonical(found[1]), set()).add(found[2])
    return versions


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def numbers(version: str) -> tuple[int, ...]:
    """``4.66.0.0`` -> (4, 66)."""
    return tuple(int(part) for part in re.sub(r"(\.0)+$", "", version).split("."))


@pytest.mark.parametrize("name", sorted(direct()))
def test_the_lowest_version_allowed_is_the_one_that_is_tested(name: str) -> None:
    (lowest,) = pinned("constraints-lowest.txt")[name]
    assert numbers(lowest) == numbers(direct()[name])


@pytest.mark.parametrize("name", sorted(direct()))
def test_the_version_that_is_used_is_allowed(name: str) -> None:
    for version in pinned("constraints.txt")[name]:
        assert numbers(re.match(r"[\d.]*\d", version)[0]) >= numbers(direct()[name])
