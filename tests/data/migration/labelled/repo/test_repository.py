from unittest.mock import AsyncMock, MagicMock, Mock

import asyncpg
import pytest

from repo.users import UserRepository


@pytest.fixture
def conn():
    connection = AsyncMock(spec=asyncpg.Connection)
    connection.transaction = MagicMock()
    return connection


@pytest.fixture
def repository(conn):
    return UserRepository(conn)


class TestUsers:
    async def test_get(self, repository, conn):
        conn.fetchrow.return_value = {"id": 1}
        assert await repository.get(1)

    async def test_pool(self):
        pool = MagicMock()
        pool.acquire.return_value.__aenter__ = AsyncMock(return_value=AsyncMock())

    def test_passed_along(self):
        assert UserRepository(Mock())
        assert UserRepository(db=Mock(), cache=Mock())
