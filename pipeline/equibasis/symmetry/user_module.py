"""Modules of the user's own, from the current folder if they are nowhere else."""

from __future__ import annotations

import contextlib
import importlib
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType

from equibasis.errors import GroupError


def import_module(name: str) -> ModuleType:
    """Import a module of the user's: from Python's path, or else from the current folder.

    That folder is then last on the path, where no module of it is taken for an installed one, and
    stays there: the module, and worker processes, may import others from it later.

    Raises
    ------
    GroupError
        If the module does not import; if an installed one of its name was found in its place.
    """
    here = _current_folder()
    if here is not None and here not in sys.path:
        sys.path.append(here)
    try:
        with contextlib.redirect_stdout(sys.stderr):  # what it prints is not our output
            module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if f"{name}.".startswith(f"{error.name}."):
            raise GroupError(
                f"module {name!r} does not import: it is neither on Python's path nor in "
                f"{here or 'the current folder, which is gone'}: run from the folder that holds it"
            ) from error
        raise GroupError(
            f"module {name!r} does not import ({error}): install what it needs, or run from the "
            "folder that holds it"
        ) from error
    except (Exception, SystemExit) as error:  # whatever a user's module does on import
        raise GroupError(
            f"module {name!r} does not import ({type(error).__name__}: {error}): mend it"
        ) from error
    _check_is_that_of(here, module)
    return module


def _current_folder() -> str | None:
    try:
        return str(Path.cwd())
    except OSError:  # it was removed
        return None


def _check_is_that_of(here: str | None, module: ModuleType) -> None:
    """Refuse a module of another place where there is one of its name in the current folder."""
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
