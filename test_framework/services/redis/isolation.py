"""What isolation does in a Redis server: claim a database number, empty it, end the connections that are on it.

Which numbers are ours is noted in the base database, in the hash ``test-framework:numbers``: a number that holds data
and is not noted there is somebody else's and never flushed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any, TypeVar

from test_framework.endpoints import RedisEndpoint
from test_framework.services.base import MARK
from test_framework.services.redis.client import RedisClient, RedisReplyError, ask, connect

__all__ = ["KEPT_CLIENT", "NUMBERS_KEY", "RedisAdmin", "count_databases"]

T = TypeVar("T")

NUMBERS_KEY = f"{MARK}:numbers"
# Clients with such a name are the framework's own and outlive a test.
KEPT_CLIENT = f"{MARK}:kept"
SERVICE = "redis"

# In one step, so that nobody comes in between: a number is flushed by its owner, or not at all.
# KEYS[1] the hash of our numbers; ARGV: number, owner, "claim" | "flush" | "free". Gives 1, or 0 when it is not ours.
_SCRIPT = b"""
local owner = redis.call('HGET', KEYS[1], ARGV[1])
if ARGV[3] ~= 'claim' and owner and owner ~= ARGV[2] then return 0 end
redis.call('SELECT', ARGV[1])
if ARGV[3] == 'claim' and not owner and redis.call('DBSIZE') > 0 then return 0 end
redis.call('FLUSHDB', 'ASYNC')
redis.call('SELECT', ARGV[4])
if ARGV[3] == 'free' then redis.call('HDEL', KEYS[1], ARGV[1])
else redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) end
return 1
"""


class RedisAdmin:
    """One connection to the base database for one event loop; opened at first use, anew when it broke."""

    # Whether a number that could not be claimed may be somebody's for a while only.
    competes = False

    def __init__(self, endpoint: RedisEndpoint, timeout: float) -> None:
        self.endpoint = endpoint
        self._timeout = timeout
        self._exit = AsyncExitStack()
        self._client: RedisClient | None = None
        self._lock = asyncio.Lock()

    async def call(self, *command: str | bytes | float) -> Any:
        """One command.

        Raises:
            ServiceUnavailable: the server does not answer.
            RedisReplyError: it refused the command.
        """
        return await self._run(lambda client: client.call(*command))

    async def _run(self, work: Callable[[RedisClient], Awaitable[T]]) -> T:
        async def attempt() -> T | RedisReplyError:
            async with self._lock:
                client = self._client or await self._open()  # refused credentials are no reply to a command
                try:
                    return await work(client)
                except RedisReplyError as error:
                    return error
                except (OSError, EOFError):
                    await self._drop()
                    return await work(await self._open())
                except BaseException:
                    await self._drop()  # in the middle of an answer
                    raise

        answer = await ask(self.endpoint, self._timeout, attempt)
        if isinstance(answer, RedisReplyError):
            raise answer
        return answer

    async def _open(self) -> RedisClient:
        self._client = await self._exit.enter_async_context(connect(self.endpoint))
        return self._client

    async def _drop(self) -> None:
        self._client = None
        with contextlib.suppress(OSError):
            await self._exit.aclose()
        self._exit = AsyncExitStack()

    async def close(self) -> None:
        await self._drop()

    async def claim(self, number: int, owner: str) -> bool:
        """Note ``number`` as ours and empty it; ``False`` when it holds somebody else's data."""
        return await self._number(number, owner, "claim")

    async def flush(self, number: int, owner: str) -> bool:
        """Empty ``number``; ``False`` when it is another owner's by now."""
        return await self._number(number, owner, "flush")

    async def empty(self, numbers: Sequence[int], owner: str) -> list[int]:
        """The same for several, and close the connections that are on them: in one round trip, if there are none.

        Those that were emptied; the others are another owner's by now.
        """
        if not numbers:
            return []
        flushes = [self._command(number, owner, "flush") for number in numbers]
        *mine, clients = await self._run(lambda client: client.pipeline([*flushes, ("CLIENT", "LIST")]))
        found = [number for number, flushed in zip(numbers, mine, strict=True) if flushed]
        lines = clients.splitlines()
        for number in found:
            if await self._end(_strays(lines, number)):
                await self.flush(number, owner)  # they may have written until their end
        return found

    async def free(self, number: int, owner: str) -> bool:
        """Empty ``number`` and forget that it is ours; ``False`` when it is another owner's by now."""
        return await self._number(number, owner, "free")

    async def owner(self, number: int) -> str:
        """Who is noted as the owner of ``number``; empty when nobody is."""
        return str((await self.call("HGET", NUMBERS_KEY, number) or b"").decode())

    async def _number(self, number: int, owner: str, action: str) -> bool:
        return bool(await self.call(*self._command(number, owner, action)))

    def _command(self, number: int, owner: str, action: str) -> tuple[str | bytes | int, ...]:
        return ("EVAL", _SCRIPT, 1, NUMBERS_KEY, number, owner, action, self.endpoint.database)

    async def unlink(self, prefix: str) -> int:
        """Remove the keys of the base database that begin with ``prefix``. How many there were."""
        removed, cursor = 0, b"0"
        while True:
            cursor, keys = await self.call("SCAN", cursor, "MATCH", f"{prefix}*", "COUNT", 1000)
            if keys:
                removed += int(await self.call("UNLINK", *keys))
            if cursor == b"0":
                return removed

    async def end_clients(self, number: int) -> int:
        """Close the connections that are on ``number``, but the framework's own. How many there were."""
        return await self._end(_strays((await self.call("CLIENT", "LIST")).splitlines(), number))

    async def _end(self, clients: Sequence[bytes]) -> int:
        for client in clients:
            with contextlib.suppress(RedisReplyError):  # it left meanwhile
                await self.call("CLIENT", "KILL", "ID", client)
        return len(clients)


def _strays(clients: Sequence[bytes], number: int) -> list[bytes]:
    """The ids of those lines of ``CLIENT LIST`` that are on ``number`` and not the framework's own."""
    here, ours = b" db=%d " % number, b" name=%s" % MARK.encode()
    found = [line for line in clients if here in line and ours not in line]
    return [line.partition(b" ")[0].removeprefix(b"id=") for line in found]


async def count_databases(admin: RedisAdmin) -> int:
    """How many databases the server has. Where it does not tell, they are tried."""
    try:
        reply = await admin.call("CONFIG", "GET", "databases")
        if reply:
            return int(reply[1])
    except RedisReplyError:
        pass  # managed servers hide their configuration
    low, high = 1, 65536
    while low < high:
        middle = (low + high) // 2
        try:
            await admin.call("SELECT", middle)
            low = middle + 1
        except RedisReplyError:
            high = middle
    await admin.call("SELECT", admin.endpoint.database)
    return low
