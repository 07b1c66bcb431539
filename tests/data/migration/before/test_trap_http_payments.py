"""Somebody else's service, named as ours are."""

from unittest.mock import AsyncMock, Mock

from bookshop.api import charge


async def test_a_charge_has_an_id():
    http_client = AsyncMock()
    http_client.post.return_value = Mock(json=lambda: {"id": "ch_1"})
    assert await charge(http_client, 500) == "ch_1"
    http_client.post.assert_awaited_once_with("https://payments.example/v1/charges", json={"amount": 500})
