"""A ClickHouse database per test, a copy of the seeded one: what isolation needs to know about ClickHouse."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from test_framework.endpoints import ClickHouseEndpoint
from test_framework.errors import ServiceUnavailable
from test_framework.isolation.ledger import Ledger
from test_framework.services.base import MARK
from test_framework.services.clickhouse.client import (
    ClickHouseClient,
    ClickHouseReplyError,
    ask,
    quote_identifier,
    read_seed,
)
from test_framework.services.clickhouse.cloning import Object, Plan, clone_object, is_missing, read_plan

__all__ = ["ClickHouseAdmin", "ClickHouseClones", "current_template", "drop_leased_database"]

Work = Callable[[], Awaitable[None]]

_STALE = (http.client.RemoteDisconnected, http.client.CannotSendRequest, ConnectionError)
# Everything that says what a database holds: objects, active parts, mutations asked for, and parts put aside.
_FINGERPRINT = """
SELECT arraySort(groupArray(line)) FROM (
    SELECT concat(name, ' ', engine, ' ', replaceAll(create_table_query, {database:String}, '')) AS line
    FROM system.tables WHERE database = {database:String}
    UNION ALL SELECT concat(table, ' ', name, ' ', toString(rows), ' ', hash_of_all_files) FROM system.parts
    WHERE database = {database:String} AND active
    UNION ALL SELECT concat(table, ' ', mutation_id) FROM system.mutations WHERE database = {database:String}
    UNION ALL SELECT concat(table, ' ', name) FROM system.detached_parts WHERE database = {database:String}
    UNION ALL SELECT comment FROM system.databases WHERE name = {database:String})
"""
# How many statements the whole server has seen that were no SELECT: at least, and at most. The two counters are read
# one after the other, so one that comes in between could hide another; not three times, though.
_ONCE = """
SELECT toInt64(sumIf(value, event = 'Query')) - toInt64(sumIf(value, event = 'SelectQuery')) AS writes
FROM system.events WHERE event IN ('Query', 'SelectQuery')
"""
_WRITES = f"SELECT toString(min(writes)), toString(max(writes)) FROM ({' UNION ALL '.join([_ONCE] * 3)})"


class ClickHouseAdmin:
    """A few connections, kept open between statements."""

    def __init__(self, endpoint: ClickHouseEndpoint, *, limit: int, timeout: float) -> None:
        self.endpoint = endpoint
        self._timeout = timeout
        self._free: list[ClickHouseClient] = []
        self._room = asyncio.Semaphore(limit)

    @asynccontextmanager
    async def use(self) -> AsyncIterator[ClickHouseClient]:
        async with self._room:
            client = self._free.pop() if self._free else ClickHouseClient(self.endpoint, self._timeout)
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


class ClickHouseClones:
    """See :class:`~test_framework.isolation.ledger.Clones`."""

    service = "clickhouse"
    # Views and dictionaries name their database, so a copy keeps the name it was made with.
    renames = False

    def __init__(self, endpoint: ClickHouseEndpoint, ledger: Ledger, *, limit: int, timeout: float) -> None:
        self._endpoint = endpoint
        self._timeout = timeout
        self.ledger = ledger
        self._admin = ClickHouseAdmin(endpoint, limit=limit, timeout=timeout)
        self._template = ""
        self._plan: Plan | None = None
        self._pattern: Sequence[str] | None = None  # what every copy is like that has no names of its own inside
        self._fingerprints: dict[str, Sequence[str]] = {}
        self._writes: dict[str, int] = {}  # at least so many there had been when it was known to be as it was made

    async def template(self) -> str:
        if not self._template:
            template = await ask(self._endpoint, self._timeout, self._find_template)
            await self.ledger.use_template(template)
            self._template = template
        return self._template

    async def _find_template(self) -> str:
        name = self._endpoint.database
        async with self._admin.use() as client:
            template = await current_template(client, name)
            if template is None:
                raise ServiceUnavailable(
                    f"the database {name!r} holds no seed, so there is nothing to give tests a copy of",
                    service="test-clickhouse",
                    where=self._endpoint.address,
                    fix="seed the stack: make test-seed",
                )
            self._plan = await read_plan(client, name)
        return template

    async def create(self, name: str, template: str) -> None:
        del template  # the plan was read together with it

        async def anew() -> None:
            async with self._admin.use() as client:
                await drop_leased_database(client, name)
            await self._create(name)

        await self._ask(lambda: self._create(name), again=anew)

    async def _create(self, name: str) -> None:
        assert self._plan is not None  # template() comes first
        plan = self._plan
        async with self._admin.use() as client:
            await client.execute(f"CREATE DATABASE {quote_identifier(name)} COMMENT '{MARK}'")
        await asyncio.gather(*(self._clone(plan, each, name) for each in plan.tables))
        await self._clone_views(plan, name)

    async def _clone(self, plan: Plan, each: Object, name: str) -> None:
        async with self._admin.use() as client:
            await clone_object(client, plan, each, name)

    async def _clone_views(self, plan: Plan, name: str) -> None:
        """They may build on each other, in an order that only the server knows: what fails is tried after the rest."""
        waiting = list(plan.views)
        while waiting:
            postponed: list[Object] = []
            for each in waiting:
                try:
                    await self._clone(plan, each, name)
                except ClickHouseReplyError as error:
                    if not is_missing(error) or (each is waiting[-1] and len(postponed) == len(waiting) - 1):
                        raise
                    postponed.append(each)
            waiting = postponed

    async def remember(self, name: str) -> None:
        if self._plan is None or not self._plan.countable:
            return
        self._writes[name], _ = await self._count_writes()
        if not self._plan.alike:
            self._fingerprints[name] = await self._fingerprint(name)
        elif self._pattern is None:
            self._pattern = await self._fingerprint(name)

    async def adopt(self, name: str) -> str:
        return name

    async def destroy(self, name: str) -> None:
        self._fingerprints.pop(name, None)
        self._writes.pop(name, None)

        async def work() -> None:
            async with self._admin.use() as client:
                await drop_leased_database(client, name)

        await self._ask(work)

    async def let_go(self, name: str) -> None:
        """Nothing of ours is in it; and what it is like is known still when we take it again."""

    async def restore(self, name: str) -> bool:
        """Nothing is put back here: either nobody on the server wrote anything, or this database looks as it did."""
        expected = self._fingerprints.get(name, self._pattern)
        if expected is None or self._plan is None or not self._plan.countable:
            return False
        least, most = await self._count_writes()
        if self._writes.get(name) != most and await self._fingerprint(name) != expected:
            return False
        self._writes[name] = least
        return True

    async def _count_writes(self) -> tuple[int, int]:
        ((least, most),) = await self._rows(_WRITES)
        return int(least), int(most)

    async def _fingerprint(self, name: str) -> Sequence[str]:
        ((lines,),) = await self._rows(_FINGERPRINT, {"database": name})
        return list(lines)

    async def _rows(self, sql: str, parameters: dict[str, str] | None = None) -> list[list[Any]]:
        rows: list[list[Any]] = []

        async def work() -> None:
            nonlocal rows
            async with self._admin.use() as client:
                rows = await client.rows(sql, parameters)

        await self._ask(work)
        return rows

    async def _ask(self, work: Work, *, again: Work | None = None) -> None:
        async def attempt() -> None:
            try:
                await work()
            except _STALE:  # the server closes connections that were idle
                await self._admin.refresh()
                await (again or work)()

        await ask(self._endpoint, self._timeout, attempt)

    def endpoint(self, name: str) -> ClickHouseEndpoint:
        return replace(self._endpoint, database=name)

    async def close(self) -> None:
        await self._admin.close()


async def current_template(client: ClickHouseClient, database: str) -> str | None:
    """What copies of ``database`` are copies of: another seed is another UUID. ``None`` when nothing is seeded."""
    if await read_seed(client, database) is None:
        return None
    rows = await client.rows(
        "SELECT toString(uuid) FROM system.databases WHERE name = {database:String}", {"database": database}
    )
    return f"clickhouse:{rows[0][0]}" if rows else None


async def drop_leased_database(client: ClickHouseClient, name: str) -> None:
    """Drop a test's database at once, with the queries that still run in it."""
    with contextlib.suppress(ClickHouseReplyError):
        ((running,),) = await client.rows(
            "SELECT count() FROM system.processes WHERE current_database = {database:String}", {"database": name}
        )
        if int(running):
            await client.execute(f"KILL QUERY WHERE current_database = '{name}' SYNC")
    await client.execute(f"DROP DATABASE IF EXISTS {quote_identifier(name)} SYNC")
