"""docs/benchmarks.md, and other pages: one section for each script, written by it alone."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"
PAGE = DOCS / "benchmarks.md"

HEAD = """# Benchmarks

Written by the scripts in `benchmarks/`, one a section; `make bench` runs those that need no GPU and
no other library. Machines differ, and the one these were measured on is shared: read the ratios.
"""


# For the programs of measurements, each a process of its own.
PEAK = """
import resource
def peak():
    try:  # of this program alone; ru_maxrss remembers the process that started it
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if "VmHWM" in line)
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
"""


def write_section(name: str, text: str, file: Path = PAGE) -> None:
    """Put a section in place of the one of the same name, or at the end."""
    page = file.read_text(encoding="utf-8") if file.exists() else ""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    section = f"{begin}\n{text.strip()}\n{end}"
    if begin in page:
        pattern = f"{re.escape(begin)}.*?{re.escape(end)}"
        page = re.sub(pattern, lambda _: section, page, flags=re.DOTALL)
    else:
        page = f"{page.rstrip() if page else HEAD.rstrip()}\n\n{section}\n"
    file.write_text(page, encoding="utf-8")


def table(titles: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> str:
    """Return a Markdown table, its first ``left`` columns aligned to the left."""
    rule = ["---"] * left + ["---:"] * (len(titles) - left)
    return "\n".join("| " + " | ".join(map(_cell, row)) + " |" for row in (titles, rule, *rows))


def _cell(text: str) -> str:
    """Spaces such as ``V**2 → V**2`` are no bold text; code is as it is."""
    return re.sub(r"(`[^`]*`)|\*", lambda found: found[1] or r"\*", text)


def machine() -> str:
    """Return the processor, its cores, and the system."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        names = [line.partition(":")[2].strip() for line in lines if "model name" in line]
        model = names[0] if names else model
    return (
        f"{model}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
    )
