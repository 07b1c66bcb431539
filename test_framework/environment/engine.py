"""What lives on the broker's event loop: the session, and an allocator for each service that somebody asked for."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from collections import Counter
from collections.abc import Coroutine, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from test_framework.endpoints import Endpoints
from test_framework.environment.builder import Builder
from test_framework.errors import FrameworkError, ServiceUnavailable, StackError
from test_framework.isolation.values import Grant, Identity, IsolationOptions, Lease
from test_framework.waiting import Deadline, wait_until

if TYPE_CHECKING:
    from test_framework.environment.builder import Books
    from test_framework.isolation.ledger import Allocator

__all__ = ["Engine"]

_GRACE = 5.0  # what a server gets beyond every other limit before its answer is no longer awaited
_log = logging.getLogger("test_framework.isolation")


class Engine:
    """What lives on the broker's loop: the session and its allocators."""

    def __init__(self, endpoints: Endpoints, identity: Identity, options: IsolationOptions) -> None:
        self._endpoints = endpoints
        self._identity = identity
        self._options = options
        self._builder = Builder(endpoints, identity, options, report=_report)
        self._serials = itertools.count(1)
        self._ledger: Books | None = None
        self._allocators: dict[str, Allocator] = {}
        self._reaping: asyncio.Task[None] | None = None
        self._asking: set[asyncio.Task[Grant]] = set()
        self._warming: set[asyncio.Task[None]] = set()
        self._closing = False
        self._lock = asyncio.Lock()

    def at_once(self, service: str) -> Lease | None:
        """A namespace that is ready for this worker, from any thread; what :meth:`settling` gives is left to do."""
        started = time.monotonic()
        allocator = self._allocators.get(service)
        grant = allocator.at_once() if allocator is not None else None
        return None if grant is None else self._lease(service, grant, started)

    def settling(self, lease: Lease) -> Coroutine[Any, Any, None] | None:
        """What is to be run on the loop after :meth:`at_once`, if anything."""
        return self._allocators[lease.service].settling(lease.name)

    def _lease(self, service: str, grant: Grant, started: float) -> Lease:
        return Lease(
            service=service,
            name=grant.name,
            endpoint=grant.endpoint,
            key_prefix=grant.key_prefix,
            acquired_at=time.time(),
            waited_seconds=time.monotonic() - started,
            pool_hit=grant.pool_hit,
            serial=next(self._serials),
        )

    async def acquire(self, service: str, deadline: Deadline) -> Lease:
        """A namespace of ``service``. Raises ``FrameworkError`` at the deadline, even when a server ignores it."""
        started = time.monotonic()
        task = asyncio.ensure_future(self._acquire(service, deadline))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)
        await asyncio.wait([task], timeout=deadline.remaining + _GRACE)
        if not task.done():
            task.cancel()
            raise self._no_answer(service, deadline)
        try:
            grant = task.result()
        except ServiceUnavailable as error:
            if is_full(error):
                await self.name_holders(error)
            raise
        return self._lease(service, grant, started)

    def giving_back(self, lease: Lease, *, keep: bool) -> Coroutine[Any, Any, None] | None:
        """Take it back, from any thread. What is to be run on the loop now, if anything."""
        work = self._allocators[lease.service].releasing(lease.name, keep=keep)
        return None if work is None else self._give_back(lease, work)

    async def _give_back(self, lease: Lease, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except FrameworkError as error:
            _report(f"the {lease.service} namespace {lease.name} could not be taken back: {error}")

    async def reset(self, lease: Lease) -> None:
        """Put it back to the seed."""
        await self._allocators[lease.service].reset(lease.name)

    async def conflicts(self, leases: Sequence[Lease]) -> list[str]:
        """What is wrong with what this worker believes to hold, as phrases."""
        if self._ledger is None:
            return []
        mine = set(await self._ledger.mine())
        problems = [
            f"{lease.service} {lease.name} is not this session's in the ledger"
            for lease in leases
            if (lease.service, lease.name) not in mine
        ]
        names = Counter((lease.service, lease.name) for lease in leases if lease.key_prefix is None)
        problems += [f"{service} {name} was handed out {n} times" for (service, name), n in names.items() if n > 1]
        for allocator in self._allocators.values():
            problems += await allocator.conflicts()
        return problems

    async def warm(self, services: Iterable[str]) -> None:
        """Open what the first lease of each service would open."""
        task = asyncio.ensure_future(self._warm(services))
        self._warming.add(task)
        task.add_done_callback(self._warming.discard)
        await asyncio.shield(task)

    async def _warm(self, services: Iterable[str]) -> None:
        for service in services:
            try:
                allocator = await self._allocator(service)
                await allocator.warm()
            except FrameworkError as error:
                _log.info("not warmed: %s", error)

    async def resize(self, service: str, size: int) -> None:
        """Keep so many ready from now on."""
        from test_framework.isolation.pool import ClonePool

        allocator = self._allocators.get(service)
        if isinstance(allocator, ClonePool):
            await allocator.resize(size)

    async def name_holders(self, error: ServiceUnavailable) -> None:
        """Say in ``error`` who holds the connections, if anybody can still ask."""
        if self._ledger is None:
            return
        with contextlib.suppress(FrameworkError):
            holders = ", ".join(map(str, await self._ledger.connections()))
            error.cause = f"{error.cause}; held by {holders}"

    def _no_answer(self, service: str, deadline: Deadline) -> ServiceUnavailable:
        return ServiceUnavailable(
            f"no {service} namespace within {deadline.seconds:g} s: a server accepts and does not answer",
            service=f"test-{service}",
            where=", ".join(f"{name} at {getattr(self._endpoints, name).address}" for name in ("postgres", service)),
            fix="look at the servers (make test-status) and their logs (make test-logs)",
        )

    async def _acquire(self, service: str, deadline: Deadline) -> Grant:
        allocator = self._allocators.get(service) or await self._allocator(service)
        return await allocator.acquire(deadline)

    async def _allocator(self, service: str) -> Allocator:
        async with self._lock:
            if self._closing:
                raise StackError("the broker is closed", cause="the test session has ended")
            if service not in self._allocators:
                ledger = await self._open_ledger()
                self._allocators[service] = await self._builder.build(service, ledger)
            return self._allocators[service]

    async def _open_ledger(self) -> Books:
        if self._ledger is None:
            ledger = self._make_ledger()
            try:
                await self._begin(ledger)
            except BaseException:
                await ledger.close()
                raise
            self._ledger = ledger
            if self._options.reap_at_start:
                self._reaping = asyncio.get_running_loop().create_task(self._reap())
        return self._ledger

    def _make_ledger(self) -> Books:
        if not self._endpoints.postgres.configured:
            from test_framework.isolation.loose import LooseLedger

            return LooseLedger()
        from test_framework.services.postgres.ledger import PostgresLedger

        return PostgresLedger(self._endpoints.postgres, self._identity, timeout=self._options.connection_timeout)

    async def _begin(self, ledger: Books) -> None:
        """Others may give back a connection in a moment: wait for it, while nobody can ask who holds them."""
        last: ServiceUnavailable | None = None

        async def opened() -> bool:
            nonlocal last
            try:
                await ledger.open()
            except ServiceUnavailable as error:
                if not is_full(error):
                    raise
                last = error
                return False
            return True

        if not await wait_until(opened, Deadline.after(self._options.connection_timeout), interval=0.2):
            assert last is not None  # it was tried at least once
            raise last

    async def _reap(self) -> None:
        """What dead sessions left, while the tests already run."""
        from test_framework.services.reaping import reap

        try:
            report = await reap(self._endpoints, timeout=self._options.connection_timeout, stop=lambda: self._closing)
        except FrameworkError as error:
            _log.info("nothing was reclaimed: %s", error)
        else:
            if report.total:
                _log.info("reclaimed %d namespaces of dead sessions", report.total)

    async def close(self) -> None:
        """Finish everything that was begun, and end the session."""
        self._closing = True
        if self._reaping is not None:  # not cancelled: half-opened connections would be left
            await asyncio.gather(self._reaping, return_exceptions=True)
        async with self._lock:  # whoever is opening something has finished, and nobody begins any more
            allocators = list(self._allocators.values())
        await asyncio.gather(*(allocator.close() for allocator in allocators), return_exceptions=True)
        for task in self._asking:
            task.cancel()
        await asyncio.gather(*self._asking, *self._warming, return_exceptions=True)
        if self._ledger is not None:
            with contextlib.suppress(FrameworkError):
                for service, name in await self._ledger.mine():
                    await self._allocators[service].discard(name)
            await self._ledger.close()
        await self._builder.close()


def is_full(error: ServiceUnavailable) -> bool:
    """Whether the server had no connection left."""
    return getattr(error.__cause__, "sqlstate", None) == "53300"


def _report(text: str) -> None:
    """A failing clean-up is told, and never hides a test's own failure."""
    _log.warning("%s", text)
