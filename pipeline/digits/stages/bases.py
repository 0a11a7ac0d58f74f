"""Stage `bases`: solve for all bases of one kind that the autoencoders need."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable
from typing import Literal, TypeAlias

from digits.bases import basis_file
from digits.config import BasisKey, grids_along
from digits.own_group import check_watched, find_watched_group
from digits.parameters import Parameters
from digits.paths import BASES
from equibasis.artifact.store import save_basis
from equibasis.solvers import solve

Kind: TypeAlias = Literal["equivariant", "invariant"]


def run(parameters: Parameters, kind: Kind) -> None:
    """Write bases/KIND/: a file for each pair of spaces (or each space) of the models."""
    (BASES / kind).mkdir(parents=True, exist_ok=True)
    solve_all(parameters.group, problems(parameters, kind), parameters.solver)


def solve_all(group: str, keys: Iterable[BasisKey], solver: str, classifier: str = "") -> None:
    """Solve each problem; write its basis where `digits.bases` finds it."""
    loaded = set(sys.modules)
    found = find_watched_group(group)
    for key in keys:
        input_, output = key
        basis = solve(group=found, input=input_, output=output, solver=solver)
        check_watched(group, loaded)  # a transform may import when it is called
        path = basis_file(BASES, group, key, classifier)
        save_basis(basis, path)
        print(f"{path}: {basis.space}, rank {basis.rank}")


def problems(parameters: Parameters, kind: Kind) -> list[BasisKey]:
    """List the problems to solve, each once.

    Maps along the network and within its code, or the invariants of its grids.
    """
    grids = grids_along(parameters.image_size, parameters.hidden_sizes)
    image, hidden, latent = grids[:3]
    if kind == "invariant":
        return list(dict.fromkeys((None, grid) for grid in (image, hidden, latent)))
    return list(dict.fromkeys([*itertools.pairwise(grids), (latent, latent)]))
