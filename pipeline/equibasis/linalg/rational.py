"""Matrices of fractions as matrices of whole numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from scipy import sparse

# The largest denominator of an entry, and how far rounding may move an entry from its fraction.
_MOST_DENOMINATOR = 1000
_ROUNDING = 1e-12

# The largest whole number that comes of it.
_LARGEST = 2**31


def whole_multiples(matrices: Sequence[sparse.csr_array]) -> list[sparse.csr_array] | None:
    """All of them times the least whole number that makes every entry whole, as int64.

    ``None`` where some entries are no fractions with denominators up to 1,000, within rounding.
    """
    entries = np.unique(np.concatenate([matrix.data for matrix in matrices]))
    factor = 1
    for entry in entries[entries != np.rint(entries)].tolist():
        fraction = Fraction(entry).limit_denominator(_MOST_DENOMINATOR)
        if abs(float(fraction) - entry) > _ROUNDING * max(1.0, abs(entry)):
            return None
        factor = math.lcm(factor, fraction.denominator)
        if factor > _LARGEST:
            return None
    if factor * np.abs(entries).max(initial=0.0) > _LARGEST:
        return None
    found = []
    for matrix in matrices:
        whole = np.rint(factor * matrix.data).astype(np.int64)
        found.append(sparse.csr_array((whole, matrix.indices, matrix.indptr), shape=matrix.shape))
    return found
