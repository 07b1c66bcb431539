"""Request bodies: decoded as they arrive, and split into statement and data without keeping the data."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from aiohttp import web

from test_framework.embedded_clickhouse.compression import BodyDecoder, decode_all, finish_all
from test_framework.embedded_clickhouse.decompression import EncodingError
from test_framework.embedded_clickhouse.errors import ClickHouseError
from test_framework.embedded_clickhouse.framing import FramingError
from test_framework.embedded_clickhouse.statement import Statement, StatementReader

__all__ = ["StatementBody", "body_pieces", "read_statement"]


async def body_pieces(request: web.BaseRequest, layers: list[BodyDecoder], *, timeout: float) -> AsyncIterator[bytes]:
    """The decoded body as it arrives.

    Args:
        timeout: seconds to wait for each piece.

    Raises:
        ClickHouseError: the body is not what its encoding says, or does not come.
    """
    content = request.content
    if not content.at_eof():
        _let_it_come(request)
    try:
        while not content.at_eof():
            async with asyncio.timeout(timeout):
                data = await content.readany()
            if not layers:
                yield data
                continue
            for piece in decode_all(layers, data):
                yield piece
        if (cut := content.exception()) is not None:
            raise cut
        finish_all(layers)
    except TimeoutError as error:
        raise ClickHouseError(
            209, "SOCKET_TIMEOUT", f"Timeout exceeded while reading from socket ({timeout} s)"
        ) from error
    except (EncodingError, FramingError) as error:
        raise ClickHouseError(error.code, error.name, str(error)) from error


def _let_it_come(request: web.BaseRequest) -> None:
    """Answer a client that waits for leave to send its body."""
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


@dataclass(frozen=True, slots=True)
class StatementBody:
    """What a request says: the statement, and for an INSERT the rest of its data.

    ``statement.source`` holds what arrived together with the head; ``rest`` is ``None`` when that was all.
    """

    statement: Statement
    rest: AsyncIterator[bytes] | None

    def first_data(self) -> bytes:
        """The data of an INSERT that arrived with its head."""
        insert = self.statement.insert
        if insert is None or insert.data_offset is None:
            return b""
        return self.statement.source[insert.data_offset :]

    async def data(self) -> AsyncIterator[bytes]:
        """All data of an INSERT."""
        if first := self.first_data():
            yield first
        if self.rest is not None:
            async for piece in self.rest:
                yield piece


async def read_statement(url_sql: bytes, body: AsyncIterator[bytes], *, limit: int) -> StatementBody:
    """Read until the statement is known: for an INSERT its head, for anything else the end.

    Args:
        limit: bytes of SQL kept at most.

    Raises:
        ClickHouseError: QUERY_IS_TOO_LARGE, or from ``body``.
    """
    reader = StatementReader()
    if url_sql:
        statement = reader.feed(url_sql + b"\n")
        if statement is not None:
            return StatementBody(statement, body)
    async for piece in body:
        statement = reader.feed(piece)
        if statement is not None:
            return StatementBody(statement, body)
        if len(reader) > limit:
            raise ClickHouseError(229, "QUERY_IS_TOO_LARGE", f"Query is too large (limit: {limit} bytes)")
    return StatementBody(reader.finish(), None)
