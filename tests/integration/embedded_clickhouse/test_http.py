"""Requests and answers as a server's HTTP port knows them."""

from __future__ import annotations

import asyncio
import base64

import aiohttp
import pytest

from .conftest import PASSWORD, USER, Client


async def test_ping_needs_no_credentials(client: Client) -> None:
    reply = await client.send(method="GET", path="/ping", auth=False)
    assert (reply.status, reply.text) == (200, "Ok.\n")


async def test_the_root_without_arguments_answers_ok(client: Client) -> None:
    reply = await client.send(method="GET", auth=False)
    assert (reply.status, reply.text) == (200, "Ok.\n")


async def test_replicas_status_answers_ok(client: Client) -> None:
    assert (await client.send(method="GET", path="/replicas_status", auth=False)).text == "Ok.\n"


async def test_an_unknown_path_without_arguments_is_404(client: Client) -> None:
    reply = await client.send(method="GET", path="/nope", auth=False)
    assert reply.status == 404
    assert "There is no handle /nope" in reply.text


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE"])
async def test_an_unknown_method_is_501(client: Client, method: str) -> None:
    assert (await client.send(method=method)).status == 501


async def test_options_is_answered_without_credentials(client: Client) -> None:
    assert (await client.send(method="OPTIONS", auth=False)).status == 204


async def test_head_gives_headers_and_no_body(client: Client) -> None:
    reply = await client.send(method="HEAD", query="SELECT 1")
    assert (reply.status, reply.body) == (200, b"")


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_query_in_the_url_is_answered(client: Client, method: str) -> None:
    reply = await client.send(method=method, query="SELECT 1")
    assert (reply.status, reply.text) == (200, "1\n")


async def test_the_url_and_the_body_make_one_statement(client: Client) -> None:
    assert await client.text("+ 41", query="SELECT 1") == "42\n"


async def test_a_trailing_semicolon_and_comments_are_no_second_statement(client: Client) -> None:
    assert await client.text("SELECT 1; -- done\n /* really */ ;") == "1\n"


async def test_two_statements_are_a_syntax_error_and_neither_runs(client: Client, table: str) -> None:
    reply = await client.send(f"CREATE TABLE {table} (a Int8) ENGINE = Memory; SELECT 2")
    assert (reply.status, reply.headers["X-ClickHouse-Exception-Code"]) == (400, "62")
    assert await client.text(f"EXISTS TABLE {table}") == "0\n"


@pytest.mark.parametrize("sql", ["", "  \n", "-- nothing", ";", "/* */"])
async def test_an_empty_statement_is_a_syntax_error(client: Client, sql: str) -> None:
    reply = await client.send(sql, max_threads=1)
    assert (reply.status, reply.headers["X-ClickHouse-Exception-Code"]) == (400, "62")


async def test_sql_need_not_be_utf8(client: Client) -> None:
    reply = await client.send(b"SELECT '\xff\xfe\x00' FORMAT RowBinary")
    assert reply.body == b"\x03\xff\xfe\x00"


async def test_non_utf8_outside_a_string_is_the_engines_syntax_error(client: Client) -> None:
    reply = await client.send(b"SELECT \xff\xfe")
    assert (reply.status, reply.headers["X-ClickHouse-Exception-Code"]) == (400, "62")


@pytest.mark.parametrize(
    ("sql", "url", "status", "code"),
    [
        ("SELEC 1", {}, 400, 62),
        ("SELECT nope", {}, 404, 47),
        ("SELECT nope()", {}, 404, 46),
        ("SELECT * FROM nope", {}, 404, 60),
        ("SELECT * FROM nope.nope", {}, 404, 81),
        ("SELECT 1", {"database": "nope"}, 404, 81),
        ("SELECT 1", {"nope": "1"}, 404, 115),
        ("SELECT 1", {"no; pe": "1"}, 404, 115),
        ("SELECT 1", {"max_threads": "many"}, 400, 27),
        ("SELECT 1 SETTINGS nope = 1", {}, 404, 115),
        ("SELECT 1 FORMAT Nope", {}, 404, 73),
        ("SELECT 1", {"default_format": "Nope"}, 404, 73),
        ("SELECT 1", {"default_format": "CSV; SELECT 2"}, 404, 73),
        ("SELECT toUInt8('x')", {}, 400, 6),
        ("SELECT {x:UInt8}", {}, 500, 456),
        ("SELECT throwIf(1)", {}, 500, 395),
        ("SELECT sleep(2)", {"max_execution_time": "1"}, 408, 159),
        ("SELECT groupArray(number) FROM numbers(10000000)", {"max_memory_usage": "10000000"}, 500, 241),
        ("INSERT INTO nope FORMAT CSV\n1", {}, 404, 60),
        ("INSERT INTO nope", {}, 400, 62),
    ],
)
async def test_an_error_has_the_code_and_the_status_of_a_server(
    client: Client, sql: str, url: dict[str, str], status: int, code: int
) -> None:
    reply = await client.send(sql, **url)
    assert (reply.status, reply.headers["X-ClickHouse-Exception-Code"]) == (status, str(code))
    assert reply.text.startswith(f"Code: {code}. DB::Exception: ")
    assert " (version 2" in reply.text
    assert reply.headers["Content-Type"].startswith("text/plain")
    assert await client.text("SELECT 1") == "1\n"


async def test_credentials_travel_in_three_ways(client: Client) -> None:
    basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    for headers, url in [
        ({"Authorization": f"Basic {basic}"}, {}),
        ({"X-ClickHouse-User": USER, "X-ClickHouse-Key": PASSWORD}, {}),
        ({}, {"user": USER, "password": PASSWORD}),
    ]:
        reply = await client.send("SELECT 1", auth=False, headers=headers, **url)
        assert reply.status == 200, (headers, url)


@pytest.mark.parametrize(
    ("headers", "url"),
    [
        ({}, {}),
        ({"X-ClickHouse-User": USER}, {}),
        ({"X-ClickHouse-User": USER, "X-ClickHouse-Key": PASSWORD + "x"}, {}),
        ({"X-ClickHouse-User": "nobody", "X-ClickHouse-Key": PASSWORD}, {}),
        ({}, {"user": USER, "password": ""}),
        ({"Authorization": "Basic !!!"}, {}),
        ({"Authorization": "Bearer x"}, {}),
        ({"X-ClickHouse-User": USER, "X-ClickHouse-Key": PASSWORD}, {"user": USER, "password": PASSWORD}),
    ],
)
async def test_bad_credentials_are_refused(client: Client, headers: dict[str, str], url: dict[str, str]) -> None:
    reply = await client.send("SELECT 1", auth=False, headers=headers, **url)
    assert (reply.status, reply.headers["X-ClickHouse-Exception-Code"]) == (403, "516")
    assert PASSWORD not in reply.text


async def test_get_reads_only(client: Client, table: str) -> None:
    reply = await client.send(method="GET", query=f"CREATE TABLE {table} (a Int8) ENGINE = Memory")
    assert (reply.status, reply.headers["X-ClickHouse-Exception-Code"]) == (500, "164")
    assert await client.text(f"EXISTS TABLE {table}") == "0\n"


async def test_get_may_set_settings(client: Client) -> None:
    reply = await client.send(method="GET", query="SELECT getSetting('max_block_size')", max_block_size=77)
    assert reply.text == "77\n"


async def test_post_without_a_length_is_411(client: Client) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", client.server.port)
    login = f"X-ClickHouse-User: {USER}\r\nX-ClickHouse-Key: {PASSWORD}\r\n"
    writer.write(f"POST /?query=SELECT+1 HTTP/1.1\r\nHost: x\r\n{login}\r\n".encode())
    assert b" 411 " in await reader.readline()
    writer.close()


async def test_expect_100_continue_is_answered_before_the_body(client: Client) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", client.server.port)
    login = f"X-ClickHouse-User: {USER}\r\nX-ClickHouse-Key: {PASSWORD}\r\n"
    head = f"POST / HTTP/1.1\r\nHost: x\r\n{login}Expect: 100-continue\r\nContent-Length: 8\r\n\r\n"
    writer.write(head.encode())
    assert await reader.readline() == b"HTTP/1.1 100 Continue\r\n"
    writer.write(b"SELECT 1")
    await reader.readline()
    assert b" 200 " in await reader.readline()
    writer.close()


async def test_a_connection_serves_many_requests_errors_included(client: Client) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", client.server.port)
    login = f"X-ClickHouse-User: {USER}\r\nX-ClickHouse-Key: {PASSWORD}\r\n"
    for sql, status in [("SELECT 1", 200), ("SELECT nope", 404), ("SELECT 2", 200)]:
        writer.write(f"POST / HTTP/1.1\r\nHost: x\r\n{login}Content-Length: {len(sql)}\r\n\r\n{sql}".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert f" {status} ".encode() in head
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
    writer.close()


async def test_a_url_of_more_than_a_megabyte_is_refused_and_others_are_served(client: Client) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", client.server.port)
    login = f"X-ClickHouse-User: {USER}\r\nX-ClickHouse-Key: {PASSWORD}\r\n"
    writer.write(f"GET /?query=SELECT+%27{'x' * (2 << 20)}%27 HTTP/1.1\r\nHost: x\r\n{login}\r\n".encode())
    assert b" 400 " in await reader.readline()
    writer.close()
    assert await client.text("SELECT 1") == "1\n"


async def test_a_hundred_megabytes_of_header_are_refused_and_not_kept(client: Client) -> None:
    before = client.server.memory()
    reader, writer = await asyncio.open_connection("127.0.0.1", client.server.port)
    writer.write(b"GET /?query=SELECT+1 HTTP/1.1\r\nHost: x\r\nX-Long: ")
    with pytest.raises(ConnectionError):
        for _ in range(100):
            writer.write(b"x" * (1 << 20))
            await writer.drain()
            await asyncio.sleep(0)
        await reader.read()
        raise ConnectionResetError  # it was read, and then refused
    writer.close()
    assert client.server.memory() - before < 60 << 20
    assert await client.text("SELECT 1") == "1\n"


async def test_a_statement_larger_than_the_limit_of_the_engine_is_its_syntax_error(client: Client) -> None:
    reply = await client.send("SELECT 1 IN (" + "1," * 300_000 + "1)")
    assert (reply.status, reply.headers["X-ClickHouse-Exception-Code"]) == (400, "62")


async def test_a_statement_of_100_megabytes_is_refused(client: Client) -> None:
    reply = await client.send("SELECT '" + "x" * (100 << 20) + "'")
    assert (reply.status, reply.headers["X-ClickHouse-Exception-Code"]) == (413, "229")
    assert await client.text("SELECT 1") == "1\n"


async def test_parameters_come_from_the_url(client: Client) -> None:
    sql = "SELECT {a:Array(UInt8)}, {s:String}, {n:Nullable(Int8)}, {t:Identifier} FROM (SELECT 5 AS z)"
    text = await client.text(sql, param_a="[1,2]", param_s="it's\\t", param_n="\\N", param_t="z")
    assert text == "[1,2]\tit\\'s\\t\t\\N\t5\n"


async def test_parameters_and_the_statement_come_from_multipart_fields(client: Client) -> None:
    form = aiohttp.FormData(default_to_multipart=True)
    form.add_field("query", "SELECT {a:UInt8} + 1")
    form.add_field("param_a", "41")
    login = {"X-ClickHouse-User": USER, "X-ClickHouse-Key": PASSWORD}
    async with client.session.post(client.server.url, data=form, headers=login) as response:
        assert (response.status, await response.text()) == (200, "42\n")


@pytest.mark.parametrize(
    "described", [{"e_structure": "a Int8, b String"}, {"e_types": "Int8,Enum8('x' = 1, 'y' = 2)"}]
)
async def test_external_data_is_a_table_of_the_query(client: Client, described: dict[str, str]) -> None:
    form = aiohttp.FormData()
    form.add_field("e", b"1,x\n2,y\n", filename="e.csv")
    login = {"X-ClickHouse-User": USER, "X-ClickHouse-Key": PASSWORD}
    url = {"query": "SELECT count(), max(tuple(*).2) FROM e", "e_format": "CSV", **described}
    async with client.session.post(client.server.url, params=url, data=form, headers=login) as response:
        assert (response.status, await response.text()) == (200, "2\ty\n")
    assert (await client.send("SELECT * FROM e")).status == 404


async def test_external_data_without_a_structure_is_refused(client: Client) -> None:
    form = aiohttp.FormData()
    form.add_field("e", b"1\n", filename="e.csv")
    login = {"X-ClickHouse-User": USER, "X-ClickHouse-Key": PASSWORD}
    async with client.session.post(client.server.url, params={"query": "SELECT 1"}, data=form, headers=login) as reply:
        assert (reply.status, reply.headers["X-ClickHouse-Exception-Code"]) == (400, "36")


async def test_the_headers_of_a_server_are_there(client: Client) -> None:
    import json

    reply = await client.send("SELECT number FROM numbers(5) FORMAT JSONEachRow", query_id="an id of mine")
    assert reply.headers["X-ClickHouse-Query-Id"] == "an id of mine"
    assert reply.headers["X-ClickHouse-Format"] == "JSONEachRow"
    assert reply.headers["Content-Type"] == "application/x-ndjson; charset=UTF-8"
    assert reply.headers["X-ClickHouse-Timezone"]
    assert reply.headers["X-ClickHouse-Server-Display-Name"]
    summary = json.loads(reply.headers["X-ClickHouse-Summary"])
    assert summary["read_rows"] == summary["result_rows"] == "5"
    assert int(summary["elapsed_ns"]) > 0


@pytest.mark.parametrize(
    ("sql", "url"),
    [
        ("SELECT 1", {"session_timezone": "Africa/Cairo"}),
        ("SELECT 1 SETTINGS session_timezone = 'Africa/Cairo'", {"session_timezone": "Europe/Berlin"}),
    ],
)
async def test_the_time_zone_in_the_headers_is_the_one_of_the_query(
    client: Client, sql: str, url: dict[str, str]
) -> None:
    assert (await client.send(sql, **url)).headers["X-ClickHouse-Timezone"] == "Africa/Cairo"
    assert (await client.send("SELECT 1")).headers["X-ClickHouse-Timezone"] != "Africa/Cairo"


@pytest.mark.parametrize("place", ["url", "statement"])
async def test_a_client_adds_headers_to_its_answer(client: Client, place: str) -> None:
    wanted = "{'X-Mine': 'a, \"b\"', 'Content-Type': 'image/png'}"
    if place == "url":
        reply = await client.send("SELECT 1", http_response_headers=wanted)
    else:
        reply = await client.send(f"SELECT 1 SETTINGS http_response_headers = $${wanted}$$")
    assert reply.headers["X-Mine"] == 'a, "b"'
    assert reply.headers["Content-Type"] == "image/png"


@pytest.mark.parametrize("wanted", ["{'X-Mine': 'a\\nX-Other: b'}", "{'X Mine': 'a'}", "{'X\\rMine': 'a'}"])
async def test_what_cannot_be_a_header_is_refused(client: Client, wanted: str) -> None:
    reply = await client.send("SELECT 1", http_response_headers=wanted)
    assert (reply.status, reply.headers["X-ClickHouse-Exception-Code"]) == (400, "36")


@pytest.mark.parametrize("readonly", [1, 2])
async def test_who_may_only_read_brings_tables_along(client: Client, readonly: int) -> None:
    form = aiohttp.FormData()
    form.add_field("e", b"7\n", filename="e.tsv")
    login = {"X-ClickHouse-User": USER, "X-ClickHouse-Key": PASSWORD}
    url = {"query": "SELECT a, getSetting('readonly') FROM e", "e_structure": "a Int8", "readonly": str(readonly)}
    async with client.session.post(client.server.url, params=url, data=form, headers=login) as response:
        assert await response.text() == f"7\t{readonly}\n"


async def test_a_statement_without_output_names_no_format(client: Client, table: str) -> None:
    reply = await client.send(f"CREATE TABLE {table} (a Int8) ENGINE = Memory")
    assert reply.status == 200
    assert "X-ClickHouse-Format" not in reply.headers


@pytest.mark.parametrize(
    ("sql", "url", "headers", "used"),
    [
        ("SELECT 1 AS a", {}, {}, "TabSeparated"),
        ("SELECT 1 AS a", {"default_format": "CSV"}, {}, "CSV"),
        ("SELECT 1 AS a", {}, {"X-ClickHouse-Format": "CSV"}, "CSV"),
        ("SELECT 1 AS a FORMAT JSONEachRow", {"default_format": "CSV"}, {}, "JSONEachRow"),
        ("SELECT 1 AS a FORMAT CSV", {"output_format": "JSONEachRow"}, {}, "JSONEachRow"),
        ("SHOW TABLES FROM system LIKE 'one'", {"default_format": "JSONEachRow"}, {}, "JSONEachRow"),
    ],
)
async def test_the_format_is_chosen_in_the_order_of_a_server(
    client: Client, sql: str, url: dict[str, str], headers: dict[str, str], used: str
) -> None:
    reply = await client.send(sql, headers=headers, **url)
    assert reply.headers["X-ClickHouse-Format"] == used
    assert reply.body.startswith(b"{") == (used == "JSONEachRow")


async def test_the_database_comes_from_the_url_or_a_header(client: Client) -> None:
    assert await client.text("SELECT currentDatabase()", database="system") == "system\n"
    reply = await client.send("SELECT currentDatabase()", headers={"X-ClickHouse-Database": "system"})
    assert reply.text == "system\n"


async def test_settings_of_one_request_are_not_seen_by_the_next(client: Client) -> None:
    sql = "SELECT getSetting('max_block_size')"
    before = await client.text(sql)
    assert await client.text(sql, max_block_size=99) == "99\n"
    assert await client.text(sql) == before


async def test_what_serves_here_is_said_openly(client: Client) -> None:
    text = await client.text("SELECT value FROM system.settings WHERE name = 'chdb_client_name'")
    assert text.startswith("embedded engine chdb-core ")
    assert "embedded" in (await client.send("SELECT nope")).text
    assert "embedded" in await client.text("SELECT displayName()")
    assert await client.text("SELECT engine FROM system.databases WHERE name = 'default'") == "Atomic\n"


@pytest.mark.parametrize("format", ["One", "Npy", "ArrowStream", "Values"])
async def test_an_external_table_of_odd_data_is_an_error_or_a_table_and_does_no_harm(
    client: Client, format: str
) -> None:
    login = {"X-ClickHouse-User": USER, "X-ClickHouse-Key": PASSWORD}
    url = {"query": "SELECT count() FROM odd", "odd_structure": "a UInt8", "odd_format": format}
    for _ in range(20):
        form = aiohttp.FormData(default_to_multipart=True)
        form.add_field("odd", b"(1); garbage behind the end", filename="odd")
        async with client.session.post(client.server.url, params=url, data=form, headers=login) as reply:
            body = await reply.read()
            assert body.startswith(b"Code: ") or body == b"1\n", body
    assert await client.text("SELECT 1") == "1\n"


async def test_the_cluster_of_a_server_alone_is_there(client: Client, table: str) -> None:
    await client.text(f"CREATE TABLE {table} (a Int8) ENGINE = MergeTree ORDER BY a")
    everywhere = f"{table}_everywhere"
    await client.text(f"CREATE TABLE {everywhere} (a Int8) ENGINE = Distributed('default', 'default', '{table}')")
    await client.text(f"INSERT INTO {everywhere} VALUES (1), (2)")
    assert await client.text(f"SELECT sum(a) FROM {everywhere}") == "3\n"
    assert await client.text(f"SELECT count() FROM clusterAllReplicas('default', 'default', '{table}')") == "2\n"
    await client.text(f"DROP TABLE {everywhere} SYNC")


async def test_a_table_comes_back_from_its_backup(client: Client, table: str) -> None:
    await client.text(f"CREATE TABLE {table} (a Int8) ENGINE = MergeTree ORDER BY a")
    await client.text(f"INSERT INTO {table} VALUES (7)")
    assert "BACKUP_CREATED" in await client.text(f"BACKUP TABLE {table} TO File('{table}')")
    await client.text(f"DROP TABLE {table} SYNC")
    assert "RESTORED" in await client.text(f"RESTORE TABLE {table} FROM File('{table}')")
    assert await client.text(f"SELECT a FROM {table}") == "7\n"
    assert (client.server.path / "user_files" / table).is_dir()
