"""Basis files: what is written is what is read, and nothing that is damaged is ever believed."""

from __future__ import annotations

import dataclasses
import os
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from hypothesis import given
from scipy import linalg, sparse

import by_hand
import equibasis as eb
from basis_files import (
    BASES,
    HASHED_OF_ROOT,
    SLANTED,
    edit,
    file_of,
    fixed,
    hash_by_hand,
    refusal,
    rehash,
    replaced,
    saved,
    turn,
)
from equibasis import files
from equibasis.artifact.normalise import import_basis
from equibasis.artifact.store import basis_path, describe, verify_file
from equibasis.files import check_writable, write_text, writing
from equibasis.solvers import solve_space
from equibasis.solvers.angle import same_array, same_summands
from equibasis.solvers.tables import MatrixTable, OrbitTable, Table
from equibasis.symmetry.constructions import same_representation

REFLECTION = eb.Group("reflection", (1, -1), lambda x, g: x * g)


@pytest.fixture(params=BASES)
def one_of_all(request) -> str:
    return request.param


@pytest.fixture
def basis(one_of_all) -> eb.Basis:
    return BASES[one_of_all]()


@pytest.fixture
def file(one_of_all, tmp_path) -> Path:
    return file_of(one_of_all, tmp_path / "basis.h5")


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def assert_same(one: eb.Basis, other: eb.Basis) -> None:
    """Equal in every bit and name."""
    a, b = one.space, other.space
    assert (a.group, a.elements, a.input_shape, a.output_shape, a.complete) == (
        b.group,
        b.elements,
        b.input_shape,
        b.output_shape,
        b.complete,
    )
    assert (a.input_space, a.output_space, a.kind) == (b.input_space, b.output_space, b.kind)
    small = zip(a.types.representations, b.types.representations, strict=True)
    assert all(same_representation(*pair) for pair in small)
    for mine, others in ((a.types.input, b.types.input), (a.types.output, b.types.output)):
        assert [each.type for each in mine] == [each.type for each in others]
        assert same_summands(mine, others)
    for row, its_row in zip(one.tables, other.tables, strict=True):
        assert all(map(same_table, row, its_row))
    for mine, its in ((a.input, b.input), (a.output, b.output)):  # ρ(g), and dρ(A) of an algebra
        for one_move, other_move in zip(mine.moves(), its.moves(), strict=True):
            np.testing.assert_array_equal(one_move.toarray(), other_move.toarray())
    np.testing.assert_array_equal(by_hand.dense(one), by_hand.dense(other))
    assert (one.solver, one.checks) == (other.solver, other.checks)


def same_table(one: Table, other: Table) -> bool:
    if isinstance(one, OrbitTable) and isinstance(other, OrbitTable):
        same = one.rows == other.rows and np.array_equal(one.labels, other.labels)
        return same and same_array(one.signs, other.signs)
    return (
        isinstance(one, MatrixTable)
        and isinstance(other, MatrixTable)
        and np.array_equal(one.values, other.values)
    )


# --- round trip ---------------------------------------------------------------------------------


def test_what_is_written_is_what_is_read(basis, file):
    assert_same(eb.load_basis(file), basis)


def test_what_is_read_holds(basis, file):
    eb.verify_basis(eb.load_basis(file))
    verified, checks = verify_file(file)
    assert_same(verified, basis)
    assert checks.rank_expected == basis.rank


def test_what_is_read_is_written_as_the_same_bytes(file, tmp_path):
    again = saved(eb.load_basis(file), tmp_path / "again.h5")
    assert again.read_bytes() == file.read_bytes()


@given(by_hand.spaces)
def test_random_bases_survive_writing_and_reading(tmp_path_factory, space):
    basis = solve_space(space)
    path = tmp_path_factory.getbasetemp() / "random.h5"
    assert_same(eb.load_basis(saved(basis, path)), basis)


def test_a_path_may_be_text_and_names_may_be_any_unicode(tmp_path):
    group = eb.Group("drehung-ä", ("eins", "−1"), lambda x, g: x if g == "eins" else -x)
    path = str(tmp_path / "größe 2.h5")
    eb.save_basis(eb.solve(group=group, input="2", output="2"), path)
    assert eb.load_basis(path).space.elements == ("eins", "−1")
    assert eb.load_basis(path).group == "drehung-ä"


@pytest.mark.parametrize("name", ["a" * 40_000, " ", "名"])
def test_a_group_s_name_may_be_long_or_odd(tmp_path, name):
    basis = eb.solve(group=eb.Group(name, ("one",), lambda x, g: x), output="2")
    assert eb.load_basis(saved(basis, tmp_path / "named.h5")).group == name


@pytest.mark.parametrize(
    "name", ["ends in NUL\0", "\0", "two\nlines", "\x1b[31m", "a\0b", "\ud800", "a" * 70_000]
)
def test_a_name_that_no_file_can_hold_is_refused_before_it_is_written(tmp_path, name):
    def attempt():
        basis = eb.solve(group=eb.Group(name, ("one",), lambda x, g: x), output="2")
        eb.save_basis(basis, tmp_path / "named.h5")

    try:
        attempt()
    except eb.EquibasisError:
        assert names_in(tmp_path) == []
    else:
        assert eb.load_basis(tmp_path / "named.h5").group == name


SIGN = eb.Group("sign", (1, -1), lambda x, g: x * g)


@pytest.mark.parametrize(
    "problem",
    [
        {"group": "trivial", "input": (1,), "output": "2"},
        {"group": "z1", "input": eb.Grid((1,)), "output": eb.Grid((1,))},
        {"group": SIGN, "output": eb.Grid((1,))},
    ],
    ids=["a shape", "grids", "invariants of a grid"],
)
def test_a_sequence_of_one_point_can_be_written_and_read(tmp_path, problem):
    basis = eb.solve(**problem)
    assert_same(eb.load_basis(saved(basis, tmp_path / "point.h5")), basis)


def test_a_file_is_replaced_by_a_new_one(basis, file, tmp_path):
    other = by_hand.solved("c2", output="3x3")
    assert_same(eb.load_basis(saved(other, file)), other)
    assert names_in(tmp_path) == ["basis.h5"]


# --- identical bytes ----------------------------------------------------------------------------


def test_the_same_basis_is_the_same_bytes_at_another_time(c4_basis, tmp_path):
    first = saved(c4_basis, tmp_path / "first.h5").read_bytes()
    second = int(time.time())  # in which HDF5 counts time
    while int(time.time()) == second:
        time.sleep(0.01)
    assert saved(c4_basis, tmp_path / "second.h5").read_bytes() == first


def test_the_same_basis_is_the_same_bytes_from_another_process(c4_file, python):
    solving = (
        "import equibasis as eb\n"
        "eb.save_basis(eb.solve(group='c4', input='6x6', output='3x3'), 'other.h5')"
    )
    assert python("-c", solving).status == 0
    assert c4_file.with_name("other.h5").read_bytes() == c4_file.read_bytes()


def test_the_layout_is_that_of_hdf5_1_8_and_carries_checksums(file):
    signature, version = file.read_bytes()[:8], file.read_bytes()[8]
    assert (signature, version) == (b"\x89HDF\r\n\x1a\n", 2)


@pytest.mark.parametrize("solver", ["projector", "svd", "dense"])
def test_two_solvers_write_the_same_bytes_but_for_their_names(c4_file, tmp_path, solver):
    other = by_hand.solved("c4", input="6x6", output="3x3", solver=solver)
    assert eb.load_basis(saved(other, tmp_path / "other.h5")).solver == solver
    renamed = saved(dataclasses.replace(other, solver="orbits"), tmp_path / "renamed.h5")
    assert renamed.read_bytes() == c4_file.read_bytes()


# --- the content hash ---------------------------------------------------------------------------


def test_the_content_hash_can_be_computed_with_plain_h5py(basis, file):
    with h5py.File(file) as opened:
        assert opened.attrs["content_sha256"].decode() == hash_by_hand(opened)
        assert hash_by_hand(opened) == eb.content_sha256(basis)


def test_the_content_hash_does_not_depend_on_the_solver():
    hashes = {
        eb.content_sha256(by_hand.solved("c4", input="3x3", output="3x3", solver=solver))
        for solver in ("orbits", "projector", "svd", "dense")
    }
    assert len(hashes) == 1


@pytest.mark.parametrize(
    "problem",
    [
        {"group": "d4", "input": "3x3:pseudoscalar", "output": "3x3"},
        {"group": "c4", "input": "3x3:vector", "output": "3x3"},
    ],
)
def test_the_content_hash_does_not_depend_on_the_solver_where_there_are_signs(problem):
    hashes = {
        eb.content_sha256(by_hand.solved(**problem, solver=solver))
        for solver in ("orbits", "projector", "svd", "dense")
    }
    assert len(hashes) == 1


def test_spaces_of_one_shape_have_different_hashes():
    sides = ("2*3x3", "3x3:vector", "18*1")
    hashes = {eb.content_sha256(by_hand.solved("c4", input="3x3", output=side)) for side in sides}
    assert len(hashes) == 3


def test_different_contents_have_different_hashes():
    problems = [
        {"group": group, "input": input_, "output": output}
        for group in by_hand.ELEMENTS
        for output in ("1x1", "2x2", "3x3")
        for input_ in (None, "1x1", "2x2")
    ]
    assert len({eb.content_sha256(by_hand.solved(**each)) for each in problems}) == len(problems)


def test_the_last_bit_of_an_entry_changes_the_hash():
    basis = BASES["slanted"]()
    ((table,),) = basis.tables
    values = table.values.copy()
    values[0, 0] = np.nextafter(values[0, 0], 1)
    other = dataclasses.replace(basis, tables=((MatrixTable(values),),))
    assert eb.content_sha256(other) != eb.content_sha256(basis)


# --- the file as any HDF5 reader sees it --------------------------------------------------------


def contents(path: Path) -> tuple[dict[str, set[str]], set[str]]:
    """Names of attributes by object, and of datasets."""
    attributes, datasets = {}, set()
    with h5py.File(path) as opened:
        attributes["/"] = set(opened.attrs)

        def visit(name, found):
            attributes[f"/{name}"] = set(found.attrs)
            if isinstance(found, h5py.Dataset):
                datasets.add(f"/{name}")

        opened.visititems(visit)
    return {path: names for path, names in attributes.items() if names}, datasets


ROOT = {
    "format": "equibasis",
    "format_version": 3,
    "kind": "equivariant",
    "group": "c4",
    "input_space": "6x6",
    "output_space": "3x3",
    "rank": 81,
}
CHECKS = {"orthonormality_error", "equivariance_error", "rank_expected", "rank_by"}
BESIDE_THE_DATA = {
    "/": {*ROOT, "content_sha256"},
    "/group": {"listed", "order"},
    "/input": {"shape"},
    "/output": {"shape"},
    "/checks": {*CHECKS, "solver"},
    "/basis": {"encoding-type", "encoding-version", "shape", "vec_order"},
}
ALWAYS = {
    "/group/elements",
    "/types/dimensions",
    "/types/permuted",
    *(f"/{s}/{name}" for s in ("input", "output") for name in ("types", "multiplicities", "index")),
    "/tables/ranks",
}
OF_THE_MATRIX = {"/basis/data", "/basis/indices", "/basis/indptr"}


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("permutations", {"/types/index", "/tables/labels"}),
        ("slanted", {"/types/matrices", "/tables/values"}),
        (
            "signs",
            {"/types/index", "/types/signs", "/output/signs", "/tables/labels", "/tables/signs"},
        ),
        (
            "permutations and matrices",
            {"/types/index", "/types/matrices", "/tables/labels", "/tables/values"},
        ),
    ],
)
def test_a_file_holds_these_attributes_and_datasets(tmp_path, name, more):
    attributes, datasets = contents(file_of(name, tmp_path / "basis.h5"))
    assert attributes == BESIDE_THE_DATA
    assert datasets == ALWAYS | OF_THE_MATRIX | more


def test_no_object_has_more_attributes_or_links_than_hdf5_keeps_in_its_header(file):
    """Eight of each: beyond, HDF5 makes a heap, which pyfive and other readers do not read."""
    with h5py.File(file) as opened:
        counted = [len(opened.attrs), len(opened)]

        def count(_, found):
            counted.append(len(found.attrs))
            if isinstance(found, h5py.Group):
                counted.append(len(found))

        opened.visititems(count)
    assert max(counted) <= 8


def decoded(found: h5py.Group) -> dict[str, object]:
    """Attributes as h5py gives them, strings decoded."""
    return {
        name: value.decode() if isinstance(value, bytes) else value
        for name, value in found.attrs.items()
    }


def test_every_string_is_of_fixed_length_and_utf_8(file):
    def check(found):
        holders = [found.attrs.get_id(name) for name in found.attrs]
        if isinstance(found, h5py.Dataset):
            holders.append(found.id)
        for holder in holders:
            kind = holder.get_type()
            assert not kind.detect_class(h5py.h5t.VLEN)
            if isinstance(kind, h5py.h5t.TypeStringID):
                assert not kind.is_variable_str()
                assert kind.get_cset() == h5py.h5t.CSET_UTF8

    with h5py.File(file) as opened:
        check(opened)
        opened.visititems(lambda _, found: check(found))


def test_the_attributes_have_their_values(c4_file):
    with h5py.File(c4_file) as opened:
        attributes = decoded(opened)
        assert opened["group"].attrs["listed"] == b"elements"
        assert opened["group"].attrs["order"] == 4
        assert opened["input"].attrs["shape"].tolist() == [6, 6]
        assert opened["output"].attrs["shape"].tolist() == [3, 3]
        assert opened["basis"].attrs["vec_order"] == b"row-major"
        assert opened["checks"].attrs["solver"] == b"orbits"
        assert len(attributes.pop("content_sha256")) == 64
        assert attributes == ROOT


def test_the_kind_of_invariants_is_invariant_and_their_input_shape_empty(tmp_path):
    with h5py.File(file_of("invariant", tmp_path / "d4.h5")) as opened:
        assert opened.attrs["kind"] == b"invariant"
        assert opened.attrs["input_space"] == b"1"
        assert opened["input"].attrs["shape"].shape == (0,)
        assert opened["group"].attrs["order"] == 8
        assert opened["input/index"][()].tolist() == [0]


def test_the_checks_are_numbers(c4_basis, c4_file):
    with h5py.File(c4_file) as opened:
        found = dict(opened["checks"].attrs)
    assert found.pop("solver") == b"orbits"
    found["rank_by"] = found["rank_by"].decode()
    assert found == dataclasses.asdict(c4_basis.checks)


def test_the_matrix_is_encoded_as_anndata_publishes_it(c4_basis, c4_file):
    with h5py.File(c4_file) as opened:
        group = opened["basis"]
        assert group.attrs["encoding-type"] == b"csc_matrix"
        assert group.attrs["encoding-version"] == b"0.1.0"
        parts = (group["data"][()], group["indices"][()], group["indptr"][()])
        matrix = sparse.csc_matrix(parts, shape=tuple(group.attrs["shape"]))
    np.testing.assert_array_equal(matrix.toarray(), by_hand.dense(c4_basis))


@pytest.mark.parametrize(
    ("problem", "there"),
    [
        ({"group": "c4", "input": "22x22", "output": "22x22"}, True),
        ({"group": "c4", "input": "23x23", "output": "23x23"}, False),  # more than 2¹⁸ entries
        ({"group": "trivial", "input": "511", "output": "511"}, True),
        ({"group": "trivial", "input": "513", "output": "513"}, False),
        ({"group": REFLECTION, "input": "500*3", "output": "1"}, True),
        ({"group": REFLECTION, "input": "600*2", "output": "500*2"}, False),  # than 2²⁰ rows
    ],
    ids=lambda each: None if isinstance(each, bool) else f"{each['input']} -> {each['output']}",
)
def test_the_matrix_is_in_the_file_up_to_a_size(tmp_path, problem, there):
    basis = eb.solve(**problem)
    path = saved(basis, tmp_path / "basis.h5")
    assert there == (basis.nonzeros <= 2**18 and basis.space.dimension <= 2**20)
    assert describe(path)["matrix"] == there
    with h5py.File(path) as opened:
        assert ("basis" in opened) == there
    assert_same_rank_and_hash(eb.load_basis(path), basis)
    verify_file(path)


def assert_same_rank_and_hash(one: eb.Basis, other: eb.Basis) -> None:
    assert one.rank == other.rank
    assert eb.content_sha256(one) == eb.content_sha256(other)


def test_elements_are_stored_by_name(c4_file):
    with h5py.File(c4_file) as opened:
        assert opened["group/elements"].asstr()[()].tolist() == ["r0", "r90", "r180", "r270"]


def actions(opened: h5py.File, side: str) -> list[np.ndarray]:
    """ρ(g) of each element listed as matrices, from the stored types and copies alone.

    Of Lie algebra elements, exp A.
    """
    permuted = opened["types/permuted"][()].astype(bool)
    dimensions = opened["types/dimensions"][()].astype(int)
    order, n = len(opened["group/elements"]), len(opened[f"{side}/index"])
    index = iter(opened["types/index"][()].T) if permuted.any() else iter(())
    signs = iter(opened["types/signs"][()].T) if "types/signs" in opened else None
    values = opened["types/matrices"][()] if "types/matrices" in opened else np.zeros(0)
    continuous = int(opened["group"].attrs.get("continuous", 0))
    discrete = order - continuous
    algebra = np.zeros(continuous * (dimensions[~permuted] ** 2).sum())
    if continuous:
        algebra[opened["types/algebra_index"][()]] = opened["types/algebra_values"][()]
    small = []
    for t, is_permuted in zip(dimensions, permuted, strict=True):
        if not is_permuted:
            listed, values = np.split(values, [discrete * t * t])
            curves, algebra = np.split(algebra, [continuous * t * t])
            turned = [linalg.expm(each) for each in curves.reshape(continuous, t, t)]
            small.append(np.array([*listed.reshape(discrete, t, t), *turned]))
            continue
        columns = np.stack([next(index) for _ in range(t)], axis=1)
        matrices = np.eye(t)[columns]
        if signs is not None:
            matrices *= np.stack([next(signs) for _ in range(t)], axis=1)[:, :, None]
        small.append(matrices)
    of_side = opened[side]
    turned = of_side["signs"][()] if "signs" in of_side else np.ones(n)
    whole, start = np.zeros((order, n, n)), 0
    for type_, count in zip(of_side["types"][()], of_side["multiplicities"][()], strict=True):
        size = dimensions[type_] * count
        places = of_side["index"][start : start + size].reshape(-1, count)
        flips = turned[start : start + size].reshape(-1, count)
        for place, flip in zip(places.T, flips.T, strict=True):
            whole[np.ix_(range(order), place, place)] = small[type_] * flip[:, None] * flip
        start += size
    return list(whole)


@pytest.mark.parametrize(("side", "n"), [("input", 6), ("output", 3)])
def test_the_stored_types_and_copies_say_which_entry_moves_where(c4_file, side, n):
    x = np.random.default_rng(0).standard_normal(n * n)
    with h5py.File(c4_file) as opened:
        for g, matrix in enumerate(actions(opened, side)):
            np.testing.assert_array_equal(matrix @ x, np.rot90(x.reshape(n, n), g).ravel())


def test_the_stored_types_and_copies_are_the_representations(basis, file):
    with h5py.File(file) as opened:
        for side in ("input", "output"):
            expected = by_hand.matrices(getattr(basis.space, side))
            np.testing.assert_allclose(actions(opened, side), expected, rtol=0, atol=1e-12)


def test_stored_matrices_are_those_of_the_representation(tmp_path):
    with h5py.File(file_of("matrices", tmp_path / "hexagon.h5")) as opened:
        expected = np.ravel([turn(np.eye(2), g) for g in range(6)])
        np.testing.assert_allclose(opened["types/matrices"], expected, atol=1e-15)


def test_signed_permutations_of_fields_are_turned_vectors(tmp_path):
    with h5py.File(file_of("signs", tmp_path / "field.h5")) as opened:
        assert opened["types/signs"].dtype == np.int8
        x = np.random.default_rng(0).standard_normal((2, 4, 4))
        turned = x
        for matrix in actions(opened, "input"):
            np.testing.assert_allclose(matrix @ x.ravel(), turned.ravel())
            # First component along rows, as in the plane.
            turned = np.stack([-np.rot90(turned[1]), np.rot90(turned[0])])
        assert opened["input"].attrs["shape"].tolist() == [2, 4, 4]
        assert opened.attrs["input_space"] == b"4x4:vector"


def test_the_stored_numbers_alone_show_that_the_basis_is_equivariant(file):
    with h5py.File(file) as opened:
        columns = tuple(opened["basis"][part][()] for part in ("data", "indices", "indptr"))
        matrix = sparse.csc_array(columns, shape=opened["basis"].attrs["shape"]).toarray()
        rho1, rho2 = actions(opened, "input"), actions(opened, "output")
    np.testing.assert_allclose(matrix.T @ matrix, np.eye(matrix.shape[1]), atol=1e-12)
    for W in matrix.T.reshape(-1, len(rho2[0]), len(rho1[0])):
        for a, b in zip(rho1, rho2, strict=True):
            np.testing.assert_allclose(b @ W, W @ a, atol=1e-12)


def test_a_group_of_generators_says_so(tmp_path):
    with h5py.File(file_of("generators", tmp_path / "s5.h5")) as opened:
        assert opened["group"].attrs["listed"] == b"generators"
        assert opened["group"].attrs["order"] == 0
        assert opened["group/elements"][()].tolist() == [b"swap", b"cycle"]
        assert opened["types/index"].shape == (2, 25)
    told = describe(tmp_path / "s5.h5")
    assert told["group_order"] is None
    assert told["generators"] == ["swap", "cycle"]
    assert "elements" not in told


# --- the matrix is derived ----------------------------------------------------------------------


def test_a_file_without_the_matrix_is_the_same_basis(basis, file):
    edit(file, deleting("basis"))
    assert_same(eb.load_basis(file), basis)
    verify_file(file)
    told = describe(file)
    assert (told["matrix"], told["besides"]) == (False, [])
    assert told["content_sha256"] == eb.content_sha256(basis)


CHANGED = {
    "an entry": lambda o: o["basis/data"].__setitem__(0, 0.25),
    "the last bit": lambda o: o["basis/data"].__setitem__(0, np.nextafter(o["basis/data"][0], 1)),
    "not a number": lambda o: o["basis/data"].__setitem__(0, np.nan),
    "a sign": lambda o: o["basis/data"].__setitem__(0, -o["basis/data"][0]),
    "a row": lambda o: o["basis/indices"].__setitem__(0, 1),
    "a row that is not there": lambda o: o["basis/indices"].__setitem__(-1, 324),
    "a negative row": lambda o: o["basis/indices"].__setitem__(0, -(2**31)),
    "where a column begins": lambda o: o["basis/indptr"].__setitem__(1, 3),
    "a column that ends beyond": lambda o: o["basis/indptr"].__setitem__(-1, 2**31 - 1),
    "two columns exchanged": lambda o: o["basis/indices"].__setitem__(
        slice(8), np.roll(o["basis/indices"][:8], 4)
    ),
    "fewer entries": lambda o: (
        replaced(o, "basis/data", o["basis/data"][:-1]),
        replaced(o, "basis/indices", o["basis/indices"][:-1]),
    ),
    "no entries": lambda o: (
        replaced(o, "basis/data", np.zeros(0)),
        replaced(o, "basis/indices", np.zeros(0, "i4")),
    ),
    "its shape": lambda o: o["basis"].attrs.__setitem__("shape", np.array([81, 324])),
    "a huge shape": lambda o: o["basis"].attrs.__setitem__("shape", np.array([2**62, 81])),
}


@pytest.mark.parametrize("change", CHANGED.values(), ids=CHANGED)
def test_another_matrix_than_that_of_the_tables_is_loaded_past_and_does_not_hold(c4_file, change):
    before = eb.load_basis(c4_file)
    edit(c4_file, change)
    assert_same(eb.load_basis(c4_file), before)
    with pytest.raises(eb.BasisFileError, match=r"/basis.* is not that of the tables"):
        verify_file(c4_file)


def test_indices_of_64_bits_are_the_same_matrix(c4_file):
    def change(opened):
        for name in ("basis/indices", "basis/indptr"):
            replaced(opened, name, opened[name][()].astype("i8"))

    edit(c4_file, change)
    verify_file(c4_file)
    assert describe(c4_file)["besides"] == []


UNREADABLE = {
    "compressed": lambda o: replaced(o, "basis/data", o["basis/data"][()], compression="gzip"),
    "of float32": lambda o: replaced(o, "basis/data", o["basis/data"][()].astype("f4")),
    "of too many columns": lambda o: replaced(o, "basis/indptr", np.zeros(90, "i4")),
    "of two lengths": lambda o: replaced(o, "basis/indices", np.zeros(9, "i4")),
    "without its rows": lambda o: o.__delitem__("basis/indices"),
    "of another encoding": lambda o: o["basis"].attrs.__setitem__(
        "encoding-type", fixed("csr_matrix")
    ),
    "without a shape": lambda o: o["basis"].attrs.__delitem__("shape"),
    "a dense dataset": lambda o: replaced(o, "basis", np.zeros((324, 81))),
    "a link": lambda o: (o.move("basis", "b"), o.__setitem__("basis", h5py.SoftLink("/b"))),
    "elsewhere": lambda o: replaced(
        o, "basis/data", np.ones(324), external=[("raw.bin", 0, 8 * 324)]
    ),
    "promised, not there": lambda o: (
        o.__delitem__("basis/data"),
        o.create_dataset("basis/data", (10**12,), "f8"),
    ),
}


@pytest.mark.parametrize("change", UNREADABLE.values(), ids=UNREADABLE)
def test_a_matrix_that_cannot_be_read_is_told_of_and_decides_nothing(
    c4_file, tmp_path, monkeypatch, change
):
    monkeypatch.chdir(tmp_path)
    before = eb.load_basis(c4_file)
    edit(c4_file, change)
    assert_same(eb.load_basis(c4_file), before)
    assert_same(verify_file(c4_file)[0], before)
    told = describe(c4_file)
    assert not told["matrix"]
    assert any(each.startswith("/basis (left out: ") for each in told["besides"])


# --- large spaces -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def large() -> eb.Basis:
    """4·10⁹ index pairs, rank 536,887,296: 32 GiB as a matrix."""
    return eb.solve(group="d4", input="256x256", output="256x256")


def test_a_basis_whose_matrix_fits_nowhere_is_a_small_file_that_holds(large, tmp_path):
    path = saved(large, tmp_path / "large.h5")
    assert path.stat().st_size < 2_000_000
    found, checks = verify_file(path)
    assert found.rank == checks.rank_expected == (256**4 + 2 * 256**2) // 8
    assert eb.content_sha256(found) == eb.content_sha256(large)
    assert saved(found, tmp_path / "again.h5").read_bytes() == path.read_bytes()


def test_the_commands_tell_of_a_basis_whose_matrix_fits_nowhere(
    large, tmp_path, command, monkeypatch
):
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=2**32))
    path = saved(large, tmp_path / "large.h5")
    assert command("verify", path).out.startswith(f"{path}: ok")
    told = command("inspect", path).out
    assert "536,887,296 of 4,294,967,296" in told
    assert "128 of 4, 8,128 of 8" in told
    for view in (["--view", "orbits"], ["--count", "1"]):
        picture = tmp_path / f"{view[1]}.png"
        for place in ([], ["--out", picture]):
            shown = command("show", path, *view, *place)
            assert (shown.status, shown.err) == (0, "")
        assert picture.stat().st_size > 1000
    same = command("diff", path, path)
    assert (same.status, same.err) == (0, "")
    assert same.out.startswith("same subspace: ")
    assert "identical content" in same.out
    for ending in ("npz", "mtx", "safetensors"):
        refused = command("export", path, tmp_path / f"out.{ending}")
        assert (refused.status, refused.out) == (2, "")
        assert refused.err.startswith("equibasis: the matrix of Basis(d4: 256x256 -> 256x256")
        assert "would take about" in refused.err
        assert refused.err.count("\n") == 1
        assert not (tmp_path / f"out.{ending}").exists()


# --- names and descriptions ---------------------------------------------------------------------


def test_files_are_named_after_their_problem():
    maps, vectors = (
        basis_path("bases", "c4", input="14x14", output="6x6"),
        basis_path("bases", "c4", output="3x3"),
    )
    assert maps == Path("bases/c4_14x14_to_6x6.h5")
    assert vectors == Path("bases/c4_3x3.h5")


def test_a_description_counts_what_is_in_the_file(c4_file):
    told = describe(c4_file)
    assert (told["rank"], told["dense_parameters"], told["nonzeros"]) == (81, 324, 324)
    assert told["elements"] == ["r0", "r90", "r180", "r270"]
    assert told["bytes"] == c4_file.stat().st_size
    assert told["content_sha256"] == eb.content_sha256(eb.load_basis(c4_file))


# --- damage -------------------------------------------------------------------------------------


def deleting(name):
    return lambda opened: opened.__delitem__(name)


def replacing(name, values, **options):
    return lambda opened: replaced(opened, name, values, **options)


def setting(name, place, value):
    return lambda opened: opened[name].__setitem__(place, value)


def attribute(name, value, of="/"):
    value = fixed(value) if isinstance(value, str) else value
    return lambda opened: opened[of].attrs.__setitem__(name, value)


def variable_text(name, text, of="/"):
    return lambda opened: opened[of].attrs.__setitem__(name, text)


def without_attribute(name, of="/"):
    return lambda opened: opened[of].attrs.__delitem__(name)


NO_PERMUTATION = "/types/index holds a row that is not a permutation"
NO_PARTITION = "/input/index does not list each coordinate once"
OUT_OF_ORDER = "/tables/labels does not number the orbits in their order"
HUGE = 10**12

DAMAGES = {
    # what the file claims to be
    "another format": (
        attribute("format", "other"),
        "'format' of / is 'other', expected 'equibasis'",
    ),
    "a later version": (
        attribute("format_version", 99),
        "'format_version' of / is 99, expected 3: make the file anew",
    ),
    "kind": (attribute("kind", "invariant"), "content_sha256 does not match"),
    "group order": (attribute("order", 5, "group"), "content_sha256 does not match"),
    "rank": (attribute("rank", 80), "content_sha256 does not match"),
    "negative rank": (attribute("rank", -1), "'rank' of / is -1, expected a number of"),
    "rank beyond the index pairs": (attribute("rank", 325), "content_sha256 does not match"),
    "rank is text": (attribute("rank", "81"), "'rank' of / has type utf-8, expected <i8"),
    "group is a number": (attribute("group", 4), "'group' of / has type <i8, expected utf-8"),
    "shape": (attribute("shape", np.array([6, 7]), "input"), "/input/index has shape 36"),
    "shape is text": (attribute("shape", "3x3", "output"), "'shape' of /output has type utf-8"),
    "empty axis": (
        attribute("shape", np.array([0, 6]), "input"),
        "'shape' of /input holds an impossible",
    ),
    "space is a number": (attribute("output_space", 9), "'output_space' of / has type <i8"),
    "text in a heap": (variable_text("group", "c4"), "'group' of / has type variable length"),
    "text not utf-8": (attribute("group", np.bytes_(b"\xff")), ""),
    "huge shape": (attribute("shape", np.array([2**40, 2**40]), "input"), "an impossible size"),
    "another group's name": (attribute("group", "c2"), "content_sha256 does not match"),
    # the group
    "element renamed": (setting("group/elements", 1, "r91"), "content_sha256 does not match"),
    "elements are numbers": (replacing("group/elements", np.arange(4)), "/group/elements has type"),
    "element missing": (
        replacing("group/elements", np.array([b"r0", b"r90", b"r180"])),
        "/types/index has shape 4x5, expected 3xP",
    ),
    "elements none": (
        replacing("group/elements", np.array([], "S4")),
        "has shape 4x5, expected 0xP",
    ),
    "elements in a heap": (
        replacing("group/elements", ["r0", "r90", "r180", "r270"], dtype=h5py.string_dtype()),
        "/group/elements has type variable length, expected utf-8; if another program rewrote it, "
        "'equibasis import FILE OUT'",
    ),
    "neither elements nor generators": (attribute("listed", "all", "group"), "'listed' of /group"),
    "listed missing": (without_attribute("listed", "group"), "'listed' of /group"),
    # types, copies and tables
    "another permutation": (setting("types/index", 1, np.arange(5)), "content_sha256"),
    "index of another width": (
        lambda opened: replaced(opened, "types/index", opened["types/index"][()].astype("i8")),
        "/types/index has type <i8, expected <i4",
    ),
    "index shape": (replacing("types/index", np.zeros((4, 5, 1), "i4")), "has shape 4x5x1"),
    "types are text": (replacing("types/index", "text"), "/types/index has type"),
    "more dimensions than types": (
        replacing("types/dimensions", np.ones(3, "i4")),
        "/types/permuted has shape 2, expected 3",
    ),
    "signs of other types": (replacing("types/signs", np.ones((4, 6), "i1")), "has shape 4x6"),
    "signs of no orbits": (replacing("tables/signs", np.ones(9, "i1")), "/tables/signs has shape"),
    "signs of other coordinates": (replacing("input/signs", np.ones(9, "i1")), "/input/signs has"),
    "multiplicities of other types": (replacing("input/multiplicities", np.ones(2, "i4")), "has s"),
    "ranks of other types": (replacing("tables/ranks", np.ones((1, 2), "i4")), "has shape 1x2"),
    "float32": (replacing("tables/values", np.ones(3, "f4")), "/tables/values has type an unusual"),
    "floats for labels": (replacing("tables/labels", np.ones(8)), "/tables/labels has type <f8"),
    "a label changed": (setting("tables/labels", 0, 1), "content_sha256 does not match"),
    # how it is stored
    "compressed": (
        replacing("tables/labels", np.zeros(8, "i4"), compression="gzip"),
        "/tables/labels is not stored plainly",
    ),
    "in a raw file": (
        replacing("tables/labels", np.zeros(8, "i4"), external=[("raw.bin", 0, 4 * 8)]),
        "/tables/labels is not stored plainly",
    ),
    "promised, not there": (
        lambda opened: (
            opened.__delitem__("tables/labels"),
            opened.create_dataset("tables/labels", (HUGE,), "i4"),
        ),
        "/tables/labels has a size but no data",
    ),
    "a group in place of a dataset": (
        lambda opened: (opened.__delitem__("input/index"), opened.create_group("input/index")),
        "/input/index is not a dataset",
    ),
    "a dataset in place of a group": (
        lambda opened: replaced(opened, "group", np.ones(3)),
        "/group is not a group",
    ),
}


@pytest.mark.parametrize(("change", "said"), DAMAGES.values(), ids=DAMAGES)
def test_damage_is_refused_and_named(c4_file, monkeypatch, change, said):
    monkeypatch.chdir(c4_file.parent)
    assert said in refusal(edit(c4_file, change))


# Whoever makes the hash fit is refused by what does not fit the rest.
CONTRADICTIONS = {
    "kind": (
        attribute("kind", "invariant"),
        "'kind' of / is invariant, but the rest gives equivariant",
    ),
    "group order": (attribute("order", 5, "group"), "attribute 'order' of /group is"),
    "said to be generators": (
        attribute("listed", "generators", "group"),
        "attribute 'order' of /group is",
    ),
    "rank": (attribute("rank", 80), "attribute 'rank' of / is 80, but the rest gives 81"),
    "no space": (attribute("input_space", "6y6"), "space '6y6'"),
    "space of another shape": (attribute("input_space", "6x7"), "has dimension 36, but 6x7 has 42"),
    "space of the same shape": (attribute("input_space", "36*1"), "'shape' of /input is (6, 6)"),
    "space in brackets": (attribute("input_space", "(" * 9999), ""),
    "space of many digits": (attribute("input_space", "9" * 9999), ""),
    "space of many copies": (attribute("input_space", f"{10**15}*6x6"), ""),
    "space to a large power": (attribute("input_space", f"6x6**{10**15}"), ""),
    "the scalars": (attribute("input_space", "1"), "but 1 has 1"),
    "an element of no name": (setting("group/elements", 1, b""), "holds an empty name"),
    "an element of control characters": (setting("group/elements", 1, b"\x1b[1m"), "be printed"),
    # types
    "a dimension of 0": (setting("types/dimensions", 0, 0), "is no list of dimensions"),
    "a negative dimension": (setting("types/dimensions", 0, -1), "is no list of dimensions"),
    "a huge dimension": (
        setting("types/dimensions", 0, 2**31 - 1),
        "/types/index does not end with the last",
    ),
    "no types": (
        lambda o: (
            replaced(o, "types/dimensions", np.zeros(0, "i4")),
            replaced(o, "types/permuted", np.zeros(0, "i1")),
        ),
        "is no list of dimensions",
    ),
    "permuted twice over": (setting("types/permuted", 0, 2), "/types/permuted of 0, 1"),
    "said to be matrices": (
        setting("types/permuted", 0, 0),
        "/types/index does not end with the last",
    ),
    "no points": (deleting("types/index"), "/types/index does not end with the last"),
    "matrices of no type": (
        replacing("types/matrices", np.ones(4)),
        "/types/matrices does not end with the last",
    ),
    "index twice": (setting("types/index", (1, 0), 0), NO_PERMUTATION),
    "index too large": (setting("types/index", (1, 0), 4), NO_PERMUTATION),
    "index far too large": (setting("types/index", (1, 0), 2**31 - 1), NO_PERMUTATION),
    "index negative": (setting("types/index", (1, 0), -1), NO_PERMUTATION),
    "a type of four orbits": (
        setting("types/index", (slice(None), slice(4)), np.arange(4)),
        "/types/index holds a type that is not one orbit",
    ),
    "a type of two orbits": (
        setting("types/index", (slice(None), slice(4)), np.array([[0, 1, 2, 3], [1, 0, 3, 2]] * 2)),
        "/types/index holds a type that is not one orbit",
    ),
    "signs all +1": (replacing("types/signs", np.ones((4, 5), "i1")), "/types/signs holds signs"),
    "signs of 0": (replacing("types/signs", np.zeros((4, 5), "i1")), "/types/signs holds signs"),
    "a type that neither side has": (
        lambda o: (
            replaced(o, "types/dimensions", np.array([4, 1, 1], "i4")),
            replaced(o, "types/permuted", np.ones(3, "i1")),
            replaced(o, "types/index", np.pad(o["types/index"][()], ((0, 0), (0, 1)))),
        ),
        "/types holds a type that neither side has",
    ),
    # copies
    "a type that is not there": (setting("input/types", 0, 2), "a type that is not there"),
    "a negative type": (setting("input/types", 0, -1), "a type that is not there"),
    "another type": (setting("input/types", 0, 1), "/input/index does not end with the last"),
    "a type twice": (setting("output/types", 1, 0), "/output/types names a type twice"),
    "no copies": (setting("input/multiplicities", 0, 0), "or none of its copies"),
    "copies less than none": (setting("input/multiplicities", 0, -9), "or none of its copies"),
    "more copies": (
        setting("input/multiplicities", 0, 10),
        "/input/index does not end with the last",
    ),
    "a great many copies": (
        setting("input/multiplicities", 0, 2**31 - 1),
        "/input/index does not end with the last",
    ),
    "a coordinate twice": (setting("input/index", 0, 1), NO_PARTITION),
    "a coordinate that is not there": (setting("input/index", 35, 36), NO_PARTITION),
    "a negative coordinate": (setting("input/index", 0, -1), NO_PARTITION),
    "copies in another order": (
        lambda o: o["input/index"].__setitem__(
            slice(None), o["input/index"][()].reshape(4, 9)[:, ::-1].ravel()
        ),
        "/input/index does not list types and copies in their order",
    ),
    "types in another order": (
        lambda o: (
            o["output/types"].__setitem__(slice(None), [1, 0]),
            o["output/multiplicities"].__setitem__(slice(None), [1, 2]),
            o["output/index"].__setitem__(slice(None), np.roll(o["output/index"][()], 1)),
        ),
        "/output/index does not list types and copies in their order",
    ),
    "signs of coordinates all +1": (replacing("input/signs", np.ones(36, "i1")), "or all +1"),
    "a sign of -128": (replacing("input/signs", np.full(36, -128, "i1")), "that are not ±1"),
    # tables
    "a negative rank": (setting("tables/ranks", (0, 0), -1), "holds a negative rank"),
    "a rank beyond the table": (setting("tables/ranks", (0, 0), 5), OUT_OF_ORDER),
    "a rank far beyond the table": (setting("tables/ranks", (0, 0), 2**31 - 1), OUT_OF_ORDER),
    "a rank of 0": (setting("tables/ranks", (0, 0), 0), OUT_OF_ORDER),
    "a label too large": (setting("tables/labels", 3, 4), OUT_OF_ORDER),
    "a label far too large": (setting("tables/labels", 3, 2**31 - 1), OUT_OF_ORDER),
    "a label too small": (setting("tables/labels", 3, -2), OUT_OF_ORDER),
    "labels in another order": (
        setting("tables/labels", slice(4), np.array([3, 2, 1, 0])),
        OUT_OF_ORDER,
    ),
    "no label": (setting("tables/labels", slice(4), np.full(4, -1)), OUT_OF_ORDER),
    "tables that end early": (
        replacing("tables/labels", np.array([0, 1, 2, 3, 0], "i4")),
        "/tables/labels does not end with the last",
    ),
    "no tables": (deleting("tables/labels"), "/tables/labels does not end with the last"),
    "tables that go on": (
        replacing("tables/labels", np.array([0, 1, 2, 3, 0, 0, 0, 0, 0], "i4")),
        "/tables/labels does not end with the last",
    ),
    "values of no table": (
        replacing("tables/values", np.ones(4)),
        "/tables/values does not end with the last",
    ),
    "table signs all +1": (replacing("tables/signs", np.ones(8, "i1")), "or all +1"),
    "an orbit that begins negative": (
        replacing("tables/signs", np.array([1, -1, 1, 1, 1, 1, 1, 1], "i1")),
        "/tables/signs is negative where an orbit begins",
    ),
}


@pytest.mark.parametrize(("change", "said"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_what_contradicts_the_rest_is_named_even_if_the_hash_was_made_to_fit(c4_file, change, said):
    assert said in refusal(edit(edit(c4_file, change), rehash))


OF_MATRICES = {
    "NaN": (setting("tables/values", 0, np.nan), "/tables/values is not made of finite"),
    "infinity": (setting("types/matrices", 0, np.inf), "/types/matrices is not made of finite"),
    "a rank beyond the table": (
        setting("tables/ranks", (0, 0), 4),
        "/tables/values does not end with the last",
    ),
    "a rank far beyond the table": (
        setting("tables/ranks", (0, 0), 2**31 - 1),
        "/tables/values does not end with the last",
    ),
    "a rank below the table": (
        setting("tables/ranks", (0, 0), 2),
        "/tables/values does not end with the last",
    ),
    "tables that end early": (
        replacing("tables/values", np.ones(26)),
        "/tables/values does not end with the last",
    ),
    "no tables": (deleting("tables/values"), "/tables/values does not end with the last"),
    "matrices that end early": (
        replacing("types/matrices", np.ones(53)),
        "/types/matrices does not end with the last",
    ),
    "no matrices": (deleting("types/matrices"), "/types/matrices does not end with the last"),
    "a huge dimension": (
        setting("types/dimensions", 0, 2**31 - 1),
        "/types/matrices does not end with the last",
    ),
}


@pytest.mark.parametrize(("change", "said"), OF_MATRICES.values(), ids=OF_MATRICES)
def test_tables_of_matrices_that_contradict_the_rest_are_named(tmp_path, change, said):
    path = file_of("slanted", tmp_path / "slanted.h5")
    assert said in refusal(edit(edit(path, change), rehash))


WRONG = {
    "an orbit in another": (setting("tables/labels", 4, 0), "permutations", None),
    "orbits joined": (
        lambda o: (
            o["tables/labels"].__setitem__(slice(4), [0, 0, 1, 2]),
            o["tables/ranks"].__setitem__((0, 0), 3),
            o.attrs.__setitem__("rank", 81 - 18),
            o["checks"].attrs.__setitem__("rank_expected", 81 - 18),
        ),
        "permutations",
        "the rank is 63, but the characters give 81",
    ),
    "an orbit left out": (
        lambda o: (
            o["tables/labels"].__setitem__(3, -1),
            o["tables/ranks"].__setitem__((0, 0), 3),
            o.attrs.__setitem__("rank", 81 - 18),
        ),
        "permutations",
        "the rank is 63, but the characters give 81",
    ),
    "one orbit in two and two in one": (
        lambda o: o["tables/labels"].__setitem__(slice(25, 45), swapped_labels(o)),
        "generators",
        "equivariant|canonical",
    ),
    "another sign": (
        lambda o: o["tables/signs"].__setitem__(-1, -o["tables/signs"][-1]),
        "generators and signs",
        "not equivariant",
    ),
    "an entry of a matrix": (setting("tables/values", 4, 0.25), "slanted", "orthonormal"),
    "an entry of an element": (setting("types/matrices", 10, 0.25), "slanted", "."),
    "one element twice": (
        lambda o: o["types/index"].__setitem__(3, o["types/index"][1]),
        "permutations",
        ".",
    ),
    "copies of other points": (
        lambda o: o["input/index"].__setitem__([0, 1], o["input/index"][()][[1, 0]]),
        "generators",
        ".",
    ),
}


def swapped_labels(opened: h5py.File) -> np.ndarray:
    """Labels of pairs of points, the last two of two different orbits exchanged."""
    labels = opened["tables/labels"][25:45]
    last = len(labels) - 1
    other = int(np.flatnonzero(labels != labels[last])[-1])
    labels[[last, other]] = labels[[other, last]]
    return labels


@pytest.mark.parametrize(("change", "name", "said"), WRONG.values(), ids=WRONG)
def test_another_basis_does_not_hold_even_if_the_hash_was_made_to_fit(tmp_path, change, name, said):
    path = file_of(name, tmp_path / "basis.h5")
    before = eb.content_sha256(eb.load_basis(path))
    edit(path, change)
    edit(path, lambda opened: opened.__delitem__("basis"))
    edit(path, rehash)
    if said is None:  # the second table is of one orbit, whatever its label
        assert eb.content_sha256(eb.load_basis(path)) == before
        return
    with pytest.raises(eb.EquibasisError, match=said):
        verify_file(path)


OPTIONAL = {"/types/index", "/tables/labels"}
DATASETS = [*sorted(ALWAYS), *sorted(OPTIONAL)]
PARTS = [*DATASETS, "/group", "/types", "/input", "/output", "/tables", "/checks"]


@pytest.mark.parametrize("part", [part for part in PARTS if part not in OPTIONAL])
def test_a_missing_part_is_named(c4_file, part):
    said = refusal(edit(c4_file, deleting(part)))
    assert f"{part} is missing" in said or f"{part}/" in said


@pytest.mark.parametrize("name", [*HASHED_OF_ROOT, "content_sha256"])
def test_a_missing_attribute_is_named(c4_file, name):
    assert name in refusal(edit(c4_file, without_attribute(name)))


@pytest.mark.parametrize("name", [*HASHED_OF_ROOT, "content_sha256"])
def test_an_attribute_of_another_type_is_named(c4_file, name):
    assert name in refusal(edit(c4_file, attribute(name, np.array([0.5, 0.5]))))


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_a_missing_check_is_named_even_if_the_hash_was_made_to_fit(c4_file, name):
    edit(edit(c4_file, without_attribute(name, "checks")), rehash)
    assert name in refusal(c4_file)


# --- links and damaged bytes --------------------------------------------------------------------


@pytest.mark.parametrize("part", PARTS)
def test_a_link_to_another_file_is_refused(c4_file, tmp_path, part):
    shutil.copy(c4_file, tmp_path / "elsewhere.h5")

    def link(opened):
        del opened[part]
        opened[part] = h5py.ExternalLink("elsewhere.h5", part)

    assert part in refusal(edit(c4_file, link))


@pytest.mark.parametrize("part", PARTS)
def test_a_soft_link_is_refused(c4_file, part):
    def link(opened):
        opened.move(part, "/elsewhere")
        opened[part] = h5py.SoftLink("/elsewhere")

    assert part in refusal(edit(c4_file, link))


def test_a_link_to_nowhere_is_refused(c4_file):
    def link(opened):
        del opened["tables/labels"]
        opened["tables/labels"] = h5py.SoftLink("/nowhere")

    assert "/tables/labels" in refusal(edit(c4_file, link))


def test_a_virtual_dataset_is_refused(c4_file, tmp_path):
    shutil.copy(c4_file, tmp_path / "elsewhere.h5")

    def virtual(opened):
        del opened["tables/labels"]
        layout = h5py.VirtualLayout((8,), "i4")
        layout[:] = h5py.VirtualSource("elsewhere.h5", "tables/labels", (8,))
        opened.create_virtual_dataset("tables/labels", layout)

    assert "/tables/labels is not stored plainly" in refusal(edit(c4_file, virtual))


@pytest.mark.parametrize("part", [part for part in DATASETS if part != "/group/elements"])
def test_a_flipped_bit_in_a_dataset_is_found(c4_file, part):
    with h5py.File(c4_file) as opened:
        start, size = opened[part].id.get_offset(), opened[part].id.get_storage_size()
    damaged = bytearray(c4_file.read_bytes())
    damaged[start + size // 2] ^= 1
    c4_file.write_bytes(damaged)
    said = refusal(c4_file)
    assert part.split("/")[1] in said or "content_sha256 does not match" in said


FLIPPED = {
    "permutations": {"group": "c4", "input": "2x2", "output": "2x2"},
    "signs": {"group": "c4", "input": "2x2:vector", "output": "2x2"},
    "matrices": {"group": SLANTED, "input": "3", "output": "3"},
    "generators": {"group": "s3", "input": "3x3", "output": "3"},
    "rows of zeros": {"group": "d4", "input": "2x2:pseudoscalar", "output": "2x2"},
}


@pytest.mark.parametrize("problem", FLIPPED.values(), ids=FLIPPED)
def test_no_flipped_byte_gives_another_basis_or_another_error(tmp_path, problem):
    small = by_hand.solved(**problem)
    path = saved(small, tmp_path / "small.h5")
    whole = path.read_bytes()
    assert b"GCOL" not in whole  # no heap of strings, on which HDF5 itself could loop for ever
    generator = np.random.default_rng(len(whole))
    for place in sorted(generator.choice(len(whole), 100, replace=False).tolist()):
        damaged = bytearray(whole)
        damaged[place] ^= int(generator.choice([0xFF, 1, 0x80]))
        path.write_bytes(damaged)
        try:
            basis = eb.load_basis(path)
        except eb.BasisFileError as error:
            assert len(str(error).splitlines()) == 1  # noqa: PT017
            continue
        assert eb.content_sha256(basis) == eb.content_sha256(small), f"byte {place}"


@pytest.mark.parametrize("share", [0.001, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 0.9999])
def test_a_file_that_is_cut_off_is_refused(c4_file, share):
    os.truncate(c4_file, int(c4_file.stat().st_size * share))
    assert refusal(c4_file)


@pytest.mark.parametrize("content", [b"", b"no HDF5 at all", b"\x89HDF\r\n\x1a\n"])
def test_what_is_not_hdf5_is_refused(tmp_path, content):
    path = tmp_path / "other.h5"
    path.write_bytes(content)
    assert refusal(path)


def test_hdf5_that_holds_something_else_is_refused(tmp_path):
    for libver in ("earliest", "v108", "v110", "latest"):
        with h5py.File(tmp_path / "other.h5", "w", libver=libver) as opened:
            opened["data"] = np.arange(3)
        if libver == "earliest":  # which nobody can tell from a basis file that was rewritten
            assert "HDF5 with superblock 0, where basis files have" in refusal(
                tmp_path / "other.h5"
            )
            with pytest.raises(eb.BasisFileError, match="HDF5, but not a basis file"):
                import_basis(tmp_path / "other.h5", tmp_path / "out.h5")
        else:
            assert "HDF5, but not a basis file" in refusal(tmp_path / "other.h5")


def test_a_missing_file_is_named_with_the_remedy(tmp_path):
    assert "does not exist: make it with 'equibasis solve'" in refusal(tmp_path / "none.h5")


def test_a_folder_is_no_basis_file(tmp_path):
    assert "is not a regular file" in refusal(tmp_path)


# --- writing whole or not at all ----------------------------------------------------------------


def test_what_fails_midway_leaves_the_old_file_and_nothing_else(c4_basis, c4_file, monkeypatch):
    before = c4_file.read_bytes()
    monkeypatch.setattr(files, "_flush_to_disk", lambda path: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        eb.save_basis(c4_basis, c4_file)
    assert c4_file.read_bytes() == before
    assert names_in(c4_file.parent) == [c4_file.name]


@pytest.mark.parametrize("name", ["a NUL inside \0 it", "a NUL after it\0", "\ud800"])
def test_an_element_s_name_that_no_file_can_hold_leaves_the_old_file(c4_basis, c4_file, name):
    before = c4_file.read_bytes()
    unwritable = dataclasses.replace(
        c4_basis, space=dataclasses.replace(c4_basis.space, elements=("r0", "r90", "r180", name))
    )
    try:
        eb.save_basis(unwritable, c4_file)
    except (ValueError, eb.EquibasisError):
        assert c4_file.read_bytes() == before
        assert names_in(c4_file.parent) == [c4_file.name]
    else:
        assert eb.load_basis(c4_file).space.elements[3] == name


def write_half(path: Path, interruption: type[BaseException]) -> None:
    with writing(path) as temporary:
        temporary.write_text("half of the n")
        raise interruption


@pytest.mark.parametrize("interruption", [ValueError, KeyboardInterrupt, MemoryError])
def test_whatever_interrupts_writing_the_old_content_stays(tmp_path, interruption):
    write_text(tmp_path / "file", "old")
    with pytest.raises(interruption):
        write_half(tmp_path / "file", interruption)
    assert (tmp_path / "file").read_text() == "old"
    assert names_in(tmp_path) == ["file"]


def test_until_it_is_whole_the_new_content_is_not_seen(tmp_path):
    write_text(tmp_path / "file", "old")
    with writing(tmp_path / "file") as temporary:
        temporary.write_text("new")
        assert (tmp_path / "file").read_text() == "old"
        assert temporary.parent == tmp_path
    assert (tmp_path / "file").read_text() == "new"


def test_another_name_of_the_old_file_keeps_the_old_content(c4_file, tmp_path):
    os.link(c4_file, tmp_path / "cached.h5")  # as DVC links its cache
    saved(by_hand.solved("c2", output="3x3"), c4_file)
    assert eb.load_basis(tmp_path / "cached.h5").group == "c4"
    assert eb.load_basis(c4_file).group == "c2"


@pytest.mark.skipif(os.name != "posix", reason="limits the size of files as POSIX does")
@pytest.mark.parametrize("room", [0, 500, 4000, 8000])
def test_a_disk_without_room_is_a_write_error_and_leaves_the_old_file(c4_basis, c4_file, room):
    import resource

    before = c4_file.read_bytes()
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, usual[1]))
    try:
        with pytest.raises(eb.WriteError, match=f"cannot write {c4_file}"):
            eb.save_basis(c4_basis, c4_file)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert c4_file.read_bytes() == before
    assert names_in(c4_file.parent) == [c4_file.name]


def impossible_paths(folder: Path) -> dict[str, Path]:
    (folder / "file").touch()
    (folder / "folder").mkdir()
    return {
        "in no folder": folder / "none" / "basis.h5",
        "under a file": folder / "file" / "basis.h5",
        "a folder": folder / "folder",
        "the folder one is in": Path(),
        "the root": Path("/"),
    }


@pytest.mark.parametrize(
    "case", ["in no folder", "under a file", "a folder", "the folder one is in", "the root"]
)
def test_a_path_that_cannot_be_written_is_a_write_error(c4_basis, tmp_path, case):
    path = impossible_paths(tmp_path)[case]
    for attempt in (check_writable, lambda p: eb.save_basis(c4_basis, p)):
        with pytest.raises(eb.WriteError, match="cannot write"):
            attempt(path)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["file", "folder"]


def test_trying_whether_a_file_can_be_written_changes_nothing(c4_file, tmp_path):
    before = c4_file.read_bytes()
    check_writable(c4_file)
    check_writable(tmp_path / "new.h5")
    assert c4_file.read_bytes() == before
    assert names_in(tmp_path) == [c4_file.name]


@pytest.mark.parametrize(
    ("group", "space"),
    [("d4", "(3x3:pseudoscalar)*(3x3:pseudoscalar)"), ("c4", "3x3:pseudoscalar")],
)
def test_signs_that_cancel_are_written_as_none(tmp_path, group, space):
    basis = eb.solve(group=group, output=space)
    found = eb.load_basis(saved(basis, tmp_path / "basis.h5"))
    assert found.space.output.signs is None
    assert found.rank == basis.rank
