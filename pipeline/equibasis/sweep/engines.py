"""Who works for a sweep: processes of ours, or a Dask cluster."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from dataclasses import dataclass
from typing import Any

import psutil

from equibasis.errors import EquibasisError, WorkerDiedError, naming_extras
from equibasis.symmetry.calls import Call, result_of, submitted
from equibasis.symmetry.workers import Processes

# How often a call is begun whose worker dies.
_TRIES = 2

# Seconds between looks at a cluster, and without a worker before it is given up.
_LOOK, _GIVEN_UP = 2.0, 60.0

# Seconds in which a scheduler answers.
_CONNECTED = 10.0

# Calls that a thread of a cluster is given at once: the next arrives while it works.
_AHEAD = 2


@dataclass
class Engine:
    """An executor, and what is known of it.

    Attributes
    ----------
    executor
        Which runs each call in a process of one thread.
    slots
        How many calls it is given at once.
    memory
        Bytes that a call may take; ``None`` for any number.
    look
        Called now and then: renews the rest; raises `EquibasisError` where nobody works any more.
    """

    executor: Executor
    slots: int
    memory: float | None
    look: Callable[[Engine], None] = lambda engine: None

    def run(self, function: Callable[..., Any], tasks: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """``function(task)`` for each task, begun in their order: its number and its result.

        The result of a task that fails is the error. A worker that dies costs its task alone, which
        is tried again, and is a `WorkerDiedError` if that one dies too.
        """
        waiting = deque((number, 1) for number in range(len(tasks)))
        running: dict[Future[Any], tuple[int, int]] = {}
        looked = time.monotonic()
        while waiting or running:
            while waiting and len(running) < self.slots:
                number, attempt = waiting.popleft()
                try:
                    future = submitted(self.executor, Call(function, (tasks[number],)))
                except EquibasisError as error:
                    self.look(self)  # it is this task's where the engine is well
                    yield number, error
                else:
                    running[future] = number, attempt
            done, _ = wait(running, _LOOK, FIRST_COMPLETED)
            if time.monotonic() > looked + _LOOK:
                self.look(self)
                looked = time.monotonic()
            for future in done:
                number, attempt = running.pop(future)
                if future.cancelled() or isinstance(future.exception(), OSError):
                    self.look(self)
                    raise EquibasisError(
                        "the executor lost what it was given, as where a scheduler has gone: "
                        "start it, and this sweep, again, which goes on where it was"
                    )
                result = _result_or_error(future)
                if isinstance(result, WorkerDiedError) and attempt < _TRIES:
                    waiting.appendleft((number, attempt + 1))
                else:
                    yield number, result


def _result_or_error(future: Future[Any]) -> Any:
    try:
        return result_of(future)
    except Exception as error:  # whatever goes wrong in one task, the others go on
        return error


# --- processes of our own -----------------------------------------------------------------------


@contextlib.contextmanager
def own_processes(count: int) -> Iterator[Engine]:
    """So many processes on this machine, which share its memory.

    All of it: what else runs when a sweep is planned may have ended before a job begins, and a job
    for which too little is free when it begins fails alone.
    """
    executor = _Apart(count)
    try:
        yield Engine(executor, count, psutil.virtual_memory().total / count)
    except BaseException:  # nobody wants what is still running
        executor.terminate()
        raise
    finally:
        executor.shutdown(cancel_futures=True)


class _Apart(Executor):
    """Processes that end alone: where one of a common pool dies, Python ends all of that pool."""

    def __init__(self, count: int) -> None:
        self._pools = [Processes(1) for _ in range(count)]
        self._last: list[Future[Any] | None] = [None] * count

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """To a process that has nothing to do; waits for one."""
        busy = [future for future in self._last if future is not None and not future.done()]
        if len(busy) == len(self._pools):
            wait(busy, return_when=FIRST_COMPLETED)
        free = next(n for n, last in enumerate(self._last) if last is None or last.done())
        try:
            future = self._pools[free].submit(fn, *args, **kwargs)
        except BrokenExecutor:  # the process has died
            self._pools[free] = Processes(1)
            future = self._pools[free].submit(fn, *args, **kwargs)
        self._last[free] = future
        return future

    def terminate(self) -> None:
        for pool in self._pools:
            pool.terminate()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As of any executor."""
        for pool in self._pools:
            pool.shutdown(wait, cancel_futures=cancel_futures)


# --- Dask ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def dask_cluster(address: str) -> Iterator[Engine]:
    """Yield the workers of a Dask scheduler, each of which has its own limit of memory.

    Raises
    ------
    EquibasisError
        If Dask is not installed, no scheduler answers, or it has no workers.
    """
    with naming_extras("--scheduler"):
        from distributed import Client
    _check_scheduler(address)
    for name in list(logging.root.manager.loggerDict):  # what goes wrong is told in a line, by us
        if name.partition(".")[0] in ("distributed", "tornado"):  # some have levels of their own
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    client = Client(address, timeout=_CONNECTED, set_as_default=False)
    none = EquibasisError(
        f"the Dask scheduler at {address} has no workers: start some by 'dask worker {address}'"
    )
    seen = time.monotonic()

    def look(engine: Engine) -> None:
        nonlocal seen
        known = client.scheduler_info(n_workers=-1).get("workers")
        if known is None or client.status not in ("running", "connecting"):
            raise EquibasisError(f"the Dask scheduler at {address} has gone: start it again")
        workers = known.values()
        if workers:
            seen = time.monotonic()
            engine.slots = _AHEAD * sum(each["nthreads"] for each in workers)
            limits = [each["memory_limit"] / each["nthreads"] for each in workers]
            engine.memory = min((limit for limit in limits if limit), default=None)
        elif time.monotonic() > seen + _GIVEN_UP:
            raise none

    with client:
        try:
            client.wait_for_workers(1, _GIVEN_UP)
        except TimeoutError as error:
            raise none from error
        engine = Engine(_OnCluster(client), 1, None, look)
        look(engine)
        yield engine


def _check_scheduler(address: str) -> None:
    """Raise `EquibasisError` unless a scheduler answers there in time; a client might wait on."""
    from distributed.core import rpc
    from distributed.security import Security

    async def asked() -> Any:
        secured = Security().get_connection_args("client")
        async with rpc(address, timeout=_CONNECTED, connection_args=secured) as whoever:
            return await whoever.identity()

    try:
        answer = asyncio.run(asyncio.wait_for(asked(), _CONNECTED))
        if answer["type"] != "Scheduler":
            raise ValueError(f"a {answer['type']} does")
    except Exception as error:  # whatever is wrong with the address, or listens there
        raise EquibasisError(
            f"no Dask scheduler answers at {address}: start one by 'dask scheduler', name its "
            f"address such as tcp://HOST:8786, and start workers by 'dask worker ADDRESS'"
        ) from error


class _OnCluster(Executor):
    """The workers of a client. Of Dask's own executor a future may never end, its worker lost."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """As of any executor."""
        future: Future[Any] = Future()
        theirs = self._client.submit(fn, *args, pure=False, **kwargs)
        theirs.add_done_callback(functools.partial(_hand_on, future))
        return future


def _hand_on(future: Future[Any], theirs: Any) -> None:
    if theirs.cancelled():
        future.cancel()
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = theirs.result()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)
