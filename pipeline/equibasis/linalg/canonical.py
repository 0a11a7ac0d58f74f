"""The canonical basis of a subspace: a function of the subspace alone, whoever solved for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from scipy import sparse

from equibasis.linalg.components import NEGLIGIBLE, Blocks, diagonal_blocks

# Diagonal entries closer than this tie, and the lowest index is the pivot.
_TIE = 1e-9


def canonical_basis(projector: sparse.csr_array) -> sparse.csc_array:
    """Factor an orthogonal projector Q = B Bᵀ by pivoted Cholesky, columns ordered by pivot.

    Each step takes the largest remaining diagonal entry (ties to the lowest index) as pivot p;
    the column is Q eₚ less its part along the columns before it, normalized, positive at p. As
    what remains of a projector is a projector, these columns are orthonormal. Blocks of Q that do
    not touch are treated each on its own. Where all non-zero entries of a column have one
    magnitude, as for (signed) permutations, they are ±1/√count to the last bit.

    Parameters
    ----------
    projector
        Symmetric, of shape (n, n), float64, Q² = Q within rounding.

    Returns
    -------
    sparse.csc_array
        B of shape (n, r), r = trace(Q), float64, indices sorted.

    Source: Higham, *Accuracy and Stability of Numerical Algorithms*, §10.3 (complete pivoting).
    """
    return canonical_of_blocks(diagonal_blocks(projector), projector.shape[0])


def canonical_of_blocks(projectors: Iterable[Blocks], n: int) -> sparse.csc_array:
    """Factor a projector of R^n, given as its diagonal blocks, or larger ones."""
    rows, pivots, values = [], [], []
    for blocks in projectors:
        ranks = np.rint(np.trace(blocks.values, axis1=1, axis2=2)).astype(int)
        for rank in np.unique(ranks[ranks > 0]):
            of_rank = ranks == rank
            indices = blocks.indices[of_rank]
            factor, pivot = _of_blocks(blocks.values[of_rank], rank)
            block, row, column = np.nonzero(factor)
            rows.append(indices[block, row])
            values.append(factor[block, row, column])
            pivots.append(indices[block, pivot[block, column]])
    if not rows:
        return sparse.csc_array((n, 0))
    distinct, column = np.unique(np.concatenate(pivots), return_inverse=True)
    basis = sparse.csc_array(
        (np.concatenate(values), (np.concatenate(rows), column)),
        shape=(n, len(distinct)),
    )
    basis.sort_indices()
    return basis


def _of_blocks(projectors: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
    batch = np.arange(len(projectors))
    diagonals = projectors.diagonal(axis1=1, axis2=2)
    return pivoted_cholesky(diagonals, lambda pivot: projectors[batch, :, pivot], rank)


def canonical_factor(basis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the canonical basis of a span, from an orthonormal one, (n, r), as pivots come.

    It is the pivoted Cholesky factor of B Bᵀ, which is never formed: Q eₚ = B (Bᵀ eₚ) is all that
    is asked for.

    Returns
    -------
    tuple
        Factor, (n, r), and pivots, (r,).
    """
    factors, pivots = pivoted_cholesky(
        np.square(basis).sum(axis=1)[None],
        lambda pivot: (basis @ basis[pivot[0]])[None],
        basis.shape[1],
    )
    return factors[0], pivots[0]


def pivoted_cholesky(
    diagonals: np.ndarray, columns: Callable[[np.ndarray], np.ndarray], rank: int
) -> tuple[np.ndarray, np.ndarray]:
    """Pivoted Cholesky factors of b orthogonal projectors of one size and rank.

    Parameters
    ----------
    diagonals
        Of the projectors, float64 (b, n).
    columns
        Pivots (b,) -> those columns of the projectors, (b, n); nothing else of them is asked for.
    rank
        Of each of them, r.

    Returns
    -------
    tuple
        Factors (b, n, r), rounding removed where the exact value is known, and pivots (b, r).
    """
    count, size = diagonals.shape
    batch = np.arange(count)
    factor = np.zeros((count, size, rank))
    pivots = np.empty((count, rank), dtype=np.int64)
    diagonal = diagonals.copy()
    for step in range(rank):
        largest = diagonal.max(axis=1, keepdims=True)
        pivot = np.argmax(diagonal >= largest - _TIE, axis=1)
        done = factor[:, :, :step]
        column = columns(pivot)
        column = column - (done @ done[batch, pivot][:, :, None])[:, :, 0]
        # Gram-Schmidt twice: once leaves an error that grows with the block, twice does not.
        column -= (done @ (done.transpose(0, 2, 1) @ column[:, :, None]))[:, :, 0]
        column /= np.linalg.norm(column, axis=1, keepdims=True)
        factor[:, :, step] = column
        pivots[:, step] = pivot
        diagonal -= column**2
    return without_rounding(factor), pivots


def without_rounding(factor: np.ndarray) -> np.ndarray:
    """Remove rounding where the exact value is known: zeros, and columns of one magnitude.

    Of one factor, (n, r), or several, (b, n, r).
    """
    magnitude = np.abs(factor)
    support = magnitude > NEGLIGIBLE
    exact = 1.0 / np.sqrt(support.sum(axis=-2, keepdims=True))
    flat = (~support | (np.abs(magnitude - exact) <= NEGLIGIBLE)).all(axis=-2, keepdims=True)
    return np.where(support, np.where(flat, np.copysign(exact, factor), factor), 0.0)
