from unittest.mock import AsyncMock, patch

from bookshop import cache


async def test_cached():
    with patch.object(cache, "redis_client", AsyncMock()) as client:
        client.get.return_value = '{"title": "Heidi"}'
        assert await cache.cached_book("979") == {"title": "Heidi"}


async def test_forget_twice():
    client = AsyncMock()
    client.delete.return_value = 0
    with patch.object(cache, "redis_client", new=client):
        assert await cache.forget_book("979") == 0
