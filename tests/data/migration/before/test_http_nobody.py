from unittest.mock import AsyncMock

from bookshop.api import AccountsApi


async def test_without_a_token_nobody_is_known():
    mock_http = AsyncMock()
    mock_http.get.return_value.status_code = 401
    api = AccountsApi(mock_http)
    assert await api.who_am_i() is None
    mock_http.get.assert_awaited_once()
