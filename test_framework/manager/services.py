"""``real_services``: the manager through which a test, or a script, reaches all services of the stack."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from test_framework.endpoints import Endpoints, PostgresEndpoint
from test_framework.errors import ServiceUnavailable
from test_framework.manager.clickhouse import IsolatedClickHouse
from test_framework.manager.holdings import Holdings
from test_framework.settings import Settings
from test_framework.waiting import Deadline

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from test_framework.health import HealthReport

__all__ = ["PostgresAccess", "RealServices", "ServiceUrls", "ServicesConfig"]

# pytest shows the user's line, not ours; --full-trace shows all.
__tracebackhide__ = True

# What a probe gets when the time is up: even then every service shall say something.
_LAST_LOOK = 0.25


class ServiceUrls(Protocol):
    """Where the application under test is."""

    @property
    def auth_url(self) -> str: ...

    @property
    def url(self) -> str: ...

    @property
    def websocket_url(self) -> str: ...


@dataclass(frozen=True, kw_only=True)
class ServicesConfig:
    """Where everything is and how long things may take, in seconds.

    Args:
        serve: gives the application under test, which is started when one of its addresses is asked for; ``None``:
            there is only what the settings name.
    """

    endpoints: Endpoints
    connection_timeout: float
    query_timeout: float
    startup_timeout: float
    named: Mapping[str, str | None] = field(default_factory=dict)
    serve: Callable[[], ServiceUrls] | None = field(default=None, repr=False)

    @property
    def auth_service_url(self) -> str | None:
        """``TEST_AUTH_SERVICE_URL``; in a test, otherwise, that of the service on the test's own databases."""
        return self.serve().auth_url if self.serve else self.named.get("auth")

    @property
    def backend_service_url(self) -> str | None:
        """``TEST_BACKEND_SERVICE_URL``; in a test, otherwise, that of the service on the test's own databases."""
        return self.serve().url if self.serve else self.named.get("backend")

    @property
    def websocket_url(self) -> str | None:
        """``TEST_WEBSOCKET_URL``; in a test, otherwise, that of the service on the test's own databases."""
        return self.serve().websocket_url if self.serve else self.named.get("websocket")

    @classmethod
    def of(cls, settings: Settings, endpoints: Endpoints) -> ServicesConfig:
        """What ``settings`` say, for the stack at ``endpoints``."""
        return cls(
            endpoints=endpoints,
            named={
                "auth": settings.auth_service_url,
                "backend": settings.backend_service_url,
                "websocket": settings.websocket_url,
            },
            connection_timeout=settings.connection_timeout,
            query_timeout=settings.query_timeout,
            startup_timeout=settings.startup_timeout,
        )


class PostgresAccess:
    """PostgreSQL in the owner's own isolation."""

    def __init__(self, holdings: Holdings, config: ServicesConfig) -> None:
        self._holdings = holdings
        self._config = config

    @property
    def endpoint(self) -> PostgresEndpoint:
        """The database of the owner's own. Acquires it."""
        return self._holdings.postgres()

    @property
    def dsn(self) -> str:
        """Its address with the password in clear, for any driver."""
        return self.endpoint.dsn

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """A connection: asyncpg's own, in the running loop, closed at the end of the block.

        Several can be open at once and see what the others committed. For a test that is isolated by a transaction
        it is that transaction every time, and nothing is closed.
        """
        if self._holdings.in_transaction:
            yield self._holdings.connection()
            return
        from test_framework.services.postgres.client import ask, connect

        endpoint, timeout = self.endpoint, self._config.connection_timeout
        opened = connect(endpoint, timeout=timeout, query_timeout=self._config.query_timeout, application="test")
        connection = await ask(endpoint, timeout, opened.__aenter__)
        try:
            yield connection
        finally:
            await opened.__aexit__(None, None, None)


class RealServices:
    """The manager. Nothing is opened or acquired before it is asked for.

    In a test, all that it leads to is the test's own, shared with its other fixtures. Outside of pytest it is the
    process's own. Either way it begins with the seeded rows, keys and tables.
    """

    def __init__(
        self, holdings: Holdings, config: ServicesConfig, *, on_close: Callable[[], None] = lambda: None
    ) -> None:
        self._holdings = holdings
        self._on_close = on_close
        self.config = config
        self.postgres = PostgresAccess(holdings, config)

    @property
    def redis(self) -> Redis:
        """A client with decoded responses, on the owner's own Redis database."""
        return self._holdings.redis()

    @property
    def clickhouse(self) -> IsolatedClickHouse:
        """A client of the owner's own ClickHouse database."""
        return self._holdings.clickhouse()

    async def ensure_all_services_available(
        self, services: Sequence[str] = ("postgres", "redis", "clickhouse"), *, timeout: float | None = None
    ) -> HealthReport:
        """Wait until every service answers, is seeded and belongs to the same stack.

        Args:
            services: names of those that matter.
            timeout: seconds for all of it; ``None``: ``TEST_SERVICE_STARTUP_TIMEOUT``.

        Raises:
            ServiceUnavailable: ``timeout`` passed; the message says for each service what it answered last.
        """
        import tenacity

        from test_framework.health import probe_all
        from test_framework.services.registry import service_named

        deadline = Deadline.after(self.config.startup_timeout if timeout is None else timeout)
        wanted = tuple(service_named(name) for name in services)

        async def probe() -> HealthReport:
            patience = min(max(deadline.remaining, _LAST_LOOK), self.config.connection_timeout)
            return await probe_all(self.config.endpoints, timeout=patience, services=wanted)

        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_result(lambda report: not report.healthy and not _refused(report)),
            stop=lambda _: deadline.expired,
            wait=tenacity.wait_random_exponential(multiplier=0.1, max=1.0),
            retry_error_callback=_last_result,
        )
        report: HealthReport = await retrying(probe)
        if not report.healthy:
            raise _unavailable(report, deadline.seconds)
        return report

    async def reset_all_data(self) -> None:
        """Put everything that the owner holds back to the seed, whatever was done to it. Addresses stay the same.

        Connections that are open to it are closed.
        """
        await self._holdings.reset()

    async def aclose(self) -> None:
        """Give everything back. A test's manager need not be closed: its fixture does that."""

        def work() -> None:
            self._holdings.close()
            self._on_close()

        await asyncio.to_thread(work)


def _last_result(state: Any) -> Any:
    """Out of time: what the last probe said is what is reported."""
    return state.outcome.result()


def _refused(report: HealthReport) -> bool:
    """Waiting longer cannot help against wrong credentials."""
    from test_framework.services.base import Health

    return any(reading.probe.health is Health.REFUSED for reading in report.readings)


def _unavailable(report: HealthReport, limit: float) -> ServiceUnavailable:
    answers = []
    for reading in report.readings:
        probe = reading.probe
        seeded = "" if probe.seed or probe.problem else ", not seeded"
        answers.append(f"{probe.service} at {probe.address}: {probe.problem or probe.health.value}{seeded}")
    problems = report.problems
    return ServiceUnavailable(
        f"the services are not available after {limit:g} s ({report.status.value})",
        service=f"test-{problems[0].service}" if problems and problems[0].service else "stack",
        cause="; ".join(answers),
        fix=problems[0].fix if problems else "make test-status",
    )
