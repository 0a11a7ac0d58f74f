"""The parts of a layer by blocks, each held to the equation that it states."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import equibasis as eb
from equibasis.nn.bias import InvariantBias
from equibasis.nn.block import BlockMap
from equibasis.nn.orbit_blocks import OrbitBlocks
from equibasis.nn.sides import Side
from test_coordinates import EVERY, solved


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("direct", [False, True], ids=["plain", "direct"])
def test_coordinates_by_orbits_are_those_of_x_over_their_repeats(name: str, direct: bool) -> None:
    _, coordinates = solved(name)
    for orbits in (coordinates.input, coordinates.output):
        side = Side(orbits).double()
        n = sum(part.dimension for part in orbits)
        x = torch.randn(3, n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        before = x.clone()
        parts = side.lifted(x, direct=direct)
        for part, of_kind in zip(parts, orbits, strict=True):
            expected = x.numpy()[:, of_kind.places] * of_kind.factors
            np.testing.assert_array_equal(part.numpy(), expected.transpose(1, 0, 2))
        whole = [
            part * torch.from_numpy(of_kind.repeats)
            for part, of_kind in zip(parts, orbits, strict=True)
        ]
        torch.testing.assert_close(side.dropped(whole, direct=direct), x, rtol=0, atol=1e-15)
        torch.testing.assert_close(x, before, rtol=0, atol=0)


def test_places_are_those_of_the_batch_at_hand() -> None:
    _, coordinates = solved("mirrors")
    side = Side(coordinates.input)
    for batch in (3, 5, 3, 1):
        x = torch.randn(batch, sum(part.dimension for part in coordinates.input))
        parts = [
            part * torch.from_numpy(of_kind.repeats)
            for part, of_kind in zip(side.lifted(x, direct=True), coordinates.input, strict=True)
        ]
        torch.testing.assert_close(side.dropped(parts, direct=True), x)


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(1, 5),
    r=st.integers(1, 4),
    width=st.integers(1, 5),
    matrices=st.integers(1, 4),
    regular=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_blocks_of_orbits_are_a_matrix_times_gathered_coefficients(
    count: int, r: int, width: int, matrices: int, regular: bool, seed: int
) -> None:
    """And where every coefficient comes once, the gradient is the adjoint."""
    generator = np.random.default_rng(seed)
    size = r * width
    if regular:
        labels = np.arange(count)[:, None] * size + generator.permutation(size)
    else:
        labels = generator.permutation(count * size)
    labels = labels.reshape(count, r, width)
    factors = np.ones(labels.shape)
    factors[count // 2 :, :, width // 2 :] = generator.choice([1.0, -2.0, 0.5])
    matrix = generator.standard_normal((matrices, r))
    blocks = OrbitBlocks(labels, factors, labels.size, matrix).double()
    assert blocks.regular or not regular
    c = generator.standard_normal(labels.size)
    expected = np.einsum("sl,bla->sba", matrix, factors * c[labels])
    found = blocks.weights(torch.from_numpy(c))
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-12)
    v = generator.standard_normal(expected.shape)
    adjoint = blocks.gradient(torch.from_numpy(v)).numpy()
    np.testing.assert_allclose(adjoint @ c, (v * expected).sum(), rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("group", "output", "input_"),
    [("d4", "24x24", "22x22"), ("d4", "23x23", "24x24"), ("c4", "21x21", "20x20")],
)
def test_copies_of_a_coefficient_in_lifted_orbits_count_each(
    group: str, output: str, input_: str
) -> None:
    """As c ↦ U is linear, ⟨U(c), U(v)⟩ = ⟨c, its adjoint on U(v)⟩, which is alike on copies."""
    basis = eb.solve(group, output, input_)
    made = BlockMap(basis).double()
    assert made.orbits is not None, "too small to be gathered as large layers are"
    generator = torch.Generator().manual_seed(0)
    c, v = torch.randn(2, basis.rank, generator=generator, dtype=torch.float64)
    (one,), (other,) = made.direct_weights(c), made.direct_weights(v)
    adjoint = made.direct_gradient([other.contiguous()])
    torch.testing.assert_close(adjoint @ c, (one * other).sum())
    (plain,) = made.weights(c)
    torch.testing.assert_close(one, plain, rtol=0, atol=1e-12)


@pytest.mark.parametrize("bias", ["invariant", "scalar"])
def test_the_gradient_of_a_bias_is_its_adjoint(bias: str) -> None:
    basis, invariants = eb.solve("d4", "7x7", "5x5"), eb.solve("d4", "7x7")
    made = InvariantBias(basis, invariants if bias == "invariant" else "scalar").double()
    vector = made()
    gradient = torch.randn(49, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (expected,) = torch.autograd.grad(vector, made.coefficients, gradient)
    torch.testing.assert_close(made.adjoint(gradient), expected)
