"""Pages on layers: every snippet runs, in the order of the page, and fails where it says so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

import equibasis as eb

DOCS = Path(__file__).parents[1] / "docs"
SNIPPET = re.compile(r"```python\n(.*?)```", re.DOTALL)


def without_notes(message: str) -> str:
    """An error as the page quotes it: comment lines joined."""
    return " ".join(line.removeprefix("#").strip() for line in message.splitlines())


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(("page", "quoted_errors"), [("layers.md", 5), ("convolutions.md", 2)])
@pytest.mark.slow
def test_every_snippet_runs_and_every_error_quoted_is_raised(
    page: str, quoted_errors: int, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EQUIBASIS_CACHE", str(tmp_path / "cache"))
    torch.manual_seed(0)
    names: dict[str, Any] = {}
    errors = 0
    text = (DOCS / page).read_text(encoding="utf-8")
    for snippet in SNIPPET.findall(text):
        code, _, quoted = snippet.partition("\n# ModelError: ")
        if not quoted:
            exec(code, names)
            continue
        errors += 1
        with pytest.raises(eb.ModelError) as caught:
            exec(code, names)
        first, *others = without_notes("# " + quoted).split("...")
        assert str(caught.value).startswith(first.strip())
        assert str(caught.value).endswith(others[-1].strip(" )") if others else "")
    assert errors == quoted_errors
    assert (tmp_path / "network.onnx").exists() == ("torch.onnx" in text)
