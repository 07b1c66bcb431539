"""LISTEN and NOTIFY for a transaction that never commits: the server would deliver nothing, so another connection does.

Only what the test itself sends by ``NOTIFY`` or ``SELECT pg_notify(…)`` arrives; what a trigger or a function sends is
lost in the rolled-back transaction.
"""

from __future__ import annotations

from typing import Any

import asyncpg

from test_framework.endpoints import PostgresEndpoint
from test_framework.services.postgres.client import close, endpoint_dsn
from test_framework.services.postgres.databases import Connection

__all__ = ["Listeners"]

_TIMEOUT = 10.0


class Listeners:
    """Who listens, and what is to be sent when the block ends.

    Args:
        owner: what callbacks get as their connection.
    """

    def __init__(self, endpoint: PostgresEndpoint, owner: object) -> None:
        self._endpoint = endpoint
        self._owner = owner
        self._connection: Connection | None = None
        self._callbacks: dict[tuple[str, Any], Any] = {}
        self._later: list[tuple[str, tuple[Any, ...]]] = []

    async def add(self, channel: str, callback: Any) -> None:
        if (channel, callback) in self._callbacks:
            return
        if self._connection is None:
            self._connection = await asyncpg.connect(
                endpoint_dsn(self._endpoint),
                password=self._endpoint.password.reveal() or None,
                timeout=_TIMEOUT,
                server_settings={"application_name": "test-framework:listener"},
            )

        def pass_on(_: object, pid: int, name: str, payload: object) -> Any:
            return callback(self._owner, pid, name, payload)

        self._callbacks[channel, callback] = pass_on
        await self._connection.add_listener(channel, pass_on)

    async def remove(self, channel: str, callback: Any) -> None:
        pass_on = self._callbacks.pop((channel, callback), None)
        if pass_on is not None and self._connection is not None:
            await self._connection.remove_listener(channel, pass_on)

    async def notify(self, query: str, args: tuple[Any, ...], *, later: bool) -> None:
        """Send what the test sent, at once or when its block ends. Nothing where nobody listens."""
        if self._connection is None:
            return
        if later:
            self._later.append((query, args))
        else:
            await self._connection.execute(query, *args)

    async def block_ended(self, *, kept: bool) -> None:
        waiting, self._later = self._later, []
        if kept:
            for query, args in waiting:
                await self.notify(query, args, later=False)

    async def close(self) -> None:
        """Forget everybody."""
        connection, self._connection = self._connection, None
        self._later.clear()
        if connection is not None:
            for (channel, _), pass_on in self._callbacks.items():
                await connection.remove_listener(channel, pass_on)
            await close(connection)
        self._callbacks.clear()
