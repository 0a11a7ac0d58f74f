"""Which elementwise functions commute with a group: tried on numbers, by the entries of ρ(g)."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from equibasis.errors import ModelError
from equibasis.nn.interface import FeatureSpace
from equibasis.symmetry.constructions import invariant_coordinates, restriction
from equibasis.symmetry.orbit_types import invariant_parts
from equibasis.symmetry.representations import TOLERANCE, PermutationRepresentation, Representation

Elementwise: TypeAlias = Callable[[Tensor], Tensor]

# Modules of torch that are no activations, but for the number of axes, and what takes their place.
_INSTEAD = {
    "Linear": "EquivariantLinear, or of fields a convolution",
    "Conv": "EquivariantConv2d and its like",
    "ConvTranspose": "EquivariantConvTranspose2d and its like",
    "BatchNorm": "EquivariantBatchNorm",
    "LayerNorm": "EquivariantLayerNorm",
    "GroupNorm": "EquivariantLayerNorm",
    "RMSNorm": "EquivariantLayerNorm",
    "Dropout": "FieldDropout",
    "MaxPool": "FieldMaxPool",
    "AvgPool": "FieldAvgPool",
    "AdaptiveAvgPool": "GlobalAvgPool",
    "Upsample": "FieldUpsample",
    "Flatten": "GlobalAvgPool or FieldsToVectors",
}

# How many times the parameters of an activation are drawn anew when it is tried out.
_DRAWS = 3


def entries_by_block(rho: Representation) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """Each finest invariant set of coordinates with the `_monomial_entries` of ρ on it."""

    @functools.cache  # of parts that copies share
    def of_part(part: Representation) -> list[tuple[np.ndarray, np.ndarray | None]]:
        permutes = isinstance(part, PermutationRepresentation) and part.signs is None
        return [
            (block, np.ones(1) if permutes else _monomial_entries(restriction(part, block)))
            for block in invariant_coordinates(part)
        ]

    return [
        (coordinates[block], entries)
        for coordinates, part in invariant_parts(rho)
        for block, entries in of_part(part)
    ]


def _monomial_entries(rho: Representation) -> np.ndarray | None:
    """Return the distinct non-zero entries of all ρ(g), or ``None`` if a row of one has two."""
    if isinstance(rho, PermutationRepresentation):
        return np.unique(rho.signs).astype(np.float64) if rho.signs is not None else np.ones(1)
    filled = np.abs(rho.matrices) > TOLERANCE
    if (filled.sum(axis=2) != 1).any():
        return None
    entries = rho.matrices[filled]
    near_one = np.abs(np.abs(entries) - 1.0) < TOLERANCE
    return np.unique(np.where(near_one, np.sign(entries), entries.round(9)))


@torch.no_grad()
@torch.random.fork_rng(devices=[])
def check_commutes(function: Elementwise, features: FeatureSpace) -> None:
    """Raise `ModelError` unless a function of each coordinate commutes with the group.

    It is tried on numbers, with its parameters drawn anew; constants are refused too.
    """
    entries = _monomial_entries(features.representation)
    for trial in _trials(function):
        fault = _why_not_elementwise(trial, features) or _why_not(trial, features, entries)
        if fault is not None:
            instead = _INSTEAD.get(title(function).rstrip("123d"))
            instead = f"; take {instead} in its place" if instead else ""
            raise ModelError(f"{title(function)} {fault}{instead}")


def _why_not_elementwise(trial: Elementwise, features: FeatureSpace) -> str | None:
    """Why it is not one function of one number, on whatever place of the tensor it stands."""
    generator = torch.Generator().manual_seed(0)
    shape = features.dimension, *range(5, 5 - features.axes, -1)
    rows = max(8, 1024 // math.prod(shape))  # many, as dropout may be rare
    x = 3 * torch.randn(rows, *shape, generator=generator, dtype=torch.float64)
    try:
        y = trial(x.clone())
        others = [
            trial(x.clone()),
            trial(x.flip(0, 1)).flip(0, 1),
            trial(x.reshape(-1, 1)).reshape(x.shape),
        ]
        same = y.shape == x.shape and all(_close(y, other) for other in others)
        same = same and _close(trial(x[:3, :1].clone()), y[:3, :1])
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        return f"cannot act on each coordinate of {features}: {error}"
    if not same:
        return (
            f"does not commute with {features}: it is not one function of each coordinate alone "
            "(it mixes them, treats them differently, or is random)"
        )
    return None


def _why_not(trial: Elementwise, features: FeatureSpace, entries: np.ndarray | None) -> str | None:
    """Why a function of one number does not commute with a group of such entries."""
    x = _numbers()
    y = trial(x.clone())
    if (y == y[0]).all():
        return (
            f"is {float(y[0]) + 0:.3g} for all numbers, so that nothing after it could depend on "
            "the input"
        )
    if entries is None and not _close(y, x * trial(torch.ones_like(x))):
        return (
            f"does not commute with {features}: the group mixes coordinates there, as rotations of "
            "vectors do; use NormActivation or GatedActivation, or activation_for"
        )
    for entry in () if entries is None else entries[entries != 1.0]:
        if not _close(trial(entry * x), entry * y):
            use = "an odd function such as Tanh" if entry == -1.0 else "NormActivation"
            return (
                f"does not commute with {features}: the group multiplies coordinates by "
                f"{entry:.3g} there, and f({entry:.3g} x) is not {entry:.3g} f(x); use {use}, or "
                "activation_for"
            )
    return None


def _trials(function: Elementwise) -> Sequence[Elementwise]:
    """Copy a function, and where it has parameters, with others too: training changes them."""
    if not isinstance(function, nn.Module):
        return [function]
    # As in training, where dropout is no identity.
    trials = [copy.deepcopy(function).cpu().double().train() for _ in range(_DRAWS)]
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for trial in trials[1:]:
            for parameter in trial.parameters():
                parameter.uniform_(-2, 2, generator=generator)
    return trials


def keeps_signs_and_scale(function: Elementwise) -> tuple[bool, bool]:
    """Whether f(-x) = -f(x), and f(2 x) = 2 f(x), with all parameters tried."""
    x, trials = _numbers(), _trials(function)
    odd, homogeneous = (
        all(_close(trial(factor * x), factor * trial(x.clone())) for trial in trials)
        for factor in (-1.0, 2.0)
    )
    return odd, homogeneous


def _numbers() -> Tensor:
    """(many, 1): a fine grid about zero, and large and small numbers of both signs."""
    fine = torch.linspace(-30.0, 30.0, 4001, dtype=torch.float64)
    sizes = torch.logspace(-6, 6, 49, dtype=torch.float64)
    return torch.cat([fine, sizes, -sizes, torch.zeros(1, dtype=torch.float64)])[:, None]


def _close(a: Tensor, b: Tensor) -> bool:
    return torch.equal(a, b) or torch.allclose(a, b, rtol=1e-7, atol=1e-9, equal_nan=True)


def title(function: Elementwise) -> str:
    """Return a name for errors."""
    if isinstance(function, nn.Module):
        return type(function).__name__
    return getattr(function, "__name__", repr(function))
