"""The plain part of HDF5, read without the HDF5 library, which a hostile file can crash or hang.

Basis files use a small part of HDF5: superblock 2 or 3, version 2 object headers, attributes and
links inside those headers, datasets contiguous and unfiltered. Here that part is read with Python
and NumPy alone. Every checksum is compared, every offset and size is held against the length of the
file before anything is allocated, and whatever lies outside that part is refused by name.
Source: *HDF5 File Format Specification Version 3.0*, The HDF Group.
"""

from __future__ import annotations

import io
import math
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from equibasis.artifact.hdf5_bytes import NOWHERE, Bytes, DamagedError, checksum
from equibasis.errors import BasisFileError, cause
from equibasis.files import open_regular

_SIGNATURE = b"\x89HDF\r\n\x1a\n"

# Headers of one object: ours take a few kilobytes.
_MOST_HEADER_BYTES = 2**20
_MOST_AXES = 32

_DATASPACE, _LINK_INFO, _DATATYPE, _LINK, _EXTERNAL_FILES = 0x01, 0x02, 0x03, 0x06, 0x07
_LAYOUT, _FILTERS, _ATTRIBUTE, _CONTINUATION, _SYMBOL_TABLE = 0x08, 0x0B, 0x0C, 0x10, 0x11
_ATTRIBUTE_INFO = 0x15
# What does not change what an object holds: padding, fill values, times, comments, hints.
_PASSED_OVER = {0x00, 0x04, 0x05, 0x0A, 0x0D, 0x0E, 0x12, 0x16}

# By their numbers in HDF5; contiguous is the layout that is read.
_LAYOUTS = ("compact, in its object's header", "", "chunked or compressed", "virtual")
_CLASSES = (
    *("an unusual number", "an unusual number", "time", "", "bit field", "opaque", "compound"),
    *("reference", "enumeration", "variable length", "array", "complex"),
)
_TEXT_CLASS = 3
# The numbers of the format, as NumPy names them, by class, class bits and properties.
_NUMBERS = {
    (0, 0x08, struct.pack("<HH", 0, 8)): "|i1",
    (0, 0x08, struct.pack("<HH", 0, 32)): "<i4",
    (0, 0x08, struct.pack("<HH", 0, 64)): "<i8",
    (1, 0x3F20, struct.pack("<HHBBBBI", 0, 64, 52, 11, 0, 52, 1023)): "<f8",
}


class OtherLayoutError(BasisFileError):
    """HDF5 that may be right, but is not stored as the files of equibasis are."""


@dataclass(frozen=True)
class Kind:
    """The type and shape of a dataset or attribute.

    Attributes
    ----------
    type
        ``"utf-8"`` for strings of fixed length, a NumPy type such as ``"<i4"``, or in words what
        cannot be read here.
    dtype
        The same for NumPy; ``None`` for what cannot be read.
    shape
        Sizes; ``()`` for a scalar.
    """

    type: str
    dtype: np.dtype | None
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """How many bytes the values take."""
        return math.prod(self.shape) * (0 if self.dtype is None else self.dtype.itemsize)


@dataclass(frozen=True)
class Attribute:
    """An attribute: its kind, and its bytes as they stand in the object's header."""

    kind: Kind
    content: bytes


@dataclass
class Object:
    """A group or dataset, as its header describes it; nothing of its data is read yet.

    Attributes
    ----------
    attributes, links
        By name; of links, the address of the object, or ``None`` for links that are not hard ones.
    kind
        Type and shape of a dataset, ``None`` for a group.
    obstacle
        Why the data cannot be read from here, in words that end a sentence; ``None`` if they can.
    offset, stored
        Where the data begin in the file, and how many bytes of them are stored.
    """

    attributes: dict[str, Attribute] = field(default_factory=dict)
    links: dict[str, int | None] = field(default_factory=dict)
    kind: Kind | None = None
    obstacle: str | None = None
    offset: int = NOWHERE
    stored: int = 0
    is_group: bool = False


class PlainFile:
    """An open HDF5 file. Use as a context; raises `BasisFileError` for whatever is not plain."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = path
        self._objects: dict[str, Object] = {}

    def __enter__(self) -> PlainFile:
        self._file = opened(self._path)
        try:
            self.size = os.fstat(self._file.fileno()).st_size
            self._root_address = self._superblock()
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def find(self, path: str) -> Object | None:
        """Find the object of a path such as ``/basis/data``; ``None`` if there is no such link.

        Raises
        ------
        BasisFileError
            If a step of the path is no hard link, or the object's header is damaged or not plain.
        """
        if path not in self._objects:
            address: int | None = self._root_address
            if path != "/":
                parent, _, name = path.rpartition("/")
                holder = self.find(parent or "/")
                if holder is None or name not in holder.links:
                    return None
                address = holder.links[name]
            if address is None:
                raise BasisFileError(f"{path} is missing, or a link to somewhere else")
            self._objects[path] = self._object(path, address)
        return self._objects[path]

    def stored(self, path: str) -> Kind:
        """Type and shape of a dataset, once it is sure that every byte of it is in the file.

        Raises
        ------
        BasisFileError
            If there is no such dataset, or its bytes are not plainly in the file.
        """
        found = self.find(path)
        if found is None or found.kind is None:
            raise BasisFileError(f"{path} is missing, or is not a dataset")
        size = found.kind.nbytes
        if found.obstacle is not None:
            raise OtherLayoutError(f"{path} is not stored plainly: it is {found.obstacle}")
        if found.kind.dtype is None:
            raise BasisFileError(f"{path} has type {found.kind.type}, which it must not have")
        if size and found.offset == NOWHERE:
            raise BasisFileError(f"{path} has a size but no data")
        if size and size != found.stored:
            raise BasisFileError(f"{path} takes {size} bytes, but {found.stored} are stored")
        if size and found.offset + size > self.size:
            raise BasisFileError(f"{path} claims more bytes than the file has: damaged, or cut off")
        return found.kind

    def read(self, path: str) -> np.ndarray:
        """Read a dataset; strings as NumPy's fixed-length bytes. Raises as `stored`."""
        kind, found = self.stored(path), self.find(path)
        assert found is not None
        array = np.empty(kind.shape, kind.dtype)
        if kind.nbytes:
            self._file.seek(found.offset)
            if self._file.readinto(array.reshape(-1).view(np.uint8).data) != kind.nbytes:
                raise BasisFileError(f"{path} ends before its end: the file was cut off")
        return array

    # --- bytes ----------------------------------------------------------------------------------

    def _bytes(self, offset: int, count: int, what: str) -> bytes:
        content = b""
        if offset + count <= self.size:
            self._file.seek(offset)
            content = self._file.read(count)
        if len(content) != count:
            raise BasisFileError(f"{what} lies beyond the end of the file: damaged, or cut off")
        return content

    def _summed(self, offset: int, count: int, what: str) -> bytes:
        """Bytes before the four of their checksum, which they must have."""
        content = self._bytes(offset, count, what)
        if checksum(content[:-4]) != int.from_bytes(content[-4:], "little"):
            raise BasisFileError(f"{what} does not have its checksum: the file is damaged")
        return content[:-4]

    def _superblock(self) -> int:
        """Return the address of the root group."""
        what = "the superblock"
        if self._file.read(len(_SIGNATURE)) != _SIGNATURE:
            raise OtherLayoutError("not an HDF5 file, or something stands before or in its start")
        version, offset_size, length_size = self._bytes(8, 3, what)
        if version not in (2, 3):
            raise OtherLayoutError(f"HDF5 with superblock {version}, where basis files have 2 or 3")
        base, _, end, root = struct.unpack_from("<4Q", self._summed(0, 48, what), 12)
        if (offset_size, length_size, base) != (8, 8, 0):
            raise OtherLayoutError("HDF5 with addresses of another size or base than basis files")
        if end > self.size:
            raise BasisFileError(f"the file has {self.size} bytes of {end}: it was cut off")
        return int(root)

    # --- object headers -------------------------------------------------------------------------

    def _object(self, path: str, address: int) -> Object:
        what = f"the header of {path}"
        found = Object()
        datatype: Bytes | None = None
        shape: tuple[int, ...] | None = None
        try:
            for kind, content in self._messages(address, what):
                if kind == _DATASPACE:
                    shape = _dataspace(content)
                elif kind == _DATATYPE:
                    datatype = content
                elif kind == _LAYOUT:
                    _layout(content, found)
                elif kind == _LINK:
                    found.is_group = True
                    _link(content, found)
                elif kind == _ATTRIBUTE:
                    _attribute(content, found)
                elif kind in (_LINK_INFO, _ATTRIBUTE_INFO):
                    found.is_group |= kind == _LINK_INFO
                    if _has_heap(content, kind):
                        raise OtherLayoutError(f"{path} has more than fits in its header")
                elif kind == _FILTERS:
                    found.obstacle = "filtered or compressed"
                elif kind == _EXTERNAL_FILES:
                    found.obstacle = "in another file"
                elif kind == _SYMBOL_TABLE:
                    raise OtherLayoutError(f"{path} is a group of before HDF5 1.8")
                elif kind not in _PASSED_OVER:
                    raise OtherLayoutError(f"{what} holds a message of unknown type {kind}")
            if datatype is not None and shape is not None:
                found.kind = _kind(datatype, shape)
        except DamagedError as error:
            raise BasisFileError(f"{what} is damaged") from error
        return found

    def _messages(self, address: int, what: str) -> Iterator[tuple[int, Bytes]]:
        """Type and content of each message of an object's header, its continuations included."""
        start = self._bytes(address, 6, what)
        if start[:2] == b"\1\0":
            raise OtherLayoutError(f"{what} is of before HDF5 1.8")
        if start[:5] != b"OHDR\x02":
            raise DamagedError
        flags = start[5]
        prefix = 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
        width = 1 << (flags & 3)
        length = int.from_bytes(self._bytes(address + prefix, width, what), "little")
        chunks = [(address, prefix + width, prefix + width + length + 4)]
        seen, total = {address}, 0
        for offset, skipped, count in chunks:  # grows while it is walked
            total += count
            if total > _MOST_HEADER_BYTES:
                raise OtherLayoutError(f"{what} has more than {_MOST_HEADER_BYTES:,} bytes")
            rest = Bytes(self._summed(offset, count, what), skipped)
            while rest.left() >= (6 if flags & 0x04 else 4):
                kind, size, message_flags = rest.unpack("<BHB")
                rest.take(2 if flags & 0x04 else 0)
                message = Bytes(rest.take(size))
                if message_flags & 0x02:
                    raise OtherLayoutError(f"{what} shares a message with another object")
                if kind != _CONTINUATION:
                    yield kind, message
                    continue
                there, long = message.unpack("<QQ")
                if there in seen or long < 8:
                    raise BasisFileError(f"{what} is damaged: it continues in a circle")
                if self._bytes(there, 4, what) != b"OCHK":
                    raise DamagedError
                seen.add(there)
                chunks.append((there, 4, long))


def opened(path: str | os.PathLike[str]) -> io.BufferedReader:
    """Open a regular file to read; raises `BasisFileError` without its name."""
    try:
        return open_regular(path)
    except FileNotFoundError as error:
        raise BasisFileError("it does not exist: make it with 'equibasis solve'") from error
    except (OSError, ValueError) as error:
        raise BasisFileError(f"it cannot be read: {cause(error)}") from error


# --- messages ---------------------------------------------------------------------------------


def _dataspace(content: Bytes) -> tuple[int, ...] | None:
    """Sizes; ``None`` for a null dataspace."""
    version, axes, _, kind = content.unpack("<4B")
    if version == 1:
        content.take(4)
        kind = 1 if axes else 0
    if version not in (1, 2) or axes > _MOST_AXES or kind not in (0, 1, 2):
        raise DamagedError
    return None if kind == 2 else content.unpack(f"<{axes}Q")


def _kind(content: Bytes, shape: tuple[int, ...]) -> Kind:
    class_and_version, *bits, size = content.unpack("<B3BI")
    of_class, class_bits = class_and_version & 0x0F, int.from_bytes(bytes(bits), "little")
    if of_class == _TEXT_CLASS:
        if not 0 < size <= _MOST_HEADER_BYTES or class_bits & 0x0F > 2:
            raise DamagedError
        return Kind("utf-8", np.dtype(f"S{size}"), shape)
    if of_class in (0, 1):
        properties = content.take(4 if of_class == 0 else 12)
        name = _NUMBERS.get((of_class, class_bits, properties))
        if name is not None and np.dtype(name).itemsize == size:
            return Kind(name, np.dtype(name), shape)
    if of_class >= len(_CLASSES):
        raise DamagedError
    return Kind(_CLASSES[of_class], None, shape)


def _layout(content: Bytes, found: Object) -> None:
    version, of_class = content.unpack("<BB")
    if version not in (3, 4, 5) or of_class >= len(_LAYOUTS):
        found.obstacle = "not contiguous"
    elif _LAYOUTS[of_class]:
        found.obstacle = found.obstacle or _LAYOUTS[of_class]
    else:
        found.offset, found.stored = content.unpack("<QQ")


def _has_heap(content: Bytes, kind: int) -> bool:
    """Whether some links or attributes are not in the object's header."""
    _, flags = content.unpack("<BB")
    if flags & 0x01:
        content.take(8 if kind == _LINK_INFO else 2)
    return content.number(8) != NOWHERE


def _link(content: Bytes, found: Object) -> None:
    version, flags = content.unpack("<BB")
    kind = content.number(1) if flags & 0x08 else 0
    content.take((8 if flags & 0x04 else 0) + (1 if flags & 0x10 else 0))
    name = _text(content.take(content.number(1 << (flags & 3))))
    if version != 1 or name in found.links:
        raise DamagedError
    found.links[name] = content.number(8) if kind == 0 else None


def _attribute(content: Bytes, found: Object) -> None:
    version, flags, *sizes = content.unpack("<BBHHH")
    content.take(1 if version == 3 else 0)
    parts = []
    for size in sizes:
        parts.append(content.take(size))
        content.take(-size % 8 if version == 1 else 0)
    name = _text(parts[0].split(b"\0")[0])
    if version not in (1, 2, 3) or name in found.attributes:
        raise DamagedError
    if version > 1 and flags:
        kind = Kind("shared with others", None, ())
    else:
        shape = _dataspace(Bytes(parts[2]))
        kind = Kind("null", None, ()) if shape is None else _kind(Bytes(parts[1]), shape)
    found.attributes[name] = Attribute(kind, content.take(kind.nbytes))


def _text(content: bytes) -> str:
    return content.decode("utf-8", "backslashreplace")
