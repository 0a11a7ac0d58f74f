"""The cache of bases: solved once, by one process; safe from kills, damage and lack of room."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import equibasis as eb
from crash import crash_cache
from equibasis import solvers
from equibasis.artifact.cache import cache_folder, cache_size, cached_files, parse_size, prune_cache
from equibasis.solvers import svd

PIPELINE = Path(eb.__file__).parents[1]
POSIX = pytest.mark.skipif(os.name != "posix", reason="kills and limits as POSIX does")

# A group that shifts, or, in its second form, mirrors: one name, two actions.
SHIFTS = """
import numpy
import equibasis

def transform(array, steps):
    return numpy.roll(array, steps)

group = equibasis.Group("acting", (0, 1, 2, 3), transform)
"""
MIRRORS = SHIFTS.replace("numpy.roll(array, steps)", "array[::-1] if steps % 2 else array")

# A process that solves slowly and says so: it counts in a file, and waits to be told to start.
COUNTING = """
import dataclasses, sys, time
import equibasis as eb
from equibasis import solvers
from equibasis.solvers import svd

def solve(space):
    with open("solved.log", "a") as log:
        log.write("solved\\n")
    print("solving", flush=True)
    time.sleep(float(sys.argv[1]))
    return svd.SOLVER.solve(space)

solvers.SOLVERS["counting"] = dataclasses.replace(svd.SOLVER, name="counting", solve=solve)
print("ready", flush=True)
sys.stdin.readline()
basis = eb.get_basis("c4", input="14x14", output="6x6", solver="counting")
print(basis.rank, eb.content_sha256(basis), flush=True)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of this test, not there yet."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("EQUIBASIS_CACHE", str(folder))
    monkeypatch.delenv("EQUIBASIS_CACHE_SIZE", raising=False)
    return folder


@pytest.fixture
def solved(monkeypatch: pytest.MonkeyPatch) -> list[eb.HomSpace]:
    """What the solver ``counting`` has solved."""
    spaces: list[eb.HomSpace] = []

    def solve(space: eb.HomSpace) -> object:
        spaces.append(space)
        time.sleep(0.05)  # long enough for others to have to wait
        return svd.SOLVER.solve(space)

    counting = dataclasses.replace(svd.SOLVER, name="counting", solve=solve)
    monkeypatch.setitem(solvers.SOLVERS, "counting", counting)
    return spaces


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def the_file(folder: Path) -> Path:
    (path,) = folder.glob("*.h5")
    return path


def used_long_ago(path: Path) -> None:
    os.utime(path, (0, path.stat().st_mtime - 1000))


# --- one solve ----------------------------------------------------------------------------------


def test_the_second_time_the_basis_is_read_and_not_solved(folder, solved):
    first = eb.get_basis("c4", input="14x14", output="6x6", solver="counting")
    again = eb.get_basis(group="c4", input="14x14", output="6x6", solver="counting")
    assert len(solved) == 1
    assert again.rank == 1764
    assert eb.content_sha256(again) == eb.content_sha256(first)
    assert eb.content_sha256(again) == eb.content_sha256(
        eb.solve("c4", input="14x14", output="6x6")
    )
    assert (again.matrix != first.matrix).nnz == 0
    assert the_file(folder).name.startswith("c4_14x14_to_6x6-")
    eb.verify_basis(eb.load_basis(the_file(folder)))


@pytest.mark.parametrize(
    ("group", "output", "input_"),
    [
        ("d4", "6x6", None),
        ("c4", "3*6x6:vector + 1", "(3x3)**2"),
        ("s50", "50x50", "50"),
        (eb.matrix_group("turn ½", {"t": [[0.6, -0.8], [-0.8, -0.6]]}), "V", "V*V"),
    ],
    ids=["invariants", "sums and products", "generators", "matrices"],
)
def test_any_problem_is_kept(folder, group, output, input_):
    first, again = (eb.get_basis(group, input=input_, output=output) for _ in range(2))
    assert eb.content_sha256(first) == eb.content_sha256(again)
    assert eb.content_sha256(again) == eb.content_sha256(eb.load_basis(the_file(folder)))


def test_ways_to_write_one_problem_share_a_file(folder, solved):
    for output in ("6x6", (6, 6), eb.Grid((6, 6))):
        eb.get_basis("c4", output=output, solver="counting")
    assert len(solved) == len(names(folder)) == 1


def test_the_solver_is_no_part_of_the_key(folder):
    bases = [
        eb.get_basis("c4", input="6x6", output="3x3", solver=solver)
        for solver in ("svd", "orbits", "auto")
    ]
    assert {basis.solver for basis in bases} == {"svd"}
    with pytest.raises(eb.SolverError, match="unknown solver"):
        eb.get_basis("c4", input="6x6", output="3x3", solver="best")


def test_a_group_whose_action_has_changed_is_solved_anew(folder, write_module):
    def rank() -> int:
        return eb.get_basis("acting:group", output="4").rank

    write_module("acting", SHIFTS)
    assert rank() == rank() == 1
    write_module("acting", MIRRORS)
    assert rank() == rank() == 2
    assert len(names(folder)) == 2
    write_module("acting", SHIFTS)
    assert rank() == 1
    assert len(names(folder)) == 2


def test_eight_threads_solve_once(solved):
    with ThreadPoolExecutor(8) as pool:
        bases = list(
            pool.map(
                lambda _: eb.get_basis("c4", input="6x6", output="2x2", solver="counting"), range(8)
            )
        )
    assert len(solved) == 1
    assert len({eb.content_sha256(basis) for basis in bases}) == 1


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[float], subprocess.Popen[str]]]:
    """``start(seconds)``: a process that is ready to solve for so long, once it is told to."""
    running = []

    def start(seconds: float) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", COUNTING, str(seconds)],
            cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        running.append(process)
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def begin(process: subprocess.Popen[str]) -> None:
    process.stdin.write("\n")
    process.stdin.flush()


def test_four_processes_solve_once_and_get_equal_bases(tmp_path, folder, start):
    processes = [start(1.0) for _ in range(4)]
    assert [process.stdout.readline() for process in processes] == ["ready\n"] * 4
    for process in processes:
        begin(process)
    results = [process.communicate()[0].splitlines()[-1] for process in processes]
    expected = eb.content_sha256(eb.solve("c4", input="14x14", output="6x6"))
    assert results == [f"1764 {expected}"] * 4
    assert [process.returncode for process in processes] == [0] * 4
    assert (tmp_path / "solved.log").read_text() == "solved\n"
    assert len(names(folder)) == 1


# --- kills --------------------------------------------------------------------------------------


@POSIX
def test_when_the_process_that_solves_is_killed_one_that_waits_takes_over(tmp_path, folder, start):
    killed = start(600)
    begin(killed)
    assert [killed.stdout.readline() for _ in range(2)] == ["ready\n", "solving\n"]
    waiting = [start(0.1) for _ in range(2)]
    for process in waiting:
        assert process.stdout.readline() == "ready\n"
        begin(process)
    time.sleep(0.2)
    assert (tmp_path / "solved.log").read_text() == "solved\n"  # they wait
    killed.send_signal(signal.SIGKILL)
    ranks = [process.communicate(timeout=60)[0].split()[-2] for process in waiting]
    assert ranks == ["1764", "1764"]
    assert (tmp_path / "solved.log").read_text() == "solved\n" * 2
    assert eb.get_basis("c4", input="14x14", output="6x6").solver == "counting"


@POSIX
@pytest.mark.slow
def test_twenty_kills_leave_no_bad_file_and_nothing_that_prune_does_not_remove(tmp_path):
    """A sample: `make crash` kills more."""
    left = crash_cache(tmp_path, kills=20, seed=0)
    assert left["whole bases"] > 20
    assert left["files that prune left"] == 0


# --- damage -------------------------------------------------------------------------------------


def flipped(content: bytes) -> bytes:
    place = content.index(b"r270")  # the name of an element
    return content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut off": lambda content: content[:1000],
    "a byte flipped": flipped,
    "another format": lambda content: b"not HDF5" * 100,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_solved_again(folder, damage):
    expected = eb.content_sha256(eb.get_basis("c4", input="6x6", output="3x3"))
    path = the_file(folder)
    whole = path.read_bytes()
    path.write_bytes(DAMAGES[damage](whole))
    assert eb.content_sha256(eb.get_basis("c4", input="6x6", output="3x3")) == expected
    assert path.read_bytes() == whole


def test_a_whole_file_under_the_name_of_another_problem_is_not_believed(folder):
    right = eb.get_basis("c4", input="6x6", output="3x3")
    eb.save_basis(eb.solve("d4", input="6x6", output="3x3"), the_file(folder))
    assert eb.get_basis("c4", input="6x6", output="3x3").rank == right.rank
    assert eb.load_basis(the_file(folder)).group == "c4"


# --- folders that cannot be written -------------------------------------------------------------


@pytest.mark.parametrize("case", ["a file", "under a file"])
def test_where_nothing_can_be_kept_the_basis_is_solved_with_a_warning(tmp_path, monkeypatch, case):
    place = tmp_path / "file"
    place.touch()
    monkeypatch.setenv("EQUIBASIS_CACHE", str(place / "cache" if case == "under a file" else place))
    with pytest.warns(
        RuntimeWarning, match=r"is not kept for next time.*EQUIBASIS_CACHE"
    ) as caught:
        basis = eb.get_basis("c4", input="14x14", output="6x6")
    assert basis.rank == 1764
    assert caught[0].filename == __file__
    with pytest.raises(eb.EquibasisError, match=r"cannot look into the cache .*: Not a directory"):
        cached_files()


@POSIX
def test_a_read_only_folder_is_read(folder):
    eb.get_basis("c4", input="6x6", output="3x3")
    for lock in folder.glob("*.lock"):
        lock.unlink()
    folder.chmod(0o555)
    try:
        before = names(folder)
        assert eb.get_basis("c4", input="6x6", output="3x3").rank == 81
        assert [path.name for path in folder.iterdir()] == before  # not even a lock
        if os.geteuid():  # root may write all the same
            with pytest.warns(RuntimeWarning, match="is not kept"):
                assert eb.get_basis("d4", output="3x3").rank == 3
    finally:
        folder.chmod(0o755)


NO_ROOM = """
import resource, signal
import equibasis as eb

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4000, resource.RLIM_INFINITY))
print(eb.get_basis("c4", input="14x14", output="6x6").rank)
"""


@POSIX
def test_a_full_disk_costs_a_warning_and_leaves_nothing(folder, python):
    outcome = python("-c", NO_ROOM)
    assert (outcome.status, outcome.out) == (0, "1764\n")
    assert "RuntimeWarning: the basis of c4: 14x14 -> 6x6 is not kept" in outcome.err
    assert "cannot write" in outcome.err
    assert names(folder) == []


# --- bounds -------------------------------------------------------------------------------------


def test_the_least_recently_used_is_removed_first(tmp_path, folder, monkeypatch):
    for group in ("c2", "c4"):
        eb.get_basis(group, input="6x6", output="6x6")
    for path in folder.glob("*.h5"):
        used_long_ago(path)
    eb.get_basis("c2", input="6x6", output="6x6")  # used again: now c4 is the older one
    eb.save_basis(eb.solve("d4", input="6x6", output="6x6"), tmp_path / "d4.h5")
    room_for_all = sum(f.bytes for f in cached_files()) + (tmp_path / "d4.h5").stat().st_size
    monkeypatch.setenv("EQUIBASIS_CACHE_SIZE", str(room_for_all - 1))
    eb.get_basis("d4", input="6x6", output="6x6")
    assert [file.path.name[:2] for file in cached_files()] == ["d4", "c2"]
    assert sum(file.bytes for file in cached_files()) <= cache_size()


def test_a_basis_larger_than_the_cache_is_returned_but_not_kept(folder, monkeypatch):
    eb.get_basis("c4", output="3x3")
    monkeypatch.setenv("EQUIBASIS_CACHE_SIZE", "20kB")
    with pytest.warns(RuntimeWarning, match="larger than the whole cache may be, 20,000 bytes"):
        assert eb.get_basis("c4", input="14x14", output="14x14").rank == 9604
    assert [name.partition("-")[0] for name in names(folder)] == ["c4_3x3"]


@pytest.mark.parametrize("size", ["many", "-1", "1 2", "5XB", "1e9", "٣MB"])
def test_a_limit_that_is_no_size_is_an_error_that_names_the_variable(folder, monkeypatch, size):
    monkeypatch.setenv("EQUIBASIS_CACHE_SIZE", size)
    with pytest.raises(eb.EquibasisError, match=r"^EQUIBASIS_CACHE_SIZE: .* is not a size"):
        eb.get_basis("c4", output="3x3")
    assert not folder.exists()


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0), ("7", 7), ("7B", 7), ("2k", 2000), ("2KiB", 2048), (" 1.5 MB ", 1_500_000),
        ("1GB", 10**9), ("1gib", 2**30), ("3TB", 3 * 10**12),
    ],
)  # fmt: skip
def test_sizes_are_written_as_people_write_them(text, size):
    assert parse_size(text) == size


def test_the_folder_is_the_platform_s_own_unless_it_is_named(monkeypatch, tmp_path):
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.setenv("EQUIBASIS_CACHE", "~/bases")
    assert cache_folder() == Path.home() / "bases"
    monkeypatch.setenv("EQUIBASIS_CACHE", "")
    assert "equibasis" in cache_folder().parts


# --- where there is no home, no folder, no lock ---------------------------------------------------


def run(folder: Path, *command: object, **environment: str | None) -> subprocess.CompletedProcess:
    """A process in a folder, with variables set, or unset where they are None."""
    changed = {name: text for name, text in os.environ.items() if name not in environment}
    changed |= {name: text for name, text in environment.items() if text is not None}
    return subprocess.run(
        list(map(str, command)), cwd=folder, env=changed | {"PYTHONPATH": str(PIPELINE)},
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip


# Commands one after the other; a JSON list of the status, the output and the errors of each.
SEVERAL = """
import contextlib, io, json, sys
from equibasis import cli
done = []
for sys.argv[1:] in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        with contextlib.redirect_stderr(io.StringIO()) as err:
            try:
                status = cli.main()
            except SystemExit as exit_:
                status = exit_.code
    done.append((status or 0, out.getvalue(), err.getvalue()))
print(json.dumps(done))
"""


def run_commands(
    folder: Path, python: list[str], *lines: str, **environment: str | None
) -> list[tuple[int, str, str]]:
    """Status, output and errors of commands, all in one process."""
    asked = json.dumps([line.split() for line in lines])
    done = run(folder, *python, "-c", SEVERAL, asked, **environment)
    assert (done.returncode, done.stderr) == (0, "")
    return [tuple(each) for each in json.loads(done.stdout)]


@pytest.fixture
def as_a_stranger() -> list[str]:
    """What runs a command as a user whom the system does not know, who may read everything."""
    command = [
        "setpriv", "--reuid=54321", "--clear-groups",
        "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search",
    ]  # fmt: skip
    with contextlib.suppress(OSError):
        if not subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
            return command
    pytest.skip("takes root, and a program that puts its rights down")


GETTING = """
import equibasis as eb
print(eb.get_basis(group="c4", output="3x3").rank)
"""
HOMELESS = {"HOME": None, "XDG_CACHE_HOME": None}


@POSIX
@pytest.mark.parametrize(
    "named",
    [
        HOMELESS | {"EQUIBASIS_CACHE": None},
        {"EQUIBASIS_CACHE": "~nobody_of_that_name/x"},
    ],
    ids=["no home", "a home of nobody"],
)
@pytest.mark.slow
def test_where_there_is_no_home_none_is_made_up(tmp_path, as_a_stranger, named):
    here = tmp_path / "here"
    here.mkdir()
    here.chmod(0o777)
    python = [*as_a_stranger, sys.executable]
    got = run(here, *python, "-c", GETTING, **named)
    assert (got.returncode, got.stdout) == (0, "3\n")
    (line,) = [line for line in got.stderr.splitlines() if "Warning: " in line]
    assert "is not kept for next time" in line
    assert "no folder for the cache" in line
    for status, out, err in run_commands(here, python, "cache ls", "cache prune", **named):
        assert (status, out) == (2, "")
        assert err.count("\n") == 1
        assert "no folder for the cache" in err
        assert "set EQUIBASIS_CACHE to one" in err
    assert list(here.iterdir()) == []


@POSIX
def test_every_other_command_works_without_a_home_and_says_nothing(tmp_path, as_a_stranger):
    here = tmp_path / "here"
    here.mkdir()
    here.chmod(0o777)
    commands = (
        "solve a.h5 --group c4 --output 3x3", "inspect a.h5", "verify a.h5", "show a.h5",
        "show a.h5 --out a.png", "diff a.h5 a.h5", "export a.h5 a.npz",
    )  # fmt: skip
    done = run_commands(here, [*as_a_stranger, sys.executable], *commands, **HOMELESS)
    assert [(status, err) for status, _, err in done] == [(0, "")] * len(commands)
    assert sorted(path.name for path in here.iterdir()) == ["a.h5", "a.npz", "a.png"]


@pytest.mark.parametrize("named", ["bases", "./bases", "bases/", "../here/bases"])
def test_a_relative_cache_is_in_the_current_folder(tmp_path, monkeypatch, named):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("EQUIBASIS_CACHE", named)
    assert cache_folder().is_absolute()
    eb.get_basis(group="c4", output="3x3")
    assert len(names(tmp_path / "here" / "bases")) == 1


@POSIX
def test_a_relative_xdg_cache_home_is_not_followed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EQUIBASIS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    try:
        assert not cache_folder().is_relative_to(tmp_path)
    except eb.EquibasisError as error:
        assert "is no full path" in str(error)  # noqa: PT017 - versions of platformdirs differ


@POSIX
@pytest.mark.slow
def test_in_a_folder_that_was_removed_every_command_works_or_says_so_in_one_line(
    tmp_path, monkeypatch, command
):
    there = tmp_path / "there"
    there.mkdir()
    file = there / "a.h5"
    eb.save_basis(eb.solve(group="c4", output="3x3"), file)
    (there / "params.yaml").write_text("{}")
    gone = tmp_path / "gone"
    lines = {
        f"solve {there}/b.h5 --group c4 --output 3x3": 0,
        f"solve {there}/b.h5 --group none:g --output 3x3": 2,
        "solve b.h5 --group c4 --output 3x3": 2,
        f"inspect {file}": 0,
        "inspect a.h5": 2,
        f"verify {file}": 0,
        f"show {file}": 0,
        f"show {file} --out {there}/a.png": 0,
        f"diff {file} {file}": 0,
        f"export {file} {there}/a.mtx": 0,
        "cache ls": 0,
        "cache prune": 0,
        "audit": 2,
        "mend": 2,
        "-h": 0,
        "prepare": 2,
        f"prepare --params {there}/params.yaml": 2,
    }
    for line, status in lines.items():
        gone.mkdir(exist_ok=True)
        if not line.startswith(("solve", "show", "audit", "prepare", "-h")):
            with monkeypatch.context() as patch:  # those that import nothing else
                patch.chdir(gone)
                gone.rmdir()
                done = command(*line.split())
            assert (done.status, done.err.count("\n")) == (status, status > 0), line
            continue
        program = f"'{PIPELINE}'" if line.startswith("prepare") else "-m equibasis"
        shell = f"rmdir '{gone}' && exec '{sys.executable}' {program} {line}"
        done = run(gone, "sh", "-c", shell)
        assert done.returncode == status, done.stderr
        assert done.stderr.count("\n") == (status > 0)
    gone.mkdir(exist_ok=True)
    relative = f"rmdir '{gone}' && exec '{sys.executable}' -m equibasis cache ls"
    done = run(gone, "sh", "-c", relative, EQUIBASIS_CACHE="here")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "EQUIBASIS_CACHE=here names no folder" in done.stderr


@POSIX
def test_a_cache_that_cannot_be_looked_into_is_told(tmp_path, monkeypatch, command):
    (tmp_path / "file").touch()
    for place in ("file", "file/below"):
        monkeypatch.setenv("EQUIBASIS_CACHE", str(tmp_path / place))
        for asked in ("ls", "prune"):
            told = command("cache", asked)
            assert (told.status, told.out) == (2, "")
            expected = (
                f"equibasis: cannot look into the cache {tmp_path / place}: Not a directory\n"
            )
            assert told.err == expected


# A process on a file system without flock, as some of networks are.
WITHOUT_LOCKS = """
import errno, fcntl, os, sys

def flock(descriptor, operation):
    raise OSError(getattr(errno, sys.argv[1]), os.strerror(getattr(errno, sys.argv[1])))

fcntl.flock = flock
"""


REFUSALS = ["ENOSYS", "ENOLCK", "EOPNOTSUPP"]

LEFT_OVER = """
from pathlib import Path
import equibasis as eb
from equibasis.artifact.cache import prune_cache

for content in sys.argv[2:]:
    (lock,) = Path("cache").glob("*.lock")
    for file in Path("cache").glob("*.h5"):
        file.unlink()
    lock.write_text(content)
    print(eb.get_basis(group="c4", output="3x3").rank)
    prune_cache(0)
    print(eb.get_basis(group="c4", output="3x3").rank)
    lock.write_text(content)
"""


@POSIX
@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.slow
def test_a_lock_file_that_was_left_over_never_blocks_where_there_are_no_locks(
    tmp_path, folder, refusal
):
    contents = ["", "1\nanother-host\n", f"{2**22 - 3}\nanother-host\n7\n"]
    eb.get_basis(group="c4", output="3x3")
    code = WITHOUT_LOCKS + LEFT_OVER
    got = run(tmp_path, sys.executable, "-W", "error", "-c", code, refusal, *contents)
    assert (got.returncode, got.stdout, got.stderr) == (0, "3\n3\n" * len(contents), "")
    got = run(tmp_path, sys.executable, "-W", "error", "-c", WITHOUT_LOCKS + GETTING, refusal)
    assert (got.returncode, got.stdout, got.stderr) == (0, "3\n", "")
    eb.verify_basis(eb.load_basis(the_file(folder)))  # kept all the same


TRAINING = """
from pathlib import Path
from digits import checkpoints
for sys.argv[1] in sys.argv[1:]:
    with checkpoints.alone(Path("training"), "training"):
        print("begun")
"""


@POSIX
def test_nor_does_that_of_a_training(tmp_path):
    (tmp_path / "training.lock").touch()
    got = run(tmp_path, sys.executable, "-W", "error", "-c", WITHOUT_LOCKS + TRAINING, *REFUSALS)
    assert (got.returncode, got.stdout, got.stderr) == (0, "begun\n" * len(REFUSALS), "")


# --- the command --------------------------------------------------------------------------------


def test_ls_lists_what_is_kept_the_last_used_first(folder, command):
    empty = command("cache", "ls")
    assert (empty.status, empty.err) == (0, "")
    assert empty.out == f"0 bases, 0 bytes of 1.0 GB, in {folder}\n"
    for size in ("3x3", "6x6"):
        eb.get_basis("c4", output=size)
    used_long_ago(next(folder.glob("c4_6x6-*.h5")))
    listed = command("cache", "ls")
    assert listed.status == 0
    assert listed.out.index("c4_3x3-") < listed.out.index("c4_6x6-")
    assert "kB" in listed.out
    assert f"2 bases, {sum(f.bytes for f in cached_files()) / 1000:.1f} kB of 1.0 GB" in listed.out


def test_prune_removes_what_is_ours_and_nothing_else(folder, command):
    eb.get_basis("c4", output="3x3")
    mine = ["c4_6x6.h5", "notes.txt", f"data-{'0' * 32}.csv", f"{'0' * 32}.h5", "x.h5.lock"]
    for name in mine:
        (folder / name).write_text("mine")
    (folder / ".equibasis-01234567.tmp").write_text("left by a process that was killed")
    kept = command("cache", "prune")
    assert (kept.status, kept.err) == (0, "")
    assert kept.out.startswith("removed 0 bases, 0 bytes; kept 1 basis, ")
    assert len(cached_files()) == 1
    assert os.name != "posix" or not list(folder.glob("*.tmp"))
    pruned = command("cache", "prune", "--all")
    assert pruned.out.startswith("removed 1 basis, ")
    assert sorted(path.name for path in folder.iterdir()) == sorted(mine)


def test_prune_leaves_as_much_as_it_is_told(folder, command):
    for size in ("3x3", "6x6", "14x14"):
        eb.get_basis("c4", output=size)
    for path in folder.glob("c4_6x6-*"):
        used_long_ago(path)
    limit = sum(file.bytes for file in cached_files()) - 1
    assert command("cache", "prune", "--max-size", limit).status == 0
    assert sorted(name.partition("-")[0] for name in names(folder)) == ["c4_14x14", "c4_3x3"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--max-size", "much"], "'much' is not a size"),
        (["--max-size", ""], "'' is not a size"),
        (["--all", "--max-size", "1GB"], "exclude each other"),
    ],
)
def test_prune_refuses_what_it_cannot_read(folder, command, arguments, reason):
    eb.get_basis("c4", output="3x3")
    refused = command("cache", "prune", *arguments)
    assert (refused.status, refused.out) == (2, "")
    assert reason in refused.err
    assert refused.err.count("\n") == 1
    assert len(cached_files()) == 1


@POSIX
def test_prune_disturbs_nobody_who_is_solving(tmp_path, folder, start):
    process = start(1.0)
    begin(process)
    assert [process.stdout.readline() for _ in range(2)] == ["ready\n", "solving\n"]
    prune_cache(0)
    waiting = start(0.0)
    begin(waiting)
    assert process.communicate()[0].startswith("1764 ")
    assert waiting.communicate()[0].splitlines()[-1].startswith("1764 ")
    assert (tmp_path / "solved.log").read_text() == "solved\n"
    eb.verify_basis(eb.load_basis(the_file(folder)))
