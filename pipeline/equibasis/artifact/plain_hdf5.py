"""The plain part of HDF5, read without the HDF5 library, which a hostile file can crash or hang.

Basis files use a small part of HDF5: superblock 2 or 3, version 2 object headers, attributes and
links inside those headers (or, once other programs have added to them, in a heap), datasets
contiguous and unfiltered. Here that part is read with Python and NumPy alone. Every checksum is
compared, every offset and size is held against the length of the file before anything is
allocated, and whatever lies outside that part is refused by name.
Source: *HDF5 File Format Specification Version 3.0*, The HDF Group.
"""

from __future__ import annotations

import io
import math
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from equibasis.artifact.dense_storage import heap_messages
from equibasis.artifact.hdf5_bytes import NOWHERE, Bytes, TooShortError, checksum
from equibasis.errors import BasisFileError, cause
from equibasis.files import open_regular

_SIGNATURE = b"\x89HDF\r\n\x1a\n"

# Headers and heaps of one object: ours take a few kilobytes.
_MOST_HEADER_BYTES = 2**20
_MOST_AXES = 32

_DATASPACE, _LINK_INFO, _DATATYPE, _LINK, _EXTERNAL_FILES = 0x01, 0x02, 0x03, 0x06, 0x07
_LAYOUT, _FILTERS, _ATTRIBUTE, _CONTINUATION, _SYMBOL_TABLE = 0x08, 0x0B, 0x0C, 0x10, 0x11
_ATTRIBUTE_INFO = 0x15
# What does not change what an object holds: padding, fill values, times, comments, hints.
_PASSED_OVER = {0x00, 0x04, 0x05, 0x0A, 0x0D, 0x0E, 0x12, 0x16}

# Why data are not read, by the class of their layout; and those classes that HDF5 reads from this
# file alone.
_LAYOUTS = {
    0: "it is compact, in its object's header",
    2: "it is chunked or compressed",
    3: "it is virtual, in other files",
}
_IN_THIS_FILE = (0, 2)

_UNREADABLE_CLASSES = {
    2: "time",
    4: "bit field",
    5: "opaque",
    6: "compound",
    7: "reference",
    8: "enumeration",
    9: "variable length",
    10: "array",
    11: "complex",
}
# Class bits (byte order, padding, sign) and properties of the numbers that NumPy has.
_NUMBERS = {
    (0, 0x08, struct.pack("<HH", 0, 8)): "|i1",
    (0, 0x08, struct.pack("<HH", 0, 16)): "<i2",
    (0, 0x08, struct.pack("<HH", 0, 32)): "<i4",
    (0, 0x08, struct.pack("<HH", 0, 64)): "<i8",
    (0, 0x00, struct.pack("<HH", 0, 8)): "|u1",
    (0, 0x00, struct.pack("<HH", 0, 16)): "<u2",
    (0, 0x00, struct.pack("<HH", 0, 32)): "<u4",
    (0, 0x00, struct.pack("<HH", 0, 64)): "<u8",
    (1, 0x0F20, struct.pack("<HHBBBBI", 0, 16, 10, 5, 0, 10, 15)): "<f2",
    (1, 0x1F20, struct.pack("<HHBBBBI", 0, 32, 23, 8, 0, 23, 127)): "<f4",
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
    path
        Its name in the file.
    attributes, links
        Of links, the address of the object, or ``None`` for links that are not hard ones.
    kind
        Type and shape of a dataset, ``None`` for a group.
    obstacle
        Why the data cannot be read from here, in words that end a sentence; ``None`` if they can.
    elsewhere
        Whether they are in other files, where nobody follows them.
    offset, stored
        Where the data begin in the file, and how many bytes of them are stored.
    """

    path: str
    attributes: dict[str, Attribute] = field(default_factory=dict)
    links: dict[str, int | None] = field(default_factory=dict)
    kind: Kind | None = None
    obstacle: str | None = None
    elsewhere: bool = False
    offset: int = NOWHERE
    stored: int = 0
    is_group: bool = False


class PlainFile:
    """An open HDF5 file. Use as a context; raises `BasisFileError` for whatever is not plain."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = path
        self._objects: dict[str, Object | None] = {}

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
        """The object of a path such as ``/basis/data``; ``None`` if no link of that name exists.

        Raises
        ------
        BasisFileError
            If a step of the path is no hard link, or the object's header is damaged or not plain.
        """
        if path not in self._objects:
            self._objects[path] = self._found(path)
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
        kind = found.kind
        if found.obstacle is not None:
            error = BasisFileError if found.elsewhere else OtherLayoutError
            raise error(f"{found.path} is not stored plainly: {found.obstacle}")
        if kind.dtype is None:
            raise BasisFileError(f"{found.path} has type {kind.type}, which it must not have")
        if kind.nbytes and found.offset == NOWHERE:
            raise BasisFileError(f"{found.path} has a size but no data")
        if kind.nbytes and kind.nbytes != found.stored:
            raise BasisFileError(
                f"{found.path} takes {kind.nbytes} bytes, but {found.stored} are stored"
            )
        if kind.nbytes and found.offset + kind.nbytes > self.size:
            raise BasisFileError(
                f"{found.path} claims more bytes than the file has: damaged, or cut off"
            )
        return kind

    def read(self, path: str) -> np.ndarray:
        """The values of a dataset; strings as NumPy's fixed-length bytes. Raises as `stored`."""
        kind, found = self.stored(path), self.find(path)
        assert kind.dtype is not None
        assert found is not None
        array = np.empty(kind.shape, kind.dtype)
        if kind.nbytes:
            self._file.seek(found.offset)
            if self._file.readinto(array.reshape(-1).view(np.uint8).data) != kind.nbytes:
                raise BasisFileError(f"{path} ends before its end: the file was cut off")
        return array

    def _found(self, path: str) -> Object | None:
        if path == "/":
            return self._object("/", self._root_address)
        parent, _, name = path.rpartition("/")
        holder = self.find(parent or "/")
        if holder is None or name not in holder.links:
            return None
        address = holder.links[name]
        if address is None:
            raise BasisFileError(f"{path} is missing, or a link to somewhere else")
        return self._object(path, address)

    # --- bytes ----------------------------------------------------------------------------------

    def _bytes(self, offset: int, count: int, what: str) -> bytes:
        if offset + count > self.size:
            raise BasisFileError(f"{what} lies beyond the end of the file: damaged, or cut off")
        self._file.seek(offset)
        content = self._file.read(count)
        if len(content) != count:
            raise BasisFileError(f"{what} ends before its end: the file was cut off")
        return content

    def _summed(self, content: bytes, what: str) -> bytes:
        """The content before its last four bytes, which must be its checksum."""
        if checksum(content[:-4]) != struct.unpack("<I", content[-4:])[0]:
            raise BasisFileError(f"{what} does not have its checksum: the file is damaged")
        return content[:-4]

    def _superblock(self) -> int:
        """The address of the root group."""
        start = self._bytes(0, min(48, self.size), "the superblock")
        if not start.startswith(_SIGNATURE):
            self._refuse_user_block()
            raise BasisFileError("not an HDF5 file, or its beginning is damaged")
        if len(start) < 48:
            raise BasisFileError("the superblock is cut off")
        version, offset_size, length_size = start[8:11]
        if version not in (2, 3):
            raise OtherLayoutError(f"HDF5 with superblock {version}, where basis files have 2 or 3")
        content = self._summed(start, "the superblock")
        base, _, end, root = struct.unpack_from("<4Q", content, 12)
        if (offset_size, length_size, base) != (8, 8, 0):
            raise OtherLayoutError("HDF5 with addresses of another size or base than basis files")
        if end > self.size:
            raise BasisFileError(f"the file has {self.size} bytes of {end}: it was cut off")
        return int(root)

    def _refuse_user_block(self) -> None:
        """Say so where HDF5 begins later, as it may at 512 bytes, 1024, 2048 and so on."""
        place = 512
        while place + 8 <= self.size:
            if self._bytes(place, 8, "the superblock") == _SIGNATURE:
                raise OtherLayoutError(f"HDF5 that begins after a user block of {place} bytes")
            place *= 2

    def _bounded(self, what: str) -> Callable[[int, int], bytes]:
        """Bytes at an offset, as many as the headers of an object may have in all."""
        total = 0

        def read(offset: int, count: int) -> bytes:
            nonlocal total
            total += count
            if total > _MOST_HEADER_BYTES:
                raise OtherLayoutError(f"{what} has more than {_MOST_HEADER_BYTES:,} bytes")
            return self._bytes(offset, count, what)

        return read

    # --- object headers -------------------------------------------------------------------------

    def _object(self, path: str, address: int) -> Object:
        what = f"the header of {path}"
        found = Object(path)
        datatype: Bytes | None = None
        shape: tuple[int, ...] | None = None
        heaps: list[tuple[int, Bytes]] = []
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
                elif kind in (_LINK_INFO, _ATTRIBUTE_INFO):
                    found.is_group |= kind == _LINK_INFO
                    heaps.append((kind, content))
                elif kind == _ATTRIBUTE:
                    _attribute(content, found)
                elif kind == _FILTERS:
                    found.obstacle = found.obstacle or "it is filtered or compressed"
                elif kind == _EXTERNAL_FILES:
                    found.obstacle, found.elsewhere = "it is in another file", True
                elif kind == _SYMBOL_TABLE:
                    raise OtherLayoutError(f"{path} is a group of before HDF5 1.8")
                elif kind not in _PASSED_OVER:
                    raise OtherLayoutError(f"{what} holds a message of unknown type {kind}")
            if datatype is not None and shape is not None:
                found.kind = _kind(datatype, shape)
            for kind, content in heaps:
                self._read_heap(kind, content, found)
        except TooShortError as error:
            raise BasisFileError(f"{what} is damaged") from error
        return found

    def _read_heap(self, kind: int, content: Bytes, found: Object) -> None:
        """The links or attributes that are not in an object's header, where there are such."""
        of_links = kind == _LINK_INFO
        _, flags = content.unpack("<BB")
        if flags & 0x01:
            content.take(8 if of_links else 2)
        heap, index = content.unpack("<QQ")
        if heap == NOWHERE:
            return
        what = "links" if of_links else "attributes"
        read = self._bounded(f"the heap of {what} of {found.path}")
        for number, message in enumerate(heap_messages(read, heap, index, what)):
            if message is None:
                unread = Attribute(Kind(f"{what} kept elsewhere", None, ()), b"")
                found.attributes[f"(one of its {what}, number {number})"] = unread
            elif of_links:
                _link(Bytes(message), found)
            else:
                _attribute(Bytes(message), found)

    def _messages(self, address: int, what: str) -> Iterator[tuple[int, Bytes]]:
        """Type and content of each message of an object's header, its continuations included."""
        start = self._bytes(address, 16, what)
        if start[:5] != b"OHDR\x02":
            if start[:2] == b"\1\0":
                raise OtherLayoutError(f"{what} is of before HDF5 1.8")
            raise BasisFileError(f"{what} is damaged")
        flags = start[5]
        width = 1 << (flags & 3)
        prefix = 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
        head = self._bytes(address, prefix + width, what)
        length = int.from_bytes(head[prefix:], "little")
        chunks = [(address, prefix + width, prefix + width + length + 4)]
        seen, read = {address}, self._bounded(what)
        for offset, skipped, count in chunks:  # grows while it is walked
            content = self._summed(read(offset, count), what)
            rest = Bytes(content, skipped)
            message_head = 6 if flags & 0x04 else 4
            while rest.left() >= message_head:
                kind, size, message_flags = rest.unpack("<BHB")
                if flags & 0x04:
                    rest.take(2)
                message = Bytes(rest.take(size))
                if message_flags & 0x02:
                    raise OtherLayoutError(f"{what} shares a message with another object")
                if kind == _CONTINUATION:
                    there, long = message.unpack("<QQ")
                    if there in seen or long < 8:
                        raise BasisFileError(f"{what} is damaged: it continues in a circle")
                    seen.add(there)
                    if self._bytes(there, 4, what) != b"OCHK":
                        raise BasisFileError(f"{what} is damaged where it continues")
                    chunks.append((there, 4, long))
                else:
                    yield kind, message


def opened(path: str | os.PathLike[str]) -> io.BufferedReader:
    """A regular file, opened to read; raises `BasisFileError` without its name."""
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
        raise TooShortError
    return None if kind == 2 else content.unpack(f"<{axes}Q")


def _kind(content: Bytes, shape: tuple[int, ...]) -> Kind:
    class_and_version, *bits, size = content.unpack("<B3BI")
    of_class, class_bits = class_and_version & 0x0F, int.from_bytes(bytes(bits), "little")
    if of_class == 3:
        if size == 0 or class_bits & 0x0F > 2:
            raise TooShortError
        if size > _MOST_HEADER_BYTES:
            return Kind(f"strings of {size} bytes", None, shape)
        return Kind("utf-8", np.dtype(f"S{size}"), shape)
    if of_class in (0, 1):
        properties = content.take(4 if of_class == 0 else 12)
        name = _NUMBERS.get((of_class, class_bits, properties))
        if name is not None and np.dtype(name).itemsize == size:
            return Kind(name, np.dtype(name), shape)
        return Kind(f"an unusual number of {size} bytes", None, shape)
    return Kind(_UNREADABLE_CLASSES.get(of_class, "unknown"), None, shape)


def _layout(content: Bytes, found: Object) -> None:
    version, of_class = content.unpack("<BB")
    if version not in (3, 4, 5) or of_class != 1:
        found.obstacle = found.obstacle or _LAYOUTS.get(of_class, "it is not contiguous")
        found.elsewhere |= version in (3, 4, 5) and of_class not in _IN_THIS_FILE
        return
    found.offset, found.stored = content.unpack("<QQ")


def _link(content: Bytes, found: Object) -> None:
    version, flags = content.unpack("<BB")
    if version != 1:
        raise TooShortError
    kind = content.unpack("<B")[0] if flags & 0x08 else 0
    content.take((8 if flags & 0x04 else 0) + (1 if flags & 0x10 else 0))
    length = int.from_bytes(content.take(1 << (flags & 3)), "little")
    name = _text(content.take(length))
    if name in found.links:
        raise BasisFileError(f"{found.path} has two links of one name, {name!r}")
    found.links[name] = int(content.unpack("<Q")[0]) if kind == 0 else None


def _attribute(content: Bytes, found: Object) -> None:
    version, flags, name_size, type_size, space_size = content.unpack("<BBHHH")
    if version not in (1, 2, 3):
        raise TooShortError
    shared = version > 1 and flags
    if version == 3:
        content.take(1)

    def part(size: int) -> bytes:
        taken = content.take(size)
        if version == 1:
            content.take(-size % 8)
        return taken

    name = _text(part(name_size).split(b"\0")[0])
    datatype, dataspace = Bytes(part(type_size)), Bytes(part(space_size))
    if name in found.attributes:
        raise BasisFileError(f"{found.path} has two attributes of one name, {name!r}")
    if shared:
        found.attributes[name] = Attribute(Kind("shared with others", None, ()), b"")
        return
    shape = _dataspace(dataspace)
    kind = Kind("null", None, ()) if shape is None else _kind(datatype, shape)
    if kind.nbytes > content.left():
        raise TooShortError
    found.attributes[name] = Attribute(kind, content.take(kind.nbytes))


def _text(content: bytes) -> str:
    return content.decode("utf-8", "backslashreplace")
