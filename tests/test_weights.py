"""Weights: dim Hom_G(V, W) of continuous groups without solving for it, or a reason why not."""

from __future__ import annotations

import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import assume, given, settings
from scipy import sparse
from scipy.linalg import block_diag, expm

import equibasis as eb
import lie_groups as lie
from equibasis.solvers import explanation, problem
from equibasis.symmetry.hom_space import HomSpace
from equibasis.symmetry.lie import LieAlgebra, lie_algebra
from equibasis.symmetry.listing import conjugacy_classes, has_finite_order, list_elements
from equibasis.symmetry.representations import PermutationRepresentation


def space(group: eb.Group, source: int, target: int) -> HomSpace:
    return problem(group, input=f"V**{source}" if source else "1", output=f"V**{target}")


# --- ranks in the literature ----------------------------------------------------------------------


def catalan(n: int) -> int:
    return math.comb(2 * n, n) // (n + 1)


LITERATURE = {
    "SO(2): V⁴ -> V⁴": (lie.so(2), [], 4, math.comb(8, 4)),
    "SO(3): V² -> V², A005043": (lie.so(3), [], 2, 3),
    "SO(3): V³ -> V³, A005043": (lie.so(3), [], 3, 15),
    "SO(3): V⁴ -> V⁴, A005043": (lie.so(3), [], 4, 91),
    "O(3): V⁴ -> V⁴": (lie.so(3), [-np.eye(3)], 4, 91),
    "SO(4): V³ -> V³, Catalan²": (lie.so(4), [], 3, catalan(3) ** 2),
    "SO(5): V³ -> V³, A095922": (lie.so(5), [], 3, 15),
    "O(5): V³ -> V³, (2k - 1)!!": (lie.so(5), [lie.reflection(5, 0)], 3, 15),
    "SO(10): V² -> V²": (lie.so(10), [], 2, 3),
    "SO(1,3)₀: V² -> V², Catalan²": (lie.so(1, 3), [], 2, catalan(2) ** 2),
    "SO(1,3)₀: V³ -> V³, Catalan²": (lie.so(1, 3), [], 3, catalan(3) ** 2),
    "SO(1,3)₀: V⁴ -> V⁴, Catalan²": (lie.so(1, 3), [], 4, catalan(4) ** 2),
    "SO(1,3): V³ -> V³, Catalan²": (lie.so(1, 3), [-np.eye(4)], 3, catalan(3) ** 2),
    "O(1,3): V³ -> V³, (2k - 1)!!": (lie.so(1, 3), [-np.eye(4), lie.reflection(4, 0)], 3, 15),
    "Sp(4): V² -> V², A005700": (lie.sp(4), [], 2, 3),
    "Sp(4): V³ -> V³, A005700": (lie.sp(4), [], 3, 14),
    "Sp(8): V² -> V²": (lie.sp(8), [], 2, 3),
    "SU(2): V³ -> V³ on R⁴": (lie.su(2), [], 3, 2**6 * catalan(3)),
    "SU(3): V² -> V² on R⁶": (lie.su(3), [], 2, 12),
    "SU(3): V³ -> V³ on R⁶": (lie.su(3), [], 3, 20 * math.factorial(3) + 2 * 5),
    "U(2): V³ -> V³ on R⁴, Schur-Weyl": (lie.u(2), [], 3, 20 * 5),
    "SL(2): V⁶ -> V⁶, Catalan": (lie.sl(2), [], 6, catalan(6)),
    "SL(3): V⁴ -> V⁴, Schur-Weyl": (lie.sl(3), [], 4, math.factorial(4) - 1),
    "GL(3): V³ -> V³, Schur-Weyl": (lie.gl(3), [], 3, math.factorial(3)),
    "GL(4): V³ -> V³, Schur-Weyl": (lie.gl(4), [], 3, math.factorial(3)),
    "G2: V² -> V², A059710": (lie.g2(), [], 2, 4),
    "G2: V³ -> V³, A059710": (lie.g2(), [], 3, 35),
    "scalings of R³: V² -> V²": ([np.eye(3)], [], 2, 81),
}


@pytest.mark.parametrize(
    ("algebra", "discrete", "exponent", "rank"), LITERATURE.values(), ids=list(LITERATURE)
)
def test_the_rank_is_that_of_the_literature(algebra, discrete, exponent, rank):
    known = space(lie.group(algebra, *discrete), exponent, exponent)
    assert known.rank_by_weights == rank


def test_the_adjoint_representation_of_su3_occurs_twice_in_its_square():
    """8 ⊗ 8 = 27 + 10 + 10* + 8 + 8 + 1: the structure constants f and d."""
    group = lie.group(lie.su3_adjoint())
    ranks = [space(group, *powers).rank_by_weights for powers in [(2, 2), (2, 1), (2, 0), (1, 1)]]
    assert ranks == [8, 2, 1, 1]


# --- the algebra and the finite group -------------------------------------------------------------


def algebra_of(found: HomSpace) -> LieAlgebra:
    return lie_algebra(found.types.representations, found.continuous)


@pytest.mark.parametrize(
    ("algebra", "discrete", "dimension"),
    [
        (lie.so(3)[:2], [], 3),
        (lie.so(1, 3)[:3], [], 6),  # boosts make turns
        (lie.g2(), [], 14),
        ([lie.unit(4, i, i + 1) for i in range(3)], [], 6),
        ([lie.so(3)[0]], [np.eye(3)[[1, 2, 0]]], 3),  # conjugates count too
    ],
)
def test_the_algebra_is_closed(algebra, discrete, dimension):
    found = algebra_of(space(lie.group(algebra, *discrete), 1, 2))
    assert found.dimension == dimension
    gram = (found.vectors @ found.vectors.T).toarray()
    np.testing.assert_allclose(gram, np.eye(dimension), atol=1e-13)


def test_a_space_and_itself_have_one_algebra():
    basis = space(lie.group(lie.so(3)), 1, 1).algebra_basis
    assert len(basis) == 3
    assert all(one is other for one, other in basis)


@settings(max_examples=10)
@given(st.integers(0, 2**16))
def test_the_adjoint_action_is_one_of_the_algebra(seed):
    found = algebra_of(space(lie.group(lie.sl(3)), 1, 2))
    a, b = np.random.RandomState(seed).standard_normal((2, found.dimension))
    bracket = found.adjoint(a) @ b
    ad = [found.adjoint(each) for each in (a, b, bracket)]
    np.testing.assert_allclose(ad[0] @ ad[1] - ad[1] @ ad[0], ad[2], atol=1e-10)
    for one, other, both in zip(*map(found.element, (a, b, bracket)), strict=True):
        np.testing.assert_allclose(
            (one @ other - other @ one).toarray(), both.toarray(), atol=1e-10
        )


def test_the_conjugacy_classes_of_permutations_are_their_cycle_types():
    generators = [PermutationRepresentation(np.array([[1, 2, 3, 0], [1, 0, 2, 3]]))]
    _, listed = list_elements("s4", "R⁴", ["a", "b"], *generators)
    found, classes = conjugacy_classes("s4", "R⁴", ["a", "b"], *generators)
    assert np.trace(found.matrix(generators[0], 5)) == listed[0].characters()[5]
    assert sorted(np.bincount(classes).tolist()) == [1, 3, 6, 6, 8]
    for number in np.unique(classes):
        assert len(np.unique(listed[0].characters()[classes == number])) == 1


@pytest.mark.parametrize(
    ("matrix", "finite"),
    [
        (expm(2 * np.pi / 7 * lie.so(2)[0]), True),
        (expm(lie.so(2)[0]), False),
        (np.round(expm(2 * np.pi / 7 * lie.so(2)[0]), 4), False),
        (np.array([[1.0, 1.0], [0.0, 1.0]]), False),
        (np.array([[2.0]]), False),
        (np.array([[1.0, 5.0], [0.0, -1.0]]), True),
    ],
)
def test_some_matrices_have_a_finite_order(matrix, finite):
    assert has_finite_order([sparse.csr_array(matrix), sparse.csr_array(np.eye(2))]) == finite


# --- components: against the null space of all constraints ----------------------------------------

CONJUGATION = np.diag([1.0, 1, 1, -1, -1, -1])
TURN = lie.so(2)[0]
QUATERNION = lie.real(np.array([[0, 1], [-1, 0]], dtype=complex))
NEIGHBOURS = [lie.unit(6, i, i + 1) - lie.unit(6, i + 1, i) for i in range(5)]  # generate so(6)
COMPONENTS = {
    "O(4)": (lie.so(4), [lie.reflection(4, 0)], [(1, 3), (2, 2)]),
    "O(6)": (NEIGHBOURS, [lie.reflection(6, 0)], [(2, 2)]),
    "O(2,2)": (lie.so(2, 2), [lie.reflection(4, 0), lie.reflection(4, 3)], [(2, 2)]),
    "O(1,3)": (lie.so(1, 3), [-np.eye(4), lie.reflection(4, 0)], [(2, 2)]),
    "SU(3) with conjugation": (lie.su(3), [CONJUGATION], [(1, 1), (2, 1)]),
    "U(2) with conjugation": (lie.u(2), [np.diag([1.0, 1, -1, -1])], [(1, 1), (2, 2)]),
    "SO(3) ≀ S₂": (lie.twice(lie.so(3)[:2]), [lie.exchange(3)], [(1, 1), (2, 1), (2, 2)]),
    "the normalizer of a torus of SU(2)": (
        [lie.real(1j * np.diag([1.0, -1]))],
        [QUATERNION],
        [(1, 1), (1, 3), (2, 2)],
    ),
    "SL(2) with determinants ±1": (lie.sl(2), [lie.reflection(2, 1)], [(2, 0), (2, 2), (3, 3)]),
    "a torus with a quarter turn of its circles": (
        lie.twice(lie.so(2)),
        [lie.exchange(2) @ block_diag(np.diag([1.0, -1]), np.eye(2))],
        [(1, 1), (2, 2)],
    ),
    "O(2) ≀ S₂": (
        lie.twice(lie.so(2)),
        [lie.exchange(2), block_diag(np.diag([1.0, -1]), np.eye(2))],
        [(1, 1), (2, 2)],
    ),
    "Z₅ × SO(2)": (
        [block_diag(TURN, 0 * TURN)],
        [block_diag(np.eye(2), expm(2 * np.pi / 5 * TURN))],
        [(1, 1), (2, 2)],
    ),
    "S₃ with scalings": (
        [np.eye(3)],
        [np.eye(3)[[1, 0, 2]], np.eye(3)[[1, 2, 0]]],
        [(1, 1), (2, 2)],
    ),
    "the octahedral group with scalings": (
        [np.eye(3)],
        [np.eye(3)[[1, 2, 0]], expm(np.pi / 2 * lie.so(3)[0])],
        [(1, 1), (2, 2)],
    ),
}


@pytest.mark.parametrize(
    ("algebra", "discrete", "powers"), COMPONENTS.values(), ids=list(COMPONENTS)
)
@pytest.mark.slow
def test_components_count_as_the_null_space_does(algebra, discrete, powers):
    group = lie.group(algebra, *discrete)
    for source, target in powers:
        assert space(group, source, target).by_weights.sum() >= 1
        assert space(group, source, target).rank_by_weights == lie.nullity(
            algebra, discrete, source, target
        )


def test_a_skewed_basis_changes_no_rank():
    """O(3), U(2) and SL(2) with a determinant -1, where nothing is orthogonal or transposed."""
    for algebra, discrete in [
        (lie.so(3), [lie.reflection(3, 0)]),
        (lie.u(2), [np.diag([1.0, 1, -1, -1])]),
        (lie.sl(2), [lie.reflection(2, 1)]),
    ]:
        n = len(algebra[0])
        basis = np.eye(n) + 0.4 * np.random.RandomState(1).standard_normal((n, n))
        straight = space(lie.group(algebra, *discrete), 2, 2)
        skewed = space(
            lie.group(lie.in_basis(algebra, basis), *lie.in_basis(discrete, basis)), 2, 2
        )
        assert skewed.rank_by_weights == straight.rank_by_weights


# --- random reductive algebras --------------------------------------------------------------------

SMALL = {
    "so2": lie.so(2),
    "so3": lie.so(3),
    "so12": lie.so(1, 2),
    "sl2": lie.sl(2),
    "gl2": lie.gl(2),
    "su2": lie.su(2),
    "scalings": [np.eye(1)],
    "trivial": [np.zeros((1, 1))],
}


@st.composite
def reductive_algebras(draw):
    """A product of one or two small algebras, on a sum of their spaces, in a random basis."""
    names = draw(st.lists(st.sampled_from(sorted(SMALL)), min_size=1, max_size=2))
    parts = [SMALL[name] for name in names]
    assume(sum(len(part[0]) for part in parts) <= 5)
    shared = len(names) == 2 and names[0] == names[1] and draw(st.booleans())
    algebra = []
    if shared:  # one algebra on two copies
        algebra = [block_diag(a, a) for a in parts[0]]
    else:
        for number, part in enumerate(parts):
            blocks = [np.zeros_like(each[0]) for each in parts]
            algebra += [block_diag(*blocks[:number], a, *blocks[number + 1 :]) for a in part]
    n = len(algebra[0])
    generator = np.random.RandomState(draw(st.integers(0, 2**16)))
    basis = np.linalg.qr(generator.standard_normal((n, n)))[0]
    if draw(st.booleans()):
        basis = basis + 0.2 * generator.standard_normal((n, n))
        assume(np.linalg.cond(basis) < 30)
    mixed = generator.standard_normal((len(algebra), len(algebra)))
    assume(np.linalg.cond(mixed) < 100)
    return lie.in_basis(list(np.tensordot(mixed, np.stack(algebra), 1)), basis)


@settings(max_examples=40)
@given(algebra=reductive_algebras(), powers=st.sampled_from([(1, 1), (0, 2), (2, 1), (2, 2)]))
def test_random_reductive_algebras_have_the_rank_of_the_null_space(algebra, powers):
    source, target = powers
    assume(len(algebra[0]) ** (source + target) <= 400)
    known = space(lie.group(algebra), source, target)
    assert known.rank_by_weights == lie.nullity(algebra, [], source, target)


# --- several representations ----------------------------------------------------------------------


def test_every_pair_of_types_has_its_own_rank():
    """SO(3) on scalars, vectors and tensors: 1, V, V² = 1 + V + 5, and V + V² between them."""
    known = problem(lie.group(lie.so(3)), input="1 + V + V**2", output="1 + V + V**2")
    assert sorted(known.by_weights.ravel().tolist()) == [0, 0, 1, 1, 1, 1, 1, 1, 3]
    assert (
        known.rank_by_weights
        == eb.solve(lie.group(lie.so(3)), input="1 + V + V**2", output="1 + V + V**2").rank
    )


def test_copies_count():
    group = lie.group(lie.so(3))
    assert problem(group, input="2*V", output="3*V + V**2").rank_by_weights == 2 * 3 + 2


# --- why a rank is not known ----------------------------------------------------------------------


def obstacle(algebra, *discrete) -> str:
    found = space(lie.group(algebra, *discrete), 1, 1).by_weights
    assert isinstance(found, eb.GroupError)
    return str(found)


def test_an_algebra_that_is_not_reductive():
    heisenberg = [lie.unit(3, 0, 1), lie.unit(3, 1, 2)]
    assert obstacle(heisenberg) == "its algebra is not reductive (center 1 + derived 1 of 3)"
    borel = [np.diag([1.0, -1.0]), lie.unit(2, 0, 1)]
    assert obstacle(borel) == "its algebra is not reductive (center 0 + derived 1 of 2)"


def test_an_algebra_of_motions_has_a_derived_part_that_is_not_semisimple():
    motions = [block_diag(a, 0) for a in lie.so(3)] + [lie.unit(4, i, 3) for i in range(3)]
    assert obstacle(motions) == (
        "its algebra is not reductive (center 0 + derived 6 of 6, which is not semisimple)"
    )


def test_a_center_of_shears():
    shear = np.array([[0.0, 1.0], [0.0, 0.0]])
    assert obstacle([shear]) == "its algebra has a center that does not act by diagonal matrices"


NO_ORDER = "g0 has no finite order: give it as an algebra element instead"


def test_a_discrete_element_of_no_finite_order():
    turn = block_diag(np.eye(2), expm(TURN))
    assert obstacle([block_diag(TURN, 0 * TURN)], turn) == NO_ORDER
    shear = block_diag(np.eye(2), [[1.0, 1.0], [0.0, 1.0]])
    assert obstacle([block_diag(TURN, 0 * TURN)], shear) == NO_ORDER


def test_discrete_elements_of_finite_order_that_generate_too_many():
    """Two reflections of the plane whose product stretches it."""
    one, other = np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([[0.0, 2.0], [0.5, 0.0]])
    said = obstacle([np.eye(2)], one, other)
    assert said == "its discrete elements generate more than can be listed"


def test_infinite_discrete_groups_have_no_weights():
    turn, shear = [[0, -1], [1, 0]], [[1, 1], [0, 1]]
    group = eb.matrix_group("gl2z", {"turn": turn, "shear": shear})
    found = problem(group, input="V", output="V").by_weights
    assert isinstance(found, eb.GroupError)
    assert str(found) == "shear has no finite order: give it as an algebra element instead"


SHEAR = lie.unit(2, 0, 1)
SLANTED = lie.in_basis([SHEAR], np.array([[1.0, np.sqrt(2)], [np.pi, 1.0]]))


@pytest.mark.parametrize(
    ("algebra", "told"),
    [
        (lie.so(3), "rank       1, from weights"),
        ([SHEAR], "diagonal matrices; held to that of its constraints modulo a prime"),
        (SLANTED, "matrices; and its entries are no fractions, so that null spaces alone tell"),
    ],
)
def test_what_is_explained_says_the_rank_or_why_it_is_not_known(algebra, told):
    assert told in explanation(space(lie.group(algebra), 1, 1))
