"""Streams closed, full, of any encoding, or whose reader goes; terminals; signals.

Whatever becomes of what is printed, the exit status is right, stderr has one line or none, and no
file is half written. All in real processes.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import equibasis as eb
import forks
from conftest import Outcome

if os.name != "posix":
    pytest.skip("streams, terminals and signals as POSIX has them", allow_module_level=True)

import fcntl
import pty
import struct
import termios

PIPELINE = Path(eb.__file__).parents[1]
COMMAND = [sys.executable, "-m", "equibasis"]

SLOW = """
import time
import numpy
import equibasis

def shift(array, steps):
    print("begun", flush=True)
    time.sleep(0.2)
    return numpy.roll(array, steps)

slow = equibasis.Group("slow", tuple(range(40)), shift)
"""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a basis that holds and one that does not, and a cache; to copy."""
    folder = tmp_path_factory.mktemp("prepared")
    basis = eb.solve(group="c4", input="6x6", output="3x3")
    eb.save_basis(basis, folder / "good.h5")
    eb.save_basis(eb.solve(group="c4", output="3x3"), folder / "other.h5")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EQUIBASIS_CACHE", str(folder / "cache"))
        eb.get_basis(group="c4", output="3x3")
    (folder / "bad.h5").write_bytes((folder / "good.h5").read_bytes()[:-100])
    return folder


@pytest.fixture(autouse=True)
def folder(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of all commands, with a basis that holds and one that does not."""
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EQUIBASIS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(PIPELINE))
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "PYTHONIOENCODING", "PYTHONUTF8"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def shell(line: str, **environment: str) -> Outcome:
    """A line of shell in which ``equibasis`` and ``pipeline`` are these commands."""
    python = f"'{sys.executable}'"
    functions = (
        f'equibasis() {{ {python} -m equibasis "$@"; }}; '
        f"pipeline() {{ {python} '{PIPELINE}' \"$@\"; }}; "
    )
    done = subprocess.run(
        ["bash", "-c", functions + line],
        env=os.environ | environment,
        capture_output=True,
        timeout=120,
        check=False,
    )
    return Outcome(done.returncode, done.stdout.decode(), done.stderr.decode())


def left() -> set[str]:
    """What lies in the folder beside what was there."""
    return {path.name for path in Path().iterdir()} - {"good.h5", "bad.h5", "other.h5", "cache"}


# What prints to standard output in each of the ways that there are, and its status.
COMMANDS = {
    "solve": ("equibasis solve out.h5 --group c4 --output 3x3", 0),
    "inspect": ("equibasis inspect good.h5", 0),
    "inspect as JSON": ("equibasis inspect good.h5 --json", 0),
    "verify, and one fails": ("equibasis verify good.h5 bad.h5", 1),
    "show": ("equibasis show good.h5", 0),
    "show vectors": ("equibasis show good.h5 --count 2", 0),
    "diff, and they differ": ("equibasis diff good.h5 other.h5", 1),
    "help": ("equibasis -h", 0),
    "pipeline": ("pipeline inspect good.h5", 0),
}
FEW = ("verify, and one fails", "inspect", "show vectors")
few_commands = pytest.mark.parametrize(
    ("line", "status"), [COMMANDS[name] for name in FEW], ids=FEW
)


LOST = {f"{name}, closed": (*COMMANDS[name], ">&-") for name in ("verify, and one fails", "help")}
if Path("/dev/full").exists():
    # A line, a table, JSON, a picture in characters, a long help; and what has failed.
    some = ("solve", "inspect as JSON", "verify, and one fails", "show", "help", "pipeline")
    LOST |= {f"{name}, full": (*COMMANDS[name], "> /dev/full") for name in some}
REASONS = {"> /dev/full": "No space left on device", ">&-": "Bad file descriptor"}


@pytest.mark.parametrize(("line", "status", "where"), LOST.values(), ids=LOST)
@pytest.mark.slow
def test_lost_output_is_never_0_and_a_failed_check_stays_1(line, status, where):
    outcome = shell(f"{line} {where}")
    assert (outcome.status, outcome.out) == (status or 2, "")
    *before, last = outcome.err.splitlines()
    assert last == f"equibasis: cannot write to standard output: {REASONS[where]}"
    assert [each for each in before if not each.startswith("bad.h5: FAILED: ")] == []
    assert all(Path(name).stat().st_size > 300 for name in left())  # whole, whatever was said


@few_commands
@pytest.mark.slow
def test_a_closed_or_full_stderr_or_stdin_changes_nothing(line, status):
    def without_times(text: str) -> str:
        return re.sub(r"[\d.e-]+ s\)", "", text)

    plain = forks.run(line.split(), Path.cwd(), os.environ, timeout=120).stdout
    for where in ("<&- 2>&-", "2> /dev/full"):
        outcome = shell(f"{line} {where}")
        assert outcome.status == status
        assert without_times(outcome.out) == without_times(plain)
        assert len(outcome.err.splitlines()) <= (status == 1)


@pytest.mark.parametrize(
    ("line", "status", "where"),
    [
        ("verify bad.h5", 1, "2>&-"),
        ("verify bad.h5", 1, "> /dev/null 2>&1 <&-"),
        ("solve out.h5 --group c4 --output 3x4", 2, ">&-"),
        ("solve out.h5 --group c4 --output 3x4", 2, ">&- 2>&-"),
    ],
)
def test_errors_keep_their_status_where_nothing_can_be_said(line, status, where):
    assert shell(f"equibasis {line} {where}").status == status
    assert left() == set()


def test_a_file_never_takes_the_number_of_a_closed_stream():
    for streams in (">&-", "<&- >&- 2>&-"):
        shell(f"equibasis solve closed.h5 --group c4 --input 6x6 --output 3x3 --explain {streams}")
        assert Path("closed.h5").read_bytes() == Path("good.h5").read_bytes()


@few_commands
def test_a_reader_who_has_gone_ends_the_command_in_silence(line, status):
    gone = "exec 3>&1; { sleep 0.2; " + line + "; echo $? >&3; } | true"
    outcome = shell(gone)
    assert outcome.err.replace("\n", "") == "" or outcome.err.startswith("bad.h5: FAILED")
    assert outcome.out == f"{128 + signal.SIGPIPE}\n"


def test_a_reader_may_take_the_first_character_alone():
    outcome = shell("equibasis show good.h5 --view vectors --count 81 | head -c 1")
    assert (outcome.status, outcome.out, outcome.err) == (0, "c", "")


# --- encodings ------------------------------------------------------------------------------------

ENCODINGS = {
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0"},
    "C, which Python takes for UTF-8": {"LC_ALL": "C"},
}


@pytest.mark.parametrize(
    ("name", "encoding"),
    [(name, "ascii") for name in (*FEW, "show", "diff, and they differ")]
    + list(zip(("inspect", "show vectors"), list(ENCODINGS)[1:], strict=True)),
)
@pytest.mark.slow
def test_every_encoding_can_say_it(name, encoding):
    line, status = COMMANDS[name]
    outcome = shell(line, **ENCODINGS[encoding])
    assert outcome.status == status
    assert outcome.out
    assert "\\u" not in outcome.out
    assert len(outcome.err.splitlines()) == (status == 1 and "verify" in line)


@pytest.mark.parametrize("environment", ENCODINGS.values(), ids=ENCODINGS)
def test_lines_of_numbers_are_drawn_in_every_encoding(environment):
    signs = np.array([[0.0, -1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])  # it keeps (1, -1, 0)
    eb.save_basis(eb.solve(group=eb.matrix_group("g", [signs]), output="V"), "line.h5")
    outcome = shell("equibasis show line.h5", **environment)
    assert (outcome.status, outcome.err) == (0, "")
    if environment != ENCODINGS["C, which Python takes for UTF-8"]:
        assert outcome.out.splitlines()[2] == "# = ."


# --- names ----------------------------------------------------------------------------------------


def test_a_file_of_any_name_is_written_read_and_named_readably():
    """No UTF-8, a line break, an escape; what ASCII and markup lack."""
    file = os.fsdecode(b"caf\xe9\n\x1b[31m" + "größe→[red].h5".encode())
    told = "caf\\udce9\\n\\x1b[31mgröße→[red].h5"

    def run(*arguments: str) -> tuple[int, str, str]:
        done = forks.run(["equibasis", *arguments], Path.cwd(), os.environ, timeout=120)
        return done.returncode, done.stdout, done.stderr

    status, out, err = run("solve", file, "--group", "c4", "--input", "6x6", "--output", "3x3")
    assert (status, err) == (0, "")
    assert out.startswith(f"{told}: c4: 6x6 -> 3x3, rank 81")
    assert Path(file).read_bytes() == Path("good.h5").read_bytes()
    status, out, err = run("verify", file)
    assert (status, err) == (0, "")
    assert out.startswith(f"{told}: ok: ")
    status, out, err = run("inspect", file)
    assert (status, err) == (0, "")
    assert told in out
    assert run("diff", file, "good.h5")[::2] == (0, "")
    for ending in (".png", ".npz"):
        command = ("show", file, "--out") if ending == ".png" else ("export", file)
        status, out, err = run(*command, file + ending)
        assert (status, err) == (0, "")
        assert out.startswith(told + ending)
        assert Path(file + ending).stat().st_size > 0
    Path(file).write_bytes(Path("bad.h5").read_bytes())
    status, out, err = run("verify", file)
    assert (status, out) == (1, "")
    assert err.startswith(f"{told}: FAILED: ")
    assert err.count(told) == err.count("\n") == 1
    status, out, err = run("inspect", file)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"equibasis: {told}: ")
    again = subprocess.run(
        [*COMMAND, "solve", file, "--group", "c4", "--output", "3x3"],
        env=os.environ | ENCODINGS["ascii"],
        capture_output=True,
        check=False,
    )
    assert (again.returncode, again.stderr) == (0, b"")


# --- terminals ------------------------------------------------------------------------------------


class Terminal:
    """A command in a terminal of its own, as its foreground job."""

    def __init__(self, *arguments: str, columns: int = 100, **environment: str) -> None:
        self.screen, its_end = pty.openpty()
        fcntl.ioctl(its_end, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))

        def take_the_terminal() -> None:
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=its_end,
            stdout=its_end,
            stderr=its_end,
            env=os.environ | {"TERM": "xterm-256color", "COLORTERM": "truecolor"} | environment,
            preexec_fn=take_the_terminal,
        )
        os.close(its_end)

    def shown(self, until: bytes | None = None) -> str:
        """What it shows until it ends, or has shown some bytes."""
        shown = b""
        with contextlib.suppress(OSError):  # the end of a terminal is an error
            while (until is None or until not in shown) and (part := os.read(self.screen, 65536)):
                shown += part
        return shown.decode()

    def type(self, keys: bytes) -> None:
        os.write(self.screen, keys)


def in_a_terminal(*arguments: str, columns: int = 100, **environment: str) -> tuple[int, str]:
    terminal = Terminal(*arguments, columns=columns, **environment)
    shown = terminal.shown()
    return terminal.process.wait(), shown


def without_colours(shown: str) -> list[str]:
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown).splitlines()


@pytest.mark.parametrize(
    ("view", "drawn", "environment"),
    [
        ("orbits", "abcdefghijklmnopqr", {"NO_COLOR": "1"}),
        ("orbits", "abcdefghijklmnopqr", {"TERM": "xterm", "COLORTERM": ""}),
        ("vectors", "#+.-=", {"NO_COLOR": "1"}),
        ("vectors", "#+.-=", {"TERM": "dumb"}),
        ("vectors", "#+.-=", {"PYTHONIOENCODING": "ascii"}),
    ],
    ids=["orbits, NO_COLOR", "orbits, sixteen colours", "NO_COLOR", "dumb", "ascii"],
)
@pytest.mark.slow
def test_without_colours_pictures_are_drawn_by_characters_that_differ(view, drawn, environment):
    status, shown = in_a_terminal("show", "good.h5", "--view", view, **environment)
    assert status == 0
    assert "▀" not in shown
    assert len({line for line in without_colours(shown) if set(line) & set(drawn)}) > 3
    assert len(set("".join(without_colours(shown)[2:])) & set(drawn)) >= 2


def test_forced_colours_do_not_make_a_table_narrow():
    basis = "b" * 90 + ".h5"
    eb.save_basis(eb.solve(group="c4", output="3x3"), basis)
    plain, forced = (
        shell(f"equibasis inspect {basis} > table; cat table", **environment)
        for environment in ({}, {"FORCE_COLOR": "1", "TERM": "xterm-256color"})
    )
    assert "\x1b[" in forced.out
    lines = [line.rstrip() for line in without_colours(forced.out)]
    assert lines == [line.rstrip() for line in plain.out.splitlines()]


@pytest.mark.parametrize(
    ("line", "columns", "variable"),
    [
        ("inspect good.h5", 0, None),
        ("inspect good.h5", 100, "5"),
        ("show good.h5", 1, None),
        ("show line.h5 --count 3", 1, None),
        ("show line.h5 --count 3", 0, "abc"),
    ],
)
@pytest.mark.slow
def test_a_terminal_of_any_width_shows_something(line, columns, variable):
    eb.save_basis(eb.solve(group="z6", output="6"), "line.h5")
    environment = {} if variable is None else {"COLUMNS": variable}
    status, shown = in_a_terminal(*line.split(), columns=columns, **environment)
    assert status == 0
    assert "Traceback" not in shown
    words = re.sub(r"\s+", "", "".join(without_colours(shown)))
    assert len(words) > 40


# --- signals --------------------------------------------------------------------------------------


@pytest.fixture
def slow(folder: Path) -> Callable[..., list[str]]:
    """Arguments of a solve that takes long, with so many workers."""
    (folder / "taking.py").write_text(SLOW)

    def arguments(workers: int) -> list[str]:
        problem = ["--group", "taking:slow", "--input", "40", "--output", "40"]
        return ["solve", "out.h5", *problem, "--workers", str(workers)]

    return arguments


def test_ctrl_c_ends_a_command_and_its_workers_with_one_line(slow):
    terminal = Terminal(*slow(2))
    terminal.shown(until=b"begun")
    terminal.type(b"\x03")
    lines = [line for line in terminal.shown().replace("^C", "").splitlines() if line.strip()]
    assert terminal.process.wait(30) == 130
    assert [line for line in without_colours("\n".join(lines)) if "begun" not in line][-1:] == [
        "equibasis: interrupted"
    ]
    assert "Traceback" not in "".join(lines)
    assert left() - {"__pycache__"} == {"taking.py"}


@pytest.mark.parametrize(
    ("workers", "number"),
    [(2, signal.SIGINT), (1, signal.SIGTERM), (2, signal.SIGHUP)],
)
@pytest.mark.slow
def test_a_command_that_is_asked_to_end_ends_with_the_status_of_the_signal(slow, workers, number):
    process = subprocess.Popen(
        [*COMMAND, *slow(workers)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.readline()
    process.send_signal(number)
    err = process.communicate(timeout=30)[1]
    assert process.returncode == 128 + number
    assert err == ("equibasis: interrupted\n" if number == signal.SIGINT else "")
    assert left() - {"__pycache__"} == {"taking.py"}


def test_a_process_that_nohup_started_does_not_end_with_its_terminal(slow):
    process = subprocess.Popen(
        [*COMMAND, *slow(1)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    process.stdout.readline()
    process.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    assert process.poll() is None
    process.kill()
    process.communicate()


WRITING = """
import os, signal, sys
from equibasis import console, files
import click

@click.group(cls=console.Group)
def commands():
    pass

@commands.command()
def write():
    with files.writing("half.h5") as temporary:
        temporary.write_text("half")
        os.kill(os.getpid(), signal.NAME)
        signal.pause()

sys.argv[1:] = ["write"]
console.run(commands, "test")
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_file_that_is_being_written_is_removed_on_the_way_out(name):
    code = WRITING.replace("NAME", name)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 128 + getattr(signal, name)
    assert done.stderr == ("equibasis: interrupted\n" if name == "SIGINT" else "")
    assert left() == set()
