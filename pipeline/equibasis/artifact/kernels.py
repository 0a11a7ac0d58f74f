"""Bases of the kernels of equivariant convolutions."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from weakref import WeakValueDictionary

from equibasis.artifact.cache import get_basis
from equibasis.errors import SpaceError
from equibasis.linalg.numbers import as_index, whole_numbers
from equibasis.solvers import find_solver
from equibasis.solvers.basis import Basis
from equibasis.symmetry.catalog import find_group
from equibasis.symmetry.group import Group
from equibasis.symmetry.space_text import as_space
from equibasis.symmetry.spaces import SCALAR, Space
from equibasis.symmetry.windows import window

# What some layer of this process has: networks are made of many layers alike.
_in_use: WeakValueDictionary[tuple[Group, Space, Space, tuple[int, ...]], Basis] = (
    WeakValueDictionary()
)


def kernel_basis(
    group: str | Group,
    in_field: str | Space,
    out_field: str | Space,
    size: int | Sequence[int],
    *,
    solver: str = "auto",
) -> Basis:
    """Return the kernels of equivariant convolutions between two fields, solved once and kept.

    A convolution y(q) = Σ_p K(p) x(q + p) commutes with a group that moves the points of a grid by
    R(g) and what fields have there by σ₁(g) and σ₂(g) just if K(R(g) p) = σ₂(g) K(p) σ₁(g)⁻¹ for
    all p: if K is an equivariant map from a window of the one field to a point of the other. So
    these are the bases of `equibasis.get_basis` from ``window(in_field, size)``, and one object as
    long as a layer has it.

    >>> import equibasis as eb
    >>> eb.kernel_basis("d4", "1", "regular", 3).rank, eb.kernel_basis("d4", "1", "1", 3).rank
    (9, 3)

    Parameters
    ----------
    group
        As for `equibasis.solve`: a finite group that acts on windows of this size.
    in_field, out_field
        What the fields have at a point, channels by number: ``"8*regular + 4*vector + 1"``.
    size
        Points along each axis, or along all axes.
    solver
        Who solves what is not in the cache yet.

    Returns
    -------
    Basis
        Of vectors ``(out, in, *size)``, flattened: the layout of `torch.nn.Conv2d.weight`.

    Raises
    ------
    GroupError, SpaceError, SolverError
        As `equibasis.solve`.
    """
    found = find_group(group)
    points = as_index(size)
    if points is not None:
        if found.axes is None:
            raise SpaceError(
                f"group {found.name!r} acts on grids of any number of axes: give a size for each, "
                f"as in ({points}, {points})"
            )
        size = (points,) * found.axes
    shape = whole_numbers(size, "the size of a kernel", SpaceError)
    here, there = (as_space(space, found.names) for space in (in_field, out_field))
    window(there, shape)  # refuses what is no fibre
    seen = window(here, shape)
    if seen == SCALAR:
        raise SpaceError(
            "a kernel of one point from one channel, 1, is a number: give more channels, such as "
            "2*1, or a larger kernel"
        )
    find_solver(solver)
    asked = found, here, there, shape
    with contextlib.suppress(TypeError):  # a group's elements may be lists
        known = _in_use.get(asked)
        if known is not None:
            return known
    basis = get_basis(found, input=seen, output=there, solver=solver)
    with contextlib.suppress(TypeError):
        _in_use[asked] = basis
    return basis
