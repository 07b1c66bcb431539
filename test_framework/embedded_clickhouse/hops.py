"""Calls into worker threads on behalf of one query: one at a time, and none left behind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import Any, TypeVar

__all__ = ["Hops"]

_T = TypeVar("_T")
#: A query that is only about to begin does not notice the first time.
_KILL_AGAIN_SECONDS = 0.3
_IDLE_SECONDS = 0.005


class Hops:
    """The calls of one query.

    Args:
        kill: asks the engine to end the query.
    """

    def __init__(self, executor: Executor, kill: Callable[[], Awaitable[None]]) -> None:
        self._executor = executor
        self._kill = kill
        self.future: asyncio.Future[Any] | None = None

    def begin(self, work: Callable[[], _T]) -> asyncio.Future[_T]:
        """Start a call; the one before must have ended."""
        future = asyncio.get_running_loop().run_in_executor(self._executor, work)
        self.future = future
        return future

    async def run(self, work: Callable[[], _T]) -> _T:
        """Make a call and wait for it. A cancellation ends the waiting, not the call: see ``end``."""
        return await asyncio.shield(self.begin(work))

    async def wait(self) -> None:
        """Wait for the call under way, if there is one; its error is raised."""
        if self.future is not None:
            await asyncio.shield(self.future)

    @property
    def busy(self) -> bool:
        """Whether a call is under way."""
        return self.future is not None and not self.future.done()

    async def end(self, meanwhile: Callable[[], None] | None = None) -> None:
        """Kill the query as long as a call is under way, and wait for its end: whoever wanted the result has gone.

        Args:
            meanwhile: called again and again while waiting.
        """
        future = self.future
        if future is None:
            return
        while not future.done():
            await self._kill()
            deadline = time.monotonic() + _KILL_AGAIN_SECONDS
            while not future.done() and time.monotonic() < deadline:
                if meanwhile is not None:
                    meanwhile()
                await asyncio.wait({future}, timeout=_IDLE_SECONDS if meanwhile else _KILL_AGAIN_SECONDS)
        if not future.cancelled():
            future.exception()  # whoever reads the result has had it, and after a cancellation nobody wants it
