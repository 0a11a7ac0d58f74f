"""Bases travel: pushed to a DVC remote and pulled, imported or loaded elsewhere; releases by name.

The remotes are a server of S3, a folder, and that folder read through HTTP, all on this machine.
"""

from __future__ import annotations

import functools
import http.server
import shutil
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from dvc.repo import Repo

import equibasis as eb
from equibasis.audit.audit import audit_lock
from projects import REPOSITORY, attempt, commit, environment, run, solved_project

pytest.importorskip("dvc_s3")
settings = pytest.importorskip("moto.settings")
server = pytest.importorskip("moto.server")

MAPS, BASIS = "bases/equivariant", "bases/equivariant/c4_6x6_to_3x3.h5"
TAG = "v0.2.0"
NOWHERE = "http://127.0.0.1:9"  # where nothing listens


@pytest.fixture(autouse=True, scope="module")
def nobodys_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """DVC in this process keeps to itself too, and a key of S3 is set; none is looked for."""
    with pytest.MonkeyPatch.context() as patch:
        own = environment(tmp_path_factory.mktemp("settings") / "project")
        for name in ("GLOBAL_CONFIG", "SYSTEM_CONFIG", "SITE_CACHE"):
            patch.setenv(f"DVC_{name}_DIR", own[f"DVC_{name}_DIR"])
        for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
            patch.setenv(f"AWS_{name}", "testing")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("AWS_MAX_ATTEMPTS", "1")
        yield


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The URL of a server of S3 that has one bucket, ``bases``."""
    running = server.ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    url = f"http://{host}:{port}"
    with urllib.request.urlopen(urllib.request.Request(f"{url}/bases", method="PUT")):
        pass
    yield url
    running.stop()


@pytest.fixture(scope="module")
def solved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This project, in which the bases were made, and nothing pushed."""
    return solved_project(tmp_path_factory.mktemp("solved") / "equibasis", tmp_path_factory)


@pytest.fixture(scope="module")
def storage(solved: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to which all was pushed."""
    folder = tmp_path_factory.mktemp("storage")
    run(solved, "dvc", "remote", "add", "--local", "--quiet", "folder", folder)
    run(solved, "dvc", "push", "--quiet", "--remote", "folder")
    return folder


class Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def web(storage: Path) -> Iterator[str]:
    """The URL of that folder, to read."""
    handler = functools.partial(Silent, directory=str(storage))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        threading.Thread(target=serving.serve_forever).start()
        yield f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()


@pytest.fixture(scope="module", params=["s3", "folder", "http"])
def published(
    request: pytest.FixtureRequest, solved: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The project with a remote of each kind, released; its bases are in the remote only."""
    folder = tmp_path_factory.mktemp(request.param) / "equibasis"
    shutil.copytree(solved, folder, symlinks=True)
    remote = functools.partial(run, folder, "dvc", "remote")
    if request.param == "s3":
        remote("add", "--quiet", "--default", "storage", "s3://bases/equibasis")
        remote("modify", "storage", "endpointurl", request.getfixturevalue("s3"))
        run(folder, "dvc", "push", "--quiet")
    else:
        place = {"folder": "storage", "http": "web"}[request.param]
        remote("add", "--quiet", "--default", "storage", request.getfixturevalue(place))
    commit(folder, "A remote")
    run(folder, "git", "tag", TAG)
    shutil.rmtree(folder / "bases")
    shutil.rmtree(folder / ".dvc" / "cache")
    return folder


def hashes(folder: Path) -> dict[str, str]:
    """The content hash of each basis in a folder, by name of the file."""
    return {path.name: eb.content_sha256(eb.load_basis(path)) for path in folder.glob("*.h5")}


# --- from a remote of each kind ------------------------------------------------------------------


@pytest.mark.slow
def test_a_clone_pulls_what_was_pushed_and_it_is_what_the_lock_records(
    published: Path, solved: Path, tmp_path: Path
) -> None:
    clone = tmp_path / "clone"
    run(tmp_path, "git", "clone", "--quiet", published.as_uri(), clone)
    run(clone, "dvc", "pull", "--quiet")
    assert hashes(clone / MAPS) == hashes(solved / MAPS)
    assert len(hashes(clone / MAPS)) == 5
    assert audit_lock(clone).passed
    with Repo(str(clone)) as repo:
        assert repo.status() == {}


@pytest.mark.parametrize("published", ["s3", "http"], indirect=True)  # test_reuse.py: from a folder
def test_a_basis_is_loaded_from_a_release(published: Path, tmp_path: Path) -> None:
    code = (  # in a process of its own, as the library for HTTP leaves connections open
        "import sys, equibasis as eb\n"
        "print(eb.content_sha256(eb.load_basis(sys.argv[1], repo=sys.argv[2], rev=sys.argv[3])))"
    )
    printed = run(tmp_path, "python", "-c", code, BASIS, published.as_uri(), TAG)
    expected = eb.content_sha256(eb.solve("c4", input="6x6", output="3x3"))
    assert printed.splitlines()[0] == expected


@pytest.mark.parametrize("published", ["s3"], indirect=True)
def test_a_basis_of_a_release_is_imported(published: Path, solved: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    run(mine, "git", "init", "--quiet")
    run(mine, "dvc", "init", "--quiet")
    run(mine, "dvc", "import", "--quiet", published.as_uri(), BASIS, "--rev", TAG)
    assert (mine / Path(BASIS).name).read_bytes() == (solved / BASIS).read_bytes()


@pytest.mark.parametrize("published", ["folder"], indirect=True)
def test_bases_are_had_by_the_name_and_the_version_that_they_were_registered_under(
    published: Path, solved: Path, tmp_path: Path
) -> None:
    run(published, "gto", "register", "equivariant-maps", "--version", TAG)
    run(tmp_path, "dvc", "artifacts", "get", published.as_uri(), "equivariant-maps", "--rev", TAG)
    assert hashes(tmp_path / "equivariant") == hashes(solved / MAPS)


# --- what the registry names ---------------------------------------------------------------------


def test_every_artifact_is_a_described_output_of_a_stage() -> None:
    with Repo(str(REPOSITORY)) as repo:
        outputs = {out.def_path for stage in repo.index.stages for out in stage.outs}
        artifacts = repo.artifacts.read()["dvc.yaml"]
    assert {each.path for each in artifacts.values()} <= outputs
    assert {each.type for each in artifacts.values()} == {"basis", "model"}
    assert all(each.desc and each.labels for each in artifacts.values())
    models = {path for path in outputs if path.endswith(".safetensors")}
    assert models <= {each.path for each in artifacts.values()}


# --- what cannot be had --------------------------------------------------------------------------


def cannot_load(repo: Path, rev: str | None = None) -> str:
    with pytest.raises(eb.EquibasisError) as caught:
        eb.load_basis(BASIS, repo=repo, rev=rev)
    message = str(caught.value)
    assert "\n" not in message
    return message.removeprefix(f"{BASIS} in {repo}").lstrip(": ")


@pytest.fixture
def in_s3(s3: str, solved: Path, tmp_path: Path) -> Path:
    """The project, its bases nowhere but in a bucket, if anywhere."""
    folder = tmp_path / "equibasis"
    run(tmp_path, "git", "clone", "--quiet", solved, folder)
    run(folder, "dvc", "remote", "add", "--quiet", "--default", "storage", "s3://bases/nothing")
    run(folder, "dvc", "remote", "modify", "storage", "endpointurl", s3)
    return folder


def test_a_tag_that_does_not_exist_is_said(in_s3: Path) -> None:
    assert cannot_load(in_s3, "v9").startswith("at v9: unknown Git revision 'v9': name ")


def test_what_nobody_pushed_is_said(in_s3: Path) -> None:
    message = cannot_load(in_s3)
    assert "its data cannot be had: bases/nothing/files/md5/" in message
    assert message.endswith("and 'dvc push' run where the file was made")


def test_a_key_that_is_refused_is_said(in_s3: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "INITIAL_NO_AUTH_ACTION_COUNT", 0)
    message = cannot_load(in_s3)
    assert ": Forbidden: that" in message
    assert message.endswith("that project's DVC remote has to be up, and yours to read")
    done = attempt(in_s3, "dvc", "pull")
    assert done.returncode != 0
    assert "Forbidden" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_that_is_down_is_said(in_s3: Path) -> None:
    run(in_s3, "dvc", "remote", "modify", "storage", "endpointurl", NOWHERE)
    message = cannot_load(in_s3)
    assert f'Could not connect to the endpoint URL: "{NOWHERE}/' in message
    assert message.endswith("that project's DVC remote has to be up, and yours to read")


def test_without_the_library_of_a_remote_the_error_says_what_to_install(
    in_s3: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "dvc_s3", None)
    assert cannot_load(in_s3) == (
        "its DVC remote needs dvc-s3, which is not installed: pip install dvc-s3"
    )
