"""The lowest decorator gives the first argument."""

from unittest.mock import AsyncMock, patch

from bookshop import cache

clock = None


async def touch(isbn):
    await cache.remember_book(isbn, {"seen": clock()})


@patch(f"{__name__}.clock")
@patch("bookshop.cache.redis_client", new_callable=AsyncMock)
async def test_touch(mock_client, mock_clock):
    mock_clock.return_value = 1700000000
    await touch("978")
    mock_client.set.assert_awaited_once_with("book:978", '{"seen": 1700000000}', ex=600)
    mock_clock.assert_called_once_with()
