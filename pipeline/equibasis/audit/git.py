"""Git as the audit runs it: for a project as its user set it up, for a clone as nobody did."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from equibasis.errors import AuditError
from equibasis.files import write_text

# What ties a process to one repository, as in a Git hook or in a stage of DVC.
_TIES = re.compile(
    r"GIT_(DIR|WORK_TREE|INDEX_FILE|PREFIX|COMMON_DIR|OBJECT_DIRECTORY|NAMESPACE"
    r"|ALTERNATE_OBJECT_DIRECTORIES)|DVC_(ROOT|STAGE|EXP_\w+)|DVCLIVE_\w+"
)

# What stays of a user's own: where and as whom to fetch, and what is no file of the project.
_KEPT_VARIABLES = re.compile(r"GIT_(SSH\w*|ASKPASS|EXEC_PATH|CEILING_DIRECTORIES|TEST_\w+)")
_KEPT_SETTINGS = r"^((url|credential|http|protocol)\..*|core\.(sshcommand|excludesfile))$"

# What else Git would run or change in files that it checks out.
_SETTINGS = {
    "core.hookspath": os.devnull,
    "core.attributesfile": os.devnull,
    "core.fsmonitor": "false",
    "core.autocrlf": "false",
    "core.eol": "lf",
    "safe.directory": "*",  # the user's own Git has read the project before
}


def untied() -> dict[str, str]:
    """The environment without what ties it to a repository."""
    environment = {name: text for name, text in os.environ.items() if not _TIES.fullmatch(name)}
    return environment | {"LC_ALL": "C.UTF-8", "LANGUAGE": ""}  # messages as programs know them


def nobodys(project: Path, temporary: Path) -> dict[str, str]:
    """The environment of a Git that has no hooks, filters, templates or line ends of a user's.

    Its configuration is a file in ``temporary``, as Git passes variables on to only some of the
    processes that it starts.
    """
    kept = git(project, "config", "--null", "--get-regexp", _KEPT_SETTINGS, may_fail=True)
    settings = [tuple(each.split("\n", 1)) for each in kept.split("\0") if "\n" in each]
    path = temporary / "gitconfig"
    write_text(path, "".join(_written([*settings, *_SETTINGS.items()])))
    environment = {
        name: text
        for name, text in untied().items()
        if not name.startswith("GIT_") or _KEPT_VARIABLES.fullmatch(name)
    }
    return environment | {
        "GIT_CONFIG_GLOBAL": str(path),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
    }


def _written(settings: list[tuple[str, ...]]) -> Iterator[str]:
    """Settings as lines of a configuration file."""
    for name, value in settings:
        section, _, rest = name.partition(".")
        subsection, _, key = rest.rpartition(".")
        named = f" {json.dumps(subsection, ensure_ascii=False)}" if subsection else ""
        yield f"[{section}{named}]\n\t{key} = {json.dumps(value, ensure_ascii=False)}\n"


def git_bytes(
    folder: Path,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    may_fail: bool = False,
) -> bytes:
    """What Git prints, run in a folder; raises `AuditError` with Git's own reason.

    With ``may_fail``, nothing instead of an error.
    """
    command = ["git", "-C", str(folder), "-c", "core.fsmonitor=false", *arguments]
    try:
        done = subprocess.run(
            command, env=environment or untied(), capture_output=True, check=False
        )
    except FileNotFoundError as error:
        raise AuditError("an audit needs Git: install it") from error
    if done.returncode and not may_fail:
        said = _reason(done.stderr.decode(errors="replace")) or f"exit status {done.returncode}"
        raise AuditError(f"git {arguments[0]}, in {folder}: {said}")
    return b"" if done.returncode else done.stdout


def git(
    folder: Path,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    may_fail: bool = False,
) -> str:
    """The same as text, of file names for example."""
    return os.fsdecode(git_bytes(folder, *arguments, environment=environment, may_fail=may_fail))


def _reason(said: str) -> str:
    """Git's message from its first complaint to the end, which may name a remedy, on one line."""
    lines = [line.strip() for line in said.splitlines()]
    lines = [line for line in lines if line and not line.startswith(("hint:", "warning:"))]
    wrong = [n for n, line in enumerate(lines) if line.startswith(("fatal:", "error:"))]
    lines = lines[wrong[0] if wrong else -1 :]
    ended = [line if line.endswith((".", ":", ";", ",")) else f"{line}." for line in lines]
    return " ".join(ended).removeprefix("fatal: ").removeprefix("error: ").removesuffix(".")
