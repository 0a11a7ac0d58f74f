"""Small dense linear algebra with the same bits on every machine.

Elementwise IEEE arithmetic in a fixed order, no BLAS: what is stored in a file must not depend on
which one a machine has.
"""

from __future__ import annotations

import numpy as np

# Sweeps converge quadratically; a few more than ever needed.
_MOST_SWEEPS = 30

# What counts as zero beside the largest entry.
_EPSILON = 1e-16


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """A B for float64 matrices (m, n) and (n, k), one rank-one term after the other."""
    result = np.zeros((a.shape[0], b.shape[1]))
    for column, row in zip(a.T, b, strict=True):
        result += column[:, None] * row
    return result


def eigenvectors(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues (n,), ascending, and orthonormal eigenvectors, the columns of (n, n).

    Cyclic Jacobi rotations of a symmetric matrix, n/2 disjoint pairs of axes at a time.
    Source: Golub and Van Loan, *Matrix Computations*, §8.5.
    """
    n = len(matrix)
    even = n + n % 2  # an axis that couples to nothing makes pairs of all
    a = np.zeros((even, even))
    a[:n, :n] = (matrix + matrix.T) / 2
    vectors = np.eye(even)
    scale = np.abs(a).max(initial=0.0)
    ring = np.arange(even)
    for _ in range(_MOST_SWEEPS):
        couplings = np.abs(a - np.diag(np.diag(a))).max(initial=0.0)
        if couplings <= _EPSILON * scale:
            break
        for _ in range(even - 1):
            p, q = ring[: even // 2], ring[even // 2 :][::-1]
            c, s = _rotations(a[p, p], a[q, q], a[p, q])
            a[p], a[q] = (
                c[:, None] * a[p] - s[:, None] * a[q],
                s[:, None] * a[p] + c[:, None] * a[q],
            )
            a[:, p], a[:, q] = c * a[:, p] - s * a[:, q], s * a[:, p] + c * a[:, q]
            vectors[:, p], vectors[:, q] = (
                c * vectors[:, p] - s * vectors[:, q],
                s * vectors[:, p] + c * vectors[:, q],
            )
            a[p, q] = a[q, p] = 0.0
            ring = np.concatenate([ring[:1], np.roll(ring[1:], 1)])  # a round of a tournament
    values = np.diag(a)[:n]
    order = np.argsort(values, kind="stable")
    return values[order], vectors[:n, :n][:, order]


def _rotations(app: np.ndarray, aqq: np.ndarray, apq: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and sines that make each apq zero."""
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        theta = (aqq - app) / (2 * apq)
        tangent = np.where(theta < 0, -1.0, 1.0) / (np.abs(theta) + np.sqrt(theta * theta + 1))
    tangent = np.where(apq == 0, 0.0, tangent)
    cosine = 1 / np.sqrt(tangent * tangent + 1)
    return cosine, tangent * cosine
