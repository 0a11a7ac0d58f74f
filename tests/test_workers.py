"""Worker processes: the same results in the same order, and errors that say what happened."""

from __future__ import annotations

import os
import threading
import time

import numpy as np
import psutil
import pytest

import by_hand
import equibasis as eb
from equibasis.symmetry import workers as workers_module
from equibasis.symmetry.workers import Processes, Workers


def square(x):
    return x * x


def process_of(_):
    return os.getpid()


def slow_if_even(x):
    time.sleep(0.02 * (x % 2 == 0))
    return x


def die_unless_in(process):
    if os.getpid() != process:
        os._exit(3)


def refuse(x):
    raise eb.GroupError(f"task {x}")


def run(count, function, number):
    with Workers(count) as pool:
        return list(pool.map(function, [(x,) for x in range(number)], "test"))


@pytest.mark.parametrize("count", [None, 1, 2])
def test_results_come_in_the_order_of_their_tasks(count):
    assert run(count, slow_if_even, 9) == list(range(9))


@pytest.mark.parametrize("count", [None, 1, 2])
def test_no_tasks_have_no_results(count):
    assert run(count, square, 0) == []


def test_one_worker_is_this_process():
    assert set(run(1, process_of, 5)) == {os.getpid()}


def test_two_workers_are_other_processes_at_once():
    assert os.getpid() not in run(2, process_of, 5)


def test_left_alone_short_work_stays_in_this_process():
    assert set(run(None, process_of, 5)) == {os.getpid()}


def test_left_alone_long_work_moves_to_other_processes(monkeypatch):
    monkeypatch.setattr(workers_module, "_POOL_START", 1e-9)  # all work is long
    monkeypatch.setattr(workers_module, "cores", lambda: 2)
    first, *rest = run(None, process_of, 5)
    assert first == os.getpid()
    assert os.getpid() not in rest


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="has no affinity")
def test_all_cores_are_those_that_this_process_may_run_on():
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert workers_module.cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert workers_module.cores() == len(allowed)


def test_a_pool_serves_several_rounds_and_then_ends():
    with Workers(2) as pool:
        first = set(pool.map(process_of, [(0,)] * 8, "first"))
        second = set(pool.map(process_of, [(0,)] * 8, "second"))
        assert len(first | second) <= 2
    assert not any(psutil.pid_exists(process) for process in first | second)


@pytest.mark.parametrize("count", [0, -1])
def test_there_is_at_least_one_worker(count):
    with pytest.raises(eb.EquibasisError, match="workers must be at least 1"):
        Workers(count)


@pytest.mark.parametrize("count", [1, 2])
def test_an_error_in_a_task_keeps_its_kind_and_message(count):
    with pytest.raises(eb.GroupError, match="task 0"):
        run(count, refuse, 3)


def test_a_worker_that_dies_is_an_error_not_a_wait():
    with Workers(2) as pool, pytest.raises(eb.EquibasisError, match="worker process died"):
        list(pool.map(die_unless_in, [(os.getpid(),)], "test"))


def test_an_interruption_is_quiet_even_where_the_pool_is_late_to_hear_of_it(monkeypatch):
    """Its thread finds dead processes first, and what waits for them; none may be cancelled yet."""
    wrong, terminate = [], Processes.terminate
    monkeypatch.setattr(threading, "excepthook", wrong.append)
    monkeypatch.setattr(Processes, "terminate", lambda pool: (terminate(pool), time.sleep(0.5)))

    def interrupted(future):
        future.result()
        raise KeyboardInterrupt

    monkeypatch.setattr(workers_module, "result_of", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(2, slow_if_even, 200)
    assert not wrong


def test_what_cannot_be_sent_is_refused_with_the_remedy():
    lock = threading.Lock()
    with pytest.raises(eb.EquibasisError, match="top level of a module, or use --workers 1"):
        run(2, lambda x: (x, lock), 2)


def test_what_has_no_module_is_sent_by_value():
    pytest.importorskip("cloudpickle")
    assert run(2, lambda x: x + 1, 3) == [1, 2, 3]


def test_what_cannot_be_sent_need_not_be_with_one_worker():
    assert run(1, lambda x: x, 2) == [0, 1]


def test_a_task_that_cannot_be_sent_is_refused_too():
    with Workers(2) as pool, pytest.raises(eb.EquibasisError, match="cannot be sent"):
        list(pool.map(square, [(threading.Lock(),)], "test"))


@pytest.mark.parametrize("group", ["c4", "d4"])
def test_the_basis_does_not_depend_on_the_number_of_workers(group):
    hashes = {
        eb.content_sha256(eb.solve(group, input="4x4", output="3x3", workers=w))
        for w in (None, 1, 2)
    }
    assert len(hashes) == 1


SPAWN = """
import multiprocessing
import equibasis
import shifts

if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    for group in ("c4", "shifts:cyclic"):
        shape = "3x3" if group == "c4" else "4"
        alone = equibasis.solve(group, input=shape, output=shape, workers=1)
        together = equibasis.solve(group, input=shape, output=shape, workers=2)
        assert equibasis.content_sha256(alone) == equibasis.content_sha256(together)
        print(together.rank)
"""

SHIFTS = """
import numpy
import equibasis

def shift(array, steps):
    return numpy.roll(array, steps)

cyclic = equibasis.Group("cyclic", tuple(range(4)), shift)
"""


def test_spawned_workers_find_the_groups_too(python, tmp_path):
    (tmp_path / "shifts.py").write_text(SHIFTS)
    (tmp_path / "script.py").write_text(SPAWN)
    outcome = python("script.py")
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out.split() == ["21", "4"]


def test_a_group_of_the_user_is_solved_by_two_workers(write_module):
    write_module("shifts", SHIFTS)
    basis = eb.solve("shifts:cyclic", input="4", output="4", workers=2)
    assert basis.rank == 4
    assert by_hand.invariance_error(basis.space, basis) < 1e-15
    np.testing.assert_allclose(by_hand.dense(basis).sum(), 8.0)


def test_workers_are_not_forked_though_a_progress_bar_has_chosen_fork(python, tmp_path) -> None:
    """tqdm makes a lock when its first bar is made, which settles how processes are started."""
    (tmp_path / "noted.py").write_text(
        "import sys\ndef where(_):\n    return hasattr(sys.modules['__main__'], 'of_the_parent')\n",
        encoding="utf-8",
    )
    (tmp_path / "script.py").write_text(
        "import noted, tqdm\n"
        "from equibasis.symmetry.workers import Workers\n"
        "if __name__ == '__main__':\n"
        "    of_the_parent = True\n"
        "    tqdm.tqdm(total=1, disable=False, leave=False).close()\n"
        "    with Workers(2) as pool:\n"
        "        print(*set(pool.map(noted.where, [(0,), (1,), (2,)], 'tasks')))\n",
        encoding="utf-8",
    )
    done = python("script.py")
    assert done.status == 0, done.err
    assert done.out == "False\n"  # where a forked process would have what its parent has


KILLED = """
import os, signal, time
from equibasis.symmetry.workers import Processes

if __name__ == "__main__":
    pool = Processes(1)
    print(pool.submit(os.getpid).result(), flush=True)
    pool.submit(time.sleep, 20)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(os.name == "nt", reason="has no SIGKILL")
def test_workers_end_with_a_parent_that_was_killed(python, tmp_path) -> None:
    (tmp_path / "script.py").write_text(KILLED, encoding="utf-8")
    worker = int(python("script.py").out)  # where its streams are closed, the worker has gone too
    psutil.wait_procs([psutil.Process(worker)] if psutil.pid_exists(worker) else [], timeout=5)
    assert not psutil.pid_exists(worker)
