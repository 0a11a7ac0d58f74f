"""Solvers: whichever is asked, the one canonical basis of the equivariant maps comes back."""

from __future__ import annotations

import functools
import itertools
import re
from dataclasses import replace

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from scipy import sparse

import by_hand
import equibasis as eb
from equibasis.linalg.canonical import canonical_basis
from equibasis.solvers import SOLVERS, explanation, find_solver, problem, solve_space
from equibasis.solvers.interface import Solver, no_obstacle
from equibasis.solvers.reynolds import hom_dimension
from equibasis.solvers.tables import MatrixTable, OrbitTable, matrix_of
from equibasis.symmetry.assembled import direct_sum
from equibasis.symmetry.hom_space import HomSpace
from equibasis.symmetry.representations import (
    MatrixRepresentation,
    PermutationRepresentation,
    Representation,
)

SIZES = [("c4", 6, 4), ("d4", 6, 3)]
LARGE = [("c4", 14, 6), ("d4", 14, 6)]
sizes = pytest.mark.parametrize(("group", "m", "k"), SIZES)
sizes_and_large = pytest.mark.parametrize(("group", "m", "k"), SIZES + LARGE)


def solved(group: str, m: int, k: int, solver: str = "auto") -> eb.Basis:
    return by_hand.solved(group, input=(m, m), output=(k, k), solver=solver)


def actions(group: str, m: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    return by_hand.grid_permutations(group, m), by_hand.grid_permutations(group, k)


SHEAR = np.array([[1.0, 1.0], [0.0, 1.0]])
EXCHANGES = [np.eye(2), SHEAR @ np.eye(2)[::-1] @ np.linalg.inv(SHEAR)]
SHEARED = by_hand.hom_space(*[MatrixRepresentation(np.stack(EXCHANGES))] * 2)
TURN = np.array([[-0.5, -(0.75**0.5)], [0.75**0.5, -0.5]])  # by 120 degrees
TURNS = MatrixRepresentation(np.stack([np.eye(2), TURN, TURN.T]))
TURNED = by_hand.hom_space(TURNS, TURNS)


def permutation_space(n: int) -> HomSpace:
    """All maps of R^n to itself, under the trivial group."""
    identity = PermutationRepresentation(np.arange(n)[None])
    return by_hand.hom_space(identity, identity, "trivial")


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
    by_text, by_sizes = (
        eb.solve("c4", input="6x6", output="3x3"),
        eb.solve("c4", input=(6, 6), output=(3, 3)),
    )
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
    orbits = by_hand.orbits(*actions(group, m, k))
    columns = np.split(matrix.indices, matrix.indptr[1:-1])
    order = np.argsort([column[0] for column in columns])
    assert [columns[j].tolist() for j in order] == orbits
    sizes = np.diff(matrix.indptr)
    np.testing.assert_array_equal(matrix.data, np.repeat(1 / np.sqrt(sizes), sizes))


# --- two solvers, one basis ---------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["projector", "svd", "dense"])
@sizes
def test_for_permutations_solvers_agree_to_the_last_bit(group, m, k, solver):
    one, other = solved(group, m, k, "orbits"), solved(group, m, k, solver)
    assert eb.content_sha256(one) == eb.content_sha256(other)


@pytest.mark.parametrize(
    ("solver", "group", "m", "k"), [("projector", *LARGE[0]), ("svd", *LARGE[1])]
)
def test_for_large_permutations_solvers_agree_to_the_last_bit(group, m, k, solver):
    one, other = solved(group, m, k, "orbits"), solved(group, m, k, solver)
    assert eb.content_sha256(one) == eb.content_sha256(other)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("group", by_hand.ELEMENTS)
def test_solvers_agree_on_invariant_vectors(group, solver):
    one, other = eb.solve(group, output="3x3", solver=solver), eb.solve(group, output="3x3")
    assert eb.content_sha256(one) == eb.content_sha256(other)


# --- the empty basis ----------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["auto", "projector", "svd", "dense"])
def test_no_map_leads_from_the_sign_to_the_trivial_representation(sign_to_trivial, solver):
    basis = solve_space(sign_to_trivial, find_solver(solver))
    assert (basis.rank, basis.matrix.shape) == (0, (1, 0))


# --- choosing and refusing ----------------------------------------------------------------------


def test_auto_takes_orbits_then_the_projector_then_svd(sign_to_trivial):
    assert solved("c4", 6, 3).solver == "orbits"
    assert solve_space(sign_to_trivial).solver == "orbits"  # a sign is a signed permutation
    assert solve_space(TURNED).solver == "projector"
    assert solve_space(SHEARED).solver == "svd"


def test_auto_takes_for_each_pair_of_types_the_first_that_applies():
    turned = eb.matrix_group("turned", [TURN])
    assert eb.solve(turned, input="V + 1", output="V + 1").solver == "orbits+projector"


def test_orbits_need_permutations():
    with pytest.raises(eb.SolverError, match="'orbits' does not apply: the input representation"):
        solve_space(TURNED, SOLVERS["orbits"])


def test_a_solver_that_is_not_known_is_refused():
    with pytest.raises(
        eb.SolverError, match="'qr': choose auto, orbits, projector, svd, kernel, dense"
    ):
        eb.solve("c4", output="3x3", solver="qr")


def test_an_output_is_needed():
    with pytest.raises(TypeError, match="output"):
        eb.solve("c4")


@pytest.mark.parametrize("solver", ["dense", "svd"])
def test_what_would_not_fit_in_memory_is_refused_before_it_is_begun(solver):
    said = rf"'{solver}' for .* would take about [\d,.]+ [GT]iB .* --solver"
    with pytest.raises(eb.SolverError, match=said):
        eb.solve("z1000", input="1000", output="1000", solver=solver)


def test_what_is_small_for_each_pair_of_types_fits_whatever_the_whole():
    """All maps of R¹⁰⁰⁰⁰ to itself under the trivial group: one orbit type of one point."""
    for solver in SOLVERS.values():
        if not solver.whole:
            assert solve_space(permutation_space(10_000), solver).rank == 10_000**2


def dropped(table: OrbitTable) -> OrbitTable:
    return replace(table, labels=np.where(table.labels == table.rank - 1, -1, table.labels))


def merged(table: OrbitTable) -> OrbitTable:
    labels = np.where(table.labels == table.rank - 1, 0, table.labels)
    return replace(table, labels=labels.astype(np.int32))


def one_negated(table: OrbitTable) -> OrbitTable:
    signs = np.ones(len(table.labels), dtype=np.int8)
    signs[-1] = -1
    return replace(table, signs=signs)


SPOILT = {
    "an orbit missing": (dropped, "the rank is 6, but the characters give 15"),
    "two orbits made one": (merged, "the rank is 1[0-4], but the characters give 15"),
    "labels shifted": (
        lambda table: replace(table, labels=np.roll(table.labels, 1)),
        "the columns are not equivariant",
    ),
    "a sign wrong": (one_negated, "the columns are not equivariant"),
}


@pytest.mark.parametrize(("spoil", "said"), SPOILT.values(), ids=SPOILT)
def test_a_solver_of_orbits_that_is_wrong_is_found_out(spoil, said):
    right = SOLVERS["orbits"]
    wrong = Solver("orbits", "", no_obstacle, right.cost, lambda s: spoil(right.solve(s)))
    found = re.escape("failed its check on d4: 3x3 -> 3x3: ") + said
    with pytest.raises(eb.SolverError, match=found):
        solve_space(solved("d4", 3, 3).space, wrong)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda values: values[:, 1:], "the rank is 1, but the characters give 2"),
        (lambda values: 1.5 * values, "the columns are not orthonormal: off by 1.25"),
        (lambda values: np.roll(values, 1, axis=0), "the columns are not equivariant"),
    ],
    ids=["a column missing", "longer", "rows shifted"],
)
def test_a_solver_of_matrices_that_is_wrong_is_found_out(spoil, said):
    right = SOLVERS["svd"]
    wrong = Solver(
        "svd", "", no_obstacle, right.cost, lambda s: MatrixTable(spoil(right.solve(s).values))
    )
    with pytest.raises(eb.SolverError, match=f"'svd' failed its check on random: 2 -> 2: {said}"):
        solve_space(SHEARED, wrong)


# --- groups by generators -----------------------------------------------------------------------

permuting = by_hand.problems(by_hand.PERMUTING)
signed = by_hand.problems(by_hand.SIGNED | by_hand.PERMUTING)
orthogonal = by_hand.orthogonal_problems()
any_problem = st.one_of(permuting, signed, orthogonal)


def applying(space: HomSpace) -> list[Solver]:
    return [solver for solver in SOLVERS.values() if solver.obstacle(space) is None]


@given(any_problem)
def test_from_generators_and_from_elements_the_rank_is_that_of_the_closure(problem):
    for space in (problem.generated, problem.listed):
        assert solve_space(space).rank == problem.rank == hom_dimension(space)


@given(any_problem)
def test_from_generators_every_basis_vector_intertwines_and_the_basis_is_orthonormal(problem):
    for solver in applying(problem.generated):
        basis = solve_space(problem.generated, solver)
        assert by_hand.invariance_error(problem.listed, basis) < 1e-12
        B = by_hand.dense(basis)
        np.testing.assert_allclose(B.T @ B, np.eye(basis.rank), atol=1e-12)


@given(any_problem, by_hand.seeds)
def test_from_generators_the_basis_of_every_pair_of_types_is_canonical(problem, seed):
    for block in solve_space(problem.generated).blocks:
        B = matrix_of(block.table, block.space).toarray()
        mixed = B @ by_hand.random_orthogonal(B.shape[1], seed) if B.size else B
        canonical = canonical_basis(sparse.csr_array(mixed @ mixed.T)).toarray()
        np.testing.assert_allclose(canonical, B, atol=1e-10)


@given(st.one_of(permuting, signed))
def test_orbits_from_generators_and_from_elements_are_identical(problem):
    """Copies of a type may be numbered in another way: columns come in another order."""
    one, other = (solve_space(each) for each in (problem.generated, problem.listed))
    np.testing.assert_array_equal(
        by_hand.ordered(by_hand.dense(one)), by_hand.ordered(by_hand.dense(other))
    )


@given(signed)
def test_an_orbit_that_maps_to_minus_itself_contributes_nothing(problem):
    """Row (o, i) is zero exactly where some g takes e_o ⊗ e_i to its negative."""
    products = [np.kron(b, a) for a, b in zip(*problem.elements, strict=True)]
    negated = np.any([matrix.diagonal() == -1 for matrix in products], axis=0)
    for space in (problem.generated, problem.listed):
        np.testing.assert_array_equal(~by_hand.dense(solve_space(space)).any(axis=1), negated)


@given(st.one_of(permuting, signed))
def test_verification_holds_for_signed_orbits_from_generators(problem):
    for space in (problem.generated, problem.listed):
        assert eb.verify_basis(solve_space(space)).rank_expected == problem.rank


@given(any_problem)
def test_random_matrices_of_generators_list_their_closure(problem):
    space = problem.generated.enumerated
    joint = [by_hand.direct_sum(a, b) for a, b in zip(*problem.generators, strict=True)]
    assert len(space.elements) == len(by_hand.closure(joint))
    assert same_set_of_matrices(space.output, problem.elements[1])


def same_set_of_matrices(rho: Representation, matrices: np.ndarray) -> bool:
    one, other = (
        {(np.round(m, 6) + 0.0).tobytes() for m in each}
        for each in (by_hand.matrices(rho), matrices)
    )
    return one == other


# --- symmetric groups: Bell numbers -------------------------------------------------------------


@functools.cache
def partitions(n: int, blocks: int) -> int:
    """Stirling numbers: partitions of n things into so many blocks."""
    if n == blocks:
        return 1
    if blocks < 1 or blocks > n:
        return 0
    return blocks * partitions(n - 1, blocks) + partitions(n - 1, blocks - 1)


def bell(n: int) -> int:
    return sum(partitions(n, blocks) for blocks in range(n + 1))


def test_bell_numbers():
    assert [bell(n) for n in range(7)] == [1, 1, 2, 5, 15, 52, 203]


@pytest.mark.parametrize("n", range(1, 6))
def test_maps_of_tensors_under_all_permutations_are_partitions_of_their_indices(n):
    """Orbits of index tuples are partitions into at most n blocks; Bell numbers where n ≥ a+b."""
    points = eb.Grid((n,))
    for a, b in [(a, total - a) for total in range(6) for a in range(total + 1)]:
        rank = eb.solve(f"s{n}", input=points**a, output=points**b).rank
        assert rank == sum(partitions(a + b, blocks) for blocks in range(n + 1))
        if a + b <= n:
            assert rank == bell(a + b)


def test_all_permutations_of_50_points_leave_15_maps_of_matrices():
    basis = eb.solve("s50", input="50x50", output="50x50")
    assert (basis.rank, basis.nonzeros) == (15, 6_250_000)


# --- ranks of the built-in families, by a closure of our own ------------------------------------


def turn(grid: np.ndarray) -> np.ndarray:
    return np.rot90(grid)


def cube_turn(first: int, second: int):
    return lambda grid: np.rot90(grid, axes=(first, second))


def roll(axis: int):
    return lambda grid: np.roll(grid, 1, axis)


CUBE_TURNS = [cube_turn(0, 1), cube_turn(1, 2)]
FAMILIES = [
    ("z6", [roll(0)], [(6,), (3,), (2,)]),
    ("z12", [roll(0)], [(12,), (4,), (6,)]),
    ("z3*z4", [roll(0), roll(1)], [(3, 4), (3, 2), (3, 1)]),
    ("z4*z4", [roll(0), roll(1)], [(4, 4), (2, 4)]),
    ("p4", [roll(0), roll(1), turn], [(3, 3), (4, 4), (5, 5)]),
    ("p4m", [roll(0), roll(1), turn, np.fliplr], [(3, 3), (4, 4)]),
    ("d1", [np.fliplr], [(3, 5), (4, 4)]),
    ("d2", [np.fliplr, np.flipud], [(3, 5), (4, 4)]),
    ("o", CUBE_TURNS, [(2, 2, 2), (3, 3, 3)]),
    ("oh", [*CUBE_TURNS, np.flipud], [(2, 2, 2), (3, 3, 3)]),
    ("c4*z3", [turn, roll(2)], [(3, 3, 3), (2, 2, 3)]),
]


def listed_actions(moves: list, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    """All products of some moves of grids, as index arrays on each of several grids."""
    sizes = [int(np.prod(shape)) for shape in shapes]
    starts = np.cumsum([0, *sizes])
    generators = []
    for move in moves:
        parts = [
            move(np.arange(start, start + size).reshape(shape)).ravel()
            for shape, start, size in zip(shapes, starts, sizes, strict=False)
        ]
        generators.append(tuple(np.concatenate(parts).tolist()))
    group = np.array(by_hand.generated_group(generators))
    return [group[:, a:b] - a for a, b in itertools.pairwise(starts)]


@pytest.mark.parametrize(("name", "moves", "shapes"), FAMILIES, ids=[f[0] for f in FAMILIES])
def test_ranks_of_the_families_are_those_of_burnside(name, moves, shapes):
    for input_, output in itertools.product(shapes, shapes):
        rank = eb.solve(name, input=input_, output=output).rank
        assert rank == by_hand.burnside(*listed_actions(moves, input_, output))


# --- Rubik's cube: stickers 1 to 48, six face turns ---------------------------------------------

RUBIK = {
    "U": "(1,3,8,6)(2,5,7,4)(9,33,25,17)(10,34,26,18)(11,35,27,19)",
    "L": "(9,11,16,14)(10,13,15,12)(1,17,41,40)(4,20,44,37)(6,22,46,35)",
    "F": "(17,19,24,22)(18,21,23,20)(6,25,43,16)(7,28,42,13)(8,30,41,11)",
    "R": "(25,27,32,30)(26,29,31,28)(3,38,43,19)(5,36,45,21)(8,33,48,24)",
    "B": "(33,35,40,38)(34,37,39,36)(3,9,46,32)(2,12,47,29)(1,14,48,27)",
    "D": "(41,43,48,46)(42,45,47,44)(14,22,30,38)(15,23,31,39)(16,24,32,40)",
}


def images_of(cycles: str) -> list[int]:
    images = list(range(48))
    for cycle in cycles.strip("()").split(")("):
        points = [int(point) - 1 for point in cycle.split(",")]
        for here, there in zip(points, points[1:] + points[:1], strict=True):
            images[here] = there
    return images


def orbits_by_union(pairs: int, generators: list) -> list[int]:
    """The smallest pair in the orbit of each pair: union-find, one pair at a time."""
    parent = list(range(pairs))

    def root(pair: int) -> int:
        while parent[pair] != pair:
            parent[pair] = parent[parent[pair]]
            pair = parent[pair]
        return pair

    for send in generators:
        for pair in range(pairs):
            a, b = root(pair), root(send(pair))
            parent[max(a, b)] = min(a, b)
    return [root(pair) for pair in range(pairs)]


def test_the_cube_of_rubik_is_solved_from_its_six_face_turns(tmp_path):
    """43,252,003,274,489,856,000 elements, on corners and edges of 24 stickers each."""
    turns = {name: images_of(cycles) for name, cycles in RUBIK.items()}
    listed = "".join(f"  {name}: {images}\n" for name, images in turns.items())
    path = tmp_path / "rubik.yaml"
    path.write_text(f"degree: 48\ngenerators:\n{listed}", encoding="utf-8")
    basis = eb.solve(str(path), input="48", output="48")
    smallest = orbits_by_union(
        48 * 48,
        [lambda p, g=g: g[p // 48] * 48 + g[p % 48] for g in turns.values()],
    )
    firsts = sorted(set(smallest))
    labels, _ = basis.labels(np.arange(48)[:, None], np.arange(48))
    _, first, again = np.unique(labels, return_index=True, return_inverse=True)
    np.testing.assert_array_equal(first[again.reshape(-1)], smallest)
    # Two stickers of corners are the same, on one corner (one or the other way round), or not;
    # so are those of edges; between corners and edges there is one relation each way.
    assert basis.rank == len(firsts) == 4 + 3 + 2
    assert basis.space.group == "rubik"
    assert eb.solve(str(path), output="48").rank == 2
    assert eb.verify_basis(basis).rank_expected == basis.rank


# --- the projector ------------------------------------------------------------------------------


def rotation(axis: tuple[float, ...], turn: float) -> np.ndarray:
    """Rodrigues: the rotation about an axis by a share of a full turn."""
    x, y, z = np.array(axis) / np.linalg.norm(axis)
    K = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = 2 * np.pi * turn
    return np.eye(3) + np.sin(angle) * K + (1 - np.cos(angle)) * K @ K


PHI = (1 + 5**0.5) / 2
FIVEFOLD, THREEFOLD = rotation((0, 1, PHI), 1 / 5), rotation((1, 1, 1), 1 / 3)
ICOSAHEDRAL = eb.matrix_group("icosahedral", {"five": FIVEFOLD, "three": THREEFOLD})


@functools.cache
def icosahedral_rotations() -> np.ndarray:
    return np.stack(by_hand.closure([FIVEFOLD, THREEFOLD]))


def test_a_fivefold_and_a_threefold_turn_generate_the_60_rotations_of_the_icosahedron():
    assert len(icosahedral_rotations()) == 60
    assert hom_dimension(problem(ICOSAHEDRAL, input="V", output="V")) == 1


def test_a_large_sum_under_the_icosahedral_group():
    X = 12 * eb.V + eb.V**2
    basis = eb.solve(ICOSAHEDRAL, input=X, output=X)
    traces = np.trace(icosahedral_rotations(), axis1=1, axis2=2)
    assert basis.solver == "projector"
    assert basis.rank == round(float(np.mean((12 * traces + traces**2) ** 2)))
    worst = 0.0
    stack = basis.matrix.T.toarray().reshape(-1, 45, 45)
    for R in icosahedral_rotations()[1:8]:
        rho = by_hand.direct_sum(np.kron(np.eye(12), R), np.kron(R, R))
        worst = max(worst, abs(rho @ stack @ rho.T - stack).max())
    assert worst < 1e-12
    assert basis.checks.equivariance_error < 1e-12
    assert eb.verify_basis(basis).rank_expected == basis.rank


@pytest.mark.parametrize("other", ["svd", "dense"])
def test_the_projector_agrees_with_other_solvers_on_the_icosahedral_group(other):
    X = eb.V**2 + eb.V
    one = eb.solve(ICOSAHEDRAL, input=X, output=X, solver="projector")
    two = eb.solve(ICOSAHEDRAL, input=X, output=X, solver=other)
    np.testing.assert_allclose(by_hand.dense(one), by_hand.dense(two), rtol=0, atol=1e-10)


def test_equal_blocks_give_equal_columns():
    """Hom(3 X, 2 Y) is six times Hom(X, Y), to the last bit."""
    X, Y, k, m = eb.V**2, eb.V + eb.SCALAR, 4, 9
    one = by_hand.dense(eb.solve(ICOSAHEDRAL, input=X, output=Y)).T.reshape(-1, k, m)
    many = by_hand.dense(eb.solve(ICOSAHEDRAL, input=3 * X, output=2 * Y)).T.reshape(
        -1, 2 * k, 3 * m
    )
    assert len(many) == 6 * len(one)
    for a, b in itertools.product(range(3), range(2)):
        block = many[:, b * k : (b + 1) * k, a * m : (a + 1) * m]
        rest = many.copy()
        rest[:, b * k : (b + 1) * k, a * m : (a + 1) * m] = 0
        here = block.any(axis=(1, 2))
        np.testing.assert_array_equal(block[here], one)
        assert not rest[here].any()


def test_bilinear_maps_of_vectors_are_multiples_of_the_cross_product():
    basis = eb.solve(ICOSAHEDRAL, input="V*V", output="V")
    cross = np.zeros((3, 3, 3))
    for i, j, k in itertools.permutations(range(3)):
        cross[i, j, k] = np.linalg.det(np.eye(3)[[i, j, k]])
    assert basis.rank == 1
    np.testing.assert_allclose(
        abs(by_hand.dense(basis).T @ cross.ravel() / np.linalg.norm(cross)), 1, atol=1e-12
    )


def test_with_reflections_there_is_no_cross_product():
    reflected = eb.matrix_group("full", {"a": FIVEFOLD, "b": THREEFOLD, "c": -np.eye(3)})
    assert eb.solve(reflected, input="V*V", output="V").rank == 0
    assert eb.solve(reflected, output="V*V").rank == 1  # the inner product is left


def test_quadratic_features_that_are_invariant_are_the_norm():
    invariant = by_hand.dense(eb.solve(ICOSAHEDRAL, output="V*V"))[:, 0]
    np.testing.assert_allclose(invariant, np.eye(3).ravel() / 3**0.5, atol=1e-14)


def test_invariant_polynomials_of_the_icosahedron_in_degree_6_are_two():
    """Its first invariant beyond powers of the norm; on tensors, the mean of tr(R)^6."""
    traces = np.trace(icosahedral_rotations(), axis1=1, axis2=2)
    assert eb.solve(ICOSAHEDRAL, output="V**4").rank == round(float(np.mean(traces**4)))
    assert eb.solve(ICOSAHEDRAL, input="V**3", output="V**3").rank == round(
        float(np.mean(traces**6))
    )


def test_the_projector_needs_orthogonal_matrices():
    with pytest.raises(eb.SolverError, match=r"'projector' does not apply: .* is not orthogonal"):
        solve_space(SHEARED, SOLVERS["projector"])


def test_more_elements_than_can_be_listed_are_refused_where_they_must_be_listed():
    with pytest.raises(eb.GroupError, match=r"more than 20,000 elements .* use --solver orbits"):
        eb.solve("s9", input="9", output="9", solver="svd")


def test_solvers_agree_on_orbits_beside_matrices_whatever_the_signs_and_numbering():
    """S3 on points with signs, beside its plane seen from anywhere: tables of both at once."""
    index = np.array([[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 2, 1], [2, 1, 0], [1, 0, 2]])
    points = PermutationRepresentation(index)
    for angle in (0.5, 1.0, 2.6, -1.0):
        corners = angle + 2 * np.pi * np.arange(3) / 3
        v = np.stack([np.cos(corners), np.sin(corners)], axis=1)
        plane = MatrixRepresentation(np.stack([2 / 3 * (v[i].T @ v).T for i in index]))
        for signs in ([1, -1, -1], [1, 1, -1], [1, -1, 1]):
            f = np.array(signs, dtype=np.int8)
            space = eb.HomSpace(
                group="s3",
                elements=tuple("abcdef"),
                input_space=eb.V,
                output_space=eb.V,
                input=direct_sum([points, plane]),
                output=PermutationRepresentation(index, (f * f[index]).astype(np.int8)),
            )
            expected = solve_space(space)
            for solver in SOLVERS.values():
                if solver.obstacle(space) is None:
                    found = solve_space(space, solver)
                    eb.verify_basis(found)
                    np.testing.assert_allclose(
                        by_hand.dense(found), by_hand.dense(expected), atol=1e-12
                    )


def test_what_dense_would_take_is_told_of_the_whole_and_of_others_by_pairs():
    space = problem("c4", input="3*14x14", output="6x6")
    told = {line.split()[0]: line for line in explanation(space).splitlines() if "about" in line}
    assert "GiB" in told["dense"] or "TiB" in told["dense"]
    assert "GiB" not in told["svd"]
