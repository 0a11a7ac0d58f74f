"""Basis files: what is written is what is read, and nothing that is damaged is ever believed."""

from __future__ import annotations

import dataclasses
import itertools
import os
import shutil
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from scipy import sparse

import by_hand
import equibasis as eb
from basis_files import (
    BASES,
    SLANTED,
    SPACES,
    edit,
    fixed,
    hash_by_hand,
    refusal,
    rehash,
    saved,
    turn,
)
from equibasis import files
from equibasis.artifact import store
from equibasis.artifact.normalise import import_basis
from equibasis.artifact.store import basis_path, describe, verify_file
from equibasis.files import check_writable, write_text, writing
from equibasis.solvers import solve_space
from equibasis.solvers.basis import make_basis


@pytest.fixture(params=BASES)
def basis(request) -> eb.Basis:
    return BASES[request.param]()


@pytest.fixture
def file(basis, tmp_path) -> Path:
    return saved(basis, tmp_path / "basis.h5")


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
    assert type(a.input) is type(b.input)
    assert type(a.output) is type(b.output)
    np.testing.assert_array_equal(by_hand.matrices(a.input), by_hand.matrices(b.input))
    np.testing.assert_array_equal(by_hand.matrices(a.output), by_hand.matrices(b.output))
    assert type(one.columns) is type(other.columns)
    np.testing.assert_array_equal(by_hand.dense(one), by_hand.dense(other))
    assert (one.solver, one.checks) == (other.solver, other.checks)


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
    time.sleep(1.1)  # HDF5 counts time in seconds
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


def test_the_content_hash_does_not_depend_on_how_the_basis_is_kept(c4_basis):
    for columns in (c4_basis.matrix, by_hand.dense(c4_basis)):
        basis = make_basis(c4_basis.space, columns, "orbits")
        assert eb.content_sha256(basis) == eb.content_sha256(c4_basis)


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


def test_the_last_bit_of_an_entry_changes_the_hash(c4_basis):
    nudged = c4_basis.matrix.copy()
    nudged.data[0] = np.nextafter(nudged.data[0], 1)
    other = dataclasses.replace(c4_basis, columns=nudged)
    assert eb.content_sha256(other) != eb.content_sha256(c4_basis)


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
    "format_version": 2,
    "kind": "equivariant",
    "group": "c4",
    "input_space": "6x6",
    "output_space": "3x3",
    "rank": 81,
}
CHECKS = {"orthonormality_error", "equivariance_error", "rank_expected"}
GROUP = {"/group/elements", "/group/input", "/group/output"}
BESIDE_THE_BASIS = {
    "/": {*ROOT, "content_sha256"},
    "/group": {"listed", "order"},
    "/group/input": {"shape"},
    "/group/output": {"shape"},
    "/checks": {*CHECKS, "solver"},
}


def test_a_sparse_file_holds_these_attributes_and_datasets(c4_file):
    assert contents(c4_file) == (
        BESIDE_THE_BASIS | {"/basis": {"encoding-type", "encoding-version", "shape", "vec_order"}},
        {*GROUP, "/basis/data", "/basis/indices", "/basis/indptr"},
    )


def test_a_dense_file_holds_these_attributes_and_datasets(tmp_path):
    assert contents(saved(BASES["dense"](), tmp_path / "dense.h5")) == (
        BESIDE_THE_BASIS | {"/basis": {"encoding-type", "encoding-version", "vec_order"}},
        {*GROUP, "/basis"},
    )


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
        assert opened["group/input"].attrs["shape"].tolist() == [6, 6]
        assert opened["group/output"].attrs["shape"].tolist() == [3, 3]
        assert opened["basis"].attrs["vec_order"] == b"row-major"
        assert opened["checks"].attrs["solver"] == b"orbits"
        assert len(attributes.pop("content_sha256")) == 64
        assert attributes == ROOT


def test_the_kind_of_invariants_is_invariant_and_their_input_shape_empty(tmp_path):
    with h5py.File(saved(BASES["invariant"](), tmp_path / "d4.h5")) as opened:
        assert opened.attrs["kind"] == b"invariant"
        assert opened.attrs["input_space"] == b"1"
        assert opened["group/input"].attrs["shape"].shape == (0,)
        assert opened["group"].attrs["order"] == 8
        np.testing.assert_array_equal(opened["group/input"], np.zeros((8, 1)))


def test_the_checks_are_numbers(c4_basis, c4_file):
    with h5py.File(c4_file) as opened:
        found = dict(opened["checks"].attrs)
    assert found.pop("solver") == b"orbits"
    assert found == dataclasses.asdict(c4_basis.checks)


def test_a_sparse_basis_is_encoded_as_anndata_publishes_it(c4_basis, c4_file):
    with h5py.File(c4_file) as opened:
        group = opened["basis"]
        assert group.attrs["encoding-type"] == b"csc_matrix"
        assert group.attrs["encoding-version"] == b"0.1.0"
        parts = (group["data"][()], group["indices"][()], group["indptr"][()])
        matrix = sparse.csc_matrix(parts, shape=tuple(group.attrs["shape"]))
    np.testing.assert_array_equal(matrix.toarray(), by_hand.dense(c4_basis))


def test_a_dense_basis_is_encoded_as_anndata_publishes_it(tmp_path):
    with h5py.File(saved(BASES["dense"](), tmp_path / "dense.h5")) as opened:
        assert opened["basis"].attrs["encoding-type"] == b"array"
        assert opened["basis"].attrs["encoding-version"] == b"0.2.0"
        np.testing.assert_array_equal(opened["basis"], by_hand.dense(BASES["dense"]()))


def test_elements_are_stored_by_name(c4_file):
    with h5py.File(c4_file) as opened:
        assert opened["group/elements"].asstr()[()].tolist() == ["r0", "r90", "r180", "r270"]


@pytest.mark.parametrize(("name", "side"), [("input", 6), ("output", 3)])
def test_a_stored_index_says_which_entry_moves_where(c4_file, name, side):
    x = np.random.default_rng(0).standard_normal(side * side)
    with h5py.File(c4_file) as opened:
        for g, index in enumerate(opened["group"][name]):
            turned = np.rot90(x.reshape(side, side), g).ravel()
            np.testing.assert_array_equal(x[index], turned)


def test_stored_matrices_are_those_of_the_representation(tmp_path):
    with h5py.File(saved(BASES["matrices"](), tmp_path / "hexagon.h5")) as opened:
        expected = [turn(np.eye(2), g) for g in range(6)]
        np.testing.assert_allclose(opened["group/input"], expected, atol=1e-15)


def test_the_stored_numbers_alone_show_that_the_basis_is_equivariant(c4_file):
    with h5py.File(c4_file) as opened:
        data, indices, indptr = (opened["basis"][p][()] for p in ("data", "indices", "indptr"))
        rho1, rho2 = opened["group/input"][()], opened["group/output"][()]
    for start, end in itertools.pairwise(indptr):
        W = np.zeros((9, 36))
        W.flat[indices[start:end]] = data[start:end]
        for a, b in zip(rho1, rho2, strict=True):
            np.testing.assert_array_equal(W[np.ix_(b, a)], W)


def test_signed_permutations_are_stored_as_index_and_signs(tmp_path):
    with h5py.File(saved(BASES["signs"](), tmp_path / "field.h5")) as opened:
        stored = opened["group/input"]
        assert (stored.dtype, stored.shape) == (np.int32, (4, 2, 32))
        x = np.random.default_rng(0).standard_normal((2, 4, 4))
        for g, (index, signs) in enumerate(stored[()]):
            turned = x
            for _ in range(g):  # first component along rows, as in the plane
                turned = np.stack([-np.rot90(turned[1]), np.rot90(turned[0])])
            np.testing.assert_array_equal((signs * x.ravel()[index]).reshape(2, 4, 4), turned)
        assert opened["group/output"].shape == (4, 9)
        assert stored.attrs["shape"].tolist() == [2, 4, 4]
        assert opened.attrs["input_space"] == b"4x4:vector"


def test_a_group_of_generators_says_so(tmp_path):
    with h5py.File(saved(BASES["generators"](), tmp_path / "s5.h5")) as opened:
        assert opened["group"].attrs["listed"] == b"generators"
        assert opened["group"].attrs["order"] == 0
        assert opened["group/elements"][()].tolist() == [b"swap", b"cycle"]
        assert opened["group/input"].shape == (2, 25)
    told = describe(tmp_path / "s5.h5")
    assert told["group_order"] is None
    assert told["generators"] == ["swap", "cycle"]
    assert "elements" not in told


def test_the_stored_generators_alone_show_that_the_basis_is_equivariant(tmp_path):
    with h5py.File(saved(BASES["generators and signs"](), tmp_path / "p4.h5")) as opened:
        rho1, rho2 = opened["group/input"][()], opened["group/output"][()]
    for W in by_hand.dense(BASES["generators and signs"]()).T.reshape(-1, 16, 32):
        for (index, signs), rows in zip(rho1, rho2, strict=True):
            np.testing.assert_array_equal(W[rows][:, index] * signs, W)


# --- orbits as labels ---------------------------------------------------------------------------


LABELLED = {
    "permutations": {"group": "c4", "input": "6x6", "output": "3x3"},
    "signs": {"group": "c4", "input": "4x4:vector", "output": "3x3"},
    "signs, rows of zeros": {"group": "d4", "input": "5x5:pseudoscalar", "output": "5x5"},
    "generators": {"group": "s5", "input": "5x5", "output": "5x5"},
    "generators and signs": {"group": "p4", "input": "4x4:vector", "output": "4x4"},
    "rank 0": {"group": "d4", "input": "1x1", "output": "2x2:pseudoscalar"},
}


@pytest.fixture
def as_labels(monkeypatch) -> None:
    """Every basis of orbits is written as the large ones are."""
    monkeypatch.setattr(store, "_MOST_SPARSE_ROWS", 0)


@pytest.fixture
def labels_file(c4_basis, tmp_path, as_labels) -> Path:
    return saved(c4_basis, tmp_path / "labels.h5")


@pytest.fixture
def signed_file(tmp_path, as_labels) -> Path:
    return saved(
        by_hand.solved("d4", input="5x5:pseudoscalar", output="5x5"), tmp_path / "signed.h5"
    )


@pytest.mark.usefixtures("as_labels")
@pytest.mark.parametrize("problem", LABELLED.values(), ids=LABELLED)
def test_labels_are_read_as_they_were_written(tmp_path, problem):
    basis = by_hand.solved(**problem)
    path = saved(basis, tmp_path / "labels.h5")
    found = eb.load_basis(path)
    assert_same(found, basis)
    np.testing.assert_array_equal(found.columns.sizes, basis.columns.sizes)
    verify_file(path)
    assert describe(path)["encoding"] == "equibasis-orbits"
    assert saved(found, tmp_path / "again.h5").read_bytes() == path.read_bytes()
    with h5py.File(path) as opened:
        assert opened.attrs["content_sha256"].decode() == hash_by_hand(opened)
        assert hash_by_hand(opened) == eb.content_sha256(basis)


@pytest.mark.usefixtures("as_labels")
@pytest.mark.parametrize("problem", LABELLED.values(), ids=LABELLED)
def test_plain_h5py_rebuilds_the_matrix_from_labels(tmp_path, problem):
    basis = by_hand.solved(**problem)
    with h5py.File(saved(basis, tmp_path / "labels.h5")) as opened:
        part = opened["basis"]
        labels = part["labels"][()]
        signs = part["signs"][()] if "signs" in part else np.ones(len(labels))
        matrix = np.zeros(part.attrs["shape"])
    rows = np.flatnonzero(labels >= 0)
    sizes = np.bincount(labels[rows], minlength=matrix.shape[1])
    matrix[rows, labels[rows]] = signs[rows] / np.sqrt(sizes[labels[rows]])
    np.testing.assert_array_equal(matrix, by_hand.dense(basis))


def test_a_labels_file_holds_these_attributes_and_datasets(labels_file, signed_file):
    of_basis = {"encoding-type", "encoding-version", "shape", "vec_order"}
    for path, parts in ((labels_file, {"labels"}), (signed_file, {"labels", "signs"})):
        attributes, datasets = contents(path)
        assert attributes["/basis"] == of_basis
        datasets = {name for name in datasets if not name.startswith("/coordinates")}
        assert datasets == {*GROUP, *(f"/basis/{part}" for part in parts)}
    with h5py.File(signed_file) as opened:
        assert opened["basis"].attrs["encoding-type"] == b"equibasis-orbits"
        assert opened["basis"].attrs["encoding-version"] == b"0.1.0"
        assert opened["basis/labels"].dtype == np.int32
        assert opened["basis/signs"].dtype == np.int8
        assert opened["basis/labels"].shape == opened["basis/signs"].shape == (625,)


@pytest.mark.parametrize(("side", "encoding"), [(32, "csc_matrix"), (33, "equibasis-orbits")])
def test_orbits_of_more_than_a_million_pairs_are_labels(tmp_path, side, encoding):
    basis = eb.solve(group="c4", input=(side, side), output=(side, side))
    path = saved(basis, tmp_path / "large.h5")
    with h5py.File(path) as opened:
        assert opened["basis"].attrs["encoding-type"].decode() == encoding
        assert opened.attrs["content_sha256"].decode() == hash_by_hand(opened)
    found = eb.load_basis(path)
    assert verify_file(path)[1].rank_expected == basis.rank == (side**4 + 3 * (side % 2)) // 4
    np.testing.assert_array_equal(found.columns.labels, basis.columns.labels)


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
    def change(opened):
        attributes = dict(opened[name].attrs)
        del opened[name]
        opened.create_dataset(name, data=values, **options)
        for key, value in attributes.items():
            opened[name].attrs[key] = value

    return change


def setting(name, place, value):
    return lambda opened: opened[name].__setitem__(place, value)


def attribute(name, value, of="/"):
    value = fixed(value) if isinstance(value, str) else value
    return lambda opened: opened[of].attrs.__setitem__(name, value)


def variable_text(name, text, of="/"):
    return lambda opened: opened[of].attrs.__setitem__(name, text)


def without_attribute(name, of="/"):
    return lambda opened: opened[of].attrs.__delitem__(name)


NO_PERMUTATION = "/group/input holds a row that is not a permutation"
HUGE = 10**12

DAMAGES = {
    # what the file claims to be
    "another format": (attribute("format", "other"), "'format' of / is 'other', not 'equibasis'"),
    "a later version": (attribute("format_version", 99), "format_version 99 is not known"),
    "kind": (attribute("kind", "invariant"), "'kind' of / does not fit"),
    "group order": (attribute("order", 5, "group"), "'order' of /group differs"),
    "rank": (attribute("rank", 80), "/basis does not have the shape 324x80"),
    "negative rank": (attribute("rank", -1), "'rank' of / is -1, expected a number of"),
    "rank is text": (attribute("rank", "81"), "'rank' of / has type utf-8, expected <i8"),
    "group is a number": (attribute("group", 4), "'group' of / has type <i8, expected utf-8"),
    "shape": (
        attribute("shape", np.array([6, 7]), "group/input"),
        "does not have the shape 378x81",
    ),
    "shape is text": (
        attribute("shape", "3x3", "group/output"),
        "'shape' of /group/output has type utf-8",
    ),
    "empty axis": (
        attribute("shape", np.array([0, 6]), "group/input"),
        "'shape' of /group/input holds an impossible",
    ),
    "no space": (attribute("input_space", "6y6"), "space '6y6'"),
    "space of another shape": (attribute("input_space", "6x7"), "has dimension 36, but 6x7 has 42"),
    "the same space in other words": (attribute("input_space", "(6x6)"), "but encoded otherwise"),
    "space of the same shape": (attribute("input_space", "36*1"), "does not fit 'input_space'"),
    "space of the same shape and points": (
        attribute("output_space", "3x3:pseudoscalar"),
        "content_sha256 does not",
    ),
    "space is a number": (attribute("output_space", 9), "'output_space' of / has type <i8"),
    "space in brackets": (attribute("input_space", "(" * 9999), ""),
    "space of many digits": (attribute("input_space", "9" * 9999), ""),
    "space of many copies": (attribute("input_space", f"{10**15}*6x6"), ""),
    "space to a large power": (attribute("input_space", f"6x6**{10**15}"), ""),
    "text in a heap": (variable_text("group", "c4"), "'group' of / has type variable length"),
    "text not utf-8": (attribute("group", np.bytes_(b"\xff")), ""),
    "huge shape": (
        attribute("shape", np.array([2**40, 2**40]), "group/input"),
        "an impossible size",
    ),
    "another group's name": (attribute("group", "c2"), "content_sha256 does not match"),
    # the representation
    "element renamed": (setting("group/elements", 1, "r91"), "content_sha256 does not match"),
    "elements are numbers": (replacing("group/elements", np.arange(4)), "/group/elements has type"),
    "element missing": (
        replacing("group/elements", np.array([b"r0", b"r90", b"r180"])),
        "/group/input has shape 4x36, expected 3x36",
    ),
    "elements none": (replacing("group/elements", np.array([], "S4")), "/group/elements is empty"),
    "elements in a heap": (
        replacing("group/elements", ["r0", "r90", "r180", "r270"], dtype=h5py.string_dtype()),
        "/group/elements has type variable length, expected utf-8; if another program rewrote it, "
        "'equibasis import FILE OUT'",
    ),
    "neither elements nor generators": (attribute("listed", "all", "group"), "'listed' of /group"),
    "listed missing": (without_attribute("listed", "group"), "'listed' of /group"),
    "said to be generators": (
        attribute("listed", "generators", "group"),
        "'order' of /group differs",
    ),
    "signs too many": (
        replacing("group/input", np.ones((4, 3, 36), "i4")),
        "/group/input has shape 4x3x36, expected 4x2x36",
    ),
    "all signs +1": (
        replacing(
            "group/input",
            np.stack([np.tile(np.arange(36), (4, 1)), np.ones((4, 36))], 1).astype("i4"),
        ),
        "/group/input holds signs that are not ±1, or all +1",
    ),
    "sign of 2": (
        replacing(
            "group/input",
            np.stack([np.tile(np.arange(36), (4, 1)), np.full((4, 36), -2)], 1).astype("i4"),
        ),
        "/group/input holds signs that are not ±1, or all +1",
    ),
    "index twice": (setting("group/input", (1, 0), 0), NO_PERMUTATION),
    "index too large": (setting("group/input", (1, 0), 36), NO_PERMUTATION),
    "index negative": (setting("group/input", (1, 0), -1), NO_PERMUTATION),
    "another permutation": (setting("group/input", 1, np.arange(36)), "content_sha256"),
    "index of another width": (
        lambda opened: replacing("group/input", opened["group/input"][()].astype("i8"))(opened),
        "",
    ),
    "index shape": (replacing("group/output", np.zeros((4, 8), "i4")), "/group/output has shape"),
    "matrices of another shape": (replacing("group/output", np.zeros((4, 9))), "expected 4x9x9"),
    "representation is text": (replacing("group/input", "text"), "/group/input has type"),
    # the basis
    "NaN": (setting("basis/data", 0, np.nan), "/basis/data is not made of finite"),
    "infinity": (setting("basis/data", 0, np.inf), "/basis/data is not made of finite"),
    "entry changed": (setting("basis/data", 0, 0.25), "content_sha256 does not match"),
    "float32": (replacing("basis/data", np.ones(324, "f4")), "/basis/data has type <f4"),
    "integers": (replacing("basis/data", np.ones(324, int)), "/basis/data has type <i8"),
    "row too large": (setting("basis/indices", -1, 324), "/basis/indices points outside"),
    "row negative": (setting("basis/indices", 0, -1), "/basis/indices points outside"),
    "row twice": (setting("basis/indices", 1, 0), "/basis/indices does not ascend"),
    "rows missing": (replacing("basis/indices", np.zeros(323, "i4")), "/basis/indices has shape"),
    "columns descend": (setting("basis/indptr", 40, 0), "/basis/indptr does not ascend"),
    "columns start late": (setting("basis/indptr", 0, 1), "/basis/indptr does not ascend from 0"),
    "columns end late": (setting("basis/indptr", -1, 999), "/basis/indptr does not ascend"),
    "column missing": (replacing("basis/indptr", np.zeros(81, "i4")), "/basis/indptr has shape 81"),
    "matrix shape": (attribute("shape", np.array([324, 80]), "basis"), "/basis does not have"),
    "encoding": (attribute("encoding-type", "csr_matrix", "basis"), "'encoding-type' of /basis is"),
    "no encoding": (
        without_attribute("encoding-type", "basis"),
        "'encoding-type' of /basis is miss",
    ),
    # how it is stored
    "compressed": (
        replacing("basis/data", np.ones(324), compression="gzip"),
        "/basis/data is not stored plainly",
    ),
    "in a raw file": (
        replacing("basis/data", np.ones(324), external=[("raw.bin", 0, 8 * 324)]),
        "/basis/data is not stored plainly",
    ),
    "promised, not there": (
        lambda opened: (
            opened.__delitem__("basis/data"),
            opened.create_dataset("basis/data", (HUGE,), "f8"),
        ),
        "/basis/data has a size but no data",
    ),
    "a group in place of a dataset": (
        lambda opened: (
            opened.__delitem__("group/input"),
            opened.create_group("group/input").attrs.create("shape", [6, 6]),
        ),
        "/group/input is not a dataset",
    ),
    "a dataset in place of a group": (
        lambda opened: (
            opened.__delitem__("group"),
            opened.create_dataset("group", data=np.ones(3)),
        ),
        "/group",
    ),
}


@pytest.mark.parametrize(("change", "said"), DAMAGES.values(), ids=DAMAGES)
def test_damage_is_refused_and_named(c4_file, monkeypatch, change, said):
    monkeypatch.chdir(c4_file.parent)
    assert said in refusal(edit(c4_file, change))


DATASETS = [*sorted(GROUP), "/basis/data", "/basis/indices", "/basis/indptr"]
PARTS = [*DATASETS, "/basis", "/group", "/checks"]


@pytest.mark.parametrize("part", PARTS)
def test_a_missing_part_is_named(c4_file, part):
    said = refusal(edit(c4_file, deleting(part)))
    assert f"{part} is missing" in said or f"{part}/" in said


@pytest.mark.parametrize("name", [*ROOT, *sorted(SPACES), "content_sha256"])
def test_a_missing_attribute_is_named(c4_file, name):
    assert name in refusal(edit(c4_file, without_attribute(name)))


@pytest.mark.parametrize("name", [*ROOT, *sorted(SPACES), "content_sha256"])
def test_an_attribute_of_another_type_is_named(c4_file, name):
    assert name in refusal(edit(c4_file, attribute(name, np.array([0.5, 0.5]))))


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_a_missing_check_is_named_even_if_the_hash_was_made_to_fit(c4_file, name):
    edit(edit(c4_file, without_attribute(name, "checks")), rehash)
    assert name in refusal(c4_file)


# --- damaged labels -----------------------------------------------------------------------------


def labels_of(change):
    def replaced(opened):
        labels = opened["basis/labels"][()]
        changed = change(labels)
        del opened["basis/labels"]
        opened["basis/labels"] = labels if changed is None else changed

    return replaced


def labelled(place, value):
    return labels_of(lambda labels: labels.__setitem__(place, value))


def signs_as(kind, value=1):
    return replacing("basis/signs", np.full(625, value, kind))


OUT_OF_ORDER = "/basis/labels does not number the orbits in their order"
OUTSIDE = "/basis/labels points outside the columns"

LABEL_DAMAGES = {
    "too large": (labelled(7, 66), OUTSIDE),
    "far too large": (labelled(7, 2**31 - 1), OUTSIDE),
    "too small": (labelled(7, -2), OUTSIDE),
    "smallest": (labelled(7, -(2**31)), OUTSIDE),
    "two exchanged": (
        labels_of(lambda labels: np.where(labels == 3, 4, np.where(labels == 4, 3, labels))),
        OUT_OF_ORDER,
    ),
    "reversed": (labels_of(lambda labels: np.where(labels < 0, -1, 65 - labels)), OUT_OF_ORDER),
    "one skipped": (labels_of(lambda labels: np.where(labels == 9, 8, labels)), OUT_OF_ORDER),
    "last missing": (labels_of(lambda labels: np.where(labels == 65, 0, labels)), OUT_OF_ORDER),
    "all dropped": (labels_of(lambda labels: np.full_like(labels, -1)), OUT_OF_ORDER),
    "one dropped": (labelled(-2, -1), "content_sha256 does not match"),
    "floats": (labels_of(lambda labels: labels.astype(float)), "/basis/labels has type <f8"),
    "not signed": (labels_of(lambda labels: labels.astype("u4")), "/basis/labels has type <u4"),
    "int16": (labels_of(lambda labels: labels.astype("i2")), "/basis/labels has type <i2"),
    "too few": (labels_of(lambda labels: labels[1:]), "/basis/labels has shape 624"),
    "two axes": (labels_of(lambda labels: labels.reshape(25, 25)), "has shape 25x25"),
    "none": (labels_of(lambda labels: labels[:0]), "/basis/labels has shape 0"),
    "sign of 0": (setting("basis/signs", 3, 0), "/basis/signs holds values that are not ±1"),
    "sign of -128": (setting("basis/signs", 3, -128), "/basis/signs holds values that are not"),
    "signs as int32": (signs_as("i4"), "/basis/signs has type <i4, expected |i1"),
    "signs as int64": (signs_as("i8"), "/basis/signs has type <i8, expected |i1"),
    "signs as floats": (signs_as("f8"), "/basis/signs has type <f8"),
    "signs too few": (replacing("basis/signs", np.ones(9, "i1")), "/basis/signs has shape 9"),
    "signs missing": (deleting("basis/signs"), "content_sha256 does not match"),
    "labels missing": (deleting("basis/labels"), "/basis/labels is missing"),
    "no orbit begins negative": (
        lambda opened: opened["basis/signs"].__setitem__(
            int(np.flatnonzero(opened["basis/labels"][()] == 5)[0]), -1
        ),
        OUT_OF_ORDER,
    ),
    "rank": (attribute("rank", 65), "/basis does not have the shape 625x65"),
    "columns too few": (
        lambda opened: (
            opened.attrs.__setitem__("rank", 65),
            opened["basis"].attrs.__setitem__("shape", np.array([625, 65])),
        ),
        OUTSIDE,
    ),
    "columns too many": (
        lambda opened: (
            opened.attrs.__setitem__("rank", 67),
            opened["basis"].attrs.__setitem__("shape", np.array([625, 67])),
        ),
        OUT_OF_ORDER,
    ),
    "more columns than there is memory": (
        lambda opened: (
            opened.attrs.__setitem__("rank", 10**15),
            opened["basis"].attrs.__setitem__("shape", np.array([625, 10**15])),
        ),
        "",
    ),
}


@pytest.mark.parametrize(("change", "said"), LABEL_DAMAGES.values(), ids=LABEL_DAMAGES)
def test_damaged_labels_are_refused_and_named(signed_file, change, said):
    assert said in refusal(edit(signed_file, change))


def last_of_an_orbit(labels):
    """A row that is no orbit's first."""
    return int(np.flatnonzero(labels == np.argmax(np.bincount(labels[labels >= 0])))[-1])


def another_orbit(opened):
    labels = opened["basis/labels"]
    labels[last_of_an_orbit(labels[()])] = 0 if labels[last_of_an_orbit(labels[()])] else 1


def a_hole(opened):
    labels = opened["basis/labels"]
    labels[last_of_an_orbit(labels[()])] = -1


def another_sign(opened):
    row = last_of_an_orbit(opened["basis/labels"][()])
    opened["basis/signs"][row] = -opened["basis/signs"][row]


@pytest.mark.parametrize("change", [another_orbit, a_hole, another_sign])
def test_wrong_labels_do_not_hold_even_if_the_hash_was_made_to_fit(signed_file, change):
    before = signed_file.read_bytes()
    edit(edit(signed_file, change), rehash)
    assert signed_file.read_bytes() != before
    with pytest.raises(eb.EquibasisError, match="not equivariant"):
        eb.verify_basis(eb.load_basis(signed_file))


@pytest.mark.parametrize("link", ["soft", "external"])
@pytest.mark.parametrize("part", ["/basis/labels", "/basis/signs"])
def test_linked_labels_are_refused(signed_file, tmp_path, part, link):
    shutil.copy(signed_file, tmp_path / "elsewhere.h5")

    def change(opened):
        opened.move(part, "/elsewhere")
        opened[part] = (
            h5py.SoftLink("/elsewhere")
            if link == "soft"
            else h5py.ExternalLink("elsewhere.h5", part)
        )

    assert part in refusal(edit(signed_file, change))


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
        del opened["basis/data"]
        opened["basis/data"] = h5py.SoftLink("/nowhere")

    assert "/basis/data" in refusal(edit(c4_file, link))


def test_a_virtual_dataset_is_refused(c4_file, tmp_path):
    shutil.copy(c4_file, tmp_path / "elsewhere.h5")

    def virtual(opened):
        del opened["basis/data"]
        layout = h5py.VirtualLayout((324,), "f8")
        layout[:] = h5py.VirtualSource("elsewhere.h5", "basis/data", (324,))
        opened.create_virtual_dataset("basis/data", layout)

    assert "/basis/data is not stored plainly" in refusal(edit(c4_file, virtual))


@pytest.mark.parametrize("part", ["basis/data", "basis/indices", "basis/indptr", "group/input"])
def test_a_flipped_bit_in_a_dataset_is_found(c4_file, part):
    with h5py.File(c4_file) as opened:
        start, size = opened[part].id.get_offset(), opened[part].id.get_storage_size()
    damaged = bytearray(c4_file.read_bytes())
    damaged[start + size // 2] ^= 1
    c4_file.write_bytes(damaged)
    said = refusal(c4_file)
    assert part.split("/")[0] in said or "content_sha256 does not match" in said


FLIPPED = {
    "sparse": ({"group": "c4", "input": "2x2", "output": "2x2"}, False),
    "signs": ({"group": "c4", "input": "2x2:vector", "output": "2x2"}, False),
    "dense": ({"group": SLANTED, "input": "3", "output": "3"}, False),
    "generators": ({"group": "s3", "input": "3x3", "output": "3"}, False),
    "labels": ({"group": "c4", "input": "2x2", "output": "2x2"}, True),
    "labels with signs": ({"group": "d4", "input": "2x2:pseudoscalar", "output": "2x2"}, True),
}


@pytest.mark.parametrize(("problem", "labels"), FLIPPED.values(), ids=FLIPPED)
def test_no_flipped_byte_gives_another_basis_or_another_error(
    tmp_path, monkeypatch, problem, labels
):
    if labels:
        monkeypatch.setattr(store, "_MOST_SPARSE_ROWS", 0)
    small = by_hand.solved(**problem)
    path = saved(small, tmp_path / "small.h5")
    whole = path.read_bytes()
    assert b"GCOL" not in whole  # no heap of strings, on which HDF5 itself could loop for ever
    generator = np.random.default_rng(len(whole))
    for place in sorted(generator.choice(len(whole), 400, replace=False).tolist()):
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


NOT_ENOUGH_ROOM = """
import resource, signal, sys
import equibasis as eb

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
basis = eb.solve(group="c4", input="6x6", output="3x3")
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
try:
    eb.save_basis(basis, "c4_6x6_to_3x3.h5")
except eb.WriteError as error:
    print(error)
"""


@pytest.mark.skipif(os.name != "posix", reason="limits the size of files as POSIX does")
@pytest.mark.parametrize("room", [0, 500, 4000, 8000])
def test_a_disk_without_room_is_a_write_error_and_leaves_the_old_file(c4_file, python, room):
    before = c4_file.read_bytes()
    outcome = python("-c", NOT_ENOUGH_ROOM, room)
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out.startswith("cannot write c4_6x6_to_3x3.h5")
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
