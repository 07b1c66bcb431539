"""Request bodies: decoded as they arrive, and split into statement and data without keeping the data."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from aiohttp import web

from test_framework.embedded_clickhouse.errors import ClickHouseError
from test_framework.embedded_clickhouse.statement import Statement, StatementReader

__all__ = ["Body", "read_statement"]

_PIECE = 1 << 20

#: Decodes one piece; ``None`` asks for what is left at the end.
Decode = Callable[[bytes | None], bytes]


class Body:
    """The decoded body of a request, piece by piece.

    Raises:
        ClickHouseError: from iteration, where the client's encoding is broken.
    """

    def __init__(self, request: web.Request, decoders: tuple[Decode, ...]) -> None:
        self._request = request
        self._decoders = decoders
        self._begun = False

    async def pieces(self) -> AsyncIterator[bytes]:
        """All pieces. The first call for a small body gives it whole."""
        content = self._request.content
        if self._request.can_read_body and not self._begun:
            await _continue(self._request)
        self._begun = True
        while not content.at_eof():
            piece = await content.readany()
            for decode in self._decoders:
                piece = decode(piece)
            if piece:
                yield piece
        tail = b""
        for decode in self._decoders:
            tail = (decode(tail) if tail else b"") + decode(None)
        if tail:
            yield tail


async def _continue(request: web.Request) -> None:
    """Tell a client that waits for it to send its body."""
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


class StatementBody:
    """What a request says: the statement, the data that came with its last piece, and the rest."""

    def __init__(self, statement: Statement, rest: AsyncIterator[bytes] | None) -> None:
        self.statement = statement
        self.rest = rest

    def first_data(self) -> bytes:
        """The data of an INSERT that has arrived with its head."""
        insert = self.statement.insert
        if insert is None or insert.data_offset is None:
            return b""
        return self.statement.source[insert.data_offset :]


async def read_statement(url_sql: bytes, body: AsyncIterator[bytes], *, limit: int) -> StatementBody:
    """Read until the statement is known: for an INSERT its head, for anything else the end.

    Args:
        limit: bytes of SQL kept at most.

    Raises:
        ClickHouseError: QUERY_IS_TOO_LARGE.
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
            raise ClickHouseError(229, "QUERY_IS_TOO_LARGE", f"Query is too large ({len(reader)} bytes, limit {limit})")
    return StatementBody(reader.finish(), None)
