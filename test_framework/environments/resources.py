"""What an environment holds, by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from test_framework.errors import SettingsError

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from test_framework.external.filesystem import FilesystemTestResource
    from test_framework.external.http import HttpResource
    from test_framework.external.llm import LlmTestResource
    from test_framework.external.websocket_resource import WebSocketTestResource
    from test_framework.manager.clickhouse import IsolatedClickHouse
    from test_framework.manager.connection import BridgedConnection
    from test_framework.performance.monitor import PerformanceMonitor

__all__ = ["KINDS", "RESOURCES", "TestEnvironment", "checked", "services_of"]

RESOURCES = ("database", "redis", "clickhouse", "websocket", "http", "filesystem", "llm")
SERVICES = ("postgres", "redis", "clickhouse")
_SERVICE_OF = {"database": "postgres", "redis": "redis", "clickhouse": "clickhouse"}

# What the environments of these names hold.
KINDS: Mapping[str, tuple[str, ...]] = {
    "comprehensive": RESOURCES,
    "auth_service": ("database", "redis", "http"),
    "websocket": ("database", "redis", "websocket", "http"),
    "analytics": ("clickhouse", "filesystem"),
    "performance": ("database", "redis", "clickhouse", "http", "monitor"),
}
_ALL = (*RESOURCES, "monitor")


class TestEnvironment(dict[str, Any]):
    """A dict of resources, whose entries are attributes too: ``env["redis"]`` is ``env.redis``."""

    __test__ = False  # not a test class, whatever its name looks like

    database: BridgedConnection
    redis: Redis
    clickhouse: IsolatedClickHouse
    websocket: WebSocketTestResource
    http: HttpResource
    filesystem: FilesystemTestResource
    llm: LlmTestResource
    monitor: PerformanceMonitor

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"this environment has no {name}; it has {', '.join(self)}") from None


def checked(names: Iterable[str]) -> tuple[str, ...]:
    """``names``, each once.

    Raises:
        SettingsError: one is no resource.
    """
    found = tuple(dict.fromkeys(names))
    for name in found:
        if name not in _ALL:
            raise SettingsError(f"{name!r} is no resource of an environment", fix=f"use some of {', '.join(_ALL)}")
    return found


def services_of(names: Iterable[str], app_services: Iterable[str] = SERVICES) -> tuple[str, ...]:
    """The servers that these resources need; ``http`` needs those of the application behind it."""
    wanted = {_SERVICE_OF[name] for name in names if name in _SERVICE_OF}
    if "http" in names:
        wanted |= set(app_services)
    return tuple(name for name in SERVICES if name in wanted)
