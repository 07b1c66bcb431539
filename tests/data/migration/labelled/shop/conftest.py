from unittest.mock import AsyncMock, MagicMock, patch

import pytest

from shop.app import Shop


@pytest.fixture
def mock_db():
    db = AsyncMock()
    db.fetchrow.return_value = {"id": 1}
    return db


@pytest.fixture(name="cache")
def _cache():
    with patch("shop.app.redis_client") as client:
        yield client


@pytest.fixture
def shop(mock_db, cache):
    return Shop(mock_db, cache=cache)


@pytest.fixture
def order():
    return {"id": 7, "lines": []}


@pytest.fixture
def chain(mock_db):
    return mock_db


@pytest.fixture
def plain(order):
    return [order]
