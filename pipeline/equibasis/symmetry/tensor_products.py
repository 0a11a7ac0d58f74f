"""Tensor products of representations, of which what is large is made when it is asked for."""

from __future__ import annotations

import functools
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
    trivial_representation,
)
from equibasis.symmetry.representations import (
    Composed,
    MatrixRepresentation,
    PermutationRepresentation,
    Representation,
    signs_of,
)


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
        return self._multiplied([discrete_part(rho, self._count) for rho in self.small])

    @cached_property
    def matrices(self) -> np.ndarray:
        """Each ρ(h), then each exp(dρ(A)), float64 (L + D, n, n)."""
        return self._multiplied([rho.dense() for rho in self.small])

    def _multiplied(self, factors: Sequence[np.ndarray]) -> np.ndarray:
        """Kronecker products of matrices (N, t, t), one by one: (N, n, n)."""
        n = self.dimension
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
    """The factors of a tensor product; of anything else itself alone."""
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
    """ρ₁ ⊗ ρ₂, the second factor's index fastest."""
    if isinstance(first, PermutationRepresentation) and isinstance(
        second, PermutationRepresentation
    ):
        return _of_permutations(first, second)
    return TensorProduct([*factors_of(first), *factors_of(second)])


def _of_permutations(
    first: PermutationRepresentation, second: PermutationRepresentation
) -> PermutationRepresentation:
    shape = first.order, first.dimension * second.dimension
    index = first.index[:, :, None] * second.dimension + second.index[:, None, :]
    signs = signs_of(first)[:, :, None] * signs_of(second)[:, None, :]
    return PermutationRepresentation(index.reshape(shape), signs.reshape(shape))
