"""What the system refuses is told in its own words, with a remedy only where one helps."""

from __future__ import annotations

import contextlib
import gc
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import equibasis as eb
from digit_models import meaningless_digits
from digits import checkpoints, results
from digits.bases import load_stage_basis
from digits.data import load_digits, save_digits
from digits.parameters import load_parameters
from digits.weights import load_autoencoder
from equibasis.artifact.export import export_basis
from equibasis.files import write_text
from equibasis.show.figures import basis_figure, save_figure
from in_forks import in_forks

if os.name != "posix":
    pytest.skip("system errors as POSIX has them", allow_module_level=True)

import resource

PIPELINE = Path(eb.__file__).parents[1]


@contextlib.contextmanager
def limited(what: int, most: int) -> Iterator[None]:
    """This process with a lower limit of the system's."""
    soft, hard = resource.getrlimit(what)
    resource.setrlimit(what, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(what, (soft, hard))


@contextlib.contextmanager
def no_more_files() -> Iterator[None]:
    """A process that may not open another file."""
    gc.disable()  # or else it may close files that nobody holds any more
    try:
        free = os.dup(0)
        os.close(free)
        with limited(resource.RLIMIT_NOFILE, free):
            yield
    finally:
        gc.enable()


# --- reading --------------------------------------------------------------------------------------

# What makes a path unreadable, and what the system says then.
UNREADABLE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a folder": (lambda path: path.mkdir(), "it is not a regular file"),
    "a pipe": (lambda path: os.mkfifo(path), "it is not a regular file"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "it is not a regular file"),
    "a link to itself": (
        lambda path: path.symlink_to(path.name),
        "Too many levels of symbolic links",
    ),
    "below a file": (lambda path: (path.parent.rmdir(), path.parent.touch()), "Not a directory"),
    "an error of the disk": (lambda path: path.symlink_to("/proc/self/mem"), "Input/output error"),
}
MISSING: dict[str, Callable[[Path], object]] = {
    "nothing": lambda path: None,
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
    "no folder": lambda path: path.parent.rmdir(),
}


def read_metrics(path: Path) -> object:
    return results.metrics_of((), path, "python pipeline evaluate")


def read_parameters(path: Path) -> object:
    return load_parameters(path)


# Who reads a file, of what name, and what helps where there is none.
READERS: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "digits": (lambda path: load_digits(path, 3), "digits.h5", "python pipeline prepare"),
    "parameters": (read_parameters, "params.yaml", "run from the project's folder"),
    "a model": (load_autoencoder, "standard.json", "python pipeline train standard"),
    "metrics": (read_metrics, "metrics.json", "python pipeline evaluate"),
    "a basis": (eb.load_basis, "b.h5", "equibasis solve"),
    "a basis to build on": (
        lambda path: load_stage_basis(path.parents[1], "c4", (None, "3x3")),
        "c4_3x3.h5",
        "equibasis solve ",
    ),
}
REMEDIES = [remedy for _, _, remedy in READERS.values()]


@pytest.fixture
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where the reader of this test looks, in a folder of its own."""
    (tmp_path / "invariant").mkdir()
    return tmp_path / "invariant" / READERS[request.getfixturevalue("reader")][1]


def refusal(reader: str, path: Path) -> str:
    read = READERS[reader][0]
    with pytest.raises(eb.EquibasisError) as caught:
        read(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("case", UNREADABLE)
def test_a_file_that_cannot_be_read_says_why_and_not_to_make_it_anew(reader, case, path):
    if case == "an error of the disk" and ("basis" in reader or not Path("/proc").exists()):
        pytest.skip("no file here fails so; one of no size is no basis")
    if (case, reader) == ("a folder", "parameters"):
        pytest.skip("--params names another")
    prepare, says = UNREADABLE[case]
    prepare(path)
    message = refusal(reader, path)
    assert says in message
    assert not [remedy for remedy in REMEDIES if remedy in message]


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("case", MISSING)
def test_a_file_that_is_missing_says_how_to_make_it(reader, case, path):
    MISSING[case](path)
    message = refusal(reader, path)
    assert "does not exist" in message
    assert READERS[reader][2] in message


@pytest.mark.parametrize("reader", READERS)
def test_a_name_that_is_too_long_is_told(reader, path):
    message = refusal(reader, path.parent / ("x" * 300) / path.parent.name / path.name)
    assert "File name too long" in message
    assert READERS[reader][2] not in message


@pytest.mark.parametrize("reader", READERS)
def test_too_many_open_files_are_told(reader, path):
    path.write_bytes(b"content of no kind at all")
    refusal(reader, path)  # what is imported late
    with no_more_files():
        message = refusal(reader, path)
    assert "Too many open files" in message
    assert READERS[reader][2] not in message


@pytest.mark.parametrize("reader", ["digits", "a model", "metrics"])
@pytest.mark.parametrize("content", [b"", b"nonsense", b"\x89HDF\r\n\x1a\n" + b"\0" * 500])
def test_a_damaged_file_is_to_be_made_anew(reader, path, content):
    path.write_bytes(content)
    assert READERS[reader][2] in refusal(reader, path)


@pytest.fixture
def as_nobody_special() -> list[str]:
    """What runs a command with no more rights than the owner of a file has."""
    if os.geteuid():
        return []
    command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    with contextlib.suppress(OSError):
        if not subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
            return command
    pytest.skip("root may read everything here, and cannot put that down")


@pytest.mark.slow
def test_what_may_not_be_read_is_told_by_commands_and_stages(as_nobody_special, tmp_path):
    (tmp_path / "data").mkdir()
    save_digits(meaningless_digits(2, 2, 14), tmp_path / "data" / "digits.h5")
    (tmp_path / "params.yaml").write_text("{}")
    basis = eb.solve(group="c4", output="3x3")
    eb.save_basis(basis, tmp_path / "b.h5")
    (tmp_path / "cache").mkdir()

    cases = {
        "data/digits.h5": (["train", "standard"], "cannot read data/digits.h5: Permission denied"),
        "params.yaml": (["prepare"], "cannot read params.yaml: Permission denied"),
        "b.h5": (["inspect", "b.h5"], "b.h5: it cannot be read: Permission denied"),
        "data": (["inspect", "data/b.h5"], "data/b.h5: it cannot be read: Permission denied"),
        "cache": (
            ["cache", "ls"],
            f"cannot look into the cache {tmp_path}/cache: Permission denied",
        ),
        ".": (
            ["solve", "c.h5", "--group", "c4", "--output", "3x3"],
            "cannot write c.h5: Permission denied; name a file in a folder that you may write to",
        ),
    }
    found = in_forks(
        [f"refused({name!r}, {arguments!r})" for name, (arguments, _) in cases.items()],
        tmp_path,
        before=REFUSED,
        python=[*as_nobody_special, sys.executable],
        environment=os.environ | {"EQUIBASIS_CACHE": str(tmp_path / "cache")},
    )
    for outcome, (_, says) in zip(found, cases.values(), strict=True):
        assert (outcome.status, outcome.err) == (2, f"equibasis: {says}\n")


# A command where something may not be read, or nothing be written.
REFUSED = f"""
import os, runpy, sys
sys.path.insert(0, {str(PIPELINE)!r})
import equibasis as eb
eb.solve(group="c4", output="2x2")

def refused(name, arguments):
    mode = os.stat(name).st_mode
    os.chmod(name, 0o500 if name == "." else 0)
    sys.argv = [{str(PIPELINE)!r}, *arguments]
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    finally:
        os.chmod(name, mode)
"""

HOLDING = """
import sys, h5py
with h5py.File(sys.argv[1], "r+"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_digits_that_another_process_has_locked_are_not_to_be_made_anew(tmp_path):
    path = tmp_path / "digits.h5"
    save_digits(meaningless_digits(2, 2, 3), path)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDING, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={name: each for name, each in os.environ.items() if name != "HDF5_USE_FILE_LOCKING"},
    )
    with holder:
        assert holder.stdout.readline() == b"held\n"
        assert refusal("digits", path) == f"cannot read {path}: another process has locked it"
        holder.stdin.close()
    assert load_digits(path, 3).size == 3


# --- writing --------------------------------------------------------------------------------------

BASIS = eb.solve(group="c4", output="3x3")


def lock(path: Path) -> None:
    with checkpoints.alone(path.with_suffix(""), "testing"):
        pass


WRITERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a basis": (lambda path: eb.save_basis(BASIS, path), ".h5"),
    "a picture": (lambda path: save_figure(basis_figure(BASIS), path), ".png"),
    "an export": (lambda path: export_basis(BASIS, path), ".npz"),
    "a text": (lambda path: write_text(path, "text" * 1000), ".txt"),
    "a lock": (lock, ".lock"),
}

UNWRITABLE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "no folder": (
        lambda path: path.parent / "none" / path.name,
        "No such file or directory; name a file in a folder that exists",
    ),
    "below a file": (
        lambda path: (path.touch(), path / path.name)[1],
        "Not a directory; name a file in a folder that exists",
    ),
    "a folder": (lambda path: (path.mkdir(), path)[1], "; name a file, not a folder"),
    "a name that is too long": (
        lambda path: path.with_name("x" * 300 + path.suffix),
        "File name too long; choose a shorter name",
    ),
    "in a circle of links": (
        lambda path: (path.symlink_to(path.name), path / path.name)[1],
        "Too many levels of symbolic links",
    ),
    "a pipe": (lambda path: (os.mkfifo(path), path)[1], "it is a device or a pipe"),
}


def write_refused(writer: str, path: Path) -> str:
    with pytest.raises(eb.WriteError) as caught:
        WRITERS[writer][0](path)
    message = str(caught.value)
    assert message.startswith(f"cannot write {path}: ")
    assert "\n" not in message
    return message.removeprefix(f"cannot write {path}: ")


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("case", UNWRITABLE)
def test_a_file_that_cannot_be_written_says_why_and_what_helps(writer, case, tmp_path):
    if writer == "a lock" and case in ("no folder", "a pipe", "in a circle of links"):
        pytest.skip("a lock makes its folder, and waits for no pipe")
    prepare, says = UNWRITABLE[case]
    path = prepare(tmp_path / f"out{WRITERS[writer][1]}")
    before = sorted(tmp_path.rglob("*"))
    said = write_refused(writer, path)
    assert said.endswith(says)
    assert said.count(";") == says.count(";")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("writer", WRITERS)
def test_where_no_more_files_may_be_opened_that_is_said(writer, tmp_path):
    path = tmp_path / f"out{WRITERS[writer][1]}"
    WRITERS[writer][0](path)  # what is imported late
    with no_more_files():
        said = write_refused(writer, path)
    assert said == "Too many open files; raise the limit on open files (ulimit -n)"


@pytest.mark.parametrize("writer", [each for each in WRITERS if each != "a lock"])
def test_a_limit_on_the_size_of_files_is_told_and_leaves_nothing(writer, tmp_path):
    with limited(resource.RLIMIT_FSIZE, 500):
        said = write_refused(writer, tmp_path / f"out{WRITERS[writer][1]}")
    assert said == (
        "File too large; make room there, or raise the limit on the size of files (ulimit -f)"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(disk)]
    with contextlib.suppress(OSError):
        if not subprocess.run(mount, capture_output=True, check=False).returncode:
            try:
                yield disk
            finally:
                subprocess.run(["umount", str(disk)], check=True)
            return
    pytest.skip("no file system can be mounted here")


@pytest.mark.parametrize("writer", [each for each in WRITERS if each not in ("a lock", "a text")])
def test_a_full_disk_and_a_read_only_one_are_told_apart(writer, small_disk):
    ending = WRITERS[writer][1]
    (small_disk / "filling").write_bytes(b"\0" * 2**14)
    said = write_refused(writer, small_disk / f"out{ending}")
    assert said == "No space left on device; make room there"
    assert len(list(small_disk.iterdir())) == 1
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    said = write_refused(writer, small_disk / f"out{ending}")
    assert said == "Read-only file system; name a file in a folder that you may write to"
