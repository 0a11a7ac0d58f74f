"""Direct products, each factor acting on axes of its own or by name; wreath products."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from scipy import linalg

from equibasis.errors import GroupError, SpaceError
from equibasis.linalg.memory import refuse_beyond_memory
from equibasis.symmetry.assembled import direct_sum
from equibasis.symmetry.closure import check_group
from equibasis.symmetry.constructions import at_elements
from equibasis.symmetry.families import FEW, built_in
from equibasis.symmetry.group import Group
from equibasis.symmetry.pair_orbits import orbit_leaders
from equibasis.symmetry.representations import PermutationRepresentation, Representation
from equibasis.symmetry.spaces import Grid, Shape

Factors: TypeAlias = tuple[Group, ...]


@dataclass(frozen=True)
class Together:
    """An element of a product.

    Attributes
    ----------
    name
        Those of the elements of its factors, ``e`` where a factor moves nothing.
    moves
        (factor, position of the element in the factor's list) for each factor that moves something.
    """

    name: str
    moves: tuple[tuple[int, int], ...]

    def __str__(self) -> str:
        return self.name


def product_group(*factors: Group) -> Group:
    """G₁ × G₂ × …, each factor that acts on arrays on the axes that follow those before.

    A factor that acts on any number of axes, such as s5, takes those that are left for it; arrays
    that can be shared out in two ways are refused. Groups of matrices take no axes.

    The representations of each factor are those of the product, under their names. Where several
    factors have one of a name, it is that of the only group of matrices among them; those of the
    others have the number of their factor behind: ``V2``.

    Raises
    ------
    GroupError
        If there are no factors, or two representations would have one name.
    """
    if not factors:
        raise GroupError("a direct product has a factor at least")
    factors = tuple(itertools.chain.from_iterable(map(_taken_apart, factors)))
    name = "*".join(group.name for group in factors)
    order = math.prod(len(group.elements) for group in factors)
    complete = all(group.complete for group in factors) and order <= FEW
    if complete:
        positions = itertools.product(*(range(len(group.elements)) for group in factors))
        elements = [_together(factors, tuple(enumerate(each))) for each in positions]
    else:
        elements = [
            _together(factors, ((number, position),))
            for number, group in enumerate(factors)
            for position in generating_positions(group)
        ]
    algebra = [
        _together(factors, ((number, len(group.elements) + position),))
        for number, group in enumerate(factors)
        for position in range(len(group.algebra))
    ]
    on_arrays = [group for group in factors if group.transform is not None]
    axes = [group.axes for group in on_arrays if group.axes is not None]
    all_axes = sum(axes) if len(axes) == len(on_arrays) else None
    turns = all_axes is not None and all(group.linear is not None for group in on_arrays)
    return Group(
        name,
        tuple(elements),
        partial(_transformed, factors) if on_arrays else None,
        all_axes if on_arrays else None,
        complete=complete,
        linear=partial(_turned, factors) if on_arrays and turns else None,
        rearranges=all(group.rearranges for group in on_arrays),
        refuses=partial(_refuses, factors) if on_arrays else None,
        factors=factors,
        count=partial(_order, factors),
        algebra=tuple(algebra),
        representations=_representations(name, factors, elements, algebra),
    )


def _order(factors: Factors) -> int:
    return math.prod(int(group.order) for group in factors)


def _taken_apart(group: Group) -> Factors:
    """Return a product's factors as it was made, so that products are associative; or itself."""
    if not group.factors:
        return (group,)
    made = product_group(*group.factors)
    as_made = (made.name, made.axes, made.names) == (group.name, group.axes, group.names)
    return group.factors if as_made else (group,)


def _representations(
    name: str, factors: Factors, elements: Sequence[Together], algebra: Sequence[Together]
) -> dict[str, Representation]:
    found: dict[str, Representation] = {}
    for number, group in enumerate(factors):
        for own, rho in group.representations.items():
            having = [each for each in factors if own in each.representations]
            of_matrices = sum(each.transform is None for each in having)
            key = own
            if len(having) > 1 and (group.transform is not None or of_matrices > 1):
                key += f"_{number + 1}" if own[-1].isdigit() else f"{number + 1}"
            if key in found:
                raise GroupError(
                    f"group {name!r}: two representations would be called {key!r}: give those of "
                    "the factors other names"
                )
            found[key] = of_factor(rho, number, elements, algebra)
    return found


def of_factor(
    rho: Representation, number: int, elements: Sequence[Together], algebra: Sequence[Together]
) -> Representation:
    """Return a representation of one factor, for what the product lists."""
    positions = [[dict(e.moves).get(number, -1) for e in each] for each in (elements, algebra)]
    return at_elements(rho, *positions)


def generating_positions(group: Group) -> tuple[int, ...]:
    """Where in the list of a group's elements some stand that generate it.

    Of an own group that acts on arrays, whose representations may tell less than arrays do, all
    but the identity.

    Raises
    ------
    GroupError
        If its elements are said to be all of a group, and are not.
    """
    count = len(group.elements)
    if not group.complete or count == 1:
        return tuple(range(count))
    if group.representations:
        rho = direct_sum([*group.representations.values()])
        found = check_group(group.name, group.element_names, rho)
        if group.transform is None or built_in(group.name) is group:
            return (*found,) or (0,)
    return tuple(range(1, count))


def _together(factors: Factors, moves: tuple[tuple[int, int], ...]) -> Together:
    names = ["e"] * len(factors)
    for number, position in moves:
        names[number] = factors[number].element_names[position]
    return Together(",".join(names), moves)


# --- which axes are whose -----------------------------------------------------------------------


def _ways(factors: Factors, shape: Shape) -> dict[tuple[int, ...], str | None]:
    """Each way to share the axes out: where those of each factor start, and their number.

    With the reason why a factor does not act on its own, if one does not.
    """
    least = [0 if group.transform is None else group.axes or 1 for group in factors]
    free = len(shape) - sum(least)
    any_number = [group.transform is not None and group.axes is None for group in factors]
    found = {}
    for more in itertools.product(*(range(free + 1) if each else (0,) for each in any_number)):
        if sum(more) == free:
            starts = (0, *itertools.accumulate(map(operator.add, least, more)))
            own = zip(factors, itertools.pairwise(starts), strict=True)
            refusals = (g.refuses(shape[a:b]) for g, (a, b) in own if g.transform and g.refuses)
            found[starts] = next(filter(None, refusals), None)
    return found


def _refuses(factors: Factors, shape: Shape) -> str | None:
    ways = _ways(factors, shape)
    fitting = [starts for starts, reason in ways.items() if reason is None]
    if len(fitting) == 1:
        return None
    if not ways:
        acting = sum(group.transform is not None for group in factors)
        return f"it has {len(shape)} axes for {acting} factors"
    if not fitting:
        return next(iter(ways.values()))
    one, other = (_shared_text(factors, shape, starts) for starts in fitting[:2])
    return (
        f"its axes can be shared out in two ways, {one} or {other}: say how many a group takes by "
        "dataclasses.replace(group, axes=1)"
    )


def share(factors: Factors, shape: Shape) -> tuple[int, ...]:
    """Where the axes of each factor start, and their number.

    Raises
    ------
    SpaceError
        If the axes cannot be shared out, or in two ways.
    """
    if reason := _refuses(factors, shape):
        raise SpaceError(f"a product of groups does not act on {Grid(shape)}: {reason}")
    return next(starts for starts, reason in _ways(factors, shape).items() if reason is None)


def _shared_text(factors: Factors, shape: Shape, starts: tuple[int, ...]) -> str:
    return " and ".join(
        f"{group.name} on {Grid(shape[start:end])}"
        for group, (start, end) in zip(factors, itertools.pairwise(starts), strict=True)
        if group.transform is not None
    )


# --- how it acts --------------------------------------------------------------------------------


def _transformed(factors: Factors, array: np.ndarray, element: Together) -> np.ndarray:
    starts = share(factors, array.shape)
    for number, position in element.moves:
        factor, (start, end) = factors[number], starts[number : number + 2]
        if factor.transform is not None:
            array = _along(factor, factor.elements[position], array, start, end)
    return array


def _along(factor: Group, element: Any, array: np.ndarray, start: int, end: int) -> np.ndarray:
    """Return the transform of some neighbouring axes, at every point of the others."""
    assert factor.transform is not None
    last = range(array.ndim - (end - start), array.ndim)
    moved = np.moveaxis(array, range(start, end), last)
    parts = moved.reshape(-1, *array.shape[start:end])
    images = np.stack([factor.transform(part.copy(), element) for part in parts])
    image = images.reshape(*moved.shape[: last.start], *images.shape[1:])
    return np.moveaxis(image, last, range(start, end))


def _turned(factors: Factors, element: Together, axes: int) -> np.ndarray:
    """How vectors turn: block diagonal, each factor's components along its own axes."""
    blocks = [np.eye(0 if group.transform is None else group.axes or 0) for group in factors]
    for number, position in element.moves:
        group = factors[number]
        if group.transform is not None and group.linear is not None:
            blocks[number] = group.linear(group.elements[position], group.axes or 0)
    return linalg.block_diag(*blocks)


# --- wreath products ------------------------------------------------------------------------------


def wreath_group(inner: Group, outer: Group) -> Group:
    """``wreath(inner, outer)``, acting on arrays (m, n), m blocks of n points.

    ``inner`` permutes the n points of each block, independently of the other blocks, and
    ``outer`` the m blocks. It lists generators.

    Raises
    ------
    GroupError
        If one is no group of permutations.
    EquibasisError
        If its generators would not fit in memory.
    """
    name = f"wreath({inner.name}, {outer.name})"
    points, blocks = (_permutations(name, group) for group in (inner, outer))
    m, n = blocks.shape[1], points.shape[1]
    refuse_beyond_memory(32.0 * m * n * (len(points) + len(blocks)), f"{name} on {m}x{n}")
    whole = np.arange(m * n).reshape(m, n)
    index: dict[str, np.ndarray] = {}
    for block in np.unique(orbit_leaders(list(blocks))):
        for generator in generating_positions(inner):
            moved = whole.copy()
            moved[block] = whole[block][points[generator]]
            index[f"{inner.element_names[generator]} in block {block}"] = moved.ravel()
    for generator in generating_positions(outer):
        index[f"blocks {outer.element_names[generator]}"] = whole[blocks[generator]].ravel()
    return Group(
        name,
        tuple(index),
        partial(_rearranged, index),
        2,
        complete=False,
        rearranges=True,
        refuses=partial(_refuses_other_shapes, (m, n)),
        count=partial(_order_of_wreath, inner, outer),
        representations={"V": PermutationRepresentation(np.stack([*index.values()]))},
    )


def _permutations(name: str, group: Group) -> np.ndarray:
    """How the elements listed move points, (elements, points)."""
    rho = group.representations.get("V")
    if not isinstance(rho, PermutationRepresentation) or rho.signs is not None:
        raise GroupError(
            f"group {name!r}: {group.name} is no group of permutations, as s3, z4, and those of "
            "permutation_group and of files are"
        )
    return rho.index


def _order_of_wreath(inner: Group, outer: Group) -> int:
    """|inner|^m |outer|, both counted as permutations of their points."""
    m = outer.representations["V"].dimension
    return _permutations_of(inner) ** m * _permutations_of(outer)


def _permutations_of(group: Group) -> int:
    if group.complete:
        return len(np.unique(_permutations(group.name, group), axis=0))
    return int(replace(group, representations={"V": group.representations["V"]}).order)


def _rearranged(index: Mapping[str, np.ndarray], array: np.ndarray, generator: str) -> np.ndarray:
    return array.ravel()[index[generator]].reshape(array.shape)


def _refuses_other_shapes(wanted: Shape, shape: Shape) -> str | None:
    if shape == wanted:
        return None
    return f"it has {wanted[0]} blocks of {wanted[1]} points, {Grid(wanted)}"
