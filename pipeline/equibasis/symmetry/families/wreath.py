"""Wreath products: the points of each block permuted on their own, and the blocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from equibasis.errors import GroupError
from equibasis.linalg.memory import refuse_beyond_memory
from equibasis.symmetry.families.products import generating_positions
from equibasis.symmetry.group import Group, shape_text
from equibasis.symmetry.pair_orbits import orbit_leaders
from equibasis.symmetry.representations import PermutationRepresentation
from equibasis.symmetry.spaces import Shape


def wreath_group(inner: Group, outer: Group) -> Group:
    """``wreath(inner, outer)``, acting on arrays (m, n), m blocks of n points.

    ``inner`` permutes the n points of each block, independently of the other blocks, and
    ``outer`` the m blocks. It lists generators.

    Raises
    ------
    GroupError
        If one is no group of permutations.
    EquibasisError
        If its generators would not fit in memory.
    """
    name = f"wreath({inner.name}, {outer.name})"
    points, blocks = (_permutations(name, group) for group in (inner, outer))
    m, n = blocks.shape[1], points.shape[1]
    refuse_beyond_memory(32.0 * m * n * (len(points) + len(blocks)), f"{name} on {m}x{n}")
    whole = np.arange(m * n).reshape(m, n)
    index: dict[str, np.ndarray] = {}
    for block in np.unique(orbit_leaders(list(blocks))):
        for generator in generating_positions(inner):
            moved = whole.copy()
            moved[block] = whole[block][points[generator]]
            index[f"{inner.element_names[generator]} in block {block}"] = moved.ravel()
    for generator in generating_positions(outer):
        index[f"blocks {outer.element_names[generator]}"] = whole[blocks[generator]].ravel()
    return Group(
        name,
        tuple(index),
        partial(_rearranged, index),
        2,
        complete=False,
        rearranges=True,
        refuses=partial(_refuses_other_shapes, (m, n)),
        count=partial(_order, inner, outer),
        representations={"V": PermutationRepresentation(np.stack([*index.values()]))},
    )


def _permutations(name: str, group: Group) -> np.ndarray:
    """How the elements listed move points, (elements, points)."""
    rho = group.representations.get("V")
    if not isinstance(rho, PermutationRepresentation) or rho.signs is not None:
        raise GroupError(
            f"group {name!r}: {group.name} is no group of permutations, as s3, z4, and those of "
            "permutation_group and of files are"
        )
    return rho.index


def _order(inner: Group, outer: Group) -> int:
    """|inner|^m |outer|, both counted as permutations of their points."""
    m = outer.representations["V"].dimension
    return _permutations_of(inner) ** m * _permutations_of(outer)


def _permutations_of(group: Group) -> int:
    if group.complete:
        return len(np.unique(_permutations(group.name, group), axis=0))
    return int(replace(group, representations={"V": group.representations["V"]}).order)


def _rearranged(index: Mapping[str, np.ndarray], array: np.ndarray, generator: str) -> np.ndarray:
    return array.ravel()[index[generator]].reshape(array.shape)


def _refuses_other_shapes(wanted: Shape, shape: Shape) -> str | None:
    if shape == wanted:
        return None
    return f"it has {wanted[0]} blocks of {wanted[1]} points, {shape_text(wanted)}"
