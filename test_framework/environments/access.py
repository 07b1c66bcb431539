"""The managers by import: the running test run's, or this process's own."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from test_framework.environment import Identity
from test_framework.environments.building import Tools
from test_framework.environments.external import ExternalServiceManager
from test_framework.environments.isolated import IsolatedEnvironmentManager
from test_framework.environments.lending import Offer, lent
from test_framework.environments.models import LanguageModels
from test_framework.environments.resources import SERVICES
from test_framework.external.application import reference_application
from test_framework.external.llm import cassette_name
from test_framework.external.llm.settings import read_llm_settings
from test_framework.external.serving import close_threads
from test_framework.manager.holdings import Clients
from test_framework.performance.levels import OptimizationLevel, Policy, choose_level, policy_for
from test_framework.performance.metrics import Metrics
from test_framework.performance.watching import watched_broker
from test_framework.settings import Settings, load_settings, read_variables

__all__ = [
    "create_optimized_environment_manager",
    "get_external_service_manager",
    "get_isolated_environment_manager",
]

# One for each process and offer; a forked child must not use its parent's.
_managers: dict[tuple[int, Offer | None], IsolatedEnvironmentManager] = {}


def get_isolated_environment_manager() -> IsolatedEnvironmentManager:
    """The process's manager: the same at every call until it is shut down, then a new one. Opens nothing by itself.

    Raises:
        SettingsError: a variable has an impossible value.
    """
    offer = lent()
    key = (os.getpid(), offer)
    found = _managers.get(key)
    if found is None or found.closed:
        found = _managers[key] = _lent_manager(offer) if offer else _own_manager(None, {})
    return found


def get_external_service_manager() -> ExternalServiceManager:
    """Single resources, made by the same manager.

    Raises:
        SettingsError: a variable has an impossible value.
    """
    return ExternalServiceManager(get_isolated_environment_manager())


def create_optimized_environment_manager(
    level: OptimizationLevel | str | None = None, overrides: Mapping[str, Any] | None = None
) -> IsolatedEnvironmentManager:
    """A manager of its own, with a session and pools of its own, as ``level`` has them.

    Args:
        level: ``None``: what ``TEST_LEVEL`` says, or what suits the machine.
        overrides: other values for ``max_concurrent_tests``, ``pool_max_connections``, ``enable_resource_pooling``.

    Raises:
        SettingsError: there is no such level, or an override is impossible.
    """
    return _own_manager(level, overrides or {})


def _lent_manager(offer: Offer) -> IsolatedEnvironmentManager:
    return IsolatedEnvironmentManager(offer.tools, policy=offer.policy(), metrics=offer.metrics())


def _own_manager(level: OptimizationLevel | str | None, overrides: Mapping[str, Any]) -> IsolatedEnvironmentManager:
    settings = load_settings()
    policy = policy_for(level or choose_level(settings.level, ci=settings.ci), overrides)
    metrics = Metrics()
    closers: list[Callable[[], None]] = []

    def open_tools() -> Tools:
        tools, close = _standalone(settings, policy, metrics)
        closers.append(close)
        return tools

    def close() -> None:
        while closers:
            closers.pop()()

    return IsolatedEnvironmentManager(open_tools, policy=policy, metrics=metrics, on_close=close)


def _standalone(settings: Settings, policy: Policy, metrics: Metrics) -> tuple[Tools, Callable[[], None]]:
    """Everything of this process's own, and what ends it."""
    identity = Identity(run_id=secrets.token_hex(8), worker_id="script")
    broker = watched_broker(
        settings.endpoints, identity, policy=policy, metrics=metrics, prefix=settings.database_prefix
    )
    clients = Clients(
        broker,
        lease_timeout=None,
        connection_timeout=settings.connection_timeout,
        query_timeout=settings.query_timeout,
    )
    llm = read_llm_settings(
        read_variables(settings.project_dir), api_key=settings.llm_api_key, base_url=settings.llm_base_url, ini={}
    )
    models = LanguageModels(llm, secrets=[settings.jwt_secret.reveal()])
    recordings = settings.project_dir / "cassettes"

    def close() -> None:
        close_threads()
        clients.close()
        broker.close()
        models.close()

    tools = Tools(
        settings=settings,
        clients=clients,
        application=reference_application,
        app_services=SERVICES,
        make_llm=lambda test: models.make(test, recordings / cassette_name(test)),
    )
    return tools, close
