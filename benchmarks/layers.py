"""Layers beside `torch.nn.Linear`: forward, and forward with backward; writes docs/benchmarks.md.

All ways to apply one layer take turns in one process, on inputs drawn at random, a few calls each
of which the last is timed; each time is the median of its rounds, and each ratio is to the plain
layer of the same rounds.
"""

from __future__ import annotations

import contextlib
import statistics
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass

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


@dataclass
class Timing:
    """Seconds of the plain layer, and the ratios of the others to it, by name."""

    seconds: float
    ratios: dict[str, float]


def layers(basis: eb.Basis, invariants: eb.Basis) -> dict[str, nn.Module]:
    """Every way to apply one layer, the plain one first."""
    made: dict[str, nn.Module] = {"plain": nn.Linear(basis.space.m, basis.space.k)}
    made["expand"] = EquivariantLinear(basis, invariants, mode="expand")
    with contextlib.suppress(ModelError):
        made["block"] = EquivariantLinear(basis, invariants, mode="block")
    if basis.rank * basis.space.dimension <= MOST_STACKED:
        made["published"] = Published(basis)
    return made


def compare(calls: dict[str, Callable[[], object]]) -> Timing:
    """Times of calls that take turns."""
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
    medians = {name: statistics.median(times) for name, times in rounds.items()}
    plain = medians["plain"]
    return Timing(plain, {name: median / plain for name, median in medians.items()})


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


def measure(group: str, input_: str, output: str, batch: int) -> dict:
    """One row: times of forward with backward, and of forward in evaluation."""
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
        "auto": made["auto"].mode,
        "training": training,
        "evaluation": evaluating,
    }


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
            places = [place for place, row in enumerate(rows) if name in row[what].ratios]
            ratios = [rows[place][what].ratios[name] for place in places]
            panel.barh(
                [place + 0.27 * (number - 1) for place in places],
                ratios,
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


def section(rows: list[dict]) -> str:
    """The section of docs/benchmarks.md."""
    titles = ["layer", "batch", "plain", "`expand`", "`block`", "published"]
    lines = [
        "## Layers",
        "",
        textwrap.fill(
            f"On {machine()}, PyTorch {torch.__version__}, {torch.get_num_threads()} threads, "
            "float32. Times of `torch.nn.Linear` of the same sizes, with bias, and of the others "
            "as multiples of it in the same rounds. *Published* is the sum of coefficients times "
            "basis matrices; where its dense stack would take over a gigabyte, it is left out.",
            100,
        ),
        "",
        "![Time of layers as multiples of a plain layer's](images/layers.png)",
    ]
    for what, title in (
        ("training", "Forward and backward, gradients of weights and inputs"),
        ("evaluation", "Forward in evaluation, after the first call"),
    ):
        body = [
            [
                row["problem"],
                f"{row['batch']:,}",
                f"{1000 * row[what].seconds:.3g} ms",
                *(
                    f"{row[what].ratios[name]:.2f}" if name in row[what].ratios else "–"
                    for name in ("expand", "block", "published")
                ),
                f"{row[what].ratios['auto']:.2f}" if what == "evaluation" else f"`{row['auto']}`",
            ]
            for row in rows
        ]
        last = "`auto`" if what == "evaluation" else "`auto` takes"
        lines += ["", f"**{title}**", "", table([*titles, last], body, 1)]
    return "\n".join(lines)


@click.command()
@click.option("--threads", default=2, show_default=True)
def main(threads: int) -> None:
    """Run every measurement, write the section and its plot."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    problems = [(*problem, batch) for problem in PROBLEMS for batch in BATCHES]
    rows = [measure(*problem) for problem in tqdm(problems, "layers")]
    save_figure(plot(rows), DOCS / "images" / "layers.png")
    write_section("layers", section(rows))


if __name__ == "__main__":
    main()
