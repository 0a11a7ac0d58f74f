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
        """The next ones; raises `DamagedError`."""
        if count > self.left():
            raise DamagedError
        self.position += count
        return self.content[self.position - count : self.position]

    def unpack(self, form: str) -> tuple[int, ...]:
        """The next ones as `struct.unpack` reads them; raises `DamagedError`."""
        return struct.unpack(form, self.take(struct.calcsize(form)))

    def number(self, width: int) -> int:
        """The next ones as one number without a sign; raises `DamagedError`."""
        return int.from_bytes(self.take(width), "little")


def checksum(content: bytes) -> int:
    """The checksum of HDF5's metadata.

    Source: Jenkins (2006), *lookup3.c*, hashlittle with initial value 0.
    """
    mask = 0xFFFFFFFF
    a = b = c = (0xDEADBEEF + len(content)) & mask
    if not content:
        return c
    last = max(0, (len(content) - 1) // 12 * 12)
    words = struct.unpack_from(f"<{last // 4}I", content)
    for place in range(0, len(words), 3):
        a = (a + words[place]) & mask
        b = (b + words[place + 1]) & mask
        c = (c + words[place + 2]) & mask
        a = (a - c) & mask ^ (c << 4 & mask | c >> 28)
        c = (c + b) & mask
        b = (b - a) & mask ^ (a << 6 & mask | a >> 26)
        a = (a + c) & mask
        c = (c - b) & mask ^ (b << 8 & mask | b >> 24)
        b = (b + a) & mask
        a = (a - c) & mask ^ (c << 16 & mask | c >> 16)
        c = (c + b) & mask
        b = (b - a) & mask ^ (a << 19 & mask | a >> 13)
        a = (a + c) & mask
        c = (c - b) & mask ^ (b << 4 & mask | b >> 28)
        b = (b + a) & mask
    tail = content[last:].ljust(12, b"\0")
    x, y, z = struct.unpack("<3I", tail)
    a, b, c = (a + x) & mask, (b + y) & mask, (c + z) & mask
    c = ((c ^ b) - (b << 14 & mask | b >> 18)) & mask
    a = ((a ^ c) - (c << 11 & mask | c >> 21)) & mask
    b = ((b ^ a) - (a << 25 & mask | a >> 7)) & mask
    c = ((c ^ b) - (b << 16 & mask | b >> 16)) & mask
    a = ((a ^ c) - (c << 4 & mask | c >> 28)) & mask
    b = ((b ^ a) - (a << 14 & mask | a >> 18)) & mask
    return ((c ^ b) - (b << 24 & mask | b >> 8)) & mask
