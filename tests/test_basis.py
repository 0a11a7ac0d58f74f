"""The Basis: what its columns are, when it holds, and how far two of them are apart."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import linalg, sparse

import by_hand
import equibasis as eb
from equibasis.solvers import solve_space
from equibasis.solvers.basis import make_basis, measure
from equibasis.solvers.tables import MatrixTable, OrbitTable, Table
from equibasis.symmetry.representations import PermutationRepresentation

SLANT = by_hand.random_orthogonal(3, 0)

# A half turn about an axis along no coordinate.
SLANTED = eb.Group(
    "slanted",
    (0, 1),
    lambda x, turned: SLANT @ np.diag([-1.0, -1.0, 1.0]) @ SLANT.T @ x if turned else x,
)


@pytest.fixture
def slanted() -> eb.Basis:
    """Maps of R³ to itself that commute with the half turn: one pair of types, rank 5."""
    return eb.solve(SLANTED, input="3", output="3")


def reason(basis: eb.Basis) -> str:
    with pytest.raises(eb.EquibasisError) as refused:
        eb.verify_basis(basis)
    return str(refused.value)


# --- what it is ---------------------------------------------------------------------------------


def test_a_column_is_a_map_row_by_row(c4_basis):
    column = by_hand.dense(c4_basis)[:, 17]
    W = np.array([[column[o * 36 + i] for i in range(36)] for o in range(9)])
    x = np.random.default_rng(0).standard_normal((6, 6))
    turned_after = np.rot90((W @ x.ravel()).reshape(3, 3))
    np.testing.assert_allclose((W @ np.rot90(x).ravel()).reshape(3, 3), turned_after, atol=1e-15)


def test_an_invariant_vector_is_one_that_turning_does_not_change():
    for v in by_hand.dense(eb.solve("c4", output="5x5")).T.reshape(-1, 5, 5):
        np.testing.assert_array_equal(np.rot90(v), v)


def test_a_basis_tells_what_it_is_a_basis_of(c4_basis):
    told = (c4_basis.kind, c4_basis.group, c4_basis.input_shape, c4_basis.output_shape)
    assert told == ("equivariant", "c4", (6, 6), (3, 3))
    assert repr(c4_basis) == "Basis(c4: 6x6 -> 3x3, rank 81, by orbits)"
    assert eb.solve("c4", output="3x3").kind == "invariant"


def test_the_matrix_is_sparse_and_of_float64(c4_basis):
    for basis in (c4_basis, eb.solve(SLANTED, output="3")):
        assert isinstance(basis.matrix, sparse.csc_array)
        assert basis.matrix.dtype == np.float64
        assert basis.matrix.has_canonical_format
        assert basis.matrix.shape == (basis.space.dimension, basis.rank)
        assert basis.matrix.nnz == basis.nonzeros
    np.testing.assert_allclose(abs(by_hand.dense(basis)), abs(SLANT[:, [2]]), atol=1e-15)


def test_its_checks_are_its_measured_errors(c4_basis):
    assert c4_basis.checks == measure(c4_basis)
    assert c4_basis.checks.equivariance_error == 0
    assert c4_basis.checks.orthonormality_error < 1e-15
    assert c4_basis.checks.rank_expected == 81


def at_random(table: Table, seed: int) -> Table:
    """A table of the same sizes that holds anything."""
    generator = np.random.default_rng(seed)
    if isinstance(table, MatrixTable):
        return MatrixTable(generator.standard_normal((len(table.values), 2)))
    labels = generator.integers(-1, 3, len(table.labels))
    kept = labels >= 0
    labels[kept] = np.unique(labels[kept], return_inverse=True)[1]
    signs = np.where(kept, generator.choice([-1, 1], len(labels)), 1).astype(np.int8)
    return OrbitTable(table.rows, labels.astype(np.int32), signs if seed % 2 else None)


@given(
    st.one_of(
        by_hand.spaces, by_hand.problems(by_hand.SIGNED | by_hand.PERMUTING).map(lambda p: p.listed)
    ),
    by_hand.seeds,
)
def test_errors_are_measured_by_their_definition(space, seed):
    basis = by_hand.with_tables(solve_space(space), lambda table: at_random(table, seed))
    B = by_hand.dense(basis)
    W = B.T.reshape(-1, space.k, space.m)
    rho1, rho2 = by_hand.matrices(space.input), by_hand.matrices(space.output)
    moved = max(
        (abs(rho2[g] @ W @ np.linalg.inv(rho1[g]) - W).max(initial=0.0) for g in space.generating),
        default=0,
    )
    checks = measure(basis)
    assert checks.equivariance_error == pytest.approx(moved, abs=1e-10)
    off = abs(B.T @ B - np.eye(basis.rank)).max(initial=0.0)
    assert checks.orthonormality_error == pytest.approx(off, abs=1e-12)


@given(by_hand.spaces)
def test_the_elements_that_errors_are_measured_for_generate_the_others(space):
    rho1, rho2 = by_hand.matrices(space.input), by_hand.matrices(space.output)
    generator = np.random.default_rng(0)
    v1, v2 = generator.standard_normal(space.m), generator.standard_normal(space.k)

    def place(a, b):
        """Told apart by what they do to random vectors."""
        return tuple(np.round(np.concatenate([a @ v1, b @ v2]), 6) + 0.0)

    reached = {place(np.eye(space.m), np.eye(space.k)): (np.eye(space.m), np.eye(space.k))}
    fresh = list(reached.values())
    while fresh:
        products = [(rho1[g] @ a, rho2[g] @ b) for g in space.generating for a, b in fresh]
        new = {place(*pair): pair for pair in products}
        fresh = [pair for key, pair in new.items() if key not in reached]
        reached |= new
    assert {place(a, b) for a, b in zip(rho1, rho2, strict=True)} == reached.keys()


def test_making_a_basis_checks_it(c4_basis):
    with pytest.raises(eb.EquibasisError, match="the rank is 63, but the characters give 81"):
        make_basis(c4_basis.space, by_hand.with_tables(c4_basis, without_last).tables, "mine")


def without_last(table: OrbitTable) -> OrbitTable:
    """Of more than one orbit, all but the last."""
    last = table.rank - 1 or 1
    return OrbitTable(table.rows, np.where(table.labels == last, -1, table.labels), table.signs)


@given(
    st.one_of(
        by_hand.spaces, by_hand.problems(by_hand.SIGNED | by_hand.PERMUTING).map(lambda p: p.listed)
    )
)
def test_labels_and_signs_of_index_pairs_are_where_the_matrix_has_its_entries(space):
    basis = solve_space(space)
    if not basis.of_orbits:
        return
    labels, signs = basis.labels(np.arange(space.k)[:, None], np.arange(space.m))
    B = by_hand.dense(basis)
    rows = np.flatnonzero(labels.ravel() >= 0)
    expected = np.zeros_like(B)
    expected[rows, labels.ravel()[rows]] = signs.ravel()[rows]
    np.testing.assert_array_equal(np.sign(B), expected)
    assert (signs.ravel()[labels.ravel() < 0] == 1).all()


@given(by_hand.spaces, st.integers(0, 9))
def test_the_first_columns_of_a_block_are_those_of_the_matrix(space, count):
    basis = solve_space(space)
    B = by_hand.dense(basis)
    for block in basis.blocks:
        rows, columns, entries = basis.entries(block, count)
        part = np.zeros_like(B)
        part[rows, columns] = entries
        stop = block.start + min(count, block.rank)
        np.testing.assert_array_equal(part[:, block.start : stop], B[:, block.start : stop])
        assert not np.delete(part, slice(block.start, stop), axis=1).any()


# --- verify -------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", by_hand.ELEMENTS)
@pytest.mark.parametrize("input_", [None, "3x3", "4x4"])
def test_what_is_solved_holds(group, input_):
    basis = eb.solve(group, input=input_, output="3x3")
    assert eb.verify_basis(basis) == basis.checks


@pytest.mark.parametrize(
    "problem",
    [
        {"group": "d4", "input": "5x5:pseudoscalar", "output": "5x5"},
        {"group": "c4", "input": "5x5:vector", "output": "3x3:vector"},
        {"group": "s5", "input": "5x5", "output": "5x5"},
        {"group": "p4m", "input": "4x4", "output": "4x4:regular"},
        {
            "group": eb.matrix_group("slanted", [SLANT @ np.diag([-1.0, -1.0, 1.0]) @ SLANT.T]),
            "output": "V",
        },
    ],
    ids=["signs", "fields", "generators", "generators of moves", "generators of matrices"],
)
def test_what_is_solved_for_signs_and_generators_holds(problem):
    basis = eb.solve(**problem)
    assert eb.verify_basis(basis) == basis.checks


def test_generators_that_are_not_those_of_the_basis_do_not_hold():
    basis = eb.solve("s5", input="5x5", output="5x5")
    twice = [  # the exchange
        PermutationRepresentation(rho.index[[0, 0]]) for rho in basis.space.types.representations
    ]
    assert "have other orbit types" in reason(by_hand.with_types(basis, twice))


def test_the_empty_basis_holds(sign_to_trivial):
    assert eb.verify_basis(solve_space(sign_to_trivial)).rank_expected == 0


def test_a_basis_without_one_of_its_columns_does_not_hold(c4_basis, slanted):
    missing = by_hand.with_tables(c4_basis, without_last)
    assert reason(missing) == "the rank is 63, but the characters give 81"
    missing = by_hand.with_values(slanted, by_hand.values(slanted)[:, 1:])
    assert reason(missing) == "the rank is 4, but the characters give 5"


def test_a_basis_with_a_column_twice_does_not_hold(slanted):
    twice = by_hand.values(slanted)[:, [0, *range(4)]]
    assert reason(by_hand.with_values(slanted, twice)).startswith(
        "the columns are not orthonormal: off by 1"
    )


def test_columns_that_do_not_intertwine_do_not_hold(slanted):
    unit_vectors = np.eye(9)[:, :5]
    assert reason(by_hand.with_values(slanted, unit_vectors)).startswith(
        "the columns are not equivariant"
    )


def test_orbits_that_do_not_intertwine_do_not_hold():
    basis = eb.solve("d4", input="3x3", output="3x3")
    rolled = by_hand.with_tables(
        basis, lambda table: dataclasses.replace(table, labels=np.roll(table.labels, 1))
    )
    assert reason(rolled).startswith("the columns are not equivariant")


CHANGES = {
    "reordered": lambda labels, signs: (labels.max() - labels, signs),
    "negated": lambda labels, signs: (labels, -signs),
    "one negated": lambda labels, signs: (labels, np.where(labels == 1, -signs, signs)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_orbits_out_of_order_are_not_the_canonical_basis(change):
    basis = eb.solve("d4", input="5x5:pseudoscalar", output="5x5")

    def changed(table: OrbitTable) -> OrbitTable:
        signs = np.ones(len(table.labels), dtype=np.int8) if table.signs is None else table.signs
        labels, signs = change(table.labels, signs)
        kept = table.labels >= 0
        return OrbitTable(
            table.rows,
            np.where(kept, labels, -1).astype(np.int32),
            np.where(kept, signs, 1).astype(np.int8),
        )

    other = by_hand.with_tables(basis, changed)
    assert reason(other).startswith("the basis is not the canonical one")


@pytest.mark.parametrize(
    "mixing",
    [by_hand.random_orthogonal(5, 0), np.eye(5)[::-1], -np.eye(5)],
    ids=["mixed", "reordered", "negated"],
)
def test_another_basis_of_the_same_subspace_is_not_the_canonical_one(slanted, mixing):
    other = by_hand.with_values(slanted, by_hand.values(slanted) @ mixing)
    assert reason(other).startswith("the basis is not the canonical one")


def test_a_basis_off_by_a_millionth_does_not_hold(slanted):
    off = by_hand.values(slanted).copy()
    off[0, 0] += 1e-6
    assert reason(by_hand.with_values(slanted, off)).startswith("the columns are not orthonormal")


def test_a_basis_under_what_is_no_group_does_not_hold(c4_basis):
    three = [
        PermutationRepresentation(rho.index[:3]) for rho in c4_basis.space.types.representations
    ]
    lacking = by_hand.with_types(c4_basis, three, elements=("r0", "r90", "r180"))
    assert "is not closed: r90 after r180" in reason(lacking)


def test_a_basis_under_another_group_does_not_hold():
    """The pixels on the diagonals and those on the axes exchanged: both are 4 points."""
    basis = eb.solve("d4", input="5x5", output="5x5")
    small = basis.space.types.representations
    four = [number for number, rho in enumerate(small) if rho.dimension == 4]
    exchange = dict(zip(four, four[::-1], strict=True))
    other = [small[exchange.get(number, number)] for number in range(len(small))]
    assert reason(by_hand.with_types(basis, other)).startswith("the columns are not equivariant")


def test_a_basis_with_a_coordinate_in_another_copy_does_not_hold(c4_basis):
    types = c4_basis.space.types
    index = types.input[0].index.copy()
    index[0, [0, 1]] = index[0, [1, 0]]
    input_ = (dataclasses.replace(types.input[0], index=index),)
    space = dataclasses.replace(c4_basis.space)
    vars(space)["types"] = dataclasses.replace(types, input=input_)
    other = dataclasses.replace(c4_basis, space=space)
    assert "have other orbit types" in reason(other)


# --- angles between subspaces -------------------------------------------------------------------


def line(slanted: eb.Basis, angle: float) -> eb.Basis:
    """A line in the plane of the first two coordinates."""
    return plane(slanted, np.array([[np.cos(angle)], [np.sin(angle)]]))


def plane(slanted: eb.Basis, columns: np.ndarray) -> eb.Basis:
    """The span of some columns of fewer than 9 coordinates."""
    padded = np.zeros((9, columns.shape[1]))
    padded[: len(columns)] = columns
    return by_hand.with_values(slanted, padded)


@pytest.mark.parametrize("angle", [1e-9, 1e-5, 0.3, np.pi / 4, 1.5])
def test_the_angle_between_two_lines_is_the_angle(slanted, angle):
    flat, steep = line(slanted, 0.2), line(slanted, 0.2 + angle)
    assert eb.subspace_angle(flat, steep) == pytest.approx(angle, rel=1e-6)
    assert eb.subspace_angle(steep, flat) == pytest.approx(angle, rel=1e-6)


def test_orthogonal_lines_are_a_right_angle_apart(slanted):
    right = eb.subspace_angle(line(slanted, 0.0), line(slanted, np.pi / 2))
    assert right == pytest.approx(np.pi / 2, abs=1e-7)


def test_the_largest_of_the_principal_angles_counts(slanted):
    angles = np.array([0.1, 0.7, 0.4])
    first = np.vstack([np.eye(3), np.zeros((3, 3))])
    second = np.vstack([np.diag(np.cos(angles)), np.diag(np.sin(angles))])
    U = by_hand.random_orthogonal(6, 0)  # nothing in particular about the coordinates
    mixed = U @ second @ by_hand.random_orthogonal(3, 1)
    apart = eb.subspace_angle(plane(slanted, U @ first), plane(slanted, mixed))
    assert apart == pytest.approx(0.7, abs=1e-12)


def mixed(table: Table, seed: int) -> Table:
    """Another basis of the same subspace, where a table can hold one."""
    if isinstance(table, OrbitTable):
        return table
    return MatrixTable(table.values @ by_hand.random_orthogonal(table.rank, seed))


def turned(table: Table, seed: int) -> Table:
    """A basis of another subspace, where a table can hold one."""
    if isinstance(table, OrbitTable):
        return table
    return MatrixTable(by_hand.random_orthogonal(len(table.values), seed) @ table.values)


@given(by_hand.spaces, by_hand.seeds)
def test_the_angle_does_not_depend_on_the_bases(space, seed):
    basis = solve_space(space)
    other = by_hand.with_tables(basis, lambda table: mixed(table, seed))
    assert eb.subspace_angle(basis, other) < 1e-12


@given(by_hand.orthogonal_spaces(), by_hand.seeds)
def test_the_angle_is_that_between_the_spans_of_the_matrices(space, seed):
    basis = solve_space(space)
    other = by_hand.with_tables(basis, lambda table: turned(table, seed))
    angles = linalg.subspace_angles(by_hand.dense(basis), by_hand.dense(other))
    assert eb.subspace_angle(basis, other) == pytest.approx(angles.max(initial=0.0), abs=1e-7)


def test_what_two_exchanges_of_three_points_leave_is_60_degrees_apart():
    """Bases of other orbit types: the normals (1, -1, 0) and (0, 1, -1) are as far apart."""
    first, last = (
        eb.solve(eb.matrix_group("exchange", [np.eye(3)[order]]), output="V")
        for order in ([1, 0, 2], [0, 2, 1])
    )
    assert eb.subspace_angle(first, last) == pytest.approx(np.pi / 3)
    assert eb.subspace_angle(first, first) == 0.0


@pytest.mark.parametrize(
    "wrong", ["basis.h5", None, 1, np.eye(4)], ids=lambda each: type(each).__name__
)
def test_what_is_no_basis_is_told(wrong, c4_basis, tmp_path):
    for call in (
        lambda: eb.subspace_angle(c4_basis, wrong),
        lambda: eb.subspace_angle(wrong, c4_basis),
        lambda: eb.verify_basis(wrong),
        lambda: eb.content_sha256(wrong),
        lambda: eb.save_basis(wrong, tmp_path / "basis.h5"),
    ):
        with pytest.raises(eb.EquibasisError, match="a Basis is needed"):
            call()
    assert list(tmp_path.iterdir()) == []


def test_maps_the_other_way_round_have_no_angle(c4_basis):
    other = eb.solve(group="c4", input="3x3", output="6x6")
    assert other.rank == c4_basis.rank
    with pytest.raises(eb.EquibasisError, match="no angle"):
        eb.subspace_angle(c4_basis, other)
