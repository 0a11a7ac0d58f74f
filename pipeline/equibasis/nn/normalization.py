"""Normalization that commutes with a group: its statistics are invariant, its scales by block."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed, nn

from equibasis.errors import ModelError
from equibasis.nn.bias import InvariantBias
from equibasis.nn.border import check_vectors, number_of
from equibasis.nn.expansion import BasisExpansion
from equibasis.nn.identity import IdentifiedWeights
from equibasis.nn.interface import FeatureSpace, with_invariants
from equibasis.nn.metric import InvariantMetric
from equibasis.nn.reach import Reach, check_reach
from equibasis.nn.tracing import without_autocast
from equibasis.solvers.basis import Basis


class _Norm(IdentifiedWeights):
    """A scale γ for each invariant block, and a shift β in the span of the invariants."""

    def _begin(self, invariants: FeatureSpace | Basis, eps: float) -> Basis:
        """Know the space and make the parameters; returns the invariants."""
        self.domain, basis = with_invariants(invariants, type(self).__name__)
        self.codomain, self.eps = self.domain, number_of(eps, "eps")
        self.metric, self.rank = InvariantMetric(self.domain), basis.rank
        self.scale = nn.Parameter(torch.empty(self.metric.blocks))
        self.shift = InvariantBias(basis, basis)
        return basis

    def reset_parameters(self) -> None:
        """Scales 1 and shift 0."""
        nn.init.ones_(self.scale)
        self.shift.reset_parameters()

    def extra_repr(self) -> str:
        """Space, blocks and ε, for ``repr``."""
        return f"{self.domain}, {self.metric.blocks} blocks, eps={self.eps}"

    def weights_of(self) -> tuple[str, tuple[FeatureSpace, ...], str]:
        """Name a scale for each block (and what was seen there), a shift among invariants."""
        blocks = f"{self.metric.blocks} blocks, rank {self.rank}"
        return type(self).__name__, (self.domain,), blocks


class EquivariantLayerNorm(_Norm):
    """y = γ_b (x - u⟨u, x⟩) / √(‖x - u⟨u, x⟩‖²/n + ε) + β for one vector x. (..., n) to (..., n).

    u is the vector of ones projected on the invariants, at unit length: for permutations,
    ⟨u, x⟩ u is the plain mean, and this is `torch.nn.LayerNorm` with its weights tied by the
    group; where no invariant is left of the ones, nothing is subtracted. Lengths are invariant
    ones (`InvariantMetric`). γ, one number for each invariant block, starts at 1; β, in the span
    of the invariants, at 0.

    Parameters
    ----------
    invariants
        The space, or its invariant basis.
    eps
        ε.

    Raises
    ------
    ModelError
        If the basis is not one of invariants, or ε no number from 0 on; or of a single invariant
        number, which its own mean is taken from; or the group keeps no length.

    Warns
    -----
    UnreachedWarning
        If an invariant number is alone among vectors, so that it is its own mean.
    """

    axis: Tensor

    def __init__(self, invariants: FeatureSpace | Basis, eps: float = 1e-5) -> None:
        super().__init__()
        basis = self._begin(invariants, eps)
        axis = _axis(basis, self.metric)
        self.reach = check_reach(
            self,
            _centred_reach(axis),
            why="a single number is its own mean, which is subtracted",
            way_out="leave it out",
        )
        self.register_exact("axis", axis)
        self.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        """(..., n) -> (..., n)."""
        check_vectors(self, x, self.scale.dtype)
        channels, along = self.domain.channels, self.domain.along_channels
        u, form = (along(each) for each in self.axis)
        centred = x - (x * form).sum(dim=channels, keepdim=True) * u
        z = self.metric.straightened(centred)
        deviation = (z.square().mean(dim=channels, keepdim=True) + self.eps).sqrt()
        scale = self.scale.index_select(0, self.metric.block)
        return centred / deviation * along(scale) + along(self.shift())


class EquivariantBatchNorm(_Norm):
    """y = γ_b (x - μ) / √(v_b + ε) + β over a batch of x. (..., n) to (..., n).

    μ is the mean of the batch projected on the invariants, which is the mean of the batch moved
    by all of the group; v_b the mean of ‖x - μ‖²/n_b in invariant block b, of n_b coordinates.
    In evaluation both are running averages. With the trivial group this is
    `torch.nn.BatchNorm1d`; γ and β are as in `EquivariantLayerNorm`.

    In training with a process group of `torch.distributed`, the batch is that of all processes
    together, as of `torch.nn.SyncBatchNorm`, but on CPUs too: every process has to call the layer,
    if only with a batch of no vectors.

    Parameters
    ----------
    invariants
        The space, or its invariant basis.
    eps
        ε.
    momentum
        How much of a running average each batch replaces; ``None``: all batches count alike.

    Raises
    ------
    ModelError
        If the basis is not one of invariants, ε no number from 0 on or the momentum none from 0 to
        1; or the group keeps no length; or in training, if a batch is too small.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    functionals: Tensor

    def __init__(
        self,
        invariants: FeatureSpace | Basis,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
    ) -> None:
        super().__init__()
        basis = self._begin(invariants, eps)
        self.momentum = None if momentum is None else number_of(momentum, "momentum", most=1.0)
        self.centre = BasisExpansion(basis)
        functionals = _coordinates(basis, self.metric)
        self.of_equal_orbits = (  # torch has no ε of 0
            self.eps > 0 and self.domain.permutes and _are_equal_stretches(functionals, self.metric)
        )
        self.register_exact("functionals", functionals)
        self.register_buffer("running_mean", torch.empty(self.rank))
        self.register_buffer("running_var", torch.empty(self.metric.blocks))
        self.register_buffer("num_batches_tracked", torch.tensor(0))
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Forget what was seen: mean 0 and variance 1."""
        self.running_mean.zero_()
        self.running_var.fill_(1.0)
        self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """Scales 1, shift 0, nothing seen."""
        self.reset_running_stats()
        super().reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        """(..., n) -> (..., n), all axes but that of the channels being the batch."""
        check_vectors(self, x, self.scale.dtype)
        if self.of_equal_orbits and not (self.training and process_count() > 1):
            return self._as_plain(x)
        if self.training:
            mean, variance = self._batch_statistics(x)
        else:
            mean, variance = self.running_mean, self.running_var
        factors = (self.scale / (variance + self.eps).sqrt()).index_select(0, self.metric.block)
        along = self.domain.along_channels
        return (x - along(self.centre(mean))) * along(factors) + along(self.shift())

    def _as_plain(self, x: Tensor) -> Tensor:
        """PyTorch's batch norm, to which each orbit is a channel, its points more of the grid."""
        vectors = x.unsqueeze(0).flatten(0, -2 - self.domain.axes)  # with one axis of a batch
        orbits = vectors.unflatten(1, (self.metric.blocks, -1)).flatten(2)
        share = self._share(len(vectors), orbits.shape[-1]) if self.training else 0.0
        y = nn.functional.batch_norm(
            orbits,
            self.running_mean,
            self.running_var,
            self.scale,
            self.shift.coefficients,
            self.training,
            share,
            self.eps,
        )
        return y.view_as(x)

    def _share(self, vectors: int, size: int) -> float:
        """How much of the running averages a batch replaces, with blocks from so many numbers."""
        if vectors * size < 2:
            raise ModelError(
                f"EquivariantBatchNorm needs more than {vectors} vectors a batch to train "
                f"on {self.domain}, which has blocks of one coordinate"
            )
        with torch.no_grad():
            self.num_batches_tracked += 1
        if self.momentum is None:
            return 1.0 / float(self.num_batches_tracked)
        return self.momentum

    def _batch_statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Coordinates of μ, and v; the running averages take them in."""
        x = x.to(self.scale.dtype)  # squares of what autocast has made short may be too large
        batch = [axis for axis in range(x.ndim) if axis != x.ndim + self.domain.channels]
        vectors = _count_of_all(x.numel() // self.domain.dimension, x.device)
        share = self._share(vectors, self.metric.counts[0][0])
        with without_autocast(x.device.type):
            mean = self.functionals @ _mean(x, batch, vectors)
            squares = self.metric.squares(x - self.domain.along_channels(self.centre(mean)))
            variance = _mean(squares, batch, vectors) / self.metric.sizes
        with torch.no_grad():
            self.running_mean.lerp_(mean.to(self.running_mean), share)
            counts = vectors * self.metric.sizes
            unbiased = variance * (counts / (counts - 1))
            self.running_var.lerp_(unbiased.to(self.running_var), share)
        return mean, variance

    def extra_repr(self) -> str:
        """Space, blocks and numbers, for ``repr``."""
        return f"{super().extra_repr()}, momentum={self.momentum}"


def process_count() -> int:
    """How many processes the default group of `torch.distributed` has; 1 where there is no group.

    >>> process_count()
    1
    """
    there = distributed.is_available() and distributed.is_initialized()
    return distributed.get_world_size() if there else 1


def sum_over_processes(x: Tensor) -> Tensor:
    """Σ_p x_p over the x of each process p, all of one shape; every process has to ask for it."""
    total: Tensor = _Sum.apply(x)
    return total


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.detach().clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return sum_over_processes(gradient)  # the sum is its own adjoint


def _count_of_all(count: int, device: torch.device) -> int:
    """Return the sum of a number over all processes."""
    if process_count() == 1:
        return count
    return int(sum_over_processes(torch.tensor(count, device=device)))


def _mean(x: Tensor, axes: list[int], count: int) -> Tensor:
    """Average over axes, and over all processes, which have ``count`` entries together."""
    total = x.sum(dim=axes) if axes else x
    if process_count() > 1:
        total = sum_over_processes(total)
    return total / count


def _are_equal_stretches(functionals: np.ndarray, metric: InvariantMetric) -> bool:
    """Whether blocks are alike long, one after the other, and invariants in their order."""
    block = np.repeat(np.arange(metric.blocks), metric.counts[0][0])
    return len(metric.counts) == 1 and np.array_equal(
        functionals != 0, block == np.arange(metric.blocks)[:, None]
    )


def _centred_reach(axis: np.ndarray) -> Reach:
    """Rows and columns of 1 - u⟨u, ·⟩ that are not 0: u or the form may be of one coordinate."""
    u, form = axis
    whole = np.abs(u * form - 1) < 1e-9
    sizes = np.linalg.norm(axis, axis=1)
    own = np.abs(axis) > (1 - 1e-9) * sizes[:, None]
    return Reach(~(whole & own[1]), ~(whole & own[0]))


def _axis(invariants: Basis, metric: InvariantMetric) -> np.ndarray:
    """u, and the form x -> ⟨u, x⟩, as the rows of a (2, n) matrix; zeros where there is no u."""
    matrix = invariants.matrix
    axis = matrix @ matrix.sum(axis=0)
    form = axis if metric.gram is None else metric.gram @ axis
    square = float(axis @ form)
    if square < 1e-12 * len(axis):
        return np.zeros((2, len(axis)))
    return np.stack([axis, form]) / np.sqrt(square)


def _coordinates(invariants: Basis, metric: InvariantMetric) -> np.ndarray:
    """F of shape (r, n): the coefficients F x expand to the mean of all ρ(g) x."""
    matrix = invariants.matrix.toarray()
    sizes = np.sqrt(np.count_nonzero(matrix, axis=0))[:, None]
    if metric.gram is None:
        return matrix.T / sizes
    form = matrix.T @ metric.gram
    return np.linalg.solve(form @ matrix, form) / sizes
