"""The application that one test speaks to: on the test's own databases, or one that somebody else runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from test_framework.endpoints import Endpoints
from test_framework.errors import FrameworkError
from test_framework.plugin.exports import url_variables

if TYPE_CHECKING:
    from test_framework.external.backing import Backing
    from test_framework.external.http import HttpResource
    from test_framework.external.serving import RunningService
    from test_framework.external.websocket import WebSocketClient
    from test_framework.plugin.owned import Owned
    from test_framework.plugin.run import Run
    from test_framework.settings import Settings

__all__ = ["SERVICE_FIXTURES", "OwnService", "is_elsewhere", "require_face"]

# pytest shows the user's line, not ours; --full-trace shows all.
__tracebackhide__ = True

# What leads to the service, and by which of its faces.
_FACES = {
    "real_http_client": "http",
    "service_url": "http",
    "real_websocket_client": "websocket",
    "websocket_url": "websocket",
}
SERVICE_FIXTURES = frozenset(_FACES)
_VARIABLES = {"http": "TEST_BACKEND_SERVICE_URL", "websocket": "TEST_WEBSOCKET_URL", "auth": "TEST_AUTH_SERVICE_URL"}


def _named(face: str, settings: Settings) -> tuple[str, str] | None:
    """Variable and address of a running service, where the settings name one for this face."""
    given = {
        "http": settings.backend_service_url,
        "websocket": settings.websocket_url,
        "auth": settings.auth_service_url,
    }
    # Whoever names the backend and nothing else means all of it.
    for name in (face, "http"):
        if url := given[name]:
            return _VARIABLES[name], url.rstrip("/")
    return None


def is_elsewhere(fixture: str, settings: Settings) -> bool:
    """Whether ``fixture`` leads to a service that somebody else runs, with databases that are not the test's."""
    return fixture in _FACES and _named(_FACES[fixture], settings) is not None


def require_face(run: Run, face: str) -> None:
    """Return if a test may speak to the service by ``face``; otherwise skip it, or raise.

    Raises:
        ServiceUnavailable: it cannot, and must.
    """
    named = _named(face, run.settings)
    if named is not None:
        run.availability.require_address(*named)
        return
    for service in run.options.app_services:
        run.availability.require(service)


class OwnService:
    """Started when the first address is asked for, stopped before the test's databases are given back.

    Attributes:
        setenv: sets a variable for the rest of the test; ``None``: they are set while the application starts.
    """

    def __init__(self, run: Run, owned: Owned) -> None:
        self._run = run
        self._owned = owned
        self._running: RunningService | None = None
        self._clients: list[HttpResource] = []
        self.setenv: Callable[[str, str], None] | None = None

    @property
    def url(self) -> str:
        """``http://127.0.0.1:port``, or what ``TEST_BACKEND_SERVICE_URL`` says."""
        return self._somebodys("http") or self.start().url

    @property
    def auth_url(self) -> str:
        """Where to sign up and in: the same, or what ``TEST_AUTH_SERVICE_URL`` says."""
        return self._somebodys("auth") or self.url

    @property
    def websocket_url(self) -> str:
        """``ws://127.0.0.1:port``, or what ``TEST_WEBSOCKET_URL`` says."""
        found = self._somebodys("websocket") or self.start().websocket_url
        return found.replace("http", "ws", 1) if found.startswith("http") else found

    def _somebodys(self, face: str) -> str | None:
        named = _named(face, self._run.settings)
        if named is None:
            return None
        self._run.availability.require_address(*named)
        return named[1]

    def start(self) -> RunningService:
        """Serve the application. Harmless twice.

        Raises:
            ApplicationError: it cannot be imported, or does not start.
        """
        if self._running is None:
            from test_framework.external.serving import start_service

            application = self._run.application
            backing = self._backing()
            variables = {} if application.shared_loop else self._variables(backing)
            if self.setenv is not None:
                for name, value in variables.items():
                    self.setenv(name, value)
                variables = {}
            timeout = self._run.settings.startup_timeout
            self._running = start_service(application, backing, timeout=timeout, variables=variables)
        return self._running

    def _backing(self) -> Backing:
        from test_framework.external.backing import Backing

        services, owned = self._run.options.app_services, self._owned
        redis = owned.redis_lease() if "redis" in services else None
        if redis is not None and redis.key_prefix is not None and self._run.options.app:
            raise FrameworkError(
                "this Redis has too few databases for a number per test, so an application cannot be isolated there",
                cause=f"tests are told apart by key prefixes here; this one's is {redis.key_prefix}",
                fix="give the server more databases (256), or leave redis out of real_services_app_services",
            )
        return Backing(
            postgres=owned.postgres() if "postgres" in services else None,
            redis=owned.redis_endpoint() if redis is not None else None,
            clickhouse=owned.clickhouse_endpoint() if "clickhouse" in services else None,
            redis_key_prefix=(redis.key_prefix or "") if redis is not None else "",
            jwt_secret=self._run.settings.jwt_secret,
        )

    def _variables(self, backing: Backing) -> Mapping[str, str]:
        """What the application reads: the usual names, and those of ``real_services_env`` with their schemes."""
        base = self._run.endpoints
        mine = Endpoints(
            postgres=backing.postgres or base.postgres,
            redis=backing.redis or base.redis,
            clickhouse=backing.clickhouse or base.clickhouse,
        )
        wanted = [each for each in self._run.options.exports if each.service in self._run.options.app_services]
        return {**backing.variables(), **url_variables(mine, wanted)}

    def http(self) -> HttpResource:
        """A client of it."""
        from test_framework.external.http import HttpResource, HttpTimeouts

        settings = self._run.settings
        timeouts = HttpTimeouts(connect=settings.connection_timeout, answer=settings.query_timeout)
        client = HttpResource(self.url, auth_url=self.auth_url, timeouts=timeouts)
        self._clients.append(client)
        return client

    def websocket(self) -> WebSocketClient:
        """A client of it, not yet connected."""
        from test_framework.external.websocket import WebSocketClient

        return WebSocketClient(self.websocket_url, timeout=self._run.settings.connection_timeout)

    def sections(self) -> list[tuple[str, str]]:
        """What was asked, and what the application logged."""
        asked = "\n".join(text for client in self._clients if (text := client.log.text()))
        logged = self._running.log_tail() if self._running else ""
        return [(title, text) for title, text in (("http requests", asked), ("service log", logged)) if text]

    def close(self) -> None:
        """Stop it.

        Raises:
            ApplicationError: it failed while it shut down.
        """
        running, self._running = self._running, None
        if running is not None:
            running.stop()
