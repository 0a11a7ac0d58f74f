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
from equibasis.symmetry.pair_orbits import numbered
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
            if np.array_equal(self.signs, np.ones_like(self.labels)):
                object.__setattr__(self, "signs", None)

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


def all_rows(table: OrbitTable, space: HomSpace) -> tuple[np.ndarray, np.ndarray | None]:
    """Labels and signs of all pairs (p, q), from those of p = 0.

    For W in Hom_G, W[index₂[g, p], index₁[g, q]] = signs₂[g, p] signs₁[g, q] W[p, q].

    Returns
    -------
    labels, signs
        int16 or int32 (rows, t), and int8 (rows, t) or ``None`` where all are +1.
    """
    input_, output = space.permutations
    t = input_.dimension
    refuse_beyond_memory(4.0 * table.rows * t, "the table of a pair of orbit types")
    labels = np.empty((table.rows, t), dtype=np.int16 if table.rank < 2**15 else np.int32)
    labels[0] = table.labels
    signs = None
    if any(each.signs is not None for each in (table, input_, output)):
        signs = np.ones((table.rows, t), dtype=np.int8)
        signs[0] = 1 if table.signs is None else table.signs
    inverse = np.argsort(input_.index[list(space.generating)], axis=1)
    back = dict(zip(space.generating, inverse, strict=True))
    step, reached = max(1, _AT_ONCE // t), 1
    for g, parents, children in schreier_tree(output, space.generating):
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
    """Return a table from the lowest point q of the orbit of each (0, q), -1 for none.

    ``signs`` int8 (t,) is relative to that point, or ``None``.
    """
    labels = numbered(first).astype(np.int32)
    if signs is not None:
        signs = np.where(labels < 0, 1, signs).astype(np.int8)
    return OrbitTable(rows, labels, signs)


def table_of(space: HomSpace, matrix: np.ndarray | sparse.csc_array) -> Table:
    """Return the table of a canonical basis of Hom_G(V, W), given as a matrix (dim W · dim V, r).

    Its columns, positive at their pivots and ordered by them, are orbits as they first occur.

    Raises
    ------
    EquibasisError
        If it is no table of orbits, though V and W are permuted.
    """
    if not space.is_permuted:
        return MatrixTable(matrix if isinstance(matrix, np.ndarray) else matrix.toarray())
    matrix = sparse.csc_array(matrix)
    in_row = sparse.csr_array(matrix[: space.m])
    counts = np.diff(in_row.indptr)
    if (counts > 1).any():
        raise EquibasisError("the basis of a space of permutations is not made of orbits")
    labels = np.full(space.m, -1, dtype=np.int32)
    labels[counts > 0] = in_row.indices
    signs = np.where(np.asarray(in_row.sum(axis=1)) < 0, -1, 1).astype(np.int8)
    table = OrbitTable(space.k, labels, signs)
    rebuilt = matrix_of(table, space)
    same = rebuilt.shape == matrix.shape
    if not same or np.abs((rebuilt - matrix).data).max(initial=0.0) > _ROUNDING:
        raise EquibasisError("the basis of a space of permutations is not made of orbits")
    return table


def matrix_of(table: Table, space: HomSpace) -> sparse.csc_array:
    """Return the basis as a sparse matrix (dim W · dim V, r), columns orthonormal.

    Raises
    ------
    EquibasisError
        If it does not fit in memory.
    """
    refuse_beyond_memory(BYTES_AN_ENTRY * table.entries, "the matrix of a pair of orbit types")
    if isinstance(table, MatrixTable):
        return sparse.csc_array(table.values)
    labels, signs = all_rows(table, space)
    rows = np.flatnonzero(labels >= 0)
    column = labels.ravel()[rows]
    values = 1.0 / np.sqrt(table.sizes[column])
    if signs is not None:
        values *= signs.ravel()[rows]
    shape = table.rows * len(table.labels), table.rank
    return sparse.csc_array((values, (rows, column)), shape=shape)


def orthonormality_error(table: Table) -> float:
    """max |BᵀB - I|."""
    if isinstance(table, OrbitTable):
        norms = table.sizes * (1 / np.sqrt(table.sizes)) ** 2
        return float(np.abs(norms - 1.0).max(initial=0.0))
    gram = table.values.T @ table.values
    return float(np.abs(gram - np.eye(table.rank)).max(initial=0.0))


def largest_change(table: Table, space: HomSpace) -> float:
    """max |ρ₂(g) W ρ₁(g⁻¹) - W| over columns W and elements g that generate the group.

    Of the Lie algebra, max |dρ₂(A) W - W dρ₁(A)| over the largest entry of dρ₁(A) and dρ₂(A).
    """
    if isinstance(table, OrbitTable):
        return max((move.error for move in wrong_moves(table, space)), default=0.0)
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
    """max |dρ₂(A) W - W dρ₁(A)| over columns W and A, over the largest entry of both matrices."""
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


@dataclass(frozen=True, eq=False)
class WrongMove:
    """The pairs of a row p, which an element moves elsewhere than a table says, some of them.

    Attributes
    ----------
    here, there
        The labels of the pairs and of their images, (t,).
    turned
        The signs of the images relative to them, int8 (t,).
    error
        The largest, of this row and some after it.
    """

    here: np.ndarray
    there: np.ndarray
    turned: np.ndarray
    error: float


def wrong_moves(table: OrbitTable, space: HomSpace, most: int | None = None) -> Iterator[WrongMove]:
    """Whether every element that generates the group leaves the orbits of a table where they are.

    Yields
    ------
    WrongMove
        For some rows and an element where it does not, ``most`` times an element.
    """
    input_, output = space.permutations
    labels, signs = all_rows(table, space)
    magnitude = np.append(1.0 / np.sqrt(table.sizes), 0.0)
    step = max(1, _AT_ONCE // labels.shape[1])
    signed = any(each is not None for each in (signs, input_.signs, output.signs))
    turned = np.broadcast_to(np.int8(1), (step, labels.shape[1]))
    for g in space.generating:
        found = 0
        for start in range(0, table.rows, step):
            rows = slice(start, start + step)
            here, images = labels[rows], output.index[g, rows]
            there = labels[images].take(input_.index[g], axis=1)
            wrong = here != there
            if signed:
                turned = signs_of(input_)[g] * signs_of(output)[g, rows, None]
                if signs is not None:
                    turned = turned * signs[rows] * signs[images].take(input_.index[g], axis=1)
                wrong |= (turned < 0) & (here >= 0)
            if wrong.any():
                row = int(wrong.any(axis=1).argmax())
                one, other = magnitude[here[wrong]], magnitude[there[wrong]]
                # A pair is in another orbit, or in its own with the other sign.
                off = np.where(here[wrong] == there[wrong], one + other, np.maximum(one, other))
                # Copies: views would keep all of the labels in memory.
                first = here[row].copy(), there[row].copy(), turned[row].copy()
                yield WrongMove(*first, float(off.max()))
                if (found := found + 1) == most:
                    break
