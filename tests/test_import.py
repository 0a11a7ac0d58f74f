"""Basis files that other programs have rewritten: the same content, the same hash and bytes."""

from __future__ import annotations

import os
import shutil
import signal
import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

import by_hand
import equibasis as eb
import forks
from basis_files import edit, file_of, fixed, rehash, replaced
from equibasis.artifact import foreign_hdf5, normalise, store
from equibasis.artifact.normalise import import_basis

THE_COMMAND = "'equibasis import FILE OUT'"


def tool(name: str) -> pytest.MarkDecorator:
    missing = shutil.which(name) is None
    return pytest.mark.skipif(missing, reason=f"no {name} here: apt-get install hdf5-tools")


KINDS = ["slanted", "rank 0", "sums"]


@pytest.fixture(params=KINDS)
def file(request, tmp_path) -> Path:
    return file_of(request.param, tmp_path / "basis.h5")


@pytest.fixture
def started() -> None:
    """Each import starts a Python, as it does for users."""


@pytest.fixture(autouse=True)
def imports_in_forks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless a test wants that, each import is a fork of a process that has loaded HDF5."""
    if os.name != "posix" or "started" in request.fixturenames:
        return

    def run(command, *, timeout, cwd, **_):
        assert command[0] == sys.executable
        done = forks.run(["python", *command[1:]], cwd, os.environ, timeout)
        said = (done.stdout.encode(), done.stderr.encode())
        return subprocess.CompletedProcess(command, done.returncode, *said)

    with_forks = SimpleNamespace(
        run=run, DEVNULL=subprocess.DEVNULL, TimeoutExpired=subprocess.TimeoutExpired
    )
    monkeypatch.setattr(normalise, "subprocess", with_forks)


def files_and(name: str, *pairs: tuple[str, object]) -> pytest.MarkDecorator:
    """Some kinds of files, each with a value: every import is a process of its own."""
    return pytest.mark.parametrize(("file", name), pairs, indirect=["file"])


def assert_same_content(rewritten: Path, original: Path) -> None:
    """The same hash directly, or a message that names the command; the same bytes by it."""
    expected = eb.content_sha256(eb.load_basis(original))
    try:
        assert eb.content_sha256(eb.load_basis(rewritten)) == expected
    except eb.BasisFileError as error:
        assert THE_COMMAND in str(error)  # noqa: PT017
        assert "anew" not in str(error)  # noqa: PT017
    out = rewritten.with_name("imported.h5")
    assert eb.content_sha256(import_basis(rewritten, out)) == expected
    assert out.read_bytes() == original.read_bytes()


# --- what other programs make -------------------------------------------------------------------


REPACKED = [
    "",
    "--latest",
    "-f SHUF -f GZIP=1",
    "-f NBIT",
    "-l COMPA",
    "-l CHUNK=2",
    "--latest -c 0 -d 0",
    "--latest -S PAGE -P 1",
]


@tool("h5repack")
@pytest.mark.parametrize("options", REPACKED, ids=lambda options: options or "none")
def test_what_h5repack_has_rewritten_holds_the_same_basis(tmp_path, options):
    path = file_of("generators and signs", tmp_path / "basis.h5")
    done = subprocess.run(
        ["h5repack", *options.split(), path, tmp_path / "packed.h5"],
        capture_output=True,
        timeout=60,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"this h5repack does not know {options}")
    assert_same_content(tmp_path / "packed.h5", path)


@tool("h5repack")
def test_every_basis_survives_h5repack(file, tmp_path):
    packed = tmp_path / "packed.h5"
    # Where there is nothing to compress, it fails to.
    how = ["-l", "CHUNK=4"] if eb.load_basis(file).rank == 0 else ["-f", "GZIP=5"]
    subprocess.run(["h5repack", *how, file, packed], check=True, timeout=60)
    assert_same_content(packed, file)


@tool("h5copy")
def test_every_basis_survives_h5copy(file, tmp_path):
    copied = tmp_path / "copied.h5"
    for part in ("basis", "group", "types", "input", "output", "tables", "checks"):
        command = ["h5copy", "-i", file, "-o", copied, "-s", part, "-d", part]
        subprocess.run(command, check=True, timeout=60)
    with h5py.File(file) as source, h5py.File(copied, "r+") as target:
        for name, value in source.attrs.items():
            target.attrs[name] = value
    assert_same_content(copied, file)


@pytest.mark.parametrize(
    ("libver", "options"),
    [("earliest", {"userblock_size": 1024}), ("v110", {}), ("latest", {"track_order": True})],
)
def test_what_h5py_has_copied_holds_the_same_basis(tmp_path, libver, options):
    path = file_of("signs", tmp_path / "basis.h5")
    versions = (libver, "latest")
    with (
        h5py.File(path) as source,
        h5py.File(tmp_path / "copy.h5", "w", libver=versions, **options) as target,
    ):
        for name in source:
            source.copy(name, target)
        for name, value in source.attrs.items():
            target.attrs[name] = value
    assert_same_content(tmp_path / "copy.h5", path)


def rewritten_by_h5py(source: Path, target: Path, convert: Callable[..., object]) -> Path:
    """Every dataset and attribute read and written again, as a user's script would."""
    with h5py.File(source) as old, h5py.File(target, "w") as new:
        new.attrs.update({key: convert(value) for key, value in old.attrs.items()})

        def copy(name: str, thing: h5py.Group | h5py.Dataset) -> None:
            if isinstance(thing, h5py.Dataset):
                made = new.create_dataset(name, data=convert(thing[()]))
            else:
                made = new.require_group(name)
            made.attrs.update({key: convert(value) for key, value in thing.attrs.items()})

        old.visititems(copy)
    return target


def decoded(value: object) -> object:
    array = np.asarray(value)
    if array.dtype.kind != "S":
        return value
    texts = [each.decode() for each in array.ravel().tolist()]
    return texts if array.ndim else texts[0]


def as_type(kind: str) -> Callable[[object], object]:
    def convert(value: object) -> object:
        array = np.asarray(value)
        return array.astype(kind) if array.dtype.kind == np.dtype(kind).kind else value

    return convert


CONVERSIONS = {
    "nothing": lambda value: value,
    "strings of variable length": decoded,
    "int64": as_type("<i8"),
    "big-endian integers": as_type(">i4"),
    "big-endian floats": as_type(">f8"),
    "long doubles": as_type("g"),
}


@files_and(
    "conversion",
    ("rank 0", "nothing"),
    ("sums", "strings of variable length"),
    ("sums", "int64"),
    ("permutations", "big-endian integers"),
    ("slanted", "big-endian floats"),
    ("slanted", "long doubles"),
)
def test_what_a_script_has_written_again_holds_the_same_basis(file, tmp_path, conversion):
    again = rewritten_by_h5py(file, tmp_path / "again.h5", CONVERSIONS[conversion])
    assert_same_content(again, file)


@pytest.mark.parametrize("change", ["index", "elements"])
def test_an_entry_in_another_type_among_plain_ones_holds_the_same_basis(tmp_path, change):
    """Only what is in the file's own layout is read directly; the rest is named for import."""
    path = file_of("permutations", tmp_path / "basis.h5")
    other = shutil.copy(path, tmp_path / "other.h5")

    def as_int64(opened: h5py.File) -> None:
        replaced(opened, "types/index", opened["types/index"][()].astype("i8"))

    def as_text(opened: h5py.File) -> None:
        names = [name.decode() for name in opened["group/elements"][()]]
        replaced(opened, "group/elements", names, dtype=h5py.string_dtype())

    edit(other, as_int64 if change == "index" else as_text)
    with pytest.raises(eb.BasisFileError, match="equibasis import FILE OUT"):
        eb.load_basis(other)
    assert_same_content(Path(other), path)


def test_strings_padded_with_blanks_are_the_same(tmp_path):
    path = file_of("permutations", tmp_path / "basis.h5")
    other = Path(shutil.copy(path, tmp_path / "other.h5"))

    def change(opened: h5py.File) -> None:
        type_ = h5py.h5t.C_S1.copy()
        type_.set_size(12)
        type_.set_strpad(h5py.h5t.STR_SPACEPAD)
        h5py.h5a.delete(opened.id, b"group")
        space = h5py.h5s.create(h5py.h5s.SCALAR)
        h5py.h5a.create(opened.id, b"group", type_, space).write(np.array(b"c4".ljust(12)))

    edit(other, change)
    with pytest.raises(eb.BasisFileError):
        eb.load_basis(other)
    out = tmp_path / "out.h5"
    import_basis(other, out)
    assert out.read_bytes() == path.read_bytes()


@files_and("dense", ("rank 0", False), ("slanted", False), ("sums", True))
def test_a_file_whose_matrix_anndata_has_written_anew_is_read_as_it_is(file, tmp_path, dense):
    anndata_io = pytest.importorskip("anndata.io")
    other = Path(shutil.copy(file, tmp_path / "other.h5"))
    with warnings.catch_warnings(), h5py.File(other, "r+") as opened:
        warnings.simplefilter("ignore")
        matrix = anndata_io.read_elem(opened["basis"])
        anndata_io.write_elem(opened, "basis", matrix.toarray() if dense else matrix)
    expected = eb.content_sha256(eb.load_basis(file))
    assert eb.content_sha256(eb.load_basis(other)) == expected
    assert eb.content_sha256(store.verify_file(other)[0]) == expected
    assert_same_content(other, file)


@files_and(
    "change",
    ("permutations", "without"),
    ("rank 0", "without"),
    ("slanted", "changed"),
    ("permutations", "compressed"),
    ("sums", "a link"),
)
def test_the_matrix_is_made_anew_by_an_import(file, tmp_path, change):
    other = Path(shutil.copy(file, tmp_path / "other.h5"))

    def edited(opened: h5py.File) -> None:
        data = opened["basis/data"][()]
        if change == "a link":
            opened.move("basis", "elsewhere")
            opened["basis"] = h5py.SoftLink("/elsewhere")
        elif change == "without":
            del opened["basis"]
        else:
            chunks = {"chunks": (1,), "maxshape": (None,), "compression": "gzip"}
            replaced(opened, "basis/data", data + 1, **chunks if change == "compressed" else {})

    edit(other, edited)
    assert_same_content(other, file)


@pytest.mark.parametrize(
    ("holder", "name", "stored"),
    [
        ("/", "rank", lambda number: np.array([number])),
        ("/", "format_version", np.float32),
        ("/checks", "rank_expected", np.float64),
    ],
)
def test_a_number_stored_as_another_type_or_shape_is_named_for_import(
    c4_file, tmp_path, holder, name, stored
):
    """As programs do that know of floats alone, or of lists."""
    other = Path(shutil.copy(c4_file, tmp_path / "other.h5"))

    def change(opened: h5py.File) -> None:
        attributes = opened[holder].attrs
        attributes[name] = stored(attributes[name])

    edit(other, change)
    _check_named_for_import(other, c4_file)


def _check_named_for_import(other: Path, original: Path) -> None:
    with pytest.raises(eb.BasisFileError, match="equibasis import FILE OUT"):
        eb.load_basis(other)
    assert_same_content(other, original)


@pytest.mark.parametrize(("holder", "shape"), [("/input", (1, 2)), ("/output", (2, 1))])
def test_a_list_stored_as_a_row_or_a_column_is_named_for_import(c4_file, tmp_path, holder, shape):
    other = Path(shutil.copy(c4_file, tmp_path / "other.h5"))

    def change(opened: h5py.File) -> None:
        attributes = opened[holder].attrs
        attributes["shape"] = attributes["shape"].reshape(shape)

    edit(other, change)
    _check_named_for_import(other, c4_file)


@pytest.mark.parametrize("name", ["format", "content_sha256"])
def test_text_stored_as_a_list_of_one_is_named_for_import(c4_file, tmp_path, name):
    other = Path(shutil.copy(c4_file, tmp_path / "other.h5"))
    edit(other, lambda opened: opened.attrs.create(name, np.array([opened.attrs[name]])))
    _check_named_for_import(other, c4_file)


@pytest.mark.parametrize("value", [-81.0, np.nan, "81"])
def test_a_rank_that_is_another_is_not_made_right(c4_file, tmp_path, value):
    edit(c4_file, lambda opened: opened.attrs.__setitem__("rank", value))
    with pytest.raises(eb.BasisFileError, match="'rank'"):
        eb.load_basis(c4_file)
    with pytest.raises(eb.BasisFileError, match="'rank'"):
        import_basis(c4_file, tmp_path / "out.h5")
    assert not (tmp_path / "out.h5").exists()


@files_and("compressed", ("rank 0", True), ("permutations", True), ("slanted", False))
def test_what_pytables_has_copied_holds_the_same_basis(file, tmp_path, compressed):
    tables = pytest.importorskip("tables")
    filters = tables.Filters(complevel=5, complib="zlib") if compressed else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tables.copy_file(str(file), str(tmp_path / "copy.h5"), filters=filters)
    assert_same_content(tmp_path / "copy.h5", file)


# --- edited in place ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("holder", "name", "value"),
    [
        ("/", "format", "equibasis"),
        ("/", "rank", np.uint8(81)),
        ("/", "content_sha256", None),
        ("/group", "order", np.int16(4)),
        ("/input", "shape", np.array([6, 6], ">i8")),
    ],
)
def test_the_same_value_as_h5py_writes_it_is_told_truly_and_imported(
    c4_file, tmp_path, holder, name, value
):
    other = Path(shutil.copy(c4_file, tmp_path / "other.h5"))

    def change(opened: h5py.File) -> None:
        attributes = opened[holder].attrs
        attributes[name] = attributes[name].decode() if value is None else value

    edit(other, change)
    with pytest.raises(eb.BasisFileError) as refused:
        eb.load_basis(other)
    assert f"attribute '{name}' of {holder} has type" in str(refused.value)
    assert THE_COMMAND in str(refused.value)
    assert_same_content(other, c4_file)


def test_a_solver_noted_by_hand_stays_through_an_import(c4_file, tmp_path):
    edit(c4_file, lambda opened: opened["checks"].attrs.__setitem__("solver", "by hand"))
    assert eb.load_basis(c4_file).solver == "unknown"
    assert import_basis(c4_file, tmp_path / "out.h5").solver == "by hand"
    assert eb.load_basis(tmp_path / "out.h5").solver == "by hand"


# --- what has changed, or never was one ---------------------------------------------------------


def without(name: str) -> Callable[[h5py.File], None]:
    return lambda opened: opened.__delitem__(name)


def external(opened: h5py.File) -> None:
    del opened["tables/labels"]
    opened["tables/labels"] = h5py.ExternalLink("elsewhere.h5", "tables/labels")


def soft(opened: h5py.File) -> None:
    opened.move("tables/labels", "elsewhere")
    opened["tables/labels"] = h5py.SoftLink("/elsewhere")


def virtual(opened: h5py.File) -> None:
    del opened["tables/labels"]
    layout = h5py.VirtualLayout((8,), "i4")
    layout[:] = h5py.VirtualSource("elsewhere.h5", "tables/labels", (8,))
    opened.create_virtual_dataset("tables/labels", layout)


def raw(opened: h5py.File) -> None:
    labels = np.zeros(8, "i4")
    replaced(opened, "tables/labels", labels, external=[("raw.bin", 0, 4 * 8)])


def another_orbit(opened: h5py.File) -> None:
    opened["tables/labels"][3] = 0


def exchanged(opened: h5py.File) -> None:
    opened["input/index"][:2] = opened["input/index"][1::-1]


CHANGES = {
    "a label": (another_orbit, "content_sha256 does not match: the file was changed or damaged"),
    "a label, compressed": (
        lambda o: replaced(o, "tables/labels", np.zeros(8, "i4"), compression="gzip"),
        "content_sha256 does not match",
    ),
    "floats": (
        lambda o: replaced(o, "tables/labels", np.full(8, 0.5)),
        "/tables/labels holds numbers that <i4 cannot hold",
    ),
    "numbers too large": (
        lambda o: replaced(o, "tables/labels", np.full(8, 2**40)),
        "/tables/labels holds numbers that <i4 cannot hold",
    ),
    "a part": (without("input/index"), "/input/index is missing"),
    "no hash": (lambda o: o.attrs.__delitem__("content_sha256"), "'content_sha256' of / is miss"),
    "a number for text": (lambda o: o.attrs.__setitem__("group", 4), "has type"),
    "a fraction for a number": (
        lambda o: o.attrs.__setitem__("rank", 80.5),
        "holds numbers that <i8 cannot hold",
    ),
    "nothing for a number": (lambda o: o.attrs.__setitem__("rank", h5py.Empty("i8")), "is empty"),
    "a link to another file": (external, "/tables/labels is a link to somewhere else"),
    "a soft link": (soft, "/tables/labels is a link to somewhere else"),
    "a virtual dataset": (virtual, "/tables/labels is in other files"),
    "a raw file": (raw, "/tables/labels is in other files"),
    "a later version": (
        lambda o: o.attrs.__setitem__("format_version", 99),
        "is 99, expected 3",
    ),
    "something else": (lambda o: o.attrs.__setitem__("format", "other"), "is 'other', expected"),
}


@pytest.mark.parametrize(("change", "said"), CHANGES.values(), ids=CHANGES)
def test_changed_content_is_refused_in_one_line_and_nothing_is_written(
    c4_file, tmp_path, monkeypatch, change, said
):
    monkeypatch.chdir(tmp_path)
    shutil.copy(c4_file, tmp_path / "elsewhere.h5")
    edit(c4_file, change)
    with pytest.raises(eb.BasisFileError) as refused:
        import_basis(c4_file, tmp_path / "out.h5")
    assert said in str(refused.value)
    assert str(refused.value).startswith(f"{c4_file}: ")
    assert len(str(refused.value).splitlines()) == 1
    assert "import" not in str(refused.value).removeprefix(str(c4_file))
    assert not (tmp_path / "out.h5").exists()


def test_a_basis_that_does_not_hold_is_not_imported_however_well_hashed(tmp_path):
    path = file_of("slanted", tmp_path / "slanted.h5")
    edit(path, lambda opened: (opened["tables/values"].__setitem__(0, 0.25), rehash(opened)))
    eb.load_basis(path)
    with pytest.raises(eb.BasisFileError, match=r": the columns are not orthonormal"):
        import_basis(path, tmp_path / "out.h5")
    assert not (tmp_path / "out.h5").exists()


def test_generators_of_no_finite_group_are_refused_before_their_elements_are_sought(tmp_path):
    path = file_of("generators of matrices", tmp_path / "basis.h5")

    def change(opened: h5py.File) -> None:
        opened["types/matrices"][0] *= 1.5
        rehash(opened)

    edit(path, change)
    with pytest.raises(eb.BasisFileError):
        import_basis(path, tmp_path / "out.h5")


@pytest.mark.parametrize("content", [b"no HDF5 at all", b"\x89HDF\r\n\x1a\n"])
def test_what_is_no_hdf5_is_refused(tmp_path, content):
    (tmp_path / "other.h5").write_bytes(content)
    with pytest.raises(eb.BasisFileError, match="HDF5 cannot read it"):
        import_basis(tmp_path / "other.h5", tmp_path / "out.h5")
    with pytest.raises(eb.BasisFileError, match="does not exist"):
        import_basis(tmp_path / "none.h5", tmp_path / "out.h5")
    with pytest.raises(eb.BasisFileError, match="not a regular file"):
        import_basis(tmp_path, tmp_path / "out.h5")


# --- earlier versions ---------------------------------------------------------------------------


def earlier(path: Path, version: int, libver: str = "v108", group: str = "c4") -> Path:
    """What files of versions 1 and 2 say of themselves."""
    with h5py.File(path, "w", libver=(libver, "latest")) as opened:
        said = {"format": "equibasis", "group": group, "input_space": "6x6", "output_space": "3x3"}
        for name, text in said.items():
            opened.attrs[name] = fixed(text)
        opened.attrs["format_version"] = np.int64(version)
    return path


@pytest.mark.parametrize(("version", "libver"), [(1, "earliest"), (2, "v108")])
def test_a_file_of_an_earlier_version_is_refused_with_what_to_do(tmp_path, libver, version):
    path = earlier(tmp_path / "old.h5", version, libver)
    directly = libver == "v108"
    with pytest.raises(eb.BasisFileError) as refused:
        eb.load_basis(path) if directly else import_basis(path, tmp_path / "out.h5")
    assert str(refused.value) == (
        f"{path}: attribute 'format_version' of / is {version}, expected 3: "
        "make the file anew with 'equibasis solve', or use the equibasis of its time"
    )


# --- a process of its own -----------------------------------------------------------------------


def in_the_process(monkeypatch, fault: str) -> None:
    """The process meets a fault where it would have read the file."""
    monkeypatch.setattr(normalise, "_PROGRAM", f"import os, sys, time, signal; {fault}")


@pytest.mark.usefixtures("started")
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("name", ["SIGSEGV", "SIGKILL"])
def test_the_death_of_the_process_is_one_line(c4_file, tmp_path, monkeypatch, name):
    number = getattr(signal, name)
    in_the_process(monkeypatch, f"os.kill(os.getpid(), signal.{name})")
    with pytest.raises(eb.BasisFileError) as refused:
        import_basis(c4_file, tmp_path / "out.h5")
    assert str(refused.value) == (
        f"{c4_file}: the process that reads it with HDF5 ended with status {-int(number)}: "
        "the file is damaged, or memory is short"
    )


@pytest.mark.usefixtures("started")
def test_the_failure_of_the_process_is_one_line_that_tells_of_it(c4_file, tmp_path, monkeypatch):
    in_the_process(monkeypatch, "import none_of_that_name")
    with pytest.raises(
        eb.BasisFileError, match="ended with status 1: ModuleNotFoundError: No module"
    ):
        import_basis(c4_file, tmp_path / "out.h5")


@pytest.mark.usefixtures("started")
def test_a_process_that_hangs_is_ended(c4_file, tmp_path, monkeypatch):
    monkeypatch.setattr(normalise, "_SECONDS", 0.5)
    in_the_process(monkeypatch, "time.sleep(1000)")
    with pytest.raises(eb.BasisFileError, match="HDF5 did not read it within"):
        import_basis(c4_file, tmp_path / "out.h5")
    assert sorted(each.name for each in tmp_path.iterdir()) == [c4_file.name]


def test_the_folder_of_the_caller_is_not_where_modules_come_from(c4_file, tmp_path, python):
    for name in ("h5py", "numpy", "json", "psutil", "equibasis"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('taken from the folder')")
    code = (
        "import sys; sys.path[:] = [p for p in sys.path if p]\n"
        "from equibasis.artifact.normalise import import_basis\n"
        f"print(import_basis({str(c4_file)!r}, 'out.h5').rank)"
    )
    outcome = python("-c", code)
    assert (outcome.status, outcome.out, outcome.err) == (0, "81\n", "")


def declaring(path: Path, shape: tuple[int, ...], **options: object) -> Path:
    def change(opened: h5py.File) -> None:
        del opened["tables/labels"]
        opened.create_dataset("tables/labels", shape, "i4", **options)

    return edit(path, change)


@pytest.mark.usefixtures("started")
def test_sizes_that_the_file_cannot_hold_are_refused_before_anything_is_allocated(
    c4_file, tmp_path
):
    declaring(c4_file, (10**12,), chunks=(10**6,), fillvalue=1)
    with pytest.raises(eb.BasisFileError, match=r"it declares 4,000,\d+,\d+,\d+ bytes, which no"):
        import_basis(c4_file, tmp_path / "out.h5")


def test_sizes_beyond_the_memory_that_is_free_are_refused(c4_file, tmp_path, monkeypatch):
    program = normalise._PROGRAM.replace(
        "copy_entries(*", "import psutil, types; psutil.virtual_memory = lambda: "
        "types.SimpleNamespace(available=1000); copy_entries(*"
    )  # fmt: skip
    monkeypatch.setattr(normalise, "_PROGRAM", program)
    with pytest.raises(eb.BasisFileError, match="bytes of memory to read, and 1,000 are free"):
        import_basis(c4_file, tmp_path / "out.h5")


@pytest.mark.usefixtures("started")
@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
def test_a_chunk_larger_than_memory_is_one_line(c4_file, tmp_path):
    """Declared in a small file, and stored as a few compressed bytes."""
    size = 3 * 2**28
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    mebibyte = deflate.compress(bytes(2**20)) + deflate.flush(zlib.Z_FULL_FLUSH)
    checksum = struct.pack(">I", size % 65521 << 16 | 1)
    zeros = b"\x78\x9c" + mebibyte * (size // 2**20) + b"\x03\x00" + checksum

    def change(opened: h5py.File) -> None:
        del opened["tables/labels"]
        options = {"chunks": (size // 4,), "maxshape": (None,), "compression": "gzip"}
        data = opened.create_dataset("tables/labels", (8,), "i4", **options)
        data.id.write_direct_chunk((0,), zeros)

    edit(c4_file, change)
    assert c4_file.stat().st_size < 2**21
    with pytest.raises(eb.BasisFileError) as refused:
        import_basis(c4_file, tmp_path / "out.h5")
    assert len(str(refused.value).splitlines()) == 1


def test_strings_of_one_long_one_among_many_are_refused(c4_file, tmp_path):
    def change(opened: h5py.File) -> None:
        del opened["group/elements"]
        names = ["a"] * 5000 + ["b" * 1_000_000]
        opened.create_dataset("group/elements", data=names, dtype=h5py.string_dtype())

    edit(c4_file, change)
    with pytest.raises(eb.BasisFileError, match="/group/elements takes 5,001,000,000 bytes"):
        import_basis(c4_file, tmp_path / "out.h5")


# --- the command --------------------------------------------------------------------------------


def test_the_command_imports_a_file_onto_itself(command, c4_file, tmp_path):
    before = c4_file.read_bytes()
    rewritten_by_h5py(c4_file, tmp_path / "again.h5", decoded)
    shutil.copy(tmp_path / "again.h5", c4_file)
    for refused in (command("inspect", c4_file), command("show", c4_file)):
        assert refused.status == 2
        assert THE_COMMAND in refused.err
    assert THE_COMMAND in command("verify", c4_file).err
    done = command("import", c4_file, c4_file)
    content = eb.content_sha256(eb.load_basis(c4_file))[:16]
    assert (done.status, done.err) == (0, "")
    assert done.out == f"{c4_file}: c4: 6x6 -> 3x3, rank 81, content {content}\n"
    assert c4_file.read_bytes() == before


def test_a_folder_that_is_not_there_is_one_line_before_anything_is_read(command, c4_file, tmp_path):
    refused = command("import", c4_file, tmp_path / "none" / "out.h5")
    assert (refused.status, refused.out) == (2, "")
    assert "cannot write" in refused.err
    assert refused.err.count("\n") == 1


def test_a_file_that_is_missing_or_damaged_leaves_what_was_there(command, c4_file, tmp_path):
    out = tmp_path / "out.h5"
    out.write_text("before")
    os.truncate(c4_file, 1500)
    for path in (c4_file, tmp_path / "none.h5"):
        refused = command("import", path, out)
        assert refused.status == 2
        assert refused.err.startswith(f"equibasis: {path}: ")
        assert refused.err.count("\n") == 1
    assert out.read_text() == "before"


def test_the_limits_hold_a_small_file_to_little_memory():
    assert foreign_hdf5._MOST_EXPANDED >= 1032  # the most that DEFLATE makes smaller
    basis = by_hand.solved("c4", input="6x6", output="3x3")
    assert foreign_hdf5._ALWAYS > 8 * basis.nonzeros
