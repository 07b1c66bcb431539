from unittest.mock import AsyncMock, MagicMock, patch

import pytest
from fastapi import WebSocket


@pytest.fixture
def websocket():
    ws = AsyncMock(spec=WebSocket)
    ws.receive_json.side_effect = [{"type": "join"}, RuntimeError]
    return ws


@pytest.fixture
def manager(websocket):
    from chat.manager import Manager

    return Manager([websocket])


async def test_join(manager, websocket):
    await manager.serve(websocket)
    websocket.send_json.assert_awaited_once()


async def test_unnamed():
    peer = AsyncMock()
    peer.receive_text.return_value = "hi"
    await peer.send_text("ho")


async def test_broadcast():
    with patch("chat.manager.aioredis.from_url") as from_url:
        from_url.return_value.publish = AsyncMock()
        connection = MagicMock(name="ws-connection")
        assert connection
