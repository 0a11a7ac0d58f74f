"""Files made to do harm: each is one refusal that names what is wrong, in little memory."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

import by_hand
import equibasis as eb
from basis_files import (
    BASES,
    edit,
    fixed,
    headers,
    mended,
    refusal,
    rehash,
    saved,
)
from equibasis.artifact.plain_hdf5 import PlainFile
from equibasis.artifact.store import describe, verify_file


@pytest.fixture
def file(tmp_path) -> Path:
    """Of c4: 3x3 -> 2x2."""
    return saved(eb.solve(group="c4", input="3x3", output="2x2"), tmp_path / "basis.h5")


# --- the reader reads what the HDF5 library reads -----------------------------------------------


@pytest.mark.parametrize("name", BASES)
def test_the_reader_finds_what_h5py_finds(tmp_path, name):
    path = saved(BASES[name](), tmp_path / "basis.h5")
    with h5py.File(path) as theirs, PlainFile(path) as ours:
        paths = ["/"]
        theirs.visit(lambda found: paths.append(f"/{found}"))
        for each in paths:
            one, other = theirs[each], ours.find(each)
            assert other is not None
            assert set(one.attrs) == set(other.attributes)
            for key, found in other.attributes.items():
                value = np.frombuffer(found.content, found.kind.dtype).reshape(found.kind.shape)
                np.testing.assert_array_equal(value, one.attrs[key])
            if isinstance(one, h5py.Dataset):
                array = ours.read(each)
                np.testing.assert_array_equal(array, one[()])
                assert (array.dtype.kind, array.shape) == (one.dtype.kind, one.shape)
            else:
                assert set(other.links) == set(one)
                assert other.kind is None


NUMBERS = ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"]


@pytest.mark.parametrize("libver", ["v108", "v110", "v114", "latest"])
def test_the_reader_reads_what_any_hdf5_since_1_8_writes(tmp_path, libver):
    arrays = {kind: np.arange(6).reshape(2, 3).astype(kind) for kind in NUMBERS}
    arrays |= {
        "text": np.array([b"one", b"three"]),
        "scalar": np.float64(7),
        "none": np.zeros((0, 4)),
    }
    for few in (list(arrays)[:7], list(arrays)[7:]):
        with h5py.File(tmp_path / "some.h5", "w", libver=libver) as opened:
            for name in few:
                opened[name] = arrays[name]
                opened.attrs[name] = arrays[name]
        with PlainFile(tmp_path / "some.h5") as read:
            for name in few:
                np.testing.assert_array_equal(read.read(f"/{name}"), arrays[name])
                assert read.read(f"/{name}").dtype == np.asarray(arrays[name]).dtype


def test_the_reader_never_imports_the_library(python, file):
    reading = (
        "import sys\n"
        "from equibasis.artifact.plain_hdf5 import PlainFile\n"
        f"with PlainFile({str(file)!r}) as file: print(file.read('/basis/data').sum())\n"
        "print('h5py' in sys.modules['equibasis.artifact.plain_hdf5'].__dict__)"
    )
    assert python("-c", reading).out.split() == ["18.0", "False"]


# --- what is no file ----------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes have names on POSIX")
def test_a_pipe_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.h5")
    assert "not a regular file" in refusal(tmp_path / "pipe.h5")


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev/tty", "/proc/self/mem"])
def test_a_link_to_a_device_is_refused(tmp_path, device):
    if not Path(device).exists():
        pytest.skip(f"no {device} here")
    (tmp_path / "link.h5").symlink_to(device)
    assert refusal(tmp_path / "link.h5")


def test_a_link_in_a_circle_and_one_to_nowhere_are_refused(tmp_path):
    (tmp_path / "circle.h5").symlink_to(tmp_path / "circle.h5")
    (tmp_path / "nowhere.h5").symlink_to(tmp_path / "none.h5")
    assert refusal(tmp_path / "circle.h5")
    assert "does not exist" in refusal(tmp_path / "nowhere.h5")


def test_a_link_to_a_basis_file_is_that_file(file, tmp_path):
    (tmp_path / "link.h5").symlink_to(file)
    assert eb.load_basis(tmp_path / "link.h5").rank == 9


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read_is_refused(file):
    file.chmod(0)
    assert "cannot be read: Permission denied" in refusal(file)


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000, "none/basis.h5", "basis.h5/basis.h5"])
def test_an_impossible_name_is_refused(file, monkeypatch, name):
    monkeypatch.chdir(file.parent)
    with pytest.raises(eb.BasisFileError):
        eb.load_basis(name)


def test_a_file_cut_off_anywhere_is_refused(file):
    whole = file.read_bytes()
    for length in range(0, len(whole), 7):
        file.write_bytes(whole[:length])
        refusal(file)


@pytest.mark.parametrize("size", [512, 2048])
def test_a_user_block_is_refused_and_named(file, size):
    file.write_bytes(bytes(size) + file.read_bytes())
    assert f"HDF5 that begins after a user block of {size} bytes" in refusal(file)


@pytest.mark.parametrize("size", [8, 511, 1000])
def test_what_begins_with_something_else_is_no_hdf5(file, size):
    file.write_bytes(bytes(size) + file.read_bytes())
    assert "not an HDF5 file" in refusal(file)


def test_a_file_of_before_hdf5_1_8_is_refused(file, tmp_path):
    with h5py.File(file) as opened, h5py.File(tmp_path / "old.h5", "w") as old:
        for name in opened:
            opened.copy(name, old)
        for name, value in opened.attrs.items():
            old.attrs[name] = value
    assert "HDF5 with superblock 0" in refusal(tmp_path / "old.h5")


# --- objects of other kinds ---------------------------------------------------------------------


def replaced(name: str, make: Callable[[h5py.File], object]) -> Callable[[h5py.File], None]:
    def change(opened: h5py.File) -> None:
        del opened[name]
        make(opened)

    return change


def references(opened: h5py.File) -> None:
    data = opened.create_dataset("basis/data", (36,), dtype=h5py.ref_dtype)
    data[:] = opened["group"].ref


def unknown_filter(opened: h5py.File) -> None:
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((36,))
    properties.set_filter(32015, h5py.h5z.FLAG_OPTIONAL)
    space = h5py.h5s.create_simple((36,))
    h5py.h5d.create(opened.id, b"basis/data", h5py.h5t.NATIVE_DOUBLE, space, properties)


PAIR = np.dtype([("real", "f8"), ("imaginary", "f8")])

KINDS = {
    "references": (references, "has type reference"),
    "strings in a heap": (
        lambda o: o.create_dataset("basis/data", data=["a"] * 36, dtype=h5py.string_dtype()),
        "has type variable length",
    ),
    "arrays of any length": (
        lambda o: o.create_dataset("basis/data", (36,), h5py.vlen_dtype("f8")),
        "has type variable length",
    ),
    "pairs": (lambda o: o.create_dataset("basis/data", (36,), PAIR), "has type compound"),
    "enumeration": (
        lambda o: o.create_dataset("basis/data", data=np.ones(36, bool)),
        "has type enumeration",
    ),
    "opaque": (lambda o: o.create_dataset("basis/data", (36,), "V8"), "has type opaque"),
    "arrays": (lambda o: o.create_dataset("basis/data", (36,), "(3,)f8"), "has type array"),
    "big endian": (
        lambda o: o.create_dataset("basis/data", data=np.ones(36, ">f8")),
        "an unusual number of 8 bytes",
    ),
    "float16": (lambda o: o.create_dataset("basis/data", data=np.ones(36, "f2")), "has type <f2"),
    "null": (
        lambda o: o.create_dataset("basis/data", data=h5py.Empty("f8")),
        "/basis/data is not a dataset",
    ),
    "scalar": (lambda o: o.create_dataset("basis/data", data=1.0), "has shape scalar"),
    "32 axes": (
        lambda o: o.create_dataset("basis/data", data=np.ones((36, *[1] * 31))),
        "/basis/data has shape 36x1",
    ),
    "filter that is not there": (unknown_filter, "not stored plainly: it is filtered"),
    "compact": (
        lambda o: h5py.h5d.create(
            o.id, b"basis/data", h5py.h5t.NATIVE_DOUBLE, h5py.h5s.create_simple((36,)), compact()
        ),
        "not stored plainly: it is compact",
    ),
    "a named type": (lambda o: o.__setitem__("basis/data", np.dtype("f8")), "is not a dataset"),
    "a circle of links": (
        lambda o: (
            o.__setitem__("basis/data", h5py.SoftLink("/basis/round")),
            o.__setitem__("basis/round", h5py.SoftLink("/basis/data")),
        ),
        "/basis/data is missing, or a link",
    ),
    "the group itself": (lambda o: o.__setitem__("basis/data", o["basis"]), "is not a dataset"),
}


def compact() -> h5py.h5p.PropDCID:
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_layout(h5py.h5d.COMPACT)
    return properties


@pytest.mark.parametrize(("make", "said"), KINDS.values(), ids=KINDS)
def test_data_of_another_kind_are_refused_by_name(file, make, said):
    message = refusal(edit(file, replaced("basis/data", make)))
    assert said in message
    assert "/basis/data" in message


def test_an_object_of_before_hdf5_1_8_is_refused(file):
    edit(
        file, replaced("group/input", lambda o: o.create_dataset("group/input", data=1)), "earliest"
    )
    with h5py.File(file) as opened:
        address = h5py.h5o.get_info(opened["group/input"].id).addr
    if file.read_bytes()[address : address + 4] == b"OHDR":
        pytest.skip("HDF5 1.14 makes new headers in such a file")
    assert "the header of /group/input is of before HDF5 1.8" in refusal(file)


def test_two_names_of_one_dataset_cannot_claim_the_file_twice(file):
    def alias(opened: h5py.File) -> None:
        del opened["group/output"], opened["group/input"]
        opened["group/input"] = np.zeros((4, 150, 150))
        opened["group/output"] = opened["group/input"]
        opened["group/input"].attrs["shape"] = [150]
        opened["basis"].attrs["shape"] = [150**2, 9]

    assert "/group/output and those before it claim more bytes" in refusal(edit(file, alias))


# --- attributes ---------------------------------------------------------------------------------


def test_an_attribute_too_large_for_a_header_is_named_and_not_read(file):
    edit(file, lambda o: o["group"].attrs.__setitem__("large", np.zeros(10**6)))
    assert eb.load_basis(file).rank == 9
    assert describe(file)["besides"] == ["/group@(one of its attributes, number 1)"]


@pytest.mark.parametrize("libver", ["earliest", "v108", "latest"])
@pytest.mark.parametrize("count", [1, 2, 9, 40, 500, 3000])
def test_attributes_and_links_that_hdf5_keeps_in_a_heap_are_read_from_it(file, libver, count):
    """From nine on, in one block of a fractal heap and one leaf of a B-tree, and on to many."""

    def change(opened: h5py.File) -> None:
        for number in range(count):
            opened.attrs[f"remark {number}"] = number
            opened[f"group/{number}"] = h5py.SoftLink("/nowhere")

    edit(file, change, libver)
    expected = {f"/@remark {number}" for number in range(count)}
    expected |= {f"/group/{number}" for number in range(count)}
    assert set(describe(file)["besides"]) == expected
    assert verify_file(file)[0].rank == 9
    with h5py.File(file) as theirs, PlainFile(file) as ours:
        root = ours.find("/")
        assert root is not None
        for name, value in theirs.attrs.items():
            found = root.attributes[name]
            assert np.frombuffer(found.content, found.kind.dtype)[0] == value


def test_a_damaged_heap_is_refused(file):
    edit(file, lambda o: [o.attrs.__setitem__(f"a{number}", number) for number in range(100)])
    whole = file.read_bytes()
    for signature in (b"FRHP", b"FHIB", b"FHDB", b"BTHD", b"BTLF"):
        place = whole.index(signature)
        for distance in (0, 4, 5, 14):
            damaged = bytearray(whole)
            damaged[place + distance] ^= 1
            file.write_bytes(damaged)
            assert "the header of / is damaged" in refusal(file)


def test_a_hundred_thousand_links_are_refused_in_little_time_and_memory(file):
    def change(opened: h5py.File) -> None:
        for number in range(100_000):
            opened[f"group/{number}"] = h5py.SoftLink("/nowhere")

    assert "the heap of links of /group has more than 1,048,576 bytes" in refusal(
        edit(file, change)
    )


# --- what is not in the table -------------------------------------------------------------------


def extended(opened: h5py.File) -> None:
    """What a later version may add, and what nobody should follow."""
    opened.attrs["remark"] = "hello"
    opened["basis"].attrs["units"] = "none"
    opened["basis/data"].attrs["heap"] = h5py.Empty("f8")
    opened.create_dataset("later/part", data=np.arange(3), compression="gzip")
    opened["away"] = h5py.ExternalLink("elsewhere.h5", "/")
    opened["group/round"] = h5py.SoftLink("/group/round")
    opened["group/again"] = opened["/"]


def test_what_is_not_in_the_table_is_neither_followed_nor_hashed(file):
    before = eb.load_basis(file)
    edit(file, extended)
    assert eb.content_sha256(eb.load_basis(file)) == eb.content_sha256(before)
    verify_file(file)
    assert describe(file)["besides"] == [
        "/@remark",
        "/away",
        "/basis@units",
        "/group/again",
        "/group/round",
        "/later",
    ]


# --- crafted metadata, its checksums mended -----------------------------------------------------


def crafted(path: Path, old: bytes, new: bytes) -> Path:
    """Bytes exchanged within the metadata, and the checksums mended."""
    content = path.read_bytes()
    pieces = headers(content)
    assert old in content
    assert len(old) == len(new)
    path.write_bytes(mended(bytearray(content.replace(old, new)), pieces))
    return path


def dataspace(size: int) -> bytes:
    return struct.pack("<BBBBQQ", 2, 1, 1, 1, size, size)


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (2**63, "/basis/data takes 73786976294838206464 bytes"),
        (2**40, "/basis/data takes"),
        (2**64 - 1, "/basis/data takes"),
        (37, "/basis/data takes 296 bytes, but 288 are stored"),
    ],
)
def test_a_size_that_is_not_there_is_refused(file, size, said):
    with h5py.File(file) as opened:
        header = h5py.h5o.get_info(opened["basis/data"].id).addr
    content = bytearray(file.read_bytes())
    pieces = headers(bytes(content))
    place = content.index(dataspace(36), header)
    content[place : place + 20] = dataspace(size)
    file.write_bytes(mended(content, pieces))
    assert said in refusal(file)


@pytest.mark.parametrize("address", [2**64 - 1, 2**63, 10**6, 0, 48])
def test_data_elsewhere_than_they_are_are_refused(file, address):
    with h5py.File(file) as opened:
        offset = opened["basis/data"].id.get_offset()
    refusal(crafted(file, struct.pack("<QQ", offset, 288), struct.pack("<QQ", address, 288)))


def test_a_header_that_continues_in_itself_is_refused(tmp_path):
    path = saved(eb.solve(group="c4", input="3x3", output="2x2"), tmp_path / "basis.h5")
    content = path.read_bytes()
    pieces = headers(content)
    start, end = next(piece for piece in pieces if content[piece[0] : piece[0] + 4] == b"OCHK")
    pointer = struct.pack("<QQ", start, end + 4 - start)
    assert pointer in content
    for there in (48, start, 2**63, len(content), 5):
        forged = content.replace(pointer, struct.pack("<QQ", there, end + 4 - start))
        path.write_bytes(mended(bytearray(forged), pieces))
        if there != start:
            refusal(path)
    # A continuation inside the continuation that points at itself.
    forged = bytearray(content)
    forged[start + 4 : start + 8] = struct.pack("<BHB", 0x10, 16, 0)
    forged[start + 8 : start + 24] = pointer
    path.write_bytes(mended(forged, pieces))
    assert "circle" in refusal(path)


def test_a_root_that_is_its_own_child_is_refused(file):
    with h5py.File(file) as opened:
        group = h5py.h5o.get_info(opened["group"].id).addr
        root = h5py.h5o.get_info(opened.id).addr
    assert refusal(crafted(file, struct.pack("<Q", group), struct.pack("<Q", root)))


# --- a small file that declares a large space ---------------------------------------------------


def declared(opened: h5py.File, size: int) -> None:
    """Invariants of ``size`` numbers under the trivial group, of which none is stored."""
    del opened["group/output"]
    opened.attrs["output_space"] = fixed(str(size))
    opened["group/output"] = np.arange(size, dtype="i4")[None]
    opened["group/output"].attrs["shape"] = np.array([size])


def test_a_declared_space_out_of_proportion_to_the_file_is_refused(tmp_path):
    path = saved(eb.solve(group="trivial", input="9", output="9"), tmp_path / "basis.h5")

    def change(opened: h5py.File) -> None:
        for side in ("input", "output"):
            del opened[f"group/{side}"]
            opened[f"group/{side}"] = np.arange(100_000, dtype="i4")[None]
            opened[f"group/{side}"].attrs["shape"] = np.array([100_000])
            opened.attrs[f"{side}_space"] = fixed("100000")
        opened["basis"].attrs["shape"] = np.array([10**10, 81])

    assert "declare 10,000,000,000 index pairs" in refusal(edit(path, change))


LIMITED = """
import resource, sys
import equibasis as eb
from equibasis.artifact.store import verify_file
eb.solve(group="c4", output="2x2")  # everything is imported
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv[2]) * 2**20,) * 2)
try:
    verify_file(sys.argv[1])
except eb.BasisFileError as error:
    print(error)
"""


def verify_within(path: Path, megabytes: int) -> str:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, path, str(megabytes)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def with_basis(path: Path, columns: object) -> Path:
    """The basis replaced by a sparse matrix of the same shape, hash and all."""

    def change(opened: h5py.File) -> None:
        for name in ("data", "indices", "indptr"):
            del opened[f"basis/{name}"]
            values = getattr(columns, name)
            opened[f"basis/{name}"] = values if name == "data" else values.astype("i4")
        rehash(opened)

    return edit(path, change)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="limits memory as Linux does")
def test_columns_that_all_meet_in_one_row_are_refused_in_little_memory(tmp_path):
    from scipy import sparse

    path = saved(eb.solve(group="trivial", input="200", output="200"), tmp_path / "basis.h5")
    n = 40_000
    rows = np.stack([np.zeros(n, int), np.arange(n)], 1)
    rows[0, 1] = 1
    matrix = sparse.csc_array(
        (np.full(2 * n, 0.5), rows.ravel(), np.arange(0, 2 * n + 1, 2)), shape=(n, n)
    )
    matrix.sum_duplicates()
    said = verify_within(with_basis(path, matrix), 600)
    assert "overlap" in said or "orthonormal" in said


def test_elements_that_all_act_alike_are_checked_in_little_memory(tmp_path):
    group = eb.Group("alike", tuple(range(20_000)), lambda x, g: x, rearranges=True)
    path = saved(eb.solve(group=group, output="2"), tmp_path / "basis.h5")
    if Path("/proc/self/statm").exists():
        assert verify_within(path, 600) == ""
    verify_file(path)


# --- the file says one thing of itself and is another -------------------------------------------


def test_another_permutation_for_one_element_does_not_hold(tmp_path):
    path = saved(eb.solve(group="d4", input="3x3", output="3x3"), tmp_path / "basis.h5")

    def change(opened: h5py.File) -> None:
        index = opened["group/input"]
        index[7] = index[6]
        rehash(opened)

    with pytest.raises(eb.BasisFileError):
        verify_file(edit(path, change))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("orthonormality_error", 1e-5),
        ("orthonormality_error", 5e-11),
        ("equivariance_error", 1.0),
        ("rank_expected", np.int64(8)),
    ],
)
def test_stated_errors_that_are_not_the_errors_do_not_hold(file, name, value):
    def change(opened: h5py.File) -> None:
        opened["checks"].attrs[name] = value
        rehash(opened)

    assert eb.load_basis(edit(file, change))
    with pytest.raises(eb.BasisFileError, match=name):
        verify_file(file)


def test_another_encoding_than_the_prescribed_does_not_hold(file):
    def change(opened: h5py.File) -> None:
        matrix = by_hand.dense(eb.solve(group="c4", input="3x3", output="2x2"))
        del opened["basis"]
        opened["basis"] = matrix
        opened["basis"].attrs["encoding-type"] = fixed("array")
        opened["basis"].attrs["encoding-version"] = fixed("0.2.0")
        rehash(opened)

    edit(file, change)
    eb.load_basis(file)
    with pytest.raises(eb.BasisFileError, match="not encoded as the format prescribes"):
        verify_file(file)


# --- what decides nothing -----------------------------------------------------------------------


def other_numbers(opened: h5py.File) -> None:
    opened["coordinates/input/repeats"][0] = 7


def other_layout(opened: h5py.File) -> None:
    places = opened["coordinates/input/places"][()]
    del opened["coordinates/input/places"]
    opened.create_dataset("coordinates/input/places", data=places, compression="gzip")


def no_group_any_more(opened: h5py.File) -> None:
    del opened["coordinates"]
    opened["coordinates"] = np.arange(3)


UNREADABLE = {
    "coordinates changed": (other_numbers, "/coordinates (left out: sha256 does not match"),
    "coordinates compressed": (
        other_layout,
        "/coordinates (left out: /coordinates/input/places is not stored plainly",
    ),
    "part of the coordinates": (
        lambda o: o.__delitem__("coordinates/output"),
        "/coordinates (left out: /coordinates/output is missing",
    ),
    "no hash of the coordinates": (
        lambda o: o["coordinates"].attrs.__delitem__("sha256"),
        "/coordinates (left out: attribute 'sha256' of /coordinates is missing",
    ),
    "coordinates a dataset": (
        no_group_any_more,
        "/coordinates (left out: /coordinates is not a group",
    ),
    "coordinates a link": (
        lambda o: (o.move("coordinates", "c"), o.__setitem__("coordinates", h5py.SoftLink("/c"))),
        "/coordinates (left out: /coordinates is missing, or a link to somewhere else",
    ),
    "the solver as h5py writes text": (
        lambda o: o["checks"].attrs.__setitem__("solver", "by hand"),
        "/checks@solver (left out: attribute 'solver' of /checks has type variable length",
    ),
    "the solver a number": (
        lambda o: o["checks"].attrs.__setitem__("solver", 3),
        "/checks@solver (left out: attribute 'solver' of /checks has type <i8",
    ),
    "another order": (
        lambda o: o["basis"].attrs.__setitem__("vec_order", fixed("column-major")),
        "/basis@vec_order (left out: attribute 'vec_order' of /basis is 'column-major'",
    ),
}


@pytest.fixture
def with_coordinates(tmp_path) -> Path:
    basis = eb.solve(group="c4", input="4x4:vector", output="4x4")
    path = saved(basis, tmp_path / "coordinates.h5")
    assert eb.load_basis(path).coordinates is not None
    return path


@pytest.mark.parametrize(("change", "told"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_is_not_hashed_and_cannot_be_read_is_told_of_and_decides_nothing(
    with_coordinates, change, told
):
    before = eb.content_sha256(eb.load_basis(with_coordinates))
    edit(with_coordinates, change)
    assert eb.content_sha256(eb.load_basis(with_coordinates)) == before
    assert eb.content_sha256(verify_file(with_coordinates)[0]) == before
    assert any(each.startswith(told) for each in describe(with_coordinates)["besides"])


@pytest.mark.parametrize(
    "removed", ["/coordinates", "/checks@solver", "/basis@vec_order"], ids=lambda name: name
)
def test_what_is_optional_may_be_missing(with_coordinates, removed):
    holder, _, attribute = removed.partition("@")

    def remove(opened: h5py.File) -> None:
        if attribute:
            del opened[holder].attrs[attribute]
        else:
            del opened[holder]

    before = eb.content_sha256(eb.load_basis(with_coordinates))
    edit(with_coordinates, remove)
    assert eb.content_sha256(verify_file(with_coordinates)[0]) == before
    assert describe(with_coordinates)["besides"] == []


@pytest.mark.parametrize("libver", ["earliest", "v108", "latest"])
@pytest.mark.parametrize("where", ["/", "/basis", "/group", "/group/input", "/checks"])
def test_what_others_add_decides_nothing(with_coordinates, where, libver):
    """As h5py writes it: text of variable length, many and large attributes, exotic types."""

    def change(opened: h5py.File) -> None:
        attributes = opened[where].attrs
        attributes["solver by hand"] = "by hand"
        attributes["names"] = ["one", "two"]
        attributes["flag"] = True
        attributes["complex"] = 1j
        attributes["nothing"] = h5py.Empty("f8")
        attributes["part"] = opened["basis"].ref
        attributes["pair"] = np.zeros(2, [("a", "i4"), ("b", "f8")])
        attributes["numbers"] = np.zeros(1000)
        opened["a type"] = np.dtype("f8")
        attributes.create("shared", 1.0, dtype=opened["a type"])

    before = eb.content_sha256(eb.load_basis(with_coordinates))
    edit(with_coordinates, change, libver)
    assert eb.content_sha256(verify_file(with_coordinates)[0]) == before
