"""Windows of fields: what the kernel of a convolution takes of a field, and how its points move.

A field has a vector of its fibre F at each point of a grid. A kernel sees K = k₁ × k₂ × … points of
it at once, the vectors of R^c ⊗ R^K for F = R^c: components before points, as in the weights of a
convolution (out, c, k₁, k₂, …).
"""

from __future__ import annotations

import math

import numpy as np
from scipy import sparse

from equibasis.errors import SpaceError
from equibasis.symmetry.assembled import tensor_product
from equibasis.symmetry.constructions import same_representation
from equibasis.symmetry.representations import (
    PermutationRepresentation,
    Representation,
    signs_of,
    simplest,
)
from equibasis.symmetry.spaces import FIELDS, Grid, Named, Product, Shape, Space, Sum


def window(fibre: Space, size: Shape) -> Space:
    """Return a field's window: ``3x3:vector`` for the fibre ``vector``, channel by channel.

    >>> from equibasis.symmetry.space_text import as_space
    >>> print(window(as_space("8*regular + 2*vector + 1"), (3, 3)))
    8*(regular*3x3) + 2*3x3:vector + 3x3

    Raises
    ------
    SpaceError
        If the fibre is a grid itself.
    """
    if isinstance(fibre, Sum):
        parts = {part: window(part, size) for part in set(fibre.summands)}
        return Sum(tuple(parts[part] for part in fibre.summands))
    if isinstance(fibre, Grid) and fibre.shape:
        raise SpaceError(
            f"{fibre} is a grid, not what a field has at one point: give 1, vector, regular or "
            "a representation that the group has by name, and sums of these"
        )
    if size == (1,):  # the only grid of one axis and point is the point
        return fibre
    if isinstance(fibre, Grid):
        return Grid(size, fibre.field)
    if isinstance(fibre, Named) and fibre.name != "regular":
        return Grid(size, fibre.name)
    factors = fibre.factors if isinstance(fibre, Product) else (fibre,)
    return Product((*factors, Grid(size)))


def fibre_of(space: Space) -> tuple[Space, Shape]:
    """Return the fibre and the size of a window; what `window` makes, and grids of users.

    What is no grid is a window of one point on one axis.

    Raises
    ------
    SpaceError
        If its summands are windows of several sizes.
    """
    if isinstance(space, Sum):
        found = {part: fibre_of(part) for part in set(space.summands)}
        sizes = {size for _, size in found.values()}
        if len(sizes) > 1:
            raise SpaceError(f"{space} is no window of a field: its grids differ in size")
        return Sum(tuple(found[part][0] for part in space.summands)), sizes.pop()
    if isinstance(space, Grid) and space.shape:
        known = space.field in FIELDS
        return (Grid((), space.field) if known else Named(space.field)), space.shape
    if isinstance(space, Product) and isinstance(space.factors[-1], Grid):
        points, rest = space.factors[-1], space.factors[:-1]
        if points.field == "scalar" and points.shape:
            return (rest[0] if len(rest) == 1 else Product(rest)), points.shape
    return space, (1,)


def on_fibre(rho: Representation, points: int) -> Representation:
    """ρ on the fibre, from ρ on a window of so many points.

    Raises
    ------
    SpaceError
        If permutations are not those of a window, where all components of a point move together.
    """
    if isinstance(rho, PermutationRepresentation):
        fibre = PermutationRepresentation(
            rho.index[:, ::points] // points, signs_of(rho)[:, ::points]
        )
        moved = PermutationRepresentation(rho.index[:, :points] % points)
        if not same_representation(tensor_product(fibre, moved), rho):
            raise SpaceError("this is no window of a field: points and components move as one")
        return fibre
    matrices, channels = [], rho.dimension // points
    for matrix in rho.moves():
        entries = matrix.tocoo()
        first = entries.col % points == 0
        where = entries.row[first] // points, entries.col[first] // points
        matrices.append(sparse.csr_array((entries.data[first], where), shape=(channels,) * 2))
    return simplest(np.stack([matrix.toarray() for matrix in matrices]))


def on_axes(rho: Representation, size: Shape) -> np.ndarray | None:
    """How each element turns the axes of a window, R of shape (|G|, axes, axes), entries 0, ±1.

    It moves the value at x to R x, both from the centre. ``None`` where an axis of one point does
    not tell.

    Raises
    ------
    SpaceError
        If an element moves the points in another way, as shifts in a circle do.
    """
    points, axes = math.prod(size), len(size)
    source = _point_sources(rho, points)  # the value at point p comes from there
    centred = (2 * np.indices(size).reshape(axes, -1) - np.array(size)[:, None] + 1).T
    spread = np.sum(centred * centred, axis=0)
    if (spread == 0).any():
        return None
    # Least squares for centred[source] = centred R, rows of points, as R⁻¹ = Rᵀ.
    turns = np.rint(np.einsum("pa,gpb->gab", centred, centred[source]) / spread[:, None])
    if not np.array_equal(centred @ turns, centred[source]):
        raise SpaceError("the group moves the points of a window other than by turning it")
    return turns


def turned_points(turns: np.ndarray, size: Shape) -> PermutationRepresentation:
    """Return the points of a grid, permuted by what turns its axes: `on_axes` the other way round.

    Parameters
    ----------
    turns
        R for each element, (|G|, axes, axes).
    size
        Points along each axis, alike on axes that are exchanged.
    """
    points = np.indices(size).reshape(len(size), -1).T
    centred = 2 * points + 1 - np.array(size)  # rows of points: x R is R⁻¹ x
    sources = (np.rint(centred @ turns).astype(np.int64) - 1 + np.array(size)) // 2
    return PermutationRepresentation(np.ravel_multi_index(tuple(np.moveaxis(sources, -1, 0)), size))


def _point_sources(rho: Representation, points: int) -> np.ndarray:
    """From where each element brings what it has at each point, int64 (|G|, points)."""
    sources = []
    for matrix in rho.moves():
        entries = abs(sparse.csr_array(matrix[:points])).tocoo()
        source = np.empty(points, dtype=np.int64)
        source[entries.row] = entries.col % points
        sources.append(source)
    return np.stack(sources)
