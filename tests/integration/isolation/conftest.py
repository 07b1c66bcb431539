"""A seeded stack on servers of its own, so that tests here may kill, fill and stop whatever they like."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from test_framework.endpoints import ClickHouseEndpoint, PostgresEndpoint, RedisEndpoint
from test_framework.environment import Broker, Identity, IsolationOptions
from tests.seeded_stack import Stack, seeded_stack


@pytest.fixture(scope="module")
def stack(
    postgres_server: PostgresEndpoint, redis_server: RedisEndpoint, clickhouse_server: ClickHouseEndpoint
) -> Stack:
    """The shared servers with the shipped seed, in databases of this folder's own."""
    return seeded_stack(postgres_server, redis_server, clickhouse_server)


@pytest.fixture
def make_broker(stack: Stack) -> Iterator[Callable[..., Broker]]:
    """Brokers of one test, closed at its end."""
    with contextlib.ExitStack() as exit_stack:

        def make(*, run: str | None = None, worker: str = "gw0", workers: int = 1, **options: Any) -> Broker:
            identity = Identity(run_id=run or secrets.token_hex(8), worker_id=worker, workers=workers)
            broker = Broker(stack.endpoints, identity, options=IsolationOptions(**options))
            exit_stack.callback(broker.close)
            return broker

        yield make


@pytest.fixture
def broker(make_broker: Callable[..., Broker]) -> Broker:
    """One broker."""
    return make_broker()


@pytest.fixture
async def home(broker: Broker) -> AsyncIterator[PostgresEndpoint]:
    """A database that nobody else uses."""
    lease = await broker.aacquire("postgres")
    assert isinstance(lease.endpoint, PostgresEndpoint)
    yield lease.endpoint
