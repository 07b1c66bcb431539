"""What one owner, a test or a script, holds of the services: its namespaces, and clients that lead to them."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

from test_framework.endpoints import ClickHouseEndpoint, PostgresEndpoint, RedisEndpoint
from test_framework.environment import Broker
from test_framework.errors import FrameworkError
from test_framework.isolation.values import Lease
from test_framework.manager.clickhouse import ClickHouseClients, IsolatedClickHouse
from test_framework.manager.connection import BridgedConnection
from test_framework.manager.home import Home, Seat
from test_framework.manager.hop import hop
from test_framework.services.postgres.transaction import IsolatedConnection
from test_framework.services.redis.seed_copy import copy_seed

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from test_framework.manager.redis import NumberedPool, RedisConnections

__all__ = ["Clients", "Holdings", "Wishes"]

# pytest shows the user's line, not ours; --full-trace shows all.
__tracebackhide__ = True

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """How an owner wants to be isolated.

    Args:
        owner: who it is, for messages.
        transaction: PostgreSQL as a transaction instead of a database of its own.
        savepoints: a savepoint behind each statement of that transaction.
        redis_seed: the owner's Redis database begins with the seeded keys, instead of empty.
        guarded: commands that reach beyond the owner's Redis database are refused.
        lease_timeout: seconds to wait for a namespace; ``None``: what the broker thinks right.
    """

    owner: str
    transaction: bool = False
    savepoints: bool = True
    redis_seed: bool = False
    guarded: bool = True
    lease_timeout: float | None = None


class Clients:
    """What a process keeps open for all of its owners, one after another.

    Times are in seconds; ``query_timeout`` is for a statement that names none of its own.
    """

    def __init__(
        self, broker: Broker, *, lease_timeout: float | None, connection_timeout: float, query_timeout: float
    ) -> None:
        self.broker = broker
        self.connection_timeout = connection_timeout
        self.query_timeout = query_timeout
        limits = {"connection_timeout": connection_timeout, "query_timeout": query_timeout}
        self.home = Home(broker, lease_timeout=lease_timeout, **limits)
        self.clickhouse = ClickHouseClients(connection_timeout, query_timeout)
        self._redis: dict[tuple[str | None, bool], RedisConnections] = {}

    def redis(self, lease: Lease, *, guarded: bool) -> RedisConnections:
        """Connections to the server of ``lease``, whatever its number."""
        found = self._redis.get((lease.key_prefix, guarded))
        if found is None:
            from test_framework.manager.redis import RedisConnections

            found = self._redis[lease.key_prefix, guarded] = RedisConnections(
                cast(RedisEndpoint, lease.endpoint),
                key_prefix=lease.key_prefix,
                guarded=guarded,
                timeout=self.connection_timeout,
                query_timeout=self.query_timeout,
            )
        return found

    def close(self) -> None:
        """Close everything that is open. The broker is closed by whoever made it."""
        for connections in self._redis.values():
            connections.close()

        async def there() -> None:
            await self.home.aclose()
            await self.clickhouse.aclose()

        with contextlib.suppress(FrameworkError, TimeoutError):
            self.broker.run(there())


class Holdings:
    """One owner's namespaces. Each is acquired when the first client or address of its service is asked for."""

    def __init__(self, clients: Clients, wishes: Wishes) -> None:
        self.wishes = wishes
        self._clients = clients
        self._broker = clients.broker
        self._lock = threading.RLock()
        self._leases: dict[str, Lease] = {}
        self._transaction = wishes.transaction
        self._seat: Seat | None = None
        self._private: IsolatedConnection | None = None
        self._opening: asyncio.Lock | None = None
        self._redis: Redis | None = None
        self._numbers: NumberedPool | None = None
        self._closed = False

    @property
    def in_transaction(self) -> bool:
        """Whether PostgreSQL is isolated by a transaction, as far as is decided."""
        return self._transaction

    @property
    def leases(self) -> list[Lease]:
        """Everything that is held, in the order in which it was acquired; a transaction's database included."""
        seat = [self._seat.lease] if self._seat else []
        return [*seat, *self._leases.values()]

    def lease(self, service: str) -> Lease:
        """The namespace of ``service``, acquired now if it was not yet. Blocks, at most for the lease timeout.

        Raises:
            FrameworkError: none can be had; or the owner isolates PostgreSQL by a transaction, which has no address.
        """
        with self._lock:
            self._check_open()
            if service == "postgres":
                self._leave_transaction()
            if service not in self._leases:
                lease = self._leases[service] = self._broker.acquire(service, timeout=self.wishes.lease_timeout)
                if service == "redis" and self.wishes.redis_seed:
                    self._broker.run(self._fill_redis(lease))
            return self._leases[service]

    async def acquire(self, services: Iterable[str]) -> None:
        """The namespaces of all ``services`` at once, from any loop. When one cannot be had, or this is cancelled, the
        others stay held until :meth:`close`.

        Raises:
            FrameworkError: as :meth:`lease`.
        """
        outcomes = await asyncio.gather(*map(self._acquire, services), return_exceptions=True)
        for outcome in outcomes:
            if outcome is not None:
                raise outcome

    async def _acquire(self, service: str) -> None:
        self._check_open()
        if service == "postgres":
            self._leave_transaction()
        if service in self._leases:
            return
        lease = await self._broker.aacquire(service, timeout=self.wishes.lease_timeout)
        if self._closed or service in self._leases:
            await self._broker.arelease(lease)
            self._check_open()
            return
        self._leases[service] = lease
        if service == "redis" and self.wishes.redis_seed:
            await hop(self._broker, lambda: self._fill_redis(lease))

    def postgres(self) -> PostgresEndpoint:
        """The database of the owner's own, for connections of any driver."""
        return cast(PostgresEndpoint, self.lease("postgres").endpoint)

    def clickhouse_endpoint(self) -> ClickHouseEndpoint:
        return cast(ClickHouseEndpoint, self.lease("clickhouse").endpoint)

    def _leave_transaction(self) -> None:
        """An address was asked for: others shall see the data. Too late when the transaction has begun."""
        if not self._transaction:
            return
        if self._seat is not None:
            raise FrameworkError(
                f"{self.wishes.owner} has begun a transaction, and now asks for the address of its database",
                cause="what happens in a transaction is not seen by other connections",
                fix='mark the test with @pytest.mark.postgres_isolation("database")',
            )
        self._transaction = False

    def connection(self) -> BridgedConnection:
        """The owner's connection: its transaction, or a connection to the database of its own."""
        return BridgedConnection(self._broker, self._inner)

    async def _inner(self) -> IsolatedConnection:
        """In the broker's loop: the real connection, opened once."""
        self._check_open()
        if self._opening is None:
            self._opening = asyncio.Lock()
        async with self._opening:
            if self._transaction:
                if self._seat is None:
                    self._seat = await self._clients.home.enter(savepoints=self.wishes.savepoints)
                return self._seat.connection
            if self._private is None:
                await self._acquire("postgres")
                endpoint = cast(PostgresEndpoint, self._leases["postgres"].endpoint)
                self._private = await IsolatedConnection.open(
                    endpoint,
                    timeout=self._clients.connection_timeout,
                    query_timeout=self._clients.query_timeout,
                    isolation="database",
                )
            return self._private

    def redis(self) -> Redis:
        """A client of the owner's own Redis database."""
        with self._lock:
            if self._redis is None:
                self._redis = self._open_redis(self.lease("redis"))
            return self._redis

    def _open_redis(self, lease: Lease) -> Redis:
        from test_framework.manager.redis import NumberedPool, needing_a_loop  # a third of a second, so only now
        from test_framework.services.redis.isolated import make_client

        endpoint = cast(RedisEndpoint, lease.endpoint)
        connections = self._clients.redis(lease, guarded=self.wishes.guarded)
        self._numbers = NumberedPool(connections, endpoint.database)
        return needing_a_loop(make_client(endpoint, connection_pool=self._numbers))

    def clickhouse(self) -> IsolatedClickHouse:
        """A client of the owner's own ClickHouse database."""
        self.lease("clickhouse")
        return IsolatedClickHouse(self._broker, self._clients.clickhouse, self.clickhouse_endpoint)

    def run(self, work: Callable[[IsolatedConnection], Coroutine[Any, Any, T]]) -> T:
        """Do something with the owner's connection from where no loop runs, or must not be left. Blocks."""

        async def there() -> T:
            return await work(await self._inner())

        return self._broker.run(there())

    async def reset(self) -> None:
        """Put everything that is held back to the seed. Called from any loop."""
        self._check_open()
        if self._numbers is not None:
            await self._numbers.disconnect()
        await hop(self._broker, self._reset)

    async def _reset(self) -> None:
        if self._seat is not None:
            await self._clients.home.reset(self._seat)
        if self._private is not None:
            private, self._private = self._private, None
            await private.aclose()
        for service, lease in self._leases.items():
            await self._broker.areset(lease)
            if service == "redis":
                await self._fill_redis(lease)

    async def _fill_redis(self, lease: Lease) -> None:
        if self.wishes.redis_seed:
            number, endpoint = cast(RedisEndpoint, lease.endpoint).database, self._broker.endpoints.redis
            await copy_seed(endpoint, number, prefix=lease.key_prefix, timeout=self._clients.connection_timeout)

    def _check_open(self) -> None:
        if self._closed:
            raise FrameworkError(
                f"{self.wishes.owner} has ended, and what it owned was given back",
                cause="something it started, a task or a thread, still uses it",
                fix="wait for it, or stop it, before the test ends",
            )

    def close(self, *, keep: bool = False) -> list[Lease]:
        """Give everything back; the work goes on in the background. With ``keep``: what stays, and stays reachable."""
        with self._lock:
            if self._closed:
                return []
            self._closed = True
        kept = self.leases if keep else []
        if self._numbers is not None:
            self._numbers.close_lent()
        if self._seat is not None or self._private is not None:
            self._broker.submit(self._give_back(keep=keep))
        else:
            for lease in self._leases.values():
                self._broker.release(lease, keep=keep)
        return kept

    async def _give_back(self, *, keep: bool) -> None:
        if self._seat is not None:
            await self._clients.home.leave(self._seat, keep=keep)
        if self._private is not None:
            with contextlib.suppress(Exception):  # whatever the server said: the namespace goes anyway
                await self._private.aclose()
        for lease in self._leases.values():
            await self._broker.arelease(lease, keep=keep)
