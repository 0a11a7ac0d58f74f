"""The Basis: what its columns are, when it holds, and how far two of them are apart."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

import by_hand
import equibasis as eb
from equibasis.linalg.columns import OrbitColumns, as_csc, structured
from equibasis.solvers import solve_space
from equibasis.solvers.basis import make_basis, measure
from equibasis.symmetry.representations import PermutationRepresentation

SLANT = by_hand.random_orthogonal(3, 0)

# A half turn about an axis along no coordinate.
SLANTED = eb.Group(
    "slanted",
    (0, 1),
    lambda x, turned: SLANT @ np.diag([-1.0, -1.0, 1.0]) @ SLANT.T @ x if turned else x,
)


def with_columns(basis: eb.Basis, columns) -> eb.Basis:
    """The same basis with other columns; rows that are missing are zeros."""
    missing = basis.space.dimension - columns.shape[0]
    if missing:
        columns = np.vstack([columns, np.zeros((missing, columns.shape[1]))])
    return dataclasses.replace(basis, columns=columns)


def with_space(basis: eb.Basis, **changes) -> eb.Basis:
    return dataclasses.replace(basis, space=dataclasses.replace(basis.space, **changes))


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


def test_a_matrix_of_zeros_mostly_is_sparse_and_a_full_one_dense(c4_basis):
    assert isinstance(c4_basis.matrix, sparse.csc_array)
    full = eb.solve(SLANTED, output="3").matrix
    np.testing.assert_allclose(np.abs(full), np.abs(SLANT[:, [2]]), atol=1e-15)
    assert isinstance(full, np.ndarray)
    assert c4_basis.matrix.dtype == full.dtype == np.float64


@pytest.mark.parametrize("solver", ["orbits", "projector", "svd", "dense"])
@pytest.mark.parametrize("input_", [None, "3x3", "3x3:vector"])
def test_orbits_are_kept_as_such_whoever_solved_for_them(input_, solver):
    basis, by_orbits = (
        eb.solve("d4", input=input_, output="3x3", solver=solver),
        eb.solve("d4", input=input_, output="3x3"),
    )
    for found in (basis.columns, structured(basis.matrix), structured(by_hand.dense(basis))):
        assert isinstance(found, OrbitColumns)
        np.testing.assert_array_equal(found.labels, by_orbits.columns.labels)
        np.testing.assert_array_equal(found.sizes, by_orbits.columns.sizes)
        assert (found.signs is None) == (by_orbits.columns.signs is None)
        if found.signs is not None:
            np.testing.assert_array_equal(found.signs, by_orbits.columns.signs)


@given(by_hand.seeds, st.booleans())
def test_orbit_columns_are_the_matrix_of_their_definition(seed, signed):
    generator = np.random.default_rng(seed)
    n, rank = int(generator.integers(1, 12)), int(generator.integers(0, 4))
    labels = generator.integers(-1, rank, n, dtype=np.int32)
    _, kept = np.unique(labels[labels >= 0], return_inverse=True)  # no column without a row
    labels[labels >= 0] = kept
    sizes = np.bincount(kept)
    signs = np.where(labels < 0, 1, generator.choice([-1, 1], n)).astype(np.int8)
    columns = OrbitColumns(labels, sizes, signs if signed else None)
    expected = np.zeros((n, len(sizes)))
    for row, label in enumerate(labels):
        if label >= 0:
            expected[row, label] = (signs[row] if signed else 1) / np.sqrt(sizes[label])
    assert columns.shape == expected.shape
    assert columns.nnz == np.count_nonzero(expected)
    np.testing.assert_array_equal(columns.tocsc().toarray(), expected)
    np.testing.assert_array_equal(as_csc(columns).toarray(), expected)
    assert columns.tocsc().has_canonical_format
    for count in range(len(sizes) + 1):
        np.testing.assert_array_equal(columns.leading(count), expected[:, :count])
    again = structured(columns.tocsc())
    assert isinstance(again, OrbitColumns)
    np.testing.assert_array_equal(as_csc(again).toarray(), expected)


def test_its_checks_are_its_measured_errors(c4_basis):
    assert c4_basis.checks == measure(c4_basis.space, c4_basis.columns)
    as_matrix = measure(c4_basis.space, c4_basis.matrix)
    assert as_matrix.equivariance_error == c4_basis.checks.equivariance_error == 0
    assert as_matrix.orthonormality_error < 1e-15
    assert as_matrix.rank_expected == c4_basis.checks.rank_expected == 81


def test_orbits_are_wrong_where_their_matrix_is():
    basis = eb.solve("d4", input="5x5:pseudoscalar", output="5x5")
    assert measure(basis.space, basis.columns).equivariance_error == 0
    for change in ("label", "hole", "sign"):
        labels, signs = basis.columns.labels.copy(), basis.columns.signs.copy()
        row = np.flatnonzero(labels == labels.max())[-1]
        if change == "sign":
            signs[row] *= -1
        else:
            labels[row] = -1 if change == "hole" else 0
        wrong = OrbitColumns(labels, np.bincount(labels[labels >= 0]), signs)
        for each in (wrong, wrong.tocsc()):
            assert measure(basis.space, each).equivariance_error > 0.1


def test_making_a_basis_settles_on_the_form():
    space = eb.solve("c4", input="3x3", output="3x3").space
    basis = make_basis(space, eb.solve("c4", input="3x3", output="3x3").matrix, "mine")
    assert isinstance(basis.columns, OrbitColumns)


@given(by_hand.spaces)
def test_errors_are_measured_by_their_definition(space):
    generator = np.random.default_rng(0)
    B = generator.standard_normal((space.k * space.m, 2))
    W = B.T.reshape(2, space.k, space.m)
    rho1, rho2 = by_hand.matrices(space.input), by_hand.matrices(space.output)
    moved = max(
        (abs(rho2[g] @ W @ np.linalg.inv(rho1[g]) - W).max() for g in space.generating), default=0
    )
    checks = measure(space, B)
    assert checks.orthonormality_error == pytest.approx(abs(B.T @ B - np.eye(2)).max())
    assert checks.equivariance_error == pytest.approx(moved, abs=1e-10)


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
    with pytest.raises(eb.EquibasisError, match="the rank is 80"):
        make_basis(c4_basis.space, c4_basis.matrix[:, 1:], "mine")


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
    one = PermutationRepresentation(basis.space.input.index[[0, 0]])  # the exchange, twice
    other = with_space(basis, input=one, output=one)
    assert reason(other).startswith("the rank is 15, but the characters give")


@given(by_hand.spaces)
def test_what_is_solved_for_random_groups_holds(space):
    assert eb.verify_basis(solve_space(space)).rank_expected == solve_space(space).rank


def test_the_empty_basis_holds(sign_to_trivial):
    assert eb.verify_basis(solve_space(sign_to_trivial)).rank_expected == 0


def test_a_basis_without_one_of_its_columns_does_not_hold(c4_basis):
    missing = with_columns(c4_basis, c4_basis.matrix[:, :-1])
    assert reason(missing) == "the rank is 80, but the characters give 81"


def test_a_basis_with_a_column_twice_does_not_hold(c4_basis):
    twice = c4_basis.matrix[:, [0, *range(80)]]
    assert reason(with_columns(c4_basis, twice)).startswith(
        "the columns are not orthonormal: off by 1"
    )


def test_columns_that_do_not_intertwine_do_not_hold(c4_basis):
    unit_vectors = sparse.eye_array(324, 81, format="csc")
    assert reason(with_columns(c4_basis, unit_vectors)).startswith(
        "the columns are not equivariant"
    )


@pytest.mark.parametrize("change", ["reordered", "negated"])
def test_orbits_out_of_order_are_not_the_canonical_basis(change):
    basis = eb.solve("d4", input="5x5:pseudoscalar", output="5x5")
    labels, signs = basis.columns.labels, basis.columns.signs
    if change == "reordered":
        labels = np.where(labels < 0, -1, basis.rank - 1 - labels).astype(np.int32)
    else:
        signs = -signs
    other = OrbitColumns(labels, np.bincount(labels[labels >= 0]), signs)
    assert reason(with_columns(basis, other)).startswith("the basis is not the canonical one")


@pytest.mark.parametrize(
    "mixing",
    [by_hand.random_orthogonal(81, 0), np.eye(81)[::-1], -np.eye(81)],
    ids=["mixed", "reordered", "negated"],
)
def test_another_basis_of_the_same_subspace_is_not_the_canonical_one(c4_basis, mixing):
    other = by_hand.dense(c4_basis) @ mixing
    assert reason(with_columns(c4_basis, other)).startswith("the basis is not the canonical one")


def test_a_basis_off_by_a_millionth_does_not_hold(c4_basis):
    off = by_hand.dense(c4_basis)
    off[0, 0] += 1e-6
    assert reason(with_columns(c4_basis, off)).startswith(
        "the columns are not orthonormal: off by 1"
    )


def test_a_basis_under_what_is_no_group_does_not_hold(c4_basis):
    rho1, rho2 = c4_basis.space.input.index, c4_basis.space.output.index
    lacking = with_space(
        c4_basis,
        elements=("r0", "r90", "r180"),
        input=PermutationRepresentation(rho1[:3]),
        output=PermutationRepresentation(rho2[:3]),
    )
    assert "is not closed: r90 after r180" in reason(lacking)


def test_a_basis_under_another_group_does_not_hold(c4_basis):
    swapped = PermutationRepresentation(c4_basis.space.output.index[[0, 3, 2, 1]])
    assert reason(with_space(c4_basis, output=swapped)).startswith(
        "the columns are not equivariant"
    )


# --- angles between subspaces -------------------------------------------------------------------


def line(c4_basis: eb.Basis, angle: float) -> eb.Basis:
    """A line in the plane of the first two coordinates."""
    return with_columns(c4_basis, np.array([[np.cos(angle)], [np.sin(angle)], [0.0]]))


@pytest.mark.parametrize("angle", [1e-9, 1e-5, 0.3, np.pi / 4, 1.5])
def test_the_angle_between_two_lines_is_the_angle(c4_basis, angle):
    flat, steep = line(c4_basis, 0.2), line(c4_basis, 0.2 + angle)
    assert eb.subspace_angle(flat, steep) == pytest.approx(angle, rel=1e-6)
    assert eb.subspace_angle(steep, flat) == pytest.approx(angle, rel=1e-6)


def test_orthogonal_lines_are_a_right_angle_apart(c4_basis):
    right = eb.subspace_angle(line(c4_basis, 0.0), line(c4_basis, np.pi / 2))
    assert right == pytest.approx(np.pi / 2, abs=1e-7)


def test_the_largest_of_the_principal_angles_counts(c4_basis):
    angles = np.array([0.1, 0.7, 0.4])
    first = np.vstack([np.eye(3), np.zeros((3, 3))])
    second = np.vstack([np.diag(np.cos(angles)), np.diag(np.sin(angles))])
    U = by_hand.random_orthogonal(6, 0)  # nothing in particular about the coordinates
    mixed = U @ second @ by_hand.random_orthogonal(3, 1)
    apart = eb.subspace_angle(with_columns(c4_basis, U @ first), with_columns(c4_basis, mixed))
    assert apart == pytest.approx(0.7, abs=1e-12)


@given(by_hand.spaces, by_hand.seeds)
def test_the_angle_does_not_depend_on_the_bases(space, seed):
    basis = solve_space(space)
    mixed = by_hand.dense(basis) @ by_hand.random_orthogonal(basis.rank, seed)
    assert eb.subspace_angle(basis, with_columns(basis, mixed)) < 1e-12


def test_a_corner_an_edge_and_the_centre_are_60_degrees_from_their_orbits():
    orbits, pixels = eb.solve("c4", output="3x3"), eb.solve("trivial", output="3x3")
    three = with_columns(pixels, pixels.matrix[:, [0, 1, 4]])
    assert eb.subspace_angle(orbits, three) == pytest.approx(np.pi / 3)
    assert eb.subspace_angle(orbits, orbits) == 0.0


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
