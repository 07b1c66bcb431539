"""Calls into worker threads on behalf of one query: one at a time, and none left behind."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import Any, Generic, TypeVar

__all__ = ["Call", "Hops"]

_T = TypeVar("_T")
#: A query that is only about to begin does not notice the first time.
_KILL_AGAIN_SECONDS = 0.3
_IDLE_SECONDS = 0.005


class Call(Generic[_T]):
    """A call in a worker thread. Whoever waits for it may be cancelled, the call is not.

    The event loop's own futures do the same in twice as many turns of the loop, which a small query notices.
    """

    def __init__(self, executor: Executor, work: Callable[[], _T]) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: list[Callable[[], object]] = []
        self._future = executor.submit(work)
        self._future.add_done_callback(self._tell)

    def _tell(self, _: object) -> None:
        """In the worker thread."""
        with contextlib.suppress(RuntimeError):  # the loop has been closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        for wake in self._waiting:
            wake()
        self._waiting.clear()

    def done(self) -> bool:
        """Whether it has ended."""
        return self._future.done()

    def result(self) -> _T:
        """What it returned, or its error raised. Only when it has ended."""
        return self._future.result(timeout=0)

    def call_at_end(self, wake: Callable[[], object]) -> None:
        """Call ``wake`` in the event loop when it has ended, unless it is taken back before."""
        if self._future.done():
            self._loop.call_soon(wake)
        else:
            self._waiting.append(wake)

    def take_back(self, wake: Callable[[], object]) -> None:
        """Do not call ``wake`` any more."""
        with contextlib.suppress(ValueError):
            self._waiting.remove(wake)

    async def wait(self, timeout: float | None = None) -> None:
        """Return when it has ended, or after ``timeout`` seconds."""
        if self._future.done():
            return
        ready: asyncio.Future[None] = self._loop.create_future()

        def wake() -> None:
            if not ready.done():
                ready.set_result(None)

        timer = None if timeout is None else self._loop.call_later(timeout, wake)
        self.call_at_end(wake)
        try:
            await ready
        finally:
            self.take_back(wake)
            if timer is not None:
                timer.cancel()

    async def ended(self) -> _T:
        """Wait for it; its result, or its error raised."""
        await self.wait()
        return self._future.result(timeout=0)


class Hops:
    """The calls of one query.

    Args:
        kill: asks the engine to end the query.
    """

    def __init__(self, executor: Executor, kill: Callable[[], Awaitable[None]]) -> None:
        self._executor = executor
        self._kill = kill
        self._call: Call[Any] | None = None

    def begin(self, work: Callable[[], _T]) -> Call[_T]:
        """Start a call; the one before must have ended."""
        call = Call(self._executor, work)
        self._call = call
        return call

    def beside(self, work: Callable[[], _T]) -> Call[_T]:
        """Start a call beside the one under way. Whoever does must see that it ends."""
        return Call(self._executor, work)

    async def run(self, work: Callable[[], _T]) -> _T:
        """Make a call and wait for it. A cancellation ends the waiting, not the call: see ``end``."""
        return await self.begin(work).ended()

    async def wait(self) -> None:
        """Wait for the call under way, if there is one; its error is raised."""
        if self._call is not None:
            await self._call.ended()

    @property
    def busy(self) -> bool:
        """Whether a call is under way."""
        return self._call is not None and not self._call.done()

    async def end(self, meanwhile: Callable[[], None] | None = None) -> None:
        """Kill the query as long as a call is under way, and wait for its end: whoever wanted the result has gone.

        Args:
            meanwhile: called again and again while waiting.
        """
        call = self._call
        while call is not None and not call.done():
            await self._kill()
            deadline = time.monotonic() + _KILL_AGAIN_SECONDS
            while not call.done() and time.monotonic() < deadline:
                if meanwhile is not None:
                    meanwhile()
                await call.wait(_IDLE_SECONDS if meanwhile else _KILL_AGAIN_SECONDS)
