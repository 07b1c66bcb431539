"""clickhouse-connect's asynchronous client against the embedded endpoint."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator

import clickhouse_connect
import pytest
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError, StreamFailureError
from clickhouse_connect.driver.external import ExternalData

from tests.integration.embedded_clickhouse.conftest import Server


async def connected(server: Server, **options: object) -> AsyncClient:
    login = {"username": server.user, "password": server.password, "autogenerate_session_id": False}
    return await clickhouse_connect.get_async_client(host="127.0.0.1", port=server.port, **{**login, **options})


@pytest.fixture
async def connect(server: Server) -> AsyncIterator[AsyncClient]:
    async with await connected(server) as client:
        yield client


@pytest.fixture
async def name(connect: AsyncClient) -> AsyncIterator[str]:
    made = f"a_{uuid.uuid4().hex[:12]}"
    yield made
    await connect.command(f"DROP TABLE IF EXISTS {made} SYNC")


async def test_queries_of_one_client_run_side_by_side(connect: AsyncClient) -> None:
    """Each waits until all of them are running, so one after the other would never end."""
    ids = [f"side-{uuid.uuid4()}" for _ in range(8)]
    sql = "SELECT sleepEachRow(0.5) FROM numbers(240)"
    running = [asyncio.create_task(connect.query(sql, settings={"query_id": one, "max_block_size": 1})) for one in ids]
    listed = "SELECT count() FROM system.processes WHERE query_id IN %(ids)s"
    while await connect.command(listed, parameters={"ids": tuple(ids)}) != len(ids):
        await asyncio.sleep(0.01)
    for one in running:
        one.cancel()
    assert all(
        isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*running, return_exceptions=True)
    )


async def test_a_cancelled_query_ends_on_the_server(connect: AsyncClient) -> None:
    query_id = f"cancelled-{uuid.uuid4()}"
    sql = "SELECT sleepEachRow(0.5) FROM numbers(240)"
    running = asyncio.create_task(connect.query(sql, settings={"query_id": query_id, "max_block_size": 1}))
    listed = "SELECT count() FROM system.processes WHERE query_id = %(id)s"
    while not await connect.command(listed, parameters={"id": query_id}):
        await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    while await connect.command(listed, parameters={"id": query_id}):
        await asyncio.sleep(0.01)


async def test_streams_run_side_by_side(connect: AsyncClient) -> None:
    async def total(rest: int) -> int:
        sql = f"SELECT number FROM numbers(30000) WHERE number % 3 = {rest}"
        async with await connect.query_rows_stream(sql, settings={"max_block_size": 100}) as stream:
            return sum([row[0] async for row in stream])

    assert sum(await asyncio.gather(*map(total, range(3)))) == sum(range(30_000))


async def test_a_stream_left_early_leaves_the_client_usable(connect: AsyncClient) -> None:
    sql = "SELECT number, repeat('x', 10000) FROM numbers(20000)"
    async with await connect.query_rows_stream(sql, settings={"max_block_size": 1000}) as stream:
        async for row in stream:
            assert row[0] == 0
            break
    assert await connect.command("SELECT 1") == 1


async def test_an_error_in_the_middle_is_told(server: Server) -> None:
    sql = "SELECT sleepEachRow(0.01), throwIf(number = 100) FROM numbers(200)"
    early = {"max_block_size": 1, "wait_end_of_query": 0}
    async with await connected(server, compress=False) as client:
        with pytest.raises(StreamFailureError, match="395"):
            async with await client.query_rows_stream(sql, settings=early) as stream:
                async for _ in stream:
                    pass
        assert await client.command("SELECT 1") == 1


async def test_one_bad_query_does_not_disturb_the_others(connect: AsyncClient) -> None:
    texts = ["SELECT 1", "SELECT invalid_syntax!!!", "SELECT 2", "SELECT * FROM nowhere", "SELECT 3"]
    answers = await asyncio.gather(*(connect.query(text) for text in texts), return_exceptions=True)
    assert [one.result_rows[0][0] for one in answers[::2]] == [1, 2, 3]
    assert [one.code for one in answers[1::2]] == [62, 60]


async def test_inserts_run_side_by_side_and_lose_nothing(connect: AsyncClient, name: str) -> None:
    await connect.command(f"CREATE TABLE {name} (id UInt32, value String) ENGINE = MergeTree ORDER BY id")

    async def insert(start: int) -> None:
        await connect.insert(name, [[start + offset, f"v{offset}"] for offset in range(100)])

    await asyncio.gather(*(insert(100 * number) for number in range(20)))
    result = await connect.query(f"SELECT count(), uniqExact(id) FROM {name}")
    assert result.result_rows == [(2000, 2000)]


async def test_a_session_is_locked_while_it_is_used(server: Server, connect: AsyncClient) -> None:
    async with await connected(server, session_id=f"s{uuid.uuid4().hex}", query_retries=0) as client:
        query_id = f"lock-{uuid.uuid4()}"
        long = asyncio.create_task(
            client.query("SELECT sleepEachRow(0.4) FROM numbers(5)", settings={"query_id": query_id})
        )
        listed = "SELECT count() FROM system.processes WHERE query_id = %(id)s"
        while not await connect.command(listed, parameters={"id": query_id}):
            await asyncio.sleep(0.01)
        with pytest.raises(Exception, match=r"(?i)session|concurrent"):
            await client.query("SELECT 1")
        await long
        assert await client.command("SELECT 1") == 1


async def test_a_timeout_of_the_client_leaves_it_usable(server: Server) -> None:
    async with await connected(server, send_receive_timeout=1, query_retries=0) as client:
        with pytest.raises((asyncio.TimeoutError, OperationalError)):
            await client.query("SELECT sleep(3)")
        assert await client.command("SELECT 1") == 1


async def test_external_data_parameters_and_frames_work_too(connect: AsyncClient, name: str) -> None:
    data = ExternalData(file_name="ids", data=b"1\n2\n", fmt="TSV", structure="i UInt64")
    sql = "SELECT sum(number) FROM numbers({n:UInt64}) WHERE number IN (SELECT i FROM ids)"
    assert (await connect.query(sql, parameters={"n": 5}, external_data=data)).result_rows == [(3,)]
    await connect.command(f"CREATE TABLE {name} (n UInt64, s String) ENGINE = MergeTree ORDER BY n")
    await connect.insert_df(name, await connect.query_df("SELECT number AS n, 'x' AS s FROM numbers(10)"))
    assert (await connect.query_arrow(f"SELECT * FROM {name}")).num_rows == 10


async def test_errors_have_their_codes(connect: AsyncClient) -> None:
    with pytest.raises(DatabaseError) as error:
        await connect.query("SELECT 1; SELECT 2")
    assert error.value.code == 62
