"""Whatever dies, and whenever: nothing is leaked, nothing of the living is touched, nothing is owned twice."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from test_framework.endpoints import ClickHouseEndpoint, PostgresEndpoint, RedisEndpoint, Secret
from test_framework.environment import Broker, Identity, ReapReport, reap
from test_framework.services.clickhouse.client import ClickHouseClient
from test_framework.services.reaping import live_sessions
from test_framework.services.redis.client import connect as connect_redis
from tests.seeded_stack import Stack, seeded_stack
from tests.servers import SUPERUSER_PASSWORD

ROOT = Path(__file__).resolve().parents[2]
LEDGER = "test_framework.services.postgres.ledger:PostgresLedger"
POSTGRES = "test_framework.services.postgres.isolation:PostgresClones"
CLICKHOUSE = "test_framework.services.clickhouse.isolation:ClickHouseClones"
REDIS = "test_framework.services.redis.isolation:RedisAdmin"
# Every step between wanting a namespace and having given it back.
KILL_POINTS = [
    f"{LEDGER}._begin:1:after",
    f"{LEDGER}.intend:1:after",
    f"{LEDGER}.intend:2:after",
    f"{LEDGER}.take:2:after",
    f"{LEDGER}.move:1:before",
    f"{LEDGER}.move:1:after",
    f"{LEDGER}.claim_number:1:after",
    f"{LEDGER}.forget:1:before",
    f"{LEDGER}.forget:2:after",
    f"{LEDGER}.close:1:before",
    f"{POSTGRES}.create:1:before",
    f"{POSTGRES}.create:2:after",
    f"{POSTGRES}.remember:1:after",
    f"{POSTGRES}.restore:1:before",
    f"{POSTGRES}.restore:2:after",
    f"{POSTGRES}.destroy:1:before",
    f"{POSTGRES}.destroy:1:after",
    f"{CLICKHOUSE}._clone:2:after",
    f"{CLICKHOUSE}.create:1:after",
    f"{CLICKHOUSE}.destroy:1:before",
    f"{REDIS}.claim:1:after",
    f"{REDIS}.empty:1:after",
]


@pytest.fixture(scope="module")
def stack(
    postgres_server: PostgresEndpoint, redis_server: RedisEndpoint, clickhouse_server: ClickHouseEndpoint
) -> Iterator[Stack]:
    """A seeded stack with an innocent database, key and table beside ours."""
    found = seeded_stack(postgres_server, redis_server, clickhouse_server)
    found.ask("CREATE DATABASE app_dev")
    found.ask("CREATE TABLE precious AS SELECT 42 AS v", database="app_dev")
    asyncio.run(plant(found))
    yield found
    found.ask("DROP DATABASE app_dev")
    asyncio.run(unplant(found))


async def plant(stack: Stack) -> None:
    async with connect_redis(replace(stack.endpoints.redis, database=199)) as client:
        await client.call("SET", "precious", "42")


async def unplant(stack: Stack) -> None:
    async with connect_redis(replace(stack.endpoints.redis, database=199)) as client:
        await client.call("DEL", "precious")


async def innocents(stack: Stack) -> list[Any]:
    """What was there before us and must stay."""
    async with connect_redis(replace(stack.endpoints.redis, database=199)) as client:
        key = await client.call("GET", "precious")
    return [*await stack.sql("SELECT v FROM precious", database="app_dev"), key]


async def leftovers(stack: Stack) -> dict[str, object]:
    """What of ours is in the three servers; ready databases, which belong to the pool, are not counted."""
    ready = {name for _, name, state in await stack.books() if state == "ready"}
    client = ClickHouseClient(stack.endpoints.clickhouse, 30)
    rows = await client.rows("SELECT name FROM system.databases WHERE name LIKE 'apes%'")
    client.close()
    async with connect_redis(stack.endpoints.redis) as redis:
        info = (await redis.call("INFO", "keyspace")).decode()
        numbers = await redis.call("HGETALL", "test-framework:numbers")
    used = {line.split(":")[0] for line in info.splitlines() if line.startswith("db")} - {"db0", "db199"}
    return {
        "postgres": await stack.databases() - ready,
        "clickhouse": {row[0] for row in rows} - ready,
        "redis": (used, numbers),
        "books": {row for row in await stack.books() if row[2] != "ready"},
        "sessions": await stack.sql("SELECT * FROM isolation.sessions"),
    }


NOTHING = {"postgres": set(), "clickhouse": set(), "redis": (set(), []), "books": set(), "sessions": []}


@contextlib.contextmanager
def worker(stack: Stack, **order: Any) -> Iterator[subprocess.Popen[str]]:
    """A process of its own; killed at the end if it still lives."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.isolation_worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        values = {"endpoints": stack.endpoints.as_dict(), "worker": "gw0", **order}
        process.stdin.write(json.dumps(values) + "\n")
        process.stdin.flush()
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    return dict(json.loads(process.stdout.readline()))


async def reap_until_clean(stack: Stack) -> ReapReport:
    """The server frees a dead process' lock a few milliseconds after its death."""
    for _ in range(100):
        report = await reap(stack.endpoints)
        assert report.failures == ()
        if not await stack.sql("SELECT * FROM isolation.sessions"):
            break
        await asyncio.sleep(0.05)
    return report


async def test_a_killed_worker_leaves_nothing_that_reap_does_not_reclaim(stack: Stack) -> None:
    await reap(stack.endpoints)
    with worker(stack, action="hold") as process:
        leases = (await asyncio.to_thread(answer, process))["leases"]
        assert (await reap(stack.endpoints)).total == 0  # it lives
        assert leases["postgres"] in await stack.databases()
        process.kill()
        process.wait()
    report = await reap_until_clean(stack)
    assert await leftovers(stack) == NOTHING
    assert report.sessions == 1
    assert dict(report.reclaimed).keys() >= {"postgres", "redis", "clickhouse"}
    assert await innocents(stack) == [(42,), b"42"]


async def test_the_next_session_reclaims_by_itself(stack: Stack) -> None:
    with worker(stack, action="hold") as process:
        await asyncio.to_thread(answer, process)
        process.kill()
        process.wait()
    await asyncio.sleep(0.2)
    broker = Broker(stack.endpoints, Identity(run_id="1" * 16))
    await broker.aacquire("redis")
    for _ in range(200):
        if len(await stack.sql("SELECT * FROM isolation.sessions")) == 1:
            break
        await asyncio.sleep(0.05)
    await asyncio.to_thread(broker.close)
    assert await leftovers(stack) == NOTHING


async def test_a_stopped_worker_is_alive_and_keeps_what_it_owns(stack: Stack) -> None:
    with worker(stack, action="hold") as process:
        leases = (await asyncio.to_thread(answer, process))["leases"]
        process.send_signal(signal.SIGSTOP)
        assert (await reap(stack.endpoints)).total == 0
        assert any("gw0" in each for each in await live_sessions(stack.endpoints, timeout=10))
        process.send_signal(signal.SIGCONT)
        rows = await stack.sql("SELECT count(*) FROM users WHERE email LIKE 'left%'", database=leases["postgres"])
        assert rows == [(1,)]
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
        assert await asyncio.to_thread(answer, process) == {"done": True}
    assert await leftovers(stack) == NOTHING


@pytest.mark.parametrize("point", KILL_POINTS, ids=lambda point: point.split(":", 1)[1].replace(":", "-"))
async def test_a_crash_at_any_step_leaks_nothing(stack: Stack, point: str) -> None:
    with worker(stack, action="cycle", die=point) as process:
        code = await asyncio.to_thread(process.wait, 60)
    assert code == -signal.SIGKILL  # the step was reached
    await reap_until_clean(stack)
    assert await leftovers(stack) == NOTHING
    assert await innocents(stack) == [(42,), b"42"]


async def test_any_number_of_reapers_may_work_at_once(stack: Stack) -> None:
    with contextlib.ExitStack() as workers:
        processes = [workers.enter_context(worker(stack, action="hold", worker=f"gw{n}")) for n in range(4)]
        for process in processes:
            await asyncio.to_thread(answer, process)
        for process in processes:
            process.kill()
            process.wait()
    await asyncio.sleep(0.3)
    reports = await asyncio.gather(*(reap(stack.endpoints) for _ in range(4)))
    assert [report.failures for report in reports] == [()] * 4
    assert sum(report.sessions for report in reports) == 4
    assert await leftovers(stack) == NOTHING


async def test_a_drop_that_was_interrupted_is_finished_by_the_reaper(stack: Stack) -> None:
    with worker(stack, action="hold") as process:
        name = (await asyncio.to_thread(answer, process))["leases"]["postgres"]
        process.kill()
        process.wait()
    admin = replace(stack.endpoints.postgres, user="postgres", password=Secret(SUPERUSER_PASSWORD), database="postgres")
    connection = await asyncpg.connect(admin.dsn)
    await connection.execute("UPDATE pg_database SET datconnlimit = -2 WHERE datname = $1", name)
    await connection.close()
    await reap_until_clean(stack)
    assert await leftovers(stack) == NOTHING


REAPER = "test_framework.services.reaping:_Reaper"


# Before and behind a drop, and between a drop and the books: the fourth question to them.
@pytest.mark.parametrize("point", ["_drop:1:before", "_ask:4:before", "_drop:1:after"])
async def test_what_a_killed_reaper_left_is_reclaimed_by_the_next(stack: Stack, point: str) -> None:
    with worker(stack, action="hold") as process:
        await asyncio.to_thread(answer, process)
        process.kill()
        process.wait()
    while await live_sessions(stack.endpoints, timeout=10):
        await asyncio.sleep(0.02)
    with worker(stack, action="reap", die=f"{REAPER}.{point}") as reaper:
        code = await asyncio.to_thread(reaper.wait, 60)
    assert code == -signal.SIGKILL  # the step was reached
    await reap_until_clean(stack)
    assert await leftovers(stack) == NOTHING
    assert await innocents(stack) == [(42,), b"42"]


async def test_a_database_with_our_prefix_that_the_ledger_does_not_know_is_never_dropped(stack: Stack) -> None:
    await stack.sql("CREATE DATABASE apes_test_gw0_deadbeef")
    try:
        await reap(stack.endpoints, kept=True)
        assert "apes_test_gw0_deadbeef" in await stack.databases()
    finally:
        await stack.sql("DROP DATABASE apes_test_gw0_deadbeef")


async def test_what_the_books_name_and_no_worker_can_have_made_is_told_and_left_alone(stack: Stack) -> None:
    foreign = [("postgres", "app_dev"), ("redis", "0"), ("redis", ""), ("redis", "cache:"), ("clickhouse", "default")]
    await stack.sql(
        "INSERT INTO isolation.sessions (id, run_id, worker_id, host, pid) VALUES (7, 'dead', 'gw9', 'x', 1)"
    )
    for service, name in foreign:
        await stack.sql(
            "INSERT INTO isolation.namespaces (service, name, template, worker_id, state, session_id)"
            " VALUES ($1, $2, 't', 'gw9', 'leased', 7)",
            service, name,
        )  # fmt: skip
    try:
        report = await reap(stack.endpoints)
        assert report.total == 0
        for service, name in foreign:
            assert any(f"{service} {name}, which no worker made" in each for each in report.failures)
        assert await innocents(stack) == [(42,), b"42"]
    finally:
        await stack.sql("DELETE FROM isolation.namespaces WHERE session_id = 7")
        await stack.sql("DELETE FROM isolation.sessions WHERE id = 7")


def held_twice(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Namespaces that were held by two at the same time."""
    spans: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for event in events:
        spans[event["service"], event["name"]].append((event["since"], event["until"]))
    twice = []
    for key, each in spans.items():
        each.sort()
        twice += [key for (_, end), (begin, _) in pairwise(each) if begin < end]
    return twice


def run_hammer(stack: Stack, processes: int, leases: int) -> list[dict[str, Any]]:
    with contextlib.ExitStack() as workers:
        running = [
            workers.enter_context(
                worker(stack, action="hammer", worker=f"gw{n // 2}", workers=processes // 2, leases=leases)
            )
            for n in range(processes)
        ]
        events = []
        for process in running:
            assert process.stdout is not None
            events += [json.loads(line) for line in process.stdout]
            assert process.wait() == 0
    return events


@pytest.mark.timeout(600)
@pytest.mark.parametrize("leases", [60, pytest.param(500, marks=pytest.mark.slow)])
async def test_no_lease_is_ever_handed_out_twice(stack: Stack, leases: int) -> None:
    # Two runs of four workers each, whose workers, process ids and hosts have the same names.
    events = await asyncio.to_thread(run_hammer, stack, 8, leases)
    assert [event for event in events if "shared" in event] == []
    assert len(events) == 8 * leases
    assert held_twice(events) == []
    assert await leftovers(stack) == NOTHING


async def test_a_session_survives_the_loss_of_its_connection(stack: Stack) -> None:
    broker = Broker(stack.endpoints, Identity(run_id="2" * 16, worker_id="gw3"))
    try:
        lease = await broker.aacquire("postgres")
        number = await broker.aacquire("redis")
        before = await stack.sql("SELECT id FROM isolation.sessions")
        await stack.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'test-framework:2222%'"
        )
        again = await broker.aacquire("postgres")
        assert again.name != lease.name
        assert await stack.sql("SELECT id FROM isolation.sessions") == before
        assert await broker.aconflicts() == []
        assert number.name != (await broker.aacquire("redis")).name
    finally:
        await asyncio.to_thread(broker.close)
    assert await leftovers(stack) == NOTHING


async def test_a_session_that_was_declared_dead_never_touches_what_others_got_since(stack: Stack) -> None:
    broker = Broker(stack.endpoints, Identity(run_id="3" * 16, worker_id="gw3"))
    other = Broker(stack.endpoints, Identity(run_id="4" * 16, worker_id="gw4"))
    try:
        lost = await broker.aacquire("redis")
        old = await stack.sql("SELECT id FROM isolation.sessions")
        await stack.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'test-framework:3333%'"
        )
        await asyncio.sleep(0.1)
        report = await reap(stack.endpoints)
        assert report.reclaimed["redis"] == 1
        for _ in range(255):
            taken = await other.aacquire("redis")
            if taken.name == lost.name:
                break
        assert isinstance(taken.endpoint, RedisEndpoint)
        async with connect_redis(taken.endpoint) as client:
            await client.call("SET", "theirs", "1")
        await broker.aacquire("redis")
        assert f"redis {lost.name} is not this session's in the ledger" in await broker.aconflicts()
        await broker.arelease(lost)
        assert (await stack.sql("SELECT count(*) FROM isolation.sessions WHERE id = $1", old[0][0])) == [(0,)]
        await asyncio.to_thread(broker.close)
        async with connect_redis(taken.endpoint) as client:
            assert await client.call("GET", "theirs") == b"1"
    finally:
        await asyncio.to_thread(broker.close)
        await asyncio.to_thread(other.close)
    assert await leftovers(stack) == NOTHING


def test_a_child_that_outlives_its_parent_does_not_keep_the_session_alive(stack: Stack) -> None:
    pid = os.fork()
    if pid == 0:
        broker = Broker(stack.endpoints, Identity(run_id="5" * 16, worker_id="gw5"))
        broker.acquire("redis")
        if os.fork() == 0:
            os.execvp("sleep", ["sleep", "20"])
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    asyncio.run(reap_until_clean(stack))
    assert asyncio.run(leftovers(stack)) == NOTHING
