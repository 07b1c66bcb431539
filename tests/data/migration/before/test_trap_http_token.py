"""The token that the mock gave is asserted: only the service knows what it will be."""

from unittest.mock import AsyncMock, Mock

from bookshop.api import AccountsApi


async def test_the_token_is_kept():
    http = AsyncMock()
    http.post.return_value = Mock(status_code=200, json=lambda: {"access_token": "tok-123"})
    api = AccountsApi(http)
    await api.log_in("ada@shop.example", "poems-1815")
    assert api.token == "tok-123"
