"""Layers: y(ρ₁(g) x) = ρ₂(g) y(x) for every g, at the cost of one plain product."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import equibasis as eb
from equibasis.nn import EquivariantCombine, EquivariantLinear, InvariantAttentionPool
from equibasis.nn.expansion import BasisExpansion

# Some spaces here have parts that share no irrep with the other end: test_reach.py is of those.
pytestmark = pytest.mark.filterwarnings("ignore::equibasis.nn.UnreachedWarning")

# --- groups that are no permutations of pixels ---------------------------------------------------

AXIS = np.array([1.0, 2.0, 3.0]) / math.sqrt(14)
CROSS = np.array([[0, -AXIS[2], AXIS[1]], [AXIS[2], 0, -AXIS[0]], [-AXIS[1], AXIS[0], 0]])


def turn_plane(vectors: np.ndarray, sixth: int) -> np.ndarray:
    """Vectors (..., 2) turned by multiples of 60°."""
    c, s = math.cos(sixth * math.pi / 3), math.sin(sixth * math.pi / 3)
    return vectors @ np.array([[c, -s], [s, c]]).T


def turn_space(vectors: np.ndarray, sixth: int) -> np.ndarray:
    """Vectors (..., 3) turned by multiples of 60° about a slanted axis (Rodrigues' formula)."""
    angle = sixth * math.pi / 3
    rotation = np.eye(3) + math.sin(angle) * CROSS + (1 - math.cos(angle)) * CROSS @ CROSS
    return vectors @ rotation.T


def turn_field(field: np.ndarray, quarter: int) -> np.ndarray:
    """A vector field (2, n, n): its grid turned by 90°, and each vector with it."""
    for _ in range(quarter):
        field = np.stack([np.rot90(-field[1]), np.rot90(field[0])])
    return field


def flip_sign(vector: np.ndarray, sign: int) -> np.ndarray:
    """Scalars stay, longer vectors are multiplied by the sign."""
    return vector if vector.size == 1 else sign * vector


def shift_slanted(vector: np.ndarray, steps: int) -> np.ndarray:
    """Cyclic shifts, seen from a slanted orthonormal basis (a Householder reflection)."""
    normal = np.arange(1.0, vector.size + 1)
    reflection = np.eye(vector.size) - 2 * np.outer(normal, normal) / (normal @ normal)
    return reflection @ np.roll(reflection @ vector, steps)


def swap_stretched(pair: np.ndarray, swapped: int) -> np.ndarray:
    """(a, b) -> (2b, a/2): a group of order two whose matrices are not orthogonal."""
    return np.array([2 * pair[1], pair[0] / 2]) if swapped else pair


PLANE = eb.Group("plane", tuple(range(6)), turn_plane)
SPACE = eb.Group("space", tuple(range(6)), turn_space)
FIELDS = eb.Group("fields", tuple(range(4)), turn_field, axes=3)
SIGN = eb.Group("sign", (1, -1), flip_sign, axes=1)
SHIFTS = eb.Group("shifts", tuple(range(20)), shift_slanted, axes=1)
STRETCHED = eb.Group("stretched", (0, 1), swap_stretched, axes=1)


@dataclass(frozen=True)
class Problem:
    """A group acting on an input and an output space."""

    group: str | eb.Group
    input: str
    output: str


PROBLEMS = {
    "c4": Problem("c4", "6x6", "3x3"),
    "d4": Problem("d4", "5x5", "4x4"),
    "c2": Problem("c2", "2x3", "3x4"),
    "trivial": Problem("trivial", "2x2", "3x1"),
    "plane": Problem(PLANE, "2x2", "3x2"),
    "space, dense": Problem(SPACE, "3", "3"),
    "space, sparse": Problem(SPACE, "2x3", "4x3"),
    "fields": Problem(FIELDS, "2x5x5", "2x3x3"),
    "sign": Problem(SIGN, "3", "2"),
    "sign, no map but zero": Problem(SIGN, "3", "1"),
    "stretched": Problem(STRETCHED, "2", "2"),
    "sign field": Problem("d4", "5x5:pseudoscalar", "5x5"),
    "vector field": Problem("c4", "5x5:vector", "3x3"),
    "to a vector field": Problem("d4", "3x3", "3x3:vector + 1"),
    "generators": Problem("s5", "5x5", "5x5 + 5"),
    "generators and signs": Problem("p4", "4x4", "4x4:vector"),
}
LAYERS = [name for name in PROBLEMS if name != "sign, no map but zero"]
PERMUTATIONS = ["c4", "d4", "c2", "trivial", "sign field", "vector field", "generators"]
OTHERS = [name for name in LAYERS if name not in PERMUTATIONS]

# Each problem with each bias that its group allows: a scalar only where it permutes.
WITH_BIAS = [(name, bias) for name in LAYERS for bias in ("invariant", None)]
WITH_BIAS += [(name, "scalar") for name in PERMUTATIONS]


@functools.cache
def maps(name: str) -> eb.Basis:
    problem = PROBLEMS[name]
    return eb.solve(problem.group, input=problem.input, output=problem.output)


@functools.cache
def self_maps(name: str) -> eb.Basis:
    problem = PROBLEMS[name]
    return eb.solve(problem.group, input=problem.output, output=problem.output)


@functools.cache
def invariants(name: str) -> eb.Basis:
    problem = PROBLEMS[name]
    return eb.solve(problem.group, output=problem.output)


def entries_a_row(basis: eb.Basis) -> set[int]:
    return set(np.diff(sparse.csr_array(basis.matrix).indptr).tolist())


def scaled(basis: eb.Basis) -> np.ndarray:
    """B with columns scaled so that their non-zero entries have mean square 1."""
    dense = basis.matrix.toarray()
    return dense * np.sqrt((dense != 0).sum(axis=0))


@pytest.fixture
def in_float64() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@pytest.fixture(params=[torch.float64, torch.float32], ids=["float64", "float32"])
def tolerance(request: pytest.FixtureRequest) -> Iterator[float]:
    """How exact a layer built in each precision has to be."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(request.param)
    yield 1e-10 if request.param == torch.float64 else 1e-5
    torch.set_default_dtype(before)


def randomize(module: nn.Module) -> nn.Module:
    """Every parameter drawn anew, biases too: they start at zero and would prove nothing."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.uniform_(-1, 1)
    return module


def matrices(rho: Any) -> list[Tensor]:
    return [
        torch.from_numpy(rho.matrix(g).toarray()).to(torch.get_default_dtype())
        for g in range(rho.order)
    ]


def assert_close(found: Tensor, expected: Tensor, tolerance: float) -> None:
    assert found.shape == expected.shape
    scale = max(1.0, float(expected.detach().abs().max())) if expected.numel() else 1.0
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance * scale)


# --- EquivariantLinear ---------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "bias"), WITH_BIAS)
def test_y_of_rho1_x_is_rho2_y_of_x_for_every_g(
    name: str, bias: str | None, tolerance: float
) -> None:
    basis = maps(name)
    torch.manual_seed(0)
    layer = randomize(EquivariantLinear(basis, invariants(name) if bias == "invariant" else bias))
    x = torch.randn(7, basis.space.m)
    y = layer(x)
    for rho1, rho2 in zip(matrices(basis.space.input), matrices(basis.space.output), strict=True):
        assert_close(layer(x @ rho1.T), y @ rho2.T, tolerance)


@given(
    st.sampled_from(["trivial", "c2", "c4", "d4"]),
    st.integers(1, 6),
    st.integers(1, 6),
    st.integers(0, 2**32),
)
def test_every_weight_commutes_with_the_group(group: str, m: int, k: int, seed: int) -> None:
    basis = eb.solve(group, input=(m, m), output=(k, k))
    torch.manual_seed(seed)
    weight = EquivariantLinear(basis).weight().detach().numpy()
    for g in range(basis.space.output.order):
        rho1, rho2 = basis.space.input.matrix(g), basis.space.output.matrix(g)
        assert np.abs(rho2 @ weight - weight @ rho1.toarray()).max() < 1e-5


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.usefixtures("in_float64")
def test_the_weight_is_the_sum_of_coefficients_times_basis_matrices_of_mean_square_1(
    name: str,
) -> None:
    basis = maps(name)
    k, m = basis.space.k, basis.space.m
    layer = EquivariantLinear(basis)
    expected = np.zeros((k, m))
    for coefficient, column in zip(layer.coefficients.tolist(), scaled(basis).T, strict=True):
        assert np.square(column[column != 0]).mean() == pytest.approx(1)
        expected += coefficient * column.reshape(k, m)
    assert np.abs(layer.weight().detach().numpy() - expected).max() < 1e-14
    x = np.random.default_rng(0).standard_normal((4, m))
    assert np.abs(layer(torch.from_numpy(x)).detach().numpy() - x @ expected.T).max() < 1e-13


def test_any_number_of_batch_axes_goes_in_and_out() -> None:
    layer = EquivariantLinear(maps("c4"), invariants("c4"))
    x = torch.randn(2, 3, 36)
    assert layer(x).shape == (2, 3, 9)
    torch.testing.assert_close(layer(x)[1, 2], layer(x[1, 2]))


def test_a_layer_has_as_many_coefficients_as_the_basis_has_columns() -> None:
    layer = EquivariantLinear(
        eb.solve("c4", input="14x14", output="6x6"), eb.solve("c4", output="6x6"), start="variance"
    )
    assert sorted(p.numel() for p in layer.parameters()) == [9, 1764]


@pytest.mark.parametrize("name", ["sign field", "vector field", "to a vector field"])
@pytest.mark.parametrize("cast", [False, True], ids=["built in float64", "cast to it"])
def test_a_signed_layer_is_the_dense_product_to_the_last_digits(name: str, cast: bool) -> None:
    basis = maps(name)
    assert basis.of_orbits
    assert set(np.unique(scaled(basis)).round(12)) == {-1, 0, 1}
    torch.manual_seed(0)
    if cast:
        layer = randomize(EquivariantLinear(basis)).double()
    else:
        torch.set_default_dtype(torch.float64)
        try:
            layer = randomize(EquivariantLinear(basis))
        finally:
            torch.set_default_dtype(torch.float32)
    weight = scaled(basis) @ layer.coefficients.detach().numpy()
    weight = weight.reshape(basis.space.k, basis.space.m)
    assert layer.weight().dtype == torch.float64
    np.testing.assert_allclose(layer.weight().detach().numpy(), weight, rtol=0, atol=1e-15)
    x = torch.randn(4, basis.space.m, dtype=torch.float64)
    np.testing.assert_allclose(layer(x).detach().numpy(), x.numpy() @ weight.T, atol=1e-13)
    plain = layer.to_linear()
    assert plain.weight.dtype == torch.float64
    np.testing.assert_allclose(plain(x).detach().numpy(), x.numpy() @ weight.T, atol=1e-13)


@pytest.mark.parametrize("name", ["sign field", "vector field", "c4", "space, dense"])
def test_a_layer_there_and_back_between_precisions_loses_nothing(name: str) -> None:
    expansion = BasisExpansion(maps(name))
    before = expansion.double()(torch.ones(maps(name).rank, dtype=torch.float64))
    for module in (expansion.half().double(), expansion.bfloat16().float().double()):
        after = module(torch.ones(maps(name).rank, dtype=torch.float64))
        assert torch.equal(after, before)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_gradients_of_long_orbits_add_up_in_half_precision(dtype: torch.dtype) -> None:
    """1 + 1 + ... stands still at 2048, or at 256, where each sum is rounded."""
    basis = eb.solve("z64*z64", output="64x64")
    coefficients = torch.ones(1, dtype=dtype, requires_grad=True)
    BasisExpansion(basis).to(dtype)(coefficients).sum().backward()
    assert coefficients.grad == basis.space.k == 4096


@pytest.mark.parametrize("name", ["sign field", "generators"])
def test_a_layer_survives_copying_and_pickling(name: str, tmp_path: Path) -> None:
    layer = randomize(EquivariantLinear(maps(name), invariants(name)))
    torch.save(layer, tmp_path / "layer.pt")
    loaded = torch.load(tmp_path / "layer.pt", weights_only=False)
    for other in (copy.deepcopy(layer), loaded):
        assert torch.equal(other.weight(), layer.weight())
        assert torch.equal(other.double().weight(), copy.deepcopy(layer).double().weight())


@pytest.mark.parametrize("name", OTHERS)
def test_a_layer_cast_to_float64_is_as_exact_as_one_built_in_float64(name: str) -> None:
    basis = maps(name)
    torch.manual_seed(0)
    layer = randomize(EquivariantLinear(basis, invariants(name))).double()
    x = torch.randn(3, basis.space.m, dtype=torch.float64)
    for g in range(basis.space.output.order):
        rho1 = torch.from_numpy(basis.space.input.matrix(g).toarray())
        rho2 = torch.from_numpy(basis.space.output.matrix(g).toarray())
        assert_close(layer(x @ rho1.T), layer(x) @ rho2.T, 1e-10)


# --- the bias ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LAYERS)
def test_an_invariant_bias_is_kept_by_every_g(name: str, tolerance: float) -> None:
    basis, fixed = maps(name), invariants(name)
    layer = randomize(EquivariantLinear(basis, fixed))
    bias = layer.bias()
    assert bias.shape == (basis.space.k,)
    assert bool(bias.any()) == (fixed.rank > 0)
    for rho2 in matrices(basis.space.output):
        assert_close(rho2 @ bias, bias, tolerance)


@pytest.mark.parametrize("name", PERMUTATIONS)
def test_a_scalar_bias_is_one_number_for_all_outputs(name: str) -> None:
    layer = randomize(EquivariantLinear(maps(name), "scalar"))
    assert len(layer.bias().unique()) == 1
    at_zero = layer(torch.zeros(maps(name).space.m))
    assert len(at_zero.unique()) == 1
    assert at_zero[0] != 0


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_without_bias_sends_zero_to_zero(name: str) -> None:
    layer = randomize(EquivariantLinear(maps(name), None))
    assert layer.bias() is None
    assert not layer(torch.zeros(maps(name).space.m)).any()


@pytest.mark.parametrize("name", LAYERS)
def test_every_bias_starts_at_zero(name: str) -> None:
    assert not EquivariantLinear(maps(name), invariants(name)).bias().any()


@pytest.mark.parametrize("name", OTHERS)
def test_a_scalar_bias_is_refused_where_the_group_does_not_permute(name: str) -> None:
    basis = maps(name)
    with pytest.raises(eb.ModelError, match="only under permutations") as caught:
        EquivariantLinear(basis, "scalar")
    assert str(basis.space) in str(caught.value)


def turned_the_other_way(array: np.ndarray, element: str) -> np.ndarray:
    return np.rot90(array, -int(element[1:]) // 90)


CLOCKWISE = eb.Group("c4", ("r0", "r90", "r180", "r270"), turned_the_other_way, axes=2)


@pytest.mark.parametrize(
    "bias",
    [
        pytest.param(lambda: eb.solve("c4", output="6x6"), id="invariants of another shape"),
        pytest.param(
            lambda: eb.solve("c4", input="3x3", output="3x3"), id="equivariant, not invariant"
        ),
        pytest.param(lambda: eb.solve("c2", output="3x3"), id="invariants of a subgroup"),
        pytest.param(lambda: eb.solve("d4", output="3x3"), id="invariants of a larger group"),
        pytest.param(
            lambda: eb.solve("trivial", output="3x3"), id="invariants of the trivial group"
        ),
        pytest.param(lambda: eb.solve(CLOCKWISE, output="3x3"), id="same names, another action"),
        pytest.param(lambda: eb.solve("c4", output="9*1"), id="as many numbers, another space"),
        pytest.param(lambda: eb.solve("c4", output="2*3x3"), id="invariants of a sum"),
    ],
)
def test_a_bias_that_does_not_fit_is_refused_naming_both_bases(bias: Any) -> None:
    basis, wrong = maps("c4"), bias()
    for build in (
        lambda: EquivariantLinear(basis, wrong),
        lambda: EquivariantCombine(basis, wrong),
    ):
        with pytest.raises(eb.ModelError) as caught:
            build()
        assert str(basis.space) in str(caught.value)
        assert str(wrong.space) in str(caught.value)


def test_a_linear_layer_refuses_a_basis_of_invariants() -> None:
    with pytest.raises(eb.ModelError, match="c4: invariants of 3x3"):
        EquivariantLinear(invariants("c4"))


@pytest.mark.parametrize("bias", ["invariant", "vector", "", 0, True])
def test_an_unknown_bias_is_refused(bias: Any) -> None:
    with pytest.raises(eb.ModelError, match="'scalar' or None"):
        EquivariantLinear(maps("c4"), bias)


# --- the start -----------------------------------------------------------------------------------


def test_coefficients_start_uniform_in_plus_minus_one_over_root_k() -> None:
    basis = eb.solve("c4", input="14x14", output="6x6")
    torch.manual_seed(0)
    layer = EquivariantLinear(basis)
    # Of the orthonormal basis matrices, that is: each holds an entry of 1/2 in four places.
    of_orbits = 2 * layer.weight().detach()
    assert of_orbits.abs().max() <= 1 / 6 + 1e-7
    # Uniform on ±1/6: the mean is 0 and the standard deviation 1/6/√3.
    assert abs(float(of_orbits.mean())) < 0.01
    assert float(of_orbits.std()) == pytest.approx(1 / 6 / math.sqrt(3), rel=0.05)


@pytest.mark.parametrize("name", ["d4", "space, sparse"])
def test_white_noise_keeps_its_variance_from_the_variance_start(name: str) -> None:
    basis = eb.solve("c4", input="3x3", output="6x6") if name == "c4 up" else maps(name)
    torch.manual_seed(0)
    powers = []
    layer = EquivariantLinear(basis, start="variance")
    for _ in range(100):
        layer.reset_parameters()
        powers.append(float(layer(torch.randn(100, basis.space.m)).detach().square().mean()))
    assert np.mean(powers) == pytest.approx(1, rel=0.2)


def test_white_noise_does_not_keep_its_variance_from_the_reference_start() -> None:
    basis = eb.solve("c4", input="3x3", output="6x6")
    torch.manual_seed(0)
    power = EquivariantLinear(basis)(torch.randn(100, 9)).square().mean()
    assert power < 0.2  # 9 inputs, coefficients of variance 1/36/3: 1/12


def test_white_noise_keeps_its_variance_in_the_combination() -> None:
    torch.manual_seed(0)
    powers = []
    combine = EquivariantCombine(self_maps("c4"), invariants("c4"), features=5, start="variance")
    for _ in range(200):
        combine.reset_parameters()
        y = combine(torch.randn(100, 9), torch.randn(100, 5)).detach()
        powers.append(float(y.square().mean()))
    assert np.mean(powers) == pytest.approx(1, rel=0.2)


@pytest.mark.parametrize("start", ["zeros", "", None])
def test_an_unknown_start_is_refused(start: Any) -> None:
    with pytest.raises(eb.ModelError, match="'reference' or 'variance'"):
        EquivariantLinear(maps("c4"), start=start)
    with pytest.raises(eb.ModelError, match="'reference' or 'variance'"):
        EquivariantCombine(self_maps("c4"), invariants("c4"), start=start)


def test_one_seed_gives_one_start_and_resetting_draws_another() -> None:
    def draw() -> EquivariantLinear:
        torch.manual_seed(3)
        return EquivariantLinear(maps("c4"), invariants("c4"))

    layer = draw()
    assert torch.equal(layer.coefficients, draw().coefficients)
    before = layer.coefficients.detach().clone()
    randomize(layer.bias)
    layer.reset_parameters()
    assert not torch.equal(layer.coefficients, before)
    assert not layer.bias().any()


# --- BasisExpansion: one result, three code paths ------------------------------------------------


EXPANSIONS = {
    "one entry a row": lambda: maps("c4"),
    "one entry a row, with signs": lambda: maps("fields"),
    "at most one entry a row": lambda: invariants("fields"),
    "several entries a row": lambda: maps("space, sparse"),
    "several entries a row of few": lambda: maps("space, dense"),
    "one column": lambda: invariants("space, dense"),
    "no column": lambda: invariants("sign"),
    "orbits with signs, rows of zeros": lambda: maps("sign field"),
    "orbits with signs, few": lambda: eb.solve("c4", input="2x2:vector", output="2x2:vector"),
    "orbits of generators": lambda: maps("generators"),
}


def test_the_expansions_below_are_of_every_form() -> None:
    found = {name: entries_a_row(basis()) for name, basis in EXPANSIONS.items()}
    assert found["one entry a row"] == {1}
    assert found["one entry a row, with signs"] == {1}
    assert found["at most one entry a row"] == {0, 1}
    assert found["several entries a row"] == {1, 2, 3}
    assert found["several entries a row of few"] == {1, 2, 3}
    assert found["one column"] == {1}
    assert found["no column"] == {0}
    assert found["orbits with signs, rows of zeros"] == {0, 1}
    assert found["orbits with signs, few"] == {1}
    for name in ("orbits with signs, rows of zeros", "orbits with signs, few"):
        assert EXPANSIONS[name]().of_orbits
        assert EXPANSIONS[name]().matrix.min() < 0


@pytest.mark.parametrize("name", EXPANSIONS)
@pytest.mark.usefixtures("in_float64")
def test_an_expansion_is_the_scaled_dense_product_forward_and_backward(name: str) -> None:
    basis = EXPANSIONS[name]()
    dense = torch.from_numpy(scaled(basis))
    torch.manual_seed(0)
    coefficients = torch.randn(basis.rank, requires_grad=True)
    found = BasisExpansion(basis)(coefficients)
    assert_close(found, dense @ coefficients, 1e-13)
    seed = torch.randn(len(dense))
    (gradient,) = torch.autograd.grad(found, coefficients, seed)
    assert_close(gradient, dense.T @ seed, 1e-13)


@pytest.mark.parametrize("name", [name for name in EXPANSIONS if name != "no column"])
@pytest.mark.usefixtures("in_float64")
def test_the_gradient_of_an_expansion_is_its_derivative(name: str) -> None:
    smaller = {
        "one entry a row, with signs": "orbits with signs, few",
        "orbits with signs, rows of zeros": "orbits with signs, few",
    }
    basis = EXPANSIONS[smaller.get(name, name)]()
    coefficients = torch.randn(basis.rank, requires_grad=True)
    assert torch.autograd.gradcheck(BasisExpansion(basis), (coefficients,))


@pytest.mark.parametrize("name", ["c4", "space, dense", "space, sparse", "sign"])
@pytest.mark.usefixtures("in_float64")
def test_the_gradients_of_a_layer_are_its_derivatives(name: str) -> None:
    layer = randomize(EquivariantLinear(self_maps(name), invariants(name)))
    x = torch.randn(2, layer.in_features, requires_grad=True)
    names, parameters = zip(*layer.named_parameters(), strict=True)

    def output(x: Tensor, *parameters: Tensor) -> Tensor:
        return torch.func.functional_call(layer, dict(zip(names, parameters, strict=True)), (x,))

    assert torch.autograd.gradcheck(output, (x, *(p for p in parameters)))


@pytest.mark.parametrize("name", ["c4", "fields"])
def test_an_entry_of_the_vector_is_as_large_as_its_coefficient_for_orbits_of_one_size(
    name: str,
) -> None:
    basis = eb.solve("c4", output="6x6") if name == "c4" else eb.solve(FIELDS, output="2x4x4")
    coefficients = torch.arange(1.0, basis.rank + 1)
    vector = BasisExpansion(basis)(coefficients)
    assert sorted({round(float(v), 4) for v in vector.abs()}) == coefficients.tolist()


# --- memory: no (r, k, m) stack ------------------------------------------------------------------


class LargestTensor(TorchDispatchMode):
    """Counts operations, and the elements of the largest tensor that one of them creates."""

    def __init__(self, known: list[Tensor]) -> None:
        super().__init__()
        self.known = {tensor.untyped_storage().data_ptr() for tensor in known}
        self.operations = 0
        self.elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.operations += 1
        for each in result if isinstance(result, (tuple, list)) else (result,):
            self.see(each)
        return result

    def see(self, tensor: Any) -> Any:
        if isinstance(tensor, Tensor) and tensor.untyped_storage().data_ptr() not in self.known:
            stored = tensor.untyped_storage().nbytes() // tensor.element_size()
            self.elements = max(self.elements, stored)
        return tensor


STACKS = {
    "orbits": lambda: eb.solve("c4", input="14x14", output="6x6"),
    "signed orbits": lambda: eb.solve(FIELDS, input="2x6x6", output="2x4x4"),
    "several entries a row": lambda: eb.solve(SPACE, input="10x3", output="8x3"),
    "all entries": lambda: eb.solve(SHIFTS, input="20", output="20"),
}


@pytest.mark.parametrize("name", STACKS)
def test_forward_and_backward_never_create_a_stack_of_basis_matrices(name: str) -> None:
    basis = STACKS[name]()
    k, m, r = basis.space.k, basis.space.m, basis.rank
    bound = 2 * k * m
    assert bound < r * k * m / 5
    layer = EquivariantLinear(basis)
    x = torch.randn(2, m, requires_grad=True)
    largest = LargestTensor([x, *layer.parameters(), *layer.buffers()])
    saved = torch.autograd.graph.saved_tensors_hooks(largest.see, lambda tensor: tensor)
    with largest, saved:
        loss = layer(x).square().sum()
        forward = largest.operations
        loss.backward()
    assert 0 < forward < largest.operations
    assert k * m <= largest.elements <= bound
    assert layer.coefficients.grad is not None
    assert layer.coefficients.grad.any()


# --- deployment and state ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["c4", "space, dense", "space, sparse"])
@pytest.mark.parametrize("bias", ["invariant", None])
def test_the_plain_layer_has_equal_outputs(name: str, bias: str | None, tolerance: float) -> None:
    layer = randomize(EquivariantLinear(maps(name), invariants(name) if bias else None))
    plain = layer.to_linear()
    assert type(plain) is nn.Linear
    assert (plain.bias is not None) == (bias is not None)
    assert plain.weight.dtype == layer.coefficients.dtype
    x = torch.randn(5, layer.in_features)
    expected = layer(x).detach()
    assert torch.equal(plain(x), expected)
    randomize(layer)  # the plain layer is a copy, it does not follow
    assert torch.equal(plain(x), expected)


def test_the_plain_layer_of_a_scalar_bias_has_equal_outputs() -> None:
    layer = randomize(EquivariantLinear(maps("c4"), "scalar"))
    x = torch.randn(5, 36)
    assert torch.equal(layer.to_linear()(x), layer(x))


def every_layer() -> list[nn.Module]:
    return [
        EquivariantLinear(maps("c4"), invariants("c4")),
        EquivariantLinear(maps("c4"), "scalar"),
        EquivariantLinear(maps("c4")),
        EquivariantLinear(maps("space, dense"), invariants("space, dense")),
        InvariantAttentionPool(invariants("c4")),
        InvariantAttentionPool(invariants("space, dense")),
        EquivariantCombine(self_maps("c4"), invariants("c4")),
    ]


def test_the_state_holds_parameters_and_of_the_basis_its_name_alone() -> None:
    for layer in every_layer():
        parameters = {name: p.shape for name, p in layer.named_parameters()}
        state = {name: t.shape for name, t in layer.state_dict().items()}
        names = {name for name in state if name.endswith("_extra_state")}
        assert {name: shape for name, shape in state.items() if name not in names} == parameters
        assert parameters
        assert len(names) == 1 + any(name.endswith("bias._extra_state") for name in names)
        assert max(state[name].numel() for name in names) < 300


def test_a_loaded_state_gives_the_same_outputs() -> None:
    layer = randomize(EquivariantLinear(maps("c4"), invariants("c4")))
    other = EquivariantLinear(maps("c4"), invariants("c4"))
    x = torch.randn(3, 36)
    assert not torch.equal(other(x), layer(x))
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other(x), layer(x))


# --- InvariantAttentionPool ----------------------------------------------------------------------

POOLED = ["c4", "d4", "plane", "space, dense", "fields", "to a vector field"]


@pytest.mark.parametrize(("group", "space"), [("s20", "20"), ("so3", "V"), ("o3*s5", "(5)*V")])
def test_attention_refuses_a_group_of_too_many_elements(group: str, space: str) -> None:
    basis = eb.solve(group, input=space, output=space)
    with pytest.raises(eb.ModelError, match="too many to list") as caught:
        InvariantAttentionPool(basis)
    assert str(basis.space) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", [*POOLED, "generators", "generators and signs"])
def test_attention_pooling_is_invariant(name: str, tolerance: float) -> None:
    pool = randomize(InvariantAttentionPool(invariants(name)))
    torch.manual_seed(0)
    h = torch.randn(6, pool.query.numel())
    pooled = pool(h)
    assert pooled.shape == h.shape
    for rho in matrices(invariants(name).space.output):
        assert_close(pool(h @ rho.T), pooled, tolerance)


@pytest.mark.parametrize("name", POOLED)
def test_the_attention_of_a_moved_h_is_the_attention_permuted(name: str, tolerance: float) -> None:
    pool = randomize(InvariantAttentionPool(invariants(name)))
    torch.manual_seed(0)
    h = torch.randn(6, pool.query.numel())
    attention = pool.attention(h)
    rho = matrices(invariants(name).space.output)
    assert attention.shape == (6, len(rho))
    torch.testing.assert_close(attention.sum(dim=1), torch.ones(6))
    for g in range(len(rho)):
        # αᵢ(ρ(g) h) scores ρ(gᵢ) ρ(g) h, so it is the attention of the element gᵢ g.
        products = [
            min(range(len(rho)), key=lambda j: float((rho[j] - rho_i @ rho[g]).abs().max()))
            for rho_i in rho
        ]
        assert sorted(products) == list(range(len(rho)))
        assert_close(pool.attention(h @ rho[g].T), attention[:, products], tolerance)
    assert not torch.allclose(attention[:, :1], attention)


@pytest.mark.parametrize("name", ["c4", "space, dense"])
@pytest.mark.usefixtures("in_float64")
def test_the_pooled_vector_is_the_attention_weighted_mean_of_the_orbit(name: str) -> None:
    pool = randomize(InvariantAttentionPool(invariants(name)))
    h = torch.randn(3, pool.query.numel())
    orbit = torch.stack([h @ rho.T for rho in matrices(invariants(name).space.output)], dim=1)
    weights = torch.softmax(orbit @ pool.query, dim=1)
    assert_close(pool.attention(h), weights, 1e-12)
    assert_close(pool(h), (weights[:, :, None] * orbit).sum(dim=1), 1e-12)


def test_attention_over_generated_elements_is_that_over_listed_ones() -> None:
    listed, generators = eb.find_group("c4"), eb.subgroup("c4", "c4", ["r90"])
    generators = replace(generators, complete=False)
    pools = [InvariantAttentionPool(eb.solve(each, output="3x3")) for each in (listed, generators)]
    h = torch.randn(5, 9)
    with torch.no_grad():
        pools[1].query.copy_(pools[0].query)
    torch.testing.assert_close(pools[1](h), pools[0](h))


def test_a_zero_query_pools_to_the_plain_mean_which_is_an_invariant_vector() -> None:
    pool = InvariantAttentionPool(invariants("c4"))
    with torch.no_grad():
        pool.query.zero_()
    h = torch.randn(3, 9)
    pooled = pool(h)
    for rho in matrices(invariants("c4").space.output):
        assert_close(pooled @ rho.T, pooled, 1e-6)


def test_the_query_starts_normal_of_deviation_one_hundredth() -> None:
    torch.manual_seed(0)
    query = InvariantAttentionPool(eb.solve("c4", output="40x40")).query.detach()
    assert float(query.std()) == pytest.approx(0.01, rel=0.1)
    assert abs(float(query.mean())) < 0.001


# --- EquivariantCombine --------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "bias"), WITH_BIAS)
def test_combining_an_equivariant_and_an_invariant_vector_is_equivariant(
    name: str, bias: Any, tolerance: float
) -> None:
    basis = maps(name)
    torch.manual_seed(0)
    combine = randomize(EquivariantCombine(basis, invariants(name), features=4, bias=bias))
    h, g = torch.randn(5, basis.space.m), torch.randn(5, 4)
    y = combine(h, g)
    assert y.shape == (5, basis.space.k)
    for rho1, rho2 in zip(matrices(basis.space.input), matrices(basis.space.output), strict=True):
        assert_close(combine(h @ rho1.T, g), y @ rho2.T, tolerance)


def test_both_arguments_of_the_combination_count() -> None:
    combine = randomize(EquivariantCombine(self_maps("c4"), invariants("c4")))
    h, g = torch.randn(2, 9), torch.randn(2, 9)
    zero = torch.zeros(2, 9)
    bias = combine(zero, zero)
    assert not torch.equal(combine(h, zero), bias)
    assert not torch.equal(combine(zero, g), bias)
    torch.testing.assert_close(combine(h, g), combine(h, zero) + combine(zero, g) - bias)


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("features", [0, 1, 3])
def test_the_combination_is_the_linear_layer_from_the_sum_with_numbers(
    name: str, features: int
) -> None:
    if self_maps(name).kind == "invariant":
        pytest.skip("maps from the scalars are invariant vectors")
    combine = EquivariantCombine(self_maps(name), invariants(name), features)
    problem = PROBLEMS[name]
    input_ = problem.output + (f" + {features}*1" if features else "")
    basis = eb.solve(problem.group, input=input_, output=problem.output)
    assert combine.linear.domain.dimension == basis.space.m
    expected = EquivariantLinear(basis, invariants(name))
    randomize(expected)
    combine.linear.load_state_dict(expected.state_dict())
    h, g = torch.randn(4, basis.space.m - features), torch.randn(4, features)
    assert_close(combine(h, g), expected(torch.cat([h, g], 1)), 1e-5)


def test_a_network_with_attention_is_equivariant_as_a_whole(tolerance: float) -> None:
    first = randomize(EquivariantLinear(maps("d4"), invariants("d4")))
    pool = randomize(InvariantAttentionPool(invariants("d4")))
    combine = randomize(EquivariantCombine(self_maps("d4"), invariants("d4")))
    torch.manual_seed(0)
    x = torch.randn(4, first.in_features) / 10

    def network(x: Tensor) -> Tensor:
        h = torch.tanh(first(x))
        return combine(h, pool(h))

    space = maps("d4").space
    for rho1, rho2 in zip(matrices(space.input), matrices(space.output), strict=True):
        assert_close(network(x @ rho1.T), network(x) @ rho2.T, tolerance)
