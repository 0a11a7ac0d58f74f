"""Solve many bases and print the SHA-256 of each file: what has to be the same everywhere.

Run by hand, by CI and by the tests: python tests/basis_hashes.py [WORKERS]
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from pathlib import Path

import equibasis as eb

# Group, input, output: permutations, signed ones, vector fields, volumes, products, sums.
PROBLEMS = [
    ("trivial", "3x3", "2x2"),
    ("c2", "4x4", "4x4"),
    ("c4", None, "14x14"),
    ("c4", "6x6", "3x3"),
    ("c4", "14x14", "6x6"),
    ("c4", "3*5x5", "4x4:vector + 1"),
    ("d1", "4x4", "3x3"),
    ("d2", "4x5", "3x2"),
    ("d4", "5x5", "3x3"),
    ("d4", "4x4:vector", "3x3"),
    ("z6", "6", "6"),
    ("z4*z4", "4x4", "4x4"),
    ("p4", "4x4", "4x4"),
    ("p4m", None, "4x4"),
    ("s4", "4x4", "4x4"),
    ("o", "2x2x2", "2x2x2:vector"),
    ("oh", None, "3x3x3"),
]
SOLVERS = ["orbits", "projector", "svd"]


def hashes(folder: Path, workers: int | None = None) -> dict[str, str]:
    """SHA-256 of the file of each problem and each solver that applies to it."""
    found = {}
    for group, input_, output in PROBLEMS:
        for solver in SOLVERS:
            try:
                basis = eb.solve(
                    group=group, input=input_, output=output, solver=solver, workers=workers
                )
            except eb.SolverError:
                continue
            path = folder / "basis.h5"
            eb.save_basis(basis, path)
            name = f"{group}: {input_ or 'invariants'} -> {output} ({solver})"
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory() as folder:
        for name, digest in hashes(Path(folder), count).items():
            print(digest, name)
