"""Basis <-> HDF5: the only module that knows the file format (docs/file-format.md)."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import h5py
import numpy as np
from scipy import sparse

from equibasis.artifact.plain_hdf5 import OtherLayoutError, PlainFile
from equibasis.artifact.schema import (
    COORDINATES,
    FORMAT,
    FORMAT_VERSION,
    HASHED,
    Outline,
    Value,
    check,
    decode,
    text,
)
from equibasis.artifact.verification import check_coordinates, verify_basis
from equibasis.errors import BasisFileError, EquibasisError, WriteError, file_name, printable
from equibasis.files import is_missing, write_hdf5
from equibasis.linalg.columns import (
    Columns,
    OrbitColumns,
    as_csc,
    count_labels,
    in_order,
    structured,
)
from equibasis.solvers import problem
from equibasis.solvers.basis import TOLERANCE, Basis, Checks, check_is_basis
from equibasis.symmetry.catalog import group_name, is_built_in
from equibasis.symmetry.coordinates import Coordinates
from equibasis.symmetry.coordinates.encoding import as_arrays, from_arrays
from equibasis.symmetry.coordinates.finding import symmetry_coordinates
from equibasis.symmetry.hom_space import HomSpace
from equibasis.symmetry.representations import (
    MatrixRepresentation,
    PermutationRepresentation,
    Representation,
)
from equibasis.symmetry.space_text import as_space

# Orbits of more index pairs than this are written as labels, 4 bytes a pair; fewer as a sparse
# matrix, 12 bytes a pair, which more programs read.
_MOST_SPARSE_ROWS = 2**20

# Coordinates in which maps take more than this share of a dense product are not written.
_MOST_GAINED = 0.75

# HDF5 keeps longer attributes in a heap.
_LONGEST_TEXT = 60_000

# What to do about a file that may be right, but is not stored as ours are.
_IMPORT = "if another program rewrote it, 'equibasis import FILE OUT' makes it a basis file again"

# By how much an error may differ from the one stated: rounding differs between libraries.
_ROUNDING_FACTOR, _ROUNDING = 10.0, 1e-13

# All attributes, by the path of their object, and all datasets, by path.
Contents: TypeAlias = tuple[dict[str, dict[str, Value]], dict[str, np.ndarray]]


def basis_path(folder: str | Path, group: str, *, input: str | None = None, output: str) -> Path:
    """The name of a basis file: ``c4_14x14_to_6x6.h5`` for maps, ``c4_6x6.h5`` for invariants.

    Characters that a name of a file had better not have become ``_``.
    """
    spaces = output if input is None else f"{input}_to_{output}"
    name = re.sub(r"[^0-9A-Za-z_.+-]+", "_", f"{group_name(group)}_{spaces}")
    return Path(folder) / f"{name}.h5"


# --- what a file says ---------------------------------------------------------------------------


def content_sha256(basis: Basis) -> str:
    """SHA-256 over what the basis is: all in its file but the solver and the coordinates.

    For (signed) permutations two files of one problem agree in it whichever solver, machine or day
    made them. Others agree to rounding, about 1e-15, which shows in the hash; compare those by
    `equibasis.subspace_angle`.
    """
    check_is_basis(basis)
    return _digest(*_contents(basis))


def _contents(basis: Basis) -> Contents:
    """What the basis is; nothing derived from it."""
    space = basis.space
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
        },
        "/group/input": {"shape": np.array(space.input_shape, dtype=np.int64)},
        "/group/output": {"shape": np.array(space.output_shape, dtype=np.int64)},
        "/checks": {
            "orthonormality_error": basis.checks.orthonormality_error,
            "equivariance_error": basis.checks.equivariance_error,
            "rank_expected": basis.checks.rank_expected,
            "solver": basis.solver,
        },
    }
    datasets: dict[str, np.ndarray] = {
        "/group/elements": np.array([_encode(name) for name in space.elements], dtype=object),
        "/group/input": _representation_array(space.input),
        "/group/output": _representation_array(space.output),
    }
    attributes["/basis"], parts = _encoded(basis.columns)
    attributes["/basis"]["vec_order"] = "row-major"
    return attributes, {**datasets, **parts}


def _coordinates(basis: Basis) -> Contents:
    """Symmetry-adapted coordinates, where layers gain by them: derived, no part of what it is."""
    if basis.kind == "invariant":
        return {}, {}
    coordinates = basis.coordinates or symmetry_coordinates(basis.space)
    if coordinates is None or coordinates.multiplications > _MOST_GAINED * basis.space.dimension:
        return {}, {}
    datasets = {f"{COORDINATES}/{name}": part for name, part in as_arrays(coordinates).items()}
    return {COORDINATES: {"sha256": _sha256(datasets)}}, datasets


def _encoded(columns: Columns) -> tuple[dict[str, Value], dict[str, np.ndarray]]:
    """The attributes of /basis, and its datasets."""
    if isinstance(columns, np.ndarray):
        return {"encoding-type": "array", "encoding-version": "0.2.0"}, {"/basis": columns}
    shape = np.array(columns.shape, dtype=np.int64)
    if isinstance(columns, OrbitColumns) and len(columns.labels) > _MOST_SPARSE_ROWS:
        parts = {"/basis/labels": columns.labels}
        if columns.signs is not None:
            parts["/basis/signs"] = columns.signs
        kind: dict[str, Value]
        kind = {"encoding-type": "equibasis-orbits", "encoding-version": "0.1.0", "shape": shape}
        return kind, parts
    matrix = as_csc(columns)
    index_type = np.int32 if max(*matrix.shape, matrix.nnz) < 2**31 else np.int64
    parts = {
        "/basis/data": matrix.data,
        "/basis/indices": matrix.indices.astype(index_type),
        "/basis/indptr": matrix.indptr.astype(index_type),
    }
    return {"encoding-type": "csc_matrix", "encoding-version": "0.1.0", "shape": shape}, parts


def _representation_array(rho: Representation) -> np.ndarray:
    if isinstance(rho, PermutationRepresentation):
        index = rho.index.astype(np.int32)
        return index if rho.signs is None else np.stack([index, rho.signs.astype(np.int32)], 1)
    return rho.matrices


def _digest(
    attributes: Mapping[str, Mapping[str, Value]], datasets: Mapping[str, np.ndarray]
) -> str:
    named = {
        f"{path}@{name}": value
        for path, of_object in attributes.items()
        for name, value in of_object.items()
    }
    return _digest_of(named | dict(datasets))


def _digest_of(entries: Mapping[str, Value]) -> str:
    return _sha256({path: entries[path] for path in HASHED & entries.keys()})


def _sha256(entries: Mapping[str, Value]) -> str:
    """The hash of docs/file-format.md: each entry's path, type and shape, then its bytes."""
    digest = hashlib.sha256()
    for path in sorted(entries):
        for chunk in _hashed_form(path, entries[path]):
            digest.update(chunk)
    return digest.hexdigest()


def _hashed_form(path: str, value: Value) -> Iterator[bytes | memoryview]:
    if isinstance(value, str):
        value = np.array(_encode(value), dtype=object)
    array = np.asarray(value)
    shape = text(array.shape)
    if array.dtype == object:
        yield f"{path} utf-8 {shape}\n".encode()
        for content in array.ravel():
            yield len(content).to_bytes(8, "little") + content
    else:
        array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        yield f"{path} {array.dtype.str} {shape}\n".encode()
        yield array.reshape(-1).view(np.uint8).data


# --- writing ------------------------------------------------------------------------------------


def save_basis(basis: Basis, path: str | os.PathLike[str]) -> None:
    """Write a basis file: byte-identical for an identical basis, whole or not at all.

    Raises
    ------
    WriteError
        If the file cannot be written; what was there before is still there.
    """
    check_is_basis(basis)
    attributes, datasets = _contents(basis)
    content = attributes["/"]["content_sha256"] = _digest(attributes, datasets)
    of_coordinates, coordinates = _coordinates(basis)

    def check(temporary: Path) -> None:
        with PlainFile(temporary) as file:
            found, outline = _read(file)
        if outline.values["/@content_sha256"] != content or found.solver != basis.solver:
            raise BasisFileError("another basis")
        if outline.besides or set(outline.datasets) != set(datasets | coordinates):
            raise BasisFileError(f"more, or less: {', '.join(outline.besides)}")

    write_hdf5(
        path,
        {name: _stored(array) for name, array in (datasets | coordinates).items()},
        {
            name: {key: _stored(value) for key, value in of_object.items()}
            for name, of_object in (attributes | of_coordinates).items()
        },
        check,
    )


def _encode(text: str) -> bytes:
    try:
        encoded = text.encode()
    except UnicodeEncodeError as error:
        raise WriteError(f"the name {text!r} is not valid Unicode: choose another") from error
    if b"\0" in encoded:
        raise WriteError(f"the name {text!r} holds a NUL, which a file would lose: choose another")
    if len(encoded) > _LONGEST_TEXT:
        raise WriteError(
            f"a name has {len(encoded):,} bytes, which no file holds: choose one of at most "
            f"{_LONGEST_TEXT:,}"
        )
    return encoded


def _stored(value: Value) -> np.ndarray:
    """Strings as fixed-length UTF-8: HDF5 keeps others in a heap."""
    if isinstance(value, str):
        value = np.array(_encode(value), dtype=object)
    array = np.asarray(value)
    if array.dtype == object:
        length = max(len(content) for content in array.ravel().tolist())
        array = array.astype(h5py.string_dtype("utf-8", max(1, length)))
    return array


# --- reading ------------------------------------------------------------------------------------


def load_basis(path: str | os.PathLike[str]) -> Basis:
    """Read a basis file, checking structure, sizes and content hash before believing it.

    Raises
    ------
    BasisFileError
        If the file is missing, damaged, or not a basis file, saying which part is wrong.
    """
    with _open(path) as file:
        return _read(file)[0]


def load_rewritten(path: str | os.PathLike[str], name: str | os.PathLike[str]) -> Basis:
    """`load_basis` of a copy of the file ``name``, its basis encoded in whichever way.

    Raises
    ------
    BasisFileError
        As `load_basis`, but naming the file ``name``.
    """
    with _open(path, name) as file:
        return _read(file, any_encoding=True)[0]


def verify_file(path: str | os.PathLike[str]) -> tuple[Basis, Checks]:
    """Prove a basis file from itself alone: all that `load_basis` and `verify_basis` check.

    And that the errors which it states are its errors, that the basis is encoded as the format
    prescribes, and that maps are block diagonal in its coordinates as they should.

    Returns
    -------
    tuple
        The basis, and its errors as they are now.

    Raises
    ------
    BasisFileError
        With the first reason why the file does not hold.
    """
    with _open(path) as file:
        basis, outline = _read(file)
        checks = verify_basis(basis)
        _check_stated(basis.checks, checks)
        _check_encoding(outline, basis)
        if basis.coordinates is not None:
            check_coordinates(basis)
        return basis, checks


def load_basis_for(
    path: str | os.PathLike[str],
    group: str,
    *,
    input: str | None = None,
    output: str,
    command: str | None = None,
) -> Basis:
    """`load_basis` for a known problem: the file must hold the basis of just this one.

    Of a built-in group the matrices are compared, as a user's may have its name; a user's own is
    known by its name alone, as its code may be elsewhere. ``command`` is what makes the file, by
    default `equibasis solve` with these arguments.

    Raises
    ------
    BasisFileError
        As `load_basis`, or if the file holds another problem; names the command that makes it.
    """
    of_input = ["--input", input] if input else []
    command = command or shlex.join(
        ["equibasis", "solve", str(path), "--group", group, *of_input, "--output", output]
    )
    try:
        basis = load_basis(path)
    except BasisFileError as error:
        if is_missing(path):
            raise BasisFileError(f"{path} does not exist: make it with '{command}'") from error
        raise
    wanted = (group_name(group), as_space(input), as_space(output))
    if (basis.group, basis.space.input_space, basis.space.output_space) != wanted:
        raise BasisFileError(f"{path} holds {basis.space}: make the right one with '{command}'")
    if is_built_in(group) and not basis.space.acts_like(problem(group, input=input, output=output)):
        raise BasisFileError(
            f"{path} holds {basis.space}, but of another group than the built-in {basis.group}: "
            f"make the right one with '{command}'"
        )
    return basis


def describe(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What `inspect` tells of a file, as plain values; the file is loaded, so it is intact.

    Raises
    ------
    BasisFileError
        As `load_basis`.
    """
    with _open(path) as file:
        basis, outline = _read(file)
        size = file.size
    space, columns = basis.space, basis.columns
    nonzeros = np.count_nonzero(columns) if isinstance(columns, np.ndarray) else columns.nnz
    return {
        "file": str(path),
        "kind": basis.kind,
        "group": basis.group,
        "group_order": len(space.elements) if space.complete else None,
        "elements" if space.complete else "generators": list(space.elements),
        "input_space": str(space.input_space),
        "output_space": str(space.output_space),
        "input_shape": list(basis.input_shape),
        "output_shape": list(basis.output_shape),
        "rank": basis.rank,
        "dense_parameters": space.dimension,
        "solver": basis.solver,
        "encoding": outline.values["/basis@encoding-type"],
        "nonzeros": int(nonzeros),
        "checks": {
            "orthonormality_error": basis.checks.orthonormality_error,
            "equivariance_error": basis.checks.equivariance_error,
            "rank_expected": basis.checks.rank_expected,
        },
        "bytes": size,
        "format_version": outline.values["/@format_version"],
        "content_sha256": outline.values["/@content_sha256"],
        "besides": outline.besides,
    }


@contextlib.contextmanager
def _open(
    path: str | os.PathLike[str], name: str | os.PathLike[str] | None = None
) -> Iterator[PlainFile]:
    """The file, opened to read; whatever goes wrong inside becomes one `BasisFileError`."""
    path = file_name(path, BasisFileError)
    try:
        with PlainFile(path) as file:
            yield file
    except (
        EquibasisError,
        OSError,
        LookupError,
        ValueError,
        ArithmeticError,
        RuntimeError,
        TypeError,
        MemoryError,
    ) as error:
        reason = str(error).strip().splitlines()[0] if str(error) else type(error).__name__
        if isinstance(error, OtherLayoutError):
            reason += f"; {_IMPORT}"
        raise BasisFileError(f"{printable(Path(name or path))}: {reason}") from error


def _read(file: PlainFile, any_encoding: bool = False) -> tuple[Basis, Outline]:
    outline = check(file)
    said: dict[str, Any] = outline.values
    hashed = [path for path in outline.datasets if path in HASHED]
    datasets = {path: file.read(path) for path in hashed}
    elements = _names(datasets["/group/elements"])
    datasets["/group/elements"] = np.array([name.encode() for name in elements], dtype=object)
    complete = said["/group@listed"] == "elements"
    space = HomSpace(
        group=said["/@group"],
        elements=elements,
        input_space=as_space(said["/@input_space"]),
        output_space=as_space(said["/@output_space"]),
        input=_representation(datasets["/group/input"], "/group/input"),
        output=_representation(datasets["/group/output"], "/group/output"),
        complete=complete,
    )
    for name, shape in (("input", space.input_shape), ("output", space.output_shape)):
        if shape != tuple(said[f"/group/{name}@shape"].tolist()):
            raise BasisFileError(f"attribute 'shape' of /group/{name} does not fit '{name}_space'")
    if said["/group@order"] != (len(elements) if complete else 0):
        raise BasisFileError("attribute 'order' of /group differs from the number of elements")
    if said["/@kind"] != space.kind:
        raise BasisFileError("attribute 'kind' of / does not fit 'input_space'")
    columns = _columns(datasets, (space.dimension, said["/@rank"]))
    checks = Checks(
        said["/checks@orthonormality_error"],
        said["/checks@equivariance_error"],
        said["/checks@rank_expected"],
    )
    basis = Basis(space, columns, said.get("/checks@solver", "unknown"), checks)
    if _digest_of(said | datasets) != said["/@content_sha256"]:
        if content_sha256(basis) != said["/@content_sha256"]:
            raise BasisFileError("content_sha256 does not match: the file was changed or damaged")
        if not any_encoding:
            raise OtherLayoutError(
                "the content is what it was, but encoded otherwise than the format prescribes"
            )
    return replace(basis, coordinates=_read_coordinates(file, outline)), outline


def _read_coordinates(file: PlainFile, outline: Outline) -> Coordinates | None:
    """The coordinates of a file; none where it has none, or such as are left out."""
    said = outline.values.get(f"{COORDINATES}@sha256")
    if said is None:
        return None
    try:
        stored = {
            path: file.read(path) for path in outline.datasets if path.startswith(f"{COORDINATES}/")
        }
        if _sha256(stored) != said:
            raise BasisFileError("sha256 does not match: changed or damaged")
        arrays = {path.removeprefix(f"{COORDINATES}/"): part for path, part in stored.items()}
        for array in arrays.values():
            if not np.isfinite(array).all():
                raise EquibasisError("numbers that are not finite")
        return from_arrays(arrays, outline.sizes["m"], outline.sizes["k"])
    except EquibasisError as error:
        outline.leave_out(COORDINATES, error)
        return None


def _names(stored: np.ndarray) -> tuple[str, ...]:
    names = tuple(decode(name, "/group/elements") for name in stored.tolist())
    if not names:
        raise BasisFileError("/group/elements is not a list of strings: it is empty")
    if not all(names):
        raise BasisFileError("/group/elements holds an empty name")
    return names


def _finite(array: np.ndarray, path: str) -> np.ndarray:
    if not np.isfinite(array).all():
        raise BasisFileError(f"{path} is not made of finite numbers")
    return array


def _representation(array: np.ndarray, path: str) -> Representation:
    if array.dtype.kind == "f":
        return MatrixRepresentation(_finite(array, path))
    index = array[:, 0] if array.ndim == 3 else array
    if (np.sort(index, axis=1) != np.arange(index.shape[1])).any():
        raise BasisFileError(f"{path} holds a row that is not a permutation")
    if array.ndim == 2:
        return PermutationRepresentation(index.astype(np.int64))
    signs = array[:, 1]
    if (np.abs(signs) != 1).any() or (signs == 1).all():
        raise BasisFileError(f"{path} holds signs that are not ±1, or all +1")
    return PermutationRepresentation(index.astype(np.int64), signs.astype(np.int8))


def _columns(datasets: Mapping[str, np.ndarray], shape: tuple[int, int]) -> Columns:
    if "/basis" in datasets:
        return structured(_finite(datasets["/basis"], "/basis"))
    if "/basis/labels" in datasets:
        return _orbit_columns(datasets["/basis/labels"], datasets.get("/basis/signs"), shape[1])
    data = _finite(datasets["/basis/data"], "/basis/data")
    indices, indptr = datasets["/basis/indices"], datasets["/basis/indptr"].astype(np.int64)
    if indptr[0] != 0 or indptr[-1] != len(data) or (np.diff(indptr) < 0).any():
        raise BasisFileError("/basis/indptr does not ascend from 0 to the number of entries")
    if len(data) and not (0 <= indices.min() and indices.max() < shape[0]):
        raise BasisFileError("/basis/indices points outside the matrix")
    matrix = sparse.csc_array((data, indices, indptr), shape=shape)
    if not matrix.has_canonical_format:
        raise BasisFileError("/basis/indices does not ascend within each column")
    # Few entries in very many rows are no orbits, and looking would take memory for each row.
    return structured(matrix) if shape[0] <= max(_MOST_SPARSE_ROWS, 16 * len(data)) else matrix


def _orbit_columns(labels: np.ndarray, signs: np.ndarray | None, rank: int) -> OrbitColumns:
    if signs is not None and (np.abs(signs) != 1).any():
        raise BasisFileError("/basis/signs holds values that are not ±1")
    if labels.min() < -1 or labels.max() >= rank:
        raise BasisFileError("/basis/labels points outside the columns")
    columns = OrbitColumns(labels, count_labels(labels, rank), signs)
    if not in_order(columns):
        raise BasisFileError("/basis/labels does not number the orbits in their order")
    return columns


# --- what a file says of itself ---------------------------------------------------------------


def _check_stated(stated: Checks, measured: Checks) -> None:
    if stated.rank_expected != measured.rank_expected:
        raise BasisFileError(
            f"attribute 'rank_expected' of /checks is {stated.rank_expected}, "
            f"but it is {measured.rank_expected}"
        )
    for name in ("orthonormality_error", "equivariance_error"):
        one, other = getattr(stated, name), getattr(measured, name)
        if one > TOLERANCE or max(one, other) > _ROUNDING_FACTOR * min(one, other) + _ROUNDING:
            raise BasisFileError(
                f"attribute {name!r} of /checks is {one:.3g}, but the error is {other:.3g}"
            )


def _check_encoding(outline: Outline, basis: Basis) -> None:
    attributes, parts = _encoded(basis.columns)
    prescribed = {path: array.dtype.newbyteorder("<").str for path, array in parts.items()}
    stored = {
        path: np.dtype(outline.datasets[path].type).str
        for path in outline.datasets
        if path.startswith("/basis")
    }
    if stored != prescribed:
        raise BasisFileError(
            f"/basis is not encoded as the format prescribes, {attributes['encoding-type']} of "
            f"{', '.join(prescribed.values())}"
        )
