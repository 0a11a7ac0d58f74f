"""From a group to a subgroup in the middle of a network."""

from __future__ import annotations

import functools
import operator

import numpy as np
from torch import Tensor

from equibasis.errors import GroupError, ModelError
from equibasis.nn.border import check_vectors
from equibasis.nn.buffers import ExactBuffers
from equibasis.nn.interface import FeatureSpace, features_of
from equibasis.solvers import problem
from equibasis.solvers.basis import Basis
from equibasis.symmetry.catalog import find_group
from equibasis.symmetry.constructions import at_elements, same_representation
from equibasis.symmetry.group import Group
from equibasis.symmetry.representations import (
    MatrixRepresentation,
    PermutationRepresentation,
    Representation,
)
from equibasis.symmetry.spaces import Named, Space, Sum, copies

_REGULAR = Named("regular")


class Restriction(ExactBuffers):
    """Fields or vectors of a group G as those of a subgroup H: layers of H may follow.

    The numbers stay. What has the same text for H stays in its place: ``1``, ``vector``, names of
    representations. ``regular`` of G is ``|G|/|H|`` times ``regular`` of H, one after the other,
    whose coordinates are put in the order of the elements of H. So the codomain is what layers of H
    are built for: ``8*regular + vector`` of d4 becomes ``16*regular + vector`` of c4.
    ``(..., n, *grid)`` to the same shape.

    Parameters
    ----------
    features
        The fields or vectors of G.
    group
        H, whose elements have the names that they have in G: a built-in group, or
        `equibasis.subgroup`. Where G lists generators, some of those.

    Raises
    ------
    ModelError
        If H has other elements, or acts in another way than they do in G; or G is continuous, or
        lists generators and is to restrict ``regular``, whose coordinates are all elements.
    GroupError
        If there is no such group.

    Examples
    --------
    >>> import equibasis as eb
    >>> from equibasis.nn import EquivariantConv2d
    >>> square = EquivariantConv2d(eb.kernel_basis("d4", "1", "4*regular", 3))
    >>> print(Restriction(square.codomain, "c2").codomain)
    16*regular of c2, fields on 2 axes
    """

    order: Tensor | None

    def __init__(self, features: FeatureSpace | Basis, group: str | Group) -> None:
        super().__init__()
        self.domain = features_of(features, "Restriction")
        self.codomain, order = restricted(self.domain, group)
        moved = not np.array_equal(order, np.arange(len(order)))
        self.register_exact("order", order if moved else None)

    def forward(self, x: Tensor) -> Tensor:
        """``(..., n, *grid)`` -> the same shape."""
        check_vectors(self, x)
        return x if self.order is None else x.index_select(self.domain.channels, self.order)

    def extra_repr(self) -> str:
        """Both groups, for ``repr``."""
        return f"{self.domain} -> {self.codomain}"


def restricted(features: FeatureSpace, group: str | Group) -> tuple[FeatureSpace, np.ndarray]:
    """The space of a subgroup, and which coordinate of the group each of its coordinates is.

    Raises `ModelError` and `GroupError` as `Restriction`.
    """
    smaller = find_group(group)
    whole = features.space
    summands = whole.summands if isinstance(whole, Sum) else (whole,)
    if features.continuous or (_REGULAR in summands and not features.complete):
        what = "is continuous" if features.continuous else "lists generators only"
        raise ModelError(
            f"Restriction: {features.group} {what}, so the elements in {whole} are not known "
            "by name: take a group that lists its elements"
        )
    names = smaller.element_names
    others = [name for name in names if name not in features.elements]
    if others or smaller.complete != features.complete:
        listed = f"elements {', '.join(others[:4])}" if others else smaller.listed
        raise ModelError(
            f"{smaller.name} is no subgroup of {features.group} by names of elements: it has "
            f"{listed}, and {features.group} lists {', '.join(features.elements[:8])}; make it "
            "with equibasis.subgroup"
        )
    places = [features.elements.index(name) for name in names]
    rho = at_elements(features.representation, places)
    space, order = _by_summands(features, smaller, rho)
    made = FeatureSpace.output_of(problem(smaller, output=space))
    turns = None if features.turns is None else features.turns[places]
    if not same_representation(_reordered(rho, order), made.representation):
        raise _differs(features, smaller)
    return made.on_grid(features.axes, turns), order


def _by_summands(
    features: FeatureSpace, group: Group, rho: Representation
) -> tuple[Space, np.ndarray]:
    """The text for H, and the order of the coordinates."""
    whole, whole_order = features.space, len(features.elements)
    summands = whole.summands if isinstance(whole, Sum) else (whole,)
    sizes = {
        each: whole_order if each == _REGULAR else _dimension(features, group, each)
        for each in set(summands)
    }
    order, start = [], 0
    for each in summands:
        here = np.arange(start, start + sizes[each])
        if each == _REGULAR:
            if not isinstance(rho, PermutationRepresentation):
                images = np.argmax(np.abs(rho.matrices[:, here[:, None], here]), axis=1)
            else:
                images = np.argsort(rho.index[:, here], axis=1)
            here = start + _by_cosets(images)
        order.append(here)
        start += sizes[each]
    regular = copies(whole_order // len(group.elements), _REGULAR)
    parts = [regular if each == _REGULAR else each for each in summands]
    if start != features.dimension:
        raise _differs(features, group)
    return functools.reduce(operator.add, parts), np.concatenate(order)


def _dimension(features: FeatureSpace, group: Group, space: Space) -> int:
    try:
        return problem(group, output=space).k
    except GroupError as error:
        raise _differs(features, group) from error


def _by_cosets(images: np.ndarray) -> np.ndarray:
    """Coordinates coset by coset, h₁x, h₂x, … for the first x of each; images[h, x] = hx."""
    left, order = np.ones(images.shape[1], dtype=bool), []
    for x in range(images.shape[1]):
        if left[x]:
            order.append(images[:, x])
            left[images[:, x]] = False
    return np.concatenate(order)


def _reordered(rho: Representation, order: np.ndarray) -> Representation:
    """ρ on the coordinates in another order."""
    if isinstance(rho, PermutationRepresentation):
        index = np.argsort(order)[rho.index[:, order]]
        return PermutationRepresentation(index, None if rho.signs is None else rho.signs[:, order])
    return MatrixRepresentation(rho.matrices[:, order[:, None], order])


def _differs(features: FeatureSpace, group: Group) -> ModelError:
    return ModelError(
        f"Restriction: {features.space} of {group.name} is not that of {features.group} restricted "
        "(regular ones of both differ but as summands by themselves): choose a subgroup that "
        "equibasis.subgroup makes, and other spaces"
    )
