"""A copy is like the seeded database in everything, whatever it is made of."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest
import redis

from test_framework.endpoints import ClickHouseEndpoint, Endpoints, PostgresEndpoint
from test_framework.environment import Broker, Identity, IsolationOptions, reap
from test_framework.seeding import build_plan, seed_all
from test_framework.services.clickhouse import cloning
from test_framework.services.clickhouse.client import ClickHouseClient
from test_framework.settings import load_settings
from tests.seeded_stack import Stack

POSTGRES = """
CREATE SCHEMA auth; CREATE SCHEMA backend; CREATE SCHEMA analytics;
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE TABLE auth.things (id serial PRIMARY KEY, label text);
INSERT INTO auth.things (label) VALUES ('one'), ('two');
"""
CLICKHOUSE = """
CREATE TABLE things (id UInt32, label String) ENGINE = MergeTree PARTITION BY id % 2 ORDER BY id;
CREATE TABLE counts (label String, n UInt64) ENGINE = SummingMergeTree ORDER BY label;
CREATE TABLE notes (id UInt32, note String) ENGINE = Log;
CREATE VIEW b_view AS SELECT id, label FROM things WHERE id > 1;
CREATE VIEW a_view AS SELECT count() AS n FROM b_view;
CREATE MATERIALIZED VIEW to_counts TO counts AS SELECT label, count() AS n FROM things GROUP BY label;
CREATE MATERIALIZED VIEW inner_mv ENGINE = MergeTree ORDER BY id AS SELECT id, upper(label) AS loud FROM things;
-- dictionary
CREATE DICTIONARY names (id UInt64, label String) PRIMARY KEY id
    SOURCE(CLICKHOUSE(TABLE 'things' DB '{database}')) LAYOUT(FLAT()) LIFETIME(0);
INSERT INTO things VALUES (1, 'one'), (2, 'two'), (3, 'three');
INSERT INTO notes VALUES (1, 'a note that says {database}.things');
"""


DICTIONARY = re.compile(r"-- dictionary.*?LIFETIME\(0\);", re.DOTALL)


def seed(endpoints: Endpoints, directory: Path, marker: str, *, dictionary: bool = False) -> None:
    # A database with a dictionary cannot be renamed, so it cannot be seeded anew either.
    clickhouse = CLICKHOUSE if dictionary else DICTIONARY.sub("", CLICKHOUSE)
    for service, text in (("postgres", POSTGRES), ("clickhouse", clickhouse), ("redis", "")):
        (directory / service).mkdir(parents=True, exist_ok=True)
        if text:
            content = text.replace("{database}", endpoints.clickhouse.database)
            (directory / service / "01.sql").write_text(f"-- {marker}\n{content}")
    settings = replace(load_settings(Path("/nonexistent"), {}), endpoints=endpoints, fixtures_dirs=(directory,))
    asyncio.run(seed_all(endpoints, build_plan(settings), timeout=60))


@pytest.fixture
def endpoints(stack: Stack, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Endpoints]:
    """Databases with a bit of everything in them."""
    name = f"cloning_{secrets.token_hex(4)}"
    endpoints = replace(
        stack.endpoints,
        postgres=replace(stack.endpoints.postgres, database=name),
        clickhouse=replace(stack.endpoints.clickhouse, database=name),
        redis=replace(stack.endpoints.redis, database=250),
    )
    seed(endpoints, tmp_path / "seed", "first", dictionary="clickhouse_object" in request.node.name)
    yield endpoints
    with redis.Redis.from_url(endpoints.redis.url) as client:
        client.flushdb()


async def rows(endpoint: ClickHouseEndpoint, query: str) -> list[list[object]]:
    client = ClickHouseClient(endpoint, 30)
    try:
        return await client.rows(query, database=endpoint.database)
    finally:
        client.close()


async def execute(endpoint: ClickHouseEndpoint, query: str) -> None:
    client = ClickHouseClient(endpoint, 30)
    try:
        await client.execute(query, database=endpoint.database)
    finally:
        client.close()


@pytest.mark.parametrize("clone_as", [True, False], ids=["clone-as", "attach"])
async def test_every_kind_of_clickhouse_object_is_copied_and_is_the_copys_own(
    endpoints: Endpoints, monkeypatch: pytest.MonkeyPatch, clone_as: bool
) -> None:
    if not clone_as:
        monkeypatch.setattr(cloning, "_CLONE_AS", (999, 0))
    broker = Broker(endpoints, Identity(run_id="1" * 16))
    try:
        copy = (await broker.aacquire("clickhouse")).endpoint
        assert isinstance(copy, ClickHouseEndpoint)
        assert await rows(copy, "SELECT label FROM things ORDER BY id") == [["one"], ["two"], ["three"]]
        note = f"a note that says {endpoints.clickhouse.database}.things"
        assert await rows(copy, "SELECT note FROM notes") == [[note]]
        assert await rows(copy, "SELECT loud FROM inner_mv ORDER BY id") == [["ONE"], ["TWO"], ["THREE"]]
        assert await rows(copy, "SELECT label, toUInt32(sum(n)) FROM counts GROUP BY 1 ORDER BY 1") == [
            ["one", 1], ["three", 1], ["two", 1],
        ]  # fmt: skip
        await execute(copy, "INSERT INTO things VALUES (4, 'four')")
        assert await rows(copy, "SELECT toUInt32(n) FROM a_view") == [[3]]
        assert await rows(copy, "SELECT loud FROM inner_mv WHERE id = 4") == [["FOUR"]]
        assert await rows(copy, f"SELECT dictGet('{copy.database}.names', 'label', 4)") == [["four"]]
        base = endpoints.clickhouse
        for table in ("things", "inner_mv"):
            assert await rows(base, f"SELECT toUInt32(count()) FROM {table}") == [[3]]
        ((statements,),) = await rows(
            copy, f"SELECT groupArray(create_table_query) FROM system.tables WHERE database = '{copy.database}'"
        )
        assert base.database not in str(statements)
    finally:
        await asyncio.to_thread(broker.close)
    left = f"SELECT name FROM system.databases WHERE name = '{copy.database}'"
    assert await rows(replace(copy, database="default"), left) == []


async def test_sequences_of_a_copy_start_as_seeded_and_extensions_are_there(endpoints: Endpoints) -> None:
    broker = Broker(endpoints, Identity(run_id="1" * 16), options=IsolationOptions(pool_size=4))
    try:
        for _ in range(3):
            lease = await broker.aacquire("postgres")
            assert isinstance(lease.endpoint, PostgresEndpoint)
            connection = await asyncpg.connect(lease.endpoint.dsn)
            assert await connection.fetchval("SELECT similarity('abc', 'abc')") == 1
            # Nothing but the sequence is touched, which no counter shows.
            assert await connection.fetchval("SELECT nextval('auth.things_id_seq')") == 3
            await connection.close()
            await broker.arelease(lease)
    finally:
        await asyncio.to_thread(broker.close)


async def test_ready_copies_of_an_old_seed_are_dropped_and_those_in_use_stay(
    endpoints: Endpoints, stack: Stack, tmp_path: Path
) -> None:
    old = Broker(endpoints, Identity(run_id="1" * 16), options=IsolationOptions(pool_size=2))
    new = Broker(endpoints, Identity(run_id="2" * 16), options=IsolationOptions(pool_size=1))
    try:
        leases = [await old.aacquire(service) for service in ("postgres", "clickhouse")]
        await asyncio.to_thread(seed, endpoints, tmp_path / "other", "second")
        await reap(endpoints)
        names = {name for _, name, _ in await stack.books()}
        assert {lease.name for lease in leases} <= names
        assert isinstance(leases[0].endpoint, PostgresEndpoint)
        await (await asyncpg.connect(leases[0].endpoint.dsn)).close()
        template = "SELECT template FROM isolation.namespaces WHERE name = $1"
        fresh = await new.aacquire("postgres")
        assert await stack.sql(template, fresh.name) != await stack.sql(template, leases[0].name)
        (outdated,) = await stack.sql(template, leases[0].name)
        await asyncio.to_thread(old.close)
        assert (await reap(endpoints)).failures == ()
        left = await stack.sql("SELECT count(*) FROM isolation.namespaces WHERE template = $1", outdated[0])
        assert left == [(0,)]
    finally:
        await asyncio.to_thread(old.close)
        await asyncio.to_thread(new.close)
