"""Null spaces of sparse positive semidefinite matrices, block by block."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

# Blocks that are no larger are decomposed whole.
_DENSE = 300

# Eigenvalues below this share of the largest are zero, of a small block.
_ZERO = 1e-9

# Vectors more than the null space may have: fewer independent results prove that it is complete.
_SPARE = 4

# Vectors projected first where the dimension is not known.
_FIRST = 12

# Steps of conjugate gradients: as many as distinct eigenvalues, which are few for a Casimir.
_MOST_STEPS = 3000


def null_spaces(
    operator: sparse.csr_array, most: int | None = None, seed: int = 0
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Orthonormal bases of the null space of each connected block of a symmetric Ω ≥ 0.

    Small blocks are decomposed; of larger ones random vectors are projected, z - Ω⁺Ωz by conjugate
    gradients on all of them at once.

    Parameters
    ----------
    operator
        Ω, sparse (n, n), float64.
    most
        The dimension of the whole null space, where it is known: no more vectors than that are
        projected, and a few to spare, which tell whether it is complete.
    seed
        Of the random vectors.

    Yields
    ------
    tuple
        Rows of a block, ascending int64 (s,), and the basis, float64 (s, r) with r > 0.

    Source: Golub and Van Loan, *Matrix Computations*, §11.3 (conjugate gradients).
    """
    count, component = csgraph.connected_components(operator, directed=False)
    order = np.argsort(component, kind="stable")
    sizes = np.bincount(component, minlength=count)
    for number, rows in enumerate(np.split(order, np.cumsum(sizes)[:-1]) if len(order) else ()):
        block = sparse.csr_array(operator[rows][:, rows])
        found = _of_block(block, seed + number, most)
        if found.shape[1]:
            yield rows, found
        if most is not None:
            most = max(0, most - found.shape[1])


def _of_block(block: sparse.csr_array, seed: int, most: int | None) -> np.ndarray:
    n = block.shape[0]
    if n <= _DENSE:
        values, vectors = np.linalg.eigh(block.toarray())
        return vectors[:, values <= _ZERO * max(values[-1], 1e-300)]
    number = min(n, _FIRST if most is None else most + _SPARE)
    generator = np.random.RandomState(seed)
    while True:
        start = generator.standard_normal((n, number))
        found = _orthonormal(_projected(block, _projected(block, start)))
        if found.shape[1] < number or number == n:
            return found
        number = min(n, 2 * number)


def _projected(operator: sparse.csr_array, vectors: np.ndarray) -> np.ndarray:
    """z - Ω⁺ Ω z for the columns z, by conjugate gradients."""
    norm = float(abs(operator).sum(axis=1).max())
    solution = np.zeros_like(vectors)
    residual = operator @ vectors
    direction = residual.copy()
    squares = np.square(residual).sum(axis=0)
    enough = np.square(4e-16 * norm * np.linalg.norm(vectors, axis=0))
    for _ in range(_MOST_STEPS):
        live = squares > enough
        if not live.any():
            break
        moved = operator @ direction
        curvature = (direction * moved).sum(axis=0)
        live &= curvature > 0
        step = np.where(live, squares / np.where(curvature > 0, curvature, 1.0), 0.0)
        solution += step * direction
        residual -= step * moved
        after = np.square(residual).sum(axis=0)
        ratio = np.where(live, after / np.where(squares > 0, squares, 1.0), 0.0)
        direction = residual + ratio * direction
        squares = np.where(live, after, 0.0)
    return vectors - solution


def _orthonormal(vectors: np.ndarray) -> np.ndarray:
    """An orthonormal basis of the span of columns, from their Gram matrix, twice."""
    for step in range(2):
        values, change = np.linalg.eigh(vectors.T @ vectors)
        bound = max(1e-12 * max(values[-1], 0.0), 1e-14 * len(vectors)) if step == 0 else 0.5
        kept = values > bound
        vectors = vectors @ (change[:, kept] / np.sqrt(values[kept]))
    return vectors
