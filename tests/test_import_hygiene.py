"""What imports what: solving stays light, and the arrows between wings point one way."""

from __future__ import annotations

import ast
import functools
import inspect
from pathlib import Path

import pytest

import equibasis
import equibasis.nn

PIPELINE = Path(equibasis.__file__).parents[1]
HEAVY = ("torch", "matplotlib", "dvc", "dvclive", "pandas", "sklearn", "torchvision", "PIL")

# What a file of each wing may import, beside files of its own wing. From the bottom up.
BASE = {"errors", "files", "hdf5"}
CORE = ["linalg", "symmetry", "solvers", "artifact"]
WINGS = {
    "errors": set(),
    "files": {"errors"},
    "hdf5": {"errors", "files"},
    **{wing: BASE | set(CORE[:number]) for number, wing in enumerate(CORE)},
    "nn": BASE | set(CORE),
    "show": BASE | set(CORE),
    "sweep": BASE | set(CORE),
    "audit": BASE,
    "console": {"errors"},
    "cli": BASE | set(CORE) | {"show", "sweep", "audit", "console"},
    "__init__": BASE | set(CORE),
    "__main__": {"cli"},
}
LIGHT = ["errors", "files", "hdf5", *CORE, "__init__"]

FILES = sorted(PIPELINE.rglob("*.py"))


def name(file: Path) -> str:
    return file.relative_to(PIPELINE).as_posix()


@functools.cache
def imported(source: Path, nested: bool = True) -> frozenset[str]:
    """Full names of all modules that a file imports, by default inside its functions too."""
    names = set()
    tree = ast.parse(source.read_text(encoding="utf-8"))
    for node in ast.walk(tree) if nested else tree.body:
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source}: imports are absolute"
            names.update({node.module, *(f"{node.module}.{alias.name}" for alias in node.names)})
    return frozenset(names)


def modules(names: frozenset[str]) -> set[Path]:
    """The files of this project among names that are imported."""
    places = [PIPELINE.joinpath(*each.split(".")) for each in names]
    files = [place.with_suffix(".py") for place in places]
    return {file for file in files + [place / "__init__.py" for place in places] if file.exists()}


def wing(file: Path) -> str:
    """``linalg`` for a file of that folder; a module beside the wings is one by itself."""
    return file.relative_to(PIPELINE / "equibasis").parts[0].removesuffix(".py")


LIBRARY = [file for file in FILES if file.is_relative_to(PIPELINE / "equibasis")]


def test_arrows_between_wings_point_one_way():
    package = PIPELINE / "equibasis" / "__init__.py"
    for file in LIBRARY:
        others = {wing(other) for other in modules(imported(file)) - {package}} - {wing(file)}
        assert others <= WINGS[wing(file)], name(file)


def test_the_library_knows_nothing_of_the_experiment():
    for file in LIBRARY:
        assert not {each for each in imported(file) if each.split(".")[0] == "digits"}, name(file)


def test_no_modules_import_each_other_in_a_circle():
    arrows = {file: modules(imported(file)) - {file} for file in FILES}
    package = PIPELINE / "equibasis" / "__init__.py"
    done: set[Path] = set()

    def walk(file: Path, path: tuple[Path, ...]) -> None:
        assert file not in path, " -> ".join(map(name, (*path[path.index(file) :], file)))
        if file not in done:
            for other in arrows[file] - {package}:
                walk(other, (*path, file))
            done.add(file)

    for file in FILES:
        walk(file, ())


def test_hdf5_and_the_artifact_alone_know_hdf5():
    assert {wing(file) for file in LIBRARY if "h5py" in imported(file)} == {"hdf5", "artifact"}


def test_what_writes_hdf5_whole_knows_nothing_of_what_is_in_it():
    source = (PIPELINE / "equibasis" / "hdf5.py").read_text(encoding="utf-8")
    assert not [text for text in ("encoding-type", "sha256") if text in source]


def test_no_module_of_the_core_names_a_heavy_one():
    for file in [file for file in LIBRARY if wing(file) in LIGHT]:
        own = {"dvc"} if file.name == "fetch.py" else set()  # inside the one function that needs it
        names, first = (
            {each.split(".")[0] for each in imported(file, nested=nested)}
            for nested in (True, False)
        )
        assert not names & set(HEAVY) - own, name(file)
        assert not first & set(HEAVY), name(file)


REPORT = f"\nimport sys\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"


@pytest.mark.parametrize(
    "doing",
    [
        "import equibasis",
        "import equibasis as eb\n"
        "for solver in ('orbits', 'projector', 'svd', 'dense'):\n"
        "    basis = eb.solve(group='c4', input='3x3', output='3x3', solver=solver)\n"
        "    eb.save_basis(basis, 'c4.h5')\n"
        "    eb.verify_basis(eb.load_basis('c4.h5'))",
        "import equibasis.cli",
    ],
    ids=["importing", "solving and storing", "the command"],
)
def test_what_is_heavy_is_not_imported(python, doing):
    outcome = python("-c", doing + REPORT)
    assert (outcome.status, outcome.err, outcome.out.split()) == (0, "", [])


def test_importing_the_package_imports_none_of_its_wings(python):
    outcome = python("-c", "import equibasis, sys; print(*sys.modules)")
    assert not [each for each in outcome.out.split() if each in {"numpy", "scipy", "h5py"}]


@pytest.mark.parametrize("package", [equibasis, equibasis.nn])
def test_all_that_is_exported_is_there(package):
    found = {each: getattr(package, each) for each in package.__all__}
    assert not [each for each, what in found.items() if inspect.ismodule(what)]
    assert set(found) <= set(dir(package))


@pytest.mark.parametrize("package", [equibasis, equibasis.nn])
def test_what_is_not_exported_is_an_attribute_error(package):
    with pytest.raises(AttributeError, match="nonsense"):
        _ = package.nonsense
