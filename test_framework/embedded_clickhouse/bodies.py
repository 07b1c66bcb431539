"""Request bodies: decoded as they arrive, and split into statement and data without keeping the data."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from dataclasses import dataclass
from typing import TypeAlias

from aiohttp import StreamReader, web

from test_framework.embedded_clickhouse.compression import BodyDecoder, decode_all, finish_all
from test_framework.embedded_clickhouse.decompression import EncodingError
from test_framework.embedded_clickhouse.errors import ClickHouseError
from test_framework.embedded_clickhouse.framing import FramingError
from test_framework.embedded_clickhouse.intake import Intake
from test_framework.embedded_clickhouse.statement import Statement, StatementReader

__all__ = ["RequestBody", "StatementBody", "body_pieces", "read_statement"]

Pieces: TypeAlias = AsyncGenerator[bytes, None]

#: Bytes of a large body that the event loop is told of at once.
_TOLD_OF = 1 << 17


class RequestBody:
    """The decoded body as it arrives, an asynchronous iterator. To be closed before the answer."""

    def __init__(self, request: web.BaseRequest, layers: list[BodyDecoder], *, timeout: float) -> None:
        self._request = request
        self._encoded = bool(layers)
        self._pieces = _pieces(request, layers, timeout=timeout)

    def __aiter__(self) -> Pieces:
        content = self._request.content
        if self._encoded or not content.is_eof() or content.exception() is not None:
            return self._pieces
        # All of it has come, as small bodies do together with their heads.
        return _given(content.read_nowait())

    async def aclose(self) -> None:
        await self._pieces.aclose()

    def intake(self) -> Intake | None:
        """For a worker thread to read on, between two pieces; ``None`` where the event loop does it as well."""
        return None if self._encoded else Intake.of(self._request)


def body_pieces(request: web.BaseRequest, layers: list[BodyDecoder], *, timeout: float) -> RequestBody:
    """The decoded body as it arrives. To be closed before the answer.

    Args:
        timeout: seconds to wait for each piece.

    Raises:
        ClickHouseError: while iterating: the body is not what its encoding says, or does not come.
    """
    return RequestBody(request, layers, timeout=timeout)


async def _given(data: bytes) -> Pieces:
    if data:
        yield data


async def _pieces(request: web.BaseRequest, layers: list[BodyDecoder], *, timeout: float) -> Pieces:
    content = request.content
    wake = _Wake(request)
    if not content.at_eof():
        _let_it_come(request)
    try:
        while not content.at_eof():
            data = await _read_some(content, wake, timeout)
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
    finally:
        wake.always()


async def _read_some(content: StreamReader, wake: _Wake, timeout: float) -> bytes:
    wake.after(content.total_bytes)
    try:
        async with asyncio.timeout(timeout):
            return await content.readany()
    except TimeoutError:
        if not wake.always():
            raise
    # What has come may only have been too little to be told of.
    async with asyncio.timeout(timeout):
        return await content.readany()


class _Wake:
    """How much of a body must have come before the event loop is told.

    By itself the system tells of each packet, and the loop's work for it costs more than the packet. So while much of a
    body is still to come, it tells of several at once.
    """

    def __init__(self, request: web.BaseRequest) -> None:
        transport = request.transport
        self._socket = transport.get_extra_info("socket") if transport is not None else None
        self._size = request.content_length or 0
        self._bytes = 1

    def after(self, received: int) -> None:
        """Choose by how much has come; with little left to come the last piece must not be waited for in vain."""
        self._set(_TOLD_OF if self._size - received > 4 * _TOLD_OF else 1)

    def always(self) -> bool:
        """Tell of each byte, of the next request for example. Returns whether it was otherwise."""
        return self._set(1)

    def _set(self, number: int) -> bool:
        if number == self._bytes or self._socket is None:
            return False
        self._bytes = number
        with contextlib.suppress(OSError):  # the client has gone
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, number)
        return True


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
    rest: AsyncIterable[bytes] | None

    def first_data(self) -> bytes:
        """The data of an INSERT that arrived with its head."""
        insert = self.statement.insert
        if insert is None or insert.data_offset is None:
            return b""
        return self.statement.source[insert.data_offset :]

    def intake(self) -> Intake | None:
        """For a worker thread to read on, between two pieces of ``data``, where much is still to come."""
        return self.rest.intake() if isinstance(self.rest, RequestBody) else None

    async def data(self) -> AsyncIterator[bytes]:
        """All data of an INSERT."""
        if first := self.first_data():
            yield first
        if self.rest is not None:
            async for piece in self.rest:
                yield piece


async def read_statement(url_sql: bytes, body: AsyncIterable[bytes], *, limit: int) -> StatementBody:
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
