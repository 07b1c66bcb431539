"""What stands where a mocked manager stood."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from redis.asyncio import Redis

__all__ = ["RedisManager"]


class RedisManager:
    """A Redis client with the face of a connection manager. Every command of the client is a method here too."""

    def __init__(self, client: Redis, url: str) -> None:
        self.client = client
        self.url = url

    @property
    def connected(self) -> bool:
        """Always: connections are opened when a command needs one."""
        return True

    async def connect(self) -> Redis:
        """Make sure that the server answers, and return the client."""
        await self.client.ping()
        return self.client

    async def disconnect(self) -> None:
        """Let the test's connections go. The client opens new ones when it is used again."""
        await self.client.connection_pool.disconnect()

    async def get_client(self) -> Redis:
        """The client."""
        return self.client

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)
