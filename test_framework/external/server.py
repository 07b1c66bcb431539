"""uvicorn in somebody else's event loop: ready when its socket listens, ended as soon as its work is done."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import traceback
from typing import Any

import uvicorn

from test_framework.errors import ApplicationError
from test_framework.external.application import Application, ASGIApp
from test_framework.external.backing import Backing
from test_framework.external.server_log import ServerLog

__all__ = ["AppServer"]

# What requests that are under way may take when the server stops, before they are cancelled.
_GRACE = 2.0
_LIFESPAN = 10.0


class _Server(uvicorn.Server):
    """uvicorn's own ``shutdown`` sleeps a tenth of a second at least, and polls by that: too long for each test."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await self._finish_tasks()
        for connection in list(self.server_state.connections):
            transport: Any = connection.transport
            transport.abort()
        for _ in range(3):  # transports say goodbye in the next rounds of the loop
            await asyncio.sleep(0)
        await self.lifespan.shutdown()

    async def _finish_tasks(self) -> None:
        tasks: set[asyncio.Task[Any]] = set(self.server_state.tasks)
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=_GRACE)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=_GRACE)


class AppServer:
    """One application on one socket. Every method runs in the loop that serves it."""

    def __init__(self, application: Application, backing: Backing) -> None:
        self.name = application.name
        self._application = application
        self._backing = backing
        self._server: _Server | None = None
        self._ticking: asyncio.Task[None] | None = None
        self.log = ServerLog(backing.secrets)
        self.port = 0

    async def start(self) -> None:
        """Make the application, start it, listen.

        Raises:
            ApplicationError: the factory or the start of the application failed, with its log.
        """
        self.log.begin()
        self.log.claim()
        try:
            app = await self._made()
            await self._serve(app)
        except BaseException:
            self.log.end()
            raise

    async def _made(self) -> ASGIApp:
        try:
            return await self._application.make(self._backing)
        except (Exception, SystemExit) as error:
            self.log.add(traceback.format_exc())
            raise self._failed("could not be made", error) from error

    async def _serve(self, app: ASGIApp) -> None:
        async def claimed(scope: Any, receive: Any, send: Any) -> None:
            self.log.claim()
            await app(scope, receive, send)

        config = uvicorn.Config(
            claimed, loop="none", interface="asgi3", log_config=None, proxy_headers=False, ws="websockets-sansio"
        )
        config.load()
        server = _Server(config)
        server.lifespan = config.lifespan_class(config)
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            listener.bind(("127.0.0.1", 0))
            try:
                await server.startup(sockets=[listener])
            except SystemExit as error:
                raise self._failed("did not start") from error
        except BaseException:
            listener.close()
            raise
        self.port = listener.getsockname()[1]
        self._server = server
        await server.on_tick(0)
        self._ticking = asyncio.ensure_future(server.main_loop())

    async def stop(self) -> None:
        """End it: no new connections, requests get a moment, then the application's own shutdown. Harmless twice.

        Raises:
            ApplicationError: the application failed while it shut down, or did not end.
        """
        server, self._server = self._server, None
        if server is None:
            return
        assert self._ticking is not None
        self._ticking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._ticking
        try:
            async with asyncio.timeout(_LIFESPAN):
                await server.shutdown()
        except TimeoutError as error:
            raise self._failed(f"did not shut down within {_LIFESPAN:g} s") from error
        finally:
            self.log.end()
        if server.lifespan.should_exit:
            raise self._failed("failed while it shut down")

    def _failed(self, what: str, cause: BaseException | None = None) -> ApplicationError:
        return ApplicationError(
            f"{self.name} {what}",
            cause=f"{type(cause).__name__}: {cause}" if cause else None,
            log_tail=self.log.tail(),
        )
