"""Networks of continuous groups learn, to a lower error than plain ones of the same size."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from scipy import linalg

SCRIPTS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def learning(tmp_path_factory: Any, monkeypatch: Any) -> Iterator[ModuleType]:
    """The tasks of benchmarks/learning.py."""
    monkeypatch.syspath_prepend(SCRIPTS)
    monkeypatch.setenv("EQUIBASIS_CACHE", str(tmp_path_factory.getbasetemp() / "bases"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # small products, which others at work would only slow down
    yield importlib.import_module("learning")
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", ["inertia", "scattering"])
def test_the_function_to_learn_commutes_with_the_group(learning: ModuleType, name: str) -> None:
    task = learning.TASKS[name]
    ends = [learning.eb.solve(task.group, output=task.spaces[end]).space.output for end in (0, -1)]
    factors = np.random.default_rng(0).uniform(-0.5, 0.5, len(task.group.algebra))
    moves = []
    for rho in ends:
        algebra = rho.algebra or [np.zeros((rho.dimension,) * 2)] * len(factors)
        turn = sum(c * a for c, a in zip(factors, algebra, strict=True))
        dense = turn if isinstance(turn, np.ndarray) else turn.toarray()
        moves.append(rho.matrix(0) @ linalg.expm(dense))
    function = {"inertia": moments, "scattering": element}[name]
    x, y = task.data(20, torch.Generator().manual_seed(0))
    x, y = x.double().numpy(), y.double().numpy()
    np.testing.assert_allclose(function(x), y, atol=1e-5)
    np.testing.assert_allclose(function(x @ moves[0].T), function(x) @ moves[1].T, atol=1e-10)


def moments(x: np.ndarray) -> np.ndarray:
    """Moments of inertia, one example and one mass at a time."""
    found = []
    for example in x:
        total = np.zeros((3, 3))
        for mass, place in zip(example[:5], example[5:].reshape(5, 3), strict=True):
            total += mass * (place @ place * np.eye(3) - np.outer(place, place))
        upper = total * np.where(np.eye(3), 1.0, 2**0.5)
        found.append(upper[np.triu_indices(3)])
    return np.array(found)


def element(x: np.ndarray) -> np.ndarray:
    """The matrix element by products of the four momenta alone."""
    found = []
    for p, p2, q, q2 in x.reshape(-1, 4, 4):
        metric = np.diag([1.0, -1, -1, -1])

        def dot(a: np.ndarray, b: np.ndarray, metric: np.ndarray = metric) -> float:
            return float(a @ metric @ b)

        one, two = dot(p, p2) - dot(p, p), dot(q, q2) - dot(q, q)
        pairs = 2 * (dot(p, q) * dot(p2, q2) + dot(p, q2) * dot(p2, q))
        traces = -2 * two * dot(p, p2) - 2 * one * dot(q, q2) + 4 * one * two
        found.append([4 * (pairs + traces)])
    return np.array(found)


@pytest.mark.parametrize("name", ["inertia", "scattering"])
@pytest.mark.slow
def test_it_is_learned_to_a_lower_error_than_by_a_plain_network(
    learning: ModuleType, name: str
) -> None:
    task = learning.TASKS[name]
    torch.manual_seed(0)
    found = learning.networks(task)
    sizes = {network: learning.parameters(module) for network, module in found.items()}
    assert sizes["EquivariantMLP"] <= sizes["plain"] <= 1.05 * sizes["EquivariantMLP"]
    errors = {
        network: learning.error(module, task, 1000, steps=200, seed=0)
        for network, module in found.items()
    }
    plain = errors.pop("plain")
    assert plain < 1.0  # it learns too
    assert all(error < plain / 3 for error in errors.values())
