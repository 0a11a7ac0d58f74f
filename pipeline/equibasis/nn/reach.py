"""Which outputs depend on the input, and which inputs count: zero rows and columns of Jacobians.

By Schur's lemma a map between spaces that share no irrep is 0, whatever its weights. A layer or a
network that is so as a whole is refused; where a part of it is, a warning names the part.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from equibasis.errors import ModelError
from equibasis.nn.interface import FeatureSpace
from equibasis.solvers.basis import Basis
from equibasis.solvers.tables import OrbitTable
from equibasis.symmetry.spaces import (
    FIELDS,
    Dual,
    Grid,
    Named,
    Power,
    Product,
    Space,
    Sum,
    V,
    copies,
)

# Entries of an orthonormal basis below this are rounding.
_NEGLIGIBLE = 1e-9

_VECTORS = ("vector", "pseudovector")

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

    @property
    def is_nothing(self) -> bool:
        """Whether no output depends on any input."""
        return not (self.outputs.any() and self.inputs.any())


def check_reach(
    name: str,
    domain: FeatureSpace,
    codomain: FeatureSpace,
    reach: Reach,
    said: Reach | None = None,
    why: str = _WHY,
    way_out: str = WAY_OUT,
) -> None:
    """Raise `ModelError` where nothing is reached, and warn of the parts that are not.

    Parameters
    ----------
    name, domain, codomain
        What is checked, and its spaces.
    reach
        What is reached.
    said
        What a layer within has warned of already.
    why, way_out
        Why nothing is reached, if so, and what to do.
    """
    label = name_of(name, domain, codomain)
    if reach.is_nothing:
        raise ModelError(f"{label}: {why}, so the output cannot depend on the input: {way_out}")
    outputs, inputs = ~reach.outputs, ~reach.inputs
    choose = "choose spaces that share irreps, or " if way_out == WAY_OUT else ""
    if said is not None:
        outputs, inputs = outputs & said.outputs, inputs & said.inputs
    for features, entries, what in (
        (codomain, outputs, "outputs that do not depend on the input"),
        (domain, inputs, "inputs that do not count for the output"),
    ):
        if entries.any():
            warnings.warn(
                f"{label}: {what}, whatever the weights: {in_words(features, entries)}; "
                f"{choose}leave them out",
                UnreachedWarning,
                stacklevel=3,
            )


def name_of(name: str, domain: FeatureSpace, codomain: FeatureSpace) -> str:
    """A layer with its spaces, such as ``EquivariantLinear 6x6 -> 3x3 of c4``."""
    return f"{name} {domain.space} -> {codomain}"


# --- entries in the words of spaces --------------------------------------------------------------


def in_words(features: FeatureSpace, entries: np.ndarray) -> str:
    """Entries of a vector, bool (n,), as summands of its space.

    Such as ``2 of the 3 summands, '2*V' at entries 4 to 9 (counted from 0)``.
    """
    whole = features.space
    summands = whole.summands if isinstance(whole, Sum) else (whole,)
    sizes = _sizes(summands, features.dimension)
    if sizes is None:  # what V or a regular field is cannot be told from the sum
        summands, sizes = (whole,), [features.dimension]
    starts = np.cumsum([0, *sizes])
    found: list[tuple[Space, bool, int, int, int]] = []  # of summands: full, number, start, end
    touched = 0
    for space, start, end in zip(summands, starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        part = entries[start:end]
        if not part.any():
            continue
        touched += 1
        full = bool(part.all())
        if full and found and found[-1][:2] == (space, True) and found[-1][4] == start:
            _, _, number, first, _ = found.pop()
            found.append((space, True, number + 1, first, end))
        else:
            found.append((space, full, 1, start, end))
    pieces = [
        f"'{copies(number, space)}' at {_stretches(entries, start, end)}"
        if full
        else f"'{space}' in part, at {_stretches(entries, start, end)}"
        for space, full, number, start, end in found[:_MOST_LISTED]
    ]
    if len(found) > _MOST_LISTED:
        pieces.append(f"{len(found) - _MOST_LISTED} more")
    listed = f"{', '.join(pieces[:-1])} and {pieces[-1]}" if len(pieces) > 1 else pieces[0]
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


def _sizes(summands: Sequence[Space], dimension: int) -> list[int] | None:
    """The dimensions of summands that add up to that of their sum, if there is one answer.

    How many axes V, or a vector at a point, has is not known from the space alone, nor how many
    components a regular field has.
    """
    kinds = list(dict.fromkeys(summands))
    if any(map(_is_of_unknown_size, kinds)):
        return None
    counts = [summands.count(kind) for kind in kinds]
    answers: list[dict[Space, int]] = []
    for axes in range(1, dimension + 1 if any(map(_has_axes, kinds)) else 2):
        total = 0
        for components in range(1, dimension + 1 if any(map(_is_regular, kinds)) else 2):
            sizes = [_size(kind, axes, components) for kind in kinds]
            total = sum(count * size for count, size in zip(counts, sizes, strict=True))
            if total == dimension:
                answers.append(dict(zip(kinds, sizes, strict=True)))
            if total >= dimension:
                break
        if total > dimension and components == 1:
            break
    return [answers[0][kind] for kind in summands] if len(answers) == 1 else None


def _size(space: Space, axes: int, components: int) -> int:
    if isinstance(space, Grid):
        if space.field == "regular":
            return components * space.points
        if space.field in _VECTORS:
            return (len(space.shape) or axes) * space.points
        return space.points
    if space == V:
        return axes
    if isinstance(space, Power):
        size = _size(space.space, axes, components)
        return math.comb(size + space.exponent - 1 if space.symmetric else size, space.exponent)
    sizes = [_size(part, axes, components) for part in _parts(space)]
    return sum(sizes) if isinstance(space, Sum) else math.prod(sizes)


def _has_axes(space: Space) -> bool:
    if isinstance(space, Grid):
        return space.field in _VECTORS and not space.shape
    return space == V or any(map(_has_axes, _parts(space)))


def _is_of_unknown_size(space: Space) -> bool:
    """Whether a representation of any size is in it, beside V."""
    if isinstance(space, Grid):
        return space.field not in FIELDS
    return (isinstance(space, Named) and space != V) or any(map(_is_of_unknown_size, _parts(space)))


def _is_regular(space: Space) -> bool:
    if isinstance(space, Grid):
        return space.field == "regular"
    return any(map(_is_regular, _parts(space)))


def _parts(space: Space) -> Sequence[Space]:
    if isinstance(space, Sum):
        return space.summands
    if isinstance(space, Product):
        return space.factors
    return (space.space,) if isinstance(space, (Dual, Power)) else ()
