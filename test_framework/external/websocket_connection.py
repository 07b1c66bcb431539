"""One WebSocket connection, as a test uses it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedOK
from websockets.typing import Subprotocol

from test_framework.errors import FrameworkError
from test_framework.external.http_log import scrubbed

__all__ = ["NothingReceived", "Outgoing", "WebSocketConnection", "frame_of"]

# pytest shows the user's line, not ours; --full-trace shows all.
__tracebackhide__ = True

Outgoing = Mapping[str, Any] | list[Any] | str | bytes
_LARGEST = 64 * 1024 * 1024
_CLOSING = 2.0


class NothingReceived(FrameworkError, TimeoutError):
    """No message came within the time that the test gave."""


def frame_of(message: Outgoing) -> str | bytes:
    """Text and bytes as they are; anything else as JSON."""
    return message if isinstance(message, str | bytes) else json.dumps(message)


class WebSocketConnection:
    """An open connection. What the peer's closing raises is ``websockets.ConnectionClosed``, with code and reason."""

    def __init__(self, connection: ClientConnection, url: str, on_close: Callable[[WebSocketConnection], None]) -> None:
        self.url = url
        self._connection = connection
        self._on_close = on_close
        self._received = 0

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        subprotocols: list[str] | None = None,
        timeout: float = 10.0,
        on_close: Callable[[WebSocketConnection], None] = lambda _: None,
    ) -> Self:
        """Connect, past all proxies.

        Raises:
            OSError, TimeoutError, websockets.InvalidHandshake: nobody is there, or the server refuses.
        """
        connection = await connect(
            url,
            additional_headers=dict(headers or {}),
            subprotocols=[Subprotocol(name) for name in subprotocols or []] or None,
            open_timeout=timeout,
            close_timeout=_CLOSING,
            max_size=_LARGEST,
            compression=None,
            proxy=None,
        )
        return cls(connection, url, on_close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        """Messages until a normal close."""
        try:
            while True:
                yield await self._connection.recv()
        except ConnectionClosedOK:
            return

    async def send(self, message: Outgoing) -> None:
        """Send a dict or list as JSON, a ``str`` as text, ``bytes`` as a binary message."""
        await self._connection.send(frame_of(message))

    async def send_json(self, message: Any) -> None:
        """Send ``message`` as JSON, whatever it is."""
        await self._connection.send(json.dumps(message))

    async def receive(self, timeout: float = 5.0) -> str | bytes:
        """The next message: ``str`` or ``bytes``.

        Raises:
            NothingReceived: none came within ``timeout`` seconds.
            websockets.ConnectionClosed: the connection was closed; the messages before that were all received.
        """
        try:
            async with asyncio.timeout(timeout):
                message = await self._connection.recv()
        except TimeoutError as error:
            raise NothingReceived(
                f"no message came within {timeout:g} s",
                where=scrubbed_websocket(self.url),
                cause=f"{self._received} messages came before, and the connection is open",
            ) from error
        self._received += 1
        return message

    async def receive_json(self, timeout: float = 5.0) -> Any:
        """The next message as a Python value.

        Raises:
            FrameworkError: it is binary, or no JSON; else as :meth:`receive`.
        """
        message = await self.receive(timeout)
        try:
            if isinstance(message, str):
                return json.loads(message)
        except ValueError:
            pass
        raise FrameworkError(
            f"the message is no JSON: {message[:200]!r}",
            where=scrubbed_websocket(self.url),
            fix="take receive() for text and bytes",
        )

    async def pending(self) -> list[str | bytes]:
        """The messages that are there and were not received yet, without waiting for more; none when it is closed."""
        found: list[str | bytes] = []
        try:
            while True:
                async with asyncio.timeout(0):
                    found.append(await self._connection.recv())
        except (TimeoutError, ConnectionClosed):
            return found

    async def ping(self, timeout: float = 5.0) -> float:
        """Seconds until the peer's pong."""
        async with asyncio.timeout(timeout):
            return await (await self._connection.ping())

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close it, and wait for the peer to agree. Harmless twice."""
        self._on_close(self)
        await self._connection.close(code, reason)

    @property
    def socket(self) -> ClientConnection:
        """The connection of the library ``websockets``, for code that is written for it."""
        return self._connection

    @property
    def closed(self) -> bool:
        return self._connection.close_code is not None

    @property
    def close_code(self) -> int | None:
        """Why it was closed, as the peer or we said; ``None`` while it is open."""
        return self._connection.close_code

    @property
    def close_reason(self) -> str | None:
        return self._connection.close_reason

    @property
    def subprotocol(self) -> str | None:
        """What was agreed on."""
        return self._connection.subprotocol

    async def wait_closed(self, timeout: float = 5.0) -> int:
        """Wait until the peer closes; its code. Messages that come before are dropped.

        Raises:
            TimeoutError: it stays open.
        """
        async with asyncio.timeout(timeout):
            try:
                while True:
                    await self._connection.recv()
            except ConnectionClosed:
                assert self._connection.close_code is not None
                return self._connection.close_code


def scrubbed_websocket(url: str) -> str:
    import httpx

    return scrubbed(httpx.URL(url))
