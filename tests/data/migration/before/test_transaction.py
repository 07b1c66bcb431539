from unittest.mock import AsyncMock, MagicMock

import pytest


async def move(conn, sender, receiver, amount):
    async with conn.transaction():
        await conn.execute("INSERT INTO bookings (account, amount) VALUES ($1, $2)", sender, -amount)
        await conn.execute("INSERT INTO bookings (account, amount) VALUES ($1, $2)", receiver, amount)


@pytest.fixture
def conn():
    connection = AsyncMock()
    connection.transaction = MagicMock()
    return connection


async def test_move_books_twice(conn):
    await move(conn, "ada", "bruno", 50)
    assert conn.execute.await_count == 2
    conn.execute.assert_any_await("INSERT INTO bookings (account, amount) VALUES ($1, $2)", "ada", -50)
    conn.execute.assert_any_await("INSERT INTO bookings (account, amount) VALUES ($1, $2)", "bruno", 50)
