"""The canonical basis: a function of the subspace alone. And the blocks it is computed in."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from scipy import sparse

import by_hand
from equibasis.linalg.canonical import canonical_basis
from equibasis.linalg.components import diagonal_blocks
from equibasis.solvers import solve_space
from equibasis.solvers.tables import matrix_of


def projector(*columns: list[float]) -> np.ndarray:
    """The orthogonal projector on the span of some vectors."""
    Q, _ = np.linalg.qr(np.array(columns, dtype=float).T)
    return Q @ Q.T


def canonical(Q: np.ndarray) -> np.ndarray:
    return canonical_basis(sparse.csr_array(Q)).toarray()


def pivoted_cholesky(Q: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """Factor and pivots, column by column, by Schur complements of the whole matrix."""
    rest, columns, pivots = Q.copy(), [], []
    for _ in range(round(np.trace(Q))):
        diagonal = rest.diagonal()
        pivot = min(i for i in range(len(Q)) if diagonal[i] >= diagonal.max() - 1e-9)
        columns.append(rest[:, pivot] / np.sqrt(rest[pivot, pivot]))
        pivots.append(pivot)
        rest = rest - np.outer(columns[-1], columns[-1])
    order = np.argsort(pivots)
    return np.stack(columns, axis=1)[:, order], sorted(pivots)


@st.composite
def subspaces(draw: st.DrawFn) -> np.ndarray:
    """An orthonormal basis (n, r) of a random subspace."""
    n = draw(st.integers(1, 9))
    return by_hand.random_orthogonal(n, draw(by_hand.seeds))[:, : draw(st.integers(1, n))]


# --- by hand ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("span", "basis"),
    [
        ([(1, 1)], [(0.5**0.5, 0.5**0.5)]),
        ([(-1, 1)], [(0.5**0.5, -(0.5**0.5))]),  # a tie: the lowest index is pivot, and positive
        ([(3, 4)], [(0.6, 0.8)]),
        ([(3, -4)], [(-0.6, 0.8)]),  # positive at the largest
        ([(-1, 0), (0, -1)], [(1, 0), (0, 1)]),
        ([(1, 1, 1)], [(3**-0.5,) * 3]),
        ([(0, 0, -2), (1, 1, 0)], [(0.5**0.5, 0.5**0.5, 0), (0, 0, 1)]),
        (  # the plane x + y + z = 0
            [(1, -1, 0), (0, 1, -1)],
            [(4 / 24**0.5, -2 / 24**0.5, -2 / 24**0.5), (0, 0.5**0.5, -(0.5**0.5))],
        ),
        (  # first found at pivot 2, ordered by pivot nonetheless
            [(0, 1, 2), (1, 1, 0)],
            [(0.5**0.5, 0.5**0.5, 0), (-1 / 18**0.5, 1 / 18**0.5, 4 / 18**0.5)],
        ),
    ],
)
def test_small_subspaces_have_the_basis_one_finds_by_hand(span, basis):
    np.testing.assert_allclose(canonical(projector(*span)), np.array(basis).T, atol=1e-15)


def test_the_whole_space_has_the_unit_vectors():
    np.testing.assert_array_equal(canonical(np.eye(4)), np.eye(4))


def test_the_zero_subspace_has_the_empty_basis():
    empty = canonical_basis(sparse.csr_array((5, 5)))
    assert (empty.shape, empty.dtype) == ((5, 0), np.float64)


@pytest.mark.parametrize("count", range(1, 12))
def test_an_indicator_is_normalized_to_the_last_bit(count):
    noisy = projector([1.0] * count) + 1e-15
    np.testing.assert_array_equal(canonical(noisy), np.full((count, 1), 1 / np.sqrt(count)))


def test_rounding_beside_a_subspace_is_no_part_of_it():
    noisy = np.eye(3) + 1e-14 * np.ones((3, 3))
    np.testing.assert_array_equal(canonical(noisy), np.eye(3))


# --- for every subspace -------------------------------------------------------------------------


@given(subspaces())
def test_it_spans_the_subspace(U):
    B = canonical(U @ U.T)
    np.testing.assert_allclose(B @ B.T, U @ U.T, atol=1e-13)


@given(subspaces())
def test_it_is_orthonormal(U):
    B = canonical(U @ U.T)
    np.testing.assert_allclose(B.T @ B, np.eye(U.shape[1]), atol=1e-14)


@given(subspaces(), by_hand.seeds)
def test_it_does_not_depend_on_the_basis_one_starts_from(U, seed):
    mixed = U @ by_hand.random_orthogonal(U.shape[1], seed)
    np.testing.assert_allclose(canonical(mixed @ mixed.T), canonical(U @ U.T), atol=1e-12)


@given(subspaces())
def test_it_is_the_pivoted_cholesky_factor(U):
    by_definition, _ = pivoted_cholesky(U @ U.T)
    np.testing.assert_allclose(canonical(U @ U.T), by_definition, atol=1e-12)


@given(subspaces())
def test_columns_are_ordered_by_pivot_and_positive_there(U):
    B, (_, pivots) = canonical(U @ U.T), pivoted_cholesky(U @ U.T)
    assert (B[pivots, range(len(pivots))] > 0).all()
    assert pivots == sorted(set(pivots))


@given(subspaces())
def test_it_is_its_own_canonical_basis(U):
    B = canonical(U @ U.T)
    np.testing.assert_allclose(canonical(B @ B.T), B, atol=1e-13)


@given(subspaces(), subspaces())
def test_blocks_that_do_not_touch_are_canonical_each_on_its_own(U, V):
    apart = sparse.block_diag([U @ U.T, V @ V.T], format="csr")
    by_blocks = sparse.block_diag([canonical(U @ U.T), canonical(V @ V.T)]).toarray()
    np.testing.assert_allclose(canonical(apart.toarray()), by_blocks, atol=1e-13)


@given(subspaces(), subspaces(), by_hand.seeds)
def test_interleaved_blocks_do_not_change_the_factor(U, V, seed):
    apart = sparse.block_diag([U @ U.T, V @ V.T]).toarray()
    order = np.random.default_rng(seed).permutation(len(apart))
    mixed = apart[np.ix_(order, order)]
    np.testing.assert_allclose(canonical(mixed), pivoted_cholesky(mixed)[0], atol=1e-12)


@given(by_hand.spaces, by_hand.seeds)
def test_the_basis_of_every_pair_of_types_is_canonical(space, seed):
    for block in solve_space(space).blocks:
        B = matrix_of(block.table, block.space).toarray()
        mixed = B @ by_hand.random_orthogonal(B.shape[1], seed)
        np.testing.assert_allclose(canonical(mixed @ mixed.T), B, atol=1e-10)


@given(by_hand.permutation_spaces)
def test_for_permutations_the_columns_are_those_of_the_canonical_basis_of_the_whole(space):
    whole = canonical(by_hand.projector(space))
    np.testing.assert_array_equal(by_hand.ordered(by_hand.dense(solve_space(space))), whole)


# --- blocks -------------------------------------------------------------------------------------


def random_block_matrix(sizes: list[int], seed: int) -> sparse.csr_array:
    """Full blocks of some sizes, one row of zeros, rows and columns in a random order."""
    generator = np.random.default_rng(seed)
    full = [generator.uniform(0.5, 1.0, (s, s)) for s in sizes]
    apart = sparse.block_diag([*full, sparse.csr_array((1, 1))]).toarray()
    order = generator.permutation(len(apart))
    return sparse.csr_array(apart[np.ix_(order, order)])


block_matrices = st.builds(
    random_block_matrix, st.lists(st.integers(1, 4), min_size=1, max_size=6), by_hand.seeds
)


@given(block_matrices)
def test_a_matrix_is_put_together_again_from_its_blocks(M):
    together = np.zeros(M.shape)
    for blocks in diagonal_blocks(M):
        for index, values in zip(blocks.indices, blocks.values, strict=True):
            together[np.ix_(index, index)] = values
    np.testing.assert_array_equal(together, M.toarray())


@given(block_matrices)
def test_a_block_is_the_matrix_on_its_ascending_rows(M):
    for blocks in diagonal_blocks(M):
        for rows, values in zip(blocks.indices, blocks.values, strict=True):
            assert list(rows) == sorted(set(rows))
            np.testing.assert_array_equal(values, M.toarray()[np.ix_(rows, rows)])


@given(block_matrices)
def test_each_row_that_is_touched_is_in_one_block(M):
    rows = np.concatenate([blocks.indices.ravel() for blocks in diagonal_blocks(M)])
    assert sorted(rows) == list(np.flatnonzero(M.toarray().any(axis=1)))


@given(st.lists(st.integers(1, 4), min_size=1, max_size=6), by_hand.seeds)
def test_block_sizes_are_those_of_the_components(sizes, seed):
    found = [blocks.indices.shape for blocks in diagonal_blocks(random_block_matrix(sizes, seed))]
    assert found == [(sizes.count(s), s) for s in sorted(set(sizes))]


def test_one_entry_either_way_connects():
    one_way = sparse.csr_array(np.array([[1.0, 0.5], [0.0, 1.0]]))
    assert [blocks.values.tolist() for blocks in diagonal_blocks(one_way)] == [
        [[[1.0, 0.5], [0.0, 1.0]]]
    ]


def test_rounding_does_not_connect():
    noisy = sparse.csr_array(np.array([[1.0, 1e-13], [1e-13, 1.0]]))
    assert [blocks.indices.tolist() for blocks in diagonal_blocks(noisy)] == [[[0], [1]]]


def test_nothing_has_no_blocks():
    assert list(diagonal_blocks(sparse.csr_array((3, 3)))) == []
