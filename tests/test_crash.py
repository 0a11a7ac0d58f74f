"""Killed, out of room, locked out: whole files or none, and the next run succeeds by itself.

Samples of kills: `make crash` has more.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import pytest
import yaml
from dvc.repo import Repo

import equibasis as eb
import forks
from crash import crash_repro, crash_solve
from digit_models import meaningless_digits
from digits.cli import main
from digits.data import save_digits
from digits.parameters import load_parameters
from digits.stages import train
from equibasis.files import write_text, writing
from projects import (
    PARAMETERS,
    REPOSITORY,
    attempt,
    environment,
    finish,
    run,
    solved_project,
    stages_here,
)

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals and locks of POSIX")

SOLVE = ("--group", "c4", "--input", "6x6", "--output", "3x3")
PIPELINE = REPOSITORY / "pipeline"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- kill -9 -------------------------------------------------------------------------------------


@posix
@pytest.mark.slow
def test_solve_killed_at_any_moment_leaves_the_older_file_or_the_new_one(tmp_path: Path) -> None:
    left = crash_solve(tmp_path, kills=8, seed=7)
    assert left["no file"] + left["the older file"] + left["the new file"] == 8
    assert left["next run fine"] == 2


@posix
@pytest.mark.slow
def test_repro_killed_at_any_moment_makes_the_same_files_the_next_time(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    clone = solved_project(tmp_path / "project", tmp_path_factory)
    left = crash_repro(clone, kills=2, seed=7, stages=["equivariant", "invariant"])
    assert left["next run fine"] == 2


WRITER = """
import sys, time
from equibasis.files import writing
with writing(sys.argv[1]) as temporary:
    temporary.write_text("half of it")
    print("writing", flush=True)
    time.sleep(100)
"""


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process in the middle of writing ``tmp_path/slow.txt``."""
    command = [sys.executable, "-c", WRITER, str(tmp_path / "slow.txt")]
    with subprocess.Popen(
        command, env=environment(tmp_path), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        yield process
        process.kill()


@posix
def test_what_a_killed_writer_leaves_is_removed_by_the_next_and_a_living_one_left_alone(
    writer: subprocess.Popen[str], tmp_path: Path
) -> None:
    write_text(tmp_path / "a.txt", "a")
    (temporary,) = tmp_path.glob(".equibasis-*.tmp")
    writer.kill()
    writer.wait()
    assert names(tmp_path) == [temporary.name, "a.txt"]
    write_text(tmp_path / "b.txt", "b")
    assert names(tmp_path) == ["a.txt", "b.txt"]


@posix
def test_what_only_looks_like_a_temporary_file_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / ".equibasis-00000000.tmp").mkdir()
    (tmp_path / ".equibasis-11111111.tmp").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").write_text("kept", encoding="utf-8")
    write_text(tmp_path / "a.txt", "a")
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "a"
    assert (tmp_path / "elsewhere").read_text(encoding="utf-8") == "kept"


def test_many_write_and_read_one_file_at_once_and_all_see_it_whole(tmp_path: Path) -> None:
    path, wrong = tmp_path / "shared.h5", []
    bases = [eb.solve("c4", input="3x3", output="3x3"), eb.solve("d4", input="3x3", output="3x3")]
    eb.save_basis(bases[0], path)

    def guarded(work: Callable[[], object]) -> threading.Thread:
        def repeat() -> None:
            try:
                for _ in range(40):
                    work()
            except Exception as error:
                wrong.append(error)

        return threading.Thread(target=repeat)

    def read() -> None:
        with h5py.File(path) as file:
            assert file.attrs["rank"] in {basis.rank for basis in bases}

    threads = [guarded(lambda basis=basis: eb.save_basis(basis, path)) for basis in bases]
    threads += [guarded(lambda: eb.load_basis(path)), guarded(read)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert names(tmp_path) == ["shared.h5"]


# --- training taken up again ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("digits") / "digits.h5"
    save_digits(meaningless_digits(1000, 100, 6), path)
    return path


def training_project(folder: Path, digits_file: Path, epochs: int) -> Path:
    for name in ("data", "models", "reports"):
        (folder / name).mkdir(parents=True)
    shutil.copyfile(digits_file, folder / "data" / "digits.h5")
    parameters = PARAMETERS | {"train": PARAMETERS["train"] | {"epochs": epochs}}
    (folder / "params.yaml").write_text(yaml.safe_dump(parameters), encoding="utf-8")
    return folder


def results(folder: Path) -> dict[str, bytes]:
    """All that training writes, but for times."""
    paths = [*folder.glob("models/*"), *folder.glob("reports/curves/**/*")]
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in paths if p.is_file()}


def training(folder: Path, model: str, said: Path) -> forks.Running:
    """A process that trains a model, and prints to a file."""
    with said.open("w", encoding="utf-8") as stdout:
        command = ["python", str(PIPELINE), "train", model]
        return forks.Running(command, folder, environment(folder), stdout)


def kill_at_checkpoint(folder: Path) -> None:
    """Train until a checkpoint is there, and kill -9."""
    saved = folder / ".equibasis" / "checkpoints" / "standard_augmented.pt"
    with training(folder, "standard_augmented", folder / "said.txt") as process:
        while not saved.exists():
            assert process.poll() is None
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        assert process.wait(60) == -signal.SIGKILL


@posix
def test_training_killed_and_taken_up_again_ends_at_the_same_bits(
    digits_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, broken = (
        training_project(tmp_path / name, digits_file, epochs=40) for name in ("whole", "broken")
    )
    with stages_here(whole):
        train.run(load_parameters(), "standard_augmented")
    kill_at_checkpoint(broken)
    assert list((broken / "models").iterdir()) == []
    capsys.readouterr()
    with stages_here(broken):
        train.run(load_parameters(), "standard_augmented")
    assert "going on after epoch" in capsys.readouterr().out
    assert results(broken) == results(whole)
    assert len(results(whole)) == 5
    assert names(broken / ".equibasis" / "checkpoints") == ["standard_augmented.lock"]
    timings = json.loads((broken / "reports" / "timings.json").read_text(encoding="utf-8"))
    assert timings["standard_augmented"]["seconds"] > 0


@posix
def test_a_second_run_of_one_training_waits_for_the_first(
    digits_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = training_project(tmp_path / "project", digits_file, epochs=40)
    saved = folder / ".equibasis" / "checkpoints" / "standard.pt"
    printed = tmp_path / "printed.txt"
    with (
        stages_here(folder),
        ThreadPoolExecutor(1) as pool,
        training(folder, "standard", printed) as first,
    ):
        while not saved.exists():
            assert first.poll() is None
            time.sleep(0.002)
        first.send_signal(signal.SIGSTOP)  # with most of its epochs to go
        second, said = pool.submit(train.run, load_parameters(), "standard"), ""
        while "waiting for another process that is training standard" not in said:
            assert not second.done()
            time.sleep(0.01)
            said += capsys.readouterr().out
        assert (first.poll(), second.done(), saved.exists()) == (None, False, True)
        first.send_signal(signal.SIGCONT)
        assert first.wait(120) == 0
        second.result(timeout=120)
    assert "waiting" not in printed.read_text(encoding="utf-8") + capsys.readouterr().out
    (curve,) = folder.glob("reports/curves/standard/plots/metrics/train_mse.tsv")
    assert len(curve.read_text(encoding="utf-8").splitlines()) == 1 + 40


# --- what a killed dvc repro leaves behind -------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small pipeline, run and committed."""
    folder = tmp_path_factory.mktemp("mend") / "project"
    (folder / "bases").mkdir(parents=True)
    (folder / "problem.txt").touch()  # without a dependency, DVC keeps no record of a run
    stages = {
        f"of_{size}": {
            "cmd": f"equibasis solve bases/c4_{size}.h5 --group c4 --output {size}x{size}",
            "deps": ["problem.txt"],
            "outs": [f"bases/c4_{size}.h5"],
        }
        for size in (2, 3)
    }
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}), encoding="utf-8")
    return finish(folder)


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "project", symlinks=True))


@pytest.mark.parametrize("kept", [0, 150])
def test_a_dvc_lock_cut_short_is_made_anew_without_solving_again(kept: int, project: Path) -> None:
    path = project / "dvc.lock"
    whole = path.read_bytes()
    assert len(whole) > 150
    path.write_bytes(whole[:kept])
    run(project, "equibasis", "mend")
    printed = run(project, "dvc", "repro")
    assert "Running stage" not in printed
    assert yaml.safe_load(path.read_bytes()) == yaml.safe_load(whole)
    assert run(project, "equibasis", "mend") == ""


def test_a_dvc_lock_with_conflicts_is_left_to_whoever_merges(project: Path) -> None:
    path = project / "dvc.lock"
    path.write_bytes(b"<<<<<<< HEAD\n" + path.read_bytes())
    before = path.read_bytes()
    assert run(project, "equibasis", "mend") == ""
    assert path.read_bytes() == before


def held(pid: int) -> str:
    return json.dumps({"write": {"/somewhere": {"pid": pid, "cmd": "dvc repro"}}})


def test_a_list_of_locks_cut_short_or_of_dead_processes_is_removed(project: Path) -> None:
    path = project / ".dvc" / "tmp" / "rwlock"
    for text in ('{"write": {"/somew', "", held(2**22 + 1), held(os.getpid())):
        path.write_text(text, encoding="utf-8")
        os.utime(path, (1e9, 1e9))  # before this process began: it got a dead one's number
        assert "rwlock" in run(project, "equibasis", "mend")
        assert not path.exists()
    path.write_text(held(os.getpid()), encoding="utf-8")
    assert run(project, "equibasis", "mend") == ""
    assert path.exists()


@pytest.mark.slow
def test_while_dvc_is_at_work_nothing_is_mended(project: Path) -> None:
    (project / "dvc.lock").write_text("", encoding="utf-8")
    with Repo(str(project)) as repo, repo.lock:
        assert run(project, "equibasis", "mend") == ""
    assert (project / "dvc.lock").exists()
    assert "cut short" in run(project, "equibasis", "mend")


def test_outside_a_project_there_is_nothing_to_mend(tmp_path: Path) -> None:
    done = attempt(tmp_path, "equibasis", "mend")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


# --- no room, no permission ----------------------------------------------------------------------


def as_root() -> bool:
    return sys.platform != "win32" and os.geteuid() == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = sys.platform == "linux" and as_root() and not subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "none", folder], capture_output=True, check=False
    ).returncode  # fmt: skip
    if not mounted:
        pytest.skip("cannot mount a small file system here")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_is_one_clear_error_and_leaves_nothing(small_disk: Path) -> None:
    large = ("--group", "c4", "--input", "14x14", "--output", "6x6")
    done = attempt(small_disk, sys.executable, "-m", "equibasis", "solve", "basis.h5", *large)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "cannot write basis.h5: No space left on device" in done.stderr
    assert names(small_disk) == []


def test_a_full_disk_keeps_the_older_file(small_disk: Path) -> None:
    path = small_disk / "basis.h5"
    eb.save_basis(eb.solve("c4", input="2x2", output="2x2"), path)
    before = path.read_bytes()
    with pytest.raises(eb.WriteError, match="No space left"):
        eb.save_basis(eb.solve("c4", input="14x14", output="6x6"), path)
    assert path.read_bytes() == before
    assert names(small_disk) == ["basis.h5"]


@contextlib.contextmanager
def no_file_beyond(most: int) -> Iterator[None]:
    """No file can grow beyond so many bytes."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@posix
@pytest.mark.parametrize(
    ("limits", "command"),
    [
        ([100], ["solve", "basis.h5", *SOLVE]),
        ([10_000], ["prepare"]),
        ([10, 3000], ["train", "standard"]),
    ],
)
def test_a_file_that_cannot_grow_is_one_clear_error_and_leaves_no_part(
    limits: list[int],
    command: list[str],
    digits_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = training_project(tmp_path / "project", digits_file, epochs=20)
    before = (folder / "data" / "digits.h5").read_bytes()
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # it would be cut short, for all to come
    monkeypatch.setattr(sys, "argv", ["pipeline", *command])
    for most in limits:
        capsys.readouterr()
        with stages_here(folder), no_file_beyond(most), pytest.raises(SystemExit) as exit_:
            main()
        complaint = capsys.readouterr().err
        assert exit_.value.code == 2
        assert complaint.count("\n") == complaint.count("cannot write") == 1
        assert "unexpected" not in complaint
    assert not list(folder.rglob("*.tmp"))
    assert not list((folder / "models").iterdir())
    assert not (folder / "basis.h5").exists()
    assert (folder / "data" / "digits.h5").read_bytes() == before


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder that not even root can write to."""
    folder = tmp_path / "read_only"
    folder.mkdir()
    folder.chmod(0o555)
    immutable = ["chattr", "+i", str(folder)]
    if as_root() and (
        shutil.which("chattr") is None
        or subprocess.run(immutable, capture_output=True, check=False).returncode
    ):
        pytest.skip("root writes to every folder here")
    if sys.platform == "win32":
        pytest.skip("folders are not read-only on Windows")
    yield folder
    if as_root():
        subprocess.run(["chattr", "-i", str(folder)], check=True)
    folder.chmod(0o755)


def test_a_read_only_folder_is_refused_before_solving(read_only: Path) -> None:
    done = attempt(read_only.parent, "equibasis", "solve", read_only / "basis.h5", *SOLVE)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"equibasis: cannot write {read_only / 'basis.h5'}: ")
    assert done.stderr.count("\n") == 1
    assert list(read_only.iterdir()) == []


def test_a_folder_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(eb.WriteError, match="cannot write"):
        eb.save_basis(eb.solve("c4", output="2x2"), tmp_path / "file" / "basis.h5")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_device_is_never_replaced_by_a_file() -> None:
    with pytest.raises(eb.WriteError, match="device"):
        eb.save_basis(eb.solve("c4", output="2x2"), "/dev/full")
    assert Path("/dev/full").is_char_device()


def test_an_error_while_writing_keeps_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "before")

    def fail_halfway() -> None:
        with writing(path) as temporary:
            temporary.write_text("half of it", encoding="utf-8")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_halfway()
    assert path.read_text(encoding="utf-8") == "before"
    assert names(tmp_path) == ["a.txt"]
