from unittest.mock import AsyncMock, patch

from bookshop import cache


async def test_first_view_starts_a_day():
    client = AsyncMock()
    client.incr.return_value = 1
    with patch("bookshop.cache.get_redis", return_value=client):
        assert await cache.count_view("978") == 1
    client.expire.assert_awaited_once_with("views:978", 86400)


async def test_later_views_do_not():
    client = AsyncMock()
    client.incr.return_value = 12
    with patch("bookshop.cache.get_redis", return_value=client):
        assert await cache.count_view("978") == 12
