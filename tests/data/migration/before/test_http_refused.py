from unittest.mock import AsyncMock

import httpx
from bookshop.api import AccountsApi


async def test_a_wrong_password_is_refused():
    http = AsyncMock(spec=httpx.AsyncClient)
    http.post.return_value = httpx.Response(401, json={"detail": "wrong password"})
    api = AccountsApi(http)
    assert await api.log_in("ada@shop.example", "poems-1815") is False
    assert api.token is None
    http.get.assert_not_awaited()
