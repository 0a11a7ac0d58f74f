"""Where one machine ends: sweeps on one and two processes and on Dask; writes docs/scale.md.

Takes Dask on loopback: `pip install 'dask[distributed]'`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import psutil
from rich.filesize import decimal

import equibasis as eb
from equibasis.artifact.store import verify_file
from equibasis.sweep.engines import Engine, dask_cluster, own_processes
from equibasis.sweep.index import Result
from equibasis.sweep.jobs import read_sweep
from equibasis.sweep.run import check_fits, plan, run
from equibasis.sweep.solving import solve_task
from page import DOCS, PEAK, machine, table, write_section

QUICK = """
- groups: [c2, c4, d1, d2, d4]
  inputs: [1, 6x6, 8x8]
  outputs: [3x3, 4x4, 6x6]
- groups: [so3, o3, so4, "so+1,3", "o1,3", sp4, su2, sl2, sl3, g2]
  problems: [V -> V, V**2 -> V, V**2 -> V**2, V**3 -> V, 1 -> V**3, 1 -> V**4]
- groups: [i, ih, q8, D4h, Oh, b3]
  problems: [V -> V, V**2 -> V, V**2 -> V**2, V**3 -> V**2, V**3 -> V**3, "1 -> sym(V, 2)"]
- groups: [s5, s6, s8, a5, a6]
  problems: [V -> V, V**2 -> V, V**2 -> V**2, V**3 -> V, 1 -> V**3, 1 -> V**4]
"""

# Most take a second or more. Neither side is so large that a file of it cannot be verified.
LONG = """
- groups: ["so+1,3", "so1,3", "o1,3", so4]
  problems: [V**5 -> V**3, V**4 -> V**4, V**3 -> V**5]
- groups: [g2]
  problems: [V**3 -> V**3]
- groups: [so3]
  problems: [V**5 -> V**4, V**4 -> V**5, V**6 -> V**3, V**3 -> V**6]
- groups: [i]
  problems: [V**5 -> V**4, V**6 -> V**3, V**4 -> V**5]
- groups: [sl2]
  problems: [V**7 -> V**7, V**8 -> V**6, V**6 -> V**8]
- groups: [su3, u3]
  problems: [V**3 -> V**3, V**4 -> V**2, V**2 -> V**4]
"""

GRIDS = (64, 256, 1024, 2048)

ONE = f"""{PEAK}
import json, sys, time
import equibasis as eb
grid = sys.argv[1]
eb.solve("d4", input="4x4", output="4x4")  # imports
start = time.process_time()
basis = eb.solve("d4", input=grid, output=grid)
seconds = time.process_time() - start
eb.save_basis(basis, sys.argv[2])
print(json.dumps(dict(seconds=seconds, rank=basis.rank, peak=peak())))
"""

# What is asked on paper.
DIMENSIONS, PROBLEMS = 10**15, 10**6


@dataclass(frozen=True)
class Outcome:
    """A sweep: its wall time, the processor time of all its processes, and what came of it."""

    wall: float
    processor: float
    results: dict[str, Result]


def swept(text: str, folder: Path, engine: Engine) -> Outcome:
    """All of a sweep, from its file to its index."""
    folder.mkdir(exist_ok=True)
    (folder / "sweep.yaml").write_text(text, encoding="utf-8")
    list(engine.run(time.sleep, [0.1] * engine.slots * 2))  # so that all workers are there
    start, used = time.perf_counter(), processor()
    planned = plan(read_sweep(folder / "sweep.yaml"), folder / "bases", engine)
    check_fits(planned)
    results = run(planned, engine)
    return Outcome(time.perf_counter() - start, processor() - used, results)


def processor() -> float:
    """Seconds of processor time of this process and of all that it has started."""
    here = psutil.Process()
    times = [each.cpu_times() for each in (here, *here.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def alone(folder: Path) -> float:
    """Seconds of processor time of a loop that solves a sweep's jobs and saves them, no more."""
    jobs = read_sweep(folder / "sweep.yaml")
    start = time.process_time()
    for name, job in jobs.items():
        basis = eb.solve(job.group, input=job.input, output=job.output, workers=1)
        eb.save_basis(basis, folder / name)
    return time.process_time() - start


def overhead(text: str, folder: Path) -> float:
    """Seconds a job that a sweep takes beside what that loop takes, in processor time."""
    with own_processes(1) as engine:
        for attempt in ("first", "second"):  # the first imports
            outcome = swept(text, folder / attempt, engine)
        ((_, loop),) = engine.run(alone, [folder / "second"])
    return (outcome.processor - loop) / len(outcome.results)


def is_whole(path: Path) -> bool:
    verify_file(path)
    return True


@contextmanager
def two_of_dask() -> Iterator[tuple[Engine, int]]:
    """Yield a cluster of two worker processes on loopback, and the process of one of them."""
    from distributed import LocalCluster

    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50
        ) as cluster,
        dask_cluster(cluster.scheduler_address) as engine,
    ):
        yield engine, cluster.workers[0].pid


@dataclass
class Killing(Engine):
    """An engine that loses a worker, the process ``victim``, when half of the jobs are solved."""

    victim: int = 0

    def run(self, function: Callable[..., Any], tasks: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """As of any engine."""
        for count, result in enumerate(super().run(function, tasks), start=1):
            if function is solve_task and count == len(tasks) // 2:
                os.kill(self.victim, signal.SIGKILL)
            yield result


def with_a_worker_killed(text: str, folder: Path) -> tuple[Outcome, int]:
    """Return a sweep whose worker is killed half way, and how many of its files verify."""
    with two_of_dask() as (engine, victim):
        deadly = Killing(engine.executor, engine.slots, engine.memory, engine.look, victim)
        outcome = swept(text, folder, deadly)
        files = sorted((folder / "bases").glob("*.h5"), key=lambda file: -file.stat().st_size)
        again = plan(read_sweep(folder / "sweep.yaml"), folder / "bases", engine)
        if again.to_solve:
            raise SystemExit(f"solved again would be {again.to_solve}")
        start = time.perf_counter()
        whole = sum(found is True for _, found in engine.run(is_whole, files))
        click.echo(f"verified in {time.perf_counter() - start:.0f} s")
        return outcome, whole


def a_call(engine: Engine, count: int = 500) -> float:
    """Seconds that an engine takes for a call that does nothing."""
    list(engine.run(time.sleep, [0.0] * engine.slots * 2))
    start = time.perf_counter()
    list(engine.run(abs, [1] * count))
    return (time.perf_counter() - start) / count


def of_grid(n: int, folder: Path) -> dict[str, float]:
    """D4 on n×n to itself, in a process of its own."""
    file = folder / "grid.h5"
    command = [sys.executable, "-c", ONE, f"{n}x{n}", str(file)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return json.loads(done.stdout) | {"file": file.stat().st_size}


def of_sweeps(folder: Path) -> str:
    """Return the section of many problems."""
    text = LONG + QUICK
    count = len(read_sweep_text(text, folder))
    if count != 200:
        raise SystemExit(f"{count} jobs, not 200")
    beside = overhead(QUICK, folder)
    with own_processes(1) as engine:
        one_call = a_call(engine)
    click.echo(f"{1000 * beside:.1f} ms a job beside solving and saving")
    rows = []

    def add(name: str, outcome: Outcome, first: Outcome | None, *, known: bool = True) -> None:
        speed = "" if first is None else f"{first.wall / outcome.wall:.2f}"
        used = f"{outcome.processor:.1f} s" if known else ""  # of the dead nothing is known
        rows.append([name, f"{outcome.wall:.1f} s", used, speed])
        click.echo(" | ".join(rows[-1]))
        for bases in folder.glob("*/bases"):  # some GB
            shutil.rmtree(bases)

    with own_processes(1) as engine:
        one = swept(text, folder / "one", engine)
        add("one process", one, None)
    with own_processes(2) as engine:
        two = swept(text, folder / "two", engine)
        add("two processes", two, one)
    with two_of_dask() as (engine, _):
        dask_call = a_call(engine)
        add("two workers of Dask", swept(text, folder / "dask", engine), one)
    killed, whole = with_a_worker_killed(text, folder / "killed")
    add("two workers of Dask, one killed half way", killed, one, known=False)
    statuses = {each.status for each in killed.results.values()}
    if whole != count or statuses != {"solved"}:
        raise SystemExit(f"{whole} of {count} verify: {statuses}")
    long = [
        each.solved.seconds
        for each in one.results.values()
        if each.solved and (each.solved.seconds or 0) >= 1
    ]
    said = (
        f"On {machine()}. {count} bases, of which {len(long)} take a second or more: tensors of "
        "continuous groups and of the icosahedron, and small ones of images and permutations. "
        "Wall time from the sweep's file to its index, workers started, and processor time of "
        "all processes. A killed worker's "
        f"job was solved by the next: all {whole} files verify, and a second run keeps all."
    )
    calls = (
        f"A sweep takes {1000 * beside:.1f} ms a job, in processor time, beside what a loop takes "
        f"that solves and saves the same {len(read_sweep_text(QUICK, folder))} quick ones: to "
        "foretell them, to send them and to note what came. A call that does nothing takes "
        f"{1000 * one_call:.2f} ms in a process of ours, {1000 * dask_call:.2f} ms on two workers "
        "of Dask."
    )
    titles = ["on", "wall", "processors", "times as fast"]
    parts = textwrap.fill(said, 100), table(titles, rows, 1), textwrap.fill(calls, 100)
    return "\n\n".join(["### Many problems", *parts, of_many(one.processor / count, dask_call)])


def read_sweep_text(text: str, folder: Path) -> dict:
    (folder / "all.yaml").write_text(text, encoding="utf-8")
    return read_sweep(folder / "all.yaml")


def size(value: float) -> str:
    return decimal(round(value))


def of_grids(folder: Path) -> str:
    """Return the section of grids: measured, and from there on paper."""
    rows = []
    for n in GRIDS:
        found = of_grid(n, folder)
        click.echo(f"{n}: {found}")
        cells = f"{found['seconds']:.2g} s", size(found["peak"]), size(found["file"])
        rows.append([f"{n:,}×{n:,}", f"{float(n) ** 4:.2g}", f"{found['rank']:,}", *cells])
    edge = round(DIMENSIONS**0.25)
    scale = edge**2 / GRIDS[-1] ** 2
    cells = f"{scale * found['seconds']:.2g} s", *(size(scale * found[x]) for x in ("peak", "file"))
    rows.append([f"{edge:,}×{edge:,}, on paper", f"{float(edge) ** 4:.2g}", "", *cells])
    titles = ["D4 on", "dimensions", "rank", "processor", "peak", "file"]
    said = (
        f"On {machine()}. All that is made for a permutation of n points is of the size of n, so "
        "time and memory are in proportion to the points, not to the dimensions of all maps; the "
        "last row is the one before, times the points. Each is solved once, in a process of its "
        "own."
    )
    return f"### One large problem\n\n{textwrap.fill(said, 100)}\n\n{table(titles, rows, 1)}"


def of_many(a_job: float, call: float) -> str:
    """Tell what many problems take on paper: processor time a job, the scheduler's a call."""
    hours = PROBLEMS * a_job / 3600
    rows = [
        [f"{workers:,}", f"{max(hours / workers, PROBLEMS * call / 3600):,.2g} h"]
        for workers in (1, 16, 256, 4096)
    ]
    said = (
        f"A million problems like these, {a_job:.2g} s of processor time each, all told, are "
        f"{hours:,.0f} hours of one core. One scheduler hands out a call in {1000 * call:.1f} ms, "
        f"so that beyond {a_job / call:,.0f} workers more of them do not help: several sweeps do, "
        "each with a scheduler and a folder of its own."
    )
    titles = ["workers", f"{PROBLEMS:,} problems, on paper"]
    return f"{textwrap.fill(said, 100)}\n\n{table(titles, rows, 1)}"


@click.command()
@click.option("--grids", is_flag=True, help="The section of one large problem alone.")
def main(grids: bool) -> None:
    """Run the sweeps and write the sections of docs/scale.md; exit 1 where a basis is not right."""
    with tempfile.TemporaryDirectory() as name:
        write_section("grids", of_grids(Path(name)), DOCS / "scale.md")
        if not grids:
            write_section("sweeps", of_sweeps(Path(name)), DOCS / "scale.md")


if __name__ == "__main__":
    main()
