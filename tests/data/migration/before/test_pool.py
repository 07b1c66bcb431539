from unittest.mock import AsyncMock, MagicMock

import pytest
from bookshop.orders import Order, OrderRepository


@pytest.fixture
def mock_conn():
    return AsyncMock()


@pytest.fixture
def mock_pool(mock_conn):
    pool = MagicMock()
    pool.acquire.return_value.__aenter__.return_value = mock_conn
    return pool


async def test_find(mock_pool, mock_conn):
    mock_conn.fetchrow.return_value = {"id": 1, "customer": "ada", "total": 30}
    assert await OrderRepository(mock_pool).find(1) == Order(1, "ada", 30)


async def test_find_nothing(mock_pool, mock_conn):
    mock_conn.fetchrow.return_value = None
    assert await OrderRepository(mock_pool).find(2) is None


async def test_of_customer(mock_pool, mock_conn):
    mock_conn.fetch.return_value = [
        {"id": 1, "customer": "ada", "total": 30},
        {"id": 2, "customer": "ada", "total": 12},
    ]
    orders = await OrderRepository(mock_pool).of_customer("ada")
    assert [order.total for order in orders] == [30, 12]
