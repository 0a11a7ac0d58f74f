"""Orbit columns: the same matrix as the dense one, kept as one label a row."""

from __future__ import annotations

from dataclasses import replace

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from scipy import sparse

import by_hand
import equibasis as eb
from equibasis.linalg.columns import (
    OrbitColumns,
    as_csc,
    in_order,
    label_type,
    row_blocks,
    structured,
)


def matrix_of(columns: OrbitColumns) -> np.ndarray:
    """signs[i] / √sizes[labels[i]], entry by entry."""
    M = np.zeros((len(columns.labels), len(columns.sizes)))
    for row, label in enumerate(columns.labels):
        if label >= 0:
            sign = 1 if columns.signs is None else columns.signs[row]
            M[row, label] = sign / np.sqrt(columns.sizes[label])
    return M


@st.composite
def orbit_columns(draw: st.DrawFn) -> OrbitColumns:
    """Labels in order of first rows, some rows dropped, and signs, positive at first rows."""
    drawn = draw(st.lists(st.integers(-1, 5), min_size=0, max_size=20))
    numbers: dict[int, int] = {-1: -1}
    labels = np.array([numbers.setdefault(x, len(numbers) - 1) for x in drawn], dtype=np.int32)
    sizes = np.bincount(labels[labels >= 0], minlength=len(numbers) - 1).astype(np.int64)
    if not draw(st.booleans()):
        return OrbitColumns(labels, sizes)
    signs = np.array([draw(st.sampled_from([1, -1])) for _ in drawn], dtype=np.int8)
    signs[np.unique(labels, return_index=True)[1]] = 1
    signs[labels < 0] = 1
    return OrbitColumns(labels, sizes, signs)


def shuffled(columns: OrbitColumns, seed: int) -> OrbitColumns:
    """The same columns in another order, some of them negated."""
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(columns.sizes))
    flips = np.append(generator.choice([1, -1], len(order)), 1)
    place = np.append(np.argsort(order), -1)  # -1 stays -1
    signs = np.ones(len(columns.labels)) if columns.signs is None else columns.signs
    return OrbitColumns(
        place[columns.labels].astype(np.int32),
        columns.sizes[order],
        (signs * flips[columns.labels]).astype(np.int8),
    )


# --- the same matrix ----------------------------------------------------------------------------


@given(orbit_columns(), by_hand.seeds)
def test_columns_are_their_matrix(ordered, seed):
    for columns in (ordered, shuffled(ordered, seed)):
        M, sparse_form = matrix_of(columns), columns.tocsc()
        assert columns.shape == sparse_form.shape == M.shape
        assert columns.nnz == sparse_form.nnz == np.count_nonzero(M)
        assert isinstance(sparse_form, sparse.csc_array)
        assert sparse_form.has_sorted_indices
        np.testing.assert_array_equal(sparse_form.toarray(), M)
        np.testing.assert_array_equal(as_csc(columns).toarray(), M)
        np.testing.assert_array_equal(as_csc(M).toarray(), M)


@given(orbit_columns(), st.integers(0, 20), st.integers(0, 20))
def test_values_are_the_sums_of_rows(columns, start, stop):
    rows = slice(start, stop)
    np.testing.assert_array_equal(columns.values(rows), matrix_of(columns).sum(axis=1)[rows])


@given(orbit_columns(), by_hand.seeds, st.integers(0, 8))
def test_leading_columns_are_the_first(columns, seed, count):
    count = min(count, len(columns.sizes))
    for each in (columns, shuffled(columns, seed)):
        np.testing.assert_array_equal(each.leading(count), matrix_of(each)[:, :count])


@given(orbit_columns(), by_hand.seeds)
def test_columns_are_orthonormal(columns, seed):
    M = shuffled(columns, seed).tocsc()
    np.testing.assert_allclose((M.T @ M).toarray(), np.eye(M.shape[1]), atol=1e-15)


# --- recognized in a matrix ---------------------------------------------------------------------


@given(orbit_columns(), by_hand.seeds)
def test_a_matrix_of_orbits_is_recognized_whatever_its_form(ordered, seed):
    for columns in (ordered, shuffled(ordered, seed)):
        for matrix in (columns, columns.tocsc(), matrix_of(columns)):
            found = structured(matrix)
            assert isinstance(found, OrbitColumns)
            assert found.shape == columns.shape
            np.testing.assert_array_equal(found.labels, columns.labels)
            np.testing.assert_array_equal(found.sizes, columns.sizes)
            np.testing.assert_array_equal(matrix_of(found), matrix_of(columns))


@pytest.mark.parametrize(
    "matrix",
    [
        np.array([[0.6], [0.8]]),  # not of one magnitude
        np.array([[0.5], [0.5]]),  # not normalized
        np.array([[1.0, 0.0], [0.0, 0.0]]),  # an empty column
        np.array([[0.5**0.5, 0.5**0.5], [0.5**0.5, -(0.5**0.5)]]),  # two entries a row
        np.array([[1.0 + 1e-15]]),  # rounding is not removed
    ],
    ids=["magnitudes", "norm", "empty", "rows", "rounding"],
)
def test_what_is_no_matrix_of_orbits_stays_a_matrix(matrix):
    for each in (matrix, sparse.csc_array(matrix)):
        found = structured(each)
        assert not isinstance(found, OrbitColumns)
        np.testing.assert_array_equal(as_csc(found).toarray(), matrix)


@given(st.integers(1, 12), st.integers(1, 12), by_hand.seeds, st.floats(0, 1))
def test_other_matrices_take_the_form_of_fewer_bytes(n, r, seed, share):
    M = np.random.default_rng(seed).standard_normal((n, r))
    M[np.random.default_rng(seed + 1).random((n, r)) > share] = 0.0
    found = structured(sparse.csc_array(M))
    np.testing.assert_array_equal(as_csc(found).toarray(), M)
    if isinstance(found, np.ndarray):
        assert M.nbytes < sparse.csc_array(M).data.nbytes + sparse.csc_array(M).indices.nbytes
    elif not isinstance(found, OrbitColumns):
        assert found.data.nbytes + found.indices.nbytes <= M.nbytes


# --- in order -----------------------------------------------------------------------------------


@given(orbit_columns())
def test_columns_by_first_rows_and_positive_there_are_in_order(columns):
    assert in_order(columns)


@given(orbit_columns(), by_hand.seeds)
def test_in_order_means_first_rows_ascend_and_are_positive(ordered, seed):
    columns = shuffled(ordered, seed)
    M = matrix_of(columns)
    firsts = [int(np.flatnonzero(column)[0]) for column in M.T]
    ascending = firsts == sorted(firsts)
    assert in_order(columns) == (ascending and all(M[i, j] > 0 for j, i in enumerate(firsts)))


@pytest.mark.parametrize(
    ("labels", "sizes"),
    [
        ([0, 0], [2, 0]),
        ([0, 0], [2, 1]),
        ([1, 0], [1, 1]),
        ([0, 2, 1], [1, 1, 1]),
        ([-1, 1], [1, 1]),
        ([0, 2], [1, 1, 1]),
        ([0, 1, 2], [1, 1]),
        ([], [1]),
        ([-1, -1], [1]),
    ],
)
def test_columns_that_are_empty_or_exchanged_are_not_in_order(labels, sizes):
    columns = OrbitColumns(np.array(labels, dtype=np.int32), np.array(sizes))
    assert not in_order(columns)


def test_no_columns_are_in_order():
    none = OrbitColumns(np.full(3, -1, dtype=np.int32), np.zeros(0, dtype=np.int64))
    assert in_order(none)
    assert none.tocsc().shape == (3, 0)
    np.testing.assert_array_equal(none.values(slice(None)), np.zeros(3))
    assert none.leading(0).shape == (3, 0)


# --- a basis of orbits is held to account -------------------------------------------------------

SPOILT = {
    "sizes": lambda B: replace(B, sizes=B.sizes + 1),
    "sizes exchanged": lambda B: replace(B, sizes=B.sizes[::-1].copy()),
    "merged": lambda B: replace(B, labels=np.where(B.labels == 1, 0, B.labels)),
    "dropped": lambda B: replace(B, labels=np.where(B.labels == 1, -1, B.labels)),
    "order": lambda B: replace(B, labels=B.labels.max() - B.labels, sizes=B.sizes[::-1].copy()),
    "negated": lambda B: replace(B, signs=-np.ones(len(B.labels), dtype=np.int8)),
    "one row": lambda B: replace(B, labels=np.append(B.labels[:-1], 1).astype(B.labels.dtype)),
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_orbits_that_are_not_the_basis_do_not_verify(spoil):
    basis = by_hand.solved("c4", input="3x3", output="3x3")
    assert eb.verify_basis(basis).rank_expected == 21
    with pytest.raises(eb.EquibasisError):
        eb.verify_basis(replace(basis, columns=spoil(basis.columns)))


# --- pieces -------------------------------------------------------------------------------------


@given(st.integers(0, 10**7), st.integers(0, 10**7))
def test_blocks_of_rows_cover_them_all_once(rows, width):
    if rows * width > 2**30:
        width = 1
    blocks = list(row_blocks(rows, width))
    assert [block.start for block in blocks] == [0, *(block.stop for block in blocks)][:-1]
    assert not blocks or blocks[-1].stop == rows
    assert all(0 < (b.stop - b.start) for b in blocks)
    assert all((b.stop - b.start - 1) * width <= 2**20 for b in blocks)


@pytest.mark.parametrize(
    ("rank", "type_"), [(0, np.int32), (2**31 - 1, np.int32), (2**31, np.int64)]
)
def test_labels_are_as_short_as_they_can_be(rank, type_):
    assert label_type(rank) is type_
