"""Finite groups of matrices, from generators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from equibasis.errors import GroupError
from equibasis.linalg.numbers import real_array
from equibasis.symmetry.families import named
from equibasis.symmetry.group import Group


def matrix_group(name: str, generators: Mapping[str, Any] | Sequence[Any]) -> Group:
    """The finite group that some matrices generate, acting on ``V`` = R^n.

    Parameters
    ----------
    name
        What files and messages call the group.
    generators
        Invertible real matrices (n, n), in a list or by name. A complex one has a real form of
        twice the size, [[Re, -Im], [Im, Re]].

    Raises
    ------
    GroupError
        If they are not real, square, invertible and of one size.
    """
    matrices = {
        generator: real_array(matrix, f"group {name!r}: {generator}", GroupError)
        for generator, matrix in named(name, generators).items()
    }
    size = next(iter(matrices.values())).shape[:1]
    for generator, matrix in matrices.items():
        if not size or size[0] < 1 or matrix.shape != size * 2:
            raise GroupError(
                f"group {name!r}: {generator} has shape {matrix.shape}; generators are square "
                "matrices of one size"
            )
        if not np.linalg.cond(matrix) < 1e8:
            raise GroupError(f"group {name!r}: {generator} is not an invertible matrix")
    return Group(name, tuple(matrices), None, complete=False, linear=partial(_matrix, matrices))


def _matrix(matrices: Mapping[str, np.ndarray], generator: str, axes: int) -> np.ndarray:
    return matrices[generator]
