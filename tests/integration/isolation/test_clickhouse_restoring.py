"""A ClickHouse database goes to the next test instead of being made anew only if it is exactly what the seed is."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from test_framework.endpoints import ClickHouseEndpoint
from test_framework.isolation.counters import Counters, SharedMemory
from test_framework.isolation.loose import LooseLedger
from test_framework.isolation.values import Identity
from test_framework.services.base import FixtureFile, SeedRequest
from test_framework.services.clickhouse.client import ClickHouseClient, ClickHouseReplyError
from test_framework.services.clickhouse.isolation import ClickHouseClones
from test_framework.services.clickhouse.seeding import seed
from test_framework.waiting import Deadline, wait_until

pytestmark = pytest.mark.asyncio(loop_scope="module")

BASE = """
CREATE TABLE things (id UInt32, label String) ENGINE = MergeTree PARTITION BY id % 3 ORDER BY id;
CREATE TABLE counts (label String, n UInt64) ENGINE = SummingMergeTree ORDER BY label;
CREATE TABLE others (id UInt32, label String) ENGINE = MergeTree PARTITION BY id % 3 ORDER BY id;
CREATE VIEW big_things AS SELECT id, label FROM things WHERE id > 1;
CREATE MATERIALIZED VIEW to_counts TO counts AS SELECT label, count() AS n FROM things GROUP BY label;
INSERT INTO things VALUES (1, 'one'), (2, 'two'), (4, 'four');
INSERT INTO others VALUES (7, 'seven');
"""
INNER = (
    f"{BASE} CREATE MATERIALIZED VIEW loud ENGINE = MergeTree ORDER BY id POPULATE"
    " AS SELECT id, upper(label) AS l FROM things;"
)
DICTIONARY = (
    f"{BASE} CREATE DICTIONARY names (id UInt64, label String) PRIMARY KEY id"
    " SOURCE(CLICKHOUSE(TABLE 'things' DB '{database}')) LAYOUT(FLAT()) LIFETIME(0);"
)
INSERT = "INSERT INTO things VALUES (3, 'three'), (5, 'five')"
Make = Callable[..., Awaitable["Copies"]]


class Copies:
    """The copies of one base database, and a client that is not the one which makes them."""

    def __init__(self, endpoint: ClickHouseEndpoint, counters: Counters | None = None) -> None:
        self.endpoint = endpoint
        self.clones = ClickHouseClones(endpoint, LooseLedger(), limit=3, timeout=30, counters=counters)
        self.client = ClickHouseClient(endpoint, 30)
        self.leased: list[str] = []
        self.put_back: list[str] = []

    async def close(self) -> None:
        for name in self.leased:
            await self.clones.destroy(name)
        await self.clones.close()
        self.client.close()

    async def lease(self) -> str:
        name = f"apes_test_gw0_{secrets.token_hex(4)}"
        self.leased.append(name)
        await self.clones.create(name, await self.clones.template())
        await self.clones.remember(name)
        return name

    async def run(self, name: str, *queries: str) -> None:
        """As a test would, in one session. A query that ends with ``fails`` is refused."""
        settings = {"session_id": secrets.token_hex(4), "mutations_sync": "1", "alter_sync": "2"}
        for query in queries:
            text, fails, _ = query.replace("{name}", name).partition(" -- fails")
            with pytest.raises(ClickHouseReplyError) if fails else nullcontext():
                await self.client.execute(text, database=name, settings=settings)

    async def contents(self, name: str) -> list[Any]:
        tables = await self.client.rows(
            "SELECT name, engine, replaceAll(create_table_query, database, ''), replaceAll(comment, database, '')"
            f" FROM system.tables WHERE database = '{name}' AND name NOT LIKE '.inner%' ORDER BY name"
        )
        data = {
            table: await self.client.rows(f"SELECT * FROM `{table}` ORDER BY ALL", database=name)
            for table, engine, *_ in tables
            if engine != "Dictionary"
        }
        return [tables, data]

    async def exists(self, name: str) -> bool:
        return bool(await self.client.rows(f"SELECT 1 FROM system.databases WHERE name = '{name}'"))


def seeded(server: ClickHouseEndpoint, directory: Path, text: str) -> ClickHouseEndpoint:
    """A database of its own that holds ``text``."""
    endpoint = replace(server, database=f"base_{secrets.token_hex(4)}")
    content = text.replace("{database}", endpoint.database).encode()
    file = FixtureFile(directory / "01.sql", content, "1", "01.sql")
    request = SeedRequest(steps=[file], checksum="1", stack_id="1", progress=lambda *_: None)
    asyncio.run(seed(endpoint, request, 30))
    return endpoint


@pytest.fixture(scope="module")
def base(clickhouse_server: ClickHouseEndpoint, tmp_path_factory: pytest.TempPathFactory) -> ClickHouseEndpoint:
    return seeded(clickhouse_server, tmp_path_factory.mktemp("base"), BASE)


@pytest_asyncio.fixture(loop_scope="module")
async def make(clickhouse_server: ClickHouseEndpoint, tmp_path: Path) -> AsyncIterator[Make]:
    """Copies of a base database of the test's own."""
    made: list[Copies] = []

    async def copies(text: str) -> Copies:
        made.append(Copies(await asyncio.to_thread(seeded, clickhouse_server, tmp_path, text)))
        return made[-1]

    yield copies
    for each in made:
        await each.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def copies(base: ClickHouseEndpoint) -> AsyncIterator[Copies]:
    """Copies of the base database that tests share and do not change."""
    found = Copies(base)
    yield found
    await found.close()


PUT_BACK = {
    "only read": ["SELECT count() FROM things"],
    "looked around": ["SHOW TABLES", "DESCRIBE TABLE things", "EXPLAIN SELECT 1"],
    "inserted": [INSERT],
    "inserted often": [INSERT, INSERT, "INSERT INTO counts VALUES ('one', 5)"],
    "inserted into itself": ["INSERT INTO things SELECT id + 3, label FROM things"],
    "inserted in vain": ["INSERT INTO things SELECT throwIf(1), '' -- fails"],
    "truncated": ["TRUNCATE TABLE things"],
    "a partition dropped": ["ALTER TABLE things DROP PARTITION ID '1'"],
    "a partition moved": ["ALTER TABLE things MOVE PARTITION ID '1' TO TABLE others"],
    "rows replaced by their like": ["ALTER TABLE things DROP PARTITION ID '2'", "INSERT INTO things VALUES (2, 'too')"],
    "merged": [INSERT, "OPTIMIZE TABLE things FINAL"],
    "seeded rows added up": ["INSERT INTO counts VALUES ('one', 5)", "OPTIMIZE TABLE counts FINAL"],
    "a table made and dropped": ["CREATE TABLE t (a Int8) ENGINE = Memory", "DROP TABLE t SYNC"],
    "a table for the session": ["CREATE TEMPORARY TABLE t (a Int8)", "INSERT INTO t VALUES (1)"],
    "renamed and named back": ["RENAME TABLE things TO x", "RENAME TABLE x TO things"],
    "exchanged": ["EXCHANGE TABLES things AND others", "EXCHANGE TABLES things AND others"],
    "detached and attached": ["DETACH TABLE others", "ATTACH TABLE others"],
    "dropped and made anew": ["DROP TABLE others SYNC", "CREATE TABLE others AS things"],
    "settings": ["SET max_threads = 1"],
}  # fmt: skip


@pytest.mark.parametrize("queries", PUT_BACK.values(), ids=PUT_BACK)
async def test_rows_are_put_back_and_the_database_is_the_seed_again(copies: Copies, queries: list[str]) -> None:
    name = copies.put_back.pop() if copies.put_back else await copies.lease()
    before = await copies.contents(copies.endpoint.database)
    for others in ("alone", "others make tables"):
        await copies.run(name, *queries)
        if others != "alone":
            await copies.client.execute("CREATE OR REPLACE TABLE default.o (a Int8) ENGINE = Memory")
        assert await copies.clones.restore(name), others
        assert await copies.contents(name) == before, others
    copies.put_back.append(name)  # for the next one


DROPPED = {
    "rows changed": ["ALTER TABLE things UPDATE label = 'x' WHERE id = 1"],
    "rows deleted": ["ALTER TABLE things DELETE WHERE id = 1"],
    "rows deleted lightly": ["DELETE FROM things WHERE id = 1"],
    "changed in vain": ["ALTER TABLE things DELETE WHERE id = 99"],
    "a column added": ["ALTER TABLE things ADD COLUMN x Int8"],
    "a column's default": ["ALTER TABLE things MODIFY COLUMN label DEFAULT 'x'"],
    "a setting": ["ALTER TABLE things MODIFY SETTING merge_with_ttl_timeout = 60"],
    "a comment": ["ALTER TABLE things MODIFY COMMENT 'x'"],
    "a comment on a column": ["ALTER TABLE things COMMENT COLUMN label 'x'"],
    "a time to live": ["ALTER TABLE things MODIFY TTL toDate('2100-01-01') + id"],
    "an index": ["ALTER TABLE things ADD INDEX x label TYPE set(10)"],
    "a projection": ["ALTER TABLE things ADD PROJECTION x (SELECT label ORDER BY label)"],
    "a table made": ["CREATE TABLE t (a Int8) ENGINE = MergeTree ORDER BY a"],
    "a table in memory": ["CREATE TABLE t (a Int8) ENGINE = Memory"],
    "a table dropped": ["DROP TABLE others"],
    "a table of another kind": ["DROP TABLE others SYNC", "CREATE TABLE others AS things ENGINE = Log"],
    "renamed": ["RENAME TABLE others TO x"],
    "detached": ["DETACH TABLE others"],
    "made and detached": ["CREATE TABLE t (a Int8) ENGINE = Memory", "DETACH TABLE t PERMANENTLY"],
    "a partition detached": ["ALTER TABLE things DETACH PARTITION ID '1'"],
    "a part in both places": [
        "ALTER TABLE others ATTACH PARTITION ID '1' FROM things", "ALTER TABLE others DETACH PARTITION ID '1'",
        "INSERT INTO others VALUES (7, 'seven')",
    ],
    "a view made": ["CREATE VIEW v AS SELECT 1"],
    "a view changed": ["CREATE OR REPLACE VIEW big_things AS SELECT id, label FROM things WHERE id > 2"],
    "a materialised view made": ["CREATE MATERIALIZED VIEW v TO others AS SELECT id, label FROM things"],
    "a view dropped": ["DROP VIEW to_counts"],
    "a dictionary made": [
        "CREATE DICTIONARY d (id UInt64) PRIMARY KEY id SOURCE(CLICKHOUSE(TABLE 'things')) LAYOUT(FLAT()) LIFETIME(0)"
    ],
    "a comment on the database": ["ALTER DATABASE {name} MODIFY COMMENT 'x'"],
    "the database dropped": ["DROP DATABASE {name} SYNC"],
    "the database made anew": ["DROP DATABASE {name} SYNC", "CREATE DATABASE {name}"],
}  # fmt: skip


@pytest.mark.parametrize("queries", DROPPED.values(), ids=DROPPED)
async def test_what_cannot_be_put_back_is_dropped(copies: Copies, queries: list[str]) -> None:
    name = await copies.lease()
    await copies.run(name, *queries)
    assert not await copies.clones.restore(name)
    await copies.clones.destroy(name)
    assert not await copies.exists(name)


async def test_merges_that_a_test_stopped_run_again(copies: Copies) -> None:
    name = await copies.lease()
    await copies.run(name, INSERT, "SYSTEM STOP MERGES things")
    assert await copies.clones.restore(name)
    await copies.run(name, INSERT, "OPTIMIZE TABLE things FINAL")
    parts = f"SELECT 1 FROM system.parts WHERE active AND database = '{name}' AND table = 'things' AND partition = '2'"
    assert await copies.client.rows(parts) == [[1]]


async def test_the_inner_table_of_a_view_is_put_back(make: Make) -> None:
    copies = await make(INNER)
    name = await copies.lease()
    before = await copies.contents(name)
    assert before[1]["loud"] == [[1, "ONE"], [2, "TWO"], [4, "FOUR"]]
    for query in (INSERT, "TRUNCATE TABLE loud"):
        await copies.run(name, query)
        assert await copies.clones.restore(name)
        assert await copies.contents(name) == before


async def test_a_dictionary_that_was_read_is_not_trusted_to_know_the_seed(make: Make) -> None:
    copies = await make(DICTIONARY)
    for query, restored in (
        ("SELECT 1", True),
        ("SELECT dictGet('{name}.names', 'label', 3)", False),
    ):
        name = await copies.lease()
        await copies.run(name, INSERT, query)
        assert await copies.clones.restore(name) is restored


@pytest.mark.parametrize(
    "table",
    [
        "CREATE TABLE t (a Int8) ENGINE = Memory",
        "CREATE TABLE t (a Int8) ENGINE = Log",
        "CREATE TABLE t (a Int8) ENGINE = MergeTree ORDER BY a SETTINGS non_replicated_deduplication_window = 9",
        "CREATE MATERIALIZED VIEW t ENGINE = Memory AS SELECT id FROM things",
        "CREATE MATERIALIZED VIEW t REFRESH EVERY 1 YEAR ENGINE = MergeTree ORDER BY id EMPTY AS SELECT id FROM things",
    ],
)
async def test_a_seed_whose_changes_cannot_be_seen_is_copied_anew_for_each_test_that_writes(
    make: Make, table: str
) -> None:
    copies = await make(f"{BASE}{table};")
    name = await copies.lease()
    await copies.run(name, INSERT)
    assert not await copies.clones.restore(name)


async def test_what_still_runs_is_ended_and_its_database_not_handed_out_again(copies: Copies) -> None:
    name = await copies.lease()
    slow = "INSERT INTO things SELECT number + sleepEachRow(1), 'late' FROM numbers(60) SETTINGS max_block_size = 1"
    other = ClickHouseClient(copies.endpoint, 60)
    running = asyncio.ensure_future(other.execute(slow, database=name))

    async def seen() -> bool:
        rows = await copies.client.rows(f"SELECT 1 FROM system.processes WHERE current_database = '{name}'")
        return bool(rows)

    assert await wait_until(seen, Deadline.after(30))
    assert not await copies.clones.restore(name)
    await copies.clones.destroy(name)
    with pytest.raises(ClickHouseReplyError):
        await running
    other.close()
    assert not await copies.exists(name)


async def test_copies_are_put_back_to_a_base_database_whose_parts_were_merged_meanwhile(make: Make) -> None:
    copies = await make(f"{BASE} INSERT INTO others VALUES (10, 'ten');")
    name = await copies.lease()
    before = await copies.contents(name)
    await copies.client.execute("OPTIMIZE TABLE others FINAL", database=copies.endpoint.database)
    await copies.run(name, INSERT, "INSERT INTO others VALUES (13, 'thirteen')")
    assert await copies.clones.restore(name)
    assert await copies.contents(name) == before


async def test_many_databases_are_put_back_at_once_each_by_itself(copies: Copies) -> None:
    names = [await copies.lease() for _ in range(6)]
    before = await copies.contents(names[0])
    for at, name in enumerate(names):
        await copies.run(name, *([[INSERT], ["SELECT 1"], ["DROP TABLE others"]][at % 3]))
    found = await asyncio.gather(*map(copies.clones.restore, names))
    assert found == [True, True, False] * 2
    assert [await copies.contents(name) == before for name in names] == found


@pytest_asyncio.fixture(loop_scope="module")
async def workers(base: ClickHouseEndpoint) -> AsyncIterator[list[Copies]]:
    """Two workers of one run, which know what the other one orders."""
    memory = SharedMemory("run")
    identities = [Identity(run_id="run", worker_id=f"gw{number}", counters=memory.path) for number in range(2)]
    found = [Copies(base, Counters.of(identity)) for identity in identities]
    yield found
    for each in found:
        await each.close()
    memory.close()


async def test_what_another_worker_orders_is_not_taken_for_what_a_test_did(workers: list[Copies]) -> None:
    mine, others = workers
    name = await mine.lease()
    assert await mine.clones.restore(name)
    await others.clones.destroy(await others.lease())
    assert await mine.clones.restore(name)
    assert not await _looks(mine, name)  # the counts alone said that nothing was written


async def test_what_a_test_did_is_not_taken_for_what_another_worker_ordered(workers: list[Copies]) -> None:
    mine, others = workers
    name = await mine.lease()
    before = await mine.contents(name)
    assert await mine.clones.restore(name)
    await asyncio.gather(others.lease(), mine.run(name, INSERT), others.lease())
    assert await mine.clones.restore(name)
    assert await mine.contents(name) == before


async def test_a_failed_order_of_another_worker_ends_what_was_known(workers: list[Copies]) -> None:
    mine, others = workers
    name = await mine.lease()
    assert await mine.clones.restore(name)
    with pytest.raises(ClickHouseReplyError):
        async with others.clones._admin.use() as client:
            await client.execute("DROP TABLE nothing")
    assert await mine.clones.restore(name)
    assert await _looks(mine, name)


async def test_a_worker_that_died_while_it_looked_keeps_nobody_waiting_for_long(workers: list[Copies]) -> None:
    mine, others = workers
    dead = others.clones._admin.orders.none()
    await dead.__aenter__()  # and never left
    async with asyncio.timeout(20):
        name = await mine.lease()
        assert await mine.clones.restore(name)


async def _looks(copies: Copies, name: str) -> list[Any]:
    """What the server was asked about the parts of a database. To be called last: keeping a log is an insert."""
    return await copies.client.rows(
        "SELECT query FROM system.query_log"
        f" WHERE type = 'QueryFinish' AND position(query, 'hash_of_all_files') > 0 AND position(query, '{name}') > 0"
    )
