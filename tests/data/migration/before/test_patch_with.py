from unittest.mock import AsyncMock, patch

from bookshop import cache


async def test_remember_book():
    with patch("bookshop.cache.redis_client", new_callable=AsyncMock) as redis:
        await cache.remember_book("978", {"title": "Momo"})
        redis.set.assert_awaited_once_with("book:978", '{"title": "Momo"}', ex=600)
