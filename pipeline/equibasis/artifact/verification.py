"""Proving a basis from its numbers alone: cheap checks of everything first, exact ones after.

What is cheap is linear in the size of the basis and its group, so that a basis made to waste time
or memory is refused before it can.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from equibasis.errors import EquibasisError
from equibasis.linalg.canonical import pivoted_cholesky
from equibasis.linalg.columns import Columns, OrbitColumns, in_order, row_blocks
from equibasis.solvers.basis import (
    TOLERANCE,
    Basis,
    Checks,
    check_errors,
    check_is_basis,
    check_rank,
    measure,
)
from equibasis.solvers.reynolds import hom_dimension
from equibasis.symmetry.hom_space import HomSpace
from equibasis.symmetry.representations import PermutationRepresentation

# How far, relative to what is compared, a random probe may be off: far above rounding, far below
# what one wrong entry among a billion does.
_PROBE_TOLERANCE = 1e-9

# The same for coordinates, which no exact check follows: a group's matrices that are exact to
# rounding have coordinates that are, and those of others are off by some multiple of their error.
_COORDINATE_TOLERANCE = 1e-12
_COORDINATE_AMPLIFICATION = 100

# Random vectors that coordinates are held to at once: one alone may happen to hide an error.
_COORDINATE_PROBES = 4

# A space of so many dimensions that its exact checks cost nothing, right or wrong.
_SMALL = 2**12

# Numbers that a check may have in memory for each one of the basis, beyond a first 16 million.
_NUMBERS_AN_ENTRY = 64
_NUMBERS_ALWAYS = 2**24


def verify_basis(basis: Basis) -> Checks:
    """Recheck a basis from scratch, trusting nothing but its numbers.

    The matrices form a group (where all elements are listed); the rank is that which characters
    (or from generators, an independent count) give; every element or generator listed leaves every
    column where it is; the columns are orthonormal, and the canonical ones.

    Returns
    -------
    Checks
        The errors as they are now.

    Raises
    ------
    EquibasisError
        With the first reason why the basis does not hold.
    """
    check_is_basis(basis)
    space, columns = basis.space, basis.columns
    try:
        with np.errstate(all="ignore"):  # what overflows fails its comparison
            return _verified(space, columns)
    except (ArithmeticError, np.linalg.LinAlgError, ValueError) as error:  # hostile numbers
        raise EquibasisError(f"its numbers cannot be checked: {error}") from error


def _verified(space: HomSpace, columns: Columns) -> Checks:
    _ = space.generating  # checks that the elements are a group
    if not isinstance(columns, OrbitColumns):
        _check_overlap(columns)
    try:
        _probe(space, columns)
    except EquibasisError:
        if space.complete and space.dimension <= _SMALL:
            check_errors(columns.shape[1], measure(space, columns))  # which says by how much
        raise
    check_rank(columns.shape[1], hom_dimension(space))
    checks = measure(space, columns)
    check_errors(columns.shape[1], checks)
    _check_canonical(space, columns)
    return checks


# --- random probes ------------------------------------------------------------------------------


def _probe(space: HomSpace, columns: Columns) -> None:
    """Orthonormality, and equivariance under every element listed, by random vectors.

    With W = Σ c_j W_j and random c, x, y: ‖W‖ = ‖c‖, and yᵀ ρ₂(g) W x = yᵀ W ρ₁(g) x for each g. If
    one entry is wrong, these fail with probability 1. They take one pass over the basis and one
    over the group's matrices. The vectors are drawn anew each time, so that nobody can make a
    file to fit them.
    Source: Freivalds (1977), *Probabilistic machines can use less running time*.
    """
    generator = np.random.default_rng()
    c, x, y = (generator.standard_normal(n) for n in (columns.shape[1], space.m, space.k))
    w_x, w_y, norm = _combined(space, columns, c, x, y)
    if abs(norm - float(c @ c)) > _PROBE_TOLERANCE * max(1.0, float(c @ c)):
        raise EquibasisError("the columns are not orthonormal")
    scale = float(np.linalg.norm(y) * np.linalg.norm(w_x) + np.linalg.norm(w_y))
    for g, name in enumerate(space.elements):
        off = abs(float(y @ space.output.apply(g, w_x) - w_y @ space.input.apply(g, x)))
        largest = scale * (1 + float(np.linalg.norm(space.input.apply(g, x))))
        if not off <= _PROBE_TOLERANCE * largest:
            raise EquibasisError(f"the columns are not equivariant under {name}")


def _combined(
    space: HomSpace, columns: Columns, c: np.ndarray, x: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """W x, Wᵀ y and the sum of squares of W = Σ c_j W_j, for x of shape (m, ...)."""
    k, m = space.k, space.m
    if isinstance(columns, OrbitColumns):
        w_x, w_y, norm = np.empty((k, *x.shape[1:])), np.zeros(m), 0.0
        with_none = np.append(c, 0.0)  # -1 takes the last
        for block in row_blocks(k, m):
            rows = slice(block.start * m, block.stop * m)
            part = (columns.values(rows) * with_none[columns.labels[rows]]).reshape(-1, m)
            w_x[block] = part @ x
            w_y += y[block] @ part
            norm += float(np.square(part).sum())
        return w_x, w_y, norm
    whole = np.asarray(columns @ c).reshape(k, m)
    return whole @ x, y @ whole, float(np.square(whole).sum())


def check_coordinates(basis: Basis) -> None:
    """Hold the coordinates of a basis to a random map: W x by its blocks is W x for random x.

    To rounding, or to a multiple of the error of equivariance that the basis has.

    Raises
    ------
    EquibasisError
        If it is not.
    """
    space, coordinates = basis.space, basis.coordinates
    assert coordinates is not None
    generator = np.random.default_rng()
    shapes = (basis.rank, (space.m, _COORDINATE_PROBES), space.k)
    c, x, y = (generator.standard_normal(shape) for shape in shapes)
    expected, _, _ = _combined(space, basis.columns, c, x, y)
    rows, factors = coordinates.sampled_rows()
    if isinstance(basis.columns, OrbitColumns):
        labels = basis.columns.labels[rows]
        values = (
            np.append(1 / np.sqrt(basis.columns.sizes), 0.0)[labels] * np.append(c, 0.0)[labels]
        )
        entries = values if basis.columns.signs is None else values * basis.columns.signs[rows]
    else:
        matrix = basis.columns
        kept = matrix if isinstance(matrix, np.ndarray) else sparse.csr_array(matrix)
        entries = np.asarray(kept[rows] @ c)
    found = coordinates.apply(entries if factors is None else entries * factors, x)
    amplified = _COORDINATE_AMPLIFICATION * basis.checks.equivariance_error
    tolerance = min(_COORDINATE_TOLERANCE + amplified, _PROBE_TOLERANCE)
    largest = np.linalg.norm(expected, axis=0) + 1e-300
    if not (np.abs(found - expected).max(axis=0, initial=0.0) <= tolerance * largest).all():
        raise EquibasisError("/coordinates: maps are not block diagonal in them as they should be")


# --- exact checks -------------------------------------------------------------------------------


def _check_overlap(columns: sparse.csc_array | np.ndarray) -> None:
    """Refuse columns that are tangled far beyond their number of entries: nothing else costs more.

    Where columns share rows they are treated together, as dense blocks. Canonical columns fill
    most of these.
    """
    matrix = sparse.csc_array(columns)
    row_part, column_part = _components(matrix)
    count = int(column_part.max(initial=-1)) + 1
    rows = np.bincount(row_part[row_part >= 0], minlength=count)
    numbers = int(rows @ np.bincount(column_part, minlength=count))
    if numbers > _NUMBERS_ALWAYS + _NUMBERS_AN_ENTRY * matrix.nnz:
        raise EquibasisError(
            "the basis is not the canonical one: its columns overlap as canonical ones do not"
        )


def _components(matrix: sparse.csc_array) -> tuple[np.ndarray, np.ndarray]:
    """Which part each row and each column is in; parts share no entry, -1 for rows of zeros."""
    n, rank = matrix.shape
    entries = matrix.tocoo()
    pattern = sparse.csr_array(
        (np.ones(entries.nnz, dtype=np.int8), (entries.row, entries.col + n)),
        shape=(n + rank, n + rank),
    )
    part = csgraph.connected_components(pattern, directed=False)[1]
    of_columns = part[n:]
    distinct, column_part = np.unique(of_columns, return_inverse=True)
    number = np.full(int(part.max(initial=-1)) + 1, -1)
    number[distinct] = np.arange(len(distinct))
    return number[part[:n]], column_part


def _check_canonical(space: HomSpace, columns: Columns) -> None:
    if isinstance(columns, OrbitColumns):
        if not in_order(columns):
            raise EquibasisError("the basis is not the canonical one: its orbits are out of order")
        return
    if isinstance(space.input, PermutationRepresentation) and isinstance(
        space.output, PermutationRepresentation
    ):
        raise EquibasisError("the basis is not the canonical one: its columns are not orbits")
    difference = _canonical_difference(sparse.csc_array(columns))
    if not difference <= TOLERANCE:
        raise EquibasisError(f"the basis is not the canonical one: off by {difference:.3g}")


@dataclass(frozen=True, eq=False)
class _Parts:
    """Connected parts of B of one size: values (b, h, w), and which rows and columns these are."""

    values: np.ndarray
    rows: np.ndarray
    columns: np.ndarray


def _canonical_difference(matrix: sparse.csc_array) -> float:
    """max |B - C| with C the pivoted Cholesky factor of B Bᵀ, which is never formed.

    Q eₚ = B (Bᵀ eₚ) is all that the factorization asks for; parts of B that share no row are
    treated on their own, those of one size together.
    """
    worst = 0.0
    pivot_of = np.empty(matrix.shape[1], dtype=np.int64)
    for parts in _connected_parts(matrix):
        values = parts.values
        factor, pivots = pivoted_cholesky(
            np.square(values).sum(axis=2),
            functools.partial(_projector_columns, values),
            values.shape[2],
        )
        order = np.argsort(pivots, axis=1)
        factor = np.take_along_axis(factor, order[:, None, :], axis=2)
        worst = max(worst, float(np.abs(factor - values).max(initial=0.0)))
        pivots = np.take_along_axis(pivots, order, axis=1)
        pivot_of[parts.columns] = np.take_along_axis(parts.rows, pivots, axis=1)
    if (np.diff(pivot_of) < 1).any():
        raise EquibasisError("the basis is not the canonical one: its columns are out of order")
    return worst


def _projector_columns(values: np.ndarray, pivot: np.ndarray) -> np.ndarray:
    """Columns of B Bᵀ, one of each part."""
    of_pivot = values[np.arange(len(values)), pivot]
    return (values @ of_pivot[:, :, None])[:, :, 0]


def _connected_parts(matrix: sparse.csc_array) -> Iterator[_Parts]:
    """The connected parts of B, one `_Parts` for each size."""
    row_part, column_part = _components(matrix)
    count = int(column_part.max(initial=-1)) + 1
    row_order, heights, row_place = _grouped(row_part, count)
    column_order, widths, column_place = _grouped(column_part, count)
    row_start, column_start = np.cumsum(heights) - heights, np.cumsum(widths) - widths
    entries = matrix.tocoo()
    part = column_part[entries.col]
    for height, width in np.unique(np.stack([heights, widths], axis=1), axis=0):
        (members,) = np.nonzero((heights == height) & (widths == width))
        number = np.full(count, -1)
        number[members] = np.arange(len(members))
        mine = number[part] >= 0
        row, column = entries.row[mine], entries.col[mine]
        values = np.zeros((len(members), height, width))
        values[number[part[mine]], row_place[row], column_place[column]] = entries.data[mine]
        yield _Parts(
            values,
            row_order[row_start[members, None] + np.arange(height)],
            column_order[column_start[members, None] + np.arange(width)],
        )


def _grouped(part: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Members of part 0, then of part 1 and so on, ascending; their numbers; each one's place."""
    order = np.argsort(part, kind="stable")
    order = order[part[order] >= 0]
    sizes = np.bincount(part[order], minlength=count)
    place = np.zeros(len(part), dtype=np.int64)
    place[order] = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return order, sizes, place
