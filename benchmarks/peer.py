"""symm-learning's `eLinear` beside ours and a plain layer, where it is installed.

It needs escnn and py3nj, and so a Fortran compiler: `pip install symm-learning`, then
`python benchmarks/peer.py`. Its representations are sums of regular ones of the same sizes as the
grids. Nothing of equibasis depends on it, and `make bench` does not run this.
"""

from __future__ import annotations

import sys

import click
import torch
from torch import nn

import equibasis as eb
from layers import BATCHES, compare, evaluation, layers, ratios, step
from page import table

PROBLEMS = (("c4", "14x14", "6x6"), ("c4", "28x28", "28x28"), ("d4", "28x28", "28x28"))
PROBLEMS += (("c4", "64x64", "64x64"), ("d4", "64x64", "64x64"))


def e_linear(group: str, m: int, k: int) -> nn.Module:
    """`eLinear` between sums of regular representations, m and k coordinates in all."""
    from escnn.group import CyclicGroup, DihedralGroup
    from symm_learning.nn import eLinear
    from symm_learning.representation_theory import direct_sum

    regular = {"c4": CyclicGroup(4), "d4": DihedralGroup(4)}[group].regular_representation
    spaces = (direct_sum([regular] * (size // regular.size)) for size in (m, k))
    return eLinear(*spaces)


@click.command()
@click.option("--threads", default=2, show_default=True)
def main(threads: int) -> None:
    """Print a table; exit 1 where symm-learning is not installed."""
    try:
        import symm_learning  # noqa: F401
    except ImportError as error:
        click.echo(f"symm-learning is not installed ({error}): pip install symm-learning", err=True)
        sys.exit(1)
    torch.set_num_threads(threads)
    rows = []
    for group, input_, output in PROBLEMS:
        basis, invariants = eb.solve(group, output, input_), eb.solve(group, output)
        made = layers(basis, invariants)
        made["eLinear"] = e_linear(group, basis.space.m, basis.space.k)
        for batch in BATCHES:
            x = torch.randn(batch, basis.space.m, requires_grad=True)
            gradient = torch.randn(batch, basis.space.k)
            for layer in made.values():
                layer.train()
            training = compare({name: step(layer, x, gradient) for name, layer in made.items()})
            for layer in made.values():
                layer.eval()
            kept = compare({name: evaluation(layer, x) for name, layer in made.items()})
            sizes = f"{group}: {basis.space.m} → {basis.space.k}"
            rows.append(
                [sizes, str(batch)]
                + [
                    f"{found[name]:.2f}"
                    for found in (ratios(training), ratios(kept))
                    for name in ("expand", "block", "eLinear")
                ]
            )
    names = [
        f"{n}, {w}" for w in ("training", "evaluation") for n in ("expand", "block", "eLinear")
    ]
    click.echo(table(["layer", "batch", *names], rows, 1))


if __name__ == "__main__":
    main()
