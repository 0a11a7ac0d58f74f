"""What goes around convolutions: pooling, upsampling and dropout that commute with the group."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor, nn
from torch.nn import functional

from equibasis.errors import ModelError
from equibasis.nn.border import check_vectors
from equibasis.nn.buffers import ExactBuffers
from equibasis.nn.grids import check_centred, sizes_of
from equibasis.nn.interface import FeatureSpace, features_of
from equibasis.solvers.basis import Basis
from equibasis.symmetry.constructions import invariant_coordinates
from equibasis.symmetry.representations import PermutationRepresentation

_MAX = {1: functional.max_pool1d, 2: functional.max_pool2d, 3: functional.max_pool3d}
_MEAN = {1: functional.avg_pool1d, 2: functional.avg_pool2d, 3: functional.avg_pool3d}


class _WindowPool(nn.Module):
    """What `FieldMaxPool` and `FieldAvgPool` share."""

    def __init__(
        self,
        features: FeatureSpace,
        size: int | Sequence[int],
        stride: int | Sequence[int] | None = None,
        padding: int | Sequence[int] = 0,
    ) -> None:
        super().__init__()
        self.domain = self.codomain = _fields_of(features, type(self).__name__)
        axes = self.domain.axes
        self.size = sizes_of(size, axes, "the size of a pooling window", least=1)
        self.stride = self.size if stride is None else sizes_of(stride, axes, "stride", least=1)
        self.padding = sizes_of(padding, axes, "padding", least=0)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, n, *grid) -> (batch, n, *grid')."""
        check_vectors(self, x, self.domain.dimension)
        check_centred(self, x, self.size, self.stride, self.padding)
        return self.pooled(x)

    def pooled(self, x: Tensor) -> Tensor:
        """The same, x checked."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        """Sizes, for ``repr``."""
        return f"size={self.size}, stride={self.stride}, padding={self.padding}"


class FieldMaxPool(_WindowPool):
    """The largest of each channel in windows of a grid, where the group permutes channels.

    Raises `ModelError` where it does more, since the largest of -x is not minus that of x: take
    `FieldAvgPool`.
    """

    def __init__(
        self,
        features: FeatureSpace,
        size: int | Sequence[int],
        stride: int | Sequence[int] | None = None,
        padding: int | Sequence[int] = 0,
    ) -> None:
        super().__init__(features, size, stride, padding)
        _check_permutes(self.domain, "FieldMaxPool", "FieldAvgPool")

    def pooled(self, x: Tensor) -> Tensor:
        return _MAX[self.domain.axes](x, self.size, self.stride, self.padding)


class FieldAvgPool(_WindowPool):
    """The mean of each channel in windows of a grid, zeros of the padding counted."""

    def pooled(self, x: Tensor) -> Tensor:
        return _MEAN[self.domain.axes](x, self.size, self.stride, self.padding)


class GlobalAvgPool(nn.Module):
    """The mean over the grid: (batch, n, *grid) to vectors (batch, n), on which the group acts."""

    def __init__(self, features: FeatureSpace) -> None:
        super().__init__()
        self.domain = _fields_of(features, "GlobalAvgPool")
        self.codomain = self.domain.at_a_point

    def forward(self, x: Tensor) -> Tensor:
        """(batch, n, *grid) -> (batch, n)."""
        check_vectors(self, x, self.domain.dimension)
        return x.mean(dim=tuple(range(-self.domain.axes, 0)))


class OrbitMaxPool(ExactBuffers):
    """x -> the largest coordinate of each orbit, where the group permutes. (..., n) to (..., r).

    Of a regular field that is the largest over the group ("group pooling").

    Raises `ModelError` where the group does more than permute: take `NormPool`.
    """

    def __init__(self, features: FeatureSpace | Basis) -> None:
        super().__init__()
        self.domain = space = features_of(features, "OrbitMaxPool")
        _check_permutes(space, "OrbitMaxPool", "NormPool")
        orbits = invariant_coordinates(space.representation)
        self.codomain = space.scalars(len(orbits))
        longest = max(map(len, orbits))
        # Short orbits are padded with their own first coordinate, which changes no maximum.
        members = np.stack([np.resize(orbit, longest) for orbit in orbits])
        self.consecutive = np.array_equal(members.ravel(), np.arange(space.dimension))
        self.register_exact("members", members.ravel())
        self.orbits, self.longest = len(orbits), longest

    def forward(self, x: Tensor) -> Tensor:
        """(..., n) -> (..., r)."""
        check_vectors(self, x, self.domain.dimension)
        channels = -1 - self.domain.axes
        if not self.consecutive:
            x = x.index_select(channels, self.get_buffer("members"))
        return x.unflatten(channels, (self.orbits, self.longest)).amax(dim=channels)

    def extra_repr(self) -> str:
        """Sizes, for ``repr``."""
        return f"{self.domain.dimension} -> {self.codomain.dimension}"


def _fields_of(features: object, layer: str) -> FeatureSpace:
    space = features_of(features, layer)
    if not space.axes:
        raise ModelError(
            f"{layer} acts on fields, such as the codomain of a convolution, not on {space}"
        )
    return space


def _check_permutes(features: FeatureSpace, layer: str, instead: str) -> None:
    rho = features.representation
    if not isinstance(rho, PermutationRepresentation) or rho.signs is not None:
        raise ModelError(
            f"{layer} does not commute with {features}: the group does more there than permute; "
            f"take {instead}"
        )
