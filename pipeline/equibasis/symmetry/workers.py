"""Worker processes: one pool for a whole run, started only when the work outlasts its start."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.context import BaseContext
from types import TracebackType
from typing import Any, TypeVar, cast

from tqdm import tqdm

from equibasis.errors import EquibasisError
from equibasis.linalg.numbers import whole_number

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

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._pool is not None:
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
            yield from self._started().map(function, *zip(*rest, strict=True))
        except BrokenProcessPool as error:
            raise EquibasisError(
                "a worker process died: it was killed, or out of memory (try fewer with "
                "--workers), or the script that started it lacks an if __name__ == '__main__'"
            ) from error

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(self._count, _start_method())
        return self._pool


def _start_method() -> BaseContext:
    """What the user set, or the platform's default; never fork, which threads do not survive."""
    method = cast("str | None", multiprocessing.get_start_method(allow_none=True))
    if method is None and "forkserver" in multiprocessing.get_all_start_methods():
        method = "forkserver"
    return multiprocessing.get_context(method)


def _check_pickles(function: Callable[..., Any], task: tuple[Any, ...]) -> None:
    try:
        pickle.dumps((function, task))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise EquibasisError(
            f"cannot be sent to worker processes ({error}): define the transform at the top "
            "level of a module, or use --workers 1"
        ) from error
