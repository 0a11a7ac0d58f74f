"""Verifying: a basis that is right always holds, and one that is wrong in any way never does."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

import by_hand
import equibasis as eb
from basis_files import BASES, SLANTED
from equibasis.solvers import solve_space
from equibasis.symmetry.representations import MatrixRepresentation, PermutationRepresentation


@pytest.fixture(params=BASES)
def basis(request) -> eb.Basis:
    return BASES[request.param]()


def reason(basis: eb.Basis) -> str:
    with pytest.raises(eb.EquibasisError) as caught:
        eb.verify_basis(basis)
    return str(caught.value)


def with_columns(basis: eb.Basis, columns: object) -> eb.Basis:
    return dataclasses.replace(basis, columns=columns)


@given(by_hand.spaces)
def test_every_basis_that_is_solved_holds(space):
    basis = solve_space(space)
    assert eb.verify_basis(basis).rank_expected == basis.rank


@given(by_hand.problems(by_hand.SIGNED | by_hand.PERMUTING))
def test_every_basis_that_is_solved_from_generators_holds(problem):
    eb.verify_basis(solve_space(problem.generated))


@given(by_hand.spaces, by_hand.seeds)
def test_no_other_orthonormal_basis_of_the_subspace_holds(space, seed):
    basis = solve_space(space)
    turn = by_hand.random_orthogonal(basis.rank, seed) if basis.rank else np.zeros((0, 0))
    turned = by_hand.dense(basis) @ turn
    if not np.allclose(turned, by_hand.dense(basis), atol=1e-9):
        assert "canonical" in reason(with_columns(basis, turned))


@given(by_hand.spaces, st.data())
def test_one_wrong_entry_is_found(space, data):
    basis = solve_space(space)
    if not basis.rank:
        return
    wrong = by_hand.dense(basis).copy()
    place = data.draw(st.integers(0, wrong.size - 1))
    wrong.flat[place] += data.draw(st.sampled_from([1e-7, -1e-3, 0.5, 1e6]))
    reason(with_columns(basis, wrong))
    reason(with_columns(basis, sparse.csc_array(wrong)))


def test_numbers_that_overflow_are_a_reason(basis):
    for number in (np.nan, np.inf, 1e200, -1e308):
        wrong = by_hand.dense(basis).copy()
        if wrong.size:
            wrong.flat[0] = number
            reason(with_columns(basis, wrong))


def test_two_columns_exchanged_are_out_of_order(basis):
    if basis.rank > 1:
        order = [1, 0, *range(2, basis.rank)]
        assert "canonical" in reason(with_columns(basis, by_hand.dense(basis)[:, order]))


def test_a_column_negated_is_not_canonical(basis):
    if basis.rank:
        negated = by_hand.dense(basis) * np.where(np.arange(basis.rank) == 0, -1, 1)
        assert "canonical" in reason(with_columns(basis, negated))


@pytest.mark.parametrize("g", range(1, 8))
def test_every_element_listed_is_looked_at(g):
    basis = eb.solve("d4", input="5x5", output="3x3")
    index = basis.space.input.index.copy()
    index[g] = index[1 if g != 1 else 2]
    space = dataclasses.replace(basis.space, input=PermutationRepresentation(index))
    reason(dataclasses.replace(basis, space=space))


@pytest.mark.parametrize("g", range(2))
def test_every_generator_is_looked_at(g):
    basis = eb.solve("s5", input="5x5", output="5x5")
    index = basis.space.input.index.copy()
    index[g] = np.roll(index[g], 1)
    space = dataclasses.replace(basis.space, input=PermutationRepresentation(index))
    name = basis.space.elements[g]
    assert f"not equivariant under {name}" in reason(dataclasses.replace(basis, space=space))


def test_a_large_basis_is_refused_by_the_element_that_moves_it():
    basis = eb.solve("d4", input="14x14", output="14x14")
    labels = basis.columns.labels.copy()
    labels[-1], labels[-2] = labels[-2], labels[-1]
    wrong = dataclasses.replace(basis.columns, labels=labels)
    assert "not equivariant under r90" in reason(with_columns(basis, wrong))


def test_a_smaller_subspace_than_the_group_gives_is_not_complete():
    basis = eb.solve(SLANTED, input="3", output="3")
    assert reason(with_columns(basis, basis.matrix[:, :-1])) == (
        "the rank is 2, but the characters give 3"
    )


def test_generators_of_ever_more_elements_are_refused_soon():
    turn = np.array([[[np.cos(1e-8 + 1), -np.sin(1e-8 + 1)], [np.sin(1e-8 + 1), np.cos(1e-8 + 1)]]])
    rho = MatrixRepresentation(turn)
    space = eb.HomSpace(
        group="turns",
        elements=("one",),
        input_space=eb.V,
        output_space=eb.V,
        input=rho,
        output=rho,
        complete=False,
    )
    columns = np.array([[1, 0], [0, -1], [0, 1], [1, 0]]) / np.sqrt(2)
    basis = eb.Basis(space, columns, "by hand", eb.solve("c2", output="2x2").checks)
    assert "infinitely many" in reason(basis)
