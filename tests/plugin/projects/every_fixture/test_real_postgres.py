"""The connection of a test, in whatever event loop the test runs."""

import asyncio
import io
import json

import asyncpg
import pytest

pytestmark = pytest.mark.asyncio

INSERT = "INSERT INTO users (email) VALUES ($1) RETURNING id"
COUNT = "SELECT count(*) FROM users WHERE email = $1"


@pytest.mark.parametrize("again", range(3))
async def test_every_test_starts_from_the_seed(real_postgres, again):
    assert await real_postgres.fetchval(COUNT, "mine@example.com") == 0
    identity = await real_postgres.fetchval(INSERT, "mine@example.com")
    row = await real_postgres.fetchrow("SELECT id, email FROM auth.users WHERE id = $1", identity)
    assert dict(row) == {"id": identity, "email": "mine@example.com"}


async def test_a_failing_statement_does_not_poison_the_rest(real_postgres):
    await real_postgres.execute(INSERT, "mine@example.com")
    with pytest.raises(asyncpg.UniqueViolationError):
        await real_postgres.execute(INSERT, "mine@example.com")
    assert await real_postgres.fetchval(COUNT, "mine@example.com") == 1


async def test_a_block_is_undone_as_a_whole(real_postgres):
    with pytest.raises(RuntimeError):
        async with real_postgres.transaction():
            await real_postgres.execute(INSERT, "inner@example.com")
            raise RuntimeError
    async with real_postgres.transaction():
        await real_postgres.execute(INSERT, "outer@example.com")
        assert real_postgres.is_in_transaction()
    assert await real_postgres.fetchval(COUNT, "inner@example.com") == 0
    assert await real_postgres.fetchval(COUNT, "outer@example.com") == 1


async def test_a_block_can_be_driven_by_hand(real_postgres):
    block = real_postgres.transaction()
    await block.start()
    await real_postgres.execute(INSERT, "inner@example.com")
    await block.rollback()
    assert await real_postgres.fetchval(COUNT, "inner@example.com") == 0


async def test_many_rows_go_in_and_come_out(real_postgres):
    await real_postgres.executemany(INSERT, [(f"{n}@many.example",) for n in range(120)])
    rows = await real_postgres.fetch("SELECT email FROM users WHERE email LIKE '%@many.example'")
    assert len(rows) == 120
    assert rows[0]["email"].endswith("@many.example")


async def test_a_cursor_walks_by_itself_and_by_hand(real_postgres):
    query = "SELECT n FROM generate_series(1, 120) AS n"
    async with real_postgres.transaction():
        assert [row["n"] async for row in real_postgres.cursor(query)] == list(range(1, 121))
        cursor = await real_postgres.cursor(query)
        assert await cursor.forward(10) == 10
        assert (await cursor.fetchrow())["n"] == 11
        assert [row["n"] for row in await cursor.fetch(2)] == [12, 13]


async def test_a_prepared_statement_runs_many_times(real_postgres):
    statement = await real_postgres.prepare("SELECT $1::int + 1 AS n")
    assert [await statement.fetchval(n) for n in range(3)] == [1, 2, 3]
    assert (await statement.fetchrow(41))["n"] == 42
    assert [attribute.name for attribute in statement.get_attributes()] == ["n"]
    async with real_postgres.transaction():
        assert [row["n"] async for row in statement.cursor(1)] == [2]


async def test_copy_reads_and_writes_objects_of_the_tests_own_loop(real_postgres):
    await real_postgres.execute("CREATE TABLE things (n int, name text)")
    loop = asyncio.get_running_loop()

    async def source():
        for n in range(3):
            assert asyncio.get_running_loop() is loop
            await asyncio.sleep(0)
            yield f"{n}\tthing {n}\n".encode()

    written = bytearray()

    async def sink(data):
        assert asyncio.get_running_loop() is loop
        written.extend(data)

    assert await real_postgres.copy_to_table("things", source=source()) == "COPY 3"
    assert await real_postgres.copy_to_table("things", source=io.BytesIO(b"3\tthing 3\n")) == "COPY 1"
    assert await real_postgres.copy_records_to_table("things", records=[(4, "thing 4")]) == "COPY 1"
    await real_postgres.copy_from_query("SELECT n FROM things WHERE n > $1 ORDER BY n", 2, output=sink)
    assert bytes(written) == b"3\n4\n"
    file = io.BytesIO()
    await real_postgres.copy_from_table("things", columns=["n"], output=file)
    assert file.getvalue() == b"0\n1\n2\n3\n4\n"


async def test_a_notification_arrives_in_the_tests_own_loop(real_postgres):
    loop, arrived = asyncio.get_running_loop(), asyncio.Event()
    heard = []

    def listener(connection, pid, channel, payload):
        assert asyncio.get_running_loop() is loop
        heard.append((connection is real_postgres, channel, payload))
        arrived.set()

    await real_postgres.add_listener("news", listener)
    await real_postgres.execute("NOTIFY news, 'hello'")
    await asyncio.wait_for(arrived.wait(), 5)
    await real_postgres.remove_listener("news", listener)
    assert heard == [(True, "news", "hello")]


@pytest.mark.parametrize("again", range(2))
async def test_a_codec_is_for_one_test(real_postgres, again):
    assert await real_postgres.fetchval("""SELECT '{"a": 1}'::json""") == '{"a": 1}'
    await real_postgres.set_type_codec("json", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)
    assert await real_postgres.fetchval("""SELECT '{"a": 1}'::json""") == {"a": 1}


@pytest.mark.parametrize("again", range(2))
async def test_settings_locks_and_temporary_tables_are_for_one_test(real_postgres, again):
    assert await real_postgres.fetchval("SHOW work_mem") != "7MB"
    assert await real_postgres.fetchval("SELECT pg_try_advisory_lock(4711)")
    mine = "SELECT count(*) FROM pg_locks WHERE objid = 4711 AND pid = pg_backend_pid()"
    assert await real_postgres.fetchval(mine) == 1
    await real_postgres.execute("SET work_mem = '7MB'")
    await real_postgres.execute("CREATE TEMPORARY TABLE mine (n int)")


async def test_the_connection_knows_its_server(real_postgres):
    assert real_postgres.get_server_version().major >= 15
    assert real_postgres.get_server_pid() > 0
    assert real_postgres.get_settings().TimeZone
    assert not real_postgres.is_closed()
    assert not real_postgres.is_in_transaction()


@pytest.mark.parametrize("again", range(2))
async def test_a_closed_connection_is_closed_for_one_test(real_postgres, again):
    assert await real_postgres.fetchval("SELECT 1") == 1
    await real_postgres.close()
    assert real_postgres.is_closed()
    with pytest.raises(asyncpg.InterfaceError, match="closed"):
        await real_postgres.fetchval("SELECT 1")


async def test_one_connection_does_one_thing_at_a_time(real_postgres):
    slow = asyncio.create_task(real_postgres.execute("SELECT pg_sleep(0.3)"))
    await asyncio.sleep(0.1)
    with pytest.raises(asyncpg.InterfaceError, match="another operation"):
        await real_postgres.execute("SELECT 1")
    await slow


@pytest.mark.postgres_isolation("transaction", savepoints=False)
async def test_without_savepoints_a_failing_statement_ends_the_transaction(real_postgres):
    with pytest.raises(asyncpg.PostgresError):
        await real_postgres.execute("SELECT nonsense")
    with pytest.raises(asyncpg.InFailedSQLTransactionError):
        await real_postgres.execute("SELECT 1")


@pytest.mark.postgres_isolation("database")
@pytest.mark.parametrize("again", range(2))
async def test_a_database_of_its_own_allows_what_a_transaction_cannot(real_postgres, again):
    assert await real_postgres.fetchval(COUNT, "mine@example.com") == 0
    await real_postgres.execute(INSERT, "mine@example.com")
    await real_postgres.execute("VACUUM users")
    assert (await real_postgres.fetchval("SELECT current_database()")).startswith("apes_test_")


async def test_what_a_transaction_cannot_do_is_refused_with_the_name_of_the_marker(real_postgres):
    with pytest.raises(asyncpg.PostgresError) as caught:
        await real_postgres.execute("VACUUM users")
    assert 'postgres_isolation("database")' in str(caught.value.hint)
    assert await real_postgres.fetchval("SELECT 1") == 1


async def test_database_connection_and_isolated_database_are_the_same_connection(
    real_postgres, database_connection, isolated_database
):
    assert database_connection is real_postgres is isolated_database
