"""Calls that run elsewhere: in a thread, another process, or on another machine."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import sys
import sysconfig
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from equibasis.errors import EquibasisError, WorkerDiedError, cause
from equibasis.symmetry.user_module import folders_added, put_on_path

# Characters that are told of what an executor says: some print all that they were given.
_TOLD = 200

_DIED = (
    "a worker process died: it was killed, or out of memory (try fewer with --workers), or the "
    "script that started it lacks an if __name__ == '__main__'"
)


@dataclass(frozen=True)
class Call:
    """``function(*arguments)``, which any executor runs; its result is a value or a `Raised`.

    So what is raised by the function is told from what is raised by the executor. Threads call it
    as it is; other processes have it as a `_Sent`. ``folders`` are those in which modules of the
    user's were found.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    folders: list[str] = field(default_factory=folders_added)

    def __call__(self) -> Any:
        """Return the value, or what was raised."""
        try:
            return self.function(*self.arguments)
        except Exception as error:
            return Raised(error, traceback.format_exc())

    def __reduce__(self) -> tuple[type[_Sent], tuple[bytes, list[str], dict[str, str]]]:
        """As other processes have it, a `_Sent`; raises what pickling it raises."""
        modules = _modules_of_the_user(self.folders)
        sources = {module.__name__: _source_sha256(module) for module in modules}
        content = _pickled((self.function, self.arguments), modules)
        return _Sent, (content, self.folders, sources)


@dataclass(frozen=True)
class Raised:
    """An error as a result, with the lines that say where it was raised."""

    error: Exception
    where: str


@dataclass(frozen=True)
class _Sent:
    """A `Call` in another process, taken apart there only when it runs.

    A group of the user's own that cannot be imported there is then a result too, where unpickling
    it on arrival would end the process. ``sources`` are hashes of the user's modules: a process
    that has imported one before it was changed would compute with what it was.
    """

    content: bytes
    folders: list[str]
    sources: dict[str, str]

    def __call__(self) -> Any:
        new = [folder for folder in self.folders if folder not in sys.path]
        if new:
            put_on_path(new)
        try:
            function, arguments = pickle.loads(self.content)
        except Exception as error:  # whatever a user's module does on import
            told = EquibasisError(
                f"a worker cannot import what was sent to it ({type(error).__name__}: "
                f"{cause(error)[:_TOLD]}): install the module of the group where workers run"
            )
            return Raised(told, traceback.format_exc())
        for name, source in self.sources.items():
            if name in sys.modules and _source_sha256(sys.modules[name]) != source:
                told = EquibasisError(
                    f"a worker has imported another {name} than there is now: start it again"
                )
                return Raised(told, "")
        return Call(function, arguments)()


# Held while cloudpickle, which has one list for all threads, is told of the user's modules.
_registering = threading.Lock()


def _pickled(content: object, modules: list[ModuleType]) -> bytes:
    """By value what others cannot import, lambdas and functions of notebooks, or of ``modules``.

    That takes cloudpickle, and values that can be pickled; else by the names of functions.
    """
    with contextlib.suppress(Exception), _registering:  # whatever is reached from a function
        import cloudpickle

        known = cloudpickle.list_registry_pickle_by_value()
        with contextlib.ExitStack() as registered:
            for module in modules:
                if module.__name__ not in known:
                    cloudpickle.register_pickle_by_value(module)
                    registered.callback(cloudpickle.unregister_pickle_by_value, module)
            return cloudpickle.dumps(content)
    return pickle.dumps(content)


def packed(value: object, most: int) -> bytes:
    """Pickle a value that is sent on later; nothing where that is long, whose arrays stay."""
    left = most

    def fits(array: pickle.PickleBuffer) -> bool:
        nonlocal left
        left -= memoryview(array).nbytes
        return left >= 0

    content = pickle.dumps(value, 5, buffer_callback=fits)
    return content if left >= 0 and len(content) <= most else b""


def unpacked(content: bytes) -> Any:
    """Unpickle a value `packed` by this process, or by one that works for it."""
    return pickle.loads(content)


# --- modules of the user's, which change while workers live -------------------------------------

_INSTALLED = {sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")}
_KNOWN = ("__main__", "__mp_main__", __name__.partition(".")[0])


def _modules_of_the_user(folders: list[str]) -> list[ModuleType]:
    """Those imported from ``folders``, the current folder, or that of the script that runs."""
    places = set(folders)
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    if script is not None:
        places.add(str(Path(script).absolute().parent))
    with contextlib.suppress(OSError):  # the current folder was removed
        places.add(str(Path.cwd()))
    places -= _INSTALLED
    modules = dict(sys.modules)
    found = {n for n in modules if "." not in n and _place(modules[n]) in places}
    found.difference_update(_KNOWN)
    return [module for name, module in modules.items() if name.partition(".")[0] in found]


def _place(module: ModuleType) -> str | None:
    """Return the folder in which a module, or a package as a whole, was found."""
    file = getattr(module, "__file__", None)
    if not isinstance(file, str):
        return None
    folder = file.rpartition(os.sep)[0]
    return folder.rpartition(os.sep)[0] if hasattr(module, "__path__") else folder


# What a module was imported from, and its hash when that was first asked for.
_sources: dict[str, tuple[object, str]] = {}


def _source_sha256(module: ModuleType) -> str:
    """Return the hash of a module's file, read once for each time that the module is imported."""
    spec, known = _sources.get(module.__name__, (None, ""))
    if spec is None or spec is not module.__spec__:
        content = b""
        with contextlib.suppress(OSError):
            content = Path(getattr(module, "__file__", None) or "").read_bytes()
        known = hashlib.sha256(content).hexdigest()
        _sources[module.__name__] = module.__spec__, known
    return known


def submitted(executor: Executor, call: Call) -> Future[Any]:
    """Return the future of a call; raises `EquibasisError` where the executor does not take it."""
    try:
        return executor.submit(call)
    except Exception as error:  # each executor has its own
        raise EquibasisError(_told(error)) from error


def result_of(future: Future[Any]) -> Any:
    """Wait for a submitted call, and return its value.

    Raises
    ------
    Exception
        What the function raised; `EquibasisError` where the executor failed.
    """
    try:
        result = future.result()
    except Exception as error:
        kind = WorkerDiedError if _has_died(error) else EquibasisError
        raise kind(_told(error)) from error
    if isinstance(result, Raised):
        raise result.error from RuntimeError(f"in a worker:\n{result.where}")
    return result


def _has_died(error: Exception) -> bool:
    """Whether an executor says that a worker has ended: loky's and Dask's have their own words."""
    return isinstance(error, BrokenExecutor) or type(error).__name__ == "KilledWorker"


def _told(error: Exception) -> str:
    if _has_died(error):
        return _DIED
    if isinstance(error, (pickle.PicklingError, AttributeError, TypeError)):
        return (
            f"cannot be sent to worker processes ({cause(error)[:_TOLD]}): define the transform at "
            "the top level of a module, or use --workers 1"
        )
    if isinstance(error, ModuleNotFoundError):
        return f"the workers of the executor have no module {error.name!r}: install it there"
    return (
        f"the executor failed ({type(error).__name__}: {cause(error)[:_TOLD]}): give one that runs"
    )
