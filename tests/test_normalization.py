"""Normalization commutes with every ρ(g), and is torch's own where the group is trivial."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

import equibasis as eb
from equibasis.nn import EquivariantBatchNorm, EquivariantLayerNorm, export
from test_activations import SIXTH, assert_equivariant, in_float64, skewed_group  # noqa: F401
from test_layers import PROBLEMS, assert_close, invariants, maps, matrices, randomize

# Some spaces here have parts that share no irrep with the other end: test_reach.py is of those.
pytestmark = pytest.mark.filterwarnings("ignore::equibasis.nn.UnreachedWarning")

LAYERS = [EquivariantLayerNorm, EquivariantBatchNorm]


def moved(x: torch.Tensor, rho: list[torch.Tensor]) -> torch.Tensor:
    """Each vector of the batch by an element of its own."""
    generator = torch.Generator().manual_seed(1)
    which = torch.randint(len(rho), (len(x),), generator=generator)
    return torch.einsum("bij,bj->bi", torch.stack(rho)[which], x)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("problem", PROBLEMS)
def test_normalization_is_equivariant_in_training_and_evaluation(problem: str, layer: Any) -> None:
    if (problem, layer) == ("sign, no map but zero", EquivariantLayerNorm):
        return  # a single number, which is its own mean: refused
    torch.manual_seed(0)
    norm = randomize(layer(invariants(problem)))
    assert_equivariant(norm)
    norm(3 * torch.randn(8, norm.domain.dimension) + 1)
    assert_equivariant(norm.eval())


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("group", [SIXTH, skewed_group()], ids=lambda group: group.name)
def test_so_it_is_for_matrices_given_by_generators(group: eb.Group, layer: Any) -> None:
    torch.manual_seed(0)
    norm = randomize(layer(eb.solve(group, output="2*V + V*V + 2*1")))
    assert_equivariant(norm)
    assert_equivariant(norm.eval())


@pytest.mark.parametrize("problem", PROBLEMS)
def test_vectors_of_a_batch_may_be_moved_each_in_its_own_way(problem: str) -> None:
    torch.manual_seed(0)
    norm = randomize(EquivariantBatchNorm(invariants(problem)))
    rho = matrices(norm.domain.representation)
    x = torch.randn(8, norm.domain.dimension)
    seen = copy.deepcopy(norm)
    assert_close(seen(moved(x, rho)).detach(), moved(norm(x), rho).detach(), 1e-10)
    assert_close(seen.running_mean, norm.running_mean, 1e-12)
    assert_close(seen.running_var, norm.running_var, 1e-12)


# --- as torch's own ------------------------------------------------------------------------------


def test_with_the_trivial_group_a_layer_norm_is_that_of_torch() -> None:
    ours, plain = EquivariantLayerNorm(eb.solve("trivial", output="7")), nn.LayerNorm(7)
    x = 5 * torch.randn(4, 7) + 2
    assert_close(ours(x), plain(x), 1e-12)
    with torch.no_grad():
        plain.weight.copy_(torch.arange(7.0))
        plain.bias.copy_(torch.arange(7.0) - 3)
        ours.scale.copy_(plain.weight)
        ours.shift.coefficients.copy_(plain.bias)
    assert_close(ours(x), plain(x), 1e-12)


def test_for_permutations_it_is_that_of_torch_with_weights_tied() -> None:
    ours = randomize(EquivariantLayerNorm(invariants("d4")))
    plain = nn.LayerNorm(16)
    with torch.no_grad():
        plain.weight.copy_(ours.metric.spread(ours.scale))
        plain.bias.copy_(ours.shift())
    x = 5 * torch.randn(4, 16) + 2
    assert_close(ours(x), plain(x), 1e-12)


@pytest.mark.parametrize("momentum", [0.1, 0.5, None])
@pytest.mark.parametrize("shape", [(16, 5), (4, 3, 5)], ids=["one batch axis", "two"])
def test_with_the_trivial_group_a_batch_norm_is_that_of_torch(
    momentum: float | None, shape: tuple[int, ...]
) -> None:
    ours = EquivariantBatchNorm(eb.solve("trivial", output="5"), momentum=momentum)
    plain = nn.BatchNorm1d(5, momentum=momentum)
    with torch.no_grad():
        plain.weight.copy_(torch.arange(5.0))
        plain.bias.copy_(torch.arange(5.0) - 3)
        ours.scale.copy_(plain.weight)
        ours.shift.coefficients.copy_(plain.bias)
    for batch in range(3):
        x = (batch + 1) * torch.randn(shape) + batch
        assert_close(ours(x), plain(x.view(-1, 5)).view(shape), 1e-12)
    assert_close(ours.running_mean, plain.running_mean, 1e-12)
    assert_close(ours.running_var, plain.running_var, 1e-12)
    assert ours.num_batches_tracked == plain.num_batches_tracked
    ours.eval(), plain.eval()
    x = torch.randn(shape)
    assert_close(ours(x), plain(x.view(-1, 5)).view(shape), 1e-12)


def test_one_orbit_is_a_channel_of_torch() -> None:
    ours, plain = EquivariantBatchNorm(eb.solve("z6", output="6 + (6)*(1)")), nn.BatchNorm1d(2)
    x = 3 * torch.randn(10, 12) + 1
    assert_close(ours(x), plain(x.view(10, 2, 6)).view(10, 12), 1e-12)
    assert_close(ours.running_var, plain.running_var, 1e-12)


# --- what comes out ------------------------------------------------------------------------------


@pytest.mark.parametrize("problem", PROBLEMS)
def test_a_layer_norm_leaves_mean_0_and_mean_square_1(problem: str) -> None:
    if invariants(problem).space.k == 1:
        return  # a single number, which is its own mean: refused
    norm = EquivariantLayerNorm(invariants(problem), eps=0.0)
    y = norm(4 * torch.randn(5, norm.domain.dimension) + 1).detach()
    assert_close(norm.metric.squares(y).sum(dim=-1), torch.full((5,), float(y.shape[1])), 1e-10)
    assert_close((y * norm.axis[1]).sum(dim=-1), torch.zeros(5), 1e-10)


@pytest.mark.parametrize("problem", PROBLEMS)
def test_a_batch_norm_leaves_invariant_mean_0_and_variance_1_in_each_block(problem: str) -> None:
    norm = EquivariantBatchNorm(invariants(problem), eps=0.0)
    y = norm(4 * torch.randn(50, norm.domain.dimension) + 1).detach()
    variance = norm.metric.squares(y).mean(dim=0) / norm.metric.sizes
    assert_close(variance, torch.ones(norm.metric.blocks), 1e-10)
    mean = norm.functionals @ y.mean(dim=0)
    assert_close(mean, torch.zeros(len(mean)), 1e-10)


@pytest.mark.parametrize("problem", ["sign", "plane", "generators and signs"])
def test_where_no_vector_is_invariant_no_mean_is_taken_off(problem: str) -> None:
    assert invariants(problem).rank == 0
    layer_norm = EquivariantLayerNorm(invariants(problem), eps=0.0)
    x = torch.randn(3, layer_norm.domain.dimension)
    directions = nn.functional.normalize(layer_norm(x), dim=-1)
    assert_close(directions, nn.functional.normalize(x, dim=-1), 1e-12)
    batch_norm = EquivariantBatchNorm(invariants(problem))
    assert batch_norm.running_mean.numel() == 0
    assert_close(batch_norm(-x), -batch_norm(x), 1e-12)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("problem", ["c4", "to a vector field", "stretched"])
def test_the_gradients_are_the_derivatives(problem: str, layer: Any) -> None:
    torch.manual_seed(0)
    norm = randomize(layer(invariants(problem)))
    x = torch.randn(4, norm.domain.dimension, requires_grad=True)
    names, parameters = zip(*norm.named_parameters(), strict=True)
    state = dict(norm.named_buffers())

    def output(x: torch.Tensor, *parameters: torch.Tensor) -> torch.Tensor:
        fresh = {name: buffer.clone() for name, buffer in state.items()}
        given = fresh | dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(norm, given, (x,))

    assert torch.autograd.gradcheck(output, (x, *parameters))


@pytest.mark.parametrize("problem", ["c4", "stretched"])
def test_autocast_does_not_shorten_what_is_seen(problem: str) -> None:
    norm = EquivariantBatchNorm(invariants(problem)).float()
    other = copy.deepcopy(norm)
    x = torch.randn(50, norm.domain.dimension, dtype=torch.float32) + 100
    norm(x)
    with torch.autocast("cpu", torch.bfloat16):
        other(x)
    assert torch.equal(other.running_mean, norm.running_mean)
    assert torch.equal(other.running_var, norm.running_var)


# --- state and refusals --------------------------------------------------------------------------


def test_the_state_is_what_was_learned_and_seen() -> None:
    layer_norm, batch_norm = (layer(invariants("c4")) for layer in LAYERS)
    learned = {"scale", "shift.coefficients", "_extra_state", "shift._extra_state"}
    assert set(layer_norm.state_dict()) == learned
    seen = {"running_mean", "running_var", "num_batches_tracked"}
    assert set(batch_norm.state_dict()) == learned | seen
    batch_norm(torch.randn(5, 9))
    other = EquivariantBatchNorm(invariants("c4"))
    other.load_state_dict(batch_norm.state_dict())
    x = torch.randn(2, 9)
    assert torch.equal(other.eval()(x), batch_norm.eval()(x))
    other.reset_parameters()
    assert other.num_batches_tracked == 0


def test_evaluation_changes_nothing_of_what_was_seen() -> None:
    norm = EquivariantBatchNorm(invariants("c4")).eval()
    norm(torch.randn(5, 9))
    assert norm.num_batches_tracked == 0
    assert not norm.running_mean.any()


def test_one_vector_is_too_few_to_train_on_but_not_in_larger_blocks() -> None:
    norm = EquivariantBatchNorm(invariants("c4"))  # the centre of 3x3 is a block of one
    with pytest.raises(eb.ModelError, match="more than 1 vectors a batch to train on 3x3 of c4"):
        norm(torch.randn(1, 9))
    assert norm.eval()(torch.randn(1, 9)).shape == (1, 9)
    EquivariantBatchNorm(eb.solve("c4", output="4x4"))(torch.randn(1, 16))


@pytest.mark.parametrize("layer", LAYERS)
def test_a_basis_of_maps_is_refused(layer: Any) -> None:
    with pytest.raises(eb.ModelError, match="c4: 6x6 -> 3x3") as caught:
        layer(maps("c4"))
    assert layer.__name__ in str(caught.value)


def test_orbits_of_one_length_and_several_types_keep_their_order() -> None:
    """Two mirrors: each pair of points is exchanged by one of them, by the other, by the first."""
    first, second = [1, 0, 2, 3, 5, 4], [0, 1, 3, 2, 4, 5]
    group = eb.permutation_group("mirrors", [first, second])
    norm = EquivariantBatchNorm(eb.solve(group, output="V"))
    plain = torch.nn.BatchNorm1d(3)
    x = torch.randn(50, 6) * torch.tensor([1.0, 1, 2, 2, 3, 3]) + torch.tensor([0.0, 0, 1, 1, 5, 5])
    torch.testing.assert_close(norm(x), plain(x.view(50, 3, 2)).view(50, 6))
    expanded = norm.centre(norm.running_mean)
    torch.testing.assert_close(expanded, plain.running_mean.repeat_interleave(2))


@pytest.mark.parametrize("shape", [(8,), (5, 8), (3, 5, 8)])
def test_an_exported_batch_norm_takes_any_batch(shape: tuple[int, ...]) -> None:
    norm = EquivariantBatchNorm(eb.solve("d4", output="2*2x2"))
    assert norm.of_equal_orbits
    norm(3 * torch.randn(20, 8) + 1)
    norm.eval()
    x = torch.randn(shape)
    torch.testing.assert_close(export(norm)(x), norm(x))


def test_variances_that_float16_does_not_hold() -> None:
    norm = EquivariantBatchNorm(eb.solve("d4", output="2x2:vector + 1")).float()
    assert not norm.of_equal_orbits
    with torch.autocast("cpu", dtype=torch.float16):
        y = norm((300 * torch.randn(64, 9)).half())
    assert norm.running_var.isfinite().all()
    assert y.square().mean() < 2
