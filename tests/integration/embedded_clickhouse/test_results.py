"""Answers: whole and streamed, encoded, and errors in their middle."""

from __future__ import annotations

import gzip
import json
import re
import zlib

import brotli
import lz4.frame
import pytest

from test_framework.embedded_clickhouse.encodings import zstd_module
from test_framework.embedded_clickhouse.framing import BlockDecoder

from .conftest import PASSWORD, USER, Client

LOGIN = {"X-ClickHouse-User": USER, "X-ClickHouse-Key": PASSWORD}
DECODERS = {
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
    "br": brotli.decompress,
    "lz4": lz4.frame.decompress,
    "zstd": lambda data: zstd_module().decompress(data),
}


@pytest.mark.parametrize("rows", [1, 500_000])
@pytest.mark.parametrize("name", DECODERS)
async def test_an_answer_is_encoded_as_accepted(client: Client, name: str, rows: int) -> None:
    sql = f"SELECT number FROM numbers({rows}) FORMAT CSV"
    plain = (await client.send(sql)).body
    reply = await client.send(sql, enable_http_compression=1, headers={"Accept-Encoding": name})
    assert reply.headers["Content-Encoding"] == name
    assert DECODERS[name](reply.body) == plain


@pytest.mark.parametrize(
    ("headers", "url"),
    [
        ({"Accept-Encoding": "gzip, br, zstd"}, {"enable_http_compression": 0}),
        ({"Accept-Encoding": "identity"}, {"enable_http_compression": 1}),
        ({"Accept-Encoding": "zip"}, {}),
    ],
)
async def test_an_answer_is_not_encoded_unasked(
    client: Client, headers: dict[str, str], url: dict[str, object]
) -> None:
    reply = await client.send("SELECT 1", headers=headers, **url)
    assert "Content-Encoding" not in reply.headers
    assert reply.text == "1\n"


async def test_an_answer_is_encoded_without_a_setting_as_a_server_of_this_version_does(client: Client) -> None:
    assert await client.text("SELECT value FROM system.settings WHERE name = 'enable_http_compression'") == "1\n"
    reply = await client.send("SELECT 1", headers={"Accept-Encoding": "gzip"})
    assert gzip.decompress(reply.body) == b"1\n"


@pytest.mark.parametrize("sql", ["SELECT 1 LIMIT 0", "SELECT 1 FROM numbers(9) WHERE 0", "SET max_threads = 1"])
async def test_an_answer_without_a_byte_is_not_encoded(client: Client, sql: str) -> None:
    reply = await client.send(sql, enable_http_compression=1, headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in reply.headers
    assert reply.body == b""


@pytest.mark.parametrize("rows", [1, 500_000])
async def test_compress_puts_the_answer_into_clickhouse_blocks(client: Client, rows: int) -> None:
    sql = f"SELECT number FROM numbers({rows}) FORMAT CSV"
    plain = (await client.send(sql)).body
    body = (await client.send(sql, compress=1)).body
    decoder = BlockDecoder()
    assert b"".join(decoder.feed(body)) == plain
    decoder.finish()


ROW_WISE = ["RowBinary", "RowBinaryWithNames", "RowBinaryWithNamesAndTypes", "TSV", "TSVRaw", "CSV", "TSKV"]
ROW_WISE += ["JSONEachRow", "JSONLines", "JSONStringsEachRow", "JSONCompactEachRow", "JSONCompactStringsEachRow"]


@pytest.mark.parametrize("format", ROW_WISE)
async def test_a_document_of_rows_does_not_show_its_blocks(client: Client, format: str) -> None:
    sql = f"SELECT number AS n, 'x\ty' AS s FROM numbers(7) FORMAT {format}"
    whole = await client.send(sql)
    assert (await client.send(sql, max_block_size=2)).body == whole.body
    assert (await client.send(sql, max_block_size=2, wait_end_of_query=1)).body == whole.body


async def test_rows_with_progress_say_what_was_read_and_all_else_once(client: Client) -> None:
    sql = "SELECT number % 3 AS n FROM numbers(9) GROUP BY n WITH TOTALS ORDER BY n FORMAT JSONEachRowWithProgress"
    lines = [json.loads(line) for line in (await client.text(sql, max_block_size=2)).splitlines()]
    assert [row["row"]["n"] for row in lines if "row" in row] == [0, 1, 2]
    kinds = [next(iter(line)) for line in lines]
    assert kinds[:2] == ["progress", "meta"]
    assert (kinds.count("meta"), kinds.count("totals")) == (1, 1)
    read = [int(line["progress"]["read_rows"]) for line in lines if "progress" in line]
    assert read == sorted(set(read))
    assert read[-1] == 9


@pytest.mark.parametrize("format", ["TSV", "CSV"])
async def test_totals_come_once_behind_all_blocks(client: Client, format: str) -> None:
    sql = f"SELECT number % 5 AS n, count() FROM numbers(9) GROUP BY n WITH TOTALS ORDER BY n FORMAT {format}"
    assert (await client.send(sql, max_block_size=2)).body == (await client.send(sql)).body
    assert (await client.send(sql, max_block_size=2)).body.count(b"9") == 1


@pytest.mark.parametrize(
    ("format", "type"),
    [
        ("JSON", "application/json"),
        ("JSONObjectEachRow", "application/x-ndjson"),
        ("JSONEachRow", "application/x-ndjson"),
    ],
)
async def test_an_error_is_written_into_the_document_where_that_is_asked_for(
    client: Client, format: str, type: str
) -> None:
    reply = await client.send("SELECT `nöpe`", default_format=format, http_write_exception_in_output_format=1)
    assert (reply.status, reply.headers["X-ClickHouse-Exception-Code"]) == (404, "47")
    assert reply.headers["Content-Type"].startswith(type)
    assert json.loads(reply.body)["exception"].startswith("Code: 47. DB::Exception: ")
    plain = await client.send("SELECT `nöpe`", default_format="CSV", http_write_exception_in_output_format=1)
    assert plain.text.startswith("Code: 47. DB::Exception: ")


async def test_an_error_becomes_the_last_row_where_that_is_asked_for(client: Client) -> None:
    sql = "SELECT number, sleepEachRow(0.02), throwIf(number = 3) FROM numbers(9) FORMAT JSONEachRow"
    reply = await client.send(sql, max_block_size=1, http_write_exception_in_output_format=1)
    rows = [json.loads(line) for line in reply.text.splitlines()]
    assert [row.get("number") for row in rows] == [0, 1, 2, None]
    assert rows[-1]["exception"].startswith("Code: 395. ")


@pytest.mark.parametrize("format", ["RowBinaryWithNamesAndTypes", "TSV", "JSONEachRowWithProgress", "Native"])
async def test_rows_reach_the_client_while_the_query_goes_on(client: Client, format: str) -> None:
    url = {"query": f"SELECT number, sleepEachRow(0.2) FROM numbers(99) FORMAT {format}", "max_block_size": "1"}
    async with client.session.post(client.server.url, params=url, data=b"", headers=LOGIN) as response:
        assert response.status == 200
        assert await response.content.readany()
        assert not response.content.at_eof()
        response.close()


@pytest.mark.parametrize("format", ["TabSeparated", "CSVWithNames", "JSON", "Native", "RowBinary", "Parquet", "XML"])
async def test_a_large_result_is_one_correct_document(client: Client, format: str, table: str) -> None:
    rows = 700_000
    reply = await client.send(f"SELECT number AS n, toString(number) AS s FROM numbers({rows}) FORMAT {format}")
    assert reply.status == 200
    sql = f"SELECT count(), sum(n), countIf(s != toString(n)) FROM format({format}, {{data:String}})"
    if format == "XML":  # output only
        assert reply.text.count("<row>") == rows and reply.text.rstrip().endswith("</result>")
        return
    await client.text(f"CREATE TABLE {table} (n UInt64, s String) ENGINE = Memory")
    assert (await client.send(reply.body, query=f"INSERT INTO {table} FORMAT {format}")).status == 200
    sql = f"SELECT count(), sum(n), countIf(s != toString(n)) FROM {table}"
    assert await client.text(sql) == f"{rows}\t{rows * (rows - 1) // 2}\t0\n"


@pytest.mark.parametrize("format", ["TabSeparated", "JSONEachRow", "Native"])
@pytest.mark.parametrize("encoding", [None, "gzip"])
async def test_an_error_in_the_middle_is_the_tagged_end_of_the_body(
    client: Client, format: str, encoding: str | None
) -> None:
    sql = f"SELECT number, throwIf(number = 5000000) FROM numbers(10000000) FORMAT {format}"
    url = {"enable_http_compression": 1} if encoding else {}
    reply = await client.send(sql, headers={"Accept-Encoding": encoding} if encoding else None, **url)
    assert reply.status == 200
    body = gzip.decompress(reply.body) if encoding else reply.body
    tag = reply.headers["X-ClickHouse-Exception-Tag"].encode()
    found = re.search(
        rb"\r\n__exception__\r\n" + tag + rb"\r\n(Code: 395\. .*\n)(\d+) " + tag + rb"\r\n__exception__\r\n\Z",
        body,
        re.DOTALL,
    )
    assert found, body[-500:]
    assert len(found.group(1)) == int(found.group(2))


@pytest.mark.parametrize("url", [{"wait_end_of_query": 1}, {"http_wait_end_of_query": 1}, {"buffer_size": 200_000_000}])
async def test_waiting_for_the_end_makes_a_late_error_a_clean_one(client: Client, url: dict[str, int]) -> None:
    reply = await client.send("SELECT number, throwIf(number = 5000000) FROM numbers(10000000)", **url)
    assert (reply.status, reply.headers["X-ClickHouse-Exception-Code"]) == (500, "395")
    assert reply.text.startswith("Code: 395.")


async def test_an_error_before_the_first_block_is_a_clean_one(client: Client) -> None:
    reply = await client.send("SELECT throwIf(number = 60000) FROM numbers(65000)")
    assert (reply.status, reply.headers["X-ClickHouse-Exception-Code"]) == (500, "395")


async def test_waiting_for_the_end_spools_what_does_not_fit(client: Client) -> None:
    before = client.server.memory()
    sql = "SELECT number, repeat('x', 100) FROM numbers(1000000)"
    reply = await client.send(sql, wait_end_of_query=1)
    assert reply.body.count(b"\n") == 1_000_000
    assert client.server.memory() - before < 150 << 20
    assert not [path for path in (client.server.path / "spool").iterdir() if path.is_file()]


async def test_totals_and_extremes_reach_json(client: Client) -> None:
    sql = "SELECT number % 2 AS n, count() FROM numbers(10) GROUP BY n WITH TOTALS ORDER BY n FORMAT JSONCompact"
    text = await client.text(sql, extremes=1)
    assert '"totals": [0, "10"]' in text.replace("\n", "").replace("\t", "") or '"totals"' in text
    assert '"extremes"' in text


async def test_a_gigabyte_streams_in_constant_memory(client: Client) -> None:
    await client.text("SELECT count() FROM numbers(1000000)")
    idle = client.server.memory()
    peak = size = 0
    sql = "SELECT repeat('x', 1000) FROM numbers(1050000)"
    async with client.session.post(client.server.url, data=sql, headers=LOGIN, params={"max_threads": 2}) as response:
        while chunk := await response.content.read(1 << 20):
            size += len(chunk)
            if size % 16 == 0:
                peak = max(peak, client.server.memory())
        peak = max(peak, client.server.memory())
    assert size == 1001 * 1_050_000
    assert peak - idle < 300 << 20


@pytest.mark.parametrize(
    "url", [{}, {"client_protocol_version": 54405, "default_format": "Native"}, {"session_id": "progress"}]
)
async def test_progress_is_reported_in_headers_to_whoever_asks(client: Client, url: dict[str, object]) -> None:
    # Longer than the engine's tenth of a second on any machine, since it sleeps; each row is a block of its own.
    sql = "SELECT sleepEachRow(0.2), number FROM numbers(4)"
    plain = await client.send(sql, max_block_size=1, **url)
    assert "X-ClickHouse-Progress" not in plain.headers
    reply = await client.send(sql, max_block_size=1, send_progress_in_http_headers=1, wait_end_of_query=1, **url)
    rows = [int(json.loads(text)["read_rows"]) for text in reply.headers.getall("X-ClickHouse-Progress")]
    assert rows == sorted(rows)
    assert all(0 <= read <= 4 for read in rows)
    assert reply.body == plain.body
    after = await client.send(sql, max_block_size=1, **url)
    assert "X-ClickHouse-Progress" not in after.headers


@pytest.mark.parametrize("sql", ["SELECT 1 FORMAT Null", "SELECT 1 WHERE 0", "SHOW TABLES FROM default LIKE 'nothing'"])
async def test_an_empty_result_is_an_empty_body(client: Client, sql: str) -> None:
    reply = await client.send(sql)
    assert (reply.status, reply.body) == (200, b"")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 AS a FORMAT JSONEachRow SETTINGS max_threads = 1",
        "SELECT 1 AS a SETTINGS max_threads = 1 FORMAT JSONEachRow",
        "FROM system.one SELECT 1 AS a FORMAT JSONEachRow",
        "(SELECT 1 AS a) FORMAT JSONEachRow",
        "(SELECT 1 AS a) UNION ALL (SELECT 2 WHERE 0) FORMAT JSONEachRow;",
        "WITH 1 AS x SELECT x AS a FORMAT JSONEachRow -- the end",
        "SELECT * FROM (SELECT 1 AS a SETTINGS max_threads = 1) FORMAT `JSONEachRow`",
        "SELECT 1 AS a INTO OUTFILE '/tmp/x' FORMAT JSONEachRow",
    ],
)
async def test_the_clauses_at_the_end_are_understood(client: Client, sql: str) -> None:
    reply = await client.send(sql)
    if "OUTFILE" in sql:
        assert reply.headers["X-ClickHouse-Exception-Code"] == "358"
    else:
        assert reply.text == '{"a":1}\n', reply.text


WIDE = "SELECT number, repeat('x', 10000) FROM numbers(65409) FORMAT Native"


@pytest.mark.parametrize("session", [{}, {"session_id": "w"}])
async def test_a_block_of_wide_rows_is_cut_into_smaller_ones(client: Client, session: dict[str, str]) -> None:
    url = {"client_protocol_version": "54405", **session}
    before = client.server.memory()
    peak = size = 0
    request = client.session.post(client.server.url, params=url, data=WIDE, headers=LOGIN)
    async with request as response:
        async for chunk in response.content.iter_any():
            size += len(chunk)
            peak = max(peak, client.server.memory())
    assert size > 65409 * 10_000
    # One block of them all would be 654 MB, three times over.
    assert peak - before < 500 << 20


async def test_wide_rows_leave_the_settings_of_a_session_alone(client: Client) -> None:
    url = {"session_id": "wide", "client_protocol_version": 54405}
    asked = "SELECT getSetting('max_block_size')"
    for chosen in (None, "777"):
        if chosen:
            await client.text(f"SET max_block_size = {chosen}", **url)
        before = await client.text(asked, session_id="wide")
        reply = await client.send("SELECT repeat('x', 9) FROM numbers(8000) FORMAT Native", **url)
        assert reply.body.count(bytes.fromhex("010002ffffffff00")) == (11 if chosen else 2)
        assert await client.text(asked, session_id="wide") == before


@pytest.mark.parametrize("url", [{}, {"client_protocol_version": 54405}])
async def test_native_holds_the_rows_alone_as_a_server_writes_it(client: Client, url: dict[str, object]) -> None:
    rows = "SELECT number % 3 AS k, sum(number) FROM numbers(10) GROUP BY k {totals} ORDER BY k FORMAT Native"
    plain = await client.send(rows.format(totals=""), **url)
    assert plain.status == 200
    assert (await client.send(rows.format(totals="WITH TOTALS"), extremes=1, **url)).body == plain.body


@pytest.mark.parametrize("rows", [100, 3_000_000])
@pytest.mark.parametrize("encoding", ["", "gzip"])
async def test_a_result_that_was_kept_to_its_end_is_the_same_and_has_a_length(
    client: Client, rows: int, encoding: str
) -> None:
    sql = f"SELECT number FROM numbers({rows}) FORMAT Native"
    plain = (await client.send(sql)).body
    headers, url = ({"Accept-Encoding": encoding}, {"enable_http_compression": 1}) if encoding else ({}, {})
    reply = await client.send(sql, wait_end_of_query=1, headers=headers, **url)
    assert reply.headers["Content-Length"] == str(len(reply.body))
    assert (DECODERS[encoding](reply.body) if encoding else reply.body) == plain
