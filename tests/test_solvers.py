"""Solvers: whichever is asked, the one canonical basis of the equivariant maps comes back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

import by_hand
import equibasis as eb
from equibasis.representations import HomSpace, PermutationRepresentation
from equibasis.solvers import SOLVERS, find_solver, solve_space
from equibasis.solvers.interface import Solver, no_obstacle
from equibasis.solvers.orbits import orbit_labels

SIZES = [("c4", 6, 3), ("d4", 6, 3), ("c4", 8, 4), ("d4", 8, 4)]
LARGE = [("c4", 14, 6), ("d4", 14, 6)]
sizes = pytest.mark.parametrize(("group", "m", "k"), SIZES)
sizes_and_large = pytest.mark.parametrize(("group", "m", "k"), SIZES + LARGE)


def solved(group: str, m: int, k: int, solver: str = "auto") -> eb.Basis:
    return by_hand.solved(group, (k, k), (m, m), solver)


def actions(group: str, m: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    return by_hand.grid_permutations(group, m), by_hand.grid_permutations(group, k)


def permutation_space(n: int) -> HomSpace:
    """All maps of R^n to itself, under the trivial group."""
    identity = PermutationRepresentation(np.arange(n)[None])
    return HomSpace("trivial", ("e",), (n,), (n,), identity, identity)


# --- known sizes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("group", "m", "k", "rank"),
    [
        ("c4", 14, 6, 1764),
        ("d4", 14, 6, 903),
        ("c4", 6, 3, 81),
        ("c4", 3, 3, 21),
        ("trivial", 3, 2, 36),
        ("c2", 3, 3, 41),
    ],
)
def test_equivariant_maps_of_known_sizes(group, m, k, rank):
    basis = solved(group, m, k)
    assert (basis.rank, basis.matrix.shape) == (rank, ((m * k) ** 2, rank))


@pytest.mark.parametrize(("side", "rank"), [(3, 3), (6, 9), (14, 49)])
def test_invariant_vectors_of_known_sizes(side, rank):
    assert eb.solve(group="c4", output=(side, side)).rank == rank


def test_shapes_are_given_as_text_or_sizes():
    by_text, by_sizes = eb.solve("c4", "3x3", "6x6"), eb.solve("c4", (3, 3), (6, 6))
    assert eb.content_sha256(by_text) == eb.content_sha256(by_sizes)


# --- rank ---------------------------------------------------------------------------------------


@sizes_and_large
def test_the_rank_is_the_number_of_orbits_burnside(group, m, k):
    rank = solved(group, m, k).rank
    assert rank == len(by_hand.orbits(*actions(group, m, k)))
    assert rank == by_hand.burnside(*actions(group, m, k))


@sizes
def test_the_rank_is_the_mean_of_products_of_traces(group, m, k):
    explicit = map(by_hand.permutation_matrices, actions(group, m, k))
    assert solved(group, m, k).rank == pytest.approx(by_hand.trace_formula(*explicit), abs=1e-9)


@given(by_hand.spaces)
def test_the_rank_is_the_mean_of_products_of_traces_for_random_groups(space):
    explicit = by_hand.matrices(space.input), by_hand.matrices(space.output)
    assert solve_space(space).rank == pytest.approx(by_hand.trace_formula(*explicit), abs=1e-9)


@given(by_hand.permutation_spaces)
def test_the_rank_is_the_number_of_orbits_for_random_groups(space):
    assert solve_space(space).rank == len(by_hand.orbits(space.input.index, space.output.index))


@given(by_hand.spaces)
def test_the_rank_is_the_dimension_of_the_fixed_space(space):
    P = by_hand.reynolds(by_hand.matrices(space.input), by_hand.matrices(space.output))
    not_fixed = np.linalg.matrix_rank(P - np.eye(len(P)), tol=1e-9)
    assert solve_space(space).rank == len(P) - not_fixed


# --- every basis vector intertwines -------------------------------------------------------------


@pytest.mark.parametrize("solver", SOLVERS)
@sizes
def test_every_basis_vector_intertwines(group, m, k, solver):
    basis = solved(group, m, k, solver)
    assert by_hand.invariance_error(basis.space, basis) < 1e-14


@pytest.mark.parametrize("solver", ["svd", "dense"])
@given(space=by_hand.spaces)
def test_every_basis_vector_intertwines_for_random_groups(solver, space):
    assert by_hand.invariance_error(space, solve_space(space, find_solver(solver))) < 1e-11


@pytest.mark.parametrize("solver", ["svd", "dense"])
@given(space=by_hand.spaces)
def test_the_basis_is_orthonormal(solver, space):
    B = by_hand.dense(solve_space(space, find_solver(solver)))
    np.testing.assert_allclose(B.T @ B, np.eye(B.shape[1]), atol=1e-12)


@sizes_and_large
def test_the_basis_of_a_permutation_group_is_its_normalized_orbits(group, m, k):
    matrix = solved(group, m, k).matrix
    columns = by_hand.orbits(*actions(group, m, k))
    np.testing.assert_array_equal(matrix.indices, np.concatenate(columns))
    np.testing.assert_array_equal(
        matrix.data,
        np.concatenate([np.full(len(orbit), 1 / np.sqrt(len(orbit))) for orbit in columns]),
    )


# --- two solvers, one basis ---------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["svd", "dense"])
@sizes
def test_every_solver_gives_the_canonical_basis(group, m, k, solver):
    one, other = solved(group, m, k, "orbits"), solved(group, m, k, solver)
    np.testing.assert_allclose(by_hand.dense(one), by_hand.dense(other), rtol=0, atol=1e-12)


@pytest.mark.parametrize("solver", ["svd", "dense"])
@sizes
def test_for_permutations_solvers_agree_to_the_last_bit(group, m, k, solver):
    one, other = solved(group, m, k, "orbits"), solved(group, m, k, solver)
    assert eb.content_sha256(one) == eb.content_sha256(other)


@pytest.mark.parametrize(("group", "m", "k"), LARGE)
def test_for_large_permutations_solvers_agree_to_the_last_bit(group, m, k):
    one, other = solved(group, m, k, "orbits"), solved(group, m, k, "svd")
    assert eb.content_sha256(one) == eb.content_sha256(other)


@given(by_hand.permutation_spaces)
def test_for_random_permutations_solvers_agree_to_the_last_bit(space):
    assert len({eb.content_sha256(solve_space(space, each)) for each in SOLVERS.values()}) == 1


@given(by_hand.spaces)
def test_for_random_groups_solvers_agree_within_rounding(space):
    by_svd, by_dense = (by_hand.dense(solve_space(space, SOLVERS[s])) for s in ("svd", "dense"))
    np.testing.assert_allclose(by_svd, by_dense, rtol=0, atol=1e-10)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("group", by_hand.ELEMENTS)
def test_solvers_agree_on_invariant_vectors(group, solver):
    one, other = eb.solve(group, "3x3", solver=solver), eb.solve(group, "3x3")
    assert eb.content_sha256(one) == eb.content_sha256(other)


@given(by_hand.permutation_spaces)
def test_labels_are_the_smallest_index_of_each_orbit(space):
    labels = orbit_labels(space.input.index, space.output.index)
    by_flooding = {
        pair: orbit[0]
        for orbit in by_hand.orbits(space.input.index, space.output.index)
        for pair in orbit
    }
    assert labels.tolist() == [by_flooding[pair] for pair in range(len(labels))]


# --- the empty basis ----------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["auto", "svd", "dense"])
def test_no_map_leads_from_the_sign_to_the_trivial_representation(sign_to_trivial, solver):
    basis = solve_space(sign_to_trivial, find_solver(solver))
    assert (basis.rank, basis.matrix.shape) == (0, (1, 0))


# --- choosing and refusing ----------------------------------------------------------------------


def test_auto_takes_orbits_for_permutations_and_svd_otherwise(sign_to_trivial):
    assert solved("c4", 6, 3).solver == "orbits"
    assert solve_space(sign_to_trivial).solver == "svd"


def test_orbits_need_permutations(sign_to_trivial):
    with pytest.raises(eb.SolverError, match="'orbits' does not apply: the input representation"):
        solve_space(sign_to_trivial, SOLVERS["orbits"])


def test_a_solver_that_is_not_known_is_refused():
    with pytest.raises(eb.SolverError, match="'qr': choose auto, orbits, svd, dense"):
        eb.solve("c4", "3x3", solver="qr")


def test_an_output_is_needed():
    with pytest.raises(eb.ShapeError, match="output needs a shape"):
        eb.solve("c4", ())


def test_what_would_not_fit_in_memory_is_refused_before_it_is_begun():
    with pytest.raises(eb.SolverError, match=r"'dense' would take about [\d,.]+ GiB .* --solver"):
        solve_space(permutation_space(10_000), SOLVERS["dense"])
    with pytest.raises(eb.SolverError, match=r"'svd' would take about [\d,.]+ GiB .* --solver"):
        solve_space(permutation_space(1_000_000), SOLVERS["svd"])


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda B: B[:, 1:], "the rank is 20, but the characters give 21"),
        (lambda B: 1.5 * B, "the columns are not orthonormal: off by 1.25"),
        (lambda B: B[[*range(1, 81), 0]], "the columns are not equivariant"),
    ],
    ids=["a column missing", "longer", "rows shifted"],
)
def test_a_solver_that_is_wrong_is_found_out(spoil, said):
    wrong = Solver("wrong", "", no_obstacle, lambda s: spoil(SOLVERS["orbits"].solve(s)).tocsc())
    with pytest.raises(eb.SolverError, match=f"'wrong' failed its check on c4: 3x3 -> 3x3: {said}"):
        solve_space(solved("c4", 3, 3).space, wrong)
