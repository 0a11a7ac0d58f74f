"""What the cache of bases is worth: `get_basis` beside `solve`; writes docs/reuse.md.

Each problem has a process of its own, of one thread, and a cache folder of its own. Times are of
the processor, representations included, as medians of calls in turns.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import click
from tqdm import tqdm

from page import DOCS, machine, table, write_section

PROBLEMS = (
    ("c4", "14x14", "6x6", "auto"),
    ("c4", "14x14", "6x6", "svd"),
    ("i", "V**3", "V**3", "auto"),
    ("so3", "V**3", "V**3", "auto"),
    ("s50", "50x50", "50x50", "auto"),
)

CHILD = """
import json, os, statistics, sys, tempfile, time
group, input_, output, solver = sys.argv[1:]
asked = dict(group=group, input=input_, output=output, solver=solver)
def timed(call):
    start = time.process_time()
    call(**asked)
    return time.process_time() - start
with tempfile.TemporaryDirectory() as folder:
    os.environ["EQUIBASIS_CACHE"] = folder
    import equibasis as eb
    times = {"solve": [], "get_basis": []}
    for call in (eb.get_basis, eb.solve, eb.get_basis):  # solved and kept, imports done
        timed(call)
    while len(times["solve"]) < 7 or sum(times["solve"]) < 0.5:
        for name, found in times.items():
            found.append(timed(getattr(eb, name)))
print(json.dumps({name: statistics.median(found) for name, found in times.items()}))
"""


def measure(*problem: str) -> dict[str, float]:
    """Seconds of both, in a process of its own."""
    command = [sys.executable, "-c", CHILD, *problem]
    one = os.environ | {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=one)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def section(rows: dict[tuple[str, ...], dict[str, float]]) -> str:
    """Return the table of docs/reuse.md."""
    body = [
        [
            f"{group}: {input_} → {output}" + ("" if solver == "auto" else f", by `{solver}`"),
            *(f"{1000 * found[name]:,.1f} ms" for name in ("solve", "get_basis")),
            f"{found['get_basis'] / found['solve']:.2f}",
        ]
        for (group, input_, output, solver), found in rows.items()
    ]
    titles = ["problem", "`solve`", "`get_basis`, later calls", "ratio"]
    said = f"Processor time, on {machine()}, in a running process:"
    return f"{textwrap.fill(said, 100)}\n\n{table(titles, body, 1)}"


@click.command()
def main() -> None:
    """Run every measurement and write the section."""
    found = {problem: measure(*problem) for problem in tqdm(PROBLEMS, "cache")}
    write_section("cache", section(found), DOCS / "reuse.md")


if __name__ == "__main__":
    main()
