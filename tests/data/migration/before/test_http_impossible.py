from unittest.mock import AsyncMock

import httpx
import pytest
from bookshop.api import AccountsApi


async def test_a_short_password_is_refused():
    http = AsyncMock()
    request = httpx.Request("POST", "/auth/signup")
    http.post.return_value = httpx.Response(422, request=request)
    with pytest.raises(httpx.HTTPStatusError):
        await AccountsApi(http).sign_up("ada@shop.example", "abc")
