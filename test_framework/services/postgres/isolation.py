"""Databases cloned from the sealed template: what isolation needs to know about PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

import asyncpg

from test_framework.endpoints import PostgresEndpoint
from test_framework.errors import ServiceUnavailable
from test_framework.isolation.names import Names
from test_framework.services.postgres.client import CONTROL_DATABASE, ask, connect, quote_identifier, quote_literal
from test_framework.services.postgres.control import read_record
from test_framework.services.postgres.databases import (
    Connection,
    clone_database,
    drop_database,
    empty_database,
    sessions_in,
)
from test_framework.services.postgres.ledger import PostgresLedger
from test_framework.services.postgres.patience import LOST, is_lost, patiently
from test_framework.services.postgres.residents import Residents, wanted_by_others
from test_framework.services.postgres.restoring import RESET_TIME, Facts, read_born, read_facts, restore
from test_framework.services.postgres.template import is_built
from test_framework.waiting import Deadline

__all__ = ["AdminConnections", "PostgresClones", "drop_leased_database"]

T = TypeVar("T")

_TROUBLE = (*LOST, asyncpg.PostgresError, TimeoutError)
# Of the server's connections, what residents of all workers together may take.
_SHARE = 0.2
_MOST_RESIDENTS = 6


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
    together = 1  # each is looked at over a connection of its own

    def __init__(
        self,
        endpoint: PostgresEndpoint,
        ledger: PostgresLedger,
        *,
        names: Names,
        limit: int,
        timeout: float,
        connect_timeout: float,
        workers: int = 1,
    ) -> None:
        self._endpoint = endpoint
        self._timeout = timeout
        self._names = names
        self.ledger = ledger
        self._admin = AdminConnections(endpoint, limit=limit, timeout=timeout)
        self._workers = workers
        self._residents = Residents(endpoint, timeout=connect_timeout, look=self._wanted)
        self._template = ""
        self._born: str | None = None
        self._facts: Facts | None = None
        self._new: dict[str, datetime | None] = {}  # known to be as it was made, when the counters were last reset

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
        self._born = await read_born(connection, record.template)
        most = int(await connection.fetchval("SELECT current_setting('max_connections')"))
        room = int(most * _SHARE) // max(1, self._workers)
        self._residents.limit = min(_MOST_RESIDENTS, room) if room > 1 else 0
        return record.template

    async def create(self, name: str, template: str) -> None:
        await self._admin.run(lambda connection: self._create(connection, name, template))

    async def _create(self, connection: Connection, name: str, template: str) -> None:
        try:
            await clone_database(connection, template, name)
        except asyncpg.DuplicateDatabaseError:  # the first attempt had got further than we were told
            await drop_leased_database(connection, self._endpoint, name, Deadline.after(self._timeout))
            await clone_database(connection, template, name)
        except asyncpg.ObjectInUseError as error:
            sitting = ", ".join(map(str, await sessions_in(connection, template)))
            raise ServiceUnavailable(
                f"the template {template} cannot be copied while somebody is connected to it",
                service="test-postgres",
                where=self._endpoint.address,
                cause=sitting or "whoever it was has left",
                fix=f"end that session, then: ALTER DATABASE {template} ALLOW_CONNECTIONS false",
            ) from error
        except asyncpg.InsufficientPrivilegeError as error:
            raise ServiceUnavailable(
                f"the role {self._endpoint.user} may not create databases",
                service="test-postgres",
                where=self._endpoint.address,
                cause=str(error),
                fix=f"as a superuser: ALTER ROLE {quote_identifier(self._endpoint.user)} CREATEDB",
            ) from error

    async def remember(self, name: str) -> None:
        """Move in, so that it can be put back when a test has used it."""
        if self._born is None or not self._residents.limit:
            return
        with contextlib.suppress(*_TROUBLE):  # then it is dropped, as before
            resident = await self._residents.enter(name)
            if resident is None:
                return
            if self._facts is None:
                self._facts = await read_facts(resident.connection, self._template, self._born)
            self._new[name] = await resident.connection.fetchval(RESET_TIME)

    async def let_go(self, name: str) -> None:
        self._new.pop(name, None)
        if await self._residents.leave(name):
            deadline = Deadline.after(self._timeout)
            await self._admin.run(lambda connection: empty_database(connection, name, deadline))

    async def _wanted(self, names: Collection[str]) -> Collection[str]:
        return await self._admin.run(lambda connection: wanted_by_others(connection, names))

    async def adopt(self, name: str) -> str:
        if self._names.is_own(name):
            return name
        new = self._names.new()
        await self.ledger.rename(self.service, name, new)
        return new

    async def destroy(self, name: str) -> None:
        self._new.pop(name, None)
        await self._residents.leave(name)
        deadline = Deadline.after(self._timeout)
        await self._admin.run(lambda connection: drop_leased_database(connection, self._endpoint, name, deadline))

    async def restore(self, name: str) -> bool:
        if self._facts is None or name not in self._new:
            return False
        try:
            resident = await self._residents.enter(name)
            if resident is None or not await resident.alone(Deadline.after(self._timeout)):
                return False
            return await restore(resident.connection, self._facts, self._new[name], resident.state)
        except _TROUBLE:  # the test may have dropped it, or have ended our session
            return False

    def endpoint(self, name: str) -> PostgresEndpoint:
        return replace(self._endpoint, database=name)

    async def close(self) -> None:
        await self._residents.close()
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
