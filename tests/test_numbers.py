"""Numbers on the pages: what was measured is written by a script, and nothing of it by hand."""

from __future__ import annotations

import hashlib
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from projects import REPOSITORY

BENCHMARKS = REPOSITORY / "benchmarks"
PAGES = [
    *(REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "groups/README.md")),
    *sorted((REPOSITORY / "docs").rglob("*.md")),
]
SECTION = re.compile(r"^<!-- (.*?) -->\n(.*?)^<!-- end of \1 -->$", re.DOTALL | re.MULTILINE)

# Code says what it does by itself, and cells of notebooks are executed: not what is measured.
CODE = re.compile(r"^(`{3,}).*?^\1$|`[^`\n]*`|\]\([^)]*\)", re.DOTALL | re.MULTILINE)

VERSION = re.compile(r"(?:Python|NumPy|h5py) \d+\.\d+")

# Times, sizes, shares and multiples; and numbers of so many digits that nobody chose them.
MEASURED = re.compile(
    r"\d[\d.,]*\s?(?:[nµm]?s|h|seconds?|minutes?|hours?|[kKMGT]i?B|%|times)(?!\w)"
    r"|\d\.\d{2,}|\d+e-\d+"
)

# Chosen by us or by definition, and measured by nobody: of each page, and why.
ALLOWED = {
    ("docs/reproducible.md", "0.1%"): "a tolerance of the audit, in its code",
    ("docs/tutorials/audit.md", "0.1%"): "the same",
    ("docs/reuse.md", "1GB"): "the size of the cache unless set, in its code",
    ("docs/scale.md", "256 kB"): "up to which a sweep keeps what it built, in its code",
    ("docs/spaces.md", "0.866"): "an angle that is not exact enough",
    ("docs/file-format.md", "1e-12"): "a tolerance, in the code of the canonical basis",
    ("docs/file-format.md", "1e-9"): "the same",
}


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def sections() -> Iterator[tuple[str, str, str]]:
    """Page, name and text of what scripts have written."""
    for page in PAGES:
        for name, text in SECTION.findall(text_of(page)):
            yield page.relative_to(REPOSITORY).as_posix(), name, text


@pytest.fixture(scope="module")
def results() -> Iterator[ModuleType]:
    """benchmarks/results.py."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield importlib.import_module("results")


def test_nothing_measured_is_written_by_hand() -> None:
    found = set()
    for page in PAGES:
        prose = text_of(page)
        for not_said in (SECTION, CODE, VERSION):
            prose = not_said.sub(" ", prose)
        name = page.relative_to(REPOSITORY).as_posix()
        found |= {(name, number) for number in MEASURED.findall(prose)}
    assert found == set(ALLOWED)


def test_what_is_marked_as_written_by_a_script_is() -> None:
    scripts = "\n".join(text_of(script) for script in BENCHMARKS.glob("*.py"))
    written = set(re.findall(r'write_section\("([^"]+)"', scripts))
    marked = {name for _, name, _ in sections()}
    assert marked <= written


def test_spaces_in_tables_are_not_read_as_emphasis() -> None:
    for page, name, text in sections():
        for row in re.findall(r"^\|.*$", text, re.MULTILINE):
            assert "*" not in re.sub(r"`[^`]*`|\\\*", "", row), (page, name, row)


def test_tables_of_the_experiment_are_of_its_metrics(results: ModuleType) -> None:
    reports = REPOSITORY / "reports"
    shown = {(page, name): text.strip() for page, name, text in sections()}
    told = "the metrics have changed: run benchmarks/results.py"
    table = results.autoencoders(results.read(reports / "metrics.json"))
    assert shown["README.md", "autoencoders"] == table, told
    assert shown["docs/digits.md", "autoencoders"] == table, told
    table = results.classifiers(results.read(reports / "classification.json"))
    assert shown["docs/digits.md", "classifiers"] == table, told


def test_pictures_of_the_experiment_are_those_on_record() -> None:
    stages = yaml.safe_load(text_of(REPOSITORY / "dvc.lock"))["stages"]
    recorded = {Path(each["path"]).name: each["md5"] for each in stages["report"]["outs"]}
    assert len(recorded) == 5
    for name, digest in recorded.items():
        shown = (REPOSITORY / "docs" / "images" / name).read_bytes()
        assert hashlib.md5(shown).hexdigest() == digest, f"{name}: run benchmarks/results.py"


def test_what_is_said_of_the_experiment_holds(results: ModuleType) -> None:
    errors = results.read(REPOSITORY / "reports" / "metrics.json")
    upright, rotated = (
        {name: each[of]["mse"] for name, each in errors.items()}
        for of in ("in_distribution", "rotated")
    )
    assert min(upright, key=upright.get) == "standard"
    assert rotated["equivariant"] < rotated["standard_augmented"] < rotated["standard"]
    parameters = {name: each["parameters"] for name, each in errors.items()}
    assert 4 * parameters["equivariant"] == pytest.approx(parameters["standard"], rel=0.01)

    answers = results.read(REPOSITORY / "reports" / "classification.json")
    wrong = {name: 1 - each["turned"]["accuracy"] for name, each in answers.items()}
    assert wrong["cnn_c4"] < wrong["cnn_augmented"] / 2
    assert wrong["cnn_c4_narrow"] <= wrong["cnn_augmented"]
    best = max(answers, key=lambda name: answers[name]["upright"]["accuracy"])
    assert best == "cnn"


def test_the_readme_repeats_numbers_of_the_benchmarks() -> None:
    shown = {(page, name): text for page, name, text in sections()}
    numbers = re.findall(r"[\d.]+ (?:ms|s|GiB)", shown["README.md", "solve"])
    assert len(numbers) == 4
    for number in numbers:
        assert f"| {number} |" in shown["docs/benchmarks.md", "solve"]
