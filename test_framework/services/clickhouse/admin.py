"""Connections for administration, and how many statements went over them that the server counts as no query of rows."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from test_framework.endpoints import ClickHouseEndpoint
from test_framework.isolation.counters import Counters, Number
from test_framework.services.clickhouse.client import ClickHouseClient, ClickHouseReplyError, quote_identifier
from test_framework.waiting import Deadline, wait_until

__all__ = ["ClickHouseAdmin", "Orders", "drop_leased_database"]

# The server counts each of these once, as a query that is neither SELECT nor INSERT.
_COUNTED = ("CREATE ", "ALTER ", "DROP ", "SYSTEM ")
# A drop that takes longer waits for queries that still read the tables.
_PATIENCE = 0.2
# Seconds of quiet for a look at the counts, and from one glance at the other workers' to the next.
_HUSH = 0.05
_GLANCE = 0.001


class Orders:
    """How many statements of this run's own the server has counted: at most ``begun``, at least ``done``.

    What was known by them is void when ``generation`` has changed: of a statement that failed nobody knows.

    Args:
        counters: shared with the other workers of the run.
    """

    def __init__(self, counters: Counters | None = None) -> None:
        self._counters = counters or Counters()
        self._allowed = asyncio.Event()
        self._allowed.set()

    @property
    def begun(self) -> int:
        return self._counters.sum(Number.BEGUN)

    @property
    def done(self) -> int:
        return self._counters.sum(Number.DONE)

    @property
    def generation(self) -> int:
        return self._counters.sum(Number.GENERATION)

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Around the execution of one."""
        counters = self._counters
        await self._allowed.wait()
        await _wait(lambda: counters.highest_of_others(Number.QUIET) < time.monotonic_ns())
        counters.add(Number.BEGUN, 1)
        try:
            yield
        except BaseException:
            # In this order: whoever reads the smaller number must find the generation changed.
            counters.add(Number.GENERATION, 1)
            counters.add(Number.BEGUN, -1)
            raise
        else:
            counters.add(Number.DONE, 1)

    @asynccontextmanager
    async def none(self) -> AsyncIterator[None]:
        """Around a look at what the server has counted, which is then exact, unless one of them takes very long."""
        self._allowed.clear()
        # A time, so that a worker that is killed meanwhile keeps nobody waiting.
        self._counters.set(Number.QUIET, time.monotonic_ns() + int(_HUSH * 1e9))
        try:
            await _wait(lambda: self.begun == self.done)
            yield
        finally:
            self._counters.set(Number.QUIET, 0)
            self._allowed.set()


async def _wait(condition: Callable[[], bool]) -> None:
    """Wait for it, but not long."""

    async def holds() -> bool:
        return condition()

    await wait_until(holds, Deadline.after(_HUSH), interval=_GLANCE)


class _CountingClient(ClickHouseClient):
    def __init__(self, endpoint: ClickHouseEndpoint, timeout: float, orders: Orders) -> None:
        super().__init__(endpoint, timeout)
        self._orders = orders

    async def execute(
        self, sql: str, *, body: bytes = b"", database: str | None = None, settings: dict[str, str] | None = None
    ) -> bytes:
        if not sql.startswith(_COUNTED):
            return await super().execute(sql, body=body, database=database, settings=settings)
        async with self._orders.one():
            return await super().execute(sql, body=body, database=database, settings=settings)


class ClickHouseAdmin:
    """A few connections, kept open between statements."""

    def __init__(
        self, endpoint: ClickHouseEndpoint, *, limit: int, timeout: float, counters: Counters | None = None
    ) -> None:
        self.endpoint = endpoint
        self.orders = Orders(counters)
        self._timeout = timeout
        self._free: list[ClickHouseClient] = []
        self._room = asyncio.Semaphore(limit)

    @asynccontextmanager
    async def use(self) -> AsyncIterator[ClickHouseClient]:
        async with self._room:
            client = self._free.pop() if self._free else _CountingClient(self.endpoint, self._timeout, self.orders)
            try:
                yield client
            except ClickHouseReplyError:
                self._free.append(client)
                raise
            except BaseException:
                client.close()
                raise
            else:
                self._free.append(client)

    async def refresh(self) -> None:
        """Close connections that the server may have given up while nobody used them."""
        while self._free:
            self._free.pop().close()

    async def close(self) -> None:
        await self.refresh()


async def drop_leased_database(client: ClickHouseClient, name: str) -> None:
    """Drop a test's database, and end the queries that keep it from going."""
    dropping = asyncio.ensure_future(client.execute(f"DROP DATABASE IF EXISTS {quote_identifier(name)} SYNC"))
    try:
        done, _ = await asyncio.wait([dropping], timeout=_PATIENCE)
        if not done:
            with contextlib.suppress(ClickHouseReplyError):
                await _end_queries(client, name)
        await dropping
    finally:
        dropping.cancel()


async def _end_queries(client: ClickHouseClient, name: str) -> None:
    other = client.another()
    try:
        await other.execute(f"KILL QUERY WHERE current_database = '{name}' SYNC")
    finally:
        other.close()
