"""Linear algebra modulo a prime: what is independent there is so over the rational numbers."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from equibasis.linalg.components import touching

# Residues are at most half of it, so that sums of a hundred products of two of them stay below
# 2^53: exact in float64, whatever the order in which BLAS sums them.
PRIME = 8388593
_AT_ONCE = 32

# Columns that touch each other, at most: 5,000 take about a minute and 400 MB.
_MOST_COLUMNS = 5000

# Random combinations of rows beyond the number of columns.
_SPARE = 8


def nullity(matrix: sparse.csr_array) -> int | None:
    """Count the null space's dimensions modulo `PRIME`, of a sparse matrix of int64.

    That is at least its nullity over the rational numbers, and with probability near one the same.
    ``None`` where columns that touch are too many for the cube of their number.
    """
    blocks = list(touching(matrix))
    if max((len(columns) for _, columns in blocks), default=0) > _MOST_COLUMNS:
        return None
    generator = np.random.RandomState(0)
    return sum(
        len(columns) - _rank(_combined(matrix[rows][:, columns], generator))
        for rows, columns in blocks
    )


def _combined(block: sparse.csr_array, generator: np.random.RandomState) -> np.ndarray:
    """Take a block modulo `PRIME`, float64; of many rows random combinations.

    Its rank is never larger by that.
    """
    count = block.shape[1] + _SPARE
    if block.shape[0] <= count:
        return _residues(np.mod(block.toarray(), PRIME).astype(np.float64))
    remainders = block.copy()
    remainders.data = np.mod(remainders.data, PRIME)
    factors = generator.randint(PRIME, size=(block.shape[0], count), dtype=np.int64)
    combined = remainders.T @ factors  # below 2^63, as columns have fewer than 2^17 entries
    return _residues(np.ascontiguousarray(np.mod(combined.T, PRIME)).astype(np.float64))


def _residues(numbers: np.ndarray) -> np.ndarray:
    """Whole numbers below 2^53 modulo `PRIME`, from -PRIME/2 to PRIME/2."""
    return numbers - np.rint(numbers * (1.0 / PRIME)) * PRIME


def _rank(matrix: np.ndarray) -> int:
    """Return the rank of a dense matrix of residues, by panels of columns."""
    rank = 0
    while matrix.size:
        panel, rest = matrix[:, :_AT_ONCE], matrix[:, _AT_ONCE:]
        rows, multiples = _eliminated(panel)
        others = np.setdiff1d(np.arange(len(matrix)), rows)
        matrix = _residues(rest[others] - multiples[others] @ rest[rows])
        rank += len(rows)
    return rank


def _eliminated(panel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Independent rows, as many as its rank, and all rows as multiples of them, by Gauss-Jordan."""
    left = np.asfortranarray(panel)
    rows, columns = [], []
    for column in range(panel.shape[1]):
        candidates = np.flatnonzero(left[:, column])
        if not len(candidates):
            continue
        row = int(candidates[0])
        rows.append(row)
        columns.append(column)
        multiples = _residues(left[:, column] * _reciprocal(left[row, column]))
        left = _residues(left - np.multiply.outer(left[row], multiples).T)
        left[:, column] = multiples
    return np.array(rows, dtype=np.int64), left[:, columns]


def _reciprocal(residue: float) -> int:
    found = pow(int(residue), -1, PRIME)
    return found if 2 * found < PRIME else found - PRIME
