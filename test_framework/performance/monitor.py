"""A stopwatch with names, for tests that promise a speed."""

from __future__ import annotations

import time
from collections.abc import Callable

from test_framework.errors import FrameworkError

__all__ = ["PerformanceMonitor"]


class PerformanceMonitor:
    """Measures spans by name on the monotonic clock. A name may be measured again; the last span counts.

    Args:
        clock: gives seconds; replaceable, so that it can be tested without waiting.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._started: dict[str, float] = {}
        self._seconds: dict[str, float] = {}

    @property
    def seconds(self) -> dict[str, float]:
        """The last span of every name that was ended, in seconds."""
        return dict(self._seconds)

    def start(self, name: str) -> None:
        """Begin measuring ``name``, anew if it was begun before."""
        self._started[name] = self._clock()

    def end(self, name: str) -> float:
        """Seconds since :meth:`start`.

        Raises:
            FrameworkError: ``name`` was not started, or has been ended already.
        """
        now = self._clock()
        try:
            began = self._started.pop(name)
        except KeyError:
            raise FrameworkError(
                f"the measurement {name!r} was not started",
                cause=f"running: {', '.join(sorted(self._started)) or 'none'}",
                fix=f"call start({name!r}) before end({name!r})",
            ) from None
        self._seconds[name] = now - began
        return self._seconds[name]

    def assert_performance(self, name: str, max_seconds: float) -> None:
        """Fail unless ``name`` took at most ``max_seconds``; one that still runs is ended first.

        Raises:
            AssertionError: it took longer; the message has both figures.
            FrameworkError: it was never measured.
        """
        taken = self.end(name) if name in self._started or name not in self._seconds else self._seconds[name]
        if taken > max_seconds:
            raise AssertionError(f"{name} took {taken:.6f} s, which is more than {max_seconds:.6f} s")
