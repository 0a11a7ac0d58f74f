"""Solve time and peak memory against size, for each solver; writes docs/benchmarks.md, README.md.

Each measurement is a process of its own, so that peak memory is its own too: the time is the
median of several solves after one to warm up (one solve alone where it takes long), the memory
what the process grew by above its imports.
"""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import click
import numpy as np
import scipy
from matplotlib.figure import Figure
from tqdm import tqdm

from equibasis.show.figures import COLOURS, save_figure
from page import DOCS, PEAK, machine, table, write_section

# Edges n of n×n -> n×n under c4, as far as each solver gets in about a minute.
SIZES = {
    "dense": (3, 4, 5, 6, 7, 8),
    "svd": (4, 8, 16, 32, 64, 128, 256, 512),
    "projector": (4, 8, 16, 32, 64, 128, 256, 512),
    "orbits": (4, 8, 16, 32, 64, 128, 256, 512),
}

CHILD = (
    PEAK
    + """
import json, statistics, sys, time
from equibasis.solvers import find_solver, problem, solve_space
group, output, input_, solver = sys.argv[1:]
def once():
    start = time.perf_counter()
    basis = solve_space(problem(group, input=input_, output=output), find_solver(solver))
    return time.perf_counter() - start, basis.rank
before = peak()
seconds, rank = once()
memory = peak() - before
if seconds < 3:
    seconds = statistics.median(once()[0] for _ in range(max(3, min(50, int(2 / seconds)))))
print(json.dumps({"seconds": seconds, "memory": memory, "rank": rank}))
"""
)


def measure(group: str, output: str, input_: str, solver: str) -> dict[str, float]:
    """Time (s), memory (bytes) and rank of one solve, in a process of its own."""
    command = [sys.executable, "-c", CHILD, group, output, input_, solver]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def plot(rows: list[dict]) -> Figure:
    """Time and memory against the number of index pairs, both logarithmic."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    panels = figure.subplots(1, 2)
    for colour, solver in zip(COLOURS, SIZES, strict=False):
        mine = [row for row in rows if row["solver"] == solver]
        pairs = [row["pairs"] for row in mine]
        panels[0].plot(
            pairs, [row["seconds"] for row in mine], "o-", ms=4, color=colour, label=solver
        )
        memory = [max(row["memory"], 2**16) / 2**20 for row in mine]
        panels[1].plot(pairs, memory, "o-", ms=4, color=colour, label=solver)
    for panel, unit in zip(panels, ("seconds", "MiB above the imports"), strict=True):
        panel.set(xscale="log", yscale="log", xlabel="index pairs, k·m", ylabel=unit)
        panel.grid(which="major", color="0.9")
        panel.spines[["top", "right"]].set_visible(False)
        panel.legend(frameon=False)
    return figure


def section(rows: list[dict], headline: dict[str, dict], more: list[dict]) -> str:
    """Return the section of docs/benchmarks.md."""
    ratio = headline["dense"]["seconds"] / headline["orbits"]["seconds"]
    lines = [
        "## Solving",
        "",
        textwrap.fill(
            f"On {machine()}, NumPy {np.__version__}, SciPy {scipy.__version__}. Times are of "
            "solving in a running process, representations included, as medians; memory is the "
            "peak above the imports.",
            100,
        ),
        "",
        "### 14×14 → 6×6 under C4, 7,056 dimensions",
        "",
        table(
            ["solver", "time", "memory", "dense takes … times as long"],
            [
                [
                    f"`{solver}`",
                    _time(row["seconds"]),
                    _size(row["memory"]),
                    f"{headline['dense']['seconds'] / row['seconds']:,.0f}",
                ]
                for solver, row in headline.items()
            ],
            1,
        ),
        "",
        f"`orbits` is {ratio:,.0f} times as fast as the textbook route in this run.",
        "",
        "### n×n → n×n under C4",
        "",
        "![Time and memory against size](images/solve.png)",
        "",
        _table(rows),
        "",
        "### Others",
        "",
        _table(more),
    ]
    return "\n".join(lines)


def in_short(headline: dict[str, dict]) -> str:
    """Return the section of the README."""
    orbits, svd, dense = (_time(headline[name]["seconds"]) for name in ("orbits", "svd", "dense"))
    return textwrap.fill(
        f"14×14 → 6×6 for C4 takes {orbits} in a running process, or {svd} with `svd`, the "
        "pipeline's choice; the textbook route, one dense operator and its SVD, takes "
        f"{dense} and {_size(headline['dense']['memory'])}.",
        100,
    )


def _table(rows: list[dict]) -> str:
    body = [
        [
            f"`{row['solver']}`",
            row["problem"],
            f"{row['pairs']:,}",
            f"{row['rank']:,}",
            _time(row["seconds"]),
            _size(row["memory"]),
        ]
        for row in rows
    ]
    return table(["solver", "problem", "dimensions", "rank", "time", "memory"], body, 2)


def _time(seconds: float) -> str:
    return f"{seconds:,.3g} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"


def _size(count: float) -> str:
    return f"{count / 2**30:.3g} GiB" if count >= 2**30 else f"{count / 2**20:.3g} MiB"


OTHERS = (
    ("c4", "28x28", "28x28", 614_656),
    ("d4", "64x64", "64x64", 16_777_216),
    ("z64*z64", "64x64", "64x64", 16_777_216),
    ("p4", "32x32", "32x32", 1_048_576),
    ("s50", "50x50", "50x50", 6_250_000),
    ("c4", "6x6:vector", "14x14:vector", 28_224),
    ("oh", "8x8x8:vector", "8x8x8:vector", 2_359_296),
    ("p4m", "128x128", "128x128", 268_435_456),
    ("d4", "1024x1024", "1024x1024", 2**40),
)


@click.command()
def main() -> None:
    """Run every measurement, write the section and its plot."""
    problems = [(solver, n) for solver, sizes in SIZES.items() for n in sizes]
    rows = []
    for solver, n in tqdm(problems, "sizes"):
        grid, pairs = f"{n}x{n}", n**4
        rows.append(
            {"solver": solver, "problem": f"c4: {grid} → {grid}", "pairs": pairs}
            | measure("c4", grid, grid, solver)
        )
    more = [
        {"solver": "orbits", "problem": f"{group}: {input_} → {output}", "pairs": pairs}
        | measure(group, output, input_, "orbits")
        for group, output, input_, pairs in tqdm(OTHERS, "others")
    ]
    headline = {
        solver: measure("c4", "6x6", "14x14", solver)
        for solver in tqdm(("orbits", "projector", "svd", "dense"), "14x14 -> 6x6")
    }
    save_figure(plot(rows), DOCS / "images" / "solve.png")
    write_section("solve", section(rows, headline, more))
    write_section("solve", in_short(headline), DOCS.parent / "README.md")


if __name__ == "__main__":
    main()
