"""One layer in two modes: the same numbers, whatever the way."""

from __future__ import annotations

import copy
import functools
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad
from torch.nn import functional
from torch.nn.utils import parametrize, prune

import equibasis as eb
from equibasis.nn import EquivariantLinear
from equibasis.nn.bias import InvariantBias
from test_isotypic import EVERY

# Some spaces here have parts that share no irrep with the other end: test_reach.py is of those.
pytestmark = pytest.mark.filterwarnings("ignore::equibasis.nn.UnreachedWarning")

# Those of which there are maps but zero, so that they make a layer.
LAYERS = [name for name in EVERY if name != "sign, no map but zero"]

TOLERANCES = {torch.float32: 1e-5, torch.float64: 1e-10}


@functools.cache
def bases(name: str) -> tuple[eb.Basis, eb.Basis]:
    problem = EVERY[name]
    return (
        eb.solve(problem.group, input=problem.input, output=problem.output),
        eb.solve(problem.group, output=problem.output),
    )


def layers(name: str, dtype: torch.dtype) -> list[EquivariantLinear]:
    """The same layer in both modes, biases drawn too."""
    made = [EquivariantLinear(*bases(name), mode=mode).to(dtype) for mode in ("expand", "irreps")]
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in made[0].parameters():
            parameter.uniform_(-1, 1)
    made[1].load_state_dict(made[0].state_dict())
    return made


def results(layer: EquivariantLinear, x: Tensor, weights: Tensor) -> dict[str, Tensor]:
    x = x.clone().requires_grad_()
    y = layer(x)
    parameters = dict(layer.named_parameters())
    found = torch.autograd.grad(y, [x, *parameters.values()], weights, allow_unused=True)
    gradients = zip(["x", *parameters], [x, *parameters.values()], found, strict=True)
    return {
        "y": y.detach(),
        **{name: torch.zeros_like(of) if g is None else g for name, of, g in gradients},
    }


def assert_close(found: Tensor, expected: Tensor, tolerance: float) -> None:
    assert found.shape == expected.shape
    found, expected = found.detach(), expected.detach()
    scale = max(1.0, float(expected.abs().max())) if expected.numel() else 1.0
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance * scale)


def assert_modes_agree(
    expand: EquivariantLinear, irreps: EquivariantLinear
) -> tuple[Tensor, Tensor]:
    """Outputs and all gradients are the same; returns x and y."""
    dtype = expand.coefficients.dtype
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(5, expand.in_features, generator=generator).to(dtype)
    weights = torch.randn(5, expand.out_features, generator=generator).to(dtype)
    expected, found = results(expand, x, weights), results(irreps, x, weights)
    for what in expected:
        assert_close(found[what], expected[what], TOLERANCES[dtype])
    return x, expected["y"]


@pytest.mark.parametrize(
    ("name", "dtype"),
    [(name, torch.float64) for name in LAYERS] + [(name, torch.float32) for name in LAYERS[::3]],
)
def test_both_modes_give_one_output_and_one_gradient(name: str, dtype: torch.dtype) -> None:
    expand, irreps = layers(name, dtype)
    x, y = assert_modes_agree(expand, irreps)
    assert_close(irreps.weight(), expand.weight(), TOLERANCES[dtype])
    assert_close(irreps.to_linear()(x), expand(x), TOLERANCES[dtype])
    for part in (irreps, expand):
        assert_close(part.eval()(x), y, TOLERANCES[dtype])


SMALL = ["c4", "sign field", "to a vector field", "space, dense", "stretched", "quaternions"]
SMALL += ["a torus"]


@pytest.mark.parametrize("mode", ["expand", "irreps"])
@pytest.mark.parametrize(
    ("name", "evaluating"), [(name, False) for name in SMALL] + [(name, True) for name in SMALL[:2]]
)
def test_gradients_are_those_of_differences(name: str, mode: str, evaluating: bool) -> None:
    basis, invariants = bases(name)
    layer = EquivariantLinear(basis, invariants, mode=mode).double().train(not evaluating)
    names = [key for key, _ in layer.named_parameters()]

    def apply(x: Tensor, *parameters: Tensor) -> Tensor:
        replaced = dict(zip(names, parameters, strict=True))
        y: Tensor = torch.func.functional_call(layer, replaced, (x,))
        return y

    torch.manual_seed(3)
    x = torch.randn(2, basis.space.m, dtype=torch.float64, requires_grad=True)
    parameters = [torch.randn_like(p, requires_grad=True) for p in layer.parameters()]
    assert torch.autograd.gradcheck(apply, (x, *parameters))
    if basis.space.dimension < 200:
        assert torch.autograd.gradgradcheck(apply, (x, *parameters))


def test_both_modes_have_the_same_gradient_under_autocast() -> None:
    expand, irreps = layers("odd grids", torch.float32)
    x = torch.randn(64, expand.in_features, generator=torch.Generator().manual_seed(2))
    found = []
    for layer in (expand, irreps):
        with torch.autocast("cpu", torch.bfloat16):
            layer(x).float().square().mean().backward()
        found.append(layer.coefficients.grad)
    assert float((found[0] - found[1]).norm() / found[0].norm()) < 0.05


@pytest.mark.parametrize("name", ["even grids", "mirrors", "odd grids"])
def test_second_derivatives_are_those_of_the_plain_product(name: str) -> None:
    basis, _ = bases(name)
    layer = EquivariantLinear(basis, mode="irreps").double()
    x = torch.randn(2, basis.space.m, dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
    (found,) = torch.autograd.grad(first.square().sum(), layer.coefficients)
    other = EquivariantLinear(basis, mode="expand").double()
    other.load_state_dict(layer.state_dict())
    (first,) = torch.autograd.grad(other(x).square().sum(), x, create_graph=True)
    (expected,) = torch.autograd.grad(first.square().sum(), other.coefficients)
    assert_close(found, expected, 1e-10)


@pytest.mark.parametrize("name", ["mirrors of large grids", "odd grids", "regular fields"])
@pytest.mark.parametrize("mode", ["expand", "irreps"])
def test_large_layers_have_the_gradient_of_the_plain_product(name: str, mode: str) -> None:
    """Large enough for gathers of their own: c ↦ W has the adjoint of the scaled basis."""
    basis, _ = bases(name)
    layer = EquivariantLinear(basis, mode=mode).double()
    x = torch.randn(3, basis.space.m, dtype=torch.float64)
    weights = torch.randn(3, basis.space.k, dtype=torch.float64)
    of_whole = (weights.t() @ x).numpy().ravel()
    expected = np.sqrt(np.diff(basis.matrix.indptr)) * (basis.matrix.T @ of_whole)
    (found,) = torch.autograd.grad((layer(x) * weights).sum(), layer.coefficients)
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-9)


# S₃ on triples and numbers: orbits of pairs are of unequal size.
S3 = eb.permutation_group("s3", {"cycle": [1, 2, 0], "swap": [1, 0, 2]})


@pytest.mark.parametrize(
    ("group", "output", "input_"),
    [
        (S3, "9*3 + 2*1", "9*3"),
        (S3, "9*3", "9*3 + 2*1"),
        (S3, "5*3x3 + 9*3", "9*3 + 1"),
        ("s4", "12*4 + 3*1", "12*4 + 3*1"),
        ("d4", "2*3x3 + 3*1", "4x4 + 2*1"),
        ("c4", "9x9", "7x7 + 2*1"),
        ("o", "3x3x3", "3x3x3 + 1"),
        ("c4", "9x9:vector + 1", "7x7:pseudoscalar + 2*1"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_orbits_of_several_types_have_the_right_gradients(
    group: Any, output: str, input_: str
) -> None:
    basis = eb.solve(group, input=input_, output=output)
    torch.manual_seed(0)
    made = [EquivariantLinear(basis, mode=mode).double() for mode in ("expand", "irreps")]
    made[1].load_state_dict(made[0].state_dict())
    x = torch.randn(4, basis.space.m, dtype=torch.float64)
    weights = torch.randn(4, basis.space.k, dtype=torch.float64)
    expected, found = (results(layer, x, weights) for layer in made)
    for what in expected:
        assert_close(found[what], expected[what], 1e-10)


def test_x_of_the_wrong_width_is_refused_in_both_modes() -> None:
    for made in layers("c4", torch.float32):
        for width in (35, 37):
            with pytest.raises(eb.ModelError, match=rf"\.\.\., 36\).*not float32 \(2, {width}\)"):
                made(torch.randn(2, width))


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:FutureWarning")  # of torch itself
@pytest.mark.parametrize("name", ["c4", "mirrors", "odd grids", "a torus"])
def test_derivatives_of_every_kind_are_there_in_both_modes(name: str) -> None:
    found = []
    for layer in layers(name, torch.float64):
        x = torch.linspace(-1, 1, layer.in_features, dtype=torch.float64)
        jacobian = torch.autograd.functional.jacobian(layer, x[None], vectorize=True)
        with forward_ad.dual_level():
            dual = forward_ad.make_dual(x[None], torch.ones_like(x)[None])
            tangent = forward_ad.unpack_dual(layer(dual)).tangent
        plain = layer(x[None])
        with torch.autocast("cpu", torch.bfloat16):
            plain.sum().backward()
        found.append((jacobian, tangent, layer.coefficients.grad))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_a_layer_that_is_used_twice_has_its_derivatives_counted_once() -> None:
    """x depends on the coefficients that it is multiplied by, as where weights are tied."""
    basis, invariants = eb.solve("d4", input="5x5", output="5x5"), eb.solve("d4", output="5x5")
    made = [EquivariantLinear(basis, invariants, mode=m).double() for m in ("expand", "irreps")]
    made[1].load_state_dict(made[0].state_dict())
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(3, 25, generator=generator, dtype=torch.float64)
    seeds = torch.randn(2, 3, 25, generator=generator, dtype=torch.float64)
    found = []
    for layer in made:
        x = start.clone().requires_grad_()
        inputs = [x, *layer.parameters()]
        y = layer(torch.tanh(layer(x)))
        first = torch.autograd.grad(y.square().sum(), inputs, create_graph=True)
        second = torch.autograd.grad(sum(g.square().sum() for g in first), inputs)
        y = layer(torch.tanh(layer(x)))
        batched = torch.autograd.grad(y, inputs, seeds, is_grads_batched=True)
        handle = layer.coefficients.register_hook(lambda gradient: 2 * gradient)
        hooked = torch.autograd.grad(layer(x).square().sum(), inputs, create_graph=True)
        handle.remove()
        found.append([*first, *second, *batched, *hooked])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_gradients_have_tangents() -> None:
    found = []
    for layer in layers("mirrors", torch.float64):
        x = torch.linspace(-1, 1, layer.in_features, dtype=torch.float64)[None].requires_grad_()
        y = layer(x)
        with forward_ad.dual_level():
            gradient = forward_ad.make_dual(torch.ones_like(y), torch.full_like(y, 2.0))
            of_all = torch.autograd.grad(y, [x, layer.coefficients], gradient)
            found.append([forward_ad.unpack_dual(g).tangent for g in of_all])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_a_call_on_shapes_alone_leaves_the_layer_as_it_was() -> None:
    for layer in layers("even grids", torch.float32):
        x = torch.randn(3, layer.in_features)
        expected = layer(x)
        with FakeTensorMode(allow_non_fake_inputs=True) as mode:
            assert layer(mode.from_tensor(x)).shape == expected.shape
        torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize("mode", ["expand", "irreps"])
def test_a_bias_that_is_replaced_is_the_one_that_counts(mode: str) -> None:
    basis = eb.solve("c4", input="4x4", output="4x4")
    layer = EquivariantLinear(basis, "scalar", mode=mode)
    layer.bias = InvariantBias(basis, eb.solve("c4", output="4x4"))
    nn.init.normal_(layer.bias.coefficients)
    x = torch.randn(3, 16, requires_grad=True)
    y = layer(x)
    torch.testing.assert_close(y, functional.linear(x, layer.weight(), layer.bias()))
    y.sum().backward()
    found, layer.bias.coefficients.grad = layer.bias.coefficients.grad, None
    (3 * layer.bias().sum()).backward()
    torch.testing.assert_close(found, layer.bias.coefficients.grad)


def test_frozen_layers_pass_gradients_on() -> None:
    for layer in layers("mirrors", torch.float64):
        x = torch.randn(2, layer.in_features, dtype=torch.float64, requires_grad=True)
        layer.requires_grad_(False)
        layer(x).sum().backward()
        expected = layer.weight().sum(0).expand(2, -1)
        torch.testing.assert_close(x.grad, expected)


def test_under_autocast_both_modes_give_one_dtype_and_the_exact_weight() -> None:
    for layer in layers("mirrors", torch.float32):
        exact = layer.weight()
        with torch.autocast("cpu", torch.bfloat16):
            assert layer(torch.randn(3, layer.in_features)).dtype == torch.bfloat16
            torch.testing.assert_close(layer.weight(), exact)


# --- auto ---------------------------------------------------------------------------------------


def test_small_layers_expand_and_large_ones_with_symmetry_go_by_irreps() -> None:
    for group, output, input_, mode in (
        ("c4", "6x6", "14x14", "expand"),
        ("trivial", "20x20", "20x20", "expand"),
        ("c4", "28x28", "28x28", "irreps"),
        ("d4", "28x28", "28x28", "irreps"),
        ("z28*z28", "28x28", "28x28", "irreps"),
    ):
        basis = eb.solve(group, input=input_, output=output)
        assert EquivariantLinear(basis).mode == mode


def test_a_mode_that_is_not_there_is_refused() -> None:
    basis, _ = bases("c4")
    with pytest.raises(eb.ModelError, match="auto, expand, irreps"):
        EquivariantLinear(basis, mode="fast")  # type: ignore[arg-type]
    long = eb.solve("s12", input="12", output="12x12")
    with pytest.raises(eb.ModelError, match="mode='expand'"):
        EquivariantLinear(long, mode="irreps")
    assert EquivariantLinear(long).mode == "expand"


# --- coefficients that change ---------------------------------------------------------------------


@pytest.fixture(params=["expand", "irreps"])
def layer(request: pytest.FixtureRequest) -> EquivariantLinear:
    torch.manual_seed(0)
    made = EquivariantLinear(*bases("c4"), mode=request.param)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.uniform_(-1, 1)
    return made.eval()


@pytest.fixture
def x() -> Tensor:
    return torch.randn(4, 36, generator=torch.Generator().manual_seed(5))


def fresh(layer: EquivariantLinear, x: Tensor) -> Tensor:
    """What the layer gives, by the plain product."""
    with torch.no_grad():
        return functional.linear(x, layer.weight(), layer.bias())


def raised(layer: EquivariantLinear) -> dict[str, Tensor]:
    """A state with other coefficients."""
    return layer.state_dict() | {name: p + 1 for name, p in layer.named_parameters()}


CHANGES: dict[str, Callable[[EquivariantLinear], Any]] = {
    "in place": lambda layer: layer.coefficients.mul_(2),
    "the bias": lambda layer: layer.bias.coefficients.add_(1),
    "one entry": lambda layer: layer.coefficients[3].fill_(9.0),
    "an alias": lambda layer: layer.coefficients.detach().add_(1),
    "new data": lambda layer: setattr(layer.coefficients, "data", layer.coefficients * 3),
    "a new parameter": lambda layer: setattr(
        layer, "coefficients", nn.Parameter(layer.coefficients + 1)
    ),
    "a new bias": lambda layer: setattr(
        layer.bias, "coefficients", nn.Parameter(layer.bias.coefficients + 1)
    ),
    "load_state_dict": lambda layer: layer.load_state_dict(raised(layer)),
    "load_state_dict, assigning": lambda layer: layer.load_state_dict(raised(layer), assign=True),
    "reset_parameters": lambda layer: layer.reset_parameters(),
    "vector_to_parameters": lambda layer: nn.utils.vector_to_parameters(
        torch.ones(sum(p.numel() for p in layer.parameters())), layer.parameters()
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("gradients", [False, True], ids=["without gradients", "with"])
def test_whatever_changes_the_coefficients_is_seen(
    layer: EquivariantLinear, x: Tensor, change: Callable[..., Any], gradients: bool
) -> None:
    with torch.set_grad_enabled(gradients):
        before = layer(x).detach()
        with torch.no_grad():
            change(layer)
        after = layer(x).detach()
    assert not torch.allclose(before, after, atol=1e-3)
    torch.testing.assert_close(after, fresh(layer, x))


class _Doubled(nn.Module):
    def forward(self, value: Tensor) -> Tensor:
        return 2 * value


def test_coefficients_that_are_no_plain_parameters_are_taken_as_they_are(
    layer: EquivariantLinear, x: Tensor
) -> None:
    with torch.no_grad():
        before = layer(x)
        parametrize.register_parametrization(layer, "coefficients", _Doubled())
        assert not torch.allclose(layer(x), before, atol=1e-3)
        torch.testing.assert_close(layer(x), fresh(layer, x))
        prune.l1_unstructured(layer.bias, "coefficients", amount=2)
        torch.testing.assert_close(layer(x), fresh(layer, x))


@pytest.mark.parametrize(
    "optimizer",
    [
        functools.partial(torch.optim.SGD, lr=0.01),
        functools.partial(torch.optim.Adam, lr=0.01),
        functools.partial(torch.optim.Adam, lr=0.01, fused=True),
        functools.partial(torch.optim.AdamW, lr=0.01, foreach=True),
    ],
    ids=["SGD", "Adam", "fused Adam", "foreach AdamW"],
)
def test_a_step_of_an_optimizer_in_evaluation_is_seen(
    layer: EquivariantLinear, x: Tensor, optimizer: Callable[..., torch.optim.Optimizer]
) -> None:
    """As in fine-tuning with statistics frozen, and metrics taken before the step."""
    stepper = optimizer(layer.parameters())
    for _ in range(3):
        layer(x).square().mean().backward()
        with torch.no_grad():
            before = layer(x)
            stepper.step()
            stepper.zero_grad()
            assert not torch.allclose(layer(x), before)
            torch.testing.assert_close(layer(x), fresh(layer, x))


def test_a_layer_used_in_inference_mode_trains_afterwards(
    layer: EquivariantLinear, x: Tensor
) -> None:
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        layer(x)
    y = layer(x.requires_grad_())
    assert y.dtype == torch.float32
    torch.testing.assert_close(y.detach(), fresh(layer, x.detach()))
    y.sum().backward()
    assert layer.coefficients.grad is not None


def test_copies_and_pickles_are_layers_of_their_own(layer: EquivariantLinear, x: Tensor) -> None:
    with torch.no_grad():
        layer(x)
        buffer = io.BytesIO()
        torch.save(layer, buffer)
        buffer.seek(0)
        for other in (copy.deepcopy(layer), torch.load(buffer, weights_only=False)):
            torch.testing.assert_close(other(x), layer(x))
            other.coefficients.data.mul_(2)
            torch.testing.assert_close(other(x), fresh(other, x))
            assert other.basis.rank == layer.basis.rank
        torch.testing.assert_close(layer(x), fresh(layer, x))


def test_parameters_lent_to_a_layer_are_used_and_its_own_left(
    layer: EquivariantLinear, x: Tensor
) -> None:
    with torch.no_grad():
        own = layer(x)
        for factor in (2.0, 3.0, 4.0):
            lent = {name: factor * p for name, p in layer.named_parameters()}
            y = torch.func.functional_call(layer, lent, (x,))
            torch.testing.assert_close(y, factor * own)
        torch.testing.assert_close(layer(x), own)


def test_an_ensemble_is_mapped_over_stacked_parameters(layer: EquivariantLinear, x: Tensor) -> None:
    stacked = {name: torch.stack([p, 2 * p]) for name, p in layer.named_parameters()}

    def apply(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        y: Tensor = torch.func.functional_call(layer, parameters, (x,))
        return y

    for training in (False, True):
        layer.train(training)
        y = torch.func.vmap(apply, in_dims=(0, None))(stacked, x)
        torch.testing.assert_close(y[0], layer(x))
        torch.testing.assert_close(y[1], 2 * layer(x))
        of_each = torch.func.vmap(
            torch.func.grad(lambda p, x: apply(p, x[None]).sum()), in_dims=(None, 0)
        )(dict(layer.named_parameters()), x)
        whole = torch.func.grad(lambda p: apply(p, x).sum())(dict(layer.named_parameters()))
        for name, gradients in of_each.items():
            torch.testing.assert_close(gradients.sum(0), whole[name])


# --- devices and precisions -----------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["expand", "irreps"])
def test_a_layer_built_on_the_meta_device_works_once_it_has_memory(mode: str, x: Tensor) -> None:
    with torch.device("meta"):
        layer = EquivariantLinear(*bases("c4"), mode=mode)
    assert {t.device.type for t in (*layer.parameters(), *layer.buffers())} == {"meta"}
    layer = layer.to_empty(device="cpu")
    layer.reset_parameters()
    other = EquivariantLinear(*bases("c4"), mode="expand")
    other.load_state_dict(layer.state_dict())
    torch.testing.assert_close(layer(x), other(x))


@pytest.mark.parametrize("mode", ["expand", "irreps"])
@pytest.mark.parametrize(
    ("name", "evaluating"),
    [
        ("c4", False),
        ("even grids", True),
        ("a torus", False),
        ("quaternions", True),
        ("vector field", False),
    ],
)
def test_bfloat16_gives_the_output_to_its_precision(name: str, mode: str, evaluating: bool) -> None:
    torch.manual_seed(0)
    layer = EquivariantLinear(*bases(name), mode=mode).train(not evaluating)
    x = torch.randn(8, layer.in_features)
    expected = layer(x).detach()
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
        y.float().square().sum().backward()
    assert float((y.detach().float() - expected).norm() / expected.norm()) < 0.02
    assert layer.coefficients.grad is not None
    assert layer.coefficients.grad.dtype == torch.float32
    low = layer.bfloat16()(x.bfloat16())
    assert low.dtype == torch.bfloat16
    assert float((low.detach().float() - expected).norm() / expected.norm()) < 0.03


@pytest.mark.parametrize("name", ["mirrors", "a torus"])
def test_a_compiled_layer_by_irreps_is_the_layer(name: str) -> None:
    torch.manual_seed(0)
    layer = EquivariantLinear(*bases(name), mode="irreps")
    x = torch.randn(6, layer.in_features)
    for training in (True, False):
        layer.train(training)
        compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
        torch.testing.assert_close(compiled(x), layer(x))
        program = torch.export.export(layer, (x,))
        torch.testing.assert_close(program.module()(x), layer(x))


def test_batches_of_any_shape_go_through_both_modes() -> None:
    for layer in layers("mirrors", torch.float64):
        x = torch.randn(2, 3, layer.in_features, dtype=torch.float64)
        assert layer(x).shape == (2, 3, layer.out_features)
        torch.testing.assert_close(layer(x)[1, 2], layer(x[1, 2]))
        assert layer(x[:, :0]).shape == (2, 0, layer.out_features)
        assert layer(x.transpose(0, 1)).shape == (3, 2, layer.out_features)


@pytest.mark.parametrize("mode", ["expand", "irreps"])
@pytest.mark.parametrize(("group", "space"), [("c4", "4x4"), ("d4", "5x5"), ("z36", "36")])
def test_outputs_may_be_changed_in_place(group: str, space: str, mode: str) -> None:
    layer = EquivariantLinear(eb.solve(group, input=space, output=space), mode=mode)
    for batch in (1, 3):
        x = torch.randn(batch, layer.in_features)
        found = torch.autograd.grad(layer(x).relu_().sum(), layer.coefficients)
        expected = torch.autograd.grad(layer(x).relu().sum(), layer.coefficients)
        torch.testing.assert_close(found, expected)


def test_shifts_of_copies_with_signs_are_the_same_in_both_modes() -> None:
    """A torus whose copies in Y alone, or in X alone, are turned to their negatives in places."""
    signs = np.where(np.arange(32) % 3 == 0, -1.0, 1.0)

    def shift(x: np.ndarray, steps: int) -> np.ndarray:
        if x.ndim == 1:
            return np.roll(x, steps)
        return (signs * np.roll(signs * x[:, 0], steps))[:, None]

    group = eb.Group("z32", tuple(range(32)), shift)
    for input_, output in (("32", "32x1"), ("32x1", "32"), ("32x1", "2*32x1")):
        basis = eb.solve(group, input=input_, output=output)
        expand, irreps = (
            EquivariantLinear(basis, mode=mode).double() for mode in ("expand", "irreps")
        )
        irreps.load_state_dict(expand.state_dict())
        assert (type(irreps.map).__name__ == "TorusMap") == (input_ == "32")
        x = torch.randn(3, basis.space.m, dtype=torch.float64)
        assert_close(irreps(x), expand(x), 1e-10)


@pytest.mark.parametrize("name", ["c4", "mirrors", "space, dense", "a torus"])
def test_of_no_vectors_there_are_no_outputs_and_gradients_of_zero(name: str) -> None:
    for layer in layers(name, torch.float32):
        x = torch.randn(0, layer.in_features, requires_grad=True)
        y = layer(x)
        assert y.shape == (0, layer.out_features)
        of_x, of_coefficients = torch.autograd.grad(y.sum(), (x, layer.coefficients))
        assert of_x.shape == x.shape
        assert not of_coefficients.any()


@pytest.mark.parametrize("name", ["mirrors", "space, dense", "a torus"])
def test_weights_are_exact_and_outputs_short_under_autocast(name: str) -> None:
    for layer in layers(name, torch.float32):
        exact = layer.to_linear().weight
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(layer.to_linear().weight, exact)
            assert layer.weight().dtype == torch.float32
            assert layer(torch.randn(3, layer.in_features)).dtype == torch.bfloat16
