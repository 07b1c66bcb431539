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


_LEAVING = {
    "a setting": ("SET max_threads = 3", {}),
    "a database": ("USE system", {}),
    "a temporary table": ("CREATE TEMPORARY TABLE left_behind (a UInt8)", {}),
    "settings of the statement": ("SELECT count() FROM numbers(3) SETTINGS max_threads = 3", {}),
    "settings of the request": ("SELECT count() FROM numbers(3)", {"max_threads": 3, "log_comment": "left"}),
    "the database of the request": ("SELECT count() FROM system.one", {"database": "system"}),
    "reading only": ("SELECT 1", {"readonly": 1}),
    "a parameter": ("SELECT {p:UInt8}", {"param_p": 3}),
    "a parameter that is no UTF-8": ("SELECT {p:String} FROM system.one", {"param_p": "\udcff"}),
    "a parameter in a statement": ("SET param_p = 3", {}),
    "a parameter of an insert": ("INSERT INTO {t} VALUES ({p:UInt8})", {"param_p": 3}),
    "progress": ("SELECT sleep(0.2) FROM system.one", {"send_progress_in_http_headers": 1}),
    "wide rows": ("SELECT repeat('x', 9) FROM numbers(2) FORMAT Native", {"client_protocol_version": 54405}),
    "a result": ("SELECT * FROM numbers(300000)", {}),
    "a document": ("SELECT * FROM numbers(3) FORMAT JSON", {}),
    "an insert": ("INSERT INTO {t} VALUES (1)", {}),
    "an error": ("SELECT throwIf(number = 200000) FROM numbers(300000) FORMAT TSV", {"wait_end_of_query": 1}),
    "an error in a document": ("SELECT throwIf(number = 2) FROM numbers(3) FORMAT JSON", {}),
    "an error of an insert": ("INSERT INTO {t} VALUES (1), ('x')", {}),
}


@pytest.mark.parametrize("case", _LEAVING)
async def test_what_a_request_leaves_reaches_no_other_without_a_session(client: Client, table: str, case: str) -> None:
    await client.text(f"CREATE TABLE {table} (a UInt8) ENGINE = Memory")
    look = (
        "SELECT currentDatabase(), (SELECT groupArray((name, value)) FROM system.settings WHERE changed),"
        " (SELECT groupArray(name) FROM system.tables WHERE is_temporary)"
    )
    before = await client.text(look)
    sql, url = _LEAVING[case]
    for _ in range(2):
        await client.send(sql.replace("{t}", table), **url)
        assert await client.text(look) == before
        unknown = await client.send("SELECT {p:UInt8} + count() FROM system.one")
        assert unknown.headers["X-ClickHouse-Exception-Code"] == "456"
        assert await client.text(f"INSERT INTO {table} SELECT 1") == ""


async def test_a_database_that_is_gone_is_unknown_to_the_next_request(client: Client, table: str) -> None:
    for number in range(2):
        await client.text(f"CREATE DATABASE {table}_d")
        await client.text("CREATE TABLE t ENGINE = Memory AS SELECT 1 AS a", database=f"{table}_d")
        for _ in range(2):
            assert await client.text("SELECT a FROM t", database=f"{table}_d") == "1\n"
        rename = number == 1
        await client.text(f"RENAME DATABASE {table}_d TO {table}_e" if rename else f"DROP DATABASE {table}_d SYNC")
        reply = await client.send("SELECT 1", database=f"{table}_d")
        assert reply.headers["X-ClickHouse-Exception-Code"] == "81"
    await client.text(f"DROP DATABASE {table}_e SYNC")
