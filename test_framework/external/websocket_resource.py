"""A WebSocket server of the test's own, and a client of it: what a mock of ``websockets`` stood for."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from websockets.asyncio.server import Server, ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed

from test_framework.errors import FrameworkError
from test_framework.external.bound import LoopBound
from test_framework.external.websocket_connection import Outgoing, WebSocketConnection, frame_of

if TYPE_CHECKING:
    from test_framework.external.websocket_server_side import ServerSideWebSocket

__all__ = ["Handler", "WebSocketTestResource"]

# pytest shows the user's line, not ours; --full-trace shows all.
__tracebackhide__ = True

Reply = Outgoing | None
Handler = Callable[..., Reply | Awaitable[Reply]]
_LARGEST = 64 * 1024 * 1024
_CLOSING = 2.0
# RFC 6455: the server met a condition that kept it from going on.
_INTERNAL_ERROR = 1011
# Paths of connections whose server's side the test itself holds.
_HANDED_OUT = "/server-side/"


class WebSocketTestResource:
    """A real server on an ephemeral port of 127.0.0.1 and a client that is connected to it, in the test's loop.

    The server answers each message by the handler of its ``type``, and echoes what no handler is for: other types, text
    that is no JSON, and binary messages. Messages of one connection are answered in order.

        async with WebSocketTestResource() as websocket:
            websocket.register_message_handler("greet", lambda message: {"type": "hello", "to": message["name"]})
            await websocket.send_message({"type": "greet", "name": "Ada"})
            assert await websocket.receive_message() == {"type": "hello", "to": "Ada"}

    A handler that raises ends its connection with code 1011. The test sees the very exception: at the next
    :meth:`send_message` or :meth:`receive_message`, or at the end of the block.
    """

    __test__ = False

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}
        self._binary: Handler | None = None
        self._default: Handler | None = None
        self._received: list[str | bytes] = []
        self._handed_out: dict[str, asyncio.Future[ServerConnection]] = {}
        self._server: Server | None = None
        self._client: WebSocketConnection | None = None
        self._bound = LoopBound()
        self._errors: list[BaseException] = []
        self._serving: set[asyncio.Task[Any]] = set()

    async def start(self) -> Self:
        """Listen and connect. The server lives in the running loop and ends with it at the latest."""
        if self._server is None:
            self._server = await serve(
                self._serve, "127.0.0.1", 0, max_size=_LARGEST, compression=None, close_timeout=_CLOSING
            )
            await self._bound.add(self, self._stop_server)
            self._client = await self.connect()
        return self

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._bound.aclose()
        if error is None:
            self._raise_errors()
            return
        for unseen in self._errors:
            if unseen is not error:
                error.add_note(f"a handler of the WebSocket server raised {type(unseen).__name__}: {unseen}")

    async def aclose(self) -> None:
        """Close everything; raise what a handler raised and nobody saw yet. Harmless twice."""
        await self._bound.aclose()
        self._raise_errors()

    def close_everywhere(self) -> None:
        """Close everything from where no loop runs; raise what a handler raised and nobody saw yet."""
        self._bound.close()
        self._raise_errors()

    def register_message_handler(self, type: str, handler: Handler) -> None:
        """Answer messages whose ``type`` is this by what ``handler(message)`` returns, or gives when awaited.

        A dict or list is sent as JSON, ``str`` as text, ``bytes`` as a binary message, ``None`` not at all. A handler
        that takes a second argument gets the server's side of the connection too: ``await connection.send(…)``.
        """
        self._handlers[type] = _normal(handler)

    def register_binary_handler(self, handler: Handler) -> None:
        """The same for binary messages; ``handler`` gets ``bytes``."""
        self._binary = _normal(handler)

    def register_default_handler(self, handler: Handler) -> None:
        """The same for messages that no other handler is for, in place of the echo; ``lambda _: None`` is silence."""
        self._default = _normal(handler)

    async def received(self) -> list[str | bytes]:
        """What clients have sent to the server, oldest first, as text and bytes; all that was sent before the call."""
        for connection in list(self._running.connections):
            with contextlib.suppress(ConnectionClosed):
                await (await connection.ping())  # the pong comes behind what was sent before it
        return list(self._received)

    async def received_json(self) -> list[Any]:
        """The same as Python values. Raises ValueError for a message that is no JSON."""
        return [json.loads(message) for message in await self.received()]

    async def server_side(self, path: str = "/", *, accept: bool = False) -> ServerSideWebSocket:
        """The server's side of a connection as Starlette's handlers take it; its ``peer`` is the client.

        Args:
            accept: it is accepted already, for code that gets it like that.
        """
        from test_framework.external.websocket_server_side import ServerSideWebSocket

        await self.start()
        key = f"{_HANDED_OUT}{len(self._handed_out)}"
        self._handed_out[key] = asyncio.get_running_loop().create_future()
        peer = await self.connect(key)
        made = ServerSideWebSocket(await self._handed_out[key], peer, path)
        if accept:
            await made.accept()
        return made

    async def send_message(self, message: Outgoing) -> None:
        """Send from the client to the server: a dict or list as JSON, ``str`` as text, ``bytes`` as binary."""
        self._raise_errors()
        try:
            await self.client.send(message)
        except ConnectionClosed:
            self._raise_errors()
            raise

    async def receive_message(self, timeout: float = 5.0) -> Any:
        """The next message to the client: a Python value if it is JSON, else ``str``; ``bytes`` if it is binary.

        Raises:
            NothingReceived: none came within ``timeout`` seconds.
            websockets.ConnectionClosed: the connection was closed.
            Exception: what the handler raised instead of answering.
        """
        try:
            message = await self.client.receive(timeout)
        except ConnectionClosed:
            self._raise_errors()
            raise
        return _value_of(message)

    async def connect(self, path: str = "/") -> WebSocketConnection:
        """One more client. It is closed with the resource."""
        client = await WebSocketConnection.open(f"{self.url}{path}", on_close=self._bound.remove)
        await self._bound.add(client, client.close)
        return client

    async def reconnect(self) -> WebSocketConnection:
        """Another connection for :meth:`send_message` and :meth:`receive_message`, after the first one was closed."""
        await self.client.close()
        self._client = await self.connect()
        return self._client

    async def ping(self, timeout: float = 5.0) -> float:
        """Seconds until the server's pong."""
        return await self.client.ping(timeout)

    def broadcast(self, message: Outgoing) -> int:
        """Send from the server to all clients; their number."""
        connections = self._running.connections
        broadcast(connections, frame_of(message))
        return len(connections)

    async def close_clients(self, code: int = 1000, reason: str = "") -> None:
        """Close all connections from the server's side."""
        await asyncio.gather(*(connection.close(code, reason) for connection in self._running.connections))

    @property
    def url(self) -> str:
        """``ws://127.0.0.1:port``, for clients of the code under test."""
        host, port = next(iter(self._running.sockets)).getsockname()[:2]
        return f"ws://{host}:{port}"

    @property
    def client(self) -> WebSocketConnection:
        """The client's side of the connection."""
        if self._client is None:
            raise self._not_started()
        return self._client

    @property
    def clients(self) -> int:
        """How many are connected now."""
        return len(self._running.connections)

    @property
    def _running(self) -> Server:
        if self._server is None:
            raise self._not_started()
        return self._server

    def _not_started(self) -> FrameworkError:
        return FrameworkError(
            "the WebSocket resource does not run", fix="use it in 'async with', or await its start() first"
        )

    async def _serve(self, connection: ServerConnection) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        waiting = self._handed_out.get(connection.request.path if connection.request else "")
        if waiting is not None:
            waiting.set_result(connection)
            await connection.wait_closed()
            return
        try:
            async for frame in connection:
                self._received.append(frame)
                reply = await self._answer(frame, connection)
                if reply is not None:
                    await connection.send(frame_of(reply))
        except (ConnectionClosed, asyncio.CancelledError):
            raise
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            self._errors.append(error)
            await connection.close(_INTERNAL_ERROR, type(error).__name__)

    async def _answer(self, frame: str | bytes, connection: ServerConnection) -> Reply:
        message = frame if isinstance(frame, bytes) else _value_of(frame)
        handler = self._binary if isinstance(frame, bytes) else self._handlers.get(_type_of(message))
        handler = handler or self._default
        if handler is None:
            return frame
        answer = handler(message, connection)
        return await answer if inspect.isawaitable(answer) else answer

    def _raise_errors(self) -> None:
        errors, self._errors = self._errors, []
        if len(errors) == 1:
            raise errors[0]
        if errors:
            raise BaseExceptionGroup("handlers of the WebSocket server raised", errors)

    async def _stop_server(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
            for task in list(self._serving):  # a handler may wait for ever
                task.cancel()
            await server.wait_closed()


def _normal(handler: Handler) -> Handler:
    """The same handler, called with message and connection whether it wants the second or not."""
    try:
        inspect.signature(handler).bind(None)
    except TypeError:
        return handler
    return lambda message, _: handler(message)


def _value_of(frame: str | bytes) -> Any:
    try:
        return frame if isinstance(frame, bytes) else json.loads(frame)
    except ValueError:
        return frame


def _type_of(message: Any) -> str:
    found = message.get("type") if isinstance(message, dict) else None
    return found if isinstance(found, str) else ""
