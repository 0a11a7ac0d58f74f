"""Commands in processes of their own, without a second of imports each time.

A server has imported DVC and the reader of foreign HDF5 once; each command is a fork of it, with an
environment, a folder and outputs of its own.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
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
            "equibasis.artifact.foreign_hdf5",
            "networkx",
            "rich.console",
            "ruamel.yaml",
            "scmrepo.git",
        ]
    )


def _in_a_fork(
    main: Callable[[Sequence[str]], None],
    arguments: Sequence[str],
    folder: str,
    environment: Mapping[str, str],
    files: Sequence[str],
) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, file in enumerate(files, 1):
        os.dup2(os.open(file, os.O_WRONLY), number)
    main(arguments)


def _forked(
    main: Callable[[Sequence[str]], None],
    arguments: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    timeout: float,
) -> subprocess.CompletedProcess[str]:
    """As `subprocess.run` of a program, its output captured."""
    with tempfile.TemporaryDirectory() as temporary:
        files = [Path(temporary, name) for name in ("out", "err")]
        for file in files:
            file.touch()
        given = (list(arguments), str(folder), dict(environment), [str(file) for file in files])
        process = _FORKS.Process(target=_in_a_fork, args=(main, *given))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(list(arguments), timeout)
        out, err = (file.read_text(encoding="utf-8") for file in files)
        return subprocess.CompletedProcess(list(arguments), process.exitcode, out, err)


def _dvc(arguments: Sequence[str]) -> None:
    from dvc.cli import main

    sys.argv = ["dvc", *arguments]
    sys.exit(main())


def dvc(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """The command ``dvc``."""
    return _forked(_dvc, arguments, folder, environment, timeout)


def _program(arguments: Sequence[str]) -> None:
    program, *rest = arguments
    sys.argv = ["-c", *rest]
    exec(program, {"__name__": "__main__"})


def program(
    text: str, arguments: Sequence[str], folder: Path, timeout: float
) -> subprocess.CompletedProcess[str]:
    """The command ``python -c text``."""
    return _forked(_program, [text, *arguments], folder, os.environ, timeout)
