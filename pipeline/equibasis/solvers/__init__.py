"""Solvers: `solve` picks one and holds its result to the checks, without knowing which it runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np

from equibasis.errors import EquibasisError, GroupError, SolverError, SpaceError
from equibasis.linalg.memory import refuse_beyond_memory
from equibasis.solvers import dense, kernel, orbits, projector, svd
from equibasis.solvers.basis import Basis, make_basis
from equibasis.solvers.constraints import whole_constraints
from equibasis.solvers.interface import Cost, Solver
from equibasis.solvers.ranks import expected_rank
from equibasis.solvers.reynolds import known_rank
from equibasis.solvers.tables import Table
from equibasis.symmetry.catalog import find_group
from equibasis.symmetry.group import Group
from equibasis.symmetry.hom_space import HomSpace, hom_space
from equibasis.symmetry.representations import PermutationRepresentation, Representation
from equibasis.symmetry.space_text import as_space
from equibasis.symmetry.spaces import Space
from equibasis.symmetry.workers import Workers

# In the order in which `auto` tries them.
SOLVERS = {
    solver.name: solver
    for solver in (orbits.SOLVER, projector.SOLVER, svd.SOLVER, kernel.SOLVER, dense.SOLVER)
}

# Bytes of matrices of all elements that are made before `kernel` is the better way.
_MOST_LISTED = 2**26

# Orbit types that are told of one by one.
_MOST_TOLD = 4


def find_solver(name: str) -> Solver | None:
    """Return the solver of this name; ``None`` for ``"auto"``.

    Raises
    ------
    SolverError
        If there is no such solver.
    """
    if name == "auto":
        return None
    if not isinstance(name, str) or name not in SOLVERS:
        raise SolverError(f"unknown solver {name!r}: choose auto, {', '.join(SOLVERS)}")
    return SOLVERS[name]


def solve(
    group: str | Group,
    *,
    input: str | Sequence[int] | Space | None = None,
    output: str | Sequence[int] | Space,
    solver: str = "auto",
    workers: int | None = None,
    executor: Executor | None = None,
) -> Basis:
    """Return the canonical basis of the equivariant maps X -> Y, or of the invariant vectors of Y.

    Parameters
    ----------
    group
        A group's name, a file of generators, ``module:object``, or a `Group`.
    input, output
        X and Y, by keyword alone: ``"6x6"``, ``(6, 6)``, ``"3*14x14:vector + 1"`` or a `Space`;
        without ``input``, the invariants of Y.
    solver
        ``"auto"``, or the name of one of `SOLVERS`.
    workers
        Processes for the one-hot transforms. ``None``: all cores, once the work outlasts their
        start.
    executor
        Runs the one-hot transforms and the solving of each pair of types, in place of processes of
        our own: any `concurrent.futures.Executor`, such as a ``ThreadPoolExecutor``, one of loky,
        or ``client.get_executor()`` of a Dask ``Client``. The basis is the same.

    Raises
    ------
    GroupError, SpaceError, SolverError
        For a group, space or solver that is not known or does not fit.

    Examples
    --------
    >>> solve(group="c4", input="14x14", output="6x6").rank
    1764
    >>> solve(group="c4", output="6x6").rank
    9
    """
    chosen = find_solver(solver)
    space = problem(group, input=input, output=output, workers=workers, executor=executor)
    return solve_space(space, chosen, executor)


def problem(
    group: str | Group,
    *,
    input: str | Sequence[int] | Space | None = None,
    output: str | Sequence[int] | Space,
    workers: int | None = None,
    executor: Executor | None = None,
) -> HomSpace:
    """Build the space that `solve` solves for, its representations checked."""
    if output is None:  # as an input it is the scalars
        raise SpaceError("the output is missing: give a space, such as 6x6")
    found = find_group(group)
    names = found.names
    spaces = {"input": as_space(input, names), "output": as_space(output, names)}
    with Workers(workers, executor) as pool:
        return hom_space(found, **spaces, workers=pool)


def choose(space: HomSpace, order: int | None = None) -> Solver:
    """Return the first of `SOLVERS` that applies to a pair of types.

    ``order`` is how many elements generators make, ``None`` for too many: where it takes much
    memory to list them, or cannot be done, `kernel`, which does not.
    """
    listed = orbits.SOLVER.obstacle(space) is None or space.complete or space.continuous
    matrices = 8.0 * (space.k**2 + space.m**2)
    if not listed and (order is None or order * matrices > _MOST_LISTED):
        return kernel.SOLVER
    return next(solver for solver in SOLVERS.values() if solver.obstacle(space) is None)


def _order(space: HomSpace) -> int | None:
    """How many elements the generators make; ``None`` for more than can be listed."""
    if space.complete or space.continuous or not orbits.SOLVER.obstacle(space):
        return len(space.elements)
    known = space.class_characters
    return None if isinstance(known, GroupError) else int(known.sizes.sum())


@dataclass(frozen=True)
class Prediction:
    """What is known of a problem before it is solved.

    Attributes
    ----------
    solver
        Who treats it: their names joined by ``+``.
    rank
        dim Hom_G(X, Y); ``None`` where it is counted when solved.
    cost
        Estimated; ``None`` where the elements are listed first.
    """

    solver: str
    rank: int | None
    cost: Cost | None


def prediction(space: HomSpace, solver: Solver | None = None) -> Prediction:
    """Predict the cost of solving by ``solver``, by default by the solvers that apply.

    Raises
    ------
    SolverError
        If the solver does not apply.
    """
    treated = _treated(space, solver).values()
    used = _joined(each.name for each, _ in treated)
    return Prediction(used, _known_rank(space), _cost(treated, space))


def _cost(treated: Iterable[tuple[Solver, HomSpace]], space: HomSpace) -> Cost | None:
    """Add up the solvers' costs; ``None`` where one lists the elements first."""
    if any(_lists_first(each, space) for each, _ in treated):
        return None
    costs = [each.cost(part) for each, part in treated]
    return Cost(max(cost.memory for cost in costs), sum(cost.seconds for cost in costs))


def _lists_first(solver: Solver, space: HomSpace) -> bool:
    """Whether a solver lists all elements, where only generators are, before anything is known."""
    return not space.complete and solver not in (orbits.SOLVER, kernel.SOLVER)


def _joined(names: Iterable[str]) -> str:
    used = set(names)
    return "+".join(each for each in SOLVERS if each in used)


def explanation(space: HomSpace, solver: Solver | None = None) -> str:
    """Explain a problem before it is solved, and which solver treats it, and why.

    Sizes, the orbit types found, the rank where characters give it, and for each solver either
    what stands in its way or the memory and time that it would take, estimated.
    """
    listed = "elements, all listed" if space.complete else "generators"
    pairs = list(_pairs(space).values())
    order = _order(space)
    used = [solver or choose(pair, order) for pair in pairs]
    lines = [
        str(space),
        f"  group      {len(space.elements)} {listed}",
        f"  input      dimension {space.m:,}, {_structure(space.input)}, {_types(space, 'input')}",
        f"  output     dimension {space.k:,}, {_structure(space.output)}, "
        f"{_types(space, 'output')}",
        f"  all maps   dimension {space.dimension:,}; a dense operator of them takes "
        f"{_size(8.0 * space.dimension**2)}",
        f"  rank       {_rank_beforehand(space)}",
    ]
    for each in SOLVERS.values():
        reasons = [reason for pair in pairs if (reason := each.obstacle(pair)) is not None]
        if reasons:
            takes = each.obstacle(space) if len(reasons) == len(pairs) else None
            takes = takes or f"not all pairs of types: {reasons[0]}"
        elif (cost := _cost(_treated(space, each).values(), space)) is None:
            takes = "lists the elements first; what it takes is known then"
        else:
            takes = f"about {_size(cost.memory)} and {cost.seconds:.1g} s"
        takes += f"; {each.summary}" if each in used else ""
        mark = "->" if each in used else "  "
        lines.append(f"{mark} {each.name:<10} {takes}")
    return "\n".join(lines)


def _pairs(space: HomSpace) -> dict[tuple[int, int], HomSpace]:
    """Hom_G(V, W) for each pair of types (W, V) that occurs, its tensor factors balanced."""
    types = space.types
    return {
        (output.type, input_.type): space.between(input_.type, output.type).balanced
        for output in types.output
        for input_ in types.input
    }


def _structure(rho: Representation) -> str:
    if isinstance(rho, PermutationRepresentation):
        return "permutations" if rho.signs is None else "signed permutations"
    return "orthogonal matrices" if rho.is_orthogonal else "matrices, not orthogonal"


def _types(space: HomSpace, side: str) -> str:
    summands = space.types.input if side == "input" else space.types.output
    told = [f"{each.multiplicity:,} of {each.dimension:,}" for each in summands[:_MOST_TOLD]]
    if len(summands) > _MOST_TOLD:
        told.append(f"… ({len(summands)} in all)")
    return f"orbit types {', '.join(told)}"


def _known_rank(space: HomSpace) -> int | None:
    """Return the rank where characters, type by type, or weights give it."""
    return expected_rank(space).rank if space.complete else known_rank(space)


def _rank_beforehand(space: HomSpace) -> str:
    rank = _known_rank(space)
    if rank is not None:
        return f"{rank:,}, from {'characters' if space.complete else 'weights'}"
    if not space.continuous:
        return "counted when solved: only generators are listed"
    pairs = _pairs(space).values()
    if all(whole_constraints(pair, np.arange(0)) is not None for pair in pairs):
        held = "held to that of its constraints modulo a prime"
    else:
        held = "and its entries are no fractions, so that null spaces alone tell"
    return f"counted when solved: {space.by_weights}; {held}"


def _size(count: float) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if count < 1024 or unit == "PiB":
            break
        count /= 1024
    return f"{count:,.3g} {unit}"


def solve_space(
    space: HomSpace, solver: Solver | None = None, executor: Executor | None = None
) -> Basis:
    """`solve` for representations already at hand.

    Each pair of orbit types is solved once; with ``solver=None`` each by the first that applies.

    Raises
    ------
    SolverError
        If the solver does not apply, would not fit in memory, or its result fails the checks.
    """
    treated = _treated(space, solver)
    tasks = []
    for pair, (chosen, small) in treated.items():
        if pair is not None and _lists_first(chosen, space):
            small = space.enumerated.between(pair[1], pair[0]).balanced
        tasks.append((chosen, small, str(space)))
    tables: dict[tuple[int, int], Table] = {}
    with Workers(1 if executor is None else None, executor) as workers:
        found = workers.map(_solved, tasks, str(space))
        for pair, table in zip(treated, found, strict=True):
            tables.update(table if pair is None else {pair: table})
    types = space.types
    rows = [[tables[output.type, input_.type] for input_ in types.input] for output in types.output]
    name = _joined(chosen.name for chosen, _ in treated.values())
    try:
        return make_basis(space, rows, name)
    except EquibasisError as error:
        raise _failed(name, str(space), error) from error


def _treated(
    space: HomSpace, solver: Solver | None
) -> dict[tuple[int, int] | None, tuple[Solver, HomSpace]]:
    """Who treats what: each pair of types (W, V), or ``None`` for the whole, as it is.

    Raises
    ------
    SolverError
        If the solver does not apply.
    """
    pairs: dict[tuple[int, int] | None, HomSpace] = {None: space}
    if solver is None or not solver.whole:
        pairs = dict(_pairs(space).items())
    order = None if solver else _order(space)
    treated = {}
    for pair, small in pairs.items():
        chosen = solver or choose(small, order)
        obstacle = chosen.obstacle(small)
        if obstacle is not None:
            obstacle = chosen.obstacle(space) or obstacle
            raise SolverError(
                f"solver {chosen.name!r} does not apply: {obstacle}; use --solver auto"
            )
        treated[pair] = chosen, small
    return treated


def _solved(solver: Solver, space: HomSpace, what: str) -> Any:
    """Return the table of a pair of types, or where a solver treats the whole space, all tables."""
    needed, what_for = solver.cost(space).memory, f"solver {solver.name!r} for {space}"
    remedy = "choose a smaller space, or another --solver"
    refuse_beyond_memory(needed, what_for, SolverError, remedy)
    try:
        return solver.solve(space)
    except EquibasisError as error:
        raise _failed(solver.name, what, error) from error


def _failed(solver: str, space: str, error: EquibasisError) -> SolverError:
    return SolverError(f"solver {solver!r} failed its check on {space}: {error}")
