"""Large cases: what would not fit as matrices is solved, checked and verified as orbits."""

from __future__ import annotations

import numpy as np
import pytest

import by_hand
import equibasis as eb
from conftest import run_python
from equibasis.linalg.columns import OrbitColumns


def rank_by_burnside(group: str, m: int, k: int) -> int:
    """The mean over the group of fixed points of the input times fixed points of the output."""
    fixed = [
        [
            np.count_nonzero(by_hand.grid_permutation(name, side) == np.arange(side * side))
            for side in (m, k)
        ]
        for name in by_hand.ELEMENTS[group]
    ]
    return sum(a * b for a, b in fixed) // len(fixed)


@pytest.mark.parametrize(("group", "m", "k"), [("c4", 28, 28), ("d4", 32, 32), ("c4", 40, 30)])
def test_a_large_basis_is_solved_and_verified(group, m, k):
    basis = eb.solve(group, input=(m, m), output=(k, k))
    assert isinstance(basis.columns, OrbitColumns)
    assert basis.rank == rank_by_burnside(group, m, k)
    assert basis.columns.nnz == len(basis.columns.labels) == (m * k) ** 2
    assert basis.columns.labels.dtype == np.int32
    assert eb.verify_basis(basis).equivariance_error == 0.0


# Traces of how vectors turn, of determinants, and of the point group acting on itself.
FIELDS = {
    "pseudoscalar": {"r": [1, 1, 1, 1], "f": [-1, -1, -1, -1]},
    "vector": {"r": [2, 0, -2, 0], "f": [0, 0, 0, 0]},
    "regular": {"r": [8, 0, 0, 0], "f": [0, 0, 0, 0]},
}


@pytest.mark.parametrize("field", FIELDS)
def test_a_large_basis_of_fields_is_solved_and_verified(field):
    basis = eb.solve("d4", input="32x32:pseudoscalar", output=f"24x24:{field}")
    signs, traces, total = FIELDS["pseudoscalar"], FIELDS[field], 0
    for name in by_hand.ELEMENTS["d4"]:
        turns = int(name[1:]) // 90
        inputs, outputs = (
            np.count_nonzero(by_hand.grid_permutation(name, side) == np.arange(side * side))
            for side in (32, 24)
        )
        total += signs[name[0]][turns] * inputs * traces[name[0]][turns] * outputs
    assert basis.rank == total // 8
    assert eb.verify_basis(basis).rank_expected == basis.rank


def test_a_large_basis_from_generators_is_solved_and_verified():
    """Two-dimensional translations and quarter turns: circulant filters on a torus."""
    basis = eb.solve("p4", input="32x32", output="32x32")
    # Filters up to quarter turns about a point: offsets (i, j) mod 32, fixed by r90 and r180.
    assert basis.rank == (32**2 + 2 * 2 + 4) // 4
    assert len(basis.columns.labels) == 2**20
    assert eb.verify_basis(basis).rank_expected == basis.rank


def test_large_bases_from_generators_and_elements_are_one():
    listed = eb.solve("z256*z4", input="256x4", output="256x4")
    generated = eb.Group(
        "torus",
        listed_generators := ("down", "right"),
        lambda array, g: np.roll(array, 1, listed_generators.index(g)),
        complete=False,
        rearranges=True,
    )
    other = eb.solve(generated, input="256x4", output="256x4")
    assert listed.rank == other.rank == 1024
    np.testing.assert_array_equal(listed.columns.labels, other.columns.labels)


MEMORY = """
import resource, sys
import equibasis as eb

def peak():
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

before = peak()
basis = eb.solve("d4", input="64x64", output="64x64")
print(basis.rank, peak() - before)
"""


def test_d4_on_64x64_to_64x64_takes_less_than_a_gibibyte(tmp_path):
    """16,777,216 index pairs: a sparse matrix would take 200 MB, a dense operator 2 PiB."""
    pytest.importorskip("resource")
    done = run_python("-c", MEMORY, folder=tmp_path)
    assert done.status == 0, done.err
    rank, grown = map(int, done.out.split())
    assert rank == rank_by_burnside("d4", 64, 64) == 2_098_176
    assert grown < 2**30
