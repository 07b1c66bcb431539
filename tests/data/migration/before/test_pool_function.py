from unittest.mock import AsyncMock, MagicMock
import pytest
from contextlib import asynccontextmanager


class Repo:
    def __init__(self, pool):
        self._pool = pool

    async def count(self):
        async with self._pool.acquire() as conn:
            return await conn.fetchval("SELECT COUNT(*) FROM widgets")

    async def add(self, name):
        async with self._pool.acquire() as conn:
            return await conn.fetchval("INSERT INTO widgets (name) VALUES ($1) RETURNING id", name)


@pytest.fixture
def mock_pool():
    pool = MagicMock()
    conn = AsyncMock()

    @asynccontextmanager
    async def acquire():
        yield conn

    pool.acquire = acquire
    pool.conn = conn
    return pool


async def test_count(mock_pool):
    mock_pool.conn.fetchval.return_value = 7
    assert await Repo(mock_pool).count() == 7


async def test_add():
    conn = AsyncMock()
    conn.fetchval.return_value = 12
    pool = MagicMock()
    pool.acquire.return_value.__aenter__ = AsyncMock(return_value=conn)
    pool.acquire.return_value.__aexit__ = AsyncMock(return_value=None)
    assert await Repo(pool).add("x") == 12
    conn.fetchval.assert_awaited_once_with("INSERT INTO widgets (name) VALUES ($1) RETURNING id", "x")
