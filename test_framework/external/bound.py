"""Things that were opened in an event loop and must be closed in it, whoever forgets to: the test, or its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from test_framework.manager.loops import close_softly, forget, is_idle, when_loop_ends

__all__ = ["LoopBound"]

Closer = Callable[[], Awaitable[object]]


class LoopBound:
    """Closers, each with the loop that it belongs to."""

    def __init__(self) -> None:
        self._closers: dict[int, tuple[asyncio.AbstractEventLoop, Closer]] = {}

    async def add(self, key: object, closer: Closer) -> None:
        """Await ``closer()`` when the running loop ends or somebody closes everything, unless it is removed before."""
        self._closers[id(key)] = (asyncio.get_running_loop(), closer)
        await when_loop_ends(id(key), lambda: self._close(id(key)))

    def remove(self, key: object) -> None:
        """It was closed by hand."""
        if self._closers.pop(id(key), None) is not None:
            forget(id(key))

    async def aclose(self) -> None:
        """Close what belongs to the running loop, the last one first."""
        running = asyncio.get_running_loop()
        for key, (loop, _) in reversed(list(self._closers.items())):
            if loop is running:
                await close_softly(lambda key=key: self._close(key))  # type: ignore[misc]

    def close(self) -> None:
        """The same for all loops, from where none runs. Loops that have ended have closed theirs."""
        for loop in {loop for loop, _ in self._closers.values()}:
            if is_idle(loop):
                loop.run_until_complete(close_softly(self.aclose))
        self._closers.clear()

    async def _close(self, key: int) -> None:
        found = self._closers.pop(key, None)
        if found is not None:
            forget(key)
            await found[1]()
