"""Irreps of a space as objects, parts of a space as representations, and subgroups."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import linalg

import by_hand
import equibasis as eb

SPACES = [
    ("c4", "3x3"),
    ("d4", "4x4:vector + 1"),
    ("s4", "4x4"),
    ("z6", "2*6"),
    (by_hand.SO3, "V**3"),
    (by_hand.SO3, "2*sym(V, 2) + V"),
    (by_hand.O3, "V*V + 1"),
]


def elements(group, space):
    """Some elements of the group, random ones where it is continuous."""
    rho = eb.solve(group, input=space, output=space).space.input
    algebra = rho.algebra
    found = list(rho.matrices)
    if algebra:
        angles = np.random.default_rng(0).standard_normal((3, len(algebra)))
        found += [
            linalg.expm(sum(c * a.toarray() for c, a in zip(each, algebra, strict=True)))
            for each in angles
        ]
    return found


@pytest.mark.parametrize(("group", "space"), SPACES, ids=str)
def test_embeddings_are_orthonormal_invariant_and_alike_in_all_copies(group, space):
    found = eb.irreps(group, space)
    n = eb.solve(group, input=space, output=space).space.m
    assert sum(each.degree * each.multiplicity for each in found) == n
    for each in found:
        assert each.embeddings.shape == (each.multiplicity, n, each.degree)
        for matrix in elements(group, space):
            small = each.embeddings[0].T @ matrix @ each.embeddings[0]
            for embedding in each.embeddings:
                np.testing.assert_allclose(matrix @ embedding, embedding @ small, atol=1e-9)
    change = eb.isotypic_basis(group, space)
    np.testing.assert_allclose(change.T @ change, np.eye(n), atol=1e-10)


@pytest.mark.parametrize(("group", "space"), SPACES, ids=str)
def test_the_rank_follows_from_the_irreps(group, space):
    """dim Hom(X, X) = Σ m² δ, with δ = 1, 2, 4 for the real, complex and quaternionic type."""
    delta = {"real": 1, "complex": 2, "quaternionic": 4}
    count = sum(delta[each.type] * each.multiplicity**2 for each in eb.irreps(group, space))
    assert eb.solve(group, input=space, output=space).rank == count


def test_the_quaternions_are_of_quaternionic_type():
    i = np.kron([[0, -1], [1, 0]], np.eye(2))
    j = np.kron([[1, 0], [0, -1]], [[0, -1], [1, 0]])
    (found,) = eb.irreps(eb.matrix_group("q8", [i, j]), "V")
    assert (found.type, found.degree, found.multiplicity) == ("quaternionic", 4, 1)


def test_products_of_angular_momenta():
    """Degrees 1, 3, 5, … of SO(3): V ⊗ V = 1 + 3 + 5."""
    assert [each.degree for each in eb.irreps(by_hand.SO3, "V*V")] == [1, 3, 5]
    (second,) = (each for each in eb.irreps(by_hand.SO3, "sym(V, 2)") if each.degree == 5)
    part = eb.subrepresentation(by_hand.SO3, "sym(V, 2)", second.embeddings[0])
    group = by_hand.SO3.with_representations(l2=part)
    assert eb.solve(group, input="l2*l2", output="l2").rank == 1
    assert eb.solve(group, input="l2*l2", output="l2*l2").rank == 5
    assert eb.solve(group, input="V*l2", output="V").rank == 1
    assert eb.solve(group, input="l2", output="V").rank == 0


def test_a_span_that_the_group_does_not_keep_is_refused():
    with pytest.raises(eb.SpaceError, match="does not keep the span of these vectors of V"):
        eb.subrepresentation(by_hand.SO3, "V", np.eye(3)[:, :2])
    with pytest.raises(eb.SpaceError, match=r"has shape \(3, d\), not \(2, 2\)"):
        eb.subrepresentation(by_hand.SO3, "V", np.eye(2))
    with pytest.raises(eb.SpaceError, match="depend on one another"):
        eb.subrepresentation("c4", "2x2", np.ones((4, 2)))


@pytest.mark.parametrize(
    ("elements", "same"), [(["r0", "r90", "r180", "r270"], "c4"), (["r0", "r180"], "c2")]
)
def test_a_subgroup_acts_as_the_group_of_that_name(elements, same):
    group = eb.subgroup("d4", "part", elements)
    for space in ("4x4:vector", "3*3x3 + 1"):
        ours, theirs = (eb.solve(each, input=space, output="3x3").matrix for each in (group, same))
        assert abs(ours - theirs).max() == 0


def test_a_subgroup_lists_elements_of_the_group():
    with pytest.raises(eb.GroupError, match="group 'd4' lists no element 'r45'"):
        eb.subgroup("d4", "part", ["r0", "r45"])
    with pytest.raises(eb.GroupError, match="is not closed"):
        eb.solve(eb.subgroup("d4", "part", ["r0", "r90"]), output="3x3")
