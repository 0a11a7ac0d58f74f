"""What imports what: solving stays light, and the arrows between modules point one way."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import equibasis

PACKAGE = Path(equibasis.__file__).parent
HEAVY = ("torch", "matplotlib", "dvc", "dvclive", "pandas", "sklearn", "torchvision", "PIL")

CORE = [
    "basis",
    "blocks",
    "cache",
    "canonical",
    "columns",
    "coordinates",
    "errors",
    "files",
    "groups",
    "orbits",
    "pictures",
    "plain_hdf5",
    "representations",
    "reynolds",
    "schema",
    "solvers",
    "spaces",
    "store",
    "verification",
    "workers",
]

# From the bottom up: a module imports only what stands before it.
LAYERS = [
    "errors",
    "files",
    "plain_hdf5",
    "schema",
    "columns",
    "spaces",
    "groups",
    "workers",
    "representations",
    "orbits",
    "reynolds",
    "blocks",
    "canonical",
    "coordinates",
    "basis",
    "verification",
    "pictures",
    "store",
    "solvers",
    "cache",
]


def sources(module: str) -> list[Path]:
    folder = PACKAGE / module
    return sorted(folder.glob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]


def source_of(module: str) -> str:
    return "".join(path.read_text(encoding="utf-8") for path in sources(module))


def imported(source: Path) -> set[str]:
    """Full names of all modules that a file imports, inside its functions too."""
    names = set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source}: imports are absolute"
            names.update({node.module, *(f"{node.module}.{alias.name}" for alias in node.names)})
    return names


def own(module: str) -> set[str]:
    """The modules of the package that a module imports."""
    names = {name for source in sources(module) for name in imported(source)}
    inside = {name.split(".")[1] for name in names if name.startswith("equibasis.")}
    return {name for name in inside if sources(name)[0].exists()} - {module}


@pytest.mark.parametrize("module", CORE)
def test_the_core_knows_nothing_of_layers_stages_pictures_and_the_command(module):
    assert not own(module) & {"nn", "stages", "cli", "figures", "tables", "__main__"}


@pytest.mark.parametrize("module", LAYERS)
def test_arrows_point_one_way(module):
    assert own(module) <= set(LAYERS[: LAYERS.index(module)])


@pytest.mark.parametrize("module", sorted({*CORE} - {"store", "files"}))
def test_the_store_alone_knows_the_file_format(module):
    assert not any("h5py" in imported(source) for source in sources(module))


def test_what_writes_hdf5_whole_knows_nothing_of_what_is_in_it():
    assert not [text for text in ("encoding-type", "attrs", "sha256") if text in source_of("files")]


def test_every_module_of_the_package_is_listed():
    found = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py"}
    found |= {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    outer = {"nn", "stages", "cli", "export", "figures", "loading", "tables", "terminal"}
    outer |= {"audit", "mending"}
    assert found - outer - {"__main__", "__init__"} == {*CORE} == {*LAYERS}


@pytest.mark.parametrize("module", CORE)
def test_no_module_of_the_core_names_a_heavy_one(module):
    roots = {name.split(".")[0] for source in sources(module) for name in imported(source)}
    assert not roots & set(HEAVY)


REPORT = f"\nimport sys\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"


@pytest.mark.parametrize(
    "doing",
    [
        "import equibasis",
        "import equibasis as eb\n"
        "for solver in ('orbits', 'projector', 'svd', 'dense'):\n"
        "    eb.save_basis(eb.solve('c4', '3x3', '3x3', solver), 'c4.h5')\n"
        "    eb.verify_basis(eb.load_basis('c4.h5'))",
        "import equibasis.cli",
    ],
    ids=["importing", "solving and storing", "the command"],
)
def test_what_is_heavy_is_not_imported(python, doing):
    outcome = python("-c", doing + REPORT)
    assert (outcome.status, outcome.err, outcome.out.split()) == (0, "", [])


def test_all_that_is_exported_is_there():
    assert all(hasattr(equibasis, name) for name in equibasis.__all__)
