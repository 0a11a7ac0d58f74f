"""Representations: a group's action on arrays turned into matrices, one-hot column by column."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from scipy import sparse

from equibasis.errors import GroupError, ShapeError
from equibasis.groups import Group
from equibasis.workers import Workers

Shape: TypeAlias = tuple[int, ...]

# How far apart two matrices may be and still be called equal: far above rounding (1e-15), far
# below what interpolation or a wrong transform does (1e-2).
TOLERANCE = 1e-9

# One-hot columns that one task transforms: enough to outweigh sending it, few enough to share.
_COLUMNS_A_TASK = 256


def parse_shape(shape: str | Sequence[int] | None) -> Shape:
    """``"14x14"`` or ``(14, 14)`` -> ``(14, 14)``; ``None`` -> ``()``, the shape of a scalar.

    Raises
    ------
    ShapeError
        If it is not one or more positive whole numbers.
    """
    if shape is None:
        return ()
    if isinstance(shape, str):
        if not re.fullmatch(r"\d{1,9}(x\d{1,9})*", shape):
            raise ShapeError(f"shape {shape!r} is not of the form 14x14: sizes joined by 'x'")
        sizes = tuple(int(size) for size in shape.split("x"))
    else:
        sizes = tuple(int(size) for size in shape)
    if any(size < 1 for size in sizes):
        raise ShapeError(f"shape {format_shape(sizes)} has an empty axis: every size is at least 1")
    return sizes


def format_shape(shape: Shape) -> str:
    """``(14, 14)`` -> ``"14x14"``; ``()`` -> ``"1"``."""
    return "x".join(map(str, shape)) or "1"


@dataclass(frozen=True, eq=False)
class PermutationRepresentation:
    """Permutation matrices ρ(g), kept as index arrays.

    Attributes
    ----------
    index
        Integers of shape (|G|, n): (ρ(g) x)[i] = x[index[g, i]].
    """

    index: np.ndarray

    @property
    def order(self) -> int:
        """How many elements are listed, |G|."""
        return int(self.index.shape[0])

    @property
    def dimension(self) -> int:
        """n, the size of the space acted on."""
        return int(self.index.shape[1])

    def apply(self, g: int, x: np.ndarray) -> np.ndarray:
        """ρ(g) x for x of shape (n, ...)."""
        return x[self.index[g]]

    def matrix(self, g: int) -> sparse.csr_array:
        """ρ(g) as a sparse matrix (n, n), float64."""
        n = self.dimension
        return sparse.csr_array(
            (np.ones(n), self.index[g], np.arange(n + 1, dtype=self.index.dtype)), shape=(n, n)
        )

    def characters(self) -> np.ndarray:
        """tr ρ(g) for each g, shape (|G|,), float64: the number of fixed points."""
        fixed = self.index == np.arange(self.dimension)
        return fixed.sum(axis=1).astype(np.float64)

    @cached_property
    def inverse(self) -> PermutationRepresentation:
        """g -> ρ(g⁻¹), the elements in the same order."""
        return PermutationRepresentation(np.argsort(self.index, axis=1).astype(self.index.dtype))


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
        """How many elements are listed, |G|."""
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

    def characters(self) -> np.ndarray:
        """tr ρ(g) for each g, shape (|G|,), float64."""
        return np.trace(self.matrices, axis1=1, axis2=2)

    @cached_property
    def inverse(self) -> MatrixRepresentation:
        """g -> ρ(g⁻¹), the elements in the same order; transposes where ρ is orthogonal."""
        transposes = np.ascontiguousarray(self.matrices.transpose(0, 2, 1))
        if np.abs(self.matrices @ transposes - np.eye(self.dimension)).max() < TOLERANCE:
            return MatrixRepresentation(transposes)
        return MatrixRepresentation(np.linalg.inv(self.matrices))


Representation: TypeAlias = PermutationRepresentation | MatrixRepresentation


def trivial_representation(order: int) -> PermutationRepresentation:
    """ρ(g) = 1 on the scalars R¹, for ``order`` elements."""
    return PermutationRepresentation(np.zeros((order, 1), dtype=np.int64))


@dataclass(frozen=True, eq=False)
class HomSpace:
    """Hom_G(X, Y): the linear maps W, of shape (k, m), with ρ₂(g) W = W ρ₁(g) for every g.

    With X the scalars (``input_shape == ()``) these are the invariant vectors of Y.

    Attributes
    ----------
    group, elements
        Names of the group and of its elements, the identity first.
    input_shape, output_shape
        Shapes of the arrays in X = R^m and Y = R^k, flattened row-major.
    input, output
        ρ₁ of dimension m and ρ₂ of dimension k.
    """

    group: str
    elements: tuple[str, ...]
    input_shape: Shape
    output_shape: Shape
    input: Representation
    output: Representation

    @property
    def kind(self) -> str:
        """``"invariant"`` where X is the scalars, else ``"equivariant"``."""
        return "equivariant" if self.input_shape else "invariant"

    @property
    def m(self) -> int:
        """dim X."""
        return math.prod(self.input_shape)

    @property
    def k(self) -> int:
        """dim Y."""
        return math.prod(self.output_shape)

    def __str__(self) -> str:
        output = format_shape(self.output_shape)
        if self.kind == "invariant":
            return f"{self.group}: invariants of {output}"
        return f"{self.group}: {format_shape(self.input_shape)} -> {output}"


def hom_space(group: Group, input_shape: Shape, output_shape: Shape, workers: Workers) -> HomSpace:
    """The space Hom_G(X, Y) for arrays of two shapes, its representations built and checked.

    Raises
    ------
    ShapeError
        If the group does not act on arrays of these shapes.
    GroupError
        If a transform raises or is not linear, or the matrices do not form a group.
    """
    output = representation(group, output_shape, workers)
    input_: Representation
    if not input_shape:
        input_ = trivial_representation(len(group.elements))
    elif input_shape == output_shape:
        input_ = output
    else:
        input_ = representation(group, input_shape, workers)
    check_group(group.name, group.element_names, input_, output)
    return HomSpace(group.name, group.element_names, input_shape, output_shape, input_, output)


def representation(group: Group, shape: Shape, workers: Workers) -> Representation:
    """ρ on R^n, n = prod(shape): column j of ρ(g) is the flattened transform of one-hot array j.

    Permutations are recognized and kept as index arrays.

    Raises
    ------
    ShapeError
        If the group does not act on arrays of this shape.
    GroupError
        If a transform raises (naming the element and the column), or is not linear.
    """
    _check_shape(group, shape)
    n = math.prod(shape)
    starts = range(0, n, _COLUMNS_A_TASK)
    tasks = [
        (group, element, shape, range(start, min(start + _COLUMNS_A_TASK, n)))
        for element in group.elements
        for start in starts
    ]
    parts = list(workers.map(one_hot_columns, tasks, f"{group.name} on {format_shape(shape)}"))
    matrices = []
    for first in range(0, len(parts), len(starts)):
        rows, columns, values = map(
            np.concatenate, zip(*parts[first : first + len(starts)], strict=True)
        )
        matrices.append(sparse.csr_array((values, (rows, columns)), shape=(n, n)))
    _check_linear(group, shape, matrices)
    return _structured(matrices)


def one_hot_columns(
    group: Group, element: Any, shape: Shape, columns: range
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Some columns of ρ(element): rows, columns and values of their non-zero entries."""
    rows, hits, values = [], [], []
    for column in columns:
        one_hot = np.zeros(shape)
        one_hot.flat[column] = 1.0
        where = f"element {element}, column {column} of {format_shape(shape)}"
        image = _transformed(group, element, one_hot, where).ravel()
        support = np.flatnonzero(image)
        rows.append(support)
        hits.append(np.full(len(support), column))
        values.append(image[support])
    return np.concatenate(rows), np.concatenate(hits), np.concatenate(values)


def _transformed(group: Group, element: Any, array: np.ndarray, where: str) -> np.ndarray:
    """The transform of an array as float64, or a `GroupError` that says where it failed."""
    try:
        image = np.asarray(group.transform(array, element))
        if np.iscomplexobj(image):
            raise TypeError("complex values; only real representations are supported")
        image = image.astype(np.float64, copy=False)
    except Exception as error:  # whatever the user's transform raises is the user's to see
        raise GroupError(
            f"group {group.name!r}: the transform failed at {where}: "
            f"{type(error).__name__}: {error}"
        ) from error
    if not np.isfinite(image).all():
        raise GroupError(f"group {group.name!r}: the transform gave NaN or infinity at {where}")
    return image


def _check_shape(group: Group, shape: Shape) -> None:
    if group.axes is not None and len(shape) != group.axes:
        raise ShapeError(
            f"group {group.name!r} acts on arrays of {group.axes} axes, "
            f"not on {format_shape(shape)}"
        )
    for element in group.elements:
        image = _transformed(group, element, np.zeros(shape), f"element {element}, a zero array")
        if image.shape != shape:
            raise ShapeError(
                f"group {group.name!r} does not act on {format_shape(shape)}: {element} turns it "
                f"into {format_shape(image.shape)}; give a shape that every element keeps, "
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
                f"group {group.name!r}: element {element} is not linear on {format_shape(shape)}: "
                "it differs from the matrix of its one-hot transforms by "
                f"{error:.2g} on a random array"
            )


def _structured(matrices: list[sparse.csr_array]) -> Representation:
    """The same matrices as permutations where all of them are, else dense."""
    if all(_is_permutation(matrix) for matrix in matrices):
        return PermutationRepresentation(
            np.stack([matrix.indices for matrix in matrices]).astype(np.int64)
        )
    return MatrixRepresentation(np.stack([matrix.toarray() for matrix in matrices]))


def _is_permutation(matrix: sparse.csr_array) -> bool:
    n = matrix.shape[0]
    return bool(
        matrix.nnz == n
        and (matrix.data == 1.0).all()
        and (np.diff(matrix.indptr) == 1).all()
        and (np.bincount(matrix.indices, minlength=n) == 1).all()
    )


def check_group(name: str, elements: Sequence[str], *representations: Representation) -> None:
    """Check that g -> ρ(g) is a group of matrices, jointly for several representations.

    Identity first, products closed, every inverse present. Products are compared by their images
    of a few random vectors: two different matrices agree on those with probability zero.

    Raises
    ------
    GroupError
        Naming the elements for which it does not hold, and by how much.
    """
    generator = np.random.default_rng(0)
    probes = [generator.standard_normal((rho.dimension, 2)) for rho in representations]

    def images(g: int, vectors: list[np.ndarray]) -> list[np.ndarray]:
        return [rho.apply(g, v) for rho, v in zip(representations, vectors, strict=True)]

    def signature(vectors: list[np.ndarray]) -> np.ndarray:
        return np.concatenate([v.ravel() for v in vectors])

    order = len(elements)
    sent = [images(g, probes) for g in range(order)]
    signatures = np.stack([signature(vectors) for vectors in sent])
    identity = signature(probes)
    scale = np.abs(signatures).max()

    def mismatch(found: np.ndarray, wanted: np.ndarray) -> float:
        return float(np.abs(found - wanted).max() / scale)

    if (error := mismatch(signatures[0], identity)) > TOLERANCE:
        raise GroupError(
            f"group {name!r}: the first element, {elements[0]}, is not the identity "
            f"(off by {error:.2g}): list the identity first"
        )
    for g in range(order):
        inverse_found = False
        for h in range(order):
            product = signature(images(g, sent[h]))
            nearest = int(np.argmin(np.linalg.norm(signatures - product, axis=1)))
            if (error := mismatch(product, signatures[nearest])) > TOLERANCE:
                raise GroupError(
                    f"group {name!r} is not closed: {elements[g]} after {elements[h]} is none of "
                    f"its elements; the nearest, {elements[nearest]}, is off by {error:.2g} "
                    "(interpolated rotations do not compose; a missing element shows here too)"
                )
            inverse_found |= mismatch(product, identity) <= TOLERANCE
        if not inverse_found:
            raise GroupError(f"group {name!r} is no group: {elements[g]} has no inverse in it")
