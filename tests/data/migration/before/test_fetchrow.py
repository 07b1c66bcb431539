from unittest.mock import AsyncMock

import pytest


async def find_customer(db, customer_id):
    row = await db.fetchrow("SELECT id, name, city FROM customers WHERE id = $1", customer_id)
    return dict(row) if row else None


@pytest.fixture
def mock_db():
    return AsyncMock()


@pytest.mark.asyncio
async def test_customer(mock_db):
    mock_db.fetchrow.return_value = {"id": 4, "name": "Chiara", "city": "Trento"}
    customer = await find_customer(mock_db, 4)
    assert customer == {"id": 4, "name": "Chiara", "city": "Trento"}
    mock_db.fetchrow.assert_awaited_once()


@pytest.mark.asyncio
async def test_nobody(mock_db):
    mock_db.fetchrow.return_value = None
    assert await find_customer(mock_db, 5) is None
