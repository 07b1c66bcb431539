"""Servers with the shipped seed, and questions to them that no part of the isolation engine answers."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg

from test_framework.endpoints import ClickHouseEndpoint, Endpoints, PostgresEndpoint, RedisEndpoint
from test_framework.seeding import build_plan, seed_all
from test_framework.services.postgres.client import CONTROL_DATABASE
from test_framework.settings import load_settings

__all__ = ["Stack", "seeded_stack"]


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


def seeded_stack(postgres: PostgresEndpoint, redis: RedisEndpoint, clickhouse: ClickHouseEndpoint) -> Stack:
    """The shipped seed on these servers, in databases of the caller's own."""
    name = f"isolation_{secrets.token_hex(4)}"
    endpoints = Endpoints(
        postgres=replace(postgres, database=name), redis=redis, clickhouse=replace(clickhouse, database=name)
    )
    settings = replace(load_settings(Path("/nonexistent"), {}), endpoints=endpoints)
    asyncio.run(seed_all(endpoints, build_plan(settings), timeout=60))
    return Stack(endpoints)
