"""Fixtures: what this worker owns among the workers of a run, and a stopwatch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from test_framework.plugin.owned import Owned
from test_framework.plugin.run import run_of

if TYPE_CHECKING:
    from test_framework.performance.monitor import PerformanceMonitor
    from test_framework.plugin.parallel import Coordinator, Validator

__all__ = ["parallel_execution_validator", "parallel_test_coordinator", "performance_monitor"]


@pytest.fixture
def parallel_test_coordinator(request: pytest.FixtureRequest, test_isolation: Owned) -> Coordinator:
    """Who this xdist worker is, what it owned and what it and this test own: ``worker_id``, ``owned()``, ``mine()``."""
    from test_framework.plugin.parallel import Coordinator

    return Coordinator(run_of(request.config), test_isolation)


@pytest.fixture
def parallel_execution_validator(request: pytest.FixtureRequest, test_isolation: Owned) -> Validator:
    """Checks that no two workers, of this run or another on the same stack, ever shared a namespace."""
    from test_framework.plugin.parallel import Validator

    test_isolation.require("postgres")
    return Validator(run_of(request.config))


@pytest.fixture
def performance_monitor() -> PerformanceMonitor:
    """``start(name)``, ``end(name)`` → seconds, ``assert_performance(name, max_seconds)``."""
    from test_framework.performance.monitor import PerformanceMonitor

    return PerformanceMonitor()
