"""The solver `kernel`: null spaces of constraints, the rank that they are held to, and by what."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from scipy import sparse
from scipy.linalg import block_diag, expm

import by_hand
import equibasis as eb
import lie_groups as lie
from equibasis.linalg.kernel import null_spaces
from equibasis.linalg.modular import PRIME, nullity
from equibasis.linalg.rational import whole_in_units, whole_multiple
from equibasis.solvers import problem
from equibasis.solvers.constraints import commutator, whole_constraints

BOOSTS = lie.so(1, 3)
TURN = lie.so(2)[0]
seeds = st.integers(0, 2**16)


def solved(group: eb.Group, source: int, target: int) -> eb.Basis:
    return eb.solve(group, input=f"V**{source}" if source else "1", output=f"V**{target}")


# --- constraints ----------------------------------------------------------------------------------


@given(st.integers(1, 4), st.integers(1, 4), seeds)
def test_a_constraint_is_what_a_map_fails_to_commute_by(m, k, seed):
    generator = np.random.RandomState(seed)
    one, other, W = (generator.standard_normal(shape) for shape in [(m, m), (k, k), (k, m)])
    kept = np.flatnonzero(generator.randint(2, size=k * m))
    C = commutator(sparse.csr_array(one), sparse.csr_array(other), kept)
    part = np.zeros(k * m)
    part[kept] = W.ravel()[kept]
    W = part.reshape(k, m)
    np.testing.assert_allclose(C @ part[kept], (other @ W - W @ one).ravel(), atol=1e-12)


def test_fractions_are_made_whole():
    thirds = whole_multiple(sparse.csr_array(np.array([[1 / 3, 0.0], [-2.0, 0.5]])))
    np.testing.assert_array_equal(thirds.toarray(), [[2, 0], [-12, 3]])
    assert whole_multiple(sparse.csr_array(np.array([[2**0.5]]))) is None
    assert whole_multiple(sparse.csr_array(np.array([[1e12]]))) is None


@given(st.integers(1, 6), st.integers(1, 4), seeds)
def test_units_are_found_in_which_square_roots_of_fractions_are_fractions(n, count, seed):
    generator = np.random.RandomState(seed)
    units = np.sqrt(generator.choice([1, 2, 3, 5, 6], n))
    factors = np.sqrt(generator.choice([1, 2, 3, 7], count))
    rational = generator.randint(-4, 5, (count, n, n)) * generator.randint(2, size=(count, n, n))
    matrices = [
        sparse.csr_array(factor * each * units / units[:, None] / 3)
        for each, factor in zip(rational, factors, strict=True)
    ]
    whole, squares = whole_in_units(matrices)
    for matrix, found in zip(matrices, whole, strict=True):
        in_units = matrix.toarray() * np.sqrt(squares)[:, None] / np.sqrt(squares)
        multiple = np.abs(found.toarray()).sum() / max(np.abs(in_units).sum(), 1e-300)
        assert found.dtype == np.int64
        np.testing.assert_allclose(found.toarray(), multiple * in_units, atol=1e-9)


def test_a_turn_by_sixty_degrees_is_one_of_fractions_in_other_units():
    turn = expm(np.pi / 3 * TURN)
    (whole,), squares = whole_in_units([sparse.csr_array(block_diag(turn, [[1e-17]]))])
    assert squares.tolist() == [1, 3, 1]
    np.testing.assert_array_equal(np.abs(whole.toarray()), [[1, 1, 0], [3, 1, 0], [0, 0, 0]])


def test_no_units_are_found_for_other_numbers():
    assert whole_in_units([sparse.csr_array(np.array([[0.0, np.pi], [1.0, 0.0]]))]) is None
    around = np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0], [np.sqrt(2), 0.0, 0.0]])
    assert whole_in_units([sparse.csr_array(around)]) is None


# --- null spaces ----------------------------------------------------------------------------------


def semidefinite(sizes: list[int], ranks: list[int], seed: int) -> np.ndarray:
    """Blocks with three distinct eigenvalues beside zero."""
    generator = np.random.RandomState(seed)
    blocks = []
    for size, rank in zip(sizes, ranks, strict=True):
        vectors = np.linalg.qr(generator.standard_normal((size, size)))[0][:, :rank]
        blocks.append(vectors * generator.randint(1, 4, size=rank) @ vectors.T)
    return block_diag(*blocks)


@pytest.mark.parametrize("most", [None, 147])
def test_null_spaces_of_blocks_small_and_large(most):
    sizes, ranks = [350, 40, 400, 5, 310], [300, 30, 400, 0, 228]
    operator = semidefinite(sizes, ranks, 0)
    found = list(null_spaces(sparse.csr_array(operator), most))
    assert sum(basis.shape[1] for _, basis in found) == 147
    for rows, basis in found:
        np.testing.assert_allclose(basis.T @ basis, np.eye(basis.shape[1]), atol=1e-13)
        assert np.abs(operator[:, rows] @ basis).max() < 1e-12


def test_where_fewer_are_said_to_exist_too_many_are_found():
    """So that the rank does not agree, and the basis is refused."""
    operator = sparse.csr_array(semidefinite([400], [300], 0))
    assert sum(basis.shape[1] for _, basis in null_spaces(operator, 50)) > 50


# --- modulo a prime -------------------------------------------------------------------------------


@given(st.integers(1, 40), st.integers(1, 60), st.integers(0, 30), seeds)
def test_the_nullity_modulo_a_prime_is_that_over_the_rational_numbers(rows, columns, rank, seed):
    generator = np.random.RandomState(seed)
    matrix = generator.randint(-3, 4, (rows, rank)) @ generator.randint(-3, 4, (rank, columns))
    expected = columns - (np.linalg.matrix_rank(matrix) if rank else 0)
    assert nullity(sparse.csr_array(matrix.astype(np.int64))) == expected


def test_blocks_count_each_on_its_own_and_multiples_of_the_prime_are_zero():
    blocks = block_diag(np.array([[1, -1], [2, -2]]), np.array([[PRIME]]), np.array([[3]]))
    matrix = sparse.csr_array(np.hstack([blocks, np.zeros((4, 2))]).astype(np.int64))
    assert nullity(matrix) == 1 + 1 + 2


def test_what_would_take_too_long_is_not_counted_modulo_a_prime():
    ones = np.ones(5001)
    chain = sparse.diags_array([ones, -ones], offsets=[0, 1], shape=(5001, 5002), format="csr")
    chain = sparse.csr_array(chain.astype(np.int64))
    assert nullity(chain) is None
    assert nullity(chain[:, :100]) == 0


# --- by what the rank is known --------------------------------------------------------------------

MOTIONS = [block_diag(a, 0) for a in lie.so(3)] + [lie.unit(4, i, 3) for i in range(3)]
HEISENBERG = [lie.unit(3, 0, 1), lie.unit(3, 1, 2)]
BOREL = [np.diag([1.0, -1.0]), lie.unit(2, 0, 1)]
NOT_REDUCTIVE = {"motions": (MOTIONS, 1), "Heisenberg": (HEISENBERG, 2), "Borel": (BOREL, 3)}


@pytest.mark.parametrize(("algebra", "exponent"), NOT_REDUCTIVE.values(), ids=list(NOT_REDUCTIVE))
def test_the_rank_of_what_is_not_reductive_is_that_modulo_a_prime(algebra, exponent):
    basis = solved(lie.group(algebra), exponent, exponent)
    assert (basis.checks.rank_by, basis.checks.rank_expected) == ("rank modulo p", basis.rank)
    assert basis.rank == lie.nullity(algebra, [], exponent, exponent)


def test_symmetric_powers_are_of_fractions_in_other_units():
    """Of a unipotent Jordan block of size 4, whose commutant has dimension 4."""
    basis = eb.solve(lie.group([lie.unit(2, 0, 1)]), input="sym(V,3)", output="sym(V,3)")
    assert (basis.checks.rank_by, basis.rank) == ("rank modulo p", 4)


def test_the_rank_of_an_infinite_discrete_group_is_that_modulo_a_prime():
    matrices = {"turn": [[0, -1], [1, 0]], "shear": [[1, 1], [0, 1]]}
    basis = solved(eb.matrix_group("sl2z", matrices), 2, 2)
    assert (basis.checks.rank_by, basis.rank) == ("rank modulo p", 2)  # as of SL(2): Catalan


def test_two_null_spaces_agree_where_nothing_else_tells():
    skewed = lie.in_basis(BOREL, np.array([[1.0, np.sqrt(2)], [np.pi, 1.0]]))
    for exponent in (1, 3):
        basis = solved(lie.group(skewed), exponent, exponent)
        assert basis.checks.rank_by == "null spaces"
        assert basis.rank == lie.nullity(BOREL, [], exponent, exponent)


def test_powers_of_a_shear_commute_with_itself():
    basis = solved(eb.matrix_group("shears", [[[1, 1], [0, 1]]]), 1, 1)
    assert (basis.checks.rank_by, basis.rank) == ("rank modulo p", 2)


@pytest.mark.parametrize("algebra", [[], [np.diag([0.0, 0.0, 1.0])]])
def test_a_turn_by_any_angle_is_refused_as_a_discrete_element(algebra):
    """Of a turn by 2π/7 to four digits nobody knows what was meant."""
    turn = np.round(expm(2 * np.pi / 7 * lie.so(2)[0]), 4)
    turn = block_diag(turn / np.sqrt(np.linalg.det(turn)), 1.0)
    group = eb.matrix_group("turns", [turn], algebra=algebra or None)
    with pytest.raises(eb.EquibasisError, match=r"g0 has no finite order|check the angles"):
        solved(group, 1, 1)


def test_weights_come_first_then_characters_and_orbits():
    """A scalar is permuted, and V is not: all pairs are known by weights."""
    turns = lie.group(lie.so(3))
    assert eb.solve(turns, input="1 + V", output="1 + V").checks.rank_by == "weights"
    assert eb.solve("c4", input="3x3", output="3x3").checks.rank_by == "characters"
    pairs = eb.matrix_group("pairs", [np.eye(3)[[1, 2, 0]]])
    assert eb.solve(pairs, input="V", output="V").checks.rank_by == "orbits"


# --- bases ----------------------------------------------------------------------------------------

PROBLEMS = {
    "SO(3)": (lie.so(3), [], 3, 3),
    "O(1,3)": (BOOSTS, [-np.eye(4), lie.reflection(4, 0)], 2, 2),
    "SU(2)": (lie.su(2), [], 2, 2),
    "SL(3)": (lie.sl(3), [], 3, 3),
    "Sp(4)": (lie.sp(4), [], 2, 2),
    "motions": (MOTIONS, [], 2, 2),
}


@pytest.mark.parametrize(
    ("algebra", "discrete", "source", "target"), PROBLEMS.values(), ids=list(PROBLEMS)
)
def test_a_basis_is_orthonormal_and_moved_by_no_curve_of_the_group(
    algebra, discrete, source, target
):
    basis = solved(lie.group(algebra, *discrete), source, target)
    assert basis.rank == lie.nullity(algebra, discrete, source, target)
    B = by_hand.dense(basis)
    np.testing.assert_allclose(B.T @ B, np.eye(basis.rank), atol=1e-13)
    maps = B.T.reshape(basis.rank, basis.space.k, basis.space.m)
    for element in [*discrete, *(expm(0.3 * a) for a in algebra)]:
        one, other = (lie.tensor(element, power, algebra=False) for power in (source, target))
        assert np.abs(other @ maps - maps @ one).max() < 1e-12 * np.abs(other).max()


def test_nothing_may_be_equivariant():
    basis = solved(lie.group(lie.so(3), -np.eye(3)), 3, 2)
    assert (basis.rank, basis.matrix.shape) == (0, (9 * 27, 0))
    assert eb.verify_basis(basis).rank_by == "weights"


def test_what_moves_nothing_demands_nothing():
    still = lie.group([np.zeros((2, 2))])
    basis = eb.solve(still, input="V", output="V", solver="kernel")
    np.testing.assert_array_equal(basis.matrix.toarray(), np.eye(4))


def test_pairs_of_types_between_which_nothing_is_equivariant_have_empty_tables():
    """Four turned planes; the rank is the number of closed walks of four steps in Z⁴."""
    still = np.zeros((2, 2))
    turns = [block_diag(*[TURN if a == b else still for b in range(4)]) for a in range(4)]
    basis = eb.solve(lie.group(turns), input="V**2", output="V**2")
    ranks = [table.rank for row in basis.tables for table in row]
    assert len(ranks) > 30
    assert ranks.count(0) > len(ranks) / 2
    assert basis.rank == basis.checks.rank_expected == 12 * 4**2 - 6 * 4


def test_generators_of_any_scale_give_one_basis():
    x, y, z = lie.so(3)
    one, other = (solved(lie.group([a * x, y, z / a]), 3, 3).matrix for a in (1.0, 1000.0))
    np.testing.assert_allclose(one.toarray(), other.toarray(), atol=1e-13)


def test_constraints_of_the_generators_as_they_were_given_are_whole():
    space = problem(lie.group(lie.so(3)), input="V", output="V**2")
    whole = whole_constraints(space.between(0, 1))
    assert [each.dtype for each in whole.constraints] == [np.int64] * 3
    assert (whole.squares == 1).all()
