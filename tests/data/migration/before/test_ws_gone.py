from unittest.mock import AsyncMock

from bookshop.live import Rooms
from fastapi import WebSocketDisconnect


async def test_who_left_is_forgotten():
    rooms = Rooms()
    websocket = AsyncMock()
    await rooms.enter("poems", websocket)
    websocket.send_json.side_effect = WebSocketDisconnect(1006)
    await rooms.tell("poems", {"type": "new"})
    assert rooms.listeners["poems"] == []
