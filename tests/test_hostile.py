"""Files made to do harm: each is one refusal that names what is wrong, in little memory."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy import linalg

import by_hand
import equibasis as eb
from basis_files import (
    BASES,
    edit,
    file_of,
    fixed,
    headers,
    mended,
    refusal,
    rehash,
    replaced,
    saved,
)
from equibasis.artifact.normalise import import_basis
from equibasis.artifact.plain_hdf5 import PlainFile
from equibasis.artifact.store import describe, verify_file
from in_forks import in_forks


@pytest.fixture(scope="module")
def content(tmp_path_factory) -> bytes:
    basis = eb.solve(group="c4", input="3x3", output="2x2")
    return saved(basis, tmp_path_factory.mktemp("small") / "basis.h5").read_bytes()


@pytest.fixture
def file(content, tmp_path) -> Path:
    """Of c4: 3x3 -> 2x2."""
    path = tmp_path / "basis.h5"
    path.write_bytes(content)
    return path


# --- the reader reads what the HDF5 library reads -----------------------------------------------


@pytest.mark.parametrize("name", BASES)
def test_the_reader_finds_what_h5py_finds(tmp_path, name):
    path = file_of(name, tmp_path / "basis.h5")
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


NUMBERS = ["i1", "i4", "i8", "f8"]


@pytest.mark.parametrize("libver", ["v108", "v110", "v114", "latest"])
def test_the_reader_reads_what_any_hdf5_since_1_8_writes(tmp_path, libver):
    arrays = {kind: np.arange(6).reshape(2, 3).astype(kind) for kind in NUMBERS}
    arrays |= {
        "text": np.array([b"one", b"three"]),
        "scalar": np.float64(7),
        "none": np.zeros((0, 4)),
    }
    with h5py.File(tmp_path / "some.h5", "w", libver=libver) as opened:
        for name, array in arrays.items():
            opened[name] = opened.attrs[name] = array
    with PlainFile(tmp_path / "some.h5") as read:
        for name, array in arrays.items():
            np.testing.assert_array_equal(read.read(f"/{name}"), array)
            assert read.read(f"/{name}").dtype == np.asarray(array).dtype


def test_the_reader_never_imports_the_library(python, file):
    reading = (
        "import sys\n"
        "from equibasis.artifact.plain_hdf5 import PlainFile\n"
        f"with PlainFile({str(file)!r}) as file: print(file.read('/input/index').sum())\n"
        "print('h5py' in sys.modules['equibasis.artifact.plain_hdf5'].__dict__)"
    )
    assert python("-c", reading).out.split() == ["36", "False"]


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


@pytest.mark.parametrize("size", [8, 511, 512, 1000, 2048])
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


def instead_of(name: str, make: Callable[[h5py.File], object]) -> Callable[[h5py.File], None]:
    def change(opened: h5py.File) -> None:
        del opened[name]
        make(opened)

    return change


def references(opened: h5py.File) -> None:
    data = opened.create_dataset("input/index", (9,), dtype=h5py.ref_dtype)
    data[:] = opened["group"].ref


def unknown_filter(opened: h5py.File) -> None:
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((9,))
    properties.set_filter(32015, h5py.h5z.FLAG_OPTIONAL)
    space = h5py.h5s.create_simple((9,))
    h5py.h5d.create(opened.id, b"input/index", h5py.h5t.NATIVE_INT32, space, properties)


PAIR = np.dtype([("real", "f8"), ("imaginary", "f8")])

KINDS = {
    "references": (references, "has type reference"),
    "strings in a heap": (
        lambda o: o.create_dataset("input/index", data=["a"] * 9, dtype=h5py.string_dtype()),
        "has type variable length",
    ),
    "arrays of any length": (
        lambda o: o.create_dataset("input/index", (9,), h5py.vlen_dtype("i4")),
        "has type variable length",
    ),
    "pairs": (lambda o: o.create_dataset("input/index", (9,), PAIR), "has type compound"),
    "enumeration": (
        lambda o: o.create_dataset("input/index", data=np.ones(9, bool)),
        "has type enumeration",
    ),
    "opaque": (lambda o: o.create_dataset("input/index", (9,), "V8"), "has type opaque"),
    "arrays": (lambda o: o.create_dataset("input/index", (9,), "(3,)f8"), "has type array"),
    "big endian": (
        lambda o: o.create_dataset("input/index", data=np.ones(9, ">i4")),
        "has type an unusual number",
    ),
    "float16": (
        lambda o: o.create_dataset("input/index", data=np.ones(9, "f2")),
        "has type an unus",
    ),
    "null": (
        lambda o: o.create_dataset("input/index", data=h5py.Empty("f8")),
        "/input/index is not a dataset",
    ),
    "scalar": (lambda o: o.create_dataset("input/index", data=np.int32(1)), "has shape scalar"),
    "32 axes": (
        lambda o: o.create_dataset("input/index", data=np.ones((9, *[1] * 31), "i4")),
        "/input/index has shape 9x1",
    ),
    "filter that is not there": (unknown_filter, "not stored plainly: it is filtered"),
    "compact": (
        lambda o: h5py.h5d.create(
            o.id, b"input/index", h5py.h5t.NATIVE_INT32, h5py.h5s.create_simple((9,)), compact()
        ),
        "not stored plainly: it is compact",
    ),
    "a named type": (lambda o: o.__setitem__("input/index", np.dtype("f8")), "is not a dataset"),
    "a circle of links": (
        lambda o: (
            o.__setitem__("input/index", h5py.SoftLink("/input/round")),
            o.__setitem__("input/round", h5py.SoftLink("/input/index")),
        ),
        "/input/index is missing, or a link",
    ),
    "the group itself": (lambda o: o.__setitem__("input/index", o["input"]), "is not a dataset"),
}


def compact() -> h5py.h5p.PropDCID:
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_layout(h5py.h5d.COMPACT)
    return properties


@pytest.mark.parametrize(("make", "said"), KINDS.values(), ids=KINDS)
def test_data_of_another_kind_are_refused_by_name(file, make, said):
    message = refusal(edit(file, instead_of("input/index", make)))
    assert said in message
    assert "/input/index" in message


def test_an_object_of_before_hdf5_1_8_is_refused(file):
    change = instead_of("input/types", lambda o: o.create_dataset("input/types", data=1))
    edit(file, change, "earliest")
    with h5py.File(file) as opened:
        address = h5py.h5o.get_info(opened["input/types"].id).addr
    if file.read_bytes()[address : address + 4] == b"OHDR":
        pytest.skip("HDF5 1.14 makes new headers in such a file")
    assert "the header of /input/types is of before HDF5 1.8" in refusal(file)


def test_two_names_of_one_dataset_cannot_claim_the_file_twice(file):
    def alias(opened: h5py.File) -> None:
        for side in ("input", "output"):
            del opened[f"{side}/index"]
            opened[side].attrs["shape"] = [20_000]
        opened["input/index"] = np.arange(20_000, dtype="i4")
        opened["output/index"] = opened["input/index"]

    assert "/output/index and those before it claim more bytes" in refusal(edit(file, alias))


# --- attributes ---------------------------------------------------------------------------------


MANY = [
    ("/", 1, False),
    ("/group", 7, False),
    ("/input", 9, True),
    ("/tables/labels", 40_000, False),
]


def with_many(where: str, count: int, of_links: bool) -> Callable[[h5py.File], None]:
    def change(opened: h5py.File) -> None:
        for number in range(1 if count > 9 else count):
            if of_links:
                opened[f"{where}/{number}"] = h5py.SoftLink("/nowhere")
            else:
                opened[where].attrs[f"remark {number}"] = np.zeros(count)

    return change


@pytest.mark.parametrize("libver", ["earliest", "v108", "latest"])
@pytest.mark.parametrize(("where", "count", "of_links"), MANY)
def test_more_than_hdf5_keeps_in_a_header_is_named_for_import(file, where, count, of_links, libver):
    """Beyond eight attributes or links, and large ones, HDF5 keeps them in a heap."""
    edit(file, with_many(where, count, of_links), libver)
    assert f": {where} has more than fits in its header; if another program rewrote" in refusal(
        file
    )


@pytest.mark.parametrize("libver", ["earliest", "v108", "latest"])
def test_and_an_import_leaves_it_out(file, tmp_path, libver):
    before = file.read_bytes()
    for each in MANY:
        edit(file, with_many(*each), libver)
    import_basis(file, tmp_path / "out.h5")
    assert (tmp_path / "out.h5").read_bytes() == before


# --- what is not in the table -------------------------------------------------------------------


def extended(opened: h5py.File) -> None:
    """What a later version may add, and what nobody should follow."""
    opened["checks"].attrs["remark"] = "hello"
    opened["basis"].attrs["units"] = "none"
    opened["input/index"].attrs["heap"] = h5py.Empty("f8")
    opened.create_dataset("later/part", data=np.arange(3), compression="gzip")
    opened["types/away"] = h5py.ExternalLink("elsewhere.h5", "/")
    opened["group/round"] = h5py.SoftLink("/group/round")
    opened["group/again"] = opened["/"]


def test_what_is_not_in_the_table_is_neither_followed_nor_hashed(file):
    before = eb.load_basis(file)
    edit(file, extended)
    assert eb.content_sha256(eb.load_basis(file)) == eb.content_sha256(before)
    verify_file(file)
    assert describe(file)["besides"] == [
        "/basis@units",
        "/checks@remark",
        "/group/again",
        "/group/round",
        "/later",
        "/types/away",
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
        (2**63, "/tables/labels takes 36893488147419103232 bytes"),
        (2**40, "/tables/labels takes"),
        (2**64 - 1, "/tables/labels takes"),
        (10, "/tables/labels takes 40 bytes, but 20 are stored"),
    ],
)
def test_a_size_that_is_not_there_is_refused(file, size, said):
    with h5py.File(file) as opened:
        header = h5py.h5o.get_info(opened["tables/labels"].id).addr
    content = bytearray(file.read_bytes())
    pieces = headers(bytes(content))
    place = content.index(dataspace(5), header)
    content[place : place + 20] = dataspace(size)
    file.write_bytes(mended(content, pieces))
    assert said in refusal(file)


@pytest.mark.parametrize("address", [2**64 - 1, 2**63, 10**6, 0, 48])
def test_data_elsewhere_than_they_are_are_refused(file, address):
    with h5py.File(file) as opened:
        offset = opened["input/index"].id.get_offset()
    refusal(crafted(file, struct.pack("<QQ", offset, 36), struct.pack("<QQ", address, 36)))


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


LIMITED = """
import resource, sys, tempfile
import equibasis as eb
from equibasis.artifact.export import export_basis
from equibasis.artifact.store import describe, verify_file
from equibasis.show.figures import basis_figure, orbits_figure
from equibasis.solvers.angle import subspace_angle

small = eb.solve(group="c4", input="2x2", output="2x2")  # everything is imported
basis_figure(small), orbits_figure(small), small.matrix

def tried(what, call):
    try:
        call()
        print(what, "ok")
    except eb.EquibasisError as error:
        print(what, str(error).splitlines()[0])
    except MemoryError:  # of which the command makes one line
        print(what, "memory")

def used(path):
    there = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (there + 600 * 2**20,) * 2)
    basis = eb.load_basis(path)
    print("load ok")
    tried("inspect", lambda: describe(path))
    tried("verify", lambda: verify_file(path))
    tried("show", lambda: basis_figure(basis))
    if basis.of_orbits:
        tried("orbits", lambda: orbits_figure(basis))
    tried("diff", lambda: subspace_angle(basis, eb.load_basis(path)))
    with tempfile.TemporaryDirectory() as folder:
        tried("save", lambda: eb.save_basis(basis, folder + "/again.h5"))
        tried("export", lambda: export_basis(basis, folder + "/out.npz"))
"""


@pytest.fixture(scope="module")
def within_limits(tmp_path_factory) -> dict[str, dict[str, str]]:
    """What each use of a file comes to in a process that may take 600 MiB more than it has."""
    if not Path("/proc/self/statm").exists():
        pytest.skip("limits memory as Linux does")
    folder = tmp_path_factory.mktemp("large")
    paths = [forged(folder / f"{name}.h5", **made) for name, (made, _) in LARGE.items()]
    assert max(path.stat().st_size for path in paths) < 10**6
    group = eb.Group("alike", tuple(range(4_000)), lambda x, g: x, rearranges=True)
    paths.append(saved(eb.solve(group=group, output="2"), folder / "alike.h5"))
    found = in_forks([f"used({str(path)!r})" for path in paths], folder, before=LIMITED)
    assert [outcome.status for outcome in found] == [0] * len(paths), found
    said = [dict(line.split(" ", 1) for line in outcome.out.splitlines()) for outcome in found]
    return dict(zip((path.stem for path in paths), said, strict=True))


def forged(
    path: Path,
    *,
    elements: int,
    generators: bool = False,
    permutations: np.ndarray | None = None,
    matrices: np.ndarray | None = None,
    copies: int,
    table: np.ndarray,
) -> Path:
    """A file of one type, of so many copies on both sides, and one table, its hash made to fit."""
    saved(eb.solve(group="trivial", input="2", output="2"), path)
    t = len(permutations[0]) if permutations is not None else matrices.shape[1]
    rank = int(table.max()) + 1 if permutations is not None else table.shape[1]

    def change(opened: h5py.File) -> None:
        del opened["basis"], opened["types/index"], opened["tables/labels"]
        replaced(opened, "group/elements", np.array([b"%d" % g for g in range(elements)]))
        opened["group"].attrs["listed"] = fixed("generators" if generators else "elements")
        opened["group"].attrs["order"] = 0 if generators else elements
        opened["types/dimensions"][0] = t
        opened["types/permuted"][0] = permutations is not None
        if permutations is not None:
            opened["types/index"] = permutations.astype("i4")
            opened["tables/labels"] = table.astype("i4")
        else:
            opened["types/matrices"] = matrices.ravel()
            opened["tables/values"] = table.ravel()
        for side in ("input", "output"):
            opened[f"{side}/multiplicities"][0] = copies
            replaced(opened, f"{side}/index", np.arange(t * copies, dtype="i4"))
            opened[side].attrs["shape"] = np.array([t * copies])
            opened.attrs[f"{side}_space"] = fixed(str(t * copies))
        opened["tables/ranks"][0, 0] = rank
        opened.attrs["rank"] = opened["checks"].attrs["rank_expected"] = copies**2 * rank
        rehash(opened)

    return edit(path, change)


def turns(*orders: int) -> np.ndarray:
    """Turns of as many planes, which together generate a cyclic group of their common multiple."""
    angles = 2 * np.pi / np.array(orders)
    blocks = [[[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]] for a in angles]
    aside = by_hand.random_orthogonal(2 * len(orders), 0)
    return aside @ linalg.block_diag(*blocks) @ aside.T


LARGE = {
    # 10¹⁰ index pairs and columns of a few numbers, for 1,000 elements: all that holds, holds.
    "many copies": (
        {
            "elements": 1000,
            "permutations": np.zeros((1000, 1)),
            "copies": 10**5,
            "table": np.zeros(1),
        },
        {"verify": "ok", "show": "ok", "orbits": "ok", "diff": "ok", "save": "ok"},
    ),
    # ρ(g) would be 2.5·10⁹ numbers.
    "many copies of a matrix": (
        {
            "elements": 1,
            "matrices": np.ones((1, 1, 1)),
            "copies": 50_000,
            "table": np.ones((1, 1)),
        },
        {"verify": "ok", "show": "ok", "diff": "ok", "save": "ok"},
    ),
    # Columns of zeros: of no entries, and nevertheless as many as there are copies.
    "columns of nothing": (
        {
            "elements": 1,
            "matrices": np.ones((1, 1, 1)),
            "copies": 50_000,
            "table": np.zeros((1, 1)),
        },
        {"verify": "the columns are not orthonormal", "show": "ok"},
    ),
    # 1.6·10⁹ pairs of points of one type.
    "a large type": (
        {
            "elements": 1,
            "generators": True,
            "permutations": np.roll(np.arange(40_000), 1)[None],
            "copies": 1,
            "table": np.arange(40_000),
        },
        {"verify": "", "show": "would take about", "diff": "ok", "save": "ok"},
    ),
    # A group of 6·10⁹ elements.
    "a large group": (
        {
            "elements": 1,
            "generators": True,
            "matrices": turns(2, 3, 5, 7, 11, 13, 17, 19, 23, 29)[None],
            "copies": 1,
            "table": np.eye(20).reshape(-1, 1) / np.sqrt(20),
        },
        {"verify": "make more than 20,000 elements", "show": "ok"},
    ),
}


@pytest.mark.parametrize("name", LARGE)
@pytest.mark.slow
def test_a_small_file_of_something_large_takes_little_memory(within_limits, name):
    (made, expected), said = LARGE[name], within_limits[name]
    assert said.keys() - {"orbits"} == {
        "load",
        "inspect",
        "verify",
        "show",
        "diff",
        "save",
        "export",
    }
    assert said["load"] == said["inspect"] == "ok"
    for what, each in expected.items():
        assert each in said[what]
    if made["copies"] > 1:
        assert "would take about" in said["export"]


def test_a_stored_matrix_is_held_against_its_size_before_the_basis_is_made_a_matrix(tmp_path):
    """The matrix of the tables would take 223 GiB."""
    path = forged(tmp_path / "large.h5", **LARGE["many copies of a matrix"][0])
    other = saved(eb.solve(group="trivial", input="2", output="2"), tmp_path / "small.h5")
    with h5py.File(other) as source, h5py.File(path, "r+") as target:
        source.copy("basis", target)
        target["basis"].attrs["shape"] = np.array([50_000**2] * 2)
    assert "left out" in describe(path)["besides"][0]  # no column begins anywhere
    eb.load_basis(path)


def test_elements_that_all_act_alike_are_checked_in_little_memory(within_limits):
    assert within_limits["alike"]["verify"] == "ok"


# --- the file says one thing of itself and is another -------------------------------------------


def test_another_permutation_for_one_element_does_not_hold(tmp_path):
    path = saved(eb.solve(group="d4", input="3x3", output="3x3"), tmp_path / "basis.h5")

    def change(opened: h5py.File) -> None:
        index = opened["types/index"]
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


# --- what decides nothing -----------------------------------------------------------------------


UNREADABLE = {
    "the solver as h5py writes text": (
        lambda o: o["checks"].attrs.__setitem__("solver", "by hand"),
        "/checks@solver (left out: attribute 'solver' of /checks has type variable length",
    ),
    "the solver a number": (
        lambda o: o["checks"].attrs.__setitem__("solver", 3),
        "/checks@solver (left out: attribute 'solver' of /checks has type <i8",
    ),
    "the matrix compressed": (
        lambda o: replaced(o, "basis/data", o["basis/data"][()], compression="gzip"),
        "/basis (left out: /basis/data is not stored plainly",
    ),
    "part of the matrix": (
        lambda o: o.__delitem__("basis/indices"),
        "/basis (left out: /basis/indices is missing",
    ),
    "the matrix a dataset": (
        lambda o: replaced(o, "basis", np.arange(3)),
        "/basis (left out: /basis is not a group",
    ),
    "the matrix a link": (
        lambda o: (o.move("basis", "b"), o.__setitem__("basis", h5py.SoftLink("/b"))),
        "/basis (left out: /basis is missing, or a link to somewhere else",
    ),
    "another order": (
        lambda o: o["basis"].attrs.__setitem__("vec_order", fixed("column-major")),
        "/basis (left out: attribute 'vec_order' of /basis is 'column-major'",
    ),
}


@pytest.mark.parametrize(("change", "told"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_is_not_hashed_and_cannot_be_read_is_told_of_and_decides_nothing(file, change, told):
    before = eb.content_sha256(eb.load_basis(file))
    edit(file, change)
    assert eb.content_sha256(eb.load_basis(file)) == before
    assert eb.content_sha256(verify_file(file)[0]) == before
    assert any(each.startswith(told) for each in describe(file)["besides"])


@pytest.mark.parametrize(
    "removed", ["/basis", "/checks@solver", "/basis@vec_order"], ids=lambda name: name
)
def test_what_is_optional_may_be_missing(file, removed):
    holder, _, attribute = removed.partition("@")

    def remove(opened: h5py.File) -> None:
        if attribute:
            del opened[holder].attrs[attribute]
        else:
            del opened[holder]

    before = eb.content_sha256(eb.load_basis(file))
    edit(file, remove)
    assert eb.content_sha256(verify_file(file)[0]) == before
    assert describe(file)["besides"] == []


ADDED = [
    {"solver by hand": "by hand", "names": ["one", "two"], "flag": True, "complex": 1j},
    {"nothing": h5py.Empty("f8"), "pair": np.zeros(2, [("a", "i4"), ("b", "f8")])},
    {"numbers": np.zeros(1000), "part": None, "shared": None},
]


@pytest.mark.parametrize("libver", ["earliest", "v108", "latest"])
@pytest.mark.parametrize("where", ["/basis", "/group", "/types", "/input", "/tables/labels"])
def test_what_others_add_decides_nothing(file, where, libver):
    """As h5py writes it: text of variable length, large attributes, exotic types."""
    before, whole = eb.content_sha256(eb.load_basis(file)), file.read_bytes()
    for added in ADDED:
        file.write_bytes(whole)

        def change(opened: h5py.File, added: dict[str, object] = added) -> None:
            for name, value in added.items():
                if name == "part":
                    opened[where].attrs[name] = opened["basis"].ref
                elif name == "shared":
                    opened["a type"] = np.dtype("f8")
                    opened[where].attrs.create(name, 1.0, dtype=opened["a type"])
                else:
                    opened[where].attrs[name] = value

        edit(file, change, libver)
        assert eb.content_sha256(verify_file(file)[0]) == before
