"""One layer for every size: the coefficients of a layer for n points, taken over to another n."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, TypeVar, get_args

import numpy as np
import torch

from equibasis.errors import ModelError
from equibasis.nn.convolution import Convolution
from equibasis.nn.interface import basis_of, invariants_of, shown
from equibasis.nn.layers import EquivariantLinear
from equibasis.solvers.basis import Basis
from equibasis.symmetry.spaces import Grid, Space, Sum

How: TypeAlias = Literal["sum", "mean"]

Layer = TypeVar("Layer", bound=EquivariantLinear | Convolution)

# Index pairs whose coefficients are compared, at most.
_MOST_PAIRS = 2**20


def transfer(
    layer: EquivariantLinear, basis: Basis, invariants: Basis | None = None, how: How = "sum"
) -> EquivariantLinear:
    """The layer of the same coefficients on spaces of another size.

    For permutations of n points, and products of such groups, an orbit of index pairs is a pattern
    of equal indices, such as W[(a, b), (b, c)], which every n from some size on has. A layer for
    graphs of 6 nodes so is one for graphs of 12:

    >>> import equibasis as eb
    >>> six, twelve = (eb.solve(group=f"s{n}", input=(n, n), output=(n, n)) for n in (6, 12))
    >>> layer = EquivariantLinear(six)
    >>> transfer(layer, twelve).coefficients.shape
    torch.Size([15])

    Parameters
    ----------
    layer
        For the one size.
    basis
        Equivariant basis of the same maps for another size.
    invariants
        The invariant basis of its output, where the layer has a bias that is not a scalar.
    how
        ``"sum"``: coefficients as they are, so that an output adds up more or fewer inputs.
        ``"mean"``: divided by how many inputs share them in a row, and multiplied by how many did.

    Raises
    ------
    ModelError
        If the orbits of index pairs do not correspond, as for groups that are no permutations of
        points, or for sizes so small that patterns are missing.
    """
    if not isinstance(layer, EquivariantLinear):
        raise ModelError(f"an EquivariantLinear can be transferred, not {shown(layer)}")
    if how not in get_args(How):
        raise ModelError(f"how {how!r}: choose {' or '.join(map(repr, get_args(How)))}")
    before, after = layer.basis, basis_of(basis, "equivariant", "a transfer")
    _check_corresponding(before, after)
    bias = layer.bias
    scalar = bias.coefficients is not None and bias.expansion is None
    if bias.expansion is not None:
        if invariants is None:
            raise ModelError("the layer has an invariant bias: give the invariants of its output")
        if len(invariants.space.types.output) != len(before.space.types.output):
            raise ModelError(f"{invariants!r} does not correspond to the bias of the layer")
    made = EquivariantLinear(
        after, "scalar" if scalar else invariants if bias.expansion is not None else None
    ).to(layer.coefficients)
    made.start = layer.start
    for ours, theirs in zip(made.parameters(), layer.parameters(), strict=True):
        ours.requires_grad_(theirs.requires_grad)
    with torch.no_grad():
        made.coefficients.copy_(layer.coefficients)
        if how == "mean":
            ratio = _inputs_a_row(before) / _inputs_a_row(after)
            made.coefficients.mul_(torch.from_numpy(ratio).to(made.coefficients))
        if made.bias.coefficients is not None and bias.coefficients is not None:
            if made.bias.coefficients.shape != bias.coefficients.shape:
                raise ModelError(f"{invariants!r} does not correspond to the bias of the layer")
            made.bias.coefficients.copy_(bias.coefficients)
    return made.train(layer.training)


def restrict(layer: Layer, basis: Basis, invariants: Basis | None = None) -> Layer:
    """The same map as a layer of a subgroup, which has more coefficients to train from there.

    >>> import equibasis as eb
    >>> square, turns = (eb.solve(group=g, input="6x6", output="6x6") for g in ("d4", "c4"))
    >>> layer = restrict(EquivariantLinear(square), turns)
    >>> layer.rank
    324

    Parameters
    ----------
    layer
        Of the larger group: linear, or a convolution.
    basis
        Equivariant basis of the subgroup, for the same coordinates; of a convolution, of its
        kernels. ``2*regular`` of c4 has those of ``regular`` of d4.
    invariants
        The invariant basis of its output, where a linear layer has a bias.

    Raises
    ------
    ModelError
        If W or b is not in the span: the group of the basis is no subgroup, or acts otherwise.
    """
    if isinstance(layer, Convolution):
        return _restricted_convolution(layer, basis_of(basis, "equivariant", "a restriction"))
    if not isinstance(layer, EquivariantLinear):
        raise ModelError(
            f"an EquivariantLinear or a convolution can be restricted, not {shown(layer)}"
        )
    basis_of(basis, "equivariant", "a restriction")
    bias = layer.bias()
    if bias is not None and invariants is None:
        raise ModelError("the layer has a bias: give the invariants of its output")
    made: Any = EquivariantLinear(basis, None if bias is None else invariants)
    made.to(layer.coefficients).start = layer.start
    for ours, theirs in zip(made.parameters(), layer.parameters(), strict=True):
        ours.requires_grad_(theirs.requires_grad)
    with torch.no_grad():
        made.coefficients.copy_(_coefficients(layer.weight(), basis, f"W of {layer.domain.group}"))
        if bias is not None:
            assert invariants is not None
            assert made.bias.coefficients is not None
            found = _coefficients(bias, invariants, f"b of {layer.domain.group}")
            made.bias.coefficients.copy_(found)
    return made.train(layer.training)


def _restricted_convolution(layer: Any, basis: Basis) -> Any:
    made = layer.with_basis(basis).to(layer.coefficients)
    for old, new, what in (
        (layer.domain.at_a_point, made.domain.at_a_point, "input"),
        (layer.codomain.at_a_point, made.codomain.at_a_point, "output"),
    ):
        if old.dimension != new.dimension:
            raise ModelError(
                f"the {what} of {layer.domain.group} is {old}, that of {basis!r} {new}"
            )
    if made.kernel_size != layer.kernel_size:
        raise ModelError(
            f"kernels of {layer.kernel_size} points are not restricted to {made.kernel_size}"
        )
    for ours, theirs in zip(made.parameters(), layer.parameters(), strict=True):
        ours.requires_grad_(theirs.requires_grad)
    with torch.no_grad():
        kernels = layer.weight().unflatten(0, (layer.groups, -1))
        if layer.transposed:
            kernels = kernels.transpose(1, 2)
        found = [_coefficients(each, basis, f"W of {layer.domain.group}") for each in kernels]
        made.coefficients.copy_(torch.cat(found))
        bias = layer.bias()
        if bias is not None and made.bias.coefficients is not None:
            invariants = invariants_of(made.codomain.at_a_point, "a restriction")
            made.bias.coefficients.copy_(
                _coefficients(bias, invariants, f"b of {layer.domain.group}")
            )
    return made.train(layer.training)


def _coefficients(weight: torch.Tensor, basis: Basis, what: str) -> torch.Tensor:
    """c with Σ cⱼ sⱼ Bⱼ = vec(W)."""
    numbers = weight.detach().cpu().double().numpy().ravel()
    if numbers.size != basis.space.dimension:
        raise ModelError(
            f"{what} has {numbers.size} entries, and {basis!r} {basis.space.dimension}"
        )
    of_unit = basis.matrix.T @ numbers
    off = float(np.abs(basis.matrix @ of_unit - numbers).max(initial=0.0))
    if off > 1e-5 * max(1e-30, float(np.abs(numbers).max(initial=0.0))):
        raise ModelError(
            f"{what} is not in the span of {basis!r} (off by {off:.2g}): its group is no subgroup, "
            "or acts there in another way"
        )
    sizes = np.diff(basis.matrix.indptr)
    return torch.from_numpy(of_unit / np.sqrt(sizes)).to(weight)


def _check_corresponding(before: Basis, after: Basis) -> None:
    """Raise `ModelError` unless equal patterns of indices have equal coefficients."""
    small, large = sorted((before, after), key=lambda basis: basis.space.dimension)
    why = f"{before.space} and {after.space} do not correspond"
    if not (small.of_orbits and large.of_orbits):
        raise ModelError(f"{why}: a transfer is for permutations of points")
    if small.rank != large.rank:
        raise ModelError(f"{why}: their ranks are {before.rank} and {after.rank}")
    sides = [
        _embedding(getattr(small.space, side), getattr(large.space, side))
        for side in ("output_space", "input_space")
    ]
    if any(side is None for side in sides):
        raise ModelError(f"{why}: their spaces are not the same but for the number of points")
    pairs = small.space.dimension
    generator = np.random.default_rng(0)
    chosen = np.arange(pairs) if pairs <= _MOST_PAIRS else generator.integers(0, pairs, _MOST_PAIRS)
    o, i = np.divmod(chosen, small.space.m)
    outputs, inputs = sides
    assert outputs is not None
    assert inputs is not None
    one, other = small.labels(o, i), large.labels(outputs[o], inputs[i])
    if not all(map(np.array_equal, one, other)):
        raise ModelError(f"{why}: the group orders their index pairs in different ways")


def _embedding(small: Space, large: Space) -> np.ndarray | None:
    """Where each coordinate of a space is in the larger one; ``None`` if they are not alike."""
    ones, others = (
        space.summands if isinstance(space, Sum) else (space,) for space in (small, large)
    )
    if len(ones) != len(others):
        return None
    found, start = [], 0
    for one, other in zip(ones, others, strict=True):
        if not (isinstance(one, Grid) and isinstance(other, Grid)):
            return None
        if {one.field, other.field} != {"scalar"} or len(one.shape) != len(other.shape):
            return None
        if any(a > b for a, b in zip(one.shape, other.shape, strict=True)):
            return None
        found.append(start + _placed(one.shape, other.shape))
        start += math.prod(other.shape)
    return np.concatenate(found)


def _placed(small: Sequence[int], large: Sequence[int]) -> np.ndarray:
    if not small:
        return np.zeros(1, dtype=np.int64)
    points = np.indices(small).reshape(len(small), -1)
    return np.asarray(np.ravel_multi_index(tuple(points), tuple(large)))


def _inputs_a_row(basis: Basis) -> np.ndarray:
    """How many inputs of an output share each coefficient, float64 (r,)."""
    counts = [
        np.tile(
            block.table.sizes / block.output.dimension,
            block.output.multiplicity * block.input.multiplicity,
        )
        for block in basis.blocks
    ]
    return np.concatenate(counts)
