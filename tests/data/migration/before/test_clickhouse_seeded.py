from unittest.mock import AsyncMock


async def count_of(clickhouse_client, kind):
    rows = await clickhouse_client.execute("SELECT count() FROM user_events WHERE event_type = {kind:String}", {"kind": kind})
    return rows[0][0]


async def log(clickhouse_client, kind, path):
    await clickhouse_client.execute("INSERT INTO user_events (event_type, path) VALUES", [(kind, path)])


async def test_count():
    clickhouse_client = AsyncMock()
    clickhouse_client.execute.return_value = [(2,)]
    assert await count_of(clickhouse_client, "refund") == 2


async def test_log():
    clickhouse_client = AsyncMock()
    await log(clickhouse_client, "refund", "/billing")
    clickhouse_client.execute.assert_awaited_once_with(
        "INSERT INTO user_events (event_type, path) VALUES", [("refund", "/billing")]
    )
