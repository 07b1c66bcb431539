"""Fixtures: what a test owns, as clients and as addresses for code that opens its own connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from test_framework.errors import FrameworkError
from test_framework.plugin.owned import Owned

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from test_framework.manager.clickhouse import IsolatedClickHouse
    from test_framework.manager.connection import BridgedConnection
    from test_framework.plugin.addresses import OwnPostgres, OwnRedis

__all__ = [
    "clickhouse_url",
    "external_redis_config",
    "isolated_clickhouse",
    "isolated_database",
    "isolated_external_postgres",
    "isolated_external_redis",
    "isolated_redis",
    "postgres_dsn",
    "redis_url",
]

# pytest shows the user's line, not ours; --full-trace shows all.
__tracebackhide__ = True


@pytest.fixture
def isolated_database(real_postgres: BridgedConnection) -> BridgedConnection:
    """The test's PostgreSQL as one connection: see ``real_postgres``."""
    return real_postgres


@pytest.fixture
def isolated_external_postgres(test_isolation: Owned) -> OwnPostgres:
    """A PostgreSQL database of the test's own, a clone of the seed: ``.dsn``, ``.name``, ``.host`` … for any driver."""
    from test_framework.plugin.addresses import OwnPostgres

    return OwnPostgres.of(test_isolation.postgres())


@pytest.fixture
def postgres_dsn(isolated_external_postgres: OwnPostgres) -> str:
    """The DSN of that database: ``postgresql://user:password@host:port/name``."""
    return isolated_external_postgres.dsn


@pytest.fixture
def isolated_redis(real_redis: Redis) -> Redis:
    """A client of a Redis database of the test's own: see ``real_redis``."""
    return real_redis


@pytest.fixture
def isolated_external_redis(test_isolation: Owned) -> OwnRedis:
    """A Redis database of the test's own: ``.url``, ``.db``, ``.host`` … for any client, and ``.key_prefix``."""
    from test_framework.plugin.addresses import OwnRedis

    return OwnRedis.of(test_isolation.redis_lease())


@pytest.fixture
def redis_url(isolated_external_redis: OwnRedis) -> str:
    """The URL of that database: ``redis://:password@host:port/number``."""
    if isolated_external_redis.key_prefix is not None:
        raise FrameworkError(
            "this Redis has too few databases for a number per test, so an address cannot isolate one",
            cause=f"tests are told apart by key prefixes here; this one's is {isolated_external_redis.key_prefix}",
            fix="give the server more databases (256), take real_redis, or prefix your keys (isolated_external_redis)",
        )
    return isolated_external_redis.url


@pytest.fixture
def external_redis_config(isolated_external_redis: OwnRedis, redis_url: str) -> dict[str, Any]:
    """Host, port, db, password and TLS of that database: ``redis.Redis(**external_redis_config)``."""
    del redis_url  # refuses where an address cannot isolate
    return isolated_external_redis.config


@pytest.fixture
def isolated_clickhouse(real_clickhouse: IsolatedClickHouse) -> IsolatedClickHouse:
    """A client of a ClickHouse database of the test's own: see ``real_clickhouse``."""
    return real_clickhouse


@pytest.fixture
def clickhouse_url(test_isolation: Owned) -> str:
    """The URL of that database: ``clickhouse://user:password@host:port/name``, the port being that of HTTP."""
    from test_framework.plugin.masked import MaskedText

    endpoint = test_isolation.clickhouse_endpoint()
    return MaskedText(endpoint.url, shown=endpoint.safe_url)
