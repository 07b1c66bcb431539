"""One probe of each server: what a healthy one says, and how the kinds of trouble are told apart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import pytest

from test_framework.endpoints import ClickHouseEndpoint, Endpoints, PostgresEndpoint, RedisEndpoint, Secret
from test_framework.services.base import Health, Service
from test_framework.services.registry import SERVICES, service_named
from tests.servers import free_port

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
def endpoints(
    postgres_server: PostgresEndpoint, redis_server: RedisEndpoint, clickhouse_server: ClickHouseEndpoint
) -> Endpoints:
    return Endpoints(postgres=postgres_server, redis=redis_server, clickhouse=clickhouse_server)


def moved(service: Service, **changes: object) -> Endpoints:
    """Endpoints of which one is somewhere else."""
    return replace(Endpoints(), **{service.name: replace(getattr(Endpoints(), service.name), **changes)})  # type: ignore[arg-type]  # field by name


@asynccontextmanager
async def listener(handler: Handler) -> AsyncIterator[int]:
    """A server on a port of its own that is none of ours."""
    writers: list[asyncio.StreamWriter] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with suppress(OSError):
            await handler(reader, writer)

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accept, and never answer."""
    del writer
    await reader.read()


async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer with something that belongs to no protocol of ours."""
    writer.write(b"SSH-2.0-OpenSSH_9.2\r\n" * 50)
    await writer.drain()
    await reader.read(1)


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.close()


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
async def test_a_healthy_server_says_its_version_memory_and_connections(endpoints: Endpoints, service: Service) -> None:
    probe = await service.probe(endpoints, 5.0)
    assert (probe.health, probe.problem, probe.service) == (Health.HEALTHY, None, service.name)
    assert probe.version and probe.version[0].isdigit()
    assert probe.memory_bytes and probe.memory_bytes > 500_000
    assert probe.connections is not None and probe.connections >= (0 if service.name == "clickhouse" else 1)
    assert probe.latency_ms is not None and probe.latency_ms > 0


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
@pytest.mark.parametrize("password", ["", "wrong-canary-0815"])
async def test_credentials_that_are_refused_are_told_apart_and_never_shown(
    endpoints: Endpoints, service: Service, password: str
) -> None:
    wrong = replace(getattr(endpoints, service.name), password=Secret(password))
    probe = await service.probe(replace(endpoints, **{service.name: wrong}), 5.0)
    assert probe.health is Health.REFUSED
    assert "canary" not in repr(probe)


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
async def test_nobody_there_is_unreachable(service: Service) -> None:
    probe = await service.probe(moved(service, host="127.0.0.1", port=free_port()), 5.0)
    assert (probe.health, probe.latency_ms) == (Health.UNREACHABLE, None)


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
async def test_a_name_that_does_not_resolve_is_unreachable(service: Service) -> None:
    assert (await service.probe(moved(service, host="no-such-host.invalid"), 5.0)).health is Health.UNREACHABLE


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
async def test_a_server_that_accepts_and_says_nothing_is_unresponsive_when_the_time_is_up(service: Service) -> None:
    async with listener(silence) as port, asyncio.timeout(5.0):
        probe = await service.probe(moved(service, host="127.0.0.1", port=port), 0.3)
    assert (probe.health, probe.problem) == (Health.UNRESPONSIVE, "no answer within 0.3 s")


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
@pytest.mark.parametrize("handler", [babble, hang_up])
async def test_something_else_on_the_port_is_never_healthy_and_never_an_exception(
    service: Service, handler: Handler
) -> None:
    async with listener(handler) as port:
        probe = await service.probe(moved(service, host="127.0.0.1", port=port), 2.0)
    assert probe.health in (Health.FAILED, Health.UNREACHABLE, Health.UNRESPONSIVE) and probe.problem


async def test_postgres_is_asked_where_the_role_may_enter(endpoints: Endpoints) -> None:
    missing = replace(endpoints.postgres, database="nowhere")
    assert (await service_named("postgres").probe(replace(endpoints, postgres=missing), 5.0)).health is Health.HEALTHY


def test_services_are_found_by_either_name() -> None:
    assert [service_named(f"test-{service.name}") for service in SERVICES] == list(SERVICES)
