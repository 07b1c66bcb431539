"""Connections of clients, where they differ from what the HTTP library does by itself."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import StreamReader, web
from aiohttp.http_exceptions import BadHttpMethod

from test_framework.embedded_clickhouse.framing import FramingError

__all__ = ["ClientConnection", "HttpServer"]

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
#: A method that a server has not heard of, in a line that is a request otherwise.
_REQUEST_LINE = re.compile(r"b'[A-Za-z]{1,32} [/*][^ ]* HTTP/1\.[01]'")
_ABOUT_TO_BEGIN_SECONDS = 1.0


class ClientConnection(web.RequestHandler):
    """One client's connection."""

    #: body of the request that is being answered
    body: StreamReader | None = None
    #: its length as told; ``None`` for one in chunks
    length: int | None = None
    #: bytes have come since the last request
    fresh: bool = False
    #: the client has said that it sends no more
    ended: bool = False

    def data_received(self, data: bytes) -> None:
        self.fresh = True
        super().data_received(data)

    @contextmanager
    def answering(self, request: web.BaseRequest) -> Iterator[None]:
        """Say which request is being answered now."""
        self.body, self.length = request.content, request.content_length
        if self.ended:
            self._end(request.content)
        try:
            yield
        finally:
            self.body, self.fresh = None, False

    def abandon(self) -> None:
        """Close behind the answer, without waiting for the rest of a body that does not come."""
        if self.body is not None and not self.body.is_eof():
            self.body.feed_eof()
            self.close()

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """The client sends no more. If its body is not complete, it never will be, and the client still listens."""
        self.ended = True
        if self.body is None and self.fresh:
            # A request that came along with its end is about to be answered, unless it is but a part of one.
            asyncio.get_running_loop().call_later(_ABOUT_TO_BEGIN_SECONDS, self._give_up)
            return True
        return self._end(self.body) if self.body is not None else None

    def _give_up(self) -> None:
        if self.body is None and self.transport is not None:
            self.transport.close()

    def _end(self, body: StreamReader) -> bool:
        """Tell who reads the body that it is cut short. With a whole one the client has gone: that ends its request."""
        if body.is_eof():
            if self.transport is not None:
                self.transport.close()
            return False
        if self.length is None:
            error = FramingError(3, "UNEXPECTED_END_OF_FILE", "Unexpected end of file while reading chunked HTTP data")
        else:
            got = f"got {body.total_bytes} of {self.length} bytes"
            error = FramingError(33, "CANNOT_READ_ALL_DATA", f"Unexpected EOF, {got}")
        body.set_exception(error)
        body.feed_eof()
        self.close()
        return True

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What is no request gets a status and nothing else, as from a server."""
        if status >= 500 or request.writer.output_size:
            return super().handle_error(request, status, exc, message)
        unknown = isinstance(exc, BadHttpMethod) and _REQUEST_LINE.search(message or "")
        response = web.Response(status=501 if unknown else status)
        response.force_close()
        return response


class HttpServer(web.Server):
    """Makes a ``ClientConnection`` for each client; one that goes away ends its request.

    Args:
        handler: answers a request.
        options: of the connections.
    """

    def __init__(self, handler: Handler, **options: Any) -> None:
        super().__init__(handler, handler_cancellation=True, **options)
        self._options = options

    def __call__(self) -> ClientConnection:
        return ClientConnection(self, loop=asyncio.get_running_loop(), **self._options)
