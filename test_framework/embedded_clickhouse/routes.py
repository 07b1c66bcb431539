"""Which requests are queries, and the few fixed answers beside them."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web

from test_framework.embedded_clickhouse.connections import ClientConnection
from test_framework.embedded_clickhouse.handler import QueryHandler
from test_framework.embedded_clickhouse.reply_headers import ReplyHeaders
from test_framework.embedded_clickhouse.request import read_request

__all__ = ["Endpoint"]

_HINTS = """There is no handle {path}

Use / or /ping for health checks.
Or /replicas_status for more sophisticated health checks.

Send queries from your program with POST method or GET /?query=...

Only HTTP is spoken here: this is the embedded engine, and it has no native protocol for clickhouse-client.
"""
_READING = ("GET", "HEAD")


class Endpoint:
    """Answers one request, as a server's HTTP port does."""

    def __init__(self, handler: QueryHandler, headers: ReplyHeaders) -> None:
        self._handler = handler
        self._headers = headers

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        assert isinstance(connection, ClientConnection)
        with connection.answering(request):
            response = await self._answer(request)
            if response.status == HTTPStatus.SERVICE_UNAVAILABLE:
                connection.abandon()
            return response

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        path, arguments, raw_query = request.raw_path.partition("?")
        method = request.method
        if method in _READING:
            if path == "/ping":
                return self._fixed("Ok.\n")
            if path.startswith("/replicas_status"):
                return self._fixed("Ok.\n")
            if not arguments:
                return self._fixed("Ok.\n") if path == "/" else self._fixed(_HINTS.format(path=path), status=404)
        elif method == "OPTIONS":
            return web.Response(status=204, headers={"Allow": "GET, HEAD, POST, OPTIONS"})
        elif method != "POST":
            return web.Response(status=501, reason="Not Implemented")
        return await self._handler.answer(request, read_request(method, raw_query, request.headers))

    def _fixed(self, text: str, *, status: int = 200) -> web.Response:
        headers = {
            "Content-Type": "text/html; charset=UTF-8" if status == 200 else "text/plain; charset=UTF-8",
            "X-ClickHouse-Server-Display-Name": self._headers.display_name,
            "Server": self._headers.server,
        }
        return web.Response(status=status, body=text.encode("utf-8", "surrogateescape"), headers=headers)
