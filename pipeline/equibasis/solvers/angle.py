"""How far apart two subspaces are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from equibasis.errors import EquibasisError
from equibasis.linalg.components import diagonal_blocks
from equibasis.solvers.basis import TOLERANCE, Basis, check_is_basis
from equibasis.solvers.blocks import Block
from equibasis.solvers.tables import MatrixTable, matrix_of
from equibasis.symmetry.constructions import same_representation
from equibasis.symmetry.summands import Summand


def subspace_angle(a: Basis, b: Basis) -> float:
    """Return the largest principal angle between the spans of two bases of one rank, in radians.

    sin θ = ‖A - B BᵀA‖₂, which unlike the cosine keeps its digits near zero. Where both split
    into the same copies of types, the largest of the angles between their tables.
    Source: Björck and Golub (1973), *Numerical methods for computing angles between subspaces*.

    Raises
    ------
    EquibasisError
        If they are of different ranks, or of maps between different numbers of coordinates.
    """
    for each in (a, b):
        check_is_basis(each)
    if (a.space.m, a.space.k) != (b.space.m, b.space.k):
        raise EquibasisError(
            f"maps {a.space} and {b.space} lie in no one space: they have no angle"
        )
    if a.rank != b.rank:
        raise EquibasisError(
            f"subspaces of {a.rank} and of {b.rank} dimensions in {a.space.dimension} have no "
            "angle: compare bases of one rank"
        )
    ones, others = a.space.types, b.space.types
    if same_summands(ones.input, others.input) and same_summands(ones.output, others.output):
        pairs = [
            (one, other)
            for one, other in zip(a.blocks, b.blocks, strict=True)
            if not _same_columns(one, other)
        ]
        if all(one.table.rank == other.table.rank for one, other in pairs):
            angles = (
                _angle(matrix_of(one.table, one.space), matrix_of(other.table, other.space))
                for one, other in pairs
            )
            return max(angles, default=0.0)
    return _angle(a.matrix, b.matrix)


def _angle(first: sparse.csc_array, second: sparse.csc_array) -> float:
    rest = first - second @ (second.T @ first)
    frobenius = float(np.linalg.norm(rest.data))
    if frobenius < TOLERANCE:
        return frobenius  # an upper bound; what is left is rounding
    gram = (rest.T @ rest / frobenius**2).tocsr()
    largest = max(
        np.linalg.eigvalsh(blocks.values).max(initial=0.0) for blocks in diagonal_blocks(gram)
    )
    return float(np.arcsin(min(1.0, frobenius * np.sqrt(largest))))


def same_summands(a: Sequence[Summand], b: Sequence[Summand]) -> bool:
    """Whether two spaces fall into the same copies, whatever their types."""
    return len(a) == len(b) and all(
        np.array_equal(one.index, other.index) and same_array(one.signs, other.signs)
        for one, other in zip(a, b, strict=True)
    )


def _same_columns(a: Block, b: Block) -> bool:
    """Whether two tables are seen to be one without a matrix of either."""
    one, other = a.table, b.table
    if isinstance(one, MatrixTable) or isinstance(other, MatrixTable):
        values = [each.values for each in (one, other) if isinstance(each, MatrixTable)]
        return len(values) == 2 and np.array_equal(values[0], values[1])
    if not (np.array_equal(one.labels, other.labels) and same_array(one.signs, other.signs)):
        return False
    # Other rows follow from the first where both are moved by one group.
    return one.rows == 1 or (
        same_representation(a.space.input, b.space.input)
        and same_representation(a.space.output, b.space.output)
    )


def same_array(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    """Whether both are equal, or both are ``None``."""
    return (a is None) == (b is None) and (a is None or b is None or np.array_equal(a, b))
