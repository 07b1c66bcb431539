"""The live configuration of a ClickHouse server."""

from __future__ import annotations

from test_framework.endpoints import ClickHouseEndpoint
from test_framework.services.clickhouse.client import ask, connect

__all__ = ["live_settings"]


async def live_settings(endpoint: ClickHouseEndpoint, timeout: float) -> dict[str, str]:
    """By name: those of the server, and those a session of this user begins with."""

    async def question() -> dict[str, str]:
        async with connect(endpoint, timeout=timeout) as client:
            server = await client.rows("SELECT name, value FROM system.server_settings")
            session = await client.rows("SELECT name, value FROM system.settings")
        return {**dict(server), **dict(session)}

    return await ask(endpoint, timeout, question)
