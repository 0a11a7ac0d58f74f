"""Representations by name, their powers, and groups that are continuous."""

from __future__ import annotations

import dataclasses
import itertools

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from scipy import linalg, sparse

import by_hand
import equibasis as eb
from equibasis.solvers import explanation
from equibasis.symmetry.assembled import assembled, power, tensor_product
from equibasis.symmetry.constructions import same_representation
from equibasis.symmetry.lie import lie_algebra
from equibasis.symmetry.orbit_types import orbit_types
from equibasis.symmetry.representations import (
    MatrixRepresentation,
    PermutationRepresentation,
)

TURN = np.array([[0.0, -1.0], [1.0, 0.0]])
FLIP = np.diag([-1.0, 1.0, 1.0])
MIRROR = np.diag([1.0, -1.0, 1.0])

# --- powers ---------------------------------------------------------------------------------------


def tensors(n: int, exponent: int, *, symmetric: bool) -> np.ndarray:
    """The normalized (anti)symmetrizations of unit tensors, as columns, one by one."""
    choose = itertools.combinations_with_replacement if symmetric else itertools.combinations
    columns = []
    for axes in choose(range(n), exponent):
        tensor = np.zeros((n,) * exponent)
        for order in itertools.permutations(range(exponent)):
            sign = 1.0 if symmetric else np.linalg.det(np.eye(exponent)[list(order)])
            tensor[tuple(axes[place] for place in order)] += sign
        columns.append(tensor.ravel() / np.linalg.norm(tensor))
    return np.array(columns).T


def kronecker_power(matrix: np.ndarray, exponent: int) -> np.ndarray:
    product = np.eye(1)
    for _ in range(exponent):
        product = np.kron(product, matrix)
    return product


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize(("n", "exponent"), [(1, 1), (2, 2), (3, 2), (3, 3), (4, 3), (2, 5)])
def test_a_power_is_the_kronecker_power_on_symmetric_tensors(n, exponent, symmetric):
    if not symmetric and exponent > n:
        return
    matrices = np.random.default_rng(n).standard_normal((2, n, n))
    found = power(MatrixRepresentation(matrices), exponent, symmetric=symmetric)
    columns = tensors(n, exponent, symmetric=symmetric)
    for matrix, of_power in zip(matrices, found.matrices, strict=True):
        expected = columns.T @ kronecker_power(matrix, exponent) @ columns
        np.testing.assert_allclose(of_power, expected, atol=1e-12)
        # The span of the columns is kept.
        moved = kronecker_power(matrix, exponent) @ columns
        np.testing.assert_allclose(columns @ of_power, moved, atol=1e-12)


@given(st.data(), st.integers(1, 5), st.integers(1, 3), st.booleans())
def test_a_power_of_signed_permutations_is_one_of_their_matrices(data, n, exponent, symmetric):
    if not symmetric and exponent > n:
        return
    index = np.array([data.draw(st.permutations(range(n)))])
    signs = np.array([data.draw(st.lists(st.sampled_from([1, -1]), min_size=n, max_size=n))])
    rho = PermutationRepresentation(index, signs.astype(np.int8))
    found = power(rho, exponent, symmetric=symmetric)
    assert isinstance(found, PermutationRepresentation)
    expected = power(MatrixRepresentation(rho.matrices), exponent, symmetric=symmetric)
    np.testing.assert_allclose(found.matrices, expected.matrices, atol=1e-12)


@pytest.mark.parametrize("symmetric", [True, False])
def test_a_power_of_a_lie_algebra_is_the_derivative_of_that_of_its_group(symmetric):
    rho = by_hand.O3.representations["V"]
    found = power(rho, 2, symmetric=symmetric)
    assert len(found.algebra) == len(rho.algebra)
    on_group = power(MatrixRepresentation(rho.matrices), 2, symmetric=symmetric)
    np.testing.assert_allclose(found.matrices, on_group.matrices, atol=1e-13)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sym(V)", "expected ,"),
        ("sym(V, 0)", "1 to 12"),
        ("sym(V, 13)", "1 to 12"),
        ("sym(V, 2x2)", "as in sym(V, 2)"),
        ("sym V", "expected ("),
        ("alt(V, 2", "expected )"),
        ("alt(V, V)", "as in alt(V, 2)"),
    ],
)
def test_what_is_no_power_is_pointed_at(text, said):
    with pytest.raises(eb.SpaceError) as refusal:
        eb.as_space(text)
    assert said in str(refusal.value)
    assert "at character" in str(refusal.value)


def test_an_alternating_power_beyond_the_dimension_is_refused():
    with pytest.raises(eb.SpaceError, match=r"alt\(V, 4\) has no vectors but 0: V is R\^3"):
        eb.solve(by_hand.SO3, output="alt(V, 4)")


def test_the_first_power_is_the_space():
    assert eb.as_space("sym(V, 1)") == eb.as_space("alt(V, 1)") == eb.V == eb.V.sym(1)
    assert str(eb.V.alt(2)) == "alt(V, 2)"
    assert eb.as_space("sym(V + 2*1, 3)*alt(V, 2)") == (eb.V + eb.as_space("2*1")).sym(3) * (
        eb.V.alt(2)
    )


# --- continuous groups ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("group", "input_", "output", "rank"),
    [
        # Isotropic tensors: Motzkin sums, OEIS A005043.
        (by_hand.SO3, None, "V", 0),
        (by_hand.SO3, None, "V**2", 1),
        (by_hand.SO3, None, "V**3", 1),
        (by_hand.SO3, None, "V**4", 3),
        (by_hand.SO3, "V**2", "V**2", 3),
        (by_hand.SO3, "V**3", "V**3", 15),
        (by_hand.SO3, "sym(V, 2)", "sym(V, 2)", 2),  # the two constants of Lamé
        (by_hand.SO3, "alt(V, 2)", "V", 1),  # the cross product
        (by_hand.O3, "alt(V, 2)", "V", 0),  # which reflections do not keep
        (by_hand.O3, "alt(V, 2)", "1:pseudovector", 1),
        (by_hand.O3, None, "V**3", 0),
        (by_hand.O3, "3*V + 2*1", "2*V + 1", 8),
        (eb.matrix_group("circle", algebra={"turn": TURN}), "V**2", "V**2", 6),
        (eb.matrix_group("scaling", algebra=[np.eye(3)]), "V**2", "V", 0),
        (eb.matrix_group("scaling", algebra=[np.eye(3)]), "V", "V", 9),
    ],
    ids=str,
)
def test_the_rank_is_the_published_one(group, input_, output, rank):
    assert eb.solve(group, input=input_, output=output).rank == rank


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("input_", "output"), [("V*V", "V"), ("sym(V, 2) + V", "V*V"), ("V**3", "V**3")]
)
def test_the_basis_commutes_with_any_element_of_the_group(input_, output, seed):
    """Not only with those listed."""
    basis = by_hand.solved(by_hand.SO3, input=input_, output=output)
    angles = np.random.default_rng(seed).standard_normal(3)
    ends = []
    for rho in (basis.space.input, basis.space.output):
        turn = sum(c * a for c, a in zip(angles, rho.algebra, strict=True))
        ends.append(linalg.expm(turn.toarray()))
    maps = by_hand.dense(basis).T.reshape(basis.rank, basis.space.k, basis.space.m)
    np.testing.assert_allclose(ends[1] @ maps, maps @ ends[0], atol=1e-13)


def test_multiples_of_an_algebra_element_are_one():
    bases = [
        eb.solve(eb.matrix_group("circle", algebra={"turn": factor * TURN}), input="V", output="V")
        for factor in (1, 2, -1, 1000, 1e9)
    ]
    for basis in bases[1:]:
        np.testing.assert_allclose(by_hand.dense(basis), by_hand.dense(bases[0]), atol=1e-14)


def test_unequal_scales_of_algebra_elements_do_not_matter():
    """Of the sum of squares of the generators as they are, conditioning would spoil it."""
    lx, ly, lz = by_hand.rotations(3).values()
    uneven = eb.matrix_group("uneven", algebra=[1000 * lx, ly, lz / 1000])
    basis = eb.solve(uneven, input="V**3", output="V**3")
    assert basis.rank == 15
    assert basis.checks.equivariance_error < 1e-13


def test_the_algebra_is_closed_and_orthonormal():
    lx, ly, _ = by_hand.rotations(3).values()
    half = eb.matrix_group("half", algebra=[lx, ly])  # whose bracket is the third
    found = lie_algebra([half.representations["V"]], 2)
    assert found.dimension == 3
    np.testing.assert_allclose((found.vectors @ found.vectors.T).toarray(), np.eye(3), atol=1e-14)
    assert eb.solve(half, input="V**2", output="V**2").rank == 3


def test_discrete_elements_move_the_algebra_about():
    """One rotation of a plane, and what permutes the axes: all rotations."""
    cycle = np.roll(np.eye(3), 1, axis=0)
    lx = by_hand.rotations(3)["L01"]
    group = eb.matrix_group("turned", {"cycle": cycle}, algebra={"turn": lx})
    assert lie_algebra([group.representations["V"]], 1).dimension == 3
    assert eb.solve(group, input="V**2", output="V**2").rank == 3


def test_to_whoever_walks_over_elements_the_algebra_is_its_exponentials():
    rho = by_hand.O3.representations["V"]
    assert rho.order == 4
    np.testing.assert_allclose(rho.matrices[0], -np.eye(3))
    for matrix, each in zip(rho.matrices[1:], rho.algebra, strict=True):
        np.testing.assert_allclose(matrix, linalg.expm(each.toarray()), atol=1e-14)


def test_what_the_kernel_takes_is_told_beforehand():
    maps = by_hand.solved(by_hand.SO3, input="V*V", output="V").space
    lines = [line for line in explanation(maps).splitlines() if " kernel " in line]
    assert len(lines) == 1
    assert lines[0].startswith("->")
    assert "about" in lines[0]
    assert "rank       1, from weights" in explanation(maps)


@pytest.mark.parametrize("solver", ["projector", "svd", "dense"])
def test_solvers_that_average_over_elements_are_refused(solver):
    with pytest.raises(eb.SolverError) as refusal:
        eb.solve(by_hand.SO3, input="V", output="V", solver=solver)
    assert str(refusal.value) == (
        f"solver {solver!r} does not apply: rotations is continuous, so its elements cannot be "
        "listed; use --solver auto"
    )


def test_a_product_is_one_of_groups_and_of_derivatives():
    rho = by_hand.O3.representations["V"]
    product = tensor_product(rho, rho.dual)
    on_group = tensor_product(
        MatrixRepresentation(rho.matrices), MatrixRepresentation(rho.dual.matrices)
    )
    np.testing.assert_allclose(product.matrices, on_group.matrices, atol=1e-14)
    assert same_representation(product, product)
    moved = MatrixRepresentation(product.discrete, [2 * a for a in product.algebra])
    assert not same_representation(product, moved)


@pytest.mark.parametrize("text", ["(2*V + 1)*V", "(V + 1)*(2*V + sym(V, 2))", "(1 + V)**3"])
@pytest.mark.parametrize("group", [by_hand.O3, by_hand.LORENTZ], ids=["o3", "lorentz"])
def test_a_product_of_sums_is_the_sum_of_products_of_their_types(group, text):
    space = eb.as_space(text)
    rho = eb.solve(group, output=space).space.output
    whole = eb.solve(group, output=space.factors[0]).space.output
    for factor in space.factors[1:]:
        whole = tensor_product(whole, eb.solve(group, output=factor).space.output)
    assert same_representation(rho, whole)
    types = [orbit_types(each, each, enumerated=False).input for each in (rho, whole)]
    for one, other in zip(*types, strict=True):
        np.testing.assert_array_equal(one.index, other.index)


def test_the_dual_of_a_sum_is_the_sum_of_the_duals():
    group = by_hand.LORENTZ
    assert eb.solve(group, input="3*V", output="dual(3*V)").rank == 9
    ends = [
        eb.solve(group, output=text).space.output for text in ("dual(2*V + 1)", "2*dual(V) + 1")
    ]
    assert same_representation(*ends)
    back = ends[0].dual, eb.solve(group, output="2*V + 1").space.output
    assert same_representation(*back)


def test_a_group_that_is_too_large_to_list_is_solved_without_listing():
    shear, swap = [[1, 1], [0, 1]], [[0, 1], [1, 0]]
    modular = eb.matrix_group("modular", [shear, swap])
    basis = eb.solve(modular, input="V", output="V")
    assert (basis.rank, basis.solver) == (1, "kernel")
    # Invertible whole matrices are dense in SL±(2): what they leave alone is what that leaves.
    assert eb.solve(modular, input="V**2", output="V**2").rank == 2


@given(st.integers(0, 2**32 - 1))
def test_kernel_agrees_with_the_others_on_finite_groups(seed):
    change = by_hand.random_orthogonal(3, seed)
    turned = {name: change @ m @ change.T for name, m in {"a": FLIP, "b": MIRROR}.items()}
    group = eb.matrix_group("k4", turned)
    bases = [
        eb.solve(group, input="V*V", output="V + 1", solver=solver)
        for solver in ("kernel", "svd", "projector")
    ]
    for basis in bases[1:]:
        np.testing.assert_allclose(by_hand.dense(basis), by_hand.dense(bases[0]), atol=1e-10)


# --- several representations ----------------------------------------------------------------------


def klein(**more: object) -> eb.Group:
    return eb.matrix_group(
        "k4",
        representations={
            "base": {"a": FLIP, "b": MIRROR},
            "joints": {"a": [1, 0, 3, 2], "b": [2, 3, 0, 1]},
            **more,
        },
    )


def test_the_rank_is_the_mean_of_the_characters():
    """Of e, a, b, ab: base has 3, 1, 1, -1, joints 4, 0, 0, 0."""
    group = klein()
    base, joints = np.array([3, 1, 1, -1]), np.array([4, 0, 0, 0])
    source, target = joints + 2 * base**2, base
    basis = eb.solve(group, input="joints + 2*base*base", output="base")
    assert basis.rank == (source * target).mean()


def test_a_representation_may_be_images_with_signs():
    signed = eb.matrix_group(
        "turns",
        representations={"V": {"turn": TURN}, "joints": {"turn": ([1, 2, 3, 0], [1, 1, 1, 1])}},
    )
    flipped = eb.matrix_group(
        "turns",
        representations={"V": {"turn": TURN}, "joints": {"turn": ([1, 2, 3, 0], [1, -1, 1, -1])}},
    )
    assert eb.solve(signed, input="V", output="joints").rank == 2
    rho = flipped.representations["joints"]
    np.testing.assert_array_equal(
        rho.matrices[0], [[0, 0, 0, -1], [1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 1, 0]]
    )


def test_what_can_be_read_as_a_matrix_or_as_images_is_refused():
    with pytest.raises(eb.GroupError, match="give a matrix, as a list of lists"):
        eb.matrix_group("mine", [((1, 0), (1, -1))])


@pytest.mark.parametrize(
    ("representations", "said"),
    [
        (
            {"base": {"a": FLIP, "b": MIRROR}, "joints": {"a": [1, 2, 3, 0], "b": [2, 3, 0, 1]}},
            "group 'k4': 'base' and 'joints' are not of one group: a a = e in 'base', but not in "
            "'joints' (off by 1); mend the matrices, or say faithful=None",
        ),
        (
            {"base": {"a": FLIP, "b": MIRROR}, "joints": {"a": [1, 0, 3, 2]}},
            "group 'k4': representation 'joints' does not say how b acts",
        ),
        (
            {"base": {"a": FLIP}, "joints": {"a": [1, 0, 3, 2], "b": [2, 3, 0, 1]}},
            "group 'k4': representation 'base' does not say how b acts",
        ),
        ({"base": {"a": FLIP}, "sym": {"a": FLIP}}, "'sym' has a meaning of its own"),
        ({"base": {"a": FLIP}, "my joints": {"a": FLIP}}, "my joints"),
        ({}, "one at least"),
        ({"base": {"a": [0, 2]}}, "a in 'base' is no list of images 0 to 1, each once"),
        ({"base": {"a": ([0, 1, 2], [1, 1, 2])}}, "with signs 1 and -1"),
    ],
)
def test_representations_that_are_not_of_one_group_are_refused(representations, said):
    with pytest.raises(eb.GroupError) as refusal:
        eb.matrix_group("k4", representations=representations)
    assert said in str(refusal.value)


def test_without_a_faithful_one_the_group_is_what_all_generate():
    slip = {"base": {"a": FLIP}, "joints": {"a": [1, 2, 0]}}
    group = eb.matrix_group("mine", representations=slip, faithful=None)
    assert eb.solve(group, output="regular").space.k == 6


def test_brackets_of_the_faithful_one_have_to_hold_in_the_others():
    rotations = dict(zip("xyz", by_hand.rotations(3).values(), strict=True))
    columns = tensors(3, 2, symmetric=True)
    second = {
        name: columns.T @ (np.kron(a, np.eye(3)) + np.kron(np.eye(3), a)) @ columns
        for name, a in rotations.items()
    }
    algebra = list("xyz")
    group = eb.matrix_group("spin", representations={"V": rotations, "l2": second}, algebra=algebra)
    assert eb.solve(group, input="sym(V, 2)", output="l2").rank == 2
    wrong = {**second, "z": -second["z"]}
    with pytest.raises(eb.GroupError) as refusal:
        eb.matrix_group("spin", representations={"V": rotations, "l2": wrong}, algebra=algebra)
    said = str(refusal.value)
    assert "group 'spin': 'V' and 'l2' are not of one group: [" in said
    assert "in 'V', but not in 'l2'" in said


def test_a_name_that_the_group_does_not_have_is_pointed_at():
    with pytest.raises(eb.SpaceError) as refusal:
        eb.solve(klein(), input="2*base + jonts", output="base")
    assert str(refusal.value) == (
        "space '2*base + jonts': this group has base, joints, regular; arrays are written as in "
        "14x14, at character 10: 2*base + »jonts"
    )
    with pytest.raises(eb.SpaceError, match="space 'jonts': group 'k4' has base, joints"):
        eb.solve(klein(), input=eb.as_space("jonts"), output="base")


@pytest.mark.parametrize("name", ["c4", "d4", "c2"])
def test_the_regular_representation_is_free(name):
    """Hom(regular, X) is X: as many maps as X has dimensions."""
    order = len(by_hand.ELEMENTS[name])
    basis = eb.solve(name, input="regular", output="3x3")
    assert basis.space.m == order
    assert basis.rank == 9
    assert eb.solve(name, output="regular").rank == 1


def test_the_regular_representation_of_generators_lists_what_they_make():
    basis = eb.solve(klein(), input="regular", output="base + joints")
    assert (basis.space.m, basis.rank) == (4, 7)


def test_the_regular_representation_needs_elements():
    with pytest.raises(eb.SpaceError, match="this group has V; arrays"):
        eb.solve(by_hand.SO3, output="regular")
    with pytest.raises(eb.SpaceError, match="is continuous, and has no regular one"):
        eb.solve(by_hand.SO3, output=eb.as_space("regular"))


@pytest.mark.parametrize("first", ["palm", "fingers"])
def test_matrices_that_are_not_exact_are_told_from_those_of_another_group(first):
    """In float32 a third of a turn, done three times, is the identity to 8 digits."""
    cos, sin = np.cos(2 * np.pi / 3), np.sin(2 * np.pi / 3)
    third = np.array([[cos, -sin], [sin, cos]])
    given = {"palm": {"turn": third.astype(np.float32)}, "fingers": {"turn": [1, 2, 0]}}
    said = "matrices of 'palm' are not exact enough: turn turn turn = e holds only to"
    with pytest.raises(eb.GroupError, match=said):
        eb.matrix_group("gripper", representations=given, faithful=first)
    group = eb.matrix_group("gripper", representations=given | {"palm": {"turn": third}})
    assert eb.solve(group, input="fingers", output="palm").rank == 2


def test_a_group_can_be_given_more_representations():
    group = by_hand.O3
    sign = MatrixRepresentation(-np.ones((1, 1, 1)), [sparse.csr_array((1, 1))] * 3)
    more = group.with_representations(P=sign)
    assert eb.solve(more, input="alt(V, 2)", output="P*V").rank == 1
    assert eb.solve(more, input="V", output="P*V").rank == 0
    with pytest.raises(eb.GroupError, match="has a representation 'P' already"):
        more.with_representations(P=sign)
    with pytest.raises(eb.GroupError, match="'Q' lists 2 elements, the group 4"):
        group.with_representations(Q=PermutationRepresentation(np.zeros((2, 1), dtype=int)))


@pytest.mark.parametrize(
    ("field", "rank"), [("vector", 1), ("pseudovector", 0), ("pseudoscalar", 0), ("V", 1)]
)
def test_fields_at_a_point_follow_the_determinant(field, rank):
    assert eb.solve(by_hand.O3, input="V", output=f"1:{field}").rank == rank


# --- what is forged -------------------------------------------------------------------------------


@pytest.mark.parametrize("off", [1e-6, -1e-6, 1e-3])
def test_a_generator_that_is_changed_a_little_is_found(off):
    basis = by_hand.solved(by_hand.O3, input="V*V", output="V*V")
    types = basis.space.types
    (rho,) = types.representations
    first, *rest = rho.algebra
    moved = first.copy()
    moved.data[0] += off
    for changed in (
        MatrixRepresentation(rho.discrete, [moved, *rest]),
        MatrixRepresentation(rho.discrete + off * np.eye(9)[0], rho.algebra),
    ):
        space = dataclasses.replace(
            basis.space,
            input=assembled(types.input, [changed]),
            output=assembled(types.output, [changed]),
        )
        vars(space)["types"] = dataclasses.replace(types, representations=(changed,))
        with pytest.raises(eb.EquibasisError):
            eb.verify_basis(dataclasses.replace(basis, space=space))


def test_a_file_of_a_continuous_group_is_proved_from_its_numbers_alone(tmp_path):
    basis = by_hand.solved(by_hand.O3, input="V*V + sym(V, 2)", output="V*V + 1")
    eb.save_basis(basis, tmp_path / "basis.h5")
    loaded = eb.load_basis(tmp_path / "basis.h5")
    checks = eb.verify_basis(loaded)
    assert (checks.rank_expected, checks.rank_by) == (basis.rank, "weights")
    assert abs(loaded.matrix - basis.matrix).max() == 0
    assert eb.content_sha256(loaded) == eb.content_sha256(basis)


def test_a_field_on_a_grid_may_have_any_representation_as_fibre():
    ours, theirs = (eb.solve("d4", input=f"3x3:{f}", output="2x2:vector") for f in ("V", "vector"))
    assert abs(ours.matrix - theirs.matrix).max() == 0
    square = eb.solve("d4", output="1").space  # lists the elements of d4
    spin = PermutationRepresentation(np.zeros((len(square.elements), 1), dtype=int))
    group = eb.find_group("d4").with_representations(spin=spin)
    assert eb.solve(group, output="3x3:spin").rank == eb.solve("d4", output="3x3").rank
