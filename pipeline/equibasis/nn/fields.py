"""What goes around convolutions: pooling, upsampling and dropout that commute with the group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal, TypeAlias

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from equibasis.errors import ModelError
from equibasis.nn.border import check_vectors, number_of
from equibasis.nn.grids import check_axes_alike, check_centred, sizes_of, turned_axes
from equibasis.nn.identity import IdentifiedWeights
from equibasis.nn.interface import FeatureSpace, features_of
from equibasis.nn.metric import InvariantBlocks
from equibasis.solvers.basis import Basis
from equibasis.symmetry.assembled import tensor_product
from equibasis.symmetry.windows import turned_points, window

Sizes: TypeAlias = int | Sequence[int]
UpsampleMode: TypeAlias = Literal["nearest", "linear", "bilinear", "trilinear"]

# What torch calls the interpolation that is linear along each axis.
_LINEAR: dict[int, UpsampleMode] = {1: "linear", 2: "bilinear", 3: "trilinear"}


class _WindowPool(nn.Module):
    """Pooling in windows of a grid: `FieldMaxPool`, `FieldAvgPool`."""

    # What torch calls it, but for the number of axes.
    pooled: ClassVar[str]
    # Whether it commutes with permutations of channels alone.
    permutes_only: ClassVar[bool] = False

    def __init__(
        self,
        features: FeatureSpace,
        size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        self.domain = self.codomain = _fields_of(features, name)
        axes = self.domain.axes
        self.size = sizes_of(size, axes, "the size of a pooling window", least=1)
        self.stride = self.size if stride is None else sizes_of(stride, axes, "stride", least=1)
        self.padding = sizes_of(padding, axes, "padding", least=0)
        check_axes_alike(self.domain, name, self.size, self.stride, self.padding)
        self.turned = turned_axes(self.domain)
        if any(2 * p > e for p, e in zip(self.padding, self.size, strict=True)):
            raise ModelError(f"{name}: padding {self.padding} is at most half of {self.size}")
        if self.permutes_only:
            _check_permutes(self.domain, name, "FieldAvgPool")

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, n, *grid)`` -> ``(batch, n, *grid')``."""
        check_vectors(self, x, batches=1)
        check_centred(self, x, self.turned, self.size, self.stride, self.padding)
        pool = getattr(functional, f"{self.pooled}{self.domain.axes}d")
        return pool(x, self.size, self.stride, self.padding)

    def extra_repr(self) -> str:
        """Sizes, for ``repr``."""
        return f"size={self.size}, stride={self.stride}, padding={self.padding}"


class FieldMaxPool(_WindowPool):
    """The largest of each channel in windows of a grid, where the group permutes channels.

    ``(batch, n, *grid)`` to ``(batch, n, *grid')``, as `torch.nn.MaxPool2d`. Windows have to lie
    alike from both ends of an axis that the group turns: the stride divides
    size + 2 padding - window. So windows of 2 points are for even sizes, and windows of 3 with
    stride 2 for odd ones, with padding 1 too.

    Parameters
    ----------
    features
        The fields, such as the codomain of a convolution.
    size, stride, padding
        As in `torch.nn.MaxPool2d`; the stride is the size by default.

    Raises
    ------
    ModelError
        If the group does more than permute channels, since the largest of -x is not minus that of
        x: take `FieldAvgPool`. If sizes differ on axes that it exchanges. When called: for grids
        on which it would take windows to others.
    """

    pooled = "max_pool"
    permutes_only = True


class FieldAvgPool(_WindowPool):
    """The mean of each channel in windows of a grid, zeros of the padding counted.

    For any representation; parameters, sizes and errors are those of `FieldMaxPool`.
    """

    pooled = "avg_pool"


class GlobalAvgPool(nn.Module):
    """The mean over the grid: ``(batch, n, *grid)`` to vectors (batch, n), where the group acts."""

    def __init__(self, features: FeatureSpace) -> None:
        super().__init__()
        self.domain = _fields_of(features, "GlobalAvgPool")
        self.codomain = self.domain.at_a_point

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, n, *grid)`` -> (batch, n)."""
        check_vectors(self, x)
        return x.mean(dim=tuple(range(-self.domain.axes, 0)))


class OrbitMaxPool(IdentifiedWeights):
    """x -> the largest coordinate of each orbit, where the group permutes. (..., n) to (..., r).

    Of a regular field that is the largest over the group ("group pooling").

    Raises `ModelError` where the group does more than permute: take `NormPool`.
    """

    def __init__(self, features: FeatureSpace | Basis) -> None:
        super().__init__()
        self.domain = space = features_of(features, "OrbitMaxPool")
        _check_permutes(space, "OrbitMaxPool", "NormPool")
        self.orbits = InvariantBlocks(space)
        self.codomain = space.scalars(self.orbits.blocks)

    def forward(self, x: Tensor) -> Tensor:
        """(..., n) -> (..., r)."""
        check_vectors(self, x)
        return self.orbits.reduced(torch.amax, x)

    def weights_of(self) -> tuple[str, tuple[FeatureSpace, ...], str]:
        """Return the orbits in their order, which the weights after it take."""
        return "OrbitMaxPool", (self.domain,), f"{self.orbits.blocks} orbits"


class FieldUpsample(nn.Module):
    """Fields on a grid that is a whole number of times as fine.

    ``(batch, n, *grid)`` to ``(batch, n, *grid')``. Points lie in the middle of what they stand
    for, so any grid is turned as before.

    Parameters
    ----------
    features
        The fields.
    scale
        How many points are made of each, along all axes or along each.
    mode
        ``"nearest"``: each point as often as that; or as torch calls it, ``"linear"``,
        ``"bilinear"`` or ``"trilinear"`` for fields on one, two or three axes.

    Raises
    ------
    ModelError
        If a scale is not a whole number, or differs on axes that the group exchanges, or the mode
        is another one.
    """

    def __init__(
        self, features: FeatureSpace, scale: Sizes, mode: UpsampleMode = "nearest"
    ) -> None:
        super().__init__()
        self.domain = self.codomain = _fields_of(features, "FieldUpsample")
        axes = self.domain.axes
        self.scale = sizes_of(scale, axes, "the scale of FieldUpsample", least=1)
        check_axes_alike(self.domain, "FieldUpsample", self.scale)
        if mode not in ("nearest", _LINEAR[axes]):
            raise ModelError(f"mode {mode!r}: choose 'nearest' or {_LINEAR[axes]!r}")
        self.mode = mode

    def forward(self, x: Any) -> Tensor:
        """``(batch, n, *grid)`` -> ``(batch, n, *grid')``."""
        check_vectors(self, x, batches=1)
        batch = isinstance(x, fx.Proxy) or x.ndim > self.domain.axes + 1
        factors = [float(count) for count in self.scale]
        # Torch's plain "nearest" takes points at their edges, and rounds, for scales such as 41.
        mode = "nearest-exact" if self.mode == "nearest" else self.mode
        y = functional.interpolate(x if batch else x[None], scale_factor=factors, mode=mode)
        return y if batch else y[0]

    def extra_repr(self) -> str:
        """Scale and mode, for ``repr``."""
        return f"scale={self.scale}, mode={self.mode!r}"


class FieldDropout(nn.Module):
    """Dropout of invariant blocks: in training each is 0 with probability p, else times 1/(1 - p).

    A block is a set of channels that the group keeps apart, over the whole grid: all of one
    regular field, or of one vector. ``(..., n, *grid)`` to the same, vectors (..., n) too; every
    sample is drawn by itself.

    Parameters
    ----------
    features
        The fields, or vectors.
    p
        From 0 to 1.

    Raises
    ------
    ModelError
        If p is no such number.
    """

    def __init__(self, features: FeatureSpace | Basis, p: float = 0.5) -> None:
        super().__init__()
        self.domain = self.codomain = features_of(features, "FieldDropout")
        self.p = number_of(p, "p", most=1.0)
        self.parts = InvariantBlocks(self.domain)

    def forward(self, x: Tensor) -> Tensor:
        """``(..., n, *grid)`` -> the same shape."""
        check_vectors(self, x)
        if not self.training or not self.p:
            return x
        samples = x.shape[: x.ndim + self.domain.channels]
        shape = *samples, self.parts.blocks, *(1,) * self.domain.axes
        return x * self.parts.spread(functional.dropout(x.new_ones(shape), self.p))

    def extra_repr(self) -> str:
        """Space, blocks and p, for ``repr``."""
        return f"{self.domain}, {self.parts.blocks} blocks, p={self.p}"


class FieldsToVectors(nn.Module):
    """Fields on a grid of one size as vectors for linear layers: ``(..., n, *grid)`` to (..., n·N).

    The vectors are of the space that has the N points in its text: ``8*(regular*7x7)``, which is
    ``layer.codomain.space``, for bases of the layers after it.

    Parameters
    ----------
    features
        The fields.
    size
        Points along each axis, or along all.

    Raises
    ------
    ModelError
        If it is not known how the group turns the grid, as of convolutions of 1x1 alone, or sizes
        differ on axes that it exchanges. When called: for another size.
    """

    def __init__(self, features: FeatureSpace, size: Sizes) -> None:
        super().__init__()
        name = type(self).__name__
        self.domain = fields = _fields_of(features, name)
        self.size = sizes_of(size, fields.axes, "the size of a grid", least=1)
        if fields.turns is None:
            raise ModelError(
                f"{name}: how {fields.group} turns the grid is not known of kernels of one point: "
                "give the domain or codomain of a convolution with larger ones"
            )
        check_axes_alike(fields, name, self.size)
        rho = tensor_product(fields.representation, turned_points(fields.turns, self.size))
        space = window(fields.space, self.size)
        self.codomain = replace(fields.at_a_point, space=space, representation=rho)

    def forward(self, x: Any) -> Tensor:
        """``(..., n, *grid)`` -> (..., n·N)."""
        check_vectors(self, x)
        axes = self.domain.axes
        if not isinstance(x, fx.Proxy) and tuple(x.shape[-axes:]) != self.size:
            raise ModelError(
                f"{type(self).__name__} takes grids {self.size}, not {tuple(x.shape[-axes:])}"
            )
        return x.flatten(-1 - axes)

    def extra_repr(self) -> str:
        """Group, spaces and size, for ``repr``."""
        return f"{self.domain.to(self.codomain)}, size={self.size}"


def _fields_of(features: object, layer: str) -> FeatureSpace:
    space = features_of(features, layer)
    if not space.axes:
        raise ModelError(
            f"{layer} acts on fields, such as the codomain of a convolution, not on {space}"
        )
    return space


def _check_permutes(features: FeatureSpace, layer: str, instead: str) -> None:
    if not features.permutes:
        raise ModelError(
            f"{layer} does not commute with {features}: the group does more there than permute; "
            f"take {instead}"
        )
