"""Reading the pieces of which the Native format is made."""

from __future__ import annotations

import struct

__all__ = ["Incomplete", "Unwalkable", "read_text", "read_u64", "read_varint"]

_U64 = struct.Struct("<Q")


class Incomplete(Exception):
    """The bytes so far end inside the block."""


class Unwalkable(Exception):
    """The length of a column of this type cannot be known from outside (states of most aggregate functions)."""


def read_varint(buffer: bytes | memoryview[int], pos: int) -> tuple[int, int]:
    """A LEB128 number and the offset after it."""
    value = shift = 0
    while True:
        if pos >= len(buffer):
            raise Incomplete
        byte = buffer[pos]
        pos += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, pos
        shift += 7
        if shift > 63:
            raise Unwalkable("a number of more than 64 bits")


def read_text(buffer: bytes, pos: int) -> tuple[bytes, int]:
    """A string with its length before it, and the offset after it."""
    size, pos = read_varint(buffer, pos)
    if pos + size > len(buffer):
        raise Incomplete
    return buffer[pos : pos + size], pos + size


def read_u64(buffer: bytes, pos: int) -> int:
    """The eight-byte number at ``pos``."""
    if pos + 8 > len(buffer):
        raise Incomplete
    return int(_U64.unpack_from(buffer, pos)[0])
