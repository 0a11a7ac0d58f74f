"""What no weight reaches: zero rows and columns of the Jacobian, refused or named when built."""

from __future__ import annotations

import copy
import functools
import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import equibasis as eb
from equibasis.nn import (
    EquivariantBatchNorm,
    EquivariantCombine,
    EquivariantConv2d,
    EquivariantLayerNorm,
    EquivariantLinear,
    EquivariantMLP,
    EquivariantSequential,
    FeatureSpace,
    FieldAvgPool,
    GatedActivation,
    InvariantAttentionPool,
    NormActivation,
    NormPool,
    OnInvariants,
    OrbitMeanPool,
    Pointwise,
    UnreachedWarning,
    activation_for,
)
from equibasis.nn.reach import in_words
from some_layers import FLIP, OH, basis, linear
from some_layers import features as space_of

SPACES = {
    "sixth": ["1", "3*1", "V", "2*V", "V*V", "V + 1", "V*V + V", "1 + V + V*V"],
    "oh": ["1", "V", "2*V", "V*V", "V + 1", "V*V + V"],
    "skewed": ["1", "V", "2*V + 1", "V*V", "dual(V) + 1"],
    "flip": ["1", "2", "3", "2*1", "2 + 3", "3 + 1", "2*2 + 1"],
    "d4": [
        "1",
        "2x2",
        "2x2:pseudoscalar",
        "3x3:pseudoscalar",
        "3x3:vector",
        "1 + 2x2:pseudoscalar",
        "4x4",
    ],
    "d2": ["3x2", "3x2:pseudoscalar", "1", "3x2:vector + 1"],
    "c4": ["1", "3x3", "2x2:vector", "2*2x2 + 1"],
}


@pytest.fixture(autouse=True)
def in_float64(tmp_path_factory: Any, monkeypatch: Any) -> Iterator[None]:
    monkeypatch.setenv("EQUIBASIS_CACHE", str(tmp_path_factory.getbasetemp() / "bases"))
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def built(build: Callable[[], Any]) -> tuple[Any, list[str]]:
    """What is built, and the texts of its warnings; its error, where it is refused."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            made = build()
        except eb.ModelError as error:
            made = str(error)
            assert len(made.splitlines()) == 1
    assert all(issubclass(warning.category, UnreachedWarning) for warning in caught)
    return made, [str(warning.message) for warning in caught]


def filled(network: nn.Module, features: int) -> np.ndarray:
    """Which entries of the Jacobian are not 0, at random points with random weights."""
    generator = torch.Generator().manual_seed(5)
    found: Any = False
    for _ in range(6):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
        for point in torch.randn(2, features, generator=generator):
            outputs = network.eval()(point).numel()
            x = point.repeat(outputs, 1).requires_grad_()  # a row of the Jacobian each
            (jacobian,) = torch.autograd.grad(network(x), x, torch.eye(outputs))
            entries = jacobian.abs().numpy()
            found |= entries > 1e-9 * max(1.0, entries.max(initial=0))
    return found


# --- the kind: an error exactly where the Jacobian is 0, a warning exactly of its zero parts -----

STEPS = ["none", "auto", "norm", "gated", "layer", "batch", "tanh"]


def step_of(kind: str, name: str, output: str) -> list[nn.Module]:
    """What follows a linear layer; its output may get gates besides."""
    invariants = basis(name, output)
    features = FeatureSpace.output_of(invariants.space)
    if kind == "tanh":
        try:
            return [Pointwise(nn.Tanh(), features)]
        except eb.ModelError:
            return []
    return {
        "none": lambda: [],
        "auto": lambda: [activation_for(features)],
        "norm": lambda: [NormActivation(features)],
        "gated": lambda: [GatedActivation(features)],
        "layer": lambda: [EquivariantLayerNorm(invariants), activation_for(features)],
        "batch": lambda: [EquivariantBatchNorm(invariants)],
    }[kind]()


@given(st.data())
@settings(max_examples=25)  # of networks of up to three layers, each of seven kinds
def test_a_network_is_refused_exactly_where_its_jacobian_is_0_and_warns_of_its_zero_parts(
    data: st.DataObject,
) -> None:
    name = data.draw(st.sampled_from(sorted(SPACES)))
    texts = data.draw(st.lists(st.sampled_from(SPACES[name]), min_size=2, max_size=4))
    here, layers = texts[0], []
    for position, output in enumerate(texts[1:]):
        kind, bias = data.draw(st.sampled_from(STEPS)), data.draw(st.booleans())
        if kind == "layer" and output in ("2", "2*1"):  # ±1, which has no Jacobian
            kind = "none"
        if position == len(texts) - 2 and kind == "gated":
            kind = "none"
        steps, _ = built(functools.partial(step_of, kind, name, output))
        if isinstance(steps, str):
            assert (output, "single number" in steps) == ("1", True)
            return
        whole = steps[0].domain.space if steps else eb.as_space(output)
        if here == "1":
            return  # maps from a single number are invariant vectors, no linear layer
        maps = basis(name, whole, here)
        of_bias = basis(name, whole) if bias else None
        linear, _ = built(functools.partial(EquivariantLinear, maps, of_bias))
        if isinstance(linear, str):
            assert (maps.rank, "cannot depend on the input" in linear) == (0, True)
            return
        assert maps.rank
        entries = filled(linear, maps.space.m)
        np.testing.assert_array_equal(linear.reach.outputs, entries.any(axis=1))
        np.testing.assert_array_equal(linear.reach.inputs, entries.any(axis=0))
        layers += [linear, *steps]
        here = output
    entries = filled(nn.Sequential(*layers), layers[0].domain.dimension)
    network, said = built(lambda: EquivariantSequential(*layers))
    if isinstance(network, str):
        assert not entries.any()
        assert "nothing of the input gets past" in network
        return
    np.testing.assert_array_equal(network.reach.outputs, entries.any(axis=1))
    np.testing.assert_array_equal(network.reach.inputs, entries.any(axis=0))
    # What its first and last linear layers said of themselves is not said again.
    inputs = layers[0].reach.inputs & ~network.reach.inputs
    assert entries_named(said, "inputs") == set(np.flatnonzero(inputs))
    assert entries_named(said, "outputs") <= set(np.flatnonzero(~network.reach.outputs))
    assert len(said) <= 2


def entries_named(texts: list[str], what: str) -> set[int]:
    """The entries that warnings name of the inputs, or of the outputs."""
    found: set[int] = set()
    for text in texts:
        if f": {what} that" in text:
            for listed in re.findall(r" at entr(?:y|ies) ([\d, to]*\d)", text):
                for stretch in listed.split(", "):
                    first, _, last = stretch.partition(" to ")
                    found |= set(range(int(first), int(last or first) + 1))
    return found


# --- what users build ----------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [False, True])
def test_a_layer_without_maps_is_refused_whatever_its_bias(bias: bool) -> None:
    with pytest.raises(eb.ModelError, match=r"EquivariantLinear 2\*V -> 1 of oh: .*NormPool"):
        linear("oh", "2*V", "1", bias)


def test_a_network_that_ends_in_such_a_layer_is_refused() -> None:
    with pytest.raises(eb.ModelError, match=r"EquivariantLinear 8\*V -> 1 of oh: its only"):
        EquivariantMLP(["3*V", "8*V", "1"], OH)


def test_so_is_one_whose_layers_all_have_maps_but_not_their_product() -> None:
    # Numbers reach the trivial part of 2x2 alone, and 2x2:pseudoscalar shares only its vectors.
    layers = [linear("d4", "3*1", "2x2"), nn.ELU(), linear("d4", "2x2", "2x2:pseudoscalar")]
    with pytest.raises(
        eb.ModelError, match="gets past EquivariantLinear 2x2 -> 2x2:pseudoscalar of d4"
    ):
        EquivariantSequential(*layers)
    inner = EquivariantSequential(linear("d4", "3*1", "2x2"), nn.ELU())
    with pytest.raises(
        eb.ModelError, match="gets past EquivariantLinear 2x2 -> 2x2:pseudoscalar of d4"
    ):
        EquivariantSequential(inner, EquivariantSequential(*layers[2:]))


def test_lengths_are_the_way_out() -> None:
    body = linear("oh", "3*V", "8*V")
    _, said = built(lambda: EquivariantSequential(body, NormPool(body.codomain), nn.Linear(8, 1)))
    assert not said


def test_a_middle_summand_that_dies_takes_along_the_output_that_hangs_on_it() -> None:
    network, said = built(
        lambda: EquivariantSequential(
            linear("d4", "3*1", "2x2 + 2x2"), linear("d4", "2x2 + 2x2", "2x2 + 2x2:pseudoscalar")
        )
    )
    assert network.reach.outputs.tolist() == [True] * 4 + [False] * 4
    (text,) = said
    assert "EquivariantSequential 3*1 -> 2x2 + 2x2:pseudoscalar of d4" in text
    assert "1 of the 2 summands, '2x2:pseudoscalar' at entries 4 to 7 (counted from 0)" in text


def test_an_input_that_goes_nowhere_is_named_by_the_network_where_layers_cannot_know() -> None:
    first = linear("sixth", "V + 1", "2*V + 1")
    last, (text,) = built(lambda: linear("sixth", "2*V + 1", "V"))
    assert "1 of the 3 summands, '1' at entry 4" in text
    _, (text,) = built(lambda: EquivariantSequential(first, NormActivation(first.codomain), last))
    assert "inputs that do not count for the output" in text
    assert "1 of the 2 summands, '1' at entry 2" in text


def test_what_a_layer_said_is_not_said_again_by_networks_of_it() -> None:
    layer, (text,) = built(lambda: linear("oh", "V", "V + 1"))
    assert "1 of the 2 summands, '1' at entry 3" in text
    network, said = built(lambda: EquivariantSequential(layer, NormActivation(layer.codomain)))
    assert not said
    _, said = built(lambda: EquivariantSequential(network, NormActivation(layer.codomain)))
    assert not said


def test_a_combination_that_does_not_read_a_part_names_it() -> None:
    _, (text,) = built(
        lambda: EquivariantCombine(basis("oh", "V", "2*V"), basis("oh", "V"), features=3)
    )
    assert "3 of the 5 summands, '3*1' at entries 6 to 8" in text
    with pytest.raises(eb.ModelError, match="cannot depend on the input"):
        EquivariantCombine(basis("sixth", "V", "V*V"), basis("sixth", "V"), features=2)


def test_a_pool_of_means_names_what_has_no_mean() -> None:
    _, (text,) = built(lambda: OrbitMeanPool(basis("sixth", "V + 1")))
    assert "OrbitMeanPool V + 1 -> 1 of sixth: inputs" in text
    assert "1 of the 2 summands, 'V' at entries 0 to 1" in text


def test_a_number_alone_among_vectors_is_its_own_mean() -> None:
    _, said = built(lambda: EquivariantLayerNorm(basis("sixth", "V + 1")))
    assert ["'1' at entry 2" in text for text in said] == [True, True]
    with pytest.raises(eb.ModelError, match="its own mean"):
        EquivariantLayerNorm(basis("sixth", "1"))


def test_means_that_were_taken_off_cannot_be_pooled() -> None:
    invariants = eb.solve(group="z6", output="6")
    with pytest.raises(eb.ModelError, match="gets past OrbitMeanPool 6 -> 1 of z6"):
        EquivariantSequential(EquivariantLayerNorm(invariants), OrbitMeanPool(invariants))
    EquivariantSequential(EquivariantLayerNorm(invariants), nn.ELU(), OrbitMeanPool(invariants))


ONE_BLOCK = [
    ("c4", "2x2"), ("oh", "V"), ("sixth", "V"), ("skewed", "V"), ("flip", "3"), ("oh", "V*V"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "space", "step", "eps"),
    [
        (*each, step, (1e-12, 1e-2)[(place + number) % 2])
        for place, each in enumerate(ONE_BLOCK)
        for number, step in enumerate(["none", "norm"])
    ]
    + [("c4", "2x2", "ReLU", eps) for eps in (1e-12, 1e-2)],
)
def test_normalized_vectors_of_one_block_are_all_as_long(
    name: str, space: str, step: str, eps: float
) -> None:
    invariants = basis(name, space)
    before: list[nn.Module] = [linear(name, space, space)]
    features = before[0].codomain
    if step == "norm":
        before.append(NormActivation(features))
    elif step == "ReLU":
        before.append(Pointwise(nn.ReLU(), features))
    norm = EquivariantLayerNorm(invariants, eps)
    if norm.metric.blocks > 1:
        pytest.skip("several blocks")
    after = NormPool(features)
    EquivariantSequential(*before, norm)
    EquivariantSequential(*before, after)
    for last in ([after], [after, nn.Linear(1, 3)], [after, nn.Linear(1, 3), nn.Tanh()]):
        with pytest.raises(eb.ModelError, match=r"gets past NormPool .* leave it out"):
            EquivariantSequential(*before, norm, *last)
    EquivariantSequential(*before, EquivariantLayerNorm(invariants, 1e3), after)


def test_normalized_vectors_of_several_blocks_are_not() -> None:
    for name, space in (("oh", "2*V"), ("c4", "3x3"), ("sixth", "V + 2*1")):
        norm = EquivariantLayerNorm(basis(name, space))
        _, said = built(lambda norm=norm: EquivariantSequential(norm, NormPool(norm.codomain)))
        assert not said


THRESHOLDS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "relu(x - 6)": lambda x: (x - 6).relu(),
    "relu(x - 100)": lambda x: (x - 100).relu(),
    "relu(-x - 6)": lambda x: (-x - 6).relu(),
    "step at 6": lambda x: (x > 6).to(x.dtype),
    "relu(6 - x)": lambda x: (6 - x).relu(),
    "hard sigmoid": nn.functional.hardsigmoid,
    "logistic": torch.sigmoid,
    "bump": lambda x: torch.exp(-x.square()),
}


@pytest.mark.parametrize("gate", THRESHOLDS)
@pytest.mark.parametrize(
    ("name", "space"), [("c4", "2x2"), ("c4", "3x3"), ("oh", "20*V + 2*1"), ("skewed", "V")]
)
def test_a_gate_that_opens_at_any_number_stops_nothing(name: str, space: str, gate: str) -> None:
    body = linear(name, space, space)
    activation = NormActivation(body.codomain, THRESHOLDS[gate])
    for layers in ([body, activation], [body, activation, body], [body, activation] * 3):
        _, said = built(lambda layers=layers: EquivariantSequential(*layers))
        assert not said
    gated = GatedActivation(body.codomain, THRESHOLDS[gate])
    if space != "V":  # whose gate has no number to come from
        maps = EquivariantLinear(basis(name, gated.domain.space, space))
        _, said = built(lambda: EquivariantSequential(maps, gated, body))
        assert not said


def test_a_gate_that_never_opens_is_refused_for_what_it_is() -> None:
    space = linear("oh", "2*V", "2*V").codomain
    for gate in (torch.zeros_like, lambda x: 0 * x):
        for layer in (NormActivation, GatedActivation):
            with pytest.raises(eb.ModelError, match="is 0 for all numbers"):
                layer(space, gate)


@pytest.mark.parametrize(
    "gate",
    [
        nn.Dropout(),
        nn.Dropout(0.01).eval(),
        nn.RReLU(),
        nn.Sequential(nn.Sigmoid(), nn.Dropout(0.1)),
        nn.functional.dropout,
        torch.rand_like,
    ],
)
def test_what_is_random_is_neither_gate_nor_activation(gate: Any) -> None:
    state = torch.get_rng_state()
    for name, space in (("c4", "2x2"), ("oh", "2*V"), ("sixth", "40*1")):
        features = space_of(name, space)
        for layer in (NormActivation, GatedActivation):
            with pytest.raises(eb.ModelError, match="is random"):
                layer(features, gate)
        with pytest.raises(eb.ModelError, match="is random"):
            Pointwise(gate, features)
    assert torch.equal(torch.get_rng_state(), state)


# --- modules of others on invariants -------------------------------------------------------------


class Own(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_what_makes_no_vectors_is_refused() -> None:
    features = space_of("c4", "3x3").scalars(2)
    for module in (nn.Linear(2, 0), nn.LSTM(2, 3), Own(sum), Own(lambda x: None), nn.Flatten(0)):
        with pytest.raises(eb.ModelError, match=r"not \(2, n\) with n from 1 on") as caught:
            OnInvariants(module, features)
        assert len(str(caught.value).splitlines()) == 1


def zeroed(module: nn.Module) -> nn.Module:
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


OTHERS: dict[str, Callable[[], nn.Module]] = {
    "zero at the start": lambda: zeroed(nn.Linear(3, 2)),
    "signs": lambda: Own(torch.sign),
    "half precision": lambda: nn.Linear(3, 2).half(),
    "dropout": nn.Dropout,
    "batch norm": lambda: nn.BatchNorm1d(3),
    "on the meta device": lambda: nn.Linear(3, 2, device="meta"),
    "weight norm": lambda: nn.utils.parametrizations.weight_norm(nn.Linear(3, 2)),
}


@pytest.mark.parametrize("case", OTHERS)
def test_others_are_left_as_they_are(case: str) -> None:
    features = space_of("c4", "3x3").scalars(3)
    module, state = OTHERS[case](), torch.get_rng_state()
    before = copy.deepcopy(module.state_dict())
    _, said = built(lambda: OnInvariants(module, features))
    assert not said
    assert torch.equal(torch.get_rng_state(), state)
    assert module.training
    if "meta" not in case:
        assert all(torch.equal(p, before[name]) for name, p in module.state_dict().items())


def test_attention_reads_all_of_a_vector_though_no_invariant_is_in_it() -> None:
    body = linear("c4", "2x2:vector", "2x2:vector")
    network, said = built(
        lambda: EquivariantSequential(body, InvariantAttentionPool(body.codomain))
    )
    assert not said
    assert network.reach.inputs.all()
    assert network.reach.outputs.all()


def test_fields_that_convolutions_do_not_join_are_told_apart() -> None:
    def convolution(here: str, there: str, size: int) -> EquivariantConv2d:
        layer, _ = built(lambda: EquivariantConv2d(eb.kernel_basis("c4", here, there, size)))
        return layer

    first = convolution("2*1", "1 + vector", 1)  # of one point: it makes numbers alone
    step, pool = activation_for(first.codomain), FieldAvgPool(first.codomain, 2)
    with pytest.raises(
        eb.ModelError, match=r"gets past EquivariantConv2d 1 \+ 1:vector .*share irreps"
    ):
        EquivariantSequential(first, step, pool, convolution("1 + vector", "vector", 1))
    last = convolution("1 + vector", "vector + 1", 1)
    network, said = built(lambda: EquivariantSequential(first, step, pool, last))
    assert network.reach.outputs.tolist() == [False, False, True]
    assert not said[1:]
    assert "'1:vector' at entries 0 to 1" in said[0]
    last = convolution("1 + vector", "vector", 3)
    _, said = built(lambda: EquivariantSequential(first, step, pool, last))
    assert not said


def test_deep_networks_are_not_taken_for_dead() -> None:
    def deep(name: str, space: str, number: int, last: str, f: Any, bias: bool = True) -> None:
        body = linear(name, space, space, bias)
        step = f(body.codomain)
        _, said = built(
            lambda: EquivariantSequential(*[body, step] * number, linear(name, space, last, bias))
        )
        assert not said

    for f in (nn.Sigmoid(), nn.Tanh(), nn.ReLU()):
        deep("d4", "3x3", 30, "1 + 3x3", functools.partial(Pointwise, f))
    deep("sixth", "2*V + 2*1", 40, "V + 1", activation_for)
    tanh = functools.partial(Pointwise, nn.Tanh())
    deep("d4", "3x3:vector + 3x3", 25, "3x3:vector", tanh, bias=False)


def test_a_function_of_steps_stops_nothing() -> None:
    _, said = built(lambda: EquivariantMLP(["3x3:vector", "3x3:vector", "3x3"], "c4", torch.sign))
    assert not said


def test_odd_functions_without_bias_make_nothing_even() -> None:
    # x -> (x, -x) -> (tanh x, -tanh x) -> their sum
    spaces = ["3", "2", "1"]
    with pytest.raises(eb.ModelError, match="gets past EquivariantLinear 2 -> 1 of flip"):
        EquivariantMLP(spaces, FLIP, nn.Tanh, bias=False)
    for activation, bias in ((nn.Tanh, True), (nn.ELU, False), (torch.square, False)):
        EquivariantMLP(spaces, FLIP, activation, bias=bias)


def test_modules_of_others_are_taken_to_join_all_that_comes_in() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.domain = self.codomain = space_of("d4", "2x2")

        def forward(self, x: Any) -> Any:
            raise AssertionError("it is not run")

    layers = linear("d4", "3*1", "2x2"), Own(), linear("d4", "2x2", "2x2:pseudoscalar")
    _, said = built(lambda: EquivariantSequential(*layers))
    assert not said


def test_a_constant_is_no_activation() -> None:
    for constant in (torch.ones_like, torch.zeros_like, lambda x: x * 0 + 2):
        with pytest.raises(eb.ModelError, match="for all numbers"):
            EquivariantMLP(["3x3", "3x3", "3x3"], "c4", constant)


def test_looking_changes_nothing_and_draws_nothing() -> None:
    body = [linear("sixth", "V + 1", "2*V + 1"), EquivariantBatchNorm(basis("sixth", "2*V + 1"))]
    before = [tensor.clone() for layer in body for tensor in layer.state_dict().values()]
    state = torch.get_rng_state()
    EquivariantSequential(*body)
    assert torch.equal(torch.get_rng_state(), state)
    after = [tensor for layer in body for tensor in layer.state_dict().values()]
    assert all(map(torch.equal, before, after))
    assert all(p.grad is None and p.requires_grad for layer in body for p in layer.parameters())


@pytest.mark.parametrize("mode", ["expand", "irreps"])
def test_it_is_seen_whatever_the_device_the_dtype_and_the_context(mode: Any) -> None:
    def dead() -> EquivariantSequential:
        layers = [
            EquivariantLinear(basis("d4", "2x2", "3*1"), mode=mode),
            EquivariantLinear(basis("d4", "2x2:pseudoscalar", "2x2"), mode=mode),
        ]
        return EquivariantSequential(*layers)

    contexts = [
        torch.device("meta"),
        torch.inference_mode(),
        torch.no_grad(),
        torch.autocast("cpu", torch.bfloat16),
    ]
    for context in contexts:
        with context, pytest.raises(eb.ModelError, match="gets past"):
            dead()
    torch.set_default_dtype(torch.float32)
    with pytest.raises(eb.ModelError, match="gets past"):
        dead()


# --- in the words of spaces ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("group", "space", "entries", "text"),
    [
        (OH, "V + V*V", [0, 1, 2], "1 of the 2 summands, 'V' at entries 0 to 2"),
        (OH, "4*V + 1", range(6, 12), "2 of the 5 summands, '2*V' at entries 6 to 11"),
        (OH, "4*V + 1", [12], "1 of the 5 summands, '1' at entry 12"),
        (OH, "alt(V, 3) + V", [0], "1 of the 2 summands, 'alt(V, 3)' at entry 0"),
        (OH, "dual(V) + V*V", [3, 7], "1 of the 2 summands, 'V**2' in part, at entries 3, 7"),
        ("d4", "3x3:pseudoscalar", [4], "'3x3:pseudoscalar' in part, at entry 4"),
        (
            "d4",
            "2x2:regular + 2x2",
            range(32, 36),
            "1 of the 2 summands, '2x2' at entries 32 to 35",
        ),
        ("d4", "1:vector + 2x2", [0, 1], "1 of the 2 summands, '1:vector' at entries 0 to 1"),
        (OH, "1:pseudovector + V", [3], "1 of the 2 summands, 'V' in part, at entry 3"),
        (
            "d4",
            "1:regular + 3x3:pseudovector",
            [8, 9],
            "1 of the 2 summands, '3x3:pseudovector' in part, at entries 8 to 9",
        ),
        ("d4", "2x2:vector", range(8), "'2x2:vector' at entries 0 to 7"),
        (
            "d4",
            "2x2 + 1 + 2x2",
            [0, 1, 2, 3, 5, 6, 7, 8],
            "2 of the 3 summands, '2x2' at entries 0 to 3 and '2x2' at entries 5 to 8",
        ),
        (
            "d4",
            "4x4",
            range(0, 16, 2),
            "'4x4' in part, at entries 0, 2, 4, 6, 4 more stretches",
        ),
    ],
)
def test_entries_are_named_as_summands(group: Any, space: str, entries: Any, text: str) -> None:
    features = space_of(group, space)
    inside = np.zeros(features.dimension, dtype=bool)
    inside[list(entries)] = True
    assert in_words(features, inside) == f"{text} (counted from 0)"
