"""Git as the audit runs it: for a project as its user set it up, for a clone as nobody did."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from equibasis.errors import AuditError
from equibasis.files import write_text

# What ties a process to one repository, as in a Git hook or in a stage of DVC.
_TIES = re.compile(
    r"GIT_(DIR|WORK_TREE|INDEX_FILE|PREFIX|COMMON_DIR|OBJECT_DIRECTORY|NAMESPACE"
    r"|ALTERNATE_OBJECT_DIRECTORIES)|DVC_(ROOT|STAGE|EXP_\w+)|DVCLIVE_\w+"
)

# What stays of a user's own: where and as whom to fetch.
_KEPT_VARIABLES = re.compile(r"GIT_(SSH\w*|ASKPASS|EXEC_PATH|CEILING_DIRECTORIES|TEST_\w+)")

# What else Git would run or change in files that it checks out; the user's own Git has read the
# project before.
_SETTINGS = f"""[core]
hooksPath = {os.devnull}
attributesFile = {os.devnull}
fsmonitor = false
autocrlf = false
eol = lf
[safe]
directory = *
"""


def untied() -> dict[str, str]:
    """Return the environment without what ties it to a repository."""
    environment = {name: text for name, text in os.environ.items() if not _TIES.fullmatch(name)}
    return environment | {"LC_ALL": "C.UTF-8", "LANGUAGE": ""}  # messages as programs know them


def nobodys(temporary: Path) -> dict[str, str]:
    """Return the environment of a Git with no hooks, filters, templates or line ends of a user's.

    Its configuration is a file in ``temporary``, as Git passes variables on to only some of the
    processes that it starts.
    """
    write_text(temporary / "gitconfig", _SETTINGS)
    environment = {
        name: text
        for name, text in untied().items()
        if not name.startswith("GIT_") or _KEPT_VARIABLES.fullmatch(name)
    }
    return environment | {
        "GIT_CONFIG_GLOBAL": str(temporary / "gitconfig"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
    }


def git_bytes(folder: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> bytes:
    """Run Git in a folder, and return its output; raises `AuditError` with Git's own reason."""
    command = ["git", "-C", str(folder), "-c", "core.fsmonitor=false", *arguments]
    try:
        done = subprocess.run(
            command, env=environment or untied(), capture_output=True, check=False
        )
    except FileNotFoundError as error:
        raise AuditError("an audit needs Git: install it") from error
    if done.returncode:
        said = _reason(done.stderr.decode(errors="replace")) or f"exit status {done.returncode}"
        raise AuditError(f"git {arguments[0]}, in {folder}: {said}")
    return done.stdout


def git(folder: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """Run Git, and return its output as text, such as file names."""
    return os.fsdecode(git_bytes(folder, *arguments, environment=environment))


def changed_files(folder: Path, record: str, text: str, path: str) -> list[str]:
    """List the changes of files below a path since the commit that brought a text into a record."""
    plain = ("--no-show-signature", "--no-textconv")
    since = git(folder, "log", "-1", "--format=%H", *plain, f"-S{text}", "--", record).strip()
    if not since:
        return []
    names = ("diff", "--name-status", "--no-renames", "--relative", "-z")
    said = git(folder, *names, since, "--", path).split("\0")
    words = {"A": "is new", "D": "is gone"}
    return [
        f"{name.removeprefix(f'{path}/')} {words.get(kind, 'differs')}"
        for kind, name in zip(said[::2], said[1::2], strict=False)
    ]


def _reason(said: str) -> str:
    """Git's message from its first complaint to the end, which may name a remedy, on one line."""
    lines = [line.strip() for line in said.splitlines()]
    lines = [line for line in lines if line and not line.startswith(("hint:", "warning:"))]
    wrong = [n for n, line in enumerate(lines) if line.startswith(("fatal:", "error:"))]
    lines = lines[wrong[0] if wrong else -1 :]
    ended = [line if line.endswith((".", ":", ";", ",")) else f"{line}." for line in lines]
    return " ".join(ended).removeprefix("fatal: ").removeprefix("error: ").removesuffix(".")
