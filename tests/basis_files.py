"""Basis files of every kind, and ways to change them: what tests of files share."""

from __future__ import annotations

import functools
import hashlib
import re
import struct
import tempfile
from pathlib import Path

import h5py
import numpy as np
import pytest

import by_hand
import equibasis as eb
from equibasis.artifact.hdf5_bytes import checksum


def turn(vector, sixths):
    angle = sixths * np.pi / 3
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ vector


HEXAGON = eb.Group("hexagon", tuple(range(6)), turn)

SLANT = by_hand.random_orthogonal(3, 0)


def turn_slanted(vector, sixths):
    """A turn about an axis along no coordinate: its basis has entries everywhere."""
    about_z = np.eye(3)
    about_z[:2, :2] = turn(np.eye(2), sixths)
    return SLANT @ about_z @ SLANT.T @ vector


SLANTED = eb.Group("slanted", tuple(range(6)), turn_slanted)

BASES = {
    "permutations": lambda: by_hand.solved("c4", input="6x6", output="3x3"),
    "slanted": lambda: by_hand.solved(SLANTED, input="3", output="3"),
    "invariant": lambda: by_hand.solved("d4", output="5x5"),
    "matrices": lambda: by_hand.solved(HEXAGON, input="2", output="2"),
    "copies of matrices": lambda: by_hand.solved(SLANTED, input="4*3", output="2*3"),
    "rank 0": lambda: by_hand.solved(HEXAGON, output="2"),
    "signs": lambda: by_hand.solved("c4", input="4x4:vector", output="3x3"),
    "signs, rows of zeros": lambda: by_hand.solved("d4", input="5x5:pseudoscalar", output="5x5"),
    "generators": lambda: by_hand.solved("s5", input="5x5", output="5x5"),
    "generators and signs": lambda: by_hand.solved("p4", input="4x4:vector", output="4x4"),
    "generators of matrices": lambda: by_hand.solved(
        eb.matrix_group("turns", [turn_slanted(np.eye(3), 1)]), input="V + 1", output="V"
    ),
    "sums": lambda: by_hand.solved("c4", input="dual(3x3:vector) + 2x2**2", output="2*(3x3 + 1)"),
    "permutations and matrices": lambda: by_hand.solved(
        eb.matrix_group("turn", [turn(np.eye(2), 3)]), input="V + 1", output="3*V + 1"
    ),
    "continuous": lambda: by_hand.solved(by_hand.SO3, input="V*V", output="2*V + sym(V, 2) + 1"),
    "continuous, and discrete": lambda: by_hand.solved(by_hand.O3, output="V**3*V"),
    "one point": lambda: by_hand.solved("c4", input="1x1", output="1x1"),
}


def saved(basis: eb.Basis, path: Path) -> Path:
    eb.save_basis(basis, path)
    return path


@functools.cache
def content_of(name: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return saved(BASES[name](), Path(folder, "basis.h5")).read_bytes()


def file_of(name: str, path: Path) -> Path:
    """A file with one of `BASES`, saved once and copied."""
    path.write_bytes(content_of(name))
    return path


# The groups whose datasets and attributes are hashed; of the root's, all but the hash itself.
HASHED = ("group", "types", "input", "output", "tables", "checks")
HASHED_OF_ROOT = (
    "format",
    "format_version",
    "kind",
    "group",
    "input_space",
    "output_space",
    "rank",
)


def hash_by_hand(file: h5py.File) -> str:
    """SHA-256 of attributes of / and of all below `HASHED` but the solver, sorted by path.

    Each is "path type shape\\n" and its little-endian bytes; strings are "utf-8", each with its
    length in 8 bytes before it. h5py gives the fixed-length strings of a file as bytes.
    """
    values: dict[str, object] = {
        f"/@{name}": file.attrs[name] for name in HASHED_OF_ROOT if name in file.attrs
    }

    def visit(name: str, found: h5py.Group | h5py.Dataset) -> None:
        if name.split("/")[0] not in HASHED:
            return
        values.update({f"/{name}@{key}": value for key, value in found.attrs.items()})
        if isinstance(found, h5py.Dataset):
            values[f"/{name}"] = found[()]

    file.visititems(visit)
    digest = hashlib.sha256()
    for path in sorted(values.keys() - {"/checks@solver"}):
        array = np.array(values[path])
        shape = "x".join(str(size) for size in array.shape) or "scalar"
        if array.dtype.kind == "S":
            digest.update(f"{path} utf-8 {shape}\n".encode())
            for text in array.ravel().tolist():
                digest.update(len(text).to_bytes(8, "little") + text)
        else:
            order = "|" if array.dtype.itemsize == 1 else "<"
            kind = f"{order}{array.dtype.kind}{array.dtype.itemsize}"
            digest.update(f"{path} {kind} {shape}\n".encode() + array.astype(kind).tobytes())
    return digest.hexdigest()


def replaced(opened: h5py.File, name: str, values: object, **options: object) -> None:
    """Put other values in place of a dataset's, whatever their type and shape."""
    if name in opened:
        del opened[name]
    opened.create_dataset(name, data=values, **options)


def refusal(path: Path) -> str:
    """Why a file is refused: one line that begins with its path."""
    with pytest.raises(eb.BasisFileError) as refused:
        eb.load_basis(path)
    message = str(refused.value)
    assert message.startswith(str(path))
    assert len(message.splitlines()) == 1
    return message.removeprefix(str(path))


def edit(path: Path, change, libver: str = "v108") -> Path:
    with h5py.File(path, "r+", libver=(libver, "latest")) as opened:
        change(opened)
    return path


def rehash(opened: h5py.File) -> None:
    """Make the hash fit, so that only what the hash does not see is left to be found."""
    opened.attrs["content_sha256"] = fixed(hash_by_hand(opened))


def fixed(text):
    """Text as the files hold it: UTF-8 of fixed length."""
    content = text.encode()
    return np.array(content, dtype=h5py.string_dtype("utf-8", max(1, len(content))))


# --- metadata and their checksums ---------------------------------------------------------------


def headers(content: bytes) -> list[tuple[int, int]]:
    """Where each checksummed piece of a file begins, and where its checksum stands."""
    found = [(0, 44)]
    for match in re.finditer(b"OHDR", content):
        start = match.start()
        flags, width = content[start + 5], 1 << (content[start + 5] & 3)
        first = start + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
        length = int.from_bytes(content[first : first + width], "little")
        found.append((start, first + width + length))
    for match in re.finditer(b"OCHK", content):
        start = match.start()
        pointer = content.index(struct.pack("<Q", start))
        (length,) = struct.unpack_from("<Q", content, pointer + 8)
        found.append((start, start + length - 4))
    for start, end in found:
        assert checksum(content[start:end]) == struct.unpack_from("<I", content, end)[0]
    return found


def mended(content: bytearray, pieces: list[tuple[int, int]]) -> bytes:
    """The content with its checksums made to fit, as somebody would who means harm."""
    for start, end in pieces:
        struct.pack_into("<I", content, end, checksum(bytes(content[start:end])))
    return bytes(content)
