"""The Lie algebra that listed elements generate, with an orthonormal basis."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from equibasis.errors import GroupError
from equibasis.symmetry.constructions import algebra_part
from equibasis.symmetry.representations import Representation

# The largest Lie algebra, and how much of a unit vector is none: rounding of a few brackets.
MOST_DIMENSIONS = 2000
_NONE = 1e-8


@dataclass(frozen=True, eq=False)
class LieAlgebra:
    """span{A} closed under brackets and under conjugation by the discrete elements.

    Attributes
    ----------
    basis
        Of each element, its matrix in each representation, sparse; as one block diagonal matrix
        they are orthonormal for tr AᵀB.
    vectors
        The same flattened, sparse (d, Σ n²).
    """

    basis: tuple[tuple[sparse.csr_array, ...], ...]
    vectors: sparse.csr_array

    @property
    def dimension(self) -> int:
        """d."""
        return len(self.basis)

    def coordinates(self, element: Sequence[sparse.csr_array]) -> tuple[np.ndarray, float]:
        """An element in the basis, float64 (d,), and how far it is from the span."""
        vector = _flat(element)
        found = (self.vectors @ vector.T).toarray().ravel()
        return found, _norm(vector - sparse.csr_array(found[None]) @ self.vectors)


def lie_algebra(representations: Sequence[Representation], continuous: int) -> LieAlgebra:
    """The algebra that the last ``continuous`` elements generate, of several representations.

    With an orthonormal basis Σ C_iᵀC_i of the constraints is, for groups closed under
    transposition, the Casimir element of the compact form: it has few distinct eigenvalues.

    Raises
    ------
    GroupError
        If its dimension exceeds `MOST_DIMENSIONS`.
    """
    parts = [algebra_part(rho, continuous) for rho in representations]
    given = [tuple(each[a] for each in parts) for a in range(continuous)]
    discrete = range(representations[0].order - continuous)
    moves = [tuple(rho.matrix(g) for rho in representations) for g in discrete]
    back = [tuple(rho.inverse.matrix(g) for rho in representations) for g in discrete]
    size = sum(rho.dimension**2 for rho in representations)
    basis: list[tuple[sparse.csr_array, ...]] = []
    vectors = sparse.csr_array((0, size))

    def add(element: Sequence[sparse.csr_array]) -> bool:
        nonlocal vectors
        vector = _flat(element)
        before = _norm(vector)
        if before <= _NONE:
            return False
        vector = vector / before
        for _ in range(2):
            vector = vector - (vectors @ vector.T).T @ vectors
        left = _norm(vector)
        if left <= _NONE:
            return False
        vector = _without_rounding(sparse.csr_array(vector / left))
        vectors = sparse.csr_array(sparse.vstack([vectors, vector]))
        basis.append(_unflattened(vector, [rho.dimension for rho in representations]))
        if len(basis) > MOST_DIMENSIONS:
            raise GroupError(f"the Lie algebra has a dimension of more than {MOST_DIMENSIONS:,}")
        return True

    generating = [number for number, element in enumerate(given) if add(element)]
    generators = basis[: len(generating)]
    for element in basis:  # grows while it is walked
        for other in generators:
            if element is not other:
                add([a @ b - b @ a for a, b in zip(element, other, strict=True)])
        for h, inverse in zip(moves, back, strict=True):
            add([p @ a @ q for p, a, q in zip(h, element, inverse, strict=True)])
    return LieAlgebra(tuple(basis), vectors)


def _flat(element: Sequence[sparse.csr_array]) -> sparse.csr_array:
    """Matrices as one row."""
    return sparse.csr_array(sparse.hstack([each.reshape(1, -1) for each in element]))


def _unflattened(
    vector: sparse.csr_array, dimensions: Sequence[int]
) -> tuple[sparse.csr_array, ...]:
    starts = itertools.accumulate((n * n for n in dimensions), initial=0)
    columns = sparse.csc_array(vector)
    return tuple(
        sparse.csr_array(columns[:, start : start + n * n].reshape(n, n))
        for start, n in zip(starts, dimensions, strict=False)
    )


def _norm(vector: sparse.csr_array) -> float:
    return float(np.linalg.norm(vector.data))


def _without_rounding(vector: sparse.csr_array) -> sparse.csr_array:
    vector.data[np.abs(vector.data) < 1e-14] = 0.0
    vector.eliminate_zeros()
    return vector
