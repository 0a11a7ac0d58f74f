"""Workers: whoever runs the calls of a problem, this process, processes of ours, or an executor."""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from multiprocessing.context import BaseContext
from typing import Any, TypeVar, cast

from tqdm import tqdm

from equibasis.errors import EquibasisError
from equibasis.linalg.numbers import whole_number
from equibasis.symmetry.calls import Call, result_of, submitted
from equibasis.symmetry.user_module import off_the_path

Result = TypeVar("Result")

# A pool that has to import NumPy in fresh processes takes about this long to be of use (seconds).
_POOL_START = 0.5

# More processes than any machine has cores are a slip of the keyboard.
_MOST_WORKERS = 1024


def cores() -> int:
    """How many cores this process may run on: `taskset`, or a container, may leave it a few."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Workers:
    """Who runs the calls of a problem, as a context manager.

    Parameters
    ----------
    count
        Processes to use. Given, it is obeyed: 1 means this process alone, more means a pool at
        once. ``None``, the default, means all cores, but tasks run in this process until they
        have taken as long as a pool takes to start; most problems end before that.
    executor
        Runs all tasks in place of processes of our own; it is not shut down.

    Raises
    ------
    EquibasisError
        If both are given, or the one is no number of processes or the other no executor.
    """

    def __init__(self, count: int | None = None, executor: Executor | None = None) -> None:
        if count is not None:
            count = whole_number(count, "workers", least=1, most=_MOST_WORKERS)
        if executor is not None:
            _check_executor(executor, count)
        self._patience = _POOL_START if count is None else 0.0
        self._count = count or cores()
        self._executor = executor
        self._own: Processes | None = None

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._own is not None:
            if kind is not None and not issubclass(kind, Exception):  # interrupted, or asked to end
                self._own.terminate()
            self._own.shutdown(cancel_futures=True)

    def map(
        self, function: Callable[..., Result], tasks: Sequence[tuple[Any, ...]], what: str
    ) -> Iterator[Result]:
        """``function(*task)`` for each task, in order; a progress bar, ``what``, after 2 s."""
        results, count = self._results(function, tasks), len(tasks)
        yield from tqdm(results, what, count, delay=2, disable=None, leave=False)

    def _results(
        self, function: Callable[..., Result], tasks: Sequence[tuple[Any, ...]]
    ) -> Iterator[Result]:
        remaining = deque(tasks)
        while remaining and self._executor is None and (self._count == 1 or self._patience > 0):
            start = time.perf_counter()
            result = function(*remaining.popleft())
            self._patience -= time.perf_counter() - start
            yield result
        if not remaining:
            return
        if self._executor is None:
            self._executor = self._own = Processes(self._count)
        futures = deque(submitted(self._executor, Call(function, task)) for task in remaining)
        try:
            while futures:
                yield result_of(futures.popleft())
        finally:
            # Our own pool drops them as it ends; of cancelled ones its thread would print an error,
            # were it to find its processes terminated first.
            for future in futures if self._own is None else ():
                future.cancel()


def _check_executor(executor: object, count: int | None) -> None:
    if count is not None:
        raise EquibasisError("workers and executor are two ways to say who works: leave one out")
    if not isinstance(executor, Executor):
        hint = "; a Dask Client's is client.get_executor()" if hasattr(executor, "submit") else ""
        raise EquibasisError(
            f"an executor is a concurrent.futures.Executor, not {type(executor).__name__}{hint}"
        )


# --- processes of our own -------------------------------------------------------------------------

# Processes side by side that each compute in many threads wait for each other.
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Processes(ProcessPoolExecutor):
    """A pool of worker processes, which are started as calls are submitted."""

    def __init__(self, count: int) -> None:
        with _environment(), off_the_path():  # which has a process of its own to track them
            super().__init__(count, _start_method(), _begin)
        self._others = set(multiprocessing.active_children())

    def submit(self, fn: Callable[..., Result], /, *args: Any, **kwargs: Any) -> Future[Result]:
        """As of any executor; a `Call` that cannot be sent raises at once.

        Where Python pickles it later, in a thread of the pool, the pool may never end.
        """
        if isinstance(fn, Call):
            make, parts = fn.__reduce__()
            fn = make(*parts)
        with _environment(), off_the_path():
            return super().submit(fn, *args, **kwargs)

    def terminate(self) -> None:
        """End the processes now, whatever they are doing."""
        for process in set(multiprocessing.active_children()) - self._others:
            process.terminate()


def _begin() -> None:
    """Make a worker ready: what we need is imported before the user's folders are on its path."""
    # Ctrl-C ends a worker without a word: the process that it works for says it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    tqdm.set_lock(threading.RLock())  # its own is a semaphore, which a killed process leaves behind
    importlib.import_module("equibasis.symmetry.building")


def _end_with_parent() -> None:
    """End this process as soon as the one that it works for has gone, however that was ended."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _start_method() -> BaseContext:
    """Return the user's start method, or the platform's; never fork, which breaks threads.

    A progress bar, of ours or of others, sets fork where nobody has chosen.
    """
    method = cast("str | None", multiprocessing.get_start_method(allow_none=True))
    if method in (None, "fork") and "forkserver" in multiprocessing.get_all_start_methods():
        method = "forkserver"
    return multiprocessing.get_context(method)


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """Start processes of one thread, unless the user has said otherwise.

    Nor do they look in the current folder for what they import before our path is handed on;
    Python 3.10 knows no such thing.
    """
    wanted = {name: os.environ.get(name, "1") for name in _ONE_THREAD} | {"PYTHONSAFEPATH": "1"}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, text in before.items():
            if text is None:
                del os.environ[name]
            else:
                os.environ[name] = text
