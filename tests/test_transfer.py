"""One layer for every size: equal patterns of indices have equal weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import by_hand
import equibasis as eb
from equibasis.errors import ModelError
from equibasis.nn import EquivariantLinear, restrict, transfer


def maps(n: int, input: str = "{n}x{n}", output: str = "{n}x{n}", group: str = "s{n}") -> eb.Basis:
    names = {"n": n, "m": n + 2}
    return eb.solve(
        group=group.format(**names), input=input.format(**names), output=output.format(**names)
    )


def drawn(basis: eb.Basis, bias: Any = None) -> EquivariantLinear:
    torch.manual_seed(0)
    layer = EquivariantLinear(basis, bias).double()
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    return layer


@pytest.mark.parametrize(
    ("input_", "output"),
    [
        ("{n}x{n}", "{n}x{n}"),
        ("3*{n}x{n} + {n}", "2*{n} + 1"),
        ("{n}x{n}x{n}", "{n}"),
        ("{n}", "{n}x{n}"),
    ],
)
@pytest.mark.parametrize(("small", "large"), [(5, 6), (6, 9)])
def test_on_the_points_that_both_have_the_weights_are_the_same(
    input_: str, output: str, small: int, large: int
) -> None:
    layer = drawn(maps(small, input_, output))
    for there, back in ((small, large), (large, small)):
        one = transfer(layer, maps(there, input_, output)) if there != small else layer
        other = transfer(one, maps(back, input_, output))
        few, many = sorted((one, other), key=lambda each: each.in_features)
        rows = shared(few.codomain.space, many.codomain.space)
        columns = shared(few.domain.space, many.domain.space)
        torch.testing.assert_close(many.weight()[rows][:, columns], few.weight())


def shared(small: Any, large: Any) -> torch.Tensor:
    """Where the coordinates of a space of few points are in that of many."""
    kept, start = [], 0
    for one, other in zip(
        getattr(small, "summands", (small,)), getattr(large, "summands", (large,)), strict=True
    ):
        number = np.arange(np.prod(other.shape, dtype=int)).reshape(other.shape)
        kept.append(start + number[tuple(map(slice, one.shape))].ravel())
        start += number.size
    return torch.from_numpy(np.concatenate(kept))


def test_a_graph_layer_is_fifteen_sums_whatever_the_number_of_nodes() -> None:
    """Each coefficient alone is one way of adding up, written out by its pattern of indices."""
    layers = {6: drawn(maps(6))}
    layers[11] = transfer(layers[6], maps(11))
    for column in range(15):
        results = []
        for n, layer in layers.items():
            with torch.no_grad():
                layer.coefficients.zero_()
                layer.coefficients[column] = 1.0
            x = torch.ones(n, n, dtype=torch.float64)
            y = layer(x.reshape(1, -1)).detach().reshape(n, n)
            results.append((float(y[0, 0]), float(y[0, 1]), n))
        # How many inputs are added up is a product of n, n - 1, ... of what is left to choose.
        (diagonal, off, n), (more, more_off, m) = results
        left = [(0, 0), (1, 1), *((n - k, m - k) for k in (1, 2, 3))]
        pairs = {(a * c, b * d) for a, b in left for c, d in left}
        assert {(diagonal, more), (off, more_off)} <= pairs


def test_means_do_not_depend_on_the_size() -> None:
    small, large = maps(5, "{n}x{n}", "{n}"), maps(12, "{n}x{n}", "{n}")
    layer = drawn(small)
    other = transfer(layer, large, how="mean")
    values = [
        each(torch.ones(1, each.in_features, dtype=torch.float64))[0, 0] for each in (layer, other)
    ]
    torch.testing.assert_close(*values)


def test_the_bias_goes_along() -> None:
    layer = drawn(maps(6), eb.solve(group="s6", output="6x6"))
    invariants = eb.solve(group="s9", output="9x9")
    other = transfer(layer, maps(9), invariants)
    torch.testing.assert_close(other.bias().reshape(9, 9)[:6, :6].ravel(), layer.bias())
    scalar = drawn(maps(6), "scalar")
    torch.testing.assert_close(transfer(scalar, maps(9)).bias()[:36], scalar.bias())
    with pytest.raises(eb.ModelError, match="give the invariants"):
        transfer(layer, maps(9))


def test_products_of_permutations_are_transferred_too() -> None:
    names = {"group": "s{n}*s{m}", "input": "{n}x{m}", "output": "{n}x{m}"}
    layer = drawn(maps(4, **names))
    other = transfer(layer, maps(6, **names))
    columns = shared(layer.domain.space, other.domain.space)
    torch.testing.assert_close(other.weight()[columns][:, columns], layer.weight())


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        (("c4", "6x6", "6x6"), ("c4", "8x8", "8x8"), "ranks"),
        (("s3", "3x3", "3x3"), ("s6", "6x6", "6x6"), "ranks"),
        (("z8", "8", "8"), ("z12", "12", "12"), "ranks"),
        (("s6", "6", "6"), ("s8", "8 + 1", "8"), "ranks|number of points"),
        (("s6", "6x6", "6"), ("s8", "8", "8x8"), "ranks|number of points"),
        (("c4", "4x4:vector", "4x4"), ("c4", "4x4:vector", "4x4"), "number of points"),
    ],
)
def test_what_does_not_correspond_is_refused(before: Any, after: Any, why: str) -> None:
    one, other = (eb.solve(group=g, input=i, output=o) for g, i, o in (before, after))
    with pytest.raises(eb.ModelError, match=why):
        transfer(EquivariantLinear(one), other)


@pytest.mark.parametrize("wrong", ["max", None, 2])
def test_another_way_is_refused(wrong: Any) -> None:
    with pytest.raises(eb.ModelError, match="choose 'sum' or 'mean'"):
        transfer(drawn(maps(4)), maps(5), how=wrong)
    with pytest.raises(eb.ModelError, match="can be transferred"):
        transfer(nn.Linear(2, 2), maps(5))  # type: ignore[arg-type]


# --- subgroups ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("group", "subgroup"), [("d4", "c4"), ("d4", "d2"), ("c4", "c2"), ("d4", "trivial")]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_layer_restricted_to_a_subgroup_is_the_same_map(group, subgroup, dtype):
    of = {"input": "2*5x5", "output": "3x3:vector + 3x3"}
    layer = EquivariantLinear(eb.solve(group, **of), eb.solve(group, output=of["output"])).to(dtype)
    torch.nn.init.normal_(layer.bias.coefficients)
    basis, invariants = (eb.solve(subgroup, **of), eb.solve(subgroup, output=of["output"]))
    made = restrict(layer, basis, invariants)
    assert made.rank == basis.rank > layer.rank
    x = torch.randn(4, 50, dtype=dtype)
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(made(x), layer(x), atol=100 * eps, rtol=100 * eps)


def test_a_layer_of_the_rotations_is_one_of_those_about_an_axis():
    axis = eb.subgroup(by_hand.SO3, "about z", ["L01"])
    layer = EquivariantLinear(eb.solve(by_hand.SO3, input="V*V", output="V*V")).double()
    made = restrict(layer, eb.solve(axis, input="V*V", output="V*V"))
    assert made.rank > layer.rank == 3
    torch.testing.assert_close(made.weight(), layer.weight(), atol=1e-12, rtol=1e-12)


def test_a_layer_is_not_restricted_to_what_is_no_subgroup():
    layer = EquivariantLinear(eb.solve("c4", input="4x4", output="4x4"))
    with pytest.raises(ModelError, match="W of c4 is not in the span of Basis"):
        restrict(layer, eb.solve("d4", input="4x4", output="4x4"))
    with pytest.raises(ModelError, match=r"W of c4 is \(16, 16\), and of Basis.* \(9, 16\)"):
        restrict(layer, eb.solve("c4", input="4x4", output="3x3"))
    with pytest.raises(ModelError, match="can be restricted, not"):
        restrict(torch.nn.Linear(2, 2), eb.solve("c4", input="4x4", output="3x3"))
