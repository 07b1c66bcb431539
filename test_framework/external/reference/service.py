"""What one running service holds: its connections, sessions, and what they are made with."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import asyncpg
from redis.asyncio import Redis

from test_framework.external.reference.config import ServiceConfig
from test_framework.external.reference.hub import EventHub
from test_framework.external.reference.passwords import Passwords
from test_framework.external.reference.sessions import Sessions

if TYPE_CHECKING:
    from clickhouse_connect.driver.asyncclient import AsyncClient

__all__ = ["Row", "Service", "opened_service"]

_CONNECTIONS = 4
_PATIENCE = 10.0  # seconds to connect
_CLOSING = 2.0


class Row(asyncpg.Record):
    """A row whose columns are attributes too, as answers want it; its ``repr`` shows no values, which may be secret."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __repr__(self) -> str:
        return f"<Row {', '.join(self.keys())}>"


class Service:
    """The state behind the routes; each running application has one of its own."""

    def __init__(self, config: ServiceConfig, pool: Any, redis: Redis) -> None:
        self.config = config
        self.pool = pool
        self.redis = redis
        self.sessions = Sessions(redis, prefix=config.redis_key_prefix, seconds=config.refresh_seconds)
        self.passwords = Passwords(rounds=config.hash_rounds, kib=config.hash_kib)
        self.hub = EventHub()
        self._clickhouse: AsyncClient | None = None
        self._opening = asyncio.Lock()

    async def clickhouse(self) -> AsyncClient | None:
        """The client, opened when the first event comes; ``None`` where no ClickHouse was configured."""
        if self.config.clickhouse_url is None:
            return None
        async with self._opening:
            if self._clickhouse is None:
                # The driver takes a while to load, and others share this loop.
                driver: Any = await asyncio.to_thread(importlib.import_module, "clickhouse_connect")
                self._clickhouse = await driver.get_async_client(
                    dsn=self.config.clickhouse_url, autogenerate_session_id=False, query_limit=0
                )
            return self._clickhouse

    async def aclose(self) -> None:
        """Close all connections; one that hangs is cut."""
        if self._clickhouse is not None:
            with contextlib.suppress(Exception):
                await self._clickhouse.close()
        with contextlib.suppress(Exception):
            await self.redis.aclose()
        try:
            async with asyncio.timeout(_CLOSING):
                await self.pool.close()
        except TimeoutError:
            self.pool.terminate()


@asynccontextmanager
async def opened_service(config: ServiceConfig) -> AsyncIterator[Service]:
    """Connect to PostgreSQL now, to the others when they are needed.

    Raises:
        OSError, asyncpg.PostgresError: PostgreSQL cannot be reached, or refuses.
    """
    pool = await asyncpg.create_pool(
        config.database_url,
        min_size=1,
        max_size=_CONNECTIONS,
        timeout=_PATIENCE,
        record_class=Row,
        server_settings={"application_name": "reference-service"},
    )
    redis = Redis.from_url(config.redis_url, decode_responses=True, socket_connect_timeout=_PATIENCE)
    service = Service(config, pool, redis)
    try:
        yield service
    finally:
        await service.aclose()
