"""The stopwatch for tests, on a clock that the test turns."""

from __future__ import annotations

import pytest

from test_framework.errors import FrameworkError
from test_framework.performance.monitor import PerformanceMonitor


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def monitor(clock: Clock) -> PerformanceMonitor:
    return PerformanceMonitor(clock)


def test_end_gives_the_seconds_since_start(monitor: PerformanceMonitor, clock: Clock) -> None:
    monitor.start("query")
    clock.now += 0.25
    assert monitor.end("query") == 0.25
    assert monitor.seconds == {"query": 0.25}


def test_spans_with_different_names_overlap(monitor: PerformanceMonitor, clock: Clock) -> None:
    monitor.start("outer")
    clock.now += 1
    monitor.start("inner")
    clock.now += 2
    assert (monitor.end("outer"), monitor.end("inner")) == (3.0, 2.0)


def test_what_was_not_started_cannot_be_ended(monitor: PerformanceMonitor) -> None:
    monitor.start("other")
    with pytest.raises(FrameworkError, match="'query' was not started") as caught:
        monitor.end("query")
    assert "other" in str(caught.value)


def test_a_promise_that_is_kept_passes_and_one_that_is_broken_fails_with_both_figures(
    monitor: PerformanceMonitor, clock: Clock
) -> None:
    monitor.start("query")
    clock.now += 0.5
    monitor.end("query")
    monitor.assert_performance("query", 0.5)
    with pytest.raises(AssertionError, match=r"query took 0\.500000 s, which is more than 0\.400000 s"):
        monitor.assert_performance("query", 0.4)


def test_asserting_ends_a_span_that_still_runs(monitor: PerformanceMonitor, clock: Clock) -> None:
    monitor.start("query")
    clock.now += 2
    with pytest.raises(AssertionError, match=r"2\.000000"):
        monitor.assert_performance("query", 1)


def test_a_promise_about_something_never_measured_is_an_error(monitor: PerformanceMonitor) -> None:
    with pytest.raises(FrameworkError, match="'query' was not started"):
        monitor.assert_performance("query", 1)
