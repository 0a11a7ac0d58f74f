"""The Reynolds operator: a projector on the equivariant maps, its trace known beforehand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

import by_hand
import equibasis as eb
from equibasis.solvers.reynolds import hom_dimension, reynolds_operator
from equibasis.symmetry.representations import MatrixRepresentation

CHARACTERS = [1.0, 1.0, 1.0], [1.0, -1.0, -1.0]


@given(by_hand.spaces)
def test_it_is_the_mean_of_kronecker_products(space):
    by_definition = by_hand.reynolds(by_hand.matrices(space.input), by_hand.matrices(space.output))
    np.testing.assert_allclose(reynolds_operator(space).toarray(), by_definition, atol=1e-12)


@given(by_hand.spaces)
def test_it_is_idempotent(space):
    P = reynolds_operator(space)
    np.testing.assert_allclose((P @ P).toarray(), P.toarray(), atol=1e-11)


@given(by_hand.orthogonal_spaces())
def test_it_is_symmetric_for_orthogonal_representations(space):
    P = reynolds_operator(space).toarray()
    np.testing.assert_allclose(P, P.T, atol=1e-13)


@given(by_hand.spaces)
def test_its_trace_is_the_dimension_of_the_equivariant_maps(space):
    assert reynolds_operator(space).trace() == pytest.approx(hom_dimension(space), abs=1e-10)


@given(by_hand.spaces)
def test_its_image_is_equivariant(space):
    W = np.random.default_rng(0).standard_normal(space.k * space.m)
    image = (reynolds_operator(space) @ W).reshape(space.k, space.m)
    for a, b in zip(by_hand.matrices(space.input), by_hand.matrices(space.output), strict=True):
        np.testing.assert_allclose(b @ image, image @ a, atol=1e-11)


@given(by_hand.spaces)
def test_it_averages_the_conjugates_of_a_map(space):
    W = np.random.default_rng(1).standard_normal((space.k, space.m))
    pairs = zip(by_hand.matrices(space.input), by_hand.matrices(space.output), strict=True)
    mean = np.mean([b @ W @ np.linalg.inv(a) for a, b in pairs], axis=0)
    np.testing.assert_allclose(reynolds_operator(space) @ W.ravel(), mean.ravel(), atol=1e-11)


@given(by_hand.spaces)
def test_the_rank_is_the_inner_product_of_characters(space):
    by_traces = by_hand.trace_formula(by_hand.matrices(space.input), by_hand.matrices(space.output))
    assert hom_dimension(space) == pytest.approx(by_traces, abs=1e-9)


@given(by_hand.permutation_spaces)
def test_the_rank_is_the_number_of_orbits_burnside(space):
    actions = space.input.index, space.output.index
    assert hom_dimension(space) == by_hand.burnside(*actions) == len(by_hand.orbits(*actions))


def test_a_mean_of_characters_that_is_no_whole_number_is_no_group():
    fixed, lopsided = (MatrixRepresentation(np.reshape(c, (3, 1, 1))) for c in CHARACTERS)
    with pytest.raises(eb.GroupError, match="no whole number"):
        hom_dimension(by_hand.hom_space(fixed, lopsided))
