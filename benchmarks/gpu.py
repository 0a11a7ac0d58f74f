"""Layers and convolutions on a GPU, beside plain ones; writes docs/benchmarks.md, naming the card.

`make bench` does not run this: `python benchmarks/gpu.py` where there is a card that CUDA knows.
"""

from __future__ import annotations

import contextlib
import sys
import textwrap

import click
import torch
from torch import nn
from tqdm import tqdm

import convolutions
import equibasis as eb
from equibasis.errors import ModelError
from equibasis.nn import EquivariantLinear, export
from layers import evaluation, step
from page import table, write_section

LAYERS = (
    ("c4", "14x14", "6x6"),
    ("d4", "28x28", "28x28"),
    ("c4", "64x64", "64x64"),
    ("d4", "64x64", "64x64"),
    ("d4", "64*14x14", "64*14x14"),
)
BATCHES = (128, 1024)

CONVOLUTIONS = tuple(
    convolutions.Problem(group, fields, size, grid, batch)
    for group, fields in (("c4", 16), ("d4", 16), ("d4", 64))
    for size in (3, 5)
    for grid, batch in ((28, 64), (14, 256))
)


def of_layer(group: str, input_: str, output: str, batch: int) -> list[str]:
    """Return a row: times of a plain layer, and of ours as multiples of them."""
    torch.manual_seed(0)
    basis = eb.solve(group, input=input_, output=output)
    m, k = basis.space.m, basis.space.k
    made: dict[str, nn.Module] = {"plain": nn.Linear(m, k)}
    for mode in ("expand", "irreps", "auto"):
        with contextlib.suppress(ModelError):
            made[mode] = EquivariantLinear(basis, eb.solve(group, output=output), mode=mode)
    taken = made["auto"].mode
    made["exported"] = export(made.pop("auto"))
    made = {name: layer.cuda() for name, layer in made.items()}
    x = torch.randn(batch, m, device="cuda", requires_grad=True)
    gradient = torch.randn(batch, k, device="cuda")
    learned = [name for name in made if name != "exported"]
    training = convolutions.in_turns({n: step(made[n], x, gradient) for n in learned}, "cuda")
    calls = {name: evaluation(layer.eval(), x) for name, layer in made.items()}
    used = convolutions.in_turns(calls, "cuda")
    cells = [f"{group}: {m:,} → {k:,}", str(batch), _time(training["plain"])]
    cells += [_ratio(training, name) for name in ("expand", "irreps")]
    return [*cells, f"`{taken}`", _time(used["plain"]), _ratio(used, "exported")]


def of_convolution(problem: convolutions.Problem) -> list[str]:
    """Measure a convolution as layers are."""
    found = convolutions.measure(problem, ["plain", "ours"], "cuda")
    training, used = found["training"], found["evaluation"]
    grid = f"{problem.grid}×{problem.grid}"
    cells = [str(problem), grid, str(problem.batch), _time(training["plain"])]
    cells += [_ratio(training, "ours"), _time(used["plain"]), _ratio(used, "ours")]
    return [*cells, _ratio(used, "exported")]


def _time(seconds: float) -> str:
    return f"{1e6 * seconds:,.0f} µs"


def _ratio(times: dict[str, float], name: str) -> str:
    return f"{times[name] / times['plain']:.2f}" if name in times else "–"


@click.command()
def main() -> None:
    """Run every measurement, write the section; exit 1 where there is no card."""
    if not torch.cuda.is_available():
        click.echo("no GPU is there that this PyTorch can use", err=True)
        sys.exit(1)
    problems = [(*sizes, batch) for sizes in LAYERS for batch in BATCHES]
    linear = [of_layer(*problem) for problem in tqdm(problems, "layers")]
    convolved = [of_convolution(problem) for problem in tqdm(CONVOLUTIONS, "convolutions")]
    titles = ["layer", "batch", "plain", "`expand`", "`irreps`", "`auto` takes"]
    titles += ["plain, evaluation", "exported"]
    of_grids = ["convolution", "grid", "batch", "plain", "ours", "plain, evaluation", "ours"]
    intro = (
        f"On one {torch.cuda.get_device_name()}, PyTorch {torch.__version__}, float32 as PyTorch "
        "multiplies it by default (convolutions in TF32, products of matrices not). Forward with "
        "backward, then forward alone; ours as multiples of the plain layer's time, in turns, "
        "until the card has done. Regular fields for convolutions. Small calls wait for Python to "
        "start them, and `auto` estimates times on a CPU: on a card choose the mode by this table."
    )
    text = [
        "## On a GPU",
        textwrap.fill(intro, 100),
        table(titles, linear, 1),
        table([*of_grids, "exported"], convolved, 2),
    ]
    write_section("gpu", "\n\n".join(text))


if __name__ == "__main__":
    main()
