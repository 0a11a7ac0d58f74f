"""symm-learning's `eLinear` beside ours and a plain layer, where it is installed.

It needs escnn and py3nj, and so a Fortran compiler: `pip install symm-learning`, then
`python benchmarks/peer.py`. Its representations are sums of regular ones of the same sizes as the
grids. Nothing of equibasis depends on it, and `make bench` does not run this.
"""

from __future__ import annotations

import sys

import click
from torch import nn

import equibasis as eb
from layers import BATCHES, WAYS, Problem, Way, measure, ratios
from page import table

PROBLEMS = (("c4", "14x14", "6x6"), ("c4", "28x28", "28x28"), ("d4", "28x28", "28x28"))
PROBLEMS += (("c4", "64x64", "64x64"), ("d4", "64x64", "64x64"))


def e_linear(basis: eb.Basis, _: eb.Basis) -> nn.Module:
    """`eLinear` between sums of regular representations, of as many coordinates."""
    from escnn.group import CyclicGroup, DihedralGroup
    from symm_learning.nn import eLinear
    from symm_learning.representation_theory import direct_sum

    group = {"c4": CyclicGroup(4), "d4": DihedralGroup(4)}[basis.space.group]
    regular = group.regular_representation
    sizes = basis.space.m, basis.space.k
    return eLinear(*(direct_sum([regular] * (size // regular.size)) for size in sizes))


@click.command()
@click.option("--threads", default=2, show_default=True)
def main(threads: int) -> None:
    """Print a table; exit 1 where symm-learning is not installed."""
    try:
        import symm_learning  # noqa: F401
    except ImportError as error:
        click.echo(f"symm-learning is not installed ({error}): pip install symm-learning", err=True)
        sys.exit(1)
    ways: dict[str, Way] = {name: WAYS[name] for name in ("plain", "expand", "irreps")}
    ways["eLinear"] = e_linear
    rows = []
    for sizes in PROBLEMS:
        for batch in BATCHES:
            found = measure(Problem(*sizes, batch, threads), ways)
            both = ratios(found["training"]), ratios(found["evaluation"])
            shown = [f"{times[name]:.2f}" for times in both for name in list(ways)[1:]]
            rows.append([found["problem"], str(batch), *shown])
    names = [
        f"{n}, {w}" for w in ("training", "evaluation") for n in ("expand", "irreps", "eLinear")
    ]
    click.echo(table(["layer", "batch", *names], rows, 1))


if __name__ == "__main__":
    main()
