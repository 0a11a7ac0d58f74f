"""Other projects use our bases: each piece of docs/reuse.md is run, and one project is played."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
import traceback
from pathlib import Path

import numpy as np
import pytest
import torch

import equibasis as eb
from equibasis.nn import EquivariantLinear
from projects import REPOSITORY, attempt, commit, solved_project
from test_pipeline import succeed

BASIS = "bases/equivariant/c4_3x3_to_3x3.h5"
UNPUSHED = "bases/invariant/c4_6x6.h5"


def new_repository(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    succeed(folder, "git", "init", "--quiet")
    succeed(folder, "git", "config", "user.name", "tests")
    succeed(folder, "git", "config", "user.email", "tests@example.org")
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This project, ``equibasis``, in which the bases were made, and nothing pushed."""
    return solved_project(tmp_path_factory.mktemp("made") / "equibasis", tmp_path_factory)


@pytest.fixture(scope="module")
def published(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That clone with its maps pushed to a remote, tagged ``v1``.

    Its own cache is gone, so that a basis can come from the remote only.
    """
    folder = Path(shutil.copytree(made, tmp_path_factory.mktemp("published") / "equibasis"))
    remote = folder.parent / "remote"
    succeed(folder, "dvc", "remote", "add", "--quiet", "-d", "storage", str(remote))
    succeed(folder, "dvc", "push", "--quiet", "equivariant")
    commit(folder, "A remote")
    succeed(folder, "git", "tag", "v1")
    shutil.rmtree(folder / "bases")
    shutil.rmtree(folder / ".dvc" / "cache")
    return folder


@pytest.fixture(autouse=True)
def no_settings_of_anybody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC in this process and its children keeps to itself, and so does the cache of bases."""
    monkeypatch.setenv("EQUIBASIS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    for kind in ("GLOBAL", "SYSTEM"):
        monkeypatch.setenv(f"DVC_{kind}_CONFIG_DIR", str(tmp_path / "dvc" / kind))
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "dvc" / "site"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # where DVC leaves clones that failed
    monkeypatch.setattr("tempfile.tempdir", None)


# --- docs/reuse.md ------------------------------------------------------------------------------


def sections() -> dict[str, list[tuple[str, str]]]:
    """Language and text of the pieces of each section; those before the first are its ''."""
    text = (REPOSITORY / "docs" / "reuse.md").read_text(encoding="utf-8")
    _, introduction, *rest = re.split(r"^(?:# .*|## (.*))$", text, flags=re.MULTILINE)[1:]
    titled = {"": introduction} | dict(zip(rest[::2], rest[1::2], strict=True))
    found = {
        title: re.findall(r"^```(\w+)\n(.*?)^```$", body, re.MULTILINE | re.DOTALL)
        for title, body in titled.items()
    }
    return {title: pieces for title, pieces in found.items() if pieces}


def test_the_page_has_a_piece_for_each_reader():
    assert list(sections()) == [
        "",
        "NumPy and h5py",
        "SciPy",
        "AnnData",
        "PyTorch",
        "JAX",
        "From another project's repository",
        "Solved once and kept",
        "Other formats",
    ]


@pytest.fixture(scope="module")
def two_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the first piece of the page was run."""
    folder = tmp_path_factory.mktemp("two") / "files"
    folder.mkdir()
    ((language, text),) = sections()[""]
    assert language == "sh"
    succeed(folder, "sh", "-eu", "-c", text)
    return folder


@pytest.mark.skipif(os.name != "posix", reason="runs pieces of shell")
@pytest.mark.parametrize("title", [title for title in sections() if title])
@pytest.mark.slow
def test_each_piece_of_the_page_runs_as_it_stands(title, two_files, made, tmp_path, monkeypatch):
    if title == "JAX" and importlib.util.find_spec("jax") is None:
        pytest.skip("JAX is not installed")
    folder = Path(shutil.copytree(two_files, tmp_path / "folder"))
    if title == "From another project's repository":
        shutil.copytree(made, tmp_path / "equibasis")
        monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(folder)
    for language, text in sections()[title]:
        if language == "sh":
            succeed(folder, "sh", "-eu", "-c", text)
        else:
            exec(text, {"__name__": "__main__"})


def test_plain_h5py_and_numpy_take_ten_lines():
    ((_, text),) = sections()["NumPy and h5py"]
    making_the_weight = text.partition("image = ")[0]
    assert len([line for line in making_the_weight.splitlines() if line]) <= 10
    assert "equibasis" not in making_the_weight


# --- from another repository --------------------------------------------------------------------


def test_a_basis_is_loaded_from_a_revision_of_another_repository(published):
    basis = eb.load_basis(BASIS, repo=published, rev="v1")
    assert eb.content_sha256(basis) == eb.content_sha256(eb.solve("c4", input="3x3", output="3x3"))
    assert basis.rank == 21


def test_without_a_revision_the_newest_is_taken(published):
    for repo in (str(published), published.as_uri()):
        assert eb.load_basis(Path(BASIS), repo=repo).rank == 21


def test_without_a_repository_the_one_around_here_is_meant(published, monkeypatch):
    monkeypatch.chdir(published / "groups")
    assert eb.load_basis(BASIS, rev="v1").rank == 21


def test_a_basis_that_git_tracks_is_loaded_too(published, tmp_path):
    other = new_repository(tmp_path / "other")
    basis = eb.solve("d4", input="6x6", output="3x3")
    eb.save_basis(basis, other / "b.h5")
    commit(other, "A basis")
    assert eb.load_basis("b.h5", repo=other, rev="HEAD").group == "d4"


@pytest.mark.parametrize("as_url", [False, True], ids=["folder", "URL"])
def test_a_basis_is_loaded_from_a_clone_whose_remote_has_it_and_the_rest_is_told(
    made, published, tmp_path, as_url
):
    for origin in (made, published):
        clone = tmp_path / origin.parent.name
        succeed(tmp_path, "git", "clone", "--quiet", str(origin), str(clone))
        repo = clone.as_uri() if as_url else clone
        if origin is published:
            assert eb.load_basis(BASIS, repo=repo, rev="v1").rank == 21
        else:
            message = cannot_load(BASIS, repo=repo)
            assert "its data cannot be had: " in message
            assert "'dvc remote add -d'), and 'dvc push' run where the file was made" in message


@pytest.mark.parametrize(
    ("variable", "place"),
    [
        ("DVC_SITE_CACHE_DIR", "file"),
        ("TMPDIR", "/proc/nowhere"),
    ],
)
def test_a_folder_that_dvc_cannot_work_in_is_not_a_file_that_is_not_there(
    published, tmp_path, variable, place
):
    (tmp_path / "file").touch()
    code = (
        "import sys, equibasis as eb\n"
        "try: eb.load_basis(*sys.argv[1:3], rev='v1')\n"
        "except eb.BasisFileError as error: print(error)"
    )
    unusable = {variable: str(tmp_path / place)}
    done = attempt(tmp_path, "python", "-c", code, BASIS, published.as_uri(), **unusable)
    if done.stdout:  # not where DVC or Python has another folder to work in
        assert "no such file" not in done.stdout
        assert "name the URL" not in done.stdout
        assert re.search(r"Not a directory|File exists|No such file|temporary", done.stdout)
    else:
        assert (done.returncode, done.stderr) == (0, "")


def cannot_load(*arguments: object, **keywords: object) -> str:
    with pytest.raises(eb.BasisFileError) as caught:
        eb.load_basis(*arguments, **keywords)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{arguments[0]} in {keywords['repo']}")
    return message


@pytest.mark.parametrize(
    ("path", "rev", "reason"),
    [
        (BASIS, "v9", "unknown Git revision 'v9': name .* a commit, branch or tag of it"),
        ("bases/none.h5", "v1", "there is no such file: name it by its path from the root"),
        ("bases", "v1", "there is no such file"),
        ("../../etc/passwd", "v1", "there is no such file"),
        (
            UNPUSHED,
            "v1",
            "its data cannot be had: .*: that project needs a DVC remote .* 'dvc push'",
        ),
        ("README.md", "v1", "not an HDF5 file"),
    ],
    ids=["revision", "path", "folder", "outside", "not pushed", "no basis"],
)
def test_what_the_repository_does_not_have_is_one_line_that_says_so(published, path, rev, reason):
    assert re.search(reason, cannot_load(path, repo=published, rev=rev))


def test_a_place_that_is_no_repository_is_one_line_that_says_so(tmp_path):
    assert "not a git repository" in cannot_load(BASIS, repo=tmp_path, rev="v1")
    nowhere = (tmp_path / "nowhere").as_uri()
    assert "name the URL or folder of a Git repository" in cannot_load(BASIS, repo=nowhere)


@pytest.mark.parametrize("rev", [3, b"v1", "", " ", True])
def test_a_revision_is_text(published, rev):
    with pytest.raises(eb.BasisFileError, match="rev is a commit, branch or tag as text"):
        eb.load_basis(BASIS, repo=published, rev=rev)


@pytest.mark.parametrize("path", ["../x", "bases/../../x.h5", "..", Path("..") / "x"])
def test_what_is_outside_of_the_repository_is_no_file_of_it(published, path):
    for repo in (published, "https://127.0.0.1:9/x"):
        assert "there is no such file: name it by its path" in cannot_load(path, repo=repo)


@pytest.mark.parametrize(
    "address",
    [
        "https://me:s3cret@127.0.0.1:9/x",
        "https://s3cret@127.0.0.1:9/x.git",
        "https://me:s3cret@of@127.0.0.1:9/x",
        "ssh://me:s3cret@127.0.0.1:9/x",
        "s3://me:s3cret@bucket/x",
    ],
)
@pytest.mark.parametrize("as_repo", [True, False], ids=["repo", "file"])
def test_passwords_in_addresses_are_not_told(address, as_repo, capfd):
    with pytest.raises(eb.BasisFileError) as caught:
        eb.load_basis(*((BASIS, address, "v1") if as_repo else (address,)))
    assert "***@" in str(caught.value)
    told = "".join(traceback.format_exception(caught.value))
    assert "s3cret" not in told + "".join(capfd.readouterr())


def test_without_dvc_the_error_says_what_to_install(published, monkeypatch, c4_file):
    monkeypatch.setitem(sys.modules, "dvc.api", None)
    with pytest.raises(eb.MissingExtraError, match=r"dvc.*pip install 'equibasis\[pipeline\]'$"):
        eb.load_basis(BASIS, repo=published)
    assert eb.load_basis(c4_file).rank == 81


def test_loading_leaves_nothing_behind(published, tmp_path):
    eb.load_basis(BASIS, repo=published)
    assert not list(tmp_path.glob("equibasis-*"))


# --- the second project -------------------------------------------------------------------------


@pytest.fixture
def imported(published: Path, tmp_path: Path) -> Path:
    """The basis, imported into a new repository by `dvc import`."""
    project = new_repository(tmp_path / "mine")
    succeed(project, "dvc", "init", "--quiet")
    succeed(project, "dvc", "import", "--quiet", str(published), BASIS, "--rev", "v1")
    commit(project, "A basis of another project")
    return project / Path(BASIS).name


def test_a_second_project_imports_a_basis_and_trains_a_layer_on_it(published, imported):
    basis = eb.load_basis(imported)
    original = eb.load_basis(BASIS, repo=published, rev="v1")
    assert eb.content_sha256(basis) == eb.content_sha256(original)
    assert attempt(imported.parent, "equibasis", "verify", imported.name).returncode == 0

    torch.manual_seed(0)
    layer, wanted = EquivariantLinear(basis, "scalar"), EquivariantLinear(basis, "scalar")
    images = torch.rand(64, 9)
    targets = wanted(images).detach()
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.05)
    losses = []
    for _ in range(200):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(layer(images), targets)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 100

    def turned(batch: torch.Tensor) -> torch.Tensor:
        return batch.reshape(-1, 3, 3).rot90(dims=(1, 2)).reshape(-1, 9)

    with torch.no_grad():
        assert torch.allclose(layer(turned(images)), turned(layer(images)), atol=1e-5)


def test_what_was_imported_is_fetched_again_from_the_remote(imported):
    expected = imported.read_bytes()
    imported.unlink()
    shutil.rmtree(imported.parent / ".dvc" / "cache")
    succeed(imported.parent, "dvc", "pull", "--quiet")
    assert imported.read_bytes() == expected
    assert np.array_equal(eb.load_basis(imported).output_shape, (3, 3))
