"""Basis <-> plain attributes and arrays by name, as a file holds them (docs/file-format.md)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from scipy import sparse

from equibasis.artifact.schema import FORMAT, FORMAT_VERSION, Value, decode
from equibasis.errors import BasisFileError, WriteError
from equibasis.linalg.memory import refuse_beyond_memory
from equibasis.solvers.basis import Basis, Checks
from equibasis.solvers.tables import MatrixTable, OrbitTable, Table
from equibasis.symmetry.assembled import assembled
from equibasis.symmetry.constructions import algebra_part, discrete_part
from equibasis.symmetry.hom_space import HomSpace
from equibasis.symmetry.orbit_types import OrbitTypes
from equibasis.symmetry.pair_orbits import orbit_leaders
from equibasis.symmetry.representations import (
    MatrixRepresentation,
    PermutationRepresentation,
    Representation,
    signs_of,
)
from equibasis.symmetry.space_text import as_space
from equibasis.symmetry.summands import Summand

# HDF5 keeps longer attributes in a heap.
_LONGEST_TEXT = 60_000

# All attributes, by the path of their object, and all datasets, by path.
Contents: TypeAlias = tuple[dict[str, dict[str, Value]], dict[str, np.ndarray]]


def contents(basis: Basis) -> Contents:
    """What the basis is; nothing derived from it."""
    space, types = basis.space, basis.space.types
    attributes: dict[str, dict[str, Value]] = {
        "/": {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "kind": space.kind,
            "group": space.group,
            "input_space": str(space.input_space),
            "output_space": str(space.output_space),
            "rank": basis.rank,
        },
        "/group": {
            "listed": "elements" if space.complete else "generators",
            "order": len(space.elements) if space.complete else 0,
            **({"continuous": space.continuous} if space.continuous else {}),
        },
        "/input": {"shape": np.array(space.input_shape, dtype=np.int64)},
        "/output": {"shape": np.array(space.output_shape, dtype=np.int64)},
        "/checks": {
            "orthonormality_error": basis.checks.orthonormality_error,
            "equivariance_error": basis.checks.equivariance_error,
            "rank_expected": basis.checks.rank_expected,
            "rank_by": basis.checks.rank_by,
            "solver": basis.solver,
        },
    }
    datasets = {
        "/group/elements": np.array([encoded(name) for name in space.elements], dtype=object),
        **_types(types.representations, space.continuous),
        **_side("input", types.input),
        **_side("output", types.output),
        **_tables(basis.tables),
    }
    return attributes, datasets


def matrix_of_file(basis: Basis) -> Contents:
    """The basis as a sparse matrix in AnnData's encoding: derived, no part of what it is."""
    matrix = basis.matrix
    matrix.sort_indices()
    index_type = np.int32 if max(*matrix.shape, matrix.nnz) < 2**31 else np.int64
    attributes: dict[str, Value] = {
        "encoding-type": "csc_matrix",
        "encoding-version": "0.1.0",
        "shape": np.array(matrix.shape, dtype=np.int64),
        "vec_order": "row-major",
    }
    datasets = {
        "/basis/data": matrix.data,
        "/basis/indices": matrix.indices.astype(index_type),
        "/basis/indptr": matrix.indptr.astype(index_type),
    }
    return {"/basis": attributes}, datasets


def encoded(text: str) -> bytes:
    """UTF-8; raises `WriteError` for text that a file would change."""
    try:
        content = text.encode()
    except UnicodeEncodeError as error:
        raise WriteError(f"the name {text!r} is not valid Unicode: choose another") from error
    if b"\0" in content:
        raise WriteError(f"the name {text!r} holds a NUL, which a file would lose: choose another")
    if len(content) > _LONGEST_TEXT:
        raise WriteError(
            f"a name has {len(content):,} bytes, which no file holds: choose one of at most "
            f"{_LONGEST_TEXT:,}"
        )
    return content


def _types(representations: Sequence[Representation], continuous: int) -> dict[str, np.ndarray]:
    dimensions = [rho.dimension for rho in representations]
    arrays = {"/types/dimensions": np.array(dimensions, dtype=np.int32)}
    permuted = [rho for rho in representations if isinstance(rho, PermutationRepresentation)]
    of_matrices = [rho for rho in representations if isinstance(rho, MatrixRepresentation)]
    arrays["/types/permuted"] = np.array(
        [isinstance(rho, PermutationRepresentation) for rho in representations], dtype=np.int8
    )
    if permuted:
        arrays["/types/index"] = np.concatenate([rho.index for rho in permuted], 1).astype(np.int32)
        if any(rho.signs is not None for rho in permuted):
            arrays["/types/signs"] = np.concatenate([signs_of(rho) for rho in permuted], axis=1)
    if of_matrices and of_matrices[0].order > continuous:
        arrays["/types/matrices"] = np.concatenate(
            [discrete_part(rho, continuous).ravel() for rho in of_matrices]
        )
    if of_matrices and continuous:
        places, values, start = [], [], 0
        for rho in of_matrices:
            for matrix in algebra_part(rho, continuous):
                entries = sparse.csr_array(matrix)
                entries.sum_duplicates()
                flat = entries.reshape(1, -1).tocsr()
                places.append(flat.indices.astype(np.int64) + start)
                values.append(flat.data)
                start += rho.dimension**2
        arrays["/types/algebra_index"] = np.concatenate(places)
        arrays["/types/algebra_values"] = np.concatenate(values)
    return arrays


def _side(side: str, summands: Sequence[Summand]) -> dict[str, np.ndarray]:
    numbers = [(each.type, each.multiplicity) for each in summands]
    types, multiplicities = np.array(numbers, dtype=np.int32).T
    arrays = {
        f"/{side}/types": types,
        f"/{side}/multiplicities": multiplicities,
        f"/{side}/index": _joined([each.index for each in summands], np.int32),
    }
    if any(each.signs is not None for each in summands):
        signs = [np.ones(e.index.shape) if e.signs is None else e.signs for e in summands]
        arrays[f"/{side}/signs"] = _joined(signs, np.int8)
    return arrays


def _tables(tables: Sequence[Sequence[Table]]) -> dict[str, np.ndarray]:
    ranks = [[table.rank for table in row] for row in tables]
    arrays = {"/tables/ranks": np.array(ranks, dtype=np.int32)}
    orbits = [table for row in tables for table in row if isinstance(table, OrbitTable)]
    of_matrices = [table for row in tables for table in row if isinstance(table, MatrixTable)]
    if orbits:
        arrays["/tables/labels"] = _joined([table.labels for table in orbits], np.int32)
        if any(table.signs is not None for table in orbits):
            signs = [np.ones(len(t.labels)) if t.signs is None else t.signs for t in orbits]
            arrays["/tables/signs"] = _joined(signs, np.int8)
    if of_matrices:
        arrays["/tables/values"] = _joined([table.values for table in of_matrices], np.float64)
    return arrays


def _joined(parts: Sequence[np.ndarray], dtype: type) -> np.ndarray:
    return np.concatenate([part.ravel() for part in parts]).astype(dtype)


# --- reading ------------------------------------------------------------------------------------


def basis_of(said: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Basis:
    """The basis that attributes and arrays hold, all sizes and indices checked.

    Raises
    ------
    BasisFileError
        Naming the first that does not fit the others.
    """
    elements = _names(arrays["/group/elements"])
    complete = said["/group@listed"] == "elements"
    continuous = said.get("/group@continuous", 0)
    if continuous > len(elements) or ("/group@continuous" in said and not continuous):
        raise BasisFileError("attribute 'continuous' of /group is not how many elements are so")
    representations = _read_types(arrays, len(elements), continuous)
    types = OrbitTypes(
        representations,
        _read_side("input", arrays, representations),
        _read_side("output", arrays, representations),
    )
    _check_used(types)
    space = HomSpace(
        group=said["/@group"],
        elements=elements,
        input_space=as_space(said["/@input_space"]),
        output_space=as_space(said["/@output_space"]),
        input=assembled(types.input, representations),
        output=assembled(types.output, representations),
        complete=complete,
        continuous=continuous,
    )
    vars(space)["types"] = types  # as stored, whether or not they are what would be found anew
    for side, shape in (("input", space.input_shape), ("output", space.output_shape)):
        if shape != tuple(said[f"/{side}@shape"].tolist()):
            raise BasisFileError(f"attribute 'shape' of /{side} does not fit '{side}_space'")
    if said["/group@order"] != (len(elements) if complete else 0):
        raise BasisFileError("attribute 'order' of /group differs from the number of elements")
    if said["/@kind"] != space.kind:
        raise BasisFileError("attribute 'kind' of / does not fit 'input_space'")
    checks = Checks(
        said["/checks@orthonormality_error"],
        said["/checks@equivariance_error"],
        said["/checks@rank_expected"],
        said["/checks@rank_by"],
    )
    tables = _read_tables(arrays, types)
    basis = Basis(space, tables, said.get("/checks@solver", "unknown"), checks)
    if basis.rank != said["/@rank"]:
        raise BasisFileError(
            f"attribute 'rank' of / is {said['/@rank']}, but the tables give {basis.rank}"
        )
    return basis


def _names(stored: np.ndarray) -> tuple[str, ...]:
    names = tuple(decode(name, "/group/elements") for name in stored.tolist())
    if not names:
        raise BasisFileError("/group/elements is not a list of strings: it is empty")
    if not all(names):
        raise BasisFileError("/group/elements holds an empty name")
    return names


def _read_types(
    arrays: Mapping[str, np.ndarray], order: int, continuous: int
) -> tuple[Representation, ...]:
    dimensions, permuted = arrays["/types/dimensions"].tolist(), arrays["/types/permuted"]
    if not dimensions or min(dimensions) < 1 or not np.isin(permuted, (0, 1)).all():
        raise BasisFileError(
            "/types/dimensions is no list of dimensions, or /types/permuted of 0, 1"
        )
    index, signs = arrays.get("/types/index"), arrays.get("/types/signs")
    matrices = _finite(arrays, "/types/matrices")
    width = sum(t for t, is_permuted in zip(dimensions, permuted, strict=True) if is_permuted)
    squares = [t**2 for t, permuted_ in zip(dimensions, permuted, strict=True) if not permuted_]
    discrete = order - continuous
    entries = discrete * sum(squares)
    algebra = _read_algebra(arrays, continuous, squares)
    if width != (0 if index is None else index.shape[1]):
        raise BasisFileError("/types/index is not as wide as the permuted types are together")
    if entries != (0 if matrices is None else len(matrices)):
        raise BasisFileError("/types/matrices is not as long as the other types are together")
    _check_signs(signs, "/types/signs")
    representations: list[Representation] = []
    column = entry = 0
    for t, is_permuted in zip(dimensions, permuted, strict=True):
        if not is_permuted:
            numbers = np.zeros(0) if matrices is None else matrices
            part = numbers[entry : entry + discrete * t**2].reshape(discrete, t, t)
            entry += discrete * t**2
            representations.append(MatrixRepresentation(part, next(algebra, ())))
            continue
        assert index is not None
        of_type = index[:, column : column + t].astype(np.int64)
        if (np.sort(of_type, axis=1) != np.arange(t)).any():
            raise BasisFileError("/types/index holds a row that is not a permutation")
        if len(np.unique(of_type[:, 0])) < t and orbit_leaders(list(of_type)).any():
            raise BasisFileError("/types/index holds a type that is not one orbit")
        flips = None if signs is None else signs[:, column : column + t]
        flips = None if flips is None or (flips > 0).all() else np.ascontiguousarray(flips)
        representations.append(PermutationRepresentation(of_type, flips))
        column += t
    return tuple(representations)


def _read_algebra(
    arrays: Mapping[str, np.ndarray], continuous: int, squares: Sequence[int]
) -> Iterator[list[sparse.csr_array]]:
    """dρ(A) of each type that is not permuted, from the places and values of their entries."""
    index, values = arrays.get("/types/algebra_index"), _finite(arrays, "/types/algebra_values")
    if (index is None) != (values is None) or (index is None) == bool(continuous and squares):
        raise BasisFileError("/types/algebra_index and /types/algebra_values do not fit the types")
    if index is None or values is None:
        return iter(())
    if (np.diff(index) <= 0).any() or (values == 0).any():
        raise BasisFileError("/types/algebra_index does not ascend, or its values hold a zero")
    total = continuous * sum(squares)
    if len(index) and not 0 <= index[0] <= index[-1] < total:
        raise BasisFileError("/types/algebra_index names a place beyond the types")
    sides = [math.isqrt(square) for square in squares]
    refuse_beyond_memory(4.0 * continuous * sum(sides), "the Lie algebra of a basis file")
    return _matrices_at(index, values, continuous, sides)


def _matrices_at(
    index: np.ndarray, values: np.ndarray, continuous: int, sides: Sequence[int]
) -> Iterator[list[sparse.csr_array]]:
    start = 0
    for t in sides:
        matrices = []
        for _ in range(continuous):
            here = slice(*np.searchsorted(index, (start, start + t * t)))
            place = np.divmod(index[here] - start, t)
            matrices.append(sparse.csr_array((values[here], place), shape=(t, t)))
            start += t * t
        yield matrices


def _read_side(
    side: str, arrays: Mapping[str, np.ndarray], representations: Sequence[Representation]
) -> tuple[Summand, ...]:
    types, counts = (arrays[f"/{side}/{name}"] for name in ("types", "multiplicities"))
    index, signs = arrays[f"/{side}/index"].astype(np.int64), arrays.get(f"/{side}/signs")
    if len(types) and not (0 <= types.min() and types.max() < len(representations)):
        raise BasisFileError(f"/{side}/types names a type that is not there")
    if len(set(types.tolist())) != len(types) or (counts < 1).any() or not len(types):
        raise BasisFileError(f"/{side}/types names a type twice, or none, or none of its copies")
    sizes = [
        representations[t].dimension * c
        for t, c in zip(types.tolist(), counts.tolist(), strict=True)
    ]
    if sum(sizes) != len(index) or (np.sort(index) != np.arange(len(index))).any():
        raise BasisFileError(f"/{side}/index does not list each coordinate once")
    _check_signs(signs, f"/{side}/signs")
    summands, start = [], 0
    for type_, count, size in zip(types.tolist(), counts.tolist(), sizes, strict=True):
        shape = representations[type_].dimension, count
        part = None if signs is None else signs[start : start + size].reshape(shape)
        if part is not None and (part > 0).all():
            part = None
        summands.append(Summand(type_, index[start : start + size].reshape(shape), part))
        start += size
    lowest = [int(each.index.min()) for each in summands]
    if lowest != sorted(lowest) or any(
        (np.diff(each.index.min(axis=0)) < 0).any() for each in summands
    ):
        raise BasisFileError(f"/{side}/index does not list types and copies in their order")
    return tuple(summands)


def _check_used(types: OrbitTypes) -> None:
    used = {each.type for each in types.input + types.output}
    if len(used) != len(types.representations):
        raise BasisFileError("/types holds a type that neither side has")


def _read_tables(
    arrays: Mapping[str, np.ndarray], types: OrbitTypes
) -> tuple[tuple[Table, ...], ...]:
    ranks, labels, signs = (
        arrays["/tables/ranks"],
        *map(arrays.get, ("/tables/labels", "/tables/signs")),
    )
    values = _finite(arrays, "/tables/values")
    if (ranks < 0).any():
        raise BasisFileError("/tables/ranks holds a negative rank")
    _check_signs(signs, "/tables/signs")
    rows = []
    label = entry = 0
    for row, output in zip(ranks.tolist(), types.output, strict=True):
        tables: list[Table] = []
        for rank, input_ in zip(row, types.input, strict=True):
            small = [types.representations[each.type] for each in (output, input_)]
            if all(isinstance(rho, PermutationRepresentation) for rho in small):
                stop = label + input_.dimension
                part = None if labels is None else labels[label:stop]
                turned = None if signs is None else signs[label:stop]
                tables.append(_read_orbits(part, turned, output.dimension, input_.dimension, rank))
                label = stop
            else:
                shape = output.dimension * input_.dimension, rank
                stop = entry + shape[0] * rank
                if values is None or stop > len(values):
                    raise BasisFileError("/tables/values ends before the last table")
                tables.append(MatrixTable(values[entry:stop].reshape(shape)))
                entry = stop
        rows.append(tuple(tables))
    if label != (0 if labels is None else len(labels)):
        raise BasisFileError("/tables/labels is longer than the tables are")
    if entry != (0 if values is None else len(values)):
        raise BasisFileError("/tables/values is longer than the tables are")
    return tuple(rows)


def _read_orbits(
    labels: np.ndarray | None, signs: np.ndarray | None, rows: int, length: int, rank: int
) -> OrbitTable:
    if labels is None or len(labels) != length:
        raise BasisFileError("/tables/labels ends before the last table")
    reached = np.maximum.accumulate(labels)
    steps = reached - np.concatenate([[-1], reached[:-1]])
    if labels.min() < -1 or steps.max() > 1 or reached[-1] != rank - 1:
        raise BasisFileError("/tables/labels does not number the orbits in their order")
    if signs is not None and (signs[(steps == 1) | (labels < 0)] < 0).any():
        raise BasisFileError(
            "/tables/signs is negative where an orbit begins, or where there is none"
        )
    signs = None if signs is None or (signs > 0).all() else signs
    return OrbitTable(rows, labels, signs)


def _finite(arrays: Mapping[str, np.ndarray], path: str) -> np.ndarray | None:
    array = arrays.get(path)
    if array is not None and not np.isfinite(array).all():
        raise BasisFileError(f"{path} is not made of finite numbers")
    return array


def _check_signs(signs: np.ndarray | None, path: str) -> None:
    if signs is not None and ((np.abs(signs) != 1).any() or (signs > 0).all()):
        raise BasisFileError(f"{path} holds signs that are not ±1, or all +1")
