"""End to end: a fresh copy of the project, real `dvc`, and what reruns, and what does not."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

import equibasis as eb
import projects
from digits.config import MODELS
from digits.weights import load_autoencoder, load_classifier
from projects import (
    CLASSIFIERS,
    REPOSITORY,
    USUAL,
    FirstRun,
    attempt,
    copy_of_this_project,
)

PLAIN = ["train_plain@standard", "train_plain@standard_augmented"]
SYMMETRIC = ["train_equivariant@equivariant", "train_equivariant@equivariant_attention"]
SOLVING = ["equivariant", "invariant"]
AUTOENCODING = ["prepare", *SOLVING, *PLAIN, *SYMMETRIC, "evaluate", "report"]
TRAINING = [f"train_classifier@{name}" for name in CLASSIFIERS]
SOLVING_KERNELS = [f"kernels@{name}" for name in CLASSIFIERS]
CLASSIFYING = [*SOLVING_KERNELS, *TRAINING, "evaluate_classifiers", "report_classifiers"]
STAGES = AUTOENCODING + CLASSIFYING

BASES = [
    "bases/equivariant/c4_14x14_to_6x6.h5",
    "bases/equivariant/c4_6x6_to_3x3.h5",
    "bases/equivariant/c4_3x3_to_3x3.h5",
    "bases/equivariant/c4_3x3_to_6x6.h5",
    "bases/equivariant/c4_6x6_to_14x14.h5",
    "bases/invariant/c4_14x14.h5",
    "bases/invariant/c4_6x6.h5",
    "bases/invariant/c4_3x3.h5",
]
KERNELS = [
    f"bases/kernels/{name}.h5"
    for name in (
        "cnn/trivial_5x5_to_4_regular",
        "cnn/trivial_4_regular_5x5__to_4_regular",
        "cnn/trivial_4_regular_3x3__to_4_regular",
        "cnn_augmented/trivial_5x5_to_4_regular",
        "cnn_augmented/trivial_4_regular_5x5__to_4_regular",
        "cnn_augmented/trivial_4_regular_3x3__to_4_regular",
        "cnn_c4/c4_5x5_to_2_regular",
        "cnn_c4/c4_2_regular_5x5__to_2_regular",
        "cnn_c4/c4_2_regular_3x3__to_2_regular",
        "cnn_d4/d4_5x5_to_1_regular",
        "cnn_d4/d4_1_regular_5x5__to_2_regular",
        "cnn_d4/d4_2_regular_3x3__to_3_regular",
    )
]
FIGURES = [
    "attention.png", "basis.png",
    "classifiers/confusion.png", "classifiers/curves.png", "classifiers/kernels.png",
    "classifiers/symmetries.png",
    "comparison.png", "curves.png", "rotations.png",
]  # fmt: skip


def succeed(folder: Path, *command: str) -> str:
    """What a command prints; it has to exit with 0."""
    done = attempt(folder, *command)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def stages_run(output: str) -> list[str]:
    return re.findall(r"^Running stage '(.+)':", output, re.MULTILINE)


def stages_skipped(output: str) -> list[str]:
    return re.findall(r"^Stage '(.+)' didn't change, skipping", output, re.MULTILINE)


def hashes(folder: Path, paths: list[str]) -> dict[str, str]:
    return {path: hashlib.md5((folder / path).read_bytes()).hexdigest() for path in paths}


def set_parameter(folder: Path, **changes: Any) -> None:
    text = yaml.safe_dump(USUAL | changes, sort_keys=False)
    (folder / "params.yaml").write_text(text, encoding="utf-8")


def recorded(project: Path) -> dict[str, str]:
    """The MD5 of every output in a project's dvc.lock."""
    lock = yaml.safe_load((project / "dvc.lock").read_text(encoding="utf-8"))
    outputs = [output for stage in lock["stages"].values() for output in stage["outs"]]
    return {output["path"]: output["md5"] for output in outputs}


@pytest.fixture(scope="module")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> FirstRun:
    return projects.first_run(tmp_path_factory)


@pytest.fixture(scope="module")
def finished(first_run: FirstRun) -> Path:
    """The project after its first run, committed; to look at, not to change."""
    return first_run.folder


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished project, to change."""
    return Path(shutil.copytree(finished, tmp_path / "project", symlinks=True))


# --- the first run -------------------------------------------------------------------------------


def test_one_command_runs_every_stage_and_prints_the_table(first_run: FirstRun) -> None:
    printed, complaints = first_run.printed, first_run.complaints
    assert sorted(stages_run(printed)) == sorted(STAGES)
    assert "mean squared error per pixel on test digits" in printed
    for name in ("standard", "standard, augmented", "equivariant", "equivariant, attention"):
        assert re.search(rf"│ {name} +│ +[\d,]+ │ 0\.\d{{5}} │ 0\.\d{{5}} │", printed)
    assert "share of test digits taken for what they are" in printed
    for name in ("cnn", "cnn, augmented", "cnn, c4", "cnn, d4"):
        assert re.search(rf"│ {name} +│[ \d,]+│ +[\d,]+ │( +0\.\d{{4}} │){{2}}", printed)
    assert "Traceback" not in complaints
    assert "warning" not in complaints.lower()


def test_every_basis_file_is_there_and_holds(finished: Path) -> None:
    found = [
        p.relative_to(finished).as_posix() for p in (finished / "bases").rglob("*") if p.is_file()
    ]
    files = BASES + KERNELS
    assert sorted(p for p in found if p.endswith(".h5")) == sorted(files)
    assert all(p.endswith((".h5", ".gitignore", ".md")) for p in found)
    printed = succeed(finished, "equibasis", "verify", *files)
    assert printed.count(": ok: ") == len(files)
    assert eb.load_basis(finished / BASES[0]).rank == 1764


def test_every_model_is_there_and_loads(finished: Path) -> None:
    for name in MODELS:
        model, config = load_autoencoder(
            finished / "models" / f"{name}.safetensors", finished / "bases"
        )
        assert config.model == name
        record = json.loads((finished / "models" / f"{name}.json").read_text(encoding="utf-8"))
        assert record["parameters"] == sum(p.numel() for p in model.parameters())
        curve = finished / "reports" / "curves" / name / "plots" / "metrics" / "train_mse.tsv"
        assert len(curve.read_text(encoding="utf-8").splitlines()) == 1 + 2
    for name in CLASSIFIERS:
        path = finished / "models" / "classifiers" / f"{name}.safetensors"
        classifier, of_classifier = load_classifier(path, finished / "bases")
        assert of_classifier.model == name
        record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        assert record["parameters"] == sum(p.numel() for p in classifier.parameters())
        curves = finished / "reports" / "curves" / "classifiers" / name
        curve = curves / "plots" / "metrics" / "train_loss.tsv"
        assert len(curve.read_text(encoding="utf-8").splitlines()) == 1 + 1


def test_the_metrics_have_every_model_and_show_the_symmetry(finished: Path) -> None:
    metrics = json.loads((finished / "reports" / "metrics.json").read_text(encoding="utf-8"))
    assert list(metrics) == list(MODELS)
    for name, found in metrics.items():
        assert found.keys() == {
            "parameters", "in_distribution", "rotated", "rotations", "equivariance_error",
        }  # fmt: skip
        assert found["in_distribution"].keys() == found["rotated"].keys() == {"mse"}
        assert list(found["rotations"]) == ["0", "90", "180", "270"]
        upright, turned = found["in_distribution"]["mse"], found["rotated"]["mse"]
        assert 0 < upright < 0.1
        if name.startswith("equivariant"):
            assert turned == pytest.approx(upright, rel=1e-4)
            assert found["equivariance_error"] < 1e-5
        else:
            assert turned > upright
            assert found["equivariance_error"] > 0.1


def test_the_accuracies_have_every_classifier_and_show_its_symmetry(finished: Path) -> None:
    path = finished / "reports" / "classification.json"
    metrics = json.loads(path.read_text(encoding="utf-8"))
    assert list(metrics) == list(CLASSIFIERS)
    for name, found in metrics.items():
        by_move = list(found["symmetries"].values())
        assert found["upright"]["accuracy"] == by_move[0]
        table = (finished / "reports" / "predictions" / f"{name}.csv").read_text(encoding="utf-8")
        assert table.splitlines()[0] == "digit,upright,turned,mirrored"
        assert table.count("\n") == 1 + 1000
        same = {"trivial": 1, "c4": 4, "d4": 8}[found["group"]]
        assert max(by_move[:same]) - min(by_move[:same]) <= 0.002  # but for ties
        assert (found["invariance_error"]["turns"] < 1e-5) == (same > 1)
        assert (found["invariance_error"]["mirrors"] < 1e-5) == (same > 4)
        if same > 1:
            assert found["turned"]["accuracy"] == pytest.approx(by_move[0], abs=0.002)


def test_all_figures_are_drawn(finished: Path) -> None:
    folder = finished / "reports" / "figures"
    assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.png")) == FIGURES
    for name in FIGURES:
        with Image.open(folder / name) as picture:
            low, high = picture.convert("L").getextrema()
            assert high - low > 100


def test_the_run_leaves_no_file_that_git_does_not_know_or_ignore(finished: Path) -> None:
    added = succeed(finished, "git", "show", "--name-status", "--format=", "HEAD")
    assert [line for line in added.splitlines() if not line.startswith("M\t")] == ["A\tdvc.lock"]
    assert succeed(finished, "git", "status", "--porcelain") == ""


def test_bases_come_out_as_the_lock_file_of_the_project_records_them(finished: Path) -> None:
    theirs = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
    if any(theirs[name] != USUAL[name] for name in ("group", "image_size", "hidden_sizes")):
        pytest.skip("dvc.lock records another group or other sizes than those of this test")
    ours, known = recorded(finished), recorded(REPOSITORY)
    for folder in ("bases/equivariant", "bases/invariant"):
        assert ours[folder] == known[folder]


# --- the second run ------------------------------------------------------------------------------


def test_a_second_run_runs_no_stage(project: Path) -> None:
    printed = succeed(project, "dvc", "repro")
    assert stages_run(printed) == []
    assert sorted(stages_skipped(printed)) == sorted(STAGES)
    assert "up to date" in printed
    assert succeed(project, "git", "status", "--porcelain") == ""


def test_solving_again_gives_the_same_bytes(project: Path) -> None:
    before = hashes(project, BASES)
    for path in BASES:
        (project / path).unlink()
    printed = succeed(
        project, "dvc", "repro", "--force", "--single-item", "equivariant", "invariant"
    )
    assert sorted(stages_run(printed)) == sorted(SOLVING)
    assert hashes(project, BASES) == before
    assert succeed(project, "git", "status", "--porcelain") == ""


# --- changed parameters --------------------------------------------------------------------------


@pytest.mark.slow
def test_an_experiment_with_another_learning_rate_trains_again_and_solves_nothing(
    project: Path,
) -> None:
    first, second = SYMMETRIC
    printed = succeed(project, "dvc", "exp", "run", "-S", "train.lr=0.002", first)
    assert stages_run(printed) == [first]
    assert sorted(stages_skipped(printed)) == sorted(["prepare", *SOLVING])
    parameters = yaml.safe_load((project / "params.yaml").read_text(encoding="utf-8"))
    assert parameters["train"]["lr"] == 0.002
    status = json.loads(succeed(project, "dvc", "status", "--json"))
    assert status.keys() == {*PLAIN, second, "evaluate", "report"}

    succeed(project, "dvc", "repro", "--single-item", "evaluate")
    difference = json.loads(succeed(project, "dvc", "metrics", "diff", "--json"))
    changed = difference["reports/metrics.json"]
    assert {key.partition(".")[0] for key in changed} == {"equivariant"}
    entry = changed["equivariant.in_distribution.mse"]
    assert entry["old"] != entry["new"]
    assert not any(key.endswith(".parameters") for key in changed)
    succeed(project, "dvc", "plots", "diff", "HEAD", "--out", "plots")
    assert "train_mse" in (project / "plots" / "index.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_another_group_changes_the_bases_and_what_is_built_on_them_only(project: Path) -> None:
    set_parameter(project, group="d4")
    status = json.loads(succeed(project, "dvc", "status", "--json"))
    changed = {*SOLVING, *SYMMETRIC, "evaluate", "report"}
    assert status.keys() == changed
    printed = succeed(project, "dvc", "repro", "equivariant")
    assert stages_run(printed) == ["equivariant"]
    basis = eb.load_basis(project / "bases" / "equivariant" / "d4_3x3_to_3x3.h5")
    assert basis.group == "d4"
    assert basis.rank == 15
    set_parameter(project)
    printed = succeed(project, "dvc", "repro", "equivariant")
    assert stages_run(printed) == []  # those of c4 come back from DVC's cache
    assert hashes(project, BASES).keys() == set(BASES)


def test_another_solver_gives_the_same_basis(project: Path) -> None:
    path = project / "bases" / "invariant" / "c4_6x6.h5"
    before = eb.load_basis(path)
    set_parameter(project, solver="orbits")
    assert stages_run(succeed(project, "dvc", "repro", "invariant")) == ["invariant"]
    after = eb.load_basis(path)
    assert (before.solver, after.solver) == ("svd", "orbits")
    assert eb.content_sha256(after) == eb.content_sha256(before)


@pytest.mark.slow
def test_another_width_trains_that_classifier_alone(project: Path) -> None:
    changed = json.loads(json.dumps(USUAL["classify"]))
    changed["models"]["cnn_c4"]["fields"] = [2, 1, 2]
    set_parameter(project, classify=changed)
    printed = succeed(project, "dvc", "repro", "evaluate_classifiers")
    assert stages_run(printed) == [
        "kernels@cnn_c4", "train_classifier@cnn_c4", "evaluate_classifiers",
    ]  # fmt: skip
    status = json.loads(succeed(project, "dvc", "status", "--json"))
    assert status.keys() == {"report_classifiers"}


@pytest.mark.slow
def test_classifiers_are_run_or_not_as_the_parameters_say(project: Path) -> None:
    reports = project / "reports"
    set_parameter(project, classify=USUAL["classify"] | {"run": ["cnn"]})  # type: ignore[operator]
    succeed(project, "dvc", "repro", "report_classifiers")
    metrics = json.loads((reports / "classification.json").read_text(encoding="utf-8"))
    assert list(metrics) == ["cnn"]
    assert [path.name for path in (reports / "predictions").iterdir()] == ["cnn.csv"]
    assert not (reports / "figures" / "classifiers" / "kernels.png").exists()
    printed = succeed(project, "dvc", "exp", "run", "-S", "classify.run=[]")
    assert stages_run(printed) == ["evaluate_classifiers", "report_classifiers"]
    assert json.loads((reports / "classification.json").read_text(encoding="utf-8")) == {}
    assert not list((reports / "figures" / "classifiers").iterdir())
    assert "up to date" in succeed(project, "dvc", "repro")


def test_nothing_is_needed_of_classifiers_that_are_off(tmp_path: Path) -> None:
    off = USUAL | {"classify": {**USUAL["classify"], "run": []}}  # type: ignore[dict-item]
    folder = copy_of_this_project(tmp_path / "project", off, code_as_one=True)
    assert stages_run(succeed(folder, "dvc", "repro", "report_classifiers")) == [
        "prepare", "evaluate_classifiers", "report_classifiers",
    ]  # fmt: skip


def test_an_impossible_parameter_stops_the_run_with_one_line_that_names_it(project: Path) -> None:
    set_parameter(project, train=USUAL["train"] | {"lr": -1.0})  # type: ignore[operator]
    done = attempt(project, "dvc", "repro", "train_plain@standard")
    assert done.returncode != 0
    (complaint,) = [line for line in done.stderr.splitlines() if line.startswith("equibasis: ")]
    assert "train.lr" in complaint
    assert "Traceback" not in done.stderr


def test_a_lost_basis_is_brought_back_from_the_cache(project: Path) -> None:
    before = hashes(project, BASES)
    (project / BASES[0]).unlink()
    assert stages_run(succeed(project, "dvc", "repro", "equivariant")) == []
    assert hashes(project, BASES) == before


# --- metrics -------------------------------------------------------------------------------------


def test_dvc_shows_the_metrics(finished: Path) -> None:
    shown = json.loads(succeed(finished, "dvc", "metrics", "show", "--json"))
    (workspace,) = shown.values()
    assert workspace["data"]["reports/metrics.json"]["data"] == json.loads(
        (finished / "reports" / "metrics.json").read_text(encoding="utf-8")
    )


def test_experiments_run_in_a_fresh_clone_where_other_stages_never_ran(
    finished: Path, tmp_path: Path
) -> None:
    clone = tmp_path / "clone"
    succeed(tmp_path, "git", "clone", "--quiet", str(finished), str(clone))
    for setting in ("user.name", "user.email"):
        succeed(clone, "git", "config", setting, "tests@example.org")
    printed = succeed(clone, "dvc", "exp", "run", "-S", "image_size=7", "prepare")
    assert "Ran experiment" in printed
