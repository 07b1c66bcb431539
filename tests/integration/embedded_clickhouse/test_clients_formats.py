"""All formats of the engine, out and in, over HTTP: the same bytes as the engine writes in its own process."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import httpx
import pytest

from tests.integration.embedded_clickhouse.conftest import Server
from tests.unit.embedded_clickhouse.engine_child import EngineChild

#: Formats that want other columns, other settings or one row; what to ask of them.
SPECIAL: dict[str, tuple[str, str]] = {
    "GeoJSON": ("(1, 2)::Point::Geometry AS geometry", ""),
    "Npy": ("number AS n", ""),
    "PNG": ("number::Int32 AS x, number::Int32 AS y, number::UInt8 AS v", ""),
    "Prometheus": ("toString(number) AS name, number::Float64 AS value", ""),
    "ProtobufSingle": ("1 AS n", "LIMIT 1"),
    "Template": ("number AS n, toString(number) AS s", "SETTINGS format_template_row_format='${n:CSV},${s:CSV}'"),
    "LineAsString": ("toString(number) AS s", ""),
    "RawBLOB": ("toString(number) AS s", ""),
}
#: It talks to a schema registry on the network.
NEEDS_A_SERVICE = {"AvroConfluent"}
#: It reads only by a schema file.
NEEDS_A_FILE = {"Template"}
#: They hold random marks, times or addresses, so that no two outputs are equal.
NOT_THE_SAME_TWICE = {"Avro", "Arrow", "ArrowStream", "Parquet", "ORC", "BSONEachRow"} | {
    f"JSON{kind}EachRowWithProgress" for kind in ("", "Compact", "Strings", "CompactStrings")
}
#: They say how long it took.
WITH_STATISTICS = {"JSON", "JSONCompact", "JSONStrings", "JSONCompactStrings", "JSONColumnsWithMetadata", "XML"}


CUSTOM = "format_custom_escaping_rule='CSV', format_custom_field_delimiter=','"


@pytest.fixture(scope="module")
def http(server: Server) -> Iterator[httpx.Client]:
    login = {"X-ClickHouse-User": server.user, "X-ClickHouse-Key": server.password}
    with httpx.Client(base_url=server.url, headers=login, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def engine() -> Iterator[EngineChild]:
    child = EngineChild()
    yield child
    child.close()


@pytest.fixture(scope="module")
def formats(http: httpx.Client) -> dict[str, tuple[bool, bool]]:
    """Every format the engine has: whether it reads, whether it writes."""
    rows = http.post("/", content="SELECT name, is_input, is_output FROM system.formats FORMAT JSONCompact").json()[
        "data"
    ]
    return {name: (bool(reads), bool(writes)) for name, reads, writes in rows}


def columns_of(name: str) -> tuple[str, str]:
    return SPECIAL.get(name, ("number::UInt64 AS n, toString(number) AS s", ""))


def select(name: str) -> str:
    columns, tail = columns_of(name)
    settings = "output_format_write_statistics=0" if name in WITH_STATISTICS else ""
    clause = tail if not settings else f"SETTINGS {settings}"
    return f"SELECT {columns} FROM numbers(3) {clause} FORMAT {name}"


def test_the_engine_has_the_formats_of_this_version(formats: dict[str, tuple[bool, bool]]) -> None:
    assert len(formats) >= 113


def test_every_format_is_written_as_the_engine_writes_it(
    http: httpx.Client, engine: EngineChild, formats: dict[str, tuple[bool, bool]]
) -> None:
    wrong = {}
    writing = [name for name, (_, writes) in formats.items() if writes and name not in NEEDS_A_SERVICE]
    for name in writing:
        reply = http.post("/", content=select(name))
        expected = engine.query(select(name))
        same = reply.content == expected or (name in NOT_THE_SAME_TWICE and len(reply.content) > 0)
        if reply.status_code != 200 or not same or reply.headers["x-clickhouse-format"] != name:
            wrong[name] = (reply.status_code, reply.content[:200], expected[:200])
    assert not wrong
    assert len(writing) >= 96


def test_every_format_that_reads_and_writes_comes_back(
    http: httpx.Client, formats: dict[str, tuple[bool, bool]]
) -> None:
    """What SELECT gave goes into INSERT: once with the statement in the URL, once before the data in the body."""
    wrong = {}
    both = [name for name, way in formats.items() if all(way) and name not in NEEDS_A_SERVICE | NEEDS_A_FILE]
    for name in both:
        table = f"f_{uuid.uuid4().hex[:12]}"
        columns, tail = columns_of(name)
        settings = tail if tail.startswith("SETTINGS") else ""
        made = http.post("/", content=f"CREATE TABLE {table} ENGINE = Memory EMPTY AS SELECT {columns} FROM numbers(1)")
        assert made.status_code == 200, made.text
        body = http.post("/", content=select(name)).content
        insert = f"INSERT INTO {table} {settings} FORMAT {name}"
        in_url = http.post("/", params={"query": insert}, content=body)
        in_body = http.post("/", content=insert.encode() + b"\n" + body)
        answers = (in_url.status_code, in_body.status_code)
        count = http.post("/", content=f"SELECT count() FROM {table}").text
        rows = "2\n" if name in ("ProtobufSingle", "RawBLOB") else "6\n"
        if answers != (200, 200) or count != rows:
            wrong[name] = (answers, count, in_url.text[:200], in_body.text[:200])
        http.post("/", content=f"DROP TABLE {table}")
    assert not wrong
    assert len(both) >= 59


@pytest.mark.parametrize(
    ("name", "columns", "body", "settings", "rows"),
    [
        ("JSONAsString", "s String", b'{"a":1}{"b":2}', "", 2),
        ("JSONAsObject", "s JSON", b'{"a":1}{"b":2}', "", 2),
        ("Regexp", "a UInt8, b String", b"1-x\n2-y\n", "format_regexp='(.+?)-(.+?)'", 2),
        ("RowBinaryWithDefaults", "a UInt8 DEFAULT 7", b"\x01\x00\x05", "", 2),
        ("Form", "a UInt8, b String", b"a=1&b=x%20y", "", 1),
        ("One", "a UInt8", b"anything\n\n; at all", "", 1),
        ("CustomSeparatedIgnoreSpaces", "a UInt8, b String", b" 1 , x \n", CUSTOM, 1),
        ("MySQLDump", "a UInt8, b String", b"INSERT INTO `t` VALUES (1,'x'),(2,'y');\n", "", 2),
        ("TSKV", "a UInt8, b String", b"a=1\tb=x\n", "", 1),
        ("Protobuf", "a UInt8", b"\x02\x08\x01\x02\x08\x02", "format_protobuf_use_autogenerated_schema=1", 2),
    ],
)
def test_formats_that_only_read_read(
    http: httpx.Client, name: str, columns: str, body: bytes, settings: str, rows: int
) -> None:
    table = f"f_{uuid.uuid4().hex[:12]}"
    http.post("/", content=f"CREATE TABLE {table} ({columns}) ENGINE = Memory")
    clause = f"SETTINGS {settings}" if settings else ""
    reply = http.post("/", content=f"INSERT INTO {table} {clause} FORMAT {name}\n".encode() + body)
    assert reply.status_code == 200, reply.text
    assert http.post("/", content=f"SELECT count() FROM {table}").text == f"{rows}\n"
    http.post("/", content=f"DROP TABLE {table}")


@pytest.mark.parametrize(
    "sql", ["SELECT 1 FORMAT NoSuchFormat", "INSERT INTO FUNCTION null('a Int8') FORMAT NoSuch\n1"]
)
def test_an_unknown_format_is_told(http: httpx.Client, sql: str) -> None:
    reply = http.post("/", content=sql)
    assert (reply.status_code, reply.headers["x-clickhouse-exception-code"]) == (404, "73")


BEHIND_THE_END = {
    "One": (b"x", 1),
    "Values": (b"(1), (2);", 2),
    "JSON": (b'{"meta":[{"name":"a","type":"UInt8"}],"data":[{"a":1},{"a":2}]}', 2),
    "JSONCompact": (b'{"meta":[{"name":"a","type":"UInt8"}],"data":[[1],[2]]}', 2),
    "Npy": (b"\x93NUMPY\x01\x00\x36\x00{'descr':'<u1','fortran_order':False,'shape':(2,),}     \n\x01\x02", 2),
    "ArrowStream": (b"", 2),
}


@pytest.mark.parametrize("size", [10, 100_000, 5_000_000])
@pytest.mark.parametrize("name", BEHIND_THE_END)
def test_data_behind_the_end_of_a_format_does_no_harm(http: httpx.Client, name: str, size: int) -> None:
    """The engine's interface for streamed data dies of it; the endpoint must not."""
    table = f"f_{uuid.uuid4().hex[:12]}"
    http.post("/", content=f"CREATE TABLE {table} (a UInt8) ENGINE = Memory")
    body, rows = BEHIND_THE_END[name]
    if name == "ArrowStream":
        body = http.post("/", content="SELECT number::UInt8 AS a FROM numbers(2) FORMAT ArrowStream").content

    def pieces() -> Iterator[bytes]:
        yield body
        for _ in range(0, size, 50_000):
            yield b"behind the end " * (min(size, 50_000) // 15)

    inserted = 0
    for _ in range(20 if size < 1_000_000 else 4):
        reply = http.post("/", params={"query": f"INSERT INTO {table} FORMAT {name}"}, content=pieces())
        assert reply.status_code in (200, 400, 500), reply.text
        assert "fatal" not in reply.text
        inserted += rows if reply.status_code == 200 else 0
    assert http.post("/", content=f"SELECT count() FROM {table}").text == f"{inserted}\n"
    http.post("/", content=f"DROP TABLE {table}")
