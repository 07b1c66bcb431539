"""A connection in a transaction behaves as one that commits, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator

import asyncpg
import pytest

from test_framework.endpoints import PostgresEndpoint
from test_framework.services.postgres.transaction import IsolatedConnection

COUNT = "SELECT count(*) FROM users"
INSERT = "INSERT INTO users (email) VALUES ($1)"
MARKER = 'postgres_isolation("database")'


@pytest.fixture
async def connection(home: PostgresEndpoint) -> AsyncIterator[IsolatedConnection]:
    opened = await IsolatedConnection.open(home, timeout=10)
    await opened.begin()
    yield opened
    await opened.aclose()


async def email_count(connection: IsolatedConnection) -> int:
    return int(await connection.fetchval(COUNT + " WHERE email LIKE '%@new.example'"))


async def test_a_rollback_removes_every_row_that_the_test_wrote(connection: IsolatedConnection) -> None:
    before = await connection.fetchval(COUNT)
    await connection.execute(INSERT, "a@new.example")
    assert await connection.fetchval(COUNT) == before + 1
    assert await connection.rollback()
    await connection.begin()
    assert await connection.fetchval(COUNT) == before


async def test_a_failing_statement_leaves_what_came_before_and_what_comes_after(connection: IsolatedConnection) -> None:
    await connection.execute(INSERT, "a@new.example")
    for _ in range(2):
        with pytest.raises(asyncpg.UniqueViolationError):
            await connection.execute(INSERT, "a@new.example")
    await connection.execute(INSERT, "b@new.example")
    assert await email_count(connection) == 2


async def test_without_savepoints_a_failing_statement_fails_the_rest(home: PostgresEndpoint) -> None:
    connection = await IsolatedConnection.open(home, timeout=10, savepoints=False)
    await connection.begin()
    with pytest.raises(asyncpg.UndefinedTableError):
        await connection.execute("SELECT * FROM nowhere")
    with pytest.raises(asyncpg.InFailedSQLTransactionError):
        await connection.execute("SELECT 1")
    assert await connection.rollback()
    await connection.begin()
    async with connection.transaction():
        await connection.execute(INSERT, "a@new.example")
    with pytest.raises(ZeroDivisionError):
        async with connection.transaction():
            await connection.execute(INSERT, "b@new.example")
            raise ZeroDivisionError
    assert await email_count(connection) == 1
    await connection.aclose()


async def test_a_block_is_kept_when_it_ends_well_and_undone_when_it_raises(connection: IsolatedConnection) -> None:
    async with connection.transaction():
        await connection.execute(INSERT, "a@new.example")
        with pytest.raises(ZeroDivisionError):
            async with connection.transaction():
                await connection.execute(INSERT, "b@new.example")
                raise ZeroDivisionError
        async with connection.transaction():
            await connection.execute(INSERT, "c@new.example")
    with pytest.raises(ZeroDivisionError):
        async with connection.transaction():
            await connection.execute(INSERT, "d@new.example")
            raise ZeroDivisionError
    rows = await connection.fetch("SELECT email FROM users WHERE email LIKE '%@new.example' ORDER BY 1")
    assert [row["email"] for row in rows] == ["a@new.example", "c@new.example"]


async def test_an_error_that_is_swallowed_inside_a_block_poisons_it_until_its_end(
    connection: IsolatedConnection,
) -> None:
    async with connection.transaction():
        await connection.execute(INSERT, "a@new.example")
        with pytest.raises(asyncpg.UndefinedTableError):
            await connection.execute("SELECT * FROM nowhere")
        with pytest.raises(asyncpg.InFailedSQLTransactionError):
            await connection.execute("SELECT 1")
    assert await email_count(connection) == 0


async def test_a_transaction_object_is_as_strict_about_its_use_as_asyncpgs(connection: IsolatedConnection) -> None:
    transaction = connection.transaction()
    with pytest.raises(asyncpg.InterfaceError, match="not yet started"):
        await transaction.commit()
    await transaction.start()
    await connection.execute(INSERT, "a@new.example")
    await transaction.rollback()
    with pytest.raises(asyncpg.InterfaceError, match="already rolled back"):
        await transaction.commit()
    with pytest.raises(asyncpg.InterfaceError, match="already started"):
        await transaction.start()
    async with connection.transaction() as managed:
        with pytest.raises(asyncpg.InterfaceError, match="async with"):
            await managed.commit()
    assert await email_count(connection) == 0


async def test_begin_commit_and_rollback_as_text_are_blocks(connection: IsolatedConnection) -> None:
    assert await connection.execute("BEGIN") == "BEGIN"
    assert connection.is_in_transaction()
    await connection.execute(INSERT, "a@new.example")
    assert await connection.execute("ROLLBACK") == "ROLLBACK"
    assert not connection.is_in_transaction()
    await connection.execute(
        "start transaction; INSERT INTO users (email) VALUES ('b@new.example'); SAVEPOINT s;"
        " INSERT INTO users (email) VALUES ('c@new.example'); ROLLBACK TO SAVEPOINT s; /* so */ COMMIT"
    )
    assert await email_count(connection) == 1
    assert await connection.rollback()
    await connection.begin()
    assert await email_count(connection) == 0


async def test_a_savepoint_outside_of_a_block_is_refused_as_on_a_plain_connection(
    connection: IsolatedConnection,
) -> None:
    with pytest.raises(asyncpg.NoActiveSQLTransactionError):
        await connection.execute("SAVEPOINT s")


@pytest.mark.parametrize(
    "query",
    [
        "VACUUM",
        "CREATE DATABASE apes_x",
        "PREPARE TRANSACTION 'x'",
        "BEGIN ISOLATION LEVEL SERIALIZABLE",
        "ALTER SYSTEM RESET ALL",
    ],
)
async def test_what_cannot_run_in_a_transaction_names_the_marker(connection: IsolatedConnection, query: str) -> None:
    with pytest.raises(asyncpg.PostgresError) as caught:
        await connection.execute(query)
    assert MARKER in str(caught.value)
    assert await connection.fetchval("SELECT 1") == 1


async def test_an_isolation_level_names_the_marker(connection: IsolatedConnection) -> None:
    with pytest.raises(asyncpg.PostgresError) as caught:
        connection.transaction(isolation="serializable")
    assert MARKER in str(caught.value)


async def test_set_local_ends_with_the_block_and_has_no_effect_outside_of_one(connection: IsolatedConnection) -> None:
    async def zone() -> str:
        return str(await connection.fetchval("SHOW TimeZone"))

    before = await zone()
    async with connection.transaction():
        await connection.execute("SET LOCAL TimeZone = 'Asia/Tokyo'")
        assert await zone() == "Asia/Tokyo"
        async with connection.transaction():
            await connection.execute("SELECT set_config('TimeZone', $1, true)", "Europe/Oslo")
            assert await zone() == "Europe/Oslo"
    assert await zone() == before
    await connection.execute("SET LOCAL TimeZone = 'Asia/Tokyo'")
    assert await zone() == before
    await connection.execute("SET TimeZone = 'Asia/Tokyo'")
    assert await zone() == "Asia/Tokyo"
    assert await connection.rollback()
    await connection.begin()
    assert await zone() == before


async def test_a_read_only_block_refuses_writes_and_the_next_statement_may_write(
    connection: IsolatedConnection,
) -> None:
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        async with connection.transaction(readonly=True):
            await connection.execute(INSERT, "a@new.example")
    async with connection.transaction(readonly=True):
        assert await email_count(connection) == 0
    await connection.execute(INSERT, "a@new.example")
    assert await email_count(connection) == 1


async def test_a_deferred_constraint_is_checked_when_its_block_ends(connection: IsolatedConnection) -> None:
    await connection.execute(
        "CREATE TABLE parent (id int PRIMARY KEY);"
        "CREATE TABLE child (p int REFERENCES parent DEFERRABLE INITIALLY DEFERRED)"
    )
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await connection.execute("INSERT INTO child VALUES (1)")
    async with connection.transaction():
        await connection.execute("INSERT INTO child VALUES (1)")
        await connection.execute("INSERT INTO parent VALUES (1)")
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        async with connection.transaction():
            await connection.execute("INSERT INTO child VALUES (2)")
    assert await connection.fetchval("SELECT count(*) FROM child") == 1


async def test_copy_cursors_and_prepared_statements_work(connection: IsolatedConnection) -> None:
    tag = await connection.copy_records_to_table(
        "users", schema_name="auth", columns=["email"], records=[("a@new.example",), ("b@new.example",)]
    )
    assert tag == "COPY 2"
    with pytest.raises(asyncpg.UniqueViolationError):
        await connection.copy_records_to_table(
            "users", schema_name="auth", columns=["email"], records=[("a@new.example",)]
        )
    output = io.BytesIO()
    await connection.copy_from_query("SELECT email FROM users WHERE email = $1", "a@new.example", output=output)
    assert output.getvalue() == b"a@new.example\n"
    statement = await connection.prepare(INSERT)
    with pytest.raises(asyncpg.UniqueViolationError):
        await statement.fetch("a@new.example")
    await statement.fetch("c@new.example")
    await connection.executemany(INSERT, [("d@new.example",), ("e@new.example",)])
    with pytest.raises(asyncpg.NoActiveSQLTransactionError):
        connection.cursor(COUNT)
    with pytest.raises(asyncpg.NoActiveSQLTransactionError):
        statement.cursor("f@new.example")
    async with connection.transaction():
        query = "SELECT email FROM users WHERE email LIKE '%@new.example' ORDER BY 1"
        emails = [row["email"] async for row in connection.cursor(query, prefetch=2)]
    assert [email[0] for email in emails] == ["a", "b", "c", "d", "e"]


async def test_a_notification_arrives_when_the_block_that_sent_it_ends_well(connection: IsolatedConnection) -> None:
    heard: asyncio.Queue[tuple[object, str, object]] = asyncio.Queue()

    def callback(who: object, pid: int, channel: str, payload: object) -> None:
        del pid
        heard.put_nowait((who, channel, payload))

    await connection.add_listener("news", callback)
    await connection.execute("NOTIFY news, 'one'")
    assert await asyncio.wait_for(heard.get(), 10) == (connection, "news", "one")
    with pytest.raises(ZeroDivisionError):
        async with connection.transaction():
            await connection.execute("NOTIFY news, 'lost'")
            raise ZeroDivisionError
    async with connection.transaction():
        await connection.execute("SELECT pg_notify($1, $2)", "news", "two")
        assert heard.empty()
    assert (await asyncio.wait_for(heard.get(), 10))[2] == "two"
    await connection.remove_listener("news", callback)
    await connection.execute("NOTIFY news, 'nobody'")
    assert heard.empty()


async def test_objects_made_in_one_test_do_not_confuse_the_next(connection: IsolatedConnection) -> None:
    for kind, value in (("int", 1), ("text", "x"), ("int[]", [1])):
        await connection.execute(f"CREATE TABLE fleeting (v {kind})")
        await connection.execute("INSERT INTO fleeting VALUES ($1)", value)
        assert await connection.fetchval("SELECT v FROM fleeting") == value
        assert await connection.rollback()
        await connection.begin()


async def test_a_plan_that_went_stale_inside_one_test_is_made_anew(connection: IsolatedConnection) -> None:
    await connection.execute("CREATE TABLE fleeting (v int)")
    await connection.execute("CREATE FUNCTION widen() RETURNS void LANGUAGE sql AS 'ALTER TABLE fleeting ADD w int'")
    assert await connection.fetch("SELECT * FROM fleeting") == []
    await connection.fetchval("SELECT widen()")
    await connection.execute("INSERT INTO fleeting VALUES (1, 2)")
    assert [tuple(row) for row in await connection.fetch("SELECT * FROM fleeting")] == [(1, 2)]


async def test_advisory_locks_and_session_state_do_not_outlive_the_test(connection: IsolatedConnection) -> None:
    await connection.execute("SELECT pg_advisory_lock(42); SET statement_timeout = '5s'; CREATE TEMP TABLE t (v int)")
    assert await connection.rollback()
    await connection.begin()
    assert await connection.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 42") == 0
    assert await connection.fetchval("SHOW statement_timeout") == "0"
    assert await connection.fetchval("SELECT to_regclass('pg_temp.t')") is None


@pytest.mark.parametrize("query", ["PREPARE p AS SELECT 1", "DEALLOCATE ALL"])
async def test_a_connection_that_keeps_something_says_so_at_the_end(connection: IsolatedConnection, query: str) -> None:
    await connection.execute(query)
    assert not await connection.rollback()


async def test_a_transaction_that_was_ended_behind_our_back_is_noticed(connection: IsolatedConnection) -> None:
    await connection.execute("CREATE PROCEDURE sneak() LANGUAGE plpgsql AS 'BEGIN COMMIT; END'")
    with pytest.raises(asyncpg.PostgresError) as caught:
        await connection.execute("CALL sneak()")
    assert MARKER in str(caught.value)
    raw = connection._connection
    await raw.execute("COMMIT")
    assert not await connection.rollback()


async def test_a_cancelled_statement_leaves_a_connection_that_works(connection: IsolatedConnection) -> None:
    await connection.execute(INSERT, "a@new.example")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await connection.execute("SELECT pg_sleep(30)")
    assert await email_count(connection) == 1
    with pytest.raises(TimeoutError):
        await connection.execute("SELECT pg_sleep(30)", timeout=0.05)
    assert await email_count(connection) == 1
    assert await connection.rollback()


async def test_two_tasks_at_once_get_asyncpgs_error(connection: IsolatedConnection) -> None:
    results = await asyncio.gather(
        *(connection.execute("SELECT pg_sleep(0.05)") for _ in range(2)), return_exceptions=True
    )
    assert sorted(type(each).__name__ for each in results) == ["InterfaceError", "str"]
    assert await connection.fetchval("SELECT 1") == 1


async def test_a_closed_connection_is_closed_for_the_test_and_open_for_the_next(connection: IsolatedConnection) -> None:
    await connection.close()
    assert connection.is_closed()
    with pytest.raises(asyncpg.InterfaceError, match="closed"):
        await connection.execute("SELECT 1")
    assert await connection.rollback()
    await connection.begin()
    assert await connection.fetchval("SELECT 1") == 1


async def test_a_commit_keeps_what_the_test_wrote(home: PostgresEndpoint, connection: IsolatedConnection) -> None:
    await connection.execute(INSERT, "kept@new.example")
    with pytest.raises(asyncpg.UniqueViolationError):
        await connection.execute(INSERT, "kept@new.example")
    await connection.commit()
    other = await asyncpg.connect(home.dsn)
    assert await other.fetchval(COUNT + " WHERE email = 'kept@new.example'") == 1
    await other.close()


async def test_on_a_database_of_its_own_everything_is_passed_on(home: PostgresEndpoint) -> None:
    connection = await IsolatedConnection.open(home, timeout=10, isolation="database")
    await connection.begin()
    await connection.execute("VACUUM")
    await connection.execute("BEGIN; INSERT INTO users (email) VALUES ('a@new.example'); COMMIT")
    async with connection.transaction(isolation="serializable"):
        assert await email_count(connection) == 1
    assert not await connection.rollback()
    await connection.aclose()
