"""What could be swapped without a word is said by its name: the input, then the output."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import equibasis as eb
from equibasis.artifact.store import basis_path
from equibasis.solvers import problem


def public_functions() -> Iterator[Callable[..., Any]]:
    """All functions and classes of the library whose names have no underscore."""
    for module_info in pkgutil.walk_packages(eb.__path__, "equibasis."):
        if not module_info.name.endswith("__main__"):
            module = importlib.import_module(module_info.name)
            for name, member in vars(module).items():
                own = getattr(member, "__module__", None) == module.__name__
                if own and not name.startswith("_") and inspect.isroutine(member):
                    yield member


TWO_SIDED = [
    function
    for function in [*public_functions(), eb.HomSpace]
    if {"input", "output"} <= set(inspect.signature(function).parameters)
]


@pytest.mark.parametrize("function", TWO_SIDED, ids=lambda f: f"{f.__module__}.{f.__name__}")
def test_input_and_output_are_keywords_and_come_in_this_order(function):
    parameters = inspect.signature(function).parameters
    names = list(parameters)
    assert names.index("input") < names.index("output")
    for name in ("input", "output"):
        assert parameters[name].kind is inspect.Parameter.KEYWORD_ONLY


def test_these_are_the_functions_of_two_sides():
    assert {"solve", "problem", "get_basis", "hom_space", "basis_path", "HomSpace"} <= {
        function.__name__ for function in TWO_SIDED
    }


@pytest.mark.parametrize(
    "call",
    [
        lambda: eb.solve("c4", "14x14", "6x6"),
        lambda: eb.solve("c4", "6x6"),
        lambda: eb.get_basis("c4", "14x14", "6x6"),
        lambda: problem("c4", "14x14", "6x6"),
        lambda: basis_path("bases", "c4", "6x6", "14x14"),
        lambda: eb.HomSpace("c4", ("e",), eb.V, eb.V, None, None),
    ],
)
def test_spaces_by_position_are_refused(call):
    with pytest.raises(TypeError, match="positional argument"):
        call()


def test_the_input_of_a_basis_is_what_was_called_the_input():
    basis = eb.solve("c4", input="14x14", output="6x6")
    assert (basis.input_shape, basis.output_shape) == ((14, 14), (6, 6))
