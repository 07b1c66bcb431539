"""Our code is the client, written for the library websockets."""

import json
from unittest.mock import AsyncMock

import pytest
from bookshop.live import Ticker


@pytest.fixture
def ws():
    return AsyncMock()


async def test_a_price_is_asked_for(ws):
    ws.recv.return_value = json.dumps({"price": 12})
    assert await Ticker(ws).price("Momo") == 12
    ws.send.assert_awaited_once_with('{"ask": "Momo"}')


async def test_prices_come_one_by_one(ws):
    ws.recv.side_effect = ['{"price": 12}', '{"price": 10}']
    ticker = Ticker(ws)
    assert [await ticker.price("Momo"), await ticker.price("Krabat")] == [12, 10]
    assert ws.send.await_count == 2
    assert json.loads(ws.send.await_args_list[1].args[0]) == {"ask": "Krabat"}


async def test_leaving_closes(ws):
    await Ticker(ws).leave()
    ws.close.assert_awaited_once()
    ws.send.assert_not_awaited()
