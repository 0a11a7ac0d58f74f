"""The audit: what it finds identical, what it notices, and what it leaves behind: nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import yaml

import forks
from equibasis.audit.audit import Audit, audit
from equibasis.audit.compare import Finding, compare_metrics
from equibasis.audit.report import summary
from equibasis.errors import AuditError
from projects import (
    PIPELINE,
    SCRIPTS,
    attempt,
    commit,
    edit_lock,
    environment,
    flipped,
    run,
    small_project,
    solved_project,
    start_git,
    write_pipeline,
)

EQUIVARIANT, INVARIANT = "equivariant", "invariant"


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made; empty again after every test."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    yield folder
    assert list(folder.iterdir()) == []


@pytest.fixture(autouse=True)
def dvc_is_a_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `audit` runs in this process; the command ``equibasis audit`` finds its own DVC."""
    forked = SimpleNamespace(which=lambda name, path: str(forks.served() / name))
    monkeypatch.setattr("equibasis.audit.run.shutil", forked)


def verdicts(found: Audit) -> dict[tuple[str, str], str]:
    return {(each.stage, each.artifact): each.verdict for each in found.findings}


def failures(found: Audit) -> set[tuple[str, str]]:
    return {(each.stage, each.artifact) for each in found.findings if not each.passed}


# --- this project, cut down to its two stages of bases --------------------------------------------


@pytest.fixture
def project(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return solved_project(tmp_path / "project", tmp_path_factory)


@pytest.mark.slow
def test_a_clean_clone_makes_identical_bases(project: Path, tmp_path: Path) -> None:
    done = attempt(project, "equibasis", "audit", "--json", "--summary", tmp_path / "s.md")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["passed"] is True
    assert found["uncommitted"] == 0
    assert found["commit"] == run(project, "git", "rev-parse", "HEAD").strip()
    lock = yaml.safe_load((project / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    outs = {(name, out["path"]): out["md5"] for name in lock for out in lock[name]["outs"]}
    assert len(outs) == 2
    for each in found["findings"]:
        digest = outs.pop((each["stage"], each["artifact"]))
        assert each["verdict"] == "identical"
        assert each["committed"] == each["made"] == digest[:8]
    assert outs == {}
    assert "Everything is identical" in (tmp_path / "s.md").read_text(encoding="utf-8")
    assert run(project, "git", "status", "--porcelain") == ""


@pytest.mark.slow
def test_a_hash_changed_by_hand_and_a_line_of_a_solver_fail_and_name_the_stages(
    project: Path,
) -> None:
    def edit(stages: dict[str, Any]) -> None:
        stages[EQUIVARIANT]["outs"][0]["md5"] = flipped(stages[EQUIVARIANT]["outs"][0]["md5"])

    path = project / "pipeline" / "equibasis" / "solvers" / "svd.py"
    text = path.read_text(encoding="utf-8")
    path.write_text(f"{text}\n# changed\n", encoding="utf-8")
    edit_lock(project, edit)
    done = attempt(project, "equibasis", "audit", "--only", "bases", "--json", "--summary", "s.md")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"fails in {EQUIVARIANT}, {INVARIANT}: " in done.stderr
    failed = [each for each in json.loads(done.stdout)["findings"] if not each["passed"]]
    assert {(each["stage"], each["artifact"]) for each in failed} == {
        (EQUIVARIANT, "bases/equivariant"),
        (EQUIVARIANT, "dependency pipeline/equibasis/solvers"),
        (INVARIANT, "dependency pipeline/equibasis/solvers"),
    }
    assert "not what HEAD makes" in (project / "s.md").read_text(encoding="utf-8")


def test_the_clone_runs_its_own_code_and_not_that_which_is_installed(project: Path) -> None:
    path = project / "pipeline" / "equibasis" / "solvers" / "svd.py"
    text = path.read_text(encoding="utf-8")
    told = "from equibasis.errors import EquibasisError\nraise EquibasisError('the clone runs')\n"
    path.write_text(text.replace("import numpy", f"{told}import numpy", 1), encoding="utf-8")
    commit(project)
    path.write_text(text, encoding="utf-8")  # which an installation for editing would run
    found = audit(project, ["bases"])
    assert {each.verdict for each in found.findings} == {"not made"}
    reasons = {each.stage: each.reason for each in found.findings}
    assert reasons == dict.fromkeys(
        (EQUIVARIANT, INVARIANT), "it exited with 2: equibasis: the clone runs"
    )


# --- a small project of another kind -------------------------------------------------------------


@pytest.fixture(scope="module")
def finished_other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_project(tmp_path_factory.mktemp("other") / "a project, of another kind")


@pytest.fixture
def other(finished_other: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished_other, tmp_path / "a project", symlinks=True))


def test_models_may_differ_and_metrics_within_the_tolerance(other: Path) -> None:
    found = audit(other)
    assert found.passed
    assert verdicts(found) == {
        ("numbers", "data/numbers.txt"): "identical",
        ("squares", "bases/squares.txt"): "identical",
        ("model", "models/model.bin"): "different",
        ("score", "reports/metrics.json"): "within tolerance",
    }
    (score,) = [each for each in found.findings if each.stage == "score"]
    assert score.reason.startswith("mse is 1.0000")


def test_strictly_nothing_may_differ(other: Path) -> None:
    done = attempt(other, "equibasis", "audit", "--strict")
    assert done.returncode == 1
    assert "fails in model, score: 2 identical, 2 different" in done.stderr


def test_every_kind_of_record_edited_by_hand_is_noticed(other: Path) -> None:
    def edit(stages: dict[str, Any]) -> None:
        code, numbers, script = stages["squares"]["deps"]
        code["md5"] = flipped(code["md5"])
        assert numbers["path"] == "data/numbers.txt"
        script["md5"] = flipped(script["md5"])
        numbers["md5"] = flipped(numbers["md5"])
        stages["squares"]["params"]["params.yaml"]["size"] = 4
        stages["squares"]["outs"][0]["size"] += 1
        stages["model"]["cmd"] = "python model.py --better"
        del stages["model"]["deps"][-1]
        stages["score"]["outs"][0]["md5"] = flipped(stages["score"]["outs"][0]["md5"])
        stages["gone"] = {"cmd": "python gone.py"}
        del stages["numbers"]

    edit_lock(other, edit)
    found = audit(other)
    assert failures(found) == {
        ("numbers", "dvc.lock"),
        ("squares", "dependency code"),
        ("squares", "dependency squares.py"),
        ("squares", "dependency data/numbers.txt"),
        ("squares", "parameter size"),
        ("squares", "bases/squares.txt"),
        ("model", "cmd"),
        ("model", "dependency model.py"),
        ("model", "dependency bases/squares.txt"),
        ("score", "reports/metrics.json"),
        ("gone", "dvc.lock"),
    }


def test_a_record_that_contradicts_that_of_another_stage_is_noticed(other: Path) -> None:
    def edit(stages: dict[str, Any]) -> None:
        (model,) = stages["model"]["outs"]
        model["md5"] = flipped(model["md5"])  # which may differ, but not from what score had

    edit_lock(other, edit)
    assert failures(audit(other)) == {("score", "dependency models/model.bin")}


def test_only_what_is_asked_for_runs_and_what_it_needs(other: Path) -> None:
    found = audit(other, ["bases"])
    assert verdicts(found) == {
        ("numbers", "data/numbers.txt"): "identical",
        ("squares", "bases/squares.txt"): "identical",
    }


def test_changes_that_are_not_committed_are_left_out_and_counted(other: Path) -> None:
    (other / "numbers.py").write_text("raise SystemExit('not this')", encoding="utf-8")
    (other / "new.txt").touch()
    done = attempt(other, "equibasis", "audit", "--only", "data")
    assert done.returncode == 0
    assert done.stderr == "equibasis: HEAD was audited, without 2 uncommitted changes\n"


def test_a_stage_that_fails_is_named_and_the_others_run_on(other: Path) -> None:
    broken = "print('equibasis: no squares today'); raise SystemExit(2)"
    (other / "squares.py").write_text(broken, encoding="utf-8")
    commit(other)
    found = audit(other)
    assert not found.passed
    assert verdicts(found) == {
        ("numbers", "data/numbers.txt"): "identical",
        ("squares", "bases/squares.txt"): "not made",
        ("model", "models/model.bin"): "not made",
        ("score", "reports/metrics.json"): "not made",
    }
    reasons = {each.stage: each.reason for each in found.findings}
    assert reasons["squares"] == "it exited with 2: equibasis: no squares today"
    assert reasons["score"] == "a stage that it needs failed"


def reasons_of(other: Path, scripts: list[str]) -> list[str]:
    """Why an audit finds each of some stages failed, of each of which there is a record."""
    names = [f"failing_{number}" for number in range(len(scripts))]
    for name, script in zip(names, scripts, strict=True):
        (other / f"{name}.py").write_text(script, encoding="utf-8")
    stages = {name: {"cmd": f"python {name}.py", "outs": [f"bases/{name}.txt"]} for name in names}
    (other / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}), encoding="utf-8")

    def record(recorded: dict[str, Any]) -> None:
        output = recorded["squares"]["outs"][0]
        recorded.clear()
        for name in names:
            recorded[name] = {
                "cmd": stages[name]["cmd"], "outs": [output | {"path": f"bases/{name}.txt"}],
            }  # fmt: skip

    edit_lock(other, record)
    found = audit(other)
    assert failures(found) == {(name, f"bases/{name}.txt") for name in names}
    return [each.reason for each in sorted(found.findings, key=lambda each: each.stage)]


@pytest.mark.parametrize("shell", [None, "/bin/bash"])  # DVC runs stages with it; sh without
def test_a_stage_that_fails_is_told_with_its_own_last_words(
    other: Path, shell: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shell is None:
        monkeypatch.delenv("SHELL", raising=False)
    else:
        monkeypatch.setenv("SHELL", shell)
    killed = f"print('epoch 3', flush=True)\nimport os\nos.kill(os.getpid(), {int(signal.SIGKILL)})"
    reasons = {
        "raise ValueError('no squares')": "it exited with 1: ValueError: no squares",
        "raise SystemExit('no squares')": "it exited with 1: no squares",
        "raise SystemExit(3)": "it exited with 3: it printed nothing",
        "raise SystemExit(200)": "it exited with 200: it printed nothing",
        "print('WARNING: odd'); raise SystemExit('no squares')": "it exited with 1: no squares",
        "print('done')": "output 'bases/failing_5.txt' does not exist",
        killed: "it was ended by SIGKILL: epoch 3",
    }
    assert reasons_of(other, list(reasons)) == list(reasons.values())


def test_a_stage_that_cannot_begin_is_told_with_the_words_of_dvc(other: Path) -> None:
    write_pipeline(other, PIPELINE | {"model": {"deps": ["gone"], "outs": ["models/model.bin"]}})
    commit(other)
    reasons = {each.stage: each.reason for each in audit(other).findings if not each.passed}
    assert "gone" in reasons["model"]
    assert reasons["score"] == "a stage that it needs failed"


def test_metrics_beyond_the_tolerance_fail_and_name_the_number(other: Path) -> None:
    text = SCRIPTS["score"].replace("1 + 1e-4", "2 + 1e-4")
    (other / "score.py").write_text(text, encoding="utf-8")
    commit(other)
    done = attempt(other, "equibasis", "audit", "--only", "reports", "--summary", "s.md")
    assert done.returncode == 1
    assert "fails in score" in done.stderr
    written = (other / "s.md").read_text(encoding="utf-8")
    assert "different         score: dependency score.py (" in written
    assert "mse is 2.0" in written


def noisy_accuracy(project: Path, tolerance: Any) -> None:
    """A stage whose numbers are 0.9 to 0.92, and which says how far they may be off."""
    text = SCRIPTS["score"].replace(
        "'mse': 1 + 1e-4 * noise", "'a': {'accuracy': 0.9 + noise / 50}"
    )
    (project / "score.py").write_text(text, encoding="utf-8")
    tolerate(project, tolerance)
    run(project, "dvc", "repro")
    commit(project)


def tolerate(project: Path, tolerance: Any) -> None:
    score = PIPELINE["score"] | {"meta": {"tolerance": tolerance}}
    write_pipeline(project, PIPELINE | {"score": score})
    commit(project)


def test_a_stage_says_of_its_own_numbers_how_far_they_may_be_off(other: Path) -> None:
    noisy_accuracy(other, {"accuracy": {"absolute": 0.03}})
    found = audit(other, ["reports"])
    assert found.passed
    assert verdicts(found)["score", "reports/metrics.json"] == "within tolerance"
    text = (other / "score.py").read_text(encoding="utf-8").replace("0.9 +", "0.8 +")
    (other / "score.py").write_text(text, encoding="utf-8")
    commit(other)
    assert ("score", "reports/metrics.json") in failures(audit(other, ["reports"]))


@pytest.mark.parametrize(
    "tolerance",
    [0.03, {"accuracy": 0.03}, {"accuracy": {"about": 0.03}}, {"accuracy": {"absolute": -1}}],
)
def test_a_tolerance_that_is_none_is_refused_naming_the_stage(other: Path, tolerance: Any) -> None:
    tolerate(other, tolerance)
    with pytest.raises(AuditError, match="tolerance of the stage score"):
        audit(other, ["reports"])


def test_a_folder_that_outputs_lie_in_is_a_dependency_like_others(other: Path) -> None:
    (other / "gather.py").write_text("open('reports/gathered', 'w').write('3')", encoding="utf-8")
    gather = {"deps": ["data", "models"], "outs": ["reports/gathered"]}
    write_pipeline(other, PIPELINE | {"gather": gather})
    run(other, "dvc", "repro")
    commit(other)
    found = audit(other)
    assert found.passed
    assert verdicts(found)["model", "models/model.bin"] == "different"

    def edit(stages: dict[str, Any]) -> None:
        for dep in stages["gather"]["deps"]:
            if dep["path"] in gather["deps"]:
                dep["md5"] = flipped(dep["md5"])

    edit_lock(other, edit)
    # Nothing is known of models/, whose outputs are not those on record.
    assert failures(audit(other)) == {("gather", "dependency data")}


def test_a_metrics_file_edited_by_hand_is_noticed(other: Path) -> None:
    path = other / "reports" / "metrics.json"
    path.write_text(path.read_text(encoding="utf-8").replace("1.0", "1.1"), encoding="utf-8")
    commit(other)
    found = audit(other)
    assert failures(found) == {("score", "reports/metrics.json")}


def test_paths_of_a_stage_in_a_folder_of_its_own_are_found_there(other: Path) -> None:
    text = (other / "dvc.yaml").read_text(encoding="utf-8")
    stages = yaml.safe_load(text)["stages"]
    (other / "reports" / "score.py").write_text(
        (other / "score.py").read_text(encoding="utf-8").replace("reports/", ""), encoding="utf-8"
    )
    stages["score"] = {
        "cmd": "python score.py",
        "wdir": "reports",
        "deps": ["score.py", "../models/model.bin"],
        "metrics": [{"metrics.json": {"cache": False}}],
    }
    (other / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}), encoding="utf-8")
    run(other, "dvc", "repro")
    commit(other)
    found = audit(other, ["reports"])
    assert failures(found) == set()
    assert verdicts(found)["score", "metrics.json"] == "within tolerance"


# --- folders -------------------------------------------------------------------------------------


def reason(found: Audit, artifact: str) -> str:
    (each,) = [each for each in found.findings if each.artifact == artifact]
    return each.reason


def test_a_folder_of_code_that_changed_names_the_files_in_it(other: Path) -> None:
    (other / "code" / "one.py").write_text("# changed", encoding="utf-8")
    (other / "code" / "two.py").unlink()
    (other / "code" / "deeper").mkdir()
    (other / "code" / "deeper" / "four.py").touch()
    commit(other)
    found = audit(other, ["bases"])
    assert failures(found) == {("squares", "dependency code")}
    assert reason(found, "dependency code").endswith(
        ": deeper/four.py is new, one.py differs, two.py is gone"
    )


def test_of_many_files_that_differ_a_few_are_named(other: Path) -> None:
    for number in range(9):
        (other / "code" / f"{number}.py").touch()
    commit(other)
    said = reason(audit(other, ["bases"]), "dependency code")
    assert said.endswith(": 0.py is new, 1.py is new, 2.py is new, 3.py is new, 5 more")


# --- whose code runs -----------------------------------------------------------------------------


def test_a_stage_that_would_run_an_installed_package_and_not_the_clones_fails(
    project: Path,
) -> None:
    text = (project / "dvc.yaml").read_text(encoding="utf-8")
    stages = yaml.safe_load(text)["stages"]
    stages[INVARIANT]["cmd"] = "equibasis --version"
    stages[EQUIVARIANT]["cmd"] = "python -m equibasis --version"
    (project / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}), encoding="utf-8")
    commit(project)
    found = audit(project, ["bases"])
    assert {each.verdict for each in found.findings} == {"not made"}
    assert all("would run the installed equibasis" in each.reason for each in found.findings)


def test_a_project_that_only_uses_an_installed_package_is_audited(other: Path) -> None:
    stages = {
        "basis": {
            "cmd": "equibasis solve bases/c2.h5 --group c2 --output 2x2",
            "outs": ["bases/c2.h5"],
        }
    }
    (other / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}), encoding="utf-8")
    (other / "dvc.lock").unlink()
    run(other, "dvc", "repro")
    commit(other)
    done = attempt(other, "equibasis", "audit", "--json")
    assert done.returncode == 0, done.stderr
    assert {each["verdict"] for each in json.loads(done.stdout)["findings"]} == {"identical"}


def test_what_python_finds_in_the_working_tree_it_finds_in_the_clone(
    other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (other / "library").mkdir()
    (other / "library" / "counting.py").write_text("NUMBERS = '1 2 3'\n", encoding="utf-8")
    (other / "numbers.py").write_text(
        "import counting\nopen('data/numbers.txt', 'w').write(counting.NUMBERS)", encoding="utf-8"
    )
    monkeypatch.setenv("PYTHONPATH", str(other / "library"), prepend=os.pathsep)
    done = attempt(other, "dvc", "repro", PYTHONPATH=str(other / "library"))
    assert done.returncode == 0, done.stderr
    commit(other)
    (other / "library" / "counting.py").write_text("NUMBERS = '4'\n", encoding="utf-8")
    assert audit(other, ["data"]).passed


# --- the user's own Git --------------------------------------------------------------------------


@pytest.fixture
def traps(other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home whose settings of Git run programs that leave a mark; returns the mark's path.

    The project asks for the filter, as one that is kept with Git LFS does.
    """
    (other / ".gitattributes").write_text("*.txt filter=trap\n*.py filter=trap\n", "utf-8")
    commit(other)
    home, mark = tmp_path / "home", tmp_path / "mark"
    for folder in ("hooks", "template/hooks", "template/info", "xdg/git"):
        (home / folder).mkdir(parents=True)
    for path in ("program", "hooks/post-checkout", "template/hooks/post-checkout"):
        (home / path).write_text(f"#!/bin/sh\ntouch '{mark}'\ntr a-z A-Z\n", encoding="utf-8")
        (home / path).chmod(0o755)
    attributes = "* text eol=crlf\n*.py filter=trap\n"
    for path in ("attributes", "xdg/git/attributes", "template/info/attributes"):
        (home / path).write_text(attributes, encoding="utf-8")
    (home / ".gitconfig").write_text(
        f"[core]\n autocrlf = true\n eol = crlf\n hooksPath = {home}/hooks\n"
        f" attributesFile = {home}/attributes\n fsmonitor = {home}/program\n"
        f"[init]\n templateDir = {home}/template\n defaultBranch = strange\n"
        f'[filter "trap"]\n smudge = {home}/program\n clean = {home}/program\n required = true\n'
        f"[commit]\n gpgSign = true\n[gpg]\n program = {home}/program\n"
        "[log]\n showSignature = true\n[clone]\n rejectShallow = true\n"
        "[status]\n short = true\n branch = true\n[color]\n ui = always\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "xdg"))
    monkeypatch.setenv("GIT_TEMPLATE_DIR", str(home / "template"))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.hooksPath")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", str(home / "hooks"))
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.delenv(name, raising=False)
    return mark


@pytest.mark.skipif(sys.platform == "win32", reason="programs of POSIX")
def test_the_traps_work(traps: Path, other: Path, tmp_path: Path) -> None:
    subprocess.run(["git", "clone", "--quiet", other, tmp_path / "theirs"], check=False)
    assert traps.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="programs of POSIX")
def test_the_clone_obeys_no_setting_of_the_users(traps: Path, other: Path) -> None:
    found = audit(other)
    assert failures(found) == set()
    assert found.uncommitted == 0
    assert not traps.exists()


@pytest.fixture
def of_another_user(other: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        for path in [other, *other.rglob("*")]:
            os.chown(path, 65534, 65534, follow_symlinks=False)
    else:
        monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.delenv("SUDO_UID", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.delenv(name, raising=False)
    return other


def test_a_repository_of_another_user_is_refused_with_the_remedy_of_git(
    of_another_user: Path,
) -> None:
    with pytest.raises(AuditError) as caught:
        audit(of_another_user)
    assert "detected dubious ownership in repository" in str(caught.value)
    assert "git config --global --add safe.directory" in str(caught.value)
    assert str(of_another_user) in str(caught.value)


def test_the_remedy_of_git_for_a_repository_of_another_user_works(of_another_user: Path) -> None:
    subprocess.run(
        ["git", "config", "--global", "--add", "safe.directory", str(of_another_user)], check=True
    )
    assert audit(of_another_user, ["data"]).passed


# --- what cannot be audited ----------------------------------------------------------------------


def no_repository(project: Path) -> None:
    shutil.rmtree(project / ".git")


def no_commit(project: Path) -> None:
    shutil.rmtree(project / ".git")
    start_git(project)


def no_lock(project: Path) -> None:
    (project / "dvc.lock").unlink()
    commit(project)


def empty_lock(project: Path) -> None:
    (project / "dvc.lock").write_text("", encoding="utf-8")
    commit(project)


def conflicts(project: Path) -> None:
    (project / "dvc.lock").write_text("<<<<<<< HEAD\nschema: '2.0'\n", encoding="utf-8")
    commit(project)


def lock_of_something_else(project: Path) -> None:
    (project / "dvc.lock").write_text("stages: {a: {outs: [1]}}", encoding="utf-8")
    commit(project)


def no_pipeline(project: Path) -> None:
    (project / "dvc.yaml").unlink()
    commit(project)


def broken_pipeline(project: Path) -> None:
    (project / "dvc.yaml").write_text("stages: {numbers: {}}", encoding="utf-8")
    commit(project)


def no_dvc(project: Path) -> None:
    shutil.rmtree(project / ".dvc")
    commit(project)


def head_of_no_commit(project: Path) -> None:
    head = (project / ".git" / "HEAD").read_text(encoding="utf-8").split()[1]
    (project / ".git" / head).write_text("1" * 40 + "\n", encoding="utf-8")


def no_objects(project: Path) -> None:
    for path in (project / ".git" / "objects").rglob("*"):
        if path.is_file():
            path.chmod(0o644)
            path.write_bytes(b"")


def broken_settings(project: Path) -> None:
    (project / ".git" / "config").write_text("[core\n", encoding="utf-8")


def broken_settings_of_dvc(project: Path) -> None:
    (project / ".dvc" / "config").write_text("[core\n", encoding="utf-8")
    commit(project)


def no_folder(project: Path) -> None:
    shutil.rmtree(project)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (no_repository, "not a git repository"),
        (no_commit, "does not have any commits yet"),
        (no_lock, "path 'dvc.lock' does not exist"),
        (empty_lock, "dvc.lock of commit"),
        (conflicts, "dvc.lock of commit"),
        (lock_of_something_else, "dvc.lock of commit"),
        (no_pipeline, "has no dvc.yaml"),
        (broken_pipeline, "required key not provided @ data['stages']['numbers']['cmd']"),
        (no_dvc, "has no .dvc"),
        (no_folder, "not a folder"),
        (head_of_no_commit, "bad object HEAD"),
        (no_objects, "is empty"),
        (broken_settings, "bad config line 1 in file .git/config"),
        (broken_settings_of_dvc, "Invalid line ('[core')"),
    ],
)
def test_what_is_no_project_is_refused_in_one_line(
    spoil: Any, said: str, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(other.parent))
    spoil(other)
    with pytest.raises(AuditError) as caught:
        audit(other)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="a small disk is for root to mount"
)
def test_a_full_disk_is_named(other: Path, temporary: Path) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(temporary)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        with pytest.raises((AuditError, OSError), match="No space left on device"):
            audit(other)
    finally:
        subprocess.run(["umount", str(temporary)], check=True)


def test_an_unknown_folder_of_outputs_names_those_there_are(other: Path) -> None:
    done = attempt(other, "equibasis", "audit", "--only", "basis")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "--only takes bases, data, models, reports" in done.stderr


def test_a_summary_that_cannot_be_written_is_refused_before_anything_runs(other: Path) -> None:
    done = attempt(other, "equibasis", "audit", "--summary", other / "nowhere" / "s.md")
    assert done.returncode == 2
    assert "cannot write" in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.slow
def test_an_interrupted_audit_leaves_nothing_behind(
    number: int, other: Path, temporary: Path, tmp_path: Path
) -> None:
    (other / "numbers.py").write_text(
        f"import time\nopen({str(tmp_path / 'started')!r}, 'w').close()\ntime.sleep(100)",
        encoding="utf-8",
    )
    commit(other)
    with subprocess.Popen(
        ["equibasis", "audit"], cwd=other, env=environment(other), start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        while not (tmp_path / "started").exists():
            assert process.poll() is None
            time.sleep(0.05)
        family = psutil.Process(process.pid).children(recursive=True)
        assert len(family) >= 2  # dvc, and the stage that it runs
        assert list(temporary.iterdir()) != []
        os.kill(process.pid, number)
        out, err = process.communicate(timeout=60)
    said = "equibasis: interrupted\n" if number == signal.SIGINT else ""
    assert (process.returncode, out, err) == (128 + number, "", said)  # as of every command
    assert psutil.wait_procs(family, timeout=60)[1] == []


# --- the comparison of metrics -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("committed", "made", "close"),
    [
        ({"mse": 0.01}, {"mse": 0.01}, True),
        ({"mse": 0.01}, {"mse": 0.010009}, True),
        ({"mse": 0.1}, {"mse": 0.1002}, False),
        ({"a": {"error": 7.6e-7}}, {"a": {"error": 9.7e-7}}, True),
        ({"a": {"error": 7.6e-7}}, {"a": {"error": 0.1}}, False),
        ({"parameters": 3760}, {"parameters": 3761}, False),
        ({"mse": 0.1}, {"mse": float("nan")}, False),
        ({"mse": 0.1}, {"mse": "0.1"}, False),
        ({"mse": 0.1}, {"error": 0.1}, False),
        ({"mse": 0.1}, [0.1], False),
        ({}, {}, True),
    ],
)
def test_numbers_are_close_to_a_thousandth_or_to_rounding(
    committed: Any, made: Any, close: bool
) -> None:
    reason, found = compare_metrics(json.dumps(committed).encode(), json.dumps(made).encode())
    assert found is close
    assert reason


@pytest.mark.parametrize(
    ("committed", "made", "close"),
    [
        ({"a": {"accuracy": 0.462}}, {"a": {"accuracy": 0.474}}, True),
        ({"a": {"accuracy": 0.462}}, {"a": {"accuracy": 0.494}}, False),
        ({"a": {"error": {"turns": 2.16}}}, {"a": {"error": {"turns": 2.29}}}, True),
        ({"a": {"error": {"turns": 2.16}}}, {"a": {"error": {"turns": 2.9}}}, False),
        ({"a": {"error": {"turns": 6e-7}}}, {"a": {"error": {"turns": 7e-6}}}, True),
        ({"a": {"error": {"turns": 6e-7}}}, {"a": {"error": {"turns": 2e-5}}}, False),
        ({"mse": 0.1}, {"mse": 0.1002}, False),
        ({"accuracy": 3}, {"accuracy": 4}, False),
        ({"accuracy": 0.9}, {"accuracy": float("nan")}, False),
    ],
)
def test_a_tolerance_is_of_the_numbers_whose_names_have_that_part(
    committed: Any, made: Any, close: bool
) -> None:
    tolerance = {"accuracy": {"absolute": 0.03}, "error": {"relative": 0.3}}
    one, other = (json.dumps(each).encode() for each in (committed, made))
    assert compare_metrics(one, other, tolerance)[1] is close


def test_the_summary_is_text_whatever_is_in_it() -> None:
    finding = Finding("a|b", "c", "different", "1|2", "3", False, "<b>`x`\n| y")
    told = summary(Audit("1234567890", 0, [finding])).splitlines()
    assert told.count(r"    different         a|b: c (1|2 -> 3): <b>`x`\n| y") == 2
