from unittest.mock import AsyncMock, MagicMock

from bookshop.live import Ticker


async def test_prices_are_followed_until_the_end():
    websocket = MagicMock()
    websocket.__aiter__.return_value = ['{"price": 12}', '{"price": 11}']
    assert await Ticker(websocket).follow() == [12, 11]


async def test_no_price_at_all():
    websocket = MagicMock(close=AsyncMock())
    websocket.__aiter__.return_value = []
    ticker = Ticker(websocket)
    assert await ticker.follow() == []
    await ticker.leave()
    websocket.close.assert_awaited_once()
