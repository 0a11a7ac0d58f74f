"""ρ on R^n from its orbit types; what is large is made when it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from equibasis.linalg.memory import refuse_beyond_memory
from equibasis.symmetry.orbit_types import Summand
from equibasis.symmetry.representations import (
    MatrixRepresentation,
    PermutationRepresentation,
    Representation,
    signs_of,
)


class _Sum:
    """A representation on R^n given by its types; what is large is made when it is asked for."""

    def __init__(self, summands: Sequence[Summand], small: Sequence[Representation]) -> None:
        object.__setattr__(self, "_parts", tuple(zip(summands, small, strict=True)))

    _parts: tuple[tuple[Summand, Representation], ...]

    def __getstate__(self) -> dict[str, object]:
        """Without what is made when it is asked for."""
        return {"_parts": self._parts}

    def __setstate__(self, state: dict[str, object]) -> None:
        object.__setattr__(self, "_parts", state["_parts"])

    @property
    def order(self) -> int:
        return self._parts[0][1].order

    @cached_property
    def dimension(self) -> int:
        return sum(each.index.size for each, _ in self._parts)

    @property
    def fault(self) -> None:
        """None: each coordinate is in one of the types, which have none."""

    @property
    def is_orthogonal(self) -> bool:
        return all(rho.is_orthogonal for _, rho in self._parts)

    def characters(self) -> np.ndarray:
        return np.sum([each.multiplicity * rho.characters() for each, rho in self._parts], axis=0)


class _SumOfOrbits(_Sum, PermutationRepresentation):
    """(Signed) permutations by their orbit types."""

    @cached_property
    def index(self) -> np.ndarray:
        refuse_beyond_memory(8 * self.order * self.dimension)
        index = np.empty((self.order, self.dimension), dtype=np.int64)
        for each, rho in self._parts:
            assert isinstance(rho, PermutationRepresentation)
            index[:, each.index] = each.index[rho.index]
        return index

    @cached_property
    def signs(self) -> np.ndarray | None:
        if all(each.signs is None and _has_no_signs(rho) for each, rho in self._parts):
            return None
        refuse_beyond_memory(self.order * self.dimension)
        signs = np.empty((self.order, self.dimension), dtype=np.int8)
        for each, rho in self._parts:
            assert isinstance(rho, PermutationRepresentation)
            flips = signs_of(rho)[:, :, None]
            if each.signs is not None:
                flips = flips * each.signs * each.signs[rho.index]
            signs[:, each.index] = flips
        return None if (signs > 0).all() else signs


class _SumOfMatrices(_Sum, MatrixRepresentation):
    """Matrices by their types."""

    @cached_property
    def matrices(self) -> np.ndarray:
        refuse_beyond_memory(8 * self.order * self.dimension**2)
        matrices = np.zeros((self.order, self.dimension, self.dimension))
        for each, rho in self._parts:
            signs = np.ones(each.index.shape) if each.signs is None else each.signs
            for copy, sign in zip(each.index.T, signs.T, strict=True):
                matrices[:, copy[:, None], copy] = rho.dense() * sign[:, None] * sign
        return matrices


def _has_no_signs(rho: Representation) -> bool:
    return isinstance(rho, PermutationRepresentation) and rho.signs is None


def assembled(
    summands: Sequence[Summand], representations: Sequence[Representation]
) -> Representation:
    """ρ on R^n from its orbit types: the other way round."""
    small = [representations[each.type] for each in summands]
    permuted = all(isinstance(rho, PermutationRepresentation) for rho in small)
    return (_SumOfOrbits if permuted else _SumOfMatrices)(summands, small)
