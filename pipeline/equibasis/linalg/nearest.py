"""The nearest of many points."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

# Up to so many points all distances are taken; a tree would pay for importing what takes long.
_FEW = 512


def nearest_among(points: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """A function that gives the position of the nearest of some points (n, d) to each of others."""
    if len(points) <= _FEW:
        return lambda others: np.square(others[:, None] - points).sum(axis=2).argmin(axis=1)
    from scipy.spatial import cKDTree

    tree = cKDTree(points)
    return lambda others: tree.query(others)[1]
