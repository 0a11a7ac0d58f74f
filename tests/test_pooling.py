"""Invariant pooling: f(ρ(g) x) = f(x) for every g, from elements and from generators."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

import equibasis as eb
from equibasis.nn import FeatureSpace, NormPool, OrbitMeanPool
from test_activations import SIXTH, in_float64, output_of, skewed_group, space_of  # noqa: F401
from test_layers import PROBLEMS, assert_close, invariants, matrices

# Some spaces here have parts that share no irrep with the other end: test_reach.py is of those.
pytestmark = pytest.mark.filterwarnings("ignore::equibasis.nn.UnreachedWarning")


def assert_invariant(pool: Any, tolerance: float = 1e-10) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, pool.domain.dimension)
    y = pool(x)
    assert y.shape == (2, 3, pool.codomain.dimension)
    assert pool.codomain.is_trivial
    for rho in matrices(pool.domain.representation):
        assert_close(pool(x @ rho.T), y, tolerance)


# --- norms ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("problem", PROBLEMS)
def test_lengths_of_invariant_blocks_are_invariant(problem: str) -> None:
    assert_invariant(NormPool(output_of(problem)))


@pytest.mark.parametrize("group", [SIXTH, skewed_group()], ids=lambda group: group.name)
def test_so_are_those_of_a_group_of_matrices_given_by_generators(group: eb.Group) -> None:
    pool = NormPool(space_of(group, "3*V + V*V + 2*1"))
    assert pool.codomain.dimension == 3 + 1 + 2
    assert_invariant(pool)


def test_generators_are_as_good_as_all_elements() -> None:
    for name, listed in (("s5", "5x5 + 5"), ("p4", "4x4:vector")):
        assert not space_of(name, listed).complete
        assert_invariant(NormPool(space_of(name, listed)))


def test_a_length_is_the_root_of_the_sum_of_squares() -> None:
    pool = NormPool(space_of(SIXTH, "1 + 2*V"))
    found = pool(torch.tensor([-7.0, 3.0, 4.0, 5.0, -12.0]))
    assert_close(found, torch.tensor([7.0, 5.0, 13.0]), 1e-14)


def test_lengths_tell_orbits_apart_that_no_linear_function_does() -> None:
    assert space_of(SIXTH, "V").dimension == 2
    with pytest.raises(eb.ModelError, match="nothing linear is invariant; take NormPool"):
        OrbitMeanPool(eb.solve(SIXTH, output="V"))
    pool = NormPool(space_of(SIXTH, "V"))
    assert pool(torch.tensor([1.0, 0.0])) != pool(torch.tensor([2.0, 0.0]))


def test_the_gradient_of_a_length_is_its_derivative_and_0_at_0() -> None:
    pool = NormPool(space_of("d4", "3x3:vector + 1"))
    x = torch.randn(3, 19, requires_grad=True)
    assert torch.autograd.gradcheck(pool, (x,))
    zero = torch.zeros(3, 19, requires_grad=True)
    pool(zero).sum().backward()
    assert not zero.grad.any()


# --- means over orbits ---------------------------------------------------------------------------


def functionals(problem: str) -> eb.Basis:
    """What is linear and invariant on the output space of a problem."""
    basis = invariants(problem)
    if basis.space.output.is_orthogonal:
        return basis
    return eb.solve(PROBLEMS[problem].group, input=PROBLEMS[problem].output, output="1")


WITH_INVARIANTS = [problem for problem in PROBLEMS if invariants(problem).rank]


@pytest.mark.parametrize("problem", WITH_INVARIANTS)
def test_means_over_orbits_are_invariant(problem: str) -> None:
    assert_invariant(OrbitMeanPool(output_of(problem)))


@pytest.mark.parametrize("problem", WITH_INVARIANTS)
def test_there_are_as_many_as_invariant_vectors_and_no_more(problem: str) -> None:
    assert functionals(problem).rank == invariants(problem).rank
    assert OrbitMeanPool(output_of(problem)).codomain.dimension == invariants(problem).rank


@pytest.mark.parametrize("problem", [p for p in WITH_INVARIANTS if output_of(p).complete])
def test_they_know_all_of_the_mean_over_the_group(problem: str) -> None:
    pool = OrbitMeanPool(output_of(problem))
    x = torch.randn(4, pool.domain.dimension)
    mean = torch.stack([x @ rho.T for rho in matrices(pool.domain.representation)]).mean(dim=0)
    assert_close(pool(mean), pool(x), 1e-12)
    if pool.domain.representation.is_orthogonal:  # the mean is B y
        assert_close(pool(x) @ pool.functionals, mean, 1e-12)


def test_for_permutations_each_is_the_root_of_the_size_times_the_mean_of_an_orbit() -> None:
    pool = OrbitMeanPool(eb.solve("c4", output="3x3"))
    image = torch.randn(3, 3)
    corners, edges = image[::2, ::2].mean(), image.flatten()[1::2].mean()
    assert_close(pool(image.flatten()), torch.stack([2 * corners, 2 * edges, image[1, 1]]), 1e-14)


def test_white_noise_keeps_its_variance() -> None:
    pool = OrbitMeanPool(eb.solve("d4", output="7x7 + 3*2x2"))
    torch.testing.assert_close(
        pool.functionals @ pool.functionals.T, torch.eye(pool.functionals.shape[0])
    )


def test_invariant_vectors_are_no_functions_where_matrices_are_not_orthogonal() -> None:
    basis = invariants("stretched")
    rho = matrices(basis.space.output)
    vector = torch.from_numpy(basis.matrix.toarray()).T
    assert max((vector @ r - vector).abs().max() for r in rho) > 0.1
    assert_invariant(OrbitMeanPool(basis))


@pytest.mark.parametrize("group", ["so3", "Td", skewed_group()], ids=["so3", "Td", "skewed"])
def test_lengths_of_half_precision_are_finite_where_their_squares_are_not(group: Any) -> None:
    pool = NormPool(space_of(group, "20*V"))
    x = 3000 * torch.randn(50, pool.domain.dimension)
    lengths = copy.deepcopy(pool).half()(x.half())
    assert lengths.dtype == torch.float16
    assert torch.allclose(lengths.to(x), pool(x), rtol=1e-2, atol=50)


def test_a_basis_of_other_maps_is_refused() -> None:
    with pytest.raises(eb.ModelError, match="c4: 6x6 -> 3x3"):
        OrbitMeanPool(eb.solve("c4", input="6x6", output="3x3"))


def test_pools_there_and_back_between_precisions_lose_nothing() -> None:
    for pool in (
        OrbitMeanPool(eb.solve("c4", output="3x3")),
        NormPool(space_of(skewed_group(), "V")),
    ):
        x = torch.randn(2, pool.domain.dimension)
        assert torch.equal(copy.deepcopy(pool).half().double()(x), pool(x))


def test_the_spaces_are_those_of_the_basis() -> None:
    basis = eb.solve("c4", output="3x3")
    assert OrbitMeanPool(basis).domain.same_as(FeatureSpace.output_of(basis.space))
    assert set(OrbitMeanPool(basis).state_dict()) == {"_extra_state"}
