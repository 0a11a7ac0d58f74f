"""Activations: those that commute with the group do, the others are refused when built."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import equibasis as eb
from equibasis.nn import (
    DirectSumActivation,
    EquivariantLinear,
    EquivariantSequential,
    FeatureSpace,
    GatedActivation,
    NormActivation,
    Pointwise,
    activation_for,
)
from equibasis.nn.metric import InvariantMetric
from equibasis.symmetry.constructions import same_representation
from equibasis.symmetry.representations import MatrixRepresentation
from equibasis.symmetry.spaces import V
from test_layers import OTHERS, PROBLEMS, assert_close, invariants, maps, matrices, randomize

# Some spaces here have parts that share no irrep with the other end: test_reach.py is of those.
pytestmark = pytest.mark.filterwarnings("ignore::equibasis.nn.UnreachedWarning")


@pytest.fixture(autouse=True)
def in_float64() -> Any:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def space_of(group: str | eb.Group, space: str) -> FeatureSpace:
    return FeatureSpace.output_of(eb.solve(group, output=space).space)


def output_of(name: str) -> FeatureSpace:
    return FeatureSpace.output_of(invariants(name).space)


def assert_equivariant(module: Any, tolerance: float = 1e-10) -> None:
    """f(ρ₁(g) x) = ρ₂(g) f(x) for every element listed."""
    x = torch.randn(6, module.domain.dimension)
    y = module(x).detach()
    assert y.shape == (6, module.codomain.dimension)
    moves = zip(
        matrices(module.domain.representation),
        matrices(module.codomain.representation),
        strict=True,
    )
    for rho1, rho2 in moves:
        assert_close(module(x @ rho1.T).detach(), y @ rho2.T, tolerance)


# A rotation by 60° on V is a matrix; on V + 2*1, besides, two numbers stay as they are.
SIXTH = eb.matrix_group("sixth", [np.array([[0.5, -(0.75**0.5)], [0.75**0.5, 0.5]])])
# Positive factors and no signs: (a, b) -> (2b, a/2), from one generator.
SCALED = eb.matrix_group("scaled", [np.array([[0.0, 2.0], [0.5, 0.0]])])
# Not orthogonal, and no monomial matrix either: a rotation seen from a skewed basis.
SKEW = np.array([[1.0, 0.7], [0.0, 1.3]])


def skewed_group() -> eb.Group:
    """Rotations by 120° in skewed coordinates, by one generator."""
    turn = np.array([[-0.5, -(0.75**0.5)], [0.75**0.5, -0.5]])
    return eb.matrix_group("skewed", [np.linalg.inv(SKEW) @ turn @ SKEW])


ODD = [
    nn.Tanh(),
    nn.Identity(),
    nn.Softsign(),
    nn.Hardtanh(),
    nn.Tanhshrink(),
    torch.sin,
    torch.atan,
]
NOT_ODD = [nn.ELU(), nn.ReLU(), nn.Sigmoid(), nn.GELU(), nn.Softplus(), nn.LeakyReLU(), torch.cos]
NOT_POINTWISE = [
    nn.Softmax(dim=-1),
    nn.Softmax(dim=0),
    nn.LogSoftmax(dim=-1),
    nn.LayerNorm(9),
    nn.BatchNorm1d(9),
    nn.Dropout(0.5),
    nn.RReLU(),
    nn.GLU(),
    nn.Linear(9, 9),
    nn.PReLU(9),
    torch.cumsum,
    lambda x: x.flip(-1),
    lambda x: x - x.mean(),
    lambda x: x * torch.arange(9.0),
    lambda x: x[..., :4],
    lambda x: x.sum(),
]


def name(function: Any) -> str:
    return getattr(function, "__name__", type(function).__name__)


# --- Pointwise -----------------------------------------------------------------------------------


@pytest.mark.parametrize("function", ODD + NOT_ODD, ids=name)
def test_any_function_of_each_entry_commutes_with_permutations(function: Any) -> None:
    assert_equivariant(Pointwise(function, output_of("c4")))


@pytest.mark.parametrize("function", ODD, ids=name)
@pytest.mark.parametrize("problem", ["fields", "sign", "to a vector field", "generators and signs"])
def test_odd_functions_commute_with_signed_permutations(problem: str, function: Any) -> None:
    assert_equivariant(Pointwise(function, output_of(problem)))


@pytest.mark.parametrize("function", NOT_ODD, ids=name)
@pytest.mark.parametrize("problem", ["fields", "to a vector field"])
def test_others_are_refused_there_naming_function_and_space(problem: str, function: Any) -> None:
    features = output_of(problem)
    with pytest.raises(eb.ModelError, match="multiplies coordinates by -1") as caught:
        Pointwise(function, features)
    message = str(caught.value)
    assert name(function) in message
    assert str(features) in message
    assert "Tanh" in message


@pytest.mark.parametrize("problem", ["fields", "sign", "to a vector field"])
def test_what_is_refused_would_break_equivariance(problem: str) -> None:
    rho = matrices(output_of(problem).representation)
    x = torch.randn(4, len(rho[0]))
    moved = [(nn.functional.elu(x @ r.T) - nn.functional.elu(x) @ r.T).abs().max() for r in rho]
    assert max(moved) > 1e-2


@pytest.mark.parametrize("function", NOT_POINTWISE, ids=name)
def test_what_is_not_one_function_of_each_entry_is_refused_even_by_permutations(
    function: Any,
) -> None:
    with pytest.raises(eb.ModelError, match="3x3 of c4") as caught:
        Pointwise(function, output_of("c4"))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("problem", ["plane", "space, dense"])
@pytest.mark.parametrize("function", [*NOT_ODD, nn.Tanh(), nn.Hardtanh()], ids=name)
def test_matrices_that_mix_coordinates_allow_no_pointwise_function(
    problem: str, function: Any
) -> None:
    with pytest.raises(eb.ModelError, match="NormActivation or GatedActivation") as caught:
        Pointwise(function, output_of(problem))
    assert str(output_of(problem)) in str(caught.value)


def test_but_multiples_of_x() -> None:
    for function in (nn.Identity(), lambda x: -2.5 * x):
        assert_equivariant(Pointwise(function, output_of("plane")))


def test_positive_factors_are_kept_by_relu_and_its_like_alone() -> None:
    features = space_of(SCALED, "V")
    for function in (nn.ReLU(), nn.LeakyReLU(), nn.PReLU(), torch.abs):
        assert_equivariant(Pointwise(function, features))
    for function in (nn.ELU(), nn.Tanh(), nn.ReLU6()):
        with pytest.raises(eb.ModelError, match=r"multiplies coordinates by (0\.5|2) "):
            Pointwise(function, features)


def test_a_function_that_training_may_make_uneven_is_refused() -> None:
    even_at_first = nn.PReLU(init=1.0)  # x itself, until its slope is learned
    assert torch.equal(even_at_first(-torch.ones(3)), -even_at_first(torch.ones(3)))
    with pytest.raises(eb.ModelError, match="PReLU"):
        Pointwise(even_at_first, output_of("sign"))
    Pointwise(even_at_first, output_of("c4"))
    assert even_at_first.weight.item() == 1.0


def test_a_function_of_the_users_own_is_tried_out() -> None:
    def cubic(x: Tensor) -> Tensor:
        return x**3 / (1 + x**2)

    def nearly_odd(x: Tensor) -> Tensor:
        return torch.where(x > 20, x + 1e-3, x)

    assert_equivariant(Pointwise(cubic, output_of("sign")))
    with pytest.raises(eb.ModelError, match="nearly_odd"):
        Pointwise(nearly_odd, output_of("sign"))


def test_an_in_place_function_is_the_same_activation() -> None:
    activation = Pointwise(nn.ReLU(inplace=True), output_of("c4"))
    x = torch.randn(3, 9)
    assert torch.equal(activation(x.clone()), x.relu())


# --- NormActivation ------------------------------------------------------------------------------


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("gate", [None, nn.Tanh(), torch.exp], ids=["sigmoid", "tanh", "exp"])
def test_a_norm_activation_is_equivariant_whatever_it_learns(problem: str, gate: Any) -> None:
    torch.manual_seed(0)
    assert_equivariant(randomize(NormActivation(output_of(problem), gate)))


@pytest.mark.parametrize("group", [SIXTH, SCALED, skewed_group()], ids=lambda group: group.name)
def test_from_generators_too_and_for_matrices_that_are_not_orthogonal(group: eb.Group) -> None:
    torch.manual_seed(0)
    features = space_of(group, "2*V + 1 + V*V")
    assert not features.complete or group is SIXTH
    assert_equivariant(randomize(NormActivation(features)))
    assert_equivariant(randomize(GatedActivation(features)))
    assert_equivariant(activation_for(features))


def test_a_norm_activation_is_what_it_says() -> None:
    features = space_of(SIXTH, "V + 1")
    activation = NormActivation(features)
    with torch.no_grad():
        activation.scale.copy_(torch.tensor([2.0, -1.0]))
        activation.shift.copy_(torch.tensor([0.5, 0.25]))
    x = torch.tensor([3.0, 4.0, -2.0])
    expected = torch.cat(
        [
            x[:2] * torch.sigmoid(torch.tensor(2 * 5 / 2**0.5 + 0.5)),
            x[2:] * torch.sigmoid(torch.tensor(-1 * 2 + 0.25)),
        ]
    )
    assert_close(activation(x), expected, 1e-14)


@pytest.mark.parametrize("problem", ["plane", "stretched", "to a vector field", "d4"])
def test_its_gradients_are_finite_at_zero_and_right_elsewhere(problem: str) -> None:
    torch.manual_seed(0)
    activation = randomize(NormActivation(output_of(problem)))
    zero = torch.zeros(2, activation.domain.dimension, requires_grad=True)
    activation(zero).sum().backward()
    assert torch.isfinite(zero.grad).all()
    assert all(torch.isfinite(p.grad).all() for p in activation.parameters())
    x = torch.randn(2, activation.domain.dimension, requires_grad=True)
    assert torch.autograd.gradcheck(activation, (x,))
    tiny = (1e-9 * torch.randn(2, activation.domain.dimension)).requires_grad_()
    assert torch.autograd.gradcheck(activation, (tiny,), eps=1e-11, atol=1e-4)


def test_blocks_are_the_parts_that_the_group_keeps_apart() -> None:
    metric = InvariantMetric(space_of("c4", "3x3 + 2*1"))
    assert metric.blocks == 5  # corners, edges, centre, and two numbers
    assert sorted(metric.sizes.tolist()) == [1, 1, 1, 4, 4]
    x = torch.arange(11.0)
    corners = (0 + 2**2 + 6**2 + 8**2) ** 0.5
    assert metric.norms(x)[0].item() == pytest.approx(corners)
    assert metric.norms(x)[-2:].tolist() == [9.0, 10.0]
    assert metric.spread(torch.arange(5.0)).tolist() == [0, 1, 0, 1, 2, 1, 0, 1, 0, 3, 4]


@pytest.mark.parametrize("problem", PROBLEMS)
def test_lengths_are_kept_by_every_g(problem: str) -> None:
    metric = InvariantMetric(output_of(problem))
    x = torch.randn(4, output_of(problem).dimension)
    for rho in matrices(output_of(problem).representation):
        assert_close(metric.norms(x @ rho.T), metric.norms(x), 1e-12)


def test_the_lengths_of_a_module_cast_to_float64_are_exact() -> None:
    features = space_of(skewed_group(), "V")
    torch.set_default_dtype(torch.float32)
    activation = randomize(NormActivation(features)).half().double()
    torch.set_default_dtype(torch.float64)
    assert_equivariant(activation)


# --- GatedActivation -----------------------------------------------------------------------------


@pytest.mark.parametrize("problem", PROBLEMS)
def test_a_gated_activation_is_equivariant(problem: str) -> None:
    gated = GatedActivation(output_of(problem))
    assert gated.domain.dimension == gated.codomain.dimension + gated.blocks
    assert_equivariant(gated)


def test_a_gate_for_each_part_multiplies_that_part() -> None:
    gated = GatedActivation(space_of("c4", "3x3"))
    assert str(gated.domain) == "3x3 + 3*1 of c4"
    x = torch.cat([torch.ones(9), torch.tensor([-50.0, 0.0, 50.0])])
    expected = torch.tensor([0, 0.5, 0, 0.5, 1, 0.5, 0, 0.5, 0])
    assert_close(gated(x), expected, 1e-12)


def test_the_gates_come_from_a_layer_to_the_larger_space() -> None:
    gated = GatedActivation(space_of("d4", "3x3:vector"))
    space = gated.domain.space
    layer = EquivariantLinear(
        eb.solve("d4", input="5x5", output=space), eb.solve("d4", output=space)
    )
    torch.manual_seed(0)
    assert_equivariant(randomize(EquivariantSequential(layer, gated)))


# --- activation_for and direct sums --------------------------------------------------------------


@pytest.mark.parametrize("problem", PROBLEMS)
def test_there_is_an_activation_for_every_space(problem: str) -> None:
    torch.manual_seed(0)
    activation = activation_for(output_of(problem))
    assert_equivariant(randomize(activation))
    x = torch.randn(5, activation.domain.dimension)
    assert not torch.allclose(activation(2 * x), 2 * activation(x))


def test_the_activation_suits_each_part_of_a_sum() -> None:
    permuted, signed, mixed = (
        space_of("d4", text) for text in ("3x3", "4x4:vector", "3x3:vector + 4x4")
    )
    assert isinstance(activation_for(permuted).function, nn.ELU)
    assert isinstance(activation_for(signed).function, nn.Tanh)
    both = activation_for(mixed)
    assert isinstance(both, DirectSumActivation)
    x = torch.randn(3, 34)
    y = both(x)
    assert torch.equal(y[:, 18:], nn.functional.elu(x[:, 18:]))
    # The centre of a vector field, and all others, change signs.
    assert torch.equal(y[:, :18], torch.tanh(x[:, :18]))
    assert_equivariant(both)


def test_parts_that_only_permute_are_found_among_matrices() -> None:
    features = space_of(SIXTH, "1 + V + 2*1")
    assert isinstance(features.representation, MatrixRepresentation)
    activation = activation_for(features)
    x = torch.randn(3, 5)
    y = activation(x)
    kept = [0, 3, 4]
    assert torch.equal(y[:, kept], nn.functional.elu(x[:, kept]))
    assert not torch.allclose(y[:, 1:3], nn.functional.elu(x[:, 1:3]))
    assert_equivariant(activation)


def test_a_sum_of_activations_has_to_fit_its_parts() -> None:
    features = space_of("c4", "3x3 + 2*1")
    grid, numbers = np.arange(9), np.arange(9, 11)
    on_grid = Pointwise(nn.ELU(), features.part(grid))
    on_numbers = Pointwise(torch.cos, features.part(numbers))
    both = DirectSumActivation(features, [(numbers, on_numbers), (grid, on_grid)])
    x = torch.randn(2, 11)
    assert torch.equal(both(x), torch.cat([nn.functional.elu(x[:, :9]), torch.cos(x[:, 9:])], 1))
    with pytest.raises(eb.ModelError, match="each coordinate once"):
        DirectSumActivation(features, [(grid, on_grid)])
    on_others = Pointwise(nn.ELU(), space_of("c4", "9*1"))
    with pytest.raises(eb.ModelError, match="different ways") as caught:
        DirectSumActivation(features, [(numbers, on_numbers), (grid, on_others)])
    assert "3x3 + 2*1 of c4" in str(caught.value)
    with pytest.raises(eb.ModelError, match="ELU does not say"):
        DirectSumActivation(features, [(numbers, on_numbers), (grid, nn.ELU())])


# --- spaces and state ----------------------------------------------------------------------------


def test_the_space_of_a_module_is_shared_by_its_copies_and_pickled_with_it() -> None:
    for problem in ("c4", "stretched", "to a vector field"):
        activation = randomize(activation_for(output_of(problem)))
        copied, pickled = copy.deepcopy(activation), pickle.loads(pickle.dumps(activation))
        assert copied.domain is activation.domain
        assert same_representation(pickled.domain.representation, activation.domain.representation)
        assert pickled.domain.same_as(activation.domain)
        x = torch.randn(3, activation.domain.dimension)
        for other in (copied, pickled):
            assert torch.equal(other(x), activation(x))


def test_the_state_of_an_activation_is_what_it_learns() -> None:
    learned = {"scale", "shift", "_extra_state"}
    assert set(NormActivation(output_of("c4")).state_dict()) == learned
    assert set(GatedActivation(output_of("c4")).state_dict()) == {"_extra_state"}


@pytest.mark.parametrize("name_", sorted({"c4", "plane", *OTHERS[:3]}))
def test_both_ends_of_a_layer_are_the_spaces_of_its_basis(name_: str) -> None:
    basis = maps(name_)
    domain, codomain = FeatureSpace.input_of(basis.space), FeatureSpace.output_of(basis.space)
    assert (domain.space, codomain.space) == (basis.space.input_space, basis.space.output_space)
    assert domain.dimension == basis.space.m
    assert codomain.same_as(output_of(name_))


def test_spaces_add_up_within_one_group() -> None:
    first, second = space_of("c4", "3x3"), space_of("c4", "2x2")
    both = first + second
    assert both.same_as(space_of("c4", "3x3 + 2x2"))
    assert (first + first.scalars(3)).same_as(space_of("c4", "3x3 + 3*1"))
    assert first.scalars(1).space == eb.SCALAR
    assert first.scalars(20_000).dimension == 20_000
    with pytest.raises(eb.ModelError, match="3x3 of c4 and V of sixth"):
        first + space_of(SIXTH, str(V))


def test_different_spaces_are_told_apart_with_the_reason() -> None:
    here = space_of("c4", "3x3")
    for other, why in (
        (space_of("d4", "3x3"), "groups differ .*4 elements.*8 elements"),
        (space_of("c4", "4x4"), "sizes differ .9 against 16"),
        (space_of("c4", "9*1"), "different ways"),
        (space_of("c4", "3x3:pseudoscalar"), None),  # rotations have determinant 1
    ):
        assert here.same_as(other) == (why is None)
        if why:
            with pytest.raises(eb.ModelError, match=why):
                here.check_same(other, "one is", "the other is")
