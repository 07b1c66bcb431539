"""Fixtures: the real services, and drop-ins for what tests used to mock."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from test_framework.plugin.owned import Owned, owned_key

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from test_framework.manager.clickhouse import IsolatedClickHouse
    from test_framework.manager.connection import BridgedConnection
    from test_framework.manager.drop_ins import RedisManager
    from test_framework.manager.services import RealServices

__all__ = [
    "clickhouse_client",
    "database_connection",
    "real_clickhouse",
    "real_postgres",
    "real_redis",
    "real_services",
    "redis_client",
    "redis_manager",
    "test_isolation",
]

# pytest shows the user's line, not ours; --full-trace shows all.
__tracebackhide__ = True


@pytest.fixture
def test_isolation(request: pytest.FixtureRequest) -> Iterator[Owned]:
    """What this test owns of the services; all other fixtures of this package share it."""
    owned = Owned(request.node)
    request.node.stash[owned_key] = owned
    yield owned
    owned.close()


@pytest.fixture
def real_postgres(test_isolation: Owned) -> BridgedConnection:
    """An asyncpg-style connection in the test's own isolation, undone afterwards.

    Normally a transaction with a savepoint behind every statement, so that a failing one does not poison the rest. When
    the test also takes an address of its database (``postgres_dsn``), a database of its own.
    """
    return test_isolation.connection()


@pytest.fixture
def real_redis(test_isolation: Owned) -> Redis:
    """``redis.asyncio.Redis`` with decoded responses on an empty database of the test's own."""
    return test_isolation.redis()


@pytest.fixture
def real_clickhouse(test_isolation: Owned) -> IsolatedClickHouse:
    """A client of a ClickHouse database of the test's own, which holds the seeded tables."""
    return test_isolation.clickhouse()


@pytest.fixture
def real_services(test_isolation: Owned) -> RealServices:
    """The manager of all services. What it leads to is the test's own and starts from the seed."""
    return test_isolation.manager


@pytest.fixture
def database_connection(real_postgres: BridgedConnection) -> BridgedConnection:
    """``real_postgres`` under the name that mocks of it usually have."""
    return real_postgres


@pytest.fixture
def redis_client(real_redis: Redis) -> Redis:
    """``real_redis`` under the name that mocks of it usually have."""
    return real_redis


@pytest.fixture
def clickhouse_client(real_clickhouse: IsolatedClickHouse) -> IsolatedClickHouse:
    """``real_clickhouse`` under the name that mocks of it usually have."""
    return real_clickhouse


@pytest.fixture
def redis_manager(real_redis: Any, redis_url: str) -> RedisManager:
    """``real_redis`` behind the usual face of a manager: ``connect()``, ``get_client()``, ``get()``, ``set()`` …"""
    from test_framework.manager.drop_ins import RedisManager

    return RedisManager(real_redis, redis_url)
