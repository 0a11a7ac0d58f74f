"""What a stage has imported and which parameters it has read, told at its end.

Copied to a folder on Python's path as sitecustomize.py: see `projects.first_run`.
"""

from __future__ import annotations

import atexit
import json
import os
import pathlib
import sys
from typing import Any


class Recorded:
    """Parameters that note which of them are read, by their full names."""

    def __init__(self, section: Any, read: set[str], prefix: str = "") -> None:
        self._section, self._read, self._prefix = section, read, prefix

    def __getattr__(self, name: str) -> Any:
        return self._noting(name, getattr(self._section, name))

    def __getitem__(self, name: str) -> Any:
        return self._noting(name, self._section[name])

    def __contains__(self, name: str) -> bool:
        return name in self._section

    def _noting(self, name: str, value: Any) -> Any:
        if hasattr(value, "model_dump") or isinstance(value, dict):
            return Recorded(value, self._read, f"{self._prefix}{name}.")
        if name != "model_dump":
            self._read.add(f"{self._prefix}{name}")
            return value

        def dump(exclude: set[str]) -> dict[str, Any]:
            content: dict[str, Any] = value(exclude=exclude)
            self._read.update(f"{self._prefix}{each}" for each in content)
            return content

        return dump


def record(told: pathlib.Path, command: str) -> None:
    """Have this process tell, under the name of its command, and record what it reads."""
    from digits import parameters

    read: set[str] = set()
    load = parameters.load_parameters
    parameters.load_parameters = lambda *path: Recorded(load(*path), read)  # type: ignore[assignment]

    def tell() -> None:
        files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
        found = {"imported": [each for each in files if each], "read": sorted(read)}
        (told / f"{command}.json").write_text(json.dumps(found), encoding="utf-8")

    atexit.register(tell)


if sys.argv[0] == "pipeline":
    record(pathlib.Path(os.environ["TOLD"]), " ".join(sys.argv[1:]))
