"""Namespaces of their own on the shared servers, for tests that seed."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Iterator
from dataclasses import replace

import pytest

from test_framework.endpoints import ClickHouseEndpoint, Endpoints, PostgresEndpoint, RedisEndpoint
from tests.integration.seeding.looking import forget_clickhouse, forget_postgres, forget_redis

_NUMBERS = itertools.count(1)


@pytest.fixture
def postgres(postgres_server: PostgresEndpoint) -> Iterator[PostgresEndpoint]:
    """A working database of the test's own, which does not exist yet."""
    endpoint = replace(postgres_server, database=f"work_{secrets.token_hex(4)}")
    asyncio.run(forget_postgres(endpoint))  # what tests of other rooms left on the shared server
    yield endpoint
    asyncio.run(forget_postgres(endpoint))


@pytest.fixture
def redis(redis_server: RedisEndpoint) -> Iterator[RedisEndpoint]:
    """An empty Redis database of the test's own."""
    endpoint = replace(redis_server, database=next(_NUMBERS) % 250 + 1)
    asyncio.run(forget_redis(endpoint))
    yield endpoint
    asyncio.run(forget_redis(endpoint))


@pytest.fixture
def clickhouse(clickhouse_server: ClickHouseEndpoint) -> Iterator[ClickHouseEndpoint]:
    """A ClickHouse database of the test's own, which does not exist yet."""
    endpoint = replace(clickhouse_server, database=f"work_{secrets.token_hex(4)}")
    yield endpoint
    asyncio.run(forget_clickhouse(endpoint))


@pytest.fixture
def endpoints(postgres: PostgresEndpoint, redis: RedisEndpoint, clickhouse: ClickHouseEndpoint) -> Endpoints:
    """All three together."""
    return Endpoints(postgres=postgres, redis=redis, clickhouse=clickhouse)
