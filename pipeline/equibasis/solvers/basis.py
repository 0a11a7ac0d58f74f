"""The Basis: what a solver returns and a file holds, and the checks that hold it to account."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from importlib import import_module
from typing import Any, SupportsIndex, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from equibasis.errors import EquibasisError, SpaceError
from equibasis.linalg.memory import refuse_beyond_memory
from equibasis.solvers.blocks import Block
from equibasis.solvers.ranks import expected_rank
from equibasis.solvers.tables import (
    BYTES_AN_ENTRY,
    MatrixTable,
    OrbitTable,
    Table,
    largest_change,
    orthonormality_error,
)
from equibasis.symmetry.hom_space import HomSpace
from equibasis.symmetry.spaces import Shape
from equibasis.symmetry.summands import whereabouts

# The largest error that a basis may have: rounding leaves about 1e-15, a wrong basis about 1.
TOLERANCE = 1e-10

# Entries of vectors that are made at once while a basis is walked through.
_AT_ONCE = 2**20

# Bytes that each entry of a map takes while it is projected, or labelled.
_BYTES_PROJECTED, _BYTES_LABELLED = 48.0, 64.0

# For each type of Y a row, for each type of X an entry.
Tables: TypeAlias = tuple[tuple[Table, ...], ...]


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
        dim Hom_G(X, Y), not counted by the solver.
    rank_by
        From what it is known, one of `equibasis.solvers.ranks.MEANS`: ``"characters"``;
        ``"orbits"`` counted from the other side, where only generators are listed; ``"weights"``
        of a continuous group; ``"rank modulo p"`` of the constraints; or ``"null spaces"``, where
        none of these tells, and two computations agree.
    """

    orthonormality_error: float
    equivariance_error: float
    rank_expected: int
    rank_by: str = "characters"


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
    tables: Tables
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

    def __len__(self) -> int:
        """r: a basis is the sequence of its vectors."""
        return self.rank

    def __getitem__(self, number: SupportsIndex | slice) -> np.ndarray:
        """W_j, column j of the matrix, as float64 of shape (k, m); of a slice, (n, k, m).

        >>> from equibasis import solve
        >>> solve("c4", input="3x3", output="1")[1].reshape(3, 3)
        array([[0. , 0.5, 0. ],
               [0.5, 0. , 0.5],
               [0. , 0.5, 0. ]])

        Raises
        ------
        IndexError
            If there is no such vector.
        EquibasisError
            If it does not fit in memory.
        """
        if not isinstance(number, slice):
            j = operator.index(number)
            if not -self.rank <= j < self.rank:
                raise IndexError(f"{self!r} has no vector {j}")
            j %= self.rank
            return self[j : j + 1][0]
        numbers = range(self.rank)[number]
        self._refuse_beyond_memory(8.0 * len(numbers) * self.space.dimension, "some vectors")
        if numbers.step == 1:
            return self._vectors(numbers.start, numbers.stop)
        return np.concatenate([self._vectors(0, 0), *(self._vectors(j, j + 1) for j in numbers)])

    def __iter__(self) -> Iterator[np.ndarray]:
        """W_0, W_1, …, each of shape (k, m)."""
        step = max(1, _AT_ONCE // self.space.dimension)
        for start in range(0, self.rank, step):
            yield from self[start : start + step]

    def _vectors(self, start: int, stop: int) -> np.ndarray:
        found = np.zeros((max(0, stop - start), self.space.k, self.space.m))
        for block in self.blocks:
            first, last = max(0, start - block.start), min(block.rank, stop - block.start)
            if first < last:
                o, i, column, value = block.entries(first, last)
                found[column + block.start - start, o, i] = value
        return found

    def project(self, W: ArrayLike) -> np.ndarray:
        """Return the equivariant map nearest to W: Σ ⟨W_j, W⟩ W_j, which is B Bᵀ vec(W).

        The orthogonal projection onto Hom_G(X, Y). Where a finite group acts by orthogonal
        matrices, it is the mean of ρ₂(g) W ρ₁(g)⁻¹ over the group.

        >>> from equibasis import solve
        >>> solve("c4", output="2x2").project([[4, 0], [0, 0]])
        array([[1., 1.],
               [1., 1.]])

        Parameters
        ----------
        W
            Real numbers of shape (k, m), or of the shape of the arrays in Y, then X, such as
            (6, 6, 14, 14); an invariant basis takes vectors (k,) too.

        Returns
        -------
        numpy.ndarray
            float64, of the shape of W.

        Raises
        ------
        SpaceError
            If W is of another shape.
        EquibasisError
            If W is not of real numbers, or what is computed does not fit in memory.
        """
        given, space = np.asarray(W), self.space
        shapes = dict.fromkeys([(space.k, space.m), (*self.output_shape, *self.input_shape)])
        if given.shape not in shapes and given.shape != (space.dimension,) * (space.m == 1):
            shown = " or ".join(map(str, shapes))
            raise SpaceError(f"{self!r} projects arrays of shape {shown}, not {given.shape}")
        if given.dtype.kind not in "biuf":
            raise EquibasisError(f"{self!r} projects real numbers, not {given.dtype}")
        self._refuse_beyond_memory(_BYTES_PROJECTED * space.dimension, "a projection")
        flat = given.reshape(space.k, space.m).astype(np.float64)
        nearest = np.empty_like(flat)
        for block in self.blocks:
            place = np.ix_(block.output.index.ravel(), block.input.index.ravel())
            nearest[place] = block.projected(flat[place])
        return nearest.reshape(given.shape)

    @property
    def nonzeros(self) -> int:
        """How many entries of the matrix are not zero."""
        return sum(block.copies * block.table.entries for block in self.blocks)

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
        self._refuse_beyond_memory(BYTES_AN_ENTRY * (self.nonzeros + self.rank))
        parts = [self.entries(block) for block in self.blocks]
        rows, columns, values = (np.concatenate(each) for each in zip(*parts, strict=True))
        shape = self.space.dimension, self.rank
        return sparse.csc_array((values, (rows, columns)), shape=shape)

    def entries(
        self, block: Block, columns: int | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows, columns and values of the non-zero entries of a block, of its first columns."""
        o, i, column, value = block.entries(0, block.rank if columns is None else columns)
        return o * self.space.m + i, column + block.start, value

    def labels(self, outputs: np.ndarray, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the column that has an entry at some index pairs, -1 for none, and its sign.

        For bases of orbits. Both arrays of whole numbers, of one shape after broadcasting; so are
        the columns, int64, and the signs, int8.

        Raises
        ------
        EquibasisError
            If the basis is of matrices.
        """
        if not self.of_orbits:
            raise EquibasisError(f"{self!r} is of matrices: its columns are no orbits")
        self._refuse_beyond_memory(_BYTES_LABELLED * np.broadcast(outputs, inputs).size, "labels")
        types, blocks = self.space.types, self.blocks
        output, input_ = whereabouts(types.output), whereabouts(types.input)
        small = [block.labels() for block in blocks]
        column = np.concatenate([labels.ravel() for labels, _ in small])
        turned = np.concatenate(
            [np.ones(labels.size, np.int8) if s is None else s.ravel() for labels, s in small]
        )
        sizes = np.array([labels.size for labels, _ in small])
        start = np.array([block.start for block in blocks])
        rank = np.array([block.table.rank for block in blocks])
        width, copies = np.array([(e.dimension, e.multiplicity) for e in types.input]).T
        row, across = output.summand[outputs], input_.summand[inputs]
        pair = row * len(types.input) + across if len(blocks) > 1 else 0  # most bases are one
        place = (np.cumsum(sizes) - sizes)[pair]
        place += output.point[outputs] * width[across] + input_.point[inputs]
        copy = output.copy[outputs] * copies[across] + input_.copy[inputs]
        found, signs = column[place], output.sign[outputs] * input_.sign[inputs] * turned[place]
        labels = np.where(found < 0, -1, start[pair] + copy * rank[pair] + found)
        return labels, np.where(found < 0, np.int8(1), signs)

    @cached_property
    def columns(self) -> tuple[np.ndarray, np.ndarray]:
        """The `labels` of all index pairs and their signs, row-major, (km,) each."""
        labels, signs = self.labels(np.arange(self.space.k)[:, None], np.arange(self.space.m))
        return labels.ravel(), signs.ravel()

    def _refuse_beyond_memory(self, needed: float, what: str = "the matrix") -> None:
        remedy = "use its blocks, which are small"
        refuse_beyond_memory(needed, f"{what} of {self!r}", remedy=remedy)

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

    def _repr_html_(self) -> str:
        """Show it in a notebook; by name, since pictures are made above."""
        html: str = import_module("equibasis.show.notebook").basis_html(self)
        return html


def make_basis(space: HomSpace, tables: Sequence[Sequence[Table]], solver: str) -> Basis:
    """Return a `Basis` with its errors measured.

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
    """Return the errors of a basis, each from its definition, each pair of types once."""
    orthonormality = equivariance = 0.0
    for block in basis.blocks:
        orthonormality = max(orthonormality, orthonormality_error(block.table))
        equivariance = max(equivariance, largest_change(block.table, block.space.balanced))
    expected = expected_rank(basis.space, basis.tables)
    return Checks(orthonormality, equivariance, expected.rank, expected.by)


def check_errors(rank: int, checks: Checks) -> None:
    """Raise `EquibasisError` unless the rank is the expected one and the errors are rounding."""
    expected, by = checks.rank_expected, checks.rank_by
    if rank != expected:
        gives = "gives" if by.startswith("rank") else "give"
        raise EquibasisError(f"the rank is {rank}, but the {by} {gives} {expected}")
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
