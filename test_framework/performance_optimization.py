"""How much may happen at once, and what was measured, by import.

    from test_framework.performance_optimization import OptimizationLevel, create_optimized_environment_manager

    manager = create_optimized_environment_manager(OptimizationLevel.CI_FAST, {"max_concurrent_tests": 4})
    async with manager:
        async with manager.create_test_environment("test_signup") as resources:
            ...
    for line in summary_lines(manager.metrics):
        print(line)

Levels: ``DEVELOPMENT`` (5 environments at once), ``CI_FAST`` (10), ``CI_THOROUGH`` (20), ``PRODUCTION`` (50).
Overrides: ``max_concurrent_tests``, ``pool_max_connections``, ``enable_resource_pooling``.
"""

from __future__ import annotations

from test_framework.environments.access import create_optimized_environment_manager
from test_framework.performance.findings import Finding, findings
from test_framework.performance.levels import OptimizationLevel, Policy
from test_framework.performance.metrics import Metrics
from test_framework.performance.monitor import PerformanceMonitor
from test_framework.performance.report import summary_lines, write_report

__all__ = [
    "Finding",
    "Metrics",
    "OptimizationLevel",
    "PerformanceMonitor",
    "Policy",
    "create_optimized_environment_manager",
    "findings",
    "summary_lines",
    "write_report",
]
