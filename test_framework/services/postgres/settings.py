"""The live configuration of a PostgreSQL server."""

from __future__ import annotations

from test_framework.endpoints import PostgresEndpoint
from test_framework.services.postgres.client import MAINTENANCE_DATABASE, ask, connect

__all__ = ["live_settings"]


async def live_settings(endpoint: PostgresEndpoint, timeout: float) -> dict[str, str]:
    """By name in lower case, with units as ``SHOW`` gives them: ``64MB``, ``10min``."""

    async def question() -> dict[str, str]:
        async with connect(endpoint, database=MAINTENANCE_DATABASE, timeout=timeout) as connection:
            # The application name and the like are this connection's own, not the server's.
            rows = await connection.fetch(
                "SELECT name, current_setting(name) AS value FROM pg_settings WHERE source <> 'client'"
            )
        return {row["name"].lower(): row["value"] for row in rows}

    return await ask(endpoint, timeout, question)
