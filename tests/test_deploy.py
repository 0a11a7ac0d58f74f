"""Networks leave equibasis, or run elsewhere: exported, compiled, copied, pickled, in parallel."""

from __future__ import annotations

import copy
import functools
import io
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

import equibasis as eb
from digit_models import from_bases
from digits.config import MODELS, AutoencoderConfig, bases_needed
from encoded import Encoded
from equibasis.nn import (
    EquivariantCombine,
    EquivariantLinear,
    EquivariantMLP,
    EquivariantSequential,
    InvariantAttentionPool,
    NormPool,
    OrbitMeanPool,
    export,
)
from test_activations import SIXTH
from test_layers import randomize

BATCHES = (2, 7)


@pytest.fixture(autouse=True)
def seeded(tmp_path_factory: Any, monkeypatch: Any) -> None:
    torch._dynamo.reset()
    monkeypatch.setenv("EQUIBASIS_CACHE", str(tmp_path_factory.getbasetemp() / "bases"))
    torch.manual_seed(0)


@functools.cache
def basis(group: str, output: str, input_: str | None = None) -> eb.Basis:
    return eb.solve(group, input=input_, output=output)


def autoencoder(model: str, group: str = "c4") -> nn.Module:
    config = AutoencoderConfig(model, 14, (6, 3), group)
    bases = {key: basis(group, key[1], key[0]) for key in bases_needed(config)}
    return small(from_bases(config, bases))


def small(network: nn.Module) -> nn.Module:
    """Biases and scales that are not their starts, and statistics that have seen something."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += torch.randn_like(parameter) / 20
        for name, buffer in network.named_buffers():
            if name.endswith("running_var"):
                buffer.uniform_(0.5, 2.0)
    return network.eval()


OTHERS = {
    "images": lambda: EquivariantMLP(["6x6", "4x4", "3x3"], "c4", normalization="batch"),
    "vectors": lambda: EquivariantMLP(["4x4", "3x3:vector + 2*3x3", "4x4"], "d4"),
    "gated": lambda: EquivariantMLP(["4x4", "3x3:vector + 2*3x3", "4x4"], "d4", "gated"),
    "matrices": lambda: EquivariantMLP(
        ["V + 1", "4*V + 2*1", "V + 1"], SIXTH, normalization="layer"
    ),
    "norms of a batch": lambda: EquivariantMLP(["V", "4*V", "V"], SIXTH, "norm", True, "batch"),
    "sets": lambda: EquivariantMLP(["5x5", "2*5", "5"], "s5"),
    "a classifier": lambda: EquivariantSequential(
        EquivariantMLP(["6x6", "3x3:vector + 2*3x3", "3x3"], "d4", "gated"),
        nn.Tanh(),
        NormPool(EquivariantMLP(["6x6", "3x3"], "d4").codomain),
        nn.Linear(3, 10),
        nn.LogSoftmax(dim=-1),
    ),
    "means": lambda: EquivariantSequential(
        EquivariantMLP(["6x6", "3x3"], "d4"), OrbitMeanPool(basis("d4", "3x3")), nn.Linear(3, 2)
    ),
    "attention": lambda: InvariantAttentionPool(basis("d4", "3x3:vector")),
}


@functools.cache
def built(name: str) -> nn.Module:
    return OTHERS[name]() if name in OTHERS else autoencoder(name)


def network_of(name: str) -> nn.Module:
    """Another each time, of the same layers."""
    return small(copy.deepcopy(built(name)))


NETWORKS = [*MODELS, *OTHERS]


def inputs_of(network: nn.Module, batch: int) -> Tensor:
    features = network.domain.dimension if hasattr(network, "domain") else 196
    return torch.rand(batch, features)


def output_of(network: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        return network(x)


def assert_same(found: Tensor, expected: Tensor, tolerance: float = 1e-5) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)
    assert expected.abs().max() > 0.01


def any_batch(program: Any, x: Tensor) -> Any:
    return torch.export.export(
        program, (x,), dynamic_shapes=({0: torch.export.Dim("batch", min=2, max=4096)},)
    )


# --- plain torch ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_an_exported_network_has_equal_outputs_and_no_class_of_ours(name: str) -> None:
    network = network_of(name)
    before = copy.deepcopy(network.state_dict())
    plain = export(network)
    classes = {cls.__module__ for module in plain.modules() for cls in type(module).__mro__}
    assert not [module for module in classes if module.startswith("equibasis")]
    for batch in BATCHES:
        x = inputs_of(network, batch)
        assert_same(output_of(plain, x), output_of(network, x), 1e-6)
    assert not any(module.training for module in plain.modules())
    assert all(torch.equal(network.state_dict()[key], value) for key, value in before.items())
    randomize(network)  # a copy: it does not follow
    assert not torch.allclose(output_of(plain, x), output_of(network, x))


def test_it_loads_where_equibasis_is_not_installed(tmp_path: Path, python: Any) -> None:
    names = ["equivariant_attention", "vectors", "matrices"]
    for name in names:
        network = network_of(name)
        x = inputs_of(network, 3)
        plain = export(network)
        if name == "equivariant_attention":  # its own classes, which stay, are the experiment's
            plain = torch.fx.symbolic_trace(plain)
            for node in plain.graph.nodes:
                node.type = None  # an annotation as text, which torch 2.11 cannot save
            plain.recompile()
        torch.save(plain, tmp_path / f"{name}.pt")
        torch.save((x, output_of(network, x)), tmp_path / f"{name}.expected.pt")
    outcome = python(
        "-c",
        "import sys; sys.modules['equibasis'] = sys.modules['digits'] = None\n"
        "import torch\n"
        "for name in sys.argv[1:]:\n"
        "    plain = torch.load(f'{name}.pt', weights_only=False)\n"
        "    x, y = torch.load(f'{name}.expected.pt')\n"
        "    print(name, float((plain(x) - y).abs().max().detach()) < 1e-6)",
        *names,
    )
    expected = "".join(f"{name} True\n" for name in names)
    assert (outcome.status, outcome.out) == (0, expected), outcome.err


def test_layers_inside_a_network_of_ones_own_are_replaced_and_the_rest_is_kept() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = EquivariantLinear(basis("c4", "3x3", "6x6"), basis("c4", "3x3"))
            self.pool = InvariantAttentionPool(basis("c4", "3x3"))
            self.combine = EquivariantCombine(basis("c4", "3x3", "3x3"), basis("c4", "3x3"))
            self.again = self.first

        def forward(self, x: Tensor) -> Tensor:
            h = self.first(x)
            if h.sum() > 1e9:  # no tracing of what is not ours
                return h
            return self.combine(h, self.pool(h)) + self.again(x)

    network = small(Own())
    plain = export(network)
    assert type(plain) is Own
    assert type(plain.first) is nn.Linear
    assert plain.again is plain.first
    x = torch.randn(4, 36)
    assert_same(output_of(plain, x), output_of(network, x), 1e-6)


def test_a_layer_alone_becomes_a_linear_one() -> None:
    layer = small(EquivariantLinear(basis("c4", "3x3", "6x6"), basis("c4", "3x3")))
    assert type(export(layer)) is nn.Linear


def test_a_function_that_branches_on_values_is_refused_with_the_remedy() -> None:
    def odd_but_branching(x: Tensor) -> Tensor:
        return x if x.abs().max() < 1e9 else x.clone()

    network = EquivariantMLP(["6x6", "4x4", "3x3"], "c4", odd_but_branching)
    with pytest.raises(eb.ModelError, match=r"make it a torch\.nn\.Module"):
        export(network)

    class Branching(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return odd_but_branching(x)

    network = small(EquivariantMLP(["6x6", "4x4", "3x3"], "c4", Branching()))
    x = torch.randn(3, 36)
    assert_same(output_of(export(network), x), output_of(network, x), 1e-6)


# --- torch.export, ONNX, tracing -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "plain"),
    [(name, False) for name in ("equivariant_attention", "norms of a batch", "sets", "means")]
    + [(name, True) for name in ("equivariant_attention", "matrices")],
)
def test_a_program_of_torch_export_gives_the_outputs_for_any_batch(name: str, plain: bool) -> None:
    network = network_of(name)
    program = any_batch(export(network) if plain else network, inputs_of(network, 4))
    stored = io.BytesIO()
    torch.export.save(program, stored)
    stored.seek(0)
    loaded = torch.export.load(stored).module()
    for batch in BATCHES:
        x = inputs_of(network, batch)
        assert_same(output_of(loaded, x), output_of(network, x))


def onnx_outputs(program: Any, path: Path, batches: list[Tensor]) -> list[Tensor]:
    import onnx
    import onnxruntime

    x = torch.zeros_like(batches[0])
    torch.onnx.export(
        program,
        (x,),
        str(path),
        input_names=["x"],
        dynamic_shapes=({0: torch.export.Dim("batch", min=2, max=4096)},),
        dynamo=True,
        verbose=False,
    )
    onnx.checker.check_model(str(path))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return [torch.from_numpy(session.run(None, {"x": x.numpy()})[0]) for x in batches]


@pytest.mark.parametrize(
    ("name", "plain"),
    [("norms of a batch", False), ("a classifier", True)],  # which is gated
)
def test_onnxruntime_gives_the_outputs_for_any_batch(
    name: str, plain: bool, tmp_path: Path
) -> None:
    network = network_of(name)
    batches = [inputs_of(network, batch) for batch in BATCHES]
    program = export(network) if plain else network
    found = onnx_outputs(program, tmp_path / "network.onnx", batches)
    for x, y in zip(batches, found, strict=True):
        assert_same(y, output_of(network, x))


@pytest.mark.filterwarnings("ignore:.torch.jit.trace:FutureWarning")
@pytest.mark.parametrize("name", ["equivariant_attention", "vectors", "matrices"])
def test_traced_networks_give_the_outputs(name: str) -> None:
    network = network_of(name)
    traced = torch.jit.trace(export(network), (inputs_of(network, 4),))
    for batch in BATCHES:
        x = inputs_of(network, batch)
        assert_same(output_of(traced, x), output_of(network, x))


# --- torch.compile, autocast ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "backend"),
    [
        ("equivariant_attention", "eager"),
        ("norms of a batch", "aot_eager"),
    ],
)
@pytest.mark.slow
def test_a_compiled_network_has_the_outputs_and_the_gradients(name: str, backend: str) -> None:
    network = network_of(name)
    compiled = torch.compile(network, backend=backend)
    x = inputs_of(network, 5)
    assert_same(output_of(compiled, x), output_of(network, x))
    assert_same_gradients(compiled, network, x)


@pytest.mark.skipif(
    not shutil.which("g++") or sys.platform != "linux", reason="inductor builds with g++"
)
@pytest.mark.slow
def test_inductor_compiles_a_network(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    network = small(EquivariantLinear(basis("d4", "3x3:vector", "4x4"), basis("d4", "3x3:vector")))
    x = inputs_of(network, 5)
    plain = {"cpp.vec_isa_ok": False}  # or else it compiles programs to find out what vectors help
    assert_same(output_of(torch.compile(network, options=plain), x), output_of(network, x))


def assert_same_gradients(compiled: Any, network: nn.Module, x: Tensor) -> None:
    network.train()
    found = []
    for run in (compiled, network):
        network.zero_grad()
        y = run(x)
        y.square().sum().backward()
        gradients = [p.grad.clone() for p in network.parameters() if p.numel()]
        found.append([y.detach(), *gradients])
    assert found[0][0].abs().max() > 0.01
    for mine, expected in zip(*found, strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_in_bfloat16_by_autocast_outputs_are_those_up_to_its_digits(name: str) -> None:
    network = network_of(name)
    x = inputs_of(network, 5)
    expected = output_of(network, x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = output_of(network, x)
    assert torch.isfinite(found).all()
    assert (found.float() - expected).abs().max() < 0.05 * max(1.0, float(expected.abs().max()))
    assert_same(output_of(network, x), expected, 1e-7)  # nothing of half precision is kept
    network.train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        network(x).float().square().mean().backward()
    grads = [p.grad for p in network.parameters() if p.numel()]
    assert all(grad is not None and torch.isfinite(grad).all() for grad in grads)


# --- copies, pickles, parallel -------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_copied_and_pickled_networks_are_the_same_and_their_own(name: str) -> None:
    network = network_of(name)
    x = inputs_of(network, 3)
    expected = output_of(network, x)  # also fills what is kept for evaluation
    stored = io.BytesIO()
    torch.save(network, stored)
    stored.seek(0)
    for other in (copy.deepcopy(network), torch.load(stored, weights_only=False)):
        assert torch.equal(output_of(other, x), expected)
        randomize(other)
        assert torch.equal(output_of(network, x), expected)
        assert not torch.allclose(output_of(other, x), expected)


@pytest.mark.skipif(torch.cuda.is_available(), reason="with devices, replicas are made on them")
@pytest.mark.parametrize("name", ["equivariant_attention", "vectors"])
def test_data_parallel_falls_through_where_there_is_no_device(name: str) -> None:
    network = network_of(name)
    x = inputs_of(network, 4)
    assert_same(output_of(nn.DataParallel(network), x), output_of(network, x))


def test_workers_of_a_loader_run_networks() -> None:
    network = EquivariantMLP(["6x6", "4x4:vector", "3x3"], "d4").eval()
    images = torch.rand(4, 36)
    loader = DataLoader(
        Encoded(network, images), batch_size=2, num_workers=1, multiprocessing_context="spawn"
    )
    assert_same(torch.cat(list(loader)), output_of(network, images))


@pytest.mark.parametrize("name", ["images", "vectors", "gated", "matrices", "attention"])
def test_an_ensemble_is_one_vectorized_call_over_stacked_parameters(name: str) -> None:
    networks = [network_of(name) for _ in range(3)]
    parameters, buffers = torch.func.stack_module_state(networks)
    x = inputs_of(networks[0], 4)

    def output(parameters: Any, buffers: Any) -> Tensor:
        return torch.func.functional_call(networks[0], (parameters, buffers), (x,))

    found = torch.vmap(output)(parameters, buffers)
    for y, network in zip(found, networks, strict=True):
        assert_same(y.detach(), output_of(network, x))


def test_gradients_for_each_example_agree_with_one_at_a_time() -> None:
    network = small(EquivariantMLP(["4x4", "3x3:vector", "2x2"], "d4"))
    parameters = {name: p.detach() for name, p in network.named_parameters()}
    x = torch.randn(3, 16)

    def loss(parameters: Any, x: Tensor) -> Tensor:
        return torch.func.functional_call(network, parameters, (x,)).square().sum()

    found = torch.vmap(torch.func.grad(loss), in_dims=(None, 0))(parameters, x)
    for number in range(len(x)):
        expected = torch.func.grad(loss)(parameters, x[number])
        for name, gradient in expected.items():
            torch.testing.assert_close(found[name][number], gradient, rtol=1e-4, atol=1e-5)


def test_what_onnxruntime_computes_turns_with_the_image(tmp_path: Path) -> None:
    network = autoencoder("equivariant_attention")
    few, x = (inputs_of(network, batch) for batch in BATCHES)
    of_few, found, moved = onnx_outputs(network, tmp_path / "network.onnx", [few, x, turn(x)])
    assert_same(of_few, output_of(network, few))
    assert_same(found, output_of(network, x))
    assert_same(moved, turn(found))
    assert not torch.allclose(moved, found)


def turn(images: Tensor) -> Tensor:
    return torch.rot90(images.view(-1, 14, 14), dims=(1, 2)).reshape(-1, 196)
