"""Layers around convolutions: they commute with the group on fields, or say why they would not."""

from __future__ import annotations

import copy
import functools
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import equibasis as eb
from equibasis.nn import (
    DirectSumActivation,
    EquivariantBatchNorm,
    EquivariantBilinear,
    EquivariantCNN,
    EquivariantConv1d,
    EquivariantConv2d,
    EquivariantConv3d,
    EquivariantConvTranspose2d,
    EquivariantLayerNorm,
    EquivariantLinear,
    EquivariantMLP,
    EquivariantSequential,
    FeatureSpace,
    FieldAvgPool,
    FieldDropout,
    FieldMaxPool,
    FieldsToVectors,
    FieldUpsample,
    GatedActivation,
    GlobalAvgPool,
    InvariantAttentionPool,
    InvariantForms,
    NormActivation,
    NormPool,
    OrbitMaxPool,
    OrbitMeanPool,
    Pointwise,
    Restriction,
    activation_for,
    export,
    restrict,
)
from equibasis.solvers import problem
from equibasis.symmetry.catalog import find_group
from equibasis.symmetry.representations import MatrixRepresentation
from equibasis.symmetry.space_text import as_space
from some_layers import refused
from test_deploy import any_batch, assert_same, assert_same_gradients, onnx_outputs, output_of

CONVOLUTIONS = {1: EquivariantConv1d, 2: EquivariantConv2d, 3: EquivariantConv3d}


@pytest.fixture(autouse=True)
def seeded(tmp_path_factory: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("EQUIBASIS_CACHE", str(tmp_path_factory.getbasetemp() / "bases"))
    torch.manual_seed(0)


def with_own(name: str, axes: int) -> eb.Group:
    """A group with vectors in skewed coordinates, as a representation by name."""
    group = find_group(name)
    skewed = np.eye(axes) + np.triu(np.full((axes, axes), 0.5), 1)
    vectors = group.representations["V"].matrices
    own = MatrixRepresentation(skewed @ vectors @ np.linalg.inv(skewed))
    return group.with_representations(own=own)


AXES = {"reversal": 1, "c2": 2, "c4": 2, "d1": 2, "d2": 2, "d4": 2, "o": 3, "oh": 3}
GROUPS = {name: with_own(name, axes) for name, axes in AXES.items()}
PERMUTED = ["2*regular", "regular + 2*1"]
FIBRES = [
    *PERMUTED,
    "2*vector + 1",
    "regular + vector + 1",
    "pseudoscalar + pseudovector",
    "own + 1",
]


@functools.cache
def fields(name: str, fibre: str) -> FeatureSpace:
    """As a convolution makes them."""
    group = GROUPS[name]
    basis = eb.kernel_basis(group, fibre, fibre, (3,) * AXES[name])
    return CONVOLUTIONS[AXES[name]](basis).codomain


def moved(space: FeatureSpace, g: int, x: Tensor) -> Tensor:
    """ρ(g) x at each point, brought to where g takes it; vectors have no points."""
    matrix = torch.from_numpy(space.representation.matrix(g).toarray()).to(x)
    if not space.axes:
        return x @ matrix.T
    group = find_group(space.group)
    turned = [group.transform(each, group.elements[g]) for each in x.flatten(0, 1).numpy()]
    turned = torch.from_numpy(np.stack(turned)).unflatten(0, x.shape[:2])
    return torch.einsum("ij,bj...->bi...", matrix, turned)


def assert_equivariant(
    layer: nn.Module, size: int, tolerance: float = 1e-12, dtype: Any = torch.float64
) -> None:
    layer = layer.to(dtype).eval()
    domain, codomain = layer.domain, layer.codomain
    x = torch.randn(2, domain.dimension, *(size,) * domain.axes, dtype=dtype)
    with torch.no_grad():
        y = layer(x)
        for g in range(0, len(domain.elements), 1 + len(domain.elements) // 8):
            found = layer(moved(domain, g, x))
            assert found.shape == y.shape
            expected = moved(codomain, g, y)
            assert (found - expected).abs().max() <= tolerance * max(1.0, float(y.abs().max()))


def trained(layer: nn.Module) -> nn.Module:
    """With parameters and statistics that are not their starts."""
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter += torch.randn_like(parameter) / 10
        for name, buffer in layer.named_buffers():
            if name.endswith(("running_var", "running_mean")):
                buffer.uniform_(0.5, 2.0)
    return layer


# --- each layer ----------------------------------------------------------------------------------

LAYERS: dict[str, Callable[[FeatureSpace], nn.Module]] = {
    "NormActivation": NormActivation,
    "GatedActivation": GatedActivation,
    "activation_for": activation_for,
    "EquivariantLayerNorm": EquivariantLayerNorm,
    "EquivariantBatchNorm": EquivariantBatchNorm,
    "NormPool": NormPool,
    "InvariantForms": InvariantForms,
    "InvariantAttentionPool": InvariantAttentionPool,
    "FieldAvgPool": lambda space: FieldAvgPool(space, 3, 1),
    "FieldAvgPool, padded": lambda space: FieldAvgPool(space, 2, 1, 1),
    "GlobalAvgPool": GlobalAvgPool,
    "FieldUpsample": lambda space: FieldUpsample(space, 3),
    "FieldUpsample, linear": lambda space: FieldUpsample(
        space, 2, ("linear", "bilinear", "trilinear")[space.axes - 1]
    ),
    "FieldDropout": FieldDropout,
}
OF_PERMUTED = {
    "Pointwise": lambda space: Pointwise(nn.ELU(), space),
    "FieldMaxPool": lambda space: FieldMaxPool(space, 3, 1, 1),
    "OrbitMaxPool": OrbitMaxPool,
    "OrbitMeanPool": OrbitMeanPool,
}
GRIDS = st.sampled_from([3, 4, 5])


@pytest.mark.filterwarnings("ignore::equibasis.nn.UnreachedWarning")
@pytest.mark.parametrize("layer", [*LAYERS, *OF_PERMUTED])
@given(data=st.data(), name=st.sampled_from(list(GROUPS)), size=GRIDS)
@settings(max_examples=5)
def test_layers_commute_with_groups_on_fields(layer: str, data: Any, name: str, size: int) -> None:
    kinds = FIBRES if layer in LAYERS else PERMUTED
    space = fields(name, data.draw(st.sampled_from(kinds)))
    made = trained((LAYERS | OF_PERMUTED)[layer](space))
    if isinstance(made, InvariantForms) and space.axes == 3:
        size = 3
    assert made.domain.axes == space.axes
    assert_equivariant(made, size)


@given(
    name=st.sampled_from(["reversal", "c4", "d4", "o"]),
    fibre=st.sampled_from(FIBRES),
    size=st.integers(2, 7),
    window=st.integers(1, 4),
    stride=st.integers(1, 3),
    padding=st.integers(0, 1),
)
@settings(max_examples=40)
def test_a_pool_commutes_on_all_sizes_that_it_takes_and_refuses_just_those_left_at_one_end(
    name: str, fibre: str, size: int, window: int, stride: int, padding: int
) -> None:
    if 2 * padding > window or size + 2 * padding < window:
        return
    space = fields(name, fibre)
    pool = (FieldMaxPool if fibre in PERMUTED else FieldAvgPool)(space, window, stride, padding)
    if (size + 2 * padding - window) % stride:
        with pytest.raises(eb.ModelError, match="at one end only"):
            pool(torch.randn(1, space.dimension, *(size,) * space.axes))
    else:
        assert_equivariant(pool, size)


@pytest.mark.parametrize("name", ["d4", "oh"])
def test_fields_are_vectors_of_their_points_as_solve_has_them(name: str) -> None:
    for fibre in FIBRES:
        layer = FieldsToVectors(fields(name, fibre), 3)
        space = layer.codomain.space
        solved = problem(GROUPS[name], output=space)
        FeatureSpace.output_of(solved).check_same(layer.codomain, "solve has", "the layer gives")
        assert_equivariant(layer, 3)


def test_products_of_fields_are_taken_point_by_point() -> None:
    space = fields("d4", "2*vector + 1")
    product = EquivariantBilinear(space, space, space).double()
    x, y = torch.randn(2, 3, 5, 4, 4, dtype=torch.float64)
    z = product(x, y)
    at_a_point = EquivariantBilinear(*[space.at_a_point] * 3).double()
    at_a_point.load_state_dict(product.state_dict())
    torch.testing.assert_close(z[:, :, 1, 2], at_a_point(x[:, :, 1, 2], y[:, :, 1, 2]))
    for g in range(8):
        found = product(moved(space, g, x), moved(space, g, y)).detach()
        torch.testing.assert_close(found, moved(space, g, z.detach()))
    assert "not on the same grid" in refused(
        lambda: EquivariantBilinear(space, space, space.at_a_point)
    )
    assert "not on the same grid" in refused(
        lambda: EquivariantBilinear(space, space.at_a_point, space)
    )


def test_batch_norm_of_equal_orbits_is_that_of_any_fields() -> None:
    """PyTorch's own kernel, where it serves, against the general way."""
    space = fields("d4", "2*regular")
    fast, slow = EquivariantBatchNorm(space), EquivariantBatchNorm(space)
    assert fast.of_equal_orbits
    slow.of_equal_orbits = False
    trained(fast)
    slow.load_state_dict(fast.state_dict())
    for _ in range(2):
        x = 3 * torch.randn(4, 16, 5, 5) + 1
        torch.testing.assert_close(fast(x), slow(x))
    torch.testing.assert_close(fast.running_mean, slow.running_mean)
    torch.testing.assert_close(fast.running_var, slow.running_var)
    one = torch.randn(16, 5, 5)
    torch.testing.assert_close(fast.eval()(one), slow.eval()(one))


def test_dropout_drops_whole_blocks_of_each_sample_and_keeps_the_mean() -> None:
    layer = FieldDropout(fields("d4", "regular + vector + 1"), 0.25)
    y = layer(torch.ones(2000, 11, 2, 2))
    blocks = [y[:, :8], y[:, 8:10], y[:, 10:]]
    for block in blocks:
        flat = block.flatten(1)
        assert (flat == flat[:, :1]).all()
        assert flat.unique().tolist() == pytest.approx([0.0, 4 / 3])
        assert flat.mean() == pytest.approx(1.0, abs=0.06)
    assert not torch.equal(blocks[0][:, 0, 0, 0], blocks[1][:, 0, 0, 0])
    vectors = FieldDropout(layer.domain.at_a_point, 1.0)
    assert not vectors(torch.ones(3, 4, 11)).any()
    assert torch.equal(vectors.eval()(torch.ones(11)), torch.ones(11))


def test_upsampling_is_that_of_torch_and_the_nearest_is_exact() -> None:
    space = fields("d4", "regular + vector + 1")
    x = torch.randn(2, 11, 3, 5)
    for scale, mode in itertools.product((1, 2, 3), ("nearest", "bilinear")):
        expected = nn.functional.interpolate(x, scale_factor=scale, mode=mode)
        found = FieldUpsample(space, scale, mode)(x)
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(FieldUpsample(space, scale, mode)(x[0]), expected[0])
    many = FieldUpsample(fields("reversal", "2*regular"), 41)(torch.randn(1, 4, 5))
    assert (many.unflatten(-1, (5, 41)).std(dim=-1) == 0).all()


# --- from a group to a subgroup ------------------------------------------------------------------

C4, C2 = ["r0", "r90", "r180", "r270"], ["r0", "r180"]
SMALLER = {
    "c4": ("d4", "c4"),
    "c2": ("d4", "c2"),
    "d1": ("d4", "d1"),
    "a subgroup": ("d4", eb.subgroup(GROUPS["d4"], "diagonal", ["r0", "r180", "f90", "f270"])),
    "its own": ("c4", eb.subgroup(GROUPS["c4"], "half", C2)),
    "turns": ("oh", "o"),
}


@pytest.mark.parametrize("case", SMALLER)
@pytest.mark.parametrize("fibre", ["2*regular", "regular + vector + pseudoscalar + 1", "own + 1"])
def test_fields_of_a_group_are_fields_of_its_subgroups(case: str, fibre: str) -> None:
    name, smaller = SMALLER[case]
    if "own" in fibre and isinstance(smaller, str):  # which has no representation of that name
        with pytest.raises(eb.SpaceError, match="own"):
            Restriction(fields(name, fibre), smaller)
        return
    space = fields(name, fibre)
    layer = Restriction(space, smaller)
    group = find_group(smaller)
    index = len(space.elements) // len(group.elements)
    expected = fibre.replace("2*regular", f"{2 * index}*regular")
    expected = expected.replace("regular +", f"{index}*regular +")
    assert layer.codomain.space == as_space(expected)
    x = torch.randn(2, space.dimension, *(4,) * space.axes, dtype=torch.float64)
    y = layer(x)
    assert torch.equal(y.sort(dim=1).values, x.sort(dim=1).values)
    for h, element in enumerate(group.element_names):
        found = layer(moved(space, space.elements.index(element), x))
        turned = [group.transform(each, group.elements[h]) for each in y.flatten(0, 1).numpy()]
        matrix = torch.from_numpy(layer.codomain.representation.matrix(h).toarray())
        turned = torch.from_numpy(np.stack(turned)).unflatten(0, y.shape[:2])
        torch.testing.assert_close(found, torch.einsum("ij,bj...->bi...", matrix, turned))
    if space.axes == 2:
        after = EquivariantConv2d(eb.kernel_basis(group, layer.codomain.space, "2*regular", 3))
        EquivariantSequential(layer, after)


@pytest.mark.parametrize("space", ["2*4 + 1", "4x4", "V*pseudoscalar"])
def test_vectors_of_a_group_that_lists_generators_are_those_of_some_of_them(space: str) -> None:
    turns = eb.subgroup("s4", "turns", ["cycle"])
    layer = Restriction(eb.solve("s4", output=space), turns)
    assert layer.codomain.space == as_space(space)
    assert layer.codomain.same_as(FeatureSpace.output_of(problem(turns, output=space)))
    x = torch.randn(2, layer.domain.dimension)
    assert torch.equal(layer(x), x)


def test_a_network_goes_on_with_a_subgroup() -> None:
    lift = EquivariantConv2d(eb.kernel_basis("d4", "1", "2*regular", 3), padding=1)
    half = Restriction(lift.codomain, "c2")
    last = EquivariantConv2d(eb.kernel_basis("c2", "8*regular", "vector", 3), padding=1)
    network = EquivariantSequential(lift, nn.ELU(), half, last).double()
    x = torch.randn(1, 1, 5, 5, dtype=torch.float64)
    torch.testing.assert_close(network(x.rot90(2, (2, 3))), -network(x).rot90(2, (2, 3)))
    quarter = network(x.rot90(1, (2, 3))).rot90(-1, (2, 3))
    assert (
        quarter[:, 0] ** 2 + quarter[:, 1] ** 2 - network(x).square().sum(dim=1)
    ).abs().max() > 0.1


@pytest.mark.parametrize("kind", [EquivariantConv2d, EquivariantConvTranspose2d])
@pytest.mark.parametrize("groups", [1, 3])
def test_a_restricted_convolution_is_the_same_map_with_more_to_train(
    kind: Any, groups: int
) -> None:
    whole = trained(
        kind(eb.kernel_basis("d4", "regular", "regular + 1", 3), groups=groups)
    ).double()
    basis = eb.kernel_basis("c4", "2*regular", "2*regular + 1", 3)
    part = restrict(whole, basis)
    assert type(part) is kind
    assert part.rank > whole.rank
    x = torch.randn(2, 8 * groups, 5, 5, dtype=torch.float64)
    torch.testing.assert_close(part(x), whole(x))
    assert "not in the span" in refused(
        lambda: restrict(whole, eb.kernel_basis("c2", "4*regular", "4*regular + 1", 3))
    )
    assert "and of Basis" in refused(
        lambda: restrict(whole, eb.kernel_basis("c4", "regular", "1", 3))
    )


# --- networks ------------------------------------------------------------------------------------


@functools.cache
def mixed() -> EquivariantSequential:
    """Of all kinds of fields and layers."""
    fibre = "2*regular + 2*vector + pseudoscalar + 3*1"
    gated = GatedActivation(fields("d4", fibre))
    first = EquivariantConv2d(
        eb.kernel_basis(GROUPS["d4"], "2*1", gated.domain.space, 5), padding="same"
    )
    space = gated.codomain
    half = Restriction(space, "c4")
    second = EquivariantConv2d(
        eb.kernel_basis("c4", half.codomain.space, "2*regular + vector", 3), padding=1
    )
    vectors = FieldsToVectors(second.codomain, 4)
    dense = EquivariantLinear(eb.solve("c4", input=vectors.codomain.space, output="8*1 + 2*vector"))
    network = EquivariantSequential(
        first,
        EquivariantBatchNorm(first.codomain),
        gated,
        FieldAvgPool(space, 2),
        FieldUpsample(space, 2),
        FieldUpsample(space, 2, "bilinear"),
        FieldAvgPool(space, 4),
        FieldDropout(space, 0.2),
        EquivariantLayerNorm(space),
        activation_for(space),
        half,
        second,
        NormActivation(second.codomain),
        vectors,
        dense,
        NormPool(dense.codomain),
        nn.Linear(10, 4),
    )
    return trained(network).eval()


NETWORKS: dict[str, Callable[[], Any]] = {
    "mixed": lambda: copy.deepcopy(mixed()),
    "regular": lambda: trained(
        EquivariantCNN(["2*1", "2*regular", "4*regular"], "d4", 5, activation=nn.ReLU)
    ).eval(),
    "gated": lambda: trained(
        EquivariantCNN(["2*1", "regular + vector", "2*vector + 1"], "c4", 5, activation="gated")
    ).eval(),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_whole_networks_are_invariant(name: str, dtype: Any) -> None:
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    network = NETWORKS[name]().to(dtype)
    x = torch.randn(3, 2, 8, 8, dtype=dtype)
    y = output_of(network, x)
    assert y.std() > 1e-3
    for turns in range(4):
        found = output_of(network, x.rot90(turns, (2, 3)))
        assert (found - y).abs().max() < tolerance * max(1.0, float(y.abs().max()))


@pytest.mark.parametrize("name", NETWORKS)
def test_exported_networks_are_of_plain_torch_and_of_equal_outputs(name: str) -> None:
    network = NETWORKS[name]()
    x = torch.randn(3, 2, 8, 8)
    plain = export(network)
    classes = {cls.__module__ for module in plain.modules() for cls in type(module).__mro__}
    assert not [module for module in classes if module.startswith("equibasis")]
    assert sum(type(module) is nn.Conv2d for module in plain.modules()) == 2
    assert_same(output_of(plain, x), output_of(network, x), 1e-6)


def test_torch_exports_networks_for_any_batch() -> None:
    network = NETWORKS["gated"]()
    program = any_batch(network, torch.randn(3, 2, 8, 8)).module()
    for batch in (2, 5):
        x = torch.randn(batch, 2, 8, 8)
        assert_same(output_of(program, x), output_of(network, x))


@pytest.mark.slow
def test_onnxruntime_has_equal_outputs(tmp_path: Path) -> None:
    network = NETWORKS["mixed"]()
    batches = [torch.randn(batch, 2, 8, 8) for batch in (2, 7)]
    found = onnx_outputs(export(network), tmp_path / "network.onnx", batches)
    for x, y in zip(batches, found, strict=True):
        assert_same(y, output_of(network, x))


@pytest.mark.slow
def test_compiled_networks_have_the_outputs_and_gradients() -> None:
    torch._dynamo.reset()
    network = NETWORKS["gated"]()
    compiled = torch.compile(network, backend="aot_eager", fullgraph=True)
    assert_same_gradients(compiled, network, torch.randn(3, 2, 8, 8))


@pytest.mark.parametrize("name", NETWORKS)
def test_in_bfloat16_by_autocast_networks_run_and_train(name: str) -> None:
    network = NETWORKS[name]()
    x = torch.randn(3, 2, 8, 8)
    expected = output_of(network, x)
    network.train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        network(x).float().square().mean().backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.numel())
    network = NETWORKS[name]() if name == "mixed" else network.eval()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = output_of(network, x).float()
    if name == "mixed":
        assert (found - expected).abs().max() < 0.1 * max(1.0, float(expected.abs().max()))


def test_weights_of_fields_say_what_they_are_of() -> None:
    network = NETWORKS["mixed"]()
    other = copy.deepcopy(network)
    other.load_state_dict(network.state_dict())
    x = torch.randn(2, 2, 8, 8)
    assert torch.equal(output_of(other, x), output_of(network, x))
    one, two = (EquivariantCNN(["1", "regular"], group, 2) for group in ("c4", "d2"))
    assert [p.shape for p in one.layers[-1].parameters()] == [
        p.shape for p in two.layers[-1].parameters()
    ]
    with pytest.raises(eb.ModelError, match="are not for"):
        one.load_state_dict(two.state_dict())


def test_a_network_in_one_line_pools_by_what_the_group_does() -> None:
    network = EquivariantCNN(["3*1", "2*regular", "regular + vector", "2*1"], "d4", size=5)
    pools = [layer for layer in network.layers if isinstance(layer, FieldMaxPool | FieldAvgPool)]
    assert [type(pool) for pool in pools] == [FieldMaxPool, FieldAvgPool]
    assert network(torch.randn(2, 3, 8, 8)).shape == (2, 2, 2, 2)
    voxels = EquivariantCNN(["1", "2*1 + vector", "regular"], "o", 3, normalization="layer")
    assert voxels(torch.randn(2, 1, 4, 4, 4)).shape == (2, 3)
    assert_equivariant(voxels, 4)
    sequences = EquivariantCNN(["1", "regular"], "reversal", pool=1, normalization=None)
    assert_equivariant(sequences, 7)


# --- images into linear layers -------------------------------------------------------------------


def test_linear_layers_take_images_as_they_are() -> None:
    layer = EquivariantLinear(eb.solve("c4", input="3*4x4", output="2x2"))
    network = EquivariantMLP(["4x4:vector", "4x4", "3"], "trivial")
    x = torch.randn(5, 3, 4, 4)
    assert torch.equal(layer(x), layer(x.flatten(1)))
    assert torch.equal(layer(x[0]), layer(x[0].flatten()))
    assert torch.equal(EquivariantSequential(layer, nn.ELU())(x), nn.ELU()(layer(x)))
    x = torch.randn(5, 2, 4, 4)
    assert torch.equal(network(x), network(x.flatten(1)))
    text = refused(lambda: layer(x))
    assert "vectors (..., 48) or arrays (..., 3, 4, 4) of 3*4x4 of c4" in text
    assert "not float32 (5, 2, 4, 4)" in text


# --- what is refused, and why --------------------------------------------------------------------

SPACE = functools.partial(fields, "d4", "regular + vector + 1")
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "vectors to a pool": (lambda: FieldMaxPool(SPACE().at_a_point, 2), "acts on fields"),
    "a basis to a pool": (
        lambda: GlobalAvgPool(eb.solve("d4", output="3x3")),
        "such as the codomain of a convolution",
    ),
    "maxima of vectors": (lambda: FieldMaxPool(SPACE(), 2), "take FieldAvgPool"),
    "largest of vectors": (lambda: OrbitMaxPool(SPACE()), "take NormPool"),
    "sizes apart": (lambda: FieldAvgPool(SPACE(), (2, 3)), "axes that d4 exchanges"),
    "much padding": (lambda: FieldAvgPool(SPACE(), 2, padding=2), "at most half"),
    "scales apart": (lambda: FieldUpsample(SPACE(), (2, 3)), "axes that d4 exchanges"),
    "half a scale": (lambda: FieldUpsample(SPACE(), 1.5), "give a whole number"),
    "three scales": (lambda: FieldUpsample(SPACE(), (2, 2, 2)), "one for each of 2 axes"),
    "another mode": (lambda: FieldUpsample(SPACE(), 2, "linear"), "'nearest' or 'bilinear'"),
    "a chance": (lambda: FieldDropout(SPACE(), 1.5), "0 to 1"),
    "another grid": (
        lambda: FieldsToVectors(SPACE(), 3)(torch.randn(2, 11, 4, 4)),
        "takes grids (3, 3), not (4, 4)",
    ),
    "kernels of a point": (
        lambda: FieldsToVectors(
            EquivariantConv2d(eb.kernel_basis("d4", "1", "regular", 1)).codomain, 3
        ),
        "not known of kernels of one point",
    ),
    "no subgroup": (lambda: Restriction(SPACE(), "o"), "is no subgroup of d4"),
    "a subgroup of generators": (
        lambda: Restriction(
            eb.solve("s3", output="regular"), eb.subgroup("s3", "turns", ["cycle"])
        ),
        "s3 lists generators only, so the elements in regular are not known by name",
    ),
    "regular in a product": (
        lambda: Restriction(FieldsToVectors(SPACE(), 3).codomain, "c4"),
        "restricted",
    ),
    "one field": (lambda: EquivariantCNN(["1"], "d4"), "two fields or more"),
    "an unknown norm": (lambda: EquivariantCNN(["1", "1"], "d4", normalization="b"), "'batch'"),
    "sizes from one end": (
        lambda: EquivariantCNN(["1", "1", "1"], "d4")(torch.randn(2, 1, 7, 7)),
        "leaves out 1 of 7 points at one end only",
    ),
    "vectors for fields": (
        lambda: NormActivation(SPACE())(torch.randn(2, 11)),
        "takes float32 fields (..., 11, height, width)",
    ),
    "images for a linear layer": (
        lambda: EquivariantSequential(
            EquivariantConv2d(eb.kernel_basis("d4", "1", "9*1", 3)),
            EquivariantLinear(eb.solve("d4", input="9*1", output="2*1")),
        ),
        "one is of fields",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_in_one_line(case: str) -> None:
    build, why = REFUSED[case]
    assert why in refused(build)


@pytest.mark.parametrize(
    ("module", "instead"),
    [
        (nn.MaxPool2d(2), "FieldMaxPool"),
        (nn.AvgPool2d(2), "FieldAvgPool"),
        (nn.AdaptiveAvgPool2d(1), "GlobalAvgPool"),
        (nn.BatchNorm2d(11), "EquivariantBatchNorm"),
        (nn.LayerNorm([11, 3, 3]), "EquivariantLayerNorm"),
        (nn.Conv2d(11, 11, 1), "EquivariantConv2d"),
        (nn.ConvTranspose2d(11, 11, 1), "EquivariantConvTranspose2d"),
        (nn.Flatten(), "FieldsToVectors"),
        (nn.Dropout(), "FieldDropout"),
        (nn.Dropout2d(), "FieldDropout"),
        (nn.Upsample(scale_factor=2), "FieldUpsample"),
        (nn.Linear(3, 3), "EquivariantLinear"),
    ],
    ids=lambda given: type(given).__name__,
)
@pytest.mark.filterwarnings("ignore:dropout2d")
def test_modules_of_torch_are_refused_with_what_takes_their_place(
    module: nn.Module, instead: str
) -> None:
    lift = EquivariantConv2d(eb.kernel_basis("d4", "1", "regular", 3))
    text = refused(lambda: EquivariantSequential(lift, module))
    assert f"take {instead}" in text or f"{instead} in its place" in text


def test_parts_of_fields_have_activations_of_their_own() -> None:
    space = fields("d4", "regular + vector + 1")
    parts = [np.arange(8), np.array([8, 9]), np.array([10])]
    layer = DirectSumActivation(
        space,
        [
            (parts[0], Pointwise(nn.ReLU(), space.part(parts[0]))),
            (parts[1], NormActivation(space.part(parts[1]))),
            (parts[2], Pointwise(torch.exp, space.part(parts[2]))),
        ],
    )
    assert_equivariant(layer, 4)
