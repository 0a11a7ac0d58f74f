"""Writing files: whole, read back, with mode and links as they were, the same bytes everywhere."""

from __future__ import annotations

import ast
import hashlib
import io
import os
import stat
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import equibasis as eb
from equibasis import files, hdf5
from equibasis.artifact.export import FORMATS, export_basis
from equibasis.artifact.plain_hdf5 import PlainFile
from equibasis.artifact.store import verify_file
from equibasis.files import check_writable, write_bytes, write_text
from equibasis.hdf5 import write_hdf5
from equibasis.show.figures import basis_figure, save_figure

PIPELINE = Path(eb.__file__).parents[1]

posix = pytest.mark.skipif(os.name != "posix", reason="modes and links of POSIX")


def basis() -> eb.Basis:
    return eb.solve(group="c4", input="3x3", output="2x2")


WRITERS: dict[str, Callable[[Path], object]] = {
    "basis.h5": lambda path: eb.save_basis(basis(), path),
    "digits.h5": lambda path: write_hdf5(path, {"/train": np.arange(12, dtype="u1")}),
    "notes.txt": lambda path: write_text(path, "text"),
    "weights.safetensors": lambda path: write_bytes(path, b"weights"),
    "figure.png": lambda path: save_figure(basis_figure(basis()), path),
    "figure.svg": lambda path: save_figure(basis_figure(basis()), path),
    **{f"export{ending}": lambda path: export_basis(basis(), path) for ending in sorted(FORMATS)},
}

every_writer = pytest.mark.parametrize("name", WRITERS)


# --- read back ----------------------------------------------------------------------------------


@every_writer
def test_what_does_not_read_back_is_a_write_error_and_what_was_there_stays(
    tmp_path, monkeypatch, name
):
    """A disk that loses one bit of what is written to it."""
    path = tmp_path / name
    path.write_text("before")
    flush = files._flush_to_disk

    def flush_badly(written: Path) -> None:
        content = bytearray(written.read_bytes())
        content[len(content) // 2] ^= 1
        written.write_bytes(content)
        flush(written)

    monkeypatch.setattr(files, "_flush_to_disk", flush_badly)
    with pytest.raises(eb.WriteError, match=r"what was written does not read back"):
        WRITERS[name](path)
    assert path.read_text() == "before"
    assert [each.name for each in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["basis.h5", "digits.h5"])
@pytest.mark.slow
def test_no_byte_of_hdf5_can_be_lost_without_being_missed(tmp_path, monkeypatch, name):
    """Though what is compared is what readers find, not the bytes."""
    path = tmp_path / name
    WRITERS[name](path)
    whole = path.read_bytes()
    places = [*range(64), *range(64, len(whole), 31)]
    left = iter(places)

    def lose_a_bit(written: Path) -> None:
        content = bytearray(whole)
        content[next(left)] ^= 1
        written.write_bytes(content)

    monkeypatch.setattr(files, "_flush_to_disk", lose_a_bit)
    for _ in places:
        with pytest.raises(eb.WriteError, match=r"what was written does not read back"):
            WRITERS[name](path)
    assert path.read_bytes() == whole


def test_each_byte_of_a_basis_is_read_back_once(c4_basis, tmp_path, monkeypatch):
    def compared(*_: object) -> None:
        raise AssertionError("compared byte by byte, then read")

    monkeypatch.setattr(files, "_check_same", compared)
    eb.save_basis(c4_basis, tmp_path / "b.h5")
    assert eb.load_basis(tmp_path / "b.h5").rank == 81


@pytest.mark.parametrize("name", ["basis.h5", "digits.h5"])
@pytest.mark.parametrize("place", [11, 44, -1])
def test_hdf5_that_the_library_has_spoilt_is_a_write_error(tmp_path, monkeypatch, name, place):
    """As HDF5 1.14 makes images of open files: a flag is cleared after its checksum was made."""
    made = hdf5._hdf5_image

    def spoilt(*arguments: object) -> bytes:
        content = bytearray(made(*arguments))
        content[place] ^= 4
        return bytes(content)

    monkeypatch.setattr(hdf5, "_hdf5_image", spoilt)
    with pytest.raises(eb.WriteError, match="does not read back"):
        WRITERS[name](tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_cut_off_or_grows_does_not_read_back(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    for meant in (b"ab", b"abcd", b"", b"abd"):
        with pytest.raises(OSError, match="other bytes came back"):
            files._check_same(tmp_path / "a", meant)
    files._check_same(tmp_path / "a", b"abc")


def test_a_check_that_fails_is_a_write_error_that_says_why(tmp_path):
    def check(temporary: Path) -> None:
        assert temporary.read_bytes() == b"content"
        raise eb.BasisFileError("it is of another kind")

    with pytest.raises(eb.WriteError, match=r"cannot write .*: it is of another kind"):
        write_bytes(tmp_path / "a", b"content", check)
    assert list(tmp_path.iterdir()) == []


def test_nothing_but_files_py_writes_files():
    """Every writer goes through the one function that reads back what it wrote."""
    writers = {"write_text", "write_bytes", "savefig", "save_file", "save_npz", "mmwrite", "savez"}
    for source in PIPELINE.rglob("*.py"):
        if source.relative_to(PIPELINE).as_posix() == "equibasis/files.py":
            continue
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            if isinstance(node.func, ast.Attribute) and node.func.attr in writers:
                to_memory = ast.unparse(node.args[0]) in {"picture", "file"} if node.args else False
                assert to_memory, f"{source}:{node.lineno}"
            named = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            named = node.func.id if isinstance(node.func, ast.Name) else named
            assert named != "writing", f"{source}:{node.lineno}"
            modes = {each.value for each in node.args if isinstance(each, ast.Constant)}
            if named == "open" and ast.unparse(node.func) != "archive.open":  # in memory
                assert not modes & {"w", "wb", "a", "ab", "x", "xb", "r+"}, source


# --- modes and links ----------------------------------------------------------------------------


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@posix
@every_writer
@pytest.mark.parametrize("before", [0o664, 0o600, 0o640, 0o755, 0o444])
def test_a_replaced_file_keeps_its_mode(tmp_path, name, before):
    path = tmp_path / name
    path.touch()
    path.chmod(before)
    WRITERS[name](path)
    assert path.stat().st_size > 0
    assert mode(path) == before


@posix
@pytest.mark.parametrize(("umask", "expected"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_a_new_file_has_the_mode_that_the_umask_leaves(tmp_path, umask, expected):
    usual = os.umask(umask)
    try:
        for name, write in WRITERS.items():
            write(tmp_path / name)
            assert mode(tmp_path / name) == expected
    finally:
        os.umask(usual)


@posix
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="root gives groups")
def test_a_replaced_file_keeps_its_group(tmp_path):
    path = tmp_path / "a"
    path.touch()
    os.chown(path, -1, 12345)
    write_text(path, "new")
    assert path.stat().st_gid == 12345


@posix
@every_writer
def test_a_link_stays_and_the_file_it_leads_to_is_replaced(tmp_path, name):
    (tmp_path / "far").mkdir()
    real, between, link = tmp_path / "far" / name, tmp_path / "between", tmp_path / name
    real.write_text("before")
    real.chmod(0o664)
    between.symlink_to(Path("far") / name)
    link.symlink_to(between)
    WRITERS[name](link)
    assert link.is_symlink()
    assert between.is_symlink()
    assert real.read_bytes() != b"before"
    assert mode(real) == 0o664
    assert not list(tmp_path.rglob("*.tmp"))


@posix
def test_a_link_to_nothing_yet_makes_the_file(tmp_path):
    (tmp_path / "link").symlink_to("new")
    write_text(tmp_path / "link", "text")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "new").read_text() == "text"


@posix
@every_writer
def test_a_link_to_a_protected_file_is_replaced_and_the_file_stays(tmp_path, name):
    """As DVC links files of its cache, which nobody may change."""
    cached, link = tmp_path / "cached", tmp_path / name
    cached.write_text("in the cache")
    cached.chmod(0o444)
    link.symlink_to(cached)
    WRITERS[name](link)
    assert cached.read_text() == "in the cache"
    assert mode(cached) == 0o444
    assert not link.is_symlink()
    assert link.stat().st_size > 0
    assert mode(link) & 0o200


@posix
@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("link", "Too many levels of symbolic links"),
        ("none/file", "No such file or directory; name a file in a folder that exists"),
        (".", "it is a folder"),
        (os.devnull, "it is a device or a pipe"),
    ],
)
def test_a_link_that_leads_to_no_file_is_refused(tmp_path, target, reason):
    (tmp_path / "link").symlink_to(target)
    for attempt in (check_writable, lambda path: write_text(path, "text")):
        with pytest.raises(eb.WriteError, match=reason):
            attempt(tmp_path / "link")
    assert [each.name for each in tmp_path.iterdir()] == ["link"]


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("none/file", "name a file in a folder that exists"),
        ("file/file", "name a file in a folder that exists"),
        ("x" * 300, "choose a shorter name"),
        (".", "it is a folder; name a file, not a folder"),
    ],
)
def test_the_remedy_is_that_of_the_reason(tmp_path, name, remedy):
    (tmp_path / "file").touch()
    with pytest.raises(eb.WriteError, match=remedy):
        write_text(tmp_path / name, "text")


# --- HDF5 ---------------------------------------------------------------------------------------


def text(value: str) -> np.ndarray:
    content = value.encode()
    return np.array(content, dtype=h5py.string_dtype("utf-8", max(1, len(content))))


numbers = st.sampled_from(["i1", "<i4", "<i8", ">i4", "<f8", ">f8"]).flatmap(
    lambda kind: arrays.arrays(kind, arrays.array_shapes(min_dims=0, max_dims=3, min_side=0))
)
names = st.text("abcxyz", min_size=1, max_size=4)
trees = st.dictionaries(
    st.lists(names, min_size=1, max_size=3).map(lambda parts: "/" + "/".join(parts)),
    numbers,
    max_size=6,
).filter(lambda tree: not any(a != b and b.startswith(f"{a}/") for a in tree for b in tree))


@given(trees, st.dictionaries(names, st.one_of(numbers, names.map(text)), max_size=8))
def test_any_arrays_and_attributes_are_written_as_the_same_bytes_and_read_by_both_readers(
    tmp_path_factory, datasets, attributes
):
    path = tmp_path_factory.getbasetemp() / "any.h5"
    found = []
    for track_order in (False, True):
        h5py.get_config().track_order = track_order
        try:
            write_hdf5(path, datasets | {f"/@{name}": each for name, each in attributes.items()})
        finally:
            h5py.get_config().track_order = False
        found.append(path.read_bytes())
    assert found[0] == found[1]
    with h5py.File(path) as theirs, PlainFile(path) as ours:
        assert set(theirs.attrs) == attributes.keys()
        for name, array in datasets.items():
            np.testing.assert_array_equal(theirs[name][()], array)
            np.testing.assert_array_equal(ours.read(name), array)


def test_neither_time_nor_order_of_creation_is_in_a_file(tmp_path):
    eb.save_basis(basis(), tmp_path / "basis.h5")
    with h5py.File(tmp_path / "basis.h5") as opened:
        found = [opened["/"]]
        opened.visititems(lambda _, thing: found.append(thing))
        for thing in found:
            creation = thing.id.get_create_plist()
            assert not creation.get_obj_track_times()
            assert not creation.get_attr_creation_order()


@pytest.mark.parametrize(
    "setting",
    [
        "h5py.get_config().track_order = True",
        "h5py.get_config().bool_names = (b'no', b'yes')",
        "h5py.get_config().complex_names = ('re', 'im')",
        "h5py.get_config().default_file_mode = 'a'",
        "os.environ['HDF5_USE_FILE_LOCKING'] = 'FALSE'",
        "time.time = lambda: 1e9",
    ],
)
@pytest.mark.slow
def test_the_bytes_of_every_hdf5_file_do_not_depend_on_how_h5py_is_set(tmp_path, python, setting):
    code = (
        "import contextlib, os, sys, time\nimport h5py, numpy as np\nimport equibasis as eb\n"
        "from equibasis.hdf5 import write_hdf5\n"
        f"with contextlib.suppress(Exception): {setting}\n"
        "eb.save_basis(eb.solve(group='c4', input='3x3', output='2x2'), 'basis.h5')\n"
        "write_hdf5('digits.h5', {'/train': np.arange(12, dtype='u1')})\n"
    )
    outcome = python("-c", code)
    assert (outcome.status, outcome.err) == (0, "")
    for name in ("basis.h5", "digits.h5"):
        WRITERS[name](tmp_path / f"here {name}")
        assert (tmp_path / name).read_bytes() == (tmp_path / f"here {name}").read_bytes()


def test_the_bytes_are_those_of_every_version_of_h5py(tmp_path):
    """The hash was the same with h5py 3.10 (HDF5 1.14.2) to 3.16 (HDF5 2.0)."""
    path = tmp_path / "some.h5"
    entries = {
        "/group/numbers": np.arange(12, dtype="<i4").reshape(3, 4),
        "/group/names": np.array([b"a", b"bc"], dtype=h5py.string_dtype("utf-8", 2)),
        "/data": np.arange(5.0),
        "/none": np.zeros((0, 3)),
        "/@format": text("some"),
        "/@version": np.int64(2),
        "/group@x": np.ones(2),
    }
    write_hdf5(path, entries)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == SAME_EVERYWHERE


SAME_EVERYWHERE = "c755b5f9b5ef970e5f7476109fce1f4b72b7ba62444351989abec05df3dad965"


@pytest.mark.parametrize(
    "value", [np.array([1j]), np.array([True]), np.array(["text"]), np.array([None])]
)
def test_what_h5py_stores_in_several_ways_is_not_written(tmp_path, value):
    with pytest.raises(TypeError, match="is not stored"):
        write_hdf5(tmp_path / "some.h5", {"/data": value})
    assert list(tmp_path.iterdir()) == []


def test_a_basis_file_is_read_by_hdf5_from_its_bytes_alone(tmp_path):
    eb.save_basis(basis(), tmp_path / "basis.h5")
    with h5py.File(io.BytesIO((tmp_path / "basis.h5").read_bytes())) as opened:
        assert opened.attrs["rank"] == 9
    verify_file(tmp_path / "basis.h5")


def test_a_file_is_whole_though_somebody_holds_on_to_what_was_open_in_it(tmp_path, monkeypatch):
    """As a profiler in another thread does, to the frames in which files are written."""
    held, usual = [], h5py.h5d.create
    monkeypatch.setattr(h5py.h5d, "create", lambda *given: held.append(usual(*given)) or held[-1])
    write_hdf5(tmp_path / "a.h5", {"/a": np.arange(3)})
    assert held
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["a"][:].tolist() == [0, 1, 2]
