"""Where a project does without PostgreSQL: weaker books, and the same promise to tests that run at the same time."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace

import pytest

from test_framework.endpoints import ClickHouseEndpoint, Endpoints, PostgresEndpoint, RedisEndpoint
from test_framework.environment import Broker, Identity, Lease
from test_framework.errors import ServiceUnavailable
from test_framework.services.aging import live_sessions_by_key, reap_by_age
from test_framework.services.clickhouse.client import ClickHouseClient
from test_framework.services.redis.client import RedisClient
from test_framework.services.redis.client import connect as connect_redis
from test_framework.services.redis.expiring import ExpiringAdmin
from test_framework.settings import load_settings
from test_framework.waiting import Deadline, wait_until
from tests.seeded_stack import Stack

MakeBroker = Callable[[str], Broker]


@pytest.fixture
def endpoints(stack: Stack) -> Endpoints:
    return replace(stack.endpoints, postgres=PostgresEndpoint(host="none"))


@pytest.fixture
def make(endpoints: Endpoints) -> Iterator[MakeBroker]:
    with ExitStack() as opened:

        def one(worker: str) -> Broker:
            broker = Broker(endpoints, Identity(run_id="f" * 16, worker_id=worker))
            opened.callback(broker.close)
            return broker

        yield one


@asynccontextmanager
async def redis(lease: Lease) -> AsyncIterator[RedisClient]:
    assert isinstance(lease.endpoint, RedisEndpoint)
    async with connect_redis(lease.endpoint) as client:
        yield client


async def clickhouse(endpoint: object, query: str, database: str | None = None) -> list[list[object]]:
    assert isinstance(endpoint, ClickHouseEndpoint)
    client = ClickHouseClient(endpoint, 30)
    try:
        return await client.rows(query, database=database)
    finally:
        client.close()


async def ours(endpoints: Endpoints) -> set[str]:
    rows = await clickhouse(endpoints.clickhouse, "SELECT name FROM system.databases WHERE name LIKE 'apes%'")
    return {str(name) for (name,) in rows}


async def numbers(endpoints: Endpoints) -> dict[int, str]:
    async with connect_redis(endpoints.redis) as client:
        pairs = await client.call("HGETALL", "test-framework:numbers")
    return {int(number): owner.decode() for number, owner in zip(pairs[::2], pairs[1::2], strict=True)}


def test_the_host_none_says_that_there_is_no_server(tmp_path: object) -> None:
    from pathlib import Path

    settings = load_settings(Path("/nonexistent"), {"TEST_POSTGRES_HOST": "none"})
    assert not settings.endpoints.postgres.configured
    assert settings.endpoints.redis.configured


async def test_two_sessions_at_once_share_nothing_and_leave_nothing(make: MakeBroker, endpoints: Endpoints) -> None:
    before = await ours(endpoints)
    one, two = make("gw0"), make("gw1")
    leases = [await broker.aacquire("redis") for broker in (one, two) for _ in range(30)]
    assert len({lease.name for lease in leases}) == 60
    databases = [await broker.aacquire("clickhouse") for broker in (one, two) for _ in range(2)]
    assert len({lease.name for lease in databases}) == 4
    for lease in databases:
        assert re.fullmatch(r"apes_test_gw[01]_[0-9a-f]{8}", lease.name)
        assert await clickhouse(lease.endpoint, "SELECT toString(count()) FROM user_events", lease.name) == [["120000"]]
    assert await one.aconflicts() == await two.aconflicts() == []
    await asyncio.to_thread(one.close)
    await asyncio.to_thread(two.close)
    assert await numbers(endpoints) == {}
    assert await ours(endpoints) == before
    assert await live_sessions_by_key(endpoints, timeout=10) == []


async def test_a_number_is_empty_again_when_it_comes_back(make: MakeBroker) -> None:
    broker = make("gw0")
    lease = await broker.aacquire("redis")
    async with redis(lease) as client:
        await client.call("SET", "k", "v")
    await broker.arelease(lease)
    again = await broker.aacquire("redis")
    assert again.name == lease.name
    async with redis(again) as client:
        assert await client.call("DBSIZE") == 0


async def test_who_asks_for_postgres_is_told_that_the_project_does_without(make: MakeBroker) -> None:
    with pytest.raises(ServiceUnavailable, match="does without PostgreSQL") as caught:
        await make("gw0").aacquire("postgres")
    assert "TEST_POSTGRES_HOST" in str(caught.value)


async def test_data_that_is_nobodys_number_is_never_emptied(endpoints: Endpoints) -> None:
    admin = ExpiringAdmin(endpoints.redis, 10)
    async with connect_redis(replace(endpoints.redis, database=77)) as innocent:
        await innocent.call("SET", "precious", "42")
        try:
            assert not await admin.claim(77, "1")
            assert await innocent.call("GET", "precious") == b"42"
        finally:
            await innocent.call("DEL", "precious")
            await admin.close()


async def test_a_session_that_says_nothing_any_more_loses_its_numbers_and_touches_them_no_more(
    endpoints: Endpoints,
) -> None:
    stopped, other = ExpiringAdmin(endpoints.redis, 10, lifetime=0.2), ExpiringAdmin(endpoints.redis, 10)
    try:
        assert await stopped.claim(78, "111")
        assert not await other.claim(78, "222")  # it lives
        assert stopped._beating is not None
        stopped._beating.cancel()  # as a stopped process does not beat

        async def taken() -> bool:
            return await other.claim(78, "222")

        assert await wait_until(taken, Deadline.after(30))
        async with connect_redis(replace(endpoints.redis, database=78)) as client:
            await client.call("SET", "theirs", "1")
            assert not await stopped.flush(78, "111")
            assert not await stopped.free(78, "111")
            assert await client.call("GET", "theirs") == b"1"
        assert await other.free(78, "222")
    finally:
        await stopped.close()
        await other.close()


async def test_reaping_goes_by_expired_keys_and_by_age(endpoints: Endpoints, make: MakeBroker) -> None:
    dead = ExpiringAdmin(endpoints.redis, 10, lifetime=0.1)
    assert await dead.claim(79, "333")
    await dead.close()  # its key is gone, and its number still noted
    report = await reap_by_age(endpoints, timeout=30)
    assert dict(report.reclaimed) == {"redis": 1}
    living = make("gw0")
    number, database = await living.aacquire("redis"), await living.aacquire("clickhouse")
    assert (await reap_by_age(endpoints, timeout=30)).total == 0
    assert set(await numbers(endpoints)) == {int(number.name)}
    assert database.name in await ours(endpoints)
    left = ClickHouseClient(endpoints.clickhouse, 30)
    await left.execute("CREATE DATABASE apes_test_gw9_deadbeef")  # not with our comment
    await left.execute("CREATE TABLE apes_test_gw9_deadbeef.t (a Int8) ENGINE = Memory")
    try:
        await asyncio.sleep(1.1)  # its resolution is a second
        report = await reap_by_age(endpoints, timeout=30, age=0)
        assert report.reclaimed["clickhouse"] >= 1
        assert await ours(endpoints) == {"apes_test_gw9_deadbeef"}
    finally:
        await left.execute("DROP DATABASE apes_test_gw9_deadbeef SYNC")
        left.close()
