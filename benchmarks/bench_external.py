"""How long a test waits for the service and the WebSocket server that it speaks to, and for their end."""

from __future__ import annotations

import asyncio
import secrets
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace

from benchmarks.common import Section, machine, table
from test_framework.endpoints import Endpoints, Secret
from test_framework.environment import Broker, Identity
from test_framework.external.application import reference_application
from test_framework.external.backing import Backing
from test_framework.external.http import HttpResource
from test_framework.external.serving import astart_service, close_threads
from test_framework.external.websocket_resource import WebSocketTestResource
from tests.seeded_stack import seeded_stack
from tests.servers import data_directory, run_clickhouse, run_postgres, run_redis

ROUNDS = 60
AT_ONCE = 20


async def timed(action: Callable[[], Awaitable[object]]) -> float:
    """Milliseconds."""
    started = time.perf_counter()
    await action()
    return (time.perf_counter() - started) * 1000


def row(name: str, values: list[float]) -> tuple[str, str, str]:
    return name, f"{statistics.median(values):.1f}", f"{sorted(values)[int(len(values) * 0.95)]:.1f}"


async def service(backing: Backing) -> Iterator[tuple[str, str, str]]:
    """From the databases being there until the first answer has come."""
    application = reference_application()
    ready, answered, stopped = [], [], []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        running = await astart_service(application, backing)
        ready.append((time.perf_counter() - started) * 1000)
        async with HttpResource(running.url) as http:
            answered.append(await timed(lambda http=http: http.get("/openapi.json")))  # type: ignore[misc]
        stopped.append(await timed(running.astop))
    return iter(
        [
            row("reference service ready", ready),
            row("its first answer, connection included", answered),
            row("reference service stopped", stopped),
        ]
    )


async def leased(broker: Broker, secret: Secret) -> tuple[str, str, str]:
    """The same with leases: what a test that takes ``real_http_client`` waits for."""
    application, values = reference_application(), []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        leases = [await broker.aacquire(name) for name in ("postgres", "redis", "clickhouse")]
        postgres, redis, clickhouse = (lease.endpoint for lease in leases)
        backing = Backing(postgres=postgres, redis=redis, clickhouse=clickhouse, jwt_secret=secret)  # type: ignore[arg-type]
        running = await astart_service(application, backing)
        values.append((time.perf_counter() - started) * 1000)
        await running.astop()
        for lease in leases:
            await broker.arelease(lease)
    return row("three leases and the reference service on them", values)


async def at_once(backing: Backing) -> tuple[str, str, str]:
    application, values = reference_application(), []
    for _ in range(5):

        async def all_of_them() -> None:
            services = await asyncio.gather(*(astart_service(application, backing) for _ in range(AT_ONCE)))
            await asyncio.gather(*(each.astop() for each in services))

        values.append(await timed(all_of_them))
    return row(f"{AT_ONCE} reference services at once, up and down", values)


async def websocket() -> Iterator[tuple[str, str, str]]:
    ready, echoed, stopped = [], [], []
    for _ in range(ROUNDS):
        resource = WebSocketTestResource()
        ready.append(await timed(resource.start))

        async def echo(resource: WebSocketTestResource = resource) -> None:
            await resource.send_message({"n": 1})
            await resource.receive_message()

        echoed.append(await timed(echo))
        stopped.append(await timed(resource.aclose))
    return iter(
        [
            row("WebSocket server ready, client connected", ready),
            row("one message and its echo", echoed),
            row("WebSocket server and client closed", stopped),
        ]
    )


async def rows(endpoints: Endpoints) -> list[tuple[str, str, str]]:
    secret = Secret(secrets.token_hex(32))
    backing = Backing(
        postgres=endpoints.postgres,
        redis=replace(endpoints.redis, database=255),
        clickhouse=endpoints.clickhouse,
        jwt_secret=secret,
    )
    broker = Broker(endpoints, Identity(run_id=secrets.token_hex(8)))
    try:
        return [
            *await service(backing),
            await at_once(backing),
            await leased(broker, secret),
            *await websocket(),
        ]
    finally:
        await asyncio.to_thread(broker.close)


def measure() -> Iterator[Section]:
    with (
        data_directory("postgres") as one,
        data_directory("redis") as two,
        data_directory("clickhouse") as three,
        run_postgres(one) as postgres,
        run_redis(two) as redis,
        run_clickhouse(three) as clickhouse,
    ):
        found = asyncio.run(rows(seeded_stack(postgres, redis, clickhouse).endpoints))
        close_threads()
    text = f"{ROUNDS} rounds each; databases as in the tests of this project."
    body = table(("what", "median ms", "95 % within ms"), found)
    yield Section("External: service and WebSocket", f"{machine()}\n\n{text}\n\n{body}")


if __name__ == "__main__":
    for section in measure():
        print(f"## {section.title}\n\n{section.body}\n")
