"""Any executor solves: the same basis as this process, and one line where the executor fails."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from types import ModuleType

import numpy as np
import pytest

import equibasis as eb
from equibasis.solvers import find_solver, problem, solve_space

# Permutations; several pairs of types, of a continuous group and of a finite one; tensor factors
# that are moved to the other side; all pairs at once.
PROBLEMS = [
    ("c4", "4x4", "3x3", "svd"),
    ("so3", "V**3 + V", "V**2 + l2", "auto"),
    ("i", "V**2 + 1", "V**2 + V", "auto"),
    ("so3", "V**4", "V", "auto"),
    ("c4", "4x4 + 1", "3x3", "dense"),
]


def shift(array, steps):
    return np.roll(array, steps)


def end_elsewhere(array, steps):
    if multiprocessing.parent_process() is not None:
        os._exit(3)
    return np.roll(array, steps)


def cyclic(transform, name="cyclic") -> eb.Group:
    return eb.Group(name, (0, 1, 2, 3), transform)


def processes() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))


@pytest.fixture(scope="module", params=["threads", "processes", "loky", "dask"])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    if request.param == "threads":
        with ThreadPoolExecutor(2) as found:
            yield found
    elif request.param == "processes":
        with processes() as found:
            yield found
    elif request.param == "loky":
        loky = pytest.importorskip("loky")
        with loky.ProcessPoolExecutor(1) as found:
            yield found
    else:
        distributed = pytest.importorskip("distributed")
        with (
            distributed.LocalCluster(
                n_workers=1, threads_per_worker=1, dashboard_address=":0"
            ) as cluster,
            distributed.Client(cluster) as client,
        ):
            yield client.get_executor()


@pytest.mark.parametrize(("group", "input_", "output", "solver"), PROBLEMS)
@pytest.mark.slow
def test_the_basis_is_that_of_one_process_to_the_last_bit(
    executor: Executor, group: str, input_: str, output: str, solver: str
) -> None:
    here = eb.solve(group, input=input_, output=output, solver=solver)
    there = eb.solve(group, input=input_, output=output, solver=solver, executor=executor)
    assert eb.content_sha256(there) == eb.content_sha256(here)
    assert there.solver == here.solver


def test_functions_without_a_module_are_sent_too(executor: Executor) -> None:
    pytest.importorskip("cloudpickle")
    basis = eb.solve(cyclic(lambda x, n: np.roll(x, n)), input="4", output="4", executor=executor)
    assert basis.rank == 4


def test_an_error_of_the_transform_is_told_as_in_this_process(executor: Executor) -> None:
    def fail(array, steps):
        raise ValueError("no")

    pytest.importorskip("cloudpickle")
    group = eb.Group("failing", (0, 1), lambda x, n: fail(x, n) if x.any() else x)
    with pytest.raises(eb.GroupError, match="element 0, column 0 of 4: ValueError: no"):
        eb.solve(group, output="4", executor=executor)


def test_an_executor_serves_several_problems(executor: Executor) -> None:
    for group in ("c2", "c4"):
        space = problem(group, output="4x4", executor=executor)
        assert (
            solve_space(space, find_solver("svd"), executor).rank
            == eb.solve(group, output="4x4").rank
        )


def test_get_basis_takes_an_executor(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("EQUIBASIS_CACHE", str(tmp_path))
    with ThreadPoolExecutor(1) as threads:
        basis = eb.get_basis("c4", output="4x4", executor=threads)
    assert basis.rank == 4


def test_workers_and_an_executor_are_not_both_given() -> None:
    with ThreadPoolExecutor(1) as threads, pytest.raises(eb.EquibasisError, match="leave one out"):
        eb.solve("c4", output="4x4", workers=2, executor=threads)


class Client:
    def submit(self, function):
        """As Dask's, which is no executor."""


@pytest.mark.parametrize("wrong", [2, "threads", ThreadPoolExecutor, Client()])
def test_what_is_no_executor_is_refused(wrong) -> None:
    with pytest.raises(eb.EquibasisError, match=r"an executor is a concurrent\.futures") as told:
        eb.solve("c4", output="4x4", executor=wrong)
    assert ("client.get_executor()" in str(told.value)) == isinstance(wrong, (Client, type))


# --- groups that change ------------------------------------------------------------------------

CYCLIC = """
import numpy as np
import equibasis as eb

def shift(array, steps):
    return np.roll(array, {steps})

cyclic = eb.Group("cyclic", (0, 1, 2, 3), shift)
"""


@pytest.fixture
def long_lived() -> Iterator[Executor]:
    with processes() as found:
        yield found


def test_a_module_that_was_changed_is_not_the_one_that_a_worker_knows(
    long_lived: Executor, tmp_path, monkeypatch
) -> None:
    pytest.importorskip("cloudpickle")
    ranks = ranks_before_and_after_a_change("shifts_by_value", long_lived, tmp_path, monkeypatch)
    assert ranks == [4, 8]


def test_a_module_that_was_changed_is_told_where_it_is_sent_by_name(
    long_lived: Executor, tmp_path, monkeypatch
) -> None:
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    with pytest.raises(eb.EquibasisError, match="another shifts_by_name than there is now"):
        ranks_before_and_after_a_change("shifts_by_name", long_lived, tmp_path, monkeypatch)


def ranks_before_and_after_a_change(name, executor: Executor, folder, monkeypatch) -> list[int]:
    """The ranks of maps from 4 points to 4, of all four shifts and of two of them."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    ranks = []
    for steps in ("steps", "2 * steps"):
        (folder / f"{name}.py").write_text(CYCLIC.format(steps=steps), encoding="utf-8")
        sys.modules.pop(name, None)  # as in the next process that solves
        basis = eb.solve(f"{name}:cyclic", input="4", output="4", executor=executor)
        ranks.append(basis.rank)
    return ranks


# --- executors that fail ------------------------------------------------------------------------


def test_an_executor_that_was_shut_down_is_told() -> None:
    threads = ThreadPoolExecutor(1)
    threads.shutdown()
    with pytest.raises(eb.EquibasisError, match=r"executor failed.*after shutdown"):
        eb.solve("so3", input="V", output="V", executor=threads)


@pytest.fixture(scope="module")
def unsendable() -> Iterator[ProcessPoolExecutor]:
    with processes() as found:
        yield found


def test_what_does_not_pickle_is_told(unsendable: Executor) -> None:
    lock = threading.Lock()
    group = cyclic(lambda x, n: np.roll(x, n) if lock else x)
    with pytest.raises(eb.EquibasisError, match="cannot be sent to worker processes"):
        eb.solve(group, output="4", executor=unsendable)


def test_a_group_that_workers_cannot_import_is_told(unsendable: Executor, monkeypatch) -> None:
    ghost = ModuleType("ghost")
    exec("import numpy\ndef shift(x, n):\n    return numpy.roll(x, n)\n", vars(ghost))
    monkeypatch.setitem(sys.modules, "ghost", ghost)
    with pytest.raises(eb.EquibasisError, match=r"cannot import .*'ghost'.*install the module"):
        eb.solve(cyclic(ghost.shift), output="4", executor=unsendable)


def test_a_worker_that_dies_is_told() -> None:
    with processes() as broken:
        for _ in range(2):  # found broken, it is no other error
            with pytest.raises(eb.EquibasisError, match="a worker process died"):
                eb.solve(cyclic(end_elsewhere), output="4", executor=broken)


# --- what is sent -------------------------------------------------------------------------------


def test_a_part_is_sent_without_the_space_that_it_is_part_of() -> None:
    space = problem("so3", input="200*V + V**2", output="V")
    part = space.between(space.types.input[0].type, space.types.output[0].type)
    assert len(pickle.dumps(part)) < 10_000
    sent = pickle.loads(pickle.dumps(part))
    assert sent.rank_by_weights == part.rank_by_weights == 1
    for one, other in zip(sent.algebra_basis, part.algebra_basis, strict=True):
        for a, b in zip(one, other, strict=True):
            assert (a != b).nnz == 0
