"""Reclaim what dead sessions left behind, in all services. Any number of reapers at once, killed at any moment.

Whoever gets the advisory lock of a session in the ledger knows that the session is dead, and that nobody else is
reclaiming it. Only what the ledger names is ever touched.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import asyncpg

from test_framework.endpoints import Endpoints
from test_framework.errors import FrameworkError
from test_framework.isolation.names import could_be_ours
from test_framework.isolation.values import ReapReport
from test_framework.services.aging import live_sessions_by_key, reap_by_age
from test_framework.services.clickhouse.client import ask as ask_clickhouse
from test_framework.services.clickhouse.isolation import ClickHouseAdmin, current_template
from test_framework.services.clickhouse.isolation import drop_leased_database as drop_clickhouse
from test_framework.services.postgres.client import CONTROL_DATABASE, ask, connect
from test_framework.services.postgres.control import advisory_key, read_record
from test_framework.services.postgres.databases import Connection
from test_framework.services.postgres.isolation import drop_leased_database as drop_postgres
from test_framework.services.postgres.ledger_schema import SCHEMA, has_schema
from test_framework.services.postgres.patience import patiently
from test_framework.services.redis.client import RedisReplyError
from test_framework.services.redis.isolation import RedisAdmin
from test_framework.waiting import Deadline

__all__ = ["live_sessions", "reap"]

_IN_A_MOMENT = (asyncpg.CannotConnectNowError, asyncpg.TooManyConnectionsError)
_NAMESPACES = f"{SCHEMA}.namespaces"
_IS_HELD = """
EXISTS (SELECT FROM pg_locks l WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (l.classid::bigint << 32 | l.objid::bigint) = s.id)
"""
_DEAD = f"SELECT id FROM {SCHEMA}.sessions s WHERE NOT {_IS_HELD} ORDER BY started_at"
_ALIVE = f"""
SELECT format('%s of run %s (pid %s on %s, since %s)', worker_id, left(run_id, 8), pid, host,
    to_char(started_at, 'HH24:MI:SS')) AS session
FROM {SCHEMA}.sessions s WHERE {_IS_HELD} ORDER BY started_at
"""


async def reap(
    endpoints: Endpoints,
    *,
    timeout: float,
    kept: bool = False,
    pool: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> ReapReport:
    """Reclaim what dead sessions left, and ready copies of templates that nobody uses any more.

    Args:
        timeout: seconds for one statement.
        kept: drop what users asked to keep, too.
        pool: drop all ready copies, too.
        stop: asked before each namespace; what is left then is for the next reaper.

    Raises:
        ServiceUnavailable: Postgres, which keeps the books, does not answer.
    """
    if not endpoints.postgres.configured:
        return await reap_by_age(endpoints, timeout=timeout)
    async with AsyncExitStack() as stack:
        connection = await ask(endpoints.postgres, timeout, lambda: _open_ledger(stack, endpoints, timeout))
        if connection is None:
            return ReapReport()
        reaper = _Reaper(connection, endpoints, timeout, stop)
        stack.push_async_callback(reaper.close)
        await reaper.dead_sessions()
        await reaper.outdated()
        if kept:
            await reaper.kept()
        if pool:
            await reaper.pool()
        return reaper.report


async def live_sessions(endpoints: Endpoints, *, timeout: float) -> Sequence[str]:
    """The sessions that use the stack now, each as a phrase.

    Raises:
        ServiceUnavailable: Postgres does not answer.
    """

    if not endpoints.postgres.configured:
        return await live_sessions_by_key(endpoints, timeout=timeout)

    async def question() -> Sequence[str]:
        async with AsyncExitStack() as stack:
            connection = await _open_ledger(stack, endpoints, timeout)
            return [row["session"] for row in await connection.fetch(_ALIVE)] if connection else []

    return await ask(endpoints.postgres, timeout, question)


async def _open_ledger(stack: AsyncExitStack, endpoints: Endpoints, timeout: float) -> Connection | None:
    """A connection to the ledger; ``None`` where nobody ever had a session. Waits for one where all are taken."""

    async def opened() -> Connection:
        target = connect(endpoints.postgres, database=CONTROL_DATABASE, timeout=timeout, application="reaper")
        return await stack.enter_async_context(target)

    try:
        connection = await patiently(opened, timeout / 2, while_it_says=_IN_A_MOMENT)
    except asyncpg.InvalidCatalogNameError:
        return None
    return connection if await has_schema(connection) else None


class _Reaper:
    def __init__(self, connection: Connection, endpoints: Endpoints, timeout: float, stop: Callable[[], bool]) -> None:
        self._connection = connection
        self._stop = stop
        self._endpoints = endpoints
        self._timeout = timeout
        self._redis = RedisAdmin(endpoints.redis, timeout)
        self._clickhouse = ClickHouseAdmin(endpoints.clickhouse, limit=1, timeout=timeout)
        self._sessions = 0
        self._outdated = 0
        self._kept = 0
        self._reclaimed: Counter[str] = Counter()
        self._failures: dict[str, str] = {}  # by service: one that does not answer is not asked again

    @property
    def report(self) -> ReapReport:
        return ReapReport(
            sessions=self._sessions,
            reclaimed=dict(self._reclaimed),
            outdated=self._outdated,
            kept=self._kept,
            failures=tuple(self._failures.values()),
        )

    async def close(self) -> None:
        await self._redis.close()
        await self._clickhouse.close()

    async def dead_sessions(self) -> None:
        """Oldest first."""
        for row in await self._ask(_DEAD):
            if not self._stop() and await self._lock(row["id"]):
                try:
                    await self._dead_session(row["id"])
                finally:
                    await self._ask("SELECT pg_advisory_unlock($1)", row["id"])

    async def _dead_session(self, session: int) -> None:
        rows = await self._ask(f"SELECT service, name FROM {_NAMESPACES} WHERE session_id = $1 ORDER BY since", session)
        for row in rows:
            if await self._drop(row["service"], row["name"]):
                self._reclaimed[row["service"]] += 1
        gone = await self._ask(
            f"DELETE FROM {SCHEMA}.sessions s WHERE id = $1"
            f" AND NOT EXISTS (SELECT FROM {_NAMESPACES} n WHERE n.session_id = s.id) RETURNING id",
            session,
        )
        self._sessions += len(gone)

    async def outdated(self) -> None:
        """Ready copies of a template that is not the current one, if no session makes use of it."""
        self._outdated += await self._discard("false")  # what another reaper did not come to
        rows = await self._ask(f"SELECT DISTINCT service, template FROM {_NAMESPACES} WHERE state = 'ready'")
        for row in rows:
            service, template = row["service"], row["template"]
            key = advisory_key(f"template:{template}")
            if template == await self._current(service) or not await self._lock(key):
                continue
            try:
                condition = "state = 'ready' AND service = $1 AND template = $2"
                self._outdated += await self._discard(condition, service, template)
            finally:
                await self._ask("SELECT pg_advisory_unlock($1)", key)

    async def _discard(self, condition: str, *arguments: str) -> int:
        """Drop what is nobody's. First nobody may take it any more; a reaper that dies then leaves it to the next."""
        await self._ask(f"UPDATE {_NAMESPACES} SET state = 'garbage' WHERE {condition}", *arguments)
        rows = await self._ask(f"SELECT service, name FROM {_NAMESPACES} WHERE state = 'garbage' ORDER BY since")
        return sum([await self._drop(row["service"], row["name"]) for row in rows])

    async def _current(self, service: str) -> str | None:
        if service == "postgres":
            record = await ask(
                self._endpoints.postgres,
                self._timeout,
                lambda: read_record(self._connection, self._endpoints.postgres.database),
            )
            return record.template if record else None
        try:
            return await ask_clickhouse(self._endpoints.clickhouse, self._timeout, self._current_clickhouse)
        except FrameworkError as error:
            self._failures.setdefault(service, str(error))
            return None

    async def _current_clickhouse(self) -> str | None:
        async with self._clickhouse.use() as client:
            return await current_template(client, self._endpoints.clickhouse.database)

    async def kept(self) -> None:
        self._kept += await self._discard("state = 'kept'")

    async def pool(self) -> None:
        self._outdated += await self._discard("state = 'ready'")

    async def _drop(self, service: str, name: str) -> bool:
        if service in self._failures or self._stop():
            return False
        if not self._may_drop(service, name):
            self._failures[f"{service} {name}"] = f"the books name {service} {name}, which no worker made: left alone"
            return False
        try:
            await self._droppers[service](self, name)
        except (FrameworkError, RedisReplyError) as error:
            self._failures[service] = f"{service} {name}: {error}"
            return False
        await self._ask(f"DELETE FROM {_NAMESPACES} WHERE service = $1 AND name = $2", service, name)
        return True

    def _may_drop(self, service: str, name: str) -> bool:
        """The books have the last word, but not on what cannot have been a test's: somebody wrote it into them."""
        if service == "redis" and name.isdigit():
            return int(name) != self._endpoints.redis.database
        return could_be_ours(name)

    async def _drop_postgres(self, name: str) -> None:
        async def work() -> None:
            deadline = Deadline.after(self._timeout)
            await drop_postgres(self._connection, self._endpoints.postgres, name, deadline)

        await ask(self._endpoints.postgres, self._timeout, work)

    async def _drop_redis(self, name: str) -> None:
        if not name.isdigit():
            await self._redis.unlink(name)
            return
        number = int(name)
        await self._redis.end_clients(number)
        await self._redis.free(number, await self._redis.owner(number))

    async def _drop_clickhouse(self, name: str) -> None:
        async def work() -> None:
            async with self._clickhouse.use() as client:
                await drop_clickhouse(client, name)

        await ask_clickhouse(self._endpoints.clickhouse, self._timeout, work)

    _droppers = {"postgres": _drop_postgres, "redis": _drop_redis, "clickhouse": _drop_clickhouse}  # noqa: RUF012 - constant

    async def _lock(self, key: int) -> bool:
        return bool((await self._ask("SELECT pg_try_advisory_lock($1) AS got", key))[0]["got"])

    async def _ask(self, sql: str, *arguments: object) -> Sequence[Any]:
        return await ask(self._endpoints.postgres, self._timeout, lambda: self._connection.fetch(sql, *arguments))
