"""Projects with real Git and DVC in folders of their own, for tests that change, kill and audit."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from filelock import FileLock

import equibasis as eb
import forks
from equibasis.symmetry import user_module

REPOSITORY = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent

# Small and quick, whatever params.yaml says.
PARAMETERS = {
    "group": "c4",
    "solver": "svd",
    "image_size": 6,
    "hidden_sizes": [4, 2],
    "data": {"source": "mnist5k", "root": "data/raw"},
    "train": {
        "epochs": 30, "lr": 0.001, "batch_size": 128, "seed": 42,
        "bias": "invariant", "start": "reference", "device": "cpu",
        "devices": 1, "strategy": "auto", "precision": "32-true",
    },
    "classify": {
        "run": ["cnn", "cnn_augmented", "cnn_c4", "cnn_d4"],
        "epochs": 1, "lr": 0.01, "batch_size": 64, "seed": 42,
        "models": {
            "cnn": {"group": "trivial", "fields": [4, 4, 4], "rotate": False},
            "cnn_augmented": {"group": "trivial", "fields": [4, 4, 4], "rotate": True},
            "cnn_c4": {"group": "c4", "fields": [2, 2, 2], "rotate": False},
            "cnn_d4": {"group": "d4", "fields": [1, 2, 3], "rotate": False},
        },
    },
    "evaluate": {"seed": 0},
}  # fmt: skip

# The sizes that params.yaml has, and no long training.
USUAL = PARAMETERS | {
    "image_size": 14,
    "hidden_sizes": [6, 3],
    "train": PARAMETERS["train"] | {"epochs": 2},
}


CLASSIFIERS: list[str] = PARAMETERS["classify"]["run"]  # type: ignore[index,assignment]

NO_STAGE_NEEDS = ("benchmarks", "docs", "examples", "tests")


class FailedError(Exception):
    """A command that had to succeed, and what it printed."""


def package_of(folder: Path) -> Path:
    """Where Python finds the package in a folder: its own, if it has one, else this project's."""
    own = folder / "pipeline"
    return own if own.is_dir() else Path(eb.__file__).parents[1]


def environment(folder: Path) -> dict[str, str]:
    """This Python's programs first, the folder's package if it has one, nobody's own settings."""
    cleared = {name: text for name, text in os.environ.items() if not name.startswith("GIT_")}
    return cleared | {
        "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "PYTHONPATH": str(package_of(folder)),
        "DVC_NO_ANALYTICS": "1",
        "DVC_GLOBAL_CONFIG_DIR": str(folder.parent / "dvc-global"),
        "DVC_SYSTEM_CONFIG_DIR": str(folder.parent / "dvc-system"),
        "DVC_SITE_CACHE_DIR": str(folder.parent / "dvc-site"),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
    }


def attempt(folder: Path, *command: object, **more: str) -> subprocess.CompletedProcess[str]:
    """A command in a folder; ``more`` is added to its environment."""
    return forks.run(list(map(str, command)), folder, environment(folder) | more, timeout=900)


def run(folder: Path, *command: object) -> str:
    """What a command prints, which has to exit with 0."""
    done = attempt(folder, *command)
    if done.returncode:
        raise FailedError(f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}")
    return done.stdout + done.stderr


@contextlib.contextmanager
def stages_here(folder: Path) -> Iterator[None]:
    """A folder in which stages run in this process; torch computes afterwards as before.

    And modules of the user's are looked for where they were before.
    """
    import torch

    threads, mode = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(user_module, "_chosen", user_module._chosen)
        yield
    torch.set_deterministic_debug_mode(mode)
    torch.set_num_threads(threads)


def start_git(folder: Path) -> None:
    run(folder, "git", "init", "--quiet")
    for setting in ("user.name", "user.email"):
        run(folder, "git", "config", setting, "tests@example.org")


def finish(folder: Path) -> Path:
    """A folder with a pipeline, made a repository, run and committed."""
    start_git(folder)
    run(folder, "dvc", "init", "--quiet")
    commit(folder)
    run(folder, "dvc", "repro")
    commit(folder)
    return folder


def commit(folder: Path, message: str = "Changes") -> None:
    run(folder, "git", "add", "--all")
    run(folder, "git", "commit", "--quiet", "--message", message)


def pack(folder: Path) -> None:
    """Have Git keep what it knows in one file: a folder that is copied often is copied faster."""
    run(folder, "git", "gc", "--quiet")


def copy_of_this_project(
    folder: Path,
    parameters: dict[str, Any] = PARAMETERS,
    lock: bool = False,
    code_as_one: bool = False,
    whole: bool = False,
    **stages: Any,
) -> Path:
    """What Git tracks or would track of this project, with these parameters, committed.

    What no stage needs is left out unless ``whole``, and dvc.lock unless ``lock``. With
    ``code_as_one`` each stage depends on all code as one folder: DVC takes seconds a stage to write
    down hundreds of dependencies. ``stages`` replaces definitions in dvc.yaml; those set to None
    are left out, and so are all plots.
    """
    listed = run(REPOSITORY, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        if name.partition("/")[0] in NO_STAGE_NEEDS and not whole:
            continue
        if (REPOSITORY / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, folder / name)
    (folder / "params.yaml").write_text(yaml.safe_dump(parameters), encoding="utf-8")
    if not lock:
        (folder / "dvc.lock").unlink(missing_ok=True)
    pipeline = yaml.safe_load((folder / "dvc.yaml").read_text(encoding="utf-8"))
    if stages:
        del pipeline["plots"]
        pipeline["stages"] |= stages
        pipeline["stages"] = {name: each for name, each in pipeline["stages"].items() if each}
    if code_as_one:
        for stage in pipeline["stages"].values():
            each = stage.get("do", stage)
            others = [path for path in each["deps"] if not path.startswith("pipeline/")]
            each["deps"] = ["pipeline", *others]
    if stages or code_as_one:
        (folder / "dvc.yaml").write_text(yaml.safe_dump(pipeline, sort_keys=False), "utf-8")
    start_git(folder)
    commit(folder, "The project")
    return folder


def edit_lock(project: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Change the stages of dvc.lock by hand, and commit it."""
    path = project / "dvc.lock"
    lock = yaml.safe_load(path.read_text(encoding="utf-8"))
    edit(lock["stages"])
    path.write_text(yaml.safe_dump(lock, sort_keys=False), encoding="utf-8")
    commit(project)


def flipped(digest: str) -> str:
    """Another hash, differing in one digit."""
    return ("0" if digest[0] != "0" else "1") + digest[1:]


# --- this project, run once for all tests ---------------------------------------------------------


@dataclass(frozen=True)
class FirstRun:
    """A copy of this project after its first `dvc repro`, committed; to look at, not to change."""

    folder: Path
    printed: str
    complaints: str
    imported: dict[str, list[str]]  # by a stage's command: files of the project, as posix paths
    read: dict[str, list[str]]  # by a stage's command: the names of parameters


def first_run(factory: pytest.TempPathFactory) -> FirstRun:
    """The first run of this project, with `USUAL` parameters."""
    found = _made_once(factory, "first-run", _run_for_the_first_time)
    run_first = FirstRun(**json.loads(found.read_text(encoding="utf-8")))
    return replace(run_first, folder=Path(run_first.folder))


def solved_project(folder: Path, factory: pytest.TempPathFactory) -> Path:
    """A copy of this project that only solves for the bases of its autoencoders, and has."""
    made = Path(_made_once(factory, "solved", _solve).read_text(encoding="utf-8"))
    return Path(shutil.copytree(made, folder, symlinks=True))


def _made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], str]) -> Path:
    """A file of what ``make`` returns, called in a folder by the test that asks first.

    Processes of pytest-xdist share it.
    """
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    found = base / name / "found.json"
    with FileLock(base / f"{name}.lock"):
        if not found.exists():
            found.parent.mkdir()
            found.write_text(make(found.parent), encoding="utf-8")
    return found


def _solve(base: Path) -> str:
    stages = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    others = dict.fromkeys(stages.keys() - {"equivariant", "invariant"})
    folder = copy_of_this_project(base / "project", USUAL, **others)
    run(folder, "dvc", "repro")
    commit(folder, "Bases")
    pack(folder)
    return str(folder)


def _run_for_the_first_time(base: Path) -> str:
    folder, told = base / "project", base / "told"
    told.mkdir()
    shutil.copy2(REPOSITORY / "tests" / "telling.py", told / "sitecustomize.py")
    copy_of_this_project(folder, USUAL, code_as_one=True)
    done = attempt(
        folder, "dvc", "repro",
        PYTHONPATH=os.pathsep.join(map(str, (told, package_of(folder)))), TOLD=str(told),
    )  # fmt: skip
    if done.returncode:
        raise FailedError(f"{done.stdout}{done.stderr}")
    commit(folder, "Results")
    pack(folder)
    found = {
        path.stem: json.loads(path.read_text(encoding="utf-8")) for path in told.glob("*.json")
    }
    imported = {
        command: [
            Path(file).relative_to(folder).as_posix()
            for file in each["imported"]
            if Path(file).is_relative_to(folder)
        ]
        for command, each in found.items()
    }
    read = {command: each["read"] for command, each in found.items()}
    found_first = FirstRun(folder, done.stdout, done.stderr, imported, read)
    return json.dumps(asdict(found_first), default=str)


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
    "squares": {
        "deps": ["data/numbers.txt", "code"],
        "outs": ["bases/squares.txt"],
        "params": ["size"],
    },
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


def small_project(folder: Path) -> Path:
    """A project with `PIPELINE`, a folder of code among its dependencies, run and committed."""
    for name in ("data", "bases", "models", "reports", "code"):
        (folder / name).mkdir(parents=True)
        (folder / name / ".gitkeep").touch()
    for name, text in SCRIPTS.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    for name in ("one", "two", "three"):
        (folder / "code" / f"{name}.py").write_text(f"# {name}\n", encoding="utf-8")
    (folder / "params.yaml").write_text("size: 3\n", encoding="utf-8")
    write_pipeline(folder, PIPELINE)
    return finish(folder)
