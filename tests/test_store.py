"""Basis files: what is written is what is read, and nothing that is damaged is ever believed."""

from __future__ import annotations

import dataclasses
import hashlib
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
from equibasis.files import check_writable, write_text, writing
from equibasis.solvers import solve_space
from equibasis.store import basis_path, describe


def turn(vector, sixths):
    angle = sixths * np.pi / 3
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ vector


HEXAGON = eb.Group("hexagon", tuple(range(6)), turn)

BASES = {
    "sparse": lambda: by_hand.solved("c4", "3x3", "6x6"),
    "dense": lambda: by_hand.solved("c4", "2x2"),
    "invariant": lambda: by_hand.solved("d4", "5x5"),
    "matrices": lambda: by_hand.solved(HEXAGON, "2", "2"),
    "rank 0": lambda: by_hand.solved(HEXAGON, "2"),
}


@pytest.fixture(params=BASES)
def basis(request) -> eb.Basis:
    return BASES[request.param]()


@pytest.fixture
def file(basis, tmp_path) -> Path:
    return saved(basis, tmp_path / "basis.h5")


def saved(basis: eb.Basis, path: Path) -> Path:
    eb.save_basis(basis, path)
    return path


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def assert_same(one: eb.Basis, other: eb.Basis) -> None:
    """Equal in every bit and name."""
    a, b = one.space, other.space
    assert (a.group, a.elements, a.input_shape, a.output_shape) == (
        b.group,
        b.elements,
        b.input_shape,
        b.output_shape,
    )
    np.testing.assert_array_equal(by_hand.matrices(a.input), by_hand.matrices(b.input))
    np.testing.assert_array_equal(by_hand.matrices(a.output), by_hand.matrices(b.output))
    assert type(one.matrix) is type(other.matrix)
    np.testing.assert_array_equal(by_hand.dense(one), by_hand.dense(other))
    assert (one.solver, one.checks) == (other.solver, other.checks)


# --- round trip ---------------------------------------------------------------------------------


def test_what_is_written_is_what_is_read(basis, file):
    assert_same(eb.load_basis(file), basis)


def test_what_is_read_holds(file):
    eb.verify_basis(eb.load_basis(file))


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
    eb.save_basis(eb.solve(group, "2", "2"), path)
    assert eb.load_basis(path).space.elements == ("eins", "−1")


def test_a_file_is_replaced_by_a_new_one(basis, file, tmp_path):
    other = by_hand.solved("c2", "3x3")
    assert_same(eb.load_basis(saved(other, file)), other)
    assert names_in(tmp_path) == ["basis.h5"]


# --- identical bytes ----------------------------------------------------------------------------


def test_the_same_basis_is_the_same_bytes_at_another_time(c4_basis, tmp_path):
    first = saved(c4_basis, tmp_path / "first.h5").read_bytes()
    time.sleep(1.1)  # HDF5 counts time in seconds
    assert saved(c4_basis, tmp_path / "second.h5").read_bytes() == first


def test_the_same_basis_is_the_same_bytes_from_another_process(c4_file, python):
    solving = "import equibasis as eb; eb.save_basis(eb.solve('c4', '3x3', '6x6'), 'other.h5')"
    assert python("-c", solving).status == 0
    assert c4_file.with_name("other.h5").read_bytes() == c4_file.read_bytes()


def test_the_layout_is_that_of_hdf5_1_8_and_carries_checksums(file):
    signature, version = file.read_bytes()[:8], file.read_bytes()[8]
    assert (signature, version) == (b"\x89HDF\r\n\x1a\n", 2)


@pytest.mark.parametrize("solver", ["svd", "dense"])
def test_two_solvers_write_the_same_bytes_but_for_their_names(c4_file, tmp_path, solver):
    other = by_hand.solved("c4", "3x3", "6x6", solver)
    assert eb.load_basis(saved(other, tmp_path / "other.h5")).solver == solver
    renamed = saved(dataclasses.replace(other, solver="orbits"), tmp_path / "renamed.h5")
    assert renamed.read_bytes() == c4_file.read_bytes()


# --- the content hash ---------------------------------------------------------------------------


def hash_by_hand(file: h5py.File) -> str:
    """SHA-256 of every dataset and attribute, sorted by path, but for `solver` and the hash.

    Each is "path type shape\\n" and its little-endian bytes; strings are "utf-8", each with its
    length in 8 bytes before it.
    """
    values: dict[str, object] = {f"/@{name}": value for name, value in file.attrs.items()}

    def visit(name: str, found: h5py.Group | h5py.Dataset) -> None:
        values.update({f"/{name}@{key}": value for key, value in found.attrs.items()})
        if isinstance(found, h5py.Dataset):
            is_text = h5py.check_string_dtype(found.dtype)
            values[f"/{name}"] = found.asstr()[()] if is_text else found[()]

    file.visititems(visit)
    digest = hashlib.sha256()
    for path in sorted(values.keys() - {"/@solver", "/@content_sha256"}):
        array = np.array(values[path], dtype=object if isinstance(values[path], str) else None)
        shape = "x".join(str(size) for size in array.shape) or "1"
        if array.dtype == object:
            digest.update(f"{path} utf-8 {shape}\n".encode())
            for text in array.tolist() if array.ndim else [array.item()]:
                digest.update(len(text.encode()).to_bytes(8, "little") + text.encode())
        else:
            kind = f"<{array.dtype.kind}{array.dtype.itemsize}"
            digest.update(f"{path} {kind} {shape}\n".encode() + array.astype(kind).tobytes())
    return digest.hexdigest()


def test_the_content_hash_can_be_computed_with_plain_h5py(basis, file):
    with h5py.File(file) as opened:
        assert opened.attrs["content_sha256"] == hash_by_hand(opened) == eb.content_sha256(basis)


def test_the_content_hash_does_not_depend_on_the_solver():
    hashes = {
        eb.content_sha256(by_hand.solved("c4", "3x3", "3x3", s)) for s in ("orbits", "svd", "dense")
    }
    assert len(hashes) == 1


def test_different_contents_have_different_hashes():
    problems = [
        (group, output, input_)
        for group in by_hand.ELEMENTS
        for output in ("1x1", "2x2", "3x3")
        for input_ in (None, "1x1", "2x2")
    ]
    assert len({eb.content_sha256(by_hand.solved(*each)) for each in problems}) == len(problems)


def test_the_last_bit_of_an_entry_changes_the_hash(c4_basis):
    nudged = c4_basis.matrix.copy()
    nudged.data[0] = np.nextafter(nudged.data[0], 1)
    other = dataclasses.replace(c4_basis, matrix=nudged)
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
    "format_version": 1,
    "kind": "equivariant",
    "group": "c4",
    "group_order": 4,
    "rank": 81,
    "solver": "orbits",
    "vec_order": "row-major",
}
CHECKS = {"orthonormality_error", "equivariance_error", "rank_expected"}
GROUP = {"/group/elements", "/group/input", "/group/output"}


def test_a_sparse_file_holds_these_attributes_and_datasets(c4_file):
    assert contents(c4_file) == (
        {
            "/": {*ROOT, "input_shape", "output_shape", "content_sha256"},
            "/basis": {"encoding-type", "encoding-version", "shape"},
            "/checks": CHECKS,
        },
        {*GROUP, "/basis/data", "/basis/indices", "/basis/indptr"},
    )


def test_a_dense_file_holds_these_attributes_and_datasets(tmp_path):
    assert contents(saved(BASES["dense"](), tmp_path / "dense.h5")) == (
        {
            "/": {*ROOT, "input_shape", "output_shape", "content_sha256"},
            "/basis": {"encoding-type", "encoding-version"},
            "/checks": CHECKS,
        },
        {*GROUP, "/basis"},
    )


def test_the_attributes_have_their_values(c4_file):
    with h5py.File(c4_file) as opened:
        attributes = dict(opened.attrs)
        assert attributes.pop("input_shape").tolist() == [6, 6]
        assert attributes.pop("output_shape").tolist() == [3, 3]
        assert len(attributes.pop("content_sha256")) == 64
        assert attributes == ROOT


def test_the_kind_of_invariants_is_invariant_and_their_input_shape_empty(tmp_path):
    with h5py.File(saved(BASES["invariant"](), tmp_path / "d4.h5")) as opened:
        assert opened.attrs["kind"] == "invariant"
        assert opened.attrs["input_shape"].shape == (0,)
        assert opened.attrs["group_order"] == 8
        np.testing.assert_array_equal(opened["group/input"], np.zeros((8, 1)))


def test_the_checks_are_numbers(c4_basis, c4_file):
    with h5py.File(c4_file) as opened:
        assert dict(opened["checks"].attrs) == dataclasses.asdict(c4_basis.checks)


def test_a_sparse_basis_is_encoded_as_anndata_publishes_it(c4_basis, c4_file):
    with h5py.File(c4_file) as opened:
        group = opened["basis"]
        assert group.attrs["encoding-type"] == "csc_matrix"
        assert group.attrs["encoding-version"] == "0.1.0"
        parts = (group["data"][()], group["indices"][()], group["indptr"][()])
        matrix = sparse.csc_matrix(parts, shape=tuple(group.attrs["shape"]))
    np.testing.assert_array_equal(matrix.toarray(), by_hand.dense(c4_basis))


def test_a_dense_basis_is_encoded_as_anndata_publishes_it(tmp_path):
    with h5py.File(saved(BASES["dense"](), tmp_path / "dense.h5")) as opened:
        assert opened["basis"].attrs["encoding-type"] == "array"
        np.testing.assert_array_equal(opened["basis"], np.full((4, 1), 0.5))


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


# --- names and descriptions ---------------------------------------------------------------------


def test_files_are_named_after_their_problem():
    maps, vectors = basis_path("bases", "c4", "6x6", "14x14"), basis_path("bases", "c4", "3x3")
    assert maps == Path("bases/c4_14x14_to_6x6.h5")
    assert vectors == Path("bases/c4_3x3.h5")


def test_a_description_counts_what_is_in_the_file(c4_file):
    told = describe(c4_file)
    assert (told["rank"], told["dense_parameters"], told["nonzeros"]) == (81, 324, 324)
    assert told["elements"] == ["r0", "r90", "r180", "r270"]
    assert told["bytes"] == c4_file.stat().st_size
    assert told["content_sha256"] == eb.content_sha256(eb.load_basis(c4_file))


# --- damage -------------------------------------------------------------------------------------


def refusal(path: Path) -> str:
    """Why a file is refused: one line that begins with its path."""
    with pytest.raises(eb.BasisFileError) as refused:
        eb.load_basis(path)
    message = str(refused.value)
    assert message.startswith(str(path))
    assert len(message.splitlines()) == 1
    return message.removeprefix(str(path))


def edit(path: Path, change) -> Path:
    with h5py.File(path, "r+") as opened:
        change(opened)
    return path


def rehash(opened: h5py.File) -> None:
    """Make the hash fit, so that only what the hash does not see is left to be found."""
    opened.attrs["content_sha256"] = hash_by_hand(opened)


def deleting(name):
    return lambda opened: opened.__delitem__(name)


def replacing(name, values, **options):
    def change(opened):
        del opened[name]
        opened.create_dataset(name, data=values, **options)

    return change


def setting(name, place, value):
    return lambda opened: opened[name].__setitem__(place, value)


def attribute(name, value, of="/"):
    return lambda opened: opened[of].attrs.__setitem__(name, value)


def without_attribute(name, of="/"):
    return lambda opened: opened[of].attrs.__delitem__(name)


NO_PERMUTATION = "/group/input holds a row that is not a permutation"
HUGE = 10**12

DAMAGES = {
    # what the file claims to be
    "another format": (attribute("format", "other"), "'format' is not 'equibasis'"),
    "a later version": (attribute("format_version", 99), "format_version 99 is not known"),
    "kind": (attribute("kind", "invariant"), "'kind' does not fit"),
    "vec order": (attribute("vec_order", "column-major"), "'vec_order' is not 'row-major'"),
    "group order": (attribute("group_order", 5), "'group_order' differs"),
    "rank": (attribute("rank", 80), "/basis does not have the shape 324x80"),
    "negative rank": (attribute("rank", -1), "'rank' is not a whole number"),
    "rank is text": (attribute("rank", "81"), "'rank' is not a whole number"),
    "group is a number": (attribute("group", 4), "'group' is not a string"),
    "shape": (attribute("input_shape", np.array([6, 7])), "/group/input has shape 4x36"),
    "shape is text": (attribute("output_shape", "3x3"), "'output_shape' is not a list"),
    "empty axis": (attribute("input_shape", np.array([0, 6])), "'input_shape' holds an impossible"),
    "huge shape": (attribute("input_shape", np.array([2**40, 2**40])), "an impossible size"),
    "an attribute too many": (attribute("remark", "hello"), "content_sha256 does not match"),
    "another group's name": (attribute("group", "c2"), "content_sha256 does not match"),
    # the representation
    "element renamed": (setting("group/elements", 1, "r91"), "content_sha256 does not match"),
    "elements are numbers": (replacing("group/elements", np.arange(4)), "/group/elements has type"),
    "element missing": (
        replacing("group/elements", ["r0", "r90", "r180"], dtype=h5py.string_dtype()),
        "/group/input has shape 4x36, expected 3x36",
    ),
    "index twice": (setting("group/input", (1, 0), 0), NO_PERMUTATION),
    "index too large": (setting("group/input", (1, 0), 36), NO_PERMUTATION),
    "index negative": (setting("group/input", (1, 0), -1), NO_PERMUTATION),
    "another permutation": (setting("group/input", 1, np.arange(36)), "content_sha256"),
    "index shape": (replacing("group/output", np.zeros((4, 8), int)), "/group/output has shape"),
    "matrices of another shape": (replacing("group/output", np.zeros((4, 9))), "expected 4x9x9"),
    "representation is text": (replacing("group/input", "text"), "/group/input has type"),
    # the basis
    "NaN": (setting("basis/data", 0, np.nan), "/basis/data is not made of finite"),
    "infinity": (setting("basis/data", 0, np.inf), "/basis/data is not made of finite"),
    "entry changed": (setting("basis/data", 0, 0.25), "content_sha256 does not match"),
    "float32": (replacing("basis/data", np.ones(324, "f4")), "/basis/data is not made of finite"),
    "integers": (replacing("basis/data", np.ones(324, int)), "/basis/data has type int64"),
    "row too large": (setting("basis/indices", -1, 324), "/basis/indices points outside"),
    "row negative": (setting("basis/indices", 0, -1), "/basis/indices points outside"),
    "row twice": (setting("basis/indices", 1, 0), "/basis/indices does not ascend"),
    "rows missing": (replacing("basis/indices", np.zeros(323, "i4")), "/basis/indices has shape"),
    "columns descend": (setting("basis/indptr", 40, 0), "/basis/indptr does not ascend"),
    "columns start late": (setting("basis/indptr", 0, 1), "/basis/indptr does not ascend from 0"),
    "columns end late": (setting("basis/indptr", -1, 999), "/basis/indptr does not ascend"),
    "column missing": (replacing("basis/indptr", np.zeros(81, "i4")), "/basis/indptr has shape 81"),
    "matrix shape": (attribute("shape", np.array([324, 80]), "basis"), "/basis does not have"),
    "encoding": (attribute("encoding-type", "csr_matrix", "basis"), "encoding-type that is not"),
    "no encoding": (without_attribute("encoding-type", "basis"), "encoding-type that is not known"),
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
        lambda opened: (opened.__delitem__("group/input"), opened.create_group("group/input")),
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


@pytest.mark.parametrize("name", [*ROOT, "input_shape", "output_shape", "content_sha256"])
def test_a_missing_attribute_is_named(c4_file, name):
    assert name in refusal(edit(c4_file, without_attribute(name)))


@pytest.mark.parametrize("name", [*ROOT, "input_shape", "output_shape", "content_sha256"])
def test_an_attribute_of_another_type_is_named(c4_file, name):
    assert name in refusal(edit(c4_file, attribute(name, np.array([0.5, 0.5]))))


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_a_missing_check_is_named_even_if_the_hash_was_made_to_fit(c4_file, name):
    edit(edit(c4_file, without_attribute(name, "checks")), rehash)
    assert name in refusal(c4_file)


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


def test_no_flipped_byte_gives_another_basis_or_another_error(tmp_path):
    small = by_hand.solved("c4", "2x2", "2x2")
    path = saved(small, tmp_path / "small.h5")
    whole = path.read_bytes()
    # HDF5 itself may loop for ever on a damaged heap of strings, whatever reads it.
    heap = range(whole.index(b"GCOL"), whole.index(b"GCOL") + 4096)
    for place in sorted(set(range(0, len(whole), 23)) - set(heap)):
        damaged = bytearray(whole)
        damaged[place] ^= 0xFF
        path.write_bytes(damaged)
        try:
            basis = eb.load_basis(path)
        except eb.BasisFileError:
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
    with h5py.File(tmp_path / "other.h5", "w") as opened:
        opened["data"] = np.arange(3)
    assert "HDF5, but not a basis file" in refusal(tmp_path / "other.h5")


def test_a_missing_file_is_named_with_the_remedy(tmp_path):
    assert "does not exist: make it with 'equibasis solve'" in refusal(tmp_path / "none.h5")


def test_a_folder_is_no_basis_file(tmp_path):
    assert "is not a regular file" in refusal(tmp_path)


# --- writing whole or not at all ----------------------------------------------------------------


def test_what_fails_midway_leaves_the_old_file_and_nothing_else(c4_basis, c4_file):
    before = c4_file.read_bytes()
    elements = ("r0", "r90", "r180", "no name in HDF5: \0")
    unwritable = dataclasses.replace(
        c4_basis, space=dataclasses.replace(c4_basis.space, elements=elements)
    )
    with pytest.raises((ValueError, eb.EquibasisError), match=r"NULL|HDF5"):
        eb.save_basis(unwritable, c4_file)
    assert c4_file.read_bytes() == before
    assert names_in(c4_file.parent) == [c4_file.name]


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
    saved(by_hand.solved("c2", "3x3"), c4_file)
    assert eb.load_basis(tmp_path / "cached.h5").group == "c4"
    assert eb.load_basis(c4_file).group == "c2"


NOT_ENOUGH_ROOM = """
import resource, signal, sys
import equibasis as eb

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
basis = eb.solve("c4", "3x3", "6x6")
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
try:
    eb.save_basis(basis, "c4_6x6_to_3x3.h5")
except eb.WriteError as error:
    print(error)
"""


@pytest.mark.skipif(os.name != "posix", reason="limits the size of files as POSIX does")
@pytest.mark.parametrize("room", [0, 500, 4000, 12000])
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
