"""What is said about an audit: one line, a line for each finding, Markdown."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence

from equibasis.audit.audit import Audit
from equibasis.audit.compare import Finding
from equibasis.audit.lock import LOCK
from equibasis.errors import printable

_VERDICTS = ("identical", "within tolerance", "different", "not made")


def verdict_line(found: Audit) -> str:
    """One line: how many artifacts came out how, and the first thing that is wrong."""
    verdicts = [finding.verdict for finding in found.findings]
    said = ", ".join(f"{verdicts.count(name)} {name}" for name in _VERDICTS if name in verdicts)
    what = LOCK if found.commit is None else f"commit {found.commit[:7]}"
    wrong = [finding for finding in found.findings if not finding.passed]
    if not wrong:
        return f"{what} is that of the working tree" if not said else f"{what} passes: {said}"
    stages = ", ".join(dict.fromkeys(finding.stage for finding in wrong))
    first = f"first {wrong[0].artifact}: {wrong[0].reason}"
    if found.commit is None:
        return f"{what} is stale in {stages}; {first}; run 'dvc repro' and commit {what}"
    return f"{what} fails in {stages}: {said}; {first}"


def lines(findings: Sequence[Finding]) -> Iterator[str]:
    """Yield a line for each finding."""
    for each in findings:
        values = f" ({each.committed} -> {each.made})" if each.committed != each.made else ""
        reason = f": {each.reason}" if each.reason else ""
        yield printable(f"{each.verdict:16}  {each.stage}: {each.artifact}{values}{reason}")


def summary(found: Audit) -> str:
    """Summarize in Markdown: what differs first, then everything."""
    differing = [each for each in found.findings if each.verdict != "identical"]
    return (
        f"### Audit on Python {platform.python_version()}, {platform.system()} "
        f"{platform.machine()}\n\n{verdict_line(found)}\n\n"
        + (_block(differing) if differing else "Everything is identical.\n")
        + f"\n<details><summary>All of it</summary>\n\n{_block(found.findings)}\n</details>\n"
    )


def _block(findings: Sequence[Finding]) -> str:
    return "".join(f"    {line}\n" for line in lines(findings))
