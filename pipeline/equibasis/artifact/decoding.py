"""A basis from the entries of its file, each held against all others (docs/file-format.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from scipy import sparse

from equibasis.artifact.schema import decode
from equibasis.errors import BasisFileError
from equibasis.linalg.memory import refuse_beyond_memory
from equibasis.solvers.basis import Basis, Checks
from equibasis.solvers.tables import MatrixTable, OrbitTable, Table
from equibasis.symmetry.assembled import assembled
from equibasis.symmetry.hom_space import HomSpace
from equibasis.symmetry.orbit_types import OrbitTypes
from equibasis.symmetry.pair_orbits import orbit_leaders
from equibasis.symmetry.representations import (
    MatrixRepresentation,
    PermutationRepresentation,
    Representation,
)
from equibasis.symmetry.space_text import as_space
from equibasis.symmetry.summands import Summand

# What a sparse matrix takes, however empty.
_BYTES_A_MATRIX = 1000


def basis_of(entries: Mapping[str, Any]) -> Basis:
    """Return the basis that entries of the format hold, all sizes and indices checked.

    Raises
    ------
    BasisFileError
        Naming the first that does not fit the others.
    """
    elements = tuple(
        decode(name, "/group/elements") for name in entries["/group/elements"].tolist()
    )
    if not elements or not all(elements):
        raise BasisFileError("/group/elements is empty, or holds an empty name")
    complete = entries["/group@listed"] == "elements"
    continuous = entries.get("/group@continuous", 0)
    if continuous > len(elements) or ("/group@continuous" in entries and not continuous):
        raise BasisFileError("attribute 'continuous' of /group is not how many elements are so")
    representations = _representations(entries, len(elements) - continuous, continuous)
    types = OrbitTypes(
        representations,
        _summands("input", entries, representations),
        _summands("output", entries, representations),
    )
    if len({each.type for each in types.input + types.output}) != len(representations):
        raise BasisFileError("/types holds a type that neither side has")
    space = HomSpace(
        group=entries["/@group"],
        elements=elements,
        input_space=as_space(entries["/@input_space"]),
        output_space=as_space(entries["/@output_space"]),
        input=assembled(types.input, representations),
        output=assembled(types.output, representations),
        complete=complete,
        continuous=continuous,
    )
    vars(space)["types"] = types  # as stored, whether or not they are what would be found anew
    tables = _tables(entries, types)
    checks = Checks(*(entries[f"/checks@{each.name}"] for each in fields(Checks)))
    basis = Basis(space, tables, entries.get("/checks@solver", "unknown"), checks)
    for name, said, found in (
        ("'shape' of /input", tuple(entries["/input@shape"].tolist()), space.input_shape),
        ("'shape' of /output", tuple(entries["/output@shape"].tolist()), space.output_shape),
        ("'order' of /group", entries["/group@order"], len(elements) if complete else 0),
        ("'kind' of /", entries["/@kind"], space.kind),
        ("'rank' of /", entries["/@rank"], basis.rank),
    ):
        if said != found:
            raise BasisFileError(f"attribute {name} is {said}, but the rest gives {found}")
    return basis


def _pieces(
    entries: Mapping[str, Any], path: str, sizes: Sequence[int], axis: int = 0
) -> Iterator[np.ndarray]:
    """Cut an array, or none, along an axis into pieces of these sizes, which are all of it."""
    array = entries.get(path, np.zeros((0, 0)))
    if array.dtype == np.float64 and not np.isfinite(array).all():
        raise BasisFileError(f"{path} is not made of finite numbers")
    if sum(sizes) != array.shape[axis]:
        raise BasisFileError(f"{path} does not end with the last type or table")
    return iter(np.split(array, np.cumsum(sizes, dtype=np.int64)[:-1], axis))


def _signs(
    entries: Mapping[str, Any], path: str, sizes: Sequence[int], axis: int = 0
) -> Iterator[np.ndarray | None]:
    """Cut signs: ``None`` for pieces of +1 alone, as all are where there is no array."""
    if path not in entries:
        return iter([None] * len(sizes))
    if (np.abs(entries[path]) != 1).any() or (entries[path] > 0).all():
        raise BasisFileError(f"{path} holds signs that are not ±1, or all +1")
    pieces = _pieces(entries, path, sizes, axis)
    return (None if (each > 0).all() else np.ascontiguousarray(each) for each in pieces)


def _representations(
    entries: Mapping[str, Any], discrete: int, continuous: int
) -> tuple[Representation, ...]:
    dimensions, permuted = entries["/types/dimensions"].tolist(), entries["/types/permuted"]
    if not dimensions or min(dimensions) < 1 or not np.isin(permuted, (0, 1)).all():
        raise BasisFileError(
            "/types/dimensions is no list of dimensions, or /types/permuted of 0, 1"
        )
    types = list(zip(dimensions, permuted, strict=True))
    points = [t for t, is_permuted in types if is_permuted]
    others = [t for t, is_permuted in types if not is_permuted]
    index = _pieces(entries, "/types/index", points, axis=1)
    signs = _signs(entries, "/types/signs", points, axis=1)
    matrices = _pieces(entries, "/types/matrices", [discrete * t**2 for t in others])
    algebra = iter(_algebra(entries, continuous, others))
    found: list[Representation] = []
    for t, is_permuted in types:
        if is_permuted:
            found.append(PermutationRepresentation(_one_orbit(next(index)), next(signs)))
        else:
            part = next(matrices).reshape(discrete, t, t)
            found.append(MatrixRepresentation(part, next(algebra, ())))
    return tuple(found)


def _one_orbit(index: np.ndarray) -> np.ndarray:
    index = index.astype(np.int64)
    points = index.shape[1]
    if (np.sort(index, axis=1) != np.arange(points)).any():
        raise BasisFileError("/types/index holds a row that is not a permutation")
    if len(np.unique(index[:, 0])) < points and orbit_leaders(list(index)).any():
        raise BasisFileError("/types/index holds a type that is not one orbit")
    return index


def _algebra(
    entries: Mapping[str, Any], continuous: int, dimensions: Sequence[int]
) -> list[list[sparse.csr_array]]:
    """dρ(A) of each type that is not permuted, from the places and values of their entries."""
    if not continuous or not dimensions:
        if entries.keys() & {"/types/algebra_index", "/types/algebra_values"}:
            raise BasisFileError("/types/algebra_index is of no type")
        return []
    needed = continuous * (4.0 * sum(dimensions) + _BYTES_A_MATRIX * len(dimensions))
    refuse_beyond_memory(needed, "the Lie algebra of a basis file")
    index = entries.get("/types/algebra_index", np.zeros(0, np.int64))
    (values,) = _pieces(entries, "/types/algebra_values", [len(index)])
    if (np.diff(index) <= 0).any() or (values == 0).any():
        raise BasisFileError("/types/algebra_index does not ascend, or its values hold a zero")
    if len(index) and not 0 <= index[0] <= index[-1] < continuous * sum(t**2 for t in dimensions):
        raise BasisFileError("/types/algebra_index names a place beyond the types")
    algebra, start = [], 0
    for t in dimensions:
        matrices = []
        for _ in range(continuous):
            here = slice(*np.searchsorted(index, (start, start + t * t)))
            place = np.divmod(index[here] - start, t)
            matrices.append(sparse.csr_array((values[here], place), shape=(t, t)))
            start += t * t
        algebra.append(matrices)
    return algebra


def _summands(
    side: str, entries: Mapping[str, Any], representations: Sequence[Representation]
) -> tuple[Summand, ...]:
    types, counts = (entries[f"/{side}/{name}"].tolist() for name in ("types", "multiplicities"))
    if any(not 0 <= type_ < len(representations) for type_ in types):
        raise BasisFileError(f"/{side}/types names a type that is not there")
    if len(set(types)) != len(types) or not types or min(counts) < 1:
        raise BasisFileError(f"/{side}/types names a type twice, or none, or none of its copies")
    whole = entries[f"/{side}/index"].astype(np.int64)
    if (np.sort(whole) != np.arange(len(whole))).any():
        raise BasisFileError(f"/{side}/index does not list each coordinate once")
    shapes = [(representations[t].dimension, c) for t, c in zip(types, counts, strict=True)]
    sizes = [t * c for t, c in shapes]
    index = _pieces({f"/{side}/index": whole}, f"/{side}/index", sizes)
    signs = _signs(entries, f"/{side}/signs", sizes)
    summands = [
        Summand(type_, part.reshape(shape), None if flips is None else flips.reshape(shape))
        for type_, shape, part, flips in zip(types, shapes, index, signs, strict=True)
    ]
    lowest = [int(each.index.min()) for each in summands]
    if lowest != sorted(lowest) or any(
        (np.diff(each.index.min(axis=0)) < 0).any() for each in summands
    ):
        raise BasisFileError(f"/{side}/index does not list types and copies in their order")
    return tuple(summands)


def _tables(entries: Mapping[str, Any], types: OrbitTypes) -> tuple[tuple[Table, ...], ...]:
    ranks = entries["/tables/ranks"]
    if (ranks < 0).any():
        raise BasisFileError("/tables/ranks holds a negative rank")
    permuted = [isinstance(rho, PermutationRepresentation) for rho in types.representations]
    pairs = [
        (output.dimension, input_.dimension, rank, permuted[output.type] and permuted[input_.type])
        for output, row in zip(types.output, ranks.tolist(), strict=True)
        for input_, rank in zip(types.input, row, strict=True)
    ]
    of_orbits = [m for _, m, _, is_of_orbits in pairs if is_of_orbits]
    of_matrices = [k * m * rank for k, m, rank, is_of_orbits in pairs if not is_of_orbits]
    labels = _pieces(entries, "/tables/labels", of_orbits)
    signs = _signs(entries, "/tables/signs", of_orbits)
    values = _pieces(entries, "/tables/values", of_matrices)
    tables: list[Table] = [
        _orbits(next(labels), next(signs), k, rank)
        if is_of_orbits
        else MatrixTable(next(values).reshape(k * m, rank))
        for k, m, rank, is_of_orbits in pairs
    ]
    across = len(types.input)
    return tuple(tuple(tables[n : n + across]) for n in range(0, len(tables), across))


def _orbits(labels: np.ndarray, signs: np.ndarray | None, rows: int, rank: int) -> OrbitTable:
    reached = np.maximum.accumulate(labels)
    steps = reached - np.concatenate([[-1], reached[:-1]])
    if labels.min() < -1 or steps.max() > 1 or reached[-1] != rank - 1:
        raise BasisFileError("/tables/labels does not number the orbits in their order")
    if signs is not None and (signs[(steps == 1) | (labels < 0)] < 0).any():
        raise BasisFileError(
            "/tables/signs is negative where an orbit begins, or where there is none"
        )
    return OrbitTable(rows, labels, signs)
