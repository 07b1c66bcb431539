"""ClickHouse's own compression of blocks, which ``compress=1`` and ``decompress=1`` put around a body.

A block is: 16 bytes CityHash128 (version 1.0.2, low half first) of all that follows it; 1 byte method; 4 bytes size of
the block from the method byte on; 4 bytes size of the data; the compressed data. Numbers are little-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import cast

from test_framework.embedded_clickhouse.encodings import zstd_module

__all__ = ["BlockDecoder", "BlockEncoder", "FramingError"]

_NONE, _LZ4, _ZSTD = 0x02, 0x82, 0x90
_HEADER = struct.Struct("<BII")
_CHECKSUM = 16
_MIXED = _CHECKSUM + _HEADER.size
_MASK = (1 << 64) - 1

#: What a server puts into one block.
BLOCK_SIZE = 1 << 20
#: What a server takes at most.
LIMIT = 1 << 30


class FramingError(Exception):
    """The body is not a row of intact blocks; code and name are the engine's."""

    def __init__(self, code: int, name: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.name = name


def _checksum(block: bytes) -> bytes:
    from clickhouse_cityhash.cityhash import CityHash128

    value = CityHash128(block)
    return struct.pack("<QQ", value >> 64, value & _MASK)


class BlockEncoder:
    """Puts a body into blocks.

    Args:
        method: ``lz4`` (as a server does), ``zstd`` or ``none``.
    """

    def __init__(self, method: str = "lz4") -> None:
        self._method = {"none": _NONE, "lz4": _LZ4, "zstd": _ZSTD}[method]
        self._held = bytearray()

    def feed(self, data: bytes) -> bytes:
        """Take ``data``; the blocks that are full by now."""
        self._held += data
        if len(self._held) < BLOCK_SIZE:
            return b""
        whole = len(self._held) - len(self._held) % BLOCK_SIZE
        blocks = b"".join(self._block(bytes(self._held[at : at + BLOCK_SIZE])) for at in range(0, whole, BLOCK_SIZE))
        del self._held[:whole]
        return blocks

    def flush(self) -> bytes:
        """A block with what is held back."""
        rest, self._held = bytes(self._held), bytearray()
        return self._block(rest) if rest else b""

    def finish(self) -> bytes:
        """The end of the body: the last block. A body has no end mark."""
        return self.flush()

    def _block(self, data: bytes) -> bytes:
        packed = self._compress(data)
        block = _HEADER.pack(self._method, len(packed) + _HEADER.size, len(data)) + packed
        return _checksum(block) + block

    def _compress(self, data: bytes) -> bytes:
        if self._method == _LZ4:
            import lz4.block

            return cast("bytes", lz4.block.compress(data, store_size=False))
        return cast("bytes", zstd_module().compress(data, 1)) if self._method == _ZSTD else data


class BlockDecoder:
    """Takes a body out of its blocks.

    Args:
        limit: largest block accepted, compressed and not, in bytes.
        checked: whether the checksums count.
    """

    def __init__(self, *, limit: int = LIMIT, checked: bool = True) -> None:
        self._limit = limit
        self._checked = checked
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take ``data`` and give out the content of each block that is complete.

        Raises:
            FramingError: a checksum, method or size is wrong.
        """
        self._held += data
        at = 0
        try:
            while (end := self._block_end(at)) is not None:
                checksum, block = bytes(self._held[at : at + _CHECKSUM]), bytes(self._held[at + _CHECKSUM : end])
                at = end
                yield self._open(checksum, block)
        finally:
            del self._held[:at]

    def finish(self) -> None:
        """Say that the body is over.

        Raises:
            FramingError: it ended inside a block.
        """
        if self._held:
            missing = f"Bytes read: {len(self._held)}. Bytes expected: {self._wanted()}"
            raise FramingError(33, "CANNOT_READ_ALL_DATA", f"Cannot read all data. {missing}")

    def _wanted(self) -> int:
        if len(self._held) < _MIXED:
            return _MIXED
        return _CHECKSUM + cast("int", _HEADER.unpack_from(self._held, _CHECKSUM)[1])

    def _block_end(self, at: int) -> int | None:
        """The offset after the block at ``at``, or ``None`` while it is not complete. Checks the sizes first of all."""
        if len(self._held) - at < _MIXED:
            return None
        _, packed, size = _HEADER.unpack_from(self._held, at + _CHECKSUM)
        if packed > self._limit or size > self._limit:
            message = f"Too large block: {packed} bytes compressed, {size} bytes of data. Most likely corrupted data"
            raise FramingError(39, "TOO_LARGE_SIZE_COMPRESSED", message)
        if packed < _HEADER.size:
            message = f"Can't decompress data: the block ({packed}) is smaller than its header ({_HEADER.size})"
            raise FramingError(271, "CANNOT_DECOMPRESS", message)
        end = at + _CHECKSUM + cast("int", packed)
        return end if end <= len(self._held) else None

    def _open(self, checksum: bytes, block: bytes) -> bytes:
        if self._checked and (actual := _checksum(block)) != checksum:
            message = (
                f"Checksum doesn't match: corrupted data. Reference: {actual.hex()}. Actual: {checksum.hex()}. "
                f"Size of compressed block: {len(block)}"
            )
            raise FramingError(40, "CHECKSUM_DOESNT_MATCH", message)
        method, _, size = _HEADER.unpack_from(block)
        return _decompress(method, block[_HEADER.size :], size)


def _decompress(method: int, packed: bytes, size: int) -> bytes:
    if method not in (_NONE, _LZ4, _ZSTD):
        raise FramingError(432, "UNKNOWN_CODEC", f"Unknown codec family code: {method}")
    try:
        data = _unpack(method, packed, size)
    except Exception as error:  # lz4 raises its own, zstd another
        raise FramingError(271, "CANNOT_DECOMPRESS", f"Cannot decompress: {error}") from error
    if len(data) != size:
        raise FramingError(271, "CANNOT_DECOMPRESS", f"Cannot decompress: {len(data)} bytes instead of {size}")
    return data


def _unpack(method: int, packed: bytes, size: int) -> bytes:
    if method == _LZ4:
        import lz4.block

        return cast("bytes", lz4.block.decompress(packed, uncompressed_size=size)) if size else b""
    if method == _ZSTD:
        return cast("bytes", zstd_module().ZstdDecompressor().decompress(packed, size + 1))
    return packed
