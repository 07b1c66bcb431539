"""A Redis database number per test, leased through the ledger and flushed when it comes back.

A worker keeps the numbers it got until its session ends and deals them out again, so that a test costs no entry in
the ledger. Which numbers are ours is noted in the base database too, in the hash ``test-framework:numbers``: a number
that holds data and is not noted there is somebody else's and never flushed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, TypeVar

from test_framework.endpoints import RedisEndpoint
from test_framework.errors import FrameworkError, StackBusy
from test_framework.isolation.ledger import Ledger, State
from test_framework.isolation.values import Grant
from test_framework.services.base import MARK
from test_framework.services.redis.client import RedisClient, RedisReplyError, ask, connect
from test_framework.waiting import Deadline, wait_until

__all__ = ["KEPT_CLIENT", "NUMBERS_KEY", "NumberAllocator", "RedisAdmin", "count_databases"]

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
                try:
                    return await work(self._client or await self._open())
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

    async def free(self, number: int, owner: str) -> bool:
        """Empty ``number`` and forget that it is ours; ``False`` when it is another owner's by now."""
        return await self._number(number, owner, "free")

    async def owner(self, number: int) -> str:
        """Who is noted as the owner of ``number``; empty when nobody is."""
        return str((await self.call("HGET", NUMBERS_KEY, number) or b"").decode())

    async def _number(self, number: int, owner: str, action: str) -> bool:
        command = ("EVAL", _SCRIPT, 1, NUMBERS_KEY, number, owner, action, self.endpoint.database)
        return bool(await self.call(*command))

    async def end_clients(self, number: int) -> int:
        """Close the connections that are on ``number``, but the framework's own. How many there were."""
        text = (await self.call("CLIENT", "LIST")).decode("utf-8", "replace")
        found = [fields for line in text.splitlines() if (fields := _fields(line)).get("db") == str(number)]
        strays = [fields for fields in found if not fields.get("name", "").startswith(MARK)]
        for fields in strays:
            with contextlib.suppress(RedisReplyError):  # it left meanwhile
                await self.call("CLIENT", "KILL", "ID", fields["id"])
        return len(strays)


def _fields(line: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in line.split(" ") if "=" in part)


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


class NumberAllocator:
    """See :class:`~test_framework.isolation.ledger.Allocator`."""

    def __init__(self, admin: RedisAdmin, ledger: Ledger, *, databases: int, report: Callable[[str], None]) -> None:
        self._admin = admin
        self._ledger = ledger
        self._databases = databases
        self._report = report
        self._clean: list[int] = []
        self._owned: dict[int, int] = {}  # number -> the session it was leased for
        self._foreign: set[int] = {admin.endpoint.database}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def _owner(self) -> str:
        return str(self._ledger.session)

    async def warm(self) -> None:
        if not self._clean:
            self._clean.append(await self._lease(Deadline.after(0)))

    async def acquire(self, deadline: Deadline) -> Grant:
        self._drop_lost()
        if not self._clean and self._tasks:  # sooner clean than leased, and a kept client stays on its number
            await asyncio.wait(self._tasks, timeout=deadline.remaining, return_when=asyncio.FIRST_COMPLETED)
        hit = bool(self._clean)
        number = self._clean.pop() if hit else await self._lease(deadline)
        return Grant(name=str(number), endpoint=replace(self._admin.endpoint, database=number), pool_hit=hit)

    def _drop_lost(self) -> None:
        """Numbers of a session that was declared dead belong to others by now."""
        lost = {number for number, session in self._owned.items() if session != self._ledger.session}
        for number in lost:
            del self._owned[number]
        self._clean = [number for number in self._clean if number not in lost]

    async def _lease(self, deadline: Deadline) -> int:
        async def attempt() -> int | None:
            if self._clean:
                return self._clean.pop()
            while True:
                number = await self._ledger.claim_number(SERVICE, self._databases - 1, sorted(self._foreign))
                if number is None:
                    return None
                if await self._admin.claim(number, self._owner):
                    self._owned[number] = self._ledger.session
                    return number
                self._foreign.add(number)
                await self._ledger.forget(SERVICE, str(number))

        number = await wait_until(attempt, deadline)
        if number is None:
            raise await self._exhausted(deadline)
        return number

    async def _exhausted(self, deadline: Deadline) -> StackBusy:
        holders = await self._ledger.holders(SERVICE)
        others = len(self._foreign) - 1
        return StackBusy(
            f"no Redis database became free within {deadline.seconds:g} s: all {self._databases} are in use",
            where=self._admin.endpoint.address,
            cause="held by "
            + (", ".join(map(str, holders)) or "nobody")
            + (f"; {others} hold data that is not ours" if others else ""),
            fix="raise TEST_REDIS_DATABASES and restart the stack, use fewer workers, or end the runs that hold them",
        )

    async def release(self, name: str, *, keep: bool) -> None:
        number = int(name)
        if keep:
            self._owned.pop(number, None)
            await self._ledger.move(SERVICE, name, State.KEPT)
            return
        task = asyncio.get_running_loop().create_task(self._clean_up(number))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _clean_up(self, number: int) -> None:
        try:
            await self._admin.end_clients(number)
            mine = number in self._owned and await self._admin.flush(number, self._owner)
        except (FrameworkError, RedisReplyError) as error:
            self._report(f"Redis database {number} could not be flushed: {error}")
            return  # it stays leased, and is the reaper's
        if mine:
            self._clean.append(number)

    async def reset(self, name: str) -> None:
        await self._admin.flush(int(name), self._owner)

    async def conflicts(self) -> Sequence[str]:
        owners = {number: await self._admin.owner(number) for number in self._owned}
        return [
            f"redis {number} is noted as session {owner or 'nobody'}'s, this one is {self._owner}"
            for number, owner in owners.items()
            if owner != self._owner
        ]

    async def close(self) -> None:
        while self._tasks:
            await asyncio.gather(*self._tasks)
        while self._clean:
            number = self._clean.pop()
            if self._owned.pop(number, None) != self._ledger.session:
                continue
            with contextlib.suppress(FrameworkError, RedisReplyError):
                await self._admin.free(number, self._owner)
                await self._ledger.forget(SERVICE, str(number))
