"""How much one process may do at once, what it measured, what it spends: the part of a run that is about figures."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from test_framework.errors import SettingsError

if TYPE_CHECKING:
    from test_framework.environment import Broker
    from test_framework.environments.building import Tools
    from test_framework.environments.models import LanguageModels
    from test_framework.performance.levels import OptimizationLevel, Policy
    from test_framework.performance.metrics import Metrics
    from test_framework.plugin.run import Run

__all__ = ["Gauges"]


class Gauges:
    """Everything is made when it is first asked for."""

    def __init__(self, run: Run) -> None:
        self._run = run

    @cached_property
    def metrics(self) -> Metrics:
        """What this process measured; the controller's has what its workers measured, too."""
        from test_framework.performance.metrics import Metrics

        return Metrics()

    @property
    def measured(self) -> bool:
        """Whether there is anything to tell."""
        return "metrics" in self.__dict__

    @cached_property
    def level(self) -> OptimizationLevel:
        """By hand, by ``TEST_LEVEL``, by the ini file, or by what the machine has.

        Raises:
            pytest.UsageError: there is no such level.
        """
        from test_framework.performance.levels import choose_level

        settings = self._run.settings
        try:
            return choose_level(
                self._run.options.level or settings.level or self._run.options.ini_level, ci=settings.ci
            )
        except SettingsError as error:
            raise pytest.UsageError(str(error)) from error

    @cached_property
    def policy(self) -> Policy:
        """This worker's part of the level's row."""
        return self.level.policy.for_workers(self._run.workers)

    @property
    def measures_memory(self) -> bool:
        return self._run.options.report is not None or self.policy.monitoring.value == "memory"

    def broker(self) -> Broker:
        """The process's broker, as the level wants it."""
        from test_framework.performance.watching import watched_broker

        run = self._run
        return watched_broker(run.endpoints, run.identity, policy=self.policy, metrics=self.metrics, prefix=run.prefix)

    @property
    def llm_account(self) -> Path:
        """Where the workers of this run note what they spend on language models; there when one did."""
        return Path(tempfile.gettempdir()) / f"test-framework-llm-{self._run.run_id}"

    @cached_property
    def models(self) -> LanguageModels:
        """Language models for this run's tests."""
        from test_framework.plugin.models import language_models

        return language_models(self._run)

    def tools(self) -> Tools:
        """What environments that tests make by import are made with: this run's own session and pools."""
        from test_framework.environments.building import Tools
        from test_framework.external.llm import cassette_name

        run = self._run
        recordings = run.settings.project_dir / run.options.llm_cassettes
        return Tools(
            settings=replace(run.settings, endpoints=run.endpoints),
            clients=run.clients,
            application=lambda: run.application,
            app_services=run.options.app_services,
            make_llm=lambda test: self.models.make(test, recordings / cassette_name(test)),
            lease_timeout=run.options.lease_timeout,
        )

    def lend(self) -> Callable[[], None]:
        """Let ``get_isolated_environment_manager()`` use them, until the returned function is called."""
        from test_framework.environments.lending import Offer, lend

        return lend(Offer(tools=self.tools, policy=lambda: self.policy, metrics=lambda: self.metrics))

    def close(self) -> None:
        """End what runs; the last one deletes the account."""
        if (models := self.__dict__.pop("models", None)) is not None:
            models.close()
        if self._run.worker_id == "master":
            self.llm_account.unlink(missing_ok=True)
