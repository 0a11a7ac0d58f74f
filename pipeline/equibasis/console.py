"""Running a command: its exit status, and one line on stderr when something is wrong.

Exit status: 0 fine, 1 a check failed, 2 wrong usage or input.
"""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

import click

from equibasis.errors import EquibasisError


def run(group: click.Group, name: str) -> None:
    """Run a command of a group and exit; report any failure as one line on stderr."""
    warnings.showwarning = _warn
    sys.path.insert(0, str(Path.cwd()))  # where a user's own module:object is looked for
    try:
        status = group.main(prog_name=name, standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        status = 2
    except click.ClickException as error:
        status = fail(error.format_message())
    except EquibasisError as error:
        status = fail(str(error))
    except MemoryError:
        status = fail("out of memory: choose smaller shapes, or another --solver")
    except (KeyboardInterrupt, click.Abort):
        status = fail("interrupted", 130)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has gone; nothing to say to them
        status = 1
    except Exception as error:
        if os.environ.get("EQUIBASIS_TRACEBACK"):
            raise
        status = fail(
            f"{type(error).__name__}: {error} (unexpected: please report it, with what is shown "
            "when EQUIBASIS_TRACEBACK=1 is set)"
        )
    sys.exit(status)


def _warn(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: object = None,
    line: str | None = None,
) -> None:
    """Say a warning on one line of stderr, without the place in the code that gave it."""
    click.echo("equibasis: warning: " + " ".join(str(message).split()), err=True)


def fail(message: str, status: int = 2) -> int:
    """Say on one line of stderr what is wrong; returns the exit status."""
    click.echo("equibasis: " + " ".join(message.split()), err=True)
    return status
