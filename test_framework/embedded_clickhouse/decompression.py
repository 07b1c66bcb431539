"""Decompression of request bodies, in pieces of bounded size.

Every library here has its own idea of how to ask for a limited piece; ``Decoder`` makes one interface of them.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol, cast

__all__ = ["BrotliDecompressor", "Decoder", "Decompressor", "EncodingError", "ZlibDecompressor"]


class EncodingError(Exception):
    """The body is not what its encoding says, or the encoding is not known; code and name are the engine's."""

    def __init__(self, code: int, name: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.name = name


class Decompressor(Protocol):
    """What bz2, lzma, zstd and lz4.frame have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes | None: ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class Decoder:
    """Decompresses one body.

    Args:
        make: makes a decompressor for one member or frame.
        failure: code and name of the engine's error for this encoding.
        max_piece: largest piece given out, in bytes.
    """

    def __init__(self, make: Callable[[], Decompressor], failure: tuple[int, str], *, max_piece: int) -> None:
        self._make, self._failure, self._max_piece = make, failure, max_piece
        self._member: Decompressor | None = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take ``data`` and give out what it decodes to. The iterator must be used up before the next call.

        Raises:
            EncodingError: the body is corrupt.
        """
        while data:
            if self._member is None:
                self._member = self._make()
            member = self._member
            yield from self._pieces(member, data)
            if not member.eof:
                return
            data, self._member = member.unused_data or b"", None

    def _pieces(self, member: Decompressor, data: bytes) -> Iterator[bytes]:
        try:
            while True:
                piece = member.decompress(data, self._max_piece)
                data = b""
                if piece:
                    yield piece
                if member.eof or member.needs_input:
                    return
        except Exception as error:  # each library has its own tree, some raise bare RuntimeError or OSError
            raise EncodingError(*self._failure, f"Cannot decompress the body: {error}") from error

    def finish(self) -> None:
        """Say that the body is over.

        Raises:
            EncodingError: it ended inside a member or frame.
        """
        if self._member is not None:
            raise EncodingError(*self._failure, "Cannot decompress the body: it ends too early")


class ZlibDecompressor:
    """zlib's decompressor with the interface of the others."""

    def __init__(self, wbits: int | None) -> None:
        self._wbits = wbits
        self._inner: Any = None
        self._held = b""
        self.needs_input = True
        self.eof = False

    @property
    def unused_data(self) -> bytes:
        return cast("bytes", self._inner.unused_data) if self._inner else b""

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        data = self._held + data
        if self._inner is None:
            wbits = self._wbits or _deflate_wbits(data)
            if wbits is None:
                self._held = data
                return b""
            self._inner = zlib.decompressobj(wbits)
        piece = self._inner.decompress(data, max(max_length, 0))
        self._held = self._inner.unconsumed_tail
        self.eof = self._inner.eof
        # A full piece may leave output inside zlib even when all input is used.
        self.needs_input = not self._held and len(piece) < max_length
        return cast("bytes", piece)


def _deflate_wbits(head: bytes) -> int | None:
    """Some clients send "deflate" with zlib's frame, as the standard says, and some without."""
    if len(head) < 2:
        return None
    framed = head[0] & 0x0F == zlib.DEFLATED and int.from_bytes(head[:2], "big") % 31 == 0
    return zlib.MAX_WBITS if framed else -zlib.MAX_WBITS


class BrotliDecompressor:
    """Brotli's decompressor with the interface of the others; it has no frames to put in a row."""

    def __init__(self) -> None:
        import brotli

        self._inner = brotli.Decompressor()
        self._full = False
        self.unused_data = b""

    @property
    def eof(self) -> bool:
        return bool(self._inner.is_finished())

    @property
    def needs_input(self) -> bool:
        return not self._full and bool(self._inner.can_accept_more_data())

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        piece = cast("bytes", self._inner.process(data, output_buffer_limit=max_length))
        self._full = len(piece) >= max_length  # there may be more, whatever can_accept_more_data says
        return piece
