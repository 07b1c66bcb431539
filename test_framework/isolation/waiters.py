"""Those who wait for a namespace, served in the order in which they came. Lives on one event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from test_framework.errors import StackBusy
from test_framework.isolation.ledger import Ledger
from test_framework.waiting import Deadline

__all__ = ["Waiters", "too_late"]


class Waiters:
    """A queue of futures from which everybody may go away at any time.

    Args:
        unwanted: takes what came in the moment in which its receiver went away.
    """

    def __init__(self, unwanted: Callable[[str], None]) -> None:
        self._unwanted = unwanted
        self._queue: deque[asyncio.Future[str | None]] = deque()

    def __len__(self) -> int:
        return len(self._queue)

    def join(self) -> asyncio.Future[str | None]:
        """A place in the queue, for :meth:`wait`."""
        place: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._queue.append(place)
        return place

    async def wait(self, place: asyncio.Future[str | None], deadline: Deadline) -> str | None:
        """What comes. Raises ``TimeoutError`` at the deadline, and what :meth:`fail` was given."""
        try:
            async with asyncio.timeout(deadline.remaining):
                return await asyncio.shield(place)
        except (TimeoutError, asyncio.CancelledError):
            self._withdraw(place)
            raise

    def _withdraw(self, place: asyncio.Future[str | None]) -> None:
        if place in self._queue:
            self._queue.remove(place)
        if not place.done():
            place.cancel()
        elif not place.cancelled() and place.exception() is None and (name := place.result()) is not None:
            self._unwanted(name)

    def next(self) -> asyncio.Future[str | None] | None:
        """Whoever waits longest, taken out of the queue; ``None`` when nobody does."""
        while self._queue:
            place = self._queue.popleft()
            if not place.done():
                return place
        return None

    def serve(self, name: str | None) -> bool:
        """Give it to whoever waits longest. Whether anybody does."""
        place = self.next()
        if place is not None:
            place.set_result(name)
        return place is not None

    def fail(self, error: BaseException) -> bool:
        """Raise it where somebody waits longest. Whether anybody does."""
        place = self.next()
        if place is not None:
            place.set_exception(error)
        return place is not None

    def cancel(self) -> None:
        """Nobody gets anything any more."""
        while (place := self.next()) is not None:
            place.cancel()


async def too_late(ledger: Ledger, service: str, deadline: Deadline) -> StackBusy:
    """Nothing came: the error that names who holds what there is."""
    holders = await ledger.holders(service)
    return StackBusy(
        f"no {service} database could be had within {deadline.seconds:g} s",
        cause="held now: " + (", ".join(map(str, holders)) or "none"),
        fix="run with fewer workers, or end the runs that hold them",
    )
