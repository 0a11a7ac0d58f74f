"""The group that params.yaml names, for stages: its code has to be where DVC sees it change."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from digits.paths import GROUPS
from equibasis.errors import GroupError
from equibasis.symmetry.catalog import find_group, parts_of
from equibasis.symmetry.group import Group
from equibasis.symmetry.user_module import look_in

_INSTALLED = {"site-packages", "dist-packages"}


def find_watched_group(spec: str) -> Group:
    """`find_group`, with modules of the user's looked for in groups/ and not in the project.

    The stages that solve depend on that folder.

    Raises
    ------
    GroupError
        As `find_group`; or if it takes a module or a file that is neither in groups/ nor installed.
    """
    look_in(GROUPS)
    loaded = set(sys.modules)
    group = find_group(spec)
    check_watched(spec, loaded)
    return group


def check_watched(spec: str, loaded: set[str]) -> None:
    """Refuse code that lies where DVC does not see it change, imported since ``loaded``.

    What is installed, as NumPy is, belongs to the environment. (Files that a transform opens are
    not looked at.)
    """
    for source in _sources(spec, set(sys.modules) - loaded):
        if not _is_watched(source):
            raise GroupError(
                f"group {spec!r} uses {os.path.relpath(source)}, whose changes no stage would "
                f"see: move it to {GROUPS}/"
            )


def _sources(spec: str, modules: set[str]) -> Iterator[Path]:
    """Yield the files of generators in it, if there are, and those of the modules just imported."""
    for part in parts_of(spec):
        if Path(part).is_file():
            yield Path(part).resolve()
    for name in sorted(modules):
        file = getattr(sys.modules[name], "__file__", None)
        if file is not None:
            yield Path(file).resolve()


def _is_watched(source: Path) -> bool:
    """Whether a file is in groups/, this pipeline's own code, Python's, or installed."""
    pipeline = Path(__file__).resolve().parents[1]
    python = [Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib")]
    folders = [GROUPS.resolve(), pipeline, *python]
    return any(map(source.is_relative_to, folders)) or not _INSTALLED.isdisjoint(source.parts)
