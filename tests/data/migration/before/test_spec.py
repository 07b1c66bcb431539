from unittest.mock import AsyncMock

import asyncpg


async def rename(conn, customer, name):
    done = await conn.execute("UPDATE customers SET name = $1 WHERE id = $2", name, customer)
    return done == "UPDATE 1"


async def remember(store, customer):
    return await store.set("last-customer", str(customer))


async def test_rename():
    conn = AsyncMock(spec=asyncpg.Connection)
    conn.execute.return_value = "UPDATE 1"
    assert await rename(conn, 7, "Grete") is True
    conn.execute.assert_awaited_once_with("UPDATE customers SET name = $1 WHERE id = $2", "Grete", 7)


async def test_rename_nobody():
    conn = AsyncMock(spec=asyncpg.Connection)
    conn.execute.return_value = "UPDATE 0"
    assert await rename(conn, 8, "Grete") is False


async def test_remember():
    store = AsyncMock(name="redis store")
    store.set.return_value = True
    assert await remember(store, 7) is True
    store.set.assert_awaited_once_with("last-customer", "7")
