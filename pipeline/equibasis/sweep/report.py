"""What a sweep tells people: a table beforehand, a line at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from rich import box
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from equibasis.errors import printable
from equibasis.sweep.index import NAME, Result
from equibasis.sweep.run import Plan

# Characters of a reason in the table.
_MOST = 200


def forecast_table(plan: Plan) -> Table:
    """Tabulate the jobs as they begin; then those kept, and those refused."""
    table = Table(box=box.SIMPLE_HEAD, caption=_counted(plan))
    for name in ("group", "problem", "solver"):
        table.add_column(name, overflow="fold")
    for name in ("rank", "seconds", "memory"):
        table.add_column(name, justify="right")
    table.add_column("", overflow="fold")
    why = dict.fromkeys(plan.kept, "there")
    for reason, names in plan.refusals.items():  # which may be long: once
        why |= dict.fromkeys(names, "refused: as above") | {names[0]: _cut(f"refused: {reason}")}
    for name in [*plan.to_solve, *why]:
        job, forecast = plan.jobs[name], plan.forecasts[name]
        known, kept = forecast.prediction, forecast.kept
        cost = None if known is None else known.cost
        rank = kept.rank if kept else known.rank if known else None
        table.add_row(
            Text(printable(job.group)),
            Text(f"{job.input} -> {job.output}"),
            Text(kept.solver if kept else known.solver if known else job.solver),
            "" if rank is None else f"{rank:,}",
            "" if cost is None else f"{cost.seconds:.1g}",
            "" if cost is None else decimal(round(cost.memory)),
            Text(why.get(name, "")),
        )
    return table


def _cut(text: str) -> str:
    return printable(text if len(text) <= _MOST else f"{text[:_MOST]}…")


def _counted(plan: Plan) -> str:
    costs = [
        known.cost
        for name in plan.to_solve
        if (known := plan.forecasts[name].prediction) is not None and known.cost is not None
    ]
    seconds = sum(cost.seconds for cost in costs)
    memory = max((cost.memory for cost in costs), default=0.0)
    told = f"{len(plan.to_solve)} to solve: about {seconds:.2g} s in one process, at most "
    return told + f"{decimal(round(memory))} each, beside that process; {len(plan.kept)} there"


def verdict(plan: Plan, results: Mapping[str, Result], seconds: float) -> str:
    """How many bases there are, how many of them are new, and how many are not there."""
    counts = Counter(result.status for result in results.values())
    kept = len(plan.kept)
    parts = [f"{counts['solved'] - kept} solved", f"{kept} kept"]
    parts += [f"{counts[name]} {name}" for name in ("failed", "skipped") if counts[name]]
    others = {path.name for path in plan.folder.glob("*.h5")} - plan.jobs.keys()
    told = f"; {len(others)} other basis files lie there" if others else ""
    return f"{plan.folder / NAME}: {', '.join(parts)}, in {seconds:.3g} s{told}"
