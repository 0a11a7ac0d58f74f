"""Bases, spaces and layers by name, for the tests of layers."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import equibasis as eb
from equibasis.nn import (
    EquivariantBatchNorm,
    EquivariantCombine,
    EquivariantLayerNorm,
    EquivariantLinear,
    EquivariantQuadratic,
    FeatureSpace,
    GatedActivation,
    InvariantAttentionPool,
    InvariantForms,
    NormActivation,
    NormPool,
    OrbitMeanPool,
)
from test_activations import SIXTH, skewed_group

QUARTER = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
THIRD = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])
OH = eb.matrix_group("oh", [QUARTER, THIRD, -np.eye(3)])


def flip(array: np.ndarray, sign: int) -> np.ndarray:
    """Numbers stay, pairs are swapped, and longer vectors change sign."""
    if array.size == 1 or sign > 0:
        return array
    return array[::-1].copy() if array.size == 2 else -array


FLIP = eb.Group("flip", (1, -1), flip, axes=1)

# Groups that are not built in.
OWN = {"sixth": SIXTH, "oh": OH, "skewed": skewed_group(), "flip": FLIP}


@functools.cache
def basis(
    group: Any, output: str | eb.Space, input: str | None = None, solver: str = "auto"
) -> eb.Basis:
    """Invariants of the output, or maps from the input to it."""
    group = OWN.get(group, group) if isinstance(group, str) else group
    return eb.solve(group=group, input=input, output=output, solver=solver)


def features(group: Any, space: str) -> FeatureSpace:
    return FeatureSpace.output_of(basis(group, space).space)


def linear(
    group: Any, input: str, output: str, bias: bool = True, **options: Any
) -> EquivariantLinear:
    of_bias = basis(group, output) if bias else None
    return EquivariantLinear(basis(group, output, input), of_bias, **options)


def quadratic(group: Any, input: str, output: str) -> EquivariantQuadratic:
    """With all of the input as factors."""
    products = basis(group, output, f"({input})*({input})")
    return EquivariantQuadratic(
        basis(group, output, input), basis(group, input, input), products, basis(group, output)
    )


def refused(build: Callable[[], Any]) -> str:
    """The one line with which something is refused."""
    with pytest.raises(eb.ModelError) as caught:
        build()
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    assert len(text) < 800
    return text


# Each layer of a space.
LAYERS: dict[str, Callable[[Any, str], Any]] = {
    "EquivariantLinear": lambda group, space: linear(group, space, space),
    "EquivariantLinear, irreps": lambda group, space: linear(group, space, space, mode="irreps"),
    "EquivariantLinear, no bias": lambda group, space: linear(group, space, space, bias=False),
    "EquivariantCombine": lambda group, space: EquivariantCombine(
        basis(group, space, space), basis(group, space), features=2
    ),
    "EquivariantQuadratic": lambda group, space: quadratic(group, space, space),
    "InvariantForms": lambda group, space: InvariantForms(features(group, space)),
    "InvariantAttentionPool": lambda group, space: InvariantAttentionPool(features(group, space)),
    "NormActivation": lambda group, space: NormActivation(features(group, space)),
    "GatedActivation": lambda group, space: GatedActivation(features(group, space)),
    "EquivariantLayerNorm": lambda group, space: EquivariantLayerNorm(basis(group, space)),
    "EquivariantBatchNorm": lambda group, space: EquivariantBatchNorm(basis(group, space)),
    "NormPool": lambda group, space: NormPool(features(group, space)),
    "OrbitMeanPool": lambda group, space: OrbitMeanPool(basis(group, space)),
}
