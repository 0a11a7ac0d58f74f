"""Stage `kernels`: solve for the kernels of one classifier."""

from __future__ import annotations

from digits.config import bases_needed, classifier_config
from digits.parameters import Parameters
from digits.paths import BASES
from digits.stages.bases import solve_all


def run(parameters: Parameters, name: str) -> None:
    """Write bases/kernels/NAME/: a file for each convolution."""
    config = classifier_config(parameters, name)
    (BASES / "kernels" / name).mkdir(parents=True, exist_ok=True)
    solve_all(config.group, bases_needed(config), parameters.solver, name)
