"""The `dvc` command in a process of its own, without half a second of imports each time.

A server has imported DVC once; each command is a fork of it, with an environment of its own.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

_FORKS = multiprocessing.get_context("forkserver") if os.name == "posix" else None
if _FORKS:
    _FORKS.set_forkserver_preload(
        [
            "dvc.cli.parser",
            "dvc.data_cloud",
            "dvc.repo.graph",
            "dvc.repo.metrics",
            "dvc.repo.open_repo",
            "dvc.repo.stage",
            "dvc.rwlock",
            "dvc.utils.strictyaml",
            "networkx",
            "rich.console",
            "ruamel.yaml",
            "scmrepo.git",
        ]
    )


def _in_a_fork(
    arguments: Sequence[str], folder: str, environment: Mapping[str, str], files: Sequence[str]
) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, file in enumerate(files, 1):
        os.dup2(os.open(file, os.O_WRONLY), number)
    from dvc.cli import main

    sys.argv = ["dvc", *arguments]
    sys.exit(main())


def dvc(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """As `subprocess.run` of ``["dvc", *arguments]``, its output captured."""
    with tempfile.TemporaryDirectory() as temporary:
        files = [Path(temporary, name) for name in ("out", "err")]
        for file in files:
            file.touch()
        given = (list(arguments), str(folder), dict(environment), [str(file) for file in files])
        process = _FORKS.Process(target=_in_a_fork, args=given)
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(["dvc", *arguments], timeout)
        out, err = (file.read_text(encoding="utf-8") for file in files)
        return subprocess.CompletedProcess(["dvc", *arguments], process.exitcode, out, err)
