"""A plain installation, in a real environment: what works, and what names the extra it needs."""

from __future__ import annotations

import configparser
import json
import os
import venv
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import equibasis as eb
from conftest import Outcome
from in_forks import in_forks
from projects import REPOSITORY

PIPELINE = Path(eb.__file__).parents[1]

NN = "pip install 'equibasis[nn]'"
ALL = "pip install 'equibasis[pipeline]'"
CLUSTER = "pip install 'equibasis[cluster]'"


def required(names: list[str]) -> dict[str, Distribution]:
    """The distributions that some requirements need, and all that these need in turn."""
    found: dict[str, Distribution] = {}
    while names:
        requirement = Requirement(names.pop())
        marker = requirement.marker
        if requirement.name not in found and (marker is None or marker.evaluate({"extra": ""})):
            try:
                found[requirement.name] = distribution(requirement.name)
            except PackageNotFoundError:
                pytest.skip(f"{requirement.name} is not installed as a distribution")
            names += found[requirement.name].requires or []
    return found


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with what setup.cfg requires, and nothing else."""
    setup = configparser.ConfigParser()
    setup.read(REPOSITORY / "setup.cfg")
    folder = tmp_path_factory.mktemp("plain") / "venv"
    venv.create(folder, symlinks=os.name != "nt", with_pip=False)
    (site,) = folder.glob("lib/python*/site-packages")
    for each in required(setup["options"]["install_requires"].split("\n")[1:]).values():
        for top in {file.parts[0] for file in each.files or () if file.parts[0] != ".."}:
            if not (site / top).exists() and top != "__pycache__":
                (site / top).symlink_to(Path(str(each.locate_file(top))))
    (site / "equibasis").symlink_to(PIPELINE / "equibasis")
    return folder / "bin" / "python"


if os.name != "posix":
    pytest.skip("makes an environment of links", allow_module_level=True)


PLAIN = [
    "solve b.h5 --group d4 --output 3x3",
    "solve b.h5 --group mirror.json --output 2",
    "verify a.h5",
    "show a.h5",
    "show a.h5 --out a.png",
    "export a.h5 a.mtx",
    "cache ls",
    "audit -h",
    "mend -h",
]
NEEDING = {
    "solve b.h5 --group mirror.yaml --output 2": (
        f"group mirror.yaml: YAML, unlike JSON, needs yaml, which is not installed: {ALL}"
    ),
    "solve b.h5 --group mirror.yml --output 2": (
        f"group mirror.yml: YAML, unlike JSON, needs yaml, which is not installed: {ALL}"
    ),
    "export a.h5 a.safetensors": (
        f"an export to .safetensors needs safetensors, which is not installed: {NN}"
    ),
    "sweep s.yaml": f"a sweep needs pydantic, which is not installed: {CLUSTER}",
    "mend": f"this command needs dvc, which is not installed: {ALL}",
    "audit": ALL,
}
STAGES = ["prepare", "bases invariant", "train standard", "evaluate", "report"]
PYTHON = {
    "import equibasis.nn": f"equibasis.nn needs torch, which is not installed: {NN}",
    "from equibasis.nn.layers import EquivariantLinear": f"equibasis.nn needs torch, which {NN}",
    "eb.load_basis('b.h5', repo='.')": f"b.h5 in . needs dvc, which is not installed: {ALL}",
    "eb.load_basis('b.h5', rev='v1')": f"b.h5 at v1 needs dvc, which is not installed: {ALL}",
    "eb.solve(group='mirror.yaml', output='2')": (
        f"YAML, unlike JSON, needs yaml, which is not installed: {ALL}"
    ),
}
LACKING = "solve b.h5 --group lacking:g --output 2"

# What commands import in any case is imported once.
BEFORE = """
import os, runpy, sys, rich.table, equibasis as eb, equibasis.cli
eb.solve(group="c4", output="2x2")
"""
LISTED = "print(sorted(os.listdir()))"


def command(line: str) -> str:
    """The program of ``python -m equibasis ...``."""
    argv = ["equibasis", *line.split()]
    return f"sys.argv = {argv!r}; runpy.run_module('equibasis', run_name='__main__')"


def stage(line: str) -> str:
    """The program of ``python pipeline ...``."""
    argv = [str(PIPELINE), *line.split()]
    return f"sys.argv = {argv!r}; runpy.run_path(sys.argv[0], run_name='__main__')"


def python(line: str) -> str:
    return f"try: {line}\nexcept eb.MissingExtraError as error: print(error)"


@pytest.fixture(scope="module")
def outcomes(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """What each program comes to in that environment: forks of one process, one after the other."""
    folder = tmp_path_factory.mktemp("extras")
    eb.save_basis(eb.solve(group="c4", output="3x3"), folder / "a.h5")
    mirror = {"degree": 2, "generators": [[1, 0]]}
    for ending in ("json", "yaml", "yml"):
        (folder / f"mirror.{ending}").write_text(json.dumps(mirror))
    (folder / "params.yaml").write_text("{}")
    (folder / "lacking.py").write_text("import nonsense_of_nobody")
    programs = [
        LISTED,
        *map(command, NEEDING),
        f"{LISTED}  # afterwards",
        *map(command, [*PLAIN, LACKING]),
        *map(stage, STAGES),
        *map(python, PYTHON),
    ]
    cleared = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    found = in_forks(
        programs,
        folder,
        before=BEFORE,
        python=[plain],
        environment=cleared | {"EQUIBASIS_CACHE": str(folder / "cache")},
    )
    return dict(zip(programs, found, strict=True))


@pytest.mark.parametrize("line", PLAIN)
@pytest.mark.slow
def test_what_needs_no_extra_works_without(outcomes, line):
    outcome = outcomes[command(line)]
    assert (outcome.status, outcome.err) == (0, "")


@pytest.mark.parametrize(("line", "says"), NEEDING.items(), ids=NEEDING)
def test_a_command_that_needs_an_extra_names_it_in_one_line(outcomes, line, says):
    outcome = outcomes[command(line)]
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.startswith("equibasis: ")
    assert outcome.err.endswith(f"{says}\n")
    assert len(outcome.err.splitlines()) == 1


def test_and_leaves_nothing_behind(outcomes):
    assert "a.h5" in outcomes[LISTED].out
    assert outcomes[LISTED] == outcomes[f"{LISTED}  # afterwards"]


@pytest.mark.parametrize("line", STAGES)
def test_every_stage_names_the_extra_of_the_pipeline(outcomes, line):
    outcome = outcomes[stage(line)]
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.startswith(f"equibasis: stage {line.split()[0]} needs ")
    assert outcome.err.endswith(f", which is not installed: {ALL}\n")
    assert len(outcome.err.splitlines()) == 1


@pytest.mark.parametrize(("doing", "says"), PYTHON.items(), ids=PYTHON)
def test_in_python_it_is_an_error_of_ours_and_an_import_error(outcomes, doing, says):
    outcome = outcomes[python(doing)]
    assert issubclass(eb.MissingExtraError, eb.EquibasisError)
    assert issubclass(eb.MissingExtraError, ModuleNotFoundError)
    assert (outcome.status, outcome.err) == (0, "")
    assert all(part in outcome.out for part in says.split(", which "))


def test_what_is_missing_and_is_of_no_extra_is_told_as_it_is(outcomes):
    outcome = outcomes[command(LACKING)]
    assert (outcome.status, "pip" in outcome.err) == (2, False)
    assert "No module named 'nonsense_of_nobody'" in outcome.err


def test_the_extras_that_errors_name_are_those_of_setup_cfg():
    from equibasis.errors import _EXTRAS

    setup = configparser.ConfigParser()
    setup.read(REPOSITORY / "setup.cfg")
    imported = {"pillow": "PIL", "pyyaml": "yaml", "scikit-learn": "sklearn"}
    imported["lightning-fabric"] = "lightning_fabric"
    for extra, modules in _EXTRAS.items():
        lines = setup["options.extras_require"][extra].split("\n")[1:]
        names = {Requirement(line).name for line in lines} - {"equibasis"}
        assert {imported.get(name, name) for name in names} == set(modules)
