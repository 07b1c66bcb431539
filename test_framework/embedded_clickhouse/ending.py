"""The end of a request, whatever ended it: first its query, then its id and its session are free again."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from test_framework.embedded_clickhouse.results import Source

__all__ = ["Ending"]


class Ending:
    """What must be given back, in order.

    Args:
        tasks: keeps endings that outlive their request.
    """

    def __init__(self, tasks: set[asyncio.Task[None]]) -> None:
        self.stack = AsyncExitStack()
        self.source: Source | None = None
        self._tasks = tasks

    async def finish(self) -> None:
        """Give everything back. Harmless twice.

        A client that goes away can interrupt its request more than once, even while it is being cleaned up. So where
        there is something to wait for, a task of its own does it.
        """
        if self.source is None or self.source.idle:
            await self._end()
            return
        task = asyncio.create_task(self._end())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.shield(task)

    async def _end(self) -> None:
        source, self.source = self.source, None
        if source is not None:
            await source.close()
        await self.stack.aclose()
