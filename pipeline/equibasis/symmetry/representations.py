"""Representations: matrices ρ(g) on R^n, and their algebra."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from equibasis.errors import GroupError
from equibasis.linalg.numbers import real_array, whole_numbers

# How far apart two matrices may be and still be called equal: far above rounding (1e-15), far
# below what interpolation or a wrong transform does (1e-2).
TOLERANCE = 1e-9


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

    def __post_init__(self) -> None:
        index, signs = self.index, self.signs
        if type(index) is not np.ndarray or index.dtype != np.int64:
            object.__setattr__(self, "index", _whole_array(index, "the index of a representation"))
        if self.index.ndim != 2 or not self.index.size:
            raise GroupError(
                f"the index of a representation has shape (|G|, n), not {self.index.shape}"
            )
        if signs is None:
            return
        if type(signs) is not np.ndarray or signs.dtype != np.int8:
            signs = real_array(signs, "the array of signs of a representation", GroupError)
            object.__setattr__(self, "signs", np.rint(signs).astype(np.int8))
            if (signs != self.signs).any():
                raise GroupError("the signs of a representation are 1 and -1")
        if signs.shape != self.index.shape:
            raise GroupError(
                f"the signs of a representation have shape {signs.shape}, its index "
                f"{self.index.shape}"
            )

    @cached_property
    def fault(self) -> str | None:
        """Why its entries are no signed permutations; ``None`` where they are."""
        index, n = self.index, self.dimension
        if index.min() < 0 or index.max() >= n:
            return f"has an index out of 0 to {n - 1}"
        hit = np.zeros(index.size, dtype=bool)
        hit[(index + n * np.arange(self.order)[:, None]).ravel()] = True
        if not hit.all():
            return "has a row that is no permutation"
        if self.signs is not None and (np.abs(self.signs) != 1).any():
            return "has signs other than 1 and -1"
        return None

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

    def __post_init__(self) -> None:
        if type(self.matrices) is not np.ndarray or self.matrices.dtype != np.float64:
            matrices = real_array(
                self.matrices, "the array of matrices of a representation", GroupError
            )
            object.__setattr__(self, "matrices", matrices)
        shape = self.matrices.shape
        if len(shape) != 3 or shape[1] != shape[2] or not self.matrices.size:
            raise GroupError(
                f"the matrices of a representation have shape (|G|, n, n), not {shape}"
            )

    @cached_property
    def fault(self) -> str | None:
        """Why its entries are no matrices of real numbers; ``None`` where they are."""
        return None if np.isfinite(self.matrices).all() else "holds NaN or infinity"

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


def _whole_array(index: Any, what: str) -> np.ndarray:
    if type(index) is np.ndarray and index.dtype.kind in "iu":
        return index.astype(np.int64)
    if not isinstance(index, (list, tuple, np.ndarray)) or isinstance(index, np.ma.MaskedArray):
        raise GroupError(f"{what} is no array of whole numbers")
    rows = [whole_numbers(row, what, GroupError) for row in index]
    if len({len(row) for row in rows}) > 1:
        raise GroupError(f"{what} has rows of unequal lengths")
    return np.array(rows, dtype=np.int64)


# --- algebra ------------------------------------------------------------------------------------


def trivial_representation(order: int) -> PermutationRepresentation:
    """ρ(g) = 1 on the scalars R¹, for ``order`` elements."""
    return PermutationRepresentation(np.zeros((order, 1), dtype=np.int64))


def tensor_product(first: Representation, second: Representation) -> Representation:
    """ρ₁ ⊗ ρ₂, the second factor's index fastest."""
    order, n = first.order, first.dimension * second.dimension
    if isinstance(first, PermutationRepresentation) and isinstance(
        second, PermutationRepresentation
    ):
        index = first.index[:, :, None] * second.dimension + second.index[:, None, :]
        signs = None
        if first.signs is not None or second.signs is not None:
            signs = (signs_of(first)[:, :, None] * signs_of(second)[:, None, :]).reshape(order, n)
            if (signs > 0).all():  # those of two factors cancel
                signs = None
        return PermutationRepresentation(index.reshape(order, n), signs)
    product = np.einsum("gij,gkl->gikjl", first.dense(), second.dense())
    return MatrixRepresentation(product.reshape(order, n, n))


def signs_of(rho: PermutationRepresentation) -> np.ndarray:
    """Its signs, int8 (|G|, n), ones where it keeps none."""
    return np.ones(rho.index.shape, dtype=np.int8) if rho.signs is None else rho.signs


def at_elements(rho: Representation, positions: Sequence[int]) -> Representation:
    """ρ of some of the elements listed, in another order or more than once; -1 is the identity."""
    listed = np.asarray(positions)
    if isinstance(rho, PermutationRepresentation):
        index = np.concatenate([rho.index, np.arange(rho.dimension)[None]])[listed]
        if rho.signs is None:
            return PermutationRepresentation(index)
        ones = np.ones((1, rho.dimension), dtype=np.int8)
        return PermutationRepresentation(index, np.concatenate([rho.signs, ones])[listed])
    return MatrixRepresentation(np.concatenate([rho.matrices, np.eye(rho.dimension)[None]])[listed])


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
        return np.array_equal(a.index, b.index) and np.array_equal(signs_of(a), signs_of(b))
    return np.allclose(a.dense(), b.dense(), rtol=0, atol=TOLERANCE)


def from_matrices(matrices: np.ndarray) -> Representation:
    """ρ of matrices (|G|, n, n) float64, as (signed) permutations where all of them are."""
    in_rows = [sparse.csr_array(matrix) for matrix in matrices]
    if all(map(is_signed_permutation, in_rows)):
        return signed_permutations(in_rows)
    return MatrixRepresentation(matrices)


def signed_permutations(matrices: list[sparse.csr_array]) -> PermutationRepresentation:
    """The representation of matrices that are signed permutations."""
    index = np.stack([matrix.indices for matrix in matrices]).astype(np.int64)
    signs = np.stack([matrix.data for matrix in matrices]).astype(np.int8)
    return PermutationRepresentation(index, None if (signs == 1).all() else signs)


def is_signed_permutation(matrix: sparse.csr_array) -> bool:
    """Whether a matrix has one entry in every row and column, 1 or -1."""
    n = matrix.shape[0]
    return bool(
        matrix.nnz == n
        and (np.abs(matrix.data) == 1.0).all()
        and (np.diff(matrix.indptr) == 1).all()
        and (np.bincount(matrix.indices, minlength=n) == 1).all()
    )
