"""Basis <-> HDF5: the only module that knows the file format (docs/file-format.md)."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from equibasis.artifact.decoding import basis_of
from equibasis.artifact.encoding import contents, matrix_of_file, stored
from equibasis.artifact.plain_hdf5 import OtherLayoutError, PlainFile
from equibasis.artifact.schema import ENTRIES, HASHED, MATRIX, SEAL, Outline, Value, check, text
from equibasis.artifact.verification import verify_basis
from equibasis.errors import BasisFileError, file_name, printable, shown
from equibasis.hdf5 import write_hdf5
from equibasis.solvers.basis import TOLERANCE, Basis, Checks, check_is_basis
from equibasis.symmetry.catalog import group_name

# A file holds its matrix too, for other programs, up to so many rows and entries.
_MOST_ROWS, _MOST_NONZEROS = 2**20, 2**18

# What to do about a file that may be right, but is not stored as ours are.
_IMPORT = "if another program rewrote it, 'equibasis import FILE OUT' makes it a basis file again"

# By how much an error may differ from the one stated: rounding differs between libraries.
_ROUNDING_FACTOR, _ROUNDING = 10.0, 1e-13


def basis_path(folder: str | Path, group: str, *, input: str | None = None, output: str) -> Path:
    """Name a basis file: ``c4_14x14_to_6x6.h5`` for maps, ``c4_6x6.h5`` for invariants.

    Characters that a name of a file had better not have become ``_``.
    """
    spaces = output if input is None else f"{input}_to_{output}"
    name = re.sub(r"[^0-9A-Za-z_.+-]+", "_", f"{group_name(group)}_{spaces}")
    return Path(folder) / f"{name}.h5"


# --- what a file says ---------------------------------------------------------------------------


def content_sha256(basis: Basis) -> str:
    """SHA-256 over what the basis is: all in its file but the solver and the matrix.

    For (signed) permutations two files of one problem agree in it whichever solver, machine or day
    made them. Others agree to rounding, about 1e-15, which shows in the hash; compare those by
    `equibasis.subspace_angle`.
    """
    check_is_basis(basis)
    return _digest(contents(basis))


def _digest(entries: Mapping[str, Value]) -> str:
    """Hash entries as docs/file-format.md says: path, type and shape of each, then its bytes."""
    digest = hashlib.sha256()
    for path in sorted(HASHED & entries.keys()):
        array = stored(path, entries[path])
        shape = text(array.shape)
        if array.dtype.kind == "S":
            digest.update(f"{path} utf-8 {shape}\n".encode())
            for content in array.ravel().tolist():
                digest.update(len(content).to_bytes(8, "little") + content)
        else:
            digest.update(f"{path} {array.dtype.str} {shape}\n".encode())
            digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


# --- writing ------------------------------------------------------------------------------------


def save_basis(basis: Basis, path: str | os.PathLike[str]) -> str:
    """Write a basis file: byte-identical for an identical basis, whole or not at all.

    Returns
    -------
    str
        The `content_sha256` that it states.

    Raises
    ------
    WriteError
        If the file cannot be written; what was there before is still there.
    """
    check_is_basis(basis)
    entries = contents(basis)
    entries[SEAL.name] = content = _digest(entries)
    matrix: dict[str, Value] = {}
    if basis.space.dimension <= _MOST_ROWS and basis.nonzeros <= _MOST_NONZEROS:
        matrix = matrix_of_file(basis)
    entries |= matrix

    def check(temporary: Path) -> None:
        with PlainFile(temporary) as file:
            found, outline = _read(file)
            there = outline.values.keys() | outline.datasets.keys()
            same = there == entries.keys() and not outline.besides and found.solver == basis.solver
            same &= outline.values[SEAL.name] == entries[SEAL.name]
            same &= all(np.array_equal(file.read(p), matrix[p]) for p in matrix if "@" not in p)
        if not same:
            raise BasisFileError("another basis")

    there = {name: stored(name, entries[name]) for name in ENTRIES if name in entries}
    write_hdf5(path, there, check)
    return content


# --- reading ------------------------------------------------------------------------------------


def load_basis(path: str | os.PathLike[str], name: str | None = None) -> Basis:
    """Read a basis file, checking structure, sizes and content hash before believing it.

    It may be a copy of the file ``name``, which errors are told of.

    Raises
    ------
    BasisFileError
        If the file is missing, damaged, or not a basis file, saying which part is wrong.
    """
    with _open(path, name) as file:
        return _read(file)[0]


def verify_file(path: str | os.PathLike[str]) -> tuple[Basis, Checks]:
    """Prove a basis file from itself alone: all that `load_basis` and `verify_basis` check.

    And that the errors which it states are its errors, and that its matrix, where it holds one, is
    that of its tables.

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
        if f"{MATRIX}/data" in outline.datasets:
            _check_matrix(file, outline, basis)
        return basis, checks


def describe(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Describe a file for `inspect`, in plain values; it is loaded, so it is intact.

    Raises
    ------
    BasisFileError
        As `load_basis`.
    """
    with _open(path) as file:
        basis, outline = _read(file)
        size = file.size
    space = basis.space
    said = (
        *("kind", "group", "input_space", "output_space", "rank"),
        *("format_version", "content_sha256"),
    )
    return {
        "file": str(path),
        **{name: outline.values[f"/@{name}"] for name in said},
        "group_order": len(space.elements) if space.complete else None,
        "elements" if space.complete else "generators": list(space.elements),
        "input_shape": list(basis.input_shape),
        "output_shape": list(basis.output_shape),
        "dense_parameters": space.dimension,
        "solver": basis.solver,
        "types": {
            side: [[each.dimension, each.multiplicity] for each in summands]
            for side, summands in (("input", space.types.input), ("output", space.types.output))
        },
        "nonzeros": basis.nonzeros,
        "matrix": f"{MATRIX}/data" in outline.datasets,
        "checks": asdict(basis.checks),
        "bytes": size,
        "besides": outline.besides,
    }


@contextlib.contextmanager
def _open(path: str | os.PathLike[str], name: str | None = None) -> Iterator[PlainFile]:
    """Yield the file, opened to read; whatever goes wrong inside becomes one `BasisFileError`."""
    path = file_name(path, BasisFileError)
    try:
        with PlainFile(path) as file:
            yield file
    except Exception as error:  # whatever Python, NumPy and SciPy raise of hostile numbers
        reason = str(error).strip().splitlines()[0] if str(error) else type(error).__name__
        if isinstance(error, OtherLayoutError):
            reason += f"; {_IMPORT}"
        raise BasisFileError(f"{printable(name or path)}: {reason}") from shown(error)


def _read(file: PlainFile) -> tuple[Basis, Outline]:
    outline = check(file)
    entries: dict[str, Any] = dict(outline.values)
    entries |= {path: file.read(path) for path in outline.datasets if path in HASHED}
    if _digest(entries) != entries[SEAL.name]:
        raise BasisFileError("content_sha256 does not match: the file was changed or damaged")
    return basis_of(entries), outline


# --- what a file says of itself ---------------------------------------------------------------


def _check_stated(stated: Checks, measured: Checks) -> None:
    for name in ("rank_expected", "rank_by"):
        said, found = getattr(stated, name), getattr(measured, name)
        if said != found:
            raise BasisFileError(f"attribute {name!r} of /checks is {said}, but it is {found}")
    for name in ("orthonormality_error", "equivariance_error"):
        one, other = getattr(stated, name), getattr(measured, name)
        if one > TOLERANCE or max(one, other) > _ROUNDING_FACTOR * min(one, other) + _ROUNDING:
            raise BasisFileError(
                f"attribute {name!r} of /checks is {one:.3g}, but the error is {other:.3g}"
            )


def _check_matrix(file: PlainFile, outline: Outline, basis: Basis) -> None:
    # Of so many entries as the file has, before the matrix is made.
    shape = np.array([basis.space.dimension, basis.rank])
    if not np.array_equal(outline.values[f"{MATRIX}@shape"], shape):
        raise BasisFileError(f"attribute 'shape' of {MATRIX} is not that of the tables")
    if outline.datasets[f"{MATRIX}/data"].shape != (basis.nonzeros,):
        raise BasisFileError(f"{MATRIX}/data is not that of the tables")
    for path, part in matrix_of_file(basis).items():
        if "@" not in path and not np.array_equal(file.read(path), part):
            raise BasisFileError(f"{path} is not that of the tables")
