"""Environments by import: as many at once as the level allows, in any event loop."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Self

from test_framework.environments.building import Tools, build
from test_framework.environments.finishing import to_the_end
from test_framework.environments.resources import RESOURCES, SERVICES, TestEnvironment, checked
from test_framework.environments.slots import Slots
from test_framework.errors import FrameworkError
from test_framework.performance.levels import Policy
from test_framework.performance.metrics import Metrics

__all__ = ["IsolatedEnvironmentManager"]


class IsolatedEnvironmentManager:
    """Makes environments. Nothing is connected before :meth:`initialize`, or the first environment.

        manager = get_isolated_environment_manager()
        await manager.initialize()
        async with manager.create_test_environment("test_signup") as env:
            await env["http"].auth_signup("ada@example.com", "secret-4711")
        await manager.shutdown()

    Args:
        open_tools: gives what environments are made with; called once, at first use.
        policy: how many there may be at once.
        metrics: where it is noted how long each took.
        on_close: ends what ``open_tools`` opened; called in a thread.
    """

    def __init__(
        self,
        open_tools: Callable[[], Tools],
        *,
        policy: Policy,
        metrics: Metrics,
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        self._open_tools = open_tools
        self._tools: Tools | None = None
        self._on_close = on_close
        self._slots = Slots(policy.concurrency)
        self._open: dict[int, AsyncExitStack] = {}
        self._closed = False
        self.policy = policy
        self.metrics = metrics

    @property
    def closed(self) -> bool:
        """Whether it was shut down."""
        return self._closed

    @property
    def open_environments(self) -> int:
        """How many exist now."""
        return len(self._open)

    async def initialize(self) -> Self:
        """Begin the session and fill the pools. Harmless twice.

        Raises:
            ServiceUnavailable: a server does not answer, or holds no seed.
        """
        broker = self._the_tools().clients.broker
        broker.warm(SERVICES)
        for service in SERVICES:
            # Taken and given back unused: whatever is wrong with a server shows now, and not in the first test.
            await broker.arelease(await broker.aacquire(service))
        return self

    async def __aenter__(self) -> Self:
        return await self.initialize()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.shutdown()

    @asynccontextmanager
    async def create_test_environment(
        self, test_id: str, *, resources: Iterable[str] = RESOURCES
    ) -> AsyncIterator[TestEnvironment]:
        """An environment of its own for the length of a block.

        Everything in it is given back at the block's end: also when the block raises, is cancelled or times out, and
        also when that happens before everything was ready.

        Args:
            test_id: whose it is, for messages and recordings. Need not be unique.
            resources: names of what it shall hold.

        Raises:
            FrameworkError: something cannot be had.
        """
        wanted = checked(resources)
        self._check_open()
        asked = time.monotonic()
        async with self._slots.take():
            stack = AsyncExitStack()
            self._open[id(stack)] = stack
            try:
                made = await build(self._the_tools(), test_id, wanted, stack)
                self.metrics.ready(time.monotonic() - asked)
                yield made
            except BaseException as error:
                try:
                    await to_the_end(self._end(stack, error))
                except Exception as trouble:  # must not hide why the block ended
                    error.add_note(f"cleaning up after it failed too: {trouble}")
                raise
            await to_the_end(self._end(stack, None))

    async def shutdown(self) -> None:
        """End every environment that is still open, and the session; return when all is gone. Harmless twice."""
        self._closed = True
        for stack in list(self._open.values()):
            with contextlib.suppress(FrameworkError):
                await to_the_end(self._end(stack, None))
        tools, self._tools = self._tools, None
        if tools is not None:
            await asyncio.to_thread(self._on_close)

    async def _end(self, stack: AsyncExitStack, error: BaseException | None) -> None:
        self._open.pop(id(stack), None)
        await stack.__aexit__(type(error) if error else None, error, error.__traceback__ if error else None)

    def _the_tools(self) -> Tools:
        self._check_open()
        if self._tools is None:
            self._tools = self._open_tools()
        return self._tools

    def _check_open(self) -> None:
        if self._closed:
            raise FrameworkError(
                "this environment manager was shut down", fix="ask get_isolated_environment_manager() for another"
            )
