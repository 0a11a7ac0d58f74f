"""Worker processes: one pool for a whole run, started only when the work outlasts its start."""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import pickle
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any, TypeVar, cast

from tqdm import tqdm

from equibasis.errors import EquibasisError
from equibasis.linalg.numbers import whole_number
from equibasis.symmetry.user_module import off_the_path, put_on_path

Result = TypeVar("Result")

# A pool that has to import NumPy in fresh processes takes about this long to be of use (seconds).
_POOL_START = 0.5


# More processes than any machine has cores are a slip of the keyboard.
_MOST_WORKERS = 1024


class Workers:
    """A pool of worker processes, as a context manager.

    Parameters
    ----------
    count
        Processes to use. Given, it is obeyed: 1 means this process alone, more means a pool at
        once. ``None``, the default, means all cores, but tasks run in this process until they
        have taken as long as a pool takes to start; most problems end before that.
    """

    def __init__(self, count: int | None = None) -> None:
        if count is not None:
            count = whole_number(count, "workers", least=1, most=_MOST_WORKERS)
        self._patience = _POOL_START if count is None else 0.0
        self._count = count or os.cpu_count() or 1
        self._pool: ProcessPoolExecutor | None = None
        self._others: set[BaseProcess] = set()

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            if kind is not None and not issubclass(kind, Exception):  # interrupted, or asked to end
                for process in set(multiprocessing.active_children()) - self._others:
                    process.terminate()
            self._pool.shutdown(cancel_futures=True)

    def map(
        self, function: Callable[..., Result], tasks: Sequence[tuple[Any, ...]], what: str
    ) -> Iterator[Result]:
        """``function(*task)`` for each task, in order; a progress bar, ``what``, after 2 s."""
        bar = tqdm(total=len(tasks), desc=what, delay=2, disable=None, leave=False)
        with bar:
            for result in self._results(function, tasks):
                bar.update()
                yield result

    def _results(
        self, function: Callable[..., Result], tasks: Sequence[tuple[Any, ...]]
    ) -> Iterator[Result]:
        remaining = iter(tasks)
        while self._pool is None and (self._count == 1 or self._patience > 0):
            start = time.perf_counter()
            task = next(remaining, None)
            if task is None:
                return
            result = function(*task)
            self._patience -= time.perf_counter() - start
            yield result
        rest = list(remaining)
        if not rest:
            return
        _check_pickles(function, rest[0])
        try:
            with _without_current_folder(), off_the_path() as folders:
                results = self._started(folders).map(function, *zip(*rest, strict=True))
            yield from results
        except BrokenProcessPool as error:
            raise EquibasisError(
                "a worker process died: it was killed, or out of memory (try fewer with "
                "--workers), or the script that started it lacks an if __name__ == '__main__'"
            ) from error

    def _started(self, folders: list[str]) -> ProcessPoolExecutor:
        if self._pool is None:
            self._others = set(multiprocessing.active_children())
            self._pool = ProcessPoolExecutor(self._count, _start_method(), _begin, (folders,))
        return self._pool


def _begin(folders: list[str]) -> None:
    """Make a worker ready: what we need is imported before the user's folders are on its path."""
    # Ctrl-C ends a worker without a word: the process that it works for says it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    importlib.import_module("equibasis.symmetry.building")
    put_on_path(folders)


def _start_method() -> BaseContext:
    """What the user set, or the platform's default; never fork, which threads do not survive.

    A progress bar, of ours or of others, sets fork where nobody has chosen.
    """
    method = cast("str | None", multiprocessing.get_start_method(allow_none=True))
    if method in (None, "fork") and "forkserver" in multiprocessing.get_all_start_methods():
        method = "forkserver"
    return multiprocessing.get_context(method)


@contextlib.contextmanager
def _without_current_folder() -> Iterator[None]:
    """Start processes that do not look there for what they import before our path is handed on.

    Python 3.10 knows no such thing.
    """
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = before


def _check_pickles(function: Callable[..., Any], task: tuple[Any, ...]) -> None:
    try:
        pickle.dumps((function, task))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise EquibasisError(
            f"cannot be sent to worker processes ({error}): define the transform at the top "
            "level of a module, or use --workers 1"
        ) from error
