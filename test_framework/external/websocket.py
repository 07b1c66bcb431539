"""A WebSocket client for the service under test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from test_framework.errors import FrameworkError
from test_framework.external.bound import LoopBound
from test_framework.external.websocket_connection import NothingReceived, Outgoing, WebSocketConnection
from test_framework.manager.hop import needs_loop

__all__ = ["NothingReceived", "WebSocketClient", "WebSocketConnection"]

# pytest shows the user's line, not ours; --full-trace shows all.
__tracebackhide__ = True


class WebSocketClient:
    """Connects to paths of one service. :meth:`send` and its like speak on the connection opened last.

    Args:
        url: ``ws://…`` or ``wss://…``; ``http`` is understood too.
        timeout: seconds to connect.
    """

    def __init__(self, url: str, *, timeout: float = 10.0) -> None:
        self.url = url.replace("http", "ws", 1) if url.startswith("http") else url
        self._timeout = timeout
        self._bound = LoopBound()
        self._current: WebSocketConnection | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def connect(
        self,
        path: str = "/",
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        subprotocols: list[str] | None = None,
        timeout: float | None = None,
    ) -> WebSocketConnection:
        """Open a connection to ``path`` (or a whole URL). Those opened before stay open.

        Args:
            token: sent as ``Authorization: Bearer …``.
            timeout: seconds; ``None``: the client's.

        Raises:
            OSError, TimeoutError, websockets.InvalidHandshake: nobody is there, or the server refuses.
        """
        needs_loop("real_websocket_client.connect", "service_url for a client of your own")
        url = path if "://" in path else f"{self.url.rstrip('/')}/{path.lstrip('/')}"
        bearer = {"Authorization": f"Bearer {token}"} if token else {}
        opened = await WebSocketConnection.open(
            url,
            headers={**bearer, **(headers or {})},
            subprotocols=subprotocols,
            timeout=self._timeout if timeout is None else timeout,
            on_close=self._bound.remove,
        )
        await self._bound.add(opened, opened.close)
        self._current = opened
        return opened

    @property
    def connection(self) -> WebSocketConnection:
        """The one opened last.

        Raises:
            FrameworkError: there is none yet.
        """
        if self._current is None:
            raise FrameworkError(
                "the WebSocket client is not connected", where=self.url, fix='await client.connect("/ws/chat") first'
            )
        return self._current

    async def send(self, message: Outgoing) -> None:
        """Send a dict or list as JSON, a ``str`` as text, ``bytes`` as a binary message."""
        await self.connection.send(message)

    async def send_json(self, message: Any) -> None:
        """The same as :meth:`send` for a dict or list."""
        await self.connection.send(message)

    async def receive(self, timeout: float = 5.0) -> str | bytes:
        """The next message; see :meth:`WebSocketConnection.receive`."""
        return await self.connection.receive(timeout)

    async def receive_json(self, timeout: float = 5.0) -> Any:
        """The next message as a Python value; see :meth:`WebSocketConnection.receive_json`."""
        return await self.connection.receive_json(timeout)

    async def ping(self, timeout: float = 5.0) -> float:
        """Seconds until the server's pong."""
        return await self.connection.ping(timeout)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the connection opened last. Harmless twice, and without one."""
        if self._current is not None:
            await self._current.close(code, reason)

    async def aclose(self) -> None:
        """Close all connections of the running loop."""
        await self._bound.aclose()

    def close_everywhere(self) -> None:
        """Close the connections of all loops, from where none runs."""
        self._bound.close()
