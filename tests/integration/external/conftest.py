"""What the tests of external resources share: seeded databases, and what an application is told of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from test_framework.endpoints import ClickHouseEndpoint, PostgresEndpoint, RedisEndpoint, Secret
from test_framework.external.backing import Backing
from test_framework.external.serving import close_threads
from tests.seeded_stack import seeded_stack

JWT_SECRET = "canary-4711-signs-tokens-of-these-tests"


@pytest.fixture(scope="module")
def backing(
    postgres_server: PostgresEndpoint, redis_server: RedisEndpoint, clickhouse_server: ClickHouseEndpoint
) -> Backing:
    """Databases with the shipped seed, shared by the tests of one file."""
    found = seeded_stack(postgres_server, redis_server, clickhouse_server).endpoints
    secret = Secret(JWT_SECRET)
    return Backing(postgres=found.postgres, redis=found.redis, clickhouse=found.clickhouse, jwt_secret=secret)


@pytest.fixture(scope="module", autouse=True)
def no_threads_left() -> Iterator[None]:
    """The kept threads of served applications end with the file."""
    yield
    close_threads()
