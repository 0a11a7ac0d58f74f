"""dvc.lock is that of the code: known without a run, in every clone, whatever editors leave."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.repo import Repo

from equibasis.audit.audit import audit_lock
from equibasis.audit.compare import Finding
from equibasis.errors import AuditError
from projects import (
    REPOSITORY,
    SCRIPTS,
    attempt,
    commit,
    copy_of_this_project,
    edit_lock,
    environment,
    flipped,
    run,
    small_project,
    start_git,
)


def stale_findings(project: Path) -> list[Finding]:
    return audit_lock(project).findings


def stale(project: Path) -> set[tuple[str, str]]:
    return {(each.stage, each.artifact) for each in stale_findings(project)}


def test_dvc_lock_is_that_of_this_tree() -> None:
    findings = stale_findings(REPOSITORY)
    assert not findings, "run 'dvc repro' and commit dvc.lock: " + "; ".join(
        f"{each.stage}: {each.artifact}: {each.reason}" for each in findings
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_project(tmp_path_factory.mktemp("lock") / "project")


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "a project", symlinks=True))


# --- what is stale -------------------------------------------------------------------------------


def test_nothing_is_stale_after_a_run(project: Path) -> None:
    assert stale(project) == set()


def of_source(project: Path) -> None:
    (project / "model.py").write_text(SCRIPTS["model"] + "\n", encoding="utf-8")


def of_source_in_a_folder(project: Path) -> None:
    (project / "code" / "two.py").write_text("# 2\n", encoding="utf-8")


def of_a_new_source_in_a_folder(project: Path) -> None:
    (project / "code" / "deeper").mkdir()
    (project / "code" / "deeper" / "four.py").touch()


def of_a_removed_source_in_a_folder(project: Path) -> None:
    (project / "code" / "three.py").unlink()


def of_a_renamed_source_in_a_folder(project: Path) -> None:
    (project / "code" / "three.py").rename(project / "code" / "four.py")


def of_a_removed_source(project: Path) -> None:
    (project / "model.py").unlink()


def of_a_parameter(project: Path) -> None:
    (project / "params.yaml").write_text("size: 3.5\n", encoding="utf-8")


def of_a_removed_parameter(project: Path) -> None:
    (project / "params.yaml").write_text("other: 3\n", encoding="utf-8")


def edit_pipeline(project: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    path = project / "dvc.yaml"
    pipeline = yaml.safe_load(path.read_text(encoding="utf-8"))
    edit(pipeline["stages"])
    path.write_text(yaml.safe_dump(pipeline), encoding="utf-8")


def of_a_command(project: Path) -> None:
    edit_pipeline(project, lambda stages: stages["model"].update(cmd="python model.py --better"))


def of_a_new_dependency(project: Path) -> None:
    edit_pipeline(project, lambda stages: stages["model"]["deps"].append("code/one.py"))


def of_a_dropped_dependency(project: Path) -> None:
    edit_pipeline(project, lambda stages: stages["model"]["deps"].remove("model.py"))


def of_a_new_output(project: Path) -> None:
    edit_pipeline(project, lambda stages: stages["model"]["outs"].append("models/more.bin"))


def of_a_new_stage(project: Path) -> None:
    edit_pipeline(project, lambda stages: stages.update(more={"cmd": "python more.py"}))


def of_a_dropped_stage(project: Path) -> None:
    edit_pipeline(project, lambda stages: stages.pop("score"))


def of_metrics(project: Path) -> None:
    (project / "reports" / "metrics.json").write_text('{"mse": 0.0}', encoding="utf-8")


def of_removed_metrics(project: Path) -> None:
    (project / "reports" / "metrics.json").unlink()


def lock(edit: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    return lambda project: edit_lock(project, edit)


def flip(item: dict[str, Any]) -> None:
    item["md5"] = flipped(item["md5"])


MODEL, CODE = ("model", "dependency model.py"), ("squares", "dependency code")


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (of_source, {MODEL}),
        (of_source_in_a_folder, {CODE}),
        (of_a_new_source_in_a_folder, {CODE}),
        (of_a_removed_source_in_a_folder, {CODE}),
        (of_a_renamed_source_in_a_folder, {CODE}),
        (of_a_removed_source, {MODEL}),
        (of_a_parameter, {("squares", "parameter size")}),
        (of_a_removed_parameter, {("squares", "parameter size")}),
        (of_a_command, {("model", "cmd")}),
        (of_a_new_dependency, {("model", "dependency code/one.py")}),
        (of_a_dropped_dependency, {MODEL}),
        (of_a_new_output, {("model", "models/more.bin")}),
        (of_a_new_stage, {("more", "dvc.lock")}),
        (of_a_dropped_stage, {("score", "dvc.lock")}),
        (of_metrics, {("score", "reports/metrics.json")}),
        (of_removed_metrics, {("score", "reports/metrics.json")}),
        (
            lock(lambda stages: stages.pop("numbers")),
            {("numbers", "dvc.lock"), ("squares", "dependency data/numbers.txt")},
        ),
        (lock(lambda stages: stages.update(gone={"cmd": "true"})), {("gone", "dvc.lock")}),
        (lock(lambda stages: flip(stages["squares"]["deps"][0])), {CODE}),
        (lock(lambda stages: flip(stages["model"]["deps"][1])), {MODEL}),
        (lock(lambda stages: stages["model"]["deps"].pop(1)), {MODEL}),
        (
            lock(lambda stages: stages["model"]["deps"].append({"path": "more", "md5": "0" * 32})),
            {("model", "dependency more")},
        ),
        (
            lock(lambda stages: flip(stages["squares"]["outs"][0])),
            {("model", "dependency bases/squares.txt")},
        ),
        (
            lock(lambda stages: stages["model"]["outs"].append({"path": "more", "md5": "0" * 32})),
            {("model", "more")},
        ),
        (
            lock(lambda stages: stages["model"].pop("outs")),
            {("model", "models/model.bin"), ("score", "dependency models/model.bin")},
        ),
        (lock(lambda stages: stages["squares"].pop("params")), {("squares", "parameter size")}),
        (
            lock(lambda stages: flip(stages["score"]["outs"][0])),
            {("score", "reports/metrics.json")},
        ),
    ],
)  # fmt: skip
def test_whatever_is_stale_is_named_with_its_stage(
    change: Callable[[Path], None], found: set[tuple[str, str]], project: Path
) -> None:
    change(project)
    assert stale(project) == found


def test_what_dvc_keeps_or_ignores_or_a_submodule_holds_is_no_news(
    project: Path, tmp_path: Path
) -> None:
    (project / ".dvcignore").write_text("*.swp\n", encoding="utf-8")
    (project / "code" / "one.swp").touch()
    (project / "table").write_text("1", encoding="utf-8")
    run(project, "dvc", "add", "table")
    other = tmp_path / "other"
    other.mkdir()
    (other / "code.py").touch()
    start_git(other)
    commit(other)
    added = ("-c", "protocol.file.allow=always", "submodule", "add", "--quiet", str(other), "sub")
    run(project, "git", *added)
    edit_pipeline(
        project, lambda stages: stages["squares"]["deps"].extend(["table", "sub", "sub/code.py"])
    )
    run(project, "dvc", "repro")
    commit(project)
    assert stale(project) == set()


def test_a_stale_folder_names_the_files_in_it(project: Path) -> None:
    of_source_in_a_folder(project)
    of_a_renamed_source_in_a_folder(project)
    commit(project)
    (finding,) = stale_findings(project)
    assert finding.reason.endswith(": four.py is new, three.py is gone, two.py differs")


def test_numbers_are_those_that_dvc_reads(project: Path) -> None:
    (project / "params.yaml").write_text(
        "size: {a: 1e-05, b: 1e5, c: 0o17, d: yes, f: [1, {g: 1.0}], h: null}\n",
        encoding="utf-8",
    )
    run(project, "dvc", "repro")
    assert stale(project) == set()


def test_a_clone_without_outputs_and_cache_has_the_same_answer(
    project: Path, tmp_path: Path
) -> None:
    run(tmp_path, "git", "clone", "--quiet", project, "clone")
    assert stale(tmp_path / "clone") == set()
    of_source_in_a_folder(tmp_path / "clone")
    assert stale(tmp_path / "clone") == {CODE}


def test_a_file_in_a_folder_that_a_stage_makes_is_no_news_in_a_clone(
    project: Path, tmp_path: Path
) -> None:
    script = "import os; os.makedirs('data/table'); open('data/table/a', 'w').write('1')"
    (project / "table.py").write_text(script, encoding="utf-8")
    (project / "sum.py").write_text("open('reports/sum', 'w').write('1')", encoding="utf-8")
    stages = {
        "table": {"cmd": "python table.py", "deps": ["table.py"], "outs": ["data/table"]},
        "sum": {
            "cmd": "python sum.py",
            "deps": ["sum.py", "data/table/a"],
            "outs": [{"reports/sum": {"cache": False}}],
        },
    }
    edit_pipeline(project, lambda all_stages: all_stages.update(stages))
    run(project, "dvc", "repro")
    commit(project)
    run(tmp_path, "git", "clone", "--quiet", project, "clone")
    assert stale(tmp_path / "clone") == set()
    (tmp_path / "clone" / "reports" / "sum").write_text("2", encoding="utf-8")
    assert stale(tmp_path / "clone") == {("sum", "reports/sum")}


def test_a_folder_that_git_tracks_is_compared_with_its_record(project: Path) -> None:
    script = "open('reports/drawn/a', 'w').write('1')"
    (project / "draw.py").write_text(f"import os; os.mkdir('reports/drawn'); {script}", "utf-8")
    drawn: dict[str, Any] = {"reports/drawn": {"cache": False}}
    stages = {"draw": {"cmd": "python draw.py", "deps": ["draw.py"], "outs": [drawn]}}
    edit_pipeline(project, lambda all_stages: all_stages.update(stages))
    run(project, "dvc", "repro")
    commit(project)
    assert stale(project) == set()
    (project / "reports" / "drawn" / "a").write_text("2", encoding="utf-8")
    assert stale(project) == {("draw", "reports/drawn")}


def test_the_executable_bit_which_dvc_does_not_compare_makes_nothing_stale(project: Path) -> None:
    for path in project.rglob("*.py"):
        path.chmod(0o755)
    assert stale(project) == set()


def test_nothing_of_the_project_is_changed(project: Path) -> None:
    def state() -> dict[Path, bytes]:
        files = [path for path in project.rglob("*") if path.is_file()]
        return {path: path.read_bytes() for path in files if ".dvc/tmp" not in path.as_posix()}

    before = state()
    of_metrics(project)
    stale_findings(project)
    changed = {path for path, content in state().items() if before.get(path) != content}
    assert changed == {project / "reports" / "metrics.json"}


# --- the command ---------------------------------------------------------------------------------


def test_the_command_fails_on_a_stale_lock_and_says_what_to_do(project: Path) -> None:
    done = attempt(project, "equibasis", "audit", "--lock")
    assert (done.returncode, done.stdout, done.stderr) == (
        0, "dvc.lock is that of the working tree\n", "",
    )  # fmt: skip
    of_source_in_a_folder(project)
    done = attempt(project, "equibasis", "audit", "--lock")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "dvc.lock is stale in squares; first dependency code: " in done.stderr
    assert "two.py differs" in done.stderr
    assert "run 'dvc repro' and commit dvc.lock" in done.stderr
    done = attempt(project, "equibasis", "audit", "--lock", "--json")
    assert done.returncode == 1
    (finding,) = json.loads(done.stdout)["findings"]
    assert finding["stage"] == "squares"


def test_the_command_takes_no_options_of_a_run(project: Path) -> None:
    done = attempt(project, "equibasis", "audit", "--lock", "--only", "bases")
    assert done.returncode == 2
    assert "--lock runs nothing" in done.stderr


def no_lock(project: Path) -> None:
    (project / "dvc.lock").unlink()


def broken_lock(project: Path) -> None:
    (project / "dvc.lock").write_text("<<<<<<< HEAD\n", encoding="utf-8")


def no_pipeline(project: Path) -> None:
    (project / "dvc.yaml").unlink()


def broken_pipeline(project: Path) -> None:
    (project / "dvc.yaml").write_text("stages: {numbers: {}}", encoding="utf-8")


def broken_parameters(project: Path) -> None:
    (project / "params.yaml").write_text("size: {", encoding="utf-8")


def no_repository(project: Path) -> None:
    shutil.rmtree(project / ".git")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (no_lock, "no dvc.lock"),
        (broken_lock, "dvc.lock"),
        (no_pipeline, "no dvc.yaml"),
        (broken_pipeline, "required key not provided"),
        (broken_parameters, "params.yaml"),
        (no_repository, "Git"),
    ],
)
def test_what_cannot_be_checked_is_refused_in_one_line(
    spoil: Callable[[Path], None], said: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(project.parent))
    spoil(project)
    with pytest.raises(AuditError, match="(?i)" + said) as caught:
        stale_findings(project)
    assert "\n" not in str(caught.value)


# --- line ends, and what editors and systems leave -----------------------------------------------


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This project with its dvc.lock and params.yaml, committed anew."""
    folder = tmp_path_factory.mktemp("recorded") / "project"
    copy_of_this_project(folder, whole=True)
    for name in ("dvc.lock", "params.yaml"):
        shutil.copy2(REPOSITORY / name, folder / name)
    commit(folder)
    return folder


@pytest.fixture(scope="module")
def stale_there(recorded: Path) -> list[Finding]:
    return stale_findings(recorded)


@pytest.mark.parametrize(
    ("autocrlf", "eol"),  # Git asks for eol only where autocrlf is false
    [("true", "crlf"), ("false", "crlf")],
)
@pytest.mark.slow
def test_every_clone_of_this_project_has_the_same_bytes(
    autocrlf: str, eol: str, recorded: Path, stale_there: list[Finding], tmp_path: Path
) -> None:
    settings = f"[core]\n autocrlf = {autocrlf}\n eol = {eol}\n safecrlf = false\n"
    (tmp_path / "gitconfig").write_text(settings, encoding="utf-8")
    clone, own = tmp_path / "clone", {"GIT_CONFIG_GLOBAL": str(tmp_path / "gitconfig")}
    assert attempt(tmp_path, "git", "clone", "--quiet", recorded, clone, **own).returncode == 0
    listed = run(recorded, "git", "ls-files", "-z").split("\0")
    assert len(listed) > 100
    for name in filter(None, listed):
        assert (clone / name).read_bytes() == (recorded / name).read_bytes(), name
    (clone / "setup.cfg").touch()  # so that Git compares contents
    assert attempt(clone, "git", "status", "--porcelain", **own).stdout == ""
    assert stale_findings(clone) == stale_there


def test_no_text_of_this_project_has_line_ends_of_windows() -> None:
    listed = run(REPOSITORY, "git", "ls-files", "--eol").splitlines()
    assert not [line for line in listed if "crlf" in line.split("\t")[0] or "mixed" in line]


LEFT_BEHIND = [
    ".DS_Store", "._two.py", "Thumbs.db", "desktop.ini", ".directory", ".nfs000000000001",
    ".fuse_hidden0001", ".Trash-1000/two.py",
    ".two.py.swp", ".two.py.swo", ".two.py.swn", "two.py~", "4913", ".#two.py", "#two.py#",
    ".idea/workspace.xml", ".vscode/settings.json", "two.sublime-workspace",
    ".~lock.two.csv#", "~$two.docx",
    "two.py.orig", "two.py.rej", "two.py.bak", "two.tmp",
    "__pycache__/two.cpython-311.pyc", "two.pyc", ".ipynb_checkpoints/two-checkpoint.ipynb",
    ".mypy_cache/3.11/two.json", ".ruff_cache/two", ".pytest_cache/README.md",
    ".hypothesis/unicode_data/two", ".coverage", ".coverage.host.1", "two.egg-info/PKG-INFO",
]  # fmt: skip


@pytest.mark.parametrize("folder", ["code", "code/deeper", "."])
def test_what_editors_and_systems_leave_in_code_runs_nothing_again(
    folder: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for ignored in (".dvcignore", ".gitignore"):
        shutil.copy2(REPOSITORY / ignored, project / ignored)
    commit(project)
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", environment(project)["DVC_SITE_CACHE_DIR"])
    for name in LEFT_BEHIND:
        (project / folder / name).parent.mkdir(parents=True, exist_ok=True)
        (project / folder / name).write_bytes(os.urandom(8))
    with Repo(str(project)) as repo:
        assert repo.status() == {}
    assert stale(project) == set()
    assert run(project, "git", "status", "--porcelain") == ""


def test_code_that_changed_runs_again(project: Path) -> None:
    (project / "code" / "two.py").write_text("# 2\n", encoding="utf-8")
    with Repo(str(project)) as repo:
        assert [name.rpartition(":")[2] for name in repo.status()] == ["squares"]
