"""Events, passed on to whoever listens on ``/ws/events`` of this process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

__all__ = ["EventHub"]

# A listener that does not keep up loses events; the others do not wait for it.
_QUEUE = 1000


class EventHub:
    """One queue for each listener."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[dict[str, Any]]] = set()

    @contextlib.contextmanager
    def listener(self) -> Iterator[asyncio.Queue[dict[str, Any]]]:
        """What is published during the block, in order."""
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(_QUEUE)
        self._queues.add(queue)
        try:
            yield queue
        finally:
            self._queues.discard(queue)

    def publish(self, event: dict[str, Any]) -> None:
        for queue in self._queues:
            with contextlib.suppress(asyncio.QueueFull):
                queue.put_nowait(event)
