"""A basis in the formats of other programs: NumPy's and SciPy's, Matrix Market, safetensors."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import sparse

from equibasis.artifact.encoding import contents, matrix_of_file
from equibasis.artifact.store import content_sha256
from equibasis.errors import WriteError, file_name, naming_extras
from equibasis.files import write_bytes
from equibasis.solvers.basis import Basis


class Format(NamedTuple):
    """A format to export to: the bytes of a file, always the same of a basis; and who opens it."""

    content: Callable[[Basis], bytes]
    reader: str


def find_format(path: str | os.PathLike[str]) -> Format:
    """Return the format that the ending of a path names.

    Raises
    ------
    WriteError
        If it names none.
    """
    ending = Path(file_name(path, WriteError)).suffix.lower()
    if ending not in FORMATS:
        raise WriteError(
            f"cannot export to {path}: the ending {ending!r} is not a format known here: "
            f"choose {', '.join(FORMATS)}"
        )
    return FORMATS[ending]


def export_basis(basis: Basis, path: str | os.PathLike[str]) -> str:
    """Write B, the spaces and the content hash in the format that the path's ending names.

    ``.npz``
        B as `scipy.sparse.load_npz` reads it; what describes it as further arrays.
    ``.mtx``
        B as a Matrix Market file that keeps every digit; what describes it as comments.
    ``.safetensors``
        B as ``basis.data``, ``basis.indices``, ``basis.indptr`` (compressed columns) and
        ``basis.shape``; what describes it as metadata.

    Returns
    -------
    str
        The function that opens the file, such as ``scipy.sparse.load_npz``.

    Raises
    ------
    WriteError
        If the ending names no format, or the file cannot be written; what was there before is
        still there.
    MissingExtraError
        If the format needs a package that is not installed.
    """
    chosen = find_format(path)
    write_bytes(path, chosen.content(basis))
    return chosen.reader


def _description(basis: Basis) -> dict[str, str]:
    said, names = contents(basis), ("kind", "group", "input_space", "output_space", "rank")
    return {name: str(said[f"/@{name}"]) for name in names} | {
        "vec_order": "row-major",
        "content_sha256": content_sha256(basis),
    }


def _shapes(basis: Basis) -> dict[str, np.ndarray]:
    said = contents(basis)
    return {f"{side}_shape": np.asarray(said[f"/{side}@shape"]) for side in ("input", "output")}


def _matrix(basis: Basis) -> sparse.csc_array:
    """B, its indices of 32 bits where that will do, whether it was solved or read."""
    entries = matrix_of_file(basis)
    parts = tuple(entries[f"/basis/{name}"] for name in ("data", "indices", "indptr"))
    return sparse.csc_array(parts, shape=basis.matrix.shape)


def _npz(basis: Basis) -> bytes:
    arrays = {name: np.array(text) for name, text in _description(basis).items()}
    arrays |= _shapes(basis) | {"rank": np.array(basis.rank, dtype=np.int64)}
    file = io.BytesIO()
    sparse.save_npz(file, _matrix(basis), compressed=False)
    with zipfile.ZipFile(file, "a") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
    return file.getvalue()


def _matrix_market(basis: Basis) -> bytes:
    from scipy import io as scipy_io

    # The format is ASCII.
    lines = [
        f"{name} {text}".encode("ascii", "backslashreplace").decode()
        for name, text in _description(basis).items()
    ]
    file = io.BytesIO()
    scipy_io.mmwrite(file, _matrix(basis), comment="\n".join(lines), symmetry="general")
    return file.getvalue()


def _safetensors(basis: Basis) -> bytes:
    with naming_extras("an export to .safetensors"):
        import safetensors.numpy
    matrix = _matrix(basis)
    tensors = {
        "basis.data": matrix.data,
        "basis.indices": matrix.indices,
        "basis.indptr": matrix.indptr,
        "basis.shape": np.array(matrix.shape, dtype=np.int64),
    }
    return _with_metadata_in_order(
        safetensors.numpy.save(tensors | _shapes(basis), _description(basis))
    )


def _with_metadata_in_order(content: bytes) -> bytes:
    """Sort the keys of a safetensors file's metadata, which the library writes at random.

    The file is the length of its header in 8 bytes, the header as JSON, padded with blanks to a
    multiple of 8 bytes, and the data.
    """
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[end:]


FORMATS = {
    ".npz": Format(_npz, "scipy.sparse.load_npz"),
    ".mtx": Format(_matrix_market, "scipy.io.mmread"),
    ".safetensors": Format(_safetensors, "safetensors.safe_open"),
}
