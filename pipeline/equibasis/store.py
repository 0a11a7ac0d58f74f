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
from equibasis.errors import BasisFileError, EquibasisError
from equibasis.files import writing
from equibasis.representations import (
    HomSpace,
    MatrixRepresentation,
    PermutationRepresentation,
    Representation,
    format_shape,
    parse_shape,
)

FORMAT = "equibasis"
FORMAT_VERSION = 1

# Readable by every HDF5 since 1.8 (2008), and the same bytes whatever library wrote them.
_LIBRARY_BOUNDS = ("v108", "v108")

_ROOT_ATTRIBUTES = (
    "format",
    "format_version",
    "kind",
    "group",
    "group_order",
    "input_shape",
    "output_shape",
    "rank",
    "solver",
    "vec_order",
    "content_sha256",
)
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

    Two files of one problem agree in it whichever solver, machine or day made them.
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
            "group_order": len(space.elements),
            "input_shape": np.array(space.input_shape, dtype=np.int64),
            "output_shape": np.array(space.output_shape, dtype=np.int64),
            "rank": basis.rank,
            "solver": basis.solver,
            "vec_order": "row-major",
        },
        "/checks": {
            "orthonormality_error": basis.checks.orthonormality_error,
            "equivariance_error": basis.checks.equivariance_error,
            "rank_expected": basis.checks.rank_expected,
        },
    }
    datasets = {
        "/group/elements": np.array([name.encode() for name in space.elements], dtype=object),
        "/group/input": _representation_array(space.input),
        "/group/output": _representation_array(space.output),
    }
    matrix = basis.matrix
    if isinstance(matrix, np.ndarray):
        attributes["/basis"] = {"encoding-type": "array", "encoding-version": "0.2.0"}
        datasets["/basis"] = matrix
    else:
        attributes["/basis"] = {
            "encoding-type": "csc_matrix",
            "encoding-version": "0.1.0",
            "shape": np.array(matrix.shape, dtype=np.int64),
        }
        index_type = np.int32 if max(*matrix.shape, matrix.nnz) < 2**31 else np.int64
        datasets["/basis/data"] = matrix.data
        datasets["/basis/indices"] = matrix.indices.astype(index_type)
        datasets["/basis/indptr"] = matrix.indptr.astype(index_type)
    return attributes, datasets


def _representation_array(rho: Representation) -> np.ndarray:
    if isinstance(rho, PermutationRepresentation):
        return rho.index.astype(np.int32)
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
        value = np.array(value.encode(), dtype=object)
    array = np.asarray(value)
    shape = format_shape(array.shape)
    if array.dtype == object:
        yield f"{path} utf-8 {shape}\n".encode()
        for text in array.ravel():
            yield len(text).to_bytes(8, "little") + text
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
    attributes, datasets = _contents(basis)
    attributes["/"]["content_sha256"] = _digest(attributes, datasets)
    with writing(path) as temporary, h5py.File(temporary, "w", libver=_LIBRARY_BOUNDS) as file:
        for name, array in datasets.items():
            text = h5py.string_dtype() if array.dtype == object else None
            file.create_dataset(name, data=array, dtype=text)
        for name, of_object in attributes.items():
            target = file.require_group(name) if name not in file else file[name]
            for key, value in of_object.items():
                target.attrs[key] = value


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
    if not Path(path).exists():
        raise BasisFileError(f"{path} does not exist: make it with '{command}'")
    basis = load_basis(path)
    wanted = (group, parse_shape(input), parse_shape(output))
    if (basis.group, basis.input_shape, basis.output_shape) != wanted:
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
    space, matrix = basis.space, basis.matrix
    dense = isinstance(matrix, np.ndarray)
    return {
        "file": str(path),
        "kind": basis.kind,
        "group": basis.group,
        "group_order": len(space.elements),
        "elements": list(space.elements),
        "input_shape": list(basis.input_shape),
        "output_shape": list(basis.output_shape),
        "rank": basis.rank,
        "dense_parameters": space.m * space.k,
        "solver": basis.solver,
        "encoding": "array" if dense else "csc_matrix",
        "nonzeros": int(np.count_nonzero(matrix if dense else matrix.data)),
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
    if not target.exists():
        raise BasisFileError(f"{target} does not exist: make it with 'equibasis solve'")
    if not target.is_file():
        raise BasisFileError(f"{target} is not a regular file")
    try:
        if not h5py.is_hdf5(target):
            raise BasisFileError("not an HDF5 file, or its beginning is damaged")
        with h5py.File(target, "r") as file:
            yield file
    except (EquibasisError, OSError, KeyError, ValueError, RuntimeError, TypeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error) else type(error).__name__
        raise BasisFileError(f"{target}: {reason}") from error


def _read(file: h5py.File) -> Basis:
    header = _attributes(file, "/")
    if header.get("format") != FORMAT:
        raise BasisFileError("HDF5, but not a basis file: attribute 'format' is not 'equibasis'")
    if header.get("format_version") != FORMAT_VERSION:
        raise BasisFileError(
            f"format_version {header.get('format_version')} is not known to this equibasis "
            f"(it reads {FORMAT_VERSION}): use a newer equibasis"
        )
    missing = [name for name in _ROOT_ATTRIBUTES if name not in header]
    if missing:
        raise BasisFileError(f"attribute {missing[0]!r} is missing")

    attributes = {path: _attributes(file, path) for path in ("/", "/basis", "/checks")}
    datasets: dict[str, np.ndarray] = {}
    elements = _strings(file, "/group/elements")
    datasets["/group/elements"] = np.array([name.encode() for name in elements], dtype=object)

    space = HomSpace(
        _text(header, "group"),
        tuple(elements),
        _shape(header, "input_shape"),
        _shape(header, "output_shape"),
        _representation(file, "/group/input", len(elements), _shape(header, "input_shape")),
        _representation(file, "/group/output", len(elements), _shape(header, "output_shape")),
    )
    datasets["/group/input"] = _representation_array(space.input)
    datasets["/group/output"] = _representation_array(space.output)
    rank = _integer(header, "rank")
    matrix, parts = _matrix(file, attributes["/basis"], (space.k * space.m, rank))
    datasets |= parts

    if _integer(header, "group_order") != len(elements):
        raise BasisFileError("attribute 'group_order' differs from the number of elements")
    if header["kind"] != space.kind:
        raise BasisFileError("attribute 'kind' does not fit 'input_shape'")
    if header["vec_order"] != "row-major":
        raise BasisFileError("attribute 'vec_order' is not 'row-major'")
    if _digest(attributes, datasets) != header["content_sha256"]:
        raise BasisFileError("content_sha256 does not match: the file was changed or damaged")
    checks = attributes["/checks"]
    return Basis(
        space,
        matrix,
        _text(header, "solver"),
        Checks(
            float(checks["orthonormality_error"]),
            float(checks["equivariance_error"]),
            _integer(checks, "rank_expected"),
        ),
    )


def _attributes(file: h5py.File, path: str) -> dict[str, Any]:
    if path not in file:
        raise BasisFileError(f"{path} is missing")
    values: dict[str, Any] = {}
    for name, value in file[path].attrs.items():
        values[name] = value.item() if isinstance(value, np.generic) else value
    return values


def _text(attributes: Mapping[str, Any], name: str) -> str:
    value = attributes[name]
    if not isinstance(value, str):
        raise BasisFileError(f"attribute {name!r} is not a string")
    return value


def _integer(attributes: Mapping[str, Any], name: str) -> int:
    value = attributes[name]
    if not isinstance(value, int) or value < 0:
        raise BasisFileError(f"attribute {name!r} is not a whole number of at least 0")
    return value


def _shape(attributes: Mapping[str, Any], name: str) -> tuple[int, ...]:
    value = attributes[name]
    if not (isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype == np.int64):
        raise BasisFileError(f"attribute {name!r} is not a list of 64-bit integers")
    if (value < 1).any() or math.prod(value.tolist()) >= 2**62:
        raise BasisFileError(f"attribute {name!r} holds an impossible size")
    return tuple(value.tolist())


def _dataset(file: h5py.File, path: str, kinds: str) -> h5py.Dataset:
    """A dataset of this file alone, of an expected type, no larger than the file itself."""
    if not isinstance(file.get(path, getlink=True), h5py.HardLink):
        raise BasisFileError(f"{path} is missing, or a link to somewhere else")
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
    dataset = _dataset(file, path, "O")
    if h5py.check_string_dtype(dataset.dtype) is None or dataset.ndim != 1 or not dataset.size:
        raise BasisFileError(f"{path} is not a list of strings")
    return [str(name) for name in dataset.asstr()[()]]


def _array(file: h5py.File, path: str, kinds: str, shape: tuple[int, ...]) -> np.ndarray:
    dataset = _dataset(file, path, kinds)
    if dataset.shape != shape:
        raise BasisFileError(
            f"{path} has shape {format_shape(dataset.shape)}, expected {format_shape(shape)}"
        )
    array = dataset[()]
    if array.dtype.kind == "f" and (array.dtype != np.float64 or not np.isfinite(array).all()):
        raise BasisFileError(f"{path} is not made of finite float64 numbers")
    return array


def _representation(
    file: h5py.File, path: str, order: int, shape: tuple[int, ...]
) -> Representation:
    n = math.prod(shape)
    if _dataset(file, path, "if").dtype.kind == "f":
        return MatrixRepresentation(_array(file, path, "f", (order, n, n)))
    index = _array(file, path, "i", (order, n))
    if (np.sort(index, axis=1) != np.arange(n)).any():
        raise BasisFileError(f"{path} holds a row that is not a permutation")
    return PermutationRepresentation(index.astype(np.int64))


def _matrix(
    file: h5py.File, attributes: Mapping[str, Any], shape: tuple[int, int]
) -> tuple[sparse.csc_array | np.ndarray, dict[str, np.ndarray]]:
    """The basis matrix, and the datasets that it was read from."""
    encoding = attributes.get("encoding-type")
    if encoding == "array":
        dense = _array(file, "/basis", "f", shape)
        return dense, {"/basis": dense}
    if encoding != "csc_matrix":
        raise BasisFileError(f"/basis has an encoding-type that is not known: {encoding!r}")
    declared = attributes.get("shape")
    if not isinstance(declared, np.ndarray) or tuple(declared.tolist()) != shape:
        raise BasisFileError(f"/basis does not have the shape {format_shape(shape)}")
    stored = _dataset(file, "/basis/data", "f").size
    parts = {
        "/basis/data": _array(file, "/basis/data", "f", (stored,)),
        "/basis/indices": _array(file, "/basis/indices", "i", (stored,)),
        "/basis/indptr": _array(file, "/basis/indptr", "i", (shape[1] + 1,)),
    }
    data, indices, indptr = parts.values()
    if indptr[0] != 0 or indptr[-1] != stored or (np.diff(indptr) < 0).any():
        raise BasisFileError("/basis/indptr does not ascend from 0 to the number of entries")
    if stored and not (0 <= indices.min() and indices.max() < shape[0]):
        raise BasisFileError("/basis/indices points outside the matrix")
    matrix = sparse.csc_array((data, indices, indptr), shape=shape)
    if not matrix.has_canonical_format:
        raise BasisFileError("/basis/indices does not ascend within each column")
    return matrix, parts
