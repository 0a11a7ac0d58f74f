"""Orbit columns: a basis whose every row has one entry at most, kept as one label a row.

This is the structure of every basis for (signed) permutations: 4 bytes a row where a sparse
matrix takes 12, and nothing to multiply.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class OrbitColumns:
    """The matrix with entry signs[i] / √sizes[j] in row i and column j = labels[i].

    Attributes
    ----------
    labels
        int32 (n,), or int64 where there are too many; -1 for a row of zeros.
    sizes
        Entries in each column: int64 (r,).
    signs
        ±1, int8 (n,), or ``None`` where all are +1.
    """

    labels: np.ndarray
    sizes: np.ndarray
    signs: np.ndarray | None = None


def label_type(rank: int) -> type[np.signedinteger]:
    """The integers that hold ``rank`` labels and -1."""
    return np.int32 if rank < 2**31 else np.int64
