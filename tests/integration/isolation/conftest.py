"""A seeded stack on servers of its own, so that tests here may kill, fill and stop whatever they like."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from test_framework.endpoints import ClickHouseEndpoint, Endpoints, PostgresEndpoint, RedisEndpoint
from test_framework.environment import Broker, Identity, IsolationOptions
from test_framework.seeding import build_plan, seed_all
from test_framework.services.postgres.client import CONTROL_DATABASE
from test_framework.settings import load_settings

__all__ = ["Stack"]


class Stack:
    """The endpoints, and questions to the servers that no part of the isolation engine answers."""

    def __init__(self, endpoints: Endpoints) -> None:
        self.endpoints = endpoints

    async def sql(self, query: str, *args: object, database: str = CONTROL_DATABASE) -> list[Any]:
        """Rows of one query."""
        connection = await asyncpg.connect(
            replace(self.endpoints.postgres, database=database).dsn, statement_cache_size=0
        )
        try:
            return [tuple(row) for row in await connection.fetch(query, *args)]
        finally:
            await connection.close()

    def ask(self, query: str, *args: object, database: str = CONTROL_DATABASE) -> list[Any]:
        """The same for plain functions."""
        return asyncio.run(self.sql(query, *args, database=database))

    async def databases(self) -> set[str]:
        """Names of the databases that bear our prefix."""
        return {name for (name,) in await self.sql("SELECT datname FROM pg_database WHERE datname LIKE 'apes%'")}

    async def books(self) -> set[tuple[str, str, str]]:
        """Service, name and state of every namespace in the ledger."""
        return set(await self.sql("SELECT service, name, state FROM isolation.namespaces"))


@pytest.fixture(scope="session")
def stack(
    postgres_server: PostgresEndpoint, redis_server: RedisEndpoint, clickhouse_server: ClickHouseEndpoint
) -> Stack:
    """The shared servers with the shipped seed, in databases of this folder's own."""
    name = f"isolation_{secrets.token_hex(4)}"
    endpoints = Endpoints(
        postgres=replace(postgres_server, database=name),
        redis=redis_server,
        clickhouse=replace(clickhouse_server, database=name),
    )
    settings = replace(load_settings(Path("/nonexistent"), {}), endpoints=endpoints)
    asyncio.run(seed_all(endpoints, build_plan(settings), timeout=60))
    return Stack(endpoints)


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
