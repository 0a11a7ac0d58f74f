"""Sweeps: a folder of bases from a list, continued where it was stopped, whoever dies meanwhile."""

from __future__ import annotations

import contextlib
import csv
import importlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import equibasis as eb
from equibasis.artifact.store import verify_file
from equibasis.sweep import engines
from equibasis.sweep.engines import Engine, dask_cluster, own_processes
from equibasis.sweep.index import Result, times_path
from equibasis.sweep.jobs import Job, read_sweep
from equibasis.sweep.run import Plan, check_fits, only_sweep, plan, run
from equibasis.sweep.solving import Solved, Task, solve_task
from projects import REPOSITORY, attempt
from projects import run as run_command

TWENTY = """
- groups: [c4, d4]
  inputs: [3x3, 4x4]
  outputs: [1, 3x3]
  solvers: [auto, svd]
- groups: [so3, "so+1,3"]
  problems: [V**2 -> V**2, V**3 -> V]
"""


def jobs_of(text: str, folder: Path) -> dict[str, Job]:
    (folder / "sweep.yaml").write_text(text, encoding="utf-8")
    return read_sweep(folder / "sweep.yaml")


def solved(text: str, folder: Path, engine: Engine) -> tuple[Plan, dict[str, Result]]:
    planned = plan(jobs_of(text, folder), folder / "bases", engine)
    check_fits(planned)
    return planned, run(planned, engine)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def index(folder: Path) -> list[dict[str, str]]:
    return rows(folder / "index.csv")


def times(folder: Path) -> list[dict[str, str]]:
    return rows(times_path(folder))


def identities(folder: Path) -> dict[str, int]:
    """Which file each basis is: one written anew is another."""
    return {path.name: path.stat().st_ino for path in folder.glob("*.h5")}


@pytest.fixture(scope="module")
def processes() -> Iterator[Engine]:
    with own_processes(2) as engine:
        yield engine


@pytest.fixture(scope="module")
def cluster() -> Iterator[tuple[Engine, Callable[[], list[int]]]]:
    """An engine of two worker processes of Dask on loopback, and what tells which these are.

    It begins a call twice before it says that its workers die.
    """
    distributed = pytest.importorskip("distributed")
    dask = importlib.import_module("dask")
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50
        ) as found,
        dask_cluster(found.scheduler_address) as engine,
    ):
        yield engine, lambda: [each.pid for each in found.workers.values() if each.pid]


# --- the file -----------------------------------------------------------------------------------


def test_groups_are_crossed_with_problems_and_solvers(tmp_path) -> None:
    found = jobs_of("groups: [c4, d4]\nproblems: ['3x3->1']\nsolvers: [svd, auto]", tmp_path)
    assert found == {
        "c4_3x3_to_1_svd.h5": Job("c4", "3x3", "1", "svd"),
        "c4_3x3_to_1.h5": Job("c4", "3x3", "1"),
        "d4_3x3_to_1_svd.h5": Job("d4", "3x3", "1", "svd"),
        "d4_3x3_to_1.h5": Job("d4", "3x3", "1"),
    }


def test_inputs_are_crossed_with_outputs_and_numbers_are_spaces(tmp_path) -> None:
    found = jobs_of("groups: [s4]\ninputs: [1, 4]\noutputs: [4, 4x4]", tmp_path)
    assert list(found) == ["s4_4.h5", "s4_4x4.h5", "s4_4_to_4.h5", "s4_4_to_4x4.h5"]


def test_a_problem_that_occurs_twice_is_one_however_it_is_written(tmp_path) -> None:
    found = jobs_of("groups: [so3, so3]\nproblems: [V**2 -> V, 'V ** 2->V']", tmp_path)
    assert len(found) == 1


def test_files_have_names_of_their_own_where_names_have_no_case(tmp_path) -> None:
    first, second = jobs_of("groups: [D4, d4]\nproblems: [V -> V]", tmp_path)
    assert first.startswith("D4_V_to_V-")
    assert second == "d4_V_to_V.h5"
    # The same whatever else is asked for: nothing is solved again for another order.
    assert list(jobs_of("groups: [d4, D4]\nproblems: [V -> V]", tmp_path)) == [second, first]


def test_spaces_that_are_called_alike_have_each_a_hash(tmp_path) -> None:
    found = jobs_of("groups: [so3]\nproblems: ['(V + 1)*V -> V', 'V + 1*V -> V']", tmp_path)
    assert len(found) == 2


def test_long_problems_have_names_that_systems_take(tmp_path) -> None:
    grids = " + ".join(f"{n}x{n}" for n in range(2, 60))
    (name,) = jobs_of(f"groups: [c4]\nproblems: ['{grids} -> 1']", tmp_path)
    assert len(name) < 120


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("groups: [c4", "is not valid YAML"),
        ("groups: [c4]\ngroups: [d4]\nproblems: [1 -> 3x3]", "the key 'groups' is there twice"),
        ("[" * 5000, "is not valid YAML"),
        ("", "the whole"),
        ("[]", "names no problems"),
        ("groups: [c4]", "names no problems"),
        ("problems: [1 -> 3x3]", "groups: Field required"),
        ("groups: c4\nproblems: [1 -> 3x3]", "groups: Input should be a valid list"),
        ("groups: [c4]\nproblem: [1 -> 3x3]", "problem: Extra inputs"),
        ("groups: [c4]\nproblems: [3x3]", "write 'input -> output'"),
        ("groups: [c4]\nproblems: [3x -> 1]", "space '3x ': "),
        ("groups: [c4]\nproblems: [1 -> 3x3]\nsolvers: [best]", "unknown solver 'best'"),
        ("groups: [2.5]\nproblems: [1 -> 3x3]", "groups.0: Input should be a valid string"),
        ("- groups: [c4]\n  problems: [1 -> 1]\n- 3", "1: Input should be"),
    ],
)
def test_what_is_no_sweep_is_refused_naming_the_part(text: str, said: str, tmp_path) -> None:
    with pytest.raises(eb.ParametersError) as told:
        jobs_of(text, tmp_path)
    assert str(told.value).startswith(str(tmp_path / "sweep.yaml"))
    assert said in str(told.value)


# --- what is known beforehand -------------------------------------------------------------------


def test_what_does_not_fit_is_refused_by_name_before_anything_is_begun(
    tmp_path, processes: Engine
) -> None:
    text = "groups: [so3, c4, own:missing]\nproblems: [V -> V, 1 -> 3x3]"
    planned = plan(jobs_of(text, tmp_path), tmp_path / "bases", processes)
    with pytest.raises(eb.ParametersError) as told:
        check_fits(planned)
    for name in ("3 of 6", "so3: 1 -> 3x3: ", "own:missing: V -> V, own:missing: 1 -> 3x3: "):
        assert name in str(told.value)
    assert str(told.value).count("module 'own' does not import") == 1
    assert not (tmp_path / "bases").exists()


def test_what_is_beyond_the_memory_of_a_worker_is_refused_by_name(
    tmp_path, processes: Engine
) -> None:
    jobs = jobs_of("groups: [so3]\nproblems: [V**2 -> V, V**4 -> V**4]", tmp_path)
    planned = plan(jobs, tmp_path / "bases", processes, memory_limit=101e6)
    assert list(planned.refused) == ["so3_V_4_to_V_4.h5"]
    (reason,) = planned.refused.values()
    assert re.search(r"would take about 1\d\d\.\d MB, and a worker may take 101\.0 MB", reason)


def test_long_jobs_are_begun_first(tmp_path, processes: Engine) -> None:
    text = "groups: [so3]\nproblems: [V -> V, V**5 -> V**5, V**3 -> V**2]"
    planned = plan(jobs_of(text, tmp_path), tmp_path / "bases", processes)
    assert planned.to_solve == ["so3_V_5_to_V_5.h5", "so3_V_3_to_V_2.h5", "so3_V_to_V.h5"]
    ranks = [each.prediction.rank for each in planned.forecasts.values() if each.prediction]
    assert ranks == [1, 603, 6]


# --- solving ------------------------------------------------------------------------------------


def test_every_file_holds_what_the_index_says(tmp_path, processes: Engine) -> None:
    planned, _ = solved(TWENTY, tmp_path, processes)
    found = index(tmp_path / "bases")
    assert [row["file"] for row in found] == list(planned.jobs)
    assert {row["file"] for row in found} == set(identities(tmp_path / "bases"))
    for row, took in zip(found, times(tmp_path / "bases"), strict=True):
        basis, _ = verify_file(tmp_path / "bases" / row["file"])
        job = planned.jobs[row["file"]]
        assert (row["group"], row["input"], row["output"]) == (job.group, job.input, job.output)
        assert (int(row["rank"]), row["solver"]) == (basis.rank, basis.solver)
        assert row["content_sha256"] == eb.content_sha256(basis)
        anew = eb.solve(job.group, input=job.input, output=job.output, solver=job.solver)
        assert row["content_sha256"] == eb.content_sha256(anew)  # built once more
        assert (row["status"], row["reason"]) == ("solved", "")
        assert (took["file"], took["content_sha256"]) == (row["file"], row["content_sha256"])
        assert float(took["seconds"]) >= 0
        assert int(took["peak_memory"]) > 2**20


def test_a_sweep_goes_on_where_it_was_stopped(tmp_path, processes: Engine) -> None:
    few = "groups: [c4, d4]\nproblems: [1 -> 3x3, 3x3 -> 3x3]"
    folder = tmp_path / "bases"
    solved(few, tmp_path, processes)
    before = identities(folder)
    (folder / "c4_3x3.h5").write_bytes(b"damaged")
    shutil.copy(folder / "d4_3x3.h5", folder / "d4_4x4.h5")  # of another problem
    (folder / "d4_3x3_to_3x3.h5").unlink()
    planned, _ = solved(few.replace("[1 ->", "[1 -> 4x4, 1 ->"), tmp_path, processes)
    assert set(planned.kept) == {"c4_3x3_to_3x3.h5", "d4_3x3.h5"}
    after = identities(folder)
    assert {name for name in before if after[name] == before[name]} >= set(planned.kept)
    assert len(after) == 6
    for name in after:
        verify_file(folder / name)


def test_the_index_of_a_sweep_that_was_all_there_is_the_same_times_too(
    tmp_path, processes: Engine
) -> None:
    text = "groups: [c4]\nproblems: [1 -> 3x3, 3x3 -> 3x3]"
    solved(text, tmp_path, processes)
    files = tmp_path / "bases" / "index.csv", times_path(tmp_path / "bases")
    first = [file.read_bytes() for file in files]
    planned, _ = solved(text, tmp_path, processes)
    assert not planned.to_solve
    assert [file.read_bytes() for file in files] == first


def test_of_two_sweeps_into_one_folder_the_second_is_refused_and_solves_nothing(
    command, tmp_path
) -> None:
    jobs_of("groups: [c4]\nproblems: [1 -> 3x3]", tmp_path)
    with only_sweep(tmp_path / "sweep"):
        done = command("sweep", tmp_path / "sweep.yaml", "--workers", 1)
        assert (done.status, done.out) == (2, "")
        assert f"another sweep writes to {tmp_path / 'sweep'}: wait for its end" in done.err
        assert not (tmp_path / "sweep").exists()
    assert command("sweep", tmp_path / "sweep.yaml", "--workers", 1).status == 0
    assert not (tmp_path / "sweep.lock").exists()


def test_a_sweep_that_is_interrupted_leaves_the_index_of_what_was_done(
    tmp_path, processes: Engine, monkeypatch
) -> None:
    planned = plan(
        jobs_of("groups: [c4]\ninputs: [1]\noutputs: [3x3, 4x4, 5x5]", tmp_path),
        tmp_path / "bases",
        processes,
    )
    usual = processes.run

    def interrupted(*arguments):
        for number, result in usual(*arguments):
            yield number, result
            raise KeyboardInterrupt

    monkeypatch.setattr(processes, "run", interrupted)
    with contextlib.suppress(KeyboardInterrupt):
        run(planned, processes)
    statuses = sorted(row["status"] for row in index(tmp_path / "bases"))
    assert statuses == ["not begun", "not begun", "solved"]


# --- workers that die ---------------------------------------------------------------------------

kills = pytest.mark.skipif(sys.platform == "win32", reason="has no SIGKILL")


def dies_once(task: Task) -> Solved:
    """Where "deadly" is beside the folder, its first solver removes that, and dies."""
    with contextlib.suppress(FileNotFoundError):
        (task.path.parent.parent / "deadly").unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    return solve_task(task)


def dies_always(task: Task) -> Solved:
    """Where "deadly" is beside the folder, who solves this job dies."""
    if task.path.name == "c2_2x2.h5" and (task.path.parent.parent / "deadly").exists():
        os.kill(os.getpid(), signal.SIGKILL)
    return solve_task(task)


@kills
@pytest.mark.parametrize(
    ("dies", "where"),
    [(dies_once, "processes"), (dies_always, "processes"), (dies_always, "cluster")],
)
@pytest.mark.slow
def test_a_job_that_kills_its_worker_is_tried_again_and_then_told_by_name(
    dies: Callable[[Task], Solved], where: str, tmp_path, monkeypatch, request
) -> None:
    found = request.getfixturevalue(where)
    engine = found[0] if where == "cluster" else found
    monkeypatch.setattr("equibasis.sweep.run.solve_task", dies)
    (tmp_path / "deadly").touch()
    text = f"- groups: [c2]\n  problems: [1 -> 2x2]\n{TWENTY}"
    _, results = solved(text, tmp_path, engine)
    deadly, *others = results.values()
    assert (deadly.status, len(others)) == ("solved" if dies is dies_once else "failed", 20)
    assert {result.status for result in others} == {"solved"}
    assert index(tmp_path / "bases")[0]["reason"] == deadly.reason
    assert ("its worker died, and so did the next" in deadly.reason) == (dies is dies_always)
    assert (tmp_path / "deadly").exists() == (dies is dies_always)
    (tmp_path / "deadly").unlink(missing_ok=True)
    before = identities(tmp_path / "bases")
    again, results = solved(text, tmp_path, engine)
    assert len(again.to_solve) == (dies is dies_always)
    assert {result.status for result in results.values()} == {"solved"}
    assert before.items() <= identities(tmp_path / "bases").items()


@kills
def test_a_cluster_loses_a_worker_and_nothing_else(tmp_path, cluster, monkeypatch) -> None:
    engine, workers = cluster
    planned = plan(jobs_of(TWENTY, tmp_path), tmp_path / "bases", engine)
    usual, done = engine.run, []

    def half_killed(*arguments):
        for number, result in usual(*arguments):
            done.append(number)
            if len(done) == 8:
                os.kill(workers()[0], signal.SIGKILL)
            yield number, result

    monkeypatch.setattr(engine, "run", half_killed)
    results = run(planned, engine)
    assert sorted(done) == list(range(20))  # none of them twice
    assert {result.status for result in results.values()} == {"solved"}
    for name in planned.jobs:
        verify_file(tmp_path / "bases" / name)


def test_a_job_that_cannot_be_sent_fails_alone(tmp_path, cluster) -> None:
    lock = threading.Lock()
    engine, _ = cluster
    found = dict(engine.run(_kind, [(lock, *range(10_000)), 1, 2]))
    assert found[1] == found[2] == "int"
    assert isinstance(found[0], eb.EquibasisError)
    assert len(str(found[0])) < 500


# A scheduler and a worker in one process, which says where, and dies of the second job.
CLUSTER = """
import os, signal, distributed
from equibasis.sweep import solving

usual, done = solving.solve_task, []

def solve_task(task):
    if done:
        os.kill(os.getpid(), signal.SIGKILL)
    done.append(task)
    return usual(task)

solving.solve_task = solve_task
with distributed.LocalCluster(
    n_workers=1,
    threads_per_worker=1,
    processes=False,
    protocol="tcp://",
    dashboard_address=None,
    silence_logs=50,
) as cluster:
    print(cluster.scheduler_address, flush=True)
    signal.pause()
"""


# The equibasis command, which waits less long for a scheduler that has gone to come back.
IMPATIENT = """
from equibasis.cli import main
from equibasis.sweep import engines

engines._CONNECTED = 3.0
main()
"""


@kills
@pytest.mark.slow
def test_where_a_scheduler_is_killed_one_line_says_so_and_the_sweep_goes_on_without_it(
    tmp_path,
) -> None:
    pytest.importorskip("distributed")
    jobs_of("groups: [c4]\ninputs: [1, 3x3]\noutputs: [3x3, 4x4]", tmp_path)
    sweep = ["sweep", "sweep.yaml", "--out", "bases"]
    with subprocess.Popen(
        [sys.executable, "-c", CLUSTER], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as cluster:
        try:
            address = cluster.stdout.readline().strip()
            done = attempt(tmp_path, "python", "-c", IMPATIENT, *sweep, "--scheduler", address)
        finally:
            cluster.kill()
    assert (cluster.returncode, done.returncode, done.stdout) == (-signal.SIGKILL, 2, "")
    (said,) = done.stderr.splitlines()
    assert re.search("scheduler .*has gone", said)
    statuses = [row["status"] for row in index(tmp_path / "bases")]
    assert "failed" not in statuses
    assert statuses.count("not begun") in (3, 4)  # that the first ended may not have been heard
    before = identities(tmp_path / "bases")
    assert len(before) == 1
    assert "3 solved, 1 kept" in run_command(tmp_path, "equibasis", *sweep, "--workers", "1")
    assert before.items() <= identities(tmp_path / "bases").items()


def _kind(value: object) -> str:
    return type(value).__name__


def _write_late(path: Path) -> None:
    time.sleep(2)
    path.touch()


def _fail_while_it_runs(path: Path) -> None:
    with own_processes(1) as engine:
        running = engine.executor.submit(_write_late, path)
        while not running.running():
            time.sleep(0.01)
        raise ValueError("of the caller")


def test_after_an_error_nobody_waits_for_what_is_running(tmp_path) -> None:
    with pytest.raises(ValueError, match="of the caller"):
        _fail_while_it_runs(tmp_path / "late")
    assert not (tmp_path / "late").exists()


def test_a_cluster_makes_the_files_of_one_machine(tmp_path, cluster, processes) -> None:
    text = "groups: [c4, so3]\nproblems: [1 -> 1, 1 -> V**2]\nsolvers: [auto]"
    folders = tmp_path / "here", tmp_path / "there"
    for folder, engine in zip(folders, (processes, cluster[0]), strict=True):
        folder.mkdir()
        planned = plan(jobs_of(text, folder), folder / "bases", engine)
        run(planned, engine)
    here, there = ({f.name: f.read_bytes() for f in each.glob("bases/*")} for each in folders)
    assert here == there
    assert "index.csv" in here


# --- the command --------------------------------------------------------------------------------


def test_a_dry_run_tells_and_solves_nothing(command, tmp_path) -> None:
    jobs_of("groups: [so3]\nproblems: [V**3 -> V**3]", tmp_path)
    done = command("sweep", tmp_path / "sweep.yaml", "--workers", 1, "--dry-run")
    assert (done.status, done.err) == (0, "")
    assert all(word in done.out for word in ("so3", "V**3 -> V**3", "kernel", " 15 ", "1 to solve"))
    assert not (tmp_path / "sweep").exists()


def test_jobs_that_fail_are_listed_at_the_end(command, tmp_path, monkeypatch) -> None:
    jobs_of("groups: [c4]\noutputs: [3x3, 4x4]\ninputs: [1]", tmp_path)
    monkeypatch.setattr("equibasis.sweep.run.solve_task", fails_on_4x4)
    done = command("sweep", tmp_path / "sweep.yaml", "--workers", 1)
    assert done.status == 1
    assert "c4: 1 -> 4x4: FAILED: cannot write" in done.err
    assert "1 solved, 0 kept, 1 failed" in done.err
    assert [row["status"] for row in index(tmp_path / "sweep")] == ["solved", "failed"]
    assert "it is full" in index(tmp_path / "sweep")[1]["reason"]


def fails_on_4x4(task: Task) -> Solved:
    if task.output == "4x4":
        raise eb.WriteError("cannot write: it is full")
    return solve_task(task)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("sweep/c4_3x3.h5/x", "c4_3x3.h5 is no file: move it away, or give --out another folder"),
        ("sweep/index.csv/x", "index.csv: it is a folder"),
        ("sweep", "sweep is no folder: give another one by --out"),
    ],
)
def test_what_cannot_be_written_is_told_before_anything_is_solved(
    command, tmp_path, place, said
) -> None:
    jobs_of("groups: [c4]\nproblems: [1 -> 3x3, 1 -> 4x4]", tmp_path)
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / place).touch()
    done = command("sweep", tmp_path / "sweep.yaml", "--workers", 1)
    assert (done.status, said in done.err) == (2, True), done.err
    assert not (tmp_path / "sweep" / "c4_4x4.h5").exists()


def test_times_that_somebody_edited_are_kept_where_they_are_whole(
    processes: Engine, tmp_path
) -> None:
    text = "groups: [c4]\nproblems: [1 -> 3x3, 1 -> 4x4]"
    solved(text, tmp_path, processes)
    header, first, second = times_path(tmp_path / "bases").read_text().splitlines()
    without_peak = first.rpartition(",")[0] + ","
    times_path(tmp_path / "bases").write_text("\n".join([header, without_peak, second]))
    solved(text, tmp_path, processes)
    (left,) = times(tmp_path / "bases")
    assert second.startswith(left["file"])


def test_files_of_another_sweep_are_told(command, tmp_path) -> None:
    jobs_of("groups: [c4, d4]\nproblems: [1 -> 3x3]", tmp_path)
    command("sweep", tmp_path / "sweep.yaml", "--workers", 1)
    jobs_of("groups: [c4]\nproblems: [1 -> 3x3]", tmp_path)
    done = command("sweep", tmp_path / "sweep.yaml", "--workers", 1)
    assert "0 solved, 1 kept" in done.out
    assert "1 other basis files lie there" in done.out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--scheduler", "tcp://127.0.0.1:1", "--workers", "2"], "leave --workers out"),
        (["--memory-limit", "much"], "'much' is not a size"),
    ],
)
def test_options_that_make_no_sense_are_refused(command, tmp_path, options, said) -> None:
    jobs_of("groups: [c4]\nproblems: [1 -> 3x3]", tmp_path)
    done = command("sweep", tmp_path / "sweep.yaml", *options)
    assert (done.status, said in done.err) == (2, True)


def test_a_scheduler_that_does_not_answer_is_told(monkeypatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr(engines, "_CONNECTED", 0.2)
    with (
        pytest.raises(
            eb.EquibasisError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:1"
        ),
        dask_cluster("tcp://127.0.0.1:1"),
    ):
        pass


def test_without_dask_a_scheduler_is_refused(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(eb.MissingExtraError, match=r"pip install 'equibasis\[cluster\]'"),
        dask_cluster("tcp://127.0.0.1:1"),
    ):
        pass


@pytest.mark.slow
def test_a_sweep_is_one_stage_of_dvc_which_goes_on_where_it_was(tmp_path) -> None:
    project = tmp_path / "project"
    shutil.copytree(REPOSITORY / "examples" / "sweep", project)
    run_command(project, "dvc", "init", "--quiet", "--no-scm")
    assert "8 solved, 0 kept" in run_command(project, "dvc", "repro")
    assert len(index(project / "bases")) == len(identities(project / "bases")) == 8
    sweep = project / "sweep.yaml"
    sweep.write_text(sweep.read_text(encoding="utf-8").replace("[3x3, 4x4]", "[3x3, 4x4, 6x6]"))
    assert "2 solved, 8 kept" in run_command(project, "dvc", "repro")


@pytest.mark.parametrize(
    "address", ["tcp://127.0.0.1", "foo://x:1", "", "127.0.0.1:abc", "listener"]
)
def test_an_address_where_no_scheduler_is_is_told_in_a_line(address, monkeypatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr(engines, "_CONNECTED", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as listener:  # which never answers
        if address == "listener":
            address = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        with (
            pytest.raises(eb.EquibasisError, match="no Dask scheduler answers at"),
            dask_cluster(address),
        ):
            pass
