"""What would not fit in memory is refused before it is begun."""

from __future__ import annotations

import psutil

from equibasis.errors import EquibasisError


def refuse_beyond_memory(
    needed: float, what: str = "it", error: type[EquibasisError] = EquibasisError, remedy: str = ""
) -> None:
    """Raise an error if ``what`` takes more bytes than are free, and say what to do about it."""
    try:
        free = psutil.virtual_memory().available
    except OSError:  # no more files may be opened: whoever needs one says it
        return
    if needed > free:
        raise error(
            f"{what} would take about {needed / 2**30:,.1f} GiB ({free / 2**30:,.1f} GiB are free)"
            + (f": {remedy}" if remedy else "")
        )
