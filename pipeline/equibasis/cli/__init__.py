"""The ``equibasis`` command: arguments in, library calls, one line out when something is wrong.

Exit status: 0 fine, 1 a check failed, 2 wrong usage or input.
"""

from __future__ import annotations

import click

from equibasis import __version__
from equibasis.cli import bases, cache, pipelines
from equibasis.console import Group, run


def main() -> None:
    """Entry point of ``equibasis``."""
    run(commands, "equibasis")


@click.group(
    cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__)
def commands() -> None:
    """Equivariant and invariant subspaces: solved once, exactly, and kept as files.

    Exit status: 0 fine, 1 a check failed, 2 wrong usage or input.
    """


commands.add_section(
    "Bases",
    *(bases.solve, bases.sweep, bases.inspect, bases.verify),
    *(bases.show, bases.diff, bases.export, bases.import_),
)
commands.add_section("Cache", cache.cache)
commands.add_section("Pipelines", pipelines.audit, pipelines.mend)
