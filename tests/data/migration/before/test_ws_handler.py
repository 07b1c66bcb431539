"""A whole handler, fed by a mock."""

from unittest.mock import AsyncMock

from bookshop.live import price_talk
from fastapi import WebSocket, WebSocketDisconnect


async def test_a_price_is_told():
    websocket = AsyncMock(spec=WebSocket)
    websocket.receive_json.side_effect = [{"title": "Momo"}, WebSocketDisconnect(1000)]
    await price_talk(websocket)
    websocket.accept.assert_awaited_once_with()
    websocket.send_json.assert_awaited_once_with({"title": "Momo", "price": 12})


async def test_prices_are_told_in_turn():
    websocket = AsyncMock(spec=WebSocket)
    websocket.receive_json.side_effect = [{"title": "Momo"}, {"title": "Krabat"}, WebSocketDisconnect()]
    await price_talk(websocket)
    assert websocket.send_json.call_args_list[0][0][0]["price"] == 12
    assert websocket.send_json.call_args_list[1].args[0]["price"] == 10
