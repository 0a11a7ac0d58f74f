"""A basis as plain entries by name, as its file holds them (docs/file-format.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import h5py
import numpy as np
from scipy import sparse

from equibasis.artifact.schema import ENTRIES, FORMAT, FORMAT_VERSION, Value
from equibasis.errors import WriteError
from equibasis.solvers.basis import Basis
from equibasis.solvers.tables import MatrixTable, OrbitTable, Table
from equibasis.symmetry.constructions import algebra_part, discrete_part
from equibasis.symmetry.representations import (
    MatrixRepresentation,
    PermutationRepresentation,
    Representation,
    signs_of,
)
from equibasis.symmetry.summands import Summand

# HDF5 keeps longer attributes in a heap.
_LONGEST_TEXT = 60_000


def contents(basis: Basis) -> dict[str, Value]:
    """List the entries of a basis, none derived; `stored` makes arrays of the format of them."""
    space, types = basis.space, basis.space.types
    return {
        "/@format": FORMAT,
        "/@format_version": FORMAT_VERSION,
        "/@kind": space.kind,
        "/@group": space.group,
        "/@input_space": str(space.input_space),
        "/@output_space": str(space.output_space),
        "/@rank": basis.rank,
        "/group@listed": "elements" if space.complete else "generators",
        "/group@order": len(space.elements) if space.complete else 0,
        **({"/group@continuous": space.continuous} if space.continuous else {}),
        "/input@shape": np.array(space.input_shape, dtype=np.int64),
        "/output@shape": np.array(space.output_shape, dtype=np.int64),
        **{f"/checks@{name}": value for name, value in asdict(basis.checks).items()},
        "/checks@solver": basis.solver,
        "/group/elements": np.array([encoded(name) for name in space.elements]),
        **_types(types.representations, space.continuous),
        **_side("input", types.input),
        **_side("output", types.output),
        **_tables([table for row in basis.tables for table in row]),
        "/tables/ranks": np.array([[table.rank for table in row] for row in basis.tables]),
    }


def matrix_of_file(basis: Basis) -> dict[str, Value]:
    """Return the basis as a sparse matrix in AnnData's encoding: derived, no part of what it is."""
    matrix = basis.matrix
    matrix.sort_indices()
    index_type = np.int32 if max(*matrix.shape, matrix.nnz) < 2**31 else np.int64
    return {
        "/basis@encoding-type": "csc_matrix",
        "/basis@encoding-version": "0.1.0",
        "/basis@shape": np.array(matrix.shape),
        "/basis@vec_order": "row-major",
        "/basis/data": matrix.data,
        "/basis/indices": matrix.indices.astype(index_type),
        "/basis/indptr": matrix.indptr.astype(index_type),
    }


def stored(name: str, value: Value) -> np.ndarray:
    """Return the value of an entry as an array of its type; text in UTF-8 of fixed length.

    HDF5 keeps other strings in a heap. Raises `WriteError` for text that a file would change.
    """
    types = ENTRIES[name].types
    array = np.asarray(encoded(value) if isinstance(value, str) else value)
    if array.dtype.kind == "S":
        return array.astype(h5py.string_dtype("utf-8", array.dtype.itemsize))
    return array if array.dtype.str in types else array.astype(types[0])


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
    permuted = [rho for rho in representations if isinstance(rho, PermutationRepresentation)]
    of_matrices = [rho for rho in representations if isinstance(rho, MatrixRepresentation)]
    arrays: dict[str, np.ndarray] = {
        "/types/dimensions": np.array([rho.dimension for rho in representations]),
        "/types/permuted": np.array([rho in permuted for rho in representations]),
    }
    if permuted:
        arrays["/types/index"] = np.concatenate([rho.index for rho in permuted], axis=1)
        if any(rho.signs is not None for rho in permuted):
            arrays["/types/signs"] = np.concatenate([signs_of(rho) for rho in permuted], axis=1)
    if of_matrices and of_matrices[0].order > continuous:
        arrays["/types/matrices"] = np.concatenate(
            [discrete_part(rho, continuous).ravel() for rho in of_matrices]
        )
    if of_matrices and continuous:
        flat = [a.reshape(1, -1) for rho in of_matrices for a in algebra_part(rho, continuous)]
        entries = sparse.hstack(flat, format="csr")
        entries.sum_duplicates()
        arrays["/types/algebra_index"] = entries.indices
        arrays["/types/algebra_values"] = entries.data
    return arrays


def _side(side: str, summands: Sequence[Summand]) -> dict[str, np.ndarray]:
    arrays = {
        f"/{side}/types": np.array([each.type for each in summands]),
        f"/{side}/multiplicities": np.array([each.multiplicity for each in summands]),
        f"/{side}/index": _joined([each.index for each in summands]),
    }
    return arrays | _signs(f"/{side}/signs", [(each.signs, each.index) for each in summands])


def _tables(tables: Sequence[Table]) -> dict[str, np.ndarray]:
    orbits = [table for table in tables if isinstance(table, OrbitTable)]
    of_matrices = [table for table in tables if isinstance(table, MatrixTable)]
    arrays = _signs("/tables/signs", [(table.signs, table.labels) for table in orbits])
    if orbits:
        arrays["/tables/labels"] = _joined([table.labels for table in orbits])
    if of_matrices:
        arrays["/tables/values"] = _joined([table.values for table in of_matrices])
    return arrays


def _signs(
    path: str, parts: Sequence[tuple[np.ndarray | None, np.ndarray]]
) -> dict[str, np.ndarray]:
    """Signs, and +1 for as many numbers as are beside where there are none; nothing if all are."""
    if all(signs is None for signs, _ in parts):
        return {}
    signs = [np.ones(beside.shape) if each is None else each for each, beside in parts]
    return {path: _joined(signs)}


def _joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([part.ravel() for part in parts])
