"""The documentation site: the explorer's data, and each page as a browser shows it.

The pages take minutes to build, as their notebooks are executed, so the usual run of the tests does
not: `make docs-test` builds them, and runs this file with the site's folder in ``EQUIBASIS_SITE``.
"""

from __future__ import annotations

import contextlib
import http.server
import importlib
import importlib.util
import os
import re
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import equibasis as eb

DOCS = Path(__file__).parents[1] / "docs"
SITE = Path(os.environ.get("EQUIBASIS_SITE", "no site"))
PHONE, DESK = 390, 1440

built = pytest.mark.skipif(not SITE.is_dir(), reason="no site is built: run `make docs-test`")


# --- the explorer's data --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def explorer() -> Any:
    pytest.importorskip("sphinx")
    spec = importlib.util.spec_from_file_location("explorer", DOCS / "explorer.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_weights_of_one_orbit_are_those_that_the_group_takes_to_each_other(explorer) -> None:
    problem = explorer.problem("c4", "4x4", "2x2")
    orbits = np.array(problem["orbits"]).reshape(2, 2, 4, 4)
    turned = np.rot90(np.rot90(orbits, axes=(0, 1)), axes=(2, 3))
    np.testing.assert_array_equal(turned, orbits)
    assert set(orbits.ravel()) == set(range(1, 17))


def test_mirrored_signs_are_told_and_what_is_its_own_negative_is_zero(explorer) -> None:
    problem = explorer.problem("d4", "3x3", "3x3:pseudoscalar")
    orbits = np.array(problem["orbits"]).reshape(3, 3, 3, 3)
    np.testing.assert_array_equal(orbits[:, ::-1, :, ::-1], -orbits)
    assert orbits[1, 1, 1, 1] == 0
    assert (
        len(np.unique(np.abs(orbits[orbits != 0])))
        == eb.solve("d4", input="3x3", output="3x3:pseudoscalar").rank
    )


# --- the reference ------------------------------------------------------------------------------


@pytest.mark.parametrize("module", ["equibasis", "equibasis.nn"])
def test_the_reference_has_every_public_name_once(module) -> None:
    page = DOCS / "reference" / f"{module.removeprefix('equibasis.')}.md"
    told = re.findall(r"^\.\. (?:auto\w+|py:data):: (\w+)$", page.read_text("utf-8"), re.MULTILINE)
    assert sorted(told) == sorted(importlib.import_module(module).__all__)


# --- the built pages ------------------------------------------------------------------------------


class Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The site, served to this machine alone."""
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(Silent, directory=SITE)
    ) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("there is no chromium: install Debian's, or your system's")
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def open_page(browser, address) -> Iterator[Any]:
    """``open_page(name, width)``: a page, and what went wrong with it."""
    with contextlib.ExitStack() as opened:

        def open_(name: str, width: int) -> tuple[Any, list[str]]:
            context = browser.new_context(viewport={"width": width, "height": 900})
            opened.callback(context.close)
            page, faults = context.new_page(), []
            page.on("console", lambda told: told.type == "error" and faults.append(told.text))
            page.on("pageerror", lambda error: faults.append(str(error)))
            page.on("requestfailed", lambda request: faults.append(f"failed: {request.url}"))
            page.on(
                "request",
                lambda request: (
                    request.url.startswith((address, "data:"))
                    or faults.append(f"asked: {request.url}")
                ),
            )
            page.on(
                "response",
                lambda response: response.ok or faults.append(f"{response.status}: {response.url}"),
            )
            page.goto(f"{address}/{name}", wait_until="load")
            return page, faults

        yield open_


def pages() -> list[str]:
    found = sorted(page.relative_to(SITE).as_posix() for page in SITE.rglob("*.html"))
    return [page for page in found if not page.startswith(("_modules/", "_static/"))]


@built
@pytest.mark.parametrize("name", pages())
def test_a_page_has_all_that_it_shows_and_fits_a_phone(name, open_page) -> None:
    page, faults = open_page(name, PHONE)
    missing = page.evaluate(
        "() => [...document.images].filter(each => !each.naturalWidth).map(each => each.src)"
    )
    wide = page.evaluate(
        "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    assert (faults, missing, wide) == ([], [], 0)
    twice = page.evaluate(
        """() => [...document.querySelectorAll("[id]")].map(each => each.id)
          .filter((id, at, all) => all.indexOf(id) !== at)"""
    )
    assert twice == []
    assert page.locator("article h1").count() == (name != "search.html")


def lit(page: Any, picture: str) -> set[int]:
    """Which squares of a picture of the explorer are lit."""
    return set(
        page.evaluate(
            f"""() => [...document.querySelectorAll("#explorer-place svg.{picture} rect")]
              .flatMap((each, at) => each.classList.contains("lit") ? [at] : [])"""
        )
    )


def chosen(page: Any) -> int:
    return int(page.get_attribute("#explorer-place svg.weights rect.chosen", "data-entry"))


@built
@pytest.mark.parametrize("as_matrix", [False, True])
@pytest.mark.parametrize(
    ("group", "x", "y", "entry"),
    [("c4", "4x4", "2x2", 23), ("d4", "3x3", "3x3:pseudoscalar", 6), ("s5", "5x5", "5x5", 7)],
)
def test_pointing_at_a_weight_lights_its_orbit_and_its_pixels(
    group, x, y, entry, as_matrix, open_page
) -> None:
    page, faults = open_page("explorer.html", DESK)
    for name, value in {"group": group, "input": x, "output": y}.items():
        page.select_option(f"#explorer-place select[name={name}]", value)
    page.set_checked("#explorer-place input[name=matrix]", as_matrix)
    page.hover(f"#explorer-place svg.weights rect[data-entry='{entry}']")
    basis = eb.solve(group, input=x, output=y)
    column = abs(basis.matrix[[entry]]).argmax()
    orbit = set(basis.matrix[:, [column]].nonzero()[0].tolist())
    assert lit(page, "weights") == orbit
    assert lit(page, "input") == {each % basis.space.m for each in orbit}
    assert lit(page, "output") == {each // basis.space.m for each in orbit}
    assert chosen(page) == entry
    assert faults == []


@built
def test_arrow_keys_walk_over_the_weights(open_page) -> None:
    page, _ = open_page("explorer.html", DESK)
    page.select_option("#explorer-place select[name=input]", "3x3")
    page.select_option("#explorer-place select[name=output]", "2x2")
    page.focus("#explorer-place svg.weights")
    for key in ("ArrowRight", "ArrowRight", "ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
    assert chosen(page) == 12  # tile 1, the first pixel of its second row
    for _ in range(9):
        page.keyboard.press("ArrowUp")
    assert chosen(page) == 9


@built
def test_a_tap_on_a_phone_lights_an_orbit(browser, address) -> None:
    context = browser.new_context(viewport={"width": PHONE, "height": 844}, has_touch=True)
    page = context.new_page()
    page.goto(f"{address}/explorer.html")
    page.tap("#explorer-place svg.weights rect[data-entry='5']")
    assert chosen(page) == 5
    context.close()
