"""clickhouse-connect, the official Python client, against the embedded endpoint."""

from __future__ import annotations

import datetime as dt
import decimal
import ipaddress
import threading
import time
import uuid
from collections.abc import Iterator
from zoneinfo import ZoneInfo

import clickhouse_connect
import pyarrow as pa
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError, ProgrammingError, StreamFailureError
from clickhouse_connect.driver.external import ExternalData
from clickhouse_connect.driver.summary import QuerySummary

from tests.integration.embedded_clickhouse.conftest import Server

TOKYO = ZoneInfo("Asia/Tokyo")


@pytest.fixture(scope="module")
def connect(server: Server) -> Iterator[Client]:
    client = clickhouse_connect.get_client(
        host="127.0.0.1", port=server.port, username=server.user, password=server.password
    )
    yield client
    client.close()


def other(server: Server, **options: object) -> Client:
    login = {"username": server.user, "password": server.password}
    return clickhouse_connect.get_client(host="127.0.0.1", port=server.port, **{**login, **options})


def wait_until_running(connect: Client, query_id: str) -> None:
    """Until the server lists the query; the test's own time limit ends a wait for nothing."""
    sql = "SELECT count() FROM system.processes WHERE query_id = %(q)s"
    while not connect.command(sql, parameters={"q": query_id}):
        time.sleep(0.01)


@pytest.fixture
def name(connect: Client) -> Iterator[str]:
    made = f"c_{uuid.uuid4().hex[:12]}"
    yield made
    connect.command(f"DROP TABLE IF EXISTS {made} SYNC")


def test_the_client_finds_a_server_and_its_settings(connect: Client) -> None:
    assert connect.ping()
    assert connect.min_version("24.1")
    assert connect.protocol_version == 54405
    assert connect.server_settings["max_threads"].name == "max_threads"


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ("SELECT 13", 13),
        ("SELECT 13 WHERE 0", ""),
        ("SELECT number FROM numbers(0)", ""),
        ("SELECT 'a', 'b'", ["a", "b"]),
        ("EXISTS TABLE system.one", 1),
        ("SELECT 79;", 79),
    ],
)
def test_a_command_that_reads_returns_its_value(connect: Client, sql: str, value: object) -> None:
    assert connect.command(sql) == value


def test_a_command_without_output_returns_a_summary(connect: Client) -> None:
    summary = connect.command("DROP TABLE IF EXISTS no_such_table")
    assert isinstance(summary, QuerySummary)
    assert summary.query_id()


def test_show_of_access_entities_returns_a_value(connect: Client) -> None:
    assert not isinstance(connect.command("SHOW POLICIES"), QuerySummary)


def test_an_empty_result_has_no_columns_unless_the_limit_is_zero(connect: Client) -> None:
    assert connect.query("SELECT name FROM system.tables WHERE FALSE").column_names == ()
    result = connect.query("SELECT name, database, now() AS dt FROM system.tables LIMIT 0")
    assert result.column_names == ("name", "database", "dt")
    assert [one.name for one in result.column_types] == ["String", "String", "DateTime"]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 13;",
        "SELECT 13;\n",
        "SELECT 13;\u00a0",
        "SELECT 13; /* trailing */",
        "SELECT 13; /* a; */ ;",
        "-- x\nSELECT 13\n-- y",
        "WITH insert AS (SELECT 13 AS n) SELECT * FROM insert",
        "WITH 13 AS insert SELECT insert",
        "(SELECT 13)",
        "SELECT 13 // LIMIT 0",
    ],
)
def test_semicolons_comments_and_names_change_nothing(connect: Client, sql: str) -> None:
    assert connect.query(sql).result_rows == [(13,)]
    assert connect.raw_query(sql, fmt="TabSeparated") == b"13\n"


@pytest.mark.parametrize("sql", ["SELECT ' INSERT INTO '; -- x", "WITH ' INSERT INTO ' AS v SELECT v"])
def test_an_insert_inside_a_string_is_none(connect: Client, sql: str) -> None:
    assert connect.raw_query(sql, fmt="TabSeparated") == b" INSERT INTO \n"


@pytest.mark.parametrize("order", ["n DESC", "n ASC NULLS LAST", "n DESC, database", "database DESC, n DESC"])
def test_any_order_leaves_the_result_readable(connect: Client, order: str) -> None:
    sql = f"SELECT number AS n, toDateTime(0, 'Asia/Tokyo') AS t, 'x' AS database FROM numbers(3) ORDER BY {order}"
    rows = connect.query(sql).result_rows
    numbers = [0, 1, 2] if "ASC" in order else [2, 1, 0]
    assert rows == [(n, dt.datetime(1970, 1, 1, 9, tzinfo=TOKYO), "x") for n in numbers]
    assert connect.query_arrow(sql)["n"].to_pylist() == numbers


@pytest.mark.parametrize("name_of_column", ["database", "from", "to", "interval", "desc", "set", "limit"])
def test_a_column_named_as_a_keyword_may_be_the_last_word(connect: Client, name_of_column: str) -> None:
    sql = f"SELECT 1 AS {name_of_column} ORDER BY {name_of_column}"
    assert connect.query(sql).result_rows == [(1,)]
    assert connect.raw_query(sql, fmt="JSONCompactEachRow") == b"[1]\n"


def test_an_insert_behind_with_takes_its_data(connect: Client, name: str) -> None:
    connect.command(f"CREATE TABLE {name} (s String) ENGINE = Memory")
    connect.command(f"INSERT INTO {name} (s) FORMAT TabSeparated\nvalue_1;\n")
    connect.command(f"INSERT INTO {name} VALUES ('x;'), ('-- y');")
    connect.command(f"WITH 'z' AS x INSERT INTO {name} SELECT x")
    assert connect.query(f"SELECT s FROM {name} ORDER BY s").result_columns == [["-- y", "value_1;", "x;", "z"]]


VALUES: list[tuple[str, str, object]] = [
    ("UInt8", "255", 255),
    ("Int64", "-9223372036854775808", -(2**63)),
    ("UInt128", "'340282366920938463463374607431768211455'", 2**128 - 1),
    ("Int256", "'-57896044618658097711785492504343953926634992332820282019728792003956564819968'", -(2**255)),
    ("Float32", "0.5", 0.5),
    ("Float64", "-1.25e300", -1.25e300),
    ("Bool", "true", True),
    ("String", r"'a\'b\n\0é'", "a'b\n\0é"),
    ("FixedString(3)", "'abc'", b"abc"),
    ("UUID", "'61f0c404-5cb3-11e7-907b-a6006ad3dba0'", uuid.UUID("61f0c404-5cb3-11e7-907b-a6006ad3dba0")),
    ("IPv4", "'1.2.3.4'", ipaddress.IPv4Address("1.2.3.4")),
    ("IPv6", "'2001:db8::1'", ipaddress.IPv6Address("2001:db8::1")),
    ("Date", "'2149-06-06'", dt.date(2149, 6, 6)),
    ("Date32", "'1900-01-01'", dt.date(1900, 1, 1)),
    ("DateTime('Asia/Tokyo')", "'2024-02-29 12:00:00'", dt.datetime(2024, 2, 29, 12, tzinfo=TOKYO)),
    (
        "DateTime64(6, 'Asia/Tokyo')",
        "'2024-02-29 12:00:00.123456'",
        dt.datetime(2024, 2, 29, 12, 0, 0, 123456, tzinfo=TOKYO),
    ),
    ("Decimal(9, 2)", "'-1234567.89'", decimal.Decimal("-1234567.89")),
    ("Decimal(76, 10)", "'1.0000000001'", decimal.Decimal("1.0000000001")),
    ("Enum8('a b' = 1, 'c\\'d' = -2)", "'c\\'d'", "c'd"),
    ("Enum16('x' = 1000)", "'x'", "x"),
    ("Nullable(Int32)", "NULL", None),
    ("LowCardinality(String)", "'lc'", "lc"),
    ("LowCardinality(Nullable(String))", "NULL", None),
    ("Array(Array(UInt8))", "[[1, 2], []]", [[1, 2], []]),
    ("Array(LowCardinality(String))", "['a', 'b', 'a']", ["a", "b", "a"]),
    ("Array(Nullable(DateTime('UTC')))", "[NULL]", [None]),
    ("Tuple(UInt8, String)", "(1, 'x')", (1, "x")),
    ("Tuple(a UInt8, b Tuple(c String, d Array(Int8)))", "(1, ('x', [2]))", {"a": 1, "b": {"c": "x", "d": [2]}}),
    ("Map(String, Array(UInt8))", "map('a', [1], 'b', [])", {"a": [1], "b": []}),
    ("Map(LowCardinality(String), Nullable(String))", "map('a', NULL)", {"a": None}),
    ("Variant(String, UInt64)", "42::UInt64", 42),
    ("Dynamic", "'text'", "text"),
    ("JSON", '\'{"a": {"b": [1, 2]}, "c": "x"}\'', {"a": {"b": [1, 2]}, "c": "x"}),
    ("Point", "(1.5, 2)", (1.5, 2.0)),
    ("Ring", "[(0, 0), (1, 1)]", [(0.0, 0.0), (1.0, 1.0)]),
    ("MultiPolygon", "[[[(0, 0), (1, 1)]]]", [[[(0.0, 0.0), (1.0, 1.0)]]]),
    ("SimpleAggregateFunction(sum, UInt64)", "7", 7),
]
# Types that the client can read but does not write, or not from the value that it reads.
READ_ONLY = ("Tuple(a", "Dynamic", "Variant", "Ring", "MultiPolygon")


@pytest.mark.parametrize(("type", "literal", "value"), VALUES, ids=[value[0] for value in VALUES])
def test_a_value_of_every_family_of_types_is_read(
    connect: Client, name: str, type: str, literal: str, value: object
) -> None:
    connect.command(f"CREATE TABLE {name} (n UInt8, v {type}, s String) ENGINE = Memory")
    connect.command(f"INSERT INTO {name} SELECT number, {literal}, 'end' FROM numbers(3)")
    result = connect.query(f"SELECT v, s FROM {name} ORDER BY n")
    assert result.result_rows == [(value, "end")] * 3


@pytest.mark.parametrize(
    ("type", "literal", "value"),
    [one for one in VALUES if not one[0].startswith(READ_ONLY)],
    ids=[value[0] for value in VALUES if not value[0].startswith(READ_ONLY)],
)
def test_a_value_of_every_family_of_types_is_inserted(
    connect: Client, name: str, type: str, literal: str, value: object
) -> None:
    connect.command(f"CREATE TABLE {name} (n UInt8, v {type}, s String) ENGINE = Memory")
    connect.insert(name, [[number, value, "end"] for number in range(3)])
    assert connect.query(f"SELECT v, s FROM {name} ORDER BY n").result_rows == [(value, "end")] * 3


@pytest.mark.parametrize("compression", ["lz4", "zstd", "br", "gzip", False])
def test_both_ways_in_every_compression(server: Server, name: str, connect: Client, compression: str | bool) -> None:
    connect.command(f"CREATE TABLE {name} (n UInt64, s String) ENGINE = MergeTree ORDER BY n")
    client = other(server, compress=compression)
    rows = [[number, f"row {number}" * 5] for number in range(30_000)]
    assert client.insert(name, rows).written_rows == 30_000
    assert client.query(f"SELECT * FROM {name} ORDER BY n").result_rows == [tuple(row) for row in rows]
    assert client.command(f"SELECT uniqExact(s) FROM {name}") == 30_000
    client.close()


def test_blocks_rows_and_columns_are_streamed(connect: Client) -> None:
    sql = "SELECT number, toString(number) AS s FROM numbers(150000)"
    with connect.query_rows_stream(sql, settings={"max_block_size": 10_000}) as stream:
        assert sum(row[0] for row in stream) == sum(range(150_000))
    with connect.query_row_block_stream(sql, settings={"max_block_size": 10_000}) as blocks:
        assert len([block for block in blocks if len(block)]) == 15
    with connect.query_column_block_stream(sql) as blocks:
        assert sum(len(block[1]) for block in blocks) == 150_000
    with connect.query_df_stream(sql) as frames:
        assert sum(len(frame) for frame in frames) == 150_000
    with connect.query_np_stream(sql) as arrays:
        assert sum(len(array) for array in arrays) == 150_000
    with connect.query_arrow_stream(sql) as batches:
        assert sum(batch.num_rows for batch in batches) == 150_000


def test_a_stream_that_is_left_early_leaves_the_client_usable(connect: Client) -> None:
    with connect.query_rows_stream("SELECT number, repeat('x', 10000) FROM numbers(20000)") as stream:
        for _, _ in zip(range(10), stream, strict=False):
            pass
    assert connect.command("SELECT 1") == 1


def test_an_error_in_the_middle_of_a_result_is_told_as_such(server: Server) -> None:
    client = other(server, compress=False)  # a server holds compressed answers back, which makes it an ordinary error
    with pytest.raises(StreamFailureError, match=r"throwIf.*non-zero") as error:
        _ = client.query(
            "SELECT sleepEachRow(0.01), throwIf(number = 100) FROM numbers(200)",
            settings={"max_block_size": 1, "wait_end_of_query": 0},
        ).result_set
    assert "Code: 395" in str(error.value)
    assert client.command("SELECT 1") == 1
    client.close()


def test_waiting_for_the_end_makes_the_same_error_an_ordinary_one(connect: Client) -> None:
    with pytest.raises(DatabaseError) as error:
        connect.query(
            "SELECT sleepEachRow(0.001), throwIf(number = 100) FROM numbers(200)",
            settings={"max_block_size": 1, "wait_end_of_query": 1},
        )
    assert not isinstance(error.value, StreamFailureError)
    assert error.value.code == 395


@pytest.mark.parametrize(
    ("sql", "code", "name"),
    [
        ("SELECT * FROM no_such_table", 60, "UNKNOWN_TABLE"),
        ("SELECT nothing", 47, "UNKNOWN_IDENTIFIER"),
        ("SELECT nofunc(1)", 46, "UNKNOWN_FUNCTION"),
        ("SELECT * FROM nodb.t", 81, "UNKNOWN_DATABASE"),
        ("SELEC 1", 62, "SYNTAX_ERROR"),
        ("SELECT 1; SELECT 2", 62, "SYNTAX_ERROR"),
        ("SELECT 1 + 'a'", 43, "ILLEGAL_TYPE_OF_ARGUMENT"),
        ("SELECT toUInt8('x')", 6, "CANNOT_PARSE_TEXT"),
    ],
)
def test_errors_have_their_codes_and_names(connect: Client, sql: str, code: int, name: str) -> None:
    with pytest.raises(DatabaseError) as error:
        connect.query(sql)
    assert (error.value.code, error.value.name) == (code, name)


def test_a_row_that_cannot_be_serialised_leaves_nothing_behind(connect: Client, name: str) -> None:
    connect.command(f"CREATE TABLE {name} (n UInt64, s String) ENGINE = MergeTree ORDER BY n")
    with pytest.raises(Exception, match=r"(?s).*"):
        connect.insert(name, [[1, "a"], ["x", object()]])
    assert connect.command(f"SELECT count() FROM {name}") == 0
    connect.insert(name, [[1, "a"]])
    assert connect.command(f"SELECT count() FROM {name}") == 1


def test_external_data_is_a_table_of_the_query(connect: Client) -> None:
    data = ExternalData(file_name="movies.csv", data=b"1,a\n2,b\n", fmt="CSV", structure=["i UInt8", "s String"])
    assert connect.query("SELECT * FROM movies ORDER BY i", external_data=data).result_rows == [(1, "a"), (2, "b")]
    data = ExternalData(file_name="ids", data=b"1\n2\n", fmt="TSV", types="UInt64")
    data.add_file(file_name="names", data=b'{"n":"x"}\n', fmt="JSONEachRow", structure="n String")
    sql = "SELECT sum(number), any(names.n) FROM numbers(5) AS n, names WHERE number IN (SELECT _1 FROM ids)"
    assert connect.query(sql, external_data=data).result_rows == [(3, "x")]
    with pytest.raises(DatabaseError, match=r"names|ids"):
        connect.query("SELECT * FROM ids")


def test_parameters_are_bound_by_the_server(connect: Client) -> None:
    when = dt.datetime.fromisoformat("2024-01-02 03:04:05")
    given = {"a": -1, "b": "it's\n\t\\", "c": ["x'y", ""], "d": when, "n": None}
    sql = "SELECT {a:Int32}, {b:String}, {c:Array(String)}, {d:DateTime}, {n:Nullable(String)}"
    assert connect.query(sql, parameters=given).result_rows == [(-1, "it's\n\t\\", ["x'y", ""], when, None)]
    names = {"d": "system", "t": "one"}
    assert connect.query("SELECT * FROM {d:Identifier}.{t:Identifier}", parameters=names).result_rows == [(0,)]
    assert connect.query("SELECT %(x)s, %(y)s", parameters={"x": "a'b", "y": [1, 2]}).result_rows == [("a'b", [1, 2])]


def test_parameters_can_go_in_the_body(server: Server) -> None:
    client = other(server, form_encode_query_params=True)
    long = "x" * 300_000
    assert client.query("SELECT length({a:String})", parameters={"a": long}).result_rows == [(300_000,)]
    client.close()


def test_settings_hold_for_their_query_only(connect: Client) -> None:
    assert connect.command("SELECT getSetting('max_threads')", settings={"max_threads": 3}) == 3
    assert connect.command("SELECT getSetting('max_threads')") != 3
    connect.set_client_setting("max_result_rows", 2)
    try:
        with pytest.raises(DatabaseError, match=r"[Ll]imit"):
            connect.query("SELECT number FROM numbers(100)")
    finally:
        connect.set_client_setting("max_result_rows", 0)


def test_an_unknown_setting_is_refused(connect: Client) -> None:
    with pytest.raises((DatabaseError, ProgrammingError), match="no_such_setting"):
        connect.query("SELECT 1", settings={"no_such_setting": 1})


def test_the_session_keeps_temporary_tables_and_settings(connect: Client) -> None:
    connect.command("CREATE TEMPORARY TABLE kept (a Int8)")
    connect.insert("kept", [[1], [2]])
    assert connect.command("SELECT sum(a) FROM kept") == 3
    connect.command("DROP TABLE kept")


def test_two_sessions_do_not_share_temporary_tables(server: Server, connect: Client) -> None:
    connect.command("CREATE TEMPORARY TABLE mine (a Int8)")
    client = other(server)
    with pytest.raises(DatabaseError):
        client.query("SELECT * FROM mine")
    client.close()
    connect.command("DROP TABLE mine")


def test_a_session_in_use_is_locked(server: Server, connect: Client) -> None:
    client = other(server, session_id=f"s{uuid.uuid4().hex}", query_retries=0)
    second = other(server, session_id=client.get_client_setting("session_id"), query_retries=0)
    query_id = f"lock-{uuid.uuid4()}"
    running = threading.Thread(
        target=client.query,
        args=("SELECT sleepEachRow(0.5) FROM numbers(4)",),
        kwargs={"settings": {"query_id": query_id}},
    )
    running.start()
    try:
        wait_until_running(connect, query_id)
        with pytest.raises(DatabaseError) as error:
            second.query("SELECT 1")
        assert error.value.code == 373
    finally:
        running.join()
        client.close()
        second.close()


def test_the_database_of_the_client_is_used(server: Server, connect: Client) -> None:
    database = f"d_{uuid.uuid4().hex[:8]}"
    connect.command(f"CREATE DATABASE {database}")
    client = other(server, database=database)
    client.command("CREATE TABLE t (a Int8) ENGINE = Memory")
    client.insert("t", [[5]])
    assert client.query("SELECT a, currentDatabase() FROM t").result_rows == [(5, database)]
    assert connect.command(f"SELECT a FROM {database}.t") == 5
    client.database = None
    assert client.command("SELECT currentDatabase()") == "default"
    client.close()
    connect.command(f"DROP DATABASE {database}")


def test_wrong_credentials_are_refused(server: Server) -> None:
    with pytest.raises(DatabaseError) as error:
        other(server, password="wrong")
    assert error.value.code in (516, 194)


def test_the_query_id_comes_back_and_into_the_log(connect: Client, server: Server) -> None:
    wanted = f"id-{uuid.uuid4()}"
    assert connect.query("SELECT 42", settings={"query_id": wanted}).query_id == wanted
    rows = connect.query(
        "SELECT DISTINCT query_id, user FROM system.query_log WHERE query_id = {q:String}", parameters={"q": wanted}
    ).result_rows
    assert rows == [(wanted, server.user)]


def test_a_query_is_killed_by_its_id(server: Server, connect: Client) -> None:
    victim = other(server)
    wanted = f"victim-{uuid.uuid4()}"
    caught: list[Exception] = []

    def run() -> None:
        try:
            victim.query("SELECT sleepEachRow(1) FROM numbers(60)", settings={"query_id": wanted, "max_block_size": 1})
        except Exception as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    wait_until_running(connect, wanted)
    connect.command(f"KILL QUERY WHERE query_id = '{wanted}' SYNC")
    thread.join(20)
    assert not thread.is_alive()
    assert "394" in str(caught[0]) or "cancelled" in str(caught[0]).lower()
    victim.close()


def test_zones_of_columns_server_and_client(server: Server, connect: Client) -> None:
    sql = (
        "SELECT toDateTime(0, 'Asia/Tokyo') AS a, toDateTime64(0, 3, 'Asia/Tokyo') AS b, ['x'] AS c, toDateTime(0) AS d"
    )
    [(a, b, _, d)] = connect.query(sql).result_rows
    assert a == b == dt.datetime(1970, 1, 1, 9, tzinfo=TOKYO)
    assert a.tzinfo == TOKYO
    assert d == dt.datetime.fromisoformat("1970-01-01")
    frame = connect.query_df(sql)
    assert str(frame["a"].dtype).endswith("Asia/Tokyo]")
    [(naive,)] = connect.query("SELECT toDateTime(0)", query_tz="America/New_York").result_rows
    assert naive.isoformat() == "1969-12-31T19:00:00-05:00"


def test_frames_and_arrow_tables_go_both_ways(connect: Client, name: str) -> None:
    connect.command(f"CREATE TABLE {name} (n UInt64, s String, f Nullable(Float64)) ENGINE = MergeTree ORDER BY n")
    frame = connect.query_df("SELECT number AS n, toString(number) AS s, number / 2 AS f FROM numbers(1000)")
    connect.insert_df(name, frame)
    table = connect.query_arrow(f"SELECT * FROM {name} ORDER BY n")
    assert isinstance(table, pa.Table)
    assert table.num_rows == 1000
    connect.insert_arrow(name, table)
    assert connect.query_np(f"SELECT n FROM {name}").sum() == 2 * sum(range(1000))
    assert connect.command(f"SELECT count() FROM {name}") == 2000


def test_raw_streams_go_both_ways(connect: Client, name: str) -> None:
    connect.command(f"CREATE TABLE {name} (n UInt64, s String) ENGINE = MergeTree ORDER BY n")
    body = b"".join(b"%d,row\n" % number for number in range(50_000))
    assert connect.raw_insert(name, ["n", "s"], body, fmt="CSV").written_rows == 50_000
    assert connect.raw_insert(name, None, iter([b"60000\tx", b"\n60001\ty\n"]), fmt="TSV").written_rows == 2
    read = connect.raw_stream(f"SELECT n FROM {name} WHERE n < 50000 ORDER BY n", fmt="TSV").read()
    assert read == b"".join(b"%d\n" % number for number in range(50_000))


def test_a_refused_connection_is_an_operational_error(server: Server) -> None:
    import socket

    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    with pytest.raises(OperationalError):
        clickhouse_connect.get_client(host="127.0.0.1", port=port)


def test_the_database_api_works(server: Server) -> None:
    from clickhouse_connect import dbapi

    connection = dbapi.connect(host="127.0.0.1", port=server.port, username=server.user, password=server.password)
    cursor = connection.cursor()
    cursor.execute("SELECT number, toString(number) AS s FROM numbers(3) WHERE number > %(low)s", {"low": 0})
    assert [column[0] for column in cursor.description] == ["number", "s"]
    assert cursor.fetchall() == [(1, "1"), (2, "2")]
    connection.close()
