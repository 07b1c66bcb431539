"""How many namespaces tests own right now, as the control database says."""

from __future__ import annotations

import asyncio

import asyncpg

from test_framework.endpoints import PostgresEndpoint
from test_framework.services.postgres.client import CONTROL_DATABASE, connect

__all__ = ["count_active_leases"]

# The promise between whoever hands out leases and whoever shows them: one row per lease that is in use.
VIEW = "public.active_leases"


async def count_active_leases(endpoint: PostgresEndpoint, *, timeout: float) -> int | None:
    """Leases in use on this stack, or ``None`` where nobody counts them or the server does not say in time.

    Never raises because of the server: a count that is missing is no reason to call a stack unhealthy.
    """
    try:
        async with (
            asyncio.timeout(timeout),
            connect(endpoint, database=CONTROL_DATABASE, timeout=timeout, application="probe") as connection,
        ):
            if await connection.fetchval("SELECT to_regclass($1)::text", VIEW) is None:
                return None
            return int(await connection.fetchval(f"SELECT count(*) FROM {VIEW}"))
    except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return None
