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
from typing import Any

import psutil
import pytest
import yaml

from equibasis.audit.audit import Audit, Finding, audit, compare_metrics, summary
from equibasis.errors import AuditError
from projects import attempt, commit, copy_of_this_project, environment, finish, run, start_git

EQUIVARIANT = "equivariant@latent_to_latent"
INVARIANT = "invariant@latent"


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made; empty again after every test."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    yield folder
    assert list(folder.iterdir()) == []


def edit_lock(project: Path, edit: Any) -> None:
    """Change dvc.lock by hand, and commit it."""
    path = project / "dvc.lock"
    lock = yaml.safe_load(path.read_text(encoding="utf-8"))
    edit(lock["stages"])
    path.write_text(yaml.safe_dump(lock, sort_keys=False), encoding="utf-8")
    commit(project)


def flipped(digest: str) -> str:
    """Another hash, differing in one digit."""
    return ("0" if digest[0] != "0" else "1") + digest[1:]


def verdicts(found: Audit) -> dict[tuple[str, str], str]:
    return {(each.stage, each.artifact): each.verdict for each in found.findings}


def failures(found: Audit) -> set[tuple[str, str]]:
    return {(each.stage, each.artifact) for each in found.findings if not each.passed}


# --- this project, cut down to a stage of data and two of bases ----------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run once and committed; to look at, not to change."""
    stages = yaml.safe_load((Path(__file__).parents[1] / "dvc.yaml").read_text("utf-8"))["stages"]
    kept = {
        "equivariant": {"latent_to_latent": {"input": "2", "output": "2"}},
        "invariant": {"latent": "2"},
    }
    cut = {name: stages[name] | {"foreach": each} for name, each in kept.items()}
    left_out = {name: None for name in stages if name not in ("prepare", *kept)}
    folder = copy_of_this_project(tmp_path_factory.mktemp("audit") / "project", **cut, **left_out)
    run(folder, "dvc", "repro")
    commit(folder)
    return folder


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "project", symlinks=True))


def test_a_clean_clone_makes_identical_data_and_bases(project: Path, tmp_path: Path) -> None:
    done = attempt(project, "equibasis", "audit", "--json", "--summary", tmp_path / "s.md")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["passed"] is True
    assert found["uncommitted"] == 0
    assert found["commit"] == run(project, "git", "rev-parse", "HEAD").strip()
    lock = yaml.safe_load((project / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    outs = {(name, out["path"]): out["md5"] for name in lock for out in lock[name]["outs"]}
    assert len(outs) == 3
    for each in found["findings"]:
        digest = outs.pop((each["stage"], each["artifact"]))
        assert each["verdict"] == "identical"
        assert each["committed"] == each["made"] == digest[:8]
    assert outs == {}
    assert "Everything is identical" in (tmp_path / "s.md").read_text(encoding="utf-8")
    assert run(project, "git", "status", "--porcelain") == ""


def test_a_hash_changed_by_hand_fails_and_names_the_stage(project: Path) -> None:
    def edit(stages: dict[str, Any]) -> None:
        stages[EQUIVARIANT]["outs"][0]["md5"] = flipped(stages[EQUIVARIANT]["outs"][0]["md5"])

    edit_lock(project, edit)
    done = attempt(project, "equibasis", "audit", "--only", "bases")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"fails in {EQUIVARIANT}: 1 identical, 1 different" in done.stderr
    assert INVARIANT in done.stdout
    assert "not what HEAD makes" in done.stdout
    assert "prepare" not in done.stdout


def test_a_line_of_a_solver_changed_without_running_again_names_the_stages(project: Path) -> None:
    path = project / "pipeline" / "equibasis" / "solvers" / "svd.py"
    text = path.read_text(encoding="utf-8")
    path.write_text(f"{text}\n# changed\n", encoding="utf-8")
    commit(project)
    found = audit(project, ["bases"])
    assert failures(found) == {
        (stage, "dependency pipeline/equibasis/solvers") for stage in (EQUIVARIANT, INVARIANT)
    }
    assert not found.passed


def test_the_clone_runs_its_own_code_and_not_that_which_is_installed(project: Path) -> None:
    path = project / "pipeline" / "equibasis" / "cli.py"
    text = path.read_text(encoding="utf-8")
    assert text.count("    check_writable(out)\n") == 1
    path.write_text(
        text.replace(
            "    check_writable(out)\n",
            "    check_writable(out)\n    raise EquibasisError('the code of the clone')\n",
        ),
        encoding="utf-8",
    )
    commit(project)
    found = audit(project, ["bases"])
    assert {each.verdict for each in found.findings} == {"not made"}
    assert all("the code of the clone" in each.reason for each in found.findings)


# What solving imports besides, and its result does not depend on.
ASIDE = {"__init__", "cache", "errors", "loading"}


def test_a_change_to_any_module_that_solving_imports_is_on_record(finished: Path) -> None:
    script = (
        "import sys\nfrom equibasis.cli import main\n"
        "try:\n    main()\nfinally:\n"
        "    print(*(m for m in sys.modules if m.startswith('equibasis')))"
    )
    command = ["solve", finished.parent / "basis.h5", "--group", "c4", "--output", "2x2"]
    loaded = run(finished, sys.executable, "-c", script, *command).splitlines()[-1].split()
    modules = {name.split(".")[1] for name in loaded if "." in name} - ASIDE
    assert "basis" in modules
    lock = yaml.safe_load((finished / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    recorded = {Path(dep["path"]).stem for dep in lock[EQUIVARIANT]["deps"]}
    assert modules <= recorded


# --- a small project of another kind -------------------------------------------------------------

# Stage -> what it runs; each is python SCRIPT, and depends on the script.
SCRIPTS = {
    "numbers": "open('data/numbers.txt', 'w').write('1 2 3')",
    "squares": (
        "numbers = open('data/numbers.txt').read().split()\n"
        "open('bases/squares.txt', 'w').write(str([int(n) ** 2 for n in numbers]))"
    ),
    "model": "import os\nopen('models/model.bin', 'wb').write(os.urandom(8))",
    "score": (
        "import json, os\n"
        "noise = int.from_bytes(os.urandom(4), 'big') / 2**32\n"
        "json.dump({'mse': 1 + 1e-4 * noise, 'n': 3}, open('reports/metrics.json', 'w'))"
    ),
}
PIPELINE: dict[str, Any] = {
    "numbers": {"outs": ["data/numbers.txt"]},
    "squares": {"deps": ["data/numbers.txt"], "outs": ["bases/squares.txt"], "params": ["size"]},
    "model": {"deps": ["bases/squares.txt"], "outs": ["models/model.bin"]},
    "score": {
        "deps": ["models/model.bin"],
        "metrics": [{"reports/metrics.json": {"cache": False}}],
    },
}


def write_pipeline(folder: Path, stages: dict[str, Any]) -> None:
    stages = {
        name: each | {"cmd": f"python {name}.py", "deps": [f"{name}.py", *each.get("deps", [])]}
        for name, each in stages.items()
    }
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}), encoding="utf-8")


@pytest.fixture(scope="module")
def finished_other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("other") / "a project, of another kind"
    folder.mkdir()
    for name in ("data", "bases", "models", "reports"):
        (folder / name).mkdir()
        (folder / name / ".gitkeep").touch()
    for name, text in SCRIPTS.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    (folder / "params.yaml").write_text("size: 3\n", encoding="utf-8")
    write_pipeline(folder, PIPELINE)
    return finish(folder)


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
        numbers, script = stages["squares"]["deps"]
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
    assert reasons["squares"] == "equibasis: no squares today"
    assert reasons["score"] == "a stage that it needs failed"


def test_metrics_beyond_the_tolerance_fail_and_name_the_number(other: Path) -> None:
    text = SCRIPTS["score"].replace("1 + 1e-4", "2 + 1e-4")
    (other / "score.py").write_text(text, encoding="utf-8")
    commit(other)
    done = attempt(other, "equibasis", "audit", "--only", "reports", "--summary", "s.md")
    assert done.returncode == 1
    assert "fails in score" in done.stderr
    written = (other / "s.md").read_text(encoding="utf-8")
    assert "| score | dependency score.py | different |" in written
    assert "mse is 2.0" in written


def test_a_metrics_file_edited_by_hand_is_noticed(other: Path) -> None:
    path = other / "reports" / "metrics.json"
    path.write_text(path.read_text(encoding="utf-8").replace("1.0", "1.1"), encoding="utf-8")
    commit(other)
    found = audit(other)
    assert failures(found) == {("score", "reports/metrics.json")}


def test_downloads_below_a_relative_data_root_are_found_in_the_clone(other: Path) -> None:
    (other / "params.yaml").write_text("data: {root: ../downloads}\n", encoding="utf-8")
    (other.parent / "downloads").mkdir()
    (other.parent / "downloads" / "digits").write_text("1 2 3", encoding="utf-8")
    (other / "numbers.py").write_text(
        "open('data/numbers.txt', 'w').write(open('../downloads/digits').read())", encoding="utf-8"
    )
    write_pipeline(other, {"numbers": PIPELINE["numbers"]})
    run(other, "dvc", "repro")
    edit_lock(other, lambda stages: [stages.pop(name) for name in PIPELINE if name != "numbers"])
    assert audit(other).passed


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


def no_folder(project: Path) -> None:
    shutil.rmtree(project)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (no_repository, "not a git repository"),
        (no_commit, "no commit yet"),
        (no_lock, "dvc.lock"),
        (empty_lock, "dvc.lock of commit"),
        (conflicts, "dvc.lock of commit"),
        (lock_of_something_else, "dvc.lock of commit"),
        (no_pipeline, "has no dvc.yaml"),
        (broken_pipeline, "DVC cannot read the pipeline"),
        (no_dvc, "has no .dvc"),
        (no_folder, "not a folder"),
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
    assert (process.returncode, out, err.strip()) == (130, "", "equibasis: interrupted")
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


def test_the_summary_is_a_table_whatever_is_in_it() -> None:
    finding = Finding("a|b", "c", "different", "1|2", "3", False, "x | y")
    row = summary(Audit("1234567890", 0, [finding])).splitlines()[6]
    assert row == r"| a\|b | c | different | 1\|2 | 3 | x \| y |"
