"""The ledger of one session, kept in the control database of PostgreSQL.

The session lives as long as this connection: it holds an advisory lock whose number is the session's, which the server
frees when the process dies, whatever killed it. No clock and no heartbeat is involved.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any, TypeVar

import asyncpg

from test_framework.endpoints import PostgresEndpoint
from test_framework.isolation.ledger import State
from test_framework.isolation.values import Holder, Identity
from test_framework.services.postgres.client import ask, quote_identifier
from test_framework.services.postgres.control import advisory_key, open_control
from test_framework.services.postgres.databases import Connection
from test_framework.services.postgres.ledger_schema import SCHEMA, ensure_schema
from test_framework.services.postgres.patience import LOST, is_lost, patiently

__all__ = ["PostgresLedger"]

T = TypeVar("T")

_TABLE = f"{SCHEMA}.namespaces"
# A network that went away must not keep a dead session alive for hours.
_KEEPALIVE = """
SELECT set_config(name, wanted, false) FROM pg_catalog.pg_settings s JOIN (VALUES
    ('tcp_keepalives_idle', '15'), ('tcp_keepalives_interval', '5'), ('tcp_keepalives_count', '3'),
    ('tcp_user_timeout', '30000'), ('idle_session_timeout', '0'), ('search_path', 'pg_catalog')
) v (name, wanted) USING (name)
"""
_TAKE = f"""
UPDATE {_TABLE} SET state = $6, session_id = $1, since = now()
WHERE service = $2 AND name = (
    SELECT name FROM {_TABLE} WHERE service = $2 AND template = $3 AND state = 'ready' AND ($5 OR worker_id = $4)
    ORDER BY worker_id <> $4, since LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING name
"""
_INTEND = f"""
INSERT INTO {_TABLE} (service, name, template, worker_id, state, session_id)
SELECT $2, $3, $4, $5, 'creating', $1
WHERE $6::integer IS NULL OR $6 > (
    SELECT count(*) FROM {_TABLE}
    WHERE service = $2 AND template = $4 AND worker_id = $5 AND state IN ('creating', 'ready'))
ON CONFLICT DO NOTHING RETURNING name
"""
_MOVE = f"""
UPDATE {_TABLE} SET state = $4, worker_id = $5, since = CASE WHEN state = 'reserved' THEN since ELSE now() END,
    session_id = CASE WHEN $4 IN ('ready', 'kept') THEN NULL ELSE session_id END
WHERE session_id = $1 AND service = $2 AND name = $3 RETURNING name
"""
_OFFER = f"""
UPDATE {_TABLE} n SET state = 'ready', session_id = NULL, since = now()
WHERE session_id = $1 AND service = $2 AND name = $3 AND $5 > (
    SELECT count(*) FROM {_TABLE} o
    WHERE o.service = $2 AND o.template = n.template AND o.worker_id = $4 AND o.state IN ('creating', 'ready'))
RETURNING name
"""
_FORGET = f"DELETE FROM {_TABLE} WHERE session_id = $1 AND service = $2 AND name = $3"
_CLAIM = f"""
INSERT INTO {_TABLE} (service, name, template, worker_id, state, session_id)
SELECT $2, n::text, '', $5, 'leased', $1 FROM generate_series(1, $3::integer) n
WHERE n <> ALL ($4::integer[]) AND NOT EXISTS (SELECT FROM {_TABLE} o WHERE o.service = $2 AND o.name = n::text)
ORDER BY random() LIMIT 1
ON CONFLICT DO NOTHING RETURNING name
"""
_HOLDERS = f"""
SELECT CASE WHEN n.state = 'kept' THEN 'kept on request' ELSE
         format('%s of run %s (pid %s on %s)', s.worker_id, left(s.run_id, 8), s.pid, s.host) END AS holder,
       count(*) AS held
FROM {_TABLE} n LEFT JOIN {SCHEMA}.sessions s ON s.id = n.session_id
WHERE n.service = $1 AND n.state <> 'ready' GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 10
"""
_CONNECTIONS = """
SELECT coalesce(nullif(application_name, ''), 'unnamed') || ' in ' || datname AS holder, count(*) AS held
FROM pg_stat_activity WHERE backend_type = 'client backend' GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 10
"""


class PostgresLedger:
    """See :class:`~test_framework.isolation.ledger.Ledger`. Opens nothing until it is asked something."""

    def __init__(self, endpoint: PostgresEndpoint, identity: Identity, *, timeout: float) -> None:
        self._endpoint = endpoint
        self._identity = identity
        self._timeout = timeout
        self._exit = AsyncExitStack()
        self._connection: Connection | None = None
        self._prepared: dict[str, Any] = {}
        self._templates: set[str] = set()
        self._lock = asyncio.Lock()
        self._session = 0
        self.losses = 0

    @property
    def session(self) -> int:
        return self._session

    async def open(self) -> None:
        """Begin the session.

        Raises:
            ServiceUnavailable: or ``AuthenticationRefused``.
        """
        await self._run(lambda connection: connection.fetchval("SELECT 1"))

    @property
    def connected(self) -> bool:
        return self._connection is not None and not self._connection.is_closed()

    async def take(self, service: str, template: str, state: State, *, anybodys: bool) -> str | None:
        worker = self._identity.worker_id
        name: str | None = await self._value(_TAKE, service, template, worker, anybodys, state.value)
        return name

    async def intend(self, service: str, name: str, template: str, *, limit: int | None = None) -> bool:
        args = (service, name, template, self._identity.worker_id, limit)
        return await self._value(_INTEND, *args) is not None

    async def move(self, service: str, name: str, state: State) -> bool:
        return await self._value(_MOVE, service, name, state.value, self._identity.worker_id) is not None

    async def offer(self, service: str, name: str, *, limit: int) -> bool:
        return await self._value(_OFFER, service, name, self._identity.worker_id, limit) is not None

    async def forget(self, service: str, name: str) -> None:
        await self._value(_FORGET, service, name)

    async def claim_number(self, service: str, highest: int, excluded: Sequence[int]) -> int | None:
        name = await self._value(_CLAIM, service, highest, list(excluded), self._identity.worker_id)
        return None if name is None else int(name)

    async def holders(self, service: str) -> Sequence[Holder]:
        rows = await self._run(lambda connection: connection.fetch(_HOLDERS, service))
        return [Holder(description=row["holder"], count=row["held"]) for row in rows]

    async def connections(self) -> Sequence[Holder]:
        """Who holds how many connections of the server."""
        rows = await self._run(lambda connection: connection.fetch(_CONNECTIONS))
        return [Holder(description=row["holder"], count=row["held"]) for row in rows]

    async def mine(self) -> Sequence[tuple[str, str]]:
        """Service and name of everything this session owns."""
        rows = await self._run(
            lambda connection: connection.fetch(
                f"SELECT service, name FROM {_TABLE} WHERE session_id = $1 ORDER BY since", self._session
            )
        )
        return [(row["service"], row["name"]) for row in rows]

    async def rename(self, service: str, name: str, new: str) -> None:
        """Rename a database of ours, in the books and in the server at once."""

        async def work(connection: Connection) -> None:
            async with connection.transaction():
                await connection.execute(
                    f"UPDATE {_TABLE} SET name = $4, worker_id = $5"
                    " WHERE session_id = $1 AND service = $2 AND name = $3",
                    self._session, service, name, new, self._identity.worker_id,
                )  # fmt: skip
                await connection.execute(f"ALTER DATABASE {quote_identifier(name)} RENAME TO {quote_identifier(new)}")

        await self._run(work)

    async def use_template(self, template: str) -> None:
        self._templates.add(template)
        await self._run(lambda connection: _share(connection, template))

    async def close(self) -> None:
        """End the session. What it still owns is for the reaper."""
        connection, self._connection = self._connection, None
        if connection is not None and not connection.is_closed():
            try:
                await connection.execute(
                    f"DELETE FROM {SCHEMA}.sessions s WHERE id = $1"
                    f" AND NOT EXISTS (SELECT FROM {_TABLE} WHERE session_id = s.id)",
                    self._session,
                )
            except (*LOST, asyncpg.PostgresError, TimeoutError):
                pass  # the lock goes with the connection, and the reaper comes by
        await self._exit.aclose()

    async def _value(self, sql: str, service: str, *arguments: object) -> Any:
        """The value of a prepared statement; the session's number goes in front, since a lost session gets another."""

        async def work(connection: Connection) -> Any:
            prepared = self._prepared.get(sql)
            if prepared is None:
                prepared = self._prepared[sql] = await connection.prepare(sql)
            return await prepared.fetchval(self._session, service, *arguments)

        return await self._run(work)

    async def _run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        async def attempt() -> T:
            async with self._lock:
                connection = await self._connected()
                try:
                    return await work(connection)
                except LOST as error:
                    if not is_lost(error, closed=connection.is_closed()):
                        raise
                    connection.terminate()  # its goodbye may still be on the way
                return await work(await self._connected())

        return await ask(self._endpoint, self._timeout, attempt)

    async def _connected(self) -> Connection:
        """The connection; a new one, and perhaps a new session, when there is none or it broke."""
        if self._connection is not None and self.connected:
            return self._connection
        self._prepared.clear()
        await self._exit.aclose()
        self._exit = AsyncExitStack()
        application = f"{self._identity.run_id[:8]}:{self._identity.worker_id}"

        async def connect() -> Connection:
            opened = open_control(self._endpoint, self._timeout, application=application)
            return await self._exit.enter_async_context(opened)

        connection = await patiently(connect, self._timeout)
        await connection.execute(_KEEPALIVE)
        await ensure_schema(connection)
        if not (self._session and await self._resume(connection)):
            await self._begin(connection)
        for template in self._templates:
            await _share(connection, template)
        self._connection = connection
        return connection

    async def _resume(self, connection: Connection) -> bool:
        """After a lost connection: we are still ourselves if nobody has declared us dead meanwhile."""
        if await connection.fetchval("SELECT pg_try_advisory_lock($1)", self._session):
            if await connection.fetchval(f"SELECT count(*) FROM {SCHEMA}.sessions WHERE id = $1", self._session):
                return True
            await connection.fetchval("SELECT pg_advisory_unlock($1)", self._session)
        self.losses += 1
        return False

    async def _begin(self, connection: Connection) -> None:
        self._session = secrets.randbelow(2**63 - 2) + 1
        # The lock first: a row without its lock is a dead session.
        await connection.fetchval("SELECT pg_advisory_lock($1)", self._session)
        await connection.execute(
            f"INSERT INTO {SCHEMA}.sessions (id, run_id, worker_id, host, pid) VALUES ($1, $2, $3, $4, $5)",
            self._session, self._identity.run_id, self._identity.worker_id, socket.gethostname(), os.getpid(),
        )  # fmt: skip


async def _share(connection: Connection, template: str) -> None:
    """Whoever drops unused templates tries to take this lock for itself."""
    await connection.fetchval("SELECT pg_advisory_lock_shared($1)", advisory_key(f"template:{template}"))
