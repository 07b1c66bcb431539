"""How often a live endpoint may be asked, over all tests of a process whatever their event loops."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from test_framework.isolation.loop_thread import LoopThread

if TYPE_CHECKING:
    from aiolimiter import AsyncLimiter

__all__ = ["RateLimit"]


class RateLimit:
    """``requests`` at once, and as many in all further ``seconds``. Counted on a loop of its own: tests' come and go.

    Args:
        requests: how many, a fraction included: a worker's part of what the run may do.
    """

    def __init__(self, requests: float, seconds: float = 60.0) -> None:
        self._requests = requests
        self._seconds = seconds
        self._thread = LoopThread("test-framework-llm-rate")
        self._limiter: AsyncLimiter | None = None

    async def wait(self) -> None:
        """Return when a request may be made."""
        await asyncio.wrap_future(self._thread.submit(self._acquire()))

    async def _acquire(self) -> None:
        from aiolimiter import AsyncLimiter

        if self._limiter is None:
            # Less than one request in the span is one in a longer span.
            stretch = max(1.0, 1.0 / self._requests)
            self._limiter = AsyncLimiter(self._requests * stretch, self._seconds * stretch)
        await self._limiter.acquire()

    def close(self) -> None:
        """End the loop. Harmless twice."""
        self._thread.stop(5.0)
