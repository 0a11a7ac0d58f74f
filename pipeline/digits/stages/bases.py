"""Stage `bases`: solve for all bases of one kind that the models need."""

from __future__ import annotations

import itertools
import sys

from digits.bases import basis_file
from digits.config import (
    CLASSIFIERS,
    BasisKey,
    Kind,
    grids_along,
    kernels_along,
)
from digits.own_group import check_watched, find_watched_group
from digits.parameters import Parameters
from digits.paths import BASES
from equibasis.artifact.store import save_basis
from equibasis.solvers import solve


def run(parameters: Parameters, kind: Kind) -> None:
    """Write bases/KIND/: a file for each pair of spaces (or each space) of the models."""
    loaded = set(sys.modules)
    (BASES / kind).mkdir(parents=True, exist_ok=True)
    for name, key in problems(parameters, kind):
        group = find_watched_group(name)
        input_, output = key
        basis = solve(group=group, input=input_, output=output, solver=parameters.solver)
        check_watched(name, loaded)  # a transform may import when it is called
        path = basis_file(BASES, name, key)
        save_basis(basis, path)
        print(f"{path}: {basis.space}, rank {basis.rank}")


def problems(parameters: Parameters, kind: Kind) -> list[tuple[str, BasisKey]]:
    """What there is to solve, group by group, each problem once.

    Kernels of the classifiers; of the autoencoders maps along the network and within its code, or
    their invariants.
    """
    if kind == "kernels":
        networks = [getattr(parameters.classify.models, name) for name in CLASSIFIERS]
        found = [(each.group, key) for each in networks for key in kernels_along(each.fields)]
        return list(dict.fromkeys(found))
    return [(parameters.group, key) for key in _along_autoencoders(parameters, kind)]


def _along_autoencoders(parameters: Parameters, kind: Kind) -> list[BasisKey]:
    grids = grids_along(parameters.image_size, parameters.hidden_sizes)
    image, hidden, latent = grids[:3]
    if kind == "invariant":
        return list(dict.fromkeys((None, grid) for grid in (image, hidden, latent)))
    return list(dict.fromkeys([*itertools.pairwise(grids), (latent, latent)]))
