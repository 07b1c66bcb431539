"""A database goes to the next test instead of being made anew only if it is exactly what the seed is."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import asyncpg
import pytest

from test_framework.environment import Broker, Lease
from test_framework.services.postgres.restoring import RESET_TIME, prepare_state, read_born, read_facts, restore
from test_framework.waiting import Deadline, wait_until
from tests.integration.isolation.leasing import connect, run
from tests.seeded_stack import Stack

MakeBroker = Callable[..., Broker]
INSERT = "INSERT INTO users (email) VALUES ('a@new.example')"
CHILD = "INSERT INTO organizations (name, slug, owner_id) SELECT 'n', 'new', id FROM users WHERE email LIKE '%@new.e%'"
LONG = "INSERT INTO users (email, name) SELECT 'a@new.e', string_agg(md5(n::text), '') FROM generate_series(1, 9999) n"
REPLACE = (
    "CREATE TABLE x AS SELECT * FROM messages LIMIT 1; DELETE FROM messages WHERE id = (SELECT id FROM x);"
    " INSERT INTO messages SELECT * FROM x; DROP TABLE x"
)
SWAP = (
    "DELETE FROM users WHERE id = (SELECT min(id::text)::uuid FROM users u WHERE NOT EXISTS"
    f" (SELECT FROM organizations o WHERE o.owner_id = u.id)); {INSERT}"
)


@pytest.fixture
async def broker(make_broker: MakeBroker) -> AsyncIterator[Broker]:
    """One whose databases nobody else takes."""
    broker = make_broker(worker=f"gw{secrets.randbelow(10**9)}", pool_size=2)
    yield broker
    await asyncio.to_thread(broker.close)


def reserved(broker: Broker) -> list[str]:
    engine = broker._engine
    if engine is None or "postgres" not in engine._allocators:
        return []
    return list(engine._allocators["postgres"]._reserved)  # type: ignore[attr-defined]


async def lease_one(broker: Broker) -> Lease:
    """One that was looked at when it was new."""
    broker.warm(["postgres"])
    assert await wait_until(lambda: _now(bool(reserved(broker))), Deadline.after(60))
    (name, *_) = reserved(broker)
    lease = await broker.aacquire("postgres")
    assert lease.name == name
    return lease


async def _now(value: bool) -> bool:
    return value


async def comes_back(broker: Broker, stack: Stack, lease: Lease) -> bool:
    """Whether it serves the next test, once it is decided; the server has no such database otherwise."""

    async def held() -> bool:
        return (lease.name, "leased") in {(name, state) for _, name, state in await stack.books()}

    async def decided() -> bool:
        return not await held()

    assert await wait_until(held, Deadline.after(60))  # it need not be in the books at once
    await broker.arelease(lease)
    assert await wait_until(decided, Deadline.after(60))
    known = lease.name in {name for _, name, _ in await stack.books()}
    assert known == (lease.name in await stack.databases())
    return known


async def contents(stack: Stack, name: str) -> dict[str, object]:
    """Every row of every table, in the order in which the server brings it, and every sequence."""
    tables = await stack.sql(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname !~ '^(pg_|information)'",
        database=name,
    )
    sequences = await stack.sql("SELECT format('%I.%I', schemaname, sequencename) FROM pg_sequences", database=name)
    found: dict[str, object] = {
        table: await stack.sql(f"SELECT t::text, xmin::text FROM {table} t", database=name) for (table,) in tables
    }
    for (each,) in sequences:
        found[each] = await stack.sql(f"SELECT last_value, is_called FROM {each}", database=name)
    return found


PUT_BACK = {
    "only read": ["SELECT count(*) FROM users"],
    "locked": ["SELECT * FROM users FOR UPDATE"],
    "settings": ["SET search_path = public", "LISTEN x"],
    "inserted": [INSERT],
    "inserted in vain": [f"BEGIN; {INSERT}; ROLLBACK"],
    "inserted, changed and deleted": [
        INSERT, "UPDATE users SET name = 'x' WHERE email = 'a@new.example'", f"{INSERT.replace('a@', 'b@')}",
        "DELETE FROM users WHERE email = 'a@new.example'",
    ],
    "rows that refer to each other": [INSERT, CHILD],
    "in savepoints": [f"BEGIN; SAVEPOINT a; {INSERT}; ROLLBACK TO a; {INSERT}; RELEASE a; COMMIT"],
    "long values": [LONG],
    "changed in vain": ["BEGIN; UPDATE users SET name = 'x'; ROLLBACK"],
    "deleted in vain": ["BEGIN; DELETE FROM messages; ROLLBACK"],
}  # fmt: skip


@pytest.mark.parametrize("queries", PUT_BACK.values(), ids=PUT_BACK)
async def test_what_was_only_added_is_taken_away_and_the_database_is_the_seed_again(
    broker: Broker, stack: Stack, queries: list[str]
) -> None:
    lease = await lease_one(broker)
    before = await contents(stack, lease.name)
    await run(lease, *queries)
    assert await comes_back(broker, stack, lease)
    assert await contents(stack, lease.name) == before


DROPPED = {
    "a seeded row changed": ["UPDATE users SET name = name WHERE email = (SELECT min(email) FROM users)"],
    "a seeded row deleted": ["DELETE FROM messages WHERE id = (SELECT min(id::text)::uuid FROM messages)"],
    "a seeded row replaced by its like": [REPLACE],
    "one deleted, another inserted": [SWAP],
    "truncated": ["TRUNCATE messages"],
    "a table made": ["CREATE TABLE t (v int)"],
    "a table for a while": ["CREATE TEMP TABLE t (v int)"],
    "a table made and dropped": ["CREATE TABLE t AS SELECT 1; DROP TABLE t"],
    "commented": ["COMMENT ON TABLE users IS 'x'"],
    "analysed": ["ANALYZE users"],
    "a large object": ["SELECT lo_create(0)"],
    "a trigger": [
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "CREATE TRIGGER t BEFORE DELETE ON users FOR EACH ROW EXECUTE FUNCTION f()",
        INSERT,
    ],
    "a setting of the database": [
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET work_mem = 64', current_database()); END $$"
    ],
    "a comment on the database": [
        "DO $$ BEGIN EXECUTE format('COMMENT ON DATABASE %I IS ''x''', current_database()); END $$"
    ],
    "a grant on the database": [
        "DO $$ BEGIN EXECUTE format('GRANT CONNECT ON DATABASE %I TO pg_monitor', current_database()); END $$"
    ],
    "its connections limited": [
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I CONNECTION LIMIT 7', current_database()); END $$"
    ],
    "a sequence": ["CREATE SEQUENCE s; SELECT nextval('s')"],
    "more than is worth it": [
        "INSERT INTO users (email, name) SELECT n || '@new.example', repeat('x', 500) FROM generate_series(1, 12000) n"
    ],
}


@pytest.mark.parametrize("queries", DROPPED.values(), ids=DROPPED)
async def test_what_was_changed_in_any_other_way_is_dropped(broker: Broker, stack: Stack, queries: list[str]) -> None:
    lease = await lease_one(broker)
    await run(lease, *queries)
    assert not await comes_back(broker, stack, lease)


async def test_a_test_that_renames_its_database_there_and_back_cannot_pass_its_rows_off_as_seeded(
    broker: Broker, stack: Stack
) -> None:
    lease = await lease_one(broker)
    await run(lease, SWAP)
    await stack.sql(f"ALTER DATABASE {lease.name} RENAME TO {lease.name}_x")
    await stack.sql(f"ALTER DATABASE {lease.name}_x RENAME TO {lease.name}")
    assert not await comes_back(broker, stack, lease)


async def test_many_tests_in_a_row_share_a_few_databases_and_each_finds_the_seed(broker: Broker, stack: Stack) -> None:
    await lease_one(broker)
    names = set()
    for _ in range(30):
        lease = await broker.aacquire("postgres")
        names.add(lease.name)
        connection = await connect(lease)
        assert await connection.fetchval("SELECT count(*) FROM users") == 60
        await connection.execute(INSERT)
        await connection.close()
        await broker.arelease(lease)
    assert len(names) <= 8


async def test_connections_a_test_left_open_write_nothing_into_what_the_next_one_gets(
    broker: Broker, stack: Stack
) -> None:
    lease = await lease_one(broker)
    before = await contents(stack, lease.name)
    left = await connect(lease)
    await left.execute(f"BEGIN; {INSERT}")
    assert await comes_back(broker, stack, lease)
    assert await contents(stack, lease.name) == before
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await left.execute("COMMIT")
    left.terminate()


@pytest.mark.parametrize("action", ["drop", "rename", "copy"])
async def test_a_test_may_drop_rename_and_copy_its_own_database(broker: Broker, stack: Stack, action: str) -> None:
    lease = await lease_one(broker)
    other = f"copy_{secrets.token_hex(4)}"
    if action == "drop":
        await stack.sql(f"DROP DATABASE {lease.name}")
    elif action == "rename":
        await stack.sql(f"ALTER DATABASE {lease.name} RENAME TO {other}")
    else:
        await stack.sql(f"CREATE DATABASE {other} TEMPLATE {lease.name}")
    try:
        assert (await comes_back(broker, stack, lease)) is (action == "copy")
    finally:
        await stack.sql(f"DROP DATABASE IF EXISTS {other} WITH (FORCE)")


async def test_sequences_start_again_where_the_seed_left_them(stack: Stack) -> None:
    template, name = (f"seq_{secrets.token_hex(4)}" for _ in range(2))
    await stack.sql(f"CREATE DATABASE {template}")
    await stack.sql("CREATE TABLE t (id serial, v int)", database=template)
    await stack.sql("INSERT INTO t (v) VALUES (1), (2)", database=template)
    await stack.sql("CREATE SEQUENCE unused START 7", database=template)
    await stack.sql(f"ALTER DATABASE {template} IS_TEMPLATE true")  # as the seeder does when it is complete
    await stack.sql(f"CREATE DATABASE {name} TEMPLATE {template}")
    connection = await asyncpg.connect(replace(stack.endpoints.postgres, database=name).dsn)
    born = await read_born(connection, template)
    assert born is not None
    facts = await read_facts(connection, template, born)
    assert facts is not None
    reset = await connection.fetchval(RESET_TIME)
    state = await prepare_state(connection)
    try:
        await stack.sql("INSERT INTO t (v) VALUES (3)", database=name)
        await stack.sql("SELECT nextval('unused')", database=name)
        assert await restore(connection, facts, reset, state)
        assert await connection.fetch("INSERT INTO t (v) VALUES (3) RETURNING id, nextval('unused')") == [(3, 7)]
        await stack.sql("ALTER SEQUENCE unused INCREMENT 5", database=name)
        assert not await restore(connection, facts, reset, state)
    finally:
        await connection.close()
        await stack.sql(f"DROP DATABASE {name} WITH (FORCE)")
        await stack.sql(f"ALTER DATABASE {template} IS_TEMPLATE false")
        await stack.sql(f"DROP DATABASE {template} WITH (FORCE)")


STEPS = [
    INSERT,
    INSERT.replace("a@", "b@"),
    CHILD,
    "DELETE FROM users WHERE email LIKE '%@new.example'",
    "DELETE FROM organizations WHERE slug = 'new'",
    "UPDATE users SET name = 'x' WHERE email LIKE '%@new.example'",
    "UPDATE users SET name = 'x' WHERE email = (SELECT min(email) FROM users)",
    "DELETE FROM messages WHERE id = (SELECT min(id::text)::uuid FROM messages)",
    "SELECT count(*) FROM users",
    f"BEGIN; {INSERT.replace('a@', 'c@')}; ROLLBACK",
    "TRUNCATE messages",
    "CREATE TABLE IF NOT EXISTS t (v int)",
    "VACUUM users",
]


async def test_whatever_a_test_did_the_next_one_finds_the_seed(broker: Broker, stack: Stack) -> None:
    dice = random.Random(4711)
    seed: dict[str, object] | None = None
    back = 0
    for _ in range(12):
        lease = await lease_one(broker)
        found = {name: [row[0] for row in rows] for name, rows in (await contents(stack, lease.name)).items()}  # type: ignore[attr-defined]
        seed = seed or found
        assert found == seed
        connection = await connect(lease)
        for step in dice.choices(STEPS, k=dice.randint(1, 3)):
            try:
                await connection.execute(step)
            except asyncpg.PostgresError:
                await connection.execute("ROLLBACK")
        await connection.close()
        back += await comes_back(broker, stack, lease)
    assert 0 < back < 12
