"""`kernel`: any representation; the null space of what the generators demand of W.

W is equivariant where each C vec(W) = 0: C W = dρ₂(A) W - W dρ₁(A) for an orthonormal basis of the
Lie algebra, and ρ₂(h) W - W ρ₁(h) for the discrete elements. The null space of Ω = Σ CᵀC is found
block by block; the elements are never listed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import expm_multiply

from equibasis.linalg.canonical import canonical_factor, without_rounding
from equibasis.linalg.components import touching
from equibasis.linalg.exact import annihilates, canonical_columns, integral_basis
from equibasis.linalg.kernel import null_spaces
from equibasis.solvers.constraints import (
    WholeConstraints,
    constraints,
    generators,
    whole_constraints,
)
from equibasis.solvers.interface import Cost, Solver, no_obstacle
from equibasis.solvers.reynolds import known_rank
from equibasis.solvers.tables import MatrixTable, Table, table_of
from equibasis.symmetry.hom_space import HomSpace
from equibasis.symmetry.representations import Representation

# Spaces of maps so small that leaving out coordinates gains nothing.
_SMALL = 1000

# How far a half turn may be from a diagonal matrix of signs.
_HALF_TURN = 1e-6

# Columns that are made exact together: their number's cube is what it takes.
_MOST_EXACT = 256

# Seed of the random vectors of a second computation.
_OTHER_SEED = 2**20

# Entries that are no more than this share of the largest are rounding.
_ROUNDING = 1e-13


def cost(space: HomSpace) -> Cost:
    """Count the constraints and, where the rank is known, the basis with what it is made of."""
    n = float(space.dimension)
    entries = n * space.output.order * (space.input.row_entries + space.output.row_entries)
    columns = n * (known_rank(space) or 0)
    return Cost(60 * entries + 24 * columns, 1e-2 + 4e-7 * entries + 2e-7 * columns)


def solve(space: HomSpace) -> Table:
    """Return the canonical basis, from orthonormal bases of the blocks of the null space.

    Where the generators are made of fractions, or of their square roots as in symmetric powers, it
    is the exact one, each entry rounded once.
    """
    rank = known_rank(space)
    if rank == 0:
        return table_of(space, np.zeros((space.dimension, 0)))
    alive, operator = _operator(space)
    whole = whole_constraints(space, alive)
    parts = []
    for kept, basis in null_spaces(operator, rank):
        for part in _canonical(kept, basis):
            exact = None if whole is None else _exact(part, whole)
            parts.append(part if exact is None else exact)
    return table_of(space, _side_by_side(parts, alive, space.dimension))


def is_exact(table: MatrixTable, space: HomSpace) -> bool:
    """Whether a canonical basis is the exact one, each entry rounded once, proved from itself.

    A basis of whole numbers N is read off the columns, C N = 0 holds in integers, and what follows
    from N is the table to the last bit.
    """
    (kept,) = np.nonzero(table.values.any(axis=1))
    whole = whole_constraints(space, kept)
    if whole is None:
        return False
    parts = []
    for part in _canonical(np.arange(len(kept)), table.values[kept]):
        exact = _exact(part, whole)
        if exact is None:
            return False
        parts.append(exact)
    return np.array_equal(_side_by_side(parts, kept, space.dimension), table.values)


def _side_by_side(parts: Sequence[_Part], rows: np.ndarray, dimension: int) -> np.ndarray:
    """All columns, by their pivots: float64 (dimension, r). Parts count among ``rows`` alone."""
    pivots = np.concatenate([np.zeros(0, dtype=np.int64), *(part.pivots for part in parts)])
    places = np.split(np.argsort(np.argsort(pivots)), np.cumsum([len(p.pivots) for p in parts]))
    values = np.zeros((dimension, len(pivots)))
    for part, columns in zip(parts, places, strict=False):
        values[rows[part.rows][:, None], columns] = part.values
    return values


@dataclass(frozen=True, eq=False)
class _Part:
    """Columns of the canonical basis that touch each other.

    Attributes
    ----------
    rows
        Where they may be other than zero, ascending int64 (s,).
    values
        float64 (s, r).
    pivots
        Of each column, int64 (r,).
    """

    rows: np.ndarray
    values: np.ndarray
    pivots: np.ndarray


def _canonical(kept: np.ndarray, basis: np.ndarray) -> Iterator[_Part]:
    """Yield the canonical basis of a span, from an orthonormal one, (s, r), on rows ``kept``."""
    factor, pivot = canonical_factor(basis)
    for rows, columns in touching(sparse.csr_array(factor)):
        yield _Part(kept[rows], factor[np.ix_(rows, columns)], kept[pivot[columns]])


def _exact(part: _Part, whole: WholeConstraints) -> _Part | None:
    """Round each entry once, where an integral basis is found and proved."""
    if len(part.pivots) > _MOST_EXACT:
        return None
    squares = whole.squares[part.rows]
    integral = integral_basis(part.values / np.sqrt(squares)[:, None])
    constraints_here = [each[:, part.rows] for each in whole.constraints]
    if integral is None or not annihilates(constraints_here, integral):
        return None
    pivots = np.searchsorted(part.rows, part.pivots)
    values = canonical_columns(integral, squares, pivots)
    return None if values is None else _Part(part.rows, without_rounding(values), part.pivots)


def nullity(space: HomSpace) -> int:
    """How many independent maps there are, from other random vectors than `solve` takes."""
    _, operator = _operator(space)
    return sum(basis.shape[1] for _, basis in null_spaces(operator, seed=_OTHER_SEED))


def _operator(space: HomSpace) -> tuple[np.ndarray, sparse.csr_array]:
    """Coordinates of vec(W) that no diagonal element makes zero, and Ω on them."""
    (kept,) = np.nonzero(_unmoved(space))
    rows = [sparse.csc_array((0, len(kept))), *constraints(space, kept)]
    stacked = sparse.csr_array(sparse.vstack(rows))
    stacked = stacked[np.diff(stacked.indptr) > 0]
    operator = sparse.csr_array(stacked.T @ stacked)
    operator.data[np.abs(operator.data) <= _ROUNDING * np.abs(operator.data).max(initial=0.0)] = 0.0
    operator.eliminate_zeros()
    return kept, operator


def _unmoved(space: HomSpace) -> np.ndarray:
    """Coordinates of vec(W) that every diagonal element of the group leaves alone, bool (km,).

    Diagonal are some generators, and for rotations A with whole eigenvalues exp(πA) may be.
    """
    unmoved = np.ones((space.k, space.m), dtype=bool)
    for on_input, on_output in generators(space):
        if _is_diagonal(on_input) and _is_diagonal(on_output):
            of_output, of_input = on_output.diagonal(), on_input.diagonal()
            scale = max(np.abs(of_output).max(), np.abs(of_input).max())
            unmoved &= np.abs(of_output[:, None] - of_input) <= _ROUNDING * scale
    if space.dimension <= _SMALL:
        return unmoved.ravel()
    of_input = _half_turns(space.input)
    of_output = of_input if space.input is space.output else _half_turns(space.output)
    for a in of_input.keys() & of_output.keys():
        unmoved &= of_output[a][:, None] == of_input[a]
    return unmoved.ravel()


def _is_diagonal(matrix: sparse.csr_array) -> bool:
    return bool(np.count_nonzero(matrix.diagonal()) == matrix.count_nonzero())


def _half_turns(rho: Representation) -> dict[int, np.ndarray]:
    """Of antisymmetric dρ(A) the diagonals of exp(π dρ(A)) that are diagonal with entries ±1.

    Seen from what they do to two random vectors. By the position of A in the algebra.
    """
    if not rho.algebra:
        return {}
    side_by_side = sparse.block_diag(rho.algebra, format="csr")
    vectors = np.random.RandomState(0).standard_normal((side_by_side.shape[0], 2))
    antisymmetric = abs(side_by_side + side_by_side.T).sum(axis=1) == 0
    moves = sparse.diags_array(np.pi * antisymmetric) @ side_by_side
    signs = expm_multiply(moves, vectors, traceA=0.0) / vectors
    nearest = np.rint(signs[:, :1])
    off = np.abs(signs - nearest) + 2 * (np.abs(nearest) != 1) + ~antisymmetric[:, None]
    count = len(rho.algebra)
    (found,) = np.nonzero(off.reshape(count, -1).max(axis=1) < _HALF_TURN)
    return {a: nearest.reshape(count, -1)[a].astype(np.int8) for a in found.tolist()}


SOLVER = Solver(
    "kernel",
    "the null space of what generators demand, without listing elements",
    no_obstacle,
    cost,
    solve,
)
