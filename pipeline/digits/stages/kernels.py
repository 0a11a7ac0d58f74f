"""Stage `kernels`: solve for the kernels of one classifier."""

from __future__ import annotations

from digits.config import kernels_along
from digits.parameters import Parameters
from digits.paths import BASES
from digits.stages.bases import solve_all
from equibasis.errors import ModelError


def run(parameters: Parameters, name: str) -> None:
    """Write bases/kernels/NAME/: a file for each convolution."""
    models = parameters.classify.models
    if name not in models:
        raise ModelError(f"unknown classifier {name!r}: choose {', '.join(models)}")
    (BASES / "kernels" / name).mkdir(parents=True, exist_ok=True)
    network = models[name]
    solve_all(network.group, kernels_along(network.fields), parameters.solver, name)
