"""Solvers: `solve` picks one and holds its result to the checks, without knowing which it runs."""

from __future__ import annotations

from collections.abc import Sequence

from equibasis.basis import Basis, make_basis
from equibasis.errors import EquibasisError, ShapeError, SolverError
from equibasis.groups import Group, find_group
from equibasis.representations import HomSpace, hom_space, parse_shape
from equibasis.solvers import dense, orbits, svd
from equibasis.solvers.interface import Solver
from equibasis.workers import Workers

# In the order in which `auto` tries them.
SOLVERS = {solver.name: solver for solver in (orbits.SOLVER, svd.SOLVER, dense.SOLVER)}


def find_solver(name: str) -> Solver | None:
    """The solver of this name; ``None`` for ``"auto"``.

    Raises
    ------
    SolverError
        If there is no such solver.
    """
    if name == "auto":
        return None
    if name not in SOLVERS:
        raise SolverError(f"unknown solver {name!r}: choose auto, {', '.join(SOLVERS)}")
    return SOLVERS[name]


def solve(
    group: str | Group,
    output: str | Sequence[int],
    input: str | Sequence[int] | None = None,
    solver: str = "auto",
    workers: int | None = None,
) -> Basis:
    """The canonical basis of the equivariant maps X -> Y, or of the invariant vectors of Y.

    Parameters
    ----------
    group
        A built-in group's name, ``module:object``, or a `Group`.
    output, input
        Shapes of the arrays in Y and X, ``"6x6"`` or ``(6, 6)``; without ``input``, the
        invariants of Y.
    solver
        ``"auto"``, or the name of one of `SOLVERS`.
    workers
        Processes for the one-hot transforms. ``None``: all cores, once the work outlasts their
        start.

    Raises
    ------
    GroupError, ShapeError, SolverError
        For a group, shape or solver that is not known or does not fit.

    Examples
    --------
    >>> solve(group="c4", input="14x14", output="6x6").rank
    1764
    >>> solve(group="c4", output="6x6").rank
    9
    """
    chosen = find_solver(solver)
    shapes = parse_shape(input), parse_shape(output)
    if not shapes[1]:
        raise ShapeError("the output needs a shape, such as 6x6")
    found = find_group(group)
    with Workers(workers) as pool:
        return solve_space(hom_space(found, *shapes, pool), chosen)


def solve_space(space: HomSpace, solver: Solver | None = None) -> Basis:
    """`solve` for representations already at hand; ``solver=None`` picks the first that applies.

    Raises
    ------
    SolverError
        If the solver does not apply, or its result fails the checks.
    """
    if solver is None:
        solver = next(each for each in SOLVERS.values() if each.obstacle(space) is None)
    elif (obstacle := solver.obstacle(space)) is not None:
        raise SolverError(f"solver {solver.name!r} does not apply: {obstacle}; use auto or svd")
    matrix = solver.solve(space)
    try:
        return make_basis(space, matrix, solver.name)
    except EquibasisError as error:
        raise SolverError(f"solver {solver.name!r} failed its check on {space}: {error}") from error
