"""Single resources by import: a WebSocket server, a service over HTTP, a directory, a language model."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from test_framework.environments.isolated import IsolatedEnvironmentManager
from test_framework.external.filesystem import FilesystemTestResource
from test_framework.external.http import HttpResource
from test_framework.external.llm import LlmTestResource
from test_framework.external.websocket_resource import WebSocketTestResource

__all__ = ["ExternalServiceManager"]


class ExternalServiceManager:
    """Each resource is an asynchronous context manager; leaving the block gives it back.

        manager = get_external_service_manager()
        async with manager.websocket() as websocket, manager.filesystem() as files:
            ...

    Args:
        environments: makes them.
    """

    def __init__(self, environments: IsolatedEnvironmentManager) -> None:
        self._environments = environments

    @asynccontextmanager
    async def websocket(self) -> AsyncIterator[WebSocketTestResource]:
        """A real server on an ephemeral port, and a client that is connected to it."""
        async with self._environments.create_test_environment("websocket", resources=["websocket"]) as env:
            yield env.websocket

    @asynccontextmanager
    async def http(self, url: str | None = None) -> AsyncIterator[HttpResource]:
        """A client of the service at ``url``.

        Args:
            url: ``None``: what ``TEST_BACKEND_SERVICE_URL`` says; else the reference service is started, on databases
                of its own.

        Raises:
            FrameworkError: the service, or a database that it needs, cannot be had.
        """
        if url is not None:
            async with HttpResource(url) as client:
                yield client
            return
        async with self._environments.create_test_environment("http", resources=["http"]) as env:
            yield env.http

    @asynccontextmanager
    async def filesystem(self) -> AsyncIterator[FilesystemTestResource]:
        """A directory of one's own."""
        async with self._environments.create_test_environment("filesystem", resources=["filesystem"]) as env:
            yield env.filesystem

    @asynccontextmanager
    async def llm(self, name: str = "llm") -> AsyncIterator[LlmTestResource]:
        """A language model whose recording is called ``name``."""
        async with self._environments.create_test_environment(name, resources=["llm"]) as env:
            yield env.llm

    async def shutdown(self) -> None:
        """Give back whatever is still open."""
        await self._environments.shutdown()
