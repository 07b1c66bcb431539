"""Environment managers on a seeded stack of their own, and questions about what they leave behind."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from test_framework.endpoints import ClickHouseEndpoint, PostgresEndpoint, RedisEndpoint
from test_framework.environment import Identity
from test_framework.environments.building import Tools
from test_framework.environments.isolated import IsolatedEnvironmentManager
from test_framework.environments.models import LanguageModels
from test_framework.environments.resources import SERVICES
from test_framework.external.application import Application, reference_application
from test_framework.external.llm import LlmConfig
from test_framework.external.llm.settings import LlmSettings
from test_framework.external.serving import close_threads
from test_framework.manager.holdings import Clients
from test_framework.performance.levels import policy_for
from test_framework.performance.metrics import Metrics
from test_framework.performance.watching import watched_broker
from test_framework.settings import load_settings
from tests.seeded_stack import Stack, seeded_stack

Make = Callable[..., IsolatedEnvironmentManager]


@pytest.fixture(scope="module")
def stack(
    postgres_server: PostgresEndpoint, redis_server: RedisEndpoint, clickhouse_server: ClickHouseEndpoint
) -> Stack:
    """The shared servers with the shipped seed."""
    return seeded_stack(postgres_server, redis_server, clickhouse_server)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Where the directories of environments are made."""
    directory = tmp_path / "files"
    directory.mkdir()
    return directory


@pytest.fixture
def make(stack: Stack, tmp_path: Path, files: Path) -> Iterator[Make]:
    """Managers; those that a test leaves open are shut down."""
    made: list[IsolatedEnvironmentManager] = []

    def make(
        level: str = "DEVELOPMENT", *, application: Callable[[], Application] = reference_application, **overrides: Any
    ) -> IsolatedEnvironmentManager:
        policy, metrics, closers = policy_for(level, overrides), Metrics(), []
        settings = replace(load_settings(Path("/nonexistent"), {}), endpoints=stack.endpoints)

        def open_tools() -> Tools:
            identity = Identity(run_id=secrets.token_hex(8), worker_id="gw0")
            broker = watched_broker(stack.endpoints, identity, policy=policy, metrics=metrics)
            clients = Clients(broker, lease_timeout=None, connection_timeout=10, query_timeout=30)
            models = LanguageModels(LlmSettings(config=LlmConfig(), test_budget=Decimal(0)))
            closers.extend([clients.close, broker.close, models.close])
            return Tools(
                settings=settings,
                clients=clients,
                application=application,
                app_services=SERVICES,
                make_llm=lambda test: models.make(test, tmp_path / f"{test}.yaml"),
                files=files,
            )

        def close() -> None:
            close_threads()
            for each in closers:
                each()

        manager = IsolatedEnvironmentManager(open_tools, policy=policy, metrics=metrics, on_close=close)
        made.append(manager)
        return manager

    yield make
    for manager in made:
        asyncio.run(manager.shutdown())
