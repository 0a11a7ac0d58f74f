"""Equivariant convolutions: plain convolutions whose kernels live in the span of a stored basis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from equibasis.errors import ModelError, SpaceError
from equibasis.linalg.numbers import whole_number
from equibasis.nn.bias import InvariantBias
from equibasis.nn.border import check_vectors
from equibasis.nn.expansion import BasisExpansion
from equibasis.nn.grids import check_axes_alike, check_centred, sizes_of, turned_axes
from equibasis.nn.identity import IdentifiedWeights
from equibasis.nn.init import variance_preserving_
from equibasis.nn.interface import FeatureSpace, basis_of, shown
from equibasis.nn.reach import Reach, check_reach
from equibasis.nn.tracing import without_autocast
from equibasis.solvers.basis import Basis
from equibasis.symmetry.windows import fibre_of, on_axes, on_fibre

Padding: TypeAlias = int | Sequence[int] | Literal["same", "valid"]

_PADDING_MODES = ("zeros", "circular", "reflect", "replicate")
# Options beside basis and bias, and what is not shown.
_OPTIONS = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "padding_mode": "zeros"}


class Convolution(IdentifiedWeights):
    """A convolution on any number of axes; `EquivariantConv2d` says what it is."""

    axes: ClassVar[int]
    transposed: ClassVar[bool] = False

    def __init__(
        self,
        basis: Basis,
        bias: Basis | Literal["invariant"] | None = "invariant",
        stride: int | Sequence[int] = 1,
        padding: Padding = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        padding_mode: str = "zeros",
    ) -> None:
        super().__init__()
        name = type(self).__name__
        self.basis = basis_of(basis, "equivariant", name)
        self.kernel_size, here, there = _ends(self.basis)
        if len(self.kernel_size) != self.axes:
            raise ModelError(
                f"{name} has kernels of {self.axes} axes, and {basis!r} {len(self.kernel_size)}: "
                "take the class for that, or another kernel_basis"
            )
        self.groups = whole_number(groups, "groups", least=1, error=ModelError)
        self.domain, self.codomain = here.copies(self.groups), there.copies(self.groups)
        self.in_channels, self.out_channels = self.domain.dimension, self.codomain.dimension
        self.stride = sizes_of(stride, self.axes, "stride", least=1)
        self.dilation = sizes_of(dilation, self.axes, "dilation", least=1)
        self.padding = self._padding(padding)
        if padding_mode not in _PADDING_MODES or (self.transposed and padding_mode != "zeros"):
            known = _PADDING_MODES[: 1 if self.transposed else None]
            raise ModelError(f"padding_mode {padding_mode!r}: choose {', '.join(known)}")
        self.padding_mode = padding_mode
        check_axes_alike(
            self.domain, name, self.stride, self.padding, self.dilation, window=self.kernel_size
        )
        self.turned = turned_axes(self.domain)
        reach = _channel_reach(self.basis, self.groups, math.prod(self.kernel_size))
        self.reach = check_reach(self, reach)
        self.expansion = BasisExpansion(self.basis)
        self.bias = _bias(self.basis, self.codomain, bias)
        self.rank = self.groups * self.basis.rank
        self.coefficients = nn.Parameter(torch.empty(self.rank))
        self.reset_parameters()

    def reset_parameters(self, gain: float = 1.0) -> None:
        """Draw the coefficients so that white noise stays white, times the gain; the bias is 0."""
        if self.transposed:  # of K points of a kernel, one in a stride reaches each output
            gain *= math.sqrt(math.prod(self.stride))
        variance_preserving_(self, gain)
        self.bias.reset_parameters()

    def weight(self) -> Tensor:
        """Return the kernels as torch has them, differentiable.

        (out, in / groups, *size), or transposed (in, out / groups, *size).
        """
        with without_autocast(self.coefficients.device.type):
            if self.groups == 1:
                weight = self.expansion.forward(self.coefficients)
            else:
                parts = self.coefficients.view(self.groups, -1).unbind()
                weight = torch.cat([self.expansion(part) for part in parts])
        out, in_ = self.out_channels // self.groups, self.in_channels // self.groups
        if not self.transposed:
            return weight.view(self.out_channels, in_, *self.kernel_size)
        kernels = weight.view(self.groups, out, in_, *self.kernel_size)
        return kernels.transpose(1, 2).flatten(0, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, in, *grid)`` -> ``(batch, out, *grid')``, or without the batch."""
        check_vectors(self, x, self.coefficients.dtype, batches=1)
        weight, bias = self.weight(), self.bias()
        if self.transposed:
            transposed = getattr(functional, f"conv_transpose{self.axes}d")
            return transposed(
                x, weight, bias, self.stride, self.padding, 0, self.groups, self.dilation
            )
        extents = [d * (k - 1) + 1 for d, k in zip(self.dilation, self.kernel_size, strict=True)]
        check_centred(self, x, self.turned, extents, self.stride, self.padding)
        padding: tuple[int, ...] = self.padding
        if self.padding_mode != "zeros":
            both_sides = [p for p in reversed(padding) for _ in (0, 1)]
            x, padding = functional.pad(x, both_sides, self.padding_mode), (0,) * self.axes
        convolve = getattr(functional, f"conv{self.axes}d")
        return convolve(x, weight, bias, self.stride, padding, self.dilation, self.groups)

    def to_conv(self) -> nn.Module:
        """Return the plain convolution of torch of equal weight and bias, for deployment."""
        bias = self.bias()
        kind = getattr(nn, f"Conv{'Transpose' * self.transposed}{self.axes}d")
        ends = self.in_channels, self.out_channels, self.kernel_size
        plain: nn.Module = kind(*ends, bias=bias is not None, **self._options())
        plain.to(self.coefficients)
        with torch.no_grad():
            plain.get_parameter("weight").copy_(self.weight())
            if bias is not None:
                plain.get_parameter("bias").copy_(bias)
        return plain.train(self.training)

    def with_basis(self, basis: Basis) -> Convolution:
        """Return a layer of the same stride, padding, dilation and groups, on another basis."""
        has_bias = self.bias.coefficients is not None
        return type(self)(basis, "invariant" if has_bias else None, **self._options())

    def _options(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _OPTIONS}

    def extra_repr(self) -> str:
        """Group, fields and sizes, for ``repr``."""
        parts = [f"{self.domain.to(self.codomain)}, kernel_size={self.kernel_size}"]
        for name, value in self._options().items():
            if value not in (_OPTIONS[name], (_OPTIONS[name],) * self.axes):
                parts.append(f"{name}={value!r}")
        return ", ".join(parts)

    def weights_of(self) -> tuple[str, tuple[FeatureSpace, ...], str]:
        """Return the kernels: maps from a window of X to Y at a point."""
        size = "x".join(map(str, self.kernel_size))
        groups = f", {self.groups} groups" if self.groups > 1 else ""
        rest = f"kernel {size}, rank {self.basis.rank}{groups}"
        return type(self).__name__, FeatureSpace.ends_of(self.basis.space), rest

    def _padding(self, given: Padding) -> tuple[int, ...]:
        if isinstance(given, str) and given == "valid":
            return (0,) * self.axes
        if not isinstance(given, str) or given != "same":
            return sizes_of(given, self.axes, "padding", least=0)
        name = type(self).__name__
        if self.transposed or self.stride != (1,) * self.axes:
            raise ModelError(f"{name}: padding 'same' is for stride 1; give a number")
        twice = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)]
        if any(size % 2 for size in twice):
            size = "x".join(map(str, self.kernel_size))
            raise ModelError(
                f"{name}: padding 'same' of a kernel {size} would add more on one side than on the "
                "other, which the group exchanges: choose odd sizes, or padding as a number"
            )
        return tuple(size // 2 for size in twice)


class EquivariantConv2d(Convolution):
    """y(q) = Σ_p K(p) x(q + p) + b with K in the span of a basis, for fields on images.

    Fields are tensors (batch, channels, height, width). A group that turns the grid and moves what
    is at each point, (g x)(q) = σ₁(g) x(g⁻¹ q), commutes with this, to the last bit of rounding:
    y of g x is g y. It is `torch.nn.functional.conv2d` with a weight that one gather makes of
    the coefficients at every call; for inference take `to_conv`, or `equibasis.nn.export`.

    Parameters
    ----------
    basis
        Of kernels, as `equibasis.kernel_basis` makes it: equivariant maps from a window of the
        field, ``3x3:regular``, to what the other has at a point.
    bias
        b in the invariants of the output: ``"invariant"``, all of them; or their basis. ``None``:
        no bias.
    stride, padding, dilation, padding_mode
        As in `torch.nn.Conv2d`; padding is alike on both sides.
    groups
        The channels are so many groups of the fields that the basis is of, one after the other,
        each with coefficients of its own: ``groups=8`` with kernels of one field to one makes a
        depthwise convolution.

    Attributes
    ----------
    coefficients
        (groups · r,), drawn so that white noise stays white.
    domain, codomain
        The fields, as `FeatureSpace` with ``axes``.

    Raises
    ------
    ModelError
        If the basis is not one of kernels on two axes, or is empty; if a size differs on axes that
        the group exchanges. When called: if a stride does not keep the centre of the grid, so that
        the group would take its points to others.

    Warns
    -----
    UnreachedWarning
        If some channels of the output cannot depend on the input, or some inputs do not count.

    Examples
    --------
    >>> import equibasis as eb
    >>> from equibasis.nn import EquivariantConv2d
    >>> lift = EquivariantConv2d(eb.kernel_basis("c4", "1", "8*regular", 5), padding=2)
    >>> lift(torch.randn(16, 1, 28, 28)).shape, lift.coefficients.shape
    (torch.Size([16, 32, 28, 28]), torch.Size([200]))
    """

    axes = 2


class EquivariantConv1d(Convolution):
    """`EquivariantConv2d` for sequences (batch, channels, length), of the group reversal."""

    axes = 1


class EquivariantConv3d(Convolution):
    """`EquivariantConv2d` for voxels (batch, channels, depth, height, width), of o and oh."""

    axes = 3


class EquivariantConvTranspose2d(Convolution):
    """y(s q + p) = Σ K(p) x(q) + b: `torch.nn.ConvTranspose2d`, to grids s times as fine.

    Parameters, attributes and errors are those of `EquivariantConv2d`. There is no output padding,
    which would be on one side alone.
    """

    axes = 2
    transposed = True


class EquivariantConvTranspose1d(Convolution):
    """`EquivariantConvTranspose2d` for sequences (batch, channels, length)."""

    axes = 1
    transposed = True


class EquivariantConvTranspose3d(Convolution):
    """`EquivariantConvTranspose2d` for voxels (batch, channels, depth, height, width)."""

    axes = 3
    transposed = True


def _ends(basis: Basis) -> tuple[tuple[int, ...], FeatureSpace, FeatureSpace]:
    """Return the size of the kernels, and the fields at both ends."""
    space = basis.space
    if space.continuous:
        raise ModelError(f"{space.group} is continuous, and does not act on pixels")
    try:
        fibre, size = fibre_of(space.input_space)
        sigma = on_fibre(space.input, math.prod(size))
        turns = on_axes(space.input, size)
    except SpaceError as error:
        raise ModelError(f"{basis!r} is no basis of kernels: {error}") from error
    here = FeatureSpace(space.group, space.elements, fibre, sigma, space.complete)
    there = FeatureSpace.output_of(space)
    return size, here.on_grid(len(size), turns), there.on_grid(len(size), turns)


def _channel_reach(basis: Basis, groups: int, points: int) -> Reach:
    """Which channels of the output depend on the input, and which of the input count."""
    reach = Reach.of_basis(basis)
    inputs = reach.inputs.reshape(-1, points).any(axis=1)
    return Reach(np.tile(reach.outputs, groups), np.tile(inputs, groups))


def _bias(
    basis: Basis, codomain: FeatureSpace, bias: Basis | Literal["invariant"] | None
) -> InvariantBias:
    if bias is None:
        return InvariantBias(basis, None)
    vectors = codomain.at_a_point
    if isinstance(bias, str) and bias == "invariant":
        bias = vectors.invariants
    if not isinstance(bias, Basis):
        raise ModelError(f"bias {shown(bias)}: give 'invariant', an invariant basis or None")
    vectors.check_same(FeatureSpace.output_of(bias.space), "the layer gives", "the bias is of")
    return InvariantBias(bias, bias)
