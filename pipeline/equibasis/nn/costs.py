"""Which way of applying a layer is the faster: estimates from measured costs.

They are the same on every machine, as the two ways differ in the last bits of what they compute.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from equibasis.linalg.columns import OrbitColumns
from equibasis.solvers.basis import Basis
from equibasis.symmetry.coordinates import Coordinates
from equibasis.symmetry.coordinates.finding import symmetry_coordinates

# Vectors that a layer takes at once, and products a step: forward, and two for the gradients.
_BATCH = 128
_PRODUCTS = 3

# Nanoseconds, forward and backward, on two cores of an Intel Xeon (docs/benchmarks.md): for a
# multiplication in a matrix product; for an entry of W gathered from coefficients, or summed from
# products with them; for an entry of the blocks; for a number of a vector on its way to adapted
# coordinates and back; and for the calls that a layer by blocks makes beyond those of a plain one.
_MULTIPLICATION = 0.008
_ENTRY = 4.0
_TERM = 8.0
_BLOCK_ENTRY = 5.0
_NUMBER = 3.0
_CALLS = 400_000.0


# From this many entries of W on, a layer by blocks is much faster in evaluation too, where W costs
# nothing to make; below, one plain product never costs more than a plain layer.
_FEWEST_EVALUATED = 2**21


def keeps_whole_weight(basis: Basis) -> bool:
    """Whether one plain product is the faster way in evaluation, once W is made."""
    return basis.space.dimension < _FEWEST_EVALUATED


def faster_mode(basis: Basis) -> Literal["expand", "block"]:
    """The mode that is estimated to take less time, for batches of 128."""
    expand = expand_cost(basis)
    if expand <= _CALLS:  # whatever the blocks are; and nothing is spent to find them
        return "expand"
    coordinates = basis.coordinates or symmetry_coordinates(basis.space)
    if coordinates is None or block_cost(basis, coordinates) >= expand:
        return "expand"
    return "block"


def expand_cost(basis: Basis) -> float:
    """Estimated nanoseconds to make W, apply it, and take the gradients."""
    columns = basis.columns
    if isinstance(columns, OrbitColumns):
        making = _ENTRY * basis.space.dimension
    elif isinstance(columns, np.ndarray):
        making = _PRODUCTS * _MULTIPLICATION * columns.size
    else:
        making = _TERM * columns.nnz
    return making + _PRODUCTS * _MULTIPLICATION * _BATCH * basis.space.dimension


def block_cost(basis: Basis, coordinates: Coordinates) -> float:
    """Estimated nanoseconds to make the blocks, apply them, and take the gradients."""
    vectors = _NUMBER * _BATCH * (basis.space.m + basis.space.k)
    products = _PRODUCTS * _MULTIPLICATION * _BATCH * coordinates.multiplications
    return _CALLS + _BLOCK_ENTRY * basis.rank + vectors + products
