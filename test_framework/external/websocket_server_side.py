"""The server's side of a connection as Starlette's handlers take it, for tests that call those directly."""

from __future__ import annotations

import contextlib
import json
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from typing import Any

from starlette.websockets import WebSocket
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from test_framework.errors import FrameworkError
from test_framework.external.websocket_connection import Outgoing, WebSocketConnection

__all__ = ["ServerSideWebSocket"]

# pytest shows the user's line, not ours; --full-trace shows all.
__tracebackhide__ = True

Message = MutableMapping[str, Any]
# RFC 6455: no code was sent.
_NO_STATUS = 1005


class ServerSideWebSocket(WebSocket):
    """A ``starlette.websockets.WebSocket`` over a real socket. ``peer`` is the client at its other end.

    What the client shall say can be told before: each time that the server's side wants to receive, the client sends
    the next of it. ``heard`` is what the server's side received, as text and bytes. The handshake is over before
    ``accept()``, so a ``close()`` before it is a close with its code, too.

    Args:
        connection: the server's side of the socket.
        peer: the client's side of it.
        path: that the client asked for.
    """

    def __init__(self, connection: ServerConnection, peer: WebSocketConnection, path: str) -> None:
        self.peer = peer
        self.accepted = False
        self.heard: list[str | bytes] = []
        self._told: list[str | bytes] = []
        self._closing = False
        self._connection = connection
        self._script: deque[Callable[[], Awaitable[None]]] = deque()
        self._begun = False
        super().__init__(_scope(connection, path), self._give, self._take)

    def peer_says(self, *messages: Outgoing) -> None:
        """Let the client send these, one whenever the server's side wants to receive: dicts and lists as JSON."""
        self._script += [partial(self.peer.send, message) for message in messages]

    def peer_leaves(self, code: int = 1000, reason: str = "") -> None:
        """Let the client close the connection after what it says."""
        self._script.append(partial(self.peer.close, code, reason))

    async def told(self) -> list[str | bytes]:
        """What the client got by now, oldest first, apart from what its own ``receive`` gave."""
        with contextlib.suppress(ConnectionClosed):
            await (await self._connection.ping())  # the pong comes behind what was sent before it
        self._told += await self.peer.pending()
        return list(self._told)

    async def told_json(self) -> list[Any]:
        """The same as Python values. Raises ValueError for a message that is no JSON."""
        return [json.loads(message) for message in await self.told()]

    async def closed_with(self) -> int | None:
        """The code that the server's side closed with, as the client got it; ``None``: it did not close."""
        await self.told()
        return await self.peer.wait_closed() if self._closing else None

    async def _give(self) -> Message:
        """ASGI's ``receive``."""
        if not self._begun:
            self._begun = True
            return {"type": "websocket.connect"}
        if self._script:
            await self._script.popleft()()
        try:
            frame = await self._connection.recv()
        except ConnectionClosed as end:
            code, reason = (end.rcvd.code, end.rcvd.reason) if end.rcvd else (_NO_STATUS, "")
            return {"type": "websocket.disconnect", "code": code, "reason": reason}
        self.heard.append(frame)
        return {"type": "websocket.receive", "bytes" if isinstance(frame, bytes) else "text": frame}

    async def _take(self, message: Message) -> None:
        """ASGI's ``send``."""
        kind = message["type"]
        if kind == "websocket.accept":
            self.accepted = True
        elif kind == "websocket.close":
            self._closing = True
            await self._connection.close(message.get("code", 1000), message.get("reason") or "")
        elif kind == "websocket.send":
            text, data = message.get("text"), message.get("bytes")
            try:
                await self._connection.send(text if text is not None else data or b"")
            except ConnectionClosed as end:  # as ASGI servers tell it
                raise OSError(str(end)) from end
        else:
            raise FrameworkError(f"a WebSocket takes no {kind}", where="the server's side of a WebSocket")


def _scope(connection: ServerConnection, path: str) -> dict[str, Any]:
    request = connection.request
    headers = request.headers.raw_items() if request is not None else ()
    plain, _, query = path.partition("?")
    return {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": plain,
        "raw_path": plain.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers],
        "client": connection.remote_address[:2],
        "server": connection.local_address[:2],
        "subprotocols": [],
        "state": {},
    }
