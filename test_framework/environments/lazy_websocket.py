"""A WebSocket resource for fixtures that are set up where no event loop runs."""

from __future__ import annotations

from typing import Any

from test_framework.external.websocket_connection import Outgoing, WebSocketConnection
from test_framework.external.websocket_resource import WebSocketTestResource

__all__ = ["LazyWebSocket"]

# pytest shows the user's line, not ours; --full-trace shows all.
__tracebackhide__ = True


class LazyWebSocket(WebSocketTestResource):
    """Listens and connects when it is first used, in the loop that uses it. ``await start()`` does so by hand."""

    __test__ = False  # not a test class, whatever its base's name looks like

    async def send_message(self, message: Outgoing) -> None:
        """See :meth:`WebSocketTestResource.send_message`."""
        await self.start()
        await super().send_message(message)

    async def receive_message(self, timeout: float = 5.0) -> Any:
        """See :meth:`WebSocketTestResource.receive_message`."""
        await self.start()
        return await super().receive_message(timeout)

    async def connect(self, path: str = "/") -> WebSocketConnection:
        """See :meth:`WebSocketTestResource.connect`."""
        if self._server is None:
            await self.start()
        return await super().connect(path)
