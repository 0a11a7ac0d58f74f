"""The clean clone: a commit as it was recorded, with nothing of its user's but downloads."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

from equibasis.audit.git import git, untied
from equibasis.errors import AuditError
from equibasis.files import write_text


def clean_clone(project: Path, commit: str, temporary: Path, nobody: Mapping[str, str]) -> Path:
    """Clone the commit, with a cache of its own; returns the project's folder in it."""
    top = Path(git(project, "rev-parse", "--show-toplevel").rstrip("\n")).resolve()
    copy = temporary / "clone"
    git(
        temporary,
        *("clone", "--quiet", "--no-checkout", "--template=", "--", str(top), str(copy)),
        environment=nobody,
    )
    git(copy, "checkout", "--quiet", "--detach", commit, environment=nobody)
    if (copy / ".gitmodules").exists():
        git(copy, "submodule", "update", "--quiet", "--init", "--recursive", environment=nobody)
    clone = copy / project.relative_to(top)
    for needed in (".dvc", "dvc.yaml"):
        if not (clone / needed).exists():
            raise AuditError(f"cannot audit {project}: commit {commit[:7]} has no {needed} there")
    # Of all of DVC's configurations, this one counts most.
    write_text(
        clone / ".dvc" / "config.local",
        f'[core]\n    analytics = false\n    site_cache_dir = "{temporary / "site"}"\n'
        f'[cache]\n    dir = "{temporary / "cache"}"\n',
    )
    return clone


# --- what stages run in --------------------------------------------------------------------------

# In place of an installed equibasis, where the clone has its own: `python pipeline` finds that
# first, and whatever finds this one would have run other code than dvc.lock records.
_TRAP = """raise ImportError(
    "this stage would run the installed equibasis, not the clone's: call it by 'python pipeline'"
)
"""


def stage_environment(project: Path, clone: Path, temporary: Path) -> dict[str, str]:
    """Return the environment of the clone's stages: this Python, no code but the clone's."""
    environment = untied()
    programs = [str(Path(sys.executable).parent), sysconfig.get_path("scripts")]
    environment["PATH"] = os.pathsep.join([*programs, environment.get("PATH", os.defpath)])
    environment["DVC_NO_ANALYTICS"] = "1"
    environment["DVC_SITE_CACHE_DIR"] = str(temporary / "site")
    paths = [
        str(clone / Path(path).resolve().relative_to(project))
        if Path(path).is_absolute() and Path(path).resolve().is_relative_to(project)
        else path
        for path in environment.get("PYTHONPATH", "").split(os.pathsep)
    ]
    if git(clone, "ls-files", "--", ":(glob)**/equibasis/__init__.py"):
        trap = temporary / "trap" / "equibasis"
        trap.mkdir(parents=True)
        write_text(trap / "__init__.py", _TRAP)
        paths.insert(0, str(trap.parent))
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    return environment
