"""Lengths that a group keeps: of the parts of a vector that lie in invariant subspaces."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from equibasis.errors import ModelError
from equibasis.nn.buffers import ExactBuffers
from equibasis.nn.interface import FeatureSpace
from equibasis.solvers import solve_space
from equibasis.symmetry.constructions import invariant_coordinates, part_numbers

# The worst condition of what is inverted, and of a metric.
_WORST = 1e8


class NoLengthError(ModelError):
    """A group keeps no length on a space, as it is not compact there."""


class InvariantBlocks(ExactBuffers):
    """The finest sets of coordinates that a group keeps apart: orbits, vectors, summands.

    Parameters
    ----------
    features
        The space, or fields: then all is at each point, (..., n, *grid) wherever (..., n) is said.

    Attributes
    ----------
    blocks
        How many there are.
    counts
        (size, number of blocks of it), ascending: blocks of one size are reduced together.
    """

    block: Tensor
    sizes: Tensor
    by_size: Tensor
    place: Tensor

    def __init__(self, features: FeatureSpace) -> None:
        super().__init__()
        parts = invariant_coordinates(features.representation)
        sizes = np.array([len(part) for part in parts])
        order = np.argsort(sizes, kind="stable")
        self.features, self.blocks = features, len(parts)
        self.counts = [(int(size), int((sizes == size).sum())) for size in np.unique(sizes)]
        by_size = np.concatenate([parts[number] for number in order])
        self.register_exact("block", part_numbers(parts))
        self.register_exact("sizes", sizes)
        self.in_order = np.array_equal(by_size, np.arange(features.dimension))
        self.register_exact("by_size", by_size)
        self.register_exact("place", np.argsort(order))

    def reduced(self, reduce: Callable[..., Tensor], x: Tensor) -> Tensor:
        """(..., n) -> (..., blocks): what ``reduce`` makes of the coordinates of each block.

        One alone stays as it is: PyTorch 2.8 exports no `vector_norm` of that.
        """
        axis = self.features.channels
        by_size = x if self.in_order else x.index_select(axis, self.by_size)
        reduced, start = [], 0
        for size, count in self.counts:
            part = by_size.narrow(axis, start, size * count)
            if size > 1:
                part = reduce(part.unflatten(axis, (count, size)), dim=axis)
            reduced.append(part)
            start += size * count
        by_block = torch.cat(reduced, dim=axis)
        return by_block if self.in_order else by_block.index_select(axis, self.place)

    def spread(self, values: Tensor) -> Tensor:
        """(..., blocks) -> (..., n): each block's value at each of its coordinates."""
        return values.index_select(self.features.channels, self.block)


class InvariantMetric(InvariantBlocks):
    """|x_b|² = (Cx)_bᵀ(Cx)_b for each block b of coordinates, with |ρ(g) x|_b = |x|_b.

    C = 1 where ρ is orthogonal; else CᵀC = M, the mean of ρ(g)ᵀρ(g) over the group (Weyl's
    unitarian trick), scaled to trace n. Raises `NoLengthError` if the group keeps no length.
    """

    factor: Tensor | None

    def __init__(self, features: FeatureSpace) -> None:
        super().__init__(features)
        self.gram = _invariant_gram(features)
        self.register_exact(
            "factor", None if self.gram is None else np.linalg.cholesky(self.gram).T
        )

    def straightened(self, x: Tensor) -> Tensor:
        """C x, whose plain length is the invariant one of x; (..., n) to (..., n)."""
        if self.factor is None:
            return x
        z = self.features.channels_last(x) @ self.factor.T
        return self.features.channels_first(z)

    def squares(self, x: Tensor) -> Tensor:
        """(..., n) -> (..., blocks): |x_b|²."""
        z = self.straightened(x)
        return self.reduced(torch.sum, z * z)

    def norms(self, x: Tensor) -> Tensor:
        """(..., n) -> (..., blocks): |x_b|, whose gradient at 0 is 0."""
        lengths = self.reduced(torch.linalg.vector_norm, self.straightened(x))
        return lengths if self.counts[0][0] > 1 else lengths.abs()  # of numbers alone


def _invariant_gram(features: FeatureSpace) -> np.ndarray | None:
    """M, of shape (n, n), type by type; ``None`` for M = 1.

    Raises
    ------
    NoLengthError
        If the group is not compact on some block.
    """
    if features.representation.is_orthogonal:
        return None
    n = features.dimension
    gram = np.zeros((n, n))
    for summand in features.maps_to(features).types.input:
        small = _mean_gram(features.part(np.sort(summand.index[:, 0])))
        if small is None:
            raise NoLengthError(
                f"no length is kept by {features} (the group is not compact there): use "
                "GatedActivation and EquivariantBilinear in place of what needs lengths"
            )
        for copy in summand.index.T:
            gram[np.ix_(copy, copy)] = small
    return gram * (n / np.trace(gram))


def _mean_gram(features: FeatureSpace) -> np.ndarray | None:
    """R(1), of the projection R = N (LᵀN)⁻¹Lᵀ onto invariant forms N; ``None`` if not positive.

    It is along the forms that vanish on the invariant forms L of the dual: for a compact group,
    averaging.
    """
    n = features.dimension
    forms = solve_space(features.maps_to(features.dual)).matrix.toarray()
    duals = solve_space(features.dual.maps_to(features)).matrix.toarray()
    pairing = duals.T @ forms
    if not forms.shape[1] or np.linalg.cond(pairing) > _WORST:
        return None
    gram = (forms @ np.linalg.solve(pairing, duals.T @ np.eye(n).ravel())).reshape(n, n)
    gram = (gram + gram.T) / 2
    positive = np.linalg.eigvalsh(gram)[0] > np.trace(gram) / n / _WORST
    return gram if positive else None
