"""Running queries: killing, leaving, limits, and what the log says afterwards."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from .conftest import Client, Start

SLOW = "SELECT count() FROM numbers(100000000000) WHERE sipHash64(number) = 1"


async def running(client: Client, query_id: str) -> bool:
    sql = f"SELECT count() FROM system.processes WHERE query_id = '{query_id}'"
    return await client.text(sql) != "0\n"


async def until(client: Client, query_id: str, *, runs: bool) -> None:
    """Wait until the query runs, or does not any more."""
    async with asyncio.timeout(30):
        while await running(client, query_id) != runs:
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("query_id", ["0c9dd7b4-ba0e-4f5e-a2ab-1c1f2f5d6f10", 'it\'s "mine" & \\ odd/é'])
async def test_a_query_is_killed_by_the_clients_id(client: Client, query_id: str) -> None:
    victim = asyncio.create_task(client.send(SLOW, query_id=query_id))
    async with asyncio.timeout(30):
        while SLOW not in await client.text("SELECT query FROM system.processes"):
            await asyncio.sleep(0.02)
    quoted = query_id.replace("\\", "\\\\").replace("'", "\\'")
    killed = await client.text(f"KILL QUERY WHERE query_id = '{quoted}' SYNC FORMAT JSONCompactEachRow")
    assert [row[1::2] for row in map(json.loads, killed.splitlines())] == [[query_id, SLOW]]
    reply = await victim
    assert (reply.status, reply.headers["X-ClickHouse-Exception-Code"]) == (500, "394")


@pytest.mark.parametrize(
    "sql",
    [
        SLOW,
        SLOW + " FORMAT Native",
        "SELECT number FROM numbers(100000000000)",
        "SELECT number FROM system.numbers FORMAT JSON",
    ],
)
@pytest.mark.parametrize("revision", [0, 54405])
async def test_a_client_that_goes_away_ends_its_query(client: Client, sql: str, revision: int) -> None:
    query_id = str(uuid.uuid4())
    task = asyncio.create_task(client.send(sql, query_id=query_id, client_protocol_version=revision))
    await until(client, query_id, runs=True)
    task.cancel()
    await until(client, query_id, runs=False)


async def test_a_client_that_goes_away_ends_its_statement_without_output(client: Client, table: str) -> None:
    query_id = str(uuid.uuid4())
    sql = f"CREATE TABLE {table} ENGINE = Memory AS {SLOW}"
    task = asyncio.create_task(client.send(sql, query_id=query_id))
    await until(client, query_id, runs=True)
    task.cancel()
    await until(client, query_id, runs=False)


async def test_a_session_is_free_again_after_its_client_went_away(client: Client) -> None:
    session, query_id = uuid.uuid4().hex, str(uuid.uuid4())
    task = asyncio.create_task(client.send(SLOW, query_id=query_id, session_id=session))
    await until(client, query_id, runs=True)
    task.cancel()
    async with asyncio.timeout(30):
        while (await client.send("SELECT 1", session_id=session)).status != 200:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("mode", ["", "ASYNC"])
async def test_a_kill_reaches_a_query_that_is_not_yet_running(client: Client, mode: str) -> None:
    query_id = str(uuid.uuid4())
    begun, go = asyncio.Event(), asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        begun.set()
        yield SLOW[:-1].encode()
        await go.wait()
        yield SLOW[-1:].encode()

    login = {"X-ClickHouse-User": client.server.user, "X-ClickHouse-Key": client.server.password}
    url = f"{client.server.url}/?query_id={query_id}"
    victim = asyncio.create_task(client.session.post(url, data=body(), headers=login, expect100=True))
    async with asyncio.timeout(30):
        await begun.wait()
        await client.text(f"KILL QUERY WHERE query_id = '{query_id}' {mode}")
        go.set()
        async with await victim as reply:
            assert reply.headers["X-ClickHouse-Exception-Code"] == "394"


async def test_when_a_kill_returns_the_id_is_free(client: Client) -> None:
    for _ in range(5):
        query_id = str(uuid.uuid4())
        victim = asyncio.create_task(client.send(SLOW, query_id=query_id))
        await until(client, query_id, runs=True)
        await client.text(f"KILL QUERY WHERE query_id = '{query_id}' SYNC")
        assert await client.text("SELECT 1", query_id=query_id) == "1\n"
        assert (await victim).headers["X-ClickHouse-Exception-Code"] == "394"


async def test_a_kill_that_only_tests_ends_nothing(client: Client) -> None:
    query_id = str(uuid.uuid4())
    victim = asyncio.create_task(client.send("SELECT sleep(0.5) + 41", query_id=query_id))
    await until(client, query_id, runs=True)
    assert query_id in await client.text(f"KILL QUERY WHERE query_id = '{query_id}' TEST")
    assert (await victim).text == "41\n"


async def test_a_statement_knows_its_user_and_its_id(client: Client, table: str) -> None:
    sql = "SELECT currentUser(), user() AS u, upper(current_user()), queryID(), 'user()' FORMAT TSVWithNames"
    names, values = (await client.text(sql, query_id="mine")).splitlines()
    assert names == "currentUser()\tu\tupper(current_user())\tqueryID()\t\\'user()\\'"
    assert values == "tester\ttester\tTESTER\tmine\tuser()"
    await client.text(f"CREATE TABLE {table} (who String) ENGINE = Memory")
    await client.text(f"INSERT INTO {table} SELECT currentUser()")
    reply = await client.send(f"SELECT count() FROM {table} WHERE who = user()", default_format="CSVWithNames")
    assert reply.text == '"count()"\n1\n'
    reply = await client.send("SELECT 1 + currentUser()")
    assert "In scope SELECT 1 + currentUser()" in reply.text


@pytest.mark.parametrize(
    ("sql", "place"),
    [
        ("\n\nSELECT 1 FRM x y", "position 16 (x) (line 3, col 14)"),
        ("-- who\n SELECT currentUser() FRM x", "position 34 (x) (line 2, col 27)"),
        (" SELECT * FROM system.processes p q", "position 35 (q)"),
        (" SHOW TABLS", "position 7 (TABLS)"),
        (" INSERT INTO t (a b) FORMAT CSV\n1", "position 19 (b) (line 1, col 19)"),
    ],
)
@pytest.mark.parametrize("format", ["TabSeparated", "Native"])
async def test_a_syntax_error_is_where_the_client_wrote_it(client: Client, sql: str, place: str, format: str) -> None:
    reply = await client.send(sql, default_format=format)
    assert f"failed at {place}: " in reply.text, reply.text


async def test_two_queries_of_one_id_do_not_run_at_once(client: Client) -> None:
    query_id = str(uuid.uuid4())
    task = asyncio.create_task(client.send(SLOW, query_id=query_id))
    await until(client, query_id, runs=True)
    reply = await client.send("SELECT 1", query_id=query_id)
    assert reply.headers["X-ClickHouse-Exception-Code"] == "216"
    await client.text(f"KILL QUERY WHERE query_id = '{query_id}' SYNC")
    await task
    assert await client.text("SELECT 1", query_id=query_id) == "1\n"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT query FROM system.processes WHERE query_id = queryID() OR 1 FORMAT JSONCompactEachRow",
        "SELECT query AS q FROM system.processes AS p WHERE p.query_id = 'x' OR 1 FORMAT JSONCompactEachRow",
        "SELECT query FROM (SELECT * FROM system.processes) FORMAT JSONCompactEachRow",
        "/* why */ SELECT query FROM system.processes FORMAT JSONCompact",
    ],
)
async def test_processes_show_the_statement_as_it_was_sent(client: Client, sql: str) -> None:
    answer = await client.text(sql)
    sent = sql.removeprefix("/* why */ ")
    rows = json.loads(answer)["data"] if sql.endswith("JSONCompact") else map(json.loads, answer.splitlines())
    assert [sent] in list(rows)


@pytest.mark.parametrize(
    "sql", ["SHOW PROCESSLIST FORMAT JSONEachRow", "SELECT * FROM system.processes FORMAT JSONEachRow"]
)
async def test_the_list_of_processes_shows_ids_and_texts_as_clients_know_them(client: Client, sql: str) -> None:
    query_id = str(uuid.uuid4())
    task = asyncio.create_task(client.send(SLOW, query_id=query_id))
    while True:
        rows = [json.loads(line) for line in (await client.text(sql)).splitlines()]
        if [row["query"] for row in rows if row["query_id"] == query_id] == [SLOW]:
            break
    await client.text(f"KILL QUERY WHERE query = '{SLOW}' AND query_id = '{query_id}' SYNC")
    assert (await task).status == 500


async def test_too_many_queries_are_refused(start: Start, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"max_concurrent_queries": 2}))
    server = start("--config", str(config))
    async with aiohttp.ClientSession() as session:
        client = Client(server, session)
        login = {"X-ClickHouse-User": server.user, "X-ClickHouse-Key": server.password}
        endless = "SELECT number FROM system.numbers"
        async with (
            session.post(server.url, data=endless, headers=login),
            session.post(server.url, data=endless, headers=login),
        ):
            reply = await client.send("SELECT 1")
            assert reply.headers["X-ClickHouse-Exception-Code"] == "202"
            assert (await client.send(method="GET", path="/ping")).status == 200
        async with asyncio.timeout(30):
            while (await client.send("SELECT 1")).status != 200:
                await asyncio.sleep(0.02)


async def test_one_query_is_bounded_by_the_memory_of_the_environment(start: Start) -> None:
    server = start(environ={"CLICKHOUSE_MAX_MEMORY_USAGE": "50000000"})
    async with aiohttp.ClientSession() as session:
        client = Client(server, session)
        sql = "SELECT value FROM system.settings WHERE name = 'max_memory_usage'"
        assert await client.text(sql) == "50000000\n"
        all_queries = "SELECT value FROM system.server_settings WHERE name = 'max_server_memory_usage'"
        assert await client.text(all_queries) == f"{1 << 30}\n"
        reply = await client.send("SELECT groupArray(number) FROM numbers(100000000)")
        assert reply.headers["X-ClickHouse-Exception-Code"] == "241"
        assert await client.text("SELECT 1") == "1\n"


async def test_the_process_is_bounded_when_fifty_clients_want_all_the_memory_there_is(start: Start) -> None:
    limit, idle, client_bytes = 400_000_000, 300 << 20, 6 << 20
    server = start(
        environ={"CLICKHOUSE_MAX_MEMORY_USAGE": "150000000", "CLICKHOUSE_MAX_SERVER_MEMORY_USAGE": str(limit)}
    )
    statements = [
        "SELECT length(groupArray(number)) FROM numbers(10000000)",
        "SELECT count() FROM (SELECT number AS k, count() FROM numbers(2000000) GROUP BY k)",
        "SELECT number, repeat('x', 1000) FROM numbers(50000) FORMAT Native",
        "SELECT max(s) FROM (SELECT toString(number) AS s FROM numbers(1000000) ORDER BY rand() LIMIT 900000)",
    ]
    peak, codes = 0, set()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        client = Client(server, session)
        work = asyncio.gather(*(client.send(statements[number % 4]) for number in range(50)))
        while not work.done():
            peak = max(peak, server.memory())
            await asyncio.sleep(0.02)
        for reply in await work:
            codes.add(reply.headers.get("X-ClickHouse-Exception-Code"))
        assert codes <= {None, "241"}
        assert "241" in codes
        assert peak < limit + idle + 50 * client_bytes
        assert await client.text("SELECT 1") == "1\n"
        async with asyncio.timeout(60):
            while server.memory() > idle + limit // 2:
                await asyncio.sleep(0.1)


async def test_a_query_takes_the_place_of_another_with_its_id(client: Client) -> None:
    query_id = str(uuid.uuid4())
    first = asyncio.create_task(client.send("SELECT count() FROM system.numbers", query_id=query_id))
    running = f"SELECT count() FROM system.processes WHERE query_id = '{query_id}'"
    while await client.text(running) == "0\n":
        await asyncio.sleep(0.01)
    assert (await client.send("SELECT 1", query_id=query_id)).headers["X-ClickHouse-Exception-Code"] == "216"
    assert await client.text("SELECT 1", query_id=query_id, replace_running_query=1) == "1\n"
    assert (await first).headers["X-ClickHouse-Exception-Code"] == "394"


async def test_the_query_log_tells_what_ran(client: Client, table: str) -> None:
    ids = [str(uuid.uuid4()) for _ in range(4)]
    await client.text(f"CREATE TABLE {table} (a Int8) ENGINE = Memory", query_id=ids[0])
    await client.text(f"INSERT INTO {table} VALUES (1), (2)", query_id=ids[1])
    await client.text(f"SELECT * FROM {table}", query_id=ids[2], log_comment="mine", max_threads=1)
    await client.send(f"SELECT nope FROM {table}", query_id=ids[3])
    await client.text("SYSTEM FLUSH LOGS")
    sql = (
        "SELECT query_id, type, query_kind, read_rows, written_rows, exception_code, log_comment, user, query, "
        f"Settings['max_threads'] AS t FROM system.query_log WHERE query_id IN {tuple(ids)} AND type != 'QueryStart' "
        "ORDER BY event_time_microseconds FORMAT JSONEachRow"
    )
    rows = [json.loads(line) for line in (await client.text(sql)).splitlines()]
    assert [row["query_id"] for row in rows] == ids
    assert [row["query_kind"] for row in rows] == ["Create", "Insert", "Select", "Select"]
    assert [row["type"] for row in rows] == ["QueryFinish"] * 3 + ["ExceptionBeforeStart"]
    assert rows[1]["written_rows"] in (2, "2")
    assert rows[2]["read_rows"] in (2, "2")
    assert (rows[2]["log_comment"], rows[2]["t"], rows[3]["exception_code"]) == ("mine", "1", 47)
    assert all(row["user"] == client.server.user for row in rows)
    assert rows[1]["query"] == f"INSERT INTO {table} VALUES "
    assert rows[2]["query"] == f"SELECT * FROM {table}"
    starts = f"SELECT count() FROM system.query_log WHERE query_id IN {tuple(ids)} AND type = 'QueryStart'"
    assert await client.text(starts) == "3\n"


async def test_a_statement_with_log_queries_off_is_not_logged(client: Client) -> None:
    query_id = str(uuid.uuid4())
    await client.text("SELECT 1", query_id=query_id, log_queries=0)
    assert await client.text(f"SELECT count() FROM system.query_log WHERE query_id = '{query_id}'") == "0\n"


async def test_the_session_log_tells_who_could_not_log_in(client: Client) -> None:
    await client.send("SELECT 1", auth=False, user="eve", password="x")
    sql = "SELECT type, user FROM system.session_log WHERE user = 'eve'"
    assert "LoginFailure\teve" in await client.text(sql)
