"""docs/layers.md: every snippet runs, in the order of the page, and fails where it says so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

import equibasis as eb

PAGE = Path(__file__).parents[1] / "docs" / "layers.md"
SNIPPET = re.compile(r"```python\n(.*?)```", re.DOTALL)


def without_notes(message: str) -> str:
    """An error as the page quotes it: comment lines joined."""
    return " ".join(line.removeprefix("#").strip() for line in message.splitlines())


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_every_snippet_runs_and_every_error_quoted_is_raised(
    tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EQUIBASIS_CACHE", str(tmp_path / "cache"))
    torch.manual_seed(0)
    names: dict[str, Any] = {}
    errors = 0
    for snippet in SNIPPET.findall(PAGE.read_text(encoding="utf-8")):
        code, _, quoted = snippet.partition("\n# ModelError: ")
        if not quoted:
            exec(code, names)
            continue
        errors += 1
        with pytest.raises(eb.ModelError) as caught:
            exec(code, names)
        expected = without_notes("# " + quoted).removesuffix("...)").strip()
        assert str(caught.value).startswith(expected)
    assert errors == 5
    assert (tmp_path / "network.onnx").exists()
