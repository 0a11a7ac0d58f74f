"""Commands on pipelines: ``equibasis audit`` and ``equibasis mend``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from equibasis.console import FILE, examples, fail


@click.command(
    epilog=examples("equibasis audit --only bases", "equibasis audit --lock"),
)
@click.option(
    "--only",
    multiple=True,
    metavar="FOLDER",
    help="Run only the stages with outputs in FOLDER, such as bases, and what they need; may be "
    "given several times.",
)
@click.option("--repo", type=FILE, default=Path(), help="The project's folder.  [default: here]")
@click.option("--strict", is_flag=True, help="Ask for identical models, curves and figures too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--summary", type=FILE, help="Write a summary to this file, in Markdown.")
@click.option("--lock", is_flag=True, help="Run nothing: is dvc.lock that of the working tree?")
def audit(
    only: tuple[str, ...],
    repo: Path,
    strict: bool,
    as_json: bool,
    summary: Path | None,
    lock: bool,
) -> None:
    """Run the pipeline in a clean clone; exit 1 if it differs.

    What the committed pipeline makes there is compared with what the committed dvc.lock says.
    Data and bases have to come out identical, metrics to 0.1%, or to the tolerance that their stage
    has as its meta in dvc.yaml. Nothing is taken from a cache, and
    nothing of the project is changed.
    """
    from equibasis.audit import audit as auditing
    from equibasis.audit import report
    from equibasis.files import check_writable, write_text

    if lock and (only or strict):
        raise click.UsageError("--lock runs nothing: leave --only and --strict out")
    if summary is not None:
        check_writable(summary)
    found = auditing.audit_lock(repo) if lock else auditing.audit(repo, only, strict)
    if summary is not None:
        write_text(summary, report.summary(found))
    if as_json:
        click.echo(json.dumps(found.as_json(), indent=2))
    else:
        for line in report.lines(found.findings):
            click.echo(line)
    if found.uncommitted:
        click.echo(
            f"equibasis: HEAD was audited, without {found.uncommitted} uncommitted changes",
            err=True,
        )
    line = report.verdict_line(found)
    if not found.passed:
        sys.exit(fail(line, 1))
    click.echo(line, err=as_json)


@click.command(epilog=examples("equibasis mend && dvc repro"))
def mend() -> None:
    """Mend what a killed `dvc repro` left behind.

    DVC writes dvc.lock and its list of locks in place: killed at that moment, it cannot read them
    afterwards. Run in the project's folder; says what was mended, if anything was.
    """
    from equibasis.audit.repair import mend as mend_project

    for line in mend_project(Path()):
        click.echo(line, err=True)
