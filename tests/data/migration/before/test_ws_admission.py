from unittest.mock import AsyncMock

from bookshop.live import admit


class TestAdmission:
    async def test_a_stranger_is_sent_away(self):
        websocket = AsyncMock()
        assert not await admit(websocket, "guess")
        websocket.close.assert_awaited_once_with(code=4401, reason="who are you?")
        websocket.send_text.assert_not_awaited()
        websocket.accept.assert_not_awaited()

    async def test_a_friend_is_welcome(self):
        websocket = AsyncMock()
        assert await admit(websocket, "letmein")
        websocket.send_text.assert_awaited_once_with("welcome")
        websocket.close.assert_not_awaited()
