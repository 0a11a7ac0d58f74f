"""The regular representation of a finite group: its elements, permuted by multiplication."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from equibasis.errors import SpaceError
from equibasis.symmetry.assembled import direct_sum, tensor_product
from equibasis.symmetry.closure import check_group
from equibasis.symmetry.constructions import trivial_representation
from equibasis.symmetry.families.products import of_factor
from equibasis.symmetry.group import Group, turns
from equibasis.symmetry.listing import list_elements, words
from equibasis.symmetry.representations import (
    PermutationRepresentation,
    Representation,
    simplest,
)


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
        return multiplied(group.name, "its representations", names, rho)
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


def multiplied(
    name: str, where: str, generators: Sequence[str], rho: Representation
) -> PermutationRepresentation:
    """How generators permute the elements that they make, as their matrices ρ tell these apart."""
    found = words(name, where, generators, rho)
    return PermutationRepresentation(np.argsort(found.products, axis=1))


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
