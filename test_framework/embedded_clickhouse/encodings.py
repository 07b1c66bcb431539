"""Content encodings of requests and answers, both ways, in pieces of bounded size.

A decoder takes the body as it arrives and gives it back in pieces of at most ``max_piece`` bytes, whatever its ratio of
compression; several members or frames in a row are one body. A codec's library is imported when it is first used.
"""

from __future__ import annotations

import functools
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, cast

from test_framework.embedded_clickhouse.decompression import (
    BrotliDecompressor,
    Decoder,
    Decompressor,
    EncodingError,
    ZlibDecompressor,
)

__all__ = ["Decoder", "Encoder", "EncodingError", "decoder", "encoder", "preferred_encoding", "zstd_module"]


class Encoder(Protocol):
    """Compresses one body."""

    def feed(self, data: bytes) -> bytes:
        """Take ``data``; what is ready to send, perhaps nothing."""

    def flush(self) -> bytes:
        """What is needed so that all data so far can be decoded."""

    def finish(self) -> bytes:
        """The end of the body."""


def zstd_module() -> Any:
    """The zstd of the standard library, or its backport."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd


def _bz2() -> Any:
    import bz2

    return bz2


def _lzma() -> Any:
    import lzma

    return lzma


def _lz4() -> Any:
    from lz4 import frame

    return frame


_SMALL = 1 << 16


@dataclass(frozen=True, slots=True)
class _Codec:
    failure: tuple[int, str]
    decompressor: Callable[[], Decompressor]
    compressor: Callable[[], Encoder]


class _Plain:
    """An encoder from an object with ``compress`` and ``flush``; some libraries can flush only at the end."""

    def __init__(self, inner: Any, *flush_mode: int) -> None:
        self._inner, self._flush_mode = inner, flush_mode

    def feed(self, data: bytes) -> bytes:
        return cast("bytes", self._inner.compress(data))

    def flush(self) -> bytes:
        return cast("bytes", self._inner.flush(*self._flush_mode)) if self._flush_mode else b""

    def finish(self) -> bytes:
        return cast("bytes", self._inner.flush())


class _Lz4Encoder(_Plain):
    """Begins its frame with the first bytes and gives out each block at once."""

    def __init__(self) -> None:
        super().__init__(_lz4().LZ4FrameCompressor(auto_flush=True))
        self._begun = False

    def _begin(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        return cast("bytes", self._inner.begin())

    def feed(self, data: bytes) -> bytes:
        return self._begin() + super().feed(data)

    def finish(self) -> bytes:
        return self._begin() + super().finish()


class _BrotliEncoder:
    def __init__(self) -> None:
        import brotli

        # Quality 4 is about as fast as gzip's default and still smaller; the default, 11, is 100 times slower.
        self._inner = brotli.Compressor(quality=4)

    def feed(self, data: bytes) -> bytes:
        return cast("bytes", self._inner.process(data))

    def flush(self) -> bytes:
        return cast("bytes", self._inner.flush())

    def finish(self) -> bytes:
        return cast("bytes", self._inner.finish())


def _zlib_encoder(wbits: int) -> Encoder:
    return _Plain(zlib.compressobj(3, wbits=wbits), zlib.Z_SYNC_FLUSH)  # the level a server has for HTTP


@functools.cache
def _zstd_compressor() -> Any:
    return zstd_module().ZstdCompressor(3)


def _zstd_of_small_bodies(data: bytes) -> bytes:
    """A whole body. Only from the event loop: they share one compressor."""
    return cast("bytes", _zstd_compressor().compress(data, zstd_module().ZstdCompressor.FLUSH_FRAME))


class _ZstdEncoder:
    """Takes a small body as a whole: making a compressor takes ten times as long as compressing it."""

    def __init__(self) -> None:
        self._first: bytes | None = None
        self._stream: Encoder | None = None

    def _begun(self) -> Encoder:
        if self._stream is None:
            module = zstd_module()
            self._stream = _Plain(module.ZstdCompressor(3), module.ZstdCompressor.FLUSH_BLOCK)
        return self._stream

    def feed(self, data: bytes) -> bytes:
        if self._first is None and self._stream is None and len(data) < _SMALL:
            self._first = data
            return b""
        first, self._first = self._first, None
        begun = self._begun()
        return (begun.feed(first) if first else b"") + begun.feed(data)

    def flush(self) -> bytes:
        return self.feed(b"") + self._begun().flush()

    def finish(self) -> bytes:
        if self._stream is None:
            return _zstd_of_small_bodies(self._first or b"")
        return self._stream.finish()


_GZIP = _Codec((354, "ZLIB_INFLATE_FAILED"), partial(ZlibDecompressor, 31), partial(_zlib_encoder, 31))
# In the order in which a server prefers them for its answers.
_CODECS: dict[str, _Codec] = {
    "zstd": _Codec((561, "ZSTD_DECODER_FAILED"), lambda: zstd_module().ZstdDecompressor(), _ZstdEncoder),
    "br": _Codec((448, "BROTLI_READ_FAILED"), BrotliDecompressor, _BrotliEncoder),
    "lz4": _Codec((618, "LZ4_DECODER_FAILED"), lambda: _lz4().LZ4FrameDecompressor(), _Lz4Encoder),
    "gzip": _GZIP,
    "deflate": _Codec((354, "ZLIB_INFLATE_FAILED"), partial(ZlibDecompressor, None), partial(_zlib_encoder, 15)),
    "xz": _Codec(
        (554, "LZMA_STREAM_DECODER_FAILED"),
        lambda: _lzma().LZMADecompressor(),
        lambda: _Plain(_lzma().LZMACompressor()),
    ),
    "bz2": _Codec(
        (594, "BZIP2_STREAM_DECODER_FAILED"), lambda: _bz2().BZ2Decompressor(), lambda: _Plain(_bz2().BZ2Compressor())
    ),
}
_ALIASES = {"x-gzip": "gzip", "brotli": "br", "lzma": "xz"}


def _codec(name: str) -> _Codec:
    name = name.strip().lower()
    codec = _CODECS.get(_ALIASES.get(name, name))
    if codec is None:
        known = ", ".join(f"'{known}'" for known in sorted(_CODECS))
        message = f"Unknown compression method '{name}'. Only {known} are supported as compression methods"
        raise EncodingError(48, "NOT_IMPLEMENTED", message)
    return codec


def decoder(name: str, *, max_piece: int = 1 << 20) -> Decoder:
    """A decoder for the content encoding ``name``.

    Raises:
        EncodingError: no such encoding.
    """
    codec = _codec(name)
    return Decoder(codec.decompressor, codec.failure, max_piece=max_piece)


def encoder(name: str) -> Encoder:
    """An encoder for the content encoding ``name``.

    Raises:
        EncodingError: no such encoding.
    """
    return _codec(name).compressor()


def preferred_encoding(accepted: str) -> str | None:
    """The encoding a server chooses for the Accept-Encoding header ``accepted``; ``None`` for an answer as it is."""
    return _preferred(accepted) if accepted else None


@functools.lru_cache(maxsize=64)
def _preferred(accepted: str) -> str | None:
    wanted = set()
    for item in accepted.split(","):
        name, _, quality = item.strip().lower().partition(";")
        if quality.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000"):
            wanted.add(_ALIASES.get(name.strip(), name.strip()))
    return next((name for name in _CODECS if name in wanted), None)
