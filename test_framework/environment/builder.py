"""How namespaces of each service are made: what a broker knows, turned into an allocator. Drivers are loaded here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from test_framework.endpoints import Endpoints
from test_framework.errors import ServiceUnavailable
from test_framework.isolation.names import Names
from test_framework.isolation.values import Identity, IsolationOptions

if TYPE_CHECKING:
    from test_framework.isolation.ledger import Allocator, Clones
    from test_framework.isolation.loose import LooseLedger
    from test_framework.services.postgres.ledger import PostgresLedger

    Books = PostgresLedger | LooseLedger

__all__ = ["Builder"]

# Databases of one run that may wait to be dropped, over all workers: each takes memory.
_BACKLOG = 32


class Builder:
    """Makes the allocators of one worker.

    Args:
        report: told about failures that no test sees, in one line.
    """

    def __init__(
        self, endpoints: Endpoints, identity: Identity, options: IsolationOptions, *, report: Callable[[str], None]
    ) -> None:
        self._endpoints = endpoints
        self._identity = identity
        self._options = options
        self._report = report
        self._names = Names(options.prefix, identity.worker_id)
        self._closers: list[Callable[[], Awaitable[None]]] = []

    async def build(self, service: str, ledger: Books) -> Allocator:
        """The allocator of ``service``.

        Raises:
            ServiceUnavailable: the server does not answer, or this project does without it.
        """
        makers = {"postgres": self._postgres, "redis": self._redis, "clickhouse": self._clickhouse}
        return await makers[service](ledger)

    async def _postgres(self, ledger: Books) -> Allocator:
        from test_framework.services.postgres.isolation import PostgresClones
        from test_framework.services.postgres.ledger import PostgresLedger

        if not isinstance(ledger, PostgresLedger):
            raise ServiceUnavailable(
                "this project does without PostgreSQL", service="test-postgres", where="TEST_POSTGRES_HOST=none",
                fix="name a server in TEST_POSTGRES_HOST, or take a fixture of another service",
            )  # fmt: skip
        clones = PostgresClones(
            self._endpoints.postgres,
            ledger,
            names=self._names,
            limit=self._creators + 1,
            timeout=self._options.statement_timeout,
            connect_timeout=self._options.connection_timeout,
            workers=self._identity.workers,
        )
        return self._pool(clones)

    async def _clickhouse(self, ledger: Books) -> Allocator:
        from test_framework.isolation.counters import Counters
        from test_framework.services.clickhouse.isolation import ClickHouseClones

        clones = ClickHouseClones(
            self._endpoints.clickhouse,
            ledger,
            limit=self._creators + 1,
            timeout=self._options.statement_timeout,
            workers=self._identity.workers,
            counters=Counters.of(self._identity),
        )
        return self._pool(clones)

    def _pool(self, clones: Clones) -> Allocator:
        from test_framework.isolation.pool import ClonePool

        self._closers.append(clones.close)
        return ClonePool(
            clones,
            new_name=self._names.new,
            target=self._options.pool_target(self._identity.workers),
            creators=self._creators,
            backlog=max(2, _BACKLOG // max(1, self._identity.workers)),
            reuse_untouched=self._options.reuse_untouched,
            report=self._report,
        )

    @property
    def _creators(self) -> int:
        """One worker alone may use two connections for making databases; many workers load the server enough."""
        return 2 if self._identity.workers == 1 else 1

    async def _redis(self, ledger: Books) -> Allocator:
        from test_framework.services.redis.allocators import make_allocator
        from test_framework.services.redis.expiring import ExpiringAdmin
        from test_framework.services.redis.isolation import RedisAdmin

        kind = RedisAdmin if self._endpoints.postgres.configured else ExpiringAdmin
        admin = kind(self._endpoints.redis, self._options.connection_timeout)
        self._closers.append(admin.close)
        return await make_allocator(admin, ledger, self._identity, mode=self._options.redis_mode, report=self._report)

    async def close(self) -> None:
        """Close the connections of everything that was built."""
        for close in self._closers:
            await close()
