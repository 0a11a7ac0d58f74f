"""Orbit columns: orbits of index pairs, one label a pair."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

import by_hand
from equibasis.linalg.columns import OrbitColumns, label_type
from equibasis.symmetry.pair_orbits import orbit_leaders, pair_images, pair_orbits


def matrix_of(columns: OrbitColumns) -> np.ndarray:
    """signs[i] / √sizes[labels[i]], entry by entry."""
    M = np.zeros((len(columns.labels), len(columns.sizes)))
    for row, label in enumerate(columns.labels):
        if label >= 0:
            sign = 1 if columns.signs is None else columns.signs[row]
            M[row, label] = sign / np.sqrt(columns.sizes[label])
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
    M = matrix_of(pair_orbits(space.input, space.output))
    np.testing.assert_allclose(M @ M.T, by_hand.projector(problem.listed), atol=1e-12)
    np.testing.assert_array_equal(M, by_hand.ordered(M))
    assert (M[(M != 0).argmax(axis=0), range(M.shape[1])] > 0).all()


@pytest.mark.parametrize(
    ("rank", "type_"), [(0, np.int32), (2**31 - 1, np.int32), (2**31, np.int64)]
)
def test_labels_are_as_short_as_they_can_be(rank, type_):
    assert label_type(rank) is type_
