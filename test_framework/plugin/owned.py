"""What one test owns, bound to pytest's item: made by the first fixture that needs it, given back after the last."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, cast

import pytest

from test_framework.errors import FrameworkError
from test_framework.plugin.markers import isolation_of, redis_is_guarded
from test_framework.plugin.run import Run, run_of
from test_framework.plugin.service import SERVICE_FIXTURES, OwnService, is_elsewhere

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from test_framework.endpoints import ClickHouseEndpoint, PostgresEndpoint, RedisEndpoint
    from test_framework.external.filesystem import FilesystemTestResource
    from test_framework.isolation.values import Lease
    from test_framework.manager.clickhouse import IsolatedClickHouse
    from test_framework.manager.connection import BridgedConnection
    from test_framework.manager.holdings import Holdings
    from test_framework.manager.services import RealServices

__all__ = ["NEEDS_DATABASE", "Owned", "failed_key", "kept_key", "owned_key"]

# pytest shows the user's line, not ours; --full-trace shows all.
__tracebackhide__ = True

# Through these others see the test's data, which they could not if it were in a transaction.
NEEDS_DATABASE = frozenset({"isolated_external_postgres", "postgres_dsn", "real_services"}) | SERVICE_FIXTURES

owned_key = pytest.StashKey["Owned"]()
failed_key = pytest.StashKey[bool]()
kept_key = pytest.StashKey[list[str]]()


class Owned:
    """The namespaces and clients of one test, whichever fixtures lead to them."""

    def __init__(self, item: pytest.Item) -> None:
        self._item = item
        self._run: Run = run_of(item.config)
        self._end: Callable[[], None] = lambda: None
        self.services: list[str] = []

    def require(self, service: str) -> None:
        """Skip or fail the test unless ``service`` can be used. Raises what ``Availability.require`` raises."""
        self._run.availability.require(service)
        if service not in self.services:
            self.services.append(service)

    @cached_property
    def holdings(self) -> Holdings:
        from test_framework.manager.access import lend_manager
        from test_framework.manager.holdings import Holdings, Wishes

        asked, options = isolation_of(self._item), self._run.options
        names = set(getattr(self._item, "fixturenames", ()))
        seen = sorted(name for name in names & NEEDS_DATABASE if not is_elsewhere(name, self._run.settings))
        if asked.mode == "transaction" and seen and seen != ["real_services"]:
            raise FrameworkError(
                f"{self._item.nodeid} is marked for a transaction and takes {', '.join(seen)}",
                cause="other connections do not see what happens in a transaction",
                fix="remove the marker or the fixture",
            )
        mode = asked.mode or ("database" if seen else options.postgres_isolation)
        wishes = Wishes(
            owner=self._item.nodeid,
            transaction=mode == "transaction",
            savepoints=options.postgres_savepoints if asked.savepoints is None else asked.savepoints,
            redis_seed="real_services" in names,
            guarded=redis_is_guarded(self._item),
            lease_timeout=options.lease_timeout,
        )
        made = Holdings(self._run.clients, wishes)
        self._end = lend_manager(lambda: self.manager)
        return made

    @property
    def leases(self) -> list[Lease]:
        """What is held now."""
        return self.holdings.leases if "holdings" in self.__dict__ else []

    def connection(self) -> BridgedConnection:
        self.require("postgres")
        return self.holdings.connection()

    def postgres(self) -> PostgresEndpoint:
        self.require("postgres")
        return self.holdings.postgres()

    def redis(self) -> Redis:
        self.require("redis")
        return self.holdings.redis()

    def redis_lease(self) -> Lease:
        self.require("redis")
        return self.holdings.lease("redis")

    def redis_endpoint(self) -> RedisEndpoint:
        return cast("RedisEndpoint", self.redis_lease().endpoint)

    def clickhouse(self) -> IsolatedClickHouse:
        self.require("clickhouse")
        return self.holdings.clickhouse()

    def clickhouse_endpoint(self) -> ClickHouseEndpoint:
        self.require("clickhouse")
        return self.holdings.clickhouse_endpoint()

    @cached_property
    def manager(self) -> RealServices:
        from test_framework.manager.services import RealServices

        config = self._run.services_config
        return RealServices(self.holdings, replace(config, serve=lambda: self.service))

    @cached_property
    def service(self) -> OwnService:
        """The application that the test speaks to; started when its address is asked for."""
        return OwnService(self._run, self)

    @cached_property
    def files(self) -> FilesystemTestResource:
        """The test's directory; made when it is asked for."""
        from test_framework.external.filesystem import FilesystemTestResource

        return FilesystemTestResource(name="files").start()

    def sections(self) -> list[tuple[str, str]]:
        """Titles and texts for the report of the test, if it fails."""
        return self.service.sections() if "service" in self.__dict__ else []

    def close(self) -> None:
        """Give everything back; what a failed test may keep stays, and the lines that lead there go into its report."""
        try:
            if "service" in self.__dict__:
                self.service.close()
        finally:
            self._close_holdings()

    def _close_holdings(self) -> None:
        from test_framework.plugin.keeping import connect_line, directory_line

        files: FilesystemTestResource | None = self.__dict__.get("files")
        failed = self._item.stash.get(failed_key, False)
        keep = failed and bool(self.leases or files) and self._run.may_keep()
        lines = [directory_line(files.path)] if keep and files else []
        if "holdings" in self.__dict__:
            self._end()
            lines += [connect_line(lease.endpoint) for lease in self.holdings.close(keep=keep)]
        if files is not None:
            files.close(keep=keep)
        self._item.stash[kept_key] = lines
