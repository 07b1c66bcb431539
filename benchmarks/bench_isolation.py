"""What a namespace of its own costs a test: the wait for it, and the whole turn, for every service."""

from __future__ import annotations

import asyncio
import logging
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import asyncpg

from benchmarks.common import Section, machine, table
from test_framework.endpoints import ClickHouseEndpoint, Endpoints, PostgresEndpoint, RedisEndpoint
from test_framework.environment import Broker, Identity, IsolationOptions, Lease
from test_framework.seeding import build_plan, seed_all
from test_framework.services.clickhouse.client import ClickHouseClient
from test_framework.services.postgres.transaction import IsolatedConnection
from test_framework.services.redis.isolated import make_client
from test_framework.settings import load_settings
from tests.servers import data_directory, run_clickhouse, run_postgres, run_redis

N = 200
PAUSE = 0.03
P95 = "p95 ≤ 2"
Turn = Callable[[Broker, str], Awaitable[Lease]]


async def write_postgres(lease: Lease) -> None:
    assert isinstance(lease.endpoint, PostgresEndpoint)
    connection = await asyncpg.connect(lease.endpoint.dsn)
    await connection.execute("INSERT INTO users (email) VALUES ('a@new.example')")
    assert await connection.fetchval("SELECT count(*) FROM users WHERE email = 'a@new.example'") == 1
    await connection.close()


async def read_postgres(lease: Lease) -> None:
    assert isinstance(lease.endpoint, PostgresEndpoint)
    connection = await asyncpg.connect(lease.endpoint.dsn)
    assert await connection.fetchval("SELECT count(*) FROM users") > 0
    await connection.close()


async def write_clickhouse(lease: Lease) -> None:
    assert isinstance(lease.endpoint, ClickHouseEndpoint)
    client = ClickHouseClient(lease.endpoint, 30)
    await client.execute("INSERT INTO user_events (event_type) VALUES ('mine')", database=lease.name)
    client.close()


async def read_clickhouse(lease: Lease) -> None:
    assert isinstance(lease.endpoint, ClickHouseEndpoint)
    client = ClickHouseClient(lease.endpoint, 30)
    await client.execute("SELECT count() FROM user_events", database=lease.name)
    client.close()


async def new_redis_client(lease: Lease) -> None:
    assert isinstance(lease.endpoint, RedisEndpoint)
    async with make_client(lease.endpoint) as client:
        assert await client.incr("n") == 1


class KeptClient:
    """A client that is kept for the number it was opened on."""

    def __init__(self) -> None:
        self._clients: dict[str, object] = {}

    async def __call__(self, lease: Lease) -> None:
        assert isinstance(lease.endpoint, RedisEndpoint)
        if lease.name not in self._clients:
            self._clients[lease.name] = make_client(lease.endpoint, kept=True)
        assert await self._clients[lease.name].incr("n") == 1  # type: ignore[attr-defined]


async def turns(
    broker: Broker, service: str, work: Callable[[Lease], Awaitable[None]] | None, pause: float, count: int
) -> tuple[float, float, float, int]:
    """Milliseconds: median and 95th percentile of the wait, and the mean of a whole turn without the pause; hits."""
    waits, hits = [], 0
    started = time.perf_counter()
    for _ in range(count):
        asked = time.perf_counter()
        lease = await broker.aacquire(service)
        waits.append((time.perf_counter() - asked) * 1000)
        hits += lease.pool_hit
        if work is not None:
            await work(lease)
        if pause:
            await asyncio.sleep(pause)
        await broker.arelease(lease)
    whole = (time.perf_counter() - started) / count * 1000 - pause * 1000
    waits.sort()
    return statistics.median(waits), waits[int(count * 0.95) - 1], whole, hits


async def transactions(endpoint: PostgresEndpoint, *, savepoints: bool) -> float:
    """Milliseconds of one test in a transaction on a kept connection: begin, insert, count, roll back."""
    connection = await IsolatedConnection.open(endpoint, timeout=10, savepoints=savepoints)
    each = []
    for _ in range(N):
        started = time.perf_counter()
        await connection.begin()
        await connection.execute("INSERT INTO users (email) VALUES ($1)", "a@new.example")
        await connection.fetchval("SELECT count(*) FROM users WHERE email = $1", "a@new.example")
        await connection.rollback()
        each.append((time.perf_counter() - started) * 1000)
    await connection.aclose()
    return statistics.median(each)


async def measure_all(endpoints: Endpoints) -> Iterator[Section]:
    rows: list[list[object]] = []

    def row(name: str, found: tuple[float, float, float, int], count: int, aim: str = "") -> None:
        rows.append([name, *(f"{value:.2f}" for value in found[:3]), f"{found[3]}/{count}", aim])

    for run in ("first run", "second run"):
        broker = Broker(endpoints, Identity(run_id="b" * 16))
        broker.warm(("postgres", "redis", "clickhouse"))  # as pytest does when it has collected
        kept = KeptClient()
        row(f"{run}: PostgreSQL, tests of 30 ms", await turns(broker, "postgres", write_postgres, PAUSE, N), N, P95)
        row(f"{run}: PostgreSQL, back to back", await turns(broker, "postgres", write_postgres, 0, N), N, "turn ≤ 20")
        row(f"{run}: PostgreSQL, back to back, reading only", await turns(broker, "postgres", read_postgres, 0, N), N)
        row(f"{run}: Redis, kept client", await turns(broker, "redis", kept, 0, N), N, "turn ≤ 0.6")
        row(f"{run}: Redis, client per test", await turns(broker, "redis", new_redis_client, 0, N), N, "turn ≤ 1.8")
        row(
            f"{run}: ClickHouse, tests of 30 ms",
            await turns(broker, "clickhouse", write_clickhouse, PAUSE, 60),
            60,
            P95,
        )
        for what, work, aim in (
            ("an insert", write_clickhouse, ""),
            ("reading only", read_clickhouse, ""),
            ("the lease alone", None, "turn ≤ 3"),
        ):
            found = await turns(broker, "clickhouse", work, 0, N)
            row(f"{run}: ClickHouse, back to back, {what}", found, N, aim)
        broker.close()
    broker = Broker(endpoints, Identity(run_id="c" * 16), options=IsolationOptions(pool_size=0, reuse_untouched=False))
    row("without a pool: ClickHouse", await turns(broker, "clickhouse", None, 0, 40), 40, "turn ≤ 15")
    row("without a pool: PostgreSQL", await turns(broker, "postgres", None, 0, 40), 40)
    home = (await broker.aacquire("postgres")).endpoint
    assert isinstance(home, PostgresEndpoint)
    plain, safe = await transactions(home, savepoints=False), await transactions(home, savepoints=True)
    broker.close()
    header = ["case", "wait median ms", "wait p95 ms", "whole turn ms", "ready", "aim"]
    body = (
        f"{machine()}. A turn is lease, work (one insert, or one key), connection included, and hand back; a pause is"
        f" not counted.\n\n{table(header, rows)}\n\nOne test in a transaction on a kept connection (begin, insert,"
        f" count, roll back), median of {N}: {plain:.2f} ms; with a savepoint behind each statement {safe:.2f} ms."
    )
    return iter([Section("Isolation: a namespace per test", body)])


def measure() -> Iterator[Section]:
    """On servers of our own, so that nothing else is going on there."""
    logging.getLogger("test_framework").setLevel(logging.ERROR)
    with ExitStack() as stack:

        def directory(name: str) -> Path:
            return stack.enter_context(data_directory(name))

        endpoints = Endpoints(
            postgres=stack.enter_context(run_postgres(directory("postgres"))),
            redis=stack.enter_context(run_redis(directory("redis"))),
            clickhouse=stack.enter_context(run_clickhouse(directory("clickhouse"))),
        )
        settings = replace(load_settings(Path("/nonexistent"), {}), endpoints=endpoints)
        asyncio.run(seed_all(endpoints, build_plan(settings), timeout=60))
        yield from asyncio.run(measure_all(endpoints))
