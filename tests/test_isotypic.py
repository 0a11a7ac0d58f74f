"""Isotypic coordinates: equivariant maps, and no others, are block diagonal in them (Schur)."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import equibasis as eb
from equibasis.nn.layers import by_irreps
from equibasis.nn.schur import SchurMap, block_transforms
from equibasis.symmetry.irreps import LONGEST_ORBIT, Decomposition, isotypic, torus
from test_layers import LAYERS, PROBLEMS, Problem

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


DECOMPOSED = [name for name in EVERY if name != "a torus of many points"]


def solved(name: str) -> eb.Basis:
    problem = EVERY[name]
    return eb.solve(problem.group, input=problem.input, output=problem.output)


def decomposed(name: str) -> tuple[eb.Basis, Decomposition]:
    basis = solved(name)
    found = isotypic(basis.space)
    assert found is not None
    return basis, found


@pytest.mark.parametrize("name", DECOMPOSED)
def test_coordinates_lead_there_and_back(name: str) -> None:
    basis, found = decomposed(name)
    for rho, there, back in zip(
        basis.space.types.representations, found.forward, found.backward, strict=True
    ):
        np.testing.assert_allclose(there @ back, np.eye(rho.dimension), atol=1e-10)
        if rho.is_orthogonal:
            np.testing.assert_allclose(back, there.T, atol=1e-10)


@pytest.mark.parametrize("name", DECOMPOSED)
def test_in_them_every_element_is_the_same_matrix_on_each_copy_of_an_irrep(name: str) -> None:
    """ρ(g) = ⊕ D(g) ⊗ 1 over the copies, D commuting with the commutant."""
    basis, found = decomposed(name)
    for position, rho in enumerate(basis.space.types.representations):
        for g in range(rho.order):
            moved = found.forward[position] @ rho.matrix(g) @ found.backward[position]
            start = 0
            for irrep, copies in zip(found.irreps, found.multiplicities[position], strict=True):
                size = irrep.degree * irrep.dimension
                block = moved[start : start + size * copies, start : start + size * copies]
                by_copies = block.reshape(size, copies, size, copies).transpose(1, 3, 0, 2)
                for a in range(copies):
                    for b in range(copies):
                        expected = by_copies[0, 0] if a == b else 0.0
                        np.testing.assert_allclose(by_copies[a, b], expected, atol=1e-9)
                start += size * copies


@pytest.mark.parametrize("name", DECOMPOSED)
def test_coefficients_and_matrices_of_irreps_are_as_many_and_determine_each_other(
    name: str,
) -> None:
    """dim Hom = Σ δ n p over irreps with n copies in X and p in Y (Schur)."""
    basis, found = decomposed(name)
    for block in basis.blocks:
        rows = [
            terms.reshape(-1, block.table.rank) for terms in block_transforms(block, found).values()
        ]
        whole = np.concatenate([np.zeros((0, block.table.rank)), *rows])
        assert whole.shape[0] == whole.shape[1] == block.table.rank
        assert (np.linalg.matrix_rank(whole) if whole.size else 0) == block.table.rank


def irreps_of(name: str) -> set[tuple[int, int]]:
    return {(irrep.degree, irrep.dimension) for irrep in decomposed(name)[1].irreps}


def test_the_types_of_irreps_are_those_of_the_character_tables() -> None:
    # Degree and δ; of C4: two real ones and i, -i together. Of D4: four signs, and the plane.
    assert irreps_of("even grids") == {(1, 1), (1, 2)}
    assert irreps_of("mirrors") == {(1, 1), (2, 1)}
    # Of Q8: four signs, and H itself. Of 7:3: 1, ω and ω² together, and C³.
    assert irreps_of("quaternions") == {(1, 1), (1, 4)}
    assert irreps_of("units of the quaternions") == {(1, 4), (1, 1)}
    assert irreps_of("complex numbers of dimension three") == {(1, 1), (1, 2), (3, 2)}
    # Of the octahedral group: 1, 1, 2, 3, 3, all real.
    assert irreps_of("voxels") <= {(1, 1), (2, 1), (3, 1)}


@pytest.mark.parametrize(
    ("group", "side", "share"), [("c4", 64, 5 / 16), ("d4", 64, 3 / 16), ("z32*z32", 32, 0)]
)
def test_multiplications_fall_to_the_share_that_the_irreps_give(
    group: str, side: int, share: float
) -> None:
    """Σ q δ² n p beside k m (5 of 16 for C4, as complex numbers take three products, not four)."""
    basis = eb.solve(group, input=(side, side), output=(side, side))
    found = by_irreps(basis)
    assert found is not None
    assert share < found.multiplications / basis.space.dimension < 1.12 * share + 0.06


def test_shifts_are_a_torus_and_others_are_none() -> None:
    for group, space, cycles in (("z6*z6", "6x6", (6, 6)), ("z14*z14", "14x14", (14, 14))):
        found = torus(eb.solve(group, input=space, output=space).space)
        assert found is not None
        assert sorted(found.cycles) == sorted(cycles)
        assert sorted(found.points.tolist()) == list(range(math.prod(cycles)))
    for group, space in (("p4", "6x6"), ("z5", "5"), ("c4", "8x8")):
        assert torus(eb.solve(group, input=space, output=space).space) is None


def test_orbits_that_are_too_long_have_no_irreps() -> None:
    basis = eb.solve("s12", input="12x12", output="12x12")
    assert max(rho.dimension for rho in basis.space.types.representations) > LONGEST_ORBIT
    assert isotypic(basis.space) is None
    assert by_irreps(basis) is None


@pytest.mark.parametrize("name", [*LAYERS, *MORE])
def test_a_map_by_its_irreps_is_the_map(name: str) -> None:
    basis = solved(name)
    found = by_irreps(basis)
    assert found is not None
    found = found.double()
    generator = torch.Generator().manual_seed(0)
    coefficients = torch.randn(basis.rank, generator=generator, dtype=torch.float64)
    x = torch.randn(3, basis.space.m, generator=generator, dtype=torch.float64)
    sizes = np.sqrt(np.diff(basis.matrix.indptr))
    weight = (basis.matrix @ (sizes * coefficients.numpy())).reshape(basis.space.k, -1)
    expected = x.numpy() @ weight.T
    y = found(x, coefficients).numpy()
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-10 * max(1, abs(expected).max()))
    assert isinstance(found, SchurMap) == (torus(basis.space) is None)
