"""pytest's hooks, in the order in which it calls them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from test_framework.plugin.header import header_lines
from test_framework.plugin.markers import add_markers, isolation_of, required_services, requires_service
from test_framework.plugin.measuring import begin_measuring
from test_framework.plugin.needs import needed_services
from test_framework.plugin.options import add_options, read_options
from test_framework.plugin.policy import Policy
from test_framework.plugin.reports import Reporting
from test_framework.plugin.run import KEY, WORKER_INPUT, Run, run_of
from test_framework.plugin.service import require_face

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

__all__ = [
    "pytest_addoption",
    "pytest_collection_finish",
    "pytest_collection_modifyitems",
    "pytest_configure",
    "pytest_load_initial_conftests",
    "pytest_report_header",
    "pytest_runtest_setup",
    "pytest_unconfigure",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Before any conftest imports the user's application: that may read its endpoints from the environment."""
    run = early_config.stash[KEY] = Run.of(early_config)
    run.export_variables()


def pytest_configure(config: pytest.Config) -> None:
    add_markers(config)
    run = run_of(config)
    run.options = read_options(config)  # the command line was not yet read when the run was made
    worker = getattr(config, "workerinput", None)
    if worker is not None and WORKER_INPUT in worker:
        run.adopt(worker[WORKER_INPUT], worker)
    config.pluginmanager.register(Reporting(config), "test_framework_reporting")
    begin_measuring(config)
    if worker is None and config.pluginmanager.hasplugin("xdist"):
        config.pluginmanager.register(Workers(config), "test_framework_workers")


def pytest_report_header(config: pytest.Config) -> list[str]:
    run = run_of(config)
    return header_lines(run.endpoints, run.settings.published, run.decision)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A marker that nobody can understand is an error before anything runs."""
    for item in items:
        isolation_of(item)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Begin to open what the tests will need, while pytest still reports what it collected."""
    config = session.config
    run = run_of(config)
    controller = config.pluginmanager.hasplugin("dsession")
    if controller or config.option.collectonly or run.decision.policy is Policy.OFF:
        return
    services = {service for item in session.items for service in needed_services(item)}
    if services:
        run.broker.warm(sorted(services))


def pytest_runtest_setup(item: pytest.Item) -> None:
    services = required_services(item)
    if services:
        availability = run_of(item.config).availability
        for service in services:
            availability.require(service)
    for face in requires_service(item):
        require_face(run_of(item.config), face)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    run = config.stash.get(KEY, None)
    if run is None:
        return
    try:
        run.close()
    except KeyboardInterrupt:
        """Somebody is in a hurry: the next session, or a reaper, reclaims what is left."""


class Workers:
    """The controller's side under xdist: nothing is leased here, but the workers are told where the stack is."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: WorkerController) -> None:
        node.workerinput[WORKER_INPUT] = run_of(self._config).for_workers(node.workerinput["testrunuid"])

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: WorkerController, error: Any) -> None:
        if error:
            run_of(self._config).bury(node.gateway.id)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """What a worker that was killed could not give back."""
        run = run_of(self._config)
        if run.crashed and run.decision.policy is not Policy.OFF:
            reporting: Any = self._config.pluginmanager.getplugin("test_framework_reporting")
            reporting.tally.crashed = [f"{', '.join(run.crashed)} ended unexpectedly; {run.reclaim()}"]
