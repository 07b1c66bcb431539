"""How one environment comes up: all of it at once, and down in reverse, whatever happens to the test meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from test_framework.endpoints import RedisEndpoint
from test_framework.environments.finishing import to_the_end
from test_framework.environments.resources import TestEnvironment, services_of
from test_framework.external.application import Application
from test_framework.external.backing import Backing
from test_framework.external.filesystem import FilesystemTestResource
from test_framework.external.http import HttpResource, HttpTimeouts
from test_framework.external.llm import LlmTestResource
from test_framework.external.serving import astart_service
from test_framework.external.websocket_resource import WebSocketTestResource
from test_framework.manager.holdings import Clients, Holdings, Wishes
from test_framework.performance.monitor import PerformanceMonitor
from test_framework.settings import Settings

__all__ = ["Tools", "build"]


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What environments are made with.

    Args:
        application: gives what is served as ``http``; asked when the first environment has it.
        app_services: the servers that it needs.
        make_llm: a language model for the test of that name.
        files: where directories of tests are made; ``None``: the system's place.
        lease_timeout: seconds to wait for a namespace; ``None``: what the broker thinks right.
    """

    settings: Settings
    clients: Clients
    application: Callable[[], Application]
    app_services: tuple[str, ...]
    make_llm: Callable[[str], LlmTestResource]
    files: Path | None = None
    lease_timeout: float | None = None


@dataclass
class _Site:
    """One environment being built. What is made is registered on ``stack`` before anything else happens."""

    tools: Tools
    name: str
    stack: AsyncExitStack
    made: TestEnvironment = field(default_factory=TestEnvironment)

    async def service(self, holdings: Holdings) -> None:
        """The application on these very namespaces, and a client of it."""
        tools, settings = self.tools, self.tools.settings
        url, auth = settings.backend_service_url, settings.auth_service_url
        if url is None:
            backing = _backing(holdings, tools)
            running = await astart_service(tools.application(), backing, timeout=settings.startup_timeout)
            self.stack.push_async_callback(running.astop)
            url = running.url
        timeouts = HttpTimeouts(connect=settings.connection_timeout, answer=settings.query_timeout)
        client = HttpResource(url, auth_url=auth, timeouts=timeouts)
        self.stack.push_async_callback(client.aclose)
        self.made["http"] = client

    async def websocket(self) -> None:
        resource = WebSocketTestResource()
        self.stack.push_async_exit(resource.__aexit__)
        # Cancelled on the way, a server would listen that nobody knows of.
        self.made["websocket"] = await to_the_end(resource.start())

    def filesystem(self) -> None:
        resource = FilesystemTestResource(self.tools.files)
        self.stack.push_async_exit(resource.__aexit__)
        self.made["filesystem"] = resource.start()

    def llm(self) -> None:
        resource = self.tools.make_llm(self.name)
        self.stack.push_async_exit(resource.__aexit__)
        self.made["llm"] = resource


async def build(tools: Tools, name: str, wanted: tuple[str, ...], stack: AsyncExitStack) -> TestEnvironment:
    """Make all that is ``wanted``; ``stack`` undoes it, also when this fails half-way."""
    site = _Site(tools, name, stack)
    elsewhere = tools.settings.backend_service_url is not None
    services = services_of(wanted, () if elsewhere else tools.app_services)
    holdings = Holdings(tools.clients, Wishes(owner=name, lease_timeout=tools.lease_timeout))
    stack.callback(holdings.close)
    if "filesystem" in wanted:
        site.filesystem()
    if "llm" in wanted:
        site.llm()
    if "monitor" in wanted:
        site.made["monitor"] = PerformanceMonitor()

    async def with_databases() -> None:
        await holdings.acquire(services)
        if "http" in wanted:
            await site.service(holdings)

    await _together(with_databases(), *([site.websocket()] if "websocket" in wanted else []))
    if "database" in wanted:
        site.made["database"] = holdings.connection()
    if "redis" in wanted:
        site.made["redis"] = holdings.redis()
    if "clickhouse" in wanted:
        site.made["clickhouse"] = holdings.clickhouse()
    return site.made


async def _together(*work: Coroutine[Any, Any, None]) -> None:
    """All at once; when one fails the others are waited for, so that nothing comes up behind the clean-up's back."""
    for outcome in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


def _backing(holdings: Holdings, tools: Tools) -> Backing:
    services = tools.app_services
    lease = holdings.lease("redis") if "redis" in services else None
    return Backing(
        postgres=holdings.postgres() if "postgres" in services else None,
        redis=cast(RedisEndpoint, lease.endpoint) if lease else None,
        clickhouse=holdings.clickhouse_endpoint() if "clickhouse" in services else None,
        redis_key_prefix=(lease.key_prefix or "") if lease else "",
        jwt_secret=tools.settings.jwt_secret,
    )
