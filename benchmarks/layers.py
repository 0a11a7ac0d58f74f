"""Layers beside `torch.nn.Linear`: forward, and forward with backward; writes docs/benchmarks.md.

All ways to apply one layer take turns in a process of their own, on inputs drawn at random, a few
calls each of which the last is timed; each time is the median of its rounds, and each ratio is to
the plain layer of the same rounds.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import statistics
import textwrap
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import TypeAlias
from unittest import mock

import click
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

import equibasis as eb
from equibasis.columns import as_csc
from equibasis.errors import ModelError
from equibasis.figures import COLOURS, save_figure
from equibasis.nn import EquivariantLinear
from page import DOCS, machine, table, write_section

PROBLEMS = (
    ("c4", "14x14", "6x6"),
    ("d4", "14x14", "6x6"),
    ("c4", "28x28", "28x28"),
    ("d4", "28x28", "28x28"),
    ("z28*z28", "28x28", "28x28"),
    ("c4", "64x64", "64x64"),
    ("d4", "64x64", "64x64"),
    ("z64*z64", "64x64", "64x64"),
)
BATCHES = (128, 1024)

# What a gradient of 64 MB takes depends on whether malloc keeps its memory from step to step. By
# default it does not; told so, it does.
KEPT = {"MALLOC_MMAP_THRESHOLD_": str(2**32), "MALLOC_TRIM_THRESHOLD_": str(2**34)}
PROBLEMS_KEPT = tuple(problem for problem in PROBLEMS if problem[1] == "64x64")

# A stack of all basis matrices beyond this many numbers is not made.
MOST_STACKED = 2**28

# Rounds last at least so long together, and are at least so many.
SECONDS, ROUNDS = 4.0, 7

# Each call is timed after others of its own, for at least so long.
WARM_SECONDS = 0.001


class Published(nn.Module):
    """W = Σ cⱼ Wⱼ from a dense stack of all basis matrices, as the published exercise has it."""

    def __init__(self, basis: eb.Basis) -> None:
        super().__init__()
        stack = torch.from_numpy(as_csc(basis.columns).toarray().T).float()
        self.register_buffer("stack", stack.view(basis.rank, basis.space.k, basis.space.m))
        self.coefficients = nn.Parameter(torch.randn(basis.rank))
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, m) -> (batch, k)."""
        weight = (self.coefficients[:, None, None] * self.stack).sum(0)
        return functional.linear(x, weight) + self.bias


# Seconds by name, of which "plain" is one.
Times: TypeAlias = dict[str, float]


def layers(basis: eb.Basis, invariants: eb.Basis) -> dict[str, nn.Module]:
    """Every way to apply one layer, the plain one first."""
    made: dict[str, nn.Module] = {"plain": nn.Linear(basis.space.m, basis.space.k)}
    made["expand"] = EquivariantLinear(basis, invariants, mode="expand")
    with contextlib.suppress(ModelError):
        made["block"] = EquivariantLinear(basis, invariants, mode="block")
    if basis.rank * basis.space.dimension <= MOST_STACKED:
        made["published"] = Published(basis)
    return made


def compare(calls: dict[str, Callable[[], object]]) -> Times:
    """Median times of calls that take turns."""
    for call in calls.values():
        call()
        call()
    start = time.perf_counter()
    rounds: dict[str, list[float]] = {name: [] for name in calls}
    while len(rounds["plain"]) < ROUNDS or time.perf_counter() - start < SECONDS:
        for name, call in calls.items():
            warm = time.perf_counter() + WARM_SECONDS
            call()  # so that none is timed on what another has left in the caches
            while time.perf_counter() < warm:
                call()
            begun = time.perf_counter()
            call()
            rounds[name].append(time.perf_counter() - begun)
    return {name: statistics.median(times) for name, times in rounds.items()}


def ratios(times: Times) -> dict[str, float]:
    """The same as multiples of the plain layer's."""
    return {name: seconds / times["plain"] for name, seconds in times.items()}


def step(layer: nn.Module, x: Tensor, gradient: Tensor) -> Callable[[], object]:
    """Forward and backward, for weights and inputs."""
    learned = [x, *layer.parameters()]

    def call() -> None:
        for tensor in learned:
            tensor.grad = None
        layer(x).backward(gradient)

    return call


def evaluation(layer: nn.Module, x: Tensor) -> Callable[[], object]:
    """Forward alone, without gradients."""

    def call() -> None:
        with torch.no_grad():
            layer(x)

    return call


def measure(group: str, input_: str, output: str, batch: int, threads: int) -> dict:
    """One row: times of forward with backward, and of forward in evaluation."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    basis, invariants = eb.solve(group, output, input_), eb.solve(group, output)
    made = layers(basis, invariants)
    x = torch.randn(batch, basis.space.m, requires_grad=True)
    gradient = torch.randn(batch, basis.space.k)
    training = compare({name: step(layer, x, gradient) for name, layer in made.items()})
    for layer in made.values():
        layer.eval()
    made["auto"] = EquivariantLinear(basis, invariants).eval()
    evaluating = compare({name: evaluation(layer, x) for name, layer in made.items()})
    return {
        "problem": f"{group}: {basis.space.m} → {basis.space.k}",
        "batch": batch,
        "threads": threads,
        "auto": made["auto"].mode,
        "training": training,
        "evaluation": evaluating,
    }


def apart(*arguments: object, **environment: str) -> dict:
    """`measure` in a process of its own, so that no problem inherits the heap of another."""
    spawn = multiprocessing.get_context("spawn")
    with mock.patch.dict(os.environ, environment), ProcessPoolExecutor(1, spawn) as pool:
        return pool.submit(measure, *arguments).result()


def plot(rows: list[dict]) -> Figure:
    """Bars of the ratios to the plain layer, one panel for each kind of time."""
    rows = [row for row in rows if row["batch"] == BATCHES[0]]
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    names = ("block", "expand", "published")
    for panel, what, title in zip(
        panels, ("training", "evaluation"), ("forward and backward", "evaluation"), strict=True
    ):
        for number, (name, colour) in enumerate(zip(names, COLOURS, strict=False)):
            places = [place for place, row in enumerate(rows) if name in row[what]]
            panel.barh(
                [place + 0.27 * (number - 1) for place in places],
                [ratios(rows[place][what])[name] for place in places],
                0.25,
                color=colour,
                label=name,
            )
        panel.axvline(1, color="0.3", linewidth=1)
        panel.set(xscale="log", title=title, xlabel="time, as a multiple of torch.nn.Linear")
        panel.set_yticks(range(len(rows)), [row["problem"] for row in rows])
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(axis="x", color="0.9")
        panel.set_axisbelow(True)
    panels[0].invert_yaxis()
    panels[1].legend(frameon=False, loc="lower right")
    return figure


def section(rows: list[dict], kept: list[dict]) -> str:
    """The section of docs/benchmarks.md, with rows where malloc keeps memory after the others."""
    titles = ["layer", "batch", "plain", "`expand`", "`block`", "published"]
    lines = [
        "## Layers",
        "",
        textwrap.fill(
            f"On {machine()}, PyTorch {torch.__version__}, {rows[0]['threads']} threads, "
            "float32. Times of `torch.nn.Linear` of the same sizes, with bias, and of the others "
            "as multiples of it in the same rounds. *Published* is the sum of coefficients times "
            "basis matrices; where its dense stack would take over a gigabyte, it is left out.",
            100,
        ),
        "",
        "![Time of layers as multiples of a plain layer's](images/layers.png)",
    ]
    names = ("expand", "block", "published")
    for what, title, last in (
        ("training", "Forward and backward, gradients of weights and inputs", "`auto` takes"),
        ("evaluation", "Forward in evaluation, after the first call", "`auto`"),
    ):
        body = []
        for row in rows:
            found = ratios(row[what])
            shown = [f"{found[name]:.2f}" if name in found else "–" for name in names]
            auto = f"{found['auto']:.2f}" if what == "evaluation" else f"`{row['auto']}`"
            body.append([*heading(row, what), *shown, auto])
        lines += ["", f"**{title}**", "", table([*titles, last], body, 1)]
    settings = " ".join(f"{name}={value}" for name, value in KEPT.items())
    body = [[*heading(row, "training"), f"{ratios(row['training'])['block']:.2f}"] for row in kept]
    lines += [
        "",
        "**Forward and backward, where malloc keeps memory**",
        "",
        textwrap.fill(
            "By default malloc gives the memory of a large gradient back to the system, and takes "
            f"it anew at each step, which slows plain layers of this size. With `{settings}` it "
            "keeps it:",
            100,
        ),
        "",
        table(["layer", "batch", "plain", "`block`"], body, 1),
    ]
    return "\n".join(lines)


def heading(row: dict, what: str) -> list[str]:
    """The first cells of a row: the problem, and the time of the plain layer."""
    return [row["problem"], f"{row['batch']:,}", f"{1000 * row[what]['plain']:.3g} ms"]


@click.command()
@click.option("--threads", default=2, show_default=True)
def main(threads: int) -> None:
    """Run every measurement, write the section and its plot."""
    problems = [(*problem, batch, threads) for problem in PROBLEMS for batch in BATCHES]
    rows = [apart(*problem) for problem in tqdm(problems, "layers")]
    again = [(*problem, BATCHES[0], threads) for problem in PROBLEMS_KEPT]
    kept = [apart(*problem, **KEPT) for problem in tqdm(again, "layers, memory kept")]
    save_figure(plot(rows), DOCS / "images" / "layers.png")
    write_section("layers", section(rows, kept))


if __name__ == "__main__":
    main()
