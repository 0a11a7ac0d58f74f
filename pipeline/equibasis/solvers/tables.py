"""The basis of Hom_G(V, W) for one pair of orbit types, as one small table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from scipy import sparse

from equibasis.errors import EquibasisError
from equibasis.linalg.memory import refuse_beyond_memory
from equibasis.solvers.constraints import commutator
from equibasis.symmetry.constructions import algebra_part
from equibasis.symmetry.hom_space import HomSpace
from equibasis.symmetry.representations import PermutationRepresentation, signs_of

# Entries that are treated at once: enough to outweigh a loop in Python, few enough for the cache.
_AT_ONCE = 2**20

# Bytes that an entry of a sparse matrix takes while it is made.
BYTES_AN_ENTRY = 48

# How far rounding may move an entry of an orbit from 1 / √size.
_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class OrbitTable:
    """Orbits of the pairs (p, q) of points of two types, by the row of p = 0 alone.

    Every orbit of pairs passes through that row, since G moves p = 0 to any other point. Column j
    of the basis is ± 1 / √size wherever the pair is in orbit j.

    Attributes
    ----------
    rows
        How many points p there are.
    labels
        The orbit of each pair (0, q), numbered as they first occur, -1 for pairs that the group
        maps to their own negative: int32 (t,).
    signs
        ±1, int8 (t,), +1 where a label first occurs; ``None`` where all are +1.
    """

    rows: int
    labels: np.ndarray
    signs: np.ndarray | None = None

    def __post_init__(self) -> None:
        _check_array(self.labels, np.int32, 1, "labels")
        if self.signs is not None:
            _check_array(self.signs, np.int8, 1, "signs")

    def fits(self, k: int, m: int) -> bool:
        """Whether it is of maps from R^m to R^k."""
        signs = self.labels if self.signs is None else self.signs
        return self.rows == k and len(self.labels) == len(signs) == m

    @cached_property
    def rank(self) -> int:
        """How many orbits there are."""
        return int(self.labels.max(initial=-1)) + 1

    @cached_property
    def sizes(self) -> np.ndarray:
        """How many pairs each orbit has, int64 (r,)."""
        counts = np.bincount(self.labels[self.labels >= 0], minlength=self.rank)
        return self.rows * counts.astype(np.int64)

    @property
    def entries(self) -> int:
        """How many entries of the basis are not zero."""
        return int(self.sizes.sum())


@dataclass(frozen=True, eq=False)
class MatrixTable:
    """A basis of Hom_G(V, W) as a matrix.

    Attributes
    ----------
    values
        Column j is vec(W_j), row-major: float64 (dim W · dim V, r).
    """

    values: np.ndarray

    def __post_init__(self) -> None:
        _check_array(self.values, np.float64, 2, "values")

    def fits(self, k: int, m: int) -> bool:
        """Whether it is of maps from R^m to R^k."""
        return len(self.values) == k * m

    @property
    def rank(self) -> int:
        """r, how many columns there are."""
        return int(self.values.shape[1])

    @cached_property
    def sizes(self) -> np.ndarray:
        """How many entries of each column are not zero, int64 (r,)."""
        return np.count_nonzero(self.values, axis=0)

    @property
    def entries(self) -> int:
        """How many entries of the basis are not zero."""
        return int(self.sizes.sum())


Table: TypeAlias = OrbitTable | MatrixTable


def _check_array(array: object, dtype: type, axes: int, what: str) -> None:
    if type(array) is not np.ndarray or array.dtype != dtype or array.ndim != axes:
        raise EquibasisError(
            f"the {what} of a table are an array of {np.dtype(dtype)} with {axes} axes, "
            f"not {type(array).__name__} of {getattr(array, 'dtype', 'no type')}"
        )


def schreier_tree(
    rho: PermutationRepresentation, generators: Sequence[int]
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """How generators reach every point of an orbit from point 0, each once.

    Yields
    ------
    tuple
        An element g and points: ``index[g, parents] = children``; parents were reached before.
    """
    reached = np.zeros(rho.dimension, dtype=bool)
    reached[0] = True
    frontier = np.zeros(1, dtype=np.int64)
    while len(frontier):
        fresh = []
        for g in generators:
            images = rho.index[g, frontier]
            new = ~reached[images]
            if new.any():
                reached[images[new]] = True
                fresh.append(images[new])
                yield g, frontier[new], images[new]
        frontier = np.concatenate([np.zeros(0, dtype=np.int64), *fresh])


def all_rows(
    table: OrbitTable,
    input_: PermutationRepresentation,
    output: PermutationRepresentation,
    generators: Sequence[int],
) -> tuple[np.ndarray, np.ndarray | None]:
    """Labels and signs of all pairs (p, q), from those of p = 0.

    For W in Hom_G, W[index₂[g, p], index₁[g, q]] = signs₂[g, p] signs₁[g, q] W[p, q].

    Returns
    -------
    labels, signs
        int16 or int32 (rows, t), and int8 (rows, t) or ``None`` where all are +1.
    """
    t = input_.dimension
    refuse_beyond_memory(4.0 * table.rows * t, "the table of a pair of orbit types")
    labels = np.empty((table.rows, t), dtype=np.int16 if table.rank < 2**15 else np.int32)
    labels[0] = table.labels
    signed = any(each.signs is not None for each in (table, input_, output))
    signs = None
    if signed:
        signs = np.empty((table.rows, t), dtype=np.int8)
        signs[0] = 1 if table.signs is None else table.signs
    inverse = np.argsort(input_.index[list(generators)], axis=1)
    back = dict(zip(generators, inverse, strict=True))
    step, reached = max(1, _AT_ONCE // t), 1
    for g, parents, children in schreier_tree(output, generators):
        reached += len(children)
        for start in range(0, len(parents), step):
            parent, child = parents[start : start + step], children[start : start + step]
            labels[child] = labels[parent].take(back[g], axis=1)
            if signs is not None:
                turned = signs[parent] * signs_of(input_)[g]
                turned *= signs_of(output)[g, parent, None]
                signs[child] = turned.take(back[g], axis=1)
    if reached < table.rows:
        raise EquibasisError("the points of an orbit type are not one orbit")
    if signs is not None:
        signs[labels < 0] = 1
        if (signs > 0).all():
            signs = None
    return labels, signs


def numbered_by_row(first: np.ndarray, signs: np.ndarray | None, rows: int) -> OrbitTable:
    """A table from the lowest point q of the orbit of each (0, q), -1 for none.

    ``signs`` int8 (t,) is relative to that point, or ``None``.
    """
    is_first = first == np.arange(len(first))
    number = (np.cumsum(is_first) - 1).astype(np.int32)
    labels = np.where(first < 0, -1, number[first]).astype(np.int32)
    if signs is not None:
        signs = np.where(labels < 0, 1, signs).astype(np.int8)
        if (signs > 0).all():
            signs = None
    return OrbitTable(rows, labels, signs)


def table_of(space: HomSpace, matrix: np.ndarray | sparse.csc_array) -> Table:
    """The table of a canonical basis of Hom_G(V, W), given as a matrix (dim W · dim V, r).

    Raises
    ------
    EquibasisError
        If it is no table of orbits, though V and W are permuted.
    """
    input_, output = space.input, space.output
    if not (
        isinstance(input_, PermutationRepresentation)
        and isinstance(output, PermutationRepresentation)
    ):
        return MatrixTable(matrix if isinstance(matrix, np.ndarray) else matrix.toarray())
    matrix = sparse.csc_array(matrix)
    t = input_.dimension
    in_row = sparse.csr_array(matrix[:t])
    if (np.diff(in_row.indptr) > 1).any():
        raise EquibasisError("the basis of a space of permutations is not made of orbits")
    entry = np.asarray(in_row.sum(axis=1))
    column = np.full(t, -1, dtype=np.int64)
    column[np.diff(in_row.indptr) > 0] = in_row.indices
    distinct, lowest, which = np.unique(column, return_index=True, return_inverse=True)
    first = np.where(column < 0, -1, lowest[which])
    signs = np.sign(entry * entry[np.maximum(first, 0)])
    table = numbered_by_row(first, np.where(first < 0, 1, signs), output.dimension)
    # Column j of the matrix is orbit number[j] of the table.
    number = np.full(matrix.shape[1], -1)
    number[distinct[distinct >= 0]] = table.labels[lowest[distinct >= 0]]
    rebuilt = matrix_of(table, space)
    ordered = np.argsort(number, kind="stable")
    flips = np.sign(entry[lowest[distinct >= 0]])[np.argsort(number[distinct[distinct >= 0]])]
    if (number < 0).any() or rebuilt.shape != matrix.shape:
        raise EquibasisError("the basis of a space of permutations is not made of orbits")
    flipped = matrix[:, ordered] @ sparse.diags_array(flips)
    off = float(np.abs((rebuilt - flipped).data).max(initial=0.0))
    if off > _ROUNDING:
        raise EquibasisError(f"the basis of a space of permutations is not made of orbits: {off}")
    return table


def matrix_of(table: Table, space: HomSpace) -> sparse.csc_array:
    """The basis as a sparse matrix (dim W · dim V, r), columns orthonormal.

    Raises
    ------
    EquibasisError
        If it does not fit in memory.
    """
    refuse_beyond_memory(BYTES_AN_ENTRY * table.entries, "the matrix of a pair of orbit types")
    if isinstance(table, MatrixTable):
        return sparse.csc_array(table.values)
    input_, output = space.input, space.output
    assert isinstance(input_, PermutationRepresentation)
    assert isinstance(output, PermutationRepresentation)
    labels, signs = all_rows(table, input_, output, space.generating)
    rows = np.flatnonzero(labels >= 0)
    column = labels.ravel()[rows]
    values = 1.0 / np.sqrt(table.sizes[column])
    if signs is not None:
        values *= signs.ravel()[rows]
    shape = table.rows * len(table.labels), table.rank
    return sparse.csc_array((values, (rows, column)), shape=shape)


def largest_change(table: Table, space: HomSpace) -> float:
    """max |ρ₂(g) W ρ₁(g⁻¹) - W| over columns W and elements g that generate the group.

    Of the Lie algebra, max |dρ₂(A) W - W dρ₁(A)| over the largest entry of dρ₁(A) and dρ₂(A).
    """
    if isinstance(table, OrbitTable):
        return _orbits_changed(table, space)
    if not table.rank:
        return 0.0
    worst, shape = 0.0, (space.k, space.m, table.rank)
    discrete = space.input.order - space.continuous
    for g in space.generating[: None if space.complete else discrete]:
        moved = space.output.apply(g, table.values.reshape(shape))
        moved = space.input.inverse.matrix(g).T @ moved.transpose(1, 0, 2).reshape(space.m, -1)
        moved = moved.reshape(space.m, space.k, -1).transpose(1, 0, 2).reshape(table.values.shape)
        worst = max(worst, float(np.abs(moved - table.values).max(initial=0.0)))
    return max(worst, _moved_by_algebra(table, space))


def _moved_by_algebra(table: MatrixTable, space: HomSpace) -> float:
    """The same of the Lie algebra elements listed."""
    worst = 0.0
    (kept,) = np.nonzero(table.values.any(axis=1))
    values = table.values[kept]
    parts = [algebra_part(rho, space.continuous) for rho in (space.input, space.output)]
    for on_input, on_output in zip(*parts, strict=True):
        scale = max(abs(on_input).max(), abs(on_output).max())
        if scale:
            demanded = sparse.csr_array(commutator(on_input, on_output, kept))
            demanded = demanded[np.diff(demanded.indptr) > 0]
            step = max(1, _AT_ONCE // max(1, demanded.shape[0]))
            for start in range(0, table.rank, step):
                moved = demanded @ np.ascontiguousarray(values[:, start : start + step])
                worst = max(worst, float(np.abs(moved).max(initial=0.0) / scale))
    return worst


def _orbits_changed(table: OrbitTable, space: HomSpace) -> float:
    """The same for orbits: where an element moves a pair into another orbit, or to its negative."""
    magnitude = np.append(1.0 / np.sqrt(table.sizes), 0.0)
    worst = 0.0
    for moved in wrong_moves(table, space):
        one, other = moved.here[moved.wrong], moved.there[moved.wrong]
        both = magnitude[one], magnitude[other]
        off = np.where(one == other, both[0] + both[1], np.maximum(*both))
        worst = max(worst, float(off.max()))
    return worst


@dataclass(frozen=True, eq=False)
class WrongMove:
    """Pairs (p, q), some rows of them, that an element moves elsewhere than a table says.

    Attributes
    ----------
    element
        Its position.
    rows
        Which p, int64 (n,).
    here, there
        The labels of the pairs and of their images, (n, t).
    wrong
        Where these differ, or the signs do: bool (n, t).
    """

    element: int
    rows: np.ndarray
    here: np.ndarray
    there: np.ndarray
    wrong: np.ndarray


def wrong_moves(table: OrbitTable, space: HomSpace) -> Iterator[WrongMove]:
    """Whether every element that generates the group leaves the orbits of a table where they are.

    Yields
    ------
    WrongMove
        For some rows and an element, where it does not.
    """
    input_, output = space.input, space.output
    assert isinstance(input_, PermutationRepresentation)
    assert isinstance(output, PermutationRepresentation)
    labels, signs = all_rows(table, input_, output, space.generating)
    signed = any(each is not None for each in (signs, input_.signs, output.signs))
    step = max(1, _AT_ONCE // labels.shape[1])
    for g in space.generating:
        for start in range(0, table.rows, step):
            rows = np.arange(start, min(start + step, table.rows))
            here, images = labels[rows], output.index[g, rows]
            there = labels[images].take(input_.index[g], axis=1)
            wrong = here != there
            if signed:
                flips = signs_of(input_)[g] * signs_of(output)[g, rows, None]
                if signs is not None:
                    flips = flips * signs[rows] * signs[images].take(input_.index[g], axis=1)
                wrong |= (flips < 0) & (here >= 0)
            if wrong.any():
                yield WrongMove(g, rows, here, there, wrong)
