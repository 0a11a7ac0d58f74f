"""What layers say of their two ends: the space, the group and its representation there."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np
from torch import Tensor, nn

from equibasis.errors import ModelError
from equibasis.linalg.numbers import whole_number
from equibasis.solvers import solve_space
from equibasis.solvers.basis import Basis
from equibasis.symmetry.assembled import direct_sum, tensor_product
from equibasis.symmetry.constructions import invariant_coordinates, restriction, same_representation
from equibasis.symmetry.hom_space import HomSpace
from equibasis.symmetry.representations import PermutationRepresentation, Representation
from equibasis.symmetry.spaces import SCALAR, Grid, Shape, Space, Sum, array_shape, copies


@dataclass(frozen=True, eq=False, repr=False)
class FeatureSpace:
    """R^n with a representation of a group: what goes into a layer, or comes out of it.

    Or fields with such vectors at each point of a grid, tensors (..., n, height, width).

    Attributes
    ----------
    group, elements
        Names of the group and of the elements listed.
    space
        R^n as the user wrote it.
    representation
        ρ, of dimension n.
    complete
        Whether the elements are all of the group, the identity first, or only generate it.
    continuous
        How many of the last elements are of the Lie algebra.
    axes
        How many axes of a grid follow the n channels: none for vectors (..., n).
    turns
        How each element turns these axes, float64 ``(|G|, axes, axes)``; ``None`` where that is not
        known, as of kernels of one point.
    dimension
        n.
    """

    group: str
    elements: tuple[str, ...]
    space: Space
    representation: Representation
    complete: bool = True
    continuous: int = 0
    axes: int = 0
    turns: np.ndarray | None = None
    dimension: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "dimension", self.representation.dimension)

    @classmethod
    def input_of(cls, space: HomSpace) -> FeatureSpace:
        """X of Hom_G(X, Y)."""
        group = space.group, space.elements
        return cls(*group, space.input_space, space.input, space.complete, space.continuous)

    @classmethod
    def output_of(cls, space: HomSpace) -> FeatureSpace:
        """Y of Hom_G(X, Y)."""
        group = space.group, space.elements
        return cls(*group, space.output_space, space.output, space.complete, space.continuous)

    @classmethod
    def ends_of(cls, space: HomSpace) -> tuple[FeatureSpace, FeatureSpace]:
        """X and Y."""
        return cls.input_of(space), cls.output_of(space)

    def maps_to(self, other: FeatureSpace) -> HomSpace:
        """Hom_G of this space and another of the same group."""
        return HomSpace(
            group=self.group,
            elements=self.elements,
            input_space=self.space,
            output_space=other.space,
            input=self.representation,
            output=other.representation,
            complete=self.complete,
            continuous=self.continuous,
        )

    @cached_property
    def invariants(self) -> Basis:
        """The invariant vectors of the space, solved for."""
        return solve_space(self.scalars(1).maps_to(self))

    def on_grid(self, axes: int, turns: np.ndarray | None) -> FeatureSpace:
        """Fields of these vectors."""
        return replace(self, axes=axes, turns=turns)

    @cached_property
    def at_a_point(self) -> FeatureSpace:
        """The vectors that fields have at each point."""
        return self.on_grid(0, None)

    def channels_last(self, x: Tensor) -> Tensor:
        """Vectors (..., n) as they are, and fields (..., n, height, width) as vectors."""
        return x if not self.axes else x.movedim(-1 - self.axes, -1)

    def channels_first(self, x: Tensor) -> Tensor:
        """Back from `channels_last`."""
        return x if not self.axes else x.movedim(-1, -1 - self.axes)

    @property
    def channels(self) -> int:
        """The axis of n, counted from the end, so -1 of vectors."""
        return -1 - self.axes

    def along_channels(self, numbers: Tensor) -> Tensor:
        """Numbers (n,), or one a block, as what fields are multiplied by: (n, 1, 1)."""
        return numbers[(..., *(None,) * self.axes)] if self.axes else numbers

    @property
    def dual(self) -> FeatureSpace:
        """The dual space."""
        return replace(self, space=self.space.dual, representation=self.representation.dual)

    @property
    def array_shape(self) -> Shape:
        """The axes of arrays that vectors are, such as (3, 14, 14); (n,) where none are known."""
        return array_shape(self.space, self.dimension) or (self.dimension,)

    def scalars(self, count: int) -> FeatureSpace:
        """``count`` numbers that the same group leaves alone; raises `ModelError` for no count."""
        count = whole_number(count, "how many scalars", least=0, error=ModelError)
        index = np.broadcast_to(np.arange(count), (len(self.elements), count))
        space = SCALAR if count == 1 else Sum((SCALAR,) * count)
        return replace(self, space=space, representation=PermutationRepresentation(index))

    def part(self, coordinates: np.ndarray) -> FeatureSpace:
        """Return the span of some coordinates, ascending, which every ρ(g) keeps.

        Raises `ModelError` where they are not.
        """
        _check_invariant(self, coordinates)
        rho = restriction(self.representation, coordinates)
        return replace(self, space=Grid((len(coordinates),)), representation=rho)

    def copies(self, count: int) -> FeatureSpace:
        """Return the direct sum of ``count`` times the space."""
        if count == 1:
            return self
        rho = direct_sum([self.representation] * count)
        return replace(self, space=copies(count, self.space), representation=rho)

    def __add__(self, other: FeatureSpace) -> FeatureSpace:
        """Return the direct sum of two spaces of one group: vectors one after the other."""
        self._check_alike(other, "sum")
        rho = direct_sum([self.representation, other.representation])
        return replace(self, space=self.space + other.space, representation=rho)

    def __mul__(self, other: FeatureSpace) -> FeatureSpace:
        """Return the tensor product with another space, whose coordinates are fastest."""
        self._check_alike(other, "product")
        rho = tensor_product(self.representation, other.representation)
        return replace(self, space=self.space * other.space, representation=rho)

    def _check_alike(self, other: FeatureSpace, what: str) -> None:
        if self.elements != other.elements:
            raise ModelError(f"{self} and {other} have no {what}: they are of different groups")
        if self.axes != other.axes:
            raise ModelError(f"{self} and {other} have no {what}: they are not on the same grid")

    def same_as(self, other: FeatureSpace) -> bool:
        """Whether both have the same elements, and each acts alike on both.

        Names of group and space do not count: what acts alike may be joined.
        """
        known = self.turns is not None and other.turns is not None
        return self is other or (
            self.elements == other.elements
            and self.axes == other.axes
            and (not known or np.array_equal(self.turns, other.turns))  # type: ignore[arg-type]
            and (self.complete, self.continuous) == (other.complete, other.continuous)
            and (
                self.representation is other.representation
                or same_representation(self.representation, other.representation)
            )
        )

    def check_same(self, other: FeatureSpace, here: str, there: str) -> None:
        """Raise `ModelError` unless both are the same, telling the two by what they are.

        ``here`` and ``there`` describe them: ``"layer 2 takes"``, ``"layer 1 gives"``.
        """
        if self.same_as(other):
            return
        if self.elements != other.elements or self.complete != other.complete:
            why = f"the groups differ ({_listed(self)} against {_listed(other)})"
        elif self.axes != other.axes:
            why = "one is of fields, of tensors (..., n, height, width), or on grids of other axes"
        elif self.dimension != other.dimension:
            why = f"the sizes differ ({self.dimension} against {other.dimension})"
        else:
            why = "the group acts on them in different ways"
        raise ModelError(f"{here} {self}, but {there} {other}: {why}")

    @property
    def permutes(self) -> bool:
        """Whether the group permutes coordinates, and does no more."""
        rho = self.representation
        return isinstance(rho, PermutationRepresentation) and rho.signs is None

    @property
    def is_trivial(self) -> bool:
        """Whether nothing moves, every ρ(g) = 1, so that all of x is invariant."""
        still = self.scalars(self.dimension).representation
        return not self.axes and same_representation(self.representation, still)

    def __repr__(self) -> str:
        return f"FeatureSpace({self})"

    def __str__(self) -> str:
        grid = f", fields on {self.axes} {'axis' if self.axes == 1 else 'axes'}"
        return f"{self.space} of {self.group}{grid if self.axes else ''}"

    def to(self, other: FeatureSpace) -> str:
        """Return a layer's spaces in words: ``"c4: 14x14 -> 6x6"``."""
        return f"{self.group}: {self.space} -> {other.space}"

    def __deepcopy__(self, memo: dict[int, Any]) -> FeatureSpace:
        """Itself: nothing in it changes, and copies of a network may share it."""
        return self


@runtime_checkable
class EquivariantMap(Protocol):
    """A module f with f(ρ₁(g) x) = ρ₂(g) f(x): ρ₁ acts on its domain, ρ₂ on its codomain."""

    domain: FeatureSpace
    codomain: FeatureSpace


def features_of(given: object, layer: str) -> FeatureSpace:
    """Return the space that a layer is to act on: one itself, or the output space of a basis.

    Raises
    ------
    ModelError
        If it is neither.
    """
    if isinstance(given, FeatureSpace):
        return given
    if isinstance(given, Basis):
        return FeatureSpace.output_of(given.space)
    raise ModelError(
        f"{layer} needs a space and how a group acts on it, not {shown(given)}: give the codomain "
        "of the layer before, or a basis whose output it is"
    )


def with_invariants(given: object, layer: str) -> tuple[FeatureSpace, Basis]:
    """Return a space and its invariant basis, from either; raises `ModelError` otherwise."""
    if isinstance(given, FeatureSpace):
        return given, given.invariants
    basis = basis_of(given, "invariant", layer)
    return FeatureSpace.output_of(basis.space), basis


def basis_of(given: object, kind: str, layer: str) -> Basis:
    """Check a basis' kind, ``"equivariant"`` or ``"invariant"``; raises `ModelError`."""
    if isinstance(given, Basis) and given.kind == kind:
        return given
    needed = (
        "its space, or the invariant basis of that"
        if kind == "invariant"
        else "an equivariant basis"
    )
    how = "" if isinstance(given, Basis) else ", as equibasis.solve makes it"
    raise ModelError(f"{layer} needs {needed}{how}, not {shown(given)}")


def shown(given: object) -> str:
    """Return a few words on any argument, for an error."""
    if given is None or isinstance(given, Basis | type):
        return repr(given)
    if isinstance(given, nn.Module):
        return type(given).__name__
    text = " ".join(str(given).split())
    text = repr(text[:40] + "…" if len(text) > 40 else text)
    return text if isinstance(given, str) else f"{type(given).__name__} {text}"


def _check_invariant(features: FeatureSpace, coordinates: np.ndarray) -> None:
    found = np.asarray(coordinates)
    if found.ndim != 1 or found.dtype.kind not in "iu" or (np.diff(found) <= 0).any():
        raise ModelError(f"a part of {features} is ascending whole numbers, not {shown(found)}")
    if found.size and not 0 <= found[0] <= found[-1] < features.dimension:
        raise ModelError(f"a part of {features} has numbers from 0 to {features.dimension - 1}")
    inside = np.zeros(features.dimension, dtype=bool)
    inside[found] = True
    parts = invariant_coordinates(features.representation)
    if any(inside[part].any() and not inside[part].all() for part in parts):
        raise ModelError(
            f"the group moves coordinates {shown(found)} of {features} to others: give whole "
            "invariant blocks"
        )


def _listed(features: FeatureSpace) -> str:
    names = ", ".join(features.elements[:4]) + (", …" if len(features.elements) > 4 else "")
    what = "elements" if features.complete else "generators"
    return f"{features.group} with {len(features.elements)} {what} {names}"
