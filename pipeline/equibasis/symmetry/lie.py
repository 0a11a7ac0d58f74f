"""The Lie algebra that listed elements generate, with an orthonormal basis."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from equibasis.errors import GroupError
from equibasis.linalg.memory import refuse_beyond_memory
from equibasis.symmetry.constructions import algebra_part
from equibasis.symmetry.representations import Representation

# The largest Lie algebra, and how much of a unit vector is none: rounding of a few brackets.
MOST_DIMENSIONS = 2000
_NONE = 1e-8

# Squared distance of a unit vector from a span that is well above rounding.
_CLEARLY = 1e-6

# Entries of brackets that are made at once.
_AT_ONCE = 2**20


@dataclass(frozen=True, eq=False)
class LieAlgebra:
    """span{A} closed under brackets and under conjugation by the discrete elements.

    Elements are lists of their matrices in several representations; as one block diagonal matrix
    those of the basis are orthonormal for tr AᵀB.

    Attributes
    ----------
    sizes
        Dimensions n of the representations.
    vectors
        The basis, each element as one row of its matrices' entries: sparse (d, Σ n²).
    """

    sizes: tuple[int, ...]
    vectors: sparse.csr_array

    @property
    def dimension(self) -> int:
        """d."""
        return int(self.vectors.shape[0])

    @cached_property
    def basis(self) -> tuple[tuple[sparse.csr_array, ...], ...]:
        """Of each element of the basis, its matrix in each representation."""
        return tuple(self.element(coefficients) for coefficients in np.eye(self.dimension))

    @cached_property
    def _stacks(self) -> tuple[sparse.csr_array, ...]:
        """The basis in each representation, a row for each element: sparse (d, n²)."""
        columns = sparse.csc_array(self.vectors)
        starts = itertools.accumulate((n * n for n in self.sizes), initial=0)
        return tuple(
            sparse.csr_array(columns[:, start : start + n * n])
            for start, n in zip(starts, self.sizes, strict=False)
        )

    def element(self, coefficients: np.ndarray) -> tuple[sparse.csr_array, ...]:
        """Σ c_a A_a, its matrix in each representation."""
        row = sparse.csr_array(np.asarray(coefficients)[None])
        return tuple(
            sparse.csr_array((row @ stack).reshape(n, n))
            for stack, n in zip(self._stacks, self.sizes, strict=True)
        )

    def coordinates(self, rows: sparse.csr_array) -> tuple[np.ndarray, float]:
        """Elements, as rows, in the basis: (number, d), and how far the farthest is from it."""
        found = sparse.csr_array(rows @ self.vectors.T)
        left = _norms(rows - found @ self.vectors)
        return found.toarray(), float(left.max(initial=0.0))

    def adjoint(self, coefficients: np.ndarray) -> np.ndarray:
        """Ad A in the basis for A = Σ c_a A_a: column b has the coordinates of [A, A_b]."""
        row = [each.reshape(1, -1) for each in self.element(coefficients)]
        return self.coordinates(_all_brackets(row, self._stacks))[0].T

    def conjugated(
        self, matrices: Sequence[sparse.csr_array], inverses: Sequence[sparse.csr_array]
    ) -> sparse.csr_array:
        """h A_b h⁻¹ for the basis A_b, a row each, from h and h⁻¹ in each representation."""
        parts = []
        for h, inverse, stack in zip(matrices, inverses, self._stacks, strict=True):
            moved = _all_products(h.reshape(1, -1), stack)
            parts.append(_all_products(sparse.csr_array(moved), inverse.reshape(1, -1)))
        return sparse.csr_array(sparse.hstack(parts))

    @cached_property
    def transposition(self) -> np.ndarray | None:
        """A -> Aᵀ in the basis, (d, d); ``None`` where the algebra is not closed under it."""
        turned = []
        for stack, n in zip(self._stacks, self.sizes, strict=True):
            entries = stack.tocoo()
            row, column = np.divmod(entries.col, n)
            turned.append(
                sparse.csr_array((entries.data, (entries.row, column * n + row)), shape=stack.shape)
            )
        found, off = self.coordinates(sparse.csr_array(sparse.hstack(turned)))
        return found.T if off < _NONE else None


def lie_algebra(representations: Sequence[Representation], continuous: int) -> LieAlgebra:
    """Generate the algebra of the last ``continuous`` elements, of several representations.

    With an orthonormal basis Σ C_iᵀC_i of the constraints is, for groups closed under
    transposition, the Casimir element of the compact form: it has few distinct eigenvalues.

    Raises
    ------
    GroupError
        If its dimension exceeds `MOST_DIMENSIONS`.
    EquibasisError
        If matrices of such dimensions would not fit in memory.
    """
    sizes = tuple(rho.dimension for rho in representations)
    # SciPy keeps a number for each column while it multiplies.
    what = f"the Lie algebra on {max(sizes):,} dimensions"
    refuse_beyond_memory(8.0 * sum(n * n for n in sizes), what)
    discrete = range(representations[0].order - continuous)
    moves = [[rho.matrix(g) for rho in representations] for g in discrete]
    back = [[rho.inverse.matrix(g) for rho in representations] for g in discrete]
    span = sparse.csr_array((0, sum(n * n for n in sizes)))
    given = [
        sparse.hstack([each.reshape(1, -1) for each in of_one])
        for of_one in zip(*(algebra_part(rho, continuous) for rho in representations), strict=True)
    ]
    if given:
        span = _with_more(span, sparse.csr_array(sparse.vstack(given)))
    generators = LieAlgebra(sizes, span)
    done = 0
    while done < span.shape[0]:
        known = span.shape[0]
        step = max(1, _AT_ONCE // max(1, span.nnz))
        for start in range(done, known, step):
            new = LieAlgebra(sizes, span[start : min(start + step, known)])
            rows = [_all_brackets(new._stacks, generators._stacks)]
            rows += [new.conjugated(h, inverse) for h, inverse in zip(moves, back, strict=True)]
            span = _with_more(span, sparse.csr_array(sparse.vstack(rows)))
        done = known
    return LieAlgebra(sizes, span)


def _with_more(span: sparse.csr_array, rows: sparse.csr_array) -> sparse.csr_array:
    """Orthonormal rows that span what both do: Gram-Schmidt, all rows at once, twice."""
    norms = _norms(rows)
    rows = _scaled(rows[norms > _NONE], 1.0 / norms[norms > _NONE])
    while True:
        for _ in range(2):
            rows = sparse.csr_array(rows - (rows @ span.T) @ span)
        norms = _norms(rows)
        rows, norms = rows[norms > _NONE], norms[norms > _NONE]
        if not len(norms):
            return span
        units = _scaled(rows, 1.0 / norms)
        new = units[_independent((units @ units.T).toarray())]
        for _ in range(2):
            new = sparse.csr_array(new - (new @ span.T) @ span)
            factor = np.linalg.cholesky((new @ new.T).toarray())
            new = sparse.csr_array(sparse.csr_array(np.linalg.inv(factor)) @ new)
        span = sparse.csr_array(sparse.vstack([span, _without_rounding(new)]))
        if span.shape[0] > MOST_DIMENSIONS:
            raise GroupError(f"the Lie algebra has a dimension of more than {MOST_DIMENSIONS:,}")


def _independent(gram: np.ndarray) -> list[int]:
    """Find unit vectors clearly independent of those before them, from their inner products."""
    found: list[int] = []
    left, diagonal = gram.copy(), gram.diagonal().copy()
    for number in range(len(gram)):
        if diagonal[number] > _CLEARLY:
            found.append(number)
            column = left[:, number] / np.sqrt(diagonal[number])
            left -= np.outer(column, column)
            diagonal = left.diagonal()
    return found


def _all_brackets(
    one: Sequence[sparse.csr_array], other: Sequence[sparse.csr_array]
) -> sparse.csr_array:
    """[A_a, B_b] for all rows A_a and B_b, a row each."""
    parts = []
    for a, b in zip(one, other, strict=True):
        there, back = _all_products(a, b), _all_products(b, a)
        number, other_number = np.divmod(back.row, a.shape[0])
        back.coords = (other_number * b.shape[0] + number, back.col)
        parts.append(sparse.csr_array(there) - sparse.csr_array(back))
    return sparse.csr_array(sparse.hstack(parts))


def _all_products(one: sparse.csr_array, other: sparse.csr_array) -> sparse.coo_array:
    """A_a B_b for rows A_a and B_b of matrices (n, n), a row for each pair (a, b)."""
    n = math.isqrt(one.shape[1])
    count = other.shape[0]
    entries = other.tocoo()
    row, column = np.divmod(entries.col.astype(np.int64), n)
    side_by_side = sparse.csr_array(
        (entries.data, (row, entries.row.astype(np.int64) * n + column)), shape=(n, count * n)
    )
    product = (one.reshape(-1, n).tocsr() @ side_by_side).tocoo()
    a, row = np.divmod(product.row.astype(np.int64), n)
    b, column = np.divmod(product.col.astype(np.int64), n)
    shape = one.shape[0] * count, n * n
    return sparse.coo_array((product.data, (a * count + b, row * n + column)), shape=shape)


def _scaled(rows: sparse.csr_array, factors: np.ndarray) -> sparse.csr_array:
    return sparse.csr_array(sparse.diags_array(factors) @ rows)


def _norms(rows: sparse.csr_array) -> np.ndarray:
    return np.sqrt(np.asarray(abs(rows).power(2).sum(axis=1)).ravel())


def _without_rounding(vector: sparse.csr_array) -> sparse.csr_array:
    vector.data[np.abs(vector.data) < 1e-14] = 0.0
    vector.eliminate_zeros()
    return vector
