"""What an HDF5 object keeps in a heap: attributes or links of which it has more than eight.

Their messages lie in a fractal heap and are found by a version 2 B-tree that is sorted by name.
Basis files have neither; programs that add to them may make them.
Source: *HDF5 File Format Specification Version 3.0*, III.A.2 and III.G, The HDF Group.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from equibasis.artifact.hdf5_bytes import NOWHERE, Bytes, TooShortError, checksum

# Bytes at an offset: ``read(offset, count)``.
Read = Callable[[int, int], bytes]

# Bytes of a record of the B-tree before and after the heap's name of a message; bytes of that.
_RECORDS = {"attributes": (8, 0, 8, 9), "links": (5, 4, 7, 0)}

_DEEPEST = 8


def heap_messages(read: Read, heap: int, index: int, what: str) -> Iterator[bytes | None]:
    """Each message of a heap; ``None`` for one so large that it lies elsewhere.

    Parameters
    ----------
    read
        Bytes at an offset. It should raise beyond a total, as a tree may share its branches.
    heap, index
        Addresses of the heap, and of the B-tree of names.
    what
        ``"attributes"`` or ``"links"``.

    Raises
    ------
    TooShortError
        If the heap or the tree is damaged, or of a form that HDF5 does not write.
    """
    type_, before, id_size, after = _RECORDS[what]
    parts = _heap(read, heap)
    for record in _records(read, index, type_, before + id_size + after):
        name = Bytes(record, before)
        if after and record[before + id_size] & 0x02:  # shared with another object
            yield None
            continue
        kind = name.number(1) >> 4
        if kind == 1:
            yield None
        elif kind == 0:
            yield parts.managed(name.number(parts.offset_size), name.number(parts.length_size))
        else:
            raise TooShortError


def _summed(content: bytes) -> bytes:
    """What precedes the checksum at the end, which must fit."""
    if checksum(content[:-4]) != int.from_bytes(content[-4:], "little"):
        raise TooShortError
    return content[:-4]


# --- the B-tree -----------------------------------------------------------------------------------


def _records(read: Read, address: int, type_: int, size: int) -> Iterator[bytes]:
    """All records of a version 2 B-tree of that type, each of ``size`` bytes."""
    signature, version, found, node, record, depth, _, _, root, count, _ = struct.unpack(
        "<4sBBIHHBBQHQ", _summed(read(address, 38))
    )
    if (signature, version, found, record) != (b"BTHD", 0, type_, size) or depth > _DEEPEST:
        raise TooShortError
    if root != NOWHERE:
        yield from _node(read, root, count, depth, _widths(node, size, depth), type_, size)


def _widths(node: int, size: int, depth: int) -> list[tuple[int, int]]:
    """Of children by their depth: bytes that count their records, and all records below them."""
    most = total = (node - 10) // size
    if most < 1:
        raise TooShortError
    of_count, widths = _width(most), [(_width(most), 0)]
    for _ in range(depth):
        pointer = 8 + of_count + widths[-1][1]
        most = (node - 10 - pointer) // (size + pointer)
        if most < 1:
            raise TooShortError
        total = (most + 1) * total + most
        widths.append((of_count, _width(total)))
    return widths


def _width(number: int) -> int:
    """Bytes that a number up to this one takes."""
    return (number.bit_length() - 1) // 8 + 1


def _node(
    read: Read,
    address: int,
    count: int,
    depth: int,
    widths: list[tuple[int, int]],
    type_: int,
    size: int,
) -> Iterator[bytes]:
    pointer = 8 + sum(widths[depth - 1]) if depth else 0
    children = (count + 1) if depth else 0
    content = Bytes(_summed(read(address, 6 + count * size + children * pointer + 4)))
    if content.take(6) != (b"BTIN" if depth else b"BTLF") + bytes([0, type_]):
        raise TooShortError
    yield from [content.take(size) for _ in range(count)]
    for _ in range(children):
        there, below = content.number(8), content.number(widths[depth - 1][0])
        content.take(widths[depth - 1][1])
        yield from _node(read, there, below, depth - 1, widths, type_, size)


# --- the heap -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Heap:
    """A fractal heap: blocks in rows of ``width``, each row's twice as large as the one's before.

    Blocks of up to ``largest`` bytes hold messages; larger ones, more blocks.
    """

    read: Read
    address: int
    width: int
    start: int
    largest: int
    offset_size: int
    length_size: int
    root: int
    rows: int
    summed: bool
    seen: dict[int, bytes]

    def managed(self, offset: int, length: int) -> bytes:
        """The ``length`` bytes at ``offset`` of the heap."""
        address, begins, size = self._block(offset)
        if address not in self.seen:
            self.seen[address] = self._direct(address, begins, size)
        return Bytes(self.seen[address], offset - begins).take(length)

    def _block(self, offset: int) -> tuple[int, int, int]:
        """Address, first offset and size of the block that an offset lies in."""
        address, rows, begins = self.root, self.rows, 0
        if not rows:
            return address, 0, self.start
        for _ in range(64):
            row, column = self._place(offset - begins)
            if row >= rows:
                break
            direct_rows = (self.largest // self.start).bit_length() + 1
            address = self._child(address, begins, rows, row * self.width + column, direct_rows)
            size = self.start << max(0, row - 1)
            row_begins = self.width * size if row else 0
            begins += row_begins + column * size
            if row < direct_rows:
                return address, begins, size
            rows = (size // (self.start * self.width)).bit_length()
        raise TooShortError

    def _place(self, offset: int) -> tuple[int, int]:
        """Row and column of an offset among the blocks of an indirect block."""
        first = self.start * self.width
        row = (offset // first).bit_length()
        size = self.start << max(0, row - 1)
        return row, (offset - (self.width * size if row else 0)) // size

    def _child(self, address: int, begins: int, rows: int, number: int, direct_rows: int) -> int:
        """The address of a child of an indirect block."""
        prefix = 13 + self.offset_size
        if address not in self.seen:
            content = _summed(self.read(address, prefix + 8 * rows * self.width + 4))
            self._check_prefix(content, b"FHIB", begins)
            self.seen[address] = content
        return Bytes(self.seen[address], prefix + 8 * number).number(8)

    def _direct(self, address: int, begins: int, size: int) -> bytes:
        content = self.read(address, size)
        self._check_prefix(content, b"FHDB", begins)
        if self.summed:
            place = 13 + self.offset_size
            without = content[:place] + bytes(4) + content[place + 4 :]
            if checksum(without) != int.from_bytes(content[place : place + 4], "little"):
                raise TooShortError
        return content

    def _check_prefix(self, content: bytes, signature: bytes, begins: int) -> None:
        prefix = Bytes(content)
        if prefix.take(5) != signature + b"\0" or prefix.number(8) != self.address:
            raise TooShortError
        if prefix.number(self.offset_size) != begins:
            raise TooShortError


def _heap(read: Read, address: int) -> _Heap:
    content = Bytes(_summed(read(address, 146)))
    signature = content.take(4)
    version, _, filters, flags, most = content.unpack("<BHHBI")
    content.position = 110
    width, start, largest, bits, _, root, rows = content.unpack("<HQQHHQH")
    powers = all(n > 0 and n & (n - 1) == 0 for n in (width, start, largest))
    if (signature, version, filters) != (b"FRHP", 0, 0) or not powers or start > largest:
        raise TooShortError
    length_size = min(_width(most), -(-(largest.bit_length() - 1) // 8)) if most else 0
    offset_size = -(-bits // 8)
    return _Heap(
        read, address, width, start, largest, offset_size, length_size, root, rows,
        bool(flags & 0x02), {},
    )  # fmt: skip
