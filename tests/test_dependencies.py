"""Every stage runs the code of its own tree, and dvc.yaml declares all that a stage depends on."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.api import DVCFileSystem
from dvc.repo import Repo

import forks
import projects
from digit_models import meaningless_digits
from digits.data import save_digits
from digits.parameters import Parameters, load_parameters
from digits.stages import (
    bases,
    evaluate,
    evaluate_classifiers,
    kernels,
    prepare,
    report,
    train,
)
from projects import (
    CLASSIFIERS,
    PARAMETERS,
    REPOSITORY,
    USUAL,
    FirstRun,
    attempt,
    commit,
    copy_of_this_project,
    environment,
    run,
    stages_here,
)

# The stages as dvc.yaml has them, and the command of each.
COMMANDS = {
    "prepare": ["prepare"],
    "equivariant": ["bases", "equivariant"],
    "invariant": ["bases", "invariant"],
    "train_plain@standard": ["train", "standard"],
    "train_plain@standard_augmented": ["train", "standard_augmented"],
    "train_equivariant@equivariant": ["train", "equivariant"],
    "train_equivariant@equivariant_attention": ["train", "equivariant_attention"],
    "evaluate": ["evaluate"],
    "report": ["report"],
    **{f"kernels@{name}": ["kernels", name] for name in CLASSIFIERS},
    **{f"train_classifier@{name}": ["train", name] for name in CLASSIFIERS},
    "evaluate_classifiers": ["score"],
    "report_classifiers": ["tabulate"],
}


def resolved_stages(project: Path) -> dict[str, dict[str, Any]]:
    """Commands, dependencies, parameters and outputs by stage, as DVC understands dvc.yaml."""
    with Repo(str(project)) as repo:
        return {
            stage.name: {
                "cmd": stage.cmd,
                "deps": [dep.def_path for dep in stage.deps if dep.def_path != "params.yaml"],
                "params": [
                    name
                    for dep in stage.deps
                    if dep.def_path == "params.yaml"
                    for name in dep.params
                ],
                "outs": [out.def_path for out in stage.outs],
            }
            for stage in repo.index.stages
        }


@pytest.fixture(scope="module")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> FirstRun:
    return projects.first_run(tmp_path_factory)


@pytest.fixture(scope="module")
def project(first_run: FirstRun) -> Path:
    """This project after its first run; to look at, not to change."""
    return first_run.folder


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This project as it is before its first run; to look at, not to change."""
    return copy_of_this_project(tmp_path_factory.mktemp("new") / "project", USUAL)


@pytest.fixture(scope="module")
def stages(new: Path) -> dict[str, dict[str, Any]]:
    return resolved_stages(new)


@pytest.fixture(scope="module")
def imported(first_run: FirstRun) -> dict[str, set[str]]:
    """The files of the project that each stage imports, by a real run of its command."""
    return {
        stage: {file for file in first_run.imported[" ".join(arguments)] if is_ours(file)}
        | {"pipeline/__main__.py"}
        for stage, arguments in COMMANDS.items()
    }


def is_ours(file: str) -> bool:
    return "pipeline" in Path(file).parts


def is_declared(file: str, dependencies: list[str]) -> bool:
    return any(file == each or file.startswith(f"{each}/") for each in dependencies)


# --- what a stage imports ------------------------------------------------------------------------


def test_the_commands_are_those_of_dvc_yaml(stages: dict[str, dict[str, Any]]) -> None:
    assert {stage: each["cmd"] for stage, each in stages.items()} == {
        stage: " ".join(["python", "pipeline", *arguments]) for stage, arguments in COMMANDS.items()
    }


@pytest.mark.parametrize("stage", COMMANDS)
@pytest.mark.slow
def test_every_module_that_a_stage_imports_is_a_dependency_of_it(
    stage: str, stages: dict[str, dict[str, Any]], imported: dict[str, set[str]]
) -> None:
    declared = stages[stage]["deps"]
    assert {file for file in imported[stage] if not is_declared(file, declared)} == set()


@pytest.mark.parametrize("stage", COMMANDS)
def test_every_dependency_on_code_is_used(
    stage: str, stages: dict[str, dict[str, Any]], imported: dict[str, set[str]]
) -> None:
    code = [each for each in stages[stage]["deps"] if each.startswith("pipeline/")]
    files = {*imported[stage], "pipeline/equibasis/__init__.pyi"}
    assert [each for each in code if not any(is_declared(file, [each]) for file in files)] == []


@pytest.mark.parametrize("stage", ["prepare", "train_plain@standard"])
def test_what_needs_no_symmetry_does_not_depend_on_it(
    stage: str, stages: dict[str, dict[str, Any]]
) -> None:
    wings = ("linalg", "symmetry", "solvers", "artifact", "nn", "show", "audit")
    assert not [each for each in stages[stage]["deps"] if each.split("/")[-1] in wings]


def test_a_changed_line_in_any_module_of_a_stage_makes_dvc_status_name_it(
    solving: Path, imported: dict[str, set[str]]
) -> None:
    with Repo(str(solving)) as repo, repo.lock:
        (stage,) = repo.index.stages
        assert stage.status() == {}
        for file in sorted(imported["equivariant"]):
            source = solving / file
            before = source.read_bytes()
            source.write_bytes(before + b"# another line\n")
            ((changed,),) = stage.status().values()
            assert len(changed["changed deps"]) == 1
            source.write_bytes(before)
        assert stage.status() == {}


# --- which parameters it reads -------------------------------------------------------------------


@pytest.mark.parametrize("stage", COMMANDS)
def test_every_parameter_that_a_stage_reads_is_declared(
    stage: str, stages: dict[str, dict[str, Any]], first_run: FirstRun
) -> None:
    read, declared = first_run.read[" ".join(COMMANDS[stage])], stages[stage]["params"]
    assert bool(read) == bool(declared)
    assert {each for each in read if not any(f"{each}.".startswith(f"{d}.") for d in declared)} == (
        set()
    )


@pytest.mark.slow
def test_running_a_stage_of_each_kind_again_gives_the_same_bytes(
    project: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(project, tmp_path / "project", symlinks=True))
    with stages_here(folder):
        parameters = load_parameters()
        prepare.run(parameters)
        bases.run(parameters, "equivariant")
        kernels.run(parameters, "cnn_d4")
        for model in ("standard_augmented", "equivariant_attention", "cnn_augmented"):
            train.run(parameters, model)
        evaluate.run(parameters)
        evaluate_classifiers.run(parameters)
        report.run(parameters)
    assert run(folder, "git", "status", "--porcelain") == ""
    assert json.loads(run(folder, "dvc", "status", "--json")) == {}


# --- no parameter in a command or a path ---------------------------------------------------------


def test_no_parameter_is_part_of_a_command_or_a_path_but_for_names_of_classifiers() -> None:
    text = (REPOSITORY / "dvc.yaml").read_text(encoding="utf-8")
    assert set(re.findall(r"\$\{.*?\}", text)) == {"${item}", "${classify.run}"}
    for stage in yaml.safe_load(text)["stages"].values():
        items = stage.get("foreach", [])
        assert items == "${classify.run}" or all(re.fullmatch(r"[a-z0-9_]+", it) for it in items)


def test_a_name_that_is_none_of_the_models_reaches_no_shell(new: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(new, tmp_path / "project", symlinks=True))
    for name in ("cnn_c8", "cnn; touch PWNED", "$(touch PWNED)"):
        parameters = USUAL | {"classify": USUAL["classify"] | {"run": [name]}}  # type: ignore[operator]
        (copy / "params.yaml").write_text(yaml.safe_dump(parameters), encoding="utf-8")
        assert attempt(copy, "dvc", "repro", "report_classifiers").returncode != 0
        assert not (copy / "PWNED").exists()


NASTY = ["c4'$(touch PWNED)\"; touch PWNED", "c4\ntouch PWNED", "../c4", "--help"]


@pytest.mark.parametrize(
    ("name", "stage", "value"),
    [("group", "invariant", value) for value in NASTY]
    + [("solver", "invariant", NASTY[0]), ("data.source", "prepare", NASTY[0])],
)
def test_a_parameter_reaches_no_shell_and_no_path(
    name: str, stage: str, value: str, project: Path, tmp_path: Path
) -> None:
    parameters = json.loads(json.dumps(PARAMETERS))
    section, _, key = name.rpartition(".")
    (parameters[section] if section else parameters)[key] = value
    for each in ("pipeline", "groups"):
        (tmp_path / each).symlink_to(project / each)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(parameters), encoding="utf-8")
    (tmp_path / "data").mkdir()
    before = sorted(tmp_path.iterdir())
    done = attempt(tmp_path, "python", "pipeline", *COMMANDS[stage])
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert sorted(path for path in tmp_path.iterdir() if path.name != "bases") == before
    assert not list(tmp_path.glob("bases/*/*"))


def write_digits(folder: Path, size: int) -> None:
    """A few digits of no meaning, where the stages look for them."""
    save_digits(meaningless_digits(30, 10, size), folder / "data" / "digits.h5")


def test_equal_sizes_are_one_problem_and_train(tmp_path: Path) -> None:
    parameters = Parameters.model_validate(USUAL | {"image_size": 4, "hidden_sizes": [4, 4]})
    for name in ("data", "bases", "models", "reports"):
        (tmp_path / name).mkdir()
    write_digits(tmp_path, 4)
    with stages_here(tmp_path):
        bases.run(parameters, "equivariant")
        bases.run(parameters, "invariant")
        train.run(parameters, "equivariant_attention")
    files = [path.name for path in (tmp_path / "bases" / "equivariant").glob("*.h5")]
    assert files == ["c4_4x4_to_4x4.h5"]
    assert (tmp_path / "models" / "equivariant_attention.safetensors").exists()


@pytest.mark.parametrize(
    ("image", "hidden"), [(6, [4, 4]), (4, [4, 2]), (4, [2, 4]), (14, [6, 3])], ids=str
)
def test_each_pair_of_sizes_along_the_network_is_solved_once(image: int, hidden: list[int]) -> None:
    parameters = Parameters(image_size=image, hidden_sizes=hidden)
    sizes = [image, *hidden, hidden[0], image]
    pairs = {*itertools.pairwise(sizes), (hidden[1], hidden[1])}
    found = bases.problems(parameters, "equivariant")
    assert len(found) == len(set(found))
    assert set(found) == {(f"{a}x{a}", f"{b}x{b}") for a, b in pairs}
    assert set(bases.problems(parameters, "invariant")) == {(None, f"{a}x{a}") for a in sizes}


# --- the tree's own code -------------------------------------------------------------------------


def marked(folder: Path, text: str) -> None:
    """Change the code of a stage: it leaves a text beside the bases that it makes."""
    source = folder / "pipeline" / "digits" / "stages" / "bases.py"
    code = source.read_text(encoding="utf-8").partition("# changed")[0]
    source.write_text(
        f"{code}# changed\n_run = run\n\n\ndef run(parameters, kind):\n"
        f"    _run(parameters, kind)\n    (BASES / kind / 'code.txt').write_text({text!r})\n",
        encoding="utf-8",
    )


def code_of(folder: Path) -> str:
    return (folder / "bases" / "equivariant" / "code.txt").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def solved_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this project that only solves, and has; to copy, not to change."""
    stages = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    others = stages.keys() - {"equivariant"}
    folder = tmp_path_factory.mktemp("solved") / "project"
    copy_of_this_project(folder, **dict.fromkeys(others))
    run(folder, "dvc", "repro")
    commit(folder)
    return folder


@pytest.fixture
def solving(solved_once: Path, tmp_path: Path) -> Path:
    """A copy of this project that only solves, to change."""
    return Path(shutil.copytree(solved_once, tmp_path / "project", symlinks=True))


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment in which the package of another clone is installed: this one's."""
    monkeypatch.setattr("projects.package_of", lambda folder: REPOSITORY / "pipeline")


@pytest.mark.usefixtures("foreign")
def test_two_worktrees_run_each_its_own_code_side_by_side_whatever_is_installed(
    solving: Path,
) -> None:
    assert not (solving / "bases" / "equivariant" / "code.txt").exists()
    trees = []
    for text in ("one", "two"):
        tree = solving.parent / text
        run(solving, "git", "worktree", "add", "--quiet", tree, "-b", text)
        marked(tree, text)
        trees.append(tree)
    with contextlib.ExitStack() as both:
        said = both.enter_context((solving.parent / "said.txt").open("w+", encoding="utf-8"))
        running = [
            both.enter_context(forks.Running(["dvc", "repro"], tree, environment(tree), said))
            for tree in trees
        ]
        assert [process.wait(300) for process in running] == [0, 0], os.pread(
            said.fileno(), 9999, 0
        )
    assert [code_of(tree) for tree in trees] == ["one", "two"]


# The tree's package, cut down to one deed: once two experiments are under way, leave a text.
DEED = """
import pathlib, sys, time

meeting = pathlib.Path({meeting!r})
(meeting / {text!r}).touch()
began = time.monotonic()
while len(list(meeting.iterdir())) < 2:
    assert time.monotonic() < began + 100, "no other experiment runs beside this one"
    time.sleep(0.05)
made = pathlib.Path("bases", "equivariant")
made.mkdir(exist_ok=True)
(made / "code.txt").write_text({text!r})
sys.exit()
"""


@pytest.mark.usefixtures("foreign")
@pytest.mark.slow
def test_queued_experiments_run_side_by_side_each_the_code_that_it_was_made_with(
    solving: Path, tmp_path: Path
) -> None:
    meeting = tmp_path / "meeting"
    meeting.mkdir()

    def change_code(text: str) -> None:
        package = solving / "pipeline" / "equibasis" / "__init__.py"
        package.write_text(DEED.format(meeting=str(meeting), text=text), encoding="utf-8")

    texts = ["one", "two", "three"]
    for text in texts:
        change_code(text)
        run(solving, "dvc", "exp", "run", "--queue", "--name", f"exp-{text}")
    change_code("four")  # what the tree has when the queue runs is another code yet
    try:  # `dvc queue start`, and waiting
        run(solving, "dvc", "exp", "run", "--run-all", "--jobs", "2")
    finally:
        run(solving, "dvc", "queue", "stop", "--kill")
    run(solving, "dvc", "exp", "run", "--temp", "--name", "exp-four")
    for text in [*texts, "four"]:
        made = DVCFileSystem(str(solving), rev=f"exp-{text}")
        assert made.read_text("bases/equivariant/code.txt") == text


# --- groups of the user's own --------------------------------------------------------------------

QUARTER = """
import numpy as np
import equibasis as eb
{more}

def turn(array, count):
    return np.rot90(array, {sign}count)

quarter = eb.Group("quarter", elements=(0, 1, 2, 3), transform=turn)
"""


def own_group(folder: Path, sign: str = "", place: str = "groups", more: str = "") -> None:
    (folder / place / "turns.py").write_text(QUARTER.format(sign=sign, more=more), encoding="utf-8")
    parameters = PARAMETERS | {"group": "turns:quarter"}
    (folder / "params.yaml").write_text(yaml.safe_dump(parameters), encoding="utf-8")


def solved(folder: Path) -> bytes:
    return (folder / "bases" / "equivariant" / "turns_quarter_6x6_to_4x4.h5").read_bytes()


def test_a_changed_group_of_the_users_own_is_solved_again(solving: Path) -> None:
    own_group(solving)
    assert "Running stage 'equivariant'" in run(solving, "dvc", "repro")
    before = solved(solving)
    assert "Running stage" not in run(solving, "dvc", "repro")
    own_group(solving, sign="-")
    assert "Running stage 'equivariant'" in run(solving, "dvc", "repro")
    assert solved(solving) != before
    own_group(solving)  # as it was first: from DVC's cache of runs
    assert "Running stage" not in run(solving, "dvc", "repro")
    assert solved(solving) == before


def test_a_changed_file_of_generators_is_solved_again(solving: Path) -> None:
    path = solving / "groups" / "six.yaml"
    parameters = PARAMETERS | {"group": "groups/six.yaml"}
    (solving / "params.yaml").write_text(yaml.safe_dump(parameters), encoding="utf-8")
    done = attempt(solving, "dvc", "repro")
    assert "cannot read the group groups/six.yaml" in done.stderr
    path.write_text("degree: 6\ngenerators: [[1, 0, 2, 3, 4, 5]]\n", encoding="utf-8")
    done = attempt(solving, "dvc", "repro")
    assert "its axes must have length 6" in done.stderr
    assert json.loads(run(solving, "dvc", "status", "--json")).keys() == {"equivariant"}


def test_a_group_that_no_stage_depends_on_is_refused(solving: Path) -> None:
    own_group(solving, place=".")
    done = attempt(solving, "dvc", "repro")
    assert done.returncode != 0
    (line,) = [each for each in done.stderr.splitlines() if each.startswith("equibasis: ")]
    assert "module 'turns' does not import: it is neither on Python's path nor in" in line
    assert line.endswith("groups: put it there")
    (solving / "turns.py").rename(solving / "groups" / "turns.py")
    run(solving, "dvc", "repro")


def test_a_module_that_the_groups_own_module_imports_is_watched_too(
    solving: Path, tmp_path: Path
) -> None:
    own_group(solving, more="import helper")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for folder in (elsewhere, solving):
        helper = folder / "helper.py"
        helper.write_text("", encoding="utf-8")
        done = attempt(solving, "dvc", "repro", PYTHONPATH=str(folder))
        assert "helper.py, whose changes no stage would see: move it to groups/" in done.stderr
    helper.rename(solving / "groups" / "helper.py")
    run(solving, "dvc", "repro")
    assert "up to date" in run(solving, "dvc", "repro")
    (solving / "groups" / "helper.py").write_text("# changed", encoding="utf-8")
    assert json.loads(run(solving, "dvc", "status", "--json")).keys() == {"equivariant"}


def test_a_module_that_a_transform_imports_when_it_is_called_is_watched_too(
    solving: Path, tmp_path: Path
) -> None:
    own_group(solving)
    path = solving / "groups" / "turns.py"
    late = "def turn(array, count):\n    import helper\n"
    path.write_text(path.read_text().replace("def turn(array, count):\n", late), encoding="utf-8")
    (solving / "helper.py").write_text("", encoding="utf-8")
    assert "No module named 'helper'" in attempt(solving, "dvc", "repro").stderr
    done = attempt(solving, "dvc", "repro", PYTHONPATH=str(solving))
    assert "helper.py, whose changes no stage would see: move it to groups/" in done.stderr
    assert not list(solving.glob("bases/equivariant/*.h5"))


@pytest.mark.parametrize("name", ["calendar", "digits"])
def test_a_module_in_groups_of_an_installed_ones_name_is_refused(name: str, solving: Path) -> None:
    own_group(solving)
    (solving / "groups" / "turns.py").rename(solving / "groups" / f"{name}.py")
    parameters = PARAMETERS | {"group": f"{name}:quarter"}
    (solving / "params.yaml").write_text(yaml.safe_dump(parameters), encoding="utf-8")
    done = attempt(solving, "python", "pipeline", "bases", "equivariant")
    assert f"groups/{name}.py: give yours a name of its own" in done.stderr


def test_the_command_that_makes_the_bases_of_a_group_in_groups_is_the_stage(solving: Path) -> None:
    own_group(solving)
    write_digits(solving, 6)
    done = attempt(solving, "python", "pipeline", "train", "equivariant")
    assert "make it with 'python pipeline bases equivariant'" in done.stderr


def test_a_python_without_what_a_stage_needs_is_told(solving: Path) -> None:
    for missing in ("click", "h5py"):
        code = (
            f"import runpy, sys; sys.modules[{missing!r}] = None; "
            "sys.argv = ['pipeline', 'bases', 'invariant']; "
            "runpy.run_path('pipeline', run_name='__main__')"
        )
        done = attempt(solving, sys.executable, "-c", code)
        assert done.returncode == 2
        assert f"{sys.executable} has no module '{missing}'" in done.stderr
        assert done.stderr.count("\n") == 1


def test_the_parameters_that_the_stages_declare_are_all_there_are() -> None:
    names = set(Parameters.model_fields)
    stages = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    declared = {
        name.partition(".")[0]
        for stage in stages.values()
        for name in stage.get("do", stage).get("params", [])
    }
    assert declared == names
    assert os.path.exists(REPOSITORY / "groups")  # noqa: PTH110
