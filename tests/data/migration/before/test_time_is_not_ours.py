"""The clock is a mock of something that no service replaces."""

from unittest.mock import AsyncMock, patch

from bookshop.mailing import Mailing


async def test_stamp():
    redis = AsyncMock()
    with patch("bookshop.mailing.time.time", return_value=1700000000.5):
        await Mailing(None, redis).stamp("poems")
    redis.set.assert_awaited_once_with("sent:poems", 1700000000)
