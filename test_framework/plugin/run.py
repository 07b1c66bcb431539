"""What the plugin knows and holds in one process: options, endpoints, and a broker when the first test needs one."""

from __future__ import annotations

import hashlib
import importlib
import os
import secrets
import sys
from collections.abc import Coroutine
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from test_framework.endpoints import Endpoints
from test_framework.errors import FrameworkError, SettingsError
from test_framework.isolation.names import check_prefix
from test_framework.plugin.exports import export, url_variables
from test_framework.plugin.gauges import Gauges
from test_framework.plugin.options import Options, read_options
from test_framework.plugin.policy import Decision, decide
from test_framework.settings import Settings, endpoint_variables, load_settings

if TYPE_CHECKING:
    from test_framework.environment import Broker
    from test_framework.external.application import Application
    from test_framework.isolation.counters import SharedMemory
    from test_framework.isolation.values import Identity
    from test_framework.manager.holdings import Clients
    from test_framework.manager.services import ServicesConfig
    from test_framework.plugin.availability import Availability

__all__ = ["KEY", "Run", "run_of"]

T = TypeVar("T")

KEY = pytest.StashKey["Run"]()
WORKER_INPUT = "test_framework"
_LOG_LINES = 20
# pytest parses our modules as it imports them. Doing that in two threads at once makes CPython raise "AST constructor
# recursion depth mismatch" now and then, so all that the broker's thread would import is imported before it starts.
_IN_THE_BROKERS_THREAD = (
    "test_framework.environment.engine",
    "test_framework.health",
    "test_framework.isolation.loose",
    "test_framework.isolation.pool",
    "test_framework.manager.holdings",
    "test_framework.services.clickhouse.isolation",
    "test_framework.services.postgres.isolation",
    "test_framework.services.postgres.ledger",
    "test_framework.services.postgres.leases",
    "test_framework.services.reaping",
    "test_framework.services.redis.allocators",
    "test_framework.services.redis.expiring",
    "test_framework.services.redis.isolation",
    "test_framework.services.registry",
)
_RECLAIM = 5.0


class Run:
    """One process's part in a test run. Opens nothing before a test asks.

    Args:
        settings: what the environment says.
        options: what the command line and the ini file say.
    """

    def __init__(self, settings: Settings, options: Options) -> None:
        self.settings = settings
        self.options = options
        self.endpoints: Endpoints = settings.endpoints
        self.run_id = secrets.token_hex(8)
        self.worker_id = "master"
        self.workers = 1
        self.kept = 0
        self._counters = ""
        self._memory: SharedMemory | None = None
        self.crashed: list[str] = []
        self._pid = os.getpid()
        self._broker: Broker | None = None
        self._clients: Clients | None = None
        self.gauges = Gauges(self)

    @property
    def decision(self) -> Decision:
        """Whether services are required, and who said so."""
        options, settings = self.options, self.settings
        return decide(flag=options.flag, variable=settings.use_real_services, ini=options.ini, ci=settings.ci)

    @classmethod
    def of(cls, config: pytest.Config) -> Run:
        """Read everything.

        Raises:
            pytest.UsageError: a variable, option or ini value is impossible.
        """
        options = read_options(config)
        try:
            run = cls(load_settings(_project_of(config)), options)
            if run.prefix is not None:
                check_prefix(run.prefix)
            return run
        except SettingsError as error:
            raise pytest.UsageError(str(error)) from error

    def adopt(self, given: dict[str, Any], worker: dict[str, Any]) -> None:
        """Become one of the workers of a run: the controller says where the stack is and what the run is called."""
        self.endpoints = Endpoints.from_dict(given["endpoints"])
        self.run_id = given["run_id"]
        self.worker_id = str(worker["workerid"])
        self.workers = int(worker["workercount"])
        self._counters = given["counters"]

    def for_workers(self, testrun_uid: str) -> dict[str, Any]:
        """What the controller tells its workers: plain values."""
        from test_framework.isolation.counters import SharedMemory

        self.run_id = hashlib.sha256(testrun_uid.encode()).hexdigest()[:16]
        if self._memory is None:
            self._memory = SharedMemory(self.run_id)
        return {"endpoints": self.endpoints.as_dict(), "run_id": self.run_id, "counters": self._memory.path}

    def bury(self, worker_id: str) -> None:
        """A worker has died, and its tests go on in another one."""
        self.crashed.append(worker_id)
        if self._memory is not None:
            self._memory.bury(worker_id)

    def export_variables(self) -> None:
        """Let the user's application find the stack, before it is imported. Without a stack there is nothing to say."""
        if self.settings.published is not None:
            export(endpoint_variables(self.endpoints), os.environ)
        export(url_variables(self.endpoints, self.options.exports), os.environ)

    @property
    def prefix(self) -> str | None:
        """What the names of databases begin with, where anybody said so."""
        return self.settings.database_prefix or self.options.database_prefix

    @property
    def identity(self) -> Identity:
        from test_framework.isolation.values import Identity

        return Identity(run_id=self.run_id, worker_id=self.worker_id, workers=self.workers, counters=self._counters)

    @property
    def broker(self) -> Broker:
        """The process's broker, made at first use."""
        if self._broker is None:
            for module in _IN_THE_BROKERS_THREAD:
                importlib.import_module(module)
            self._broker = self.gauges.broker()
        return self._broker

    @property
    def used(self) -> bool:
        """Whether any test of this process came near a service."""
        return self._broker is not None

    @property
    def clients(self) -> Clients:
        if self._clients is None:
            from test_framework.manager.holdings import Clients

            self._clients = Clients(
                self.broker,
                lease_timeout=self.options.lease_timeout,
                connection_timeout=self.settings.connection_timeout,
                query_timeout=self.settings.query_timeout,
            )
        return self._clients

    @cached_property
    def availability(self) -> Availability:
        from test_framework.plugin.availability import Availability

        return Availability(
            self.endpoints,
            self.decision,
            timeout=self.settings.connection_timeout,
            run=self.wait_for,
            log_tail=self.log_tail,
        )

    @cached_property
    def application(self) -> Application:
        """What is served to tests.

        Raises:
            ApplicationError: the user's cannot be imported.
        """
        from test_framework.external.application import load_application, reference_application

        name = self.options.app
        return load_application(name, root=self.settings.project_dir) if name else reference_application()

    @property
    def services_config(self) -> ServicesConfig:
        from test_framework.manager.services import ServicesConfig

        return ServicesConfig.of(self.settings, self.endpoints)

    def wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        """Run ``work`` in the broker's loop and wait: possible from sync code and from inside any loop."""
        return self.broker.run(work)

    def log_tail(self, service: str) -> str:
        """The last lines of a service's log, passwords taken out; empty where nobody has it."""
        if self.settings.published is None:
            return ""
        from test_framework.stack.lifecycle import Stack

        try:
            stack = Stack.of(self.settings.project_dir, backend=None, report=lambda service, text: None)
            text = stack.logs(f"test-{service}", _LOG_LINES)
        except (FrameworkError, OSError) as error:
            return f"(its log cannot be read: {error})"
        return self._masked(text)

    def _masked(self, text: str) -> str:
        for name in ("postgres", "redis", "clickhouse"):
            secret = getattr(self.endpoints, name).password.reveal()
            text = text.replace(secret, "***") if secret else text
        return text

    def may_keep(self) -> bool:
        """Whether one more failed test may keep what it owned; counts it if so."""
        if self.kept >= self.options.keep_failed:
            return False
        self.kept += 1
        return True

    def reclaim(self) -> str:
        """Take back what dead workers held, and say so; where that fails the next run does it."""
        import asyncio

        from test_framework.environment import reap

        try:
            report = asyncio.run(asyncio.wait_for(reap(self.endpoints, timeout=_RECLAIM), 3 * _RECLAIM))
        except (FrameworkError, TimeoutError) as error:
            return f"what it owned is reclaimed by the next run ({error})"
        return f"{report.total} namespaces were reclaimed"

    def close(self) -> None:
        """Give everything back and end the session. Safe twice, and nothing in a forked child."""
        if os.getpid() != self._pid:
            return
        if (serving := sys.modules.get("test_framework.external.serving")) is not None:
            serving.close_threads()
        self.gauges.close()
        if self._memory is not None:
            self._memory.close()
        if self._clients is not None:
            clients, self._clients = self._clients, None
            clients.close()
        if self._broker is not None:
            broker, self._broker = self._broker, None
            if "availability" in self.__dict__ and self.availability.lost:
                broker.close(patience=_RECLAIM)  # what is gone will not answer
            else:
                broker.close()


def _project_of(config: pytest.Config) -> Path:
    """Where ``.env.test`` is: beside the ini file, or where pytest was called."""
    called = Path(config.invocation_params.dir)
    return called if (called / ".env.test").is_file() else Path(config.rootpath)


def run_of(config: pytest.Config) -> Run:
    """The process's run. Made here when the plugin is switched off and its fixtures were imported by hand."""
    run = config.stash.get(KEY, None)
    if run is None:
        run = config.stash[KEY] = Run.of(config)
        config.add_cleanup(run.close)
    return run
