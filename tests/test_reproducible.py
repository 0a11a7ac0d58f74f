"""One problem, one file, byte for byte: whatever the workers, threads, folder or Python."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import basis_hashes
import equibasis as eb

SCRIPT = Path(basis_hashes.__file__)
PACKAGE = Path(eb.__file__).parents[1]


def printed(interpreter: str, *arguments: str, **environment: str) -> str:
    """What the script prints in a process of its own."""
    done = subprocess.run(
        [interpreter, str(SCRIPT), *arguments],
        env=os.environ | {"PYTHONPATH": str(PACKAGE)} | environment,
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def solved_here(folder: Path) -> str:
    """The same of this process."""
    return "".join(f"{digest} {name}\n" for name, digest in basis_hashes.hashes(folder).items())


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> str:
    return solved_here(tmp_path_factory.mktemp("expected"))


def test_every_group_and_solver_of_the_list_is_there(expected: str) -> None:
    lines = expected.splitlines()
    assert len(lines) == len(basis_hashes.PROBLEMS) * len(basis_hashes.SOLVERS)
    assert len({line.split()[0] for line in lines}) == len(lines)  # the solver is recorded too


OLDER = {"OPENBLAS_CORETYPE": "Nehalem"} if platform.machine() == "x86_64" else {}


@pytest.mark.parametrize(("workers", "threads", "kernels"), [("1", "2", OLDER), ("2", "1", {})])
@pytest.mark.slow
def test_no_workers_threads_kernels_hashes_of_python_nor_locale_change_a_byte(
    workers: str, threads: str, kernels: dict[str, str], expected: str
) -> None:
    """With one worker also the kernels of an older processor, and a seed of hashes each."""
    variables = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    changed = dict.fromkeys(variables, threads) | kernels | {
        "PYTHONHASHSEED": workers, "LC_ALL": "C", "TZ": "Asia/Tokyo",
    }  # fmt: skip
    assert printed(sys.executable, workers, **changed) == expected


def test_solving_twice_in_one_process_gives_the_same_bytes(tmp_path: Path, expected: str) -> None:
    assert solved_here(tmp_path) == expected


def other_pythons() -> list[str]:
    """Interpreters of other versions on the PATH."""
    names = [f"python3.{minor}" for minor in range(10, 16) if minor != sys.version_info.minor]
    return [name for name in names if shutil.which(name)]


@pytest.mark.parametrize("name", other_pythons() or [pytest.param("", id="none")])
def test_another_python_writes_the_same_bytes(name: str, expected: str) -> None:
    if not name:
        pytest.skip("no Python of another version on the PATH; CI compares them")
    importing = subprocess.run(
        [name, "-c", "import equibasis"], env=os.environ | {"PYTHONPATH": str(PACKAGE)},
        capture_output=True, check=False,
    )  # fmt: skip
    if importing.returncode:
        pytest.skip(f"{name} lacks what equibasis needs; CI compares versions")
    assert printed(name) == expected
