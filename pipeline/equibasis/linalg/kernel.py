"""Null spaces: of sparse positive semidefinite matrices, block by block; maps that commute."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from equibasis.linalg.components import parts

# Blocks that are no larger are decomposed whole.
_DENSE = 300

# Eigenvalues below this share of the largest are zero, of a small block.
_ZERO = 1e-9

# Vectors that are projected first: they tell about how large the null space is.
_FIRST = 12

# Vectors more than the null space may have: fewer independent results prove that it is complete.
_SPARE = 4

# Entries that are no more than this share of the largest are rounding.
_ROUNDING = 1e-13

# Steps of conjugate gradients: as many as distinct eigenvalues, which are few for a Casimir.
_MOST_STEPS = 3000

# Vectors that are projected at once: few enough for the cache.
_AT_ONCE = 64


def commutator(
    on_input: sparse.csr_array, on_output: sparse.csr_array, kept: np.ndarray | None = None
) -> sparse.csc_array:
    """W -> ``on_output`` W - W ``on_input``, sparse (km, km), row-major.

    Parameters
    ----------
    on_input, on_output
        Matrices (m, m) and (k, k), of one element or Lie algebra element.
    kept
        The coordinates of vec(W) that may be non-zero, ascending int64 (s,): then those columns
        alone, (km, s). ``None``: all.
    """
    m, n = on_input.shape[0], on_input.shape[0] * on_output.shape[0]
    kept = np.arange(n) if kept is None else kept
    o, i = np.divmod(kept, m)
    left, right = sparse.csc_array(on_output)[:, o], sparse.csc_array(on_input.T)[:, i]
    counts = np.diff(left.indptr), np.diff(right.indptr)
    columns = [np.repeat(np.arange(len(kept)), count) for count in counts]
    rows = np.concatenate(
        [
            left.indices.astype(np.int64) * m + i[columns[0]],
            right.indices.astype(np.int64) + m * o[columns[1]],
        ]
    )
    values = np.concatenate([left.data, -right.data])
    entries = rows, np.concatenate(columns)
    found = sparse.csc_array((values, entries), shape=(n, len(kept)))
    if values.dtype == np.float64:
        found.data[np.abs(found.data) <= _ROUNDING * np.abs(values).max(initial=0.0)] = 0.0
    found.eliminate_zeros()
    return found


def null_spaces(
    operator: sparse.csr_array, most: int | None = None, seed: int = 0
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Orthonormal bases of the null space of each connected block of a symmetric Ω ≥ 0.

    Small blocks are decomposed; of larger ones random vectors are projected, z - Ω⁺Ωz by conjugate
    gradients on many of them at once.

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
    component = csgraph.connected_components(operator, directed=False)[1]
    for number, rows in enumerate(parts(component)):
        block = sparse.csr_array(operator[rows][:, rows])
        found = _of_block(block, seed + number, most)
        if found.shape[1]:
            yield rows, found
        if most is not None:
            most = max(0, most - found.shape[1])


def _of_block(block: sparse.csr_array, seed: int, most: int | None) -> np.ndarray:
    n = block.shape[0]
    if not block.nnz:
        return np.eye(n)
    if n <= _DENSE:
        values, vectors = np.linalg.eigh(block.toarray())
        return vectors[:, values <= _ZERO * max(values[-1], 1e-300)]
    most = n if most is None else min(n, most)
    generator = np.random.RandomState(seed)
    vectors = np.zeros((n, 0))
    number = min(_FIRST, most + _SPARE)
    while True:
        start = generator.standard_normal((n, number))
        vectors = np.hstack([vectors, projected(block, start)])
        found = _orthonormal(vectors)
        if found.shape[1] < vectors.shape[1] or vectors.shape[1] >= n or found.shape[1] > most:
            return found
        # A random vector keeps of its squared length as much as the null space is of the whole.
        share = float(np.square(vectors).sum() / vectors.shape[1])
        number = int(share + 4 * np.sqrt(share)) + _SPARE - vectors.shape[1]
        number = min(max(number, _FIRST), most + _SPARE - vectors.shape[1], n)


def projected(operator: sparse.csr_array, vectors: np.ndarray) -> np.ndarray:
    """Project columns z to the null space, twice: what rounding leaves goes the second time.

    Source: "twice is enough", Parlett, *The Symmetric Eigenvalue Problem*, §6.9.
    """
    norm = float(abs(operator).sum(axis=1).max())
    found = np.empty_like(vectors)
    for start in range(0, vectors.shape[1], _AT_ONCE):
        part = np.ascontiguousarray(vectors[:, start : start + _AT_ONCE])
        for _ in range(2):
            part = _less_range(operator, norm, part)
        found[:, start : start + _AT_ONCE] = part
    return found


def _less_range(operator: sparse.csr_array, norm: float, vectors: np.ndarray) -> np.ndarray:
    """z - Ω⁺ Ω z for the columns z, by conjugate gradients."""
    solution = np.zeros_like(vectors)
    residual = operator @ vectors
    direction = residual.copy()
    squares = np.einsum("ij,ij->j", residual, residual)
    enough = np.square(4e-16 * norm) * np.einsum("ij,ij->j", vectors, vectors)
    for _ in range(_MOST_STEPS):
        live = squares > enough
        if not live.any():
            break
        moved = operator @ direction
        curvature = np.einsum("ij,ij->j", direction, moved)
        live &= curvature > 0
        step = np.where(live, squares / np.where(curvature > 0, curvature, 1.0), 0.0)
        solution += step * direction
        moved *= step
        residual -= moved
        after = np.einsum("ij,ij->j", residual, residual)
        ratio = np.where(live, after / np.where(squares > 0, squares, 1.0), 0.0)
        direction *= ratio
        direction += residual
        squares = np.where(live, after, 0.0)
    return vectors - solution


def _orthonormal(vectors: np.ndarray) -> np.ndarray:
    """Return an orthonormal basis of the span of columns, from their Gram matrix, twice."""
    for step in range(2):
        values, change = np.linalg.eigh(vectors.T @ vectors)
        bound = max(1e-12 * max(values[-1], 0.0), 1e-14 * len(vectors)) if step == 0 else 0.5
        kept = values > bound
        vectors = vectors @ (change[:, kept] / np.sqrt(values[kept]))
    return vectors
