"""Connections of ours that stay in test databases, so that putting one back needs no new connection, half the work.

Whoever drops, renames or copies such a database waits, in the server, until nobody is connected to it. So a resident
leaves as soon as somebody does.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any

import asyncpg

from test_framework.endpoints import PostgresEndpoint
from test_framework.errors import FrameworkError
from test_framework.services.postgres.client import connect
from test_framework.services.postgres.databases import Connection
from test_framework.services.postgres.patience import LOST
from test_framework.services.postgres.restoring import prepare_state
from test_framework.waiting import Deadline, wait_until

__all__ = ["Resident", "Residents", "wanted_by_others"]

# A test that does one of these waits this long, instead of failing after the server's five seconds.
_LOOK_EVERY = 0.25
_WANTED = """
SELECT DISTINCT d.datname::text FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_database d ON d.oid = l.objid
WHERE l.locktype = 'object' AND l.classid = 'pg_catalog.pg_database'::regclass AND l.granted
  AND l.mode IN ('AccessExclusiveLock', 'ShareLock') AND d.datname = ANY ($1::text[])
"""
_OTHERS = """
SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_get_activity(NULL)
WHERE datid = $1 AND pid <> pg_catalog.pg_backend_pid()
"""
LookFor = Callable[[Collection[str]], Awaitable[Collection[str]]]


@dataclass(frozen=True)
class Resident:
    """A connection to one database, with the statements that it is going to need."""

    connection: Connection
    state: Any
    others: Any
    oid: int
    exit: AsyncExitStack

    async def alone(self, deadline: Deadline) -> bool:
        """End every other session in the database, and wait until the server has forgotten them."""

        async def nobody() -> bool:
            return not await self.others.fetch(self.oid)

        return bool(await wait_until(nobody, deadline, interval=0.001))


class Residents:
    """At most ``limit`` of them.

    Args:
        timeout: seconds to connect.
        look: of some databases, which somebody else wants for himself.
    """

    def __init__(self, endpoint: PostgresEndpoint, *, timeout: float, look: LookFor) -> None:
        self._endpoint = endpoint
        self._timeout = timeout
        self._look = look
        self._by_name: dict[str, Resident] = {}
        self._watching: asyncio.Task[None] | None = None
        self.limit = 0

    async def enter(self, name: str) -> Resident | None:
        """The one in the database ``name``; ``None`` where there is no room. Raises the driver's errors."""
        found = self._by_name.get(name)
        if found is not None and not found.connection.is_closed():
            return found
        await self.leave(name)
        if len(self._by_name) >= self.limit:
            return None
        async with AsyncExitStack() as opened:
            endpoint = replace(self._endpoint, database=name)
            connection = await opened.enter_async_context(
                connect(endpoint, timeout=self._timeout, application="isolation")
            )
            oid = await connection.fetchval(
                "SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()"
                " AND pg_catalog.set_config('search_path', 'pg_catalog', false) IS NOT NULL"
            )
            state, others = await prepare_state(connection), await connection.prepare(_OTHERS)
            found = Resident(connection, state, others, oid, opened.pop_all())
        self._by_name[name] = found
        if self._watching is None or self._watching.done():
            self._watching = asyncio.get_running_loop().create_task(self._watch())
        return found

    async def leave(self, name: str) -> bool:
        """Close the one in ``name``. Whether there was one; the server forgets it a moment later."""
        found = self._by_name.pop(name, None)
        if found is not None:
            await found.exit.aclose()
        return found is not None

    async def _watch(self) -> None:
        while self._by_name:
            await asyncio.sleep(_LOOK_EVERY)
            wanted: Collection[str] = ()
            with contextlib.suppress(FrameworkError):
                wanted = await self._look(list(self._by_name))
            for name in wanted:
                await self.leave(name)

    async def close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        for name in list(self._by_name):
            with contextlib.suppress(*LOST, asyncpg.PostgresError):
                await self.leave(name)


async def wanted_by_others(connection: Connection, names: Collection[str]) -> Collection[str]:
    """Those of the databases that somebody is dropping, renaming or copying right now."""
    return [row["datname"] for row in await connection.fetch(_WANTED, list(names))]
