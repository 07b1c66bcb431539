"""Where endpoints become leases: one broker per worker process, on a thread and event loop of its own.

Drivers are loaded when a test asks for a namespace, not before; constructing a broker costs nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, TypeVar

from test_framework.endpoints import Endpoints
from test_framework.environment.engine import Engine
from test_framework.errors import FrameworkError, ServiceUnavailable, StackError
from test_framework.isolation.loop_thread import LoopThread
from test_framework.isolation.names import check_prefix
from test_framework.isolation.values import Identity, IsolationOptions, Lease, LeaseInfo
from test_framework.waiting import Deadline

__all__ = ["Broker", "Observer"]

T = TypeVar("T")
# Told of every acquisition: the service, the seconds it took, and the lease or what went wrong. Called in the
# broker's thread or in that of whoever asked.
Observer = Callable[[str, float, Lease | BaseException], None]

_GRACE = 5.0  # what a server gets beyond every other limit before its answer is no longer awaited
_CLOSE_TIMEOUT = 60.0
_HISTORY = 100_000
_log = logging.getLogger("test_framework.isolation")


class Broker:
    """Gives tests namespaces of their own. Every method may be called from any thread and any event loop.

    Args:
        endpoints: where the stack is. Nothing is opened before the first lease.
        identity: who this worker is.
        observer: told of every acquisition, also of one that failed.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        identity: Identity,
        *,
        options: IsolationOptions | None = None,
        observer: Observer | None = None,
    ) -> None:
        self.endpoints = endpoints
        self.identity = identity
        self.options = options or IsolationOptions()
        check_prefix(self.options.prefix)
        self._thread = LoopThread(f"test-framework-broker-{identity.worker_id}")
        self._engine: Engine | None = None
        self._held: dict[int, Lease] = {}
        self._past: deque[LeaseInfo] = deque(maxlen=_HISTORY)
        self._observer = observer
        self._closed = False

    def acquire(self, service: str, *, timeout: float | None = None) -> Lease:
        """A namespace of ``service``, within ``timeout`` seconds (the options' ``lease_timeout``).

        Raises:
            ServiceUnavailable: a server does not answer, or holds no seed.
            StackBusy: others hold everything; the message names them.
        """
        if (lease := self._at_once(service)) is not None:
            return lease
        reply = self._request(service, timeout)
        try:
            return reply.result()
        except BaseException:
            self._abandon(reply)
            raise

    async def aacquire(self, service: str, *, timeout: float | None = None) -> Lease:
        """The same from any event loop; cancelling it gives back what was granted in the same moment."""
        if (lease := self._at_once(service)) is not None:
            return lease
        reply = self._request(service, timeout)
        try:
            return await asyncio.wrap_future(reply)
        except BaseException:
            self._abandon(reply)
            raise

    def warm(self, services: Iterable[str]) -> None:
        """Begin the session and fill the pools in the background. What goes wrong shows at the first lease."""
        if not self._thread.foreign and not self._closed:
            self._thread.submit(self._the_engine().warm(services))

    def resize(self, service: str, size: int) -> None:
        """Keep ``size`` databases of ``service`` ready from now on. Does nothing where there is no such pool."""
        if not self._thread.foreign and not self._closed:
            self._thread.submit(self._the_engine().resize(service, size))

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run ``work`` on the broker's loop. Cancelling the future does not stop it."""
        if self._thread.foreign or self._closed:
            work.close()
            raise self._unusable()
        return self._thread.submit(work)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run ``work`` on the broker's loop and wait for it."""
        return self.submit(work).result()

    def reset(self, lease: Lease) -> None:
        """Put ``lease`` back to the seed, under the same name. Connections to it are closed.

        Raises:
            ServiceUnavailable: a server does not answer. The lease is then in no state to be relied on.
        """
        self.run(self._the_engine().reset(lease))

    async def areset(self, lease: Lease) -> None:
        """The same from any event loop."""
        await asyncio.wrap_future(self.submit(self._the_engine().reset(lease)))

    def explain(self, error: ServiceUnavailable) -> None:
        """Add to ``error``, which says that PostgreSQL had no connection left, who holds them."""
        self.run(self._the_engine().name_holders(error))

    def conflicts(self) -> list[str]:
        """Held leases that the books, or Redis' own record, do not say are this worker's alone. Never any, that is."""
        return self.run(self._the_engine().conflicts(list(self._held.values())))

    async def aconflicts(self) -> list[str]:
        """The same from any event loop."""
        return await asyncio.wrap_future(self.submit(self._the_engine().conflicts(list(self._held.values()))))

    def release(self, lease: Lease, *, keep: bool = False) -> None:
        """Take ``lease`` back; its end happens in the background. Twice is harmless, and so is a forked child.

        Args:
            keep: leave it as it is, for somebody who wants to look at it: it outlives the run.
        """
        if self._thread.foreign or self._held.pop(lease.serial, None) is None:
            return
        info = self._info(lease)
        self._past.append(replace(info, released_at=time.time(), kept=keep))
        if not self._closed and (work := self._the_engine().giving_back(lease, keep=keep)) is not None:
            self._thread.submit(work)

    async def arelease(self, lease: Lease, *, keep: bool = False) -> None:
        """The same; it does not wait either."""
        self.release(lease, keep=keep)

    def ownership(self) -> list[LeaseInfo]:
        """What this worker owned and owns, oldest first."""
        return [*self._past, *(self._info(lease) for lease in self._held.values())]

    def close(self, *, patience: float = _CLOSE_TIMEOUT) -> None:
        """Give everything back, wait until it is gone, end the session. Harmless twice, and in a forked child.

        Args:
            patience: seconds after which the rest is left to the next session, or to a reaper.
        """
        if self._closed or self._thread.foreign:
            return
        for lease in list(self._held.values()):
            self.release(lease)
        self._closed = True
        if self._engine is not None:
            try:
                self._thread.submit(self._engine.close()).result(patience)
            except (FrameworkError, TimeoutError) as error:
                _log.warning("the session did not end well, the next one reclaims what is left: %s", error)
        self._thread.stop(_GRACE)

    def _at_once(self, service: str) -> Lease | None:
        """What is ready costs no way to the loop and back: half a millisecond, which is most of what a test pays."""
        if self._thread.foreign or self._closed:
            raise self._unusable()
        engine = self._the_engine()
        lease = engine.at_once(service)
        if lease is not None:
            self._held[lease.serial] = lease
            if (work := engine.settling(lease)) is not None:
                self._thread.submit(work)
            self._tell(service, lease.waited_seconds, lease)
        return lease

    def _request(self, service: str, timeout: float | None) -> Future[Lease]:
        deadline = Deadline.after(self.options.lease_timeout if timeout is None else timeout)
        return self._thread.submit(self._grant(service, deadline), unwanted=self.release)

    def _unusable(self) -> StackError:
        if self._thread.foreign:
            return StackError(
                "a forked child cannot lease: the session belongs to its parent",
                fix="lease in the parent and give the child the DSN, or start it by spawn",
            )
        return StackError("the broker is closed", cause="the test session has ended")

    async def _grant(self, service: str, deadline: Deadline) -> Lease:
        started = time.monotonic()
        try:
            lease = await self._the_engine().acquire(service, deadline)
        except FrameworkError as error:
            self._tell(service, time.monotonic() - started, error)
            raise
        self._held[lease.serial] = lease
        self._tell(service, lease.waited_seconds, lease)
        return lease

    def _tell(self, service: str, seconds: float, outcome: Lease | BaseException) -> None:
        if self._observer is not None:
            self._observer(service, seconds, outcome)

    def _abandon(self, reply: Future[Lease]) -> None:
        """Nobody waits for this any more: what it brings goes back, now or when it comes."""
        if not reply.cancel() and reply.exception() is None:
            self.release(reply.result())

    def _the_engine(self) -> Engine:
        if self._engine is None:
            self._engine = Engine(self.endpoints, self.identity, self.options)
        return self._engine

    def _info(self, lease: Lease) -> LeaseInfo:
        return LeaseInfo(
            service=lease.service,
            name=lease.name,
            worker_id=self.identity.worker_id,
            run_id=self.identity.run_id,
            acquired_at=lease.acquired_at,
        )
