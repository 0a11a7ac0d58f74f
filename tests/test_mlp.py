"""Whole networks: equivariant, of even variance at the start, and checked when they are built."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import equibasis as eb
from equibasis.nn import (
    EquivariantBatchNorm,
    EquivariantLinear,
    EquivariantMLP,
    EquivariantSequential,
    InvariantAttentionPool,
    NormActivation,
    NormPool,
    OnInvariants,
    OrbitMeanPool,
    Pointwise,
    activation_gain,
    variance_preserving_,
)
from equibasis.nn.init import whiten_
from equibasis.symmetry.constructions import invariant_coordinates
from test_activations import SIXTH, assert_equivariant, skewed_group
from test_layers import PROBLEMS, invariants, maps, randomize, self_maps

# Some spaces here have parts that share no irrep with the other end: test_reach.py is of those.
pytestmark = pytest.mark.filterwarnings("ignore::equibasis.nn.UnreachedWarning")

NETWORKS = {
    "images": (["6x6", "4x4", "3x3"], "c4"),
    "channels": (["2*5x5", "3*4x4", "3x3 + 2*1"], "d4"),
    "vectors": (["5x5:vector", "4x4:vector + 3*1", "3x3:vector"], "d4"),
    "signs": (["5x5:pseudoscalar", "5x5:pseudoscalar", "1"], "d4"),
    "shifts": ([(8,), (8,), "8"], "z8"),
    "sets": (["5x5", "2*5", "5"], "s5"),
    "matrices": (["V", "4*V + V*V + 2*1", "V"], SIXTH),
    "skewed": (["V + 1", "3*V", "V"], skewed_group()),
    "a matrix group on grids": (["2x5x5", "2x3x3"], PROBLEMS["fields"].group),
}


@pytest.fixture(autouse=True)
def in_float64(tmp_path_factory: Any, monkeypatch: Any) -> Any:
    monkeypatch.setenv("EQUIBASIS_CACHE", str(tmp_path_factory.getbasetemp() / "bases"))
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


# --- EquivariantMLP ------------------------------------------------------------------------------


ACTIVATIONS, NORMALIZATIONS = ["auto", "norm", "gated"], [None, "layer", "batch"]


@pytest.mark.parametrize(
    ("network", "activation", "normalization"),  # any two of them in all ways, not all three
    [
        (network, activation, NORMALIZATIONS[(place + number) % 3])
        for place, network in enumerate(NETWORKS)
        for number, activation in enumerate(ACTIVATIONS)
    ],
)
def test_a_network_in_one_line_is_equivariant(
    network: str, activation: Any, normalization: Any
) -> None:
    torch.manual_seed(0)
    spaces, group = NETWORKS[network]
    mlp = EquivariantMLP(spaces, group, activation=activation, normalization=normalization)
    with torch.no_grad():
        for parameter in mlp.parameters():
            parameter += torch.randn_like(parameter) / 10
    assert_equivariant(mlp)
    assert_equivariant(mlp.eval())


def test_it_has_the_layers_that_it_says() -> None:
    mlp = EquivariantMLP(["6x6", "4x4", "3x3"], "c4", normalization="batch")
    kinds = [type(layer) for layer in mlp.layers]
    assert kinds == [EquivariantLinear, EquivariantBatchNorm, Pointwise, EquivariantLinear]
    assert (str(mlp.domain), str(mlp.codomain)) == ("6x6 of c4", "3x3 of c4")
    ranks = [eb.solve("c4", input=x, output=y).rank for x, y in (("6x6", "4x4"), ("4x4", "3x3"))]
    assert [mlp.layers[0].coefficients.numel(), mlp.layers[3].coefficients.numel()] == ranks
    no_bias = EquivariantMLP(["6x6", "4x4", "3x3"], "c4", bias=False)
    assert not no_bias(torch.zeros(36)).any()


@pytest.mark.parametrize("activation", [nn.Tanh, nn.Tanh(), torch.tanh])
def test_an_activation_may_be_a_class_a_module_or_a_function(activation: Any) -> None:
    assert_equivariant(EquivariantMLP(["5x5:vector", "3x3:vector", "3x3"], "d4", activation))


def test_modules_given_as_activation_are_not_shared() -> None:
    mlp = EquivariantMLP(["6x6", "4x4", "4x4", "3x3"], "c4", nn.PReLU())
    first, second = mlp.layers[1].function, mlp.layers[3].function
    assert first.weight is not second.weight


def test_bases_are_solved_once_and_read_from_then_on(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("EQUIBASIS_CACHE", str(tmp_path))
    EquivariantMLP(["6x6", "4x4", "3x3"], "c4")
    files = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.h5")}
    assert len(files) == 4
    EquivariantMLP(["6x6", "4x4", "3x3"], "c4")
    assert set(tmp_path.glob("*.h5")) == set(files)


def test_a_seed_makes_the_same_network() -> None:
    outputs = []
    for _ in range(2):
        torch.manual_seed(3)
        outputs.append(EquivariantMLP(["6x6", "4x4", "3x3"], "c4")(torch.ones(36)))
    assert torch.equal(*outputs)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["6x6"], "c4"), "two spaces or more"),
        (("6x6", "c4"), "two spaces or more"),
        ((["6x6", "4x4", "3x3"], "c4", "relu"), "activation 'relu'"),
        ((["6x6", "4x4", "3x3"], "c4", None), "activation None"),
        ((["6x6", "4x4", "3x3"], "c4", "auto", True, "instance"), "normalization 'instance'"),
        (
            (["6x6", "4x4:pseudoscalar", "3x3"], "d4", nn.ELU),
            "ELU does not commute with 4x4:pseudoscalar of d4",
        ),
        ((["V", "V", "V"], SIXTH, nn.Tanh), "Tanh does not commute with V of sixth"),
        ((["6x6", "4x4", "3x3"], "c4", nn.Softmax(-1)), "Softmax does not commute with 4x4 of c4"),
    ],
)
def test_what_cannot_be_a_network_is_refused_when_built(arguments: Any, message: str) -> None:
    with pytest.raises(eb.ModelError, match=message) as caught:
        EquivariantMLP(*arguments)
    assert len(str(caught.value).splitlines()) == 1


def test_groups_and_spaces_that_do_not_fit_are_refused_as_by_solve() -> None:
    with pytest.raises(eb.SpaceError, match="c4"):
        EquivariantMLP(["6x6", "4x3"], "c4")
    with pytest.raises(eb.GroupError, match="cc"):
        EquivariantMLP(["6x6", "3x3"], "cc")


# --- EquivariantSequential -----------------------------------------------------------------------


def linear(group: Any, input_: str, output: str) -> EquivariantLinear:
    return EquivariantLinear(
        eb.solve(group, input=input_, output=output), eb.solve(group, output=output)
    )


def test_layers_that_fit_make_a_network_and_plain_activations_are_checked_and_wrapped() -> None:
    torch.manual_seed(0)
    network = EquivariantSequential(
        linear("d4", "5x5", "4x4"), nn.ELU(), linear("d4", "4x4", "3x3:vector"), nn.Tanh()
    )
    assert isinstance(network.layers[1], Pointwise)
    assert_equivariant(randomize(network))
    deeper = EquivariantSequential(network, linear("d4", "3x3:vector", "5x5"))
    assert (str(deeper.domain), str(deeper.codomain)) == ("5x5 of d4", "5x5 of d4")
    assert_equivariant(deeper)


@pytest.mark.parametrize(
    ("layers", "sides", "why"),
    [
        (
            lambda: [linear("c4", "6x6", "4x4"), linear("c4", "3x3", "2x2")],
            [
                "layer 1, EquivariantLinear, takes 3x3 of c4",
                "layer 0, EquivariantLinear, gives 4x4",
            ],
            "sizes differ (9 against 16)",
        ),
        (
            lambda: [linear("c4", "6x6", "4x4"), linear("d4", "4x4", "3x3")],
            ["takes 4x4 of d4", "gives 4x4 of c4"],
            "groups differ",
        ),
        (
            lambda: [linear("c4", "6x6", "4x4"), nn.ELU(), linear("c2", "4x4", "3x3")],
            ["layer 2, EquivariantLinear, takes 4x4 of c2", "layer 1, Pointwise, gives 4x4 of c4"],
            "groups differ",
        ),
        (
            lambda: [linear("d4", "6x6", "4x4"), linear("d4", "4x4:pseudoscalar", "3x3")],
            ["takes 4x4:pseudoscalar of d4", "gives 4x4 of d4"],
            "different ways",
        ),
        (
            lambda: [linear("c4", "6x6", "4x4"), NormPool(linear("c4", "6x6", "3x3").codomain)],
            ["layer 1, NormPool, takes 3x3 of c4", "gives 4x4 of c4"],
            "sizes differ",
        ),
        (
            lambda: [linear("d4", "6x6", "4x4:vector"), nn.ELU()],
            ["ELU", "4x4:vector of d4"],
            "multiplies coordinates by -1",
        ),
        (
            lambda: [linear("c4", "6x6", "4x4"), nn.Linear(16, 16)],
            ["Linear", "4x4 of c4"],
            "cannot act on each coordinate",
        ),
        (
            lambda: [linear("c4", "6x6", "4x4"), nn.Dropout(0.5)],
            ["Dropout", "4x4 of c4"],
            "random",
        ),
    ],
    ids=["sizes", "groups", "subgroup", "actions", "a pool", "activation", "plain", "dropout"],
)
def test_layers_that_do_not_fit_are_refused_naming_both_sides(
    layers: Any, sides: list[str], why: str
) -> None:
    with pytest.raises(eb.ModelError) as caught:
        EquivariantSequential(*layers())
    message = str(caught.value)
    assert all(side in message for side in sides)
    assert why in message


@pytest.mark.parametrize("layers", [[], [nn.ELU()], [nn.Linear(3, 3)]])
def test_a_network_starts_with_a_layer_that_knows_its_space(layers: list[nn.Module]) -> None:
    with pytest.raises(eb.ModelError, match="starts with an equivariant layer"):
        EquivariantSequential(*layers)


def test_a_group_of_the_same_name_and_elements_that_acts_otherwise_is_refused() -> None:
    def clockwise(array: np.ndarray, element: str) -> np.ndarray:
        return np.rot90(array, -int(element[1:]) // 90)

    other = eb.Group("c4", ("r0", "r90", "r180", "r270"), clockwise, axes=2)
    with pytest.raises(eb.ModelError, match="different ways"):
        EquivariantSequential(linear("c4", "6x6", "4x4"), linear(other, "4x4", "3x3"))


# --- after invariant features, anything goes -----------------------------------------------------


def classifier(pool: Any, body: nn.Module) -> EquivariantSequential:
    return EquivariantSequential(
        body,
        pool,
        nn.Linear(pool.codomain.dimension, 16),
        nn.Dropout(0.1),
        nn.GELU(),
        nn.Linear(16, 10),
        nn.Softmax(dim=-1),
    )


@pytest.mark.parametrize("pooling", ["norms", "means", "attention"])
def test_a_classifier_on_invariants_is_invariant(pooling: str) -> None:
    torch.manual_seed(0)
    body = EquivariantMLP(["6x6", "8*4x4"], "d4")
    pool = {
        "norms": lambda: NormPool(body.codomain),
        "means": lambda: OrbitMeanPool(eb.solve("d4", output="8*4x4")),
        "attention": lambda: InvariantAttentionPool(eb.solve("d4", output="8*4x4")),
    }[pooling]()
    network = classifier(pool, body).eval()
    assert network.codomain.is_trivial
    assert_equivariant(network)
    assert isinstance(network.layers[2], OnInvariants)


def test_a_plain_module_is_free_on_invariants_alone() -> None:
    body = EquivariantMLP(["6x6", "4x4"], "d4")
    with pytest.raises(eb.ModelError, match="Linear may act on invariant features, and not on 4x4"):
        OnInvariants(nn.Linear(16, 3), body.codomain)
    with pytest.raises(eb.ModelError, match="Linear does not take 3\\*1 of d4, of 3 features"):
        OnInvariants(nn.Linear(4, 3), body.codomain.scalars(3))
    with pytest.raises(eb.ModelError, match="Flatten makes"):
        OnInvariants(nn.Flatten(0), body.codomain.scalars(3))


# --- the start -----------------------------------------------------------------------------------

WITH_MAPS = [name for name in PROBLEMS if maps(name).rank]


def mean_square(layer: EquivariantLinear, basis: eb.Basis) -> np.ndarray:
    """E WWᵀ of a layer's start, exactly: Σ over the weights that each number of the noise makes."""
    total = np.zeros((basis.space.k, basis.space.k))
    with torch.no_grad():
        for noise in torch.eye(basis.rank):
            layer.coefficients.copy_(noise)
            whiten_(layer)
            weight = layer.weight().numpy()
            total += weight @ weight.T
    return total


EVEN = [
    name
    for name in WITH_MAPS
    if maps(name).space.complete and maps(name).space.output.is_orthogonal
]


@pytest.mark.parametrize("name", EVEN)
def test_white_noise_stays_white_where_the_input_has_every_irrep_of_the_output(name: str) -> None:
    basis = self_maps(name)
    found = mean_square(EquivariantLinear(basis), basis)
    np.testing.assert_allclose(found, np.eye(len(found)), atol=1e-12)


@pytest.mark.parametrize("name", EVEN)
def test_an_invariant_block_that_is_reached_has_as_much_variance_as_coordinates(name: str) -> None:
    basis = maps(name)
    found = mean_square(EquivariantLinear(basis), basis)
    reached = np.abs(found).sum(axis=0) > 1e-12
    assert reached.any()
    for block in invariant_coordinates(basis.space.output):
        expected = len(block) if reached[block].any() else 0.0
        assert found[block, block].sum() == pytest.approx(expected)
    moved = max(np.abs(rho @ found - found @ rho).max() for rho in basis.space.output.matrices)
    assert moved < 1e-12  # so each irreducible part, and each orbit, has one variance


def test_outputs_that_no_map_reaches_stay_zero_and_others_do_not_make_up_for_them() -> None:
    basis = eb.solve("d4", input="2x2", output="5x5:pseudoscalar")
    variances = mean_square(EquivariantLinear(basis), basis).diagonal()
    assert variances[12] == 0.0  # the centre: a sign that mirrors turn is no function of 2x2
    assert (variances > 0).any()
    np.testing.assert_allclose(variances[variances > 1e-12], 1.0)
    layer = EquivariantLinear(basis)
    variance_preserving_(layer)
    assert not layer.weight()[12].any()


@pytest.mark.parametrize("name", [name for name in WITH_MAPS if name not in EVEN])
def test_else_each_type_has_as_much_variance_as_coordinates(name: str) -> None:
    basis = maps(name)
    variances = mean_square(EquivariantLinear(basis), basis).diagonal()
    for summand in basis.space.types.output:
        for copy in summand.index.T:
            assert variances[copy].sum() == pytest.approx(summand.dimension)


@pytest.mark.parametrize("name", WITH_MAPS)
def test_a_start_is_in_the_span_of_the_basis_and_random(name: str) -> None:
    layer = EquivariantLinear(maps(name), invariants(name))
    starts = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        variance_preserving_(layer)
        starts.append(layer.coefficients.detach().clone())
    assert torch.equal(starts[0], starts[1])
    assert not torch.equal(starts[0], starts[2])
    assert not layer.bias().any()
    assert_equivariant(layer)


@pytest.mark.parametrize("name", ["c4", "space, sparse"])
def test_white_noise_keeps_its_variance_in_a_layer(name: str) -> None:
    torch.manual_seed(0)
    layer = EquivariantLinear(maps(name))

    squares = []
    for _ in range(100):
        variance_preserving_(layer, gain=3.0)
        with torch.no_grad():
            squares.append(layer(torch.randn(64, layer.in_features)).square().mean())

    assert float(torch.stack(squares).mean()) == pytest.approx(9.0, rel=0.1)


def test_the_trivial_group_has_the_start_of_kaiming() -> None:
    basis = eb.solve("trivial", input="40", output="50")
    layer = EquivariantLinear(basis)
    variance_preserving_(layer, gain=math.sqrt(2.0))
    plain = torch.empty(50, 40)
    nn.init.kaiming_uniform_(plain, nonlinearity="relu")
    bound = math.sqrt(6 / 40)
    for weight in (layer.weight(), plain):
        assert weight.abs().max() <= bound
        assert weight.abs().max() > 0.99 * bound


@pytest.mark.parametrize(
    ("function", "nonlinearity"),
    [(nn.ReLU(), "relu"), (nn.LeakyReLU(0.2), "leaky_relu"), (nn.Identity(), "linear")],
)
def test_gains_are_those_of_torch(function: Any, nonlinearity: str) -> None:
    known = nn.init.calculate_gain(nonlinearity, 0.2 if nonlinearity == "leaky_relu" else None)
    assert activation_gain(function) == pytest.approx(known, rel=0.01)
    assert activation_gain(function, features=36) == pytest.approx(known, rel=0.01)


def test_a_gain_is_the_integral_over_the_normal_distribution() -> None:
    points, weights = np.polynomial.hermite_e.hermegauss(80)
    square = (weights * np.tanh(points) ** 2).sum() / weights.sum()
    assert activation_gain(nn.Tanh()) == pytest.approx(square**-0.5, rel=0.005)
    with pytest.raises(eb.ModelError, match="no gain"):
        activation_gain(nn.Threshold(1e9, 0.0))


def test_gains_are_found_for_activations_of_blocks_too() -> None:
    features = linear(SIXTH, "V", "5*V").codomain
    activation = NormActivation(features)
    gain = activation_gain(activation, 10)
    noise = torch.randn(50_000, 10)
    square = (gain * activation(noise)).detach().square().mean()
    assert float(square) == pytest.approx(1.0, rel=0.02)


@pytest.mark.parametrize("activation", ["auto", nn.Identity])
@pytest.mark.parametrize("group", ["c4", "d4"])
def test_signals_neither_die_nor_explode_in_a_deep_network(group: str, activation: Any) -> None:
    # Coefficients drawn alike let d4 grow to 7 here, as points on its mirrors favour some irreps.
    torch.manual_seed(0)
    deep = EquivariantMLP(["16*4x4"] * 12, group, activation)
    with torch.no_grad():
        scale = float(deep(torch.randn(256, 256)).square().mean())
    assert 0.5 < scale < 2.0


@pytest.mark.parametrize("spaces", [["4x4", "1", "4x4"], ["1", "2x2"]])
def test_a_space_of_one_number_before_a_layer_is_told(spaces):
    with pytest.raises(eb.ModelError, match=r"write 2\*1"):
        EquivariantMLP(spaces, "c4")
