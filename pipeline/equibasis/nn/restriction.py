"""Layers for another number of points, and for subgroups: the same coefficients, the same map."""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias, TypeVar, get_args

import numpy as np
import torch
from torch import Tensor

from equibasis.errors import GroupError, ModelError
from equibasis.nn.bias import Bias
from equibasis.nn.border import check_vectors
from equibasis.nn.buffers import ExactBuffers
from equibasis.nn.convolution import Convolution
from equibasis.nn.interface import FeatureSpace, basis_of, features_of, shown
from equibasis.nn.layers import EquivariantLinear
from equibasis.solvers import problem
from equibasis.solvers.basis import Basis
from equibasis.symmetry.catalog import find_group
from equibasis.symmetry.constructions import at_elements, restriction, same_representation
from equibasis.symmetry.group import Group
from equibasis.symmetry.representations import (
    Representation,
)
from equibasis.symmetry.spaces import Grid, Named, Space, Sum, copies

How: TypeAlias = Literal["sum", "mean"]

Layer = TypeVar("Layer", bound=EquivariantLinear | Convolution)

# Index pairs whose coefficients are compared, at most.
_MOST_PAIRS = 2**20

_REGULAR = Named("regular")


def transfer(
    layer: EquivariantLinear, basis: Basis, invariants: Basis | None = None, how: How = "sum"
) -> EquivariantLinear:
    """Return the layer of the same coefficients on spaces of another size.

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
    of_bias = layer.bias.coefficients
    bias: Bias = None
    if layer.bias.expansion is not None:
        bias = _needed(invariants)
    elif of_bias is not None:
        bias = "scalar"
    made = _alike(layer, EquivariantLinear(after, bias, layer.start))
    with torch.no_grad():
        made.coefficients.copy_(layer.coefficients)
        if how == "mean":
            ratio = _inputs_a_row(before) / _inputs_a_row(after)
            made.coefficients.mul_(torch.from_numpy(ratio).to(made.coefficients))
        if of_bias is not None:
            if made.bias.coefficients.shape != of_bias.shape:
                raise ModelError(f"{invariants!r} does not correspond to the bias of the layer")
            made.bias.coefficients.copy_(of_bias)
    return made


def restrict(layer: Layer, basis: Basis, invariants: Basis | None = None) -> Layer:
    """Make the same map a layer of a subgroup, which has more coefficients to train.

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
    if not isinstance(layer, EquivariantLinear | Convolution):
        raise ModelError(
            f"an EquivariantLinear or a convolution can be restricted, not {shown(layer)}"
        )
    basis_of(basis, "equivariant", "a restriction")
    bias, group = layer.bias(), layer.domain.group
    if isinstance(layer, Convolution):
        made = _alike(layer, layer.with_basis(basis))
        invariants = made.codomain.at_a_point.invariants
    else:
        invariants = None if bias is None else _needed(invariants)
        made = _alike(layer, EquivariantLinear(basis, invariants, layer.start))
    old, new = _by_group(layer), _by_group(made)
    if old.shape != new.shape:
        here, there = tuple(old.shape[1:]), tuple(new.shape[1:])
        raise ModelError(f"W of {group} is {here}, and of {basis!r} {there}")
    with torch.no_grad():
        found = [_coefficients(each, basis, f"W of {group}") for each in old]
        made.coefficients.copy_(torch.cat(found))
        if bias is not None:
            made.bias.coefficients.copy_(_coefficients(bias, invariants, f"b of {group}"))
    return made


def _needed(invariants: Basis | None) -> Basis:
    if invariants is None:
        raise ModelError("the layer has an invariant bias: give the invariants of its output")
    return invariants


def _alike(layer: Any, made: Any) -> Any:
    """Return a layer made from another: on its device, of its dtype, training what that trains."""
    for ours, theirs in zip(made.parameters(), layer.parameters(), strict=True):
        ours.requires_grad_(theirs.requires_grad)
    return made.to(layer.coefficients).train(layer.training)


def _by_group(layer: Any) -> torch.Tensor:
    """Return the weight of each group of channels, of outputs by inputs as the basis is."""
    weight: torch.Tensor = layer.weight().unflatten(0, (getattr(layer, "groups", 1), -1))
    return weight.transpose(1, 2) if getattr(layer, "transposed", False) else weight


def _coefficients(weight: torch.Tensor, basis: Any, what: str) -> torch.Tensor:
    """c with Σ cⱼ sⱼ Bⱼ = vec(W)."""
    numbers = weight.detach().cpu().double().numpy().ravel()
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
    outputs = _embedding(small.space.output_space, large.space.output_space)
    inputs = _embedding(small.space.input_space, large.space.input_space)
    if outputs is None or inputs is None:
        raise ModelError(f"{why}: their spaces are not the same but for the number of points")
    pairs = small.space.dimension
    generator = np.random.default_rng(0)
    chosen = np.arange(pairs) if pairs <= _MOST_PAIRS else generator.integers(0, pairs, _MOST_PAIRS)
    o, i = np.divmod(chosen, small.space.m)
    one, other = small.labels(o, i), large.labels(outputs[o], inputs[i])
    if not all(map(np.array_equal, one, other)):
        raise ModelError(f"{why}: the group orders their index pairs in different ways")


def _embedding(small: Space, large: Space) -> np.ndarray | None:
    """Where each coordinate of a space is in the larger one; ``None`` if they are not alike."""
    ones, others = map(_coordinates, (small, large))
    place = {each: number for number, each in enumerate(others)}
    found = [place.get(each, -1) for each in ones]
    alike = ones and others and ones[-1][0] == others[-1][0] and -1 not in found
    return np.array(found) if alike else None


def _coordinates(space: Space) -> list[tuple[int, ...]]:
    """Return summand and index of each coordinate, where all are numbers on grids; else none."""
    summands = space.summands if isinstance(space, Sum) else (space,)
    shapes = [each.shape for each in summands if isinstance(each, Grid) and each.field == "scalar"]
    if len(shapes) < len(summands):
        return []
    return [(n, *index) for n, shape in enumerate(shapes) for index in np.ndindex(shape)]


def _inputs_a_row(basis: Basis) -> np.ndarray:
    """How many inputs of an output share each coefficient, float64 (r,)."""
    counts = [
        np.tile(block.table.sizes / block.output.dimension, block.copies) for block in basis.blocks
    ]
    return np.concatenate(counts)


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
    """Return the space of a subgroup, and which coordinate of the group each of its coordinates is.

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
    turns = None if features.turns is None else features.turns[places]
    try:
        sizes = {each: problem(smaller, output=each).k for each in {*summands} - {_REGULAR}}
        sizes[_REGULAR] = len(features.elements)
        space, order = _by_summands(summands, sizes, rho)
        made = FeatureSpace.output_of(problem(smaller, output=space))
        if not same_representation(restriction(rho, order), made.representation):
            raise GroupError(f"{smaller.name} acts there in another way")
    except GroupError as error:
        raise ModelError(
            f"Restriction: {whole} of {smaller.name} is not that of {features.group} restricted "
            "(regular ones of both differ but as summands by themselves): choose a subgroup that "
            "equibasis.subgroup makes, and other spaces"
        ) from error
    return made.on_grid(features.axes, turns), order


def _by_summands(
    summands: Sequence[Space], sizes: Mapping[Space, int], rho: Representation
) -> tuple[Space, np.ndarray]:
    """Return the text for H, and the coordinates in its order."""
    if sum(sizes[each] for each in summands) != rho.dimension:
        raise GroupError("the dimensions differ")
    order, parts, start = [], [], 0
    for each in summands:
        here = np.arange(start, start + sizes[each])
        start += sizes[each]
        if each == _REGULAR:  # coset by coset: h₁x, h₂x, … for the first x of each
            images = np.stack([move.tocsc()[:, here].indices for move in rho.moves()])
            _, first = np.unique(images.min(axis=0), return_index=True)
            here, each = images[:, first].T.ravel(), copies(len(first), _REGULAR)
        order.append(here)
        parts.append(each)
    return functools.reduce(operator.add, parts), np.concatenate(order)
