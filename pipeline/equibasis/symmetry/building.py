"""Matrices ρ(g) of a group on a space, from its transform of arrays or from its matrices."""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse

from equibasis.errors import GroupError, SpaceError, warn
from equibasis.linalg.memory import refuse_beyond_memory
from equibasis.linalg.numbers import real_array
from equibasis.symmetry.assembled import direct_sum, power, tensor_product
from equibasis.symmetry.closure import check_group
from equibasis.symmetry.constructions import discrete_part, trivial_representation
from equibasis.symmetry.families.products import of_factor, share
from equibasis.symmetry.group import Group, check_fits, turns
from equibasis.symmetry.listing import list_elements, words
from equibasis.symmetry.representations import (
    TOLERANCE,
    MatrixRepresentation,
    PermutationRepresentation,
    Representation,
    is_signed_permutation,
    signed_permutations,
    simplest,
)
from equibasis.symmetry.spaces import (
    FIELDS,
    SCALAR,
    Dual,
    Grid,
    Named,
    Power,
    Product,
    Shape,
    Space,
    Sum,
)
from equibasis.symmetry.workers import Workers

# One-hot columns that one task transforms: enough to outweigh sending it, few enough to share.
_COLUMNS_A_TASK = 256

# One-hot columns beyond this would take hours, as each has as many entries.
_MOST_COLUMNS = 2**16


def representation(group: Group, space: Space, workers: Workers) -> Representation:
    """ρ of the elements that the group lists, on a space.

    Raises
    ------
    SpaceError
        If the group does not act on the space.
    GroupError
        If a transform raises (naming the element and the column), or is not linear.
    """
    if space == SCALAR:
        return trivial_representation(len(group.element_names))
    if isinstance(space, Sum):
        of_part = {part: representation(group, part, workers) for part in set(space.summands)}
        if space.apart:
            _warn_of_equal_grids(group, space)
        return direct_sum([of_part[part] for part in space.summands])
    if isinstance(space, Product):
        factors = (representation(group, factor, workers) for factor in space.factors)
        return functools.reduce(tensor_product, factors)
    if isinstance(space, Dual):
        return representation(group, space.space, workers).dual
    if isinstance(space, Power):
        rho = representation(group, space.space, workers)
        if not space.symmetric and space.exponent > rho.dimension:
            raise SpaceError(f"{space} has no vectors but 0: {space.space} is R^{rho.dimension}")
        return power(rho, space.exponent, symmetric=space.symmetric)
    if isinstance(space, Named):
        return _named(group, space.name)
    if isinstance(space, Grid):
        return _on_grid(group, space, workers)
    raise SpaceError(f"{space!r} is no space that equibasis knows")


def _named(group: Group, name: str) -> Representation:
    """Return a representation that the group has by name."""
    if name in group.representations:
        return group.representations[name]
    if name == "regular":
        return regular(group)
    known = ", ".join(group.representations) or "none by name"
    raise SpaceError(
        f"space {name!r}: group {group.name!r} has {known}"
        + ("" if group.algebra else ", and regular")
        + ("" if group.transform is None else "; arrays are written as in 14x14")
    )


def _warn_of_equal_grids(group: Group, space: Sum) -> None:
    """Say that a user's transform, which sees the shape alone, acts on equal grids alike."""
    if group.rearranges:  # whatever the entries are
        return
    counts = Counter(part for part in space.summands if isinstance(part, Grid))
    twice = next(part for part, count in counts.items() if count > 1)
    warn(
        f"group {group.name!r}: all {counts[twice]} summands {twice} of {space} are acted on "
        f"alike, as its transform sees their shape alone: write {counts[twice]}*{twice} if that is "
        "meant; if one is a velocity and one an angular velocity, write 1:vector + 1:pseudovector "
        "and give the group axes= and linear="
    )


def _on_grid(group: Group, grid: Grid, workers: Workers) -> Representation:
    if grid.shape:
        points = _on_points(group, grid.shape, workers)
    else:
        points = trivial_representation(len(group.element_names))
    if grid.field == "scalar":
        return points
    components = _fibre(group, grid)
    return tensor_product(components, points) if grid.shape else components


def _fibre(group: Group, grid: Grid) -> Representation:
    """ρ on the values of a field at a point."""
    if grid.field not in FIELDS:
        return _named(group, grid.field)
    discrete, algebra = _on_vectors(group, grid)
    determinants = np.linalg.det(discrete)
    if np.abs(np.abs(determinants) - 1).max(initial=0.0) > 1e-6 or any(
        abs(each.trace()) > TOLERANCE for each in algebra
    ):
        raise SpaceError(
            f"group {group.name!r}: matrices of determinant other than ±1 have no field "
            f"{grid.field!r}: use V"
        )
    signs = np.rint(determinants)[:, None, None]
    if grid.field == "regular":
        if algebra:
            raise SpaceError(f"group {group.name!r} is continuous: it has no field 'regular'")
        return words(group.name, str(grid), group.element_names, simplest(discrete)).regular
    if grid.field == "vector":
        return simplest(discrete, algebra)
    if grid.field == "pseudovector":
        return simplest(discrete * signs, algebra)
    return simplest(signs, [sparse.csr_array((1, 1))] * len(algebra))


def _on_vectors(group: Group, grid: Grid) -> tuple[np.ndarray, Sequence[sparse.csr_array]]:
    """How vectors on a grid turn: ρ(h), float64 (L, axes, axes), and dρ(A)."""
    if group.linear is None and not grid.shape and "V" in group.representations:
        rho = group.representations["V"]
        return discrete_part(rho, len(group.algebra)), rho.algebra
    if group.linear is None:
        remedy = (
            "call the representation that vectors are of 'V'"
            if group.transform is None
            else "use scalar grids, or give the group its matrices as Group(..., linear=...)"
        )
        raise SpaceError(f"group {group.name!r} does not say how vectors turn: {remedy}")
    axes = len(grid.shape) or group.axes
    if axes is None:
        raise SpaceError(
            f"group {group.name!r} does not say how many axes it has, so {grid} has no number of "
            f"components: give the point its axes, as in 1x1:{grid.field}"
        )
    return turns(group, axes), [sparse.csr_array((axes, axes))] * len(group.algebra)


def _on_points(group: Group, shape: Shape, workers: Workers) -> Representation:
    """ρ on the scalars of a grid."""
    check_fits(group, shape)
    needed = 32.0 * len(group.elements) * math.prod(shape)
    what = f"group {group.name!r} on {Grid(shape)}"
    refuse_beyond_memory(needed, what, SpaceError, "choose a smaller grid")
    if group.factors:
        return _on_factors(group, shape, workers)
    if group.rearranges:
        return _from_indices(group, shape)
    return _from_one_hots(group, shape, workers)


def _on_factors(product: Group, shape: Shape, workers: Workers) -> Representation:
    """ρ of a direct product: the tensor product of those of its factors, on axes of their own."""
    starts = share(product.factors, shape)
    rho: Representation = trivial_representation(len(product.element_names))
    for number, factor in enumerate(product.factors):
        if factor.transform is None:
            continue
        own = _on_points(factor, shape[starts[number] : starts[number + 1]], workers)
        if factor.complete and not product.complete:
            check_group(factor.name, factor.element_names, own)
        rho = tensor_product(rho, of_factor(own, number, product.elements, product.algebra))
    return rho


def _from_indices(group: Group, shape: Shape) -> PermutationRepresentation:
    """ρ of a group that only rearranges entries, from one transform of the array of indices."""
    points = math.prod(shape)
    indices = np.arange(points).reshape(shape)
    probe = np.random.default_rng(0).standard_normal(shape)
    rows = []
    for element in group.elements:
        where = f"element {element}, the array of indices"
        row = _transformed(group, element, indices.copy(), where).ravel()
        moved = _transformed(group, element, probe.copy(), where).ravel()
        index = row.astype(np.int64)
        if (np.bincount(np.abs(index), minlength=points) != 1).any() or (
            not np.array_equal(moved, probe.ravel()[index])
        ):
            raise GroupError(
                f"group {group.name!r}: element {element} does not only move entries, as "
                "rearranges=True promises"
            )
        rows.append(index)
    return PermutationRepresentation(np.stack(rows))


def _from_one_hots(group: Group, shape: Shape, workers: Workers) -> Representation:
    """Column j of ρ(g) is the flattened transform of one-hot array j.

    Permutations, signed ones too, are recognized and kept as index arrays.
    """
    n = math.prod(shape)
    if n > _MOST_COLUMNS:
        raise SpaceError(
            f"{Grid(shape)} would take {n:,} one-hot transforms of {n:,} numbers each: choose "
            f"fewer than {_MOST_COLUMNS:,}, or if the group only moves entries, say so by "
            "Group(..., rearranges=True)"
        )
    starts = range(0, n, _COLUMNS_A_TASK)
    tasks = [
        (group, element, shape, range(start, min(start + _COLUMNS_A_TASK, n)))
        for element in group.elements
        for start in starts
    ]
    parts = list(workers.map(one_hot_columns, tasks, f"{group.name} on {Grid(shape)}"))
    matrices = []
    for first in range(0, len(parts), len(starts)):
        rows, columns, values = map(
            np.concatenate, zip(*parts[first : first + len(starts)], strict=True)
        )
        matrices.append(sparse.csr_array((values, (rows, columns)), shape=(n, n)))
    _check_linear(group, shape, matrices)
    if all(map(is_signed_permutation, matrices)):
        return signed_permutations(matrices)
    return MatrixRepresentation(np.stack([matrix.toarray() for matrix in matrices]))


def one_hot_columns(
    group: Group, element: Any, shape: Shape, columns: range
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return some columns of ρ(element): rows, columns and values of their non-zero entries."""
    rows, hits, values = [], [], []
    for column in columns:
        one_hot = np.zeros(shape)
        one_hot.flat[column] = 1.0
        where = f"element {element}, column {column} of {Grid(shape)}"
        image = _transformed(group, element, one_hot, where).ravel()
        support = np.flatnonzero(image)
        rows.append(support)
        hits.append(np.full(len(support), column))
        values.append(image[support])
    return np.concatenate(rows), np.concatenate(hits), np.concatenate(values)


def _transformed(group: Group, element: Any, array: np.ndarray, where: str) -> np.ndarray:
    """Return the transform of an array, float64 (*shape), or an error that says where it failed."""
    assert group.transform is not None
    shape = array.shape
    try:
        image = group.transform(array, element)
    except (Exception, SystemExit) as error:  # whatever a user's transform does
        raise GroupError(
            f"group {group.name!r}: the transform failed at {where}: "
            f"{type(error).__name__}: {error}"
        ) from error
    found = real_array(image, f"group {group.name!r}: the transform of {where},", GroupError)
    if found.shape != shape:
        raise SpaceError(
            f"group {group.name!r} does not act on {Grid(shape)}: {element} turns it into "
            f"{Grid(found.shape)}; give a shape that every element keeps, such as a square grid"
        )
    return found


def _check_linear(group: Group, shape: Shape, matrices: list[sparse.csr_array]) -> None:
    """Compare the transform with its own matrix on a random array, negative values included."""
    array = np.random.default_rng(0).standard_normal(shape)
    for element, matrix in zip(group.elements, matrices, strict=True):
        image = _transformed(group, element, array.copy(), f"element {element}, a random array")
        error = np.abs(image.ravel() - matrix @ array.ravel()).max()
        if error > TOLERANCE * max(1.0, np.abs(image).max()):
            raise GroupError(
                f"group {group.name!r}: element {element} is not linear on {Grid(shape)}: "
                "it differs from the matrix of its one-hot transforms by "
                f"{error:.2g} on a random array"
            )


# --- the regular representation -------------------------------------------------------------------


def regular(group: Group) -> Representation:
    """ρ(g) e_h = e_{gh} on R^|G|, for the elements that a group lists.

    Elements are in the order in which they are listed; those that generators make, in the order in
    which they are found, breadth first, the identity first.

    Raises
    ------
    SpaceError
        If the group is continuous, or nothing tells its elements apart.
    GroupError
        If generators make more elements than can be listed.
    """
    if group.algebra:
        raise SpaceError(f"space 'regular': {group.name} is continuous, and has no regular one")
    if group.factors:
        rho: Representation = trivial_representation(len(group.elements))
        for number, factor in enumerate(group.factors):
            rho = tensor_product(rho, of_factor(regular(factor), number, group.elements, ()))
        return rho
    names = group.element_names
    if group.complete and len(names) == 1:
        return trivial_representation(1)
    rho = _faithful(group)
    if not group.complete:
        return words(group.name, "its representations", names, rho).regular
    moves = check_group(group.name, names, rho)
    if not moves or any(len(set(each.tolist())) < len(names) for each in moves.values()):
        raise SpaceError(
            f"space 'regular': group {group.name!r} has elements that act alike in all of its "
            "representations: give it one that tells them apart, by with_representations"
        )
    generating = PermutationRepresentation(np.argsort([*moves.values()], axis=1))
    _, (every,) = list_elements(group.name, "itself", [names[g] for g in moves], generating)
    assert isinstance(every, PermutationRepresentation)
    as_listed = np.argsort(every.index.argmin(axis=1))  # by what becomes of the identity
    return PermutationRepresentation(every.index[as_listed])


def _faithful(group: Group) -> Representation:
    """All representations that the group has by name, together."""
    if group.representations:
        return direct_sum(list(group.representations.values()))
    if group.linear is not None and group.axes is not None and group.complete:
        return simplest(turns(group, group.axes))
    raise SpaceError(
        f"space 'regular': group {group.name!r} has no representation by name that tells its "
        "elements apart: give it one, by with_representations"
    )
