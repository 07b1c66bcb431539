"""Where tests run as transactions: databases that this process keeps, with a connection that stays open.

Not the seeded base database itself: two workers that insert the same unique value there would wait for each other's
rollback, and in the end deadlock.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Any, cast

import asyncpg

from test_framework.endpoints import PostgresEndpoint
from test_framework.environment import Broker
from test_framework.errors import FrameworkError
from test_framework.isolation.values import Lease
from test_framework.services.postgres.transaction import IsolatedConnection

__all__ = ["Home", "Seat"]

# pytest shows the user's line, not ours; --full-trace shows all.
__tracebackhide__ = True

# What a rollback may take before the connection is given up: the test may have left it in the middle of something.
_ROLLBACK = 5.0


@dataclass(frozen=True)
class Seat:
    """A database and the connection that a test has to itself."""

    lease: Lease
    connection: IsolatedConnection
    savepoints: bool


class Home:
    """Lends a seat to each test, and makes it clean again behind the test's back. Lives in the broker's loop.

    Args:
        lease_timeout: seconds to wait for a database.
        connection_timeout: seconds to open a connection.
        query_timeout: seconds for one statement.
    """

    def __init__(
        self, broker: Broker, *, lease_timeout: float | None, connection_timeout: float, query_timeout: float
    ) -> None:
        self._broker = broker
        self._lease_timeout = lease_timeout
        self._connection_timeout = connection_timeout
        self._query_timeout = query_timeout
        self._free: list[Seat] = []
        self._cleaning: set[asyncio.Task[Any]] = set()

    async def enter(self, *, savepoints: bool) -> Seat:
        """A clean seat in which a transaction has begun."""
        while (seat := await self._vacant(savepoints)) is not None:
            try:
                await seat.connection.begin()
                return seat
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, FrameworkError):
                await self._give_up(seat)  # the server was restarted, or ended the session: look at it anew
        seat = await self._open(savepoints)
        await seat.connection.begin()
        return seat

    async def _vacant(self, savepoints: bool) -> Seat | None:  # noqa: FBT001 - the only thing seats differ in
        while True:
            for seat in self._free:
                if seat.savepoints is savepoints:
                    self._free.remove(seat)
                    return seat
            if not self._cleaning:
                return None
            await asyncio.wait(self._cleaning, return_when=asyncio.FIRST_COMPLETED)

    async def _open(self, savepoints: bool) -> Seat:  # noqa: FBT001 - as above
        lease = await self._broker.aacquire("postgres", timeout=self._lease_timeout)
        endpoint, timeout = cast(PostgresEndpoint, lease.endpoint), self._connection_timeout
        try:
            connection = await IsolatedConnection.open(
                endpoint, timeout=timeout, query_timeout=self._query_timeout, savepoints=savepoints
            )
            return Seat(lease, connection, savepoints)
        except BaseException:
            await self._broker.arelease(lease)
            raise

    async def reset(self, seat: Seat) -> None:
        """Undo what was done so far, and begin again."""
        if not await seat.connection.rollback():
            raise FrameworkError(
                "the test's transaction cannot be put back: it was committed, or its connection is broken",
                fix='mark the test with @pytest.mark.postgres_isolation("database")',
            )
        await seat.connection.begin()

    async def leave(self, seat: Seat, *, keep: bool = False) -> None:
        """Take a seat back. With ``keep`` what the test did is committed, and the database stays as it is."""
        task = asyncio.ensure_future(self._keep(seat) if keep else self._clean(seat))
        self._cleaning.add(task)
        task.add_done_callback(self._cleaning.discard)
        await asyncio.shield(task)

    async def _clean(self, seat: Seat) -> None:
        reusable = False
        with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, FrameworkError):
            async with asyncio.timeout(_ROLLBACK):
                reusable = await seat.connection.rollback()
        if reusable:
            self._free.append(seat)
        else:
            await self._give_up(seat)

    async def _keep(self, seat: Seat) -> None:
        try:
            await seat.connection.commit()
        finally:
            await self._close(seat)
            await self._broker.arelease(seat.lease, keep=True)

    async def _give_up(self, seat: Seat) -> None:
        await self._close(seat)
        with contextlib.suppress(FrameworkError):
            await self._broker.arelease(seat.lease)

    async def _close(self, seat: Seat) -> None:
        with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, FrameworkError):
            async with asyncio.timeout(_ROLLBACK):
                await seat.connection.aclose()

    async def aclose(self) -> None:
        """Close the connections. The broker takes its databases back by itself."""
        if self._cleaning:
            await asyncio.wait(self._cleaning, timeout=_ROLLBACK)
        while self._free:
            await self._close(self._free.pop())
