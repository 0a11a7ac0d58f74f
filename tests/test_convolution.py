"""Convolutions commute with their group, have all kernels that do, and are torch's own."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import equibasis as eb
from equibasis.errors import EquibasisError, ModelError, SpaceError
from equibasis.nn import (
    EquivariantConv1d,
    EquivariantConv2d,
    EquivariantConv3d,
    EquivariantConvTranspose1d,
    EquivariantConvTranspose2d,
    EquivariantConvTranspose3d,
    EquivariantSequential,
    restrict,
)
from equibasis.symmetry.representations import (
    MatrixRepresentation,
    PermutationRepresentation,
)
from equibasis.symmetry.windows import fibre_of, on_fibre, window
from moved_fields import equivariance_error, moved

PLAIN = {1: EquivariantConv1d, 2: EquivariantConv2d, 3: EquivariantConv3d}
TRANSPOSED = {
    1: EquivariantConvTranspose1d,
    2: EquivariantConvTranspose2d,
    3: EquivariantConvTranspose3d,
}
FIELDS = (
    "1",
    "2*regular",
    "vector",
    "pseudoscalar + 1",
    "regular + 2*vector + 1",
    "V*V",
    "sym(V, 2)",
)
GROUPS = ("c2", "c4", "d1", "d2", "d4", "reversal", "oh")
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}


def built(group: str, input_: str, output: str, size, transposed=False, **options):
    """A layer of random coefficients and bias."""
    basis = eb.kernel_basis(group, input_, output, size)
    axes = eb.find_group(group).axes
    layer = (TRANSPOSED if transposed else PLAIN)[axes](basis, **options)
    with torch.no_grad():
        for parameter in layer.bias.parameters():
            parameter.normal_()
    return layer


def fields_of(layer, *grid: int, batch: int = 2) -> torch.Tensor:
    """Random fields that a layer takes."""
    return torch.randn(batch, layer.in_channels, *grid, dtype=layer.coefficients.dtype)


@st.composite
def convolutions(draw):
    """A layer, and fields for it, among all that are accepted."""
    group = draw(st.sampled_from(GROUPS))
    axes = eb.find_group(group).axes
    fields = st.sampled_from(FIELDS[:4] if group == "oh" else FIELDS)
    input_, output = draw(fields), draw(fields)
    size = draw(st.integers(1, 4 if axes < 3 else 3))
    transposed = draw(st.booleans())
    stride, dilation = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    padding = draw(st.integers(0, 2))
    mode = "zeros" if transposed else draw(st.sampled_from(("zeros", "circular", "reflect")))
    dtype = draw(st.sampled_from((torch.float32, torch.float64)))
    extent = dilation * (size - 1) + 1
    length = draw(st.integers(max(extent, padding + 1), 8 if axes < 3 else 5))
    if transposed:
        padding = min(padding, (extent - 1) // 2)
    else:
        length += -(length + 2 * padding - extent) % stride
    basis = eb.kernel_basis(group, input_, output, size)
    if basis.rank == 0 or basis.kind != "equivariant":
        return None
    options = {"stride": stride, "padding": padding, "dilation": dilation}
    if mode != "zeros":
        options["padding_mode"] = mode
    torch.manual_seed(draw(st.integers(0, 99)))
    layer = built(group, input_, output, size, transposed, **options).to(dtype)
    return group, layer, fields_of(layer, *[length] * axes)


@pytest.mark.filterwarnings("ignore::equibasis.nn.UnreachedWarning")
@given(convolutions())
def test_every_convolution_commutes_with_its_group(case) -> None:
    if case is None:
        return
    group, layer, x = case
    error = equivariance_error(layer, eb.find_group(group), x, layer.domain, layer.codomain)
    assert error < TOLERANCE[x.dtype]


def test_turned_images_by_torch_itself() -> None:
    layer = built("d4", "1", "regular", 3, padding=1).double()
    x = fields_of(layer, 6, 6)
    y = layer(x).detach()
    turned, mirrored = layer(x.rot90(1, (2, 3))), layer(x.flip(3))
    # A regular field is turned and its components permuted: which way does not matter here.
    for made, want in ((turned.detach(), y.rot90(1, (2, 3))), (mirrored.detach(), y.flip(3))):
        distances = (made[:, :, None] - want[:, None]).abs().amax(dim=(0, 3, 4))
        assert sorted(distances.argmin(dim=1).tolist()) == list(range(8))
        assert float(distances.min(dim=1).values.max()) < 1e-12
    assert not torch.allclose(turned, y.rot90(1, (2, 3)))


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("size", [2, 3])
def test_there_are_as_many_kernels_as_characters_say(group: str, size: int) -> None:
    """rank = 1/|G| Σ χ₂(g) χ₁(g) #{points that g leaves}, for every pair of fields.

    For those of one size from the first to the second, of the other the other way round.
    """
    found = eb.find_group(group)
    names = ("1", "regular", "vector", "pseudoscalar", "V*V")
    shape = (size,) * found.axes
    numbers = np.arange(size**found.axes).reshape(shape)
    left = np.array([(found.transform(numbers, g) == numbers).sum() for g in found.elements])
    characters = {}
    for name in names:
        space = eb.solve(group, output=name if name != "1" else "2*1").space
        trace = np.array([space.output.matrix(g).trace() for g in range(len(left))])
        characters[name] = trace if name != "1" else trace / 2
    for pair in itertools.combinations_with_replacement(names, 2):
        one, other = pair if size == 2 else pair[::-1]
        rank = (characters[one] * characters[other] * left).mean()
        assert eb.kernel_basis(group, one, other, size).rank == round(float(rank))


@pytest.mark.parametrize(
    ("group", "input_", "output", "size"),
    [
        ("d4", "regular", "vector", 3),
        ("c4", "vector", "V*V", 2),
        ("oh", "V + 1", "sym(V, 2) + V", 3),
    ],
)
def test_any_equivariant_kernel_is_in_the_span(group, input_, output, size) -> None:
    """The mean of σ₂(g) K(g⁻¹ p) σ₁(g)⁻¹ over the group, of a random K."""
    basis = eb.kernel_basis(group, input_, output, size)
    found = eb.find_group(group)
    layer = PLAIN[found.axes](basis, None)
    out, in_ = layer.out_channels, layer.in_channels
    kernel = np.random.default_rng(0).standard_normal((out, in_, *[size] * found.axes))
    mean = np.zeros_like(kernel)
    for g, element in enumerate(found.elements):
        one, other = (
            end.representation.matrix(g).toarray() for end in (layer.domain, layer.codomain)
        )
        flat = kernel.reshape(-1, *kernel.shape[2:])
        turned = np.stack([found.transform(each, element) for each in flat]).reshape(kernel.shape)
        mean += np.einsum("ab,bc...,dc->ad...", other, turned, one) / len(found.elements)
    columns = basis.matrix.toarray()
    vector = mean.ravel()
    assert np.linalg.norm(vector) > 0.1
    np.testing.assert_allclose(columns @ (columns.T @ vector), vector, atol=1e-12)


# --- torch's own ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("transposed", "options"),
    [
        (False, {"padding": 1}),
        (False, {"stride": 2, "padding": (1, 1), "groups": 2}),
        (False, {"dilation": 2, "padding": "same", "padding_mode": "circular"}),
        (False, {"padding": "valid", "bias": None}),
        (True, {"stride": 2, "padding": 1}),
        (True, {"groups": 2, "dilation": 2}),
    ],
)
def test_it_is_the_plain_convolution_of_its_weight(transposed, options) -> None:
    layer = built("c4", "regular + 1", "2*regular", 3, transposed, **options)
    plain = layer.to_conv()
    kind = nn.ConvTranspose2d if transposed else nn.Conv2d
    assert type(plain) is kind
    x = fields_of(layer, 7, 7)
    torch.testing.assert_close(plain(x), layer(x))
    assert plain.weight.shape == layer.weight().shape
    group = eb.find_group("c4")
    assert equivariance_error(layer, group, x, layer.domain, layer.codomain) < 1e-5


def test_one_field_without_a_batch() -> None:
    layer = built("d4", "1", "regular", 3)
    x = fields_of(layer, 5, 5, batch=1)
    torch.testing.assert_close(layer(x[0]), layer(x)[0])


def test_gradients_are_those_of_the_plain_convolution() -> None:
    layer = built("d4", "2*regular", "vector + 1", 3, padding=1).double()
    x = fields_of(layer, 5, 5).requires_grad_()
    assert torch.autograd.gradcheck(layer, x)
    coefficients = layer.coefficients.detach().clone().requires_grad_()

    def of_coefficients(c: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(layer, {"coefficients": c}, (x.detach(),))

    assert torch.autograd.gradcheck(of_coefficients, coefficients)


def test_groups_of_channels_have_kernels_of_their_own() -> None:
    layer = built("c4", "regular", "2*regular", 3, groups=3)
    assert (layer.in_channels, layer.out_channels) == (12, 24)
    alone = layer.weight().chunk(3)
    single = EquivariantConv2d(layer.basis, None)
    for part, coefficients in zip(alone, layer.coefficients.view(3, -1), strict=True):
        with torch.no_grad():
            single.coefficients.copy_(coefficients)
        torch.testing.assert_close(part, single.weight())


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("group", "fields"), [("d4", "4*regular + 4*vector"), ("oh", "2*regular")])
def test_white_noise_stays_white(group: str, fields: str, transposed: bool) -> None:
    torch.manual_seed(0)
    axes = eb.find_group(group).axes
    stride = 2 if transposed else 1
    layer = built(group, fields, fields, 4, transposed, bias=None, stride=stride)
    y = layer(fields_of(layer, *[10] * axes, batch=2))
    inner = y[(..., *[slice(4, -4)] * axes)] if transposed else y
    assert 0.8 < inner.square().mean().item() < 1.25


# --- what is refused, or told --------------------------------------------------------------------


def test_a_stride_that_does_not_keep_the_centre_is_refused() -> None:
    layer = built("c4", "1", "regular", 3, stride=2, padding=1)
    with pytest.raises(ModelError, match=r"leaves out 1 of 28 points at one end .* 2 divides"):
        layer(torch.randn(1, 1, 28, 28))
    assert layer(torch.randn(1, 1, 29, 29)).shape == (1, 4, 15, 15)
    # It would not commute: the plain layer of the same weight does not.
    x = torch.randn(1, 1, 28, 28)
    plain = layer.to_conv()
    group = eb.find_group("c4")
    assert equivariance_error(plain, group, x, layer.domain, layer.codomain) > 0.1


def test_only_axes_that_are_turned_need_their_centre() -> None:
    layer = built("d1", "1", "regular", 3, stride=2, padding=1)
    assert layer.domain.turns is not None
    assert layer(torch.randn(1, 1, 28, 29)).shape == (1, 2, 14, 15)
    with pytest.raises(ModelError, match="leaves out 1 of 28"):
        layer(torch.randn(1, 1, 29, 28))


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"stride": (1, 2)}, "axes that c4 exchanges"),
        ({"padding": (0, 1)}, "axes that c4 exchanges"),
        ({"stride": 0}, "stride"),
        ({"stride": (1, 1, 1)}, "one for each of 2 axes"),
        ({"padding": -1}, "padding"),
        ({"padding": 1.5}, "padding"),
        ({"padding": "full"}, "padding"),
        ({"padding": "same", "stride": 2}, "stride 1"),
        ({"padding_mode": "mirror"}, "circular"),
        ({"groups": 0}, "groups"),
        ({"bias": "scalar"}, "'invariant'"),
        ({"bias": eb.solve("c4", output="2*1")}, "the bias is of"),
    ],
)
def test_what_is_no_size_is_refused(options, why) -> None:
    basis = eb.kernel_basis("c4", "1", "regular", 3)
    with pytest.raises(ModelError, match=why):
        EquivariantConv2d(basis, **options)


def test_same_padding_of_an_even_kernel_is_refused() -> None:
    with pytest.raises(ModelError, match="one side"):
        EquivariantConv2d(eb.kernel_basis("c4", "1", "regular", 2), padding="same")


def test_a_window_that_the_group_does_not_keep_is_refused() -> None:
    with pytest.raises(SpaceError, match="3x5"):
        eb.kernel_basis("c4", "1", "regular", (3, 5))
    layer = EquivariantConv2d(eb.kernel_basis("d2", "1", "regular", (3, 5)), padding=(1, 2))
    x = torch.randn(2, 1, 6, 7)
    group = eb.find_group("d2")
    assert equivariance_error(layer, group, x, layer.domain, layer.codomain) < 1e-5


@pytest.mark.parametrize(
    ("basis", "why"),
    [
        (lambda: eb.solve("c4", input="6x6 + 3x3", output="regular"), "differ in size"),
        (lambda: eb.solve("so3", input="V", output="V"), "continuous"),
        (lambda: eb.solve("z5", input="2*5", output="2*1"), "other than by turning"),
        (lambda: eb.solve("c4", output="3x3"), "equivariant basis"),
        (lambda: eb.kernel_basis("oh", "1", "1 + V", 3), "kernels of 2 axes"),
        (lambda: eb.kernel_basis("d4", "1", "pseudoscalar", 3), "its only equivariant map is 0"),
        (lambda: "a basis", "equivariant basis"),
    ],
)
def test_other_bases_are_refused(basis, why: str) -> None:
    with pytest.raises(ModelError, match=why):
        EquivariantConv2d(basis())


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("c4", "3x3", "1", 3), "what a field has at one point"),
        (("c4", "1", "3x3", 3), "what a field has at one point"),
        (("c4", "1", "nothing", 3), "regular"),
        (("c4", "1", "regular", 0), "at least 1"),
        (("c4", "1", "regular", (3, 3, 3)), "2 axes"),
        (("trivial", "1", "2*1", 3), "any number of axes"),
        (("so3", "V", "V", 3), "any number of axes|one of matrices"),
    ],
)
def test_other_fields_and_sizes_are_refused(arguments, why: str) -> None:
    with pytest.raises(EquibasisError, match=why):
        eb.kernel_basis(*arguments)


def test_fields_of_the_wrong_kind_are_refused() -> None:
    layer = built("c4", "regular", "regular", 3)
    for wrong in (torch.randn(2, 5, 7, 7), torch.randn(4), torch.ones(1, 4, 7, 7, dtype=torch.int)):
        with pytest.raises(ModelError, match=r"fields \(batch, 4, height, width\)"):
            layer(wrong)
    with pytest.raises(ModelError, match="float32"):
        layer(torch.randn(2, 4, 7, 7, dtype=torch.float64))


# --- own groups, other names ---------------------------------------------------------------------


def test_own_representations_as_fibres() -> None:
    """Horizontal and vertical stripes, which quarter turns exchange."""
    d4 = eb.find_group("d4")
    upright = [abs(d4.linear(element, 2)[0, 0]) > 0.5 for element in d4.elements]
    stripes = PermutationRepresentation(np.array([[0, 1] if kept else [1, 0] for kept in upright]))
    own = d4.with_representations(stripes=stripes)
    basis = eb.kernel_basis(own, "2*stripes + 1", "stripes*V + stripes", 3)
    layer = EquivariantConv2d(basis, padding=1)
    x = fields_of(layer, 6, 6)
    assert equivariance_error(layer, own, x, layer.domain, layer.codomain) < 1e-5


def test_fibres_that_matrices_mix() -> None:
    """The two-dimensional irrep of the cube's group, whose thirds of a turn are no permutations."""
    oh = eb.find_group("oh")
    plane = np.array([[2, -1, -1], [0, 3**0.5, -(3**0.5)]]) / 6**0.5
    squares = [np.abs(oh.linear(element, 3)) @ plane.T for element in oh.elements]
    matrices = np.stack([plane @ each for each in squares])
    own = oh.with_representations(E=MatrixRepresentation(matrices))
    for size in (2, 3):
        layer = EquivariantConv3d(eb.kernel_basis(own, "E + 1", "E + V", size))
        x = fields_of(layer, 4, 4, 4)
        assert equivariance_error(layer, own, x, layer.domain, layer.codomain) < 1e-5


@pytest.mark.parametrize("fibre", ["1", "3*1", "2*regular + vector + 1", "V*V", "sym(V, 2)", "V"])
@pytest.mark.parametrize("size", [(3, 3), (2, 2), (1, 1)])
def test_a_window_knows_its_fibre(fibre: str, size) -> None:
    space = eb.as_space(fibre)
    assert fibre_of(window(space, size)) == (space, size)
    basis = eb.kernel_basis("d4", fibre, "regular", size)
    own = eb.solve("d4", output=f"{fibre} + 1").space.output
    found = on_fibre(basis.space.input, size[0] * size[1])
    for g in range(8):
        want = own.matrix(g).toarray()[:-1, :-1]
        np.testing.assert_array_equal(found.matrix(g).toarray(), want)


def test_windows_that_users_write() -> None:
    by_hand = EquivariantConv2d(eb.solve("d4", input="2*3x3:regular", output="regular"))
    ours = EquivariantConv2d(eb.kernel_basis("d4", "2*regular", "regular", 3))
    assert by_hand.domain.same_as(ours.domain)
    with torch.no_grad():
        ours.coefficients.copy_(by_hand.coefficients)
    torch.testing.assert_close(ours.weight(), by_hand.weight())


def test_one_basis_is_one_object_while_a_layer_has_it(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("EQUIBASIS_CACHE", str(tmp_path))
    first = eb.kernel_basis("c4", "regular", "3*regular", 3)
    assert eb.kernel_basis("c4", "regular", "3*regular", 3) is first
    assert eb.kernel_basis("c4", "regular", "3*regular", 5) is not first


# --- weights -------------------------------------------------------------------------------------


def test_weights_of_another_kernel_are_refused() -> None:
    layer = built("c4", "regular", "2*regular", 3)
    copy.deepcopy(layer).load_state_dict(layer.state_dict())
    alike = built("c4", "2*regular", "regular", 3)
    assert alike.coefficients.shape == layer.coefficients.shape
    with pytest.raises(ModelError, match="are not for"):
        alike.load_state_dict(layer.state_dict())
    transposed = built("c4", "regular", "2*regular", 3, transposed=True)
    with pytest.raises(ModelError, match="are not for"):
        transposed.load_state_dict(layer.state_dict())


def test_a_batch_of_voxels_under_all_of_the_cube() -> None:
    layer = built("oh", "1", "2*regular", 3, padding=1)
    x = fields_of(layer, 5, 5, 5)
    y = layer(x)
    assert y.shape == (2, 96, 5, 5, 5)
    group = eb.find_group("oh")
    assert equivariance_error(layer, group, x, layer.domain, layer.codomain) < 1e-5
    assert moved(group, 5, y, layer.codomain).shape == y.shape


def test_kernels_of_another_window_are_others_though_the_group_acts_alike() -> None:
    """3×5 and 5×3 under a half turn: as many kernels, as many points, alike permuted."""
    bases = [eb.kernel_basis("c2", "1", "regular", size) for size in ((3, 5), (5, 3))]
    wide, high = (EquivariantConv2d(basis, None) for basis in bases)
    assert wide.coefficients.shape == high.coefficients.shape
    with pytest.raises(ModelError, match=r"kernel 3x5.* are not for .*kernel 5x3"):
        high.load_state_dict(wide.state_dict())
    with pytest.raises(ModelError, match=r"W of .*3, 5\), and of .*5, 3\)"):
        restrict(wide, bases[1])


def test_separable_kernels_are_padded_along_their_axis() -> None:
    layer = built("d2", "1", "regular", (1, 3), padding="same")
    x = fields_of(layer, 5, 6)
    assert layer(x).shape == (2, 4, 5, 6)
    group = eb.find_group("d2")
    assert equivariance_error(layer, group, x, layer.domain, layer.codomain) < 1e-5


def test_what_a_kernel_of_one_point_cannot_tell_is_told_by_the_layers_around_it() -> None:
    """Two groups whose mirrors have one name and mirror different axes."""

    def group(axis: int) -> eb.Group:
        mirror = np.diag([-1.0 if each == axis else 1.0 for each in (0, 1)])
        plain = {"e": np.eye(2), "m": mirror}
        return eb.Group(
            f"flip{axis}",
            ("e", "m"),
            lambda array, element: np.flip(array, axis) if element == "m" else array,
            axes=2,
            linear=lambda element, _: plain[element],
            rearranges=True,
        )

    one, other = group(0), group(1)

    def layer(group: eb.Group, input_: str, size: int) -> EquivariantConv2d:
        return EquivariantConv2d(eb.kernel_basis(group, input_, "regular", size))

    between = layer(one, "regular", 1)
    assert between.domain.turns is None
    EquivariantSequential(layer(one, "1", 3), between, layer(one, "regular", 3))
    with pytest.raises(ModelError, match="different ways"):
        EquivariantSequential(layer(one, "1", 3), between, layer(other, "regular", 3))


def test_a_kernel_of_one_point_on_one_axis() -> None:
    layer = built("reversal", "regular + 1", "2*regular", 1)
    assert layer.kernel_size == (1,)
    x = fields_of(layer, 6)
    group = eb.find_group("reversal")
    assert equivariance_error(layer, group, x, layer.domain, layer.codomain) < 1e-5
    for wrong in (("5", "1 + 1"), ("1", "regular")):
        with pytest.raises(SpaceError, match="one point"):
            eb.kernel_basis("reversal", *wrong, 1)


def test_more_than_one_axis_of_a_batch_is_refused() -> None:
    with pytest.raises(ModelError, match=r"fields \(batch, 1, height, width\)"):
        built("c4", "1", "regular", 3)(torch.randn(2, 3, 1, 5, 5))
