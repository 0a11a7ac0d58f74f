"""Coordinates by Schur's lemma: equivariant maps, and no others, are block diagonal in them."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

import equibasis as eb
from equibasis.artifact.store import verify_file
from equibasis.artifact.verification import check_coordinates
from equibasis.symmetry.coordinates import Coordinates
from equibasis.symmetry.coordinates.encoding import as_arrays, from_arrays
from equibasis.symmetry.coordinates.finding import LONGEST_ORBIT, symmetry_coordinates
from equibasis.symmetry.coordinates.irreps import decompose
from equibasis.symmetry.coordinates.jacobi import eigenvectors, product
from equibasis.symmetry.coordinates.parts import matrix_parts, permutation_parts
from equibasis.symmetry.representations import MatrixRepresentation
from test_layers import PROBLEMS, Problem

# The quaternion group, permuting its own eight elements, and as the units of H = R⁴.
Q8 = eb.permutation_group("q8", {"i": [1, 4, 3, 6, 5, 0, 7, 2], "j": [2, 7, 4, 1, 6, 3, 0, 5]})
LEFT_I = np.array([[0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 0, -1], [0, 0, 1, 0]])
LEFT_J = np.array([[0, 0, -1, 0], [0, 0, 0, 1], [1, 0, 0, 0], [0, -1, 0, 0]])
UNITS = eb.matrix_group("units", {"i": LEFT_I, "j": LEFT_J})
# 7:3, whose irreps of dimension 6 are C³: rows of three, each a complex number.
F21 = eb.permutation_group("f21", {"turn": [1, 2, 3, 4, 5, 6, 0], "double": [0, 2, 4, 6, 1, 3, 5]})

SIXTHS = eb.matrix_group("sixths", {"turn": [[0.5, -math.sqrt(0.75)], [math.sqrt(0.75), 0.5]]})

MORE = {
    "even grids": Problem("c4", "14x14", "6x6"),
    "odd grids": Problem("c4", "15x15", "7x7"),
    "mirrors": Problem("d4", "9x9", "6x6"),
    "mirrors of large grids": Problem("d4", "20x20", "12x12"),
    "sums": Problem("d4", "6x6 + 2*1", "5x5:vector + 3x3"),
    "regular fields": Problem("c4", "5x5:regular", "3x3:regular"),
    "voxels": Problem("o", "3x3x3", "2x2x2:vector"),
    "a torus": Problem("z6*z6", "6x6", "6x6"),
    "a torus of many points": Problem("z14*z14", "14x14", "14x14"),
    "channels on a torus": Problem("z4*z9", "3*4x9", "2*4x9"),
    "a torus beside numbers": Problem("z7*z9", "9*7x9 + 1", "7x9"),
    "quaternions": Problem(Q8, "8", "8x8"),
    "units of the quaternions": Problem(UNITS, "3*V", "2*V + 1"),
    "vectors and their products": Problem(SIXTHS, "V", "4*V + V*V + 2*1"),
    "complex numbers of dimension three": Problem(F21, "7x7", "7x7 + 7"),
}
EVERY = {**PROBLEMS, **MORE}


def solved(name: str) -> tuple[eb.Basis, Coordinates]:
    problem = EVERY[name]
    basis = eb.solve(problem.group, input=problem.input, output=problem.output)
    coordinates = symmetry_coordinates(basis.space)
    assert coordinates is not None
    return basis, coordinates


def random_map(basis: eb.Basis, seed: int = 0) -> np.ndarray:
    coefficients = np.random.default_rng(seed).standard_normal(basis.rank)
    return np.asarray(sparse.csc_array(basis.matrix) @ coefficients)


def sampled(coordinates: Coordinates, whole: np.ndarray) -> np.ndarray:
    rows, factors = coordinates.sampled_rows()
    return whole[rows] if factors is None else whole[rows] * factors


@pytest.mark.parametrize("name", EVERY)
def test_a_map_by_its_blocks_is_the_map(name: str) -> None:
    basis, coordinates = solved(name)
    whole = random_map(basis)
    x = np.random.default_rng(1).standard_normal((basis.space.m, 2, 3))
    expected = np.tensordot(whole.reshape(basis.space.k, basis.space.m), x, axes=1)
    found = coordinates.apply(sampled(coordinates, whole), x)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-11 * max(1, abs(expected).max()))


@pytest.mark.parametrize("name", EVERY)
def test_whatever_the_entries_the_blocks_make_an_equivariant_map(name: str) -> None:
    """Where no orbit is lifted there are as many samples as the rank, so any numbers will do."""
    basis, coordinates = solved(name)
    if any((part.repeats > 1).any() for part in coordinates.input + coordinates.output):
        pytest.skip("samples of lifted orbits are not independent")
    rows, _ = coordinates.sampled_rows()
    assert len(rows) == basis.rank
    entries = np.random.default_rng(2).standard_normal(len(rows))
    whole = coordinates.apply(entries, np.eye(basis.space.m))
    for g in range(len(basis.space.elements)):
        rho1, rho2 = (rho.matrix(g).toarray() for rho in (basis.space.input, basis.space.output))
        assert np.abs(rho2 @ whole - whole @ rho1).max(initial=0) < 1e-10


@pytest.mark.parametrize("name", EVERY)
def test_the_ranks_of_the_blocks_add_up(name: str) -> None:
    """dim Hom = Σ δ n p over irreps with n copies in X and p in Y (Schur)."""
    basis, coordinates = solved(name)
    if coordinates.cycles or any((p.repeats > 1).any() for p in coordinates._sides):
        pytest.skip("no irreps, or copies that are not there")
    copies = [
        sum(part.copies * part.places.shape[1] for part in side)
        for side in (coordinates.input, coordinates.output)
    ]
    assert basis.rank == int((coordinates.irreps[:, 1] * copies[0] * copies[1]).sum())


def irreps_of(name: str) -> set[tuple[int, int]]:
    return {(q, division) for q, division in solved(name)[1].irreps.tolist()}


def test_the_types_of_irreps_are_those_of_the_character_tables() -> None:
    # q and δ; of C4: two real ones and i, -i together. Of D4: four signs, and the plane.
    assert irreps_of("even grids") == {(1, 1), (1, 2)}
    assert irreps_of("mirrors") == {(1, 1), (2, 1)}
    # Of Q8: four signs, and H itself. Of 7:3: 1, ω and ω² together, and C³.
    assert irreps_of("quaternions") == {(1, 1), (1, 4)}
    assert irreps_of("units of the quaternions") == {(1, 4), (1, 1)}
    assert irreps_of("complex numbers of dimension three") == {(1, 1), (1, 2), (3, 2)}
    # Of the octahedral group: 1, 1, 2, 3, 3, all real.
    assert irreps_of("voxels") <= {(1, 1), (2, 1), (3, 1)}


@pytest.mark.parametrize(
    ("group", "side", "share"), [("c4", 64, 3 / 8), ("d4", 64, 3 / 16), ("z32*z32", 32, 0)]
)
def test_multiplications_fall_to_the_share_that_the_irreps_give(
    group: str, side: int, share: float
) -> None:
    """Σ q δ² n p beside k m; what is left are the transforms, and orbits on mirrors."""
    space = eb.solve(group, input=(side, side), output=(side, side)).space
    coordinates = symmetry_coordinates(space)
    assert coordinates is not None
    assert share < coordinates.multiplications / space.dimension < 1.12 * share + 0.06


def test_orbits_that_are_too_long_have_no_coordinates() -> None:
    space = eb.solve("s12", output="12x12").space
    assert (
        max(len(part.places) for part in permutation_parts(space.output, space.generating)) == 132
    )
    assert LONGEST_ORBIT < 132
    assert symmetry_coordinates(eb.solve("s12", input="12", output="12x12").space) is None


# --- parts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mirrors", "sums", "voxels", "quaternions", "generators"])
def test_a_group_acts_on_each_orbit_of_a_kind_as_its_representation_says(name: str) -> None:
    problem = EVERY[name]
    space = eb.solve(problem.group, input=problem.input, output=problem.output).space
    for rho in (space.input, space.output):
        parts = permutation_parts(rho, space.generating)
        covered = np.concatenate([part.places.ravel() for part in parts])
        assert set(covered.tolist()) == set(range(rho.dimension))
        x = np.random.default_rng(0).standard_normal(rho.dimension)
        for number, g in enumerate(space.generating):
            moved = rho.apply(g, x)
            for part in parts:
                signs = 1 if part.signs is None else part.signs
                np.testing.assert_array_equal(
                    part.representation.apply(number, signs * x[part.places]),
                    signs * moved[part.places],
                )


def test_orbits_on_mirrors_are_lifted_where_they_are_few() -> None:
    space = eb.solve("d4", output="20x20").space
    (part,) = permutation_parts(space.output, space.generating)
    assert part.places.shape == (8, 45 + 10)
    assert sorted(set(part.repeats.tolist())) == [1, 2]
    few = eb.solve("d4", output="4x4").space
    assert len(permutation_parts(few.output, few.generating)) == 2


def test_equal_matrices_make_one_kind() -> None:
    space = eb.solve(UNITS, output="3*V").space
    listed = eb.solve(UNITS, input="V", output="V").space
    assert [part.places.shape for part in matrix_parts(space.output)] == [(4, 3)]
    assert [part.places.shape for part in matrix_parts(listed.output)] == [(4, 1)]


# --- irreps -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mirrors", "voxels", "quaternions"])
def test_matching_copies_of_an_irrep_are_moved_alike(name: str) -> None:
    """In adapted coordinates ρ(g) is D(g) ⊗ 1 over copies, one D for all representations."""
    problem = EVERY[name]
    space = eb.solve(problem.group, input=problem.input, output=problem.output).space
    kinds = [part.representation for part in permutation_parts(space.output, space.generating)]
    found = decompose(kinds)
    for number, irrep in enumerate(found.irreps):
        seen: dict[int, np.ndarray] = {}
        for kind, rho in enumerate(kinds):
            count = int(found.copies[kind, number])
            rows = [found.rows(kind, number, i) for i in range(irrep.multiplicity)]
            block = np.concatenate([found.forward[kind][part] for part in rows])
            for g in range(rho.order):
                moved = block @ rho.matrix(g).toarray() @ block.T
                apart = moved.reshape((irrep.multiplicity, count, irrep.division) * 2)
                for s in range(count):
                    alone = apart[:, s, :, :, s].copy()
                    np.testing.assert_allclose(seen.setdefault(g, alone), alone, atol=1e-12)
                    apart[:, s, :, :, s] = 0
                assert np.abs(apart).max(initial=0) < 1e-12


@given(st.integers(1, 24), st.integers(0, 2**31 - 1), st.booleans())
@settings(max_examples=40)
def test_jacobi_finds_eigenvectors(n: int, seed: int, degenerate: bool) -> None:
    generator = np.random.default_rng(seed)
    values = generator.integers(-2, 3, n).astype(float) if degenerate else generator.normal(size=n)
    basis = np.linalg.qr(generator.normal(size=(n, n)))[0]
    matrix = basis @ np.diag(values) @ basis.T
    found, vectors = eigenvectors(matrix)
    np.testing.assert_allclose(found, np.sort(values), atol=1e-13 * n)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(n), atol=1e-13)
    np.testing.assert_allclose(matrix @ vectors, vectors * found, atol=1e-12)


def test_the_product_adds_terms_in_one_order() -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 5, 5))
    by_hand = [[0.0] * 5 for _ in range(5)]
    for j in range(5):
        for row in range(5):
            for column in range(5):
                by_hand[row][column] += a[row, j] * b[j, column]
    assert product(a, b).tolist() == by_hand


# --- files --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY)
def test_arrays_hold_the_coordinates(name: str) -> None:
    basis, coordinates = solved(name)
    arrays = as_arrays(coordinates)
    assert {array.dtype for array in arrays.values()} <= {
        np.dtype(np.int32),
        np.dtype(np.int8),
        np.dtype(np.float64),
    }
    again = from_arrays(arrays, basis.space.m, basis.space.k)
    for one, other in zip(as_arrays(again).items(), arrays.items(), strict=True):
        assert one[0] == other[0]
        np.testing.assert_array_equal(one[1], other[1])
    whole = random_map(basis)
    x = np.random.default_rng(1).standard_normal(basis.space.m)
    np.testing.assert_allclose(
        again.apply(sampled(again, whole), x),
        whole.reshape(basis.space.k, -1) @ x,
        atol=1e-10 * max(1, basis.space.m),
    )


@pytest.mark.parametrize("name", ["even grids", "mirrors of large grids", "a torus of many points"])
def test_a_file_brings_the_coordinates_and_verify_holds_them(name: str, tmp_path: Path) -> None:
    basis, coordinates = solved(name)
    eb.save_basis(basis, tmp_path / "basis.h5")
    loaded, _ = verify_file(tmp_path / "basis.h5")
    assert loaded.coordinates is not None
    for one, other in zip(
        as_arrays(loaded.coordinates).values(), as_arrays(coordinates).values(), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    assert eb.content_sha256(loaded) == eb.content_sha256(basis)


def test_coordinates_that_save_nothing_are_not_written(tmp_path: Path) -> None:
    for number, name in enumerate(("trivial", "c2", "stretched")):
        basis, _ = solved(name)
        eb.save_basis(basis, tmp_path / f"{number}.h5")
        assert eb.load_basis(tmp_path / f"{number}.h5").coordinates is None


def test_wrong_coordinates_do_not_pass() -> None:
    basis, coordinates = solved("mirrors")
    check_coordinates(replace(basis, coordinates=coordinates))
    (part,) = coordinates.input
    swapped = part.places.copy()
    swapped[[0, 1], 3] = swapped[[1, 0], 3]
    wrong = replace(coordinates, input=(replace(part, places=swapped),))
    with pytest.raises(eb.EquibasisError, match="block diagonal"):
        check_coordinates(replace(basis, coordinates=wrong))


@pytest.mark.parametrize("name", ["odd grids", "vector field", "voxels"])
def test_no_number_of_a_transform_may_be_off_by_more_than_rounding(name: str) -> None:
    basis, coordinates = solved(name)
    arrays = as_arrays(coordinates)
    for key in ("input/transforms", "output/transforms"):
        for place in range(len(arrays[key])):
            wrong = {**arrays, key: arrays[key].copy()}
            wrong[key][place] += 1e-8
            changed = from_arrays(wrong, basis.space.m, basis.space.k)
            with pytest.raises(eb.EquibasisError, match="block diagonal"):
                check_coordinates(replace(basis, coordinates=changed))


@pytest.mark.parametrize("digits", [11, 12, 15])
def test_coordinates_are_held_to_the_error_of_the_basis(digits: int) -> None:
    """Matrices written with fewer digits have a basis, and coordinates, that are right to them."""
    turn = np.round([[0.5, -math.sqrt(0.75)], [math.sqrt(0.75), 0.5]], digits)
    basis = eb.solve(eb.matrix_group("g", {"turn": turn}), input="V", output="4*V + V*V + 2*1")
    coordinates = symmetry_coordinates(basis.space)
    assert coordinates is not None
    check_coordinates(replace(basis, coordinates=coordinates))


@pytest.mark.parametrize(
    "name", ["even grids", "mirrors of large grids", "a torus", "vector field"]
)
def test_arrays_that_do_not_fit_are_named(name: str) -> None:
    basis, coordinates = solved(name)
    arrays = as_arrays(coordinates)
    for key, array in arrays.items():
        cases = [array[:-1], array + 10_000_000 if array.dtype == np.int32 else array[:-1]]
        for wrong in cases:
            with pytest.raises(eb.EquibasisError):
                from_arrays({**arrays, key: wrong}, basis.space.m, basis.space.k)
        missing = {other: value for other, value in arrays.items() if other != key}
        if not key.endswith("signs"):
            with pytest.raises(eb.EquibasisError):
                from_arrays(missing, basis.space.m, basis.space.k)


def test_a_matrix_group_decomposes_over_its_invariant_metric() -> None:
    """A change of coordinates changes the transforms and neither irreps nor blocks."""
    angle = 2 * math.pi / 5
    rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    skew = np.array([[1.0, 0.7], [0.0, 2.0]])
    powers = [np.linalg.matrix_power(rotation, n) for n in range(5)]
    straight = MatrixRepresentation(np.stack(powers))
    skewed = MatrixRepresentation(np.stack([skew @ p @ np.linalg.inv(skew) for p in powers]))
    found = decompose([straight, skewed])
    assert [(v.multiplicity, v.division) for v in found.irreps] == [(1, 2)]
    for g in range(5):
        np.testing.assert_allclose(
            found.forward[1] @ skewed.matrices[g] @ found.backward[1],
            found.forward[0] @ straight.matrices[g] @ found.backward[0],
            atol=1e-12,
        )
