"""Which outputs depend on the input, and which inputs count: zero rows and columns of Jacobians.

By Schur's lemma a map between spaces that share no irrep is 0, whatever its weights. A layer or a
network that is so as a whole is refused; where a part of it is, a warning names the part.
"""

from __future__ import annotations

import itertools
import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from equibasis.errors import ModelError
from equibasis.nn.interface import FeatureSpace
from equibasis.solvers.basis import Basis
from equibasis.solvers.tables import OrbitTable
from equibasis.symmetry.spaces import Space, Sum, copies, shape_where

# Entries of an orthonormal basis below this are rounding.
_NEGLIGIBLE = 1e-9

# Whose size is the number of axes, and that of elements.
_VECTORS = ("V", "vector at a point", "pseudovector at a point")
_REGULAR = ("regular", "regular at a point")

# How many summands, and stretches of entries, a warning lists.
_MOST_LISTED = 4

_WHY = "its only equivariant map is 0"
WAY_OUT = (
    "choose spaces that share irreps; for invariants of vectors, take their lengths (NormPool) or "
    "tensor products (V*V) first"
)


class UnreachedWarning(UserWarning):
    """Some outputs of a layer or network depend on no input, or some inputs do not count."""


@dataclass(frozen=True, eq=False)
class Reach:
    """Which rows and columns of the Jacobian of a map are not 0, whatever its weights.

    Attributes
    ----------
    outputs
        Whether each output depends on the input: bool (k,).
    inputs
        Whether each input counts for some output: bool (m,).
    """

    outputs: np.ndarray
    inputs: np.ndarray

    @classmethod
    def of_basis(cls, basis: Basis) -> Reach:
        """Rows and columns where some basis matrix W_j has an entry."""
        outputs, inputs = np.zeros(basis.space.k, bool), np.zeros(basis.space.m, bool)
        for block in basis.blocks:
            table = block.table
            if isinstance(table, OrbitTable):  # of points that the group moves to one another
                rows = columns = np.array([table.rank > 0])
            else:
                shape = block.output.dimension, block.input.dimension
                filled = (np.abs(table.values) > _NEGLIGIBLE).any(axis=1).reshape(shape)
                rows, columns = filled.any(axis=1), filled.any(axis=0)
            outputs[block.output.index] |= rows[:, None]
            inputs[block.input.index] |= columns[:, None]
        return cls(outputs, inputs)


def check_reach(
    module: Any,
    reach: Reach,
    said: Reach | None = None,
    why: str = _WHY,
    way_out: str = WAY_OUT,
) -> Reach:
    """Raise `ModelError` where nothing is reached, and warn of the parts that are not.

    Parameters
    ----------
    module
        What is checked, whose domain and codomain are known.
    reach
        What is reached, which is returned.
    said
        What a layer within has warned of already.
    why, way_out
        Why nothing is reached, if so, and what to do.
    """
    label = name_of(module)
    if not (reach.outputs.any() and reach.inputs.any()):
        raise ModelError(f"{label}: {why}, so the output cannot depend on the input: {way_out}")
    outputs, inputs = ~reach.outputs, ~reach.inputs
    choose = "choose spaces that share irreps, or " if way_out == WAY_OUT else ""
    if said is not None:
        outputs, inputs = outputs & said.outputs, inputs & said.inputs
    for features, entries, what in (
        (module.codomain, outputs, "outputs that do not depend on the input"),
        (module.domain, inputs, "inputs that do not count for the output"),
    ):
        if entries.any():
            warnings.warn(
                f"{label}: {what}, whatever the weights: {in_words(features, entries)}; "
                f"{choose}leave them out",
                UnreachedWarning,
                stacklevel=3,
            )
    return reach


def name_of(module: Any) -> str:
    """Return a layer with its spaces, such as ``EquivariantLinear 6x6 -> 3x3 of c4``."""
    return f"{type(module).__name__} {module.domain.space} -> {module.codomain}"


# --- entries in the words of spaces --------------------------------------------------------------


def in_words(features: FeatureSpace, entries: np.ndarray) -> str:
    """Entries of a vector, bool (n,), as summands of its space.

    Such as ``2 of the 3 summands, '2*V' at entries 4 to 9 (counted from 0)``.
    """
    summands, sizes = _sizes(features)
    # Of each summand how much is meant (a part is only itself), where it starts and ends.
    rows = []
    for space, size, end in zip(summands, sizes, np.cumsum(sizes).tolist(), strict=True):
        part = entries[end - size : end]
        how = "all" if part.all() else f"from {end - size}" if part.any() else ""
        rows.append((space, how, end - size, end))
    pieces = []
    for (space, how), alike in itertools.groupby(rows, key=lambda row: row[:2]):
        first, *rest = alike
        if how:
            where = _stretches(entries, first[2], (rest or [first])[-1][3])
            text = f"'{copies(1 + len(rest), space)}'"
            pieces.append(f"{text} at {where}" if how == "all" else f"{text} in part, at {where}")
    if len(pieces) > _MOST_LISTED:
        pieces[_MOST_LISTED:] = [f"{len(pieces) - _MOST_LISTED} more"]
    listed = f"{', '.join(pieces[:-1])} and {pieces[-1]}" if len(pieces) > 1 else pieces[0]
    touched = sum(how != "" for _, how, *_ in rows)
    of_all = f"{touched} of the {len(summands)} summands, " if len(summands) > 1 else ""
    return f"{of_all}{listed} (counted from 0)"


def _stretches(entries: np.ndarray, start: int, end: int) -> str:
    steps = np.flatnonzero(np.diff(entries[start:end].astype(np.int8), prepend=0, append=0))
    runs = [(start + a, start + b - 1) for a, b in steps.reshape(-1, 2).tolist()]
    texts = [str(a) if a == b else f"{a} to {b}" for a, b in runs[:_MOST_LISTED]]
    if len(runs) > _MOST_LISTED:
        texts.append(f"{len(runs) - _MOST_LISTED} more stretches")
    one = len(runs) == 1 and runs[0][0] == runs[0][1]
    return ("entry " if one else "entries ") + ", ".join(texts)


def _sizes(features: FeatureSpace) -> tuple[tuple[Space, ...], list[int]]:
    """List a space's summands and their dimensions; it alone where these are not known.

    How many dimensions V has, or a vector at a point, is told by the sum of all alone.
    """
    space = features.space
    summands = space.summands if isinstance(space, Sum) else (space,)
    known = dict.fromkeys(_REGULAR, len(features.elements)) if features.complete else {}
    for axes in range(1, features.dimension + 1):
        known |= dict.fromkeys(_VECTORS, axes)
        shapes = {each: shape_where(each, known) for each in set(summands)}
        if None in shapes.values():  # a representation that only the group knows
            break
        sizes = [math.prod(shapes[each] or ()) for each in summands]
        if sum(sizes) == features.dimension:
            return summands, sizes
    return (space,), [features.dimension]
