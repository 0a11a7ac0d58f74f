"""Irreps of a space as objects, parts of a space as representations, and subgroups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from scipy import sparse

from equibasis.errors import GroupError, SpaceError
from equibasis.linalg.numbers import real_array
from equibasis.symmetry.catalog import find_group
from equibasis.symmetry.constructions import algebra_part, at_elements, discrete_part
from equibasis.symmetry.group import Group
from equibasis.symmetry.hom_space import HomSpace, hom_space
from equibasis.symmetry.irreps import decompose, of_one_kind
from equibasis.symmetry.representations import TOLERANCE, Representation, signs_of, simplest
from equibasis.symmetry.space_text import as_space
from equibasis.symmetry.spaces import Space
from equibasis.symmetry.workers import Workers

# By the dimension of what commutes with it.
_TYPES: dict[int, Any] = {1: "real", 2: "complex", 4: "quaternionic"}


@dataclass(frozen=True, eq=False)
class Irrep:
    """An irreducible representation over the reals, and its copies in a space.

    Attributes
    ----------
    degree
        Its dimension.
    multiplicity
        How many copies the space holds.
    type
        Its own equivariant maps: the ``"real"`` numbers, the ``"complex"`` ones or the
        ``"quaternionic"`` ones.
    embeddings
        Of each copy a basis, columns, float64 (multiplicity, n, degree); orthonormal where the
        group acts orthogonally. ρ(g) E = E σ(g) with one σ for all copies.
    """

    degree: int
    multiplicity: int
    type: Literal["real", "complex", "quaternionic"]
    embeddings: np.ndarray

    def __str__(self) -> str:
        return f"{self.multiplicity} of degree {self.degree}, {self.type}"


def irreps(group: str | Group, space: Space | str | Sequence[int]) -> tuple[Irrep, ...]:
    """Return the irreducible representations in a space, with all of their copies.

    Parameters
    ----------
    group
        As `equibasis.solve` takes it; where it is continuous, acting orthogonally.
    space
        R^n.

    Raises
    ------
    GroupError, SpaceError
        If the group or the space is not known or do not fit.
    EquibasisError
        If rounding hides how the space falls apart.

    Examples
    --------
    >>> [str(irrep) for irrep in irreps("c4", "2x2")]
    ['1 of degree 1, real', '1 of degree 1, real', '1 of degree 2, complex']
    """
    maps = _maps(group, space)
    found = decompose(of_one_kind(maps), maps.continuous)
    copies: list[list[np.ndarray]] = [[] for _ in found.irreps]
    for summand in maps.types.input:
        signs = signs_of(summand)
        for number, irrep in enumerate(found.irreps):
            columns = found.backward[summand.type][:, found.rows(summand.type, number)]
            # (t, δ, q, count) -> (count, t, q δ)
            size, count = irrep.degree * irrep.dimension, columns.shape[-1]
            small = columns.transpose(3, 0, 2, 1).reshape(count, summand.dimension, size)
            for copy in range(summand.multiplicity):
                placed = np.zeros((count, maps.m, size))
                placed[:, summand.index[:, copy]] = small * signs[:, copy, None]
                copies[number].extend(placed)
    return tuple(
        Irrep(
            irrep.degree * irrep.dimension, len(of_one), _TYPES[irrep.dimension], np.stack(of_one)
        )
        for irrep, of_one in zip(found.irreps, copies, strict=True)
    )


def isotypic_basis(group: str | Group, space: Space | str | Sequence[int]) -> np.ndarray:
    """T, float64 (n, n), whose columns are the bases of all copies of all irreps, one by one.

    T⁻¹ ρ(g) T is block diagonal with irreducible blocks, equal ones for copies of one irrep.
    """
    return np.concatenate(
        [embedding for irrep in irreps(group, space) for embedding in irrep.embeddings], axis=1
    )


def subrepresentation(
    group: str | Group, space: Space | str | Sequence[int], embedding: np.ndarray
) -> Representation:
    """ρ on the span of some vectors, which the group keeps, in their coordinates.

    Give it a name by ``group.with_representations(name=...)``.

    Parameters
    ----------
    group, space
        As `irreps` takes them.
    embedding
        E, columns linearly independent, (n, d).

    Raises
    ------
    SpaceError
        If the group does not keep the span.
    """
    maps = _maps(group, space)
    columns = real_array(embedding, "the embedding of a subspace", SpaceError)
    if columns.ndim != 2 or len(columns) != maps.m or not 0 < columns.shape[1] <= maps.m:
        raise SpaceError(
            f"the embedding of a subspace of {maps.input_space} has shape ({maps.m}, d), not "
            f"{columns.shape}"
        )
    back = np.linalg.pinv(columns)
    if np.abs(back @ columns - np.eye(columns.shape[1])).max() > TOLERANCE:
        raise SpaceError("the embedding of a subspace has columns that depend on one another")
    count, size = maps.continuous, columns.shape[1]
    moves = [*discrete_part(maps.input, count), *algebra_part(maps.input, count)]
    on_span = []
    for matrix in moves:
        moved = matrix @ columns
        on_span.append(back @ moved)
        off = float(np.abs(moved - columns @ on_span[-1]).max())
        if off > TOLERANCE * max(1.0, float(np.abs(moved).max())):
            raise SpaceError(
                f"{maps.group} does not keep the span of these vectors of {maps.input_space} "
                f"(off by {off:.2g})"
            )
    algebra = on_span[len(moves) - count :]
    return simplest(
        np.reshape(on_span[: len(moves) - count], (-1, size, size)),
        [sparse.csr_array(np.where(np.abs(each) < TOLERANCE, 0.0, each)) for each in algebra],
    )


def _maps(group: str | Group, space: Space | str | Sequence[int]) -> HomSpace:
    found = find_group(group)
    as_given = as_space(space, found.names)
    with Workers(None) as pool:
        return hom_space(found, input=as_given, output=as_given, workers=pool)


def subgroup(group: str | Group, name: str, elements: Sequence[str]) -> Group:
    """Make the subgroup of some elements: its spaces and representations, restricted.

    Parameters
    ----------
    group
        That lists what is kept.
    name
        What files and messages call it.
    elements
        Names of elements. Where the group lists all of its elements, these are all of the
        subgroup, the identity first; else they generate it, Lie algebra elements among them.

    Raises
    ------
    GroupError
        If the group does not list one of them.
    """
    whole = find_group(group)
    names = whole.element_names
    for element in elements:
        if element not in names:
            raise GroupError(f"group {whole.name!r} lists no element {element!r}: {names}")
    kept = [names.index(element) for element in elements]
    count = len(whole.elements)
    discrete = [place for place in kept if place < count]
    curves = [place for place in kept if place >= count]
    return replace(
        whole,
        name=name,
        elements=tuple(whole.elements[place] for place in discrete),
        algebra=tuple(names[place] for place in curves),
        count=None,
        representations={
            key: at_elements(rho, discrete, curves) for key, rho in whole.representations.items()
        },
    )
