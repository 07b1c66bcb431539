"""Redis namespaces for tests: a database number each, or, where the server has too few, a key prefix each.

A worker keeps the numbers it got until its session ends and deals them out again, so that a test costs no entry in the
ledger.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

from test_framework.errors import FrameworkError, StackBusy
from test_framework.isolation.ledger import Allocator, Ledger, State
from test_framework.isolation.names import key_prefix
from test_framework.isolation.values import Grant, Identity
from test_framework.services.redis.client import RedisReplyError
from test_framework.services.redis.isolation import SERVICE, RedisAdmin, count_databases
from test_framework.waiting import Deadline, wait_until

__all__ = ["NumberAllocator", "PrefixAllocator", "make_allocator"]

# A worker uses one number at a time, and another one while that is being emptied; a second run may be going on.
_NUMBERS_PER_WORKER = 4
# The more numbers a worker owns, the more of them are emptied together; beyond eight it makes no difference.
_LEAST, _MOST = 2, 8
# Seconds in which those that come back wait for others.
_LINGER = 0.02


async def make_allocator(
    admin: RedisAdmin, ledger: Ledger, identity: Identity, *, mode: str, report: Callable[[str], None]
) -> Allocator:
    """The allocator that suits the server: ``mode`` is ``database``, ``prefix`` or ``auto``."""
    databases = await count_databases(admin) if mode != "prefix" else 1
    if mode == "database" or databases > _NUMBERS_PER_WORKER * max(1, identity.workers):
        return NumberAllocator(admin, ledger, databases=databases, workers=identity.workers, report=report)
    return PrefixAllocator(admin, ledger, identity, report=report)


class NumberAllocator:
    """See :class:`~test_framework.isolation.ledger.Allocator`."""

    def __init__(
        self, admin: RedisAdmin, ledger: Ledger, *, databases: int, workers: int, report: Callable[[str], None]
    ) -> None:
        self._admin = admin
        self._ledger = ledger
        self._databases = databases
        self._report = report
        self._clean: list[int] = []
        self._owned: dict[int, int] = {}  # number -> the session it was leased for
        self._foreign: set[int] = {admin.endpoint.database}
        self._share = max(_LEAST, min(_MOST, databases // (2 * _NUMBERS_PER_WORKER * max(1, workers))))
        self._dirty: deque[int] = deque()
        self._lingering = False
        self._cleaning = asyncio.Lock()
        self._closing = False

    @property
    def _owner(self) -> str:
        return str(self._ledger.session)

    async def warm(self) -> None:
        while not self._closing and len(self._owned) < self._share and (number := await self._claim()) is not None:
            self._clean.append(number)

    def at_once(self) -> Grant | None:
        number = self._take_clean()
        return None if number is None else self._grant(number, hit=True)

    def settling(self, name: str) -> None:
        """Nothing: the number stays this worker's."""

    async def acquire(self, deadline: Deadline) -> Grant:
        if (grant := self.at_once()) is None:
            await self._clean_up()
            grant = self.at_once()
        return grant or self._grant(await self._lease(deadline), hit=False)

    def _grant(self, number: int, *, hit: bool) -> Grant:
        return Grant(name=str(number), endpoint=replace(self._admin.endpoint, database=number), pool_hit=hit)

    def _take_clean(self) -> int | None:
        """One of ours that is empty. Those of a session that was declared dead belong to others by now.

        From any thread: taking from a list is one step.
        """
        with contextlib.suppress(IndexError):
            while True:
                number = self._clean.pop()
                if self._owned.get(number) == self._ledger.session:
                    return number
                self._owned.pop(number, None)
        return None

    async def _lease(self, deadline: Deadline) -> int:
        async def attempt() -> int | None:
            if self._dirty:
                await self._clean_up()
            return self._take_clean() or await self._claim()

        number = await wait_until(attempt, deadline)
        if number is None:
            raise await self._exhausted(deadline)
        return number

    async def _claim(self) -> int | None:
        """A number more for this worker; ``None`` when there is none."""
        refused = set(self._foreign)
        while True:
            number = await self._ledger.claim_number(SERVICE, self._databases - 1, sorted(refused))
            if number is None:
                return None
            if await self._admin.claim(number, self._owner):
                self._owned[number] = self._ledger.session
                return number
            refused.add(number)
            if not self._admin.competes:
                self._foreign.add(number)
            await self._ledger.forget(SERVICE, str(number))

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

    def releasing(self, name: str, *, keep: bool) -> Coroutine[Any, Any, None] | None:
        number = int(name)
        if keep:
            self._owned.pop(number, None)
            return self._keep(name)
        self._dirty.append(number)
        if self._lingering:
            return None
        self._lingering = True
        return self._linger()

    async def _keep(self, name: str) -> None:
        await self._ledger.move(SERVICE, name, State.KEPT)

    async def _linger(self) -> None:
        await asyncio.sleep(_LINGER)
        self._lingering = False
        await self._clean_up()

    async def _clean_up(self) -> None:
        """Empty all that came back; in one round trip, where nobody but us is connected to them."""
        async with self._cleaning:
            came = [self._dirty.popleft() for _ in range(len(self._dirty))]
            try:
                # First of all whether it is still ours: it may belong to others since our session was declared dead.
                ours = [number for number in came if self._owned.get(number) == self._ledger.session]
                empty = await self._admin.empty(ours, self._owner)
            except (FrameworkError, RedisReplyError) as error:
                names = ", ".join(map(str, came))
                self._report(f"Redis databases could not be flushed: {names}: {error}")
                return  # they stay leased, and are the reaper's
            self._clean += empty
        for number in came:
            if number not in empty and self._owned.pop(number, None) is not None:
                self._report(
                    f"Redis database {number} is somebody else's: the lease was lost while this worker stood still"
                )

    async def discard(self, name: str) -> None:
        await self._admin.free(int(name), self._owner)
        await self._ledger.forget(SERVICE, name)

    async def reset(self, name: str) -> None:
        await self._admin.flush(int(name), self._owner)

    async def conflicts(self) -> Sequence[str]:
        owners = {number: await self._admin.owner(number) for number in list(self._owned)}
        return [
            f"redis {number} is noted as session {owner or 'nobody'}'s, this one is {self._owner}"
            for number, owner in owners.items()
            if owner != self._owner
        ]

    async def close(self) -> None:
        self._closing = True  # else what is freed here would be claimed again, for ever
        await self._clean_up()
        while self._clean:
            number = self._clean.pop()
            if self._owned.pop(number, None) != self._ledger.session:
                continue
            with contextlib.suppress(FrameworkError, RedisReplyError):
                await self._admin.free(number, self._owner)
                await self._ledger.forget(SERVICE, str(number))


class PrefixAllocator:
    """See :class:`~test_framework.isolation.ledger.Allocator`. The ledger has one entry for a session's prefixes."""

    def __init__(self, admin: RedisAdmin, ledger: Ledger, identity: Identity, *, report: Callable[[str], None]) -> None:
        self._admin = admin
        self._ledger = ledger
        self._identity = identity
        self._report = report
        self._session = 0
        self._prefix = ""
        self._serials = itertools.count(1)
        self._held: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def warm(self) -> None:
        if self._session != self._ledger.session:
            prefix = key_prefix(self._identity.worker_id, self._ledger.session)
            await self._ledger.intend(SERVICE, prefix, "")
            await self._ledger.move(SERVICE, prefix, State.LEASED)
            self._prefix, self._session = prefix, self._ledger.session

    def at_once(self) -> Grant | None:
        return self._grant() if self._session == self._ledger.session != 0 else None

    def settling(self, name: str) -> None:
        """Nothing: the session's prefix is in the books."""

    async def acquire(self, deadline: Deadline) -> Grant:
        del deadline  # there are prefixes without end
        await self.warm()
        return self._grant()

    def _grant(self) -> Grant:
        prefix = f"{self._prefix}{next(self._serials)}:"
        self._held.add(prefix)
        return Grant(name=prefix, endpoint=self._admin.endpoint, key_prefix=prefix, pool_hit=True)

    async def releasing(self, name: str, *, keep: bool) -> None:
        self._held.discard(name)
        if keep:
            await self._ledger.intend(SERVICE, name, "")
            await self._ledger.move(SERVICE, name, State.KEPT)
            return
        task = asyncio.get_running_loop().create_task(self._clean_up(name))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _clean_up(self, prefix: str) -> None:
        try:
            await self._admin.unlink(prefix)
        except (FrameworkError, RedisReplyError) as error:
            self._report(f"the Redis keys {prefix}* could not be removed: {error}")

    async def discard(self, name: str) -> None:
        await self._admin.unlink(name)
        await self._ledger.forget(SERVICE, name)

    async def reset(self, name: str) -> None:
        await self._admin.unlink(name)

    async def conflicts(self) -> Sequence[str]:
        return ()

    async def close(self) -> None:
        while self._tasks:
            await asyncio.gather(*self._tasks)
        if self._session == self._ledger.session != 0:
            await self._ledger.forget(SERVICE, self._prefix)
