"""The parts of a layer by blocks, each held to the equation that it states."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import equibasis as eb
from equibasis.nn import orbit_blocks
from equibasis.nn.bias import InvariantBias
from equibasis.nn.block import BlockMap
from equibasis.nn.gather import Gather
from equibasis.nn.irreps import IrrepProducts
from equibasis.nn.orbit_blocks import OrbitBlocks
from equibasis.nn.sides import Side
from equibasis.symmetry.representations import PermutationRepresentation
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


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 4), st.integers(1, 9)),
    size=st.integers(1, 20),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    kept=st.sampled_from([None, torch.bfloat16]),
    vectors=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_a_gather_takes_the_very_numbers_of_each_row(
    shape: tuple[int, int, int],
    size: int,
    dtype: torch.dtype,
    kept: torch.dtype | None,
    vectors: bool,
    seed: int,
) -> None:
    """Bit for bit, whatever they are, and wherever they lie in memory."""
    generator = np.random.default_rng(seed)
    batch, h, w = shape
    row, column = generator.integers(h, size=size), generator.integers(w, size=size)
    bits = generator.integers(0, 2**32, size=(h, batch, w, 2), dtype=np.uint32)
    x = torch.from_numpy(bits).view(dtype)[..., 0].transpose(0, 1)
    made = Gather((h, w), column, row).to(kept or dtype)
    with pytest.MonkeyPatch.context() as patch:
        if not vectors:
            patch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
        found = made.forward(x)
    integers = {torch.float32: torch.int32, torch.float64: torch.int64}[dtype]
    assert torch.equal(found.view(integers), x[:, row, column].contiguous().view(integers))


@pytest.mark.parametrize("width", [1, 2, 3, 1000, 2**20 + 7, 2**21, 2**21 + 1])
def test_a_gather_is_exact_in_rows_of_any_length(width: int) -> None:
    here = np.append(np.arange(0, width, max(1, width // 10_000)), width - 1)
    x = torch.arange(width, dtype=torch.float64)[None]
    along = Gather((1, width), here).forward(x.float().view(1, 1, -1))
    across = Gather((width, 1), np.zeros_like(here), here).forward(x.float().view(1, -1, 1))
    for found in (along, across):
        assert torch.equal(found, x.float()[:, here])


def blocks_of(
    labels: np.ndarray, factors: np.ndarray, matrix: np.ndarray, *, moved: bool
) -> OrbitBlocks:
    """With stretches moved at any size, or only where they lie in order."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(orbit_blocks, "_FEWEST_MOVED", 0 if moved else 2**62)
        patch.setattr(orbit_blocks, "_SHORTEST_BLOCK", 2)
        return OrbitBlocks(labels, factors, int(labels.max()) + 1, matrix).double()


@settings(max_examples=100, deadline=None)
@given(
    alike=st.integers(1, 6),
    others=st.integers(0, 3),
    r=st.integers(1, 4),
    width=st.integers(1, 5),
    matrices=st.integers(1, 4),
    block=st.integers(1, 3),
    gap=st.integers(0, 3),
    seed=st.integers(0, 2**16),
)
def test_blocks_of_orbits_are_a_matrix_times_gathered_coefficients(
    alike: int, others: int, r: int, width: int, matrices: int, block: int, gap: int, seed: int
) -> None:
    """And where every coefficient comes once, the gradient is the adjoint."""
    generator = np.random.default_rng(seed)
    width *= block
    size = r * width
    # Stretches alike, some next to each other and some apart; others have what is left, mixed.
    rank = (alike + others) * size
    room = np.sort(generator.choice(others * r * width // block + 1, alike)) if gap else [0] * alike
    starts = np.array(room) * block + np.arange(alike) * size
    starts = generator.permutation(starts) if gap > 1 else starts
    mine = starts[:, None] + generator.permutation(size)
    left = generator.permutation(np.setdiff1d(np.arange(rank), mine))
    labels = np.concatenate([mine.ravel(), left]).reshape(alike + others, r, width)
    factors = np.ones(labels.shape)
    factors[:, :, width // 2 :] = generator.choice([1.0, -2.0, 0.5])
    factors[alike:] = generator.standard_normal(factors[alike:].shape)
    matrix = generator.standard_normal((matrices, r))
    c = generator.standard_normal(rank)
    v = generator.standard_normal((matrices, len(labels), width))
    expected = np.einsum("sl,bla->sba", matrix, factors * c[labels])
    for moved in (False, True):
        blocks = blocks_of(labels, factors, matrix, moved=moved)
        found = blocks.weights(torch.from_numpy(c))
        np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-12)
        by_orbits = torch.from_numpy(v.transpose(1, 0, 2).copy()).transpose(0, 1)
        adjoint = blocks.gradient(by_orbits).numpy()
        assert adjoint.shape == (rank,)
        np.testing.assert_allclose(adjoint @ c, (v * expected).sum(), rtol=0, atol=1e-10)


@pytest.mark.parametrize("moved", [False, True])
@pytest.mark.parametrize(
    ("group", "output", "input_"),
    [
        ("d4", "24x24", "22x22"),
        ("d4", "23x23", "24x24"),
        ("d4", "33x33", "32x32"),
        ("c4", "21x21", "20x20"),
        ("c4", "20x20", "21x21"),
    ],
)
def test_copies_of_a_coefficient_in_lifted_orbits_count_each(
    group: str, output: str, input_: str, moved: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As c ↦ U is linear, ⟨U(c), U(v)⟩ = ⟨c, its adjoint on U(v)⟩, which is alike on copies."""
    monkeypatch.setattr(orbit_blocks, "_FEWEST_MOVED", 0 if moved else 2**62)
    basis = eb.solve(group, input=input_, output=output)
    made = BlockMap(basis).double()
    assert made.orbits is not None, "too small to be gathered as large layers are"
    in_order = (group, output) == ("c4", "20x20")
    assert (made.orbits.alike is not None) == (moved or in_order)
    generator = torch.Generator().manual_seed(0)
    c, v = torch.randn(2, basis.rank, generator=generator, dtype=torch.float64)
    (one,), (other,) = made.direct_weights(c), made.direct_weights(v)
    adjoint = made.direct_gradient([other])
    torch.testing.assert_close(adjoint @ c, (one * other).sum())
    (plain,) = made.weights(c)
    torch.testing.assert_close(one, plain, rtol=0, atol=1e-12)


@pytest.mark.parametrize("moved", [False, True])
def test_indices_are_of_the_dtype_that_torch_gathers_by(
    moved: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others are converted at every call."""
    monkeypatch.setattr(orbit_blocks, "_FEWEST_MOVED", 0 if moved else 2**62)
    made = BlockMap(eb.solve("d4", input="24x24", output="24x24"))
    assert made.orbits is not None, "too small to be gathered as large layers are"
    assert made.orbits.others is not None
    parts = made.orbits, made.blocks
    indices = [b for part in parts for b in part.buffers() if not b.is_floating_point()]
    assert {index.dtype for index in indices} == {torch.int64}


@pytest.mark.parametrize("bias", ["invariant", "scalar"])
def test_the_gradient_of_a_bias_is_its_adjoint(bias: str) -> None:
    basis, invariants = eb.solve("d4", input="5x5", output="7x7"), eb.solve("d4", output="7x7")
    made = InvariantBias(basis, invariants if bias == "invariant" else "scalar").double()
    vector = made()
    gradient = torch.randn(49, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (expected,) = torch.autograd.grad(vector, made.coefficients, gradient)
    torch.testing.assert_close(made.adjoint(gradient), expected)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("bias", ["invariant", "scalar"])
def test_a_bias_in_adapted_coordinates_is_the_bias(name: str, bias: str) -> None:
    basis, coordinates = solved(name)
    invariants = eb.solve(EVERY[name].group, output=EVERY[name].output)
    rho = basis.space.output
    permuted = isinstance(rho, PermutationRepresentation)
    if bias == "scalar" and not (permuted and rho.signs is None):
        pytest.skip("a scalar bias would not be invariant")
    given_ = invariants if bias == "invariant" else "scalar"
    made = BlockMap(basis).double()
    expected = InvariantBias(basis, given_, made.blocks).double()
    assert expected.coefficients is not None
    by_orbits = expected.by_orbits
    if by_orbits is None:
        one_kind = len(coordinates.output) == 1 and not coordinates.cycles
        assert not (one_kind and permuted and len(expected.coefficients))
        return
    blocks = made.blocks
    assert isinstance(blocks, IrrepProducts)
    generator = torch.Generator().manual_seed(0)
    c = torch.randn(len(expected.coefficients), generator=generator, dtype=torch.float64)
    gradient = torch.randn(3, basis.space.k, generator=generator, dtype=torch.float64)
    zero = torch.zeros(3, basis.space.m, dtype=torch.float64)
    weights = made.weights(torch.zeros(basis.rank, dtype=torch.float64))
    y, _ = blocks.multiply(zero, weights, lambda y: by_orbits.add(y, c))
    torch.testing.assert_close(y, expected.vector(c).expand(3, -1))
    (adapted,) = blocks.adapted_gradient(gradient)
    found = by_orbits.adjoint(adapted)
    torch.testing.assert_close(found, expected.adjoint(gradient.sum(0)))
