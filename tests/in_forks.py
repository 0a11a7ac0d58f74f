"""Programs as forks of one process of Python: what takes long to import is imported once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from conftest import Outcome

_PROGRAM = """
import json, os, sys, tempfile

before, programs = json.load(sys.stdin)
names = {"__name__": "__main__"}
exec(before, names)
told = []
for program in programs:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if not child:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            exec(program, names)
            sys.exit()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        told.append([status, *(os.pread(each.fileno(), 2**24, 0).decode() for each in (out, err))])
json.dump(told, sys.stdout)
"""


def in_forks(
    programs: Sequence[str],
    folder: Path,
    *,
    before: str = "",
    python: Sequence[object] = (sys.executable,),
    environment: Mapping[str, str] | None = None,
) -> list[Outcome]:
    """What each program comes to, one after the other in a folder; ``before`` is run once."""
    done = subprocess.run(
        [*map(str, python), "-c", _PROGRAM], input=json.dumps([before, programs]),
        cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [Outcome(*each) for each in json.loads(done.stdout)]
