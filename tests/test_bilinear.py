"""What is bilinear in two vectors, layers of degree two, and networks of groups that mix axes."""

from __future__ import annotations

import copy
import functools
import io
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from scipy import linalg
from torch import Tensor, nn

import by_hand
import equibasis as eb
from equibasis.nn import (
    EquivariantBatchNorm,
    EquivariantBilinear,
    EquivariantLayerNorm,
    EquivariantLinear,
    EquivariantMLP,
    EquivariantQuadratic,
    EquivariantSequential,
    FeatureSpace,
    GatedActivation,
    InvariantForms,
    NormActivation,
    NormPool,
    OnInvariants,
    UnreachedWarning,
    activation_for,
    export,
)
from equibasis.nn.activations import DirectSumActivation
from some_layers import basis, features, quadratic, refused

SL3 = eb.matrix_group(
    "sl3", algebra=[np.eye(3, k=1), np.eye(3, k=-1), np.diag([1.0, -1, 0]), np.diag([0.0, 1, -1])]
)
SL2 = eb.matrix_group("sl2", algebra=[np.eye(2, k=1), np.eye(2, k=-1)])
# Compact, in coordinates where its matrices are not orthogonal.
SKEW = np.array([[1.0, 0.3, 0], [0, 1.2, 0.1], [0, 0, 0.9]])
SKEWED = eb.matrix_group(
    "skewed rotations",
    algebra=[SKEW @ each @ np.linalg.inv(SKEW) for each in by_hand.rotations(3).values()],
)
GROUPS = {
    "so3": by_hand.SO3,
    "o3": by_hand.O3,
    "lorentz": by_hand.LORENTZ,
    "sl2": SL2,
    "sl3": SL3,
    "skewed rotations": SKEWED,
}


@pytest.fixture(autouse=True)
def in_float64(tmp_path_factory: Any, monkeypatch: Any) -> Iterator[None]:
    monkeypatch.setenv("EQUIBASIS_CACHE", str(tmp_path_factory.getbasetemp() / "bases"))
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(before)


def space(group: str, text: str) -> FeatureSpace:
    return features(GROUPS.get(group, group), text)


def random_elements(*spaces: FeatureSpace, seed: int) -> list[Tensor]:
    """ρ(g) on each space of one g: a product of discrete elements and exponentials, at random."""
    draw = np.random.default_rng(seed)
    found = [np.eye(each.dimension) for each in spaces]
    count = spaces[0].continuous
    for _ in range(2):
        listed = len(spaces[0].elements) - count
        if listed:
            g = int(draw.integers(listed))
            found = [
                each.representation.matrix(g) @ one for each, one in zip(spaces, found, strict=True)
            ]
        if count:
            factors = draw.uniform(-0.6, 0.6, count)
            for number, each in enumerate(spaces):
                algebra = each.representation.algebra
                turn = sum((c * a for c, a in zip(factors, algebra, strict=False)), 0.0)
                if len(algebra):
                    found[number] = linalg.expm(turn.toarray()) @ found[number]
    return [torch.from_numpy(np.asarray(each)) for each in found]


def assert_commutes(
    function: Callable[..., Tensor],
    inputs: list[FeatureSpace],
    output: FeatureSpace,
    dtype: torch.dtype = torch.float64,
    tolerance: float = 1e-12,
) -> None:
    """f(ρ(g) x, …) = ρ(g) f(x, …) for random g, beside the largest number that occurs."""
    for seed in range(4):
        *moves, after = (each.to(dtype) for each in random_elements(*inputs, output, seed=seed))
        vectors = [torch.randn(2, 3, each.dimension, dtype=dtype) for each in inputs]
        found = function(*(x @ g.T for x, g in zip(vectors, moves, strict=True)))
        expected = function(*vectors) @ after.T
        scale = max(1.0, float(expected.detach().abs().max()))
        assert float((found - expected).detach().abs().max()) <= tolerance * scale


def stirred(network: Any) -> Any:
    """With all parameters away from their start."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += torch.randn_like(parameter) / 10
    return network


# --- EquivariantBilinear --------------------------------------------------------------------------

PRODUCTS = {
    "so3": ("2*V + 1", "V + 3*1", "V*V + 2*V + 1"),
    "o3": ("2*V + 2*1", "V*V", "3*V + sym(V, 2)"),
    "lorentz": ("2*V + 1", "V + dual(V)", "V*V + 2*1"),
    "sl2": ("2*V", "3*V", "1 + sym(V, 2)"),
    "sl3": ("V", "V + dual(V)", "dual(V) + 2*1"),
    "skewed rotations": ("2*V", "V + 1", "2*V + 1"),
    "c4": ("3x3", "2x2", "3x3:vector + 1"),
    "d4": ("3x3:vector", "2x2:pseudoscalar", "1 + 2x2:pseudoscalar + 2x2:vector"),
    "s4": ("4x4", "4", "4 + 1"),
    "sixth": ("2*V", "V + 1", "3*V + V*V + 2*1"),
}


@functools.cache
def bilinear(group: str) -> EquivariantBilinear:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnreachedWarning)
        return EquivariantBilinear(*(space(group, text) for text in PRODUCTS[group]))


@pytest.mark.parametrize("group", PRODUCTS)
def test_it_is_the_combination_of_the_basis_that_its_coefficients_say(group: str) -> None:
    layer = bilinear(group)
    matrix = layer.basis.matrix.toarray()
    matrix = matrix * np.sqrt(np.count_nonzero(matrix, axis=0))
    weight = torch.from_numpy(matrix @ layer.coefficients.detach().numpy())
    sizes = layer.codomain.dimension, layer.first.dimension, layer.second.dimension
    x, y = torch.randn(2, 5, sizes[1]), torch.randn(2, 5, sizes[2])
    expected = torch.einsum("kij,...i,...j->...k", weight.view(sizes), x, y)
    torch.testing.assert_close(layer(x, y), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(layer(x[0, 0], y), layer(x[:1, :1].expand(2, 5, -1), y))


@pytest.mark.parametrize("group", PRODUCTS)
def test_it_is_equivariant_in_both_together(group: str) -> None:
    layer = bilinear(group)
    ends = [layer.first, layer.second], layer.codomain
    assert_commutes(layer, *ends)
    short = copy.deepcopy(layer).float()
    assert_commutes(short, *ends, torch.float32, 1e-5)


@pytest.mark.parametrize("group", ["so3", "lorentz", "d4"])
def test_its_first_and_second_derivatives_are_right(group: str) -> None:
    layer = bilinear(group)
    x, y = (torch.randn(2, each.dimension) for each in (layer.first, layer.second))
    c = layer.coefficients.detach().clone()

    def of_all(x: Tensor, y: Tensor, c: Tensor) -> Tensor:
        return torch.func.functional_call(layer, {"coefficients": c}, (x, y))

    numbers = tuple(each.requires_grad_() for each in (x, y, c))
    assert torch.autograd.gradcheck(of_all, numbers)
    assert torch.autograd.gradgradcheck(of_all, numbers)


def test_of_two_vectors_there_is_one_scalar_and_in_space_one_vector() -> None:
    v, one = space("so3", "V"), space("so3", "1")
    x, y = torch.randn(2, 6, 3)
    for output, expected in ((one, (x * y).sum(1, keepdim=True)), (v, torch.linalg.cross(x, y))):
        layer = EquivariantBilinear(v, v, output)
        assert layer.rank == 1
        torch.testing.assert_close(
            layer(x, y) / layer.coefficients.detach().abs(),
            expected * (torch.sign(layer(x, y)[0, 0] * expected[0, 0])),
        )


def test_what_reflections_keep_apart_is_refused() -> None:
    v = space("o3", "V")
    assert "so the output cannot depend on the input" in refused(
        lambda: EquivariantBilinear(v, v, v)
    )
    with pytest.warns(UnreachedWarning, match="'V' at entries 0 to 2"):
        layer = EquivariantBilinear(v, v, space("o3", "V + 1"))
    assert not layer(torch.randn(3), torch.randn(3))[:3].any()
    assert layer.reach.outputs.tolist() == [False] * 3 + [True]


def test_spaces_and_bases_are_taken_alike_and_maps_of_the_product_as_they_are() -> None:
    maps = eb.solve(by_hand.SO3, input="(2*V)*(V + 1)", output="V + 1")
    of_bases = EquivariantBilinear(
        basis(by_hand.SO3, "2*V"), basis(by_hand.SO3, "V + 1"), basis(by_hand.SO3, "V + 1")
    )
    two, both = space("so3", "2*V"), space("so3", "V + 1")
    solved, taken = EquivariantBilinear(two, both, both), EquivariantBilinear(two, both, maps)
    assert taken.basis is maps
    x, y = torch.randn(5, 6), torch.randn(5, 4)
    for other in (of_bases, taken):
        other.load_state_dict(solved.state_dict())
        assert torch.equal(other(x, y), solved(x, y))


def test_what_does_not_fit_is_told_in_the_words_of_spaces() -> None:
    layer = bilinear("so3")
    right = torch.randn(4, 7), torch.randn(4, 6)
    for wrong, said in (
        ((right[1], right[0]), "(..., 7) of 2*V + 1 of rotations, not float64 (4, 6)"),
        ((right[0], right[0]), "(..., 6) of V + 3*1 of rotations, not float64 (4, 7)"),
        ((right[0].float(), right[1]), "takes float64 vectors"),
        ((right[0], right[1].long()), "takes float64 vectors"),
        ((right[0], torch.randn(3, 6)), "batches of one shape, not (4, 7) and (3, 6)"),
        ((right[0], None), "EquivariantBilinear takes"),
    ):
        assert said in refused(lambda wrong=wrong: layer(*wrong))
    assert "different groups" in refused(
        lambda: EquivariantBilinear(space("so3", "V"), space("o3", "V"), space("so3", "1"))
    )
    for number in range(3):
        given = [space("so3", "V")] * 3
        given[number] = "V"
        assert "EquivariantBilinear needs a space" in refused(
            lambda g=given: EquivariantBilinear(*g)
        )


def test_weights_are_of_both_spaces_in_their_order() -> None:
    few, many, one = (features("trivial", text) for text in ("2*1", "3*1", "1"))
    layer = EquivariantBilinear(few, many, one)
    assert layer.coefficients.shape == (6,)
    for other in (
        EquivariantBilinear(many, few, one),
        EquivariantLinear(basis("trivial", "1", "6*1")),
    ):
        with pytest.raises(eb.ModelError, match="are not for EquivariantBilinear"):
            layer.load_state_dict(other.state_dict(), strict=False)
    again = EquivariantBilinear(few, many, one)
    again.load_state_dict(layer.state_dict())
    assert torch.equal(again.coefficients, layer.coefficients)


@pytest.mark.parametrize("group", ["so3", "sixth"])
def test_of_white_noise_it_makes_white_noise(group: str) -> None:
    layer = bilinear(group)
    x, y = torch.randn(16, layer.first.dimension), torch.randn(16, layer.second.dimension)
    squares = []
    for _ in range(100):
        layer.reset_parameters()
        squares.append(layer(x, y).detach().square().mean())
    assert float(torch.stack(squares).mean()) == pytest.approx(1.0, rel=0.25)


# --- EquivariantQuadratic -------------------------------------------------------------------------


def test_it_is_linear_plus_products_of_factors() -> None:
    layer = stirred(quadratic(by_hand.SO3, "V + 1", "2*V + 1"))
    x = torch.randn(5, 4)
    products = layer.bilinear(layer.first(x), layer.second(x))
    torch.testing.assert_close(layer(x), layer.linear(x) + products / 10 + layer.bias())
    assert torch.equal(copy.deepcopy(layer)(x), layer(x))
    half = quadratic(by_hand.SO3, "V", "V + 1")  # W does not reach the 1
    assert half.scales.tolist() == [0.1] * 3 + [1.0]


def test_where_nothing_is_linear_it_is_products_alone() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layer = quadratic(by_hand.LORENTZ, "2*V", "3*1")
    assert layer.linear is None
    x = torch.randn(5, 8)
    torch.testing.assert_close(layer(-x), layer(x))
    assert layer(x).var(dim=0).min() > 0
    assert_commutes(stirred(layer), [layer.domain], layer.codomain)


def test_products_of_a_vector_with_itself_that_vanish_are_not_reached() -> None:
    """P x × Q x = 0 where P and Q are multiples of one."""
    group = eb.matrix_group("turns", algebra=by_hand.rotations(3))
    odd = group.with_representations(W=group.representations["V"])
    with pytest.raises(eb.ModelError, match="cannot depend on the input"):
        EquivariantQuadratic(
            eb.solve(by_hand.O3, input="V", output="1:pseudovector"),
            eb.solve(by_hand.O3, input="V", output="V"),
            eb.solve(by_hand.O3, input="V*V", output="1:pseudovector"),
        )
    assert quadratic(odd, "V", "W").reach.outputs.all()


def test_bases_that_do_not_fit_are_refused_naming_both_sides() -> None:
    solve = functools.partial(eb.solve, by_hand.SO3)
    fitting = [
        solve(input="V", output="1"),
        solve(input="V", output="2*V"),
        solve(input="(2*V)*(2*V)", output="1"),
    ]
    EquivariantQuadratic(*fitting)
    for number, wrong, said in (
        (0, solve(input="V + 1", output="1"), "its factors are of V of rotations"),
        (1, solve(input="V", output="V"), "its products are of (2*V)**2 of rotations"),
        (2, solve(input="(2*V)*(2*V)", output="2*1"), "its products make 2*1 of rotations"),
        (1, solve(output="V"), "needs an equivariant basis"),
    ):
        given = [*fitting[:number], wrong, *fitting[number + 1 :]]
        assert said in refused(lambda given=given: EquivariantQuadratic(*given))


# --- whole networks -------------------------------------------------------------------------------

NETWORKS = {
    "so3": ["3*V + 2*1", "4*V + 3*1", "4*V + V*V"],
    "o3": ["2*V", "4*V + 4*1", "1"],
    "lorentz": ["4*V", "4*V + 4*1", "1"],
    "sl2": ["2*V", "4*V + 4*1", "2*1"],
    "sl3": ["V + dual(V)", "2*V + 2*dual(V) + 2*1", "1"],
    "skewed rotations": ["2*V", "4*V + 2*1", "V + 1"],
    "c5": ["2*V", "4*V + 2*1", "1"],
}


@functools.cache
def network(group: str) -> EquivariantMLP:
    found = GROUPS.get(group) or eb.matrix_group("c5", [by_hand_turn(5)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # all counts, and is reached
        return EquivariantMLP(NETWORKS[group], found)


def by_hand_turn(n: int) -> np.ndarray:
    angle = 2 * np.pi / n
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


@pytest.mark.parametrize("group", NETWORKS)
@pytest.mark.slow
def test_a_network_of_a_group_that_mixes_coordinates_depends_on_vectors(group: str) -> None:
    found = stirred(copy.deepcopy(network(group)))
    assert isinstance(found.layers[0], EquivariantQuadratic)
    x = torch.randn(16, found.domain.dimension, requires_grad=True)
    (gradient,) = torch.autograd.grad(found(x).sum(), x)
    assert gradient.abs().amax(dim=0).min() > 1e-6
    assert found.reach.inputs.all()
    assert found.reach.outputs.all()


@pytest.mark.parametrize("group", NETWORKS)
def test_and_commutes_with_random_elements(group: str) -> None:
    found = stirred(copy.deepcopy(network(group)))
    assert_commutes(found, [found.domain], found.codomain)
    assert_commutes(found.float(), [found.domain], found.codomain, torch.float32, 1e-5)


def test_gates_where_there_are_no_lengths_and_products_where_coordinates_are_mixed() -> None:
    kinds = {
        "lorentz": [EquivariantQuadratic, GatedActivation, EquivariantQuadratic],
        "o3": [EquivariantQuadratic, DirectSumActivation, EquivariantQuadratic],
    }
    for group, expected in kinds.items():
        assert [type(layer) for layer in network(group).layers] == expected
    few = EquivariantMLP(["8*V + 9*1", "1"], by_hand.SO3).layers[0].first.codomain
    assert str(few.space) == "4*V + 4*1"  # a few of each
    large = EquivariantMLP(["V + V**3", "2*1"], by_hand.SO3).layers[0].first.codomain
    assert str(large.space) == "V"  # of 27 dimensions none


def test_products_can_be_asked_for_and_left_out() -> None:
    spaces = ["2x2:pseudoscalar", "2x2:pseudoscalar", "2*1"]
    with pytest.raises(eb.ModelError, match="cannot depend on the input"):
        EquivariantMLP(spaces, "d4")
    signs = EquivariantMLP(spaces, "d4", bilinear=True)
    assert_commutes(signs, [signs.domain], signs.codomain)
    with pytest.raises(eb.ModelError, match=r"its only equivariant map is 0"):
        EquivariantMLP(["V", "4*V", "1"], by_hand.SO3, bilinear=False)
    plain = EquivariantMLP(["V", "4*V", "V"], by_hand.SO3, bilinear=False)
    assert isinstance(plain.layers[0], EquivariantLinear)
    assert isinstance(EquivariantMLP(["6x6", "4x4", "2*1"], "c4").layers[0], EquivariantLinear)
    for wrong in ("yes", None, 2, []):
        assert "choose True, False or 'auto'" in refused(
            lambda wrong=wrong: EquivariantMLP(["V", "V"], by_hand.SO3, bilinear=wrong)
        )


@pytest.mark.parametrize("group", ["lorentz", "sl2", "sl3"])
def test_what_needs_lengths_is_refused_where_none_is_kept(group: str) -> None:
    for build in (NormActivation, NormPool, EquivariantLayerNorm, EquivariantBatchNorm):
        message = refused(lambda build=build: build(space(group, "2*V + 3*1")))
        assert "no length is kept by 2*V + 3*1 of" in message
        assert "use GatedActivation and EquivariantBilinear" in message
    assert isinstance(activation_for(space(group, "2*V + 3*1")), GatedActivation)


@pytest.mark.parametrize("option", [{"activation": "norm"}, {"normalization": "layer"}])
def test_nor_can_a_network_use_it(option: dict[str, str]) -> None:
    assert "no length is kept" in refused(
        lambda: EquivariantMLP(["2*V", "2*V + 3*1", "1"], SL2, **option)
    )


def test_lengths_of_skewed_rotations_are_those_of_the_rotations() -> None:
    pool = NormPool(space("skewed rotations", "2*V + 1"))
    x = torch.randn(5, 7)
    straight = x[:, :6].view(5, 2, 3) @ torch.from_numpy(np.linalg.inv(SKEW)).T
    ratio = pool(x)[:, :2] / straight.norm(dim=-1)
    torch.testing.assert_close(ratio, ratio[0, 0].expand(5, 2))


# --- InvariantForms -------------------------------------------------------------------------------


def test_of_four_vectors_they_are_all_products_by_the_metric() -> None:
    forms = InvariantForms(space("lorentz", "3*V"))
    x = torch.randn(5, 3, 4)
    metric = torch.diag(torch.tensor([1.0, -1, -1, -1]))
    gram = torch.einsum("nap,pq,nbq->nab", x, metric, x)
    p, q = np.triu_indices(3)
    found = forms(x.flatten(1))
    assert found.shape == (5, 6)
    order = [int((found[0].abs() - value.abs()).abs().argmin()) for value in gram[0, p, q]]
    assert sorted(order) == list(range(6))
    torch.testing.assert_close(found[:, order].abs(), gram[:, p, q].abs())
    assert (found < 0).any()


@pytest.mark.parametrize(
    ("group", "text", "count"),
    [
        ("so3", "V", 1),
        ("o3", "5*1 + 5*V", 5 + 15),
        ("lorentz", "4*V", 10),
        ("lorentz", "V + dual(V)", 3),
        ("sl2", "3*V", 3),  # the areas between each two
        ("sl3", "V + dual(V)", 1),
        ("skewed rotations", "2*V + 1", 4),
        ("so3", "V*V", 3),  # squares of trace, turn and the rest
        ("c4", "2x2", 3),  # the first with itself, with its neighbours, with the opposite one
        ("d4", "2x2:pseudoscalar", 3),
        ("sixth", "2*V + 1", 5),  # x·x, x·y, y·y and the area between both, and 1
    ],
)
def test_they_are_as_many_as_the_invariants_of_degree_two(
    group: str, text: str, count: int
) -> None:
    forms = InvariantForms(space(group, text))
    assert forms.codomain.dimension == count
    assert forms.codomain.is_trivial
    assert_commutes(forms, [forms.domain], forms.codomain)
    assert_commutes(
        copy.deepcopy(forms).float(), [forms.domain], forms.codomain, torch.float32, 1e-5
    )
    x = torch.randn(3, forms.domain.dimension, requires_grad=True)
    assert torch.autograd.gradcheck(forms, (x,))
    assert torch.autograd.gradgradcheck(forms, (x,))
    independent = forms(torch.randn(4 * count, forms.domain.dimension))
    assert torch.linalg.matrix_rank(independent) == count


def test_numbers_that_stay_are_themselves() -> None:
    forms = InvariantForms(space("o3", "1 + V + 1"))
    x = torch.randn(7, 5)
    torch.testing.assert_close(
        forms(x), torch.stack([x[:, 0], x[:, 4], x[:, 1:4].square().sum(1)], dim=1)
    )


@pytest.mark.parametrize(("group", "text"), [("sl3", "3*V + 2*1"), ("sl2", "V"), ("so3", "2*1")])
def test_where_there_is_no_form_they_are_refused(group: str, text: str) -> None:
    assert f"no quadratic form is invariant on {text} of" in refused(
        lambda: InvariantForms(space(group, text))
    )


def test_what_is_in_no_form_is_told() -> None:
    with pytest.warns(UnreachedWarning, match=r"'sym\(V, 3\)'|'sym\(V, 2\)'|at entries 0 to 2"):
        forms = InvariantForms(space("sl3", "sym(V, 2) + V + dual(V)"))
    assert not forms.reach.inputs[:6].any()


def test_a_plain_network_after_them_is_an_invariant_network() -> None:
    forms = InvariantForms(space("lorentz", "2*V + 1"))
    found = EquivariantSequential(forms, nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    assert isinstance(found.layers[1], OnInvariants)
    assert_commutes(lambda x: found(x.flatten(0, 1)).view(2, 3, 1), [found.domain], found.codomain)


def test_forms_of_another_group_do_not_take_the_weights() -> None:
    with pytest.raises(eb.ModelError, match="are not for InvariantForms"):
        InvariantForms(space("lorentz", "V")).load_state_dict(
            InvariantForms(space("so3", "V + 1")).state_dict()
        )


# --- elsewhere ------------------------------------------------------------------------------------

LEAVING = {
    "so3": lambda: copy.deepcopy(network("so3")),
    "lorentz": lambda: copy.deepcopy(network("lorentz")),
    "signs": lambda: quadratic("d4", "2x2:pseudoscalar + 2", "2x2:vector + 2x2"),
    "forms": lambda: InvariantForms(space("lorentz", "2*V + 1")),
}


class Both(nn.Module):
    """A module of one's own around one of two vectors."""

    def __init__(self, layer: EquivariantBilinear) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.tanh(self.layer(x, y))


@pytest.mark.parametrize("name", ["so3", "lorentz", "forms"])
def test_they_leave_equibasis_and_go_through_programs_with_any_batch(name: str) -> None:
    found = LEAVING[name]().float().eval()
    x = torch.randn(7, found.domain.dimension, dtype=torch.float32)
    expected = found(x).detach()
    plain = export(found)
    torch.testing.assert_close(plain(x), expected, rtol=1e-4, atol=1e-5)
    assert not [m for m in plain.modules() if type(m).__module__.startswith("equibasis")]
    for module in (found, plain):
        dims = ({0: torch.export.Dim("batch", min=2, max=4096)},)
        program = torch.export.export(module, (x[:3],), dynamic_shapes=dims).module()
        torch.testing.assert_close(program(x), expected, rtol=1e-4, atol=1e-5)
    stored = io.BytesIO()
    torch.save(plain, stored)
    stored.seek(0)
    loaded = torch.load(stored, weights_only=False)
    torch.testing.assert_close(loaded(x), expected, rtol=1e-4, atol=1e-5)


def test_so_does_what_takes_two_vectors() -> None:
    both = Both(bilinear("d4"))
    x, y = torch.randn(5, 18), torch.randn(5, 4)
    plain = export(both)
    torch.testing.assert_close(plain(x, y), both(x, y))
    compiled = torch.compile(both, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x, y), both(x, y))
    one_by_one = torch.func.vmap(both)(x, y)
    torch.testing.assert_close(one_by_one, both(x, y))
    with torch.autocast("cpu", torch.bfloat16):
        near = copy.deepcopy(both).float()(x.float(), y.float())
    torch.testing.assert_close(near.double(), both(x, y), rtol=0.1, atol=0.1)
