"""Databases cloned from the sealed template: what isolation needs to know about PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import asyncpg

from test_framework.endpoints import PostgresEndpoint
from test_framework.errors import ServiceUnavailable
from test_framework.isolation.names import Names
from test_framework.services.postgres.client import CONTROL_DATABASE, ask, connect, quote_literal
from test_framework.services.postgres.control import read_record
from test_framework.services.postgres.databases import Connection, clone_database, drop_database, empty_database
from test_framework.services.postgres.ledger import PostgresLedger
from test_framework.services.postgres.template import is_built
from test_framework.waiting import Deadline

__all__ = ["AdminConnections", "PostgresClones", "drop_leased_database"]

# Counters of a database that nobody has written to, in a server that counts, as somebody who cannot switch that off.
# Whatever changes a row, of the catalogs too, counts; what remains are sequences and the database's own properties.
_UNTOUCHED = """
SELECT s.tup_inserted + s.tup_updated + s.tup_deleted = 0
   AND current_setting('track_counts')::boolean
   AND current_setting('server_version_num')::integer >= 150000
   AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
   AND NOT EXISTS (SELECT FROM pg_prepared_xacts WHERE database = d.datname)
   AND NOT EXISTS (SELECT FROM pg_shdescription WHERE objoid = d.oid AND classoid = 'pg_database'::regclass)
   AND (d.datdba, d.datacl::text, d.datconnlimit, d.datallowconn, d.datistemplate, d.dattablespace, d.encoding)
       IS NOT DISTINCT FROM (t.datdba, NULL::text, -1, true, false, t.dattablespace, t.encoding)
   AND (SELECT array_agg((setrole, setconfig)::text ORDER BY setrole) FROM pg_db_role_setting WHERE setdatabase = d.oid)
       IS NOT DISTINCT FROM
       (SELECT array_agg((setrole, setconfig)::text ORDER BY setrole) FROM pg_db_role_setting WHERE setdatabase = t.oid)
FROM pg_database d JOIN pg_stat_database s ON s.datid = d.oid, pg_database t
WHERE d.datname = $1 AND t.datname = $2
"""


class AdminConnections:
    """A few connections to the control database, opened when they are needed, for statements that take long."""

    def __init__(self, endpoint: PostgresEndpoint, *, limit: int, timeout: float) -> None:
        self._endpoint = endpoint
        self._timeout = timeout
        self._exit = AsyncExitStack()
        self._free: list[Connection] = []
        self._room = asyncio.Semaphore(limit)
        self.opened = 0

    @asynccontextmanager
    async def use(self) -> AsyncIterator[Connection]:
        async with self._room:
            connection = await self._take()
            try:
                yield connection
            finally:
                if not connection.is_closed():
                    self._free.append(connection)

    async def _take(self) -> Connection:
        while self._free:
            connection = self._free.pop()
            if not connection.is_closed():
                return connection
        self.opened += 1
        return await self._exit.enter_async_context(
            connect(self._endpoint, database=CONTROL_DATABASE, timeout=self._timeout, application="isolation")
        )

    async def close(self) -> None:
        self._free.clear()
        await self._exit.aclose()


class PostgresClones:
    """See :class:`~test_framework.isolation.ledger.Clones`."""

    service = "postgres"
    renames = True

    def __init__(
        self,
        endpoint: PostgresEndpoint,
        ledger: PostgresLedger,
        *,
        names: Names,
        limit: int,
        timeout: float,
        connect_timeout: float,
    ) -> None:
        self._endpoint = endpoint
        self._timeout = timeout
        self._names = names
        self.ledger = ledger
        self._admin = AdminConnections(endpoint, limit=limit, timeout=timeout)
        self._connect_timeout = connect_timeout
        self._template = ""
        self._sequences: str | None = None

    async def template(self) -> str:
        if not self._template:
            self._template = await ask(self._endpoint, self._timeout, self._find_template)
            await self.ledger.use_template(self._template)
        return self._template

    async def _find_template(self) -> str:
        async with self._admin.use() as connection:
            record = await read_record(connection, self._endpoint.database)
            if record is None or not await is_built(connection, record.template):
                raise ServiceUnavailable(
                    "there is no template to clone databases from",
                    service="test-postgres",
                    where=self._endpoint.safe_dsn,
                    cause=f"its template {record.template} is gone" if record else "the database was never seeded",
                    fix="seed the stack: make test-seed",
                )
            return record.template

    async def create(self, name: str, template: str) -> None:
        async def work() -> None:
            async with self._admin.use() as connection:
                await clone_database(connection, template, name)

        await ask(self._endpoint, self._timeout, work)

    async def adopt(self, name: str) -> str:
        if self._names.is_own(name):
            return name
        new = self._names.new()
        await self.ledger.rename(self.service, name, new)
        return new

    async def destroy(self, name: str) -> None:
        async def work() -> None:
            async with self._admin.use() as connection:
                await drop_leased_database(connection, self._endpoint, name, Deadline.after(self._timeout))

        await ask(self._endpoint, self._timeout, work)

    async def untouched(self, name: str) -> bool:
        async def work() -> bool:
            async with self._admin.use() as connection:
                await empty_database(connection, name, Deadline.after(self._timeout))
                clean = bool(await connection.fetchval(_UNTOUCHED, name, self._template))
            return clean and await self._no_sequences(name)

        return await ask(self._endpoint, self._timeout, work)

    async def _no_sequences(self, name: str) -> bool:
        """Calls of ``nextval`` are the one change that no counter shows, so a template with sequences is out."""
        if self._sequences is None:
            async with connect(
                replace(self._endpoint, database=name), timeout=self._connect_timeout, application="isolation"
            ) as connection:
                count = await connection.fetchval("SELECT count(*) FROM pg_class WHERE relkind = 'S'")
            async with self._admin.use() as admin:
                await empty_database(admin, name, Deadline.after(self._timeout))
            self._sequences = "some" if count else "none"
        return self._sequences == "none"

    def endpoint(self, name: str) -> PostgresEndpoint:
        return replace(self._endpoint, database=name)

    async def close(self) -> None:
        await self._admin.close()


async def drop_leased_database(
    connection: Connection, endpoint: PostgresEndpoint, name: str, deadline: Deadline
) -> None:
    """Drop a test's database with everything that keeps it: sessions, and transactions it left prepared."""
    try:
        await drop_database(connection, name, deadline)
    except asyncpg.ObjectInUseError:
        if not await _roll_back_prepared(connection, endpoint, name, deadline):
            raise
        await drop_database(connection, name, deadline)


async def _roll_back_prepared(connection: Connection, endpoint: PostgresEndpoint, name: str, deadline: Deadline) -> int:
    """Only a connection to their own database can end them."""
    rows = await connection.fetch("SELECT gid FROM pg_prepared_xacts WHERE database = $1", name)
    if rows:
        async with connect(
            replace(endpoint, database=name), timeout=deadline.remaining, application="isolation"
        ) as inside:
            for row in rows:
                await inside.execute(f"ROLLBACK PREPARED {quote_literal(row['gid'])}")
    return len(rows)
