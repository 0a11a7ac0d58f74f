"""What is published: metadata, the source distribution, and pages that hold what they say."""

from __future__ import annotations

import configparser
import re
import sys
import tarfile

import pytest
import yaml

import dist
from projects import REPOSITORY, copy_of_this_project, run

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
PAGES = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")])


@pytest.fixture(scope="module")
def metadata() -> configparser.SectionProxy:
    setup = configparser.ConfigParser()
    setup.read(REPOSITORY / "setup.cfg", encoding="utf-8")
    return setup["metadata"]


# --- pages --------------------------------------------------------------------------------------


def test_the_readme_is_one_screen():
    assert len(README.splitlines()) < 120


def test_the_code_of_the_readme_runs_and_comes_to_what_it_says():
    names: dict[str, object] = {}
    checked = 0
    for piece in re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL):
        exec(piece, names)
        for line in piece.splitlines():
            if line.startswith(("eb.", "len(")):
                found = eval(line, names)
                said = f"{found:,}" if isinstance(found, int) else str(found)[1:-1]
                assert line.endswith(f" {said}")
                checked += 1
    assert checked == 4


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPOSITORY).as_posix())
def test_links_between_pages_lead_somewhere(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        file, _, anchor = target.partition("#")
        if ":" in target or (not file and not anchor):
            continue
        place = page.parent / file if file else page
        assert place.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.*)$", place.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
            assert anchor in slugs, target


# --- metadata -----------------------------------------------------------------------------------


def test_the_metadata_say_what_the_package_is(metadata):
    assert metadata["license_expression"] == "MIT"
    assert (REPOSITORY / metadata["license_files"]).read_text().startswith("MIT License")
    assert not [line for line in metadata["classifiers"].splitlines() if "License ::" in line]
    source = (REPOSITORY / "pipeline" / "equibasis" / "__init__.py").read_text()
    version = re.search(r'^__version__ = "(.*)"$', source, re.MULTILINE)[1]
    first = re.search(r"^## \[(.*?)\]", (REPOSITORY / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert version.partition(".dev")[0] == first[1]


def test_the_address_is_that_of_the_metadata_everywhere(metadata):
    owner = metadata["url"].removesuffix("/equibasis")
    papers = [*REPOSITORY.glob("*.cff"), REPOSITORY / "setup.cfg", *PAGES]
    code = [*(REPOSITORY / "pipeline").rglob("*.py"), *(REPOSITORY / "docs").rglob("*.py")]
    found = {
        address
        for file in (*papers, *code)
        for address in re.findall(r"https://[\w./-]+(?=/equibasis\b)", file.read_text("utf-8"))
    }
    assert found == {owner}


def test_every_python_that_is_promised_is_checked(metadata):
    promised = set(re.findall(r"Python :: (3\.\d+)", metadata["classifiers"]))
    jobs = yaml.safe_load((REPOSITORY / ".github/workflows/ci.yml").read_text())["jobs"]
    matrices = [job.get("strategy", {}).get("matrix", {}) for job in jobs.values()]
    checked = {version for matrix in matrices for version in matrix.get("python", [])}
    assert promised == checked


# --- the source distribution --------------------------------------------------------------------


def test_a_source_distribution_holds_all_that_tests_and_the_pipeline_need(tmp_path):
    pytest.importorskip("setuptools", "77")
    project = copy_of_this_project(tmp_path / "project", lock=True, whole=True)
    (project / ".dvc" / "config.local").write_text("[core]\n")  # where passwords of remotes are
    code = f"import setuptools.build_meta as b; b.build_sdist({str(tmp_path)!r})"
    run(project, sys.executable, "-c", code)
    (made,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(made) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    tracked = [file for file in run(project, "git", "ls-files").splitlines() if file[:3] != ".ci"]
    assert names >= {*dist.SHIPPED, *tracked}
    assert ".dvc/config.local" not in names
