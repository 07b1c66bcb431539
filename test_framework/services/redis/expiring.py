"""Redis numbers that are held by keys which expire, for stacks without PostgreSQL to keep the books.

``test-framework:numbers`` says whose a number is, as everywhere; ``test-framework:alive:<session>`` says that a
session lives, and is renewed while it does. A session that is stopped for longer than the key lives may lose its
numbers: it then neither empties nor frees what somebody else has by now.
"""

from __future__ import annotations

import asyncio
import contextlib

from test_framework.endpoints import RedisEndpoint
from test_framework.errors import FrameworkError
from test_framework.services.base import MARK
from test_framework.services.redis.client import RedisReplyError
from test_framework.services.redis.isolation import NUMBERS_KEY, RedisAdmin

__all__ = ["LIFETIME", "ExpiringAdmin", "free_expired", "living_sessions"]

LIFETIME = 60.0
_ALIVE = f"{MARK}:alive:"
# KEYS: the hash of our numbers, our own key; ARGV: number, session, the base database, milliseconds, the keys' prefix.
_CLAIM = b"""
local owner = redis.call('HGET', KEYS[1], ARGV[1])
if owner and owner ~= ARGV[2] and redis.call('EXISTS', ARGV[5] .. owner) == 1 then return 0 end
redis.call('SELECT', ARGV[1])
if not owner and redis.call('DBSIZE') > 0 then redis.call('SELECT', ARGV[3]) return 0 end
redis.call('FLUSHDB', 'ASYNC')
redis.call('SELECT', ARGV[3])
redis.call('SET', KEYS[2], '1', 'PX', ARGV[4])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
"""
# In one step, since a session may have begun, or be awake again, a moment ago. KEYS[1] the hash; ARGV as above.
_FREE = b"""
local owner = redis.call('HGET', KEYS[1], ARGV[1])
if owner ~= ARGV[2] or redis.call('EXISTS', ARGV[4] .. owner) == 1 then return 0 end
redis.call('SELECT', ARGV[1])
redis.call('FLUSHDB', 'ASYNC')
redis.call('SELECT', ARGV[3])
redis.call('HDEL', KEYS[1], ARGV[1])
return 1
"""


class ExpiringAdmin(RedisAdmin):
    """As its base, but claims what nobody living holds, and says that we live.

    Args:
        lifetime: seconds after which a session that says nothing counts as dead.
    """

    competes = True

    def __init__(self, endpoint: RedisEndpoint, timeout: float, *, lifetime: float = LIFETIME) -> None:
        super().__init__(endpoint, timeout)
        self._lifetime = lifetime
        self._beating: asyncio.Task[None] | None = None
        self._owner = ""

    async def claim(self, number: int, owner: str) -> bool:
        self._owner = owner
        milliseconds = int(self._lifetime * 1000)
        base = self.endpoint.database
        arguments = ("EVAL", _CLAIM, 2, NUMBERS_KEY, _ALIVE + owner, number, owner, base, milliseconds, _ALIVE)
        claimed = bool(await self.call(*arguments))
        if claimed and self._beating is None:
            self._beating = asyncio.get_running_loop().create_task(self._beat())
        return claimed

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._lifetime / 4)
            with contextlib.suppress(FrameworkError, RedisReplyError):
                # It may have expired, and others have taken some of our numbers. What is noted as ours still, is ours.
                await self.call("SET", _ALIVE + self._owner, "1", "PX", int(self._lifetime * 1000))

    async def close(self) -> None:
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.gather(self._beating, return_exceptions=True)
            with contextlib.suppress(FrameworkError, RedisReplyError):
                await self.call("DEL", _ALIVE + self._owner)
        await super().close()


async def living_sessions(admin: RedisAdmin) -> list[str]:
    """Those that hold numbers and say that they live."""
    owners = {owner.decode() for owner in (await admin.call("HVALS", NUMBERS_KEY) or [])}
    return sorted([owner for owner in owners if await admin.call("EXISTS", _ALIVE + owner)])


async def free_expired(admin: RedisAdmin) -> tuple[int, int]:
    """Empty and free the numbers of sessions that live no more. How many sessions, and numbers."""
    pairs = await admin.call("HGETALL", NUMBERS_KEY) or []
    freed = set()
    for number, owner in zip(map(int, pairs[::2]), map(bytes.decode, pairs[1::2]), strict=True):
        if await admin.call("EXISTS", _ALIVE + owner):
            continue
        await admin.end_clients(number)
        if await admin.call("EVAL", _FREE, 1, NUMBERS_KEY, number, owner, admin.endpoint.database, _ALIVE):
            freed.add((number, owner))
    return len({owner for _, owner in freed}), len(freed)
