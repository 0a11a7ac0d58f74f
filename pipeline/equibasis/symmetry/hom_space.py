"""Spaces of equivariant maps, with the representations at both ends."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import sparse

from equibasis.errors import GroupError, SpaceError
from equibasis.linalg.numbers import whole_number
from equibasis.symmetry.assembled import are_same, assembled, factors_of, product_of
from equibasis.symmetry.building import representation
from equibasis.symmetry.closure import check_conditioned, check_group
from equibasis.symmetry.constructions import same_representation, trivial_representation
from equibasis.symmetry.group import Group
from equibasis.symmetry.lie import lie_algebra
from equibasis.symmetry.listing import ClassCharacters, conjugacy_classes, list_elements
from equibasis.symmetry.orbit_types import OrbitTypes, orbit_types
from equibasis.symmetry.representations import (
    MatrixRepresentation,
    PermutationRepresentation,
    Representation,
)
from equibasis.symmetry.spaces import SCALAR, Shape, Space, V, array_shape
from equibasis.symmetry.weights import Weights
from equibasis.symmetry.workers import Workers


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class HomSpace:
    """Hom_G(X, Y): the linear maps W, of shape (k, m), with ρ₂(g) W = W ρ₁(g) for every g.

    With X the scalars these are the invariant vectors of Y.

    Attributes
    ----------
    group, elements
        Names of the group and of the elements listed.
    input_space, output_space
        X = R^m and Y = R^k.
    input, output
        ρ₁ of dimension m and ρ₂ of dimension k.
    complete
        Whether the elements are all of the group, the identity first, or only generate it.
    continuous
        How many of the last elements are of the Lie algebra: A stands for all exp(tA).
    """

    group: str
    elements: tuple[str, ...]
    input_space: Space
    output_space: Space
    input: Representation
    output: Representation
    complete: bool = True
    continuous: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.group, str) or not isinstance(self.complete, bool):
            raise GroupError("a space of maps has the name of its group, and complete is a bool")
        whole_number(self.continuous, "how many elements are continuous", least=0, error=GroupError)
        if self.complete and self.continuous:
            raise GroupError(f"group {self.group!r} is continuous: its elements are not complete")
        names = self.elements
        if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
            raise GroupError(f"group {self.group!r}: elements are a tuple of names, not {names!r}")
        for side, space, rho in (
            ("input", self.input_space, self.input),
            ("output", self.output_space, self.output),
        ):
            self._check_side(side, space, rho)

    def _check_side(self, side: str, space: Space, rho: Representation) -> None:
        if not isinstance(space, Space):
            raise SpaceError(f"the {side} space is no Space but {space!r}: use as_space")
        if not isinstance(rho, (PermutationRepresentation, MatrixRepresentation)):
            raise GroupError(f"the {side} is no representation but {type(rho).__name__}")
        what = f"group {self.group!r}: the {side} representation"
        if rho.order != len(self.elements):
            raise GroupError(f"{what} lists {rho.order} matrices for {len(self.elements)} elements")
        if rho.fault is not None:
            raise GroupError(f"{what} {rho.fault}")
        if len(rho.algebra) not in (0, self.continuous):
            raise GroupError(f"{what} has {len(rho.algebra)} Lie algebra elements")
        shape = array_shape(space)
        if shape is not None and math.prod(shape) != rho.dimension:
            raise SpaceError(
                f"{what} has dimension {rho.dimension}, but {space} has {math.prod(shape)}"
            )
        if space == SCALAR and not same_representation(rho, trivial_representation(rho.order)):
            raise SpaceError(f"{what} is not trivial, as on the scalars it is: use another space")

    @cached_property
    def types(self) -> OrbitTypes:
        """X and Y as orbit types with multiplicities.

        Raises `GroupError` where the elements are said to be all of a group, and are not.
        """
        try:
            return orbit_types(self.input, self.output, enumerated=self.complete)
        except GroupError:
            if self.complete:  # which tells for which elements it is none
                check_group(self.group, self.elements, self.input, self.output)
            raise

    @cached_property
    def generating(self) -> tuple[int, ...]:
        """Positions of elements that generate all others; for listed groups, checked on the way.

        Raises `GroupError` where the elements are said to be all of a group, and are not.
        """
        if not self.complete:
            return tuple(range(len(self.elements)))
        return (*check_group(self.group, self.elements, *self.types.representations),)

    @property
    def enumerated(self) -> HomSpace:
        """The same space with every element listed, found by multiplying generators.

        Raises
        ------
        GroupError
            If they generate more than `MOST_ELEMENTS`, or no finite group.
        """
        if self.complete:
            return self
        if isinstance(self._enumerated, GroupError):
            raise self._enumerated
        return self._enumerated

    @cached_property
    def _enumerated(self) -> HomSpace | GroupError:
        """The space, or why there is none, which takes as long to find."""
        if self.continuous:
            return GroupError(f"{self.group} is continuous, so its elements cannot be listed")
        types, name = self.types, self.group
        try:
            words, small = list_elements(name, str(self), self.elements, *types.representations)
        except GroupError as error:
            return error
        whole = replace(
            self,
            elements=words,
            input=assembled(types.input, small),
            output=assembled(types.output, small),
            complete=True,
        )
        vars(whole)["types"] = replace(types, representations=small)
        return whole

    @cached_property
    def class_characters(self) -> ClassCharacters | GroupError:
        """Characters of the small representations where only generators are listed, or why not."""
        small = self.types.representations
        try:
            found, classes = conjugacy_classes(self.group, str(self), self.elements, *small)
        except GroupError as error:
            return error
        firsts = np.unique(classes, return_index=True)[1].tolist()
        traces = [[np.trace(found.matrix(rho, first)) for first in firsts] for rho in small]
        return ClassCharacters(np.bincount(classes), np.array(traces))

    def between(self, input_: int, output: int) -> HomSpace:
        """Hom_G(V, W) for two of the small representations; the same object each time."""
        if (input_, output) not in self._parts:
            small = self.types.representations
            pair = replace(
                self, input_space=V, output_space=V, input=small[input_], output=small[output]
            )
            vars(pair)["generating"] = self.generating  # which need not be found again
            vars(pair)["_in_types"] = self._in_types[0], {input_: 1}, {output: 1}
            self._parts[input_, output] = pair
        return self._parts[input_, output]

    @cached_property
    def _parts(self) -> dict[tuple[int, int], HomSpace]:
        return {}

    @cached_property
    def balanced(self) -> HomSpace:
        """The same vectors vec(W), tensor factors moved so that both sides are of like dimensions.

        Hom_G(A ⊗ X, Y) = Hom_G(X, Y ⊗ A*) and Hom_G(X, Y ⊗ A) = Hom_G(A* ⊗ X, Y): row-major, with
        the last factor fastest, vec(W) stays what it is, and so does its canonical basis.
        """
        left, right = factors_of(self.output), factors_of(self.input)
        sizes = np.cumprod([1.0, *(rho.dimension for rho in (*left, *right))])
        sides = sizes + sizes[-1] / sizes
        cut, here = int(sides.argmin()), len(left)
        if sides[cut] >= sides[here]:
            return self
        moved = max(0, cut - here)
        of_output = *left[:cut], *(rho.dual for rho in right[:moved])
        of_input = *(rho.dual for rho in left[cut:]), *right[moved:]
        input_, output = (product_of(each, self.output.order) for each in (of_input, of_output))
        balanced = replace(self, input_space=V, output_space=V, input=input_, output=output)
        vars(balanced)["generating"] = self.generating
        if self.continuous:
            vars(balanced)["rank_by_weights"] = self.rank_by_weights
        return balanced

    @cached_property
    def algebra_basis(self) -> tuple[tuple[sparse.csr_array, sparse.csr_array], ...]:
        """dρ₁(A) and dρ₂(A) for an orthonormal basis of the Lie algebra."""
        if not self.continuous:
            return ()
        one, other = self.input, self.output
        both = (one,) if are_same(one, other) else (one, other)
        return tuple((each[0], each[-1]) for each in lie_algebra(both, self.continuous).basis)

    @cached_property
    def _in_types(self) -> tuple[Weights, dict[int, int], dict[int, int]]:
        """The weights of small representations, and how often X and Y have each of them."""
        types = self.types
        of_input, of_output = (
            {each.type: each.multiplicity for each in side} for side in (types.input, types.output)
        )
        return Weights(self.elements, types.representations, self.continuous), of_input, of_output

    @property
    def by_weights(self) -> np.ndarray | GroupError:
        """The dimensions that weights give for all pairs of small representations, or why not."""
        return self._in_types[0].dimensions

    @cached_property
    def rank_by_weights(self) -> int | None:
        """dim Hom_G(X, Y) from weights, without solving for it; ``None`` where they do not tell."""
        _, of_input, of_output = self._in_types
        known = self.by_weights
        if isinstance(known, GroupError):
            return None
        return sum(
            a * b * int(known[output, input_])
            for output, a in of_output.items()
            for input_, b in of_input.items()
        )

    def __getstate__(self) -> dict[str, object]:
        """Without its parts; a part without the others, with what it has to ask them for."""
        parts = ("_parts", "balanced")
        state = {name: each for name, each in vars(self).items() if name not in parts}
        if "_in_types" in state and "types" not in state:
            del state["_in_types"]
            if self.continuous:
                state["rank_by_weights"] = self.rank_by_weights
        return state

    @property
    def kind(self) -> str:
        """``"invariant"`` where X is the scalars, else ``"equivariant"``."""
        return "invariant" if self.input_space == SCALAR else "equivariant"

    @property
    def input_shape(self) -> Shape:
        """Shape of the arrays in X; ``()`` for the scalars; flat where there is no other."""
        return _shape_of(self.input_space, self.m)

    @property
    def output_shape(self) -> Shape:
        """Shape of the arrays in Y; flat where there is no other."""
        return _shape_of(self.output_space, self.k)

    @property
    def is_permuted(self) -> bool:
        """Whether both sides are (signed) permutations."""
        return all(isinstance(e, PermutationRepresentation) for e in (self.input, self.output))

    @property
    def permutations(self) -> tuple[PermutationRepresentation, PermutationRepresentation]:
        """ρ₁ and ρ₂, where both are (signed) permutations."""
        assert isinstance(self.input, PermutationRepresentation)
        assert isinstance(self.output, PermutationRepresentation)
        return self.input, self.output

    @property
    def m(self) -> int:
        """dim X."""
        return self.input.dimension

    @property
    def k(self) -> int:
        """dim Y."""
        return self.output.dimension

    @property
    def dimension(self) -> int:
        """k m, the dimension of all linear maps X -> Y."""
        return self.k * self.m

    def __repr__(self) -> str:
        return f"HomSpace({self})"

    def __str__(self) -> str:
        if self.kind == "invariant":
            return f"{self.group}: invariants of {self.output_space}"
        return f"{self.group}: {self.input_space} -> {self.output_space}"


def _shape_of(space: Space, dimension: int) -> Shape:
    shape = array_shape(space, dimension)
    return (dimension,) if shape is None else shape


def hom_space(group: Group, *, input: Space, output: Space, workers: Workers) -> HomSpace:
    """Return the space Hom_G(X, Y), its representations built and checked.

    Raises
    ------
    SpaceError
        If the group does not act on one of the spaces.
    GroupError
        If a transform raises or is not linear, or the matrices do not form a group.
    """
    names = group.element_names
    on_output = representation(group, output, workers)
    on_input = on_output if input == output else representation(group, input, workers)
    space = HomSpace(
        group=group.name,
        elements=names,
        input_space=input,
        output_space=output,
        input=on_input,
        output=on_output,
        complete=group.complete,
        continuous=len(group.algebra),
    )
    if group.complete:
        _ = space.generating  # checks that the elements are a group
    for rho in space.types.representations:
        check_conditioned(group.name, names, rho)
    return space
