"""What is said about an audit: one line, a table, Markdown."""

from __future__ import annotations

import platform
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from equibasis.audit.audit import Audit
from equibasis.audit.compare import Finding
from equibasis.audit.lock import LOCK

_COLUMNS = ("stage", "artifact", "verdict", "committed", "made", "reason")

_STYLES = {"identical": "green", "within tolerance": "yellow", "different": "", "not made": ""}


def verdict_line(found: Audit) -> str:
    """One line: how many artifacts came out how, and the first thing that is wrong."""
    verdicts = [finding.verdict for finding in found.findings]
    said = ", ".join(f"{verdicts.count(name)} {name}" for name in _STYLES if name in verdicts)
    what = LOCK if found.commit is None else f"commit {found.commit[:7]}"
    wrong = [finding for finding in found.findings if not finding.passed]
    if not wrong:
        return f"{what} is that of the working tree" if not said else f"{what} passes: {said}"
    stages = ", ".join(dict.fromkeys(finding.stage for finding in wrong))
    first = f"first {wrong[0].artifact}: {wrong[0].reason}"
    if found.commit is None:
        return f"{what} is stale in {stages}; {first}; run 'dvc repro' and commit {what}"
    return f"{what} fails in {stages}: {said}; {first}"


def findings_table(findings: Sequence[Finding]) -> Table:
    """A row for each finding."""
    table = Table()
    for column in _COLUMNS:
        table.add_column(column, overflow="fold")
    for each in findings:
        style = _STYLES[each.verdict] or ("yellow" if each.passed else "red")
        stage, artifact, verdict, *rest = _cells(each)
        table.add_row(Text(stage), Text(artifact), Text(verdict, style), *map(Text, rest))
    return table


def summary(found: Audit) -> str:
    """The same in Markdown: what differs first, then everything."""
    differing = [each for each in found.findings if each.verdict != "identical"]
    return (
        f"### Audit on Python {platform.python_version()}, {platform.system()} "
        f"{platform.machine()}\n\n{verdict_line(found)}\n\n"
        + (_markdown(differing) if differing else "Everything is identical.\n")
        + f"\n<details><summary>All of it</summary>\n\n{_markdown(found.findings)}\n</details>\n"
    )


def _markdown(findings: Sequence[Finding]) -> str:
    rows = [_COLUMNS, ("---",) * len(_COLUMNS), *map(_cells, findings)]
    return "".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |\n" for row in rows
    )


def _cells(finding: Finding) -> tuple[str, ...]:
    return tuple(getattr(finding, name) for name in _COLUMNS)
