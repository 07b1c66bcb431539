from unittest.mock import AsyncMock, patch

import pytest
from bookshop import cache


@pytest.mark.asyncio
@patch("bookshop.cache.redis_client", new_callable=AsyncMock)
async def test_book_from_the_cache(mock_client):
    mock_client.get.return_value = '{"title": "Momo"}'
    assert await cache.cached_book("978") == {"title": "Momo"}
    mock_client.get.assert_awaited_once_with("book:978")
