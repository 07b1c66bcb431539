"""Answers: headers, the part that is held back, the tagged error at the end of a stream that had begun."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from typing import Protocol

from aiohttp import web

from test_framework.embedded_clickhouse.errors import ClickHouseError, translate
from test_framework.embedded_clickhouse.job import Stats
from test_framework.embedded_clickhouse.results import Source

__all__ = ["Encoder", "ReplyHeaders", "error_reply", "send_result"]

#: What a server keeps before the first byte goes out: an error before that is a clean error with its own status.
HOLD_BYTES = 1 << 20
HOLD_SECONDS = 2.0

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
    if name.startswith("tabseparated") or name.startswith("tsv"):
        return "text/tab-separated-values; charset=UTF-8"
    if "json" in name:
        each_row = name.endswith(("eachrow", "eachrowwithprogress", "lines", "names", "types")) or name == "ndjson"
        return "application/x-ndjson; charset=UTF-8" if each_row else "application/json; charset=UTF-8"
    return "text/plain; charset=UTF-8"


class Encoder(Protocol):
    """A response encoding as a stream: compression, or nothing."""

    def feed(self, data: bytes) -> bytes: ...
    def finish(self) -> bytes: ...


class ReplyHeaders:
    """The headers that every answer carries."""

    def __init__(self, *, display_name: str, timezone: str, version: str) -> None:
        self.display_name = display_name
        self.timezone = timezone
        self.version = version

    def common(self, query_id: str) -> dict[str, str]:
        return {
            "X-ClickHouse-Server-Display-Name": self.display_name,
            "X-ClickHouse-Query-Id": query_id,
            "X-ClickHouse-Timezone": self.timezone,
            "Keep-Alive": "timeout=30, max=9999",
        }


def summary(stats: Stats) -> str:
    """The X-ClickHouse-Summary header; all values are strings, as in a server's."""
    return json.dumps(
        {
            "read_rows": str(stats.read_rows),
            "read_bytes": str(stats.read_bytes),
            "written_rows": str(stats.written_rows),
            "written_bytes": str(stats.written_bytes),
            "total_rows_to_read": str(stats.read_rows if not stats.written_rows else 0),
            "result_rows": str(stats.result_rows),
            "result_bytes": str(stats.result_bytes),
            "elapsed_ns": str(stats.elapsed_ns),
            "memory_usage": "0",
        },
        separators=(",", ":"),
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


async def _hold_back(source: Source) -> tuple[list[bytes], bool]:
    """Pieces up to the limit of what is held back, and whether they are all."""
    pieces: list[bytes] = []
    size, deadline = 0, 0.0
    while True:
        piece = await source.read()
        if not piece:
            return pieces, True
        pieces.append(piece)
        size += len(piece)
        now = time.monotonic()
        deadline = deadline or now + HOLD_SECONDS
        if size >= HOLD_BYTES or now > deadline:
            return pieces, False


async def send_result(
    request: web.Request,
    source: Source,
    *,
    headers: ReplyHeaders,
    query_id: str,
    extra: Mapping[str, str],
    stats: Stats,
    encoder: Encoder | None,
) -> web.StreamResponse:
    """Send a result: whole when it is small, otherwise as it comes.

    Raises:
        RuntimeError: the engine's error, as long as nothing was sent. Later it becomes part of the body.
    """
    pieces, complete = await _hold_back(source)
    tag = secrets.token_hex(8)
    all_headers = {**headers.common(query_id), "X-ClickHouse-Exception-Tag": tag, **extra}
    all_headers["X-ClickHouse-Summary"] = summary(stats)
    if complete:
        body = b"".join(pieces)
        if encoder is not None and body:
            body = encoder.feed(body) + encoder.finish()
        return web.Response(body=body, headers=all_headers)
    response = web.StreamResponse(headers=all_headers)
    response.enable_chunked_encoding()
    await response.prepare(request)
    await _stream(response, source, pieces, encoder=encoder, tag=tag, version=headers.version)
    return response


async def _stream(
    response: web.StreamResponse,
    source: Source,
    pieces: list[bytes],
    *,
    encoder: Encoder | None,
    tag: str,
    version: str,
) -> None:
    while pieces:
        for piece in pieces:
            await _write(response, encoder.feed(piece) if encoder else piece)
        try:
            piece = await source.read()
        except RuntimeError as error:
            text = translate(error).text(version)
            await _write(response, encoder.feed(_tagged(text, tag)) if encoder else _tagged(text, tag))
            break
        pieces = [piece] if piece else []
    if encoder:
        await _write(response, encoder.finish())
    await response.write_eof()


async def _write(response: web.StreamResponse, data: bytes) -> None:
    if data:
        await response.write(data)


def _tagged(text: str, tag: str) -> bytes:
    message = text.encode("utf-8", "surrogateescape")
    head = f"\r\n__exception__\r\n{tag}\r\n".encode()
    return head + message + f"{len(message)} {tag}\r\n__exception__\r\n".encode()
