"""Stage `bases`: solve for all bases of one kind that the models need."""

from __future__ import annotations

import itertools
import sys
from typing import Literal

from digits.bases import basis_file
from digits.config import BasisKey, grids_along
from digits.own_group import check_watched, find_watched_group
from digits.parameters import Parameters
from digits.paths import BASES
from equibasis.artifact.store import save_basis
from equibasis.solvers import solve

Kind = Literal["equivariant", "invariant"]


def run(parameters: Parameters, kind: Kind) -> None:
    """Write bases/KIND/: a file for each pair of spaces (or each space) of the models."""
    loaded = set(sys.modules)
    group = find_watched_group(parameters.group)
    (BASES / kind).mkdir(parents=True, exist_ok=True)
    for key in problems(parameters, kind):
        input_, output = key
        basis = solve(group=group, input=input_, output=output, solver=parameters.solver)
        check_watched(parameters.group, loaded)  # a transform may import when it is called
        path = basis_file(BASES, parameters.group, key)
        save_basis(basis, path)
        print(f"{path}: {basis.space}, rank {basis.rank}")


def problems(parameters: Parameters, kind: Kind) -> list[BasisKey]:
    """What there is to solve: maps along the network and within its code, or their invariants.

    Where two sizes are equal, two maps are one problem.
    """
    grids = grids_along(parameters.image_size, parameters.hidden_sizes)
    image, hidden, latent = grids[:3]
    if kind == "invariant":
        return list(dict.fromkeys((None, grid) for grid in (image, hidden, latent)))
    return list(dict.fromkeys([*itertools.pairwise(grids), (latent, latent)]))
