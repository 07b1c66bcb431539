from unittest.mock import AsyncMock

import pytest
from bookshop import cache


@pytest.fixture
def redis_client(monkeypatch):
    client = AsyncMock()
    monkeypatch.setattr(cache, "redis_client", client)
    return client


async def test_forget(redis_client):
    redis_client.delete.return_value = 1
    assert await cache.forget_book("978") == 1
    redis_client.delete.assert_awaited_once_with("book:978")


async def test_unknown_book(redis_client):
    redis_client.get.return_value = None
    assert await cache.cached_book("000") is None
