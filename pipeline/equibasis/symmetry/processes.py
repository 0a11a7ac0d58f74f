"""Processes of our own as an executor: started safely, each of one thread."""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing.context import BaseContext
from typing import Any, TypeVar, cast

from tqdm import tqdm

from equibasis.symmetry.calls import Call
from equibasis.symmetry.user_module import off_the_path

Result = TypeVar("Result")

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
        work = fn.sent() if isinstance(fn, Call) else fn
        with _environment(), off_the_path():
            return super().submit(work, *args, **kwargs)

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
    """What the user set, or the platform's default; never fork, which threads do not survive.

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
