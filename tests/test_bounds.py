"""The lower bounds in setup.cfg are those that tests run with, and nobody's guess."""

from __future__ import annotations

import configparser
import re

import pytest

from projects import REPOSITORY


def direct(*extras: str) -> dict[str, str]:
    """Direct dependencies by name, those of some extras too, or of all, with their lower bounds."""
    setup = configparser.ConfigParser()
    setup.read(REPOSITORY / "setup.cfg", encoding="utf-8")
    sections = setup["options.extras_require"]
    lists = [setup["options"]["install_requires"], *(sections[e] for e in extras or sections)]
    bounds = {}
    for line in filter(None, "\n".join(lists).splitlines()):
        if not line.startswith("equibasis["):
            name, bound = re.fullmatch(r"([\w-]+)(?:\[\w+\])?>=([\d.]+)", line).groups()
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


# What documents, formats and packages is not part of what users run.
TESTED = direct("nn", "pipeline", "cluster", "test")


@pytest.mark.parametrize("name", sorted(TESTED))
def test_the_lowest_version_allowed_is_the_one_that_is_tested(name: str) -> None:
    (lowest,) = pinned("constraints-lowest.txt")[name]
    assert numbers(lowest) == numbers(TESTED[name])


@pytest.mark.parametrize("name", sorted(direct()))
def test_the_version_that_is_used_is_allowed(name: str) -> None:
    for version in pinned("constraints.txt")[name]:
        assert numbers(re.match(r"[\d.]*\d", version)[0]) >= numbers(direct()[name])
