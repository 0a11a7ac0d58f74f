"""Finite groups of matrices, from generators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from equibasis.errors import GroupError
from equibasis.symmetry.group import Group


def matrix_group(name: str, generators: Mapping[str, Any] | Sequence[Any]) -> Group:
    """The finite group that some matrices generate, acting on ``V`` = R^n.

    Parameters
    ----------
    name
        What files and messages call the group.
    generators
        Invertible real matrices (n, n), in a list or by name.

    Raises
    ------
    GroupError
        If they are not square, invertible and of one size.
    """
    if not isinstance(generators, Mapping):
        generators = {f"g{number}": matrix for number, matrix in enumerate(generators)}
    if not generators:
        raise GroupError(f"group {name!r} has no generators: list at least the identity")
    matrices = {}
    for key, matrix in generators.items():
        try:
            matrices[str(key)] = np.array(matrix, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise GroupError(f"group {name!r}: {key} is no real matrix ({error})") from error
    size = next(iter(matrices.values())).shape[:1]
    for generator, matrix in matrices.items():
        if not size or size[0] < 1 or matrix.shape != size * 2:
            raise GroupError(
                f"group {name!r}: {generator} has shape {matrix.shape}; generators are square "
                "matrices of one size"
            )
        if not (np.isfinite(matrix).all() and np.linalg.cond(matrix) < 1e8):
            raise GroupError(f"group {name!r}: {generator} is not an invertible matrix")
    return Group(
        name,
        tuple(matrices),
        None,
        complete=False,
        linear=lambda generator, axes: matrices[generator],
    )
