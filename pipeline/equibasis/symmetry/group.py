"""The group, as its linear action on arrays, and its representations by name."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any, TypeAlias

import numpy as np

from equibasis.errors import GroupError, SpaceError, TooManyElementsError
from equibasis.linalg.numbers import counted, real_array, whole_number
from equibasis.symmetry.listing import words
from equibasis.symmetry.representations import (
    MatrixRepresentation,
    PermutationRepresentation,
    Representation,
)
from equibasis.symmetry.spaces import Grid, Named, Shape

Transform: TypeAlias = Callable[[np.ndarray, Any], Any]


@dataclass(frozen=True, repr=False)
class Group:
    """A group G, given by its linear action on arrays and by representations.

    Parameters
    ----------
    name
        What files and messages call the group.
    elements
        All elements of G, the identity first; or, with ``complete=False``, generators. Any
        hashable values; their ``str`` is their name.
    transform
        ``(array, element) -> array``: g · x, linear in x and keeping its shape. A function at
        the top level of a module can be sent to worker processes. ``None`` for a group of
        matrices, which acts on ``V`` alone.
    axes
        How many axes an array must have for the action to make sense; ``None`` for any number.
    complete
        Whether ``elements`` are all of G, or only generate it.
    linear
        ``(element, axes) -> matrix``: how vectors on a grid of so many axes turn, for the fields
        ``vector``, ``pseudovector``, ``pseudoscalar`` and ``regular``.
    rearranges
        Whether the transform only moves entries of arrays, whatever they hold. Then one
        transform of the array of indices takes the place of one of each one-hot array.
    refuses
        ``shape -> reason`` why the group does not act on arrays of this shape, or ``None``; not
        needed for what shows in the shape of the transform, nor for a group of matrices, which
        acts on none.
    factors
        Of a direct product, which `equibasis.direct_product` makes: those that act on arrays have
        axes of their own.
    count
        ``() -> |G|``, where generators are listed and a formula says how many elements they make.
    algebra
        Lie algebra elements A, where the group is continuous, usually their names: each stands for
        all exp(tA). Such a group is one of matrices, or a product with one.
    representations
        By name, for spaces such as ``V`` or ``2*base + joints``: each lists the elements, then the
        algebra.
    """

    name: str
    elements: tuple[Any, ...]
    transform: Transform | None
    axes: int | None = None
    complete: bool = True
    linear: Callable[[Any, int], np.ndarray] | None = None
    rearranges: bool = False
    refuses: Callable[[Shape], str | None] | None = field(default=None, repr=False)
    factors: tuple[Group, ...] = field(default=(), repr=False)
    count: Callable[[], int] | None = field(default=None, repr=False)
    algebra: tuple[Any, ...] = ()
    representations: Mapping[str, Representation] = field(
        default_factory=dict, repr=False, hash=False
    )

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise GroupError(f"a group's name is text, not {self.name!r}")
        for fault in self._faults():
            raise GroupError(f"group {self.name!r}{fault}")

    def _faults(self) -> Iterator[str]:
        """Yield the faults, first of what others count on; lists are made tuples on the way."""
        for name in ("complete", "rearranges"):
            if not isinstance(getattr(self, name), bool):
                yield f": {name} is True or False, not {getattr(self, name)!r}"
        for name in ("transform", "linear", "refuses", "count"):
            function = getattr(self, name)
            if function is not None and not callable(function):
                yield f": {name} is no function but {function!r}"
        if self.transform is None and not self.representations:
            yield " has no transform: give transform(array, element)"
        if self.axes is not None:
            axes = whole_number(self.axes, f"group {self.name!r}: axes", least=1, error=GroupError)
            object.__setattr__(self, "axes", axes)
        for name in ("elements", "algebra"):
            values = getattr(self, name)
            in_order = isinstance(values, Sequence) and not isinstance(values, (str, bytes))
            if not in_order and not (isinstance(values, np.ndarray) and values.ndim):
                yield f": {name} are a tuple or a list, not {values!r}"
            object.__setattr__(self, name, tuple(values))
        listed = (*self.elements, *self.algebra)
        if not listed:
            yield " has no elements: list at least the identity"
        made = isinstance(self.factors, tuple) and all(isinstance(g, Group) for g in self.factors)
        if not made or (self.factors and not all(hasattr(each, "moves") for each in listed)):
            yield ": factors are what direct_product gives: make it with that"
        if self.algebra and self.complete:
            yield " is continuous: its elements are not complete"
        if self.algebra and self.transform is not None and not self.factors:
            why = "no transform of arrays does all exp(tA); make it by matrix_group"
            yield f" is continuous: {why}"
        given: Any = self.representations
        if not isinstance(given, Mapping):
            yield ": representations are a dictionary by name"
        object.__setattr__(self, "representations", dict(given))
        for name, rho in self.representations.items():
            yield from _faults_of(name, rho, len(listed))
        names = self.element_names
        for name in (self.name, *names):
            if not name:
                yield ": a name is empty"
            if not name.isprintable():
                yield f": the name {name!r} has characters that do not print"
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            yield f" lists the element {twice} twice: give each its own name"
        with contextlib.suppress(TypeError):  # lists and arrays cannot be looked up
            first = {element: element for element in reversed(self.elements)}
            for element in self.elements:
                if first[element] is not element:  # such as 1, 1.0 and True
                    both = f"{first[element]!r} and {element!r}"
                    yield f" lists {both}, which are equal, as two elements: list each once"

    def with_representations(self, **more: Representation) -> Group:
        """Return the same group with more representations by name.

        Parameters
        ----------
        **more
            By name, what `equibasis.subrepresentation` returns, or a representation of any group
            that lists the same elements in the same order, ``other.representations[name]``.

        Raises
        ------
        GroupError
            If one has the name of another, or lists other elements.
        """
        if twice := [name for name in more if name in self.representations]:
            raise GroupError(f"group {self.name!r} has a representation {twice[0]!r} already")
        return replace(self, representations={**self.representations, **more})

    @property
    def order(self) -> int | float:
        """How many elements there are, ``|G|``; `math.inf` for a continuous group.

        Where only generators are listed, a formula says it, as of symmetric groups and of products,
        or what they generate is counted.

        >>> from equibasis import find_group
        >>> [find_group(name).order for name in ("d4", "s5", "wreath(s5, s3)", "so3")]
        [8, 120, 10368000, inf]

        Raises
        ------
        GroupError
            If there are too many to count, or the group has no representation to count them by.
        """
        if self.algebra:
            return math.inf
        if self.complete:
            return len(self.elements)
        if self.count is not None:
            return self.count()
        unknown = f"group {self.name!r} lists generators only, "
        if not self.representations:
            raise GroupError(unknown + "and no representation to count by what they generate")
        known = self.representations.values()
        try:
            return len(words(self.name, ", ".join(self.names), self.element_names, *known).names)
        except TooManyElementsError as error:
            raise GroupError(unknown + "which generate too many elements to count") from error

    @property
    def names(self) -> tuple[str, ...]:
        """What spaces may call representations of this group."""
        return (*self.representations, *(() if self.algebra else ("regular",)))

    @property
    def element_names(self) -> tuple[str, ...]:
        """The names of the elements, or generators, in their order, and of the algebra's."""
        return tuple(str(element) for element in (*self.elements, *self.algebra))

    def __repr__(self) -> str:
        return f"Group({self.name}, {self.listed})"

    @property
    def listed(self) -> str:
        """What is listed, in words: ``"4 elements"``, ``"2 generators"``."""
        what = "element" if self.complete else "generator"
        numbers = {what: len(self.elements), "Lie algebra element": len(self.algebra)}
        return " and ".join(counted(number, name) for name, number in numbers.items() if number)

    def _repr_html_(self) -> str:
        """Show it in a notebook; by name, since tables are made above."""
        html: str = import_module("equibasis.show.notebook").group_html(self)
        return html


def _faults_of(name: object, rho: object, count: int) -> Iterator[str]:
    """Yield the faults of a representation by name, where so many elements are listed."""
    try:
        Named(name)  # type: ignore[arg-type]
    except SpaceError as error:
        yield f": {error}"
    if not isinstance(rho, (PermutationRepresentation, MatrixRepresentation)):
        what = f"no representation but {type(rho).__name__}"
        yield f": {name!r} is {what}: matrix_group makes them of matrices"
    elif rho.order != count:
        yield f": representation {name!r} lists {rho.order} elements, the group {count}"


def check_fits(group: Group, shape: Shape) -> None:
    """Raise `SpaceError` if the group says that it does not act on arrays of this shape."""
    if group.transform is None:
        reason = group.refuses(shape) if group.refuses else None
        raise SpaceError(
            f"group {group.name!r} is one of matrices: it acts on "
            f"{', '.join(group.representations)}, not on arrays" + (f"; {reason}" if reason else "")
        )
    if group.axes is not None and len(shape) != group.axes:
        raise SpaceError(
            f"group {group.name!r} acts on arrays of {group.axes} "
            f"{'axis' if group.axes == 1 else 'axes'}, not on {Grid(shape)}"
        )
    reason = group.refuses(shape) if group.refuses else None
    if reason:
        raise SpaceError(f"group {group.name!r} does not act on {Grid(shape)}: {reason}")


def turns(group: Group, axes: int) -> np.ndarray:
    """How each element turns vectors, as `Group.linear` says, float64 (elements, axes, axes)."""
    assert group.linear is not None
    found = []
    for element in group.elements:
        try:
            matrix = group.linear(element, axes)
        except Exception as error:  # whatever a user's function raises
            raise GroupError(
                f"group {group.name!r}: no matrix for element {element}: "
                f"{type(error).__name__}: {error}"
            ) from error
        what = f"group {group.name!r}: the matrix of {element}"
        found.append(real_array(matrix, what, GroupError))
        if found[-1].shape != (axes, axes):
            raise SpaceError(
                f"group {group.name!r}: how vectors turn on a grid of {axes} axes is not given by "
                f"matrices ({axes}, {axes}) of determinant ±1"
            )
    return np.stack(found)
