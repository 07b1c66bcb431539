"""aiochclient, over aiohttp and over httpx, against the embedded endpoint."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import AsyncIterator
from decimal import Decimal
from ipaddress import IPv4Address, IPv6Address

import aiohttp
import httpx
import pytest
from aiochclient import ChClient, ChClientError

from tests.integration.embedded_clickhouse.conftest import Server

UID = uuid.UUID("61f0c404-5cb3-11e7-907b-a6006ad3dba0")
COLUMNS: dict[str, tuple[str, object]] = {
    "u8": ("UInt8", 1),
    "u64": ("UInt64", 2**64 - 1),
    "i64": ("Int64", -(2**63)),
    "f32": ("Float32", 23.5),
    "f64": ("Float64", -56754.564542),
    "s": ("String", "'\b\f\r\n\t\\ it's"),
    "fs": ("FixedString(5)", "abcde"),
    "d": ("Nullable(Date)", dt.date(2018, 9, 21)),
    "t": ("Nullable(DateTime)", dt.datetime.fromisoformat("2018-09-21 10:32:23")),
    "e": ("Enum8('hello' = 1, 'world' = 2)", "world"),
    "a": ("Array(UInt8)", [1, 2, 3]),
    "aa": ("Array(Array(Int32))", [[1, 2], [], [3]]),
    "as": ("Array(String)", ["it's", "b"]),
    "tu": ("Tuple(UInt8, String)", (4, "hello")),
    "n": ("Nullable(Int8)", None),
    "u": ("Nullable(UUID)", UID),
    "lc": ("LowCardinality(Nullable(String))", None),
    "dec": ("Decimal(18, 4)", Decimal("1234.5678")),
    "ip4": ("Nullable(IPv4)", IPv4Address("116.253.40.133")),
    "ip6": ("Nullable(IPv6)", IPv6Address("2001:44c8:129:2632:33:0:252:2")),
}


@pytest.fixture(params=["aiohttp", "aiohttp compressed", "httpx"])
async def client(request: pytest.FixtureRequest, server: Server) -> AsyncIterator[ChClient]:
    options = {"url": server.url, "user": server.user, "password": server.password}
    if request.param == "httpx":
        async with httpx.AsyncClient() as session:
            yield ChClient(session, **options)
        return
    async with aiohttp.ClientSession() as session:
        yield ChClient(session, compress_response=request.param.endswith("compressed"), **options)


@pytest.fixture
async def table(client: ChClient) -> AsyncIterator[str]:
    made = f"ai_{uuid.uuid4().hex[:12]}"
    columns = ", ".join(f"{name} {kind}" for name, (kind, _) in COLUMNS.items())
    await client.execute(f"CREATE TABLE {made} ({columns}) ENGINE = Memory")
    await client.execute(f"INSERT INTO {made} VALUES", tuple(value for _, value in COLUMNS.values()))
    yield made
    await client.execute(f"DROP TABLE {made}")


async def test_it_is_alive(client: ChClient) -> None:
    assert await client.is_alive()


async def test_a_row_of_all_types_comes_back_as_it_was_sent(client: ChClient, table: str) -> None:
    row = await client.fetchrow(f"SELECT * FROM {table}")
    assert row is not None
    assert dict(row) == {name: value for name, (_, value) in COLUMNS.items()}


async def test_fetching_in_all_shapes(client: ChClient, table: str) -> None:
    assert await client.fetchval("SELECT count() FROM numbers(7)") == 7
    assert await client.fetchrow(f"SELECT * FROM {table} WHERE u8 = 42") is None
    assert [row[0] for row in await client.fetch("SELECT number FROM numbers(3)")] == [0, 1, 2]
    assert [row["n"] async for row in client.iterate("SELECT number AS n FROM numbers(3)")] == [0, 1, 2]
    assert await client.fetch("SELECT 1 WHERE 0") == []
    assert await client.fetchval("SELECT {x} + 1", params={"x": 4}) == 5


async def test_a_long_result_is_iterated(client: ChClient) -> None:
    total = 0
    async for row in client.iterate("SELECT number, toString(number) FROM numbers(100000)"):
        total += row[0]
    assert total == sum(range(100_000))


async def test_many_rows_are_inserted(client: ChClient, table: str) -> None:
    await client.execute(
        f"INSERT INTO {table} (u8, s) VALUES", *((number % 256, f"row; {number}") for number in range(999))
    )
    assert await client.fetchval(f"SELECT count() FROM {table}") == 1000


async def test_errors_are_raised(client: ChClient, table: str) -> None:
    for sql in ("SELE", f"SELECT * FROM {table} WHERE", "SELECT * FROM no_such_table"):
        with pytest.raises(ChClientError, match="Code: 6"):
            await client.fetch(sql)
    assert await client.fetchval("SELECT 1") == 1
