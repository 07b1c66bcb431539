"""Databases cloned from the sealed template: what isolation needs to know about PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import TypeVar

import asyncpg

from test_framework.endpoints import PostgresEndpoint
from test_framework.errors import ServiceUnavailable
from test_framework.isolation.names import Names
from test_framework.services.postgres.client import CONTROL_DATABASE, ask, connect, quote_identifier, quote_literal
from test_framework.services.postgres.control import read_record
from test_framework.services.postgres.databases import Connection, clone_database, drop_database, empty_database
from test_framework.services.postgres.ledger import PostgresLedger
from test_framework.services.postgres.ledger_schema import SCHEMA
from test_framework.services.postgres.patience import LOST, is_lost, patiently
from test_framework.services.postgres.template import is_built
from test_framework.waiting import Deadline

__all__ = ["AdminConnections", "PostgresClones", "drop_leased_database"]

T = TypeVar("T")

# Counters of a database that nobody has written to, in a server that counts, as somebody who cannot switch that off.
# Whatever changes a row, of the catalogs too, counts; what remains are sequences and the database's own properties.
_UNTOUCHED = f"""
SELECT pg_stat_get_bgwriter_stat_reset_time() < (  -- a crash sets all counters to zero
        SELECT since FROM {SCHEMA}.namespaces WHERE service = 'postgres' AND name = $1)
   AND s.tup_inserted + s.tup_updated + s.tup_deleted = 0
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

        async def opened() -> Connection:
            return await self._exit.enter_async_context(
                connect(self._endpoint, database=CONTROL_DATABASE, timeout=self._timeout, application="isolation")
            )

        return await patiently(opened, self._timeout)

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """``await work(connection)``; once more on a new connection if this one had broken while nobody used it.

        Raises:
            ServiceUnavailable: or ``AuthenticationRefused``, for every error of the driver.
        """

        async def attempt() -> T:
            try:
                return await self._run(work)
            except LOST as error:
                if not is_lost(error, closed=True):
                    raise
            return await self._run(work)

        return await ask(self._endpoint, self._timeout, attempt)

    async def _run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        async with self.use() as connection:
            try:
                return await work(connection)
            except LOST as error:
                if is_lost(error, closed=connection.is_closed()):
                    connection.terminate()
                raise

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
        self._sequences: int | None = None

    async def template(self) -> str:
        if not self._template:
            self._template = await self._admin.run(self._find_template)
            await self.ledger.use_template(self._template)
        return self._template

    async def _find_template(self, connection: Connection) -> str:
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
        await self._admin.run(lambda connection: self._create(connection, name, template))

    async def _create(self, connection: Connection, name: str, template: str) -> None:
        try:
            await clone_database(connection, template, name)
        except asyncpg.DuplicateDatabaseError:  # the first attempt had got further than we were told
            await drop_leased_database(connection, self._endpoint, name, Deadline.after(self._timeout))
            await clone_database(connection, template, name)
        except asyncpg.InsufficientPrivilegeError as error:
            raise ServiceUnavailable(
                f"the role {self._endpoint.user} may not create databases",
                service="test-postgres",
                where=self._endpoint.address,
                cause=str(error),
                fix=f"as a superuser: ALTER ROLE {quote_identifier(self._endpoint.user)} CREATEDB",
            ) from error

    async def remember(self, name: str) -> None:
        """The server's own counters say later whether it was written to."""

    async def adopt(self, name: str) -> str:
        if self._names.is_own(name):
            return name
        new = self._names.new()
        await self.ledger.rename(self.service, name, new)
        return new

    async def destroy(self, name: str) -> None:
        deadline = Deadline.after(self._timeout)
        await self._admin.run(lambda connection: drop_leased_database(connection, self._endpoint, name, deadline))

    async def untouched(self, name: str) -> bool:
        async def work(connection: Connection) -> bool:
            await empty_database(connection, name, Deadline.after(self._timeout))
            return bool(await connection.fetchval(_UNTOUCHED, name, self._template))

        return await self._admin.run(work) and await self._no_sequences(name)

    async def _no_sequences(self, name: str) -> bool:
        """Calls of ``nextval`` are the one change that no counter shows, so a template with sequences is out."""
        if self._sequences is None:
            self._sequences = await ask(self._endpoint, self._timeout, lambda: self._count_sequences(name))
            await self._admin.run(lambda connection: empty_database(connection, name, Deadline.after(self._timeout)))
        return self._sequences == 0

    async def _count_sequences(self, name: str) -> int:
        inside = connect(self.endpoint(name), timeout=self._connect_timeout, application="isolation")
        async with inside as connection:
            return int(await connection.fetchval("SELECT count(*) FROM pg_class WHERE relkind = 'S'"))

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
