"""A quadruped in equibasis, escnn, symm-learning and EMLP; writes docs/benchmarks.md.

Each library is given the same matrices and makes the same equivariant layer, in a process of its
own. escnn and symm-learning (`pip install symm-learning`, which needs a Fortran compiler) are
measured with ``--peer PYTHON``, EMLP (`pip install emlp six`) with ``--emlp PYTHON``. Nothing of
equibasis depends on them, and `make bench` does not run this.
"""

from __future__ import annotations

import argparse  # a peer's environment need not have click
import importlib
import inspect
import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np
from scipy.linalg import block_diag

from page import machine, table, write_section

# Legs: front left, front right, back left, back right; of each the hip's roll, its pitch, the knee.
LEGS = {"side": [1, 0, 3, 2], "ends": [2, 3, 0, 1]}
JOINTS = {"side": [-1, 1, 1], "ends": [1, -1, -1]}
BODY = {"side": [1, -1, 1], "ends": [-1, 1, 1]}

# dim Hom_G: the mirrors permute the legs, so have no trace there, and (44 · 6 + 0 + 0 + 0) / 4.
RANK = 66

# Processes of which the fastest is taken, and random inputs.
_RUNS, _INPUTS = 3, 1000

Matrices = dict[str, dict[str, np.ndarray]]
Layer = Callable[[np.ndarray], np.ndarray]


def quadruped() -> Matrices:
    """Of each representation the matrices of both mirrors."""
    legs = {mirror: np.eye(4)[LEGS[mirror]] for mirror in LEGS}
    body = {mirror: np.diag(np.array(BODY[mirror], dtype=float)) for mirror in BODY}
    return {
        "V": body,
        "legs": legs,
        "joints": {mirror: np.kron(legs[mirror], np.diag(JOINTS[mirror])) for mirror in LEGS},
        "turns": {mirror: np.linalg.det(body[mirror]) * body[mirror] for mirror in BODY},
    }


# --- the layer in each library: its dimension, and what it makes of inputs (n, 44), float32 ------


def in_equibasis(given: Matrices) -> tuple[int, Layer]:
    """From the mirrors, by name."""
    import torch

    import equibasis as eb
    from equibasis.nn import EquivariantLinear

    group = eb.matrix_group("quadruped", representations=given)
    basis = eb.solve(group, input="3*joints + 2*legs", output="V + turns")
    layer = EquivariantLinear(basis)
    return basis.rank, lambda x: layer(torch.from_numpy(x)).detach().numpy()


def of_elements(given: Matrices) -> dict[str, Any]:
    """escnn's representations, for escnn and for symm-learning."""
    from escnn.group import klein4_group
    from escnn.group.representation import build_from_discrete_group_representation

    group = klein4_group()
    side, ends = group.generators
    found = {}
    for name, moves in given.items():
        listed = {
            group.identity: np.eye(len(moves["side"])),
            side: moves["side"],
            ends: moves["ends"],
            side @ ends: moves["side"] @ moves["ends"],
        }
        found[name] = build_from_discrete_group_representation(listed, name, group, [])
    return found


def in_escnn(given: Matrices) -> tuple[int, Layer]:
    """From all elements of its Klein four-group."""
    import torch
    from escnn import gspaces, nn

    of = of_elements(given)
    space = gspaces.no_base_space(of["V"].group)
    source = nn.FieldType(space, 3 * [of["joints"]] + 2 * [of["legs"]])
    target = nn.FieldType(space, [of["V"], of["turns"]])
    layer = nn.Linear(source, target, bias=False)
    rank = layer.basisexpansion.dimension()
    return rank, lambda x: layer(source(torch.from_numpy(x))).tensor.detach().numpy()


def in_symm_learning(given: Matrices) -> tuple[int, Layer]:
    """From the representations of escnn."""
    import torch
    from symm_learning.nn import eLinear
    from symm_learning.representation_theory import direct_sum

    of = of_elements(given)
    source = direct_sum(3 * [of["joints"]] + 2 * [of["legs"]])
    target = direct_sum([of["V"], of["turns"]])
    layer = eLinear(source, target, bias=False)
    return layer.homo_basis.dim, lambda x: layer(torch.from_numpy(x)).detach().numpy()


def in_emlp(given: Matrices) -> tuple[int, Layer]:
    """From one matrix for each mirror, of which a class takes blocks."""
    import jax
    from emlp.groups import Group
    from emlp.reps import Rep

    class Quadruped(Group):
        def __init__(self) -> None:
            mirrors = ("side", "ends")
            self.discrete_generators = np.stack(
                [block_diag(*(moves[mirror] for moves in given.values())) for mirror in mirrors]
            )
            super().__init__()

    class Block(Rep):
        def __init__(self, name: str, G: Any = None) -> None:
            self.name, self.G = name, G
            start = 0
            for each, moves in given.items():
                if each == name:
                    self.start, self.stop = start, start + len(moves["side"])
                start += len(moves["side"])

        def __call__(self, G: Any) -> Any:
            return Block(self.name, G)

        def __str__(self) -> str:
            return self.name

        def size(self) -> int:
            return self.stop - self.start

        def rho(self, M: Any) -> Any:
            M = M[self.G] if isinstance(M, dict) else M
            return M[self.start : self.stop, self.start : self.stop]

    group = Quadruped()
    source = (3 * Block("joints") + 2 * Block("legs"))(group)
    target = (Block("V") + Block("turns"))(group)
    basis = (source >> target).equivariant_basis()
    size = target.size(), source.size()
    weights = jax.random.normal(jax.random.PRNGKey(0), basis.shape[-1:])
    matrix = (basis @ weights).reshape(size)
    return int(basis.shape[-1]), lambda x: np.asarray(x @ matrix.T)


# How each is given the representations, its code, the layer's first, and what is imported before.
LIBRARIES = {
    "equibasis": ("matrices of the mirrors", (in_equibasis,), "equibasis.nn"),
    "escnn": ("matrices of all elements, decomposed", (in_escnn, of_elements), "escnn.nn"),
    "symm-learning": ("those of escnn", (in_symm_learning, of_elements), "symm_learning.nn"),
    "EMLP": ("a class, blocks of larger matrices", (in_emlp,), "emlp.reps"),
}


def measured(library: str) -> dict[str, Any]:
    """Version, dimension, seconds, and equivariance error of a library, in this process."""
    _, (code, *_), module = LIBRARIES[library]
    importlib.import_module(module)
    given = quadruped()
    start = time.perf_counter()
    rank, layer = code(given)
    took = time.perf_counter() - start
    x = np.random.RandomState(0).standard_normal((_INPUTS, 44)).astype(np.float32)
    y, error = layer(x), 0.0
    for mirror in LEGS:
        before = _beside(given, mirror, 3 * ["joints"] + 2 * ["legs"])
        after = _beside(given, mirror, ["V", "turns"])
        error = max(error, float(np.abs(layer(x @ before.T) - y @ after.T).max()))
    name = library if library == "equibasis" else f"{library} {version(library)}"
    error /= float(np.abs(y).max())
    return {"name": name, "rank": rank, "seconds": took, "error": error}


def _beside(given: Matrices, mirror: str, names: list[str]) -> np.ndarray:
    """Return a direct sum, float32."""
    return np.asarray(block_diag(*(given[name][mirror] for name in names)), dtype=np.float32)


def best(python: str, library: str) -> dict[str, Any]:
    """Return the fastest of some processes, one thread each."""
    command = [python, __file__, "--measure", library]
    one = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    runs = []
    for _ in range(_RUNS):
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, env={**os.environ, **one}
        )
        runs.append(json.loads(done.stdout.splitlines()[-1]))
    if any(run["rank"] != RANK for run in runs):
        raise SystemExit(f"{library}: the dimension is {runs[0]['rank']}, not {RANK}")
    return min(runs, key=lambda run: run["seconds"])


def lines(code: Callable[..., Any]) -> int:
    """How many lines a function takes, without imports and the two that say what it is."""
    told = [line.strip() for line in inspect.getsource(code).splitlines()[2:]]
    return sum(1 for line in told if line and not line.startswith(("import ", "from ")))


def section(rows: list[list[str]]) -> str:
    """Return the section of docs/benchmarks.md."""
    said = (
        f"On {machine()}, one thread. That of spaces.md, `3*joints + 2*legs` → "
        f"`V + 1:pseudovector`, 264 dimensions, {RANK} of them equivariant. "
        "Each library is given the matrices of the "
        "two mirrors on each representation, and makes a layer in float32; time is that, in a new "
        "process after its imports, the best of three; lines are those of its function in "
        "`benchmarks/quadruped.py`, without imports. The error is max |f(ρ₁x) − ρ₂f(x)| over "
        "max |f(x)|, of 1,000 random inputs and both mirrors."
    )
    titles = [
        "library",
        "given as",
        "lines",
        "dimension",
        "made in",
        "ratio",
        "error",
    ]
    return "\n".join(["## A quadruped", "", textwrap.fill(said, 100), "", table(titles, rows, 2)])


def main() -> None:
    """Measure each library that a Python is given for, and write the section."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--peer", help="a Python that has symm-learning, and with it escnn")
    parser.add_argument("--emlp", help="a Python that has emlp")
    parser.add_argument("--measure", choices=LIBRARIES, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measured(given.measure)))
        return
    pythons = {
        "equibasis": sys.executable,
        "escnn": given.peer,
        "symm-learning": given.peer,
        "EMLP": given.emlp,
    }
    found = {name: best(python, name) for name, python in pythons.items() if python}
    ours = found["equibasis"]["seconds"]
    rows = []
    for name, each in found.items():
        given_as, code, _ = LIBRARIES[name]
        rows.append(
            [
                each["name"],
                given_as,
                str(sum(map(lines, code))),
                str(each["rank"]),
                f"{1000 * each['seconds']:,.0f} ms",
                f"{each['seconds'] / ours:,.0f}",
                f"{each['error']:.0e}",
            ]
        )
    write_section("quadruped", section(rows))


if __name__ == "__main__":
    main()
