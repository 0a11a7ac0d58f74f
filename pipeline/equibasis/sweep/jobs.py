"""The file of a sweep: which bases are to be solved, and what their files are called."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from equibasis.artifact.store import basis_path
from equibasis.errors import EquibasisError, ParametersError, naming_extras
from equibasis.files import checked, read_yaml
from equibasis.solvers import find_solver
from equibasis.symmetry.space_text import as_space
from equibasis.symmetry.spaces import SCALAR

# Characters of a name of a file before its hash.
_LONGEST = 100


@dataclass(frozen=True)
class Job:
    """A basis to solve.

    Attributes
    ----------
    group
        As for `equibasis.solve`, by name.
    input, output
        X and Y, as text; X is ``1`` for invariant vectors.
    solver
        ``auto``, or a solver's name.
    """

    group: str
    input: str
    output: str
    solver: str = "auto"

    def __str__(self) -> str:
        by = "" if self.solver == "auto" else f" by {self.solver}"
        return f"{self.group}: {self.input} -> {self.output}{by}"


def read_sweep(path: str | Path) -> dict[str, Job]:
    """Return the jobs of a sweep in their order, each under the name of its file.

    The file is YAML: a mapping, or a list of such, each with ``groups``, ``problems``, a list of
    ``input -> output``, or ``inputs`` and ``outputs``, which are crossed, and perhaps ``solvers``.
    A job that occurs twice is one.

    Raises
    ------
    ParametersError
        If the file cannot be read, or a part of it is not as above, naming it.
    """
    jobs = dict.fromkeys(job for part in _parts(path) for job in _jobs(path, part))
    if not jobs:
        raise ParametersError(f"{path} names no problems: give groups, and problems or outputs")
    names = {job: _stem(job) for job in jobs}
    often = Counter(name.casefold() for name in names.values())
    return {
        f"{_with_hash(name, job) if often[name.casefold()] > 1 else name}.h5": job
        for job, name in names.items()
    }


def _stem(job: Job) -> str:
    """Name a file, the same whatever else is in the sweep, but for those called alike.

    With a hash where the group differs from another by case alone, as crystal classes and families
    do, which some systems do not tell apart in names of files; and where it would be too long.
    """
    invariant = as_space(job.input) == SCALAR
    path = basis_path("", job.group, input=None if invariant else job.input, output=job.output)
    name = path.stem if job.solver == "auto" else f"{path.stem}_{job.solver}"
    one_case = job.group == job.group.lower()
    return name if one_case and len(name) <= _LONGEST else _with_hash(name, job)


def _with_hash(name: str, job: Job) -> str:
    return f"{name[:_LONGEST]}-{hashlib.sha256(str(job).encode()).hexdigest()[:8]}"


def _jobs(path: str | Path, part: Any) -> Iterator[Job]:
    """Yield the jobs of one mapping, the group that changes most slowly first."""
    try:
        pairs = [_pair(problem) for problem in part.problems]
        pairs += itertools.product(map(_as_text, part.inputs), map(_as_text, part.outputs))
        for solver in part.solvers:
            find_solver(solver)
    except EquibasisError as error:
        raise ParametersError(f"{path}: {error}") from error
    for group, (input_, output), solver in itertools.product(part.groups, pairs, part.solvers):
        yield Job(group, input_, output, solver)


def _pair(problem: str) -> tuple[str, str]:
    sides = problem.split("->")
    if len(sides) != 2:
        raise ParametersError(
            f"{problem!r} is no problem: write 'input -> output', '1 -> output' for invariants"
        )
    return _as_text(sides[0]), _as_text(sides[1])


def _as_text(space: str) -> str:
    """Write a space in the one way that all ways of writing it become."""
    return str(as_space(space))


def _parts(path: str | Path) -> list[Any]:
    """Return the mappings of the file, checked for what is in them."""
    with naming_extras("a sweep", "cluster"):
        from pydantic import BaseModel, BeforeValidator, ConfigDict, StringConstraints

    def text(value: object) -> object:
        return str(value) if type(value) is int else value  # a space such as 1 or 196

    Words = list[Annotated[str, BeforeValidator(text), StringConstraints(min_length=1)]]

    class Part(BaseModel):
        model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

        groups: Words
        problems: Words = []
        inputs: Words = []
        outputs: Words = []
        solvers: Words = ["auto"]

    with naming_extras("a sweep", "cluster"):
        content = read_yaml(path, "name the file of a sweep")
    is_one = not isinstance(content, list)
    parts: list[Part] = checked(path, [content] if is_one else content, list[Part], int(is_one))
    return parts
