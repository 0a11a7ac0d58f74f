"""Continuous groups: ranks, times and errors; writes docs/benchmarks.md.

EMLP has an environment of its own (`pip install emlp six`); with ``--emlp`` its Python, its times
are beside ours. Nothing of equibasis depends on it.
"""

from __future__ import annotations

import json
import subprocess
import textwrap
import time

import click
import numpy as np
from tqdm import tqdm

import equibasis as eb
from page import machine, table, write_section

# Group, X, Y, the rank, where it is known from, and the group and tensor ranks that EMLP takes.
PROBLEMS = (
    ("so3", "V**2", "V**2", 3, "A005043", ("SO(3)", 2, 2)),
    ("so3", "V**3", "V**3", 15, "A005043", ("SO(3)", 3, 3)),
    ("so3", "V**4", "V**4", 91, "A005043", None),
    ("so3", "V**5", "V**5", 603, "A005043", None),
    ("so3", "sym(V, 2)", "sym(V, 2)", 2, "Lamé", None),
    ("so+1,3", "V**2", "V**2", 4, "Catalan numbers squared", ("SO13p()", 2, 2)),
    ("so+1,3", "V**3", "V**3", 25, "Catalan numbers squared", None),
    ("so1,3", "V**3", "V**3", 25, "Catalan numbers squared", None),
    ("o1,3", "V**3", "V**3", 15, "(2k − 1)!!", None),
    ("so+1,3", "V**4", "V**4", 196, "Catalan numbers squared", None),
    ("o5", "V**3", "V**3", 15, "(2k − 1)!!", None),
    ("o5", "V**4", "V**4", 105, "(2k − 1)!!", None),
    ("sp2", "V**2", "V**2", 2, "A005700", ("Sp(1)", 2, 2)),
    ("sp4", "V**2", "V**2", 3, "A005700", ("Sp(2)", 2, 2)),
    ("sp4", "V**3", "V**3", 14, "A005700", None),
    ("sp8", "V**2", "V**2", 3, "A005700", None),
    ("su3", "V**3", "V**3", 130, "20 · 3! + 2 · 5", None),
    ("su2", "V**3", "V**3", 320, "2⁶ · 5", None),
    ("u2", "V**3", "V**3", 100, "Schur-Weyl", None),
    ("sl2", "V**6", "V**6", 132, "Catalan numbers", None),
    ("sl3", "V**4", "V**4", 23, "4! − 1", None),
    ("gl4", "V**3", "V**3", 6, "3!", None),
    ("g2", "V**3", "V**3", 35, "A059710", None),
    ("so10", "V**2", "V**2", 3, "(2k − 1)!!", None),
)

EMLP = """
import json, sys, time
from emlp.groups import SO, SO13p, Sp
from emlp.reps import V
group, source, target = eval(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
start = time.perf_counter()
basis = (V(group) ** source >> V(group) ** target).equivariant_basis()
print(json.dumps({"seconds": time.perf_counter() - start, "rank": int(basis.shape[-1])}))
"""


def solved(group: str, input_: str, output: str) -> tuple[eb.Basis, float]:
    """Solve, and take the seconds: the best of three, of one where it takes long."""
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        basis = eb.solve(group, input=input_, output=output)
        best = min(best, time.perf_counter() - start)
        if best > 5:
            break
    return basis, best


def of_emlp(python: str, group: str, source: int, target: int) -> float | None:
    """Seconds that EMLP takes in a process that is warm only by its imports."""
    command = [python, "-c", EMLP, group, str(source), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return None
    return float(json.loads(done.stdout.splitlines()[-1])["seconds"])


def seconds(value: float) -> str:
    """``12 ms``."""
    return f"{value:.2f} s" if value >= 1 else f"{1000 * value:.3g} ms"


def section(rows: list[list[str]], *, emlp: bool) -> str:
    """Return the section of docs/benchmarks.md."""
    titles = ["problem", "known from", "rank by", "dimensions", "rank", "solve", "error"]
    said = (
        "Rank and basis by `eb.solve`, the best of three in a running process. The error is the "
        "larger of max |dρ₂(A) W − W dρ₁(A)| over the largest entry of both and max |BᵀB − 1|. "
        "Ranks are held to published ones; numbers beginning with A are sequences of the OEIS."
    )
    if emlp:
        titles += ["EMLP", "ratio"]
        said += " EMLP solves in float32, in a process of its own, once, its imports not counted."
    return "\n".join(
        [
            "## Continuous groups",
            "",
            textwrap.fill(f"On {machine()}, NumPy {np.__version__}. {said}", 100),
            "",
            table(titles, rows, 3),
        ]
    )


@click.command()
@click.option("--emlp", help="a Python that has emlp")
def main(emlp: str | None) -> None:
    """Solve every problem and write the section; exit 1 where a rank is not the published one."""
    rows = []
    for group, input_, output, rank, source, peer in tqdm(PROBLEMS):
        basis, took = solved(group, input_, output)
        if basis.rank != rank:
            raise SystemExit(f"{group}: {input_} -> {output} has rank {basis.rank}, not {rank}")
        error = max(basis.checks.equivariance_error, basis.checks.orthonormality_error)
        row = [
            f"{group}: {input_} → {output}",
            source,
            basis.checks.rank_by,
            f"{basis.space.dimension:,}",
            f"{rank:,}",
            seconds(took),
            f"{error:.0e}",
        ]
        if emlp:
            theirs = of_emlp(emlp, *peer) if peer else None
            row += ["", ""] if theirs is None else [seconds(theirs), f"{theirs / took:,.0f}"]
        rows.append(row)
    write_section("continuous", section(rows, emlp=bool(emlp)))


if __name__ == "__main__":
    main()
