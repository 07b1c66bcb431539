"""Answers: headers, the part that is held back, the tagged error at the end of a stream that had begun."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from aiohttp import web

from test_framework.embedded_clickhouse.encodings import Encoder
from test_framework.embedded_clickhouse.engine import Engine
from test_framework.embedded_clickhouse.errors import ENGINE_ERRORS, ClickHouseError, translate
from test_framework.embedded_clickhouse.job import Job, Stats
from test_framework.embedded_clickhouse.results import Source

__all__ = ["Reply", "ReplyHeaders", "error_reply", "send_result"]

#: What a server keeps before the first byte goes out: an error before that is a clean error with its own status.
HOLD_BYTES = 1 << 20
#: And for how long. A server that reports progress in headers has begun its answer with the first report.
HOLD_SECONDS = 2.0
PROGRESS_SECONDS = 0.05
_EXPOSED = (
    "X-ClickHouse-Query-Id,X-ClickHouse-Summary,X-ClickHouse-Server-Display-Name,X-ClickHouse-Format,"
    "X-ClickHouse-Timezone,X-ClickHouse-Exception-Code,X-ClickHouse-Exception-Tag"
)
#: Turns any byte into a lower-case letter.
_LETTERS = bytes(97 + byte % 26 for byte in range(256))
_SPOOL_AFTER = 16 << 20
_LARGE = 1 << 16

_CONTENT_TYPES = {
    "arrow": "application/octet-stream",
    "csv": "text/csv; charset=UTF-8; header=absent",
    "csvwithnames": "text/csv; charset=UTF-8; header=present",
    "csvwithnamesandtypes": "text/csv; charset=UTF-8; header=present",
    "markdown": "text/markdown; charset=UTF-8",
    "native": "application/octet-stream",
    "parquet": "application/octet-stream",
    "prometheus": "text/plain; version=0.0.4; charset=UTF-8",
    "sqlinsert": "text/plain; charset=UTF-8",
    "xml": "application/xml; charset=UTF-8",
    "orc": "application/octet-stream",
    "arrowstream": "application/octet-stream",
    "rowbinary": "application/octet-stream",
    "rowbinarywithnames": "application/octet-stream",
    "rowbinarywithnamesandtypes": "application/octet-stream",
    "rowbinarywithdefaults": "application/octet-stream",
    "msgpack": "application/octet-stream",
    "protobuf": "application/octet-stream",
    "protobufsingle": "application/octet-stream",
    "protobuflist": "application/octet-stream",
    "capnproto": "application/octet-stream",
    "avro": "application/octet-stream",
    "npy": "application/octet-stream",
    "bsoneachrow": "application/octet-stream",
    "rawblob": "application/octet-stream",
    "odbcdriver2": "application/octet-stream",
    "mysqlwire": "application/octet-stream",
    "postgresqlwire": "application/octet-stream",
}


def content_type(format: str) -> str:
    """The Content-Type a server sends for an output format."""
    name = format.lower()
    if name in _CONTENT_TYPES:
        return _CONTENT_TYPES[name]
    if name.startswith(("tabseparated", "tsv")):
        return "text/tab-separated-values; charset=UTF-8"
    if "json" in name:
        each_row = name.endswith(("eachrow", "eachrowwithprogress", "lines", "names", "types")) or name == "ndjson"
        return "application/x-ndjson; charset=UTF-8" if each_row else "application/json; charset=UTF-8"
    return "text/plain; charset=UTF-8"


class ReplyHeaders:
    """The headers that every answer carries."""

    def __init__(self, engine: Engine) -> None:
        self.display_name = engine.display_name
        self.timezone = engine.timezone
        self.version = engine.version
        self.server = f"chdb-core/{engine.package_version} (embedded ClickHouse {engine.version})"

    def common(self, query_id: str) -> dict[str, str]:
        return {
            "X-ClickHouse-Server-Display-Name": self.display_name,
            "X-ClickHouse-Query-Id": query_id,
            "X-ClickHouse-Timezone": self.timezone,
            "Server": self.server,
            "Keep-Alive": "timeout=30, max=9999",
            "Access-Control-Expose-Headers": _EXPOSED,
        }


def summary(stats: Stats) -> str:
    """The X-ClickHouse-Summary header; all values are strings, as in a server's."""
    total = 0 if stats.written_rows else stats.read_rows
    return (
        f'{{"read_rows":"{stats.read_rows}","read_bytes":"{stats.read_bytes}","written_rows":"{stats.written_rows}",'
        f'"written_bytes":"{stats.written_bytes}","total_rows_to_read":"{total}","result_rows":"{stats.result_rows}",'
        f'"result_bytes":"{stats.result_bytes}","elapsed_ns":"{stats.elapsed_ns}","memory_usage":"0"}}'
    )


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

    def all_headers(self, tag: str) -> dict[str, str]:
        """The headers, with the summary of what is known now."""
        headers = {**self.headers.common(self.query_id), "X-ClickHouse-Exception-Tag": tag, **self.extra}
        if self.format:
            headers["X-ClickHouse-Format"] = self.format
            headers["Content-Type"] = content_type(self.format)
        headers["X-ClickHouse-Summary"] = summary(self.job.stats)
        return headers

    async def encode(self, data: bytes | memoryview) -> bytes | memoryview:
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
        self.pieces: list[bytes | memoryview] = []
        self.size = 0
        self._reply = reply
        self._file: IO[bytes] | None = None

    async def add(self, piece: bytes | memoryview) -> None:
        self.pieces.append(piece)
        self.size += len(piece)
        if self._reply.whole and self.size > _SPOOL_AFTER:
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._reply.spool)  # noqa: SIM115 - lives as long as this object
            data, self.pieces = b"".join(self.pieces), []
            await asyncio.get_running_loop().run_in_executor(self._reply.executor, self._file.write, data)

    async def drain(self) -> AsyncIterator[bytes | memoryview]:
        """Everything that is held, in order."""
        if self._file is not None:
            self._file.seek(0)
            loop = asyncio.get_running_loop()
            while data := await loop.run_in_executor(self._reply.executor, self._file.read, HOLD_BYTES):
                yield data
        pieces, self.pieces = self.pieces, []
        for piece in pieces:
            yield piece

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


async def _hold_back(source: Source, reply: Reply, held: _Held) -> bool:
    """Read up to the limit of what is held back; whether that was all."""
    limit, deadline = reply.hold or HOLD_BYTES, 0.0
    while True:
        piece = await source.read()
        if not piece:
            return True
        await held.add(piece)
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
        tag = os.urandom(16).translate(_LETTERS).decode()
        if complete and held.size <= _SPOOL_AFTER:
            body = b"".join(held.pieces)
            if reply.encoder is not None:
                body = bytes(await reply.encode(body)) + reply.encoded_end()
            return web.Response(body=body, headers=reply.all_headers(tag))
        response = web.StreamResponse(headers=reply.all_headers(tag))
        response.enable_chunked_encoding()
        await response.prepare(request)
        async for piece in held.drain():
            await _write(response, await reply.encode(piece))
        if not complete:
            await _stream(response, source, reply, tag)
        await release()
        await _write(response, reply.encoded_end())
        await response.write_eof()
        return response
    finally:
        held.close()


async def _stream(response: web.StreamResponse, source: Source, reply: Reply, tag: str) -> None:
    """Send what comes; an error becomes the tagged end of the body."""
    try:
        while piece := await source.read():
            reply.job.stats.result_bytes += len(piece)
            await _write(response, await reply.encode(piece))
    except ENGINE_ERRORS as raised:
        error = reply.job.error = translate(raised)
        # The rows before it shall reach the client by themselves: some drop a piece that ends in an error.
        await asyncio.sleep(0.02)
        await _write(response, await reply.encode(_tagged(error.text(reply.headers.version), tag)))


async def _write(response: web.StreamResponse, data: bytes | memoryview) -> None:
    if data:
        await response.write(data)


def _tagged(text: str, tag: str) -> bytes:
    message = text.encode("utf-8", "surrogateescape")
    head = f"\r\n__exception__\r\n{tag}\r\n".encode()
    return head + message + f"{len(message)} {tag}\r\n__exception__\r\n".encode()
