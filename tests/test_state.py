"""What weights are of: each state says it, and weights of another basis are never loaded."""

from __future__ import annotations

import copy
import io
import itertools
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import equibasis as eb
import some_layers
from equibasis.nn import (
    DirectSumActivation,
    EquivariantBatchNorm,
    EquivariantLayerNorm,
    EquivariantLinear,
    EquivariantSequential,
    NormActivation,
    NormPool,
    Pointwise,
    export,
)
from equibasis.nn.identity import IdentifiedWeights
from some_layers import basis, features, linear, refused

KEY = "_extra_state"


def randomized(module: nn.Module, seed: int = 0) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.uniform_(-1, 1, generator=generator)
    return module


# --- the kind ------------------------------------------------------------------------------------

# Each layer of a space of 4 numbers, and the same of another action on as many.
LAYERS: dict[str, Callable[[Any, str], Any]] = some_layers.LAYERS | {
    "a bias": lambda group, space: linear(group, space, space).bias,
    "a scalar bias": lambda group, space: (
        EquivariantLinear(basis(group, space, space), "scalar").bias
    ),
    "β of EquivariantLayerNorm": lambda group, space: (
        EquivariantLayerNorm(basis(group, space)).shift
    ),
    "β of EquivariantBatchNorm": lambda group, space: (
        EquivariantBatchNorm(basis(group, space)).shift
    ),
}

# By the numbers alone, weights of the one fit the other: ranks, blocks and invariants are as many.
ALIKE = [
    (("d1", "2x2"), ("c2", "2x2")),
    (("z4", "4"), ("c4", "2x2")),
    (("s6", "6"), ("s12", "12")),
    (("c2", "2x2"), ("z2", "2*2")),
]


# By how they are loaded too: strictly or not, assigned or copied, alone or as parts of something.
LOADED = [
    (True, False, "alone"),
    (False, True, "alone"),
    (True, True, "deep"),
    (False, False, "list"),
]


@pytest.mark.parametrize(
    ("pair", "strict", "assign", "nested"),
    [(pair, *loaded) for pair, loaded in zip(ALIKE, LOADED, strict=True)],
)
@pytest.mark.parametrize("name", LAYERS)
def test_weights_of_another_basis_are_refused_naming_both(
    name: str, pair: Any, strict: bool, assign: bool, nested: str
) -> None:
    if name == "InvariantAttentionPool" and pair[0][0] == "s6":
        pytest.skip("generators only")
    wrap: Callable[[Any], nn.Module] = {
        "alone": lambda layer: layer,
        "list": lambda layer: nn.ModuleList([nn.Linear(2, 2), layer]),
        "deep": lambda layer: nn.ModuleDict({"a": nn.Sequential(nn.Sequential(layer))}),
    }[nested]
    there, here = (wrap(LAYERS[name](*side)) for side in pair)
    if there.state_dict().keys() != here.state_dict().keys():
        pytest.skip("other keys")
    before = copy.deepcopy(dict(here.named_parameters()))
    text = refused(lambda: here.load_state_dict(there.state_dict(), strict=strict, assign=assign))
    (_, first), (_, second) = pair
    assert first in text
    assert second in text
    if nested == "alone":
        assert all(torch.equal(p, before[key]) for key, p in here.named_parameters())


def test_a_layer_of_c4_is_not_one_of_d2_though_all_keys_and_shapes_match() -> None:
    one, other = linear("c4", "4x4", "2x2"), linear("d2", "4x4", "2x2")
    assert {k: v.shape for k, v in one.named_parameters()} == {
        k: v.shape for k, v in other.named_parameters()
    }
    text = refused(lambda: other.load_state_dict(one.state_dict()))
    assert "EquivariantLinear c4: 4x4 -> 2x2, rank 16" in text
    assert "EquivariantLinear d2: 4x4 -> 2x2, rank 16" in text


def test_a_layer_of_6_points_is_not_one_of_12_whose_scale_is_another() -> None:
    one, other = linear("s6", "6", "6"), linear("s12", "12", "12")
    text = refused(lambda: other.load_state_dict(one.state_dict()))
    assert "s6: 6 -> 6, rank 2" in text
    assert "s12: 12 -> 12, rank 2" in text


def test_a_group_of_the_same_name_that_acts_otherwise_is_another() -> None:
    def mirrored(array: np.ndarray, element: str) -> np.ndarray:
        return array if element == "r0" else array[::-1]

    mirror = eb.Group("c2", basis("c2", "2x2").space.elements, mirrored, axes=2)
    here, there = linear("c2", "2x2", "2x2"), linear(mirror, "2x2", "2x2")
    text = refused(lambda: here.load_state_dict(there.state_dict()))
    assert "acts there in another way" in text


def test_a_group_of_another_name_that_acts_alike_is_the_same_in_any_order_of_its_elements() -> None:
    def clockwise(array: np.ndarray, quarters: int) -> np.ndarray:
        return np.rot90(array, -quarters)

    turns = eb.Group("turns", (0, 1, 2, 3), clockwise, axes=2)
    weights = randomized(linear("c4", "4x4", "2x2"))
    other = linear(turns, "4x4", "2x2")
    other.load_state_dict(weights.state_dict())
    assert torch.equal(other.weight(), weights.weight())


INPUTS = ["2x2", "3x3", "2x2 + 1", "5*1", "2x2:pseudoscalar", "2x2:vector"]


@pytest.mark.filterwarnings("ignore::equibasis.nn.UnreachedWarning")
@given(
    st.tuples(*[st.sampled_from(["trivial", "c2", "c4", "d1", "d2", "d4"])] * 2),
    st.tuples(
        *[st.sampled_from(["2x2", "3x3", "2x2 + 1", "5*1", "2x2:pseudoscalar", "2x2:vector"])] * 2
    ),
    st.tuples(*[st.sampled_from(["2x2", "3x3", "2*2x2"])] * 2),
)
def test_weights_load_where_and_only_where_the_group_acts_alike(
    groups: tuple[str, str], inputs: tuple[str, str], outputs: tuple[str, str]
) -> None:
    bases = [basis(g, y, x) for g, x, y in zip(groups, inputs, outputs, strict=True)]
    if not all(each.rank for each in bases):
        return
    one, other = map(EquivariantLinear, bases)
    if actions(bases[0]) == actions(bases[1]):
        other.load_state_dict(one.state_dict())
    else:
        refused(lambda: other.load_state_dict(one.state_dict(), strict=False))


def actions(of: eb.Basis) -> tuple[int, int, set[bytes]]:
    """All pairs of matrices (ρ₁(g), ρ₂(g)), by their bytes."""
    rho = of.space.input.matrices.round(6) + 0.0, of.space.output.matrices.round(6) + 0.0
    return of.space.k, of.space.m, {a.tobytes() + b.tobytes() for a, b in zip(*rho, strict=True)}


def test_neither_mode_nor_solver_nor_file_makes_another_identity(tmp_path: Path) -> None:
    eb.save_basis(basis("c4", "2x2", "4x4"), tmp_path / "basis.h5")
    bases = [basis("c4", "2x2", "4x4", solver) for solver in ("orbits", "svd", "projector")]
    bases.append(eb.load_basis(tmp_path / "basis.h5"))
    states = [
        EquivariantLinear(each, mode=mode).state_dict()[KEY]
        for each in bases
        for mode in ("expand", "irreps")
    ]
    assert all(torch.equal(state, states[0]) for state in states)


def test_matrices_whose_last_bits_differ_are_the_same() -> None:
    turn = np.array([[0.5, -(0.75**0.5)], [0.75**0.5, 0.5]])
    groups = [eb.matrix_group("sixth", [turn + noise]) for noise in (0.0, 1e-15, -1e-15)]
    one, *others = (linear(group, "2*V + 1", "V*V + V") for group in groups)
    for other in others:
        other.load_state_dict(one.state_dict())
    refused(
        lambda: one.load_state_dict(
            linear(eb.matrix_group("sixth", [turn.T @ turn.T]), "2*V + 1", "V*V + V").state_dict()
        )
    )


def test_parts_of_a_sum_belong_to_their_coordinates() -> None:
    space = features("trivial", "4")
    halves = [np.array([0, 1]), np.array([2, 3])]
    one, other = (
        DirectSumActivation(space, [(half, NormActivation(space.part(half))) for half in order])
        for order in (halves, halves[::-1])
    )
    refused(lambda: other.load_state_dict(one.state_dict()))


# --- older weights, partial weights, damaged ones -------------------------------------------------


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("strict", [True, False])
def test_weights_that_do_not_say_what_they_are_of_are_refused(name: str, strict: bool) -> None:
    layer = LAYERS[name]("c4", "2x2")
    older = {key: p for key, p in layer.state_dict().items() if not key.endswith(KEY)}
    if not older:
        pytest.skip("it has no weights")
    text = refused(lambda: layer.load_state_dict(older, strict=strict))
    assert "do not say which basis they are of" in text
    assert "2x2" in text
    for key, module in layer.named_modules():  # as the line says
        if isinstance(module, IdentifiedWeights):
            older[f"{key}.{KEY}".lstrip(".")] = module.get_extra_state()
    layer.load_state_dict(older)


OTHER_NUMBERS: dict[str, Callable[[Tensor], Tensor]] = {
    "complex64": lambda p: p.to(torch.complex64),
    "complex128": lambda p: p + 1j * torch.ones_like(p, dtype=torch.float64),
    "int64": lambda p: p.to(torch.int64),
    "int8": lambda p: (p * 100).to(torch.int8),
    "uint8": lambda p: p.to(torch.uint8),
    "bool": lambda p: p.bool(),
}


@pytest.mark.parametrize("name", [name for name in LAYERS if "Pool" not in name] + ["network"])
def test_numbers_of_another_kind_are_refused_and_nothing_is_loaded(name: str) -> None:
    layer = network() if name == "network" else LAYERS[name]("c4", "2x2")
    before = copy.deepcopy(dict(layer.named_parameters()))
    for number, ((other, changed), key) in enumerate(
        itertools.product(OTHER_NUMBERS.items(), before)
    ):
        state = layer.state_dict()
        state[key] = changed(state[key])
        assign = number % 2 == 0
        text = refused(lambda: layer.load_state_dict(state, False, assign))  # noqa: B023
        assert repr(key) in text
        assert other in text
    assert all(torch.equal(p, before[key]) for key, p in layer.named_parameters())


def test_the_numbers_of_a_gate_are_of_their_kind_too() -> None:
    layer = NormActivation(features("c4", "2x2"), nn.PReLU())
    state = layer.state_dict()
    state["gate.weight"] = state["gate.weight"] * 1j
    assert "'gate.weight' are complex64" in refused(lambda: layer.load_state_dict(state))


def test_numbers_that_a_short_dtype_does_not_hold_are_refused() -> None:
    layer = linear("c4", "2x2", "2x2").half()
    state = {k: v.float() if "coeff" in k else v for k, v in layer.state_dict().items()}
    layer.load_state_dict(state)
    state["coefficients"] = state["coefficients"] + 1e6
    assert "float32 beyond" in refused(lambda: layer.load_state_dict(state))
    state["coefficients"][:] = torch.inf  # which both hold
    layer.load_state_dict(state)


def test_what_follows_a_pool_is_bound_to_it() -> None:
    def classifier(group: str) -> nn.Module:
        return nn.Sequential(NormPool(features(group, "2x2")), nn.Linear(1, 2))

    state = classifier("c4").state_dict()
    refused(lambda: classifier("d4").load_state_dict(state))
    with pytest.raises(RuntimeError, match=KEY):
        classifier("c4").load_state_dict({k: v for k, v in state.items() if KEY not in k})


def test_a_part_of_a_network_loads_by_itself_where_that_is_asked_for() -> None:
    network = nn.Sequential(linear("c4", "4x4", "2x2"), linear("c4", "2x2", "4x4"))
    first = {key: p for key, p in randomized(network).state_dict().items() if key[0] == "0"}
    other = nn.Sequential(linear("c4", "4x4", "2x2"), linear("c4", "2x2", "4x4"))
    found = other.load_state_dict(first, strict=False)
    assert all(key.startswith("1.") for key in found.missing_keys)
    assert torch.equal(other[0].weight(), network[0].weight())
    with pytest.raises(RuntimeError, match="Missing key"):
        other.load_state_dict(first)


def test_a_network_loads_all_of_its_layers_or_none() -> None:
    def network(group: str) -> EquivariantSequential:
        return EquivariantSequential(
            linear("c4", "4x4", "2x2"), nn.ELU(), linear("c4", "2x2", group)
        )

    here, there = network("4x4"), randomized(network("2*2x2"))
    before = copy.deepcopy(here.layers[0].coefficients)
    refused(lambda: here.load_state_dict(there.state_dict()))
    refused(lambda: nn.ModuleList([here]).load_state_dict(nn.ModuleList([there]).state_dict()))
    assert torch.equal(here.layers[0].coefficients, before)


DAMAGED: dict[str, Any] = {
    "empty": torch.empty(0, dtype=torch.uint8),
    "noise": torch.arange(256, dtype=torch.int64).to(torch.uint8),
    "not finite": torch.full((80,), float("nan")),
    "a matrix": torch.zeros(3, 4),
    "text": "EquivariantLinear",
    "a number": 7,
    "raised": None,
    "control characters": torch.tensor(list(b"\x1b[2J\n, sha256 " + b"0" * 32), dtype=torch.uint8),
}


@pytest.mark.parametrize("how", DAMAGED)
def test_a_damaged_identity_is_refused(how: str) -> None:
    layer = linear("c4", "2x2", "2x2")
    value = layer.get_extra_state() + 1 if how == "raised" else DAMAGED[how]
    text = refused(lambda: layer.load_state_dict(layer.state_dict() | {KEY: value}))
    assert text.isprintable()


# --- whatever torch does with modules ------------------------------------------------------------


def network() -> EquivariantSequential:
    invariants = basis("c4", "2x2 + 1")
    return EquivariantSequential(
        linear("c4", "4x4", "2x2 + 1"),
        EquivariantBatchNorm(invariants),
        NormActivation(invariants),
        linear("c4", "2x2 + 1", "2x2"),
        NormPool(basis("c4", "2x2")),
        nn.Linear(1, 3),
    )


def test_it_is_no_parameter_and_no_buffer() -> None:
    layer = linear("c4", "4x4", "2x2")
    assert [name for name, _ in layer.named_parameters()] == ["coefficients", "bias.coefficients"]
    assert not [name for name, _ in layer.named_buffers() if KEY in name]
    assert layer.state_dict()[KEY].dtype == torch.uint8
    text = bytes(layer.state_dict()[KEY].tolist()).decode()
    assert text.startswith("EquivariantLinear c4: 4x4 -> 2x2, rank 16, sha256/2 ")


COPIES: dict[str, Callable[[nn.Module], Any]] = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda module: pickle.loads(pickle.dumps(module)),
    "half and back": lambda module: copy.deepcopy(module).half().float(),
    "double": lambda module: copy.deepcopy(module).double(),
    "on a device": lambda module: copy.deepcopy(module).to("cpu"),
    "in shared memory": lambda module: copy.deepcopy(module).share_memory(),
}


@pytest.mark.parametrize("how", COPIES)
def test_copies_say_the_same_and_load_each_other(how: str) -> None:
    one = randomized(network())
    other = COPIES[how](one)
    for key, value in one.state_dict().items():
        if key.endswith(KEY):
            assert torch.equal(other.state_dict()[key], value)
    other.load_state_dict(one.state_dict())
    network().load_state_dict(other.state_dict())


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("assign", [True, False])
def test_a_state_goes_through_torch_save_and_safetensors(
    tmp_path: Path, strict: bool, assign: bool
) -> None:
    one = randomized(network())
    torch.save(one.state_dict(), tmp_path / "state.pt")
    safetensors.torch.save_file(one.state_dict(), tmp_path / "state.safetensors")
    safetensors.torch.save_model(one, str(tmp_path / "model.safetensors"))
    states = (
        torch.load(tmp_path / "state.pt", weights_only=True),
        safetensors.torch.load_file(tmp_path / "state.safetensors"),
        safetensors.torch.load_file(tmp_path / "model.safetensors"),
    )
    x = torch.randn(4, 16)
    for state in states:
        other = network()
        other.load_state_dict(state, strict=strict, assign=assign)
        assert torch.equal(other.eval()(x), one.eval()(x))
    other = network()
    safetensors.torch.load_model(other, str(tmp_path / "model.safetensors"))
    assert torch.equal(other.eval()(x), one(x))
    wrong = linear("d4", "4x4", "2x2")
    safetensors.torch.save_model(linear("c4", "4x4", "2x2"), str(tmp_path / "c4.safetensors"))
    refused(lambda: safetensors.torch.load_model(wrong, str(tmp_path / "c4.safetensors")))
    refused(
        lambda: safetensors.torch.load_model(wrong, str(tmp_path / "c4.safetensors"), strict=False)
    )


@pytest.mark.parametrize("use_buffers", [False, True])
@pytest.mark.parametrize("average", [None, "ema"])
def test_an_averaged_model_averages_the_weights_and_keeps_the_name(
    use_buffers: bool, average: str | None
) -> None:
    model = randomized(network())
    averaged = AveragedModel(
        model,
        multi_avg_fn=get_ema_multi_avg_fn(0.9) if average else None,
        use_buffers=use_buffers,
    )
    for seed in range(3):
        randomized(model, seed)
        averaged.update_parameters(model)
    model.load_state_dict(averaged.module.state_dict())
    again = AveragedModel(network(), use_buffers=use_buffers)
    again.load_state_dict(averaged.state_dict())
    refused(
        lambda: AveragedModel(linear("d2", "4x4", "2x2")).load_state_dict(
            AveragedModel(linear("c4", "4x4", "2x2")).state_dict()
        )
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_states_averaged_or_cast_by_hand_load(dtype: torch.dtype) -> None:
    states = [randomized(network(), seed).state_dict() for seed in (1, 2)]
    mean = {
        key: 0.3 * states[0][key].to(dtype) + 0.7 * states[1][key].to(dtype) for key in states[0]
    }
    network().load_state_dict(mean)
    network().load_state_dict({key: value.to(dtype) for key, value in states[0].items()})
    refused(lambda: linear("d2", "4x4", "2x2").load_state_dict(averaged_linear("c4", dtype)))


def averaged_linear(group: str, dtype: torch.dtype) -> dict[str, Tensor]:
    return {k: v.to(dtype) for k, v in linear(group, "4x4", "2x2").state_dict().items()}


def test_replicas_functional_calls_and_stacks_take_parameters_and_buffers_alone() -> None:
    one = randomized(network()).eval()
    x = torch.randn(4, 16)
    expected = one(x)
    replica = one.layers[0]._replicate_for_data_parallel()
    assert torch.equal(replica.get_extra_state(), one.layers[0].get_extra_state())
    given = dict(one.named_parameters()) | dict(one.named_buffers())
    assert torch.equal(torch.func.functional_call(one, given, (x,)), expected)
    parameters, buffers = torch.func.stack_module_state([one, one])
    assert not [name for name in (*parameters, *buffers) if KEY in name]
    parallel = nn.DataParallel(one)
    parallel.load_state_dict(nn.DataParallel(network()).state_dict())


def test_on_the_meta_device_it_says_what_it_is_of_and_takes_its_weights() -> None:
    weights = randomized(network()).state_dict()
    with torch.device("meta"):
        empty, other = network(), linear("d2", "4x4", "2x2")
        name = empty.state_dict()["layers.0." + KEY]
    assert (name.device.type, torch.equal(name, weights["layers.0." + KEY])) == ("cpu", True)
    x = torch.randn(4, 16)
    expected = network()
    expected.load_state_dict(weights)
    empty = empty.to_empty(device="cpu")
    empty.load_state_dict(weights)
    torch.testing.assert_close(empty.eval()(x), expected.eval()(x))
    with torch.device("meta"):
        assigned = linear("c4", "4x4", "2x2")
    assigned.load_state_dict(linear("c4", "4x4", "2x2").state_dict(), assign=True)
    assert assigned.coefficients.device.type == "cpu"
    refused(lambda: other.load_state_dict(linear("c4", "4x4", "2x2").state_dict(), assign=True))


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of what the first optimizer imports
def test_training_sees_nothing_of_it() -> None:
    model = network()
    optimizer = torch.optim.Adam(model.parameters())
    before = model.state_dict()["layers.0." + KEY].clone()
    model(torch.randn(8, 16)).square().mean().backward()
    optimizer.step()
    assert torch.equal(model.state_dict()["layers.0." + KEY], before)
    state = optimizer.state_dict()
    torch.optim.Adam(network().parameters()).load_state_dict(state)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_programs_and_plain_networks_carry_nothing_of_it() -> None:
    model = randomized(network()).eval()
    x = torch.randn(4, 16)
    plain = export(model)
    assert not [key for key in plain.state_dict() if KEY in key]
    assert set(model.layers[0].to_linear().state_dict()) == {"weight", "bias"}
    program = torch.export.export(model, (x,))
    names = [
        *program.graph_signature.parameters,
        *program.graph_signature.buffers,
        *program.constants,
        *(node.name for node in program.graph.nodes),
    ]
    assert not [name for name in names if KEY.strip("_") in name]
    stored = io.BytesIO()
    torch.export.save(program, stored)
    stored.seek(0)
    torch.testing.assert_close(torch.export.load(stored).module()(x), model(x))
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), model(x))
    randomized(network()).load_state_dict(
        {key.removeprefix("_orig_mod."): value for key, value in compiled.state_dict().items()}
    )


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_nor_do_onnx_files(tmp_path: Path) -> None:
    model, path = randomized(network()).eval(), tmp_path / "network.onnx"
    torch.onnx.export(model, (torch.randn(4, 16),), str(path), dynamo=True, verbose=False)
    assert b"sha256" not in path.read_bytes()


def test_an_elementwise_activation_is_of_no_basis() -> None:
    one, other = (Pointwise(nn.PReLU(), features(group, "2x2")) for group in ("c4", "d4"))
    other.load_state_dict(one.state_dict())


@pytest.mark.parametrize("dtype", [torch.complex64, torch.int64])
def test_a_cast_that_is_refused_is_not_done(dtype):
    layer = EquivariantLinear(eb.solve(group="c4", input="2x2", output="2x2"))
    before = layer.coefficients.detach().clone()
    with pytest.raises(eb.ModelError, match="cannot be cast"):
        layer._apply(lambda tensor: tensor.to(dtype))
    assert torch.equal(layer.coefficients, before)
    assert layer.coefficients.dtype == torch.float32


def test_weights_of_an_earlier_version_are_told_from_those_of_another_basis() -> None:
    layer = linear("c4", "3x3", "3x3")
    state = layer.state_dict()
    said = bytes(state["_extra_state"].tolist()).decode()
    assert ", sha256/2 " in said
    before = said.replace(", sha256/2 ", ", sha256 ")
    state["_extra_state"] = torch.tensor(list(before.encode()), dtype=torch.uint8)
    with pytest.raises(eb.ModelError, match=r"of an earlier equibasis.*train them anew"):
        layer.load_state_dict(state)
