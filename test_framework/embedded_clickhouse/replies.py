"""Answers: headers, the part that is held back, the tagged error at the end of a stream that had begun."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from aiohttp import HttpVersion11, web
from multidict import CIMultiDict

from test_framework.embedded_clickhouse.chance import Chance
from test_framework.embedded_clickhouse.encodings import Encoder
from test_framework.embedded_clickhouse.errors import ENGINE_ERRORS, ClickHouseError, translate
from test_framework.embedded_clickhouse.job import Job
from test_framework.embedded_clickhouse.reply_headers import ReplyHeaders, content_type, summary
from test_framework.embedded_clickhouse.results import Source
from test_framework.embedded_clickhouse.transfer import Piece, Transfer

__all__ = ["Reply", "error_reply", "send_result"]

#: What a server keeps before the first byte goes out: an error before that is a clean error with its own status.
HOLD_BYTES = 1 << 20
#: And for how long. A server that reports progress in headers has begun its answer with the first report.
HOLD_SECONDS = 2.0
PROGRESS_SECONDS = 0.05
_chance = Chance()
_SPOOL_AFTER = 16 << 20
_LARGE = 1 << 16


def error_reply(error: ClickHouseError, headers: ReplyHeaders, query_id: str) -> web.Response:
    """A clean error: nothing of the result has been sent."""
    extra = {"X-ClickHouse-Exception-Code": str(error.code)}
    if error.code == 516 or error.code == 194:
        extra["WWW-Authenticate"] = 'Basic realm="ClickHouse server HTTP API"'
    return web.Response(
        status=error.http,
        body=error.text(headers.version).encode("utf-8", "surrogateescape"),
        headers={**headers.common(query_id), **extra, "Content-Type": "text/plain; charset=UTF-8"},
    )


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

    def all_headers(self, tag: str) -> Mapping[str, str]:
        """The headers, with the summary of what is known now and all progress up to now."""
        headers = {**self.headers.common(self.query_id), "X-ClickHouse-Exception-Tag": tag, **self.extra}
        if self.format:
            headers["X-ClickHouse-Format"] = self.format
            headers["Content-Type"] = content_type(self.format)
        headers["X-ClickHouse-Summary"] = summary(self.job.stats)
        if not self.job.progress:
            return headers
        progress = [("X-ClickHouse-Progress", text) for text in self.job.progress]
        return CIMultiDict([*headers.items(), *progress])

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
    """What has been read and not been sent: in memory, then in a file without a name."""

    def __init__(self, reply: Reply) -> None:
        self.pieces: list[bytes] = []
        self.size = 0
        self._reply = reply
        self._file: IO[bytes] | None = None

    async def add(self, pieces: Sequence[Piece]) -> None:
        for piece in pieces:
            self.pieces.append(bytes(piece))
            self.size += len(piece)
        if self._reply.whole and self.size > _SPOOL_AFTER:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._reply.spool)  # noqa: SIM115 - lives as long as this object
            data, self.pieces = b"".join(self.pieces), []
            await asyncio.get_running_loop().run_in_executor(self._reply.executor, self._file.write, data)

    async def drain(self) -> AsyncIterator[Sequence[Piece]]:
        """Everything that is held, in order."""
        if self._file is not None:
            self._file.seek(0)
            loop = asyncio.get_running_loop()
            while data := await loop.run_in_executor(self._reply.executor, self._file.read, HOLD_BYTES):
                yield [data]
        pieces, self.pieces = self.pieces, []
        yield pieces

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


async def _hold_back(source: Source, reply: Reply, held: _Held) -> bool:
    """Read up to the limit of what is held back; whether that was all."""
    limit, deadline = reply.hold or HOLD_BYTES, 0.0
    while True:
        pieces = await source.read()
        if not pieces:
            return True
        await held.add(pieces)
        if reply.whole:
            continue
        now = time.monotonic()
        deadline = deadline or now + reply.patience
        if held.size >= limit or now > deadline:
            return False


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
    try:
        complete = await _hold_back(source, reply, held)
        reply.job.stats.result_bytes = reply.job.stats.result_bytes or held.size
        tag = _chance.tag()
        if complete and held.size <= _SPOOL_AFTER:
            body: Piece = b"".join(held.pieces)
            if reply.encoder is not None:
                body = bytes(await reply.encode(body)) + reply.encoded_end()
            return web.Response(body=body, headers=reply.all_headers(tag))
        response = web.StreamResponse(headers=reply.all_headers(tag))
        if request.version >= HttpVersion11:
            response.enable_chunked_encoding()
        writer = await response.prepare(request)
        assert writer is not None, "a new response has a writer"
        with Transfer(response, writer) as transfer:
            async for pieces in held.drain():
                await _send(transfer, pieces, reply)
            if not complete:
                await _stream(transfer, source, reply, tag)
            await release()
            await transfer.write([reply.encoded_end()])
        await response.write_eof()
        return response
    finally:
        held.close()


async def _stream(transfer: Transfer, source: Source, reply: Reply, tag: str) -> None:
    """Send what comes; an error becomes the tagged end of the body."""
    try:
        while pieces := await source.read():
            reply.job.stats.result_bytes += sum(map(len, pieces))
            await _send(transfer, pieces, reply)
    except ENGINE_ERRORS as raised:
        error = reply.job.error = translate(raised)
        # The rows before it shall reach the client by themselves: some drop a piece that ends in an error.
        await asyncio.sleep(0.02)
        await _send(transfer, [_tagged(error.text(reply.headers.version), tag)], reply)


async def _send(transfer: Transfer, pieces: Sequence[Piece], reply: Reply) -> None:
    if reply.encoder is None:
        await transfer.write(pieces)
        return
    for piece in pieces:
        await transfer.write([await reply.encode(piece)])


def _tagged(text: str, tag: str) -> bytes:
    message = text.encode("utf-8", "surrogateescape")
    head = f"\r\n__exception__\r\n{tag}\r\n".encode()
    return head + message + f"{len(message)} {tag}\r\n__exception__\r\n".encode()
