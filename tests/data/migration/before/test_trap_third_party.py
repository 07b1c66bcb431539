"""Somebody else's service: no server of ours answers for it."""

from unittest.mock import AsyncMock, Mock

from bookshop.mailing import Mailing


async def test_deliver():
    letters = AsyncMock()
    letters.post.return_value = Mock(status_code=202)
    assert await Mailing(None, None, letters).deliver("https://letters.example/send", "hello")
    letters.post.assert_awaited_once_with("https://letters.example/send", json={"text": "hello"})
