"""`orbits`: permutation representations; the orbits of G on index pairs, nothing to decompose."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from equibasis.representations import HomSpace, PermutationRepresentation
from equibasis.solvers.interface import Solver


def obstacle(space: HomSpace) -> str | None:
    """Orbits need both representations to be permutations."""
    for side, rho in (("input", space.input), ("output", space.output)):
        if not isinstance(rho, PermutationRepresentation):
            return f"the {side} representation of {space} is not made of permutations"
    return None


def orbit_labels(input_index: np.ndarray, output_index: np.ndarray) -> np.ndarray:
    """The smallest index in the orbit of each pair (o, i) under (o, i) -> (σ₂(g) o, σ₁(g) i).

    Parameters
    ----------
    input_index, output_index
        Integers (|G|, m) and (|G|, k), as in `PermutationRepresentation`.

    Returns
    -------
    numpy.ndarray
        int64 of shape (km,): labels[o * m + i]. W is equivariant exactly where vec(W) is constant
        on each orbit.
    """
    m = input_index.shape[1]
    labels = np.arange(output_index.shape[1] * m).reshape(-1, m)
    for of_output, of_input in zip(output_index, input_index, strict=True):
        np.minimum(labels, of_output[:, None] * m + of_input, out=labels)
    return labels.ravel()


def solve(space: HomSpace) -> sparse.csc_array:
    """One normalized indicator vector an orbit, ordered by the orbit's first index."""
    assert isinstance(space.input, PermutationRepresentation)
    assert isinstance(space.output, PermutationRepresentation)
    labels = orbit_labels(space.input.index, space.output.index)
    firsts, column, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    n = len(labels)
    by_row = sparse.csr_array(
        (1.0 / np.sqrt(sizes[column]), column, np.arange(n + 1)), shape=(n, len(firsts))
    )
    return by_row.tocsc()


SOLVER = Solver("orbits", "the orbits of index pairs; permutations only", obstacle, solve)
