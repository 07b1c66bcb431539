from unittest.mock import AsyncMock, Mock

import pytest
from bookshop.api import invite_all


@pytest.fixture
def api_client():
    return AsyncMock()


async def test_those_who_are_there_are_not_counted(api_client):
    api_client.post.side_effect = [Mock(status_code=201), Mock(status_code=409), Mock(status_code=201)]
    assert await invite_all(api_client, ["ada@shop.example", "bob@shop.example", "eve@shop.example"]) == 2
    assert api_client.post.await_count == 3
    assert api_client.post.await_args.kwargs["json"] == {"email": "eve@shop.example"}


async def test_nobody_is_invited(api_client):
    assert await invite_all(api_client, []) == 0
    api_client.post.assert_not_awaited()
