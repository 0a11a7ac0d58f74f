"""Basis <-> HDF5: the only module that knows the file format (docs/file-format.md)."""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from scipy import sparse

from equibasis.basis import Basis, Checks
from equibasis.columns import Columns, OrbitColumns, as_csc, count_labels, in_order, structured
from equibasis.errors import BasisFileError, EquibasisError, WriteError
from equibasis.files import write_hdf5
from equibasis.groups import group_name
from equibasis.representations import (
    HomSpace,
    MatrixRepresentation,
    PermutationRepresentation,
    Representation,
)
from equibasis.spaces import Shape, Space, as_space

FORMAT = "equibasis"
FORMAT_VERSION = 1

_ROOT_ATTRIBUTES = (
    "format",
    "format_version",
    "kind",
    "group",
    "group_order",
    "input_space",
    "output_space",
    "input_shape",
    "output_shape",
    "rank",
    "solver",
    "vec_order",
    "content_sha256",
)
# Orbits of more index pairs than this are written as labels, 4 bytes a pair; fewer as a sparse
# matrix, 12 bytes a pair, which more programs read.
_MOST_SPARSE_ROWS = 2**20

# Attributes that say how a file came to be, not what it means, and so are not hashed.
_NOT_CONTENT = ("solver", "content_sha256")

Value = str | int | float | np.ndarray


def basis_path(folder: str | Path, group: str, output: str, input: str | None = None) -> Path:
    """The name of a basis file: ``c4_14x14_to_6x6.h5`` for maps, ``c4_6x6.h5`` for invariants."""
    stem = f"{group}_{output}" if input is None else f"{group}_{input}_to_{output}"
    return Path(folder) / f"{stem}.h5"


# --- what a file says ---------------------------------------------------------------------------


def content_sha256(basis: Basis) -> str:
    """SHA-256 over what the basis is: everything in its file but ``solver`` and the hash itself.

    For (signed) permutations two files of one problem agree in it whichever solver, machine or day
    made them. Others agree to rounding, about 1e-15, which shows in the hash; compare those by
    `equibasis.subspace_angle`.
    """
    return _digest(*_contents(basis))


def _contents(basis: Basis) -> tuple[dict[str, dict[str, Value]], dict[str, np.ndarray]]:
    """All attributes, by the path of their object, and all datasets, by path."""
    space = basis.space
    attributes: dict[str, dict[str, Value]] = {
        "/": {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "kind": space.kind,
            "group": space.group,
            "group_order": len(space.elements) if space.complete else 0,
            "input_space": str(space.input_space),
            "output_space": str(space.output_space),
            "input_shape": np.array(space.input_shape, dtype=np.int64),
            "output_shape": np.array(space.output_shape, dtype=np.int64),
            "rank": basis.rank,
            "solver": basis.solver,
            "vec_order": "row-major",
        },
        "/group": {"listed": "elements" if space.complete else "generators"},
        "/checks": {
            "orthonormality_error": basis.checks.orthonormality_error,
            "equivariance_error": basis.checks.equivariance_error,
            "rank_expected": basis.checks.rank_expected,
        },
    }
    datasets: dict[str, np.ndarray] = {
        "/group/elements": np.array([_encode(name) for name in space.elements], dtype=object),
        "/group/input": _representation_array(space.input),
        "/group/output": _representation_array(space.output),
    }
    attributes["/basis"], parts = _encoded(basis.columns)
    return attributes, {**datasets, **parts}


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
    """The hash of docs/file-format.md: each entry's path, type and shape, then its bytes."""
    entries: dict[str, Value] = dict(datasets)
    for path, of_object in attributes.items():
        for name, value in of_object.items():
            if name not in _NOT_CONTENT:
                entries[f"{path}@{name}"] = value
    digest = hashlib.sha256()
    for path in sorted(entries):
        for chunk in _hashed_form(path, entries[path]):
            digest.update(chunk)
    return digest.hexdigest()


def _hashed_form(path: str, value: Value) -> Iterator[bytes | memoryview]:
    if isinstance(value, str):
        value = np.array(_encode(value), dtype=object)
    array = np.asarray(value)
    shape = _text(array.shape)
    if array.dtype == object:
        yield f"{path} utf-8 {shape}\n".encode()
        for text in array.ravel():
            yield len(text).to_bytes(8, "little") + text
    else:
        array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        yield f"{path} {array.dtype.str} {shape}\n".encode()
        yield array.reshape(-1).view(np.uint8).data


def _text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "scalar"


# --- writing ------------------------------------------------------------------------------------


def save_basis(basis: Basis, path: str | os.PathLike[str]) -> None:
    """Write a basis file: byte-identical for an identical basis, whole or not at all.

    Raises
    ------
    WriteError
        If the file cannot be written; what was there before is still there.
    """
    attributes, datasets = _contents(basis)
    attributes["/"]["content_sha256"] = _digest(attributes, datasets)

    def fill(file: h5py.File) -> None:
        for name, array in datasets.items():
            # Not file[name] = array: groups made on that way note the time.
            file.create_dataset(name, data=_stored(array))
        for name, of_object in attributes.items():
            target = file.require_group(name) if name not in file else file[name]
            for key, value in of_object.items():
                target.attrs[key] = _stored(value)

    write_hdf5(path, fill)


def _encode(text: str) -> bytes:
    try:
        encoded = text.encode()
    except UnicodeEncodeError as error:
        raise WriteError(f"the name {text!r} is not valid Unicode: choose another") from error
    if b"\0" in encoded:
        raise WriteError(f"the name {text!r} holds a NUL, which a file would lose: choose another")
    return encoded


def _stored(value: Value) -> Any:
    """Strings as fixed-length UTF-8: HDF5 keeps others in a heap, where damage can hang it."""
    if isinstance(value, str):
        value = np.array(_encode(value), dtype=object)
    if isinstance(value, np.ndarray) and value.dtype == object:
        length = max(len(text) for text in value.ravel().tolist())
        return value.astype(h5py.string_dtype("utf-8", max(1, length)))
    return value


# --- reading ------------------------------------------------------------------------------------


def load_basis(path: str | os.PathLike[str]) -> Basis:
    """Read a basis file, checking structure, sizes and content hash before believing it.

    Raises
    ------
    BasisFileError
        If the file is missing, damaged, or not a basis file, saying which part is wrong.
    """
    with _open(path) as file:
        return _read(file)


def load_basis_for(
    path: str | os.PathLike[str], group: str, output: str, input: str | None = None
) -> Basis:
    """`load_basis` for a known problem: the file must hold the basis of just this one.

    Raises
    ------
    BasisFileError
        As `load_basis`, or if the file holds another problem; names the command that makes it.
    """
    of_input = f" --input {input}" if input else ""
    command = f"equibasis solve {path} --group {group}{of_input} --output {output}"
    if not os.path.exists(path):  # noqa: PTH110 - Path.exists raises where a name is too long
        raise BasisFileError(f"{path} does not exist: make it with '{command}'")
    basis = load_basis(path)
    wanted = (group_name(group), as_space(input), as_space(output))
    if (basis.group, basis.space.input_space, basis.space.output_space) != wanted:
        raise BasisFileError(f"{path} holds {basis.space}: make the right one with '{command}'")
    return basis


def describe(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What `inspect` tells of a file, as plain values; the file is loaded, so it is intact.

    Raises
    ------
    BasisFileError
        As `load_basis`.
    """
    basis = load_basis(path)
    space, columns = basis.space, basis.columns
    kind, _ = _encoded(columns)
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
        "encoding": kind["encoding-type"],
        "nonzeros": int(np.count_nonzero(columns))
        if isinstance(columns, np.ndarray)
        else int(columns.nnz),
        "checks": {
            "orthonormality_error": basis.checks.orthonormality_error,
            "equivariance_error": basis.checks.equivariance_error,
            "rank_expected": basis.checks.rank_expected,
        },
        "bytes": Path(path).stat().st_size,
        "content_sha256": content_sha256(basis),
    }


@contextlib.contextmanager
def _open(path: str | os.PathLike[str]) -> Iterator[h5py.File]:
    """The file, opened to read; whatever goes wrong inside becomes one `BasisFileError`."""
    target = Path(path)
    try:
        if not target.exists():
            raise BasisFileError("it does not exist: make it with 'equibasis solve'")
        if not target.is_file():
            raise BasisFileError("it is not a regular file")
        if not h5py.is_hdf5(target):
            raise BasisFileError("not an HDF5 file, or its beginning is damaged")
        with h5py.File(target, "r") as file:
            yield file
    except (
        EquibasisError,
        OSError,
        KeyError,
        ValueError,
        RuntimeError,
        TypeError,
        MemoryError,
    ) as error:
        reason = str(error).strip().splitlines()[0] if str(error) else type(error).__name__
        raise BasisFileError(f"{target}: {reason}") from error


def _read(file: h5py.File) -> Basis:
    header = _attributes(file, "/")
    named = header.get("format")
    if not isinstance(named, str) or named != FORMAT:
        raise BasisFileError("HDF5, but not a basis file: attribute 'format' is not 'equibasis'")
    missing = [name for name in _ROOT_ATTRIBUTES if name not in header]
    if missing:
        raise BasisFileError(f"attribute {missing[0]!r} is missing")
    version = _integer(header, "format_version")
    if version != FORMAT_VERSION:
        raise BasisFileError(
            f"format_version {version} is not known to this equibasis "
            f"(it reads {FORMAT_VERSION}): use another version of equibasis"
        )

    paths = ("/", "/basis", "/checks", "/group")
    attributes = {path: _attributes(file, path) for path in paths}
    datasets: dict[str, np.ndarray] = {}
    elements = _strings(file, "/group/elements")
    datasets["/group/elements"] = np.array([name.encode() for name in elements], dtype=object)
    listed = attributes["/group"].get("listed")
    if listed not in ("elements", "generators"):
        raise BasisFileError("attribute 'listed' of /group is not 'elements' or 'generators'")

    shapes = _shape(header, "input_shape"), _shape(header, "output_shape")
    space = HomSpace(
        _string(header, "group"),
        tuple(elements),
        _space(header, "input_space"),
        _space(header, "output_space"),
        _representation(file, "/group/input", len(elements), shapes[0]),
        _representation(file, "/group/output", len(elements), shapes[1]),
        listed == "elements",
    )
    datasets["/group/input"] = _representation_array(space.input)
    datasets["/group/output"] = _representation_array(space.output)
    for name, shape, stored in (
        ("input", space.input_shape, shapes[0]),
        ("output", space.output_shape, shapes[1]),
    ):
        if shape != stored:
            raise BasisFileError(f"attribute '{name}_shape' does not fit '{name}_space'")
    rank = _integer(header, "rank")
    columns, parts = _columns(file, attributes["/basis"], (space.dimension, rank))
    datasets |= parts

    if _integer(header, "group_order") != (len(elements) if space.complete else 0):
        raise BasisFileError("attribute 'group_order' differs from the number of elements")
    if _string(header, "kind") != space.kind:
        raise BasisFileError("attribute 'kind' does not fit 'input_shape'")
    if _string(header, "vec_order") != "row-major":
        raise BasisFileError("attribute 'vec_order' is not 'row-major'")
    if _digest(attributes, datasets) != _string(header, "content_sha256"):
        raise BasisFileError("content_sha256 does not match: the file was changed or damaged")
    checks = attributes["/checks"]
    return Basis(
        space,
        structured(columns),
        _string(header, "solver"),
        Checks(
            _number(checks, "orthonormality_error"),
            _number(checks, "equivariance_error"),
            _integer(checks, "rank_expected"),
        ),
    )


def _attributes(file: h5py.File, path: str) -> dict[str, Any]:
    """All attributes of an object as str, int, float or arrays; other types are refused unread."""
    _check_hard_links(file, path)
    holder = file[path].attrs
    values: dict[str, Any] = {}
    for name in holder:
        dtype = h5py.h5a.open(file[path].id, name.encode()).dtype
        if dtype.kind not in "Sif":
            raise BasisFileError(f"attribute {name!r} of {path} has a type it must not have")
        value = holder[name]
        if isinstance(value, np.bytes_):
            value = bytes(value).decode()
        values[name] = value.item() if isinstance(value, np.generic) else value
    return values


def _check_hard_links(file: h5py.File, path: str) -> None:
    """Every step of a path is in this file: a link could lead anywhere, or in a circle."""
    steps = [step for step in path.split("/") if step]
    for count in range(1, len(steps) + 1):
        part = "/".join(steps[:count])
        if not isinstance(file.get(part, getlink=True), h5py.HardLink):
            raise BasisFileError(f"/{part} is missing, or a link to somewhere else")


def _string(attributes: Mapping[str, Any], name: str) -> str:
    value = attributes.get(name)
    if not isinstance(value, str) or not value.isprintable():
        raise BasisFileError(f"attribute {name!r} is not a string of printable characters")
    return value


def _integer(attributes: Mapping[str, Any], name: str) -> int:
    value = attributes.get(name)
    if not isinstance(value, int) or value < 0:
        raise BasisFileError(f"attribute {name!r} is not a whole number of at least 0")
    return value


def _number(attributes: Mapping[str, Any], name: str) -> float:
    value = attributes.get(name)
    if not isinstance(value, float) or not 0 <= value < math.inf:
        raise BasisFileError(f"attribute {name!r} is not a number of at least 0")
    return value


def _shape(attributes: Mapping[str, Any], name: str) -> tuple[int, ...]:
    value = attributes.get(name)
    if not (isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype == np.int64):
        raise BasisFileError(f"attribute {name!r} is not a list of 64-bit integers")
    if (value < 1).any() or math.prod(value.tolist()) >= 2**62:
        raise BasisFileError(f"attribute {name!r} holds an impossible size")
    return tuple(value.tolist())


def _space(attributes: Mapping[str, Any], name: str) -> Space:
    return as_space(_string(attributes, name))


def _dataset(file: h5py.File, path: str, kinds: str) -> h5py.Dataset:
    """A dataset of this file alone, of an expected type, no larger than the file itself."""
    _check_hard_links(file, path)
    dataset = file[path]
    if not isinstance(dataset, h5py.Dataset):
        raise BasisFileError(f"{path} is not a dataset")
    if dataset.dtype.kind not in kinds:
        raise BasisFileError(f"{path} has type {dataset.dtype}, which it must not have")
    if dataset.external or dataset.is_virtual or dataset.chunks is not None:
        raise BasisFileError(f"{path} is not stored plainly (contiguous, in this file)")
    if dataset.id.get_storage_size() > file.id.get_filesize():
        raise BasisFileError(f"{path} claims more bytes than the file has")
    if dataset.size and not dataset.id.get_storage_size():
        raise BasisFileError(f"{path} has a size but no data")
    return dataset


def _strings(file: h5py.File, path: str) -> list[str]:
    dataset = _dataset(file, path, "S")
    if dataset.ndim != 1 or not dataset.size:
        raise BasisFileError(f"{path} is not a list of strings")
    names = [bytes(name).decode() for name in dataset[()]]
    if not all(name and name.isprintable() for name in names):
        raise BasisFileError(f"{path} holds a name that is empty or cannot be printed")
    return names


def _array(file: h5py.File, path: str, kinds: str, shape: tuple[int, ...]) -> np.ndarray:
    dataset = _dataset(file, path, kinds)
    if dataset.shape != shape:
        raise BasisFileError(f"{path} has shape {_text(dataset.shape)}, expected {_text(shape)}")
    array = dataset[()]
    if array.dtype.kind == "f" and (array.dtype != np.float64 or not np.isfinite(array).all()):
        raise BasisFileError(f"{path} is not made of finite float64 numbers")
    return array


def _representation(file: h5py.File, path: str, order: int, shape: Shape) -> Representation:
    n = math.prod(shape)
    dataset = _dataset(file, path, "if")
    if dataset.dtype.kind == "f":
        return MatrixRepresentation(_array(file, path, "f", (order, n, n)))
    signed = dataset.ndim == 3
    array = _array(file, path, "i", (order, 2, n) if signed else (order, n))
    if array.dtype != np.int32:
        raise BasisFileError(f"{path} is not made of 32-bit integers")
    index = array[:, 0] if signed else array
    if (np.sort(index, axis=1) != np.arange(n)).any():
        raise BasisFileError(f"{path} holds a row that is not a permutation")
    if not signed:
        return PermutationRepresentation(index.astype(np.int64))
    signs = array[:, 1]
    if (np.abs(signs) != 1).any() or (signs == 1).all():
        raise BasisFileError(f"{path} holds signs that are not ±1, or all +1")
    return PermutationRepresentation(index.astype(np.int64), signs.astype(np.int8))


def _columns(
    file: h5py.File, attributes: Mapping[str, Any], shape: tuple[int, int]
) -> tuple[Columns, dict[str, np.ndarray]]:
    """The basis, and the datasets that it was read from."""
    encoding = _string(attributes, "encoding-type")
    if encoding == "array":
        dense = _array(file, "/basis", "f", shape)
        return dense, {"/basis": dense}
    if encoding not in ("csc_matrix", "equibasis-orbits"):
        raise BasisFileError(f"/basis has an encoding-type that is not known: {encoding!r}")
    declared = attributes.get("shape")
    if not isinstance(declared, np.ndarray) or tuple(declared.tolist()) != shape:
        raise BasisFileError(f"/basis does not have the shape {_text(shape)}")
    if encoding == "equibasis-orbits":
        return _orbit_columns(file, shape)
    stored = _dataset(file, "/basis/data", "f").size
    parts = {
        "/basis/data": _array(file, "/basis/data", "f", (stored,)),
        "/basis/indices": _array(file, "/basis/indices", "i", (stored,)),
        "/basis/indptr": _array(file, "/basis/indptr", "i", (shape[1] + 1,)),
    }
    data, indices, indptr = parts.values()
    indptr = indptr.astype(np.int64)  # differences of int32 may wrap around
    if indptr[0] != 0 or indptr[-1] != stored or (np.diff(indptr) < 0).any():
        raise BasisFileError("/basis/indptr does not ascend from 0 to the number of entries")
    if stored and not (0 <= indices.min() and indices.max() < shape[0]):
        raise BasisFileError("/basis/indices points outside the matrix")
    matrix = sparse.csc_array((data, indices, indptr), shape=shape)
    if not matrix.has_canonical_format:
        raise BasisFileError("/basis/indices does not ascend within each column")
    return matrix, parts


def _orbit_columns(
    file: h5py.File, shape: tuple[int, int]
) -> tuple[OrbitColumns, dict[str, np.ndarray]]:
    if shape[1] > shape[0]:
        raise BasisFileError("/basis has more columns than rows")
    labels = _array(file, "/basis/labels", "i", shape[:1])
    parts = {"/basis/labels": labels}
    signs = None
    if file.get("/basis/signs", getlink=True) is not None:
        signs = parts["/basis/signs"] = _array(file, "/basis/signs", "i", shape[:1])
        if signs.dtype != np.int8 or (np.abs(signs) != 1).any():
            raise BasisFileError("/basis/signs holds values that are not ±1, as int8")
    if labels.min() < -1 or labels.max() >= shape[1]:
        raise BasisFileError("/basis/labels points outside the columns")
    columns = OrbitColumns(labels, count_labels(labels, shape[1]), signs)
    if not in_order(columns):
        raise BasisFileError("/basis/labels does not number the orbits in their order")
    return columns, parts
