"""Sessions over HTTP."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from .conftest import Client


@pytest.fixture
def session() -> str:
    return uuid.uuid4().hex


async def test_a_session_keeps_settings_database_and_temporary_tables(client: Client, session: str) -> None:
    await client.text("SET max_block_size = 123", session_id=session)
    await client.text("USE system", session_id=session)
    await client.text("CREATE TEMPORARY TABLE mine (a Int8)", session_id=session)
    await client.text("INSERT INTO mine VALUES (7)", session_id=session)
    sql = "SELECT getSetting('max_block_size'), currentDatabase(), a FROM mine"
    assert await client.text(sql, session_id=session) == "123\tsystem\t7\n"
    assert (await client.send("SELECT * FROM mine")).status == 404


async def test_url_settings_hold_for_one_request_of_a_session(client: Client, session: str) -> None:
    sql = "SELECT getSetting('max_block_size'), currentDatabase()"
    await client.text("SET max_block_size = 123", session_id=session)
    assert await client.text(sql, session_id=session, max_block_size=9, database="system") == "9\tsystem\n"
    assert await client.text(sql, session_id=session) == "123\tdefault\n"


async def test_a_set_under_url_settings_changes_the_session(client: Client, session: str) -> None:
    await client.text("SET max_block_size = 55", session_id=session, max_block_size=9, max_threads=1)
    sql = "SELECT getSetting('max_block_size')"
    assert await client.text(sql, session_id=session, max_threads=1) == "55\n"


async def test_a_failed_url_setting_leaves_the_session_usable(client: Client, session: str) -> None:
    assert (await client.send("SELECT 1", session_id=session, nope=1)).status == 404
    assert (await client.send("SELECT 1", session_id=session, max_threads="x")).status == 400
    assert (await client.send("SELECT 1", session_id=session, database="nope")).status == 404
    assert await client.text("SELECT currentDatabase()", session_id=session) == "default\n"


async def test_readonly_in_a_session_holds_for_its_request_only(client: Client, session: str, table: str) -> None:
    create = f"CREATE TABLE {table} (a Int8) ENGINE = Memory"
    reply = await client.send(method="GET", query=create, session_id=session)
    assert reply.headers["X-ClickHouse-Exception-Code"] == "164"
    reply = await client.send(create, session_id=session, readonly=1)
    assert reply.headers["X-ClickHouse-Exception-Code"] == "164"
    assert await client.text(create, session_id=session) == ""


async def test_a_session_that_chose_to_read_alone_goes_on_reading(client: Client, session: str, table: str) -> None:
    await client.text("SET readonly = 1", session_id=session)
    assert await client.text("SELECT number FROM numbers(2)", session_id=session) == "0\n1\n"
    for sql, url in ((f"CREATE TABLE {table} (a Int8) ENGINE = Memory", {}), ("SELECT 1", {"max_threads": 1})):
        reply = await client.send(sql, session_id=session, **url)
        assert reply.headers["X-ClickHouse-Exception-Code"] == "164"
    assert await client.text("SELECT 1", session_id=session) == "1\n"


async def test_a_session_keeps_its_time_zone(client: Client, session: str) -> None:
    await client.text("SET session_timezone = 'America/Denver'", session_id=session)
    reply = await client.send("SELECT timezone()", session_id=session)
    assert (reply.text, reply.headers["X-ClickHouse-Timezone"]) == ("America/Denver\n", "America/Denver")


async def test_a_session_in_use_is_locked(client: Client, session: str) -> None:
    slow = asyncio.create_task(client.text("SELECT sleep(1)", session_id=session))
    while "sleep(1)" not in await client.text("SELECT query FROM system.processes"):
        await asyncio.sleep(0.01)
    reply = await client.send("SELECT 1", session_id=session)
    assert (reply.status, reply.headers["X-ClickHouse-Exception-Code"]) == (500, "373")
    await slow
    assert await client.text("SELECT 1", session_id=session) == "1\n"


async def test_session_check_refuses_a_session_that_is_not_there(client: Client, session: str) -> None:
    reply = await client.send("SELECT 1", session_id=session, session_check=1)
    assert reply.headers["X-ClickHouse-Exception-Code"] == "372"
    await client.text("SELECT 1", session_id=session)
    assert await client.text("SELECT 1", session_id=session, session_check=1) == "1\n"


async def test_close_session_ends_it(client: Client, session: str) -> None:
    await client.text("CREATE TEMPORARY TABLE mine (a Int8)", session_id=session, close_session=1)
    assert (await client.send("SELECT * FROM mine", session_id=session)).status == 404


async def test_a_session_expires(client: Client, session: str) -> None:
    await client.text("SELECT 1", session_id=session, session_timeout=1)
    for _ in range(100):
        reply = await client.send("SELECT 1", session_id=session, session_check=1, session_timeout=0)
        if reply.status != 200:
            break
        await asyncio.sleep(0.1)
    assert reply.headers["X-ClickHouse-Exception-Code"] == "372"


@pytest.mark.parametrize("timeout", ["x", "-1", "3601"])
async def test_a_bad_session_timeout_is_refused(client: Client, session: str, timeout: str) -> None:
    reply = await client.send("SELECT 1", session_id=session, session_timeout=timeout)
    assert reply.headers["X-ClickHouse-Exception-Code"] == "374"


async def test_a_session_survives_errors(client: Client, session: str) -> None:
    await client.text("CREATE TEMPORARY TABLE mine (a Int8)", session_id=session)
    for sql in [
        "SELECT nope",
        "INSERT INTO mine FORMAT CSV\nx",
        "SELECT throwIf(number = 200000) FROM numbers(300000)",
    ]:
        assert (await client.send(sql, session_id=session)).status != 200
    assert await client.text("SELECT count() FROM mine", session_id=session) == "0\n"
