"""What users hand to layers: refused in one line that says what is needed, never taken silently."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import equibasis as eb
import some_layers
from equibasis.nn import (
    DirectSumActivation,
    EquivariantBatchNorm,
    EquivariantBilinear,
    EquivariantCombine,
    EquivariantLayerNorm,
    EquivariantLinear,
    EquivariantMLP,
    EquivariantSequential,
    GatedActivation,
    InvariantAttentionPool,
    InvariantForms,
    NormActivation,
    NormPool,
    OnInvariants,
    OrbitMeanPool,
    Pointwise,
    activation_for,
    activation_gain,
    export,
    variance_preserving_,
)
from some_layers import refused

basis = functools.partial(some_layers.basis, "c4")
features = functools.partial(some_layers.features, "c4", "3x3")
linear = functools.partial(some_layers.linear, "c4", "3x3", "3x3")


def combined() -> EquivariantCombine:
    return EquivariantCombine(basis("3x3", "3x3"), basis("3x3"), features=4)


# --- vectors: every layer takes (..., 9) ---------------------------------------------------------

LAYERS: dict[str, Callable[[], Any]] = {
    name: functools.partial(make, "c4", "3x3")
    for name, make in some_layers.LAYERS.items()
    if name != "EquivariantCombine"
} | {
    "EquivariantLinear, evaluating": lambda: linear().eval(),
    "EquivariantLinear, irreps, evaluating": lambda: linear(mode="irreps").eval(),
    "Pointwise": lambda: Pointwise(nn.Tanh(), features()),
    "DirectSumActivation": lambda: DirectSumActivation(
        features(), [(np.arange(9), Pointwise(nn.Tanh(), features().part(np.arange(9))))]
    ),
    "NormPool, of skewed vectors": lambda: NormPool(some_layers.basis("skewed", "4*V + 1")),
    "OnInvariants": lambda: OnInvariants(nn.Tanh(), features().scalars(9)),
    "EquivariantSequential": lambda: EquivariantSequential(linear(), nn.ELU()),
}
WIDTHS = {"GatedActivation": 12}  # 3 gates

NO_VECTORS: dict[str, Callable[[int], Any]] = {
    "int64": lambda n: torch.ones(4, n, dtype=torch.int64),
    "int32": lambda n: torch.ones(n, dtype=torch.int32),
    "uint8": lambda n: torch.ones(4, n, dtype=torch.uint8),
    "bool": lambda n: torch.ones(4, n, dtype=torch.bool),
    "complex64": lambda n: torch.ones(4, n, dtype=torch.complex64),
    "complex128": lambda n: torch.ones(4, n, dtype=torch.complex128),
    "too wide": lambda n: torch.ones(4, n + 1),
    "too narrow": lambda n: torch.ones(4, n - 1),
    "transposed": lambda n: torch.ones(n, 4),
    "one number": lambda n: torch.tensor(1.0),
    "no numbers": lambda n: torch.ones(4, 0),
    "numpy": lambda n: np.ones((4, n), dtype=np.float32),
    "a list": lambda n: [[1.0] * n] * 4,
    "None": lambda n: None,
}


@pytest.mark.parametrize("name", LAYERS)
def test_what_is_no_real_vector_of_the_right_length_is_refused_in_one_line(name: str) -> None:
    layer, width = LAYERS[name](), WIDTHS.get(name, 9)
    for given, gradients in itertools.product(NO_VECTORS.values(), (True, False)):
        x = given(width)
        with torch.set_grad_enabled(gradients), pytest.raises(eb.ModelError) as caught:
            layer(x)
        message = str(caught.value)
        assert f"vectors (..., {width})" in message
        assert len(message.splitlines()) == 1
        assert name.partition(",")[0].replace("EquivariantSequential", "Equiv") in message
        if isinstance(x, Tensor):
            assert f"{str(x.dtype).removeprefix('torch.')} {tuple(x.shape)}" in message


@pytest.mark.parametrize("name", ["EquivariantLinear", "EquivariantLinear, irreps"])
@pytest.mark.parametrize("evaluating", [False, True])
def test_both_modes_take_the_dtype_of_their_parameters_alone(name: str, evaluating: bool) -> None:
    layer = LAYERS[name]().train(not evaluating)
    for dtype in (torch.float64, torch.bfloat16, torch.float16):
        with torch.no_grad(), pytest.raises(eb.ModelError, match="takes float32 vectors") as caught:
            layer(torch.ones(4, 9, dtype=dtype))
        assert "x.to(torch.float32)" in str(caught.value)
        assert "3x3 of c4" in str(caught.value)
    assert layer.double()(torch.ones(4, 9, dtype=torch.float64)).dtype == torch.float64


WITH_NUMBERS = [
    "NormActivation",
    "EquivariantLayerNorm",
    "EquivariantBatchNorm",
    "NormPool, of skewed vectors",
    "OrbitMeanPool",
    "InvariantAttentionPool",
]


@pytest.mark.parametrize("name", WITH_NUMBERS)
def test_so_do_all_layers_that_hold_numbers(name: str) -> None:
    layer = LAYERS[name]()
    with pytest.raises(eb.ModelError, match="takes float32 vectors"):
        layer(torch.ones(4, 9, dtype=torch.float64))
    x = torch.randn(4, 9, dtype=torch.float64)
    assert layer.double()(x).dtype == torch.float64
    assert layer.bfloat16()(x.bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize("name", LAYERS)
def test_autocast_casts_what_goes_in_between_floating_types_as_for_plain_layers(name: str) -> None:
    layer, width = LAYERS[name](), WIDTHS.get(name, 9)
    with torch.autocast("cpu", torch.bfloat16):
        for dtype in (torch.bfloat16, torch.float32):
            assert layer(torch.randn(4, width).to(dtype)).isfinite().all()
        with pytest.raises(eb.ModelError, match="vectors"):
            layer(torch.ones(4, width, dtype=torch.int64))


def test_vectors_that_are_of_the_right_length_together_only_are_no_combination() -> None:
    combine = combined()
    assert combine(torch.ones(2, 9), torch.ones(2, 4)).shape == (2, 9)
    for h, g in ((8, 5), (10, 3), (4, 9), (13, 0)):
        with pytest.raises(eb.ModelError, match="EquivariantCombine takes"):
            combine(torch.ones(2, h), torch.ones(2, g))
    with pytest.raises(eb.ModelError, match="int64"):
        combine(torch.ones(2, 9), torch.ones(2, 4, dtype=torch.int64))


def test_a_combination_says_what_it_acts_on() -> None:
    combine = combined()
    assert combine.domain.same_as(features() + features().scalars(4))
    assert combine.codomain.same_as(features())
    pool = NormPool(combine.codomain)
    assert pool(combine(torch.ones(2, 9), torch.ones(2, 4))).shape == (2, 3)
    body = EquivariantSequential(combine.linear, NormPool(combine.codomain))
    assert body(torch.ones(2, 13)).shape == (2, 3)


def test_attention_weights_are_of_vectors_of_the_right_length_too() -> None:
    with pytest.raises(eb.ModelError, match=r"vectors \(\.\.\., 9\)"):
        InvariantAttentionPool(features()).attention(torch.ones(4, 12))


def test_errors_of_other_causes_stay_what_they_are() -> None:
    layer = linear()
    layer.bias.coefficients = None
    layer.bias.expansion = None

    def broken(x: Tensor) -> Tensor:
        raise RuntimeError("out of memory")

    layer.map.forward = broken
    with pytest.raises(RuntimeError, match="out of memory"):
        layer(torch.ones(4, 9))


# --- casts of whole modules ----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.int64, torch.int8, torch.bool, torch.complex64])
@pytest.mark.parametrize("name", [*WITH_NUMBERS, "EquivariantLinear"])
@pytest.mark.parametrize("frozen", [False, True])
def test_a_layer_is_not_cast_to_what_cannot_hold_its_numbers(
    name: str, dtype: torch.dtype, frozen: bool
) -> None:
    layer = LAYERS[name]().requires_grad_(not frozen)
    with pytest.raises((eb.ModelError, RuntimeError)) as caught:
        layer.type(dtype)
    if isinstance(caught.value, eb.ModelError):
        assert "holds real floating-point numbers" in str(caught.value)


def test_constants_are_whole_after_a_cast_that_was_refused() -> None:
    for layer in (OrbitMeanPool(basis("3x3")), EquivariantLinear(basis("3x3:vector", "3x3"))):
        x = torch.randn(4, 9)
        expected = layer(x)
        with pytest.raises(eb.ModelError, match="cannot be cast to int64"):
            layer.type(torch.int64)
        torch.testing.assert_close(layer(x), expected)


# --- arguments of constructors -------------------------------------------------------------------

WRONG: dict[str, Any] = {
    "None": None,
    "text": "3x3",
    "a space": eb.as_space("3x3"),
    "a number": 9,
    "an array": np.eye(9),
    "a class": nn.Tanh,
    "a plain module": nn.Linear(9, 9),
}
OF_A_SPACE: dict[str, Callable[[Any], Any]] = {
    "Pointwise": lambda given: Pointwise(nn.Tanh(), given),
    "NormActivation": NormActivation,
    "GatedActivation": GatedActivation,
    "DirectSumActivation": lambda given: DirectSumActivation(
        given, [(np.arange(9), Pointwise(nn.Tanh(), features().part(np.arange(9))))]
    ),
    "activation_for": activation_for,
    "NormPool": NormPool,
    "InvariantAttentionPool": InvariantAttentionPool,
    "InvariantForms": InvariantForms,
}
OF_MAPS: dict[str, Callable[[Any], Any]] = {
    "EquivariantLinear": EquivariantLinear,
    "EquivariantCombine": lambda given: EquivariantCombine(given, basis("3x3")),
}
OF_INVARIANTS: dict[str, Callable[[Any], Any]] = {
    "EquivariantLayerNorm": EquivariantLayerNorm,
    "EquivariantBatchNorm": EquivariantBatchNorm,
    "OrbitMeanPool": OrbitMeanPool,
}


@pytest.mark.parametrize("name", OF_A_SPACE)
def test_what_needs_a_space_takes_a_feature_space_or_a_basis_alike(name: str) -> None:
    made = [OF_A_SPACE[name](given) for given in (features(), basis("3x3"), linear().codomain)]
    made.append(OF_A_SPACE[name](basis("3x3", "6x6")))  # its output
    assert all(module.domain.same_as(made[0].domain) for module in made)
    x = torch.randn(2, made[0].domain.dimension)
    for module in made[1:]:
        module.load_state_dict(made[0].state_dict())
        torch.testing.assert_close(module(x), made[0](x))


@pytest.mark.parametrize("given", WRONG)
@pytest.mark.parametrize("name", OF_A_SPACE)
def test_and_nothing_else(name: str, given: str) -> None:
    message = refused(lambda: OF_A_SPACE[name](WRONG[given]))
    assert message.startswith(f"{name} needs a space")


@pytest.mark.parametrize("name", OF_INVARIANTS)
def test_what_needs_invariants_takes_a_feature_space_or_their_basis_alike(name: str) -> None:
    made = [OF_INVARIANTS[name](given) for given in (basis("3x3"), features(), linear().codomain)]
    x = torch.randn(5, 9)
    for module in made[1:]:
        assert module.domain.same_as(made[0].domain)
        module.load_state_dict(made[0].state_dict())
        torch.testing.assert_close(module(x), made[0](x))


@pytest.mark.parametrize("given", [*WRONG, "maps"])
@pytest.mark.parametrize("name", OF_INVARIANTS)
def test_and_nothing_else_of_invariants(name: str, given: str) -> None:
    value = WRONG | {"maps": basis("3x3", "6x6")}
    message = refused(lambda: OF_INVARIANTS[name](value[given]))
    assert "invariant basis of" in message


@pytest.mark.parametrize("given", [*WRONG, "a feature space", "maps"])
def test_a_combination_takes_the_invariant_basis_of_its_output_alone(given: str) -> None:
    value = WRONG | {"a feature space": features(), "maps": basis("3x3", "6x6")}
    message = refused(lambda: EquivariantCombine(basis("3x3", "3x3"), value[given]))
    assert "is not the invariant basis of the output" in message


@pytest.mark.parametrize("given", [*WRONG, "a feature space", "invariants"])
@pytest.mark.parametrize("name", OF_MAPS)
def test_what_needs_maps_takes_their_basis_alone(name: str, given: str) -> None:
    value = WRONG | {"a feature space": features(), "invariants": basis("3x3")}
    assert "needs an equivariant basis" in refused(lambda: OF_MAPS[name](value[given]))


@pytest.mark.parametrize("given", [*WRONG, "a feature space", "maps", "True", "a string"])
def test_a_bias_is_an_invariant_basis_scalar_or_none(given: str) -> None:
    value = WRONG | {"a feature space": features(), "maps": basis("3x3", "6x6")}
    value |= {"True": True, "a string": "full"}
    if given == "None":
        assert EquivariantLinear(basis("3x3", "3x3"), None).bias() is None
        return
    message = refused(lambda: EquivariantLinear(basis("3x3", "3x3"), value[given]))
    assert "invariant basis" in message


NETWORKS: dict[str, tuple[Callable[[], Any], str]] = {
    "no list of spaces": (lambda: EquivariantMLP(eb.as_space("3x3"), "c4"), "two spaces or more"),
    "a set of spaces": (lambda: EquivariantMLP({"3x3", "6x6"}, "c4"), "two spaces or more"),
    "no spaces": (lambda: EquivariantMLP(None, "c4"), "two spaces or more"),
    "None among spaces": (lambda: EquivariantMLP(["6x6", None], "c4"), "two spaces or more"),
    "bias 1": (lambda: EquivariantMLP(["6x6", "3x3"], "c4", bias=1), "bias int '1'"),
    "bias a basis": (lambda: EquivariantMLP(["6x6", "3x3"], "c4", bias=basis("3x3")), "bias Basis"),
    "bias text": (lambda: EquivariantMLP(["6x6", "3x3"], "c4", bias="no"), "bias 'no'"),
    "normalization, a list": (
        lambda: EquivariantMLP(["6x6", "3x3"], "c4", normalization=["layer"]),
        "normalization",
    ),
    "activation, a list": (
        lambda: EquivariantMLP(["6x6", "3x3", "3x3"], "c4", ["norm"]),
        "activation list",
    ),
    "two inputs first": (lambda: EquivariantSequential(combined()), "takes two vectors"),
    "two vectors": (
        lambda: EquivariantSequential(EquivariantBilinear(features(), features(), features())),
        "EquivariantBilinear takes two vectors",
    ),
    "two inputs": (lambda: EquivariantSequential(linear(), combined()), "takes two vectors"),
    "a layer None": (lambda: EquivariantSequential(linear(), None), "Pointwise needs a function"),
    "a layer text": (lambda: EquivariantSequential(linear(), "relu"), "Pointwise needs a function"),
    "a class": (lambda: EquivariantSequential(linear(), nn.ELU), "Pointwise needs a function"),
    "a space first": (lambda: EquivariantSequential(features()), "starts with an equivariant"),
    "a list of layers": (lambda: EquivariantSequential([linear()]), "starts with an equivariant"),
    "nothing on invariants": (lambda: OnInvariants(None, features().scalars(3)), "torch module"),
    "a function on invariants": (
        lambda: OnInvariants(torch.tanh, features().scalars(3)),
        "torch module",
    ),
    "on text": (lambda: OnInvariants(nn.Tanh(), "3*1"), "OnInvariants needs a space"),
    "a gate of text": (lambda: NormActivation(features(), "tanh"), "gate 'tanh'"),
    "a gate class": (lambda: GatedActivation(features(), nn.Tanh), "gate <class"),
    "no parts": (lambda: DirectSumActivation(features(), []), "do not make up 3x3 of c4"),
    "parts of truth values": (
        lambda: DirectSumActivation(features(), [(np.ones(9, dtype=bool), nn.Tanh())]),
        "whole numbers",
    ),
    "parts of floats": (
        lambda: DirectSumActivation(features(), [(np.arange(9.0), nn.Tanh())]),
        "whole numbers",
    ),
    "a start of no layer": (lambda: variance_preserving_(nn.Linear(3, 3)), "not for Linear"),
    "a gain of text": (lambda: activation_gain("relu"), "not of 'relu'"),
    "text exported": (lambda: export("network"), "not 'network'"),
    "a start": (lambda: EquivariantLinear(basis("3x3", "3x3"), start=None), "start None"),
    "a mode": (lambda: EquivariantLinear(basis("3x3", "3x3"), mode=1), "mode 1"),
}


@pytest.mark.parametrize("case", NETWORKS)
def test_networks_and_options_are_refused_in_one_line(case: str) -> None:
    build, expected = NETWORKS[case]
    assert expected in refused(build)


def test_a_function_follows_invariant_features_as_any_others() -> None:
    body = linear()
    network = EquivariantSequential(body, NormPool(body.codomain), torch.tanh, nn.Linear(3, 2))
    assert network(torch.ones(4, 9)).shape == (4, 2)


@pytest.mark.parametrize("count", [True, 2.0, 2.5, float("nan"), -1, "2", None, np.bool_(True)])
def test_counts_are_whole_numbers(count: Any) -> None:
    if count is not None:  # as many as h has
        assert "features" in refused(
            lambda: EquivariantCombine(basis("3x3", "3x3"), basis("3x3"), features=count)
        )
    assert "features" in refused(lambda: activation_gain(nn.Tanh(), count))
    assert "scalars" in refused(lambda: features().scalars(count))
    assert EquivariantCombine(basis("3x3", "3x3"), basis("3x3"), np.int64(2)).features == 2


@pytest.mark.parametrize("number", [True, float("nan"), float("inf"), -0.1, "1", 1j, None])
def test_numbers_are_real_and_finite(number: Any) -> None:
    assert "gain" in refused(lambda: variance_preserving_(linear(), number))
    assert "eps" in refused(lambda: EquivariantLayerNorm(basis("3x3"), eps=number))
    assert "eps" in refused(lambda: EquivariantBatchNorm(basis("3x3"), eps=number))
    if number is not None:  # averages over all batches
        assert "momentum" in refused(lambda: EquivariantBatchNorm(basis("3x3"), momentum=number))
    assert "momentum" in refused(lambda: EquivariantBatchNorm(basis("3x3"), momentum=1.5))
    EquivariantBatchNorm(basis("3x3"), np.float32(1e-3), 1)


@pytest.mark.parametrize(
    ("coordinates", "expected"),
    [
        ([0, 1], "moves coordinates"),
        ([2, 0, 6, 8], "ascending"),
        ([0.0, 2.0, 6.0, 8.0], "whole numbers"),
        ([0, 2, 6, 9], "numbers from 0 to 8"),
        ([-1, 4], "numbers from 0 to 8"),
        ([[4]], "ascending"),
        ("corners", "ascending"),
    ],
)
def test_a_part_of_a_space_is_one_that_the_group_keeps(coordinates: Any, expected: str) -> None:
    assert expected in refused(lambda: features().part(np.array(coordinates)))
    assert features().part(np.array([0, 2, 6, 8])).dimension == 4
