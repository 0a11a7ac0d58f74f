"""The basis file as a table: every group, dataset and attribute, with its types and shapes.

docs/file-format.md says the same in prose. `check` holds a file against the table from its
headers alone, before any data are read or memory is allocated for them.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from equibasis.artifact.plain_hdf5 import Attribute, Kind, Object, OtherLayoutError, PlainFile
from equibasis.errors import BasisFileError
from equibasis.solvers.ranks import MEANS

FORMAT = "equibasis"
FORMAT_VERSION = 3

Value: TypeAlias = str | int | float | np.ndarray
Sizes: TypeAlias = tuple[int | str, ...]

_TEXT, _INT64, _INT32, _INT8, _FLOAT64 = "utf-8", "<i8", "<i4", "|i1", "<f8"
_INDEX = (_INT32, _INT64)

_OF_ANOTHER_VERSION = (
    ": make the file anew with 'equibasis solve', or use the equibasis of its time"
)


@dataclass(frozen=True)
class Entry:
    """One dataset, or one attribute, of the format.

    Attributes
    ----------
    name
        ``/input/index``, or ``/basis@shape`` for an attribute of ``/basis``.
    types
        ``utf-8`` for strings of fixed length, else as NumPy writes a type: ``<i4``.
    shape
        Sizes by number or letter, ``()`` for a scalar. k and m are the dimensions of Y and X;
        equal letters are equal sizes.
    values
        What it may say; empty: anything.
    required
        Whether it is always there, if its group is.
    hashed
        Whether it is part of ``content_sha256``. What is not decides nothing: where it cannot be
        read, the file is read without it.
    """

    name: str
    types: tuple[str, ...]
    shape: Sizes = ()
    values: tuple[str | int, ...] = ()
    required: bool = True
    hashed: bool = True

    @property
    def holder(self) -> str:
        """The path of the group that has it."""
        return self.name.rpartition("@" if self.attribute else "/")[0] or "/"

    @property
    def attribute(self) -> str:
        """The name of an attribute; empty for a dataset."""
        return self.name.partition("@")[2]

    def __str__(self) -> str:
        return f"attribute {self.attribute!r} of {self.holder}" if self.attribute else self.name


def _side(side: str, types: str, dimension: str, axes: str) -> tuple[Entry, ...]:
    """Entries of X or of Y: its types, how many copies of each, and their coordinates."""
    return (
        Entry(f"/{side}@shape", (_INT64,), (axes,)),
        Entry(f"/{side}/types", (_INT32,), (types,)),
        Entry(f"/{side}/multiplicities", (_INT32,), (types,)),
        Entry(f"/{side}/index", (_INT32,), (dimension,)),
        Entry(f"/{side}/signs", (_INT8,), (dimension,), required=False),
    )


SEAL = Entry("/@content_sha256", (_TEXT,), hashed=False)
SOLVER = Entry("/checks@solver", (_TEXT,), required=False, hashed=False)

TABLE = (
    Entry("/@format", (_TEXT,), values=(FORMAT,)),
    Entry("/@format_version", (_INT64,), values=(FORMAT_VERSION,)),
    Entry("/@kind", (_TEXT,), values=("equivariant", "invariant")),
    Entry("/@group", (_TEXT,)),
    Entry("/@input_space", (_TEXT,)),
    Entry("/@output_space", (_TEXT,)),
    Entry("/@rank", (_INT64,)),
    SEAL,
    Entry("/group@listed", (_TEXT,), values=("elements", "generators")),
    Entry("/group@order", (_INT64,)),
    Entry("/group@continuous", (_INT64,), required=False),
    Entry("/group/elements", (_TEXT,), ("L",)),  # at least one
    Entry("/types/dimensions", (_INT32,), ("T",)),
    Entry("/types/permuted", (_INT8,), ("T",)),
    Entry("/types/index", (_INT32,), ("L", "P"), required=False),
    Entry("/types/signs", (_INT8,), ("L", "P"), required=False),
    Entry("/types/matrices", (_FLOAT64,), ("M",), required=False),
    Entry("/types/algebra_index", (_INT64,), ("S",), required=False),
    Entry("/types/algebra_values", (_FLOAT64,), ("S",), required=False),
    *_side("input", "A", "m", "a"),
    *_side("output", "B", "k", "b"),
    Entry("/tables/ranks", (_INT32,), ("B", "A")),
    Entry("/tables/labels", (_INT32,), ("N",), required=False),
    Entry("/tables/signs", (_INT8,), ("N",), required=False),
    Entry("/tables/values", (_FLOAT64,), ("Q",), required=False),
    Entry("/checks@orthonormality_error", (_FLOAT64,)),
    Entry("/checks@equivariance_error", (_FLOAT64,)),
    Entry("/checks@rank_expected", (_INT64,)),
    Entry("/checks@rank_by", (_TEXT,), values=MEANS),
    SOLVER,
    # What follows is derived from the rest: the basis as a matrix, for other programs.
    Entry("/basis@encoding-type", (_TEXT,), values=("csc_matrix",), hashed=False),
    Entry("/basis@encoding-version", (_TEXT,), values=("0.1.0",), hashed=False),
    Entry("/basis@shape", (_INT64,), (2,), hashed=False),
    Entry("/basis@vec_order", (_TEXT,), values=("row-major",), required=False, hashed=False),
    Entry("/basis/data", (_FLOAT64,), ("n",), hashed=False),
    Entry("/basis/indices", _INDEX, ("n",), hashed=False),
    Entry("/basis/indptr", _INDEX, ("r+1",), hashed=False),
)

ENTRIES = {entry.name: entry for entry in TABLE}
HASHED = frozenset(entry.name for entry in TABLE if entry.hashed)
GROUPS = tuple(dict.fromkeys(entry.holder for entry in TABLE))

# The one group that may be missing.
MATRIX = "/basis"


@dataclass
class Outline:
    """What a file that agrees with the table holds.

    Attributes
    ----------
    values
        Every attribute of the table that is there, by name: ``/@rank``.
    datasets
        Every dataset of the table that is there, by path, none of them read.
    sizes
        What the letters of the table stand for in this file.
    besides
        Names of attributes and objects beside those of the table, of which nothing else is known;
        and what is in the table but not hashed and cannot be read, with the reason.
    """

    values: dict[str, Value] = field(default_factory=dict)
    datasets: dict[str, Kind] = field(default_factory=dict)
    sizes: dict[int | str, int] = field(default_factory=dict)
    besides: list[str] = field(default_factory=list)


def check(file: PlainFile) -> Outline:
    """Hold a file against the table: names, types, shapes and sizes, from its headers alone.

    Raises
    ------
    BasisFileError
        Naming the first dataset or attribute that is missing or not as the table says, of those
        that are hashed.
    """
    outline = Outline()
    root = file.find("/")
    if root is None or "format" not in root.attributes:
        raise BasisFileError("HDF5, but not a basis file: attribute 'format' of / is missing")
    decisive = [entry for entry in TABLE if entry.hashed or entry is SEAL]
    for entry in [entry for entry in decisive if entry.attribute]:
        _check_entry(entry, file, outline)
    outline.sizes |= _declared_sizes(outline.values)
    for entry in [entry for entry in decisive if not entry.attribute]:
        _check_entry(entry, file, outline)
    outline.besides = _unknown(file)
    for name in (SOLVER.name, MATRIX):
        _check_what_decides_nothing(name, file, outline)
    return outline


def _check_what_decides_nothing(name: str, file: PlainFile, outline: Outline) -> None:
    """Look at an entry, or all of a group; what cannot be read is told of, and left out."""
    try:
        for entry in TABLE:
            if entry.name.startswith(name):
                _check_entry(entry, file, outline)
    except BasisFileError as error:
        for found in (outline.values, outline.datasets):
            for each in [each for each in found if each.startswith(name)]:
                del found[each]
        outline.besides.append(f"{name} (left out: {error})")


def _check_entry(entry: Entry, file: PlainFile, outline: Outline) -> None:
    holder = file.find(entry.holder)
    if holder is None:
        if entry.holder != MATRIX:
            raise BasisFileError(f"{entry.holder} is missing")
        return
    if not holder.is_group:
        raise BasisFileError(f"{entry.holder} is not a group")
    found = holder.attributes.get(entry.attribute) if entry.attribute else file.find(entry.name)
    if found is None:
        if entry.required:
            raise BasisFileError(f"{entry} is missing")
        return
    if found.kind is None:
        raise BasisFileError(f"{entry} is not a dataset")
    _check_kind(entry, found.kind, outline.sizes)
    if isinstance(found, Attribute):
        outline.values[entry.name] = _value(entry, found)
        return
    outline.datasets[entry.name] = file.stored(entry.name)
    if sum(kind.nbytes for kind in outline.datasets.values()) > file.size:
        raise BasisFileError(f"{entry} and those before it claim more bytes than the file has")


def _check_kind(entry: Entry, kind: Kind, sizes: dict[int | str, int]) -> None:
    """Type and shape are those of the entry; letters not met before are bound."""
    if kind.type not in entry.types:
        expected = " or ".join(entry.types)
        raise OtherLayoutError(f"{entry} has type {kind.type}, expected {expected}")
    known = sizes | {size: size for size in entry.shape if isinstance(size, int)}
    if len(kind.shape) != len(entry.shape) or any(
        known.setdefault(letter, size) != size
        for letter, size in zip(entry.shape, kind.shape, strict=True)
    ):
        expected = text(tuple(sizes.get(letter, letter) for letter in entry.shape))
        raise OtherLayoutError(f"{entry} has shape {text(kind.shape)}, expected {expected}")
    sizes |= known


def _declared_sizes(values: Mapping[str, Any]) -> dict[int | str, int]:
    """Sizes that attributes declare: m and k, and r + 1; raises `BasisFileError`."""
    sizes: dict[int | str, int] = {"r+1": values["/@rank"] + 1}
    for side, letter in (("input", "m"), ("output", "k")):
        shape = values[f"/{side}@shape"].tolist()
        sizes[letter] = math.prod(shape)
        if any(size < 1 for size in shape) or sizes[letter] >= 2**62:
            raise BasisFileError(f"attribute 'shape' of /{side} holds an impossible size")
    return sizes


def _unknown(file: PlainFile) -> list[str]:
    names = set()
    for path in GROUPS:
        with contextlib.suppress(BasisFileError):  # of the matrix, which is told of as a whole
            found = file.find(path) or Object()
            names |= {f"{path}@{name}" for name in found.attributes}
            names |= {f"{path.rstrip('/')}/{name}" for name in found.links}
    return sorted(names - {entry.name for entry in TABLE} - set(GROUPS))


# --- values -----------------------------------------------------------------------------------


def _value(entry: Entry, found: Attribute) -> Value:
    array = np.frombuffer(found.content, found.kind.dtype).reshape(found.kind.shape)
    value = array if array.ndim else array.item()
    if isinstance(value, bytes):
        value = decode(value, str(entry))
    if entry.values and value not in entry.values:
        expected = " or ".join(map(repr, entry.values))
        remedy = _OF_ANOTHER_VERSION if entry.name == "/@format_version" else ""
        raise BasisFileError(f"{entry} is {value!r}, expected {expected}{remedy}")
    if isinstance(value, (int, float)) and not 0 <= value < math.inf:
        raise BasisFileError(f"{entry} is {value}, expected a number of at least 0")
    return value


def decode(content: bytes, what: str) -> str:
    """Printable UTF-8, or a `BasisFileError`."""
    try:
        decoded = content.decode()
    except UnicodeDecodeError as error:
        raise BasisFileError(f"{what} is not UTF-8") from error
    if not decoded.isprintable():
        raise BasisFileError(f"{what} holds characters that cannot be printed")
    return decoded


def text(shape: Sizes) -> str:
    """``324x81``; ``scalar`` for no sizes."""
    return "x".join(map(str, shape)) or "scalar"
