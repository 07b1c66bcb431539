"""Every format of the engine, in and out, over HTTP."""

from __future__ import annotations

import pytest

from .conftest import Client

#: What a format needs beside the data; formats that are not named need nothing.
SETTINGS: dict[str, dict[str, str]] = {
    "Template": {
        "format_template_row_format": "${n:CSV},${s:CSV}",
        "format_template_resultset_format": "${data}\n",
    },
    "TemplateIgnoreSpaces": {
        "format_template_row_format": "${n:CSV},${s:CSV}",
        "format_template_resultset_format": "${data}\n",
    },
    "Regexp": {"format_regexp": "^(\\d+),(.*)$", "format_regexp_escaping_rule": "Raw"},
    "MySQLDump": {},
    **{
        name: {
            "format_schema_source": "string",
            "format_schema": 'syntax = "proto3"; message M { uint64 n = 1; string s = 2; }',
            "format_schema_message_name": "M",
        }
        for name in ("Protobuf", "ProtobufSingle", "ProtobufList")
    },
    "CapnProto": {
        "format_schema_source": "string",
        "format_schema": "@0xbf5147bdaba0f18d; struct M { n @0 : UInt64; s @1 : Text; }",
        "format_schema_message_name": "M",
    },
}
#: One column of one kind only.
SINGLE = {"LineAsString", "LineAsStringWithNames", "LineAsStringWithNamesAndTypes", "RawBLOB", "JSONAsString", "One"}
#: Need a service elsewhere, a terminal, or shapes of their own; run by their own statements below or not over HTTP.
APART = {
    "AvroConfluent",
    "JSONAsObject",
    "PostgreSQLWire",
    "MySQLWire",
    "PNG",
    "Prometheus",
    "Npy",
    "Form",
    "GeoJSON",
    "ODBCDriver2",
}


async def formats(client: Client) -> list[tuple[str, bool, bool]]:
    rows = await client.text("SELECT name, is_input, is_output FROM system.formats ORDER BY name")
    return [(name, i == "1", o == "1") for name, i, o in (line.split("\t") for line in rows.splitlines())]


async def test_every_format_goes_out(client: Client) -> None:
    names = [name for name, _, out in await formats(client) if out and name not in APART]
    assert len(names) > 60
    failed = {}
    for name in names:
        columns = "'abc' AS s" if name in SINGLE else "toUInt64(7) AS n, 'abc' AS s"
        limits = SETTINGS.get(name, {})
        reply = await client.send(f"SELECT {columns} FORMAT {name}", **limits)
        carries = name in ("Null", "One") or b"abc" in reply.body or len(reply.body) > 20
        if reply.status != 200 or not carries or reply.headers["X-ClickHouse-Format"] != name:
            failed[name] = reply.body[:200]
    assert not failed


async def test_every_format_that_goes_both_ways_brings_back_what_went_out(client: Client, table: str) -> None:
    await client.text(f"CREATE TABLE {table} (n UInt64, s String) ENGINE = Memory")
    files = client.server.path / "user_files"
    (files / "set.template").write_text("${data}\n")
    (files / "row.template").write_text("${n:CSV},${s:CSV}")
    templates = {"format_template_row": "row.template", "format_template_resultset": "set.template"}
    both = [n for n, i, o in await formats(client) if i and o and n not in APART | SINGLE | {"Null", "One"}]
    assert len(both) > 40
    failed = {}
    for name in both:
        await client.text(f"TRUNCATE TABLE {table}")
        limits = SETTINGS.get(name, {})
        limits = templates if name.startswith("Template") else limits
        rows = 1 if name == "ProtobufSingle" else 3
        out = await client.send(
            f"SELECT number AS n, concat('r', toString(n)) AS s FROM numbers({rows}) FORMAT {name}", **limits
        )
        back = await client.send(out.body, query=f"INSERT INTO {table} FORMAT {name}", **limits)
        text = await client.text(f"SELECT count(), sum(n), max(s) FROM {table}")
        if text != f"{rows}\t{rows * (rows - 1) // 2}\tr{rows - 1}\n":
            failed[name] = (out.status, back.status, text, (out.body + back.body)[:300])
    assert not failed


@pytest.mark.parametrize(
    ("name", "data", "settings"),
    [
        ("Regexp", "1,a\n2,b\n", SETTINGS["Regexp"]),
        ("MySQLDump", "INSERT INTO `x` VALUES (1,'a'),(2,'b');\n", {}),
        ("Form", "n=1&s=a", {}),
        ("Values", "(1, 'a'), (2, 'b')", {}),
        ("TSKV", "n=1\ts=a\nn=2\ts=b\n", {}),
    ],
)
async def test_a_format_that_only_comes_in_is_read(
    client: Client, table: str, name: str, data: str, settings: dict[str, str]
) -> None:
    await client.text(f"CREATE TABLE {table} (n UInt64, s String) ENGINE = Memory")
    reply = await client.send(data, query=f"INSERT INTO {table} FORMAT {name}", **settings)
    assert reply.status == 200, reply.body
    assert await client.text(f"SELECT min(n), min(s) FROM {table}") == "1\ta\n"


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [("LineAsString", "a\nb\n", "a b"), ("RawBLOB", "a\nb", "a\nb"), ("JSONAsString", '{"x": 1}', '{"x": 1}')],
)
async def test_a_format_of_one_column_is_read(client: Client, table: str, name: str, data: str, expected: str) -> None:
    await client.text(f"CREATE TABLE {table} (s String) ENGINE = Memory")
    assert (await client.send(data, query=f"INSERT INTO {table} FORMAT {name}")).status == 200
    sql = f"SELECT arrayStringConcat(groupArray(s), ' ') FROM {table} FORMAT TSVRaw"
    assert await client.text(sql) == expected + "\n"


async def test_formats_for_columns_of_one_shape_go_out(client: Client) -> None:
    assert (await client.send("SELECT number FROM numbers(3) FORMAT Npy")).body.startswith(b"\x93NUMPY")
    labels = "map('l', 'v') AS labels, 0 AS timestamp"
    sql = f"SELECT 'a_total' AS name, 1.0 AS value, 'counter' AS type, 'about' AS help, {labels}"
    assert "a_total" in await client.text(f"{sql} FORMAT Prometheus")
    pixels = "SELECT toUInt8(1) AS r, toUInt8(2) AS g, toUInt8(3) AS b FORMAT PNG"
    assert (await client.send(pixels)).body.startswith(b"\x89PNG")
    point = await client.text("SELECT (1., 2.)::Point AS p FORMAT GeoJSON")
    assert '"Point"' in point
