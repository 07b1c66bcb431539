"""Fifty clients at once."""

from __future__ import annotations

import asyncio
import random
import time

import aiohttp

from .conftest import Client, Server

CLIENTS = 50
SECONDS = 10


async def work(server: Server, number: int, until: float, session: aiohttp.ClientSession) -> tuple[int, int]:
    """Reads, writes and DDL of one client; the rows it wrote and what it counted at the end."""
    client = Client(server, session)
    chance = random.Random(number)
    shared, own = "soak_shared", f"soak_{number}"
    await client.text(f"CREATE TABLE {own} (a UInt64, s String) ENGINE = MergeTree ORDER BY a")
    written = 0
    while time.monotonic() < until:
        match chance.randrange(6):
            case 0:
                rows = chance.randrange(1, 200)
                data = "".join(f"{n}\tx{n}\n" for n in range(rows))
                await client.text(data, query=f"INSERT INTO {own} FORMAT TabSeparated")
                written += rows
            case 1:
                await client.text(f"INSERT INTO {shared} VALUES ({number}, {written})")
            case 2:
                assert await client.text(f"SELECT count(), uniqExact(s) >= 0 FROM {own}") == f"{written}\t1\n"
            case 3:
                body = (
                    await client.send("SELECT number, toString(number) FROM numbers(3000) FORMAT JSONCompactEachRow")
                ).body
                assert body.count(b"\n") == 3000
            case 4:
                name = f"soak_ddl_{number}"
                await client.text(f"CREATE TABLE {name} AS {own}")
                await client.text(f"ALTER TABLE {name} ADD COLUMN c UInt8 DEFAULT 7")
                await client.text(f"DROP TABLE {name} SYNC")
            case _:
                text = await client.text("SELECT getSetting('max_threads')", session_id=f"s{number}", max_threads=1)
                assert text == "1\n"
    counted = int(await client.text(f"SELECT count() FROM {own}"))
    await client.text(f"DROP TABLE {own} SYNC")
    return written, counted


async def test_fifty_clients_lose_no_row_see_no_error_and_leave_memory_bounded(server: Server) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        client = Client(server, session)
        await client.text("CREATE OR REPLACE TABLE soak_shared (c UInt64, n UInt64) ENGINE = MergeTree ORDER BY c")
        before = server.memory()
        until = time.monotonic() + SECONDS
        results = await asyncio.gather(*(work(server, number, until, session) for number in range(CLIENTS)))
        await client.text("DROP TABLE soak_shared SYNC")
    assert all(written == counted for written, counted in results)
    assert sum(written for written, _ in results) > 0
    assert server.memory() - before < 500 << 20
