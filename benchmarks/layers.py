"""Layers beside `torch.nn.Linear`: forward, and forward with backward; writes docs/benchmarks.md.

Each way to apply a layer has a process of its own, as in training, so that none works in memory
that another has left. They take turns, on inputs drawn at random: some calls each, of which the
last half is timed. Each time is the median of its rounds, each ratio is to the plain layer of the
same rounds. Where a process has its memory can make it twice as slow for as long as it lives, so
there are several sets of processes, one after the other, and the median ratio of them is told.
"""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import statistics
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection
from typing import Literal, NamedTuple, TypeAlias
from unittest import mock

import click
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

import equibasis as eb
from equibasis.errors import ModelError
from equibasis.nn import EquivariantLinear
from equibasis.show.figures import COLOURS, save_figure
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

# Those measured once more while others keep the cores busy.
PROBLEMS_BUSY = tuple(problem for problem in PROBLEMS if problem[0] in ("c4", "d4"))

# A stack of all basis matrices beyond this many numbers is not made.
MOST_STACKED = 2**28

# Of each set of processes, rounds last at least so long together, and are at least so many.
SETS, SECONDS, ROUNDS = 3, 0.7, 5

# A turn is at least so many calls, for at least so long.
CALLS, TURN_SECONDS = 3, 0.03

SPAWN = multiprocessing.get_context("spawn")


class Published(nn.Module):
    """W = Σ cⱼ Wⱼ from a dense stack of all basis matrices, as the published exercise has it."""

    def __init__(self, basis: eb.Basis) -> None:
        super().__init__()
        stack = torch.from_numpy(basis.matrix.toarray().T).float()
        self.register_buffer("stack", stack.view(basis.rank, basis.space.k, basis.space.m))
        self.coefficients = nn.Parameter(torch.randn(basis.rank))
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """(batch, m) -> (batch, k)."""
        weight = (self.coefficients[:, None, None] * self.stack).sum(0)
        return functional.linear(x, weight) + self.bias


class Problem(NamedTuple):
    """What is measured."""

    group: str
    input: str
    output: str
    batch: int
    threads: int


What: TypeAlias = Literal["training", "evaluation"]

# A layer from the bases of its weight and its bias; ``None`` where there is none of the kind.
Way: TypeAlias = Callable[[eb.Basis, eb.Basis], nn.Module | None]

# Seconds by way, of which "plain" is one.
Times: TypeAlias = dict[str, float]


def plain(basis: eb.Basis, _: eb.Basis) -> nn.Module:
    """Return the layer without symmetry."""
    return nn.Linear(basis.space.m, basis.space.k)


def irreps(basis: eb.Basis, invariants: eb.Basis) -> nn.Module | None:
    """By irreps, where orbits are short enough."""
    with contextlib.suppress(ModelError):
        return EquivariantLinear(basis, invariants, mode="irreps")
    return None


def published(basis: eb.Basis, _: eb.Basis) -> nn.Module | None:
    """Return the published way, where memory is enough for it."""
    return Published(basis) if basis.rank * basis.space.dimension <= MOST_STACKED else None


WAYS: dict[str, Way] = {
    "plain": plain,
    "expand": functools.partial(EquivariantLinear, mode="expand"),
    "irreps": irreps,
    "published": published,
    "auto": EquivariantLinear,
}


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


def timed(call: Callable[[], object]) -> float:
    """Return the median time of the last half of a turn's calls: the first ones warm the caches."""
    times: list[float] = []
    while len(times) < CALLS or sum(times) < TURN_SECONDS:
        begun = time.perf_counter()
        call()
        times.append(time.perf_counter() - begun)
    return statistics.median(times[len(times) // 2 :])


def serve(connection: Connection, way: Way, problem: Problem) -> None:
    """Make a layer, say what it is, and time it whenever asked to.

    Sends the layer's sizes, and its mode, ``None`` where there is no layer.
    """
    torch.set_num_threads(problem.threads)
    torch.manual_seed(0)
    basis = eb.solve(problem.group, input=problem.input, output=problem.output)
    layer = way(basis, eb.solve(problem.group, output=problem.output))
    sizes = f"{problem.group}: {basis.space.m} → {basis.space.k}"
    connection.send((sizes, None if layer is None else getattr(layer, "mode", "")))
    if layer is None:
        return
    x = torch.randn(problem.batch, basis.space.m, requires_grad=True)
    gradient = torch.randn(problem.batch, basis.space.k)
    calls = {"training": step(layer, x, gradient), "evaluation": evaluation(layer, x)}
    for what in iter(connection.recv, None):
        if layer.training != (what == "training"):
            layer.train(what == "training")
        connection.send(timed(calls[what]))


@contextlib.contextmanager
def served(way: Way, problem: Problem) -> Iterator[Connection]:
    """Yield a process that serves one way."""
    here, there = SPAWN.Pipe()
    process = SPAWN.Process(target=serve, args=(there, way, problem), daemon=True)
    process.start()
    there.close()
    try:
        yield here
    finally:
        with contextlib.suppress(OSError):  # it may have ended before
            here.send(None)
        process.join()


def spin() -> None:
    """Keep a core busy."""
    while True:
        pass


@contextlib.contextmanager
def busy(processes: int) -> Iterator[None]:
    """Other processes that keep so many cores busy."""
    others = [SPAWN.Process(target=spin, daemon=True) for _ in range(processes)]
    for other in others:
        other.start()
    try:
        yield
    finally:
        for other in others:
            other.terminate()
            other.join()


def in_turns(ways: Mapping[str, Connection], what: What) -> Times:
    """Median times, of rounds in which all ways take turns."""
    start = time.perf_counter()
    rounds: dict[str, list[float]] = {name: [] for name in ways}
    while len(rounds["plain"]) < ROUNDS or time.perf_counter() - start < SECONDS:
        for name, connection in ways.items():
            connection.send(what)
            rounds[name].append(connection.recv())
    return {name: statistics.median(times) for name, times in rounds.items()}


def ratios(times: Times) -> dict[str, float]:
    """Divide by the times of the plain layer."""
    return {name: seconds / times["plain"] for name, seconds in times.items()}


def measure(problem: Problem, ways: Mapping[str, Way] = WAYS, **environment: str) -> dict:
    """One row: times of forward with backward, and of forward in evaluation."""
    with mock.patch.dict(os.environ, environment):
        found = [measure_once(problem, ways) for _ in range(SETS)]
    whats: tuple[What, What] = ("training", "evaluation")
    return found[0] | {what: middle([row[what] for row in found]) for what in whats}


def measure_once(problem: Problem, ways: Mapping[str, Way]) -> dict:
    """Return that row of one set of processes."""
    with contextlib.ExitStack() as stack:
        every = {name: stack.enter_context(served(way, problem)) for name, way in ways.items()}
        made = {name: connection.recv() for name, connection in every.items()}
        there = {name: every[name] for name, (_, mode) in made.items() if mode is not None}
        auto = made["auto"][1] if "auto" in made else None
        there.pop("auto", None)  # which is one of the others
        return {
            "problem": made["plain"][0],
            "batch": problem.batch,
            "threads": problem.threads,
            "auto": auto,
            "training": in_turns(there, "training"),
            "evaluation": in_turns(there, "evaluation"),
        }


def middle(sets: list[Times]) -> Times:
    """Return the median time of the plain layer; of each other, its median ratio times that."""
    plain = statistics.median(times["plain"] for times in sets)
    every = [ratios(times) for times in sets]
    return {name: plain * statistics.median(each[name] for each in every) for name in every[0]}


def plot(rows: list[dict]) -> Figure:
    """Bars of the ratios to the plain layer, one panel for each kind of time."""
    rows = [row for row in rows if row["batch"] == BATCHES[0]]
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    names = ("irreps", "expand", "published")
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


def section(rows: list[dict], kept: list[dict], crowded: list[dict]) -> str:
    """Write the section of docs/benchmarks.md, rows where malloc keeps memory after the others."""
    titles = ["layer", "batch", "plain", "`expand`", "`irreps`", "published", "`auto` takes"]
    lines = [
        "## Layers",
        "",
        textwrap.fill(
            f"On {machine()}, PyTorch {torch.__version__}, {rows[0]['threads']} threads, "
            "float32. Times of `torch.nn.Linear` of the same sizes, with bias, and of the others "
            f"as multiples of it in the same rounds, the median of {SETS} sets of processes, one "
            "for each way. *Published* is the sum of coefficients times basis matrices; where its "
            "dense stack would take over a gigabyte, it is left out.",
            100,
        ),
        "",
        "![Time of layers as multiples of a plain layer's](images/layers.png)",
    ]
    names = ("expand", "irreps", "published")
    for what, title in (
        ("training", "Forward and backward, gradients of weights and inputs"),
        ("evaluation", "Forward in evaluation, without gradients"),
    ):
        body = []
        for row in rows:
            found = ratios(row[what])
            shown = [f"{found[name]:.2f}" if name in found else "–" for name in names]
            body.append([*heading(row, what), *shown, f"`{row['auto']}`"])
        lines += ["", f"**{title}**", "", table(titles, body, 1)]
    settings = " ".join(f"{name}={value}" for name, value in KEPT.items())
    body = [[*heading(row, "training"), f"{ratios(row['training'])['irreps']:.2f}"] for row in kept]
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
        table(["layer", "batch", "plain", "`irreps`"], body, 1),
    ]
    quiet = {(row["problem"], row["batch"]): ratios(row["training"]) for row in rows}
    body = []
    for row in crowded:
        (way,) = row["training"].keys() - {"plain"}
        alone = quiet[row["problem"], row["batch"]][way]
        shown = [f"`{way}`", f"{ratios(row['training'])[way]:.2f}", f"{alone:.2f}"]
        body.append([*heading(row, "training"), *shown])
    lines += [
        "",
        "**Forward and backward, while others work**",
        "",
        textwrap.fill(
            f"{rows[0]['threads']} other processes each keep a core busy, so that threads wait for "
            "one another; *alone* are the ratios from above.",
            100,
        ),
        "",
        table(["layer", "batch", "plain", "`auto` takes", "ratio", "alone"], body, 1),
    ]
    return "\n".join(lines)


def heading(row: dict, what: str) -> list[str]:
    """Return the first cells of a row: the problem, and the time of the plain layer."""
    return [row["problem"], f"{row['batch']:,}", f"{1000 * row[what]['plain']:.3g} ms"]


@click.command()
@click.option("--threads", default=2, show_default=True)
def main(threads: int) -> None:
    """Run every measurement, write the section and its plot."""
    problems = [Problem(*sizes, batch, threads) for sizes in PROBLEMS for batch in BATCHES]
    rows = [measure(problem) for problem in tqdm(problems, "layers")]
    again = [Problem(*sizes, BATCHES[0], threads) for sizes in PROBLEMS_KEPT]
    two = {name: WAYS[name] for name in ("plain", "irreps")}
    kept = [measure(problem, two, **KEPT) for problem in tqdm(again, "layers, memory kept")]
    taken = {problem: row["auto"] for problem, row in zip(problems, rows, strict=True)}
    again = [Problem(*sizes, BATCHES[0], threads) for sizes in PROBLEMS_BUSY]
    with busy(threads):
        crowded = [
            measure(problem, {name: WAYS[name] for name in ("plain", taken[problem])})
            for problem in tqdm(again, "layers, while others work")
        ]
    save_figure(plot(rows), DOCS / "images" / "layers.png")
    write_section("layers", section(rows, kept, crowded))


if __name__ == "__main__":
    main()
