"""The Basis: what a solver returns and a file holds, and the checks that hold it to account."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

from equibasis.errors import EquibasisError
from equibasis.linalg.columns import OrbitColumns, label_type
from equibasis.linalg.components import diagonal_blocks
from equibasis.linalg.memory import refuse_beyond_memory
from equibasis.solvers.orbits import SOLVER as ORBITS
from equibasis.solvers.reynolds import hom_dimension
from equibasis.solvers.tables import (
    MatrixTable,
    OrbitTable,
    Table,
    all_rows,
    largest_change,
    matrix_of,
)
from equibasis.symmetry.hom_space import HomSpace
from equibasis.symmetry.orbit_types import Summand
from equibasis.symmetry.representations import (
    PermutationRepresentation,
    same_representation,
)
from equibasis.symmetry.spaces import Shape

# The largest error that a basis may have: rounding leaves about 1e-15, a wrong basis about 1.
TOLERANCE = 1e-10

# Bytes that an entry of the basis matrix takes while it is made.
_BYTES_AN_ENTRY = 48


@dataclass(frozen=True)
class Checks:
    """How well a basis satisfies its definition.

    Attributes
    ----------
    orthonormality_error
        max |BᵀB - I|.
    equivariance_error
        max |ρ₂(g) W ρ₁(g⁻¹) - W| over columns W and elements g that generate the group.
    rank_expected
        dim Hom_G(X, Y) from characters; where only generators are listed, orbits counted anew.
    """

    orthonormality_error: float
    equivariance_error: float
    rank_expected: int


@dataclass(frozen=True, eq=False)
class Block:
    """The part of a basis between all copies of two types: R^d ⊗ R^c ⊗ Hom_G(V, W).

    Attributes
    ----------
    space
        Hom_G(V, W).
    output, input
        The d copies of W in Y, and the c copies of V in X.
    table
        The basis of Hom_G(V, W), of rank r.
    start
        Column (b, a, j), of copy b of W, copy a of V and column j of the table, is column
        ``start + (b c + a) r + j`` of the basis.
    """

    space: HomSpace
    output: Summand
    input: Summand
    table: Table
    start: int

    def __post_init__(self) -> None:
        if not self.table.fits(self.space.k, self.space.m):
            raise EquibasisError(f"a table is of other sizes than {self.space.m} to {self.space.k}")

    @property
    def rank(self) -> int:
        """d c r."""
        return self.output.multiplicity * self.input.multiplicity * self.table.rank

    @property
    def entries(self) -> int:
        """How many entries of these columns are not zero."""
        return self.output.multiplicity * self.input.multiplicity * self.table.entries

    def labels(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Labels and signs of all pairs of points, (dim W, dim V), of a table of orbits."""
        table, input_, output = self.table, self.space.input, self.space.output
        assert isinstance(table, OrbitTable)
        assert isinstance(input_, PermutationRepresentation)
        assert isinstance(output, PermutationRepresentation)
        return all_rows(table, input_, output, self.space.generating)


@dataclass(frozen=True, eq=False)
class Basis:
    """An orthonormal, canonical basis of Hom_G(X, Y), or of the invariants of Y.

    Attributes
    ----------
    space
        Group, spaces and representations.
    tables
        A basis of Hom_G(V, W) for each type W of Y and each type V of X, ``tables[W][V]``, both
        in the order of ``space.types``.
    solver
        Name of the solver that found it; not part of what the basis is.
    checks
        Its errors, measured when it was solved.
    """

    space: HomSpace
    tables: tuple[tuple[Table, ...], ...]
    solver: str
    checks: Checks

    def __post_init__(self) -> None:
        rows = self.tables if isinstance(self.tables, tuple) else (None,)
        if not all(isinstance(row, tuple) for row in rows) or not all(
            isinstance(table, (OrbitTable, MatrixTable)) for row in rows for table in row
        ):
            raise EquibasisError("the tables of a basis are tuples of tuples of tables")

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """The basis, types of Y by types of X."""
        types, start, blocks = self.space.types, 0, []
        for output, row in zip(types.output, self.tables, strict=True):
            for input_, table in zip(types.input, row, strict=True):
                space = self.space.between(input_.type, output.type)
                blocks.append(Block(space, output, input_, table, start))
                start += blocks[-1].rank
        return tuple(blocks)

    @property
    def rank(self) -> int:
        """r, the dimension of the subspace."""
        return sum(block.rank for block in self.blocks)

    @property
    def nonzeros(self) -> int:
        """How many entries of the matrix are not zero."""
        return sum(block.entries for block in self.blocks)

    @property
    def of_orbits(self) -> bool:
        """Whether X and Y are permuted, signs apart, so that columns are orbits of index pairs."""
        return all(isinstance(block.table, OrbitTable) for block in self.blocks)

    @cached_property
    def matrix(self) -> sparse.csc_array:
        """B of shape (k*m, r), float64, `scipy.sparse.csc_array`, made when it is asked for.

        Column j is vec(W_j), row-major: W_j[o, i] = B[o * m + i, j].

        Raises
        ------
        EquibasisError
            If it does not fit in memory.
        """
        self._refuse_beyond_memory(_BYTES_AN_ENTRY * self.nonzeros)
        parts = [self.entries(block) for block in self.blocks]
        rows, columns, values = (np.concatenate(each) for each in zip(*parts, strict=True))
        shape = self.space.dimension, self.rank
        return sparse.csc_array((values, (rows, columns)), shape=shape)

    def entries(
        self, block: Block, columns: int | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows, columns and values of the non-zero entries of a block, of its first columns."""
        rank, c = block.table.rank, block.input.multiplicity
        number = block.rank if columns is None else min(columns, block.rank)
        copies = np.arange(-(-number // max(1, rank)))
        small = matrix_of(block.table, block.space).tocoo()
        p, q = np.divmod(small.row.astype(np.int64), block.input.dimension)
        b, a = np.divmod(copies, c)
        rows = block.output.index[p][:, b] * self.space.m + block.input.index[q][:, a]
        values = np.repeat(small.data[:, None], len(copies), axis=1)
        for summand, point, copy in ((block.output, p, b), (block.input, q, a)):
            if summand.signs is not None:
                values *= summand.signs[point][:, copy]
        column = copies * rank + small.col[:, None].astype(np.int64)
        kept = column < number
        return rows[kept], column[kept] + block.start, values[kept]

    def labels(self, outputs: np.ndarray, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The column that has an entry at some index pairs, -1 for none, and its sign.

        For bases of orbits. Both arrays of whole numbers, of one shape after broadcasting; so are
        the columns, int64, and the signs, int8.
        """
        outputs, inputs = np.broadcast_arrays(outputs, inputs)
        labels, signs = np.full(outputs.shape, -1), np.ones(outputs.shape, dtype=np.int8)
        types = self.space.types
        output, input_ = _whereabouts(types.output), _whereabouts(types.input)
        for number, block in enumerate(self.blocks):
            row, column = divmod(number, len(types.input))
            here = np.nonzero((output.summand[outputs] == row) & (input_.summand[inputs] == column))
            o, i = outputs[here], inputs[here]
            small, turned = block.labels()
            place = output.point[o], input_.point[i]
            copy = output.copy[o] * block.input.multiplicity + input_.copy[i]
            found = small[place]
            labels[here] = np.where(found < 0, -1, block.start + copy * block.table.rank + found)
            sign = output.sign[o] * input_.sign[i]
            signs[here] = sign if turned is None else sign * turned[place]
        return labels, np.where(labels < 0, 1, signs).astype(np.int8)

    @cached_property
    def columns(self) -> OrbitColumns | sparse.csc_array:
        """The matrix as orbit labels where it is made of orbits, 4 bytes a row; else sparse."""
        if not self.of_orbits:
            return self.matrix
        space, rank = self.space, self.rank
        number = label_type(rank)
        size = np.dtype(number).itemsize
        self._refuse_beyond_memory((size + 1) * space.dimension)
        labels = np.full((space.k, space.m), -1, dtype=number)
        sizes = np.empty(rank, dtype=np.int64)
        signs = np.ones((space.k, space.m), dtype=np.int8)
        for block in self.blocks:
            table, d, c = block.table, block.output.multiplicity, block.input.multiplicity
            assert isinstance(table, OrbitTable)
            small, turned = block.labels()
            starts = block.start + np.arange(d * c, dtype=number).reshape(d, c) * table.rank
            sizes[block.start : block.start + block.rank] = np.tile(table.sizes, d * c)
            flips = np.ones(small.shape, dtype=np.int8) if turned is None else turned
            for b in range(d):
                place = np.ix_(block.output.index[:, b], block.input.index.ravel())
                part = np.where(small[:, :, None] < 0, -1, small[:, :, None] + starts[b])
                labels[place] = part.reshape(len(small), -1)
                part = np.repeat(flips[:, :, None], c, axis=2)
                if block.output.signs is not None:
                    part = part * block.output.signs[:, b, None, None]
                if block.input.signs is not None:
                    part = part * block.input.signs
                signs[place] = np.where(small[:, :, None] < 0, 1, part).reshape(len(small), -1)
        flat = None if (signs > 0).all() else signs.ravel()
        return OrbitColumns(labels.ravel(), sizes, flat)

    def _refuse_beyond_memory(self, needed: float) -> None:
        remedy = "use its blocks, which are small"
        refuse_beyond_memory(needed, f"the matrix of {self!r}", remedy=remedy)

    @property
    def kind(self) -> str:
        """``"equivariant"`` or ``"invariant"``."""
        return self.space.kind

    @property
    def group(self) -> str:
        """Name of the group."""
        return self.space.group

    @property
    def input_shape(self) -> Shape:
        """Shape of the arrays in X; ``()`` for invariant vectors."""
        return self.space.input_shape

    @property
    def output_shape(self) -> Shape:
        """Shape of the arrays in Y."""
        return self.space.output_shape

    def __deepcopy__(self, memo: dict[int, Any]) -> Basis:
        """Itself: nothing in it changes, and copies of a network may share it."""
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Without what is made when it is asked for."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def __repr__(self) -> str:
        return f"Basis({self.space}, rank {self.rank}, by {self.solver})"


@dataclass(frozen=True, eq=False)
class _Whereabouts:
    """Of each coordinate of a space: its summand, point, copy and sign, each (n,)."""

    summand: np.ndarray
    point: np.ndarray
    copy: np.ndarray
    sign: np.ndarray


def _whereabouts(summands: Sequence[Summand]) -> _Whereabouts:
    n = sum(each.index.size for each in summands)
    summand, point, copy = np.empty((3, n), dtype=np.int64)
    found = _Whereabouts(summand, point, copy, np.ones(n, dtype=np.int8))
    for number, each in enumerate(summands):
        found.summand[each.index] = number
        found.point[each.index] = np.arange(each.dimension)[:, None]
        found.copy[each.index] = np.arange(each.multiplicity)
        if each.signs is not None:
            found.sign[each.index] = each.signs
    return found


def make_basis(space: HomSpace, tables: Sequence[Sequence[Table]], solver: str) -> Basis:
    """A `Basis` with its errors measured.

    Raises
    ------
    EquibasisError
        If the rank is not the one that the group gives, or an error exceeds `TOLERANCE`.
    """
    basis = Basis(space, tuple(map(tuple, tables)), solver, Checks(0.0, 0.0, 0))
    checks = measure(basis)
    check_errors(basis.rank, checks)
    return Basis(space, basis.tables, solver, checks)


def measure(basis: Basis) -> Checks:
    """The errors of a basis, each from its definition, each pair of types once."""
    orthonormality = equivariance = 0.0
    for block in _distinct(basis):
        orthonormality = max(orthonormality, _orthonormality(block.table))
        equivariance = max(equivariance, largest_change(block.table, block.space))
    return Checks(orthonormality, equivariance, rank_expected(basis.space))


def _distinct(basis: Basis) -> Iterator[Block]:
    """One block for each pair of types and table."""
    seen = set()
    for block in basis.blocks:
        key = block.input.type, block.output.type, id(block.table)
        if key not in seen:
            seen.add(key)
            yield block


def _orthonormality(table: Table) -> float:
    if isinstance(table, OrbitTable):
        norms = table.sizes * (1 / np.sqrt(table.sizes)) ** 2
        return float(np.abs(norms - 1.0).max(initial=0.0))
    gram = table.values.T @ table.values
    return float(np.abs(gram - np.eye(table.rank)).max(initial=0.0))


def rank_expected(space: HomSpace) -> int:
    """dim Hom_G(X, Y) = Σ d c dim Hom_G(V, W), without solving for it."""
    types = space.types

    @functools.cache
    def of_pair(input_: int, output: int) -> int:
        small = space.between(input_, output)
        if small.complete or ORBITS.obstacle(small) is not None:
            return hom_dimension(small)
        # The other way round, from the stabilizer of a point of V.
        return ORBITS.solve(space.between(output, input_)).rank

    if not space.complete and not _permuted(space):
        return rank_expected(space.enumerated)
    return sum(
        output.multiplicity * input_.multiplicity * of_pair(input_.type, output.type)
        for output in types.output
        for input_ in types.input
    )


def _permuted(space: HomSpace) -> bool:
    return all(isinstance(rho, PermutationRepresentation) for rho in space.types.representations)


def check_rank(rank: int, expected: int) -> None:
    """Raise `EquibasisError` unless the rank is the one that the group gives."""
    if rank != expected:
        raise EquibasisError(f"the rank is {rank}, but the characters give {expected}")


def check_errors(rank: int, checks: Checks) -> None:
    """Raise `EquibasisError` unless the rank is the expected one and the errors are rounding."""
    check_rank(rank, checks.rank_expected)
    for what, error in (
        ("the columns are not orthonormal", checks.orthonormality_error),
        ("the columns are not equivariant", checks.equivariance_error),
    ):
        if not error <= TOLERANCE:
            raise EquibasisError(f"{what}: off by {error:.3g}, allowed {TOLERANCE:.0e}")


def check_is_basis(value: object) -> None:
    """Raise `EquibasisError` unless a user's value is a `Basis`."""
    if not isinstance(value, Basis):
        raise EquibasisError(
            f"a Basis is needed, such as solve or load_basis give, not {type(value).__name__}"
        )


def subspace_angle(a: Basis, b: Basis) -> float:
    """The largest principal angle between the spans of two bases of one rank, in radians.

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
    if _same_copies(a, b):
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


def _same_copies(a: Basis, b: Basis) -> bool:
    return all(
        len(one) == len(other) and all(map(same_summand, one, other))
        for one, other in (
            (a.space.types.input, b.space.types.input),
            (a.space.types.output, b.space.types.output),
        )
    )


def same_summand(a: Summand, b: Summand) -> bool:
    """Whether two summands are the same copies, whatever their types."""
    return np.array_equal(a.index, b.index) and same_array(a.signs, b.signs)


def _same_columns(a: Block, b: Block) -> bool:
    """Whether two tables are seen to be one without a matrix of either."""
    one, other = a.table, b.table
    if isinstance(one, OrbitTable) and isinstance(other, OrbitTable):
        # Rows follow from the first where both are moved by one group.
        moved_alike = one.rows == 1 or (
            same_representation(a.space.input, b.space.input)
            and same_representation(a.space.output, b.space.output)
        )
        same_labels = np.array_equal(one.labels, other.labels)
        return moved_alike and same_labels and same_array(one.signs, other.signs)
    return (
        isinstance(one, MatrixTable)
        and isinstance(other, MatrixTable)
        and np.array_equal(one.values, other.values)
    )


def same_array(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    """Whether both are equal, or both are ``None``."""
    return (a is None) == (b is None) and (a is None or b is None or np.array_equal(a, b))
