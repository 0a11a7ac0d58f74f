"""Verifying: a basis that is right always holds, and one that is wrong in any way never does."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import by_hand
import equibasis as eb
from basis_files import BASES, SLANTED
from equibasis.artifact.verification import is_proved_exact
from equibasis.solvers import solve_space
from equibasis.solvers.tables import MatrixTable, OrbitTable, Table
from equibasis.symmetry.representations import MatrixRepresentation, PermutationRepresentation

signed = by_hand.problems(by_hand.SIGNED | by_hand.PERMUTING)


@pytest.fixture(params=BASES)
def basis(request) -> eb.Basis:
    return BASES[request.param]()


def reason(basis: eb.Basis) -> str:
    with pytest.raises(eb.EquibasisError) as caught:
        eb.verify_basis(basis)
    return str(caught.value)


@given(by_hand.spaces)
def test_every_basis_that_is_solved_holds(space):
    basis = solve_space(space)
    assert eb.verify_basis(basis).rank_expected == basis.rank


@given(by_hand.spaces, by_hand.seeds)
def test_no_other_orthonormal_basis_of_the_subspace_holds(space, seed):
    basis = solve_space(space)

    def turned(table: Table) -> Table:
        if isinstance(table, OrbitTable):
            return table
        return MatrixTable(table.values @ by_hand.random_orthogonal(table.rank, seed))

    other = by_hand.with_tables(basis, turned)
    if not np.allclose(by_hand.dense(other), by_hand.dense(basis), atol=1e-9):
        assert "canonical" in reason(other)


def tables_with(basis: eb.Basis, number: int, table: Table) -> eb.Basis:
    """The same basis with another table between one pair of types."""
    rows = [list(row) for row in basis.tables]
    row, column = divmod(number, len(rows[0]))
    rows[row][column] = table
    return dataclasses.replace(basis, tables=tuple(map(tuple, rows)))


@given(by_hand.spaces, st.data())
def test_one_wrong_entry_is_found(space, data):
    basis = solve_space(space)
    number = data.draw(st.integers(0, len(basis.blocks) - 1))
    table = basis.blocks[number].table
    if isinstance(table, OrbitTable) or not table.rank:
        return
    wrong = table.values.copy()
    place = data.draw(st.integers(0, wrong.size - 1))
    wrong.flat[place] += data.draw(st.sampled_from([1e-7, -1e-3, 0.5, 1e6]))
    reason(tables_with(basis, number, MatrixTable(wrong)))


@given(signed, st.data())
def test_one_wrong_label_or_sign_is_found(problem, data):
    basis = solve_space(data.draw(st.sampled_from([problem.generated, problem.listed])))
    number = data.draw(st.integers(0, len(basis.blocks) - 1))
    table = basis.blocks[number].table
    place = data.draw(st.integers(0, len(table.labels) - 1))
    labels, signs = table.labels.copy(), table.signs
    if data.draw(st.booleans()) and labels[place] >= 0:
        signs = np.ones(len(labels), dtype=np.int8) if signs is None else signs.copy()
        signs[place] *= -1
    else:
        others = set(range(-1, table.rank + 1)) - {labels[place]}
        labels[place] = data.draw(st.sampled_from(sorted(others)))
    reason(tables_with(basis, number, OrbitTable(table.rows, labels, signs)))


@given(signed, st.data())
def test_one_wrong_image_of_a_type_is_found(problem, data):
    """Two images of one listed element exchanged: no group, other orbits, or another group."""
    basis = solve_space(problem.listed)
    small = list(basis.space.types.representations)
    number = data.draw(st.integers(0, len(small) - 1))
    index = small[number].index.copy()
    if len(index) < 2 or index.shape[1] < 2:
        return
    g = data.draw(st.integers(1, len(index) - 1))
    one, other = data.draw(st.permutations(range(index.shape[1])))[:2]
    index[g, [one, other]] = index[g, [other, one]]
    small[number] = PermutationRepresentation(index, small[number].signs)
    reason(by_hand.with_types(basis, small))


def test_numbers_that_overflow_are_a_reason(basis):
    for number in (np.nan, np.inf, 1e200, -1e308):
        for place, block in enumerate(basis.blocks):
            if isinstance(block.table, MatrixTable) and block.table.rank:
                wrong = block.table.values.copy()
                wrong.flat[0] = number
                reason(tables_with(basis, place, MatrixTable(wrong)))


def test_two_columns_exchanged_are_out_of_order(basis):
    for place, block in enumerate(basis.blocks):
        table = block.table
        if table.rank < 2:
            continue
        order = np.array([1, 0, *range(2, table.rank)])
        if isinstance(table, MatrixTable):
            other: Table = MatrixTable(table.values[:, order])
        else:
            exchanged = np.append(order, -1)[table.labels].astype(np.int32)
            other = dataclasses.replace(table, labels=exchanged)
        assert "canonical" in reason(tables_with(basis, place, other))


def test_a_column_negated_is_not_canonical(basis):
    for place, block in enumerate(basis.blocks):
        table = block.table
        if not table.rank:
            continue
        if isinstance(table, MatrixTable):
            flips = np.where(np.arange(table.rank) == 0, -1.0, 1.0)
            other: Table = MatrixTable(table.values * flips)
        else:
            signs = np.ones(len(table.labels)) if table.signs is None else table.signs
            negated = np.where(table.labels == 0, -signs, signs).astype(np.int8)
            other = dataclasses.replace(table, signs=negated)
        assert "canonical" in reason(tables_with(basis, place, other))


def test_two_tables_exchanged_are_wrong(basis):
    for one, block in enumerate(basis.blocks):
        for other, instead in enumerate(basis.blocks):
            if block.table.rank != instead.table.rank or one >= other:
                continue
            exchanged = tables_with(tables_with(basis, one, instead.table), other, block.table)
            if not same_matrix(exchanged, basis):
                reason(exchanged)


def same_matrix(a: eb.Basis, b: eb.Basis) -> bool:
    try:
        return np.array_equal(by_hand.dense(a), by_hand.dense(b))
    except eb.EquibasisError:  # of other sizes
        return False


@pytest.mark.parametrize("g", range(1, 8))
def test_every_element_listed_is_looked_at(g):
    basis = eb.solve("d4", input="5x5", output="3x3")
    for number, rho in enumerate(small := basis.space.types.representations):
        if rho.dimension > 1:
            index = rho.index.copy()
            index[g] = index[1 if g != 1 else 2]
            other = [*small[:number], PermutationRepresentation(index), *small[number + 1 :]]
            reason(by_hand.with_types(basis, other))


@pytest.mark.parametrize("g", range(2))
def test_every_generator_is_looked_at(g):
    """A generator that moves the pairs of points in another way than the points."""
    basis = eb.solve("s5", input="5x5", output="5")
    points = next(rho for rho in basis.space.types.representations if rho.dimension == 5)
    index = points.index.copy()
    index[g] = np.roll(index[g], 1)
    other = [
        PermutationRepresentation(index) if rho is points else rho
        for rho in basis.space.types.representations
    ]
    reason(by_hand.with_types(basis, other))


@pytest.mark.parametrize("side", ["input", "output"])
def test_copies_out_of_order_are_not_canonical(side):
    basis = eb.solve("d4", input="14x14", output="14x14")
    types = basis.space.types
    summands = list(getattr(types, side))
    index = summands[0].index[:, ::-1]
    summands[0] = dataclasses.replace(summands[0], index=index)
    space = dataclasses.replace(basis.space)
    vars(space)["types"] = dataclasses.replace(types, **{side: tuple(summands)})
    assert "have other orbit types" in reason(dataclasses.replace(basis, space=space))


def test_a_smaller_subspace_than_the_group_gives_is_not_complete():
    basis = eb.solve(SLANTED, input="3", output="3")
    smaller = by_hand.with_values(basis, by_hand.values(basis)[:, :-1])
    assert reason(smaller) == "the rank is 2, but the characters give 3"


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
    values = np.array([[1, 0], [0, -1], [0, 1], [1, 0]]) / np.sqrt(2)
    checks = eb.solve("c2", output="2x2").checks
    basis = eb.Basis(space, ((MatrixTable(values),),), "by hand", checks)
    assert "infinitely many" in reason(basis)


def test_a_file_of_matrices_beside_orbits_that_differ_by_signs_holds(tmp_path):
    """Vectors in skewed coordinates beside those at four pixels, moved by half turn and mirrors."""
    d2 = eb.find_group("d2")
    skew = np.array([[1.0, 0.5], [0.0, 1.0]])
    skewed = skew @ d2.representations["V"].matrices @ np.linalg.inv(skew)
    group = d2.with_representations(own=MatrixRepresentation(skewed))
    basis = eb.solve(group, input="own + 2x2:vector", output="own + 2x2:vector")
    assert any(each.signs is not None for each in basis.space.types.input)
    eb.save_basis(basis, tmp_path / "basis.h5")
    eb.verify_basis(eb.load_basis(tmp_path / "basis.h5"))


# --- proved in whole numbers ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("group", "space"), [("so3", "V**2 + l2"), ("so+1,3", "V + sym(V, 2)"), ("su2", "V**2")]
)
def test_a_basis_of_fractions_is_proved_from_itself_in_whole_numbers(group, space):
    assert is_proved_exact(eb.solve(group, input=space, output=space))


def test_a_last_bit_is_enough_for_a_basis_not_to_be_proved():
    basis = eb.solve("so3", input="V**2", output="V**2")
    table = basis.tables[0][0]
    values = table.values.copy()
    row, column = np.argwhere(values)[0]
    values[row, column] = np.nextafter(values[row, column], 1.0)
    changed = dataclasses.replace(basis, tables=((MatrixTable(values),),))
    eb.verify_basis(changed)  # within rounding it holds
    assert not is_proved_exact(changed)


def test_where_entries_are_no_fractions_nothing_is_proved_in_whole_numbers():
    assert not is_proved_exact(eb.solve("i", input="V**2", output="V**2"))
    assert not is_proved_exact(eb.solve("c4", input="4x4", output="4x4"))
