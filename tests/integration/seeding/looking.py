"""Look at servers by drivers of their own, not through the code under test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import aiohttp
import asyncpg
from redis.asyncio import Redis

from test_framework.endpoints import ClickHouseEndpoint, Endpoints, PostgresEndpoint, RedisEndpoint

__all__ = [
    "databases",
    "forget_clickhouse",
    "forget_postgres",
    "forget_redis",
    "postgres_rows",
    "query_clickhouse",
    "redis_client",
    "snapshot",
    "templates",
]


async def postgres_connection(endpoint: PostgresEndpoint, database: str | None = None) -> asyncpg.Connection[Any]:
    return await asyncpg.connect(
        host=endpoint.host,
        port=endpoint.port,
        user=endpoint.user,
        password=endpoint.password.reveal(),
        database=database or endpoint.database,
    )


async def postgres_rows(endpoint: PostgresEndpoint, sql: str, *, database: str | None = None) -> list[tuple[Any, ...]]:
    connection = await postgres_connection(endpoint, database)
    try:
        return [tuple(row) for row in await connection.fetch(sql)]
    finally:
        await connection.close()


async def databases(endpoint: PostgresEndpoint) -> list[str]:
    return [name for (name,) in await postgres_rows(endpoint, "SELECT datname FROM pg_database", database="postgres")]


async def templates(endpoint: PostgresEndpoint) -> list[str]:
    return sorted(name for name in await databases(endpoint) if name.startswith("tf_template_"))


async def forget_postgres(endpoint: PostgresEndpoint) -> None:
    connection = await postgres_connection(endpoint, "postgres")
    try:
        for name in await databases(endpoint):
            if name.startswith(("tf_", "work_")):
                quoted = '"' + name.replace('"', '""') + '"'
                await connection.execute(f"ALTER DATABASE {quoted} IS_TEMPLATE false")
                await connection.execute(f"DROP DATABASE {quoted} WITH (FORCE)")
    finally:
        await connection.close()


def redis_client(endpoint: RedisEndpoint) -> Redis:
    return Redis(
        host=endpoint.host,
        port=endpoint.port,
        db=endpoint.database,
        password=endpoint.password.reveal(),
        decode_responses=True,
    )


async def forget_redis(endpoint: RedisEndpoint) -> None:
    async with redis_client(endpoint) as client:
        await client.flushdb()


async def query_clickhouse(
    endpoint: ClickHouseEndpoint, sql: str, *, database: str | None = None
) -> list[Sequence[Any]]:
    headers = {"X-ClickHouse-User": endpoint.user, "X-ClickHouse-Key": endpoint.password.reveal()}
    parameters = {"default_format": "JSONCompact", "database": database or endpoint.database}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(endpoint.base_url, params=parameters, data=sql) as response,
    ):
        text = await response.text()
        assert response.status == 200, text
        return list((await response.json(content_type=None))["data"]) if text.startswith("{") else []


async def forget_clickhouse(endpoint: ClickHouseEndpoint) -> None:
    for name in (endpoint.database, f"tf_old_{endpoint.database}"):
        await query_clickhouse(endpoint, f"DROP DATABASE IF EXISTS `{name}` SYNC", database="default")


async def snapshot(endpoints: Endpoints) -> dict[str, Any]:
    """What clients would see in the tables and keys of :func:`tests.seeds.small_plan`; ``None`` for nothing."""
    there = endpoints.postgres.database in await databases(endpoints.postgres)
    tables = await query_clickhouse(
        endpoints.clickhouse, "SELECT database, name FROM system.tables", database="default"
    )
    known = [endpoints.clickhouse.database, "t"] in [list(row) for row in tables]
    events = await query_clickhouse(endpoints.clickhouse, "SELECT v FROM t ORDER BY v") if known else []
    async with redis_client(endpoints.redis) as client:
        keys = {key: await client.get(key) for key in sorted(await client.keys("k*"))}
    return {
        "postgres": await postgres_rows(endpoints.postgres, "SELECT * FROM t ORDER BY v") if there else None,
        "redis": keys or None,
        "clickhouse": [tuple(row) for row in events] if known else None,
    }
