"""Tables: the basis of each pair of orbit types by few numbers, and the whole from its tables."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from scipy import sparse

import by_hand
import equibasis as eb
from equibasis.solvers import SOLVERS, solve_space
from equibasis.solvers.tables import (
    MatrixTable,
    OrbitTable,
    all_rows,
    matrix_of,
    numbered_by_row,
    schreier_tree,
    table_of,
)
from equibasis.symmetry.representations import MatrixRepresentation, PermutationRepresentation
from test_orbit_types import TRIANGLE, any_space, signed

# --- orbits by their first row ------------------------------------------------------------------


@given(signed)
def test_an_entry_and_its_image_under_any_element_are_one_up_to_the_signs_of_its_points(problem):
    """W[g p, g q] = ± W[p, q] for every g, and no entry where some g makes it its negative."""
    space = problem.listed
    for block in solve_space(space).blocks:
        labels, signs = all_rows(block.table, block.space)
        signs = np.ones(labels.shape) if signs is None else signs
        W = [np.where(labels == label, signs, 0.0) for label in range(block.table.rank)]
        rest = labels < 0
        pairs = zip(
            by_hand.matrices(block.space.input), by_hand.matrices(block.space.output), strict=True
        )
        for a, b in pairs:
            for each in W:
                np.testing.assert_array_equal(b @ each @ a.T, each)
            np.testing.assert_array_equal(abs(b) @ rest @ abs(a).T, rest)


@given(signed)
def test_a_table_is_the_first_of_its_rows_numbered_as_labels_occur(problem):
    for space in (problem.generated, problem.listed):
        for block in solve_space(space).blocks:
            table, (labels, signs) = block.table, block.labels()
            np.testing.assert_array_equal(labels[0], table.labels)
            first = 1 if table.signs is None else table.signs
            np.testing.assert_array_equal(1 if signs is None else signs[0], first)
            occurring = [label for label in dict.fromkeys(table.labels.tolist()) if label >= 0]
            assert occurring == list(range(table.rank))
            if table.signs is not None:
                firsts = [table.labels.tolist().index(label) for label in occurring]
                assert (table.signs[firsts] == 1).all()
                assert (table.signs[table.labels < 0] == 1).all()
                assert (table.signs < 0).any()
            counts = np.bincount(labels[labels >= 0], minlength=table.rank)
            np.testing.assert_array_equal(table.sizes, counts)
            assert table.entries == counts.sum()


@given(signed)
def test_from_generators_a_table_is_the_same_as_from_all_elements(problem):
    for block in solve_space(problem.generated).blocks:
        pair = problem.generated.enumerated.between(block.input.type, block.output.type)
        other = SOLVERS["orbits"].solve(pair)
        np.testing.assert_array_equal(block.table.labels, other.labels)
        assert (block.table.signs is None) == (other.signs is None)
        if other.signs is not None:
            np.testing.assert_array_equal(block.table.signs, other.signs)


@given(signed)
def test_a_schreier_tree_reaches_each_point_of_an_orbit_once(problem):
    for space in (problem.generated, problem.listed):
        for rho in space.types.representations:
            reached = [0]
            for g, parents, children in schreier_tree(rho, space.generating):
                assert set(parents.tolist()) <= set(reached)
                np.testing.assert_array_equal(rho.index[g, parents], children)
                reached += children.tolist()
            assert sorted(reached) == list(range(rho.dimension))


@pytest.mark.parametrize("length", [6, 30_000, 36_000])
@pytest.mark.slow
def test_long_signed_orbits_are_followed_whatever_integers_hold_them(length):
    """Every shift by one changes all signs, and turns three points: shifts by three are left."""
    shift = (np.arange(length) - 1) % length
    space = by_hand.hom_space(
        PermutationRepresentation(shift[None], -np.ones((1, length), dtype=np.int8)),
        PermutationRepresentation([[2, 0, 1]]),
        complete=False,
    )
    basis = solve_space(space)
    assert basis.rank == 3
    ((table,),) = basis.tables
    points = np.arange(length)
    np.testing.assert_array_equal(table.labels, points % 3)
    np.testing.assert_array_equal(table.signs, np.where(points // 3 % 2, -1, 1))


def test_rows_of_what_is_no_single_orbit_are_refused():
    identity = PermutationRepresentation(np.arange(3)[None])
    table = OrbitTable(3, np.arange(3, dtype=np.int32))
    with pytest.raises(eb.EquibasisError, match="are not one orbit"):
        all_rows(table, by_hand.hom_space(identity, identity))


def test_orbits_are_numbered_as_they_first_occur_and_none_is_minus_one():
    first = np.array([0, -1, 2, 0, 2, 5])
    table = numbered_by_row(first, np.array([1, -1, 1, -1, 1, 1]), 4)
    assert table.labels.tolist() == [0, -1, 1, 0, 1, 2]
    assert table.signs.tolist() == [1, 1, 1, -1, 1, 1]
    assert table.sizes.tolist() == [8, 8, 4]
    assert (table.rank, table.entries, table.rows) == (3, 20, 4)
    assert numbered_by_row(first, None, 4).signs is None


# --- every solver, one table --------------------------------------------------------------------


@given(any_space)
def test_every_solver_that_applies_gives_the_same_tables(space):
    expected = solve_space(space)
    for solver in SOLVERS.values():
        if solver.obstacle(space) is not None:
            continue
        for one, other in zip(expected.blocks, solve_space(space, solver).blocks, strict=True):
            assert type(one.table) is type(other.table)
            if isinstance(one.table, MatrixTable):
                np.testing.assert_allclose(one.table.values, other.table.values, rtol=0, atol=1e-10)
                continue
            assert one.table.labels.dtype == other.table.labels.dtype == np.int32
            np.testing.assert_array_equal(one.table.labels, other.table.labels)
            assert (one.table.signs is None) == (other.table.signs is None)
            if one.table.signs is not None:
                np.testing.assert_array_equal(one.table.signs, other.table.signs)


@given(any_space)
def test_a_table_goes_through_its_matrix(space):
    for block in solve_space(space).blocks:
        again = table_of(block.space, matrix_of(block.table, block.space))
        B = matrix_of(again, block.space).toarray()
        np.testing.assert_array_equal(B, matrix_of(block.table, block.space).toarray())


TWO = np.array([[0.5**0.5, 0.0], [0.0, 0.5**0.5], [0.0, 0.5**0.5], [0.5**0.5, 0.0]])

NO_ORBITS: dict[str, np.ndarray] = {
    "two entries a row": TWO @ by_hand.random_orthogonal(2, 0),
    "other orbits": TWO[[0, 2, 1, 3]][:, ::-1] * [[1], [-1], [1], [1]],
    "a column too many": np.column_stack([TWO, np.eye(4)[0]]),
    "longer": 2 * TWO,
    "an orbit in no first row": np.eye(4)[:, [3]],
}


@pytest.mark.parametrize("matrix", NO_ORBITS.values(), ids=NO_ORBITS)
def test_a_matrix_that_is_not_made_of_orbits_gives_no_table(matrix):
    exchange = PermutationRepresentation([[0, 1], [1, 0]])
    space = by_hand.hom_space(exchange, exchange)
    np.testing.assert_array_equal(table_of(space, sparse.csc_array(TWO)).labels, [0, 1])
    with pytest.raises(eb.EquibasisError, match="is not made of orbits"):
        table_of(space, sparse.csc_array(matrix))


# --- the whole ----------------------------------------------------------------------------------


@given(any_space)
def test_the_whole_spans_what_the_dense_reynolds_operator_of_the_whole_does(space):
    B = by_hand.dense(basis := solve_space(space))
    whole = by_hand.projector(space.enumerated)
    np.testing.assert_allclose(B @ B.T, whole, rtol=0, atol=1e-10)
    np.testing.assert_allclose(B.T @ B, np.eye(basis.rank), rtol=0, atol=1e-12)
    assert basis.nonzeros == basis.matrix.nnz


@given(any_space)
def test_columns_are_ordered_by_types_then_copies_then_the_table(space):
    """Types of Y, types of X, copy b of W, copy a of V, column j: each W, copies and signs."""
    basis, types = solve_space(space), space.types
    expected = []
    for block in basis.blocks:
        B = matrix_of(block.table, block.space).toarray()
        for b in range(block.output.multiplicity):
            for a in range(block.input.multiplicity):
                for column in B.T:
                    small = column.reshape(block.output.dimension, block.input.dimension)
                    for summand, copy, axis in ((block.output, b, 0), (block.input, a, 1)):
                        if summand.signs is not None:
                            signs = summand.signs[:, copy]
                            small = small * (signs[:, None] if axis == 0 else signs)
                    whole = np.zeros((space.k, space.m))
                    place = np.ix_(block.output.index[:, b], block.input.index[:, a])
                    whole[place] = small
                    expected.append(whole.ravel())
    assert [(block.output, block.input) for block in basis.blocks] == [
        (output, input_) for output in types.output for input_ in types.input
    ]
    assert [block.start for block in basis.blocks] == np.cumsum(
        [0, *(block.rank for block in basis.blocks)]
    )[:-1].tolist()
    np.testing.assert_array_equal(
        by_hand.dense(basis), np.reshape(expected, (-1, space.dimension)).T
    )


def test_long_orbits_that_are_not_seen_to_be_isomorphic_are_no_less_right():
    """A polygon of 260 corners and the same numbered from another, under a turn and a mirror."""
    corners = np.arange(260)
    one = np.stack([(corners + 1) % 260, -corners % 260])
    other = (one[:, (corners + 1) % 260] - 1) % 260
    space = by_hand.hom_space(*map(PermutationRepresentation, (one, other)), complete=False)
    basis = solve_space(space)
    assert basis.rank == 131  # as many as distances
    assert eb.verify_basis(basis).equivariance_error == 0.0
    assert by_hand.invariance_error(space, basis) == 0.0
    assert [len(each.types.representations) for each in (space, space.enumerated)] == [2, 2]


def test_a_matrix_that_would_not_fit_is_refused_and_the_rest_works():
    identity = PermutationRepresentation(np.arange(2_000_000)[None])
    basis = solve_space(by_hand.hom_space(identity, identity))
    assert basis.rank == basis.nonzeros == 4 * 10**12
    with pytest.raises(eb.EquibasisError, match=r"the matrix of .* use its blocks"):
        _ = basis.matrix
    labels, signs = basis.labels(np.array([0, 1, 1_999_999]), np.array([3, 0, 1_999_999]))
    assert labels.tolist() == [3, 2_000_000, 4 * 10**12 - 1]
    assert signs.tolist() == [1, 1, 1]


# --- real widths: ranks by Burnside and characters, no matrix made ------------------------------


def fixed_points(element: str, side: int) -> int:
    """How many pixels of a square an element of D4 leaves where they are."""
    return int((by_hand.grid_permutation(element, side) == np.arange(side * side)).sum())


def burnside_d4(m: int, k: int) -> int:
    total = sum(fixed_points(g, m) * fixed_points(g, k) for g in by_hand.ELEMENTS["d4"])
    assert total % 8 == 0
    return total // 8


def burnside_p4m(side: int) -> int:
    """Over translations and D4: the fixed points of x -> A x + b are none, or as many as of A."""
    points = np.stack(np.meshgrid(*[np.arange(side)] * 2, indexing="ij"), axis=-1).reshape(-1, 2)
    turn, mirror = np.array([[0, -1], [1, 0]]), np.diag([1, -1])
    total = 0
    for quarter in range(4):
        for flipped in range(2):
            A = np.linalg.matrix_power(turn, quarter) @ np.linalg.matrix_power(mirror, flipped)
            moved = (points - points @ A.T) % side  # x = A x + b where b is this
            counts = np.bincount(moved @ [side, 1])
            total += int((counts.astype(int) ** 2).sum())
    assert total % (8 * side * side) == 0
    return total // (8 * side * side)


BIG: dict[str, tuple[str, str, str, Callable[[], int]]] = {
    "d4 64x64": ("d4", "64x64", "64x64", lambda: burnside_d4(64, 64)),
    "d4 64*14x14 -> 128*14x14": (
        "d4", "64*14x14", "128*14x14", lambda: 64 * 128 * burnside_d4(14, 14),
    ),
    "d4 64*14x14 -> 128*6x6": (
        "d4", "64*14x14", "128*6x6", lambda: 64 * 128 * burnside_d4(14, 6),
    ),
    "d4 256x256": ("d4", "256x256", "256x256", lambda: burnside_d4(256, 256)),
    "s50 16*50x50": ("s50", "16*50x50", "16*50x50", lambda: 15 * 16 * 16),
    "p4m 32x32": ("p4m", "32x32", "32x32", lambda: burnside_p4m(32)),
}  # fmt: skip


@pytest.mark.parametrize(("group", "input_", "output", "rank"), BIG.values(), ids=BIG)
def test_ranks_of_real_widths_are_those_of_burnside(group, input_, output, rank):
    basis = eb.solve(group, input=input_, output=output)
    assert basis.rank == rank() == basis.checks.rank_expected
    assert basis.nonzeros == basis.space.dimension  # an entry for each pair, in one orbit
    assert not {"matrix", "columns"} & set(vars(basis))


def test_the_rank_of_fields_at_real_widths_is_that_of_characters():
    """Vectors turn by a quarter: traces 2, 0, -2, 0, and mirrors have none."""
    basis = eb.solve("d4", input="16*24x24:vector", output="32*24x24:vector")
    per_turn = [
        (4 if g == "r0" else 4 if g == "r180" else 0) * fixed_points(g, 24) ** 2
        for g in by_hand.ELEMENTS["d4"]
    ]
    assert basis.rank == 16 * 32 * sum(per_turn) // 8
    assert not {"matrix", "columns"} & set(vars(basis))


def test_the_rank_of_many_channels_of_matrices_is_that_of_characters():
    """The two-dimensional irrep of the triangle occurs once in V, and once in V ⊗ V."""
    basis = eb.solve(TRIANGLE, input="100*V + V*V", output="200*V")
    assert basis.rank == (100 + 1) * 200
    assert isinstance(basis.tables[0][0], MatrixTable)
    assert isinstance(basis.space.types.representations[0], MatrixRepresentation)
    assert not {"matrix", "columns"} & set(vars(basis))


# --- the order of columns for all permutations of n points --------------------------------------


def pattern(n: int, shape: tuple[int, ...], position: int) -> tuple[int, ...]:
    """Which of the indices of an entry are equal, each numbered as it first occurs."""
    index = [int(i) for i in np.unravel_index(position, shape)]
    return tuple(list(dict.fromkeys(index)).index(i) for i in index)


def patterns(n: int, inputs: int, outputs: int) -> list[tuple[int, ...]]:
    """That of each column: all entries of a column have one."""
    points = eb.Grid((n,))
    basis = eb.solve(f"s{n}", input=points**inputs, output=points**outputs)
    matrix, shape = basis.matrix, (n,) * (inputs + outputs)
    found = []
    for j in range(basis.rank):
        rows = matrix.indices[matrix.indptr[j] : matrix.indptr[j + 1]]
        each = {pattern(n, shape, row) for row in rows.tolist()}
        assert len(each) == 1
        found += each
    return found


@pytest.mark.parametrize(
    ("inputs", "outputs"), [(0, 1), (0, 2), (1, 1), (2, 0), (1, 2), (2, 1), (2, 2), (3, 1), (1, 3)]
)
def test_columns_for_all_permutations_come_in_one_order_for_all_n_from_the_combined_order(
    inputs, outputs
):
    """n×n -> n×n for n = 4, 5, 6: column j is of the same equalities of indices."""
    order = inputs + outputs
    expected = patterns(order, inputs, outputs)
    assert len(set(expected)) == len(expected)
    for n in (order + 1, order + 2):
        assert patterns(n, inputs, outputs) == expected


def test_channels_and_sums_under_all_permutations_come_in_one_order_too():
    def where(n: int) -> list[tuple[int, ...]]:
        X, Y = f"2*{n}x{n} + 1", f"{n} + 3*{n}"
        basis = eb.solve(f"s{n}", input=X, output=Y)
        matrix = basis.matrix
        first = [matrix.indices[matrix.indptr[j]] for j in range(basis.rank)]
        found = []
        for o, i in (divmod(int(row), basis.space.m) for row in first):
            channel, point = divmod(o, n)
            copy, pair = divmod(i, n * n)
            indices = pattern(n, (n,) * 3, point * n * n + pair) if copy < 2 else (0,)
            found.append((channel, copy, *indices))
        return found

    assert where(3) == where(4) == where(6)
