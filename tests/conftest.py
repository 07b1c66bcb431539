"""Servers that the whole suite shares. Started when the first test asks, stopped at the end of the run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from test_framework.endpoints import ClickHouseEndpoint, PostgresEndpoint, RedisEndpoint
from tests.servers import data_directory, run_clickhouse, run_postgres, run_redis


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresEndpoint]:
    """An unseeded PostgreSQL, shared by all tests of the run: leave nothing in it that others could trip over."""
    with data_directory("postgres") as directory, run_postgres(directory) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisEndpoint]:
    """An unseeded Redis, shared by all tests of the run."""
    with data_directory("redis") as directory, run_redis(directory) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def clickhouse_server() -> Iterator[ClickHouseEndpoint]:
    """An unseeded ClickHouse engine, shared by all tests of the run."""
    with data_directory("clickhouse") as directory, run_clickhouse(directory) as endpoint:
        yield endpoint
