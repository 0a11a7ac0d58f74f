"""Kill -9 at random moments of `equibasis solve`, `get_basis` and `dvc repro`: what is left?

Run by `make crash` in full, and by the tests in short:

    python tests/crash.py --solve 100 --cache 100 --repro 20
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import yaml

import equibasis as eb
from projects import FailedError, attempt, commit, copy_of_this_project, environment, run

# Large enough that solving and writing take a good part of the command's time.
PROBLEM = ("--group", "c4", "--input", "28x28", "--output", "14x14", "--solver", "orbits")

# What a killed run makes anew: a stage of each kind that writes files.
STAGES = ["prepare", "equivariant", "train_plain@standard"]
OUTPUTS = ["data/*.h5", "bases/equivariant/*.h5", "models/standard.*"]


class BrokenError(Exception):
    """What must not happen."""


def kill(folder: Path, command: tuple[str, ...], delay: float, whom: str) -> bool:
    """Start a command and kill -9 it, its child, or both after a while; whether it still ran.

    Returns once nothing of it runs any more.
    """
    with subprocess.Popen(
        command, cwd=folder, env=environment(folder), start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(delay)
        running = process.poll() is None
        family = psutil.Process(process.pid).children(recursive=True) if running else []
        if running and whom == "all":
            os.killpg(process.pid, signal.SIGKILL)
        for each in {"parent": [process], "children": family}.get(whom, []):
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
    _, alive = psutil.wait_procs(family, timeout=60)
    if alive:
        raise BrokenError(f"killed after {delay:.3f} s, {command} left processes running: {alive}")
    return running


def moments(count: int, seed: int) -> Iterator[float]:
    """Random moments, as shares of a command's time: spread over all of it and a little more."""
    draw = random.Random(seed)
    for index in range(count):
        yield 1.2 * (index + draw.random()) / count


def timed(folder: Path, *command: str) -> float:
    start = time.perf_counter()
    run(folder, *command)
    return time.perf_counter() - start


# --- solve ---------------------------------------------------------------------------------------


def crash_solve(folder: Path, kills: int, seed: int) -> collections.Counter[str]:
    """Kill `solve` again and again, over nothing and over an older file; returns what was left."""
    target, older = folder / "basis.h5", folder / "older.h5"
    solve = (sys.executable, "-m", "equibasis", "solve", str(target), *PROBLEM)
    duration = max(timed(folder, *solve) for _ in range(2))
    new = target.read_bytes()
    eb.save_basis(eb.solve("c4", input="2x2", output="2x2"), older)
    old = older.read_bytes()
    left: collections.Counter[str] = collections.Counter()
    for index, moment in enumerate(moments(kills, seed)):
        delay = moment * duration
        target.unlink(missing_ok=True)
        if index % 2:
            shutil.copyfile(older, target)
        workers = ("--workers", "2") if index % 3 == 0 else ()
        kill(folder, (*solve, *workers), delay, "parent" if index % 4 == 0 else "all")
        contents = target.read_bytes() if target.exists() else None
        if contents is None:
            what = "no file"
        else:
            eb.verify_basis(eb.load_basis(target))
            what = {old: "the older file", new: "the new file"}.get(contents)
        if what is None or (contents is None and index % 2):
            raise BrokenError(f"killed after {delay:.3f} s, solve left a file that is neither")
        left[what] += 1
        left["temporary files"] += len(list(folder.glob(".equibasis-*.tmp")))
        if index % 5 == 4 or index == kills - 1:
            duration = timed(folder, *solve)  # which changes with what else the machine does
            if target.read_bytes() != new or list(folder.glob(".equibasis-*.tmp")):
                raise BrokenError(f"killed after {delay:.3f} s, solve did not recover")
            left["next run fine"] += 1
    return left


# --- the cache -----------------------------------------------------------------------------------

# Children that fill an empty cache again and again, each killed after a while; then a report.
FILLING = """
import json, os, random, signal, sys, time
import equibasis as eb
from equibasis.artifact.cache import cached_files, prune_cache

kills, seed = map(int, sys.argv[1:])
draw = random.Random(seed)
problems = [
    {"group": group, "output": f"{n}x{n}", "input": "6x6"}
    for n in range(2, 8) for group in ("c4", "d4")
]
eb.get_basis(**problems[0])  # what is imported late
started = time.perf_counter()
eb.get_basis(**problems[1])
one = time.perf_counter() - started  # however busy the machine is
survived = 0
for kill in range(kills):
    child = os.fork()
    if child == 0:
        while True:
            for problem in problems:
                eb.get_basis(**problem)
            prune_cache(draw.choice([0, 100_000]))
    time.sleep(draw.uniform(0, 8 * one))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    for file in cached_files():
        eb.verify_basis(eb.load_basis(file.path))
        survived += 1
for problem in problems:
    assert eb.content_sha256(eb.get_basis(**problem)) == eb.content_sha256(eb.solve(**problem))
prune_cache(0)
left = os.listdir(os.environ["EQUIBASIS_CACHE"])
print(json.dumps({"whole bases": survived, "files that prune left": len(left)}))
"""


def crash_cache(folder: Path, kills: int, seed: int) -> collections.Counter[str]:
    """Kill processes that fill a cache: every basis in it has to be whole, and prune empties it."""
    cache = {"EQUIBASIS_CACHE": str(folder / "cache")}
    done = attempt(folder, sys.executable, "-c", FILLING, kills, seed, **cache)
    if done.returncode or done.stderr:
        raise BrokenError(done.stderr)
    return collections.Counter(json.loads(done.stdout))


# --- dvc repro -----------------------------------------------------------------------------------


def finished_project(folder: Path) -> Path:
    """A copy of this project in which the stages were run, committed."""
    clone = copy_of_this_project(folder / "project", code_as_one=True)
    run(clone, "dvc", "repro", *STAGES)
    commit(clone)
    return clone


def crash_repro(
    clone: Path, kills: int, seed: int, stages: Sequence[str] = STAGES
) -> collections.Counter[str]:
    """Kill `dvc repro` again and again; the next run has to make what the first one made."""
    again = ("dvc", "repro", "--force", "--single-item", *stages)
    duration = timed(clone, *again)
    made = {path: path.read_bytes() for pattern in OUTPUTS for path in clone.glob(pattern)}
    left: collections.Counter[str] = collections.Counter()
    for index, moment in enumerate(moments(kills, seed)):
        delay = moment * duration
        whom = ("all", "parent", "children")[index % 3]
        left[f"killed {whom}"] += kill(clone, again, delay, whom)
        for path, content in made.items():
            if path.exists() and path.read_bytes() != content:
                raise BrokenError(f"killed after {delay:.3f} s, dvc repro left a broken {path}")
            left["output there" if path.exists() else "output not there"] += 1
        try:
            run(clone, "dvc", "repro", *stages)
        except FailedError:  # what `make repro` does first
            if not run(clone, "equibasis", "mend"):
                raise
            run(clone, "dvc", "repro", *stages)
            left["mended"] += 1
        for path, content in made.items():
            if path.read_bytes() != content:
                raise BrokenError(f"{path} is not what it was")
        if "dvc.lock" in run(clone, "git", "status", "--porcelain"):
            # DVC was killed while it wrote the file, and lost stages that were not asked for since:
            # `make repro` asks for all. They are the same then, in another order, without those
            # that no parameter asks for any more.
            run(clone, "dvc", "repro")
            known = yaml.safe_load(run(clone, "git", "show", "HEAD:dvc.lock"))["stages"]
            anew = yaml.safe_load((clone / "dvc.lock").read_text(encoding="utf-8"))["stages"]
            if all(known[stage] == entry for stage, entry in anew.items()):
                run(clone, "git", "checkout", "--quiet", "--", "dvc.lock")
                left["lock cut short"] += 1
        if changed := run(clone, "git", "status", "--porcelain"):
            changed += run(clone, "git", "diff")
            raise BrokenError(f"killed after {delay:.3f} s, the next run changed {changed}")
        left["next run fine"] += 1
    return left


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--solve", type=int, default=100, help="kills of equibasis solve")
    parser.add_argument("--repro", type=int, default=20, help="kills of dvc repro")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=int, default=100, help="kills of fillings of the cache")
    choice = parser.parse_args()
    for name, crash, kills in (
        ("equibasis solve", crash_solve, choice.solve),
        ("the cache of bases", crash_cache, choice.cache),
        (
            "dvc repro",
            lambda folder, *how: crash_repro(finished_project(folder), *how),
            choice.repro,
        ),
    ):
        if kills:
            start = time.perf_counter()
            with tempfile.TemporaryDirectory(prefix="equibasis-crash-") as folder:
                left = crash(Path(folder), kills, choice.seed)
            said = ", ".join(f"{what} {count}" for what, count in sorted(left.items()))
            print(f"{name}: {kills} kills in {time.perf_counter() - start:.0f} s: {said}")


if __name__ == "__main__":
    main()
