"""Convolutional networks in one line."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from equibasis.artifact.kernels import kernel_basis
from equibasis.errors import ModelError
from equibasis.linalg.numbers import whole_number
from equibasis.nn.convolution import EquivariantConv1d, EquivariantConv2d, EquivariantConv3d
from equibasis.nn.fields import (
    FieldAvgPool,
    FieldMaxPool,
    GlobalAvgPool,
    OrbitMaxPool,
)
from equibasis.nn.init import activation_gain
from equibasis.nn.interface import FeatureSpace, shown
from equibasis.nn.mlp import (
    NORMALIZATIONS,
    Activation,
    EquivariantSequential,
    Normalization,
    activation_of,
    check_normalization,
)
from equibasis.nn.pooling import NormPool
from equibasis.solvers import problem
from equibasis.solvers.basis import Basis
from equibasis.symmetry.catalog import find_group
from equibasis.symmetry.group import Group
from equibasis.symmetry.space_text import as_space
from equibasis.symmetry.spaces import Space
from equibasis.symmetry.windows import fibre_of

_CONVOLUTIONS: dict[int, Any] = {1: EquivariantConv1d, 2: EquivariantConv2d, 3: EquivariantConv3d}


class EquivariantCNN(EquivariantSequential):
    """Convolutions between fields of one group, each with a norm and an activation, and pooling.

    >>> import equibasis.nn
    >>> equibasis.nn.EquivariantCNN(["1", "8*regular", "16*regular"], "d4")  # doctest: +SKIP

    Between two convolutions grids are pooled: by maxima where the group permutes channels, else by
    means. With ``outputs``, invariants of the last fields follow (the largest over each orbit
    where the group permutes them, else lengths), their means over the grid, and a linear layer.

    Parameters
    ----------
    fields
        What there is at a point, two fields or more, input first: ``"3*1"`` for colour images,
        then channels such as ``"8*regular + 4*vector"``.
    group
        Name of a built-in group of grids, ``module:object``, or a `Group`.
    outputs
        Classes, or invariant numbers: ``(batch, c, *grid)`` to (batch, outputs). ``None``: to the
        last fields.
    size
        Points of kernels along each axis, odd; grids keep their size under them.
    pool
        Points of pooling windows along each axis, which divides the size of the grid; 1: none.
    activation, normalization
        As in `EquivariantMLP`.
    solver
        Who solves a basis that is not in the user's cache folder yet (`equibasis.artifact.cache`).

    Raises
    ------
    ModelError
        If there are fewer than two fields, or an option is none of these.
    GroupError, SpaceError, SolverError
        As `equibasis.kernel_basis`.
    """

    def __init__(
        self,
        fields: Sequence[Space | str],
        group: Group | str,
        outputs: int | None = None,
        size: int = 3,
        pool: int = 2,
        activation: Activation = "auto",
        normalization: Normalization = "batch",
        solver: str = "auto",
    ) -> None:
        if not isinstance(fields, list | tuple) or len(fields) < 2 or None in fields:
            raise ModelError(f"a network needs two fields or more, as a list, not {shown(fields)}")
        check_normalization(normalization)
        found = find_group(group)
        if found.axes not in _CONVOLUTIONS:
            raise ModelError(
                f"group {found.name!r} does not act on grids of one, two or three axes"
            )
        layers: list[Any] = []
        gain = 1.0
        for here, there in itertools.pairwise(as_space(each, found.names) for each in fields):
            if layers and pool != 1:
                last: FeatureSpace = layers[-1].codomain
                layers.append((FieldMaxPool if last.permutes else FieldAvgPool)(last, pool))
            vectors = FeatureSpace.output_of(problem(found, output=there))
            at_a_point = activation_of(activation, vectors)
            basis = kernel_basis(found, here, at_a_point.domain.space, size, solver=solver)
            layers += convolved(basis, vectors, activation, normalization, gain)
            gain = activation_gain(at_a_point, at_a_point.domain.dimension)
        if outputs is not None:
            last = layers[-1].codomain
            invariants = OrbitMaxPool(last) if last.permutes else NormPool(last)
            count = whole_number(outputs, "outputs", least=1, error=ModelError)
            linear = nn.Linear(invariants.codomain.dimension, count)
            layers += [invariants, GlobalAvgPool(invariants.codomain), linear]
        super().__init__(*layers)


def convolved(
    basis: Basis,
    vectors: FeatureSpace,
    activation: Activation,
    normalization: Normalization,
    gain: float = 1.0,
) -> list[Any]:
    """Build a convolution that keeps the grid, its norm, and an activation at each point.

    Batch norm comes with a shift, so the convolution before it has no bias.
    """
    axes = len(fibre_of(basis.space.input_space)[1])
    bias = None if normalization == "batch" else "invariant"
    convolution = _CONVOLUTIONS[axes](basis, bias, padding="same")
    with torch.no_grad():
        convolution.coefficients.mul_(gain)
    fields = convolution.codomain
    norms = [] if normalization is None else [NORMALIZATIONS[normalization](fields)]
    return [convolution, *norms, activation_of(activation, vectors.on_grid(axes, fields.turns))]
