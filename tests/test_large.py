"""Large cases: what would not fit as matrices is solved, checked and verified as orbits."""

from __future__ import annotations

import numpy as np
import pytest

import by_hand
import equibasis as eb
from conftest import run_python


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
    assert basis.of_orbits
    assert basis.rank == rank_by_burnside(group, m, k)
    assert basis.nonzeros == basis.space.dimension == (m * k) ** 2
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
    assert basis.nonzeros == basis.space.dimension == 2**20
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
    ((one,),), ((two,),) = listed.tables, other.tables
    np.testing.assert_array_equal(one.labels, two.labels)


MEMORY = """
import resource, sys
import equibasis as eb

def peak():
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

group, input_, output = sys.argv[1:]
before = peak()
basis = eb.solve(group, input=input_, output=output)
eb.save_basis(basis, "basis.h5")
assert eb.verify_basis(eb.load_basis("basis.h5")) == basis.checks
print(basis.rank, peak() - before)
"""


@pytest.mark.parametrize(
    ("group", "input_", "output", "rank", "mebibytes"),
    [
        ("d4", "64x64", "64x64", 2_098_176, 100),
        ("d4", "256x256", "256x256", 536_887_296, 300),
        ("s50", "16*50x50", "16*50x50", 15 * 16 * 16, 300),
    ],
)
@pytest.mark.slow
def test_a_large_basis_is_solved_saved_loaded_and_verified_in_little_memory(
    group, input_, output, rank, mebibytes, tmp_path
):
    """d4 on 256x256: 4,294,967,296 index pairs; a sparse matrix would take 51 GB."""
    pytest.importorskip("resource")
    done = run_python("-c", MEMORY, group, input_, output, folder=tmp_path)
    assert done.status == 0, done.err
    found, grown = map(int, done.out.split())
    assert found == rank
    assert (tmp_path / "basis.h5").stat().st_size < 2_000_000
    if group == "d4":
        m = int(input_.split("x")[0])
        assert rank == rank_by_burnside("d4", m, m)
    assert grown < mebibytes * 2**20
