"""Redis as a test sees it: connections belong to the loop that uses them and are kept from test to test.

A kept connection changes its database number when the next test takes it, which costs a tenth of a new connection.
"""

from __future__ import annotations

import asyncio
from typing import Any

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection

from test_framework.endpoints import RedisEndpoint
from test_framework.manager.hop import needs_loop
from test_framework.manager.loops import PerLoop, close_softly, is_idle
from test_framework.services.redis.isolated import make_pool

__all__ = ["NumberedPool", "RedisConnections", "needing_a_loop"]

# pytest shows the user's line, not ours; --full-trace shows all.
__tracebackhide__ = True


class RedisConnections:
    """Connections to one server with the same rules, a pool for each event loop.

    Args:
        key_prefix: what all keys begin with, on a server with too few databases.
        guarded: commands that reach other tests are refused.
        timeout: seconds to open a connection.
        query_timeout: seconds for a reply.
    """

    def __init__(
        self, endpoint: RedisEndpoint, *, key_prefix: str | None, guarded: bool, timeout: float, query_timeout: float
    ) -> None:
        def made() -> ConnectionPool:
            # Whoever cleans up after a test spares connections that are kept.
            return make_pool(
                endpoint, key_prefix=key_prefix, guarded=guarded, kept=True,
                socket_connect_timeout=timeout, socket_timeout=query_timeout,
            )  # fmt: skip

        async def opened() -> ConnectionPool:
            return made()

        self.pattern = made()
        self._pools: PerLoop[ConnectionPool] = PerLoop(opened, lambda pool: pool.disconnect())

    async def pool(self) -> ConnectionPool:
        """The running loop's own."""
        return await self._pools.get()

    def close(self) -> None:
        """Close everything, from where no loop runs."""
        self._pools.close()


class NumberedPool(ConnectionPool):
    """The face of those connections for one test: all that come from here are on the test's own database number."""

    def __init__(self, connections: RedisConnections, number: int) -> None:
        pattern = connections.pattern
        super().__init__(pattern.connection_class, **{**pattern.connection_kwargs, "db": number})
        self._connections = connections
        self._number = number
        self._lent: dict[AbstractConnection, tuple[ConnectionPool, asyncio.AbstractEventLoop]] = {}

    async def get_connection(self, command_name: Any = None, *keys: Any, **options: Any) -> AbstractConnection:
        pool = await self._connections.pool()
        connection: Any = await pool.get_connection()  # type: ignore[no-untyped-call] # the driver has none
        self._lent[connection] = (pool, asyncio.get_running_loop())
        try:
            if connection.db != self._number:
                connection.db = self._number  # also where it reconnects to
                await connection.send_command("SELECT", self._number)
                await connection.read_response()
        except BaseException:
            await connection.disconnect(nowait=True)
            await self.release(connection)
            raise
        return connection  # type: ignore[no-any-return]

    async def release(self, connection: AbstractConnection) -> None:
        pool, _ = self._lent.pop(connection, (None, None))
        if pool is not None:
            await pool.release(connection)

    async def disconnect(self, inuse_connections: bool = True) -> None:  # noqa: FBT001, FBT002 - as in the driver
        """Close what the test still holds: a subscription, a half-built transaction. The kept ones stay."""
        for connection, (_, loop) in list(self._lent.items()):
            if loop is asyncio.get_running_loop():
                await connection.disconnect(nowait=True)
                await self.release(connection)

    def close_lent(self) -> None:
        """The same from where no loop runs, in each loop that still can."""
        for loop in {loop for _, loop in self._lent.values()}:
            if is_idle(loop):
                loop.run_until_complete(close_softly(self.disconnect))
        self._lent.clear()


def needing_a_loop(client: Redis) -> Redis:
    """``client`` with a clear error for a plain ``def`` test, which could only collect coroutines nobody awaits."""
    execute = client.execute_command

    def checked(*args: Any, **options: Any) -> Any:
        needs_loop(f"real_redis, command {args[0]}", "redis_url or external_redis_config for a client of your own")
        return execute(*args, **options)  # type: ignore[no-untyped-call] # likewise

    client.execute_command = checked  # type: ignore[method-assign]
    return client
