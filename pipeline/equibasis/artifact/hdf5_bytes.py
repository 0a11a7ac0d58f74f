"""The smallest parts of HDF5: bytes taken one after the other, and the checksum of metadata."""

from __future__ import annotations

import struct

# Where HDF5 writes that there is no address.
NOWHERE = 2**64 - 1


class DamagedError(Exception):
    """A piece of metadata ends before what it must hold, or holds what it cannot."""


class Bytes:
    """Bytes taken one after the other, never beyond their end."""

    def __init__(self, content: bytes, position: int = 0) -> None:
        self.content = content
        self.position = position

    def left(self) -> int:
        """How many are still there."""
        return len(self.content) - self.position

    def take(self, count: int) -> bytes:
        """Take the next bytes; raises `DamagedError`."""
        if count > self.left():
            raise DamagedError
        self.position += count
        return self.content[self.position - count : self.position]

    def unpack(self, form: str) -> tuple[int, ...]:
        """Read the next bytes as `struct.unpack` does; raises `DamagedError`."""
        return struct.unpack(form, self.take(struct.calcsize(form)))

    def number(self, width: int) -> int:
        """Read the next bytes as one number without a sign; raises `DamagedError`."""
        return int.from_bytes(self.take(width), "little")


def checksum(content: bytes) -> int:
    """Return the checksum of HDF5's metadata.

    Source: Jenkins (2006), *lookup3.c*, hashlittle with initial value 0.
    """
    mask = 0xFFFFFFFF
    a = b = c = (0xDEADBEEF + len(content)) & mask
    if not content:
        return c
    count = -(-len(content) // 12)
    words = struct.unpack(f"<{3 * count}I", content.ljust(12 * count, b"\0"))
    for place in range(0, 3 * count, 3):
        if place:
            for bits in (4, 6, 8, 16, 19, 4):
                a = (a - c) & mask ^ (c << bits & mask | c >> 32 - bits)
                a, b, c = b, (c + b) & mask, a
        a = (a + words[place]) & mask
        b = (b + words[place + 1]) & mask
        c = (c + words[place + 2]) & mask
    for bits in (14, 11, 25, 16, 4, 14, 24):
        c = ((c ^ b) - (b << bits & mask | b >> 32 - bits)) & mask
        a, b, c = b, c, a
    return b
