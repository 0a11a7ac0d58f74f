"""Orbits of index pairs, one label a pair."""

from __future__ import annotations

import numpy as np
from hypothesis import given

import by_hand
from equibasis.symmetry.pair_orbits import orbit_leaders, pair_images, pair_orbits


def matrix_of(labels: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """signs[i] / √size of orbit labels[i], entry by entry."""
    M = np.zeros((len(labels), labels.max() + 1))
    for row, label in enumerate(labels):
        if label >= 0:
            M[row, label] = signs[row] / np.sqrt(np.count_nonzero(labels == label))
    return M


@given(by_hand.permutation_spaces)
def test_leaders_are_the_smallest_index_of_each_orbit(space):
    order = range(space.output.order)
    leaders = orbit_leaders([pair_images(space.input, space.output, g)[0] for g in order])
    by_flooding = {
        pair: orbit[0]
        for orbit in by_hand.orbits(space.input.index, space.output.index)
        for pair in orbit
    }
    assert leaders.tolist() == [by_flooding[pair] for pair in range(len(leaders))]


@given(by_hand.problems(by_hand.SIGNED | by_hand.PERMUTING))
def test_orbits_of_pairs_span_the_equivariant_maps(problem):
    space = problem.generated
    M = matrix_of(*pair_orbits(space.input, space.output))
    np.testing.assert_allclose(M @ M.T, by_hand.projector(problem.listed), atol=1e-12)
    np.testing.assert_array_equal(M, by_hand.ordered(M))
    assert (M[(M != 0).argmax(axis=0), range(M.shape[1])] > 0).all()
