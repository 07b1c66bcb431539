"""One request per connection, strictly bounded: what a monitor needs of HTTP, and nothing an attacker could use.

h11 parses; this module holds the limits. A full web framework costs 0.3 s of start-up and 20 MiB, in a process that is
started together with the servers it watches.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

import h11

__all__ = ["Limits", "Request", "Response", "Server", "json_response"]

logger = logging.getLogger("monitor")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one client, and all together, may take.

    Args:
        request_bytes: request line and headers.
        read_seconds: from connecting until the request is complete.
        linger_seconds: from the answer until the connection is cut.
        discard_bytes: what a client may still send after its answer before the connection is cut.
        connections: open at once; a further one takes the place of the oldest.
    """

    request_bytes: int = 8192
    read_seconds: float = 5.0
    linger_seconds: float = 2.0
    discard_bytes: int = 16 * 1024 * 1024
    connections: int = 64


@dataclass(frozen=True, kw_only=True)
class Request:
    method: str
    target: str
    host: str


@dataclass(frozen=True, kw_only=True)
class Response:
    """``policy`` is the Content-Security-Policy; without one, a browser may do nothing with the body."""

    status: int
    body: bytes
    content_type: str
    policy: str = "default-src 'none'; frame-ancestors 'none'"
    headers: tuple[tuple[str, str], ...] = ()


def json_response(status: int, value: object, *, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    body = json.dumps(value).encode() + b"\n"
    return Response(status=status, body=body, content_type="application/json", headers=headers)


Handler = Callable[[Request], Response]


class Server:
    """Listens until closed; ``handler`` answers at once, from memory."""

    # Accepted per turn of the event loop: few, so that a flood of new connections cannot push out one whose request
    # has already arrived before it was read.
    _ACCEPTED_AT_ONCE = 4
    _BACKLOG = 256

    def __init__(self, handler: Handler, limits: Limits | None = None) -> None:
        self.handler = handler
        self.limits = limits or Limits()
        self.open: OrderedDict[_Connection, None] = OrderedDict()
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Bind and listen; the port is what the system gave where ``port`` is 0.

        Raises:
            OSError: the address cannot be bound.
        """
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, port), family=family, backlog=self._BACKLOG)
        listening.settimeout(0.0)
        self._server = await asyncio.get_running_loop().create_server(
            lambda: _Connection(self), sock=listening, backlog=self._ACCEPTED_AT_ONCE
        )
        listening.listen(self._BACKLOG)  # asyncio takes one number for two things; the kernel's queue shall be longer
        return int(listening.getsockname()[1])

    def close(self) -> None:
        """Stop listening and cut every connection, at once."""
        if self._server is not None:
            self._server.close()
        for connection in list(self.open):
            connection.cut()


class _Connection(asyncio.Protocol):
    def __init__(self, server: Server) -> None:
        self._server = server
        self._limits = server.limits
        self._parser = h11.Connection(h11.SERVER, max_incomplete_event_size=server.limits.request_bytes)
        self._received = 0
        self._answered = False
        self._head_only = False
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._timer = asyncio.get_running_loop().call_later(self._limits.read_seconds, self._too_late)
        everyone = self._server.open
        everyone[self] = None
        if len(everyone) > self._limits.connections:
            next(iter(everyone)).cut()

    def connection_lost(self, _error: Exception | None) -> None:
        self._timer.cancel()
        self._server.open.pop(self, None)

    def cut(self) -> None:
        self._server.open.pop(self, None)
        self._transport.abort()

    def eof_received(self) -> bool:
        if not self._answered:
            self._feed(b"")
        return False  # close as soon as the answer is written

    def data_received(self, data: bytes) -> None:
        if not self._answered:
            rest = self._limits.request_bytes - self._received
            self._received += len(data)
            self._feed(data[:rest])
            if not self._answered and self._received >= self._limits.request_bytes:
                self._answer(_refusal(431, f"the request is longer than {self._limits.request_bytes} bytes"))
        else:
            self._received += len(data)
            if self._received > self._limits.discard_bytes:
                self.cut()

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.receive_data(data)
            event = self._parser.next_event()
        except h11.RemoteProtocolError as error:
            # Some hints are 5xx; whatever a client sends is the client's fault.
            status = error.error_status_hint if error.error_status_hint < 500 else 400
            self._answer(_refusal(status, "this is not a request this server understands"))
            return
        if isinstance(event, h11.Request):
            self._answer(self._handle(event))
        elif isinstance(event, h11.ConnectionClosed):
            self.cut()

    def _handle(self, event: h11.Request) -> Response:
        host = next((value for name, value in event.headers if name == b"host"), b"")
        request = Request(
            method=event.method.decode("latin-1"), target=event.target.decode("latin-1"), host=host.decode("latin-1")
        )
        self._head_only = request.method == "HEAD"
        try:
            return self._server.handler(request)
        except Exception:
            logger.exception("no answer for %s %s", request.method, request.target)
            return _refusal(500, "the monitor failed to answer; its log says why")

    def _too_late(self) -> None:
        if self._answered:
            self.cut()
        else:
            self._answer(_refusal(408, f"no complete request within {self._limits.read_seconds:g} s"))

    def _answer(self, response: Response) -> None:
        """Answer and hang up, but read on for a moment: closing on unread data would destroy the answer on its way."""
        self._answered = True
        self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(self._limits.linger_seconds, self._too_late)
        self._transport.write(self._rendered(response))
        if self._transport.can_write_eof():
            self._transport.write_eof()

    def _rendered(self, response: Response) -> bytes:
        head = h11.Response(
            status_code=response.status,
            reason=HTTPStatus(response.status).phrase,
            headers=[
                ("Content-Type", response.content_type),
                ("Content-Length", str(len(response.body))),
                ("Content-Security-Policy", response.policy),
                *_HEADERS,
                *response.headers,
            ],
        )
        body = b"" if self._head_only else response.body
        parts = (self._parser.send(head), self._parser.send(h11.Data(data=body)), self._parser.send(h11.EndOfMessage()))
        return b"".join(part for part in parts if part)


_HEADERS = (
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Connection", "close"),
)


def _refusal(status: int, reason: str) -> Response:
    return json_response(status, {"error": reason})
