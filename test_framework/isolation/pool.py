"""Namespaces that are copies of a template: a warm pool in the ledger, filled and emptied off the tests' path.

Ready copies belong to nobody and survive the end of a run. A session takes one in a single statement, and one ahead for
its next test, which then waits for no server at all. When there is none, the copy that is made next goes to whoever
waits longest.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

from test_framework.errors import FrameworkError
from test_framework.isolation.ledger import Clones, State
from test_framework.isolation.returns import Returns
from test_framework.isolation.shelf import Shelf
from test_framework.isolation.values import Grant
from test_framework.isolation.waiters import Waiters, too_late
from test_framework.waiting import Deadline

__all__ = ["ClonePool"]

# What was made and not written to is cheaper to keep than to make again, so the pool may grow by a few.
_SURPLUS = 2
# What a worker keeps for its next tests, apart from the pool: some are used while as many are put back.
_RESERVED = 2
# After a failed creation nobody is served better by failing again at once.
_PAUSE = 0.5


class ClonePool:
    """See :class:`~test_framework.isolation.ledger.Allocator`. Lives on one event loop.

    Args:
        new_name: makes the name of the next copy.
        target: ready copies that this worker keeps in the pool.
        creators: how many copies are made at once.
        backlog: how many may wait to be dropped before those who ask for one have to wait too.
        reuse_untouched: a copy that is provably as it was made, or was put back exactly, is not dropped.
        report: told about failures that no test sees, in one line.
    """

    def __init__(
        self, clones: Clones, *, new_name: Callable[[], str], target: int, creators: int, backlog: int,
        reuse_untouched: bool, report: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._clones = clones
        self._new_name = new_name
        self._target = target
        self._creators = creators
        self._reuse = reuse_untouched
        self._report = report
        self._reserved = Shelf(clones.ledger)
        self._returns = Returns(self._take_back, self._spawn, together=clones.together, backlog=backlog)
        self._reserving = False
        self._waiting = Waiters(self._returns.add)  # for the next one that is made
        self._hoping = Waiters(self._returns.add)  # for the next one that is put back
        self._tasks: set[asyncio.Future[None]] = set()
        self._creating = 0
        self._full = False  # the pool, when it was last asked
        self._stuck: list[str] = []
        self._closing = False

    async def warm(self) -> None:
        template = await self._clones.template()
        self._refill(template)
        self._reserve(template)

    async def resize(self, target: int) -> None:
        """Keep so many ready from now on. What is too much goes when it comes back."""
        grown, self._target = target > self._target, target
        if grown:
            self._refill(await self._clones.template())

    def at_once(self) -> Grant | None:
        if self._closing or self._waiting or not self._returns.room.is_set():
            return None
        name = self._reserved.take()
        return None if name is None else Grant(name=name, endpoint=self._clones.endpoint(name), pool_hit=True)

    async def settling(self, name: str) -> None:
        """The books say that it is in use, and the next one is made ready."""
        if len(self._reserved) < _RESERVED:
            self._returns.hurry()
        with contextlib.suppress(FrameworkError):  # it is ours anyhow
            await self._clones.ledger.move(self._clones.service, name, State.LEASED)
        await self.warm()

    async def acquire(self, deadline: Deadline) -> Grant:
        if (grant := self.at_once()) is not None:
            self._spawn(self.settling(grant.name))
            return grant
        template = await self._clones.template()
        await self._wait_for_room(deadline)
        ready = await self._take_sooner(template, deadline)
        name = ready or await self._wait_for_new(template, deadline)
        await self.warm()
        return Grant(name=name, endpoint=self._clones.endpoint(name), pool_hit=ready is not None)

    async def _take(self, template: str, state: State) -> str | None:
        """One from the pool, if there is any."""
        clones = self._clones
        name = await clones.ledger.take(clones.service, template, state, anybodys=clones.renames)
        self._full = self._full and name is None
        return None if name is None else await clones.adopt(name)

    def _reserve(self, template: str) -> None:
        enough = self._reuse and self._returns.coming >= self._clones.together
        if not (self._reserved or self._reserving or self._closing or enough):
            self._reserving = True
            self._spawn(self._reserve_one(template))

    async def _reserve_one(self, template: str) -> None:
        try:
            name = await self._take(template, State.RESERVED)
            if name is not None:
                self._refill(template)
                if self._reuse:
                    await self._clones.remember(name)
                self._reserved.put(name)
        except FrameworkError as error:
            self._report(f"no {self._clones.service} database could be taken ahead: {error}")
        finally:
            self._reserving = False

    async def _wait_for_room(self, deadline: Deadline) -> None:
        """Databases that wait to be dropped take memory; those who ask for more are slowed down to what is dropped."""
        try:
            async with asyncio.timeout(deadline.remaining):
                await self._returns.room.wait()
        except TimeoutError:
            raise await too_late(self._clones.ledger, self._clones.service, deadline) from None

    async def _take_sooner(self, template: str, deadline: Deadline) -> str | None:
        """From the pool, or what the last test used: whichever is ready sooner."""
        if self._clones.renames:  # which takes longer than putting one back
            return await self._take_returning(deadline) or await self._take(template, State.LEASED)
        ready = await self._take(template, State.LEASED)
        if ready is not None and self._reuse:
            await self._clones.remember(ready)
        return ready or await self._take_returning(deadline)

    async def _take_returning(self, deadline: Deadline) -> str | None:
        """What the last test used: it is put back sooner than another one is made."""
        if not self._reuse or self._returns.coming <= len(self._hoping):
            return None
        self._returns.hurry()
        with contextlib.suppress(TimeoutError):
            return await self._hoping.wait(self._hoping.join(), deadline)
        return None

    async def _wait_for_new(self, template: str, deadline: Deadline) -> str:
        place = self._waiting.join()
        self._refill(template)
        try:
            name = await self._waiting.wait(place, deadline)
        except TimeoutError:
            raise await too_late(self._clones.ledger, self._clones.service, deadline) from None
        assert name is not None
        return name

    def _refill(self, template: str) -> None:
        """Start as many creators as there is work for. Each looks for itself whether there is any left."""
        pooled = self._target > 0 and not self._full
        while not self._closing and self._creating < min(self._creators, len(self._waiting) or pooled):
            self._creating += 1
            self._spawn(self._create_while_needed(template))

    async def _create_while_needed(self, template: str) -> None:
        try:
            while not self._closing:
                name = self._new_name()
                limit = None if self._waiting else self._target
                try:
                    if not await self._clones.ledger.intend(self._clones.service, name, template, limit=limit):
                        self._full = limit is not None
                        if self._full and self._waiting:  # somebody began to wait while we asked
                            continue
                        return
                    await self._clones.create(name, template)
                    await self._deliver(name)
                except FrameworkError as error:
                    await self._failed(name, error)
        finally:
            self._creating -= 1

    async def _deliver(self, name: str) -> None:
        """To whoever waits longest, else to our next test or to the pool."""
        service = self._clones.service
        ahead = self._target > 0 and not self._reserved
        # What stays in the pool under any worker's name is looked at by whoever takes it.
        if self._reuse and not self._waiting and (ahead or not self._clones.renames):
            await self._clones.remember(name)
        while self._waiting:
            await self._clones.ledger.move(service, name, State.LEASED)
            if self._waiting.serve(name):  # else they gave up meanwhile
                return
        if not (ahead and await self._keep(name)):
            await self._clones.let_go(name)
            await self._clones.ledger.move(service, name, State.READY)

    async def _keep(self, name: str) -> bool:
        """For our next tests, if there is room."""
        room = max(_RESERVED, self._clones.together)
        if len(self._reserved) >= room or not await self._clones.ledger.move(
            self._clones.service, name, State.RESERVED
        ):
            return False
        self._reserved.put(name)
        return True

    async def _failed(self, name: str, error: FrameworkError) -> None:
        self._returns.add(name)
        if self._waiting.fail(error):
            return
        self._report(f"a {self._clones.service} database could not be made ahead: {error}")
        await asyncio.sleep(_PAUSE)

    async def releasing(self, name: str, *, keep: bool) -> None:
        if keep:
            await self._clones.ledger.move(self._clones.service, name, State.KEPT)
            return
        self._returns.add(name)

    async def _take_back(self, name: str) -> None:
        try:
            if not await self._put_back(name):
                await self.discard(name)
                await self.warm()
        except FrameworkError as error:
            self._stuck.append(name)
            self._report(f"the {self._clones.service} database {name} could not be dropped yet: {error}")

    async def _put_back(self, name: str) -> bool:
        """For the next test or for the pool, if it is as it was made, or can be put back exactly."""
        restored = False
        try:
            restored = self._reuse and await self._clones.restore(name)
        finally:
            self._returns.coming -= 1
            if not restored:
                self._hoping.serve(None)
        if not restored:
            return False
        if await self._serve(name):
            return True
        if self._target > 0 and not self._closing and await self._keep(name):
            return True
        return await self._offer(name)

    async def _serve(self, name: str) -> bool:
        """Give what was put back to whoever waits, if it is ours still. Whether that is done."""
        if not (self._hoping or self._waiting):
            return False
        if not await self._clones.ledger.move(self._clones.service, name, State.LEASED):
            self._hoping.serve(None)
            return False
        return self._hoping.serve(name) or self._waiting.serve(name)

    async def _offer(self, name: str) -> bool:
        """To everybody; ``False`` when the pool has enough."""
        await self._clones.let_go(name)
        limit = self._target if self._closing else self._target + _SURPLUS
        return await self._clones.ledger.offer(self._clones.service, name, limit=limit)

    async def discard(self, name: str) -> None:
        self._full = False
        await self._clones.destroy(name)
        await self._clones.ledger.forget(self._clones.service, name)

    async def reset(self, name: str) -> None:
        await self._clones.destroy(name)
        await self._clones.create(name, await self._clones.template())

    async def conflicts(self) -> Sequence[str]:
        return ()

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        self._closing = True
        self._waiting.cancel()
        self._hoping.cancel()
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        for name in self._reserved:
            if not await self._offer(name):
                self._returns.add(name)
        for name in self._stuck:  # once more: the server may have recovered since
            self._returns.add(name)
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
