"""Modules of the user's own, from a folder that is last on Python's path: the current one."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType

from equibasis.errors import GroupError

_chosen: Path | None = None

# What was put on the path here.
_added: list[str] = []


def look_in(folder: Path) -> None:
    """Look for modules of the user's in ``folder`` from now on, and not in the current one."""
    global _chosen
    _chosen = folder.resolve()


def import_module(name: str) -> ModuleType:
    """Import a module of the user's: from Python's path, or else from the folder of such.

    That folder is then last on the path, where no module of it is taken for an installed one, and
    stays there: the module, and worker processes, may import others from it later.

    Raises
    ------
    GroupError
        If the module does not import; if an installed one of its name was found in its place.
    """
    if not all(part.isidentifier() for part in name.split(".")):
        raise GroupError(f"{name[:60]!r} is no name of a module")
    here = _folder()
    if here is not None and here not in sys.path:
        put_on_path([here])
    remedy = "put it there" if _chosen else "run from the folder that holds it"
    try:
        with contextlib.redirect_stdout(sys.stderr):  # what it prints is not our output
            module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if f"{name}.".startswith(f"{error.name}."):
            raise GroupError(
                f"module {name!r} does not import: it is neither on Python's path nor in "
                f"{here or 'the current folder, which is gone'}: {remedy}"
            ) from error
        raise GroupError(
            f"module {name!r} does not import ({error}): install what it needs, or {remedy}"
        ) from error
    except (Exception, SystemExit) as error:  # whatever a user's module does on import
        raise GroupError(
            f"module {name!r} does not import ({type(error).__name__}: {error}): mend it"
        ) from error
    _check_is_that_of(here, module)
    return module


def put_on_path(folders: Sequence[str]) -> None:
    """Look for modules in these folders too, last."""
    # It is imported late, and looks for modules that are not there (SciPy 1.15 does).
    importlib.import_module("scipy.spatial")
    _added.extend(folders)
    sys.path.extend(folders)


def folders_added() -> list[str]:
    """List the user's folders that are looked in, for processes that are to look there too."""
    return [folder for folder in _added if folder in sys.path]


@contextlib.contextmanager
def off_the_path() -> Iterator[None]:
    """Yield a context in which folders of the user's are not looked in."""
    before, folders = list(sys.path), folders_added()
    sys.path[:] = [folder for folder in sys.path if folder not in folders]
    try:
        yield
    finally:
        sys.path[:] = before


def _folder() -> str | None:
    try:
        return str(_chosen or Path.cwd())
    except OSError:  # it was removed
        return None


def _check_is_that_of(here: str | None, module: ModuleType) -> None:
    """Refuse a module of another place where there is one of its name in the user's folder."""
    top = module.__name__.partition(".")[0]
    spec = None if here is None else PathFinder.find_spec(top, [here])
    if spec is None or spec.origin is None:
        return
    found = getattr(sys.modules[top], "__file__", None)
    if found is None or not Path(found).exists() or not Path(found).samefile(spec.origin):
        raise GroupError(
            f"module {top!r} was found {f'at {found}' if found else 'in Python itself'}, before "
            f"yours at {spec.origin}: give yours a name of its own"
        )
