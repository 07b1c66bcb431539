"""Answers: headers, the part that is held back, the tagged error at the end of a stream that had begun."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from aiohttp import HttpVersion11, web
from aiohttp.typedefs import LooseHeaders

from test_framework.embedded_clickhouse.chance import Chance
from test_framework.embedded_clickhouse.encodings import Encoder
from test_framework.embedded_clickhouse.errors import ENGINE_ERRORS, ClickHouseError, translate
from test_framework.embedded_clickhouse.job import Job
from test_framework.embedded_clickhouse.reply_headers import ReplyHeaders, content_type, summary
from test_framework.embedded_clickhouse.results import Source
from test_framework.embedded_clickhouse.transfer import Piece, Sink, Transfer
from test_framework.embedded_clickhouse.written_errors import error_row, tagged

__all__ = ["Reply", "patience", "send_result"]

#: What a server keeps before the first byte goes out: an error before that is a clean error with its own status.
HOLD_BYTES = 1 << 20
#: And for how long. A server sends each block that it has; what is compressed waits until there is enough of it. One
#: that reports progress in headers has begun its answer with the first report.
_BLOCK_SECONDS = 0.005
_COMPRESSED_SECONDS = 2.0
_PROGRESS_SECONDS = 0.05
_chance = Chance()
_SPOOL_AFTER = 16 << 20
_LARGE = 1 << 16


def patience(hold: int, *, compressed: bool, progress: bool) -> float:
    """Seconds the first bytes of an answer are kept at most.

    Args:
        hold: bytes that the client wants to be kept; more than a server keeps by itself are kept as long as it takes.
        progress: the client wants progress in headers.
    """
    if hold > HOLD_BYTES:
        return float("inf")
    if progress:
        return _PROGRESS_SECONDS
    return _COMPRESSED_SECONDS if compressed else _BLOCK_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """How one result is to be sent.

    Attributes:
        format: output format, empty for a statement without output: clients tell the two apart by its header.
        extra: further headers.
        encoder: compression of the body.
        whole: keep everything until the end, so that an error always has its own status.
        patience: seconds the first bytes are kept at most.
        hold: bytes kept before the first goes out; 0 for a server's megabyte.
        spool: directory for what is kept and does not fit into memory.
        writes_errors: an error becomes a row, where the format has one for it.
    """

    headers: ReplyHeaders
    query_id: str
    format: str
    extra: Mapping[str, str]
    job: Job
    encoder: Encoder | None
    executor: Executor
    whole: bool
    patience: float
    hold: int
    spool: Path
    writes_errors: bool

    def all_headers(self, tag: str) -> LooseHeaders:
        """The headers, with the summary of what is known now and all progress up to now."""
        headers = {**self.headers.common(self.query_id), "X-ClickHouse-Exception-Tag": tag}
        if self.format:
            headers["X-ClickHouse-Format"] = self.format
            headers["Content-Type"] = content_type(self.format)
        headers["X-ClickHouse-Summary"] = summary(self.job.stats)
        headers.update(self.extra)
        if not self.job.progress:
            return headers
        progress = [("X-ClickHouse-Progress", text) for text in self.job.progress]
        return [*headers.items(), *progress]

    def uncompressed(self) -> Reply:
        """The same for a body without bytes, of which there is nothing to compress."""
        extra = {name: value for name, value in self.extra.items() if name != "Content-Encoding"}
        return replace(self, encoder=None, extra=extra)

    async def encode(self, data: Piece) -> Piece:
        """Compress a piece; a large one in a worker thread, since others wait for the event loop."""
        if self.encoder is None or not data:
            return data
        if len(data) < _LARGE:
            return self.encoder.feed(bytes(data))
        return await asyncio.get_running_loop().run_in_executor(self.executor, self.encoder.feed, bytes(data))

    def encoded_end(self) -> bytes:
        return self.encoder.finish() if self.encoder else b""


class _Held:
    """What has been read and not been sent; all of a result that is to be kept whole. Then it is a ``Sink``.

    In memory, from some size on in a file without a name.
    """

    def __init__(self, reply: Reply) -> None:
        self.pieces: list[Piece] = []
        self.size = 0
        self.file: IO[bytes] | None = None
        self._spool = reply.spool

    def add(self, pieces: Sequence[Piece]) -> None:
        """Keep pieces that are valid until the next are read; read-only ones last longer."""
        for piece in pieces:
            self.pieces.append(piece if isinstance(piece, bytes) or piece.readonly else bytes(piece))
            self.size += len(piece)

    def write(self, pieces: Sequence[Piece]) -> None:
        """In a worker thread."""
        for piece in pieces:
            self.size += len(piece)
            if self.file is None and self.size > _SPOOL_AFTER:
                self.file = tempfile.TemporaryFile(dir=self._spool, buffering=0)  # noqa: SIM115 - see close
                _write_all(self.file, self.pieces)
                self.pieces = []
            if self.file is None:
                self.pieces.append(bytes(piece))
            else:
                _write_all(self.file, [piece])

    def close(self) -> None:
        if self.file is not None:
            self.file.close()


def _write_all(file: IO[bytes], pieces: Sequence[Piece]) -> None:
    for piece in pieces:
        at = 0
        while at < len(piece):
            at += file.write(memoryview(piece)[at:])


class _Encoding:
    """A sink in front of another: counts the bytes of the result and compresses them."""

    def __init__(self, sink: Sink, reply: Reply) -> None:
        self._sink = sink
        self._reply = reply

    def write(self, pieces: Sequence[Piece]) -> None:
        stats, encoder = self._reply.job.stats, self._reply.encoder
        stats.result_bytes += sum(map(len, pieces))
        if encoder is None:
            self._sink.write(pieces)
            return
        for piece in pieces:
            for at in range(0, len(piece), HOLD_BYTES):
                self._sink.write((encoder.feed(bytes(piece[at : at + HOLD_BYTES])),))


async def _hold_back(source: Source, reply: Reply, held: _Held) -> bool:
    """Read up to the limit of what is held back; whether that was all."""
    limit = reply.hold or HOLD_BYTES
    pieces = await source.read()
    deadline = time.monotonic() + reply.patience
    while pieces:
        held.add(pieces)
        if held.size >= limit:
            return False
        if source.idle or reply.whole:
            pieces = await source.read()
            continue
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                pieces = await source.read()
        except TimeoutError:
            return False
    return True


async def send_result(
    request: web.BaseRequest, source: Source, reply: Reply, *, release: Callable[[], Awaitable[None]]
) -> web.StreamResponse:
    """Send a result: whole when it is small, otherwise as it comes.

    Args:
        release: gives back the session and the query id; called before the client can see the end of the answer.

    Raises:
        RuntimeError: the engine's error, as long as nothing was sent. Later it becomes part of the body.
    """
    held = _Held(reply)
    if await _hold_back(source, reply, held):
        reply.job.stats.result_bytes = reply.job.stats.result_bytes or held.size
        if not held.size:
            reply = reply.uncompressed()
        body: Piece = b"".join(held.pieces)
        if reply.encoder is not None:
            body = bytes(await reply.encode(body)) + reply.encoded_end()
        return web.Response(body=body, headers=reply.all_headers(_chance.tag()))
    if reply.whole:
        return await _send_whole(request, source, reply, held.pieces, release=release)
    return await _send_stream(request, source, reply, held.pieces, release=release)


async def _send_stream(
    request: web.BaseRequest,
    source: Source,
    reply: Reply,
    first: Sequence[Piece],
    *,
    release: Callable[[], Awaitable[None]],
) -> web.StreamResponse:
    """Send what comes; an error becomes the tagged end of the body."""
    tag = _chance.tag()
    response = web.StreamResponse(headers=reply.all_headers(tag))
    if request.version >= HttpVersion11:
        response.enable_chunked_encoding()
    writer = await response.prepare(request)
    assert writer is not None, "a new response has a writer"
    with Transfer(response, writer) as transfer:
        await transfer.ready()
        error = await _pour(source, _Encoding(transfer, reply), first)
    if error is not None:
        reply.job.error = error
        # The rows before it shall reach the client by themselves: some drop a piece that ends in an error.
        await asyncio.sleep(0.02)
        text = error.text(reply.headers.version)
        row = error_row(reply.format, text.rstrip("\n")) if reply.writes_errors else None
        await response.write(await reply.encode(row or tagged(text, tag)))
    await release()
    await response.write(reply.encoded_end())
    await response.write_eof()
    return response


async def _pour(source: Source, sink: Sink, first: Sequence[Piece]) -> ClickHouseError | None:
    """Write what comes, and return the engine's error in which it ended."""
    try:
        await source.pour(sink, first)
    except ENGINE_ERRORS as raised:
        return translate(raised)
    return None


async def _send_whole(
    request: web.BaseRequest,
    source: Source,
    reply: Reply,
    first: Sequence[Piece],
    *,
    release: Callable[[], Awaitable[None]],
) -> web.StreamResponse:
    """Send a large result that was kept until its end: by then its length is known."""
    held = _Held(reply)
    try:
        await source.pour(_Encoding(held, reply), first)
        held.write((reply.encoded_end(),))
        response = web.StreamResponse(headers=reply.all_headers(_chance.tag()))
        response.content_length = held.size
        writer = await response.prepare(request)
        assert writer is not None, "a new response has a writer"
        await release()
        with Transfer(response, writer) as transfer:
            await transfer.ready()
            await asyncio.get_running_loop().run_in_executor(reply.executor, transfer.write, held.pieces, held.file)
        await response.write_eof()
        return response
    finally:
        held.close()
