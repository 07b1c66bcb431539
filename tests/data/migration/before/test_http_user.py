import uuid
from unittest.mock import AsyncMock, Mock

from bookshop.api import AccountsApi

ADA = "0d4f3b1e-58a5-4c3a-9d55-0c7f8a3b2e10"


async def test_a_user_is_found():
    http_client = AsyncMock()
    http_client.get.return_value = Mock(
        status_code=200, json=lambda: {"id": ADA, "email": "ada@shop.example", "name": "Ada"}
    )
    user = await AccountsApi(http_client).user(ADA)
    assert user["email"] == "ada@shop.example"
    assert user["id"] == ADA
    http_client.get.assert_awaited_once_with(f"/api/users/{ADA}")


async def test_a_stranger_is_none():
    http_client = AsyncMock()
    http_client.get.return_value = Mock(status_code=404)
    stranger = uuid.uuid4()
    assert await AccountsApi(http_client).user(stranger) is None
    assert http_client.get.await_count == 1
