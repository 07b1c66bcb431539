"""Connections for administration, and how many statements went over them that the server counts as no query of rows."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from test_framework.endpoints import ClickHouseEndpoint
from test_framework.services.clickhouse.client import ClickHouseClient, ClickHouseReplyError, quote_identifier

__all__ = ["ClickHouseAdmin", "Orders", "drop_leased_database"]

# The server counts each of these once, as a query that is neither SELECT nor INSERT.
_COUNTED = ("CREATE ", "ALTER ", "DROP ", "SYSTEM ")
# A drop that takes longer waits for queries that still read the tables.
_PATIENCE = 0.2
_HUSH = 0.05


class Orders:
    """How many of our own statements the server has counted: at most ``begun``, at least ``done``.

    What was known by them is void when ``generation`` has changed: of a statement that failed nobody knows.
    """

    def __init__(self) -> None:
        self.begun = 0
        self.done = 0
        self.generation = 0
        self._allowed = asyncio.Event()
        self._allowed.set()
        self._idle = asyncio.Event()
        self._idle.set()

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Around the execution of one."""
        await self._allowed.wait()
        self.begun += 1
        self._idle.clear()
        try:
            yield
        except BaseException:
            self.begun -= 1
            self.generation += 1
            raise
        else:
            self.done += 1
        finally:
            if self.begun == self.done:
                self._idle.set()

    @asynccontextmanager
    async def none(self) -> AsyncIterator[None]:
        """Around a look at what the server has counted, which is then exact, unless one of them takes very long."""
        self._allowed.clear()
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), _HUSH)
            yield
        finally:
            self._allowed.set()


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

    def __init__(self, endpoint: ClickHouseEndpoint, *, limit: int, timeout: float) -> None:
        self.endpoint = endpoint
        self.orders = Orders()
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
