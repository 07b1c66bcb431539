"""A client that speaks JSON."""

from unittest.mock import AsyncMock

from bookshop.live import greet


async def test_a_greeting_is_answered():
    mock_ws = AsyncMock()
    mock_ws.receive_json.return_value = {"type": "greeting", "text": "Hello, Ada"}
    assert await greet(mock_ws, "Ada") == "Hello, Ada"
    mock_ws.send_json.assert_awaited_once_with({"type": "greet", "name": "Ada"})
