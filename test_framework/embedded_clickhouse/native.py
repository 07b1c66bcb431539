"""The Native format for clients that name a protocol revision.

The engine writes Native as for a client without one: no block info, and the zone of a column of type
``DateTime('zone')`` left out of its type. This module adds what the revision asks for, block by block, and touches
nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from test_framework.embedded_clickhouse.native_bytes import Incomplete, Unwalkable, read_text, read_varint
from test_framework.embedded_clickhouse.native_types import fixed_size, walker

__all__ = ["BlockRewriter", "Column", "may_hold_bare_datetime", "needs_rewriting"]

_BLOCK_INFO_REVISION = 1  # the engine writes it for any revision but none
_ZONE_REVISION = 54337
_CUSTOM_SERIALIZATION_REVISION = 54454
_BUCKETS_REVISION = 54480

# Field 1, is_overflows: no; field 2, bucket: -1; end.
_BLOCK_INFO = b"\x01\x00\x02\xff\xff\xff\xff\x00"
# Field 3, out of order buckets: none.
_BLOCK_INFO_BUCKETS = b"\x01\x00\x02\xff\xff\xff\xff\x03\x00\x00"
_BARE_DATETIME = b"\x08DateTime"
_SEARCH = 1 << 16


class Column(NamedTuple):
    """Name and type of a column as the client shall see them."""

    name: bytes
    type: bytes


def needs_rewriting(revision: int) -> bool:
    """Whether a client of this revision expects anything else than what the engine writes."""
    return revision >= _BLOCK_INFO_REVISION


def may_hold_bare_datetime(blocks: bytes | memoryview[int], revision: int) -> bool:
    """Whether ``blocks`` could need the names of zones: when not, nobody has to ask for the columns."""
    return revision >= _ZONE_REVISION and _stands_in(_BARE_DATETIME, blocks)


def _stands_in(text: bytes, data: bytes | memoryview[int]) -> bool:
    """Whether ``text`` is in ``data``. A view cannot be searched; its pieces are copied into memory that is there."""
    step = _SEARCH - len(text)
    return any(text in bytes(data[at : at + _SEARCH]) for at in range(0, len(data), step))


class BlockRewriter:
    """Makes the engine's blocks those of a protocol revision.

    Args:
        revision: ``client_protocol_version`` of the request.
        describe: asks for the columns of the result (DESCRIBE), with the zones in their types; called at most once, and
            only when a block seems to hold a DateTime column.
    """

    def __init__(self, revision: int, describe: Callable[[], Sequence[Column]] = tuple) -> None:
        self._info = b""
        if needs_rewriting(revision):
            self._info = _BLOCK_INFO_BUCKETS if revision >= _BUCKETS_REVISION else _BLOCK_INFO
        self._zones = revision >= _ZONE_REVISION
        self._custom = b"\x00" if revision >= _CUSTOM_SERIALIZATION_REVISION else b""
        self._revision = revision
        self._describe = describe
        self._columns: Sequence[Column] | None = None
        self._held = bytearray()
        self._enough = 0

    def block(self, data: bytes) -> bytes:
        """One whole block, as ``parts`` gives it."""
        return b"".join(self.parts(data))

    def parts(self, data: bytes | memoryview[int]) -> Sequence[bytes | memoryview[int]]:
        """One whole block in pieces, so that a block of many megabytes need not be copied.

        Nothing for a block without rows, which a server does not send.

        Raises:
            Unwalkable: the revision needs a change inside of the block, and a column's length is not to be known.
        """
        if not data:
            return ()
        count, pos = read_varint(data, 0)
        rows, pos = read_varint(data, pos)
        if not rows:
            return ()
        if not self._info:
            return (data,)
        zones = self._with_zones(data)
        if not self._custom and not zones:
            return self._info, data
        whole = bytes(data)
        try:
            headers = _headers_by_search(whole, pos, rows, self._asked()) if zones else None
            if headers is None:
                headers = list(_headers(whole, pos, count, rows))
        except Unwalkable:
            if self._custom:
                raise
            return self._info, data
        return self._info, *self._patched(memoryview(whole), headers)

    def blocks(self, data: bytes) -> bytes:
        """Any number of whole blocks.

        Raises:
            Unwalkable: a column's length is not to be known, so the blocks cannot be told apart.
        """
        return b"".join([self.feed(data), self.finish()])

    def feed(self, data: bytes) -> bytes:
        """Any part of a stream of blocks; gives out those that are complete."""
        self._held += data
        out = []
        while self._held and len(self._held) >= self._enough:
            held = bytes(self._held)
            try:
                end = _block_end(held)
            except Incomplete:
                # Walking again only when there is twice as much keeps the sum of all walks linear.
                self._enough = 2 * len(self._held)
                break
            out.append(self.block(held[:end]))
            del self._held[:end]
            self._enough = 0
        return b"".join(out)

    def finish(self) -> bytes:
        """What is left at the end of the stream.

        Raises:
            Incomplete: the stream ended inside a block.
        """
        self._enough = 0
        rest = self.feed(b"")
        if self._held:
            raise Incomplete
        return rest

    def _with_zones(self, data: bytes | memoryview[int]) -> bool:
        """Whether ``data`` holds a column whose zone is missing; asks for the columns if that is possible."""
        if self._zones:
            # All blocks have the same columns, so the first one tells for all.
            self._zones = _stands_in(_BARE_DATETIME, data) and any(
                column.type.startswith(b"DateTime(") for column in self._asked()
            )
        return self._zones

    def _asked(self) -> Sequence[Column]:
        if self._columns is None:
            self._columns = self._describe()
        return self._columns

    def _patched(self, data: memoryview[int], headers: list[_Header]) -> Iterator[bytes | memoryview[int]]:
        pos = 0
        columns = self._columns or ()
        for number, header in enumerate(headers):
            text = header.type
            if text == b"DateTime" and number < len(columns) and columns[number].type.startswith(b"DateTime("):
                text = columns[number].type
            yield data[pos : header.type_start]
            yield _varint(len(text)) + text + self._custom
            pos = header.type_end
        yield data[pos:]


class _Header(NamedTuple):
    """Where the type of a column stands in a block."""

    type_start: int
    type_end: int
    type: bytes


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _headers(data: bytes, pos: int, count: int, rows: int) -> Iterator[_Header]:
    """The headers of the columns of one block, by walking over each column's data."""
    for number in range(count):
        _, type_start = read_text(data, pos)
        name, pos = read_text(data, type_start)
        yield _Header(type_start, pos, name)
        if number + 1 < count:
            pos = _column_end(data, pos, name, rows)


def _column_end(data: bytes, pos: int, name: bytes, rows: int) -> int:
    if not rows:
        return pos
    one = walker(name)
    pos = one.data(data, one.prefix(data, pos), rows)
    if pos > len(data):
        raise Incomplete
    return pos


def _block_end(data: bytes) -> int:
    """The offset after the block at the start of ``data``."""
    count, pos = read_varint(data, 0)
    rows, pos = read_varint(data, pos)
    for _ in range(count):
        _, pos = read_text(data, pos)
        name, pos = read_text(data, pos)
        pos = _column_end(data, pos, name, rows)
    return pos


def _headers_by_search(data: bytes, pos: int, rows: int, columns: Sequence[Column]) -> list[_Header] | None:
    """The headers of one block whose columns are known, without walking over its strings.

    Behind a column of fixed size the next header is where it must be. Elsewhere it is looked for as text: it must stand
    somewhere behind the column before it, so where it stands only once, that is the place. ``None`` when one stands
    twice, or not at all.
    """
    headers: list[_Header] = []
    size: int | None = 0
    for name, full in columns:
        written = b"DateTime" if full.startswith(b"DateTime(") else full
        title = _varint(len(name)) + name
        text = title + _varint(len(written)) + written
        found = data.find(text, pos) if size is None else pos + rows * size
        if not data.startswith(text, found) or (size is None and data.find(text, found + 1) >= 0):
            return None
        pos = found + len(text)
        headers.append(_Header(found + len(title), pos, written))
        size = fixed_size(written)
    return headers
