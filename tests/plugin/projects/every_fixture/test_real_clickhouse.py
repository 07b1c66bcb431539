"""The ClickHouse client of a test, in whatever event loop the test runs."""

import uuid

import clickhouse_connect
import pytest

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize("again", range(2))
async def test_every_test_starts_from_the_seed(real_clickhouse, again):
    seeded = await real_clickhouse.execute("SELECT count() FROM user_events")
    assert seeded == [(120000,)]
    assert await real_clickhouse.execute("INSERT INTO user_events (event_type) VALUES ('mine')") == []
    assert await real_clickhouse.execute("SELECT event_type FROM user_events WHERE event_type = 'mine'") == [("mine",)]


async def test_rows_are_tuples_and_parameters_are_bound(real_clickhouse):
    rows = await real_clickhouse.execute("SELECT {n:UInt8} + 1, {text:String}", {"n": 41, "text": "it's"})
    assert rows == [(42, "it's")]
    assert await real_clickhouse.execute("SELECT %(text)s", {"text": "it's"}) == [("it's",)]
    assert await real_clickhouse.execute("SELECT 1 WHERE 0") == []


async def test_rows_are_inserted_in_bulk_by_either_way(real_clickhouse):
    assert await real_clickhouse.execute("CREATE TABLE things (n UInt32, name String) ENGINE = Memory") == []
    assert await real_clickhouse.insert("things", [[1, "one"], [2, "two"]], column_names=["n", "name"]) == 2
    assert await real_clickhouse.execute("INSERT INTO things (n, name) VALUES", [(3, "three"), (4, "four")]) == []
    assert await real_clickhouse.insert("things", []) == 0
    rows = await real_clickhouse.execute("SELECT * FROM things ORDER BY n")
    assert rows == [(1, "one"), (2, "two"), (3, "three"), (4, "four")]


async def test_a_query_knows_its_columns(real_clickhouse):
    result = await real_clickhouse.query("SELECT 1 AS a, 'x' AS b")
    assert list(result.named_results()) == [{"a": 1, "b": "x"}]
    assert await real_clickhouse.command("SELECT 7") == 7


async def test_a_mutation_is_done_when_it_returns(real_clickhouse):
    agent = uuid.uuid4()
    await real_clickhouse.insert("agent_usage", [[agent, 5]], column_names=["agent_id", "requests"])
    await real_clickhouse.execute("ALTER TABLE agent_usage UPDATE requests = 6 WHERE agent_id = {a:UUID}", {"a": agent})
    assert await real_clickhouse.execute(
        "SELECT requests FROM agent_usage WHERE agent_id = {a:UUID}", {"a": agent}
    ) == [(6,)]


async def test_a_table_has_a_name_that_means_the_same_everywhere(real_clickhouse, clickhouse_url):
    name = real_clickhouse.get_table_name("user_events")
    assert real_clickhouse.database in name
    other = await clickhouse_connect.get_async_client(dsn=clickhouse_url, database="default")
    try:
        assert (await other.query(f"SELECT count() FROM {name}")).result_rows[0][0] == 120000
    finally:
        await other.close()


async def test_an_error_is_the_drivers_own(real_clickhouse):
    with pytest.raises(clickhouse_connect.driver.exceptions.DatabaseError, match="nonsense"):
        await real_clickhouse.execute("SELECT nonsense")
    assert await real_clickhouse.execute("SELECT 1") == [(1,)]


async def test_all_clients_are_one(real_clickhouse, clickhouse_client, isolated_clickhouse):
    assert clickhouse_client is real_clickhouse is isolated_clickhouse
