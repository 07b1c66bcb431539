"""The only polling loop of the project, and the one deadline that nested waits share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

__all__ = ["Deadline", "wait_until"]

T = TypeVar("T")


@dataclass(frozen=True)
class Deadline:
    """A point on the monotonic clock; a clock that jumps does not move it."""

    at: float
    seconds: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        return cls(time.monotonic() + seconds, seconds)

    @property
    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.at - time.monotonic())

    @property
    def expired(self) -> bool:
        return self.remaining == 0.0


async def wait_until(
    check: Callable[[], Awaitable[T | None]],
    deadline: Deadline,
    *,
    interval: float = 0.05,
) -> T | None:
    """Ask ``check`` every ``interval`` seconds until it gives something true or ``deadline`` passes.

    ``check`` is asked at least once, and once more after the deadline, so that a slow last answer counts. An
    exception in it ends the wait at once: that is how a server that died, or refuses the credentials, is told apart
    from one that is slow. Returns what ``check`` gave last.
    """
    while True:
        expired = deadline.expired
        answer = await check()
        if answer or expired:
            return answer
        await asyncio.sleep(min(interval, deadline.remaining))
