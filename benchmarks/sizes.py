"""Large spaces and real widths: solving, saving, loading and verifying; writes docs/benchmarks.md.

Each problem has a process of its own, so that its peak of memory is its own; it is told above what
the imports take.
"""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import click
import numpy as np
from tqdm import tqdm

from page import PEAK, machine, table, write_section

PROBLEMS = (
    ("c4", "14x14", "6x6"),
    ("d4", "16*14x14", "16*14x14"),
    ("d4", "64*14x14", "128*14x14"),
    ("d4", "256*14x14", "256*14x14"),
    ("d4", "256x256", "256x256"),
    ("d4", "1024x1024", "1024x1024"),
    ("s50", "50x50", "50x50"),
    ("s50", "16*50x50", "16*50x50"),
    ("p4m", "32x32", "32x32"),
    ("p4m", "128x128", "128x128"),
    ("z64*z64", "64x64", "64x64"),
)

NETWORKS = (
    (["3*14x14", "64*14x14", "128*6x6", "10*1"], "d4"),
    (["16*14x14", "16*14x14"], "d4"),
    (["64*14x14", "64*14x14"], "d4"),
    (["256*6x6", "256*6x6"], "d4"),
)

COMMON = (
    PEAK
    + """
import atexit, json, os, shutil, sys, tempfile, time
def timed(call):
    start = time.perf_counter()
    return call(), time.perf_counter() - start
folder = tempfile.mkdtemp()
atexit.register(shutil.rmtree, folder, ignore_errors=True)
os.environ["EQUIBASIS_CACHE"] = folder
"""
)

BASIS = """
import equibasis as eb
from equibasis.artifact.store import load_basis, save_basis, verify_file
from equibasis.solvers import solve
group, input_, output = sys.argv[1:]
solve(group="c4", input="4x4", output="4x4")
file, before, found = os.path.join(folder, "basis.h5"), peak(), {}
basis, found["solve"] = timed(lambda: solve(group=group, input=input_, output=output))
found |= {"rank": basis.rank, "dimension": basis.space.dimension}
_, found["save"] = timed(lambda: save_basis(basis, file))
_, found["load"] = timed(lambda: load_basis(file))
_, found["verify"] = timed(lambda: verify_file(file))
print(json.dumps(found | {"memory": peak() - before, "size": os.path.getsize(file)}))
"""

NETWORK = """
import torch
from equibasis.nn import EquivariantMLP
torch.set_num_threads(2)
spaces, group = json.loads(sys.argv[1]), sys.argv[2]
before = peak()
network, building = timed(lambda: EquivariantMLP(spaces, group))
memory = peak() - before
sizes = [(layer.in_features, layer.out_features) for layer in network.layers
         if hasattr(layer, "in_features")]
plain = []
for inputs, outputs in sizes:
    plain += [torch.nn.Linear(inputs, outputs), torch.nn.ELU()]
plain = torch.nn.Sequential(*plain[:-1])
x = torch.randn(128, sizes[0][0])
y = torch.randn(128, sizes[-1][1])
def step(net):
    for parameter in net.parameters():
        parameter.grad = None
    net(x).backward(y)
times = {"ours": [], "plain": []}
for _ in range(6):
    for name, net in (("ours", network), ("plain", plain)):
        times[name].append(timed(lambda: step(net))[1])
median = {name: sorted(each)[len(each) // 2] for name, each in times.items()}
count = sum(p.numel() for p in network.parameters()), sum(p.numel() for p in plain.parameters())
print(json.dumps({"building": building, "memory": memory, "parameters": count[0],
                  "plain_parameters": count[1], "plain": median["plain"],
                  "ratio": median["ours"] / median["plain"]}))
"""


def measured(program: str, *arguments: str) -> dict[str, float]:
    """Run a program in a process of its own, and return what it prints."""
    command = [sys.executable, "-c", COMMON + program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def section(bases: list[list[str]], networks: list[list[str]]) -> str:
    """Return the section of docs/benchmarks.md."""
    lines = [
        "## Sizes",
        "",
        textwrap.fill(
            f"On {machine()}, NumPy {np.__version__}. Each row is one process: a basis is solved, "
            "saved, loaded and verified once. Memory is the peak of all four above the imports.",
            100,
        ),
        "",
        table(
            ["problem", "dimensions", "rank", "solve", "save", "load", "verify", "memory", "file"],
            bases,
            1,
        ),
        "",
        textwrap.fill(
            "Whole networks (`EquivariantMLP`), built with an empty cache; forward and backward at "
            "batch 128, beside plain layers of the same widths with ELU.",
            100,
        ),
        "",
        table(
            ["network", "building", "memory", "parameters", "of plain", "plain step", "ratio"],
            networks,
            1,
        ),
    ]
    return "\n".join(lines)


def seconds(value: float) -> str:
    """``12 ms``."""
    return f"{value:.2f} s" if value >= 1 else f"{1000 * value:.3g} ms"


def size(value: float) -> str:
    """``1.2 MiB``."""
    return f"{value / 2**20:,.3g} MiB" if value >= 2**20 else f"{value / 2**10:,.3g} KiB"


@click.command()
def main() -> None:
    """Run every measurement and write the section."""
    bases = []
    for group, input_, output in tqdm(PROBLEMS, "bases"):
        found = measured(BASIS, group, input_, output)
        bases.append(
            [
                f"{group}: {input_} → {output}",
                f"{found['dimension']:,}",
                f"{found['rank']:,}",
                *(seconds(found[name]) for name in ("solve", "save", "load", "verify")),
                size(found["memory"]),
                size(found["size"]),
            ]
        )
    networks = []
    for spaces, group in tqdm(NETWORKS, "networks"):
        found = measured(NETWORK, json.dumps(spaces), group)
        networks.append(
            [
                f"{group}: {' → '.join(spaces)}",
                seconds(found["building"]),
                size(found["memory"]),
                f"{found['parameters']:,}",
                f"{found['plain_parameters']:,}",
                seconds(found["plain"]),
                f"{found['ratio']:.2f}",
            ]
        )
    write_section("sizes", section(bases, networks))


if __name__ == "__main__":
    main()
