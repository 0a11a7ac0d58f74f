"""Representations: matrices ρ(g) on R^n, built from transforms of arrays, and their algebra."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import psutil
from scipy import sparse
from scipy.sparse import csgraph
from scipy.spatial import cKDTree

from equibasis.errors import GroupError, SpaceError
from equibasis.symmetry.groups import Group, check_fits
from equibasis.symmetry.spaces import (
    SCALAR,
    Dual,
    Grid,
    Natural,
    Product,
    Shape,
    Space,
    Sum,
    array_shape,
)
from equibasis.symmetry.workers import Workers

# How far apart two matrices may be and still be called equal: far above rounding (1e-15), far
# below what interpolation or a wrong transform does (1e-2).
TOLERANCE = 1e-9

# One-hot columns that one task transforms: enough to outweigh sending it, few enough to share.
_COLUMNS_A_TASK = 256

# One-hot columns beyond this would take hours, as each has as many entries.
_MOST_COLUMNS = 2**16

# The longest that a regular field may be.
_MOST_TURNS = 1000

# The largest norm of a matrix: rounding is multiplied by its square.
_MOST_NORM = 300.0

# Generators that make more elements than this are not listed: the group is too large, or infinite.
MOST_ELEMENTS = 20_000
_MOST_BYTES = 2**30

# Two elements of a finite group are never so near; powers of an inexact turn are.
_TOO_NEAR = 1e-7

# Width of the buckets that signatures are sorted into: far above rounding.
_BUCKET = 1e-6


@dataclass(frozen=True, eq=False)
class PermutationRepresentation:
    """Permutation matrices ρ(g), or signed ones, kept as index arrays.

    Attributes
    ----------
    index
        Integers of shape (|G|, n).
    signs
        ±1, int8 of shape (|G|, n), or ``None`` where all are +1:
        (ρ(g) x)[i] = signs[g, i] x[index[g, i]].
    """

    index: np.ndarray
    signs: np.ndarray | None = None

    @property
    def order(self) -> int:
        """How many elements are listed, |G| where that is all of them."""
        return int(self.index.shape[0])

    @property
    def dimension(self) -> int:
        """n, the size of the space acted on."""
        return int(self.index.shape[1])

    def apply(self, g: int, x: np.ndarray) -> np.ndarray:
        """ρ(g) x for x of shape (n, ...)."""
        moved = x[self.index[g]]
        if self.signs is None:
            return moved
        return moved * self.signs[g].reshape(-1, *[1] * (x.ndim - 1))

    def matrix(self, g: int) -> sparse.csr_array:
        """ρ(g) as a sparse matrix (n, n), float64."""
        n = self.dimension
        values = np.ones(n) if self.signs is None else self.signs[g].astype(np.float64)
        return sparse.csr_array((values, self.index[g], np.arange(n + 1)), shape=(n, n))

    def dense(self) -> np.ndarray:
        """All ρ(g), float64 (|G|, n, n)."""
        return np.stack([self.matrix(g).toarray() for g in range(self.order)])

    def characters(self) -> np.ndarray:
        """tr ρ(g) for each g, shape (|G|,), float64: fixed points, those with sign -1 taken off."""
        fixed = self.index == np.arange(self.dimension)
        return (fixed if self.signs is None else fixed * self.signs).sum(axis=1, dtype=np.float64)

    @cached_property
    def inverse(self) -> PermutationRepresentation:
        """g -> ρ(g⁻¹), the elements in the same order."""
        index = np.argsort(self.index, axis=1).astype(self.index.dtype)
        if self.signs is None:
            return PermutationRepresentation(index)
        return PermutationRepresentation(index, np.take_along_axis(self.signs, index, axis=1))

    @property
    def dual(self) -> PermutationRepresentation:
        """g -> ρ(g⁻¹)ᵀ: itself, as it is orthogonal."""
        return self

    @property
    def is_orthogonal(self) -> bool:
        """Always."""
        return True

    @property
    def row_entries(self) -> float:
        """How many entries a row of ρ(g) has, on average."""
        return 1.0


@dataclass(frozen=True, eq=False)
class MatrixRepresentation:
    """Any real matrices ρ(g).

    Attributes
    ----------
    matrices
        float64 of shape (|G|, n, n).
    """

    matrices: np.ndarray

    @property
    def order(self) -> int:
        """How many elements are listed, |G| where that is all of them."""
        return int(self.matrices.shape[0])

    @property
    def dimension(self) -> int:
        """n, the size of the space acted on."""
        return int(self.matrices.shape[1])

    def apply(self, g: int, x: np.ndarray) -> np.ndarray:
        """ρ(g) x for x of shape (n, ...)."""
        return np.tensordot(self.matrices[g], x, axes=1)

    def matrix(self, g: int) -> sparse.csr_array:
        """ρ(g) as a sparse matrix (n, n), float64."""
        return sparse.csr_array(self.matrices[g])

    def dense(self) -> np.ndarray:
        """All ρ(g), float64 (|G|, n, n)."""
        return self.matrices

    def characters(self) -> np.ndarray:
        """tr ρ(g) for each g, shape (|G|,), float64."""
        return np.trace(self.matrices, axis1=1, axis2=2)

    @cached_property
    def inverse(self) -> MatrixRepresentation:
        """g -> ρ(g⁻¹), the elements in the same order; transposes where ρ is orthogonal."""
        if self.is_orthogonal:
            return MatrixRepresentation(np.ascontiguousarray(self.matrices.transpose(0, 2, 1)))
        return MatrixRepresentation(np.linalg.inv(self.matrices))

    @property
    def dual(self) -> MatrixRepresentation:
        """g -> ρ(g⁻¹)ᵀ."""
        if self.is_orthogonal:
            return self
        return MatrixRepresentation(np.ascontiguousarray(self.inverse.matrices.transpose(0, 2, 1)))

    @cached_property
    def is_orthogonal(self) -> bool:
        """Whether ρ(g) ρ(g)ᵀ = 1 for each g listed."""
        gram = self.matrices @ self.matrices.transpose(0, 2, 1)
        return bool(np.abs(gram - np.eye(self.dimension)).max() < TOLERANCE)

    @cached_property
    def row_entries(self) -> float:
        """How many entries a row of ρ(g) has, on average."""
        return np.count_nonzero(self.matrices) / (self.order * self.dimension)


Representation: TypeAlias = PermutationRepresentation | MatrixRepresentation


# --- algebra ------------------------------------------------------------------------------------


def trivial_representation(order: int) -> PermutationRepresentation:
    """ρ(g) = 1 on the scalars R¹, for ``order`` elements."""
    return PermutationRepresentation(np.zeros((order, 1), dtype=np.int64))


def direct_sum(summands: Sequence[Representation]) -> Representation:
    """ρ₁ ⊕ ρ₂ ⊕ …: block diagonal, the spaces one after the other."""
    if len(summands) == 1:
        return summands[0]
    starts = np.cumsum([0, *(rho.dimension for rho in summands)])
    if all(isinstance(rho, PermutationRepresentation) for rho in summands):
        permutations = [rho for rho in summands if isinstance(rho, PermutationRepresentation)]
        index = np.concatenate(
            [rho.index + start for rho, start in zip(permutations, starts[:-1], strict=True)],
            axis=1,
        )
        if all(rho.signs is None for rho in permutations):
            return PermutationRepresentation(index)
        return PermutationRepresentation(index, np.concatenate([*map(_signs, permutations)], 1))
    matrices = np.zeros((summands[0].order, starts[-1], starts[-1]))
    for rho, start, end in zip(summands, starts[:-1], starts[1:], strict=True):
        matrices[:, start:end, start:end] = rho.dense()
    return MatrixRepresentation(matrices)


def tensor_product(first: Representation, second: Representation) -> Representation:
    """ρ₁ ⊗ ρ₂, the second factor's index fastest."""
    order, n = first.order, first.dimension * second.dimension
    if isinstance(first, PermutationRepresentation) and isinstance(
        second, PermutationRepresentation
    ):
        index = first.index[:, :, None] * second.dimension + second.index[:, None, :]
        signs = None
        if first.signs is not None or second.signs is not None:
            signs = (_signs(first)[:, :, None] * _signs(second)[:, None, :]).reshape(order, n)
            if (signs > 0).all():  # those of two factors cancel
                signs = None
        return PermutationRepresentation(index.reshape(order, n), signs)
    product = np.einsum("gij,gkl->gikjl", first.dense(), second.dense())
    return MatrixRepresentation(product.reshape(order, n, n))


def _signs(rho: PermutationRepresentation) -> np.ndarray:
    return np.ones(rho.index.shape, dtype=np.int8) if rho.signs is None else rho.signs


def restriction(rho: Representation, coordinates: np.ndarray) -> Representation:
    """ρ on the span of some coordinates, ascending, which every ρ(g) keeps."""
    if isinstance(rho, PermutationRepresentation):
        index = np.searchsorted(coordinates, rho.index[:, coordinates])
        signs = None if rho.signs is None else rho.signs[:, coordinates]
        return PermutationRepresentation(index, signs)
    return MatrixRepresentation(rho.matrices[:, coordinates[:, None], coordinates])


def invariant_coordinates(rho: Representation) -> list[np.ndarray]:
    """The finest partition of coordinates such that each part spans an invariant subspace.

    For a direct sum these are its summands, or parts of them; ascending by first coordinate.
    """
    pattern = abs(rho.matrix(0))
    for g in range(1, rho.order):
        pattern = pattern + abs(rho.matrix(g))
    count, part = csgraph.connected_components(pattern, directed=False)
    order = np.argsort(part, kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(part, minlength=count))[:-1])
    return sorted(parts, key=lambda coordinates: int(coordinates[0]))


def same_representation(a: Representation, b: Representation) -> bool:
    """Whether two representations are equal, element by element."""
    if a.order != b.order or a.dimension != b.dimension:
        return False
    if isinstance(a, PermutationRepresentation) and isinstance(b, PermutationRepresentation):
        return np.array_equal(a.index, b.index) and np.array_equal(_signs(a), _signs(b))
    return np.allclose(a.dense(), b.dense(), rtol=0, atol=TOLERANCE)


# --- spaces of maps -----------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class HomSpace:
    """Hom_G(X, Y): the linear maps W, of shape (k, m), with ρ₂(g) W = W ρ₁(g) for every g.

    With X the scalars these are the invariant vectors of Y.

    Attributes
    ----------
    group, elements
        Names of the group and of the elements listed.
    input_space, output_space
        X = R^m and Y = R^k.
    input, output
        ρ₁ of dimension m and ρ₂ of dimension k.
    complete
        Whether the elements are all of the group, the identity first, or only generate it.
    """

    group: str
    elements: tuple[str, ...]
    input_space: Space
    output_space: Space
    input: Representation
    output: Representation
    complete: bool = True

    @cached_property
    def generating(self) -> tuple[int, ...]:
        """Positions of elements that generate all others; for listed groups, checked on the way.

        Raises `GroupError` where the elements are said to be all of a group, and are not.
        """
        if not self.complete:
            return tuple(range(len(self.elements)))
        return check_group(self.group, self.elements, self.input, self.output)

    @property
    def kind(self) -> str:
        """``"invariant"`` where X is the scalars, else ``"equivariant"``."""
        return "invariant" if self.input_space == SCALAR else "equivariant"

    @property
    def input_shape(self) -> Shape:
        """Shape of the arrays in X; ``()`` for the scalars; flat where there is no other."""
        return _shape_of(self.input_space, self.m)

    @property
    def output_shape(self) -> Shape:
        """Shape of the arrays in Y; flat where there is no other."""
        return _shape_of(self.output_space, self.k)

    @property
    def m(self) -> int:
        """dim X."""
        return self.input.dimension

    @property
    def k(self) -> int:
        """dim Y."""
        return self.output.dimension

    @property
    def dimension(self) -> int:
        """k m, the dimension of all linear maps X -> Y."""
        return self.k * self.m

    def __str__(self) -> str:
        if self.kind == "invariant":
            return f"{self.group}: invariants of {self.output_space}"
        return f"{self.group}: {self.input_space} -> {self.output_space}"


def pair_images(
    input_: PermutationRepresentation, output: PermutationRepresentation, g: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Where element g sends index pairs: vec(ρ₂(g) W ρ₁(g⁻¹)) = signs · vec(W)[images].

    Both of shape (km,); signs are ``None`` where all are +1.
    """
    number = np.int32 if output.dimension * input_.dimension < 2**31 else np.int64
    rows = (output.index[g] * input_.dimension).astype(number)
    images = rows[:, None] + input_.index[g].astype(number)
    if input_.signs is None and output.signs is None:
        return images.ravel(), None
    signs = _signs(output)[g][:, None] * _signs(input_)[g]
    return images.ravel(), signs.ravel()


def double_cover(images: np.ndarray, signs: np.ndarray | None) -> np.ndarray:
    """A signed permutation of n points as one of 2n: point p, and its negative p + n."""
    n = len(images)
    up = images if signs is None else np.where(signs > 0, images, images + n)
    return np.concatenate([up, (up + n) % (2 * n)])


def _shape_of(space: Space, dimension: int) -> Shape:
    shape = array_shape(space)
    return (dimension,) if shape is None else shape


def hom_space(group: Group, input_space: Space, output_space: Space, workers: Workers) -> HomSpace:
    """The space Hom_G(X, Y), its representations built and checked.

    Raises
    ------
    SpaceError
        If the group does not act on one of the spaces.
    GroupError
        If a transform raises or is not linear, or the matrices do not form a group.
    """
    output = representation(group, output_space, workers)
    same = input_space == output_space
    input_ = output if same else representation(group, input_space, workers)
    names = group.element_names
    space = HomSpace(group.name, names, input_space, output_space, input_, output, group.complete)
    if group.complete:
        _ = space.generating  # checks that the elements are a group
    for rho in (input_, output):
        _check_conditioned(group.name, names, rho)
    return space


def _check_conditioned(name: str, elements: Sequence[str], rho: Representation) -> None:
    if isinstance(rho, PermutationRepresentation):
        return
    scales = np.linalg.svd(rho.matrices, compute_uv=False)
    worst = np.maximum(scales.max(axis=1), 1.0 / np.maximum(scales.min(axis=1), 1e-300))
    if worst.max() > _MOST_NORM:
        raise GroupError(
            f"group {name!r}: the matrix of {elements[int(worst.argmax())]} is not invertible, or "
            "so far from orthogonal that rounding would spoil the result: change coordinates"
        )


def representation(group: Group, space: Space, workers: Workers) -> Representation:
    """ρ of the elements that the group lists, on a space.

    Raises
    ------
    SpaceError
        If the group does not act on the space.
    GroupError
        If a transform raises (naming the element and the column), or is not linear.
    """
    if space == SCALAR:
        return trivial_representation(len(group.elements))
    if isinstance(space, Sum):
        of_part = {part: representation(group, part, workers) for part in set(space.summands)}
        return direct_sum([of_part[part] for part in space.summands])
    if isinstance(space, Product):
        rho = representation(group, space.factors[0], workers)
        for factor in space.factors[1:]:
            rho = tensor_product(rho, representation(group, factor, workers))
        return rho
    if isinstance(space, Dual):
        return representation(group, space.space, workers).dual
    if isinstance(space, Natural):
        if group.transform is not None:
            raise SpaceError(f"group {group.name!r} is not given by matrices, so it has no V")
        return _structured(np.stack([_linear(group, e, 0) for e in group.elements]))
    if isinstance(space, Grid):
        return _on_grid(group, space, workers)
    raise SpaceError(f"{space!r} is no space that equibasis knows")


def _on_grid(group: Group, grid: Grid, workers: Workers) -> Representation:
    check_fits(group, grid.shape)
    _check_shape_kept(group, grid.shape)
    points = (
        _from_indices(group, grid.shape)
        if group.rearranges
        else _from_one_hots(group, grid.shape, workers)
    )
    if grid.field == "scalar":
        return points
    axes = len(grid.shape)
    turns = np.stack([_linear(group, element, axes) for element in group.elements])
    if turns.shape[1:] != (axes, axes) or np.abs(np.abs(np.linalg.det(turns)) - 1).max() > 1e-6:
        raise SpaceError(
            f"group {group.name!r}: how vectors turn on a grid of {axes} axes is not given by "
            f"matrices ({axes}, {axes}) of determinant ±1"
        )
    if grid.field == "vector":
        components: Representation = _structured(turns)
    elif grid.field == "sign":
        determinants = np.rint(np.linalg.det(turns)).astype(np.int8)[:, None]
        components = PermutationRepresentation(np.zeros_like(determinants, int), determinants)
    else:
        components = _regular_representation(turns)
    return tensor_product(components, points)


def _linear(group: Group, element: Any, axes: int) -> np.ndarray:
    if group.linear is None:
        raise SpaceError(
            f"group {group.name!r} does not say how vectors turn: use scalar grids, or give the "
            "group its matrices as Group(..., linear=...)"
        )
    try:
        return np.asarray(group.linear(element, axes), dtype=np.float64)
    except Exception as error:  # whatever a user's function raises
        raise GroupError(
            f"group {group.name!r}: no matrix for element {element}: "
            f"{type(error).__name__}: {error}"
        ) from error


def _regular_representation(turns: np.ndarray) -> PermutationRepresentation:
    """The point group, which the ``turns`` (|G|, d, d) generate, permuting its own elements."""

    def key(matrix: np.ndarray) -> bytes:
        return np.rint(1e6 * matrix).astype(np.int64).tobytes()

    point_group = [np.eye(turns.shape[1])]
    number = {key(point_group[0]): 0}
    for one in point_group:  # grows while it is walked: breadth first from the identity
        for turn in turns:
            product = turn @ one
            if key(product) not in number:
                number[key(product)] = len(point_group)
                point_group.append(product)
        if len(point_group) > _MOST_TURNS:
            raise SpaceError(f"the point group has more than {_MOST_TURNS} elements: too many")
    # Component h of the image is component g⁻¹ h of what was there.
    index = [[number[key(np.linalg.inv(turn) @ one)] for one in point_group] for turn in turns]
    return PermutationRepresentation(np.array(index, dtype=np.int64))


def _from_indices(group: Group, shape: Shape) -> PermutationRepresentation:
    """ρ of a group that only rearranges entries, from one transform of the array of indices."""
    points = math.prod(shape)
    needed, free = 32.0 * len(group.elements) * points, psutil.virtual_memory().available
    if needed > free:
        raise SpaceError(
            f"group {group.name!r} on {Grid(shape)} would take {needed / 2**30:,.0f} GiB "
            f"({free / 2**30:,.0f} GiB are free): choose a smaller grid"
        )
    indices, probe = np.arange(points).reshape(shape), np.random.default_rng(0).random(shape)
    rows = []
    for element in group.elements:
        where = f"element {element}, the array of indices"
        row = _transformed(group, element, indices.copy(), where).ravel()
        moved = _transformed(group, element, probe.copy(), where).ravel()
        index = row.astype(np.int64)
        if (
            row.size != points
            or (np.bincount(np.abs(index), minlength=points) != 1).any()
            or (not np.array_equal(moved, probe.ravel()[index]))
        ):
            raise GroupError(
                f"group {group.name!r}: element {element} does not only move entries, as "
                "rearranges=True promises"
            )
        rows.append(index)
    return PermutationRepresentation(np.stack(rows))


def _from_one_hots(group: Group, shape: Shape, workers: Workers) -> Representation:
    """Column j of ρ(g) is the flattened transform of one-hot array j.

    Permutations, signed ones too, are recognized and kept as index arrays.
    """
    n = math.prod(shape)
    if n > _MOST_COLUMNS:
        raise SpaceError(
            f"{Grid(shape)} would take {n:,} one-hot transforms of {n:,} numbers each: choose "
            f"fewer than {_MOST_COLUMNS:,}, or if the group only moves entries, say so by "
            "Group(..., rearranges=True)"
        )
    starts = range(0, n, _COLUMNS_A_TASK)
    tasks = [
        (group, element, shape, range(start, min(start + _COLUMNS_A_TASK, n)))
        for element in group.elements
        for start in starts
    ]
    parts = list(workers.map(one_hot_columns, tasks, f"{group.name} on {Grid(shape)}"))
    matrices = []
    for first in range(0, len(parts), len(starts)):
        rows, columns, values = map(
            np.concatenate, zip(*parts[first : first + len(starts)], strict=True)
        )
        matrices.append(sparse.csr_array((values, (rows, columns)), shape=(n, n)))
    _check_linear(group, shape, matrices)
    if all(map(_is_signed_permutation, matrices)):
        return _signed_permutations(matrices)
    return MatrixRepresentation(np.stack([matrix.toarray() for matrix in matrices]))


def one_hot_columns(
    group: Group, element: Any, shape: Shape, columns: range
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Some columns of ρ(element): rows, columns and values of their non-zero entries."""
    rows, hits, values = [], [], []
    for column in columns:
        one_hot = np.zeros(shape)
        one_hot.flat[column] = 1.0
        where = f"element {element}, column {column} of {Grid(shape)}"
        image = _transformed(group, element, one_hot, where).ravel()
        support = np.flatnonzero(image)
        rows.append(support)
        hits.append(np.full(len(support), column))
        values.append(image[support])
    return np.concatenate(rows), np.concatenate(hits), np.concatenate(values)


def _transformed(group: Group, element: Any, array: np.ndarray, where: str) -> np.ndarray:
    """The transform of an array as float64, or a `GroupError` that says where it failed."""
    assert group.transform is not None
    try:
        image = np.asarray(group.transform(array, element))
        if np.iscomplexobj(image):
            raise TypeError("complex values; only real representations are supported")
        image = image.astype(np.float64, copy=False)
    except (Exception, SystemExit) as error:  # whatever a user's transform does
        raise GroupError(
            f"group {group.name!r}: the transform failed at {where}: "
            f"{type(error).__name__}: {error}"
        ) from error
    if not np.isfinite(image).all():
        raise GroupError(f"group {group.name!r}: the transform gave NaN or infinity at {where}")
    return image


def _check_shape_kept(group: Group, shape: Shape) -> None:
    for element in group.elements:
        image = _transformed(group, element, np.zeros(shape), f"element {element}, a zero array")
        if image.shape != shape:
            raise SpaceError(
                f"group {group.name!r} does not act on {Grid(shape)}: {element} turns it "
                f"into {Grid(image.shape)}; give a shape that every element keeps, "
                "such as a square grid"
            )


def _check_linear(group: Group, shape: Shape, matrices: list[sparse.csr_array]) -> None:
    """Compare the transform with its own matrix on a random array, negative values included."""
    array = np.random.default_rng(0).standard_normal(shape)
    for element, matrix in zip(group.elements, matrices, strict=True):
        image = _transformed(group, element, array.copy(), f"element {element}, a random array")
        error = np.abs(image.ravel() - matrix @ array.ravel()).max()
        if error > TOLERANCE * max(1.0, np.abs(image).max()):
            raise GroupError(
                f"group {group.name!r}: element {element} is not linear on {Grid(shape)}: "
                "it differs from the matrix of its one-hot transforms by "
                f"{error:.2g} on a random array"
            )


def _structured(matrices: np.ndarray) -> Representation:
    """The same matrices as (signed) permutations where all of them are."""
    in_rows = [sparse.csr_array(matrix) for matrix in matrices]
    if all(map(_is_signed_permutation, in_rows)):
        return _signed_permutations(in_rows)
    return MatrixRepresentation(matrices)


def _signed_permutations(matrices: list[sparse.csr_array]) -> PermutationRepresentation:
    index = np.stack([matrix.indices for matrix in matrices]).astype(np.int64)
    signs = np.stack([matrix.data for matrix in matrices]).astype(np.int8)
    return PermutationRepresentation(index, None if (signs == 1).all() else signs)


def _is_signed_permutation(matrix: sparse.csr_array) -> bool:
    n = matrix.shape[0]
    return bool(
        matrix.nnz == n
        and (np.abs(matrix.data) == 1.0).all()
        and (np.diff(matrix.indptr) == 1).all()
        and (np.bincount(matrix.indices, minlength=n) == 1).all()
    )


# --- groups of matrices -------------------------------------------------------------------------


class _Signatures:
    """Matrices told apart by what they do to a few random vectors, drawn with a fixed seed.

    Two different matrices agree on those with probability zero. Several representations are taken
    jointly, as one block diagonal matrix.
    """

    def __init__(self, representations: Sequence[Representation]) -> None:
        generator = np.random.default_rng(0)
        self.representations = representations
        self.probes = [generator.standard_normal((rho.dimension, 2)) for rho in representations]
        length = sum(probe.size for probe in self.probes)
        # Few coordinates to search among, then all of them to compare.
        self.shadow = generator.standard_normal((length, 6)) / math.sqrt(length)

    def apply(self, g: int, vectors: list[np.ndarray]) -> list[np.ndarray]:
        """ρ(g) on one vector of each representation."""
        return [rho.apply(g, v) for rho, v in zip(self.representations, vectors, strict=True)]

    @staticmethod
    def flat(vectors: list[np.ndarray]) -> np.ndarray:
        """One array for all."""
        return np.concatenate([vector.ravel() for vector in vectors])


class _Lookup:
    """Which elements have been met, by their signatures, rounding allowed for."""

    def __init__(self) -> None:
        self.buckets: dict[int, list[np.ndarray]] = {}

    def add_if_new(self, signatures: _Signatures, element: Sequence[Representation]) -> bool:
        """Whether this element was not known before; it is now."""
        sent = [rho.apply(0, v) for rho, v in zip(element, signatures.probes, strict=True)]
        flat = signatures.flat(sent)
        place = float(flat @ signatures.shadow[:, 0]) / _BUCKET
        if not math.isfinite(place):
            raise GroupError("the generators make ever larger matrices: the group is not finite")
        bucket = math.floor(place)
        near = [other for step in (-1, 0, 1) for other in self.buckets.get(bucket + step, ())]
        if near:
            distance = np.abs(flat - np.stack(near)).max(axis=1).min() / max(1.0, abs(flat).max())
            if distance < TOLERANCE:
                return False
            if distance < _TOO_NEAR:
                raise GroupError(
                    f"the generators make elements that differ by only {distance:.1g}: the group "
                    "is not finite, or its matrices are not exact enough"
                )
        self.buckets.setdefault(bucket, []).append(flat)
        return True


def _identity(rho: Representation) -> Representation:
    """The identity, as a representation that lists one element."""
    if isinstance(rho, PermutationRepresentation):
        return PermutationRepresentation(np.arange(rho.dimension)[None])
    return MatrixRepresentation(np.eye(rho.dimension)[None])


def _times(rho: Representation, g: int, element: Representation) -> Representation:
    """ρ(g) times the one element of another, likewise."""
    if isinstance(rho, PermutationRepresentation) and isinstance(
        element, PermutationRepresentation
    ):
        index = element.index[:, rho.index[g]]
        if rho.signs is None and element.signs is None:
            return PermutationRepresentation(index)
        signs = _signs(rho)[g] * _signs(element)[:, rho.index[g]]
        return PermutationRepresentation(index, signs)
    return MatrixRepresentation(rho.apply(g, element.dense()[0])[None])


def _stacked(elements: Sequence[Representation]) -> Representation:
    """One representation that lists what several list."""
    if all(isinstance(rho, PermutationRepresentation) for rho in elements):
        permutations = [rho for rho in elements if isinstance(rho, PermutationRepresentation)]
        index = np.concatenate([rho.index for rho in permutations])
        if all(rho.signs is None for rho in permutations):
            return PermutationRepresentation(index)
        return PermutationRepresentation(index, np.concatenate([*map(_signs, permutations)]))
    return MatrixRepresentation(np.concatenate([rho.dense() for rho in elements]))


def _bytes_an_element(rho: Representation) -> int:
    n = rho.dimension
    return 17 * n if isinstance(rho, PermutationRepresentation) else 8 * n**2


def check_group(
    name: str, elements: Sequence[str], *representations: Representation
) -> tuple[int, ...]:
    """Check that the ρ(g) are a group of matrices, jointly for several representations.

    Identity first, products closed, every inverse present. It is enough to multiply by elements
    that generate the rest: those that the ones before have not reached.

    Returns
    -------
    tuple
        The positions of those elements.

    Raises
    ------
    GroupError
        Naming the elements for which it does not hold, and by how much.
    """
    signatures = _Signatures(representations)
    order = len(elements)
    sent = [signatures.apply(g, signatures.probes) for g in range(order)]
    flat = np.stack([signatures.flat(vectors) for vectors in sent])
    scale = np.abs(flat).max()
    error = float(np.abs(flat[0] - signatures.flat(signatures.probes)).max() / scale)
    if error > TOLERANCE:
        raise GroupError(
            f"group {name!r}: the first element, {elements[0]}, is not the identity "
            f"(off by {error:.2g}): list the identity first"
        )
    # Elements that act alike are one; each is known by the first that acts so.
    points = flat @ signatures.shadow
    first = _first_alike(points, TOLERANCE * scale)
    distinct = np.unique(first)
    tree = cKDTree(points[distinct])
    counts = np.bincount(first, minlength=order)
    if (uneven := np.flatnonzero((counts > 0) & (counts != counts[0]))).size:
        most = int(counts.argmax())
        alike = [elements[int(g)] for g in np.flatnonzero(first == most)[:2]]
        raise GroupError(
            f"group {name!r}: {' and '.join(alike)} act alike {counts[most]} times over, but "
            f"{elements[int(uneven[0])]} does not: list each element once"
        )
    reached = np.zeros(order, dtype=bool)
    reached[0] = True
    moves: list[np.ndarray] = []
    generating: list[int] = []
    for g in range(order):
        if reached[first[g]]:
            continue
        products = np.stack([signatures.flat(signatures.apply(g, sent[h])) for h in range(order)])
        nearest = distinct[tree.query(products @ signatures.shadow)[1]]
        errors = np.abs(products - flat[nearest]).max(axis=1) / scale
        if errors.max() > TOLERANCE:
            h = int(errors.argmax())
            raise GroupError(
                f"group {name!r} is not closed: {elements[g]} after {elements[h]} is none of its "
                f"elements; the nearest, {elements[int(nearest[h])]}, is off by {errors[h]:.2g} "
                "(interpolated rotations do not compose; a missing element shows here too)"
            )
        if 0 not in first[nearest]:
            raise GroupError(f"group {name!r} is no group: {elements[g]} has no inverse in it")
        generating.append(g)
        moves.append(first[nearest])
        reached = _closure(reached, moves)
    return tuple(generating)


def _first_alike(points: np.ndarray, tolerance: float) -> np.ndarray:
    """For each point, the first one that is the same within a tolerance in every coordinate."""
    kind = np.zeros(len(points), dtype=np.int64)
    for coordinate in points.T:
        order = np.lexsort((coordinate, kind))
        steps = (np.diff(kind[order]) != 0) | (np.diff(coordinate[order]) > tolerance)
        kind[order] = np.concatenate([[0], np.cumsum(steps)])
    _, first, kind = np.unique(kind, return_index=True, return_inverse=True)
    return first[kind]


def _closure(reached: np.ndarray, moves: list[np.ndarray]) -> np.ndarray:
    reached = reached.copy()
    count = 0
    while count < reached.sum():
        count = reached.sum()
        for move in moves:
            reached[move[reached]] = True
    return reached


def with_all_elements(space: HomSpace) -> HomSpace:
    """The same space with every element listed, found by multiplying generators.

    Raises
    ------
    GroupError
        If they generate more than `MOST_ELEMENTS`, or no finite group.
    """
    if space.complete:
        return space
    pair = (space.input, space.output)
    signatures = _Signatures(pair)
    bytes_each = sum(_bytes_an_element(rho) for rho in pair)
    most = min(MOST_ELEMENTS, int(_MOST_BYTES / bytes_each) + 1)
    found = [tuple(_identity(rho) for rho in pair)]
    words = ["e"]
    known = _Lookup()
    known.add_if_new(signatures, found[0])
    for position, element in enumerate(found):  # grows while it is walked: breadth first
        for g, name in enumerate(space.elements):
            product = tuple(_times(rho, g, part) for rho, part in zip(pair, element, strict=True))
            if not known.add_if_new(signatures, product):
                continue
            if len(found) >= most:
                raise GroupError(
                    f"the generators of {space.group!r} make more than {most:,} elements on "
                    f"{space}, or infinitely many: for permutations, use --solver orbits; of "
                    "matrices, check the angles"
                )
            found.append(product)
            words.append(name if position == 0 else f"{name} {words[position]}")
    input_, output = (_stacked([element[side] for element in found]) for side in (0, 1))
    return HomSpace(
        space.group,
        tuple(words),
        space.input_space,
        space.output_space,
        input_,
        output,
    )
