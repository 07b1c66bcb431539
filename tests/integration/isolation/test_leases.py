"""What a test leases is its own, is as seeded, and is gone when it is given back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
from collections.abc import Callable
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from test_framework.endpoints import ClickHouseEndpoint, RedisEndpoint
from test_framework.environment import Broker, Lease
from test_framework.errors import ServiceUnavailable, StackBusy, StackError
from test_framework.services.clickhouse.client import ClickHouseClient, ClickHouseReplyError
from test_framework.services.postgres.client import CONTROL_DATABASE
from test_framework.services.postgres.ledger import PostgresLedger
from test_framework.waiting import Deadline, wait_until
from tests.integration.isolation.leasing import connect, run
from tests.seeded_stack import Stack

MakeBroker = Callable[..., Broker]
INSERT = "INSERT INTO users (email) VALUES ('a@new.example')"


async def end(broker: Broker) -> None:
    await asyncio.to_thread(broker.close)


async def until(check: Callable[[], object], what: str) -> None:
    async def asked() -> bool:
        found = check()
        return bool(await found if asyncio.iscoroutine(found) else found)

    assert await wait_until(asked, Deadline.after(30)), f"waited in vain: {what}"


async def test_a_database_is_named_after_its_worker_and_holds_the_seed(broker: Broker) -> None:
    lease = await broker.aacquire("postgres")
    assert re.fullmatch(r"apes_test_gw0_[0-9a-f]{8}", lease.name)
    connection = await connect(lease)
    assert await connection.fetchval("SELECT current_database()") == lease.name
    assert await connection.fetchval("SELECT count(*) FROM users") > 0
    assert await connection.fetchval("SHOW search_path") == "auth, backend, analytics, public"
    await connection.close()


async def test_two_leases_never_see_each_others_rows(broker: Broker) -> None:
    one, two = await broker.aacquire("postgres"), await broker.aacquire("postgres")
    assert one.name != two.name
    await run(one, INSERT)
    connection = await connect(two)
    assert await connection.fetchval("SELECT count(*) FROM users WHERE email = 'a@new.example'") == 0
    await connection.close()


async def test_nothing_but_ready_databases_is_left_when_a_session_ends(make_broker: MakeBroker, stack: Stack) -> None:
    broker = make_broker(pool_size=1)
    for _ in range(4):
        await run(await broker.aacquire("postgres"), INSERT)
    await end(broker)
    books = {name: state for service, name, state in await stack.books() if service == "postgres"}
    assert set(books.values()) <= {"ready"}
    assert await stack.databases() == set(books)
    assert await stack.sql("SELECT count(*) FROM isolation.sessions") == [(0,)]


async def test_a_later_session_takes_what_an_earlier_one_left_ready(make_broker: MakeBroker, stack: Stack) -> None:
    first = make_broker(pool_size=2)
    await run(await first.aacquire("postgres"), INSERT)
    await end(first)
    ready = await stack.databases()
    assert ready
    lease = await make_broker().aacquire("postgres")
    assert lease.pool_hit
    assert lease.name in ready


async def test_a_database_that_another_worker_left_gets_a_name_of_the_new_owner(make_broker: MakeBroker) -> None:
    first = make_broker(worker="gw5", pool_size=2)
    await run(await first.aacquire("postgres"), INSERT)
    await end(first)
    second = make_broker(worker="gw6", pool_size=0)
    lease = await second.aacquire("postgres")
    assert lease.pool_hit
    assert lease.name.startswith("apes_test_gw6_")
    connection = await connect(lease)
    assert await connection.fetchval("SELECT current_database()") == lease.name
    await connection.close()


async def test_connections_that_a_test_forgot_are_closed_by_the_server(broker: Broker, stack: Stack) -> None:
    lease = await broker.aacquire("postgres")
    forgotten = await connect(lease)
    await forgotten.execute(f"BEGIN; {INSERT}; LISTEN x; SELECT pg_advisory_lock(1)")
    await broker.arelease(lease)
    await until(forgotten.is_closed, "the server to close the connection")

    async def gone() -> bool:
        return lease.name not in await stack.databases()

    await until(gone, "the database to be dropped")


async def test_a_database_that_the_test_dropped_itself_is_no_trouble(
    broker: Broker, stack: Stack, caplog: pytest.LogCaptureFixture
) -> None:
    lease = await broker.aacquire("postgres")
    await stack.sql(f"DROP DATABASE {lease.name}")
    await broker.arelease(lease)
    await run(await broker.aacquire("postgres"), INSERT)
    await end(broker)
    assert not caplog.records
    assert lease.name not in {name for _, name, _ in await stack.books()}


async def test_a_kept_database_outlives_its_session_and_every_reaper_that_was_not_told(
    make_broker: MakeBroker, stack: Stack
) -> None:
    from test_framework.environment import reap

    broker = make_broker()
    lease = await broker.aacquire("postgres")
    await run(lease, INSERT)
    await broker.arelease(lease, keep=True)
    await end(broker)
    await reap(stack.endpoints)
    assert await stack.sql("SELECT count(*) FROM users WHERE email = 'a@new.example'", database=lease.name) == [(1,)]
    assert [(info.name, info.kept) for info in broker.ownership()] == [(lease.name, True)]
    report = await reap(stack.endpoints, kept=True)
    assert report.kept == 1
    assert lease.name not in await stack.databases()


@pytest.mark.parametrize("service", ["postgres", "clickhouse"])
async def test_a_reset_brings_the_seed_back_under_the_same_name(broker: Broker, service: str) -> None:
    lease = await broker.aacquire(service)
    if service == "postgres":
        await run(lease, INSERT, "DROP TABLE backend.messages")
        await broker.areset(lease)
        connection = await connect(lease)
        assert await connection.fetchval("SELECT count(*) FROM messages") > 0
        assert await connection.fetchval("SELECT count(*) FROM users WHERE email = 'a@new.example'") == 0
        await connection.close()
    else:
        await clickhouse(lease, "TRUNCATE TABLE user_events")
        await broker.areset(lease)
        assert await count_in_clickhouse(lease, "SELECT count() FROM user_events") == 120_000


async def test_a_lease_that_nobody_waits_for_any_more_goes_back(broker: Broker) -> None:
    leases = [asyncio.create_task(broker.aacquire("postgres")) for _ in range(6)]
    await asyncio.sleep(0)
    for task in leases:
        task.cancel()
    results = await asyncio.gather(*leases, return_exceptions=True)
    assert all(isinstance(each, asyncio.CancelledError) for each in results)
    lease = await broker.aacquire("postgres")

    def held() -> list[str]:
        return [info.name for info in broker.ownership() if info.released_at is None]

    await until(lambda: held() == [lease.name], "the unwanted leases to go back")
    assert await broker.aconflicts() == []


async def test_a_forked_child_cannot_lease_and_ends_nothing(broker: Broker, stack: Stack) -> None:
    lease = await broker.aacquire("postgres")
    pid = os.fork()
    if pid == 0:
        try:
            broker.release(lease)
            broker.close()
            broker.acquire("postgres")
        except StackError:
            os._exit(7)
        os._exit(1)
    _, status = await asyncio.to_thread(os.waitpid, pid, 0)
    assert os.waitstatus_to_exitcode(status) == 7
    await run(lease, INSERT)
    assert lease.name in await stack.databases()


def test_plain_functions_can_lease_too(broker: Broker) -> None:
    lease = broker.acquire("postgres")
    asyncio.run(run(lease, INSERT))
    broker.release(lease)
    broker.release(lease)
    assert [info.released_at is not None for info in broker.ownership()] == [True]
    broker.close()
    broker.close()
    with pytest.raises(StackError, match="closed"):
        broker.acquire("postgres")


async def test_the_books_count_active_leases_for_the_monitor(broker: Broker, stack: Stack) -> None:
    from test_framework.services.postgres.leases import count_active_leases

    before = await count_active_leases(stack.endpoints.postgres, timeout=10)
    await broker.aacquire("postgres")
    await broker.aacquire("redis")
    assert before is not None
    assert await count_active_leases(stack.endpoints.postgres, timeout=10) == before + 2


async def test_a_stack_that_was_never_seeded_is_told_how_to_be(stack: Stack) -> None:
    from test_framework.environment import Identity

    endpoints = replace(
        stack.endpoints,
        postgres=replace(stack.endpoints.postgres, database="netra_test"),
        clickhouse=replace(stack.endpoints.clickhouse, database="nothing_here"),
    )
    broker = Broker(endpoints, Identity(run_id="0" * 16))
    try:
        for service in ("postgres", "clickhouse"):
            with pytest.raises(ServiceUnavailable, match="make test-seed"):
                await broker.aacquire(service)
        await broker.aacquire("redis")
    finally:
        await end(broker)


async def test_a_number_that_comes_back_is_empty_and_its_forgotten_clients_are_gone(broker: Broker) -> None:
    lease = await broker.aacquire("redis")
    assert isinstance(lease.endpoint, RedisEndpoint)
    forgotten = Redis.from_url(lease.endpoint.url)
    await forgotten.set("a", 1)
    clients = forgotten.connection_pool
    await broker.arelease(lease)
    while (await broker.aacquire("redis")).name != lease.name:
        """Numbers are dealt in turns."""
    async with Redis.from_url(lease.endpoint.url) as client:
        assert await client.dbsize() == 0
        others = [each for each in await client.client_list() if each["db"] == lease.name]
        assert len(others) == 1
    await clients.aclose()


async def test_data_that_is_not_ours_is_never_flushed(make_broker: MakeBroker, stack: Stack) -> None:
    base = stack.endpoints.redis
    foreign = range(1, 256, 2)
    for number in foreign:
        async with Redis.from_url(replace(base, database=number).url) as client:
            await client.set("innocent", "x")
    try:
        broker = make_broker()
        leases = [await broker.aacquire("redis") for _ in range(60)]
        assert not {int(lease.name) for lease in leases} & {0, *foreign}
        await end(broker)
        for number in foreign:
            async with Redis.from_url(replace(base, database=number).url) as client:
                assert await client.get("innocent") == b"x"
    finally:
        for number in foreign:
            async with Redis.from_url(replace(base, database=number).url) as client:
                await client.flushdb()


async def test_when_all_numbers_are_held_the_message_names_the_holders(make_broker: MakeBroker) -> None:
    holder = make_broker(worker="gw1", run="feedfacefeedface")
    waiting = make_broker(worker="gw2", redis_mode="database")
    leases = [await holder.aacquire("redis") for _ in range(255)]
    with pytest.raises(StackBusy, match=r"TEST_REDIS_DATABASES") as caught:
        await waiting.aacquire("redis", timeout=0.3)
    assert "gw1 of run feedface" in str(caught.value)
    await holder.arelease(leases[0])
    await end(holder)
    assert await waiting.aacquire("redis", timeout=10)


async def count_in_clickhouse(lease: Lease, query: str) -> int:
    """The one number that ``query`` gives."""
    ((value,),) = await clickhouse(lease, query)
    return int(str(value))


async def clickhouse(lease: Lease, query: str, **settings: str) -> list[list[object]]:
    assert isinstance(lease.endpoint, ClickHouseEndpoint)
    client = ClickHouseClient(lease.endpoint, 30)
    try:
        if query.startswith("SELECT"):
            return await client.rows(query, database=lease.name)
        await client.execute(query, database=lease.name, settings=settings)
        return []
    finally:
        client.close()


async def test_a_clickhouse_database_holds_the_seed_and_is_nobody_elses(broker: Broker, stack: Stack) -> None:
    one, two = await broker.aacquire("clickhouse"), await broker.aacquire("clickhouse")
    assert re.fullmatch(r"apes_test_gw0_[0-9a-f]{8}", one.name)
    insert = "INSERT INTO user_events (event_type, event_time) VALUES ('mine', '2025-07-01 00:00:00')"
    await clickhouse(one, insert)
    count = "SELECT count() FROM user_events"
    assert [await count_in_clickhouse(each, count) for each in (one, two)] == [120_001, 120_000]
    # The view of the copy writes to the copy, not to the seeded database.
    daily = "SELECT sum(events) FROM daily_events WHERE event_type = 'mine'"
    assert [await count_in_clickhouse(each, daily) for each in (one, two)] == [1, 0]
    base = replace(one, endpoint=stack.endpoints.clickhouse, name=stack.endpoints.clickhouse.database)
    assert await count_in_clickhouse(base, daily) == 0
    await end(broker)
    with contextlib.suppress(ClickHouseReplyError):  # it is gone, or it is the seed again
        assert await count_in_clickhouse(one, count) == 120_000


async def test_a_clickhouse_database_goes_back_to_the_pool_if_it_is_the_seed_or_could_be_made_so(
    make_broker: MakeBroker, stack: Stack
) -> None:
    worker = f"gw{secrets.randbelow(10**9)}"
    broker = make_broker(worker=worker, pool_size=2)

    async def ready() -> bool:
        engine = broker._engine
        return bool(engine and "clickhouse" in engine._allocators and engine._allocators["clickhouse"]._reserved)  # type: ignore[attr-defined]

    async def back(lease: Lease) -> bool:
        async def held() -> bool:
            return (lease.name, "leased") in {(name, state) for _, name, state in await stack.books()}

        async def decided() -> bool:
            return not await held()

        await until(held, "the lease to be in the books, which it need not be at once")
        await broker.arelease(lease)
        await until(decided, "the database to be given back or dropped")
        return lease.name in {name for _, name, _ in await stack.books()}

    for query, expected in (
        ("SELECT count() FROM user_events", True),
        ("INSERT INTO user_events (event_type) VALUES ('mine')", True),
        ("DROP TABLE agent_usage", False),
    ):
        broker.warm(["clickhouse"])
        await until(ready, "a database to be taken ahead")
        lease = await broker.aacquire("clickhouse")
        await clickhouse(lease, query)
        assert await back(lease) is expected, query


async def test_what_the_control_database_holds_can_be_read_by_an_older_monitor(stack: Stack) -> None:
    columns = await stack.sql(
        "SELECT column_name::text FROM information_schema.columns WHERE table_name = 'active_leases' ORDER BY 1",
        database=CONTROL_DATABASE,
    )
    assert {"service", "name", "worker_id"} <= {name for (name,) in columns}


async def test_who_begins_to_wait_while_the_pool_is_found_full_is_served(
    make_broker: MakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    intend, asked = PostgresLedger.intend, asyncio.Event()
    loop = asyncio.get_running_loop()

    async def slowly(self: PostgresLedger, *args: str, limit: int | None = None) -> bool:
        answer = await intend(self, *args, limit=limit)
        if limit is not None:
            loop.call_soon_threadsafe(asked.set)
            await asyncio.sleep(1)
        return answer

    monkeypatch.setattr(PostgresLedger, "intend", slowly)
    broker = make_broker(pool_size=0)
    first = await broker.aacquire("postgres", timeout=60)
    await asked.wait()
    second = await broker.aacquire("postgres", timeout=60)
    assert first.name != second.name
