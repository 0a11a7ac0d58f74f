"""Running a command: its streams, its exit status, and one line on stderr when something is wrong.

Exit status: 0 fine, 1 a check failed, 2 wrong usage or input, or output that was lost; where a
signal ended it, 128 and the signal's number.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

import click

from equibasis.errors import EquibasisError, cause, naming_extras, printable

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_INTERRUPTED, _READER_HAS_GONE = 128 + 2, 128 + 13  # as of SIGINT and SIGPIPE


def run(group: Group, name: str) -> NoReturn:
    """Run a command of a group and exit; report any failure as one line on stderr."""
    warnings.showwarning = _warn
    with _streams() as output:
        try:
            with _asked_to_end():
                status = _status(group, name)
                sys.stdout.flush()
        except _EndedError as ended:
            status = ended.status
        if output.lost is not None and status in (0, 1):
            lost = fail(f"cannot write to standard output: {cause(output.lost)}")
            status = status or lost
    sys.exit(status)


def examples(*lines: str) -> str:
    """Lines of shell, for the end of a command's help."""
    return "\n".join(
        ["\b", "Example:" if len(lines) == 1 else "Examples:", *map("  {}".format, lines)]
    )


class _File(click.Path):
    """A file by name; none is read from or written to the standard streams, which hold text."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path, unless it is ``-``."""
        if value == "-":
            self.fail("'-' is no file: give its name ('./-' for one that is called so)", param, ctx)
        return super().convert(value, param, ctx)


FILE = _File(path_type=Path, readable=False)  # what opens it says why it cannot
EXISTING = _File(path_type=Path, readable=False, exists=True)


class Group(click.Group):
    """A group of commands in which Ctrl-C is an `click.Abort`, of which click says nothing.

    Its help lists them as they were defined, by section.
    """

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.sections: dict[str, list[str]] = {}

    def add_section(self, title: str, *commands: click.Command) -> None:
        """Add commands that the help lists under a title."""
        for each in commands:
            self.add_command(each)
        self.sections[title] = [str(each.name) for each in commands]

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of commands, in the order of their definition."""
        return [*self.commands]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands of each section, the names in one column."""
        listed = self.list_commands(ctx)
        wide = max(map(len, listed))
        for title, names in (self.sections or {"Commands": listed}).items():
            rows = []
            for name in names:
                command = self.get_command(ctx, name)
                assert command is not None
                text = command.get_short_help_str(formatter.width - wide - 6)
                rows.append((name.ljust(wide), text))
            with formatter.section(title):
                formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command that was named."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise click.Abort from error
        except EOFError as error:  # which click takes for Ctrl-D
            raise EquibasisError(f"something that was read ends too early: {error}") from error


def _warn(message: Warning | str, *_: object, **__: object) -> None:
    """Say a warning on one line of stderr, without the place in the code that gave it."""
    click.echo("equibasis: warning: " + printable(" ".join(str(message).split())), err=True)


def fail(message: str, status: int = 2) -> int:
    """Say on one line of stderr what is wrong; returns the exit status."""
    click.echo("equibasis: " + printable(" ".join(message.split())), err=True)
    return status


def _status(group: Group, name: str) -> int:
    try:
        with naming_extras("this command"):
            status = group.main(prog_name=name, standalone_mode=False)
        sys.stdout.flush()
    except SystemExit as leaving:
        return fail(leaving.code) if isinstance(leaving.code, str) else int(leaving.code or 0)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 2
    except click.ClickException as error:
        return fail(error.format_message())
    except EquibasisError as error:
        return fail(str(error))
    except MemoryError:
        return fail("out of memory: this needs more than this machine, or its limit, allows")
    except (KeyboardInterrupt, click.Abort):
        if sys.stderr.isatty():
            click.echo(err=True)  # the terminal has written ^C
        return fail("interrupted", _INTERRUPTED)
    except ModuleNotFoundError as error:  # one that equibasis always needs
        return fail(
            f"{sys.executable} has no module {error.name!r}: activate the environment in which "
            "equibasis is installed"
        )
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)  # what has no name is where we are
        place = error.filename or ("the current folder" if missing else "the system says")
        return fail(f"{place}: {cause(error)}")
    except Exception as error:
        if os.environ.get("EQUIBASIS_TRACEBACK"):
            raise
        return fail(
            f"{type(error).__name__}: {error} (unexpected: please report it, with what is shown "
            "when EQUIBASIS_TRACEBACK=1 is set)"
        )
    return int(status or 0)


class _EndedError(BaseException):
    """Somebody else ended the command; no code takes it for an error of its own."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


# --- streams --------------------------------------------------------------------------------------


class _Output(io.FileIO):
    """What a standard stream writes to; what cannot be written is noted, and told at the end.

    So a check comes to its own exit status whether or not it can be printed. Where the reader of
    standard output has gone, the command ends.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.lost: OSError | None = None

    def write(self, content: ReadableBuffer, /) -> int:
        if self.lost is None:
            try:
                return super().write(content)
            except OSError as error:
                self.lost = error
                if isinstance(error, BrokenPipeError) and self.fileno() == 1:
                    raise _EndedError(_READER_HAS_GONE) from error
        return memoryview(content).nbytes


@contextlib.contextmanager
def _streams() -> Iterator[_Output]:
    """Yield standard output and error that take any character, and that may be closed or full."""
    if None in (sys.stdin, sys.stdout, sys.stderr):
        _open_closed_ones()
    before = sys.stdout, sys.stderr
    output, errors = _Output(1), _Output(2)
    if sys.stdout is sys.__stdout__:
        sys.stdout = _text(output, sys.stdout)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _text(errors, sys.stderr)
    try:
        yield output
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = before


def _open_closed_ones() -> None:
    """Give closed standard streams a file on which reading, or writing, fails as on closed ones.

    Else the next file that is opened takes their number, and what is printed goes into it.
    """
    for descriptor, wrong_way in enumerate((os.O_WRONLY, os.O_RDONLY, os.O_RDONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, wrong_way), True)  # the lowest that is free


def _text(output: _Output, stream: TextIO | None) -> TextIO:
    if sys.platform == "win32" and stream is not None and stream.isatty():
        return stream  # a console takes characters, not bytes
    return io.TextIOWrapper(
        io.BufferedWriter(output),
        encoding=stream.encoding if stream is not None else None,
        errors="backslashreplace",
        line_buffering=output.isatty(),
    )


# --- signals --------------------------------------------------------------------------------------


@contextlib.contextmanager
def _asked_to_end() -> Iterator[None]:
    """Take requests to end as exceptions, so that files half written are removed on the way out."""

    def leave(number: int, _: object) -> NoReturn:
        signal.signal(number, signal.SIG_DFL)  # who asks twice does not wait
        raise _EndedError(128 + number)

    changed = []
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:  # nohup ignores it
            signal.signal(number, leave)
            changed.append(number)
    try:
        yield
    finally:
        for number in changed:
            signal.signal(number, signal.SIG_DFL)
