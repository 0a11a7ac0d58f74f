"""What symmetry saves in data: two tasks of EMLP's paper; writes docs/benchmarks.md.

The moments of inertia of point masses under O(3), and a matrix element of particle scattering under
O(1, 3), learned by networks of this library and by plain ones of as many parameters, alike.
Source: Finzi, Welling, Wilson, *A practical method for constructing equivariant multilayer
perceptrons for arbitrary matrix groups*, 2021, section 7.
"""

from __future__ import annotations

import itertools
import statistics
import textwrap
from collections.abc import Callable, Mapping
from typing import NamedTuple

import click
import matplotlib.ticker
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Generator, Tensor, nn
from torch.nn import functional
from tqdm import tqdm

import equibasis as eb
from equibasis.nn import EquivariantMLP, EquivariantSequential, InvariantForms
from equibasis.show.figures import COLOURS, save_figure
from page import DOCS, machine, table, write_section

SIZES = (100, 300, 1000, 3000, 10_000)
STEPS, BATCH, RATE, SEEDS = 300, 500, 1e-2, 3
MASSES = 5

METRIC = np.diag([1.0, -1, -1, -1])


def rotations(n: int) -> list[np.ndarray]:
    """Return a basis of the antisymmetric matrices: the Lie algebra of the rotations of R^n."""
    unit = np.eye(n)
    return [
        np.outer(unit[j], unit[i]) - np.outer(unit[i], unit[j])
        for i, j in itertools.combinations(range(n), 2)
    ]


O3 = eb.matrix_group("o3", [-np.eye(3)], algebra=rotations(3))
LORENTZ = eb.matrix_group(
    "o1,3", {"T": -METRIC, "P": METRIC}, algebra=[each @ METRIC for each in rotations(4)]
)


# --- tasks ---------------------------------------------------------------------------------------


def inertia(count: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Masses and places, ``5*1 + 5*V``, and Σ m (|r|² - r rᵀ) in coordinates of ``sym(V, 2)``."""
    masses = functional.softplus(torch.randn(count, MASSES, generator=generator))
    places = torch.randn(count, MASSES, 3, generator=generator)
    squares = places.square().sum(-1)[..., None, None] * torch.eye(3)
    outer = places[..., :, None] * places[..., None, :]
    moments = (masses[..., None, None] * (squares - outer)).sum(1)
    i, j = np.triu_indices(3)
    scales = torch.from_numpy(np.where(i == j, 1.0, 2**0.5)).to(moments)
    return torch.cat([masses, places.flatten(1)], dim=1), moments[:, i, j] * scales


def scattering(count: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Four momenta, ``4*V``, and the matrix element of electron and muon, of degree four in them.

    It is Lᵘᵛ(p, p') Mᵤᵥ(q, q') with Lᵘᵛ(p, p') = pᵘp'ᵛ + p'ᵘpᵛ - ηᵘᵛ(p·p' - p·p), M likewise.
    """
    momenta = torch.randn(count, 4, 4, generator=generator) / 4
    metric = torch.from_numpy(METRIC).to(momenta)

    def tensor(p: Tensor, other: Tensor) -> Tensor:
        outer = p[:, :, None] * other[:, None, :]
        difference = ((p @ metric) * (other - p)).sum(1)
        return outer + outer.mT - metric * difference[:, None, None]

    of_electron = tensor(momenta[:, 0], momenta[:, 1])
    of_muon = metric @ tensor(momenta[:, 2], momenta[:, 3]) @ metric
    return momenta.flatten(1), 4 * (of_electron * of_muon).sum((1, 2))[:, None]


class Task(NamedTuple):
    """A function to learn, the spaces of a network for it, and their group."""

    title: str
    data: Callable[[int, Generator], tuple[Tensor, Tensor]]
    spaces: list[str]
    group: eb.Group


TASKS = {
    "inertia": Task(
        "Moments of inertia, O(3)",
        inertia,
        ["5*1 + 5*V", "16*V + 32*1", "16*V + 32*1", "sym(V, 2)"],
        O3,
    ),
    "scattering": Task(
        "Scattering, O(1, 3)", scattering, ["4*V", "8*V + 16*1", "8*V + 16*1", "1"], LORENTZ
    ),
}


# --- networks ------------------------------------------------------------------------------------


def parameters(network: nn.Module) -> int:
    """How many numbers a network learns."""
    return sum(each.numel() for each in network.parameters())


def plain(inputs: int, outputs: int, count: int) -> nn.Sequential:
    """Two hidden layers, as narrow as they may be for so many parameters."""
    width = next(h for h in itertools.count(1) if h * (inputs + h + 2) + outputs * (h + 1) >= count)
    return nn.Sequential(
        nn.Linear(inputs, width),
        nn.SiLU(),
        nn.Linear(width, width),
        nn.SiLU(),
        nn.Linear(width, outputs),
    )


def networks(task: Task) -> dict[str, nn.Module]:
    """Build an equivariant network, a plain one of as many parameters, and one of invariants."""
    equivariant = EquivariantMLP(task.spaces, task.group)
    ends, count = (equivariant.domain, equivariant.codomain), parameters(equivariant)
    found: dict[str, nn.Module] = {
        "EquivariantMLP": equivariant,
        "plain": plain(*(end.dimension for end in ends), count),
    }
    if equivariant.codomain.is_trivial:
        forms = InvariantForms(equivariant.domain)
        after = plain(forms.codomain.dimension, equivariant.codomain.dimension, count)
        found["InvariantForms, plain"] = EquivariantSequential(forms, after)
    return found


def error(network: nn.Module, task: Task, size: int, *, steps: int, seed: int) -> float:
    """Train on ``size`` examples; the mean square error on others, beside their variance."""
    generator = Generator().manual_seed(seed)
    (x, y), (x_test, y_test) = task.data(size, generator), task.data(2000, generator)
    scale = y.std()
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for _ in range(steps):
        batch = torch.randperm(size, generator=generator)[:BATCH]
        loss = functional.mse_loss(network(x[batch]), y[batch] / scale)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        difference = network(x_test) * scale - y_test
    variance = (y_test - y_test.mean(0)).square().mean()
    return float(difference.square().mean() / variance)


# --- the page ------------------------------------------------------------------------------------

Errors = Mapping[str, Mapping[str, list[float]]]


def plot(errors: Errors) -> Figure:
    """Test error against the size of the training set, a panel for each task."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    panels = figure.subplots(1, len(errors))
    for panel, (name, of_task) in zip(panels, errors.items(), strict=True):
        for colour, (network, values) in zip(COLOURS[1:], of_task.items(), strict=False):
            panel.loglog(SIZES, values, "o-", color=colour, label=network)
        panel.set_title(TASKS[name].title)
        panel.set_xlabel("training examples")
        panel.xaxis.set_major_formatter(matplotlib.ticker.StrMethodFormatter("{x:,.0f}"))
        panel.legend(frameon=False)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("test error / variance")
    return figure


def section(errors: Errors, counts: Mapping[str, int]) -> str:
    """Return the section of docs/benchmarks.md."""
    rows = [
        [TASKS[name].title, network, *(f"{value:.2g}" for value in values)]
        for name, of_task in errors.items()
        for network, values in of_task.items()
    ]
    about = (
        f"Tasks of EMLP's paper, data made by the script: {counts['inertia']:,} parameters for the "
        f"moments of inertia of five point masses, {counts['scattering']:,} for a matrix element "
        "of four momenta, the plain networks as many. All are trained alike: Adam, "
        f"{STEPS} steps of up to {BATCH} examples, a rate of {RATE:g} at most, in one cycle. Mean "
        f"square error on 2,000 other examples, beside their variance; medians of {SEEDS} seeds. "
        f"On {machine()}, torch {torch.__version__}."
    )
    return "\n".join(
        [
            "## Learning",
            "",
            textwrap.fill(about, 100),
            "",
            "![Test error against the number of training examples](images/learning.png)",
            "",
            table(["task", "network", *(f"{size:,}" for size in SIZES)], rows, 2),
        ]
    )


@click.command()
def main() -> None:
    """Train every network and write the section."""
    torch.set_num_threads(1)
    errors: dict[str, dict[str, list[float]]] = {}
    counts = {}
    for name, task in TASKS.items():
        errors[name] = {}
        for size in tqdm(SIZES, name):
            found: dict[str, list[float]] = {}
            for seed in range(SEEDS):
                torch.manual_seed(seed)
                for network, module in networks(task).items():
                    value = error(module, task, size, steps=STEPS, seed=seed)
                    found.setdefault(network, []).append(value)
                    counts.setdefault(name, parameters(module))
            for network, values in found.items():
                errors[name].setdefault(network, []).append(statistics.median(values))
    save_figure(plot(errors), DOCS / "images" / "learning.png")
    write_section("learning", section(errors, counts))


if __name__ == "__main__":
    main()
