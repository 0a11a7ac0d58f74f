"""symm-learning's `eLinear` beside ours and a plain layer; writes docs/benchmarks.md.

It needs escnn and py3nj, and so a Fortran compiler: `pip install symm-learning`, then
`python benchmarks/peer.py`. Its representations are sums of regular ones of the same sizes as the
grids. Nothing of equibasis depends on it, and `make bench` does not run this.
"""

from __future__ import annotations

import sys
import textwrap
from importlib.metadata import version

import click
from torch import nn
from tqdm import tqdm

import equibasis as eb
from layers import BATCHES, WAYS, Problem, Way, heading, measure, ratios
from page import table, write_section

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


def section(rows: list[dict]) -> str:
    """Return the section of docs/benchmarks.md."""
    names = ("expand", "irreps", "eLinear")
    lines = [
        "## Beside symm-learning",
        "",
        textwrap.fill(
            f"`eLinear` of symm-learning {version('symm-learning')} between sums of regular "
            f"representations of as many coordinates, as *Layers* has it: {rows[0]['threads']} "
            "threads, and all times as multiples of those of `torch.nn.Linear`.",
            100,
        ),
    ]
    for what, title in (
        ("training", "Forward and backward, gradients of weights and inputs"),
        ("evaluation", "Forward in evaluation, without gradients"),
    ):
        body = [
            [*heading(row, what), *(f"{ratios(row[what])[name]:.2f}" for name in names)]
            for row in rows
        ]
        titles = ["layer", "batch", "plain", "`expand`", "`irreps`", "`eLinear`"]
        lines += ["", f"**{title}**", "", table(titles, body, 1)]
    return "\n".join(lines)


@click.command()
@click.option("--threads", default=2, show_default=True)
def main(threads: int) -> None:
    """Write the section; exit 1 where symm-learning is not installed."""
    try:
        import symm_learning  # noqa: F401
    except ImportError as error:
        click.echo(f"symm-learning is not installed ({error}): pip install symm-learning", err=True)
        sys.exit(1)
    ways: dict[str, Way] = {name: WAYS[name] for name in ("plain", "expand", "irreps")}
    ways["eLinear"] = e_linear
    problems = [Problem(*sizes, batch, threads) for sizes in PROBLEMS for batch in BATCHES]
    write_section("peer", section([measure(problem, ways) for problem in tqdm(problems)]))


if __name__ == "__main__":
    main()
