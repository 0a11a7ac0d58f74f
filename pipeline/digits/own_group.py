"""The group that params.yaml names, for stages: its code has to be where DVC sees it change."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from digits.paths import GROUPS
from equibasis.errors import GroupError
from equibasis.symmetry.groups import Group, find_group


def find_watched_group(spec: str) -> Group:
    """`find_group`, with modules of the user's looked for in groups/.

    The stages that solve depend on that folder. A module or file of this project that lies
    elsewhere would be used and its changes not be seen, so it is refused; what is installed,
    as NumPy is, belongs to the environment.

    Raises
    ------
    GroupError
        As `find_group`; or if code or a file of the project's own outside groups/ is used.
    """
    loaded = set(sys.modules)
    sys.path.append(str(GROUPS.resolve()))  # for worker processes too, so it stays there
    group = find_group(spec)
    for source in _sources(spec, set(sys.modules) - loaded):
        if _is_of_project(source) and not _is_below(source, GROUPS):
            raise GroupError(
                f"group {spec!r} uses {source.relative_to(Path.cwd())}, whose changes no stage "
                f"would see: move it to {GROUPS}/"
            )
    return group


def _sources(spec: str, modules: set[str]) -> Iterator[Path]:
    """The file of generators, if it is one, and those of the modules just imported."""
    if Path(spec).is_file():
        yield Path(spec).resolve()
    for name in sorted(modules):
        file = getattr(sys.modules[name], "__file__", None)
        if file is not None:
            yield Path(file).resolve()


def _is_of_project(source: Path) -> bool:
    """Whether a file is the project's own: below its folder, and neither ours nor installed."""
    own = Path(__file__).resolve().parents[1]
    return _is_below(source, Path.cwd()) and not (
        _is_below(source, own) or _is_below(source, Path(sys.prefix))
    )


def _is_below(source: Path, folder: Path) -> bool:
    return source.is_relative_to(folder.resolve())
