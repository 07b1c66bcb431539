"""Sessions in Redis: ``session:{session_id}`` is a hash with who it is, and which refresh token comes next."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any, cast

from redis.asyncio import Redis

__all__ = ["Rotation", "Session", "Sessions"]

# Compared and replaced in one step: of two requests with the same refresh token, one loses.
_ROTATE = """
local expected = redis.call('HGET', KEYS[1], 'refresh_id')
if not expected then return 0 end
if expected ~= ARGV[1] then redis.call('DEL', KEYS[1]) return -1 end
redis.call('HSET', KEYS[1], 'refresh_id', ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
"""


class Rotation(Enum):
    """What became of an attempt to refresh."""

    DONE = 1
    UNKNOWN = 0  # no such session: it ended
    REUSED = -1  # the token was used before. Somebody has a copy, so the session is over for all


@dataclass(frozen=True)
class Session:
    """A session that has begun."""

    session_id: str
    refresh_id: str


class Sessions:
    """All sessions of the service.

    Args:
        prefix: what all keys begin with.
        seconds: how long a session lives that is not refreshed.
    """

    def __init__(self, redis: Redis, *, prefix: str, seconds: int) -> None:
        self._redis: Any = redis  # the driver's types mix its synchronous and asynchronous answers
        self._prefix = prefix
        self._seconds = seconds

    async def begin(self, user: Mapping[str, Any], *, address: str, agent: str) -> Session:
        session = Session(str(uuid.uuid4()), uuid.uuid4().hex)
        fields = {
            "session_id": session.session_id,
            "user_id": str(user["id"]),
            "email": user["email"],
            "ip": address,
            "user_agent": agent,
            "created_at": datetime.now(UTC).isoformat(),
            "refresh_id": session.refresh_id,
        }
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.hset(self._key(session.session_id), mapping=fields)
            pipeline.expire(self._key(session.session_id), self._seconds)
            await pipeline.execute()
        return session

    async def rotate(self, session_id: str, refresh_id: str) -> tuple[Rotation, str]:
        """Take the refresh token that is due, once, and say which one is due next."""
        new = uuid.uuid4().hex
        answer = await self._redis.eval(_ROTATE, 1, self._key(session_id), refresh_id, new, self._seconds)
        return Rotation(int(answer)), new

    async def alive(self, session_id: str) -> bool:
        return bool(await self._redis.exists(self._key(session_id)))

    async def end(self, session_id: str) -> None:
        await self._redis.delete(self._key(session_id))

    async def revoke(self, token_id: str, seconds: int) -> None:
        """An access token without a session ends before its time."""
        await self._redis.set(f"{self._prefix}revoked:{token_id}", "1", ex=max(1, seconds))

    async def revoked(self, token_id: str) -> bool:
        return bool(await self._redis.exists(f"{self._prefix}revoked:{token_id}"))

    async def ping(self) -> bool:
        return cast(bool, await self._redis.ping())

    def _key(self, session_id: str) -> str:
        return f"{self._prefix}session:{session_id}"
