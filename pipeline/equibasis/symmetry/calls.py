"""Calls that run elsewhere: in a thread, another process, or on another machine."""

from __future__ import annotations

import contextlib
import pickle
import sys
import traceback
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from dataclasses import dataclass, field
from typing import Any

from equibasis.errors import EquibasisError, WorkerDiedError, cause
from equibasis.symmetry.user_module import folders_added, put_on_path

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
        """The value, or what was raised."""
        try:
            return self.function(*self.arguments)
        except Exception as error:
            return Raised(error, traceback.format_exc())

    def __reduce__(self) -> tuple[type[_Sent], tuple[bytes, list[str]]]:
        return _Sent, (_pickled((self.function, self.arguments)), self.folders)


@dataclass(frozen=True)
class Raised:
    """An error as a result, with the lines that say where it was raised."""

    error: Exception
    where: str


@dataclass(frozen=True)
class _Sent:
    """A `Call` in another process, taken apart there only when it runs.

    A group of the user's own that cannot be imported there is then a result too, where unpickling
    it on arrival would end the process.
    """

    content: bytes
    folders: list[str]

    def __call__(self) -> Any:
        new = [folder for folder in self.folders if folder not in sys.path]
        if new:
            put_on_path(new)
        try:
            function, arguments = pickle.loads(self.content)
        except Exception as error:  # whatever a user's module does on import
            told = EquibasisError(
                f"a worker cannot import what was sent to it ({type(error).__name__}: "
                f"{cause(error)}): install the module of the group where workers run"
            )
            return Raised(told, traceback.format_exc())
        return Call(function, arguments)()


def _pickled(content: object) -> bytes:
    """By value what no other process can import, lambdas and functions of notebooks.

    That takes cloudpickle, and values that can be pickled; else by the names of functions.
    """
    with contextlib.suppress(Exception):  # whatever is reached from a function
        import cloudpickle

        return cloudpickle.dumps(content)
    return pickle.dumps(content)


def submitted(executor: Executor, call: Call) -> Future[Any]:
    """The future of a call; raises `EquibasisError` where the executor does not take it."""
    try:
        return executor.submit(call)
    except Exception as error:  # each executor has its own
        raise EquibasisError(_told(error)) from error


def result_of(future: Future[Any]) -> Any:
    """What a submitted call returned, waited for.

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
            f"cannot be sent to worker processes ({cause(error)}): define the transform at the top "
            "level of a module, or use --workers 1"
        )
    if isinstance(error, ModuleNotFoundError):
        return f"the workers of the executor have no module {error.name!r}: install it there"
    return f"the executor failed ({type(error).__name__}: {cause(error)}): give one that runs"
