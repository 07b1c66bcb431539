"""Whole environments, by import.

    from test_framework.isolated_environment_manager import get_isolated_environment_manager

    manager = get_isolated_environment_manager()
    await manager.initialize()
    async with manager.create_test_environment("test_signup") as resources:
        await resources["http"].auth_signup("ada@example.com", "secret-4711")
    await manager.shutdown()

An environment holds ``database``, ``redis``, ``clickhouse``, ``websocket``, ``http``, ``filesystem`` and ``llm``. Many
can exist at once, in one process and event loop or in several. In a test run they are made by that run's own session;
anywhere else the process gets one, which ends at ``shutdown()``.
"""

from __future__ import annotations

from test_framework.environments.access import get_isolated_environment_manager
from test_framework.environments.isolated import IsolatedEnvironmentManager
from test_framework.environments.resources import RESOURCES, TestEnvironment

__all__ = ["RESOURCES", "IsolatedEnvironmentManager", "TestEnvironment", "get_isolated_environment_manager"]
