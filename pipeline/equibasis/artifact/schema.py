"""The basis file as a table: every group, dataset and attribute, with its types and shapes.

docs/file-format.md says the same in prose. `check` holds a file against the table from its
headers alone, before any data are read or memory is allocated for them.
"""

from __future__ import annotations

import contextlib
import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

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


@dataclass(frozen=True)
class Entry:
    """One dataset, or one attribute, of the format.

    Attributes
    ----------
    name
        ``/input/index``, or ``/basis@shape`` for an attribute of ``/basis``.
    types
        ``utf-8`` for strings of fixed length, else as NumPy writes a type: ``<i4``.
    shapes
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
    shapes: tuple[Sizes, ...] = ((),)
    values: tuple[str | int, ...] = ()
    required: bool = True
    hashed: bool = True

    @property
    def holder(self) -> str:
        """The path of the object that has an attribute, or of the group that holds a dataset."""
        if self.attribute:
            return self.name.partition("@")[0]
        return self.name.rpartition("/")[0] or "/"

    @property
    def attribute(self) -> str:
        """The name of an attribute; empty for a dataset."""
        return self.name.partition("@")[2]

    @property
    def forms(self) -> list[tuple[str, Sizes]]:
        """Each type with its shape."""
        count = max(len(self.types), len(self.shapes))
        types = self.types * (count if len(self.types) == 1 else 1)
        shapes = self.shapes * (count if len(self.shapes) == 1 else 1)
        return list(zip(types, shapes, strict=True))

    def __str__(self) -> str:
        if self.attribute:
            return f"attribute {self.attribute!r} of {self.holder}"
        return self.name


# Types that are not read here, but by the HDF5 library as others that are.
_CONVERTIBLE = ("variable length", "an unusual number", "shared with others")

# Objects that other entries belong to: whether they are always there.
GROUPS = {
    "/": True,
    "/group": True,
    "/types": True,
    "/input": True,
    "/output": True,
    "/tables": True,
    "/checks": True,
    "/basis": False,
}


def _side(side: str, types: str, dimension: str, axes: str) -> tuple[Entry, ...]:
    """A space as copies of types."""
    return (
        Entry(f"/{side}@shape", (_INT64,), ((axes,),)),
        Entry(f"/{side}/types", (_INT32,), ((types,),)),
        Entry(f"/{side}/multiplicities", (_INT32,), ((types,),)),
        Entry(f"/{side}/index", (_INT32,), ((dimension,),)),
        Entry(f"/{side}/signs", (_INT8,), ((dimension,),), required=False),
    )


SEAL = Entry("/@content_sha256", (_TEXT,), hashed=False)

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
    Entry("/group/elements", (_TEXT,), (("L",),)),  # at least one
    Entry("/types/dimensions", (_INT32,), (("T",),)),
    Entry("/types/permuted", (_INT8,), (("T",),)),
    Entry("/types/index", (_INT32,), (("L", "P"),), required=False),
    Entry("/types/signs", (_INT8,), (("L", "P"),), required=False),
    Entry("/types/matrices", (_FLOAT64,), (("M",),), required=False),
    Entry("/types/algebra_index", (_INT64,), (("S",),), required=False),
    Entry("/types/algebra_values", (_FLOAT64,), (("S",),), required=False),
    *_side("input", "A", "m", "a"),
    *_side("output", "B", "k", "b"),
    Entry("/tables/ranks", (_INT32,), (("B", "A"),)),
    Entry("/tables/labels", (_INT32,), (("N",),), required=False),
    Entry("/tables/signs", (_INT8,), (("N",),), required=False),
    Entry("/tables/values", (_FLOAT64,), (("Q",),), required=False),
    Entry("/checks@orthonormality_error", (_FLOAT64,)),
    Entry("/checks@equivariance_error", (_FLOAT64,)),
    Entry("/checks@rank_expected", (_INT64,)),
    Entry("/checks@rank_by", (_TEXT,), values=MEANS),
    Entry("/checks@solver", (_TEXT,), required=False, hashed=False),
    # What follows is derived from the rest: the basis as a matrix, for other programs.
    Entry("/basis@encoding-type", (_TEXT,), values=("csc_matrix",), hashed=False),
    Entry("/basis@encoding-version", (_TEXT,), values=("0.1.0",), hashed=False),
    Entry("/basis@shape", (_INT64,), ((2,),), hashed=False),
    Entry("/basis@vec_order", (_TEXT,), values=("row-major",), required=False, hashed=False),
    Entry("/basis/data", (_FLOAT64,), (("n",),), hashed=False),
    Entry("/basis/indices", _INDEX, (("n",),), hashed=False),
    Entry("/basis/indptr", _INDEX, (("r+1",),), hashed=False),
)

HASHED = frozenset(entry.name for entry in TABLE if entry.hashed)
_BY_NAME = {entry.name: entry for entry in TABLE}

# The group whose entries stand or fall together.
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
    sizes: dict[str, int] = field(default_factory=dict)
    besides: list[str] = field(default_factory=list)

    def leave_out(self, name: str, reason: Exception) -> None:
        """Forget an entry, or a group with all that is in it, and tell of it."""
        for found in (self.values, self.datasets):
            for each in [each for each in found if each.startswith(name)]:
                del found[each]
        self.besides.append(f"{name} (left out: {reason})")


def check(file: PlainFile) -> Outline:
    """Hold a file against the table: names, types, shapes and sizes, from its headers alone.

    Raises
    ------
    BasisFileError
        Naming the first dataset or attribute that is missing or not as the table says, of those
        that are hashed.
    """
    outline = Outline()
    _check_what_it_is(file)
    for path, required in GROUPS.items():
        if required:
            _check_group(file, path)
    decisive = [entry for entry in TABLE if entry.hashed or entry is SEAL]
    for entry in decisive:
        if entry.attribute and _belongs(entry, file):
            _check_attribute(entry, file, outline)
    outline.sizes |= _declared_sizes(outline.values)
    for entry in decisive:
        if not entry.attribute and _belongs(entry, file):
            _check_dataset(entry, file, outline)
    outline.besides = _unknown(file)
    _check_what_decides_nothing(file, outline)
    return outline


def _check_what_it_is(file: PlainFile) -> None:
    root = file.find("/")
    assert root is not None
    found = root.attributes.get("format")
    if found is None:
        raise BasisFileError("HDF5, but not a basis file: attribute 'format' of / is missing")
    _check_kind(TABLE[0], found.kind, {})
    if (said := _decoded(TABLE[0], found)) != FORMAT:
        raise BasisFileError(
            f"HDF5, but not a basis file: attribute 'format' of / is {said!r}, not {FORMAT!r}"
        )
    found = root.attributes.get("format_version")
    if found is not None and (found.kind.type, found.kind.shape) == (_INT64, ()):
        version = _decoded(TABLE[1], found)
        assert isinstance(version, int)
        if 0 < version < FORMAT_VERSION:
            raise BasisFileError(
                f"format_version {version} is no longer read, only {FORMAT_VERSION}: make the file "
                f"anew with '{_solve_command(root)}'"
            )
        if version != FORMAT_VERSION:
            raise BasisFileError(
                f"format_version {version} is not known to this equibasis "
                f"(it reads {FORMAT_VERSION}): use another version of equibasis"
            )


def _solve_command(root: Object) -> str:
    """The command that solves what the attributes of / name, as far as they can be read."""
    words = ["equibasis", "solve", "OUT.h5"]
    for name in ("group", "input_space", "output_space"):
        said: Value = "..."
        with contextlib.suppress(KeyError, BasisFileError):
            said = _decoded(_BY_NAME[f"/@{name}"], root.attributes[name])
        if (name, said) != ("input_space", "1"):  # which invariants have
            words += [f"--{name.partition('_')[0]}", shlex.quote(str(said))]
    return " ".join(words)


def _check_group(file: PlainFile, path: str) -> None:
    found = file.find(path)
    if found is None and GROUPS[path]:
        raise BasisFileError(f"{path} is missing")
    if found is not None and not found.is_group:
        raise BasisFileError(f"{path} is not a group")


def _check_what_decides_nothing(file: PlainFile, outline: Outline) -> None:
    """Look at the rest of the table; what cannot be read is told of, and left out."""
    rest = [entry for entry in TABLE if not entry.hashed and entry is not SEAL]
    of_matrix = [entry for entry in rest if entry.name.startswith(MATRIX)]
    for entry in rest:
        if entry not in of_matrix:
            try:
                if _belongs(entry, file):
                    _check_attribute(entry, file, outline)
            except BasisFileError as error:
                outline.leave_out(entry.name, error)
    try:
        if file.find(MATRIX) is not None:
            _check_group(file, MATRIX)
            for entry in of_matrix:
                if _belongs(entry, file):
                    check_one = _check_attribute if entry.attribute else _check_dataset
                    check_one(entry, file, outline)
    except BasisFileError as error:
        outline.leave_out(MATRIX, error)


def _belongs(entry: Entry, file: PlainFile) -> bool:
    """Whether an entry is to be looked for: its group is there."""
    holder = file.find(entry.holder)
    if holder is None and entry.required:
        raise BasisFileError(f"{entry.holder} is missing")
    return holder is not None


def _check_attribute(entry: Entry, file: PlainFile, outline: Outline) -> None:
    holder = file.find(entry.holder)
    assert holder is not None
    found = holder.attributes.get(entry.attribute)
    if found is None:
        if entry.required:
            raise BasisFileError(f"{entry} is missing")
        return
    _check_kind(entry, found.kind, outline.sizes)
    value = _decoded(entry, found)
    if entry.values and value not in entry.values:
        expected = " or ".join(map(repr, entry.values))
        raise BasisFileError(f"{entry} is {value!r}, expected {expected}")
    if isinstance(value, (int, float)) and not 0 <= value < math.inf:
        raise BasisFileError(f"{entry} is {value}, expected a number of at least 0")
    outline.values[entry.name] = value


def _check_dataset(entry: Entry, file: PlainFile, outline: Outline) -> None:
    found = file.find(entry.name)
    if found is None:
        if entry.required:
            raise BasisFileError(f"{entry} is missing")
        return
    if found.kind is None:
        raise BasisFileError(f"{entry} is not a dataset")
    if found.kind.dtype is None:
        _check_kind(entry, found.kind, outline.sizes)
    kind = file.stored(entry.name)
    _check_kind(entry, kind, outline.sizes)
    claimed = kind.nbytes + sum(each.nbytes for each in outline.datasets.values())
    if claimed > file.size:
        raise BasisFileError(f"{entry} and those before it claim more bytes than the file has")
    outline.datasets[entry.name] = kind


def _check_kind(entry: Entry, kind: Kind, sizes: dict[str, int]) -> None:
    """Type and shape are those of one form of the entry; letters not met before are bound."""
    forms = [shape for type_, shape in entry.forms if type_ == kind.type]
    if not forms:
        expected = " or ".join(dict.fromkeys(entry.types))
        error = OtherLayoutError if _may_be_converted(kind, entry.types) else BasisFileError
        raise error(f"{entry} has type {kind.type}, expected {expected}")
    if kind.shape and 0 in kind.shape and "L" in forms[0]:
        raise BasisFileError(f"{entry} is empty")
    for form in forms:
        if (bound := _bound(form, kind.shape, sizes)) is not None:
            sizes |= bound
            return
    fitting = [form for form in forms if len(form) == len(kind.shape)] or forms
    expected = " or ".join(text(tuple(sizes.get(str(s), s) for s in form)) for form in fitting)
    error = BasisFileError if reshaped(entry, kind.shape) is None else OtherLayoutError
    raise error(f"{entry} has shape {text(kind.shape)}, expected {expected}")


def reshaped(entry: Entry, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """The shape that a number, or a list, has in the format, where axes of length 1 differ.

    ``None`` for other shapes, and other entries.
    """
    axes = {len(form) for form in entry.shapes}
    longest = max(shape, default=1)
    if len(shape) in axes or max(axes) > 1 or math.prod(shape) != longest:
        return None
    return (longest,) if axes == {1} else () if longest == 1 else None


def _may_be_converted(kind: Kind, types: tuple[str, ...]) -> bool:
    """Whether the same strings or numbers may be stored in another type."""
    if kind.dtype is None:
        return kind.type.startswith(_CONVERTIBLE)
    return kind.type != _TEXT and kind.dtype.kind in "iuf" and types != (_TEXT,)


def _bound(form: Sizes, shape: tuple[int, ...], sizes: Mapping[str, int]) -> dict[str, int] | None:
    """The letters of a form that a shape gives a size; ``None`` where it does not fit."""
    if len(form) != len(shape):
        return None
    bound: dict[str, int] = {}
    for letter, size in zip(form, shape, strict=True):
        if isinstance(letter, int):
            known = letter
        else:
            known = sizes.get(letter, bound.get(letter, size))
            bound[letter] = size
        if known != size:
            return None
    return bound


def _declared_sizes(values: Mapping[str, Value]) -> dict[str, int]:
    """m and k, and what follows from the rank."""
    m, k = (_points(values, f"/{side}@shape") for side in ("input", "output"))
    rank = values["/@rank"]
    assert isinstance(rank, int)
    if rank > k * m:
        raise BasisFileError(f"attribute 'rank' of / is {rank}, but there are {k * m} index pairs")
    return {"m": m, "k": k, "r+1": rank + 1}


def _points(values: Mapping[str, Value], name: str) -> int:
    shape = values[name]
    assert isinstance(shape, np.ndarray)
    sizes = shape.tolist()
    if len(sizes) > 64 or any(size < 1 for size in sizes) or math.prod(sizes) >= 2**62:
        raise BasisFileError(f"{_BY_NAME[name]} holds an impossible size")
    return math.prod(sizes)


def _unknown(file: PlainFile) -> list[str]:
    names = []
    known = _BY_NAME.keys() | GROUPS.keys()
    for path in sorted({entry.holder for entry in TABLE} | GROUPS.keys()):
        try:
            found = file.find(path)
        except BasisFileError:  # of the matrix, which is told of as a whole
            continue
        if found is not None:
            below = path.rstrip("/")
            names += [f"{path}@{name}" for name in found.attributes]
            names += [f"{below}/{name}" for name in found.links]
    return sorted(set(names) - known)


# --- values -----------------------------------------------------------------------------------


def _decoded(entry: Entry, found: Attribute) -> Value:
    """An attribute as str, int, float or an array of numbers or of bytes."""
    dtype = found.kind.dtype
    if dtype is None:
        raise BasisFileError(f"{entry} has type {found.kind.type}, which it must not have")
    array = np.frombuffer(found.content, dtype).reshape(found.kind.shape)
    if found.kind.type == _TEXT:
        texts = [decode(content, str(entry)) for content in array.ravel().tolist()]
        return np.array(texts, dtype=object) if found.kind.shape else texts[0]
    return array.item() if array.ndim == 0 else array


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
