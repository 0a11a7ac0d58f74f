"""Representations: matrices ρ(g) on R^n, and dρ(A) where the group is continuous."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias, TypeVar

import numpy as np
from scipy import linalg, sparse

from equibasis.errors import GroupError
from equibasis.linalg.memory import refuse_beyond_memory
from equibasis.linalg.numbers import real_array, whole_numbers
from equibasis.symmetry.summands import Summand

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
            given = real_array(signs, "the array of signs of a representation", GroupError)
            signs = np.rint(given).astype(np.int8)
            if (signs != given).any():
                raise GroupError("the signs of a representation are 1 and -1")
        if signs.shape != self.index.shape:
            raise GroupError(
                f"the signs of a representation have shape {signs.shape}, its index "
                f"{self.index.shape}"
            )
        object.__setattr__(self, "signs", None if (signs == 1).all() else signs)

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
        values = signs_of(self)[g].astype(np.float64)
        return sparse.csr_array((values, self.index[g], np.arange(n + 1)), shape=(n, n))

    @property
    def algebra(self) -> tuple[sparse.csr_array, ...]:
        """dρ(A) of the Lie algebra elements listed; none here."""
        return ()

    def moves(self) -> Iterator[sparse.csr_array]:
        """Yield each ρ(g): a subspace that all of these keep is kept by the group."""
        return (self.matrix(g) for g in range(self.order))

    @property
    def matrices(self) -> np.ndarray:
        """Each ρ(g), float64 (|G|, n, n), made each time that it is asked for."""
        return np.stack([self.matrix(g).toarray() for g in range(self.order)])

    def characters(self) -> np.ndarray:
        """tr ρ(g) for each g, shape (|G|,), float64: fixed points, those with sign -1 taken off."""
        fixed = self.index == np.arange(self.dimension)
        return (fixed * signs_of(self)).sum(axis=1, dtype=np.float64)

    @cached_property
    def inverse(self) -> PermutationRepresentation:
        """g -> ρ(g⁻¹), the elements in the same order."""
        index = np.argsort(self.index, axis=1)
        return PermutationRepresentation(index, np.take_along_axis(signs_of(self), index, axis=1))

    @property
    def dual(self) -> PermutationRepresentation:
        """g -> ρ(g⁻¹)ᵀ: itself, as it is orthogonal."""
        return self

    @property
    def is_orthogonal(self) -> bool:
        """True: a signed permutation is orthogonal."""
        return True

    @property
    def row_entries(self) -> float:
        """How many entries a row of ρ(g) has, on average."""
        return 1.0


@dataclass(frozen=True, eq=False)
class MatrixRepresentation:
    """Any real matrices ρ(g); of a continuous group, dρ(A) of Lie algebra elements A beside them.

    A map W is equivariant where ρ₂(h) W = W ρ₁(h) and dρ₂(A) W = W dρ₁(A). Whoever walks over the
    elements listed meets each ρ(h), then each ρ(exp A) = exp(dρ(A)). These generate a subgroup
    that is Zariski dense in G (an algebraic A does not turn by a rational part of 2π), so that it
    leaves alone what G does.

    Attributes
    ----------
    discrete
        Each ρ(h), float64 (L, n, n); L may be 0 where there is an algebra.
    algebra
        Each dρ(A), sparse (n, n); none where the group is finite.
    """

    discrete: np.ndarray
    algebra: Sequence[sparse.csr_array] = ()

    def __post_init__(self) -> None:
        if type(self.discrete) is not np.ndarray or self.discrete.dtype != np.float64:
            matrices = real_array(
                self.discrete, "the array of matrices of a representation", GroupError
            )
            object.__setattr__(self, "discrete", matrices)
        shape = self.discrete.shape
        if len(shape) != 3 or shape[1] != shape[2] or not (self.discrete.size or self.algebra):
            raise GroupError(
                f"the matrices of a representation have shape (|G|, n, n), not {shape}"
            )

    @cached_property
    def fault(self) -> str | None:
        """Why its entries are no matrices of real numbers; ``None`` where they are."""
        numbers = [self.discrete, *(each.data for each in self.algebra)]
        return None if all(np.isfinite(each).all() for each in numbers) else "holds NaN or infinity"

    @property
    def order(self) -> int:
        """How many elements are listed, |G| where that is all of them."""
        return len(self.discrete) + len(self.algebra)

    @property
    def dimension(self) -> int:
        """n, the size of the space acted on."""
        return int(self.discrete.shape[1])

    @cached_property
    def matrices(self) -> np.ndarray:
        """Each ρ(h), then each exp(dρ(A)), float64 (L + D, n, n)."""
        if not self.algebra:
            return self.discrete
        refuse_beyond_memory(8 * self.order * self.dimension**2)
        curves = [linalg.expm(each.toarray()) for each in self.algebra]
        return np.concatenate([self.discrete, np.stack(curves)])

    def apply(self, g: int, x: np.ndarray) -> np.ndarray:
        """ρ(g) x for x of shape (n, ...)."""
        return np.tensordot(self._at(g), x, axes=1)

    def matrix(self, g: int) -> sparse.csr_array:
        """ρ(g) as a sparse matrix (n, n), float64."""
        return sparse.csr_array(self._at(g))

    def _at(self, g: int) -> np.ndarray:
        found: np.ndarray = (self.discrete if g < len(self.discrete) else self.matrices)[g]
        return found

    def moves(self) -> Iterator[sparse.csr_array]:
        """Yield each ρ(h), then each dρ(A): a subspace that all of these keep is kept by G."""
        yield from (self.matrix(h) for h in range(self.order - len(self.algebra)))
        yield from self.algebra

    def characters(self) -> np.ndarray:
        """tr ρ(g) for each g, shape (|G|,), float64."""
        return np.trace(self.matrices, axis1=1, axis2=2)

    @cached_property
    def inverse(self) -> MatrixRepresentation:
        """g -> ρ(g⁻¹), the elements in the same order; transposes where ρ is orthogonal."""
        if self.is_orthogonal:
            discrete = np.ascontiguousarray(self.discrete.transpose(0, 2, 1))
        else:
            discrete = np.linalg.inv(self.discrete)
        return MatrixRepresentation(discrete, [-each for each in self.algebra])

    @property
    def dual(self) -> MatrixRepresentation:
        """g -> ρ(g⁻¹)ᵀ, A -> -dρ(A)ᵀ."""
        if self.is_orthogonal:
            return self
        return MatrixRepresentation(
            np.ascontiguousarray(self.inverse.discrete.transpose(0, 2, 1)),
            [sparse.csr_array(-each.T) for each in self.algebra],
        )

    @cached_property
    def is_orthogonal(self) -> bool:
        """Whether each ρ(h) is orthogonal, and each dρ(A) antisymmetric."""
        gram = self.discrete @ self.discrete.transpose(0, 2, 1)
        off = [np.abs(gram - np.eye(self.dimension)).max(initial=0.0)]
        off += [abs(each + each.T).max() for each in self.algebra]
        return bool(max(off) < TOLERANCE)

    @cached_property
    def row_entries(self) -> float:
        """How many entries a row of ρ(h), or of dρ(A), has, on average."""
        entries = np.count_nonzero(self.discrete) + sum(each.nnz for each in self.algebra)
        return float(entries / (self.order * self.dimension))


Representation: TypeAlias = PermutationRepresentation | MatrixRepresentation

Made = TypeVar("Made", bound="Composed")


class Composed:
    """A representation made of others, of which what is large is made when it is asked for.

    Attributes
    ----------
    small
        Those others, of the same elements.
    how
        What else it is made of.
    """

    def __init__(self, small: Sequence[Representation], *how: Any) -> None:
        object.__setattr__(self, "small", tuple(small))
        object.__setattr__(self, "how", how)

    small: tuple[Representation, ...]
    how: tuple[Any, ...]

    def __reduce__(self) -> tuple[type[Composed], tuple[Any, ...]]:
        """Without what is made when it is asked for."""
        return type(self), (self.small, *self.how)

    def _of(self: Made, small: Sequence[Representation]) -> Made:
        return type(self)(small, *self.how)

    @property
    def order(self) -> int:
        """How many elements are listed."""
        return self.small[0].order

    @cached_property
    def fault(self) -> str | None:
        """Why the entries of one are no representation's; ``None`` where all are."""
        return next((rho.fault for rho in self.small if rho.fault is not None), None)

    @cached_property
    def is_orthogonal(self) -> bool:
        """Whether all of those others are orthogonal."""
        return all(rho.is_orthogonal for rho in self.small)

    @cached_property
    def inverse(self: Made) -> Made:
        """g -> ρ(g⁻¹), the elements in the same order."""
        return self._of([rho.inverse for rho in self.small])

    @property
    def dual(self: Made) -> Made:
        """g -> ρ(g⁻¹)ᵀ, A -> -dρ(A)ᵀ."""
        return self if self.is_orthogonal else self._of([rho.dual for rho in self.small])


def _whole_array(index: Any, what: str) -> np.ndarray:
    if type(index) is np.ndarray and index.dtype.kind in "iu":
        return index.astype(np.int64)
    if not isinstance(index, (list, tuple, np.ndarray)) or isinstance(index, np.ma.MaskedArray):
        raise GroupError(f"{what} is no array of whole numbers")
    rows = [whole_numbers(row, what, GroupError) for row in index]
    if len({len(row) for row in rows}) > 1:
        raise GroupError(f"{what} has rows of unequal lengths")
    return np.array(rows, dtype=np.int64)


def signs_of(each: PermutationRepresentation | Summand) -> np.ndarray:
    """Its signs, int8 of the shape of its index, ones where it keeps none; not to be written to."""
    if each.signs is None:
        return np.broadcast_to(np.int8(1), each.index.shape)
    return each.signs


def simplest(discrete: np.ndarray, algebra: Sequence[sparse.csr_array] = ()) -> Representation:
    """ρ of discrete elements (L, n, n) and algebra elements, as permutations where it is made so.

    Where the algebra acts by zero, exp A is the identity.
    """
    if not any(abs(each).max() > 0 for each in algebra):
        n = discrete.shape[1]
        still = np.broadcast_to(np.eye(n), (len(algebra), n, n))
        in_rows = [sparse.csr_array(matrix) for matrix in np.concatenate([discrete, still])]
        if all(map(is_signed_permutation, in_rows)):
            return signed_permutations(in_rows)
    return MatrixRepresentation(discrete, algebra)


def signed_permutations(matrices: list[sparse.csr_array]) -> PermutationRepresentation:
    """Return the representation of matrices that are signed permutations."""
    return PermutationRepresentation(
        np.stack([matrix.indices for matrix in matrices]).astype(np.int64),
        np.stack([matrix.data for matrix in matrices]).astype(np.int8),
    )


def is_signed_permutation(matrix: sparse.csr_array) -> bool:
    """Whether a matrix has one entry in every row and column, 1 or -1."""
    n = matrix.shape[0]
    return bool(
        matrix.nnz == n
        and (np.abs(matrix.data) == 1.0).all()
        and (np.diff(matrix.indptr) == 1).all()
        and (np.bincount(matrix.indices, minlength=n) == 1).all()
    )
