"""A route that the service does not have, and a server that is away."""

from unittest.mock import AsyncMock, Mock

import httpx
import pytest
from bookshop.api import AccountsApi, catalogue


async def test_a_page_of_the_catalogue():
    http = AsyncMock()
    http.get.return_value = Mock(status_code=200, json=lambda: {"books": ["Momo"]})
    assert await catalogue(http, 2) == ["Momo"]
    http.get.assert_awaited_once_with("/catalogue", params={"page": 2})


async def test_the_service_is_away():
    http = AsyncMock()
    http.post.side_effect = httpx.ConnectError("away")
    with pytest.raises(httpx.ConnectError):
        await AccountsApi(http).log_in("ada@shop.example", "poems-1815")
