"""Sums, tensor products and powers of representations; what is large is made when asked for."""

from __future__ import annotations

import functools
import itertools
import math
import operator
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from scipy import sparse

from equibasis.linalg.memory import refuse_beyond_memory
from equibasis.symmetry.constructions import (
    algebra_part,
    discrete_part,
    multi_indices,
    power_of_one,
    trivial_representation,
)
from equibasis.symmetry.representations import (
    Composed,
    MatrixRepresentation,
    PermutationRepresentation,
    Representation,
    signs_of,
)
from equibasis.symmetry.summands import Summand


class _Sum(Composed):
    """A representation on R^n given by its types."""

    @cached_property
    def parts(self) -> list[tuple[Summand, Representation]]:
        """Each type, and where its copies are."""
        return list(zip(*self.how, self.small, strict=True))

    @cached_property
    def dimension(self) -> int:
        return sum(each.index.size for each, _ in self.parts)

    def characters(self) -> np.ndarray:
        return np.sum([each.multiplicity * rho.characters() for each, rho in self.parts], axis=0)


class _SumOfOrbits(_Sum, PermutationRepresentation):
    """(Signed) permutations by their orbit types."""

    parts: list[tuple[Summand, PermutationRepresentation]]  # type: ignore[assignment]

    @cached_property
    def index(self) -> np.ndarray:
        refuse_beyond_memory(8 * self.order * self.dimension)
        index = np.empty((self.order, self.dimension), dtype=np.int64)
        for each, rho in self.parts:
            index[:, each.index] = each.index[rho.index]
        return index

    @cached_property
    def signs(self) -> np.ndarray | None:
        if all(each.signs is None and rho.signs is None for each, rho in self.parts):
            return None
        refuse_beyond_memory(self.order * self.dimension)
        signs = np.empty((self.order, self.dimension), dtype=np.int8)
        for each, rho in self.parts:
            own = signs_of(each)
            signs[:, each.index] = signs_of(rho)[:, :, None] * own * own[rho.index]
        return None if (signs > 0).all() else signs


class SumOfMatrices(_Sum, MatrixRepresentation):
    """Matrices by their types, block diagonal."""

    def apply(self, g: int, x: np.ndarray) -> np.ndarray:
        """ρ(g) x for x of shape (n, ...)."""
        moved = np.empty_like(x, dtype=np.float64)
        for each, rho in self.parts:
            signs = signs_of(each).reshape(*each.index.shape, *[1] * (x.ndim - 1))
            moved[each.index] = signs * rho.apply(g, signs * x[each.index])
        return moved

    def matrix(self, g: int) -> sparse.csr_array:
        """ρ(g) as a sparse matrix (n, n), float64."""
        return self._side_by_side([rho.matrix(g) for _, rho in self.parts])

    def _side_by_side(self, parts: Sequence[sparse.csr_array]) -> sparse.csr_array:
        """Return a matrix of each type, on all its copies."""
        rows, columns, values = [], [], []
        for (each, _), part in zip(self.parts, parts, strict=True):
            small, signs = part.tocoo(), signs_of(each)
            rows.append(each.index[small.row].ravel())
            columns.append(each.index[small.col].ravel())
            values.append((small.data[:, None] * signs[small.row] * signs[small.col]).ravel())
        entries = np.concatenate(rows), np.concatenate(columns)
        return sparse.csr_array((np.concatenate(values), entries), shape=(self.dimension,) * 2)

    @cached_property
    def algebra(self) -> tuple[sparse.csr_array, ...]:
        """dρ(A) of the Lie algebra elements listed."""
        count = max(len(rho.algebra) for _, rho in self.parts)
        small = [algebra_part(rho, count) for _, rho in self.parts]
        return tuple(self._side_by_side([each[a] for each in small]) for a in range(count))

    @property
    def discrete(self) -> np.ndarray:
        """Each ρ(h), float64 (L, n, n)."""
        return self.matrices[: self.order - len(self.algebra)]

    @cached_property
    def matrices(self) -> np.ndarray:
        """Each ρ(h), then each exp(dρ(A)), float64 (L + D, n, n)."""
        refuse_beyond_memory(8 * self.order * self.dimension**2)
        return np.stack([self.matrix(g).toarray() for g in range(self.order)])

    @cached_property
    def row_entries(self) -> float:
        """How many entries a row of ρ(g) has, on average."""
        entries = sum(e.index.size * rho.row_entries for e, rho in self.parts)
        return float(entries / self.dimension)


def assembled(
    summands: Sequence[Summand], representations: Sequence[Representation]
) -> Representation:
    """ρ on R^n from its orbit types: the other way round."""
    small = [representations[each.type] for each in summands]
    permuted = all(isinstance(rho, PermutationRepresentation) for rho in small)
    return (_SumOfOrbits if permuted else SumOfMatrices)(small, summands)


def direct_sum(summands: Sequence[Representation]) -> Representation:
    """ρ₁ ⊕ ρ₂ ⊕ …: block diagonal, the spaces one after the other; the same one may occur often."""
    if len(summands) == 1:
        return summands[0]
    starts = np.cumsum([0, *(rho.dimension for rho in summands[:-1])])
    copies: dict[int, list[int]] = {}
    for rho, start in zip(summands, starts.tolist(), strict=True):
        copies.setdefault(id(rho), []).append(start)
    distinct = {id(rho): rho for rho in summands}
    types = [
        Summand(number, np.arange(rho.dimension)[:, None] + np.array(copies[key]))
        for number, (key, rho) in enumerate(distinct.items())
    ]
    return assembled(types, [*distinct.values()])


# --- tensor products ----------------------------------------------------------------------------


class TensorProduct(Composed, MatrixRepresentation):
    """ρ₁ ⊗ ρ₂ ⊗ …, the last factor's index fastest, given by its factors."""

    @cached_property
    def dimension(self) -> int:
        """n, the size of the space acted on."""
        return math.prod(rho.dimension for rho in self.small)

    def apply(self, g: int, x: np.ndarray) -> np.ndarray:
        """ρ(g) x for x of shape (n, ...), factor by factor."""
        moved = x
        for rho in self.small:  # each time the first axis is moved, and becomes the last
            moved = rho.apply(g, moved.reshape(rho.dimension, -1)).T
        return np.ascontiguousarray(moved.reshape(-1, self.dimension).T).reshape(x.shape)

    def matrix(self, g: int) -> sparse.csr_array:
        """ρ(g) as a sparse matrix (n, n), float64."""
        parts = [rho.matrix(g) for rho in self.small]
        entries = math.prod(float(part.nnz) for part in parts)
        refuse_beyond_memory(24 * entries, f"a tensor product of dimension {self.dimension:,}")
        product = functools.reduce(sparse.kron, parts)
        return sparse.csr_array(product)

    def characters(self) -> np.ndarray:
        """tr ρ(g) for each g, shape (|G|,), float64."""
        return np.prod([rho.characters() for rho in self.small], axis=0)

    @cached_property
    def _count(self) -> int:
        return max(len(rho.algebra) for rho in self.small)

    @cached_property
    def discrete(self) -> np.ndarray:
        """Each ρ(h), float64 (L, n, n)."""
        n, factors = self.dimension, [discrete_part(rho, self._count) for rho in self.small]
        needed = 8.0 * len(factors[0]) * n**2
        refuse_beyond_memory(needed, f"a tensor product of dimension {n:,}")
        return functools.reduce(_kronecker, factors)

    @cached_property
    def algebra(self) -> tuple[sparse.csr_array, ...]:
        """dρ(A) of the Lie algebra elements listed: Kronecker sums."""
        found = algebra_part(self.small[0], self._count)
        for rho in self.small[1:]:
            right = sparse.eye_array(rho.dimension)
            found = tuple(
                sparse.csr_array(
                    sparse.kron(a, right) + sparse.kron(sparse.eye_array(a.shape[0]), b)
                )
                for a, b in zip(found, algebra_part(rho, self._count), strict=True)
            )
            for each in found:
                each.eliminate_zeros()  # where weights add up to 0
                each.sort_indices()
        return found

    @cached_property
    def row_entries(self) -> float:
        """How many entries a row of ρ(h), or of dρ(A), has, on average."""
        entries = np.prod([_entries(rho, self._count) for rho in self.small], axis=0)
        total = entries.sum() + sum(each.nnz for each in self.algebra)
        return float(total / (self.order * self.dimension))


def _entries(rho: Representation, count: int) -> np.ndarray:
    """How many entries each ρ(h) has, of all elements but the last ``count``."""
    if isinstance(rho, PermutationRepresentation):
        return np.full(rho.order - count, rho.dimension)
    found: np.ndarray = np.count_nonzero(rho.discrete, axis=(1, 2))
    return found


def _kronecker(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Kronecker products of matrices (N, n, n) and (N, t, t), one by one: (N, nt, nt)."""
    n = first.shape[1] * second.shape[1]
    return np.einsum("gij,gkl->gikjl", first, second).reshape(-1, n, n)


def factors_of(rho: Representation) -> tuple[Representation, ...]:
    """Return the factors of a tensor product; of anything else itself alone."""
    return rho.small if isinstance(rho, TensorProduct) else (rho,)


def are_same(first: Representation, second: Representation) -> bool:
    """Whether two representations are one object, or tensor products of the same ones."""
    one, other = factors_of(first), factors_of(second)
    return len(one) == len(other) and all(map(operator.is_, one, other))


def product_of(factors: Sequence[Representation], order: int) -> Representation:
    """ρ₁ ⊗ ρ₂ ⊗ …, of ``order`` elements, without trivial factors."""
    kept = [rho for rho in factors if not _is_trivial(rho)]
    return functools.reduce(tensor_product, kept) if kept else trivial_representation(order)


def _is_trivial(rho: Representation) -> bool:
    return isinstance(rho, PermutationRepresentation) and rho.dimension == 1 and rho.signs is None


def tensor_product(first: Representation, second: Representation) -> Representation:
    """ρ₁ ⊗ ρ₂, the second factor's index fastest; of sums of matrices, type by type."""
    if isinstance(first, PermutationRepresentation) and isinstance(
        second, PermutationRepresentation
    ):
        return _of_permutations(first, second)
    if not any(isinstance(rho, SumOfMatrices) for rho in (first, second)):
        return TensorProduct([*factors_of(first), *factors_of(second)])
    summands: list[Summand] = []
    small: list[Representation] = []
    for one, rho in _types_of(first):
        for other, tau in _types_of(second):
            index = one.index[:, None, :, None] * second.dimension + other.index[:, None, :]
            signs = signs_of(one)[:, None, :, None] * signs_of(other)[:, None, :]
            shape = rho.dimension * tau.dimension, -1
            summands.append(Summand(len(small), index.reshape(shape), signs.reshape(shape)))
            small.append(tensor_product(rho, tau))
    return assembled(summands, small)


def _of_permutations(
    first: PermutationRepresentation, second: PermutationRepresentation
) -> PermutationRepresentation:
    shape = first.order, first.dimension * second.dimension
    index = first.index[:, :, None] * second.dimension + second.index[:, None, :]
    signs = signs_of(first)[:, :, None] * signs_of(second)[:, None, :]
    return PermutationRepresentation(index.reshape(shape), signs.reshape(shape))


def _types_of(rho: Representation) -> Sequence[tuple[Summand, Representation]]:
    if isinstance(rho, SumOfMatrices):
        return rho.parts
    return [(Summand(0, np.arange(rho.dimension)[:, None]), rho)]


# --- powers -------------------------------------------------------------------------------------


def power(rho: Representation, exponent: int, *, symmetric: bool) -> Representation:
    """`power_of_one`; of sums of matrices type by type.

    sym(A ⊕ B, 2) = sym(A, 2) ⊕ A⊗B ⊕ sym(B, 2), and in general a summand for each choice of
    copies, with repetitions: the tensor product of powers of each of them. Its coordinates, in
    lexicographic order, ascend in the whole.
    """
    copies = _consecutive(rho)
    if copies is None:
        return power_of_one(rho, exponent, symmetric=symmetric)
    found: dict[tuple[tuple[int, int], ...], list[list[int]]] = {}
    for chosen in itertools.combinations_with_replacement(copies, exponent):
        runs = [(next(equal), 1 + len(list(equal))) for _, equal in itertools.groupby(chosen)]
        if symmetric or all(count <= small.dimension for (_, small), count in runs):
            key = tuple((id(small), count) for (_, small), count in runs)
            found.setdefault(key, []).append([start for start, _ in chosen])
    of_id = {id(small): small for _, small in copies}
    steps = rho.dimension ** np.arange(exponent - 1, -1, -1)
    places = multi_indices(rho.dimension, exponent, symmetric=symmetric) @ steps
    summands, powers = [], []
    for number, (key, starts) in enumerate(found.items()):
        factors = [(of_id[small], count) for small, count in key]
        own = np.zeros((1, 0), dtype=np.int64)
        for small, count in factors:
            more = multi_indices(small.dimension, count, symmetric=symmetric)
            own = np.hstack([np.repeat(own, len(more), axis=0), np.tile(more, (len(own), 1))])
        index = np.searchsorted(places, (own[:, None] + np.array(starts)) @ steps)
        summands.append(Summand(number, index))
        parts = [power_of_one(small, count, symmetric=symmetric) for small, count in factors]
        powers.append(product_of(parts, rho.order))
    return assembled(summands, powers)


def _consecutive(rho: Representation) -> list[tuple[int, Representation]] | None:
    """Return the summands of a sum of matrices, ascending, each with its first coordinate.

    ``None`` where they are not one after the other.
    """
    if not isinstance(rho, SumOfMatrices):
        return None
    found = []
    for summand, small in rho.parts:
        inner = _consecutive(small) if isinstance(small, SumOfMatrices) else [(0, small)]
        ascend = summand.index == summand.index[0] + np.arange(summand.dimension)[:, None]
        if inner is None or summand.signs is not None or not ascend.all():
            return None
        found += [(start + own, each) for start in summand.index[0].tolist() for own, each in inner]
    return sorted(found, key=operator.itemgetter(0))
