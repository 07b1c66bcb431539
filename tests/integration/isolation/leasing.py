"""Statements in a leased database, over a connection of their own."""

from __future__ import annotations

import asyncpg

from test_framework.endpoints import PostgresEndpoint
from test_framework.environment import Lease

__all__ = ["connect", "run"]


async def connect(lease: Lease) -> asyncpg.Connection[asyncpg.Record]:
    assert isinstance(lease.endpoint, PostgresEndpoint)
    return await asyncpg.connect(lease.endpoint.dsn)


async def run(lease: Lease, *queries: str) -> None:
    connection = await connect(lease)
    for query in queries:
        await connection.execute(query)
    await connection.close()
