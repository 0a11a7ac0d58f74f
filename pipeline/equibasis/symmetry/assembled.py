"""Sums of representations, and products and powers of them, type by type."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

from equibasis.linalg.memory import refuse_beyond_memory
from equibasis.symmetry.constructions import algebra_part, power_of_one
from equibasis.symmetry.representations import (
    Composed,
    MatrixRepresentation,
    PermutationRepresentation,
    Representation,
    signs_of,
)
from equibasis.symmetry.summands import Summand
from equibasis.symmetry.tensor_products import product_of, tensor_product


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
        """A matrix of each type, on all its copies."""
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
    permuted = [rho for rho in summands if isinstance(rho, PermutationRepresentation)]
    if len(permuted) == len(summands):
        return side_by_side(permuted)
    copies: dict[int, list[int]] = {}
    for rho, start in zip(summands, starts.tolist(), strict=True):
        copies.setdefault(id(rho), []).append(start)
    distinct = {id(rho): rho for rho in summands}
    types = [
        Summand(number, np.arange(rho.dimension)[:, None] + np.array(copies[key]))
        for number, (key, rho) in enumerate(distinct.items())
    ]
    return SumOfMatrices([*distinct.values()], types)


def side_by_side(summands: Sequence[PermutationRepresentation]) -> PermutationRepresentation:
    """The direct sum of (signed) permutations, which are so again."""
    if len(summands) == 1:
        return summands[0]
    starts = np.cumsum([0, *(rho.dimension for rho in summands[:-1])])
    index = [rho.index + start for rho, start in zip(summands, starts, strict=True)]
    signs = [signs_of(rho) for rho in summands]
    return PermutationRepresentation(np.concatenate(index, axis=1), np.concatenate(signs, axis=1))


def product(first: Representation, second: Representation) -> Representation:
    """ρ₁ ⊗ ρ₂, the second factor's index fastest; of sums of matrices, type by type."""
    if not any(isinstance(rho, SumOfMatrices) for rho in (first, second)):
        return tensor_product(first, second)
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


def power(rho: Representation, exponent: int, *, symmetric: bool) -> Representation:
    """`power_of_one`; of sums of matrices type by type.

    sym(A ⊕ B, 2) = sym(A, 2) ⊕ A⊗B ⊕ sym(B, 2), and in general a summand for each choice of
    copies, with repetitions: the tensor product of powers of each of them. Its coordinates, in
    lexicographic order, ascend in the whole.
    """
    copies = _consecutive(rho)
    if copies is None:
        return power_of_one(rho, exponent, symmetric=symmetric)
    choose = itertools.combinations_with_replacement if symmetric else itertools.combinations
    found: dict[tuple[tuple[int, int], ...], list[list[int]]] = {}
    for chosen in itertools.combinations_with_replacement(copies, exponent):
        runs = [(next(equal), 1 + len(list(equal))) for _, equal in itertools.groupby(chosen)]
        if symmetric or all(count <= small.dimension for (_, small), count in runs):
            key = tuple((id(small), count) for (_, small), count in runs)
            found.setdefault(key, []).append([start for start, _ in chosen])
    of_id = {id(small): small for _, small in copies}
    steps = rho.dimension ** np.arange(exponent - 1, -1, -1)
    places = _combinations(rho.dimension, exponent, choose) @ steps
    summands, powers = [], []
    for number, (key, starts) in enumerate(found.items()):
        factors = [(of_id[small], count) for small, count in key]
        own = np.zeros((1, 0), dtype=np.int64)
        for small, count in factors:
            more = _combinations(small.dimension, count, choose)
            own = np.hstack([np.repeat(own, len(more), axis=0), np.tile(more, (len(own), 1))])
        index = np.searchsorted(places, (own[:, None] + np.array(starts)) @ steps)
        summands.append(Summand(number, index))
        parts = [power_of_one(small, count, symmetric=symmetric) for small, count in factors]
        powers.append(product_of(parts, rho.order))
    return assembled(summands, powers)


def _combinations(n: int, exponent: int, choose: Callable[..., Iterable[Any]]) -> np.ndarray:
    return np.array(list(choose(range(n), exponent)), dtype=np.int64).reshape(-1, exponent)


def _consecutive(rho: Representation) -> list[tuple[int, Representation]] | None:
    """The summands of a sum of matrices, ascending, each with its first coordinate.

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


def _types_of(rho: Representation) -> Sequence[tuple[Summand, Representation]]:
    if isinstance(rho, SumOfMatrices):
        return rho.parts
    return [(Summand(0, np.arange(rho.dimension)[:, None]), rho)]
