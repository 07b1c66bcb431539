"""What tests gave back waits here, and is taken back off the tests' path: several at once where that is cheaper."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

__all__ = ["Returns"]

# So long a name waits for others to be taken back together with, while tests still find something ready.
_LINGER = 0.02


class Returns:
    """A queue of names, and who works on it. Lives on one event loop.

    Args:
        take_back: what is done with each name; raises nothing.
        start: runs the work beside everything else.
        together: how many are taken back at once, at most.
        backlog: how many may wait before those who ask for one have to wait too.
    """

    def __init__(
        self,
        take_back: Callable[[str], Awaitable[None]],
        start: Callable[[Awaitable[None]], object],
        *,
        together: int,
        backlog: int,
    ) -> None:
        self._take_back = take_back
        self._start = start
        self._together = together
        self._backlog = backlog
        self._queue: deque[str] = deque()
        self._working = False
        self._enough = asyncio.Event()
        self.room = asyncio.Event()
        self.room.set()
        self.coming = 0  # those that may be ready again in a moment

    def add(self, name: str) -> None:
        self._queue.append(name)
        self.coming += 1
        if len(self._queue) > self._backlog:
            self.room.clear()
        if len(self._queue) >= self._together:
            self._enough.set()
        if not self._working:
            self._working = True
            self._start(self._work())

    def hurry(self) -> None:
        """Somebody waits, or will soon."""
        self._enough.set()

    async def _work(self) -> None:
        try:
            while self._queue:
                await self._linger()
                batch = [self._queue.popleft() for _ in range(min(self._together, len(self._queue)))]
                await asyncio.gather(*map(self._take_back, batch))
                if len(self._queue) <= self._backlog:
                    self.room.set()
        finally:
            self._working = False

    async def _linger(self) -> None:
        if len(self._queue) < self._together:
            try:
                async with asyncio.timeout(_LINGER):
                    await self._enough.wait()
            except TimeoutError:
                pass
        self._enough.clear()
