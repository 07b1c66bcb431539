"""The commonest mock of a WebSocket: the server's side, in a manager of connections."""

from unittest.mock import AsyncMock

import pytest
from bookshop.live import Rooms


@pytest.fixture
def mock_websocket():
    return AsyncMock()


async def test_who_enters_is_accepted(mock_websocket):
    rooms = Rooms()
    await rooms.enter("poems", mock_websocket)
    mock_websocket.accept.assert_awaited_once()
    assert mock_websocket in rooms.listeners["poems"]


async def test_who_is_there_is_told(mock_websocket):
    rooms = Rooms()
    await rooms.enter("poems", mock_websocket)
    await rooms.tell("poems", {"type": "new", "title": "Momo"})
    mock_websocket.send_json.assert_awaited_once_with({"type": "new", "title": "Momo"})
