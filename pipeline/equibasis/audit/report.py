"""What is said about an audit: one line, a table, Markdown."""

from __future__ import annotations

import platform
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from equibasis.audit.audit import Audit
from equibasis.audit.compare import Finding

_STYLES = {"identical": "green", "within tolerance": "yellow"}


def verdict_line(found: Audit) -> str:
    """One line: how many artifacts came out how, and the first thing that is wrong."""
    counts = dict.fromkeys(("identical", "within tolerance", "different", "not made"), 0)
    for finding in found.findings:
        counts[finding.verdict] += 1
    said = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    wrong = [finding for finding in found.findings if not finding.passed]
    if not wrong:
        return f"commit {found.commit[:7]} passes: {said}"
    stages = ", ".join(dict.fromkeys(finding.stage for finding in wrong))
    first = wrong[0]
    return (
        f"commit {found.commit[:7]} fails in {stages}: {said}; first {first.artifact}: "
        f"{first.reason}"
    )


def stale_line(findings: Sequence[Finding]) -> str:
    """One line: the stages in which dvc.lock is stale, and the first thing in which it is."""
    stages = ", ".join(dict.fromkeys(finding.stage for finding in findings))
    first = findings[0]
    return (
        f"dvc.lock is stale in {stages}; first {first.artifact}: {first.reason}; run 'dvc repro' "
        "and commit dvc.lock"
    )


def findings_table(findings: Sequence[Finding]) -> Table:
    """A row for each finding."""
    table = Table()
    for column in ("stage", "artifact", "verdict", "committed", "made", "reason"):
        table.add_column(column, overflow="fold")
    for each in findings:
        style = _STYLES.get(each.verdict, "yellow" if each.passed else "red")
        table.add_row(
            Text(each.stage),
            Text(each.artifact),
            Text(each.verdict, style),
            Text(each.committed),
            Text(each.made),
            Text(each.reason),
        )
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
    rows = [("stage", "artifact", "verdict", "committed", "made", "reason"), ("---",) * 6]
    rows += [
        (each.stage, each.artifact, each.verdict, each.committed, each.made, each.reason)
        for each in findings
    ]
    return "".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |\n" for row in rows
    )
