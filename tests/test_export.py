"""Exports: other programs' own readers find the same matrix, to the last bit, and what it is."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from scipy import io, sparse

import equibasis as eb
from equibasis.artifact.export import FORMATS, export_basis

ENDINGS = sorted(FORMATS)
UNIT = np.array([1.0, 2.0, 3.0]) / np.sqrt(14.0)
HOUSEHOLDER = eb.matrix_group("mirror é", {"m": np.eye(3) - 2 * np.outer(UNIT, UNIT)})

BASES = {
    "maps": {"group": "c4", "input": "6x6", "output": "3x3"},
    "invariants": {"group": "d4", "input": None, "output": "5x5"},
    "signs": {"group": "d4", "input": "3x3", "output": "3x3:pseudoscalar"},
    "dense": {"group": HOUSEHOLDER, "input": "V", "output": "V"},
    "rank 0": {"group": "d4", "input": None, "output": "1x1:vector"},
}


def solved(name: str) -> eb.Basis:
    return eb.solve(**BASES[name])


@pytest.fixture(params=BASES)
def basis(request: pytest.FixtureRequest) -> eb.Basis:
    return solved(request.param)


def dense(matrix: object) -> np.ndarray:
    return matrix.toarray() if sparse.issparse(matrix) else np.asarray(matrix)


def test_npz_is_opened_by_scipy_and_says_what_it_is(basis, tmp_path):
    path = tmp_path / "basis.npz"
    assert export_basis(basis, path) == "scipy.sparse.load_npz"
    with np.load(path, allow_pickle=False) as file:
        assert file["group"] == basis.group
        assert file["rank"] == basis.rank
        assert file["kind"] == basis.kind
        assert tuple(file["input_shape"]) == basis.input_shape
        assert tuple(file["output_shape"]) == basis.output_shape
        assert file["content_sha256"] == eb.content_sha256(basis)
    found = sparse.load_npz(path)
    assert isinstance(found, sparse.csc_array)
    assert np.array_equal(dense(found), dense(basis.matrix))


def test_matrix_market_keeps_every_digit(basis, tmp_path):
    path = tmp_path / "basis.mtx"
    assert export_basis(basis, path) == "scipy.io.mmread"
    assert np.array_equal(dense(io.mmread(path)), dense(basis.matrix))
    text = path.read_text(encoding="ascii")
    assert f"%content_sha256 {eb.content_sha256(basis)}\n" in text
    assert f"%output_space {basis.space.output_space}\n" in text


def test_safetensors_names_its_tensors_and_says_what_they_are(basis, tmp_path):
    path = tmp_path / "basis.safetensors"
    assert export_basis(basis, path) == "safetensors.safe_open"
    with safe_open(path, "np") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        said = file.metadata()
    parts = tuple(tensors[f"basis.{name}"] for name in ("data", "indices", "indptr"))
    found = sparse.csc_array(parts, shape=tensors["basis.shape"])
    assert np.array_equal(dense(found), dense(basis.matrix))
    assert tuple(tensors["input_shape"]) == basis.input_shape
    assert tuple(tensors["output_shape"]) == basis.output_shape
    assert said == {
        "kind": basis.kind,
        "group": basis.group,
        "input_space": str(basis.space.input_space),
        "output_space": str(basis.space.output_space),
        "rank": str(basis.rank),
        "vec_order": "row-major",
        "content_sha256": eb.content_sha256(basis),
    }


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_basis_solved_and_the_same_one_read_give_the_same_bytes(basis, tmp_path, ending):
    eb.save_basis(basis, tmp_path / "basis.h5")
    first, second = tmp_path / f"a{ending}", tmp_path / f"b{ending}"
    export_basis(basis, first)
    export_basis(eb.load_basis(tmp_path / "basis.h5"), second)
    assert first.read_bytes() == second.read_bytes()


def test_the_bytes_do_not_depend_on_the_process_nor_the_time(c4_file, tmp_path, python):
    """safetensors writes metadata in an order of chance, and archives hold times to 2 seconds."""
    code = (
        "import sys, time\nimport equibasis as eb\n"
        "from equibasis.artifact.export import FORMATS, export_basis\n"
        "later = time.time() + 10_000_000\ntime.time = lambda: later\n"
        f"basis = eb.load_basis({str(c4_file)!r})\n"
        "for ending in FORMATS: export_basis(basis, 'later' + ending)\n"
    )
    assert python("-c", code).status == 0
    for ending in ENDINGS:
        export_basis(eb.load_basis(c4_file), tmp_path / f"now{ending}")
        now, later = ((tmp_path / f"{name}{ending}").read_bytes() for name in ("now", "later"))
        assert now == later


# --- the command --------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [*ENDINGS, ".NPZ"])
def test_the_ending_says_the_format(command, c4_file, tmp_path, ending):
    out = tmp_path / f"a name, with blanks{ending}"
    done = command("export", c4_file, out)
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith(f"{out}: c4: 6x6 -> 3x3, a 324 x 81 matrix for ")
    assert out.stat().st_size > 0


@pytest.mark.parametrize("name", ["basis.csv", "basis", ".npz", "basis.npz.h5"])
def test_an_unknown_ending_is_one_line_that_names_those_known(command, c4_file, tmp_path, name):
    refused = command("export", c4_file, tmp_path / name)
    assert (refused.status, refused.out) == (2, "")
    assert "choose .npz, .mtx, .safetensors" in refused.err
    assert refused.err.count("\n") == 1
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_damaged_basis_is_not_exported_and_what_was_there_stays(
    command, c4_file, tmp_path, ending
):
    out = tmp_path / f"out{ending}"
    out.write_text("before")
    c4_file.write_bytes(c4_file.read_bytes()[:5000])
    refused = command("export", c4_file, out)
    assert refused.status == 2
    assert str(c4_file) in refused.err
    assert out.read_text() == "before"


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_folder_that_is_not_there_is_one_line(command, c4_file, tmp_path, ending):
    refused = command("export", c4_file, tmp_path / "none" / f"out{ending}")
    assert refused.status == 2
    assert "cannot write" in refused.err
    assert refused.err.count("\n") == 1


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_disk_without_room_is_a_write_error_and_leaves_nothing(tmp_path, ending):
    resource = pytest.importorskip("resource", reason="limits the size of files as POSIX does")
    basis = eb.solve(group="c4", input="14x14", output="6x6")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, limits[1]))
    try:
        with pytest.raises(eb.WriteError, match=r"cannot write .*: File too large"):
            export_basis(basis, tmp_path / f"out{ending}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_without_safetensors_the_error_says_what_to_install(c4_basis, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(eb.MissingExtraError, match=r"pip install 'equibasis\[nn\]'"):
        export_basis(c4_basis, tmp_path / "basis.safetensors")
    assert list(Path(tmp_path).iterdir()) == []
