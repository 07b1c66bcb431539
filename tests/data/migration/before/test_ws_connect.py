"""The connection is opened by the code under test."""

import json
from unittest.mock import AsyncMock, patch

import websockets


async def last_price(url):
    async with websockets.connect(url) as socket:
        return json.loads(await socket.recv())["price"]


async def test_the_last_price():
    with patch("websockets.connect") as connect:
        socket = AsyncMock()
        socket.recv.return_value = '{"price": 12}'
        connect.return_value.__aenter__.return_value = socket
        assert await last_price("wss://prices.example") == 12
