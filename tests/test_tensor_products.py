"""Tensor products of representations, factors moved between X and Y, and large ones never made."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

import by_hand
import equibasis as eb
from equibasis.solvers import prediction, problem
from equibasis.symmetry.assembled import TensorProduct, tensor_product
from equibasis.symmetry.constructions import power_of_one
from equibasis.symmetry.lie import lie_algebra
from equibasis.symmetry.representations import MatrixRepresentation

# Not orthogonal: the symmetric group of three points on the plane, in skew coordinates.
SKEW = eb.matrix_group("skew", [np.array([[0, -1], [1, -1]]), np.array([[0, 1], [1, 0]])])


def kronecker(*matrices):
    product = np.eye(1)
    for matrix in matrices:
        product = np.kron(product, matrix)
    return product


@pytest.mark.parametrize("group", [SKEW, by_hand.O3, by_hand.LORENTZ], ids=lambda g: g.name)
def test_each_element_of_a_product_is_the_kronecker_product(group):
    rho = group.representations["V"]
    factors = [rho, rho.dual, rho]
    product = tensor_product(tensor_product(*factors[:2]), factors[2])
    x = np.random.default_rng(0).standard_normal((product.dimension, 3))
    for g in range(product.order):
        by_hand_ = kronecker(*(each.matrices[g] for each in factors))
        np.testing.assert_allclose(product.matrices[g], by_hand_, atol=1e-14)
        np.testing.assert_allclose(product.matrix(g).toarray(), by_hand_, atol=1e-14)
        np.testing.assert_allclose(product.apply(g, x), by_hand_ @ x, atol=1e-12)
        np.testing.assert_allclose(product.characters()[g], np.trace(by_hand_), atol=1e-12)
        for other, wanted in (
            (product.inverse, np.linalg.inv(by_hand_)),
            (product.dual, np.linalg.inv(by_hand_).T),
        ):
            np.testing.assert_allclose(other.matrix(g).toarray(), wanted, atol=1e-11)


@pytest.mark.parametrize(
    ("group", "ends", "others"),
    [
        ("i", ("V**6", "1"), ("V**3", "V**3")),
        ("i", ("1", "V**4"), ("V**2", "V**2")),
        ("so3", ("V**6", "1"), ("V**3", "V**3")),
        ("so+1,3", ("V**4", "1"), ("V**2", "dual(V)**2")),
        ("so+1,3", ("1", "V**4"), ("dual(V)**2", "V**2")),
        (SKEW, ("V**3", "V"), ("V**2", "V*dual(V)")),
        (SKEW, ("V", "V**3"), ("dual(V)*V", "V**2")),
        (SKEW, ("V**4", "1"), ("V", "dual(V)**3")),
    ],
)
def test_factors_move_to_the_other_side_as_duals_and_the_basis_stays(group, ends, others):
    one, other = (eb.solve(group, input=x, output=y) for x, y in (ends, others))
    assert one.space.dimension == other.space.dimension
    np.testing.assert_allclose(one.matrix.toarray(), other.matrix.toarray(), atol=1e-13)
    assert eb.verify_basis(one).equivariance_error < 1e-12


@pytest.mark.parametrize("ends", [("V**3", "V"), ("V", "V**2"), ("V*dual(V) + V", "1 + V**2")])
def test_the_yardstick_which_moves_no_factors_finds_the_same(ends):
    balanced, whole = (
        eb.solve(SKEW, input=ends[0], output=ends[1], solver=solver) for solver in ("auto", "dense")
    )
    np.testing.assert_allclose(balanced.matrix.toarray(), whole.matrix.toarray(), atol=1e-12)


def test_matrices_of_a_large_product_are_never_made():
    basis = eb.solve("i", input="V**6", output="1")
    assert isinstance(basis.space.input, TensorProduct)
    assert "matrices" not in vars(basis.space.input)
    # 1/60 Σ (tr ρ)⁶ over the identity, half turns, thirds, and fifths.
    golden = (1 + np.sqrt(5)) / 2
    assert basis.rank == round((3**6 + 15 + 12 * golden**6 + 12 * (1 - golden) ** 6) / 60)


@pytest.mark.parametrize("group", [by_hand.O3, by_hand.LORENTZ, "gl2"], ids=str)
def test_what_is_asked_of_a_product_is_that_of_its_matrices(group):
    rho = problem(group, input="V**3", output="V").input
    made = MatrixRepresentation(rho.discrete, rho.algebra)
    assert rho.is_orthogonal == made.is_orthogonal
    assert rho.row_entries == made.row_entries


def test_of_large_powers_of_a_group_with_mirrors_no_matrices_are_made():
    space = problem("o1,3", input="V**6", output="V**2")
    assert prediction(space).rank == 105  # the pairings of eight vectors, 7!!
    assert not {"discrete", "matrices"} & vars(space.input).keys()


def test_what_takes_more_memory_than_there_is_is_refused_where_a_side_is_not_in_factors():
    n = 10**6
    rho = MatrixRepresentation(np.zeros((0, n, n)), [sparse.csr_array(sparse.eye_array(n))])
    with pytest.raises(eb.EquibasisError, match="Lie algebra on 1,000,000 dimensions would take"):
        lie_algebra([rho], 1)


def test_a_product_of_far_from_orthogonal_factors_is_refused():
    stretched = MatrixRepresentation(np.diag([20.0, -1 / 20])[None], [sparse.csr_array(np.eye(2))])
    group = eb.Group(
        "stretched",
        ("h",),
        None,
        complete=False,
        algebra=("A",),
        representations={"V": stretched},
    )
    problem(group, input="V", output="V")
    with pytest.raises(eb.GroupError, match="the matrix of h is not invertible, or so far from"):
        problem(group, input="V**2", output="V")


# --- powers of sums -------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["sym(2*V + 1 + V, 2)", "alt(V + 2*1, 3)", "sym(V*(1 + V), 2)"])
@pytest.mark.parametrize("group", [SKEW, by_hand.O3, by_hand.LORENTZ], ids=lambda g: g.name)
def test_a_power_of_a_sum_is_that_of_its_matrices(group, text):
    space = eb.as_space(text)
    rho, inner = (eb.solve(group, output=each).space.output for each in (space, space.space))
    made = MatrixRepresentation(inner.matrices)
    whole = power_of_one(made, space.exponent, symmetric=space.symmetric)
    np.testing.assert_allclose(rho.matrices, whole.matrices, atol=1e-12)


def test_a_power_of_a_sum_has_few_types():
    # Of 4 V and 4 scalars: 4 squares and 6 products of V, each V by each scalar, and 10 scalars.
    types = eb.solve("o1,3", output="sym(4*V + 4*1, 2)").space.types.output
    found = {(each.dimension, each.multiplicity) for each in types}
    assert found == {(10, 4), (16, 6), (4, 16), (1, 10)}
