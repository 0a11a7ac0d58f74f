"""Commands on the cache: ``equibasis cache ls`` and ``equibasis cache prune``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from equibasis.console import Group, examples
from equibasis.errors import printable

if TYPE_CHECKING:
    from equibasis.artifact.cache import CachedFile


@click.group(cls=Group)
def cache() -> None:
    """List and remove the bases that `equibasis.get_basis` keeps.

    The variable EQUIBASIS_CACHE names the folder, unless set the system's own for caches;
    EQUIBASIS_CACHE_SIZE is the most that it may take, unless set 1GB.
    """


@cache.command("ls", epilog=examples("equibasis cache ls"))
def cache_ls() -> None:
    """List the bases kept, the most recently used first."""
    from rich.filesize import decimal

    from equibasis.artifact.cache import cache_folder, cache_size, cached_files

    most_bytes, files = cache_size(), cached_files()
    for file in files:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(file.last_used))
        click.echo(f"{used}  {decimal(file.bytes):>9}  {printable(file.path.name)}")
    click.echo(f"{_counted(files)} of {decimal(most_bytes)}, in {printable(cache_folder())}")


@cache.command("prune", epilog=examples("equibasis cache prune --max-size 500MB"))
@click.option("--all", "everything", is_flag=True, help="Remove every basis.")
@click.option(
    "--max-size",
    metavar="SIZE",
    help="How much may stay, such as 500MB.  [default: EQUIBASIS_CACHE_SIZE]",
)
def cache_prune(everything: bool, max_size: str | None) -> None:
    """Remove the bases used least recently.

    Files that killed processes left behind are removed whatever their size.
    """
    from equibasis.artifact import cache as kept

    if everything and max_size is not None:
        raise click.UsageError("--all and --max-size exclude each other: give one")
    size = "0" if everything else max_size
    most_bytes = kept.cache_size() if size is None else kept.parse_size(size)
    removed, left = kept.prune_cache(most_bytes), kept.cached_files()
    click.echo(
        f"removed {_counted(removed)}; kept {_counted(left)}, in {printable(kept.cache_folder())}"
    )


def _counted(files: list[CachedFile]) -> str:
    from rich.filesize import decimal

    noun = "basis" if len(files) == 1 else "bases"
    return f"{len(files)} {noun}, {decimal(sum(file.bytes for file in files))}"
